//! Limits that hold for everyone, from the first day.

use std::time::Duration;

use crate::refusal::{Outcome, Refusal};

/// What one account, room or stranger may have. Bytes and counts.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Text of a message, in bytes.
    pub text_bytes: usize,
    /// A reason: of leaving, inviting, kicking, banning, renaming, destroying; also a status. In bytes.
    pub reason_bytes: usize,
    /// Native form of an event, in bytes.
    pub native_bytes: usize,
    /// A document.
    pub document_bytes: usize,
    /// Documents in one namespace of an account, where its protocol names no lower limit.
    pub documents: usize,
    /// Contacts of an account.
    pub contacts: usize,
    /// Sessions of an account.
    pub sessions: usize,
    /// Devices of an account; the longest unseen goes.
    pub devices: usize,
    /// Rooms that one account may own.
    pub rooms_owned: usize,
    /// Rooms that one account may be in.
    pub rooms_joined: usize,
    /// Addresses that a room may have had before.
    pub former_addresses: usize,
    /// Members of a room.
    pub members: usize,
    /// Bytes of blobs of one account.
    pub blob_quota: u64,
    /// Bytes of one blob.
    pub blob_bytes: u64,
    /// Messages that a stranger may send before the account accepts.
    pub request_messages: u32,
    /// Writes that wait for the writer.
    pub pending_writes: usize,
    /// Writes in one group commit.
    pub batch: usize,
    /// The least time between two commits. A write that comes alone is committed at once; under load, what comes
    /// within this time of the last commit shares the next one, and with it the disk's sync.
    pub gather: Duration,
    /// Foreign id of an event.
    pub foreign_id_bytes: usize,
    /// Files of one message.
    pub attachments: usize,
    /// People whom one message names.
    pub mentions: usize,
    /// People to whom one message in a room is addressed alone.
    pub audience: usize,
    /// Reactions of one person to one event.
    pub reactions: usize,
}

impl Limits {
    /// Refuses a reason that is too long.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`].
    pub fn check_reason(&self, reason: Option<&str>) -> Outcome<()> {
        match reason {
            Some(reason) if reason.len() > self.reason_bytes => Err(Refusal::TooLarge),
            _ => Ok(()),
        }
    }

    /// Shortens a reason, where nobody may be refused for what they say: on leaving.
    pub fn clip_reason(&self, mut reason: Option<String>) -> Option<String> {
        if let Some(text) = &mut reason {
            text.truncate(text.floor_char_boundary(self.reason_bytes));
        }
        reason
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes: 64 * 1024,
            reason_bytes: 1_024,
            native_bytes: 256 * 1024,
            document_bytes: 512 * 1024,
            documents: 10_000,
            contacts: 5_000,
            sessions: 64,
            devices: 256,
            rooms_owned: 500,
            rooms_joined: 2_000,
            former_addresses: 16,
            members: 20_000,
            blob_quota: 1 << 30,
            blob_bytes: 100 << 20,
            request_messages: 20,
            pending_writes: 8_192,
            batch: 256,
            gather: Duration::from_millis(1),
            foreign_id_bytes: 1_024,
            attachments: 64,
            mentions: 256,
            audience: 64,
            reactions: 20,
        }
    }
}
