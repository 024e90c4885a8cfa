//! The audit log: every administrative act, in the same batch as the act. The latest comes first.

use sammen_core::document::Owner;
use sammen_core::ops::reports::latest_first;
use sammen_core::tx::{Expect, Tx, decode, encode};
use sammen_core::{Address, Outcome, Timestamp};
use serde::{Deserialize, Serialize};

use crate::server::Web;

/// The node's shelf.
const SHELF: &str = "audit";

/// An act as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// Who did it; `None` for the command line.
    pub by: Option<Address>,
    /// What was done.
    pub act: String,
    /// To whom or what.
    pub subject: String,
    /// Further words; never a secret.
    pub detail: Option<String>,
}

/// Writes an act down, with the batch that does it.
///
/// # Errors
/// When the store can't be written.
pub fn note(
    tx: &mut Tx<'_>,
    by: Option<&Address>,
    act: &str,
    subject: &str,
    detail: Option<String>,
) -> Outcome<()> {
    let value = Act {
        at: tx.now,
        by: by.cloned(),
        act: act.to_owned(),
        subject: subject.to_owned(),
        detail,
    };
    let key = latest_first(tx.now, tx.random());
    let value = Some(encode(&value)?);
    tx.put_document(&Owner::Node, SHELF, &key, Expect::Anything, value)?;
    Ok(())
}

/// Acts behind `after`, the latest first. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn list(web: &Web, after: Option<&str>, most: usize) -> Outcome<Vec<(String, Act)>> {
    let page = web
        .node
        .store()
        .documents(&Owner::Node, SHELF, "", after, most)?;
    Ok(page
        .into_iter()
        .filter_map(|d| Some((d.key, decode(&d.value?)?)))
        .collect())
}
