//! The lockdown switch: nobody new comes in while it is on. No registration, no invitation, by no protocol.

use bytes::Bytes;
use sammen_core::document::Owner;
use sammen_core::store::Store;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Outcome, Refusal};

/// The node's shelf.
const SHELF: &str = "switches";
const KEY: &str = "lockdown";

/// Whether it is on. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn is_on(store: &dyn Store) -> Outcome<bool> {
    let found = store.document(&Owner::Node, SHELF, KEY)?;
    Ok(found.is_some_and(|d| d.value.is_some()))
}

/// Turns it on or off.
///
/// # Errors
/// When the store can't be written.
pub fn set(tx: &mut Tx<'_>, on: bool) -> Outcome<()> {
    let value = on.then(|| Bytes::from_static(b"on"));
    tx.put_document(&Owner::Node, SHELF, KEY, Expect::Anything, value)?;
    Ok(())
}

/// Refuses while it is on.
///
/// # Errors
/// [`Refusal::Forbidden`].
pub fn check(tx: &mut Tx<'_>) -> Outcome<()> {
    let found = tx.document(&Owner::Node, SHELF, KEY)?;
    if found.is_some_and(|d| d.value.is_some()) {
        return Err(Refusal::Forbidden("nobody new can come in just now"));
    }
    Ok(())
}
