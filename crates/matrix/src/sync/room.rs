//! One room in an answer of `/sync`. Blocking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ruma::api::client::filter::RoomEventFilter;
use ruma::api::client::sync::sync_events::UnreadNotificationsCount;
use ruma::api::client::sync::sync_events::v3;
use ruma::events::room::member::MembershipState;
use ruma::events::{AnySyncEphemeralRoomEvent, AnySyncStateEvent};
use ruma::serde::Raw;
use sammen_core::Seq;
use serde_json::json;

use super::gather::{Frame, raw};
use super::{narrow, summary};
use crate::chain::{Direction, Link, Room, Sight, State};
use crate::fault::Answer;
use crate::push::unread::{self, Count, Counts};
use crate::receipts;

/// Events of a timeline where the filter names no number, and most of them.
const TIMELINE: usize = 20;
const TIMELINE_MOST: usize = 500;
/// Links that are looked through for a timeline that a filter makes short.
const SCANNED: usize = 2_000;
/// Up to so many links between two tokens are read for what state they changed; beyond, the whole state is looked through.
const WINDOW: u64 = 512;

/// Where the account stood at the token that is given out.
pub(super) fn membership_at(frame: &Frame<'_>, room: &Arc<Room>) -> Answer<MembershipState> {
    let to = room.ordinal_at(frame.now.seq)?;
    Ok(room.sight(&frame.who.user_id)?.membership_at(to))
}

/// The part of a chain that an answer tells of.
pub(super) struct Window {
    /// What the client knows.
    pub from: u64,
    /// Up to where it is told.
    pub to: u64,
}

/// Some of the newest events.
pub(super) struct Timeline {
    pub links: Vec<Arc<Link>>,
    /// There is more before them.
    pub limited: bool,
    /// The first ordinal that is not before them.
    pub start: u64,
    /// State from there on that the filter keeps out of the timeline: the newest first.
    pub hidden: Vec<Arc<Link>>,
}

/// The newest events behind `floor` that the reader sees and the filter lets through.
pub(super) fn timeline(
    frame: &Frame<'_>,
    room: &Room,
    sight: &Sight,
    floor: u64,
    to: u64,
    filter: &RoomEventFilter,
    limit: usize,
) -> Answer<Timeline> {
    let mut found: Vec<Arc<Link>> = Vec::new();
    let mut cursor = to;
    let mut scanned = 0;
    let wanted = narrow::part_wants_room(filter, &room.id);
    let mut limited = false;
    let mut hidden = Vec::new();
    'pages: while wanted && cursor > floor && scanned < SCANNED {
        let page = room.links(
            floor + 1..=cursor,
            Direction::Back,
            (limit + 1).clamp(8, 128),
        )?;
        let Some(last) = page.last() else { break };
        cursor = last.ordinal.saturating_sub(1);
        scanned += page.len();
        for link in page {
            let kind = link.kind.to_string();
            if !sight.sees(&link) || !link.is_state() && frame.ignores(link.sender.as_str()) {
                continue;
            }
            let passes = narrow::event_passes(filter, &kind, Some(link.sender.as_str()));
            if !passes || !url_passes(frame, filter, &link)? {
                if link.is_state() {
                    hidden.push(link);
                }
                continue;
            }
            if found.len() >= limit {
                limited = true;
                break 'pages;
            }
            found.push(link);
        }
    }
    limited |= wanted && cursor > floor && scanned >= SCANNED;
    found.reverse();
    let start = match (limited, found.first()) {
        (true, Some(first)) => first.ordinal,
        (true, None) => to + 1,
        (false, _) if wanted => floor + 1,
        (false, _) => to + 1,
    };
    Ok(Timeline {
        links: found,
        limited,
        start,
        hidden,
    })
}

fn url_passes(frame: &Frame<'_>, filter: &RoomEventFilter, link: &Link) -> Answer<bool> {
    if !narrow::asks_url(filter) {
        return Ok(true);
    }
    let content = frame.matrix.rooms.content(link)?;
    let url = content.is_some_and(|content| content.get("url").is_some());
    Ok(narrow::url_fits(filter, url))
}

/// State between two places: the newest of each kind that changed behind `from` up to `at`.
fn changed_state(room: &Room, from: u64, at: u64) -> Answer<Vec<Arc<Link>>> {
    if at <= from {
        return Ok(Vec::new());
    }
    if at - from > WINDOW {
        let state = room.state_at(at)?;
        let newer = state.iter().filter(|link| link.ordinal > from);
        return Ok(newer.cloned().collect());
    }
    let most = usize::try_from(WINDOW).unwrap_or(usize::MAX);
    let links = room.links(from + 1..=at, Direction::Forward, most)?;
    let mut newest = BTreeMap::new();
    for link in links {
        if let Some(key) = link.state_key.clone() {
            newest.insert((link.kind.to_string(), key), link);
        }
    }
    Ok(newest.into_values().collect())
}

/// The state part of a room.
struct Asks<'a> {
    filter: &'a RoomEventFilter,
    window: &'a Window,
    timeline: &'a Timeline,
    /// All of it, not only what changed.
    whole: bool,
    heroes: &'a [String],
}

fn state(frame: &Frame<'_>, room: &Room, asks: &Asks<'_>) -> Answer<v3::State> {
    let after = frame.asked.after;
    let at = if after {
        asks.window.to
    } else {
        asks.timeline.start.saturating_sub(1)
    };
    let lazy = narrow::lazy(asks.filter);
    let mut links = if !narrow::part_wants_room(asks.filter, &room.id) {
        Vec::new()
    } else if asks.whole {
        whole_state(frame, room, asks, at, lazy.is_some())?
    } else {
        changed_state(room, asks.window.from, at)?
    };
    if !after {
        // Nothing else would tell of these.
        for link in asks.timeline.hidden.iter().rev() {
            let same = |l: &Arc<Link>| l.kind == link.kind && l.state_key == link.state_key;
            links.retain(|known| !same(known));
            links.push(link.clone());
        }
    }
    if let Some(again) = lazy {
        speakers(frame, room, asks, at, again, &mut links)?;
    }
    links.retain(|link| {
        let kind = link.kind.to_string();
        narrow::event_passes(asks.filter, &kind, Some(link.sender.as_str()))
    });
    let events: Vec<Raw<AnySyncStateEvent>> = frame.matrix.rooms.render_state(room, &links)?;
    let events = v3::StateEvents::with_events(events);
    Ok(if after {
        v3::State::After(events)
    } else {
        v3::State::Before(events)
    })
}

fn whole_state(
    frame: &Frame<'_>,
    room: &Room,
    asks: &Asks<'_>,
    at: u64,
    lazy: bool,
) -> Answer<Vec<Arc<Link>>> {
    let state = room.state_at(at)?;
    let me = frame.who.user_id.as_str();
    let told = |link: &&Arc<Link>| {
        let Some(key) = link.state_key.as_deref() else {
            return false;
        };
        !lazy
            || link.kind != ruma::events::TimelineEventType::RoomMember
            || key == me
            || asks.heroes.iter().any(|hero| hero == key)
    };
    Ok(state.iter().filter(told).cloned().collect())
}

/// Client-server API, "Lazy-loading room members": members are told where they speak.
fn speakers(
    frame: &Frame<'_>,
    room: &Room,
    asks: &Asks<'_>,
    at: u64,
    again: bool,
    links: &mut Vec<Arc<Link>>,
) -> Answer<()> {
    let member = ruma::events::TimelineEventType::RoomMember;
    let senders: BTreeSet<&str> = asks
        .timeline
        .links
        .iter()
        .map(|l| l.sender.as_str())
        .collect();
    let me = frame.who.user_id.as_str();
    links.retain(|link| {
        let key = link.state_key.as_deref().unwrap_or_default();
        link.kind != member
            || key == me
            || senders.contains(key)
            || asks.heroes.iter().any(|hero| hero == key)
    });
    let told: BTreeSet<String> = links
        .iter()
        .filter(|link| link.kind == member)
        .filter_map(|link| link.state_key.clone())
        .collect();
    let missing: Vec<&str> = senders
        .into_iter()
        .filter(|sender| !told.contains(*sender))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let state: State = room.state_at(at)?;
    for sender in missing {
        let Some(link) = state.get("m.room.member", sender) else {
            continue;
        };
        let known = frame
            .asked
            .syncing
            .as_ref()
            .filter(|_| !again && !asks.whole);
        let news = known.is_none_or(|syncing| {
            let since = frame.since.unwrap_or(Seq(0));
            syncing.tells(room.name(), sender, link.ordinal, since, frame.now.seq)
        });
        if news {
            links.push(link.clone());
        }
    }
    Ok(())
}

/// A room that the account is in; `None` where there is nothing to tell.
pub(super) fn joined(frame: &Frame<'_>, room: &Arc<Room>) -> Answer<Option<v3::JoinedRoom>> {
    let (matrix, filter) = (frame.matrix, &frame.asked.filter.room);
    let account = frame.who.address();
    let read = frame.has_read(room.name(), room.conversation);
    let grew = frame.since.is_none_or(|since| room.head().seq > since);
    let mut out = v3::JoinedRoom::new();
    let window = Window {
        from: frame.since.map_or(Ok(0), |since| room.ordinal_at(since))?,
        to: room.ordinal_at(frame.now.seq)?,
    };
    let tells = grew && window.to > window.from || frame.asked.full_state;
    let sight = if tells || read {
        Some(room.sight(&frame.who.user_id)?.on(frame.who.device.id))
    } else {
        None
    };
    let mut new = frame.since.is_none();
    if let (true, Some(sight)) = (tells, &sight) {
        new |= sight.membership_at(window.from) != MembershipState::Join;
        let limit = narrow::limit(&filter.timeline, TIMELINE, TIMELINE_MOST);
        let floor = if new { 0 } else { window.from };
        let found = timeline(
            frame,
            room,
            sight,
            floor,
            window.to,
            &filter.timeline,
            limit,
        )?;
        out.timeline.events = matrix.rooms.render(room, &found.links, sight)?;
        out.timeline.limited = found.limited;
        if found.limited || !found.links.is_empty() {
            out.timeline.prev_batch = Some(super::token::before(matrix, room, found.start)?);
        }
        let whole = new || frame.asked.full_state;
        let mut heroes = Vec::new();
        if whole || summary::changed(room, &window)? {
            let (summary, named) = summary::of(matrix, room, &window, &frame.who.user_id)?;
            out.summary = summary;
            heroes = named;
        }
        out.state = state(
            frame,
            room,
            &Asks {
                filter: &filter.state,
                window: &window,
                timeline: &found,
                whole,
                heroes: &heroes,
            },
        )?;
    }
    let own = match &sight {
        Some(_) => receipts::own(matrix, account, room)?,
        None => receipts::Own::default(),
    };
    if let Some(sight) = &sight {
        let reader = unread::Reader {
            account,
            user: &frame.who.user_id,
            sight,
            own: &own,
            ignored: &|user| frame.ignores(user),
        };
        let counts = unread::count(matrix, room, &reader, window.to)?;
        put_counts(
            &counts,
            filter.timeline.unread_thread_notifications,
            &mut out,
        );
    }
    out.ephemeral.events = ephemeral(frame, room, &filter.ephemeral, new, read.then_some(&own))?;
    out.account_data.events = account_data(frame, room);
    // Counts alone are no news where nothing was said or read.
    let silent = out.timeline.is_empty()
        && out.state.is_empty()
        && out.ephemeral.is_empty()
        && out.account_data.is_empty()
        && out.summary.is_empty();
    Ok((!silent || read || new).then_some(out))
}

/// The counts as a client gets them.
pub(super) fn unread_count(count: Count) -> UnreadNotificationsCount {
    let mut out = UnreadNotificationsCount::new();
    out.notification_count = Some(count.notify.into());
    out.highlight_count = Some(count.highlight.into());
    out
}

fn put_counts(counts: &Counts, by_thread: bool, out: &mut v3::JoinedRoom) {
    if !by_thread {
        out.unread_notifications = unread_count(counts.all());
        return;
    }
    out.unread_notifications = unread_count(counts.main);
    for (root, count) in &counts.threads {
        let count = unread_count(*count);
        out.unread_thread_notifications.insert(root.clone(), count);
    }
}

/// Typing and receipts.
fn ephemeral(
    frame: &Frame<'_>,
    room: &Room,
    filter: &RoomEventFilter,
    new: bool,
    own: Option<&receipts::Own>,
) -> Answer<Vec<Raw<AnySyncEphemeralRoomEvent>>> {
    let mut events = Vec::new();
    if !narrow::part_wants_room(filter, &room.id) {
        return Ok(events);
    }
    if narrow::event_passes(filter, "m.typing", None)
        && let Some(content) = typing(frame, room, new)
    {
        events.extend(raw(&json!({ "type": "m.typing", "content": content })));
    }
    if narrow::event_passes(filter, "m.receipt", None) {
        let since = frame.since.filter(|_| !new);
        let ignored = |user: &str| frame.ignores(user);
        let private = own.map(|own| (frame.who.user_id.as_str(), own));
        let found =
            receipts::receipts(frame.matrix, room, since, frame.now.seq, private, &ignored)?;
        if let Some(content) = found {
            events.extend(raw(&json!({ "type": "m.receipt", "content": content })));
        }
    }
    Ok(events)
}

/// Who types in a room, if that is news.
pub(super) fn typing(frame: &Frame<'_>, room: &Room, new: bool) -> Option<serde_json::Value> {
    let lively = &frame.matrix.sync.lively;
    let known = frame.known.filter(|_| !new);
    let people = match lively.typing(room.conversation, known) {
        Some(people) => people,
        // After a restart nobody knows whether somebody typed before.
        None if known.is_none() && frame.since.is_some() && !new => Vec::new(),
        None => return None,
    };
    let users: Vec<_> = people
        .iter()
        .map(|who| frame.matrix.rooms.user(who))
        .filter(|user| !frame.ignores(user.as_str()))
        .collect();
    Some(json!({ "user_ids": users }))
}

fn account_data<T>(frame: &Frame<'_>, room: &Room) -> Vec<Raw<T>> {
    let filter = &frame.asked.filter.room.account_data;
    if !narrow::part_wants_room(filter, &room.id) {
        return Vec::new();
    }
    let pieces = frame.data.get(room.id.as_str()).into_iter().flatten();
    let wanted = pieces.filter(|p| narrow::event_passes(filter, &p.kind, None));
    wanted
        .filter_map(|p| raw(&json!({ "type": p.kind, "content": p.content })))
        .collect()
}

/// A room that the account left or was put out of; `None` where it never saw anything of it.
pub(super) fn left(frame: &Frame<'_>, room: &Arc<Room>) -> Answer<Option<v3::LeftRoom>> {
    let filter = &frame.asked.filter.room;
    let sight = room.sight(&frame.who.user_id)?.on(frame.who.device.id);
    let window = Window {
        from: frame.since.map_or(Ok(0), |since| room.ordinal_at(since))?,
        to: room.ordinal_at(frame.now.seq)?,
    };
    // Who was not in the room at the token is told from the start, as far as there is anything to see.
    let new = sight.membership_at(window.from) != MembershipState::Join;
    let floor = if new { 0 } else { window.from };
    let limit = narrow::limit(&filter.timeline, TIMELINE, TIMELINE_MOST);
    let own = sight.left_at().unwrap_or(window.to).min(window.to);
    let found = timeline(frame, room, &sight, floor, own, &filter.timeline, limit)?;
    if found.links.is_empty() && frame.since.is_none() {
        return Ok(None);
    }
    let mut out = v3::LeftRoom::new();
    out.timeline.events = frame.matrix.rooms.render(room, &found.links, &sight)?;
    out.timeline.limited = found.limited;
    out.timeline.prev_batch = Some(super::token::before(frame.matrix, room, found.start)?);
    // Of a room that the account was never in it sees no state.
    let was_in = sight.was_joined();
    if was_in {
        out.state = state(
            frame,
            room,
            &Asks {
                filter: &filter.state,
                window: &Window {
                    from: window.from,
                    to: own,
                },
                timeline: &found,
                whole: new || frame.asked.full_state,
                heroes: &[],
            },
        )?;
    }
    out.account_data.events = account_data(frame, room);
    Ok(Some(out))
}

/// An invitation; `None` if it is by somebody ignored.
pub(super) fn invited(frame: &Frame<'_>, room: &Arc<Room>) -> Answer<Option<v3::InvitedRoom>> {
    let state = room.state();
    let own = state.get("m.room.member", frame.who.user_id.as_str());
    if own.is_some_and(|own| frame.ignores(own.sender.as_str())) {
        return Ok(None);
    }
    let events = frame.matrix.rooms.stripped(&state, own.map(|link| &**link));
    let mut out = v3::InvitedRoom::new();
    out.invite_state.events = events;
    Ok(Some(out))
}

/// A room at which the account knocks.
pub(super) fn knocked(frame: &Frame<'_>, room: &Arc<Room>) -> Answer<v3::KnockedRoom> {
    let state = room.state();
    let own = state.get("m.room.member", frame.who.user_id.as_str());
    let mut out = v3::KnockedRoom::new();
    out.knock_state.events = frame.matrix.rooms.stripped(&state, own.map(|link| &**link));
    Ok(out)
}
