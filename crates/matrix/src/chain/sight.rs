//! Who sees which events (client-server API, "Room History Visibility").

use ruma::OwnedUserId;
use ruma::events::TimelineEventType;
use ruma::events::room::history_visibility::HistoryVisibility;
use ruma::events::room::member::MembershipState;
use sammen_core::DeviceId;

use super::link::Link;

/// What one person sees of a room.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Who looks.
    pub user: OwnedUserId,
    /// From which device, which alone is told its transaction ids.
    pub device: Option<DeviceId>,
    /// From which ordinal on the room had which visibility, in order.
    visibility: Vec<(u64, HistoryVisibility)>,
    /// From which ordinal on the person stood how, in order.
    membership: Vec<(u64, MembershipState)>,
}

impl Sight {
    /// From what changed when: ordinals ascending.
    pub fn new(
        user: OwnedUserId,
        visibility: Vec<(u64, HistoryVisibility)>,
        membership: Vec<(u64, MembershipState)>,
    ) -> Self {
        Self {
            user,
            device: None,
            visibility,
            membership,
        }
    }

    /// As seen from a device.
    #[must_use]
    pub fn on(mut self, device: DeviceId) -> Self {
        self.device = Some(device);
        self
    }

    /// Where the person stands now.
    pub fn membership(&self) -> MembershipState {
        self.membership_at(u64::MAX)
    }

    /// Where the person stood right after an event.
    pub fn membership_at(&self, ordinal: u64) -> MembershipState {
        at(&self.membership, ordinal).unwrap_or(MembershipState::Leave)
    }

    /// Whether the person sees an event.
    pub fn sees(&self, link: &Link) -> bool {
        if self.allows(link.ordinal) {
            return true;
        }
        // What changes the visibility, and one's own membership, is seen by who may see what is before or behind it.
        let key = link.state_key.as_deref();
        let changes = match &link.kind {
            TimelineEventType::RoomMember => key == Some(self.user.as_str()),
            TimelineEventType::RoomHistoryVisibility => key == Some(""),
            _ => false,
        };
        changes && self.allows(link.ordinal.saturating_sub(1))
    }

    /// By the state right after `ordinal`.
    pub(super) fn allows(&self, ordinal: u64) -> bool {
        // Without an event it is shared.
        let visibility = at(&self.visibility, ordinal).unwrap_or(HistoryVisibility::Shared);
        let membership = self.membership_at(ordinal);
        match visibility {
            HistoryVisibility::WorldReadable => true,
            _ if membership == MembershipState::Join => true,
            HistoryVisibility::Shared => self.joined_after(ordinal),
            HistoryVisibility::Invited => membership == MembershipState::Invite,
            _ => false,
        }
    }

    /// Where the person, who was in once, ceased to be: that ordinal.
    pub fn left(&self) -> Option<u64> {
        let joined =
            |(_, membership): &&(u64, MembershipState)| *membership == MembershipState::Join;
        let last = self.membership.iter().rposition(|change| joined(&change))?;
        let next = self.membership.get(last + 1);
        Some(next.map_or(u64::MAX, |(ordinal, _)| *ordinal))
    }

    fn joined_after(&self, ordinal: u64) -> bool {
        let joins = self.membership.iter().rev();
        joins
            .take_while(|(from, _)| *from > ordinal)
            .any(|(_, membership)| *membership == MembershipState::Join)
    }

    /// Where the person left last or was put out, for who is not in the room.
    pub fn left_at(&self) -> Option<u64> {
        let (at, membership) = self.membership.last()?;
        let out = matches!(membership, MembershipState::Leave | MembershipState::Ban);
        out.then_some(*at)
    }

    /// Whether the person never had to do with the room.
    pub fn is_stranger(&self) -> bool {
        self.membership.is_empty()
    }

    /// Whether the person was ever in the room.
    pub fn was_joined(&self) -> bool {
        let mut all = self.membership.iter();
        all.any(|(_, membership)| *membership == MembershipState::Join)
    }

    /// Whether the person sees anything that is sent now.
    pub fn sees_now(&self) -> bool {
        self.allows(u64::MAX)
    }
}

fn at<T: Clone>(changes: &[(u64, T)], ordinal: u64) -> Option<T> {
    let earlier = changes.iter().rev().find(|(from, _)| *from <= ordinal);
    earlier.map(|(_, value)| value.clone())
}

#[cfg(test)]
mod tests {
    use ruma::events::TimelineEventType as Type;
    use ruma::{EventId, UserId};
    use sammen_core::{Seq, Timestamp};

    use super::super::link::{Link, Relates};
    use super::*;

    fn link(ordinal: u64, kind: Type, key: Option<&str>) -> Link {
        Link {
            ordinal,
            seq: Seq(ordinal),
            id: EventId::parse("$0").unwrap(),
            kind,
            state_key: key.map(str::to_owned),
            sender: UserId::parse("@bob:example.org").unwrap(),
            at: Timestamp(0),
            depth: ordinal,
            prev: Vec::new(),
            auth: Vec::new(),
            hash: String::new(),
            signature: Default::default(),
            content: None,
            core: None,
            relates: Relates::default(),
            replaces: None,
            transaction: None,
            read: Seq(0),
            past: None,
            waiting: Vec::new(),
        }
    }

    /// Every visibility × where the person stood when it was said × whether they joined later.
    #[test]
    fn history_is_seen_as_the_specification_says() {
        use HistoryVisibility as V;
        use MembershipState as M;
        let who = UserId::parse("@alice:example.org").unwrap();
        let visibilities = [V::WorldReadable, V::Shared, V::Invited, V::Joined];
        let stood = [M::Leave, M::Invite, M::Join, M::Ban, M::Knock];
        let later = [
            None,
            Some(M::Join),
            Some(M::Leave),
            Some(M::Invite),
            Some(M::Ban),
        ];
        for visibility in &visibilities {
            for then in &stood {
                for after in &later {
                    let mut membership = vec![(2, then.clone())];
                    membership.extend(after.clone().map(|after| (9, after)));
                    let sight = Sight::new(who.clone(), vec![(1, visibility.clone())], membership);
                    let sees = sight.sees(&link(5, Type::RoomMessage, None));
                    let may = match (visibility, then, after) {
                        (V::WorldReadable, ..) | (_, M::Join, _) => true,
                        (V::Shared, _, after) => *after == Some(M::Join),
                        (V::Invited, then, _) => *then == M::Invite,
                        _ => false,
                    };
                    assert_eq!(sees, may, "{visibility} {then} {after:?}");
                }
            }
        }
        // Without an event it is shared.
        let sight = Sight::new(who.clone(), Vec::new(), vec![(9, M::Join)]);
        assert!(sight.sees(&link(5, Type::RoomMessage, None)));
        // One's own leaving, and the event that closes the history, are seen by who might see what was before.
        let closed = vec![(1, V::Shared), (6, V::Joined)];
        let sight = Sight::new(
            who.clone(),
            closed,
            vec![(2, M::Join), (5, M::Leave), (9, M::Join)],
        );
        assert!(sight.sees(&link(5, Type::RoomMember, Some(who.as_str()))));
        assert!(!sight.sees(&link(7, Type::RoomMember, Some("@bob:example.org"))));
        assert!(sight.sees(&link(6, Type::RoomHistoryVisibility, Some(""))));
        assert!(!sight.sees(&link(7, Type::RoomMessage, None)));
        assert_eq!(sight.left(), Some(u64::MAX));
    }
}
