//! The queue of a device: documents `<device>/<seq>` on its account's shelf.
//!
//! Deletions leave no tombstones: readers go by key.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use ruma::events::AnyToDeviceEvent;
use ruma::serde::Raw;
use sammen_core::document::Owner;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Device, DeviceId, Outcome, Seq};
use serde_json::value::RawValue;

use super::Waiting;
use crate::fault::{Answer, Fault};
use crate::server::Matrix;

/// Messages that wait for devices; documents are what a client gets: `{"sender","type","content"}`.
const NAMESPACE: &str = "matrix.to_device";
/// Most messages that wait for one device, and most bytes of them. The oldest go beyond that: a device that was away for
/// so long asks for keys anew.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 32 << 20;
/// A queue is measured again after so many messages (or the bytes of so many).
const MEASURED: usize = 256;
/// How many are read or deleted at once.
const STEP: usize = 256;

/// How much came for each device since its queue was last measured.
#[derive(Default)]
pub struct Queues {
    came: Mutex<HashMap<DeviceId, (usize, usize)>>,
    /// How many requests of each device were remembered since the old ones were last forgotten.
    sent: Mutex<HashMap<DeviceId, usize>>,
}

impl Queues {
    /// Counts a message; true if it is time to measure.
    fn count(&self, device: DeviceId, bytes: usize) -> bool {
        let mut came = self.came.lock();
        let (messages, sum) = came.entry(device).or_default();
        *messages += 1;
        *sum += bytes;
        let due = *messages >= MEASURED || *sum >= MOST_BYTES / 8;
        if due {
            came.remove(&device);
        }
        due
    }

    /// Counts a request; true if it is time to forget old ones.
    pub(super) fn counts_sent(&self, device: DeviceId) -> bool {
        let mut sent = self.sent.lock();
        let requests = sent.entry(device).or_default();
        *requests += 1;
        let due = *requests >= MEASURED;
        if due {
            sent.remove(&device);
        }
        due
    }
}

fn prefix(device: DeviceId) -> String {
    format!("{:x}/", device.0)
}

fn key(device: DeviceId, seq: Seq) -> String {
    format!("{:x}/{:016x}", device.0, seq.0)
}

fn seq_of(key: &str) -> Option<Seq> {
    let (_, seq) = key.split_once('/')?;
    u64::from_str_radix(seq, 16).ok().map(Seq)
}

/// Puts a message into a device's queue, in the writer; wakes its syncs after the commit.
pub(super) fn push(tx: &mut Tx<'_>, matrix: &Matrix, to: &Device, event: Bytes) -> Outcome<()> {
    let owner = Owner::from(&to.account);
    let bytes = event.len();
    // The document's version is this or the next one; what a reader may see lies before or behind both.
    let key = key(to.id, tx.next_seq());
    tx.put_document(&owner, NAMESPACE, &key, Expect::Anything, Some(event))?;
    if matrix.queues.count(to.id, bytes) {
        shorten(tx, to, MOST, MOST_BYTES)?;
    }
    matrix.ring_after(tx, &to.account);
    Ok(())
}

/// Drops the oldest beyond the bounds.
fn shorten(tx: &mut Tx<'_>, device: &Device, most: usize, most_bytes: usize) -> Outcome<()> {
    let owner = Owner::from(&device.account);
    let all = tx.documents_with(&owner, NAMESPACE, &prefix(device.id), most * 2)?;
    let (mut kept, mut bytes, mut dropped) = (0, 0, 0);
    for document in all.iter().rev() {
        kept += 1;
        bytes += document.value.as_ref().map_or(0, Bytes::len);
        if kept > most || bytes > most_bytes {
            tx.erase_document(&owner, NAMESPACE, &document.key);
            dropped += 1;
        }
    }
    if dropped > 0 {
        tracing::warn!(account = %device.account, device = %device.key, dropped, "too much waits for a device: the oldest is dropped");
    }
    Ok(())
}

/// What waits in a window.
pub(super) fn since(
    matrix: &Matrix,
    device: &Device,
    since: Seq,
    upto: Seq,
    limit: usize,
) -> Answer<Waiting> {
    let mut waiting = Waiting {
        events: Vec::new(),
        upto,
    };
    let owner = Owner::from(&device.account);
    let prefix = prefix(device.id);
    let mut after = key(device.id, since);
    loop {
        let store = matrix.node.store();
        let page = store.documents(
            &owner,
            NAMESPACE,
            &prefix,
            Some(&after),
            STEP.min(limit + 1),
        )?;
        let Some(last) = page.last() else {
            return Ok(waiting);
        };
        after.clone_from(&last.key);
        for document in page {
            let (Some(seq), Some(value)) = (seq_of(&document.key), document.value) else {
                continue;
            };
            if seq > upto {
                return Ok(waiting);
            }
            if waiting.events.len() >= limit {
                // Everything before this one was taken.
                waiting.upto = Seq(seq.0 - 1);
                return Ok(waiting);
            }
            waiting.events.push(raw(value)?);
        }
    }
}

fn raw(value: Bytes) -> Answer<Raw<AnyToDeviceEvent>> {
    let text = String::from_utf8(value.into());
    text.ok()
        .and_then(|text| RawValue::from_string(text).ok())
        .map(Raw::from_json)
        .ok_or_else(|| Fault::unknown("a message is damaged"))
}

/// Deletes what was received.
pub(super) async fn received(matrix: &Arc<Matrix>, device: &Arc<Device>, upto: Seq) -> Answer<()> {
    loop {
        let asked = device.clone();
        let first = matrix.read(move |matrix| {
            let (owner, prefix) = (Owner::from(&asked.account), prefix(asked.id));
            let store = matrix.node.store();
            Ok(store.documents(&owner, NAMESPACE, &prefix, None, 1)?)
        });
        let first = first.await?;
        let waits = |key: &str| seq_of(key).is_some_and(|seq| seq <= upto);
        if !first.first().is_some_and(|d| waits(&d.key)) {
            return Ok(());
        }
        let device = device.clone();
        let write = matrix.node.write(move |tx| {
            let owner = Owner::from(&device.account);
            for document in tx.documents_with(&owner, NAMESPACE, &prefix(device.id), STEP)? {
                if seq_of(&document.key).is_some_and(|seq| seq <= upto) {
                    tx.erase_document(&owner, NAMESPACE, &document.key);
                }
            }
            Ok(())
        });
        write.await?;
    }
}

/// The device goes, and its queue with it.
pub(super) fn forget(tx: &mut Tx<'_>, matrix: &Matrix, device: &Device) -> Outcome<()> {
    matrix.queues.came.lock().remove(&device.id);
    matrix.queues.sent.lock().remove(&device.id);
    let owner = Owner::from(&device.account);
    for document in tx.documents_with(&owner, NAMESPACE, &prefix(device.id), MOST * 2)? {
        tx.erase_document(&owner, NAMESPACE, &document.key);
    }
    Ok(())
}
