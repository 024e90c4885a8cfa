//! A conversation with its members, as one snapshot that many can read.

use std::collections::HashMap;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization as _;

use crate::address::Address;
use crate::conversation::{Conversation, Home, Visibility};
use crate::ids::{ConversationId, Pos, Seq};
use crate::member::{Interval, Member, Membership, Role, Standing};

/// A conversation with its members. Never changed: the writer publishes a new one.
#[derive(Clone, Debug)]
pub struct Convo {
    /// The conversation.
    pub conversation: Arc<Conversation>,
    /// Its members by address (empty for direct conversations).
    pub members: HashMap<Address, Arc<Member>>,
    /// Nicks of joined members, folded, to their address.
    pub nicks: HashMap<String, Address>,
    /// Seq of the last change of any member's row; rows that were deleted don't count.
    pub members_changed: Seq,
}

/// How two nicks are compared (RFC 8266 §2.4): letters without their case, compatible forms as one, spaces as one and none
/// at the ends. What is not its own normal form after one round gets another (§7, erratum 5439).
pub fn fold_nick(nick: &str) -> String {
    let round = |nick: &str| -> String {
        let words: Vec<&str> = nick.split_whitespace().collect();
        let lower = words.join(" ").to_lowercase();
        if lower.is_ascii() {
            lower
        } else {
            lower.nfkc().collect()
        }
    };
    let mut folded = round(nick);
    if !folded.is_ascii() {
        for _ in 0..3 {
            folded = round(&folded);
        }
    }
    folded
}

impl Convo {
    /// Puts a conversation and its members together.
    pub fn new(conversation: Conversation, members: Vec<Member>) -> Self {
        let mut convo = Self {
            conversation: Arc::new(conversation),
            members: HashMap::new(),
            nicks: HashMap::new(),
            members_changed: Seq(0),
        };
        for member in members {
            convo.put(Arc::new(member));
        }
        convo
    }

    /// Inserts or replaces a member.
    pub fn put(&mut self, member: Arc<Member>) {
        self.drop_nick(&member.address.clone());
        if let (Membership::Joined, Some(nick)) = (member.membership, &member.nick) {
            self.nicks.insert(fold_nick(nick), member.address.clone());
        }
        self.members_changed = self.members_changed.max(member.changed);
        self.members.insert(member.address.clone(), member);
    }

    /// Removes a member's row.
    pub fn remove(&mut self, address: &Address) {
        self.drop_nick(address);
        self.members.remove(address);
    }

    fn drop_nick(&mut self, address: &Address) {
        if let Some(nick) = self.members.get(address).and_then(|m| m.nick.as_deref()) {
            let folded = fold_nick(nick);
            if self.nicks.get(&folded) == Some(address) {
                self.nicks.remove(&folded);
            }
        }
    }

    /// Its number.
    pub fn id(&self) -> ConversationId {
        self.conversation.id
    }

    /// Whether it is a room.
    pub fn is_room(&self) -> bool {
        self.conversation.room().is_some()
    }

    /// Whether this node rules it.
    pub fn is_ours(&self) -> bool {
        self.conversation.home == Home::Node
    }

    /// A member's row.
    pub fn member(&self, address: &Address) -> Option<&Arc<Member>> {
        self.members.get(address)
    }

    /// Whether the address is in the room, or one of the pair.
    pub fn has(&self, address: &Address) -> bool {
        match self.conversation.pair() {
            Some((a, b)) => a == address || b == address,
            None => self.members.get(address).is_some_and(|m| m.is_joined()),
        }
    }

    /// The standing of an address.
    pub fn standing(&self, address: &Address) -> Standing {
        self.members
            .get(address)
            .map_or(Standing::None, |m| m.standing)
    }

    /// The role that an address has while in the room (XEP-0045 §5.1.2, table of initial roles).
    pub fn role(&self, address: &Address) -> Role {
        let Some(member) = self.members.get(address) else {
            return Role::None;
        };
        if !member.is_joined() {
            return Role::None;
        }
        member
            .role_override
            .unwrap_or_else(|| self.default_role(member.standing))
    }

    /// The role that a standing gives.
    pub fn default_role(&self, standing: Standing) -> Role {
        match standing {
            Standing::Outcast => Role::None,
            Standing::None if self.conversation.settings.moderated => Role::Visitor,
            Standing::None | Standing::Member => Role::Participant,
            Standing::Admin | Standing::Owner => Role::Moderator,
        }
    }

    /// Who is in the room.
    pub fn joined(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.values().filter(|m| m.is_joined())
    }

    /// The joined member with this nick.
    pub fn by_nick(&self, nick: &str) -> Option<&Arc<Member>> {
        self.nicks
            .get(&fold_nick(nick))
            .and_then(|a| self.members.get(a))
    }

    /// The stretches of history that an address may see.
    pub fn visible_to(&self, address: &Address) -> Vec<Interval> {
        if let Some((a, b)) = self.conversation.pair() {
            return if a == address || b == address {
                vec![Interval::ALL]
            } else {
                Vec::new()
            };
        }
        let member = self.members.get(address);
        if member.is_some_and(|m| m.standing == Standing::Outcast) {
            return Vec::new();
        }
        let own = member.map(|m| m.intervals.clone()).unwrap_or_default();
        let open = Interval {
            from: self.conversation.open_from,
            to: None,
        };
        match (self.conversation.settings.visibility, member) {
            (Visibility::World, _) => join(own, open),
            (Visibility::Shared, Some(m)) if m.is_joined() => join(own, open),
            (Visibility::Shared, Some(m)) => match m.intervals.last().and_then(|i| i.to) {
                Some(to) if to > open.from => join(
                    own,
                    Interval {
                        from: open.from,
                        to: Some(to),
                    },
                ),
                _ => own,
            },
            _ => own,
        }
    }

    /// Whether an address may see the place.
    pub fn sees(&self, address: &Address, pos: Pos) -> bool {
        self.visible_to(address).iter().any(|i| i.contains(pos))
    }
}

/// Adds a stretch to others, so that the result is in order and nothing overlaps.
fn join(mut stretches: Vec<Interval>, more: Interval) -> Vec<Interval> {
    stretches.push(more);
    stretches.sort_by_key(|i| i.from);
    let mut out: Vec<Interval> = Vec::with_capacity(stretches.len());
    for next in stretches {
        match out.last_mut() {
            Some(last) if last.to.is_none_or(|to| next.from <= to) => {
                last.to = match (last.to, next.to) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    _ => None,
                };
            }
            _ => out.push(next),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicks_that_look_alike_are_one() {
        // RFC 8266 §3, table 2 and 3.
        for (one, other) in [
            ("Foo", "foo"),
            ("Foo Bar", " foo   bar "),
            ("\u{3A3}", "\u{3C3}"),
            ("Richard \u{2163}", "richard iv"),
            ("\u{FF22}ob", "bob"),
            ("A\u{30A}sa", "\u{E5}sa"),
        ] {
            assert_eq!(fold_nick(one), fold_nick(other));
        }
        assert_ne!(fold_nick("\u{3C2}"), fold_nick("\u{3C3}"));
    }

    #[test]
    fn stretches_join() {
        let i = |a, b: Option<i64>| Interval {
            from: Pos(a),
            to: b.map(Pos),
        };
        assert_eq!(
            join(vec![i(0, Some(5)), i(8, Some(9))], i(4, Some(8))),
            vec![i(0, Some(9))]
        );
        assert_eq!(
            join(vec![i(0, Some(5))], i(7, None)),
            vec![i(0, Some(5)), i(7, None)]
        );
        assert_eq!(
            join(vec![i(3, Some(5))], Interval::ALL),
            vec![Interval::ALL]
        );
    }
}
