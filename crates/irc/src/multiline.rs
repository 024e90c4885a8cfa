//! A draft/multiline batch that a client is sending.

use crate::translate::inward::Verb;
use crate::wire::multiline::Joiner;

/// Most batches that one client may have open.
pub(crate) const MOST: usize = 4;

/// An open batch.
pub(crate) struct Open {
    pub target: String,
    pub joiner: Joiner,
    /// Of the first line; all must agree.
    pub verb: Option<Verb>,
    /// Client-only tags of the BATCH line.
    pub tags: Vec<u8>,
    pub label: Option<String>,
    /// It was refused already; the rest is passed over.
    pub lost: bool,
}
