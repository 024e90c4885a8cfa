//! What sessions are told of besides events: changes of what lives, and one-shots between sessions.

use std::sync::Arc;

use super::{Payload, Presence, Session};
use crate::address::Address;
use crate::convo::Convo;
use crate::event::{Event, Protocol};
use crate::ids::{ConversationId, SessionId};

/// What changed in the state lane.
#[derive(Clone)]
pub enum StateChange {
    /// A session's presence changed (or the session ended: `Offline`).
    Presence {
        /// Whose.
        account: Address,
        /// Which session.
        session: Arc<Session>,
        /// What it is now.
        presence: Arc<Presence>,
    },
    /// Someone entered, changed or left the occupancy of a room, or changed membership, role or nick.
    Occupant(OccupantChange),
    /// Someone types in a conversation, or stopped.
    Typing {
        /// Where.
        convo: Arc<Convo>,
        /// Who.
        who: Address,
        /// Of whom the room shows the nick.
        typing: Typing,
        /// Which session it came from.
        origin: Option<SessionId>,
        /// As the protocol wrote it.
        native: Option<Payload>,
    },
    /// The account read a conversation up to a place, on any device.
    Read {
        /// Whose.
        account: Address,
        /// Where.
        conversation: ConversationId,
        /// The event up to which.
        event: Arc<Event>,
        /// Which session it came from.
        origin: Option<SessionId>,
    },
    /// A contact of the account changed (roster push).
    Contact {
        /// Whose list.
        account: Address,
        /// Which contact.
        contact: Address,
        /// As it is now.
        value: Arc<crate::contact::Contact>,
        /// What happened, for protocols that tell (XMPP subscription stanzas).
        cause: ContactCause,
    },
    /// A device signed in for the first time.
    SignedIn {
        /// The device.
        device: Arc<crate::account::Device>,
    },
    /// Keys for end-to-end encryption changed that the node hands out for the account (DESIGN: "Encryption rules").
    Keys {
        /// The device that it is about, or that did it.
        device: Arc<crate::account::Device>,
        /// What happened.
        change: KeyChange,
    },
    /// The administrators say something to everybody.
    Announced(crate::ops::announce::Announcement),
    /// Something of one protocol.
    Custom {
        /// Later values under the same key replace this one; empty never replaces.
        key: String,
        /// Which protocol's.
        protocol: Protocol,
        /// What.
        payload: Payload,
    },
}

/// What happened to the keys that the node hands out for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// A device published keys: others encrypt to it from now on.
    DeviceAdded,
    /// A device published other keys than before.
    DeviceReplaced,
    /// The account has an identity that vouches for its devices now.
    IdentityAdded,
    /// The account has another identity than before: people have to verify it anew.
    IdentityReplaced,
}

impl KeyChange {
    /// What the account's people are told, in one or two sentences.
    pub fn words(self, device: &crate::account::Device) -> String {
        let name = device.label.as_deref().unwrap_or(&device.key);
        let protocol = device.protocol.name();
        let what = match self {
            KeyChange::DeviceAdded => "can read encrypted messages to you from now on",
            KeyChange::DeviceReplaced => "has new encryption keys",
            KeyChange::IdentityAdded => "set up your identity for encrypted messages",
            KeyChange::IdentityReplaced => "replaced your identity for encrypted messages",
        };
        format!(
            "The device {name} ({protocol}) {what}. If that was not you, sign the device out and change your passphrase."
        )
    }
}

/// How far a text has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typing {
    /// Writing now.
    Active,
    /// Paused.
    Paused,
    /// Done or gone.
    Done,
}

/// Why a contact changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactCause {
    /// The account itself edited it.
    Edited,
    /// The account took it off its list.
    Removed,
    /// The contact asks to see the account's presence.
    Asks,
    /// The contact allowed the account to see theirs.
    Allowed,
    /// The contact withdrew or refused that.
    Denied,
    /// The contact no longer wants to see the account's presence.
    Unsubscribed,
    /// Blocked or unblocked.
    Blocking,
}

/// Someone's place in a room changed.
#[derive(Clone)]
pub struct OccupantChange {
    /// The room as it is now.
    pub convo: Arc<Convo>,
    /// Who.
    pub who: Address,
    /// What happened.
    pub kind: OccupantKind,
    /// The nick before, for nick changes and leaving.
    pub old_nick: Option<Arc<str>>,
    /// Why, where it was said.
    pub reason: Option<String>,
    /// By whom, for kicks, bans and standings.
    pub by: Option<Address>,
    /// The session that caused it.
    pub origin: Option<SessionId>,
    /// The sessions in the room that were `who`'s when it happened.
    pub sessions: Vec<(Arc<Session>, Arc<Presence>)>,
    /// For [`OccupantKind::Standing`]: the room as it was before, for protocols that tell what was given and taken.
    pub before: Option<Arc<Convo>>,
}

/// What happened to an occupant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OccupantKind {
    /// Became a member and came in.
    Joined,
    /// Was a member; a session came in.
    Entered,
    /// Shows something else, or a session of several left.
    Updated,
    /// The last session left; still a member.
    Absent,
    /// Left for good.
    Left,
    /// Was kicked.
    Kicked,
    /// Was banned.
    Banned,
    /// Lost the membership because the room became members-only or the standing was taken.
    Removed,
    /// Standing or role changed.
    Standing,
    /// Has another nick.
    Nick,
    /// The room was destroyed.
    Destroyed,
}

/// A one-shot between sessions: IQs, Jingle, private signals.
#[derive(Clone)]
pub struct Signal {
    /// From whom.
    pub from: Address,
    /// From which session.
    pub session: Option<SessionId>,
    /// Which protocol speaks.
    pub protocol: Protocol,
    /// What.
    pub payload: Payload,
}
