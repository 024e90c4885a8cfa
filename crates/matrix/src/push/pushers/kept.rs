//! Pushers as documents: what they are, how far each was told, and which accounts have any.

use ruma::api::client::push::Pusher;
use sammen_core::document::{Document, Owner};
use sammen_core::store::Store;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, Device, Outcome, Protocol, Refusal, Seq, Timestamp};
use serde::{Deserialize, Serialize};

use super::key;
use crate::server::Matrix;
use crate::shelf;

/// An account's pushers, by [`key`].
const NAMESPACE: &str = "matrix.pusher";
/// How far each was told, by the same key.
const TOLD: &str = "matrix.pusher_told";
/// On the node's shelf: `<key>/<account>` for every pusher there is.
const ALL: &str = "matrix.pushers";
/// Most pushers of an account, and most accounts that share one.
const MOST: usize = 32;
/// Read at once.
const PAGE: usize = 500;

/// A pusher.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// As the app described it.
    #[serde(rename = "p")]
    pub pusher: Pusher,
    /// The device that set it, by the number of core.
    #[serde(rename = "d")]
    pub device: u64,
    /// When.
    #[serde(rename = "t")]
    pub at: Timestamp,
}

/// How far a pusher was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// In this epoch: a place of before a restoration is none.
    #[serde(rename = "e")]
    pub epoch: u64,
    /// Up to here.
    #[serde(rename = "s")]
    pub seq: Seq,
    /// How many messages it was told are unread.
    #[serde(rename = "u")]
    pub unread: u32,
}

/// The pushers of an account. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn of(store: &dyn Store, account: &Address) -> Outcome<Vec<Kept>> {
    let found = store.documents(&Owner::from(account), NAMESPACE, "", None, MOST)?;
    Ok(found.iter().filter_map(decode).collect())
}

/// A pusher, and how far it was told. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn one(store: &dyn Store, account: &Address, key: &str) -> Outcome<Option<(Kept, Told)>> {
    let owner = Owner::from(account);
    let kept = store.document(&owner, NAMESPACE, key)?;
    let Some(kept) = kept.as_ref().and_then(decode) else {
        return Ok(None);
    };
    let told = store.document(&owner, TOLD, key)?.and_then(|d| d.value);
    let told = told.and_then(|told| shelf::decode(&told));
    Ok(Some((kept, told.unwrap_or_default())))
}

/// All pushers that there are. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn all(store: &dyn Store) -> Outcome<Vec<(Address, String)>> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.documents(&Owner::Node, ALL, "", after.as_deref(), PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        all.extend(page.iter().filter_map(|d| parts(&d.key)));
    }
    Ok(all)
}

fn decode(document: &Document) -> Option<Kept> {
    shelf::decode(document.value.as_deref()?)
}

fn parts(entry: &str) -> Option<(Address, String)> {
    let (key, account) = entry.split_once('/')?;
    Some((Address::new(account).ok()?, key.to_owned()))
}

fn entry(key: &str, account: &Address) -> String {
    format!("{key}/{account}")
}

/// Sets a pusher, in the writer. One that is new is told of what comes from now on. Unless it is `shared`, other accounts
/// lose theirs of the same app and key: the phone is somebody else's now.
///
/// # Errors
/// When there are too many.
pub fn set(
    tx: &mut Tx<'_>,
    matrix: &Matrix,
    account: &Address,
    kept: &Kept,
    epoch: u64,
    shared: bool,
) -> Outcome<()> {
    // The token was good when it was shown; the device may have been signed out since.
    let device = tx.device(sammen_core::DeviceId(kept.device))?;
    if device.is_none_or(|device| device.account != *account) {
        return Err(Refusal::NotFound);
    }
    let owner = Owner::from(account);
    let ids = &kept.pusher.ids;
    let key = key(&ids.app_id, &ids.pushkey);
    let new = tx
        .document(&owner, NAMESPACE, &key)?
        .and_then(|d| d.value)
        .is_none();
    if new && tx.documents(&owner, NAMESPACE, MOST)?.len() >= MOST {
        return Err(Refusal::TooMany);
    }
    let others = tx.documents_with(&Owner::Node, ALL, &format!("{key}/"), MOST)?;
    if shared && new && others.len() >= MOST {
        return Err(Refusal::TooMany);
    }
    let value = shelf::encode(kept)?;
    tx.put_document(&owner, NAMESPACE, &key, Expect::Anything, Some(value))?;
    if new {
        let told = Told {
            epoch,
            seq: tx.last_seq(),
            unread: 0,
        };
        tell(tx, account, &key, told)?;
        let all = entry(&key, account);
        tx.put_document(
            &Owner::Node,
            ALL,
            &all,
            Expect::Anything,
            Some(bytes::Bytes::new()),
        )?;
    }
    for other in others.iter().filter(|_| !shared) {
        if let Some((other, key)) = parts(&other.key).filter(|(other, _)| other != account) {
            remove(tx, matrix, &other, &key)?;
        }
    }
    super::work::changed_after(tx, matrix, account, &key);
    Ok(())
}

/// A pusher was told, in the writer. One that is gone was not.
///
/// # Errors
/// When the batch can't take it.
pub fn tell(tx: &mut Tx<'_>, account: &Address, key: &str, told: Told) -> Outcome<()> {
    let owner = Owner::from(account);
    if tx
        .document(&owner, NAMESPACE, key)?
        .is_none_or(|d| d.value.is_none())
    {
        return Ok(());
    }
    let value = shelf::encode(&told)?;
    tx.put_document(&owner, TOLD, key, Expect::Anything, Some(value))?;
    Ok(())
}

/// Removes a pusher, in the writer; its account's task hears of it.
///
/// # Errors
/// When the batch can't take it.
pub fn remove(tx: &mut Tx<'_>, matrix: &Matrix, account: &Address, key: &str) -> Outcome<()> {
    let owner = Owner::from(account);
    tx.erase_document(&owner, NAMESPACE, key);
    tx.erase_document(&owner, TOLD, key);
    tx.erase_document(&Owner::Node, ALL, &entry(key, account));
    super::work::changed_after(tx, matrix, account, key);
    Ok(())
}

/// A device goes, in the writer, and with it what it set.
pub(crate) fn device_goes(tx: &mut Tx<'_>, matrix: &Matrix, device: &Device) {
    if device.protocol != Protocol::Matrix {
        return;
    }
    let mut forget = || -> Outcome<()> {
        let owner = Owner::from(&device.account);
        for document in tx.documents(&owner, NAMESPACE, MOST)? {
            if decode(&document).is_none_or(|kept| kept.device == device.id.0) {
                remove(tx, matrix, &device.account, &document.key)?;
            }
        }
        Ok(())
    };
    if let Err(error) = forget() {
        tracing::warn!(%error, account = %device.account, "pushers of a device that went were not deleted");
    }
}
