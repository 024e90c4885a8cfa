//! XEP-0045 §5 and §15.6: core's standings and roles under the names of the standard, and its status codes.

use sammen_core::member::{Role, Standing};

/// The affiliation that a standing is (§5.2).
pub const fn affiliation(standing: Standing) -> &'static str {
    match standing {
        Standing::Outcast => "outcast",
        Standing::None => "none",
        Standing::Member => "member",
        Standing::Admin => "admin",
        Standing::Owner => "owner",
    }
}

/// The standing that an affiliation is.
pub fn standing(affiliation: &str) -> Option<Standing> {
    Some(match affiliation {
        "outcast" => Standing::Outcast,
        "none" => Standing::None,
        "member" => Standing::Member,
        "admin" => Standing::Admin,
        "owner" => Standing::Owner,
        _ => return None,
    })
}

/// The name of a role (§5.1).
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::None => "none",
        Role::Visitor => "visitor",
        Role::Participant => "participant",
        Role::Moderator => "moderator",
    }
}

/// The role of a name.
pub fn role_named(name: &str) -> Option<Role> {
    Some(match name {
        "none" => Role::None,
        "visitor" => Role::Visitor,
        "participant" => Role::Participant,
        "moderator" => Role::Moderator,
        _ => return None,
    })
}

/// Status codes (§15.6.2).
pub mod status {
    /// Everyone in the room sees the joiner's address.
    pub const NON_ANONYMOUS: u16 = 100;
    /// The standing of someone who is not in the room changed.
    pub const STANDING_CHANGED: u16 = 101;
    /// A setting changed that has nothing to do with privacy.
    pub const CONFIGURED: u16 = 104;
    /// This presence is the receiver's own.
    pub const SELF: u16 = 110;
    /// Everyone may read what is said here.
    pub const LOGGED: u16 = 170;
    /// No longer so.
    pub const NOT_LOGGED: u16 = 171;
    /// The room shows addresses to everyone now.
    pub const NOW_NON_ANONYMOUS: u16 = 172;
    /// The room shows addresses to moderators alone now.
    pub const NOW_SEMI_ANONYMOUS: u16 = 173;
    /// The room was made just now.
    pub const CREATED: u16 = 201;
    /// The room gave another nick than was asked for.
    pub const NICK_GIVEN: u16 = 210;
    /// Banned.
    pub const BANNED: u16 = 301;
    /// Has a new nick.
    pub const NICK_CHANGED: u16 = 303;
    /// Kicked.
    pub const KICKED: u16 = 307;
    /// Removed because the standing was taken.
    pub const STANDING_LOST: u16 = 321;
    /// Removed because the room became members-only.
    pub const MEMBERS_ONLY: u16 = 322;
    /// Removed because the node shuts down.
    pub const SHUTDOWN: u16 = 332;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_there_and_back() {
        for s in [
            Standing::Outcast,
            Standing::None,
            Standing::Member,
            Standing::Admin,
            Standing::Owner,
        ] {
            assert_eq!(standing(affiliation(s)), Some(s));
        }
        for r in [
            Role::None,
            Role::Visitor,
            Role::Participant,
            Role::Moderator,
        ] {
            assert_eq!(role_named(role(r)), Some(r));
        }
        assert_eq!((standing("king"), role_named("king")), (None, None));
    }
}
