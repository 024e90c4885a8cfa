//! Receipts (client-server API, "Receipts", "Fully read markers"): how far people have read, as they let others know.
//!
//! Public ones stand on the node's shelf, one document per person, room and thread; an account's own on its own shelf.
//! Core's read marks are the same thing for every protocol: a receipt of the main timeline moves them, and where another
//! app moved them further, that counts here too.
//!
//! ```text
//! api.rs      the endpoints
//! mark.rs     moving one's own
//! follow.rs   what people of other protocols have read
//! read.rs     for syncs
//! ```

mod api;
mod follow;
mod mark;
mod read;

use std::collections::HashMap;

use parking_lot::Mutex;
use ruma::OwnedEventId;
use sammen_core::{Address, Seq, Timestamp};
use serde::{Deserialize, Serialize};

pub use api::routes;
pub use follow::begin;
pub use read::{Own, own, own_changed, receipts};

/// Namespace on an account's shelf; keys are the room's name and the thread.
const OWN: &str = "matrix.receipt";
/// Rooms whose last change is remembered.
const ROOMS: usize = 50_000;
/// People's rooms of which it is remembered how far they have read.
const OWN_KEPT: usize = 20_000;

/// Namespace on the node's shelf of a room's public ones; keys are the user and the thread.
fn public(room: &str) -> String {
    format!("matrix.receipt.{room}")
}

/// A key of two parts.
fn key(first: &str, thread: &str) -> String {
    format!("{first}\0{thread}")
}

/// A receipt as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Up to which event.
    #[serde(rename = "e")]
    pub event: OwnedEventId,
    /// Its ordinal.
    #[serde(rename = "o")]
    pub ordinal: u64,
    /// When it was set.
    #[serde(rename = "t")]
    pub at: Timestamp,
    /// Others are told.
    #[serde(rename = "p", default)]
    pub public: bool,
}

/// What is remembered of receipts.
pub struct Changes {
    /// When the public ones of rooms changed last, as far as is known.
    last: Mutex<(Seq, HashMap<String, Seq>)>,
    /// How far accounts have read rooms, by account and name of the room, and when that was read.
    own: Mutex<HashMap<(Address, String), (Seq, Own)>>,
}

impl Changes {
    /// Before `start` every room may have changed.
    pub fn new(start: Seq) -> Self {
        Self {
            last: Mutex::new((start, HashMap::new())),
            own: Mutex::default(),
        }
    }

    fn note(&self, room: &str, seq: Seq) {
        let mut known = self.last.lock();
        if known.1.len() >= ROOMS && !known.1.contains_key(room) {
            known.0 = seq;
            known.1.clear();
        }
        let last = known.1.entry(room.to_owned()).or_default();
        *last = (*last).max(seq);
    }

    /// Whether a room's receipts may have changed after `since`.
    pub fn since(&self, room: &str, since: Seq) -> bool {
        let known = self.last.lock();
        since < known.0 || known.1.get(room).is_some_and(|last| *last > since)
    }
}
