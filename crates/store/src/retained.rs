//! Where in each conversation the events begin that still say something: what was erased once stays erased, so a
//! retention run need not walk over it again.

use std::collections::HashMap;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};
use sammen_core::store::StoreResult;
use sammen_core::{ConversationId, Seq};

use crate::error;

/// Kept in memory only; after a start it is found again by one walk.
#[derive(Default)]
pub struct Retained(Mutex<HashMap<u64, u64>>);

impl Retained {
    /// The seq of the first event in line that is not erased.
    pub fn from(&self, db: &Connection, conversation: ConversationId) -> StoreResult<Seq> {
        let known = self.0.lock().get(&conversation.0).copied().unwrap_or(0);
        let first: Option<i64> = db
            .prepare_cached(
                "SELECT seq FROM log WHERE conversation = ?1 AND lane = 2 AND seq >= ?2 AND flags & 64 = 0 ORDER BY seq LIMIT 1",
            )
            .and_then(|mut s| s.query_row(params![conversation.0 as i64, known as i64], |r| r.get(0)).optional())
            .map_err(error::reading)?;
        let first = first.map_or(known, |seq| seq as u64);
        self.0.lock().insert(conversation.0, first);
        Ok(Seq(first))
    }
}
