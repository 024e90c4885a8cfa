//! Reading what was said: pages, one event, what is around it, what was said at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use ruma::api::client::context::get_context::v3 as context;
use ruma::api::client::filter::{LazyLoadOptions, RoomEventFilter};
use ruma::api::client::message::get_message_events::v3 as messages;
use ruma::api::client::room::get_event_by_timestamp::v1 as by_time;
use ruma::api::client::room::get_room_event::v3 as event;
use ruma::events::{AnyStateEvent, AnyTimelineEvent};
use ruma::serde::Raw;
use sammen_core::Seq;
use sammen_core::token::Token;

use super::{Seen, seen};
use crate::chain::{Direction, Late, Link};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// Most events in an answer.
const MOST: usize = 200;
/// Most links that are looked at for one answer: filters and what is not visible cost as well.
const LOOK: u64 = 2_000;

pub fn routes(table: &mut Table) {
    table.on(page);
    table.on(around);
    table.on(one);
    table.on(at_time);
}

/// A place between events: what has versions up to `seq` lies before it.
pub fn token(matrix: &Matrix, seq: Seq) -> String {
    let token = Token {
        epoch: matrix.node.epoch(),
        seq,
        volatile: 0,
    };
    token.encode()
}

/// The ordinal of the newest link before a token.
///
/// # Errors
/// M_INVALID_PARAM for what is no token of this node.
pub fn place(matrix: &Matrix, here: &Seen, text: &str) -> Answer<u64> {
    let token = Token::decode(text, matrix.node.epoch());
    let token = token.ok_or_else(|| Fault::invalid("that is no token of this server"))?;
    Ok(here.room.ordinal_at(token.seq)?)
}

/// Just before a link.
fn before(matrix: &Matrix, link: &Link) -> String {
    token(matrix, Seq(link.seq.0.saturating_sub(1)))
}

async fn page(matrix: Arc<Matrix>, ask: Ask<messages::Request>) -> Answer<messages::Response> {
    let Ask { request, who, .. } = ask;
    let here = seen(&matrix, &who, &request.room_id).await?;
    here.until()?;
    matrix
        .read(move |matrix| read_page(matrix, &here, &request))
        .await
}

fn read_page(
    matrix: &Matrix,
    here: &Seen,
    request: &messages::Request,
) -> Answer<messages::Response> {
    let limit = usize::try_from(u64::from(request.limit))
        .unwrap_or(MOST)
        .clamp(1, MOST);
    let head = here.room.head().ordinal;
    let back = request.dir == ruma::api::Direction::Backward;
    // Quaternion has no token before its first sync ends and sends an empty one: as if there were none.
    let given = |token: &Option<String>| token.clone().filter(|token| !token.is_empty());
    let (since, until) = (given(&request.from), given(&request.to));
    let from = match &since {
        Some(from) => place(matrix, here, from)?,
        None if back => head,
        None => 0,
    };
    let to = until
        .as_deref()
        .map(|to| place(matrix, here, to))
        .transpose()?;
    let range = if back {
        to.unwrap_or(0) + 1..=from
    } else {
        from + 1..=to.unwrap_or(head)
    };
    let (links, last) = collect(matrix, here, range.clone(), back, limit, &request.filter)?;
    let looked = match (&last, back) {
        (Some(last), true) => last.ordinal..=*range.end(),
        (Some(last), false) => *range.start()..=last.ordinal,
        (None, _) => range,
    };
    let late = matrix
        .rooms
        .late(&here.room, *looked.start().max(&1)..=*looked.end())?;
    let mut response = messages::Response::new();
    response.start = match since {
        Some(from) => from,
        None if back => token(matrix, here.room.head().seq),
        None => token(matrix, Seq(0)),
    };
    // Without an end there is nothing more.
    response.end = last.map(|link| {
        if back {
            before(matrix, &link)
        } else {
            token(matrix, link.seq)
        }
    });
    response.state = senders(matrix, here, &links, &request.filter)?;
    response.chunk = matrix.rooms.render_whole(&here.room, &links, &here.sight)?;
    if !late.is_empty() {
        response.chunk = among(matrix, here, (links, response.chunk), late, request)?;
    }
    Ok(response)
}

/// Rendered links and what came later, each where it belongs.
fn among(
    matrix: &Matrix,
    here: &Seen,
    (links, chunk): (Vec<Arc<Link>>, Vec<Raw<AnyTimelineEvent>>),
    late: Vec<Late>,
    request: &messages::Request,
) -> Answer<Vec<Raw<AnyTimelineEvent>>> {
    let mut all = Vec::with_capacity(chunk.len() + late.len());
    for (link, event) in links.iter().zip(chunk) {
        all.push(((link.ordinal, 0), event));
    }
    for (n, late) in (1..).zip(&late) {
        let event = matrix.rooms.render_late(&here.room, late, &here.sight)?;
        if let Some(event) = event
            && passes(matrix, &late.link, &request.filter)?
        {
            all.push(((late.behind, n), event));
        }
    }
    all.sort_by_key(|(place, _): &((u64, usize), _)| *place);
    if request.dir == ruma::api::Direction::Backward {
        all.reverse();
    }
    Ok(all.into_iter().map(|(_, event)| event).collect())
}

/// Links, and the last one that was looked at, if there is more behind it.
pub type Collected = (Vec<Arc<Link>>, Option<Arc<Link>>);

/// Visible links that a filter lets through, and the last one that was looked at if there is more behind it.
pub fn collect(
    matrix: &Matrix,
    here: &Seen,
    range: std::ops::RangeInclusive<u64>,
    back: bool,
    limit: usize,
    filter: &RoomEventFilter,
) -> Answer<Collected> {
    let (first, end) = (
        (*range.start()).max(1),
        (*range.end()).min(here.room.head().ordinal),
    );
    let direction = if back {
        Direction::Back
    } else {
        Direction::Forward
    };
    let mut found = Vec::new();
    let (mut low, mut high) = (first, end);
    let mut looked = 0;
    let mut last = None;
    while low <= high && high > 0 && found.len() < limit && looked < LOOK {
        let links = here
            .room
            .links(low..=high, direction, (limit - found.len()).max(20))?;
        if links.is_empty() {
            break;
        }
        for link in links {
            looked += 1;
            if back {
                high = link.ordinal - 1;
            } else {
                low = link.ordinal + 1;
            }
            if here.sight.sees(&link) && passes(matrix, &link, filter)? {
                found.push(link.clone());
            }
            last = Some(link);
            if found.len() >= limit {
                break;
            }
        }
    }
    let more = if back { high >= first } else { low <= end };
    Ok((found, last.filter(|_| more)))
}

/// Client-server API, "Filtering", of one room's events.
pub fn passes(matrix: &Matrix, link: &Link, filter: &RoomEventFilter) -> Answer<bool> {
    let kind = link.kind.to_string();
    let fits = |pattern: &String| match pattern.split_once('*') {
        None => *pattern == kind,
        Some((head, tail)) => {
            kind.len() >= head.len() + tail.len() && kind.starts_with(head) && kind.ends_with(tail)
        }
    };
    if filter.not_types.iter().any(fits)
        || filter
            .types
            .as_ref()
            .is_some_and(|types| !types.iter().any(fits))
        || filter.not_senders.contains(&link.sender)
        || filter
            .senders
            .as_ref()
            .is_some_and(|senders| !senders.contains(&link.sender))
    {
        return Ok(false);
    }
    if let Some(wanted) = &filter.url_filter {
        use ruma::api::client::filter::UrlFilter;
        let content = matrix.rooms.content(link)?;
        let has = content.is_some_and(|content| content.get("url").is_some_and(|u| u.is_string()));
        return Ok(has == (*wanted == UrlFilter::EventsWithUrl));
    }
    Ok(true)
}

/// The members who wrote what is shown, for clients that load them lazily.
fn senders(
    matrix: &Matrix,
    here: &Seen,
    links: &[Arc<Link>],
    filter: &RoomEventFilter,
) -> Answer<Vec<Raw<AnyStateEvent>>> {
    if matches!(filter.lazy_load_options, LazyLoadOptions::Disabled) {
        return Ok(Vec::new());
    }
    let newest = links.iter().map(|link| link.ordinal).max().unwrap_or(0);
    let state = here.room.state_at(newest)?;
    let users: BTreeSet<&str> = links.iter().map(|link| link.sender.as_str()).collect();
    let members: Vec<_> = users
        .into_iter()
        .filter_map(|user| state.get("m.room.member", user))
        .collect();
    Ok(matrix.rooms.render_whole_state(&here.room, members)?)
}

async fn around(matrix: Arc<Matrix>, ask: Ask<context::Request>) -> Answer<context::Response> {
    let Ask { request, who, .. } = ask;
    let here = seen(&matrix, &who, &request.room_id).await?;
    here.until()?;
    matrix
        .read(move |matrix| {
            let link = here.room.event(&request.event_id)?;
            let link = link.filter(|link| here.sight.sees(link));
            let link = link.ok_or_else(|| Fault::not_found("there is no such event here"))?;
            let limit = usize::try_from(u64::from(request.limit))
                .unwrap_or(MOST)
                .min(MOST);
            let (older, newer) = (limit / 2, limit - limit / 2);
            let head = here.room.head().ordinal;
            let filter = &request.filter;
            let (earlier, _) = collect(matrix, &here, 1..=link.ordinal - 1, true, older, filter)?;
            let (later, _) = collect(matrix, &here, link.ordinal + 1..=head, false, newer, filter)?;
            let mut response = context::Response::new();
            response.start = Some(before(matrix, earlier.last().unwrap_or(&link)));
            response.end = Some(token(matrix, later.last().unwrap_or(&link).seq));
            let rooms = &matrix.rooms;
            let newest = later.last().unwrap_or(&link).ordinal;
            let state = here.room.state_at(newest)?;
            let lazy = !matches!(filter.lazy_load_options, LazyLoadOptions::Disabled);
            let mut all = earlier.clone();
            all.push(link.clone());
            all.extend(later.iter().cloned());
            let senders: BTreeSet<&str> = all.iter().map(|link| link.sender.as_str()).collect();
            let wanted = state.iter().filter(|link| {
                let member = link.kind == ruma::events::TimelineEventType::RoomMember;
                !lazy
                    || !member
                    || link
                        .state_key
                        .as_deref()
                        .is_some_and(|k| senders.contains(k))
            });
            response.state = rooms.render_whole_state(&here.room, wanted)?;
            response.event = rooms.render_whole(&here.room, &[link], &here.sight)?.pop();
            response.events_before = rooms.render_whole(&here.room, &earlier, &here.sight)?;
            response.events_after = rooms.render_whole(&here.room, &later, &here.sight)?;
            Ok(response)
        })
        .await
}

async fn one(matrix: Arc<Matrix>, ask: Ask<event::Request>) -> Answer<event::Response> {
    let Ask { request, who, .. } = ask;
    let here = seen(&matrix, &who, &request.room_id).await?;
    here.until()?;
    matrix
        .read(move |matrix| {
            let nothing = || Fault::not_found("there is no such event here");
            let Some(link) = here.room.event(&request.event_id)? else {
                let rooms = &matrix.rooms;
                let late = rooms.late_event(&here.room, &request.event_id)?;
                let event =
                    rooms.render_late(&here.room, &late.ok_or_else(nothing)?, &here.sight)?;
                return Ok(event::Response::new(event.ok_or_else(nothing)?));
            };
            let event = matrix
                .rooms
                .render_whole(&here.room, &[link], &here.sight)?;
            Ok(event::Response::new(
                event.into_iter().next().ok_or_else(nothing)?,
            ))
        })
        .await
}

async fn at_time(matrix: Arc<Matrix>, ask: Ask<by_time::Request>) -> Answer<by_time::Response> {
    let Ask { request, who, .. } = ask;
    let here = seen(&matrix, &who, &request.room_id).await?;
    here.until()?;
    matrix
        .read(move |_| {
            let wanted = i64::try_from(u64::from(request.ts.0)).unwrap_or(i64::MAX);
            let head = here.room.head().ordinal;
            // Times grow with ordinals but for a few; the first link that is not older is near.
            let (mut low, mut high) = (1, head + 1);
            while low < high {
                let middle = low + (high - low) / 2;
                let older = here
                    .room
                    .link(middle)?
                    .is_some_and(|link| link.at.0 < wanted);
                if older {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            let forward = request.dir == ruma::api::Direction::Forward;
            let (range, direction) = if forward {
                (low..=head, Direction::Forward)
            } else {
                let same = here.room.link(low)?.is_some_and(|link| link.at.0 == wanted);
                let last = if same { low } else { low.saturating_sub(1) };
                (1..=last, Direction::Back)
            };
            let links = here.room.links(range, direction, MOST)?;
            let found = links.iter().find(|link| here.sight.sees(link));
            let link = found.ok_or_else(|| Fault::not_found("nothing was said then"))?;
            let at = ruma::UInt::new_saturating(u64::try_from(link.at.0).unwrap_or(0));
            let at = ruma::MilliSecondsSinceUnixEpoch(at);
            Ok(by_time::Response::new(link.id.clone(), at))
        })
        .await
}
