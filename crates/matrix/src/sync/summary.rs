//! What a room is called and how many are in it, for clients that don't know all members (client-server API, "Room
//! summary"). Blocking.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use ruma::api::client::sync::sync_events::v3::RoomSummary;
use ruma::events::room::member::MembershipState;
use ruma::{OwnedUserId, UInt, UserId};

use super::room::Window;
use crate::chain::{Direction, Room, State};
use crate::fault::Answer;
use crate::server::Matrix;

/// Most people that a room is called by.
pub const HEROES: usize = 5;

/// Whether something changed between two tokens that a summary tells of.
pub(super) fn changed(room: &Room, window: &Window) -> Answer<bool> {
    const MOST: u64 = 256;
    if window.to - window.from > MOST {
        return Ok(true);
    }
    let links = room.links(window.from + 1..=window.to, Direction::Forward, 256)?;
    Ok(links.iter().any(|link| {
        let kind = link.kind.to_string();
        link.is_state()
            && matches!(
                kind.as_str(),
                "m.room.member" | "m.room.name" | "m.room.canonical_alias"
            )
    }))
}

/// How many are in a room, and how many invited.
pub fn counts(state: &State) -> (u32, u32) {
    let (mut joined, mut invited) = (0, 0);
    for (_, membership, _) in state.members() {
        match membership {
            MembershipState::Join => joined += 1,
            MembershipState::Invite => invited += 1,
            _ => {}
        }
    }
    (joined, invited)
}

/// Whom a room is called by: those in it and invited, else those who left; never the reader, nor who only serves the room.
pub fn heroes(state: &State, me: &UserId) -> Vec<String> {
    let serving: BTreeSet<String> = state
        .content::<Functional>("io.element.functional_members", "")
        .map(|f| f.service_members)
        .unwrap_or_default();
    let people = || {
        let all = state.members();
        all.filter(|(user, ..)| *user != me.as_str() && !serving.contains(*user))
    };
    let mut here: Vec<_> = people()
        .filter(|(_, m, _)| matches!(m, MembershipState::Join | MembershipState::Invite))
        .collect();
    if here.is_empty() {
        here = people()
            .filter(|(_, m, _)| matches!(m, MembershipState::Leave | MembershipState::Ban))
            .collect();
    }
    here.sort_by_key(|(_, membership, link)| {
        (Reverse(*membership == MembershipState::Join), link.ordinal)
    });
    let first = here.into_iter().take(HEROES);
    first.map(|(user, ..)| user.to_owned()).collect()
}

#[derive(serde::Deserialize)]
struct Functional {
    #[serde(default)]
    service_members: BTreeSet<String>,
}

/// The summary at the end of a window, and whom it names.
pub(super) fn of(
    _: &Matrix,
    room: &Room,
    window: &Window,
    me: &UserId,
) -> Answer<(RoomSummary, Vec<String>)> {
    let state = room.state_at(window.to)?;
    let (joined, invited) = counts(&state);
    let mut summary = RoomSummary::new();
    summary.joined_member_count = Some(UInt::from(joined));
    summary.invited_member_count = Some(UInt::from(invited));
    let named = state
        .text("m.room.name", "name")
        .is_some_and(|n| !n.is_empty())
        || state
            .text("m.room.canonical_alias", "alias")
            .is_some_and(|a| !a.is_empty());
    let heroes = if named {
        Vec::new()
    } else {
        heroes(&state, me)
    };
    summary.heroes = heroes
        .iter()
        .filter_map(|user| OwnedUserId::try_from(user.as_str()).ok())
        .collect();
    Ok((summary, heroes))
}
