//! The lockdown switch: nobody new comes in while it is on. No registration, no invitation, no first contact from outside.

use bytes::Bytes;
use sammen_core::Refusal;
use sammen_core::document::Owner;
use sammen_core::tx::{Expect, Tx};

use crate::problem::{Answer, Problem};
use crate::server::Web;

/// The node's shelf.
const SHELF: &str = "switches";
const KEY: &str = "lockdown";

/// Whether it is on. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn is_on(web: &Web) -> Answer<bool> {
    let found = web.node.store().document(&Owner::Node, SHELF, KEY);
    Ok(found
        .map_err(Refusal::from)?
        .is_some_and(|d| d.value.is_some()))
}

/// Turns it on or off.
///
/// # Errors
/// When the store can't be written.
pub fn set(tx: &mut Tx<'_>, on: bool) -> sammen_core::Outcome<()> {
    let value = on.then(|| Bytes::from_static(b"on"));
    tx.put_document(&Owner::Node, SHELF, KEY, Expect::Anything, value)?;
    Ok(())
}

/// Refuses while it is on.
///
/// # Errors
/// `locked-down`.
pub fn check(web: &Web) -> Answer<()> {
    if is_on(web)? {
        return Err(Problem::new(
            axum::http::StatusCode::FORBIDDEN,
            "locked-down",
            "Nobody new can come in just now",
        ));
    }
    Ok(())
}
