//! What core says about something it stored.

use crate::ids::{ConversationId, EventId, Pos, Seq, Timestamp};

/// A committed event, in short. Returned only after the fsync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its seq; 0 where nothing had to be stored.
    pub seq: Seq,
    /// Its id.
    pub id: EventId,
    /// Its place.
    pub pos: Pos,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its time.
    pub at: Timestamp,
    /// It was stored before: the sender sent it again.
    pub duplicate: bool,
}

impl Sent {
    /// For things that need no event.
    pub const NOTHING: Sent = Sent {
        seq: Seq(0),
        id: EventId(0),
        pos: Pos(0),
        conversation: ConversationId(0),
        at: Timestamp(0),
        duplicate: false,
    };
}
