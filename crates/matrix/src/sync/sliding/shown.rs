//! One room of an answer. Blocking.

use std::collections::BTreeSet;
use std::sync::Arc;

use ruma::api::client::filter::RoomEventFilter;
use ruma::api::client::sync::sync_events::v5::response;
use ruma::events::room::member::MembershipState;
use ruma::{JsOption, OwnedMxcUri, OwnedUserId, UInt};

use super::super::gather::Frame;
use super::super::{room as rooms, summary, token};
use super::Wanted;
use super::connections::Known;
use crate::chain::{Link, Place};
use crate::fault::Answer;
use crate::push::unread;
use crate::receipts;

/// A room, or `None` where nothing is new.
pub(super) fn room(
    frame: &Frame<'_>,
    place: &Place,
    wanted: &Wanted,
    told: Option<&Known>,
) -> Answer<Option<response::Room>> {
    let room = &place.room;
    let before =
        told.filter(|known| known.seen >= place.seq || place.membership == MembershipState::Join);
    let mut out = response::Room::new();
    if place.is_over() {
        return over(frame, place, wanted, told);
    }
    if place.membership != MembershipState::Join {
        if before.is_some() {
            return Ok(None);
        }
        out.initial = Some(true);
        out.invite_state = match place.membership {
            // There is no other place for it; the own membership inside tells.
            MembershipState::Knock => Some(rooms::knocked(frame, room)?.knock_state.events),
            _ => rooms::invited(frame, room)?.map(|i| i.invite_state.events),
        };
        return Ok(out.invite_state.is_some().then_some(out));
    }
    let user = &frame.who.user_id;
    let to = room.ordinal_at(frame.now.seq)?;
    let from = before.map_or(Ok(0), |known| room.ordinal_at(known.seen))?;
    let read = frame.has_read(room.name(), room.conversation);
    let more = before.is_some_and(|known| {
        wanted.timeline > known.wanted.timeline
            || wanted.state.iter().any(|s| !known.wanted.state.contains(s))
    });
    if before.is_some() && to <= from && !read && !more {
        return Ok(None);
    }
    let sight = room.sight(user)?.on(frame.who.device.id);
    let new = before.is_none() || sight.membership_at(from) != MembershipState::Join;
    let floor = if new || more { 0 } else { from };
    let all = RoomEventFilter::default();
    let found = rooms::timeline(frame, room, &sight, floor, to, &all, wanted.timeline)?;
    out.timeline = frame.matrix.rooms.render(room, &found.links, &sight)?;
    // Older events than those that it has lie before a gap for a client, else behind what it has.
    out.limited = found.limited || more && !new;
    if new || !found.links.is_empty() {
        out.prev_batch = Some(token::before(frame.matrix, room, found.start)?);
    }
    out.initial = new.then_some(true);
    // What came since the client asked last, and since the account is in.
    let known = match frame.since {
        Some(since) if new => Some(room.ordinal_at(since)?.max(place.since)),
        _ => (!new).then_some(from),
    };
    out.num_live = known.map(|known| live(&found, known));
    let window = rooms::Window { from, to };
    let state = room.state_at(to)?;
    if new || more || summary::changed(room, &window)? {
        let (joined, invited) = summary::counts(&state);
        out.joined_count = Some(joined.into());
        out.invited_count = Some(invited.into());
        out.name = state.text("m.room.name", "name").filter(|n| !n.is_empty());
        if out.name.is_none() {
            let named = summary::heroes(&state, user).into_iter();
            let named = named.filter_map(|id| {
                let member: Option<serde_json::Value> = state.content("m.room.member", &id);
                let text = |field: &str| Some(member.as_ref()?.get(field)?.as_str()?.to_owned());
                let mut hero = response::Hero::new(OwnedUserId::try_from(id.as_str()).ok()?);
                hero.name = text("displayname");
                hero.avatar = text("avatar_url").map(OwnedMxcUri::from);
                Some(hero)
            });
            out.heroes = Some(named.collect());
        }
    }
    let avatar = state.get("m.room.avatar", "");
    if new || avatar.is_some_and(|link| link.ordinal > from) {
        let url = state
            .text("m.room.avatar", "url")
            .filter(|url| !url.is_empty());
        out.avatar = match url {
            Some(url) => JsOption::Some(OwnedMxcUri::from(url)),
            None if new => JsOption::Undefined,
            None => JsOption::Null,
        };
    }
    let senders: BTreeSet<&str> = found.links.iter().map(|l| l.sender.as_str()).collect();
    let links: Vec<Arc<Link>> = state
        .iter()
        .filter(|link| is_wanted(link, wanted, user.as_str(), &senders))
        .filter(|link| {
            let lazy = || {
                let syncing = frame.asked.syncing.as_ref();
                let key = link.state_key.as_deref().unwrap_or_default();
                let since = frame.since.unwrap_or_default();
                link.kind == ruma::events::TimelineEventType::RoomMember
                    && syncing.is_none_or(|syncing| {
                        syncing.tells(room.name(), key, link.ordinal, since, frame.now.seq)
                    })
            };
            new || more || link.ordinal > from || lazy()
        })
        .cloned()
        .collect();
    out.required_state = frame.matrix.rooms.render_state(room, &links)?;
    let own = receipts::own(frame.matrix, frame.who.address(), room)?;
    let reader = unread::Reader {
        account: frame.who.address(),
        user,
        sight: &sight,
        own: &own,
        ignored: &|user| frame.ignores(user),
    };
    let counts = unread::count(frame.matrix, room, &reader, to)?;
    out.unread_notifications = rooms::unread_count(counts.all());
    Ok(Some(out))
}

/// How many events of a timeline came behind `known`.
fn live(found: &rooms::Timeline, known: u64) -> UInt {
    let live = found.links.iter().filter(|link| link.ordinal > known);
    UInt::try_from(live.count()).unwrap_or_default()
}

/// A room that the account is no longer in, or not invited to: how that ended, and what it saw until then; `None` where
/// it knows.
fn over(
    frame: &Frame<'_>,
    place: &Place,
    wanted: &Wanted,
    before: Option<&Known>,
) -> Answer<Option<response::Room>> {
    if before.is_some_and(|known| known.seen >= place.seq) {
        return Ok(None);
    }
    let (room, user) = (&place.room, &frame.who.user_id);
    let mut out = response::Room::new();
    let sight = room.sight(user)?.on(frame.who.device.id);
    let now = room.ordinal_at(frame.now.seq)?;
    let to = sight.left_at().unwrap_or(now).min(now);
    let from = before.map_or(Ok(0), |known| room.ordinal_at(known.seen))?;
    let floor = match sight.membership_at(from) {
        MembershipState::Join => from,
        _ => 0,
    };
    let all = RoomEventFilter::default();
    let found = rooms::timeline(frame, room, &sight, floor, to, &all, wanted.timeline)?;
    out.timeline = frame.matrix.rooms.render(room, &found.links, &sight)?;
    out.limited = found.limited;
    out.prev_batch = Some(token::before(frame.matrix, room, found.start)?);
    out.initial = before.is_none().then_some(true);
    out.num_live = before.is_some().then(|| live(&found, from));
    let was_in = sight.was_joined();
    let senders: BTreeSet<&str> = found.links.iter().map(|l| l.sender.as_str()).collect();
    let state = room.state_at(to)?;
    let told = |link: &&Arc<Link>| {
        let own = link.kind == ruma::events::TimelineEventType::RoomMember
            && link.state_key.as_deref() == Some(user.as_str());
        let wanted = was_in && is_wanted(link, wanted, user.as_str(), &senders);
        own || wanted && link.ordinal > floor
    };
    let links: Vec<Arc<Link>> = state.iter().filter(told).cloned().collect();
    out.required_state = frame.matrix.rooms.render_state(room, &links)?;
    Ok(Some(out))
}

fn is_wanted(link: &Link, wanted: &Wanted, me: &str, senders: &BTreeSet<&str>) -> bool {
    let kind = link.kind.to_string();
    let key = link.state_key.as_deref().unwrap_or_default();
    wanted.state.iter().any(|(t, k)| {
        (t == "*" || *t == kind)
            && match k.as_str() {
                "*" => true,
                "$ME" => key == me,
                "$LAZY" => kind == "m.room.member" && senders.contains(key),
                exact => exact == key,
            }
    })
}
