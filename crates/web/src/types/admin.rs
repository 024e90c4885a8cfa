//! What those who run the node see and change. Nothing here shows what people wrote.

use super::{Person, ReportReason, answer, ask, both};

answer! {
    /// The node at a glance.
    pub struct Overview {
        /// Accounts that are not removed.
        pub accounts: u64,
        /// Of these, disabled ones.
        pub disabled: u64,
        /// Rooms.
        pub rooms: u64,
        /// Sessions now, by protocol.
        pub sessions: std::collections::BTreeMap<String, u64>,
        /// Reports that wait.
        pub reports: u64,
        /// Right and wrong logins since the start.
        pub logins: [u64; 2],
        /// Writes that wait.
        pub pending_writes: u64,
        /// Nobody new comes in just now.
        pub lockdown: bool,
        /// The node's version.
        pub version: String,
    }

    /// An account as an administrator sees it.
    pub struct AccountInfo {
        /// Who.
        pub person: Person,
        /// The name in the address.
        pub name: String,
        /// May administer.
        pub admin: bool,
        /// Can't sign in.
        pub disabled: bool,
        /// A program.
        pub bot: bool,
        /// When it was made.
        pub created: i64,
        /// When a device was seen last, to the hour.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub seen: Option<i64>,
        /// Sessions now.
        pub sessions: u64,
        /// Bytes of files.
        pub file_bytes: u64,
    }

    /// Accounts in order of address.
    pub struct AccountPage {
        /// Them.
        pub accounts: Vec<AccountInfo>,
        /// What to give as `after` for more.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub next: Option<String>,
    }

    /// A passphrase that was made up.
    pub struct MadePassphrase {
        /// The account.
        pub account: AccountInfo,
        /// The passphrase: shown once; absent where it was given.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub passphrase: Option<String>,
    }

    /// A room as an administrator sees it.
    pub struct RoomInfo {
        /// Its address.
        pub address: String,
        /// Its name.
        pub name: String,
        /// How many are in it.
        pub members: usize,
        /// In the directory.
        pub listed: bool,
        /// The scheme it is bound to.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub binding: Option<String>,
        /// When it was made.
        pub created: i64,
        /// When something happened last.
        pub at: i64,
        /// Its owners.
        pub owners: Vec<Person>,
    }

    /// Rooms in order of address.
    pub struct RoomPage {
        /// Them.
        pub rooms: Vec<RoomInfo>,
        /// What to give as `after` for more.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub next: Option<String>,
    }

    /// A live connection.
    pub struct SessionInfo {
        /// Its number.
        pub id: String,
        /// Whose.
        pub account: String,
        /// The protocol.
        pub protocol: String,
        /// What tells it apart.
        pub label: String,
        /// What waits for it.
        pub waiting: usize,
    }

    /// The live connections.
    pub struct Sessions {
        /// At most a thousand.
        pub sessions: Vec<SessionInfo>,
        /// How many there are.
        pub total: u64,
    }

    /// How the disk is used.
    pub struct Storage {
        /// Bytes of the log, its write-ahead log included.
        pub log_bytes: u64,
        /// Bytes of the search index.
        pub search_bytes: u64,
        /// Bytes of files that people uploaded.
        pub file_bytes: u64,
        /// Bytes that are free on that disk, where the system says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub free_bytes: Option<u64>,
        /// The accounts with the most files.
        pub largest: Vec<AccountFiles>,
    }

    /// Files of one account.
    pub struct AccountFiles {
        /// Whose.
        pub account: String,
        /// Bytes.
        pub bytes: u64,
    }

    /// What is well and what is not.
    pub struct Health {
        /// Nothing needs attention.
        pub well: bool,
        /// Each thing that was looked at.
        pub checks: Vec<Check>,
    }

    /// One thing that was looked at.
    pub struct Check {
        /// What.
        pub name: String,
        /// It is as it should be.
        pub well: bool,
        /// In words.
        pub text: String,
    }

    /// One administrative act.
    pub struct AuditEntry {
        /// Its id, for reading on.
        pub id: String,
        /// When.
        pub at: i64,
        /// Who did it: an address, or `command line`.
        pub by: String,
        /// What was done.
        pub act: String,
        /// To whom or what.
        pub subject: String,
        /// Further words.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub detail: Option<String>,
    }

    /// Administrative acts, the latest first.
    pub struct AuditPage {
        /// Them.
        pub entries: Vec<AuditEntry>,
        /// What to give as `after` for older ones.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub next: Option<String>,
    }

    /// A report that someone made.
    pub struct ReportInfo {
        /// Its id.
        pub id: String,
        /// When.
        pub at: i64,
        /// By whom.
        pub by: Person,
        /// About whom.
        pub about: Person,
        /// Why.
        pub reason: ReportReason,
        /// In the reporter's words: a claim, not the node's finding.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub text: Option<String>,
        /// Which entry; its text is not shown.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub event: Option<String>,
        /// The room, where it was said in one.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub room: Option<String>,
        /// The entry was end-to-end encrypted: nobody here can check what it said.
        pub encrypted: bool,
        /// Where it stands.
        pub state: ReportState,
        /// What an administrator noted.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub note: Option<String>,
    }

    /// Reports, the latest first.
    pub struct ReportPage {
        /// Them.
        pub reports: Vec<ReportInfo>,
        /// What to give as `after` for older ones.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub next: Option<String>,
    }
}

both! {
    /// Where a report stands.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum ReportState {
        /// Waits.
        Open,
        /// Something was done.
        Done,
        /// Nothing needed to be done.
        Dismissed,
    }

    /// Whether nobody new comes in: no registration, no invitation, no first contact from outside.
    #[derive(Copy, Eq)]
    pub struct Lockdown {
        /// It is on.
        pub on: bool,
    }
}

ask! {
    /// A new account by an administrator.
    pub struct CreateAccount {
        /// The name in the address.
        pub name: String,
        /// The passphrase; one is made up where none is given.
        #[serde(default)]
        pub passphrase: Option<String>,
        /// May administer.
        #[serde(default)]
        pub admin: bool,
        /// A program.
        #[serde(default)]
        pub bot: bool,
        /// The name that people read.
        #[serde(default)]
        pub display_name: Option<String>,
    }

    /// What shall change about an account; absent stays.
    pub struct AccountChange {
        /// May administer.
        #[serde(default)]
        pub admin: Option<bool>,
        /// Can't sign in.
        #[serde(default)]
        pub disabled: Option<bool>,
        /// A program.
        #[serde(default)]
        pub bot: Option<bool>,
        /// The name that people read; empty takes it away.
        #[serde(default)]
        pub display_name: Option<String>,
    }

    /// Pages of a list.
    pub struct PageQuery {
        /// What `next` said.
        #[serde(default)]
        pub after: Option<String>,
        /// Most, up to 200; 50 where nothing is said.
        #[serde(default)]
        pub limit: Option<usize>,
    }

    /// What becomes of a report.
    pub struct ReportChange {
        /// Where it stands now.
        pub state: ReportState,
        /// A note for other administrators.
        #[serde(default)]
        pub note: Option<String>,
    }
}
