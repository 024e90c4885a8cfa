//! Events: the entries of a conversation's log, and what they say.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::ids::{ConversationId, DeviceId, EventId, Pos, Seq, Timestamp};
use crate::member::{Membership, Standing};

/// One entry of a log. The envelope never changes; content and native form can be erased and leave a tombstone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Node-wide commit order.
    pub seq: Seq,
    /// Place in the conversation's history.
    pub pos: Pos,
    /// The id that clients see (XEP-0359 stanza-id, IRC msgid).
    pub id: EventId,
    /// The conversation whose log holds it.
    pub conversation: ConversationId,
    /// Who wrote it.
    pub author: Address,
    /// The name under which the author wrote in a room, where it was other than the membership's.
    pub nick: Option<String>,
    /// The device that wrote it, for accounts of this node.
    pub device: Option<DeviceId>,
    /// When it was written: for events of this node the time of the commit, never decreasing with `pos`.
    pub at: Timestamp,
    /// What the conversation's home said of it.
    pub acceptance: Acceptance,
    /// Who may see it beside the author; `None` means everyone who sees the conversation.
    pub audience: Option<Vec<Address>>,
    /// Imported or backfilled: no unread count, no push, no live delivery.
    pub historical: bool,
    /// What it refers to.
    pub relation: Option<Relation>,
    /// What it says, in core's words.
    pub content: Content,
    /// What its own protocol wrote and others of that protocol get unchanged.
    pub native: Option<Native>,
}

/// What a conversation's home said of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Acceptance {
    /// Shown.
    Accepted,
    /// Ours, waiting for a home elsewhere: only its author sees it.
    Pending,
    /// Stored but not shown (Matrix soft failure).
    SoftFailed,
    /// The home refused it.
    Rejected,
    /// Known without its place in history.
    Outlier,
}

/// The form in which an event's own protocol wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Native {
    /// The protocol, such as `xmpp`.
    pub protocol: Protocol,
    /// The bytes, namespace-neutral and self-contained.
    pub bytes: Bytes,
    /// The sender's own id for it (XMPP stanza `id`), which others of the protocol must see unchanged.
    pub id: Option<String>,
    /// The sender's own kind for it (XMPP message `type`).
    pub kind: Option<String>,
}

/// A protocol family of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Protocol {
    Xmpp,
    Irc,
    Matrix,
    Mail,
    Sip,
    Web,
    /// The node itself: administration, import.
    Node,
}

impl Protocol {
    /// The name in configuration, logs and stored records.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Xmpp => "xmpp",
            Protocol::Irc => "irc",
            Protocol::Matrix => "matrix",
            Protocol::Mail => "mail",
            Protocol::Sip => "sip",
            Protocol::Web => "web",
            Protocol::Node => "node",
        }
    }
}

/// What an event refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// In which way.
    pub kind: RelationKind,
    /// The event, once it is known.
    pub target: Option<EventId>,
    /// The id by which the author's protocol named it.
    pub foreign: Option<ForeignId>,
}

/// In which way one event refers to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum RelationKind {
    Reply,
    Edit,
    Retraction,
    Reaction,
    Marker,
}

/// An id that a protocol gave an event, in that protocol's scheme.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ForeignId {
    /// Such as `xmpp` (stanza id), `origin` (origin-id), `matrix`, `mail`.
    pub scheme: Scheme,
    /// The id itself. At most 1,024 bytes.
    pub id: String,
}

/// A space of ids; stored as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Scheme {
    /// XMPP stanza `id` as the sender set it.
    XmppId = 1,
    /// XEP-0359 origin-id.
    OriginId = 2,
    /// Matrix event id.
    MatrixEvent = 3,
    /// Client transaction id of Matrix or the web page.
    Transaction = 4,
    /// RFC 5322 Message-ID.
    MessageId = 5,
    /// IRC msgid of an upstream network.
    IrcMsgid = 6,
    /// XEP-0359 stanza-id by a remote archive.
    RemoteStanzaId = 7,
    /// For scripted networks in tests.
    Test = 255,
}

/// What an event says. A small closed set: each protocol crate translates to and from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// Something a person wrote.
    Message(Message),
    /// A new wording of the related event; edits point to the first version.
    Edit(Message),
    /// Takes the related event back.
    Retraction {
        /// Why, where it was said.
        reason: Option<String>,
    },
    /// The author's reactions to the related event: all of them, replacing earlier ones; empty withdraws them.
    Reaction {
        /// Each an emoji or short text.
        keys: Vec<String>,
    },
    /// Someone's place in the room changed.
    Membership(MembershipChange),
    /// A setting of the room changed.
    Room(RoomChange),
    /// End-to-end encrypted: only the native form has it.
    Encrypted {
        /// The name that people know: `OMEMO`, `OpenPGP`, `Megolm`.
        scheme: String,
        /// What the sender's app says to apps that can't read it.
        fallback: Option<String>,
    },
    /// Up to where the author received or read.
    Marker(MarkerKind),
    /// Something only its own protocol understands.
    Other {
        /// Text that a person can read, if the sender gave one.
        fallback: Option<String>,
    },
    /// A tombstone: what stood here was erased.
    Erased {
        /// By whom, where a person did it (retention has no author).
        by: Option<Address>,
        /// When.
        at: Timestamp,
    },
}

/// How far a marker goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MarkerKind {
    /// It reached a device (XEP-0184).
    Received,
    /// A person saw it (XEP-0333).
    Displayed,
}

/// Something a person wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The text without markup that only one protocol knows; lines end in `\n`.
    pub text: String,
    /// The same with markup: the Matrix subset of HTML, sanitised.
    pub html: Option<String>,
    /// Of what kind the text is.
    pub kind: MessageKind,
    /// Files that belong to it.
    pub attachments: Vec<Attachment>,
    /// The thread's name, where the sender's protocol has threads.
    pub thread: Option<String>,
    /// The subject, where the sender gave one.
    pub subject: Option<String>,
    /// Accounts and people that the text names.
    pub mentions: Vec<Address>,
}

impl Message {
    /// A plain text message.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }
}

/// Of what kind a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MessageKind {
    /// Ordinary speech.
    #[default]
    Text,
    /// `/me`: the text is without the leading `/me `.
    Emote,
    /// From a machine, or IRC NOTICE.
    Notice,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Where it can be had.
    pub url: String,
    /// Its name, for people.
    pub name: Option<String>,
    /// Media type.
    pub media_type: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
}

impl Attachment {
    /// Bytes of its words.
    pub fn weight(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.url.len() + length(&self.name) + length(&self.media_type)
    }
}

/// Someone's place in the room changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipChange {
    /// Whose.
    pub who: Address,
    /// The nick at that time.
    pub nick: Option<String>,
    /// Where they stand now.
    pub membership: Membership,
    /// And with which standing.
    pub standing: Standing,
    /// What happened.
    pub action: MembershipAction,
    /// Why, where it was said.
    pub reason: Option<String>,
}

/// What happened to a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum MembershipAction {
    Joined,
    Left,
    Invited,
    Knocked,
    Kicked,
    Banned,
    Unbanned,
    Standing,
    Nick,
}

/// A setting of the room changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomChange {
    /// The room came to be.
    Created,
    /// The topic (XMPP subject); empty takes it away.
    Topic(String),
    /// The name that people read.
    Name(String),
    /// The picture: a blob's digest, or none.
    Avatar(Option<String>),
    /// Other settings, named in words that people can read.
    Settings(Vec<String>),
    /// The room is gone; a place to go to instead.
    Destroyed {
        /// Why.
        reason: Option<String>,
        /// Where people meet now.
        alternate: Option<Address>,
    },
    /// The room has another address; who is in it stays in it.
    Renamed {
        /// The address before. It goes on leading to the room.
        from: Address,
        /// The address now.
        to: Address,
        /// Why.
        reason: Option<String>,
    },
}

impl Content {
    /// Whether a person wrote it, so that it counts as unread and never vanishes silently.
    pub fn is_speech(&self) -> bool {
        match self {
            Content::Message(_) | Content::Edit(_) | Content::Encrypted { .. } => true,
            Content::Other { fallback } => fallback.is_some(),
            _ => false,
        }
    }

    /// Whether it belongs to what people wrote and what changes it: all but memberships, room changes and markers
    /// ([`Kinds::Speech`](crate::store::Kinds::Speech)).
    pub fn belongs_to_speech(&self) -> bool {
        !matches!(
            self,
            Content::Membership(_) | Content::Room(_) | Content::Marker(_)
        )
    }

    /// The text that search finds it by.
    pub fn searchable(&self) -> Option<&str> {
        match self {
            Content::Message(m) | Content::Edit(m) if !m.text.is_empty() => Some(&m.text),
            _ => None,
        }
    }
}

impl Event {
    /// The related event, if it is known.
    pub fn target(&self) -> Option<EventId> {
        self.relation.as_ref().and_then(|r| r.target)
    }
}
