//! One-time and fallback keys: each one-time key goes to one asker, the oldest first; fallback keys when none is left.
//!
//! One document per key. What was claimed leaves no trace but a tombstone in a namespace of its own, so that a key that
//! is uploaded again (the client did not hear that it was taken) is not given out a second time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use ruma::{OneTimeKeyAlgorithm, UInt};
use sammen_core::document::Owner;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Device, DeviceId, Outcome, Refusal, Seq};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::Answer;
use crate::server::Matrix;
use crate::shelf::{decode, encode};

/// `<device>/<algorithm>/<seq>/<name>`: a key that nobody has claimed. A restored backup has none of them.
pub const ONE_TIME: &str = "matrix.keys.one_time";
/// `<device>/<algorithm>/<name>/<key>`: tombstones only.
const CLAIMED: &str = "matrix.keys.claimed";
/// `<device>/<algorithm>`: the key that is given out when no other is left.
const FALLBACK: &str = "matrix.keys.fallback";

/// Most one-time keys of a device. Clients keep 50 to 100.
pub const MOST: usize = 400;
/// Most fallback keys of a device: one for an algorithm.
const MOST_FALLBACK: usize = 8;

/// The keys that are left on the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// One-time keys by algorithm. `signed_curve25519` is always there: some clients take its absence for "as before".
    pub one_time: BTreeMap<OneTimeKeyAlgorithm, UInt>,
    /// The algorithms of fallback keys that nobody got yet.
    pub unused_fallback: Vec<OneTimeKeyAlgorithm>,
    /// When they changed last, as far as is known since the start: a sync over this seq has something to say.
    pub version: Seq,
}

#[derive(Default)]
struct Known {
    /// Changed with this seq; maybe not yet committed.
    noted: Seq,
    counts: Option<Arc<Counts>>,
}

/// Counts that were read already.
#[derive(Default)]
pub(super) struct Cache {
    known: Mutex<HashMap<DeviceId, Known>>,
}

impl Cache {
    /// A device's keys change with this seq, in the writer. Before the commit: who reads after it reads the store.
    fn note(&self, device: DeviceId, seq: Seq) {
        let counts = None;
        self.known
            .lock()
            .insert(device, Known { noted: seq, counts });
    }

    pub(super) fn forget(&self, device: DeviceId) {
        self.known.lock().remove(&device);
    }

    fn get(&self, device: DeviceId) -> (Seq, Option<Arc<Counts>>) {
        let known = self.known.lock();
        known
            .get(&device)
            .map_or((Seq(0), None), |k| (k.noted, k.counts.clone()))
    }

    /// Keeps what was read, if nothing changed meanwhile.
    fn put(&self, device: DeviceId, counts: &Arc<Counts>) {
        let mut known = self.known.lock();
        if known.len() > 100_000 {
            known.clear();
        }
        let entry = known.entry(device).or_default();
        if entry.noted == counts.version {
            entry.counts = Some(counts.clone());
        }
    }
}

/// A key as a client uploaded it.
pub(super) struct Uploaded {
    pub algorithm: String,
    pub name: String,
    pub key: Value,
}

#[derive(Serialize, Deserialize)]
struct Fallback {
    name: String,
    key: Value,
    used: bool,
}

fn prefix(device: DeviceId) -> String {
    format!("{:x}/", device.0)
}

/// The algorithm and the name in the key of a document in [`ONE_TIME`].
fn parts(key: &str) -> Option<(&str, &str)> {
    let mut parts = key.splitn(4, '/').skip(1);
    let algorithm = parts.next()?;
    parts.next()?;
    Some((algorithm, parts.next()?))
}

/// The place of a key's tombstone. With the key itself: a new identity of the device may count its names from the start.
fn claimed(device: DeviceId, algorithm: &str, name: &str, key: &Value) -> String {
    let public = key.get("key").unwrap_or(key).as_str().unwrap_or_default();
    let public: String = public.chars().take(64).collect();
    format!("{}{algorithm}/{name}/{public}", prefix(device))
}

/// What is left of a device's keys. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn counts(matrix: &Matrix, device: &Device) -> Answer<Arc<Counts>> {
    let cache = &matrix.keys.counts;
    let (version, known) = cache.get(device.id);
    if let Some(known) = known {
        return Ok(known);
    }
    let committed = matrix.node.last_seq();
    let (store, owner) = (matrix.node.store(), Owner::from(&device.account));
    let prefix = prefix(device.id);
    let mut one_time: BTreeMap<OneTimeKeyAlgorithm, u32> = BTreeMap::new();
    one_time.insert(OneTimeKeyAlgorithm::SignedCurve25519, 0);
    for document in store.documents(&owner, ONE_TIME, &prefix, None, MOST)? {
        if let Some((algorithm, _)) = parts(&document.key) {
            *one_time.entry(algorithm.into()).or_default() += 1;
        }
    }
    let mut unused_fallback = Vec::new();
    for document in store.documents(&owner, FALLBACK, &prefix, None, MOST_FALLBACK)? {
        let kept: Option<Fallback> = document.value.as_deref().and_then(decode);
        let algorithm = document.key.strip_prefix(&prefix);
        if let (Some(algorithm), Some(false)) = (algorithm, kept.map(|k| k.used)) {
            unused_fallback.push(algorithm.into());
        }
    }
    let counts = Arc::new(Counts {
        one_time: one_time.into_iter().map(|(k, n)| (k, n.into())).collect(),
        unused_fallback,
        version,
    });
    // What was noted and not yet committed was not read.
    if version <= committed {
        cache.put(device.id, &counts);
    }
    Ok(counts)
}

/// Takes keys in, in the writer: all of them or none. `anew`: those that are there are of another identity, and go.
///
/// # Errors
/// [`Refusal::Conflict`] where a key of this name is there and says something else; [`Refusal::TooLarge`] where there
/// would be too many.
pub(super) fn upload(
    tx: &mut Tx<'_>,
    matrix: &Matrix,
    device: &Device,
    keys: Vec<Uploaded>,
    fallback: Vec<Uploaded>,
    anew: bool,
) -> Outcome<()> {
    let owner = Owner::from(&device.account);
    let prefix = prefix(device.id);
    let mut there = tx.documents_with(&owner, ONE_TIME, &prefix, MOST)?;
    let mut kept = tx.documents_with(&owner, FALLBACK, &prefix, MOST_FALLBACK)?;
    if anew {
        there.clear();
        kept.clear();
    }
    let mut new = Vec::with_capacity(keys.len());
    for uploaded in keys {
        let named = |key: &str| parts(key) == Some((&uploaded.algorithm, &uploaded.name));
        if let Some(same) = there.iter().find(|d| named(&d.key)) {
            if same.value.as_deref().and_then(decode) != Some(uploaded.key) {
                return Err(Refusal::Conflict);
            }
            continue;
        }
        let claimed = claimed(
            device.id,
            &uploaded.algorithm,
            &uploaded.name,
            &uploaded.key,
        );
        if tx.document(&owner, CLAIMED, &claimed)?.is_none() {
            new.push((encode(&uploaded.key)?, uploaded));
        }
    }
    kept.retain(|d| {
        let mut fallback = fallback.iter();
        !fallback.any(|f| d.key.strip_prefix(&prefix) == Some(&f.algorithm))
    });
    if there.len() + new.len() > MOST || kept.len() + fallback.len() > MOST_FALLBACK {
        return Err(Refusal::TooLarge);
    }
    if anew {
        forget(tx, matrix, device)?;
    }
    for (value, uploaded) in new {
        let (seq, name) = (tx.next_seq().0, uploaded.name);
        let key = format!("{prefix}{}/{seq:016x}/{name}", uploaded.algorithm);
        tx.put_document(&owner, ONE_TIME, &key, Expect::Anything, Some(value))?;
    }
    for uploaded in fallback {
        let at = format!("{prefix}{}", uploaded.algorithm);
        let known = tx.document(&owner, FALLBACK, &at)?.and_then(|d| d.value);
        let known: Option<Fallback> = known.as_deref().and_then(decode);
        if known.is_some_and(|k| k.name == uploaded.name && k.key == uploaded.key) {
            continue;
        }
        let new = Fallback {
            name: uploaded.name,
            key: uploaded.key,
            used: false,
        };
        let value = Some(encode(&new)?);
        tx.put_document(&owner, FALLBACK, &at, Expect::Anything, value)?;
    }
    let seq = tx.next_seq();
    matrix.keys.counts.note(device.id, seq);
    Ok(())
}

/// Takes a key out, in the writer: a one-time key that nobody else gets, or the fallback key, which is used from then on.
/// With its name.
///
/// # Errors
/// When the store can't be read.
pub(super) fn claim(
    tx: &mut Tx<'_>,
    matrix: &Matrix,
    device: &Device,
    algorithm: &str,
) -> Outcome<Option<(String, Value)>> {
    let owner = Owner::from(&device.account);
    let at = format!("{}{algorithm}", prefix(device.id));
    loop {
        let first = tx.documents_with(&owner, ONE_TIME, &format!("{at}/"), 1)?;
        let Some(document) = first.into_iter().next() else {
            break;
        };
        tx.erase_document(&owner, ONE_TIME, &document.key);
        let key: Option<Value> = document.value.as_deref().and_then(decode);
        let (Some((_, name)), Some(key)) = (parts(&document.key), key) else {
            continue;
        };
        let claimed = claimed(device.id, algorithm, name, &key);
        let seq = tx.put_document(&owner, CLAIMED, &claimed, Expect::Anything, None)?;
        matrix.keys.counts.note(device.id, seq);
        matrix.ring_after(tx, &device.account);
        return Ok(Some((name.to_owned(), key)));
    }
    let kept = tx.document(&owner, FALLBACK, &at)?.and_then(|d| d.value);
    let Some(mut kept) = kept.as_deref().and_then(decode::<Fallback>) else {
        return Ok(None);
    };
    if !kept.used {
        kept.used = true;
        let value = Some(encode(&kept)?);
        let seq = tx.put_document(&owner, FALLBACK, &at, Expect::Anything, value)?;
        matrix.keys.counts.note(device.id, seq);
        matrix.ring_after(tx, &device.account);
    }
    Ok(Some((kept.name, kept.key)))
}

/// The device goes, and its keys with it.
pub(super) fn forget(tx: &mut Tx<'_>, matrix: &Matrix, device: &Device) -> Outcome<()> {
    matrix.keys.counts.forget(device.id);
    let (owner, prefix) = (Owner::from(&device.account), prefix(device.id));
    for (namespace, most) in [(ONE_TIME, MOST), (FALLBACK, MOST_FALLBACK)] {
        for document in tx.documents_with(&owner, namespace, &prefix, most)? {
            tx.erase_document(&owner, namespace, &document.key);
        }
    }
    Ok(())
}
