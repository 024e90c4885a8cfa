//! Rooms: settings, members, the directory, webhooks, invitations.

use super::{Membership, Person, Show, answer, ask, both};

both! {
    /// How a room ranks a person for good.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum Standing {
        /// Banned.
        Outcast,
        /// No rank.
        None,
        /// Belongs to it.
        Member,
        /// Keeps order.
        Admin,
        /// Owns it.
        Owner,
    }

    /// What a person may do in a room while there.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum Role {
        /// Not there.
        None,
        /// Listens.
        Visitor,
        /// Speaks.
        Participant,
        /// Keeps order.
        Moderator,
    }

    /// Who may come in.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum JoinRule {
        /// Everyone.
        Open,
        /// Members and invited people.
        Members,
        /// As members; others may ask.
        Knock,
    }

    /// Who may read what was said before.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum Visibility {
        /// Only while in the room.
        Joined,
        /// Members read all of it.
        Shared,
        /// Everyone.
        World,
    }
}

answer! {
    /// The settings of a room.
    pub struct RoomSettings {
        /// The name that people read.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub name: Option<String>,
        /// The topic.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub topic: Option<String>,
        /// A longer description.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub description: Option<String>,
        /// Who may come in.
        pub join_rule: JoinRule,
        /// Who may read what was said before.
        pub visibility: Visibility,
        /// In the directory.
        pub listed: bool,
        /// Only those with voice speak.
        pub moderated: bool,
        /// Stays when the last member leaves.
        pub persistent: bool,
        /// The password to come in; shown to owners.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub password: Option<String>,
        /// Everyone in the room may set the topic.
        pub topic_open: bool,
        /// Members may invite.
        pub invites_open: bool,
        /// Real addresses are shown to everyone in the room.
        pub addresses_open: bool,
        /// Most people; 0 is without a limit of its own.
        pub max_members: u32,
        /// The scheme it is bound to; absent is for every app.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub binding: Option<String>,
        /// Days that entries stay; absent as the node says.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub retention_days: Option<u32>,
        /// Language, as BCP 47.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub language: Option<String>,
    }

    /// A member of a room.
    pub struct Member {
        /// Who.
        pub person: Person,
        /// The nick in the room.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub nick: Option<String>,
        /// For good.
        pub standing: Standing,
        /// For now.
        pub role: Role,
        /// In it, invited, asking.
        pub membership: Membership,
        /// A session of theirs is in the room now.
        pub present: bool,
        /// What they show.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub show: Option<Show>,
        /// Who invited them.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub invited_by: Option<String>,
    }

    /// Members of a room, in order of address.
    pub struct MemberPage {
        /// Them.
        pub members: Vec<Member>,
        /// What to give as `after` for more.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub next: Option<String>,
    }

    /// A room of the directory.
    pub struct RoomListed {
        /// Its address.
        pub address: String,
        /// Its name.
        pub name: String,
        /// Its topic.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub topic: Option<String>,
        /// How many are in it.
        pub members: usize,
        /// The caller is in it.
        pub joined: bool,
        /// The scheme it is bound to.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub binding: Option<String>,
    }

    /// Rooms of the directory.
    pub struct Directory {
        /// Them, in order of address.
        pub rooms: Vec<RoomListed>,
        /// What to give as `after` for more.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub next: Option<String>,
    }

    /// An incoming webhook.
    pub struct Hook {
        /// Its id.
        pub id: String,
        /// What its posts are signed with.
        pub name: String,
        /// When it was made.
        pub created: i64,
    }

    /// The webhooks of a room.
    pub struct Hooks {
        /// Them.
        pub hooks: Vec<Hook>,
    }

    /// A new webhook.
    pub struct NewHook {
        /// What is kept.
        pub hook: Hook,
        /// Where to post: shown once.
        pub url: String,
    }
}

ask! {
    /// A new room.
    pub struct CreateRoom {
        /// The first part of its address.
        pub name: String,
        /// The name that people read.
        #[serde(default)]
        pub title: Option<String>,
        /// A longer description.
        #[serde(default)]
        pub description: Option<String>,
        /// The one question: `every-app`, which this node can read, or the scheme of one family of apps, such as `OMEMO`.
        pub binding: String,
        /// In the directory.
        #[serde(default)]
        pub listed: bool,
        /// Who may come in.
        #[serde(default)]
        pub join_rule: Option<JoinRule>,
        /// The nick to have there.
        #[serde(default)]
        pub nick: Option<String>,
    }

    /// A room to come into.
    pub struct JoinRoom {
        /// Its address, with or without `#` and domain.
        pub address: String,
        /// The nick to have there.
        #[serde(default)]
        pub nick: Option<String>,
        /// Its password.
        #[serde(default)]
        pub password: Option<String>,
    }

    /// What shall change; absent stays, empty texts take away.
    pub struct RoomSettingsChange {
        /// The name that people read.
        #[serde(default)]
        pub name: Option<String>,
        /// The topic.
        #[serde(default)]
        pub topic: Option<String>,
        /// A longer description.
        #[serde(default)]
        pub description: Option<String>,
        /// Who may come in.
        #[serde(default)]
        pub join_rule: Option<JoinRule>,
        /// Who may read what was said before.
        #[serde(default)]
        pub visibility: Option<Visibility>,
        /// In the directory.
        #[serde(default)]
        pub listed: Option<bool>,
        /// Only those with voice speak.
        #[serde(default)]
        pub moderated: Option<bool>,
        /// Stays when the last member leaves.
        #[serde(default)]
        pub persistent: Option<bool>,
        /// The password to come in.
        #[serde(default)]
        pub password: Option<String>,
        /// Everyone in the room may set the topic.
        #[serde(default)]
        pub topic_open: Option<bool>,
        /// Members may invite.
        #[serde(default)]
        pub invites_open: Option<bool>,
        /// Most people; 0 is without a limit of its own.
        #[serde(default)]
        pub max_members: Option<u32>,
        /// Days that entries stay; 0 as the node says.
        #[serde(default)]
        pub retention_days: Option<u32>,
        /// Language.
        #[serde(default)]
        pub language: Option<String>,
    }

    /// A nick.
    pub struct NickChange {
        /// The new one.
        pub nick: String,
    }

    /// An invitation into a room.
    pub struct InviteWish {
        /// Whom.
        pub address: String,
        /// Why.
        #[serde(default)]
        pub reason: Option<String>,
    }

    /// A standing for someone.
    pub struct StandingChange {
        /// Which; `outcast` bans.
        pub standing: Standing,
        /// Why.
        #[serde(default)]
        pub reason: Option<String>,
    }

    /// A role for someone.
    pub struct RoleChange {
        /// Which; `none` kicks.
        pub role: Role,
        /// Why.
        #[serde(default)]
        pub reason: Option<String>,
    }

    /// Which members.
    pub struct MemberQuery {
        /// What `next` said.
        #[serde(default)]
        pub after: Option<String>,
        /// Most, up to 500; 100 where nothing is said.
        #[serde(default)]
        pub limit: Option<usize>,
    }

    /// Which rooms.
    pub struct DirectoryQuery {
        /// A part of name, topic or address.
        #[serde(default)]
        pub q: Option<String>,
        /// What `next` said.
        #[serde(default)]
        pub after: Option<String>,
        /// Most, up to 200; 50 where nothing is said.
        #[serde(default)]
        pub limit: Option<usize>,
    }

    /// A wish for a webhook.
    pub struct HookWish {
        /// What its posts are signed with.
        pub name: String,
    }
}
