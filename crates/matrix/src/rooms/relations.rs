//! What is related to an event, and the threads of a room.

use std::sync::Arc;

use ruma::UInt;
use ruma::api::client::relations::{
    get_relating_events, get_relating_events_with_rel_type,
    get_relating_events_with_rel_type_and_event_type,
};
use ruma::api::client::threads::get_threads::v1 as threads;
use ruma::events::AnyMessageLikeEvent;
use ruma::serde::Raw;
use sammen_core::Seq;

use super::history::{place, token};
use super::{Seen, seen};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// Most events in an answer.
const MOST: usize = 100;
/// How deep relations of relations are followed.
const DEPTH: u8 = 3;

pub fn routes(table: &mut Table) {
    table.on(all);
    table.on(of_relation);
    table.on(of_type);
    table.on(list);
}

/// What is asked for.
struct Wanted {
    event: ruma::OwnedEventId,
    how: Option<String>,
    kind: Option<String>,
    from: Option<String>,
    to: Option<String>,
    back: bool,
    limit: Option<UInt>,
    recurse: bool,
}

struct Found {
    chunk: Vec<Raw<AnyMessageLikeEvent>>,
    next: Option<String>,
    prev: Option<String>,
}

macro_rules! relating {
    ($name:ident, $module:ident, $how:expr, $kind:expr) => {
        async fn $name(
            matrix: Arc<Matrix>,
            ask: Ask<$module::v1::Request>,
        ) -> Answer<$module::v1::Response> {
            let Ask { request, who, .. } = ask;
            let here = seen(&matrix, &who, &request.room_id).await?;
            here.until()?;
            let (how, kind): (
                fn(&$module::v1::Request) -> Option<String>,
                fn(&$module::v1::Request) -> Option<String>,
            ) = ($how, $kind);
            let wanted = Wanted {
                how: how(&request),
                kind: kind(&request),
                event: request.event_id,
                from: request.from,
                to: request.to,
                back: request.dir == ruma::api::Direction::Backward,
                limit: request.limit,
                recurse: request.recurse,
            };
            let recurse = wanted.recurse;
            let found = matrix
                .read(move |matrix| read(matrix, &here, &wanted))
                .await?;
            let mut response = $module::v1::Response::new(found.chunk);
            response.next_batch = found.next;
            response.prev_batch = found.prev;
            response.recursion_depth = recurse.then(|| UInt::from(DEPTH));
            Ok(response)
        }
    };
}

relating!(all, get_relating_events, |_| None, |_| None);
relating!(
    of_relation,
    get_relating_events_with_rel_type,
    |r| Some(r.rel_type.to_string()),
    |_| None
);
relating!(
    of_type,
    get_relating_events_with_rel_type_and_event_type,
    |r| Some(r.rel_type.to_string()),
    |r| Some(r.event_type.to_string())
);

fn read(matrix: &Matrix, here: &Seen, wanted: &Wanted) -> Answer<Found> {
    let target = here
        .room
        .event(&wanted.event)?
        .filter(|link| here.sight.sees(link));
    let target = target.ok_or_else(|| Fault::not_found("there is no such event here"))?;
    let limit = wanted
        .limit
        .map_or(20, |n| usize::try_from(u64::from(n)).unwrap_or(MOST));
    let limit = limit.clamp(1, MOST);
    let mut ordinals = Vec::new();
    let mut parents = vec![target.ordinal];
    for _ in 0..if wanted.recurse { DEPTH } else { 1 } {
        let mut next = Vec::new();
        for parent in parents {
            for (ordinal, child) in here.room.children(parent)? {
                if matches!(child.how.as_str(), "redaction" | "m.in_reply_to") {
                    continue;
                }
                next.push(ordinal);
                let fits = wanted.how.as_ref().is_none_or(|how| *how == child.how)
                    && wanted
                        .kind
                        .as_ref()
                        .is_none_or(|kind| *kind == child.kind.to_string());
                if fits && !redacted(here, ordinal)? {
                    ordinals.push(ordinal);
                }
            }
        }
        parents = next;
    }
    ordinals.sort_unstable();
    ordinals.dedup();
    let from = wanted
        .from
        .as_deref()
        .map(|from| place(matrix, here, from))
        .transpose()?;
    let to = wanted
        .to
        .as_deref()
        .map(|to| place(matrix, here, to))
        .transpose()?;
    if wanted.back {
        ordinals.retain(|n| from.is_none_or(|from| *n <= from) && to.is_none_or(|to| *n > to));
        ordinals.reverse();
    } else {
        ordinals.retain(|n| from.is_none_or(|from| *n > from) && to.is_none_or(|to| *n <= to));
    }
    let more = ordinals.len() > limit;
    ordinals.truncate(limit);
    let mut links = Vec::new();
    for ordinal in ordinals {
        links.extend(here.room.link(ordinal)?);
    }
    let next = links.last().filter(|_| more).map(|link| {
        let seq = if wanted.back {
            Seq(link.seq.0 - 1)
        } else {
            link.seq
        };
        token(matrix, seq)
    });
    let chunk = matrix.rooms.render_whole(&here.room, &links, &here.sight)?;
    Ok(Found {
        chunk: chunk.into_iter().map(Raw::cast_unchecked).collect(),
        next,
        prev: wanted.from.clone(),
    })
}

fn redacted(here: &Seen, ordinal: u64) -> Answer<bool> {
    let children = here.room.children(ordinal)?;
    Ok(children.iter().any(|(_, child)| child.how == "redaction"))
}

async fn list(matrix: Arc<Matrix>, ask: Ask<threads::Request>) -> Answer<threads::Response> {
    let Ask { request, who, .. } = ask;
    let here = seen(&matrix, &who, &request.room_id).await?;
    here.until()?;
    matrix
        .read(move |matrix| {
            let limit = request
                .limit
                .map_or(20, |n| usize::try_from(u64::from(n)).unwrap_or(MOST))
                .clamp(1, MOST);
            let mine = request.include == threads::IncludeThreads::Participated;
            let mut roots = Vec::new();
            for (root, latest) in here.room.threads()? {
                let Some(link) = here.room.link(root)?.filter(|link| here.sight.sees(link)) else {
                    continue;
                };
                let took_part = || -> Answer<bool> {
                    let children = here.room.children(root)?;
                    let mut own = children.iter().filter(|(_, child)| child.how == "m.thread");
                    let wrote = own.any(|(_, child)| child.sender == here.sight.user);
                    Ok(wrote || link.sender == here.sight.user)
                };
                if !mine || took_part()? {
                    roots.push((latest, link));
                }
            }
            // The one with the newest answer first.
            roots.sort_by_key(|(latest, _)| std::cmp::Reverse(*latest));
            let from = request.from.as_deref().and_then(|from| from.parse().ok());
            if let Some(from) = from {
                roots.retain(|(latest, _)| *latest < from);
            }
            let more = roots.len() > limit;
            roots.truncate(limit);
            let next = roots
                .last()
                .filter(|_| more)
                .map(|(latest, _): &(u64, _)| latest.to_string());
            let links: Vec<_> = roots.into_iter().map(|(_, link)| link).collect();
            let chunk = matrix.rooms.render_whole(&here.room, &links, &here.sight)?;
            let mut response = threads::Response::new(chunk);
            response.next_batch = next;
            Ok(response)
        })
        .await
}
