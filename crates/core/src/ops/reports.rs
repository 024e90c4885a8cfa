//! The queue of reports to those who run the node: one for every protocol, on the node's own shelf. The latest comes first.

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::document::Owner;
use crate::ids::{EventId, Timestamp};
use crate::node::Node;
use crate::refusal::{Outcome, Refusal};
use crate::tx::{Expect, Tx, decode, encode};

/// The node's shelf.
const SHELF: &str = "reports";
/// On the shelf of who reported: which of theirs nobody has looked at yet.
const OPEN: &str = "reports-open";
/// Reports of one account that may wait at once.
pub const WAITING: usize = 50;
/// Longest text of a report, in bytes.
pub const TEXT: usize = 4096;

/// Why someone is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Unwanted advertising.
    Spam,
    /// Harm to people.
    Abuse,
    /// Something else: the text says what.
    Other,
}

/// Where a report stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody looked yet.
    Open,
    /// Something was done.
    Done,
    /// Nothing had to be done.
    Dismissed,
}

/// A report as it is kept. What was said is not copied: the log has it as long as it stays there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Address,
    /// About whom.
    pub about: Address,
    /// Why.
    pub reason: Reason,
    /// In words.
    pub text: Option<String>,
    /// Which entry.
    pub event: Option<EventId>,
    /// The room.
    pub room: Option<Address>,
    /// It was end-to-end encrypted.
    pub encrypted: bool,
    /// Where it stands.
    pub state: State,
    /// What an administrator noted.
    pub note: Option<String>,
}

/// A key that sorts the latest first.
pub fn latest_first(at: Timestamp, random: u128) -> String {
    format!(
        "{:016x}{:08x}",
        u64::MAX - at.0.max(0) as u64,
        random as u32
    )
}

/// Adds a report; returns its id.
///
/// # Errors
/// [`Refusal::TooMany`] where too many of the same account wait, [`Refusal::TooLarge`] for more text than [`TEXT`].
pub fn add(tx: &mut Tx<'_>, report: &Report) -> Outcome<String> {
    if report.text.as_ref().is_some_and(|text| text.len() > TEXT) {
        return Err(Refusal::TooLarge);
    }
    let owner = Owner::from(&report.by);
    if tx.count_documents(&owner, OPEN)?.documents >= WAITING as u64 {
        return Err(Refusal::TooMany);
    }
    let key = latest_first(tx.now, tx.random());
    tx.put_document(
        &Owner::Node,
        SHELF,
        &key,
        Expect::Absent,
        Some(encode(report)?),
    )?;
    let mark = Some(bytes::Bytes::new());
    tx.put_document(&owner, OPEN, &key, Expect::Absent, mark)?;
    Ok(key)
}

/// Changes a report.
///
/// # Errors
/// [`Refusal::NotFound`] where there is none of that id.
pub fn change(tx: &mut Tx<'_>, id: &str, change: impl FnOnce(&mut Report)) -> Outcome<Report> {
    let known = tx.document(&Owner::Node, SHELF, id)?.and_then(|d| d.value);
    let mut report: Report = known.and_then(|v| decode(&v)).ok_or(Refusal::NotFound)?;
    change(&mut report);
    let value = Some(encode(&report)?);
    tx.put_document(&Owner::Node, SHELF, id, Expect::Anything, value)?;
    let owner = Owner::from(&report.by);
    if report.state == State::Open {
        let mark = Some(bytes::Bytes::new());
        tx.put_document(&owner, OPEN, id, Expect::Anything, mark)?;
    } else {
        tx.erase_document(&owner, OPEN, id);
    }
    Ok(report)
}

/// Reports behind `after`, the latest first. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn list(node: &Node, after: Option<&str>, most: usize) -> Outcome<Vec<(String, Report)>> {
    let page = node
        .store()
        .documents(&Owner::Node, SHELF, "", after, most)?;
    Ok(page
        .into_iter()
        .filter_map(|d| Some((d.key, decode(&d.value?)?)))
        .collect())
}
