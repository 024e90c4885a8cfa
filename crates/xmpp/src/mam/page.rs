//! A page of an archive: read, shown, and summed up. For accounts and rooms.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use sammen_core::store::{Anchor, HistoryQuery};
use sammen_core::{Address, ConversationId, Convo, Event, EventId, Node, Outcome, Refusal};

use super::request::{COUNTED, Request};
use super::unknown_item;
use crate::client::Client;
use crate::wire::write::{self, Out};
use crate::wire::{Context, Element, StanzaError, ns};
use crate::{time, translate};

/// Results of any page are counted up to here.
const FEW: usize = 500;

/// What was read.
pub struct Fetched {
    events: Vec<Arc<Event>>,
    /// Nothing lies beyond, in the direction of paging.
    complete: bool,
    /// How many there are in all, where that is known.
    count: Option<u64>,
    /// The number of the first one, where that is known.
    index: Option<u64>,
    convos: HashMap<ConversationId, Arc<Convo>>,
    targets: HashMap<EventId, Arc<Event>>,
}

impl Fetched {
    /// Nothing at all.
    pub fn empty() -> Self {
        Self {
            events: Vec::new(),
            complete: true,
            count: Some(0),
            index: None,
            convos: HashMap::new(),
            targets: HashMap::new(),
        }
    }

    /// The events in the order in which they are sent.
    pub fn events_for(&self, request: &Request) -> Vec<&Event> {
        // What came back from another server was told once; an archive of errors helps nobody.
        let error = |e: &Event| crate::translate::Envelope::of(e).kind == "error";
        let events = self.events.iter().map(|e| &**e).filter(move |e| !error(e));
        if request.flip {
            events.rev().collect()
        } else {
            events.collect()
        }
    }

    /// Whom `me` had the event with.
    pub fn peer(&self, event: &Event, me: &Address) -> Option<&Address> {
        self.convos
            .get(&event.conversation)?
            .conversation
            .peer_of(me)
    }

    /// An event that one of another protocol refers to.
    pub fn target(&self, id: EventId) -> Option<&Event> {
        self.targets.get(&id).map(|e| &**e)
    }
}

/// Reads a page: `query` says whose archive (without bounds), `request` what of it. Blocking.
///
/// # Errors
/// Outside when the store can't be read, inside `item-not-found` for ids that are not in the archive.
pub fn fetch(
    node: &Node,
    reader: &Address,
    mut query: HistoryQuery,
    request: &Request,
) -> Outcome<Result<Fetched, StanzaError>> {
    let anchor = |id: EventId| -> Outcome<Option<Anchor>> {
        match node.anchor(reader, id) {
            Ok(anchor) => Ok(Some(anchor)),
            Err(Refusal::NotFound) => Ok(None),
            Err(other) => Err(other),
        }
    };
    if !request.ids.is_empty() {
        return some(node, reader, &query, &request.ids);
    }
    let mut bounds = [None; 4];
    let ids = [
        request.after,
        request.rsm.after,
        request.before,
        request.rsm.before.flatten(),
    ];
    for (bound, id) in bounds.iter_mut().zip(ids) {
        if let Some(id) = id {
            match anchor(id)? {
                Some(found) => *bound = Some(found),
                None => return Ok(Err(unknown_item())),
            }
        }
    }
    let [after, rsm_after, before, rsm_before] = bounds;
    let place = |a: &Anchor| (a.at, a.pos, a.seq);
    query.after = [after, rsm_after].into_iter().flatten().max_by_key(place);
    query.before = [before, rsm_before].into_iter().flatten().min_by_key(place);
    query.from = request.start;
    query.until = request.end;
    query.text = request.text.clone();
    query.from_end = request.rsm.before.is_some();
    query.limit = request.rsm.max;
    // XEP-0059 §2.6: the whole result is counted, of which `after` and `before` of the page say nothing.
    let whole = HistoryQuery {
        after,
        before,
        ..query.clone()
    };
    let counted = |most: usize| -> Outcome<u64> {
        Ok(node.store().count(&HistoryQuery {
            limit: most,
            ..whole.clone()
        })?)
    };
    if request.rsm.max == 0 {
        // §2.7: just counting.
        let count = counted(COUNTED as usize)?;
        return Ok(Ok(Fetched {
            complete: count == 0,
            count: Some(count),
            ..Fetched::empty()
        }));
    }
    query.skip = request.rsm.index.unwrap_or(0);
    let page = node.store().history(&query)?;
    let (len, skip) = (page.events.len() as u64, query.skip as u64);
    let begins = rsm_after.is_none() && !query.from_end;
    let count = if begins && !page.more && (len > 0 || skip == 0) {
        Some(skip + len)
    } else if request.rsm.index.is_some() {
        // Who jumps about wants to know where the end is.
        Some(counted(COUNTED as usize)?)
    } else {
        // As far as it costs little.
        Some(counted(FEW)?).filter(|n| *n < FEW as u64)
    };
    let index = if begins {
        Some(skip)
    } else if query.from_end && rsm_before.is_none() {
        count.map(|count| count.saturating_sub(len))
    } else {
        None
    };
    let mut fetched = around(node, page.events, !page.more, count)?;
    fetched.index = index;
    Ok(Ok(fetched))
}

/// Single events (`ids`): all of them must be there (XEP-0313 §4.1.6).
fn some(
    node: &Node,
    reader: &Address,
    query: &HistoryQuery,
    ids: &[EventId],
) -> Outcome<Result<Fetched, StanzaError>> {
    let mut events = Vec::with_capacity(ids.len());
    for id in ids {
        let found = node.visible_event(reader, *id)?;
        let here = |e: &Arc<Event>| query.sources.iter().any(|(c, _)| *c == e.conversation);
        match found.filter(here) {
            Some(event) => events.push(event),
            None => return Ok(Err(unknown_item())),
        }
    }
    events.sort_by_key(|e| (e.at, e.pos, e.seq));
    events.dedup_by_key(|e| e.seq);
    let count = Some(events.len() as u64);
    Ok(Ok(around(node, events, true, count)?))
}

/// Adds what rendering needs.
fn around(
    node: &Node,
    events: Vec<Arc<Event>>,
    complete: bool,
    count: Option<u64>,
) -> Outcome<Fetched> {
    let mut fetched = Fetched {
        complete,
        count,
        ..Fetched::empty()
    };
    for event in &events {
        if !fetched.convos.contains_key(&event.conversation)
            && let Some(convo) = node.convo(event.conversation)?
        {
            fetched.convos.insert(convo.id(), convo);
        }
        if translate::native(event).is_none()
            && let Some(id) = event.target()
            && let Some(target) = node.store().event_by_id(id)?
        {
            fetched.targets.insert(id, target);
        }
    }
    fetched.events = events;
    Ok(fetched)
}

/// Sends one result; `message` writes the `<message/>` for [`Context::inside`] of [`ns::FORWARD`].
pub fn result(
    client: &Client,
    archive: &str,
    request: &Request,
    event: &Event,
    message: impl FnOnce(&mut BytesMut),
) {
    let mut inside = BytesMut::with_capacity(1024);
    let id = event.id.encode();
    let id = std::str::from_utf8(&id).unwrap_or_default();
    let stamp = time::stamp(event.at);
    inside.put(b"<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='");
    inside.put(stamp.as_bytes());
    inside.put(b"'/>");
    message(&mut inside);
    inside.put(b"</forwarded>");
    let mut attrs = vec![("id", id)];
    if let Some(queryid) = &request.queryid {
        attrs.push(("queryid", queryid));
    }
    let mut result = BytesMut::with_capacity(inside.len() + 128);
    let context = Context::inside(ns::CLIENT);
    write::envelope(
        &mut result,
        "result",
        ns::MAM,
        &attrs,
        &[&inside],
        &[],
        context,
    );
    let to = client.jid.as_str();
    client.send_with(|out| {
        let attrs = [("from", archive), ("to", to)];
        write::envelope(
            out,
            "message",
            ns::CLIENT,
            &attrs,
            &[&result],
            &[],
            Context::CLIENT,
        );
    });
}

/// The `<fin/>` of a query.
pub fn fin(request: &Request, fetched: &Fetched) -> Element {
    let id = |e: Option<&Arc<Event>>| e.map(|e| e.id.to_string());
    let text = |name: &'static str| move |t: String| Element::new(ns::RSM, name).text(t);
    let first = id(fetched.events.first())
        .map(text("first"))
        .map(|el| el.attr_opt("index", fetched.index.map(|n| n.to_string())));
    let set = Element::new(ns::RSM, "set")
        .children(first)
        .children(id(fetched.events.last()).map(text("last")))
        .children(fetched.count.map(|c| c.to_string()).map(text("count")));
    Element::new(ns::MAM, "fin")
        .attr_opt("queryid", request.queryid.clone())
        .attr_opt("complete", fetched.complete.then_some("true"))
        .child(set)
}

/// The first and the last event of an archive. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn ends(node: &Node, mut query: HistoryQuery) -> Outcome<Vec<Arc<Event>>> {
    query.limit = 1;
    let first = node.store().history(&query)?.events;
    query.from_end = true;
    let last = node.store().history(&query)?.events;
    Ok(first.into_iter().chain(last).collect())
}

/// `<metadata/>` (XEP-0313 §5.2).
pub fn metadata(ends: Vec<Arc<Event>>) -> Element {
    let edge = |name: &'static str, event: &Event| {
        Element::new(ns::MAM, name)
            .attr("id", event.id.to_string())
            .attr("timestamp", time::stamp(event.at))
    };
    let names = ["start", "end"];
    let edges = names
        .iter()
        .zip(&ends)
        .map(|(name, event)| edge(name, event));
    Element::new(ns::MAM, "metadata").children(edges)
}
