//! Members of a conversation: standing, membership, and what they may see.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::ids::{Pos, Seq, Timestamp};

/// How a room ranks a person for good (a MUC affiliation, an IRC access list, a Matrix power level).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[expect(missing_docs, reason = "the names are XEP-0045's")]
pub enum Standing {
    Outcast,
    #[default]
    None,
    Member,
    Admin,
    Owner,
}

/// What a person may do in a room while there (XEP-0045 §5.1; IRC voice and operator).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[expect(missing_docs, reason = "the names are XEP-0045's")]
pub enum Role {
    #[default]
    None,
    Visitor,
    Participant,
    Moderator,
}

/// Where a person stands towards a room. Persistent, unlike occupancy.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[expect(missing_docs, reason = "the names are Matrix's")]
pub enum Membership {
    #[default]
    Left,
    Knocked,
    Invited,
    Joined,
}

/// One row of a room's members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub address: Address,
    /// For good.
    pub standing: Standing,
    /// Here, gone, invited, waiting.
    pub membership: Membership,
    /// The nick in this room: unique among its members, the account name by default.
    pub nick: Option<Arc<str>>,
    /// The exact Matrix power level, where one was given.
    pub level: Option<i64>,
    /// A role for one occupancy that differs from what the standing gives; ends with the occupancy.
    pub role_override: Option<Role>,
    /// The stretches of history during which the person was in the room.
    pub intervals: Vec<Interval>,
    /// Who invited them, while invited.
    pub invited_by: Option<Address>,
    /// Seq of the last change.
    pub changed: Seq,
    /// When they joined last.
    pub since: Timestamp,
    /// Why the standing is what it is, where somebody said so.
    #[serde(default)]
    pub reason: Option<Box<str>>,
}

/// A stretch of history by place: from `from` on, up to but without `to` where that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// First place inside.
    pub from: Pos,
    /// First place behind; `None` while it lasts.
    pub to: Option<Pos>,
}

impl Interval {
    /// All of history.
    pub const ALL: Interval = Interval {
        from: Pos(i64::MIN),
        to: None,
    };

    /// Whether the place lies inside.
    pub fn contains(self, pos: Pos) -> bool {
        self.from <= pos && self.to.is_none_or(|to| pos < to)
    }
}

impl Member {
    /// Someone new.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            standing: Standing::None,
            membership: Membership::Left,
            nick: None,
            level: None,
            role_override: None,
            intervals: Vec::new(),
            invited_by: None,
            changed: Seq(0),
            since: Timestamp(0),
            reason: None,
        }
    }

    /// Whether the person is in the room.
    pub fn is_joined(&self) -> bool {
        self.membership == Membership::Joined
    }

    /// Begins a stretch of visible history at `pos`.
    pub fn enter_history(&mut self, pos: Pos) {
        if self.intervals.last().is_none_or(|i| i.to.is_some()) {
            self.intervals.push(Interval {
                from: pos,
                to: None,
            });
        }
    }

    /// Ends the stretch of visible history; `pos` is the first place no longer seen.
    pub fn leave_history(&mut self, pos: Pos) {
        if let Some(last) = self.intervals.last_mut() {
            last.to.get_or_insert(pos);
        }
    }
}
