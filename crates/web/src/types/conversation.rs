//! Conversations as a list shows them, what the account noted about them, and who can read them.

use super::{Entry, Person, answer, ask, both};
use crate::types::{Role, Standing};

answer! {
    /// A conversation as a list shows it.
    pub struct Conversation {
        /// Its id: a number, or `direct:ADDRESS` while nothing was said yet.
        pub id: String,
        /// Direct or room.
        pub kind: ConversationKind,
        /// The name that people read.
        pub name: String,
        /// The peer's address, or the room's.
        pub address: String,
        /// The path of the picture.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub avatar: Option<String>,
        /// The other one of a direct conversation.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub peer: Option<Person>,
        /// The topic.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub topic: Option<String>,
        /// A longer description.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub description: Option<String>,
        /// How many are in the room.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub members: Option<usize>,
        /// Where the caller stands towards it.
        pub membership: Membership,
        /// A stranger wrote first and waits to be accepted.
        pub request: bool,
        /// What others said since the caller read.
        pub unread: u32,
        /// Of these, what names the caller.
        pub mentions: u32,
        /// Counting stopped: there is more.
        pub unread_more: bool,
        /// Up to which entry the caller read.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub read_up_to: Option<String>,
        /// The last entry.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last: Option<Entry>,
        /// When something happened last, in Unix milliseconds.
        pub at: i64,
        /// What the caller noted about it.
        pub flags: Flags,
        /// Who can read it, in short.
        pub readers: ReadersShort,
        /// The caller's role in the room.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub role: Option<Role>,
        /// The caller's standing in the room.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub standing: Option<Standing>,
        /// What the caller may do.
        pub can: Can,
    }

    /// What the caller may do in a conversation; hints, the node decides.
    pub struct Can {
        /// Write.
        pub send: bool,
        /// Set the topic.
        pub topic: bool,
        /// Invite.
        pub invite: bool,
        /// Change settings.
        pub configure: bool,
        /// Kick, ban, take back what others wrote.
        pub moderate: bool,
    }

    /// Who can read a conversation, in short.
    pub struct ReadersShort {
        /// The mark to show.
        pub mark: ReadersMark,
        /// The scheme, where it is end-to-end encrypted.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub encrypted: Option<String>,
        /// One plain sentence in English.
        pub sentence: String,
        /// Networks and servers beside this node.
        pub servers: Vec<String>,
    }

    /// Who can read a conversation, in full.
    pub struct Readers {
        /// The mark to show.
        pub mark: ReadersMark,
        /// The scheme, where it is end-to-end encrypted.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub encrypted: Option<String>,
        /// Parts are plain text all the same.
        pub mixed: bool,
        /// This node reads the content.
        pub node: bool,
        /// Anyone reads it without being in it.
        pub public: bool,
        /// One plain sentence in English.
        pub sentence: String,
        /// Networks and servers beside this node.
        pub servers: Vec<String>,
        /// Each participant; at most 500.
        pub participants: Vec<Reader>,
    }

    /// One participant, and through what they read.
    pub struct Reader {
        /// Who.
        pub person: Person,
        /// The network: `sammen` for this node.
        pub network: String,
        /// How that network is built.
        pub structure: Structure,
        /// The server that holds their account.
        pub server: String,
        /// Whether that server's software is free.
        pub software_free: Known,
        /// Whether their app is free; the node seldom knows.
        pub client_free: Known,
        /// `none`, or the scheme.
        pub encryption: String,
    }

    /// Conversations, the latest first.
    pub struct ConversationPage {
        /// Them.
        pub conversations: Vec<Conversation>,
        /// What to give as `after` for more.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub next: Option<String>,
        /// What to begin the stream with.
        pub cursor: String,
    }
}

both! {
    /// Direct or room.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum ConversationKind {
        /// Of two people.
        Direct,
        /// Of many.
        Room,
    }

    /// Where someone stands towards a room.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum Membership {
        /// In it.
        Joined,
        /// Was invited.
        Invited,
        /// Asks to come in.
        Knocked,
        /// Not in it.
        Left,
    }

    /// Who can read, from fewest to most.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum ReadersMark {
        /// Only the people in the conversation.
        Members,
        /// They and this node.
        Node,
        /// They, this node and other servers.
        Servers,
        /// Anyone.
        Anyone,
    }

    /// How a network is built.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "kebab-case")]
    pub enum Structure {
        /// An account here.
        ThisNode,
        /// Many servers under many owners.
        Federated,
        /// No servers.
        Serverless,
        /// One owner.
        Central,
        /// Not known.
        Unknown,
    }

    /// What is known.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum Known {
        /// Yes.
        Yes,
        /// No.
        No,
        /// Not known.
        Unknown,
    }

    /// What an account notes about a conversation.
    #[derive(Copy, Eq, Default)]
    #[serde(default)]
    pub struct Flags {
        /// On top of the list.
        pub pinned: bool,
        /// Out of the way until something happens.
        pub archived: bool,
        /// No notifications until this time in Unix milliseconds; 0 is for ever; absent is not muted.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub muted_until: Option<i64>,
    }
}

ask! {
    /// What shall change; absent stays.
    pub struct FlagsChange {
        /// On top of the list.
        #[serde(default)]
        pub pinned: Option<bool>,
        /// Out of the way.
        #[serde(default)]
        pub archived: Option<bool>,
        /// Until when; 0 is for ever, -1 is not muted.
        #[serde(default)]
        pub muted_until: Option<i64>,
    }

    /// With whom.
    pub struct StartDirect {
        /// An address.
        pub address: String,
    }

    /// Which conversations.
    pub struct ListQuery {
        /// Most, up to 200; 50 where nothing is said.
        #[serde(default)]
        pub limit: Option<usize>,
        /// What `next` said.
        #[serde(default)]
        pub after: Option<String>,
        /// Only those that are archived, or only those that are not.
        #[serde(default)]
        pub archived: Option<bool>,
    }
}
