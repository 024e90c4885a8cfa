//! Frames of the stream: JSON objects with a `type`, in WebSocket text messages.

use super::{Contact, Conversation, Device, Entry, Member, Person, Show, answer};

answer! {
    /// From the node.
    #[serde(tag = "type", rename_all = "kebab-case")]
    pub enum Frame {
        /// The first one.
        Hello {
            /// Where the stream stands.
            cursor: String,
            /// It goes on where the client left off: nothing has to be read anew.
            resumed: bool,
            /// Seconds between two signs of life.
            heartbeat: u32,
        },
        /// The cursor is too old: drop what is held, read lists anew, go on from here.
        Resync {
            /// Where the stream stands.
            cursor: String,
        },
        /// A new entry, or an entry that changed. Insert or replace by id.
        Entry {
            /// Where the stream stands.
            cursor: String,
            /// The entry as it looks now.
            entry: Box<Entry>,
            /// A new line; false for changes of older ones.
            fresh: bool,
            /// The client's own id, where this device sent it.
            #[serde(skip_serializing_if = "Option::is_none")]
            txn: Option<String>,
        },
        /// A conversation is new or changed.
        Conversation {
            /// As it is now.
            conversation: Box<Conversation>,
        },
        /// The caller is no longer in a room.
        Left {
            /// Its id.
            id: String,
        },
        /// The caller read on, on any device.
        Read {
            /// Where.
            conversation: String,
            /// Up to which entry.
            event: String,
            /// What is unread now.
            unread: u32,
            /// Of these, what names the caller.
            mentions: u32,
        },
        /// Somebody received or read up to an entry.
        Marker {
            /// Where.
            conversation: String,
            /// Who.
            who: Person,
            /// Up to which entry.
            event: String,
            /// `received` or `displayed`.
            kind: MarkerKind,
        },
        /// Somebody types, or stopped.
        Typing {
            /// Where.
            conversation: String,
            /// Who.
            who: Person,
            /// Types.
            active: bool,
        },
        /// Somebody's presence changed: the best of their sessions.
        Presence {
            /// Whose.
            address: String,
            /// How available.
            show: Show,
            /// In words.
            #[serde(skip_serializing_if = "Option::is_none")]
            status: Option<String>,
        },
        /// A member of a room is new or changed.
        Member {
            /// Where.
            conversation: String,
            /// As they are now.
            member: Member,
        },
        /// Somebody is no longer a member.
        MemberGone {
            /// Where.
            conversation: String,
            /// Who.
            address: String,
        },
        /// A contact changed.
        Contact {
            /// As it is now.
            contact: Contact,
        },
        /// A device signed in for the first time.
        Device {
            /// Which.
            device: Device,
        },
        /// Presence, members and contacts were lost on the way: read them anew.
        StateLost {},
        /// The answer to a ping.
        Pong {},
        /// The stream ends.
        Closed {
            /// `signed-out`, `replaced`, `killed`, `shutdown`, `failed`.
            reason: String,
        },
    }
}

/// How far a marker goes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MarkerKind {
    /// It reached a device.
    Received,
    /// A person saw it.
    Displayed,
}

/// From the client.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClientFrame {
    /// Everything up to here was taken in; the node remembers it for the device.
    Ack {
        /// A cursor that the node gave.
        cursor: String,
    },
    /// The caller types, or stopped.
    Typing {
        /// Where.
        conversation: String,
        /// Types.
        active: bool,
    },
    /// The caller shows something else.
    Presence {
        /// How available.
        show: Show,
        /// In words.
        #[serde(default)]
        status: Option<String>,
    },
    /// Is anybody there?
    Ping {},
}
