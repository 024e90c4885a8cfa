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
    fn allows(&self, ordinal: u64) -> bool {
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

    /// Whether the person sees anything that is sent now.
    pub fn sees_now(&self) -> bool {
        self.allows(u64::MAX)
    }
}

fn at<T: Clone>(changes: &[(u64, T)], ordinal: u64) -> Option<T> {
    let earlier = changes.iter().rev().find(|(from, _)| *from <= ordinal);
    earlier.map(|(_, value)| value.clone())
}
