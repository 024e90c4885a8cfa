//! People: whom a client shows, contacts, presence.

use super::{answer, ask, both};

answer! {
    /// Someone, as a client shows them.
    pub struct Person {
        /// The address, in core's form. In a room that hides addresses it is `#room@domain/nick`.
        pub address: String,
        /// The name that people read.
        pub name: String,
        /// The path of the picture.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub avatar: Option<String>,
        /// A program, not a person.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        #[schemars(default)]
        pub bot: bool,
        /// A visitor without an account.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        #[schemars(default)]
        pub guest: bool,
        /// The network; absent for this node.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub network: Option<String>,
    }

    /// What the account holds about someone.
    pub struct Contact {
        /// Who.
        pub person: Person,
        /// On the list that people see.
        pub listed: bool,
        /// The name that the account gave.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub name: Option<String>,
        /// Groups.
        pub groups: Vec<String>,
        /// I see their presence.
        pub sees: bool,
        /// They see mine.
        pub seen: bool,
        /// I asked to see theirs.
        pub asked: bool,
        /// They ask to see mine.
        pub asks: bool,
        /// Nothing of theirs reaches me.
        pub blocked: bool,
        /// The conversation was taken up.
        pub accepted: bool,
        /// How available, where I may see it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub show: Option<Show>,
        /// In words.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub status: Option<String>,
    }

    /// The contacts of the account.
    pub struct ContactList {
        /// All of them, without those who are only blocked.
        pub contacts: Vec<Contact>,
    }

    /// Whom the account blocked.
    pub struct Blocked {
        /// Them.
        pub blocked: Vec<Person>,
    }

    /// One way to someone.
    pub struct Way {
        /// The network; `sammen` is this node.
        pub network: String,
        /// The address there, for starting a conversation.
        pub address: String,
        /// The network saw the person, not only a server that would take messages.
        pub confirmed: bool,
        /// As they would be shown.
        pub person: Person,
    }

    /// What was found for an address that a person typed.
    pub struct Reach {
        /// Every way; empty where there is none.
        pub found: Vec<Way>,
    }

    /// A report was taken.
    pub struct Reported {
        /// Its id.
        pub id: String,
    }
}

both! {
    /// How available someone is.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum Show {
        /// Not at all.
        Offline,
        /// For long.
        Xa,
        /// For now.
        Away,
        /// Do not disturb.
        Busy,
        /// Here.
        Online,
        /// Wants to talk.
        Chatty,
    }

    /// Why someone is reported.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum ReportReason {
        /// Unwanted advertising.
        Spam,
        /// Harm to people.
        Abuse,
        /// Something else: the text says what.
        Other,
    }
}

ask! {
    /// How the account lists someone.
    pub struct ContactChange {
        /// The name given to them; empty or absent for none.
        #[serde(default)]
        pub name: Option<String>,
        /// Groups.
        #[serde(default)]
        pub groups: Vec<String>,
    }

    /// A report to those who run the node.
    pub struct Report {
        /// Who is reported.
        pub address: String,
        /// What they said.
        #[serde(default)]
        pub event: Option<String>,
        /// Where.
        #[serde(default)]
        pub conversation: Option<String>,
        /// Why.
        pub reason: ReportReason,
        /// In words.
        #[serde(default)]
        pub text: Option<String>,
    }

    /// What a person typed to find someone.
    pub struct ReachQuery {
        /// An address of any network, or the name of an account here.
        pub address: String,
    }
}
