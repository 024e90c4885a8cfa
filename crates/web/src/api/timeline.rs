//! Timelines: a part of a conversation's history, as entries.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::event::RelationKind;
use sammen_core::history::{Scope, may_see};
use sammen_core::store::{HistoryQuery, Kinds};
use sammen_core::{Address, Convo, Event, EventId, Refusal};

use super::entries::event_id;
use crate::auth::{Caller, Need};
use crate::extract::{Asked, Json, Place};
use crate::person::View;
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::summary::{self, Meant};
use crate::translate::{entry, is_line, shows};
use crate::types as t;

/// Entries in one answer.
const MOST: usize = 200;
/// Events read at once.
const PAGE: usize = 200;
/// Readings for one answer: a conversation full of reactions must not hold a thread for long.
const READINGS: usize = 10;
/// Entries of a thread.
const THREAD: usize = 1000;

pub fn routes(table: &mut Table) {
    table
        .on(Method::GET, "/conversations/{id}/entries", Need::Account, "A part of the history: the end of it, or what lies before, behind or around an entry, or from a date on")
        .query::<t::TimelineQuery>()
        .answer::<t::Page>(200)
        .by(page);
    table
        .on(
            Method::GET,
            "/conversations/{id}/entries/{event}",
            Need::Account,
            "One entry",
        )
        .answer::<t::Entry>(200)
        .by(one);
    table
        .on(
            Method::GET,
            "/conversations/{id}/entries/{event}/thread",
            Need::Account,
            "An entry and all that answers it",
        )
        .answer::<t::Page>(200)
        .by(thread);
    table
        .on(
            Method::GET,
            "/conversations/{id}/files",
            Need::Account,
            "Entries that have files, the latest ones",
        )
        .query::<t::TimelineQuery>()
        .answer::<t::Page>(200)
        .by(files);
}

/// A reading of lines in one direction.
struct Lines {
    /// In order of history.
    events: Vec<Arc<Event>>,
    /// Where to read on in the direction of reading; `None` at the end.
    next: Option<EventId>,
}

/// Reads up to `most` lines that `wanted` accepts. Blocking.
fn lines(
    web: &Web,
    query: &HistoryQuery,
    most: usize,
    wanted: impl Fn(&Event) -> bool,
) -> Answer<Lines> {
    let mut query = query.clone();
    query.limit = PAGE.min(most.saturating_mul(2).max(50));
    let back = query.from_end;
    let mut events: Vec<Arc<Event>> = Vec::new();
    let mut at: Option<EventId> = None;
    for _ in 0..READINGS {
        let page = web.node.store().history(&query).map_err(Refusal::from)?;
        let mut read: Vec<Arc<Event>> = page.events;
        if back {
            read.reverse();
        }
        let last = read.last().cloned();
        for event in read {
            if events.len() == most {
                // One more is there: read on from the last one taken.
                let next = at;
                return Ok(ordered(events, next, back));
            }
            at = Some(event.id);
            if shows(&web.node, &event) && wanted(&event) {
                events.push(event);
            }
        }
        let (true, Some(last)) = (page.more, last) else {
            return Ok(ordered(events, None, back));
        };
        let anchor = sammen_core::store::Anchor {
            at: last.at,
            pos: last.pos,
            seq: last.seq,
        };
        if back {
            query.before = Some(anchor);
        } else {
            query.after = Some(anchor);
        }
    }
    Ok(ordered(events, at, back))
}

fn ordered(mut events: Vec<Arc<Event>>, next: Option<EventId>, back: bool) -> Lines {
    if back {
        events.reverse();
    }
    Lines { events, next }
}

fn shown(web: &Web, reader: &Address, convo: &Convo, events: &[Arc<Event>]) -> Vec<t::Entry> {
    let view = View::of(web, reader);
    events.iter().map(|e| entry(view, convo, e)).collect()
}

fn limit(asked: Option<usize>) -> usize {
    asked.unwrap_or(50).clamp(1, MOST)
}

fn text(id: EventId) -> String {
    id.to_string()
}

async fn page(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Asked(asked): Asked<t::TimelineQuery>,
) -> Answer<Json<t::Page>> {
    let reader = caller.address().clone();
    web.read(move |web| part(web, &reader, &id, &asked, |_| true))
        .await
        .map(Json)
}

async fn files(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Asked(asked): Asked<t::TimelineQuery>,
) -> Answer<Json<t::Page>> {
    let reader = caller.address().clone();
    web.read(move |web| {
        part(web, &reader, &id, &asked, |event| {
            matches!(&event.content, sammen_core::Content::Message(m) if !m.attachments.is_empty())
        })
    })
    .await
    .map(Json)
}

/// A part of a conversation's history. Blocking.
fn part(
    web: &Web,
    reader: &Address,
    id: &str,
    asked: &t::TimelineQuery,
    wanted: impl Fn(&Event) -> bool + Copy,
) -> Answer<t::Page> {
    let named = [&asked.before, &asked.after, &asked.around];
    if named.iter().filter(|n| n.is_some()).count() + usize::from(asked.date.is_some()) > 1 {
        return Err(Problem::invalid(
            "before",
            "name at most one of before, after, around and date",
        ));
    }
    let convo = match summary::meant(web, reader, id)? {
        Meant::Known(convo) => convo,
        Meant::New(_) => return Ok(nothing()),
    };
    let scope = Scope::Conversation(convo.id());
    let base = match web.node.query(reader, &scope, PAGE) {
        Ok(query) => query,
        // Invited: the room is known, its history is not.
        Err(Refusal::NotJoined) => return Ok(nothing()),
        Err(refusal) => return Err(refusal.into()),
    };
    let most = limit(asked.limit);
    let anchor = |field: &'static str, text: &str| {
        let id = event_id(field, text)?;
        let event = web.node.visible_event(reader, id)?;
        let event = event
            .filter(|e| e.conversation == convo.id())
            .ok_or_else(Problem::not_found)?;
        Ok::<_, Problem>(event)
    };
    let place = |e: &Event| sammen_core::store::Anchor {
        at: e.at,
        pos: e.pos,
        seq: e.seq,
    };
    let older = |from: Option<&Event>, most| {
        let mut query = base.clone();
        query.before = from.map(place);
        query.from_end = true;
        lines(web, &query, most, wanted)
    };
    let newer = |from: Option<&Event>, since: Option<i64>, most| {
        let mut query = base.clone();
        query.after = from.map(place);
        query.from = since.map(sammen_core::Timestamp);
        lines(web, &query, most, wanted)
    };
    if let Some(around) = &asked.around {
        let middle = anchor("around", around)?;
        let half = (most / 2).max(1);
        let before = older(Some(&middle), half)?;
        let behind = newer(Some(&middle), None, half)?;
        let mut events = before.events;
        if shows(&web.node, &middle) {
            events.push(middle);
        }
        events.extend(behind.events);
        return Ok(t::Page {
            entries: shown(web, reader, &convo, &events),
            older: before.next.map(text),
            newer: behind.next.map(text),
        });
    }
    if asked.after.is_some() || asked.date.is_some() {
        let from = asked
            .after
            .as_deref()
            .map(|a| anchor("after", a))
            .transpose()?;
        let found = newer(from.as_deref(), asked.date, most)?;
        let older = match (&from, found.events.first()) {
            (Some(from), _) => Some(from.id),
            // From a date on: there is something older where there is something at all.
            (None, first) => first.map(|e| e.id),
        };
        return Ok(t::Page {
            entries: shown(web, reader, &convo, &found.events),
            older: older.map(text),
            newer: found.next.map(text),
        });
    }
    let from = asked
        .before
        .as_deref()
        .map(|b| anchor("before", b))
        .transpose()?;
    let found = older(from.as_deref(), most)?;
    let newer = from
        .as_ref()
        .and_then(|_| found.events.last())
        .map(|e| e.id);
    Ok(t::Page {
        entries: shown(web, reader, &convo, &found.events),
        older: found.next.map(text),
        newer: newer.map(text),
    })
}

fn nothing() -> t::Page {
    t::Page {
        entries: Vec::new(),
        older: None,
        newer: None,
    }
}

/// A line of a conversation that the reader may see. Blocking.
pub(super) fn line(web: &Web, reader: &Address, convo: &Convo, event: &str) -> Answer<Arc<Event>> {
    let id: EventId = event.parse().map_err(|_| Problem::not_found())?;
    let event = web.node.visible_event(reader, id)?;
    event
        .filter(|e| e.conversation == convo.id() && shows(&web.node, e))
        .ok_or_else(Problem::not_found)
}

async fn one(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place((id, event)): Place<(String, String)>,
) -> Answer<Json<t::Entry>> {
    let reader = caller.address().clone();
    web.read(move |web| {
        let convo = summary::known(web, &reader, &id)?;
        let event = line(web, &reader, &convo, &event)?;
        Ok(entry(View::of(web, &reader), &convo, &event))
    })
    .await
    .map(Json)
}

async fn thread(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place((id, event)): Place<(String, String)>,
) -> Answer<Json<t::Page>> {
    let reader = caller.address().clone();
    web.read(move |web| {
        let convo = summary::known(web, &reader, &id)?;
        let root = line(web, &reader, &convo, &event)?;
        let mut found = vec![root];
        let mut at = 0;
        // Answers of answers, too.
        while let Some(one) = found.get(at).cloned() {
            at += 1;
            let related = web
                .node
                .store()
                .relations(one.id, THREAD)
                .map_err(Refusal::from)?;
            let answers = related.into_iter().filter(|e| {
                e.relation
                    .as_ref()
                    .is_some_and(|r| r.kind == RelationKind::Reply)
                    && is_line(e)
                    && may_see(&convo, &reader, e)
            });
            for answer in answers {
                if found.len() < THREAD && !found.iter().any(|f| f.id == answer.id) {
                    found.push(answer);
                }
            }
        }
        found.sort_by_key(|e| e.pos);
        Ok(t::Page {
            entries: shown(web, &reader, &convo, &found),
            ..nothing()
        })
    })
    .await
    .map(Json)
}

/// Lines that search finds, the latest ones. Blocking.
pub(super) fn search(
    web: &Web,
    reader: &Address,
    query: &HistoryQuery,
    most: usize,
) -> Answer<t::Page> {
    let mut query = query.clone();
    query.kinds = Kinds::Speech;
    query.from_end = true;
    query.limit = most;
    let page = web.node.store().history(&query).map_err(Refusal::from)?;
    let view = View::of(web, reader);
    let older = page
        .more
        .then(|| page.events.first().map(|e| e.id))
        .flatten();
    let mut entries: Vec<t::Entry> = Vec::with_capacity(page.events.len());
    for event in &page.events {
        let Some(convo) = web.node.convo(event.conversation)? else {
            continue;
        };
        // An edit that says the words leads to the line it changed.
        let line = match event.target().filter(|_| !is_line(event)) {
            Some(target) => web.node.visible_event(reader, target)?,
            None => Some(event.clone()),
        };
        let Some(line) = line.filter(|l| shows(&web.node, l)) else {
            continue;
        };
        if !entries.iter().any(|e| e.id == line.id.to_string()) {
            entries.push(entry(view, &convo, &line));
        }
    }
    Ok(t::Page {
        entries,
        older: older.map(text),
        newer: None,
    })
}
