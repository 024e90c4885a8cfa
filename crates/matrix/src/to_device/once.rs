//! Transaction ids ("Transaction identifiers"): what a device asked for once is not done again, also after a restart.

use bytes::Bytes;
use sammen_core::document::Owner;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Device, Outcome};

use crate::server::Matrix;

/// `<device>/<type>/<transaction>`, empty.
const NAMESPACE: &str = "matrix.sent";
/// How many transactions of a device are remembered at least.
const REMEMBERED: usize = 256;

fn prefix(device: &Device) -> String {
    format!("{:x}/", device.id.0)
}

/// Whether a device has asked for this before.
pub(super) fn was_done(tx: &mut Tx<'_>, device: &Device, key: &str) -> Outcome<bool> {
    let key = format!("{}{key}", prefix(device));
    let known = tx.document(&Owner::from(&device.account), NAMESPACE, &key)?;
    Ok(known.is_some_and(|d| d.value.is_some()))
}

/// Remembers it, with the batch that does it; now and then the oldest are forgotten.
pub(super) fn done(tx: &mut Tx<'_>, matrix: &Matrix, device: &Device, key: &str) -> Outcome<()> {
    let owner = Owner::from(&device.account);
    let prefix = prefix(device);
    let key = format!("{prefix}{key}");
    tx.put_document(
        &owner,
        NAMESPACE,
        &key,
        Expect::Anything,
        Some(Bytes::new()),
    )?;
    if matrix.queues.counts_sent(device.id) {
        let mut all = tx.documents_with(&owner, NAMESPACE, &prefix, REMEMBERED * 16)?;
        all.sort_by_key(|d| d.version);
        let old = all.len().saturating_sub(REMEMBERED);
        for document in all.iter().take(old) {
            tx.erase_document(&owner, NAMESPACE, &document.key);
        }
    }
    Ok(())
}

/// The device goes.
pub(super) fn forget(tx: &mut Tx<'_>, device: &Device) -> Outcome<()> {
    let owner = Owner::from(&device.account);
    for document in tx.documents_with(&owner, NAMESPACE, &prefix(device), REMEMBERED * 16)? {
        tx.erase_document(&owner, NAMESPACE, &document.key);
    }
    Ok(())
}
