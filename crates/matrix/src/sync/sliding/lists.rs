//! Which rooms a list has, in which order. Blocking.

use ruma::UInt;
use ruma::api::client::sync::sync_events::v5::request::ListFilters;
use ruma::directory::RoomTypeFilter;
use ruma::events::room::member::MembershipState;
use sammen_core::Seq;
use serde_json::Value;

use super::super::gather::Frame;
use crate::chain::{Direction, Place, Room};
use crate::fault::Answer;

/// How far back is looked for something that moves a room up.
const BACK: usize = 32;

/// A room of a list.
pub struct Entry {
    /// Where the account stands.
    pub place: Place,
    /// When something was said last.
    pub bump: Seq,
    /// A direct conversation.
    pub is_dm: bool,
    encrypted: bool,
    invited: bool,
    kind: Option<String>,
}

/// MSC4186: what moves a room up.
fn bumps(kind: &str) -> bool {
    matches!(
        kind,
        "m.room.create"
            | "m.room.message"
            | "m.room.encrypted"
            | "m.sticker"
            | "m.call.invite"
            | "m.poll.start"
            | "m.beacon_info"
    )
}

fn bump(room: &Room) -> Answer<Seq> {
    let head = room.head();
    let links = room.links(1..=head.ordinal, Direction::Back, BACK)?;
    let last = links.iter().find(|link| bumps(&link.kind.to_string()));
    Ok(last.or(links.last()).map_or(head.seq, |link| link.seq))
}

/// Whether others ended it: who did so themselves knows.
fn was_put_out(frame: &Frame<'_>, place: &Place) -> Answer<bool> {
    let (state, user) = (place.room.state(), &frame.who.user_id);
    let own = state.get("m.room.member", user.as_str());
    if own.is_none_or(|own| own.sender == *user) {
        return Ok(false);
    }
    Ok(place.room.sight(user)?.was_joined())
}

/// All rooms that can be in a list, the one where something was said last first.
pub(super) fn entries(frame: &Frame<'_>, places: &[Place]) -> Answer<Vec<Entry>> {
    let mut entries = Vec::with_capacity(places.len());
    for place in places.iter().filter(|p| p.seq <= frame.now.seq) {
        let invited = place.membership == MembershipState::Invite;
        let joined = place.membership == MembershipState::Join;
        let knocks = place.membership == MembershipState::Knock;
        if !invited && !joined && !knocks && !was_put_out(frame, place)? {
            continue;
        }
        let head = place.room.head();
        let create: Option<Value> = head.state.content("m.room.create", "");
        let kind = create.and_then(|c| c.get("type")?.as_str().map(str::to_owned));
        let convo = frame.matrix.node.convo(place.room.conversation)?;
        entries.push(Entry {
            bump: if joined {
                bump(&place.room)?
            } else {
                place.seq
            },
            is_dm: convo.is_some_and(|c| !c.is_room()),
            encrypted: head.state.get("m.room.encryption", "").is_some(),
            invited,
            kind,
            place: place.clone(),
        });
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.bump));
    Ok(entries)
}

/// Those that pass the filters.
pub fn matching<'a>(entries: &'a [Entry], filters: Option<&ListFilters>) -> Vec<&'a Entry> {
    let is_kind = |filter: &RoomTypeFilter, kind: &Option<String>| match filter {
        RoomTypeFilter::Default => kind.is_none(),
        other => kind.as_deref() == Some(other.as_str().unwrap_or_default()),
    };
    let passes = |entry: &&Entry| {
        let Some(filters) = filters else { return true };
        filters.is_dm.is_none_or(|yes| yes == entry.is_dm)
            && filters
                .is_encrypted
                .is_none_or(|yes| yes == entry.encrypted)
            && filters.is_invite.is_none_or(|yes| yes == entry.invited)
            && (filters.room_types.is_empty()
                || filters.room_types.iter().any(|t| is_kind(t, &entry.kind)))
            && !filters
                .not_room_types
                .iter()
                .any(|t| is_kind(t, &entry.kind))
    };
    entries.iter().filter(passes).collect()
}

/// Those inside the ranges, whose ends are inside, too.
pub fn windows<'a>(matching: &[&'a Entry], ranges: &[(UInt, UInt)]) -> Vec<&'a Entry> {
    let place = |n: UInt| usize::try_from(n).unwrap_or(usize::MAX);
    let inside = |at: usize| {
        ranges
            .iter()
            .any(|(a, b)| place(*a) <= at && at <= place(*b))
    };
    let all = matching.iter().enumerate();
    all.filter(|(at, _)| inside(*at))
        .map(|(_, entry)| *entry)
        .collect()
}
