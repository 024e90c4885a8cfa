//! Conversations: direct ones and rooms, their homes and settings.

use serde::{Deserialize, Serialize};

use crate::address::{Address, NetworkName};
use crate::ids::{ConversationId, Pos, Seq, Timestamp};
use crate::member::Role;

/// A conversation as stored. Its members are rows of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// Its number on this node.
    pub id: ConversationId,
    /// By what it is found.
    pub key: ConversationKey,
    /// Who rules it.
    pub home: Home,
    /// Settings; for direct conversations only the binding and retention mean something.
    pub settings: Settings,
    /// From the first encrypted event on: the scheme, and whether the pair allowed plain text of other protocols.
    pub turned_encrypted: Option<TurnedEncrypted>,
    /// When it was made.
    pub created: Timestamp,
    /// Seq of the last change of these fields.
    pub changed: Seq,
    /// Set when the room was destroyed; its address is free again then.
    pub destroyed: bool,
    /// Where the history begins that [`Visibility::Shared`] and [`Visibility::World`] open: loosening the visibility
    /// never opens what was said before.
    pub open_from: Pos,
    /// Addresses that a renamed room had before. They lead to it for as long as it is there, and are not given out again.
    #[serde(default)]
    pub former: Vec<Address>,
}

/// By what a conversation is found. Unique among those that were not destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConversationKey {
    /// The main direct conversation of a pair, the smaller address first; equal for notes to oneself.
    Direct(Address, Address),
    /// A further conversation of a pair (a Megolm room, a mail thread) under a name of its protocol.
    Further(Address, Address, String),
    /// A room by its address: local, or on the network it lives on.
    Room(Address),
}

impl ConversationKey {
    /// The main direct conversation of two people, in either order.
    pub fn direct(a: &Address, b: &Address) -> Self {
        if a <= b {
            Self::Direct(a.clone(), b.clone())
        } else {
            Self::Direct(b.clone(), a.clone())
        }
    }

    /// A text that is equal exactly for equal keys; what a store indexes.
    pub fn text(&self) -> String {
        match self {
            Self::Direct(a, b) => format!("d\u{0}{a}\u{0}{b}"),
            Self::Further(a, b, name) => format!("f\u{0}{a}\u{0}{b}\u{0}{name}"),
            Self::Room(a) => format!("r\u{0}{a}"),
        }
    }
}

/// Who rules a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Home {
    /// This node.
    Node,
    /// A network: our events are pending until it accepts them; members and settings are a projection.
    Network(NetworkName),
}

/// What happened to a direct conversation when the first encrypted event came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedEncrypted {
    /// `OMEMO`, …
    pub scheme: String,
    /// One of the pair allowed plain text from other protocols beside it.
    pub plain_allowed: bool,
}

/// Who may come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JoinRule {
    /// Everyone.
    #[default]
    Open,
    /// Those with the standing of a member, or an invitation.
    Members,
    /// As `Members`, and others may knock.
    Knock,
}

/// Who may read what was said before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Visibility {
    /// Only while joined.
    Joined,
    /// Members read all of it, also from before they came.
    #[default]
    Shared,
    /// Everyone, also without being in the room.
    World,
}

/// Whether a room is for every app, or for one family of apps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Binding {
    /// Every app; the node reads.
    #[default]
    Unbound,
    /// One scheme (`OMEMO`, `Megolm`, …); the node can't read.
    Bound(String),
}

/// The settings of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The name that people read.
    pub name: Option<String>,
    /// The topic (XMPP subject).
    pub topic: Option<String>,
    /// Who set the topic, and when.
    pub topic_by: Option<(Address, Timestamp)>,
    /// A longer description (XEP-0045 `roomdesc`).
    pub description: Option<String>,
    /// The picture: digest of a blob.
    pub avatar: Option<String>,
    /// Media type of the picture.
    pub avatar_type: Option<String>,
    /// Who may come in.
    pub join_rule: JoinRule,
    /// Who may read what was said before.
    pub visibility: Visibility,
    /// Shown in the directory (LIST, disco#items).
    pub listed: bool,
    /// Only participants with voice speak.
    pub moderated: bool,
    /// Stays when the last member leaves.
    pub persistent: bool,
    /// A password to come in.
    pub password: Option<String>,
    /// Everyone in the room may set the topic.
    pub topic_open: bool,
    /// Members may invite (needed for `Members` rooms).
    pub invites_open: bool,
    /// Real addresses are shown to everyone in the room, not to moderators alone.
    pub addresses_open: bool,
    /// From which role on private messages inside the room are allowed; `None` (role) lets everyone.
    pub private_messages: Role,
    /// Most people at once; 0 is without a limit of the room's own.
    pub max_members: u32,
    /// For every app, or one family.
    pub binding: Binding,
    /// Days that events stay; `None` as the node says.
    pub retention_days: Option<u32>,
    /// Only people without a ban mask match (IRC `+b`, `+e`, `+I` masks), kept as text.
    pub masks: Vec<Mask>,
    /// Language, as BCP 47.
    pub language: Option<String>,
    /// Settings that only one protocol has, by `protocol/key`.
    pub extra: std::collections::BTreeMap<String, String>,
    /// Made and not configured yet (XEP-0045 §10.1): only its owner is let in, and it goes when its owner does.
    pub locked: bool,
}

/// One IRC list mask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// `b`, `e` or `I`.
    pub list: char,
    /// The mask.
    pub mask: String,
    /// Who set it.
    pub by: Address,
    /// When.
    pub at: Timestamp,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            topic: None,
            topic_by: None,
            description: None,
            avatar: None,
            avatar_type: None,
            join_rule: JoinRule::Open,
            visibility: Visibility::Shared,
            listed: false,
            moderated: false,
            persistent: true,
            password: None,
            topic_open: false,
            invites_open: true,
            addresses_open: false,
            private_messages: Role::None,
            max_members: 0,
            binding: Binding::Unbound,
            retention_days: None,
            masks: Vec::new(),
            language: None,
            extra: std::collections::BTreeMap::new(),
            locked: false,
        }
    }
}

impl Conversation {
    /// The room's address, if it is a room.
    pub fn room(&self) -> Option<&Address> {
        match &self.key {
            ConversationKey::Room(address) => Some(address),
            _ => None,
        }
    }

    /// Whether the room has this address or had it before: what the room itself wrote bears the address of its day.
    pub fn is_named(&self, address: &Address) -> bool {
        self.room() == Some(address) || self.former.contains(address)
    }

    /// The two people, if it is a direct conversation.
    pub fn pair(&self) -> Option<(&Address, &Address)> {
        match &self.key {
            ConversationKey::Direct(a, b) | ConversationKey::Further(a, b, _) => Some((a, b)),
            ConversationKey::Room(_) => None,
        }
    }

    /// The other one of the pair; oneself for notes to oneself.
    pub fn peer_of<'a>(&'a self, me: &Address) -> Option<&'a Address> {
        let (a, b) = self.pair()?;
        if a == me {
            Some(b)
        } else if b == me {
            Some(a)
        } else {
            None
        }
    }
}
