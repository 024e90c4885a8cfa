//! What was said in a room elsewhere while nobody of ours was there, from its archive (XEP-0313).
//!
//! Whenever one of ours comes in, what the room said since the newest message that is known here may be missing, whoever
//! it is that comes: that is a *gap*, remembered in the batch that lets them in. Who holds a place there fills gaps from
//! the archive, page by page, each in one batch with how far it came, so that neither a restart nor an archive that does
//! not answer loses any. A gap ends where a message is known that was told after it began.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sammen_core::document::Owner;
use sammen_core::ops::projection;
use sammen_core::tx::{Expect, Tx, decode, encode};
use sammen_core::{Convo, Outcome, Seq, Timestamp, event::Scheme};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::held::ask;
use super::project::room_id;
use super::room::{Input, Room};
use crate::server::Server;
use crate::time;
use crate::wire::{Element, Jid, ns};

/// The shelf that remembers what is missing of rooms' archives, by bare JID.
const SHELF: &str = "xmpp-archive";
/// Events of the log in which the newest message of the room is looked for.
const LATEST: usize = 200;
/// Messages in one answer.
const PAGE: usize = 50;
/// Most answers that are asked for at a time, while what is said in the room waits; the rest comes later.
const PAGES: usize = 20;
/// Gaps that are told apart; more are one.
const GAPS: usize = 32;

/// What is remembered of a room's archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Read {
    gaps: Vec<Gap>,
}

/// What may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gap {
    /// Behind this id of the archive; empty where none was known.
    after: String,
    /// When that was said, for an archive that no longer has it.
    at: Timestamp,
    /// What the log had when it began.
    seq: Seq,
    /// Somebody of ours was a member then: they missed it, and are told.
    told: bool,
}

/// A page of the archive, oldest first.
pub(super) struct Page {
    /// Its results.
    pub messages: Vec<Element>,
    /// The gap that it was asked for; `None` for the newest ones of an archive that nobody read before.
    gap: Option<Gap>,
    /// The archive has no more.
    complete: bool,
    /// How many of its messages come before the first that waits to be told.
    untold: usize,
    /// Hears which gap is next.
    next: oneshot::Sender<Option<Gap>>,
}

impl Page {
    /// Whether its messages are the past, which nobody missed.
    pub fn past(&self) -> bool {
        self.gap.as_ref().is_none_or(|gap| !gap.told)
    }

    /// Whether its messages go where their time puts them.
    pub fn fills(&self) -> bool {
        self.gap.is_some()
    }

    /// What waits behind it was said since somebody came in: it is told when it follows, and no history.
    pub fn ends_at<'a>(&mut self, room: &Room, waiting: impl Iterator<Item = &'a Element>) {
        let by_room = |s: &&Element| s.get("by") == Some(room.jid.as_str());
        let ids = waiting.filter_map(|el| el.all("stanza-id", ns::SID).find(by_room)?.get("id"));
        let ids: HashSet<&str> = ids.collect();
        let waits = |result: &Element| result.get("id").is_some_and(|id| ids.contains(id));
        self.untold = self.messages.iter().take_while(|r| !waits(r)).count();
    }

    /// Remembers how far it leads, in the batch of its messages. How many of them are to be kept: those in front of the
    /// gap's end. And which gap is next.
    pub fn note(
        &self,
        tx: &mut Tx<'_>,
        room: &Room,
        convo: &Convo,
    ) -> Outcome<(usize, Option<Gap>)> {
        let mut read = read(tx, &room.jid)?.unwrap_or_default();
        let mut kept = self.untold;
        if let Some(gap) = &self.gap {
            let mut last = None;
            let ids = self.messages.iter().map(|r| r.get("id"));
            for (n, id) in ids.take(kept).enumerate() {
                let Some(id) = id else { continue };
                let event = projection::known(tx, convo.id(), Scheme::RemoteStanzaId, id)?;
                if event.is_some_and(|event| event.seq > gap.seq) {
                    kept = n;
                    break;
                }
                last = Some(id);
            }
            let ends = self.complete || kept < self.messages.len();
            if let Some(first) = read.gaps.first_mut().filter(|first| *first == gap) {
                match last {
                    // An archive that does not get on has an end, too.
                    Some(last) if !ends && last != gap.after => last.clone_into(&mut first.after),
                    _ => drop(read.gaps.remove(0)),
                }
            }
        }
        write(tx, &room.jid, &read)?;
        Ok((kept, read.gaps.into_iter().next()))
    }

    /// Tells who asked what to ask for next.
    pub fn done(self, next: Option<Gap>) {
        let _ = self.next.send(next);
    }
}

fn read(tx: &mut Tx<'_>, jid: &Jid) -> Outcome<Option<Read>> {
    let document = tx.document(&Owner::Node, SHELF, jid.as_str())?;
    let value = document.and_then(|d| d.value);
    Ok(value.map(|v| decode(&v).unwrap_or_default()))
}

fn write(tx: &mut Tx<'_>, jid: &Jid, read: &Read) -> Outcome<()> {
    let value = Some(encode(read)?);
    tx.put_document(&Owner::Node, SHELF, jid.as_str(), Expect::Anything, value)
        .map(drop)
}

/// One of ours comes into the room: what was said since the newest known message may be missing.
pub(super) fn came_in(tx: &mut Tx<'_>, convo: &Convo, jid: &Jid) -> Outcome<()> {
    let known = read(tx, jid)?;
    let newest = newest(tx, convo, jid)?;
    if known.is_none() && newest.is_none() {
        // A room that nobody here knows has a past, and no gap.
        return Ok(());
    }
    let mut read = known.unwrap_or_default();
    let (after, at) = newest.unwrap_or_default();
    let gap = Gap {
        after,
        at,
        seq: tx.tail(convo.id())?.last_seq,
        told: convo.joined().any(|m| m.address.is_account()),
    };
    let full = read.gaps.len() >= GAPS;
    match read.gaps.last_mut() {
        // It goes on, or there are too many: up to what is told from now on.
        Some(last) if full || last.after == gap.after => {
            last.seq = gap.seq;
            last.told |= gap.told;
        }
        _ => read.gaps.push(gap),
    }
    write(tx, jid, &read)
}

/// The newest message that the room has told, by the room's id, and when; without an id where none of them has one.
fn newest(tx: &Tx<'_>, convo: &Convo, jid: &Jid) -> Outcome<Option<(String, Timestamp)>> {
    let events = projection::latest(tx, convo.id(), LATEST)?;
    let mut told = events.iter().rev();
    let told = told.find_map(|e| Some((room_id(e, jid)?, e.at)));
    Ok(told.or_else(|| events.last().map(|e| (String::new(), e.at))))
}

/// A message that brings a result of an archive; true if it was one that was asked for.
pub(super) fn result(room: &Room, from: &Jid, el: &Element) -> bool {
    let Some(result) = el.find("result", ns::MAM) else {
        return false;
    };
    if !from.is_bare() {
        return false;
    }
    let query = result.get("queryid").unwrap_or_default();
    match room.pages.lock().get_mut(query) {
        Some(page) if page.len() < PAGE => {
            page.push(result.clone());
            true
        }
        _ => true,
    }
}

/// Asks for what is behind a gap's start, or for the newest ones. By time where the archive no longer has the id.
fn query(id: &str, gap: Option<&Gap>, by_time: bool) -> Element {
    let text = |name: &'static str, text: &str| Element::new(ns::RSM, name).text(text);
    let set = Element::new(ns::RSM, "set").child(text("max", &PAGE.to_string()));
    let query = Element::new(ns::MAM, "query").attr("queryid", id);
    let Some(gap) = gap else {
        return query.child(set.child(Element::new(ns::RSM, "before")));
    };
    if !by_time {
        return query.child(set.child(text("after", &gap.after)));
    }
    let field = |name: &'static str, value: &str| {
        let value = Element::new(ns::DATA_FORMS, "value").text(value);
        Element::new(ns::DATA_FORMS, "field")
            .attr("var", name)
            .child(value)
    };
    let form = Element::new(ns::DATA_FORMS, "x")
        .attr("type", "submit")
        .child(field("FORM_TYPE", ns::MAM).attr("type", "hidden"))
        .child(field("start", &time::stamp(gap.at)));
    query.child(form).child(set)
}

/// Fills the room's gaps, the oldest first, with at most so many answers of the archive. What is still missing then stays
/// remembered, and `true` says so.
pub(super) async fn fill(server: &Arc<Server>, room: &Arc<Room>, full: &Jid) -> bool {
    if !room.archived.load(Ordering::Relaxed) {
        return false;
    }
    // One is enough, whoever of ours holds a place.
    let Ok(_filling) = room.filling.try_lock() else {
        return false;
    };
    let key = room.jid.to_string();
    let known = server.node.read(move |node| {
        let document = node.store().document(&Owner::Node, SHELF, &key)?;
        let value = document.and_then(|d| d.value);
        Ok(value.map(|v| decode::<Read>(&v).unwrap_or_default()))
    });
    let Ok(known) = known.await else { return false };
    let known = known.map(|read| read.gaps.into_iter().next());
    let mut gap = match known {
        Some(None) => return false,
        Some(gap) => gap,
        None => None,
    };
    let mut by_time = gap.as_ref().is_some_and(|gap| gap.after.is_empty());
    for _ in 0..PAGES {
        let id = format!("{:016x}", server.node.clock().random() >> 64);
        room.pages.lock().insert(id.clone(), Vec::new());
        let question = query(&id, gap.as_ref(), by_time);
        let answer = ask(server, full, &room.jid, "set", question).await;
        let messages = room.pages.lock().remove(&id).unwrap_or_default();
        let Ok(answer) = answer else { return false };
        let Some(fin) = answer.find("fin", ns::MAM) else {
            if gap.is_none() || std::mem::replace(&mut by_time, true) {
                return false;
            }
            continue;
        };
        let complete = fin.get("complete") == Some("true") || messages.is_empty();
        let (next, told) = oneshot::channel();
        let page = Page {
            untold: messages.len(),
            messages,
            gap,
            complete,
            next,
        };
        room.put(Input::Page(page)).await;
        match told.await {
            Ok(Some(next)) => {
                by_time = next.after.is_empty();
                gap = Some(next);
            }
            _ => return false,
        }
    }
    true
}
