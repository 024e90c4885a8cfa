//! Entries: the lines of a timeline as they look now, with edits, reactions and retractions worked in.

use super::{Person, answer, ask, both};
use crate::types::Standing;

answer! {
    /// One line of a timeline as it looks now.
    pub struct Entry {
        /// Its id: also the cursor for reading on.
        pub id: String,
        /// The conversation.
        pub conversation: String,
        /// Sorts as plain text within a conversation.
        pub order: String,
        /// When it was written, in Unix milliseconds.
        pub at: i64,
        /// Who wrote it.
        pub author: Person,
        /// The caller wrote it.
        pub own: bool,
        /// What it says.
        pub body: Body,
        /// Waits for a home elsewhere.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        #[schemars(default)]
        pub pending: bool,
        /// When it was edited last.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub edited_at: Option<i64>,
        /// Reactions.
        pub reactions: Vec<Reaction>,
        /// What it answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reply_to: Option<Quote>,
        /// The thread: the id of its first entry, or a name that another protocol gave it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub thread: Option<String>,
        /// How many answer it directly.
        pub replies: u32,
        /// For a private message inside a room: who sees it beside the author.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub audience: Option<Vec<Person>>,
        /// The protocol it was written in, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub via: Option<String>,
    }

    /// What an entry says.
    #[serde(tag = "type", rename_all = "snake_case")]
    pub enum Body {
        /// Something a person wrote.
        Message {
            /// The text.
            text: String,
            /// The same with markup: a small set of HTML.
            #[serde(skip_serializing_if = "Option::is_none")]
            html: Option<String>,
            /// Of what kind.
            kind: MessageKind,
            /// Files.
            files: Vec<File>,
            /// Addresses that the text names.
            mentions: Vec<String>,
            /// The subject.
            #[serde(skip_serializing_if = "Option::is_none")]
            subject: Option<String>,
        },
        /// End-to-end encrypted: to be opened in an app that has the keys.
        Encrypted {
            /// `OMEMO`, …
            scheme: String,
            /// What the sender's app says to those who can't read it.
            #[serde(skip_serializing_if = "Option::is_none")]
            fallback: Option<String>,
        },
        /// What stood here was taken back.
        Retracted {
            /// By whom; absent for retention.
            #[serde(skip_serializing_if = "Option::is_none")]
            by: Option<Person>,
            /// When.
            at: i64,
        },
        /// Someone's place in the room changed.
        Membership {
            /// Whose.
            who: Person,
            /// What happened.
            action: MembershipAction,
            /// Where they stand now, where that changed.
            #[serde(skip_serializing_if = "Option::is_none")]
            standing: Option<Standing>,
            /// Why.
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<String>,
        },
        /// The room itself changed.
        Room {
            /// What.
            change: RoomChange,
            /// The new topic or name, the settings that changed, or why the room is gone.
            #[serde(skip_serializing_if = "Option::is_none")]
            text: Option<String>,
        },
        /// Something only its own protocol understands.
        Other {
            /// Text that a person can read.
            #[serde(skip_serializing_if = "Option::is_none")]
            fallback: Option<String>,
        },
    }

    /// A reaction and who gave it.
    pub struct Reaction {
        /// An emoji or short text.
        pub key: String,
        /// How many gave it.
        pub count: u32,
        /// The caller is among them.
        pub own: bool,
        /// The first ten.
        pub by: Vec<Person>,
    }

    /// What an entry answers, in short.
    pub struct Quote {
        /// Its id.
        pub id: String,
        /// Who wrote it; absent where it can't be seen.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub author: Option<Person>,
        /// The first 200 characters.
        pub text: String,
    }

    /// A file.
    pub struct File {
        /// Where it can be had: a path for files of this node, else absolute.
        pub url: String,
        /// Its name.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub name: Option<String>,
        /// Media type.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub media_type: Option<String>,
        /// Bytes.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size: Option<u64>,
    }

    /// What the links of an entry lead to.
    #[derive(Default)]
    pub struct LinkPreviews {
        /// One at most, for now.
        pub previews: Vec<LinkPreview>,
    }

    /// What a link leads to, in short.
    pub struct LinkPreview {
        /// The link as it stands in the text.
        pub link: String,
        /// Where it led in the end.
        pub url: String,
        /// The page's title.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub title: Option<String>,
        /// What it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub description: Option<String>,
        /// The site's name.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub site: Option<String>,
        /// A small picture.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub picture: Option<SmallPicture>,
    }

    /// A small picture that the node made.
    pub struct SmallPicture {
        /// Where it can be had: a path.
        pub url: String,
        /// Width in points.
        pub width: u32,
        /// Height in points.
        pub height: u32,
    }

    /// A file that was uploaded.
    pub struct Uploaded {
        /// Its id, for sending it.
        pub id: String,
        /// The file.
        pub file: File,
    }

    /// Some entries, oldest first.
    pub struct Page {
        /// Them.
        pub entries: Vec<Entry>,
        /// What to give as `before` for what is older; absent at the beginning.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub older: Option<String>,
        /// What to give as `after` for what is newer; absent at the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub newer: Option<String>,
    }
}

both! {
    /// Of what kind a text is.
    #[derive(Copy, Eq, Default)]
    #[serde(rename_all = "snake_case")]
    pub enum MessageKind {
        /// Ordinary speech.
        #[default]
        Text,
        /// `/me`.
        Emote,
        /// From a machine.
        Notice,
    }

    /// What happened to a membership.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum MembershipAction {
        /// Came in.
        Joined,
        /// Went.
        Left,
        /// Was invited.
        Invited,
        /// Asks to come in.
        Knocked,
        /// Was put out.
        Kicked,
        /// Was banned.
        Banned,
        /// The ban was lifted.
        Unbanned,
        /// Has another standing.
        Standing,
        /// Has another nick.
        Nick,
    }

    /// What changed about a room.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum RoomChange {
        /// It came to be.
        Created,
        /// The topic.
        Topic,
        /// The name.
        Name,
        /// The picture.
        Avatar,
        /// Settings.
        Settings,
        /// Its address.
        Renamed,
        /// It is gone.
        Destroyed,
    }
}

ask! {
    /// Something to send.
    pub struct Send {
        /// The client's own id for it, 1 to 64 characters, unique for the device: what is sent again is stored once.
        pub txn: String,
        /// The text.
        #[serde(default)]
        pub text: String,
        /// The text is Markdown.
        #[serde(default)]
        pub markdown: bool,
        /// Of what kind.
        #[serde(default)]
        pub kind: MessageKind,
        /// Ids of uploaded files.
        #[serde(default)]
        pub files: Vec<String>,
        /// What it answers.
        #[serde(default)]
        pub reply_to: Option<String>,
        /// The thread: the id of its first entry.
        #[serde(default)]
        pub thread: Option<String>,
        /// Addresses that the text names.
        #[serde(default)]
        pub mentions: Vec<String>,
        /// The subject.
        #[serde(default)]
        pub subject: Option<String>,
    }

    /// A new wording.
    pub struct EditText {
        /// The client's own id for the edit.
        pub txn: String,
        /// The new text.
        pub text: String,
        /// The text is Markdown.
        #[serde(default)]
        pub markdown: bool,
        /// Addresses that the text names.
        #[serde(default)]
        pub mentions: Vec<String>,
    }

    /// All reactions of the caller to an entry; none takes them back.
    pub struct React {
        /// Each an emoji or short text.
        pub keys: Vec<String>,
    }

    /// Up to where the caller read.
    pub struct ReadUpTo {
        /// The entry.
        pub event: String,
    }

    /// Whether the caller types.
    pub struct TypingNow {
        /// Types.
        pub active: bool,
    }

    /// Which part of a timeline. At most one of `before`, `after`, `around`, `date`.
    pub struct TimelineQuery {
        /// What is older than this entry.
        #[serde(default)]
        pub before: Option<String>,
        /// What is newer than this entry.
        #[serde(default)]
        pub after: Option<String>,
        /// This entry and what lies around it.
        #[serde(default)]
        pub around: Option<String>,
        /// What was said from this time on, in Unix milliseconds.
        #[serde(default)]
        pub date: Option<i64>,
        /// Most entries, up to 200; 50 where nothing is said.
        #[serde(default)]
        pub limit: Option<usize>,
    }

    /// What to search for.
    pub struct SearchQuery {
        /// Words.
        pub q: String,
        /// Only in this conversation.
        #[serde(default)]
        pub conversation: Option<String>,
        /// Only by this address.
        #[serde(default)]
        pub author: Option<String>,
        /// Only what is older than this entry.
        #[serde(default)]
        pub before: Option<String>,
        /// Most entries, up to 100; 30 where nothing is said.
        #[serde(default)]
        pub limit: Option<usize>,
    }

    /// Why something is taken back.
    pub struct ReasonQuery {
        /// In words.
        #[serde(default)]
        pub reason: Option<String>,
    }

    /// How an uploaded file is called.
    pub struct FileQuery {
        /// Its name.
        pub name: String,
    }
}
