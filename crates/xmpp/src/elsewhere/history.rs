//! What was said in a room elsewhere while nobody of ours was there, from its archive (XEP-0313).

use std::sync::Arc;

use sammen_core::document::Owner;
use sammen_core::history::Scope;
use sammen_core::tx::Expect;
use sammen_core::{Address, Node, Outcome};

use super::held::ask;
use super::project::room_id;
use super::room::{Input, Room};
use crate::server::Server;
use crate::wire::{Element, Jid, ns};

/// The shelf that remembers up to where a room's archive was read.
const SHELF: &str = "xmpp-archive";
/// Events of the log in which the newest message of the room is looked for.
const LATEST: usize = 200;
/// Messages in one answer.
const PAGE: usize = 50;
/// Most answers that are asked for when a room is entered again; of an unknown room the newest one is enough.
const PAGES: usize = 20;

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

fn query(id: &str, after: Option<&str>) -> Element {
    let text = |name: &'static str, text: &str| Element::new(ns::RSM, name).text(text);
    let set = Element::new(ns::RSM, "set").child(text("max", &PAGE.to_string()));
    let set = match after {
        Some(after) => set.child(text("after", after)),
        None => set.child(Element::new(ns::RSM, "before")),
    };
    Element::new(ns::MAM, "query")
        .attr("queryid", id)
        .child(set)
}

/// Reads what the archive has behind what is known, and hands it to the room's task; whatever was said meanwhile
/// follows.
pub(super) async fn fetch(server: &Arc<Server>, room: &Arc<Room>, full: &Jid) {
    let key = room.jid.to_string();
    let known = server.node.read({
        let (key, jid, address) = (key.clone(), room.jid.clone(), room.address.clone());
        move |node| {
            let read = node.store().document(&Owner::Node, SHELF, &key)?;
            let read = read.and_then(|d| d.value);
            let read = read.and_then(|v| String::from_utf8(v.to_vec()).ok());
            // What was said while somebody was there is known too.
            Ok((read, newest(node, &address, &jid)?))
        }
    });
    let (read, newest) = known.await.unwrap_or_default();
    let missed = read.is_some();
    let mut after = newest.or(read.filter(|id| !id.is_empty()));
    let mut found = Vec::new();
    for _ in 0..PAGES {
        let id = format!("{:016x}", server.node.clock().random() >> 64);
        room.pages.lock().insert(id.clone(), Vec::new());
        let answer = ask(server, full, &room.jid, "set", query(&id, after.as_deref())).await;
        let page = room.pages.lock().remove(&id).unwrap_or_default();
        let Ok(answer) = answer else { break };
        let Some(fin) = answer.find("fin", ns::MAM) else {
            // What was known last is no longer there: the newest ones are.
            if after.take().is_some() {
                continue;
            }
            break;
        };
        let newest = after.is_none();
        let last = page.last().and_then(|r| r.get("id")).map(str::to_owned);
        let complete = fin.get("complete") == Some("true") || page.is_empty();
        found.extend(page);
        if last.is_some() {
            after = last;
        }
        if complete || newest {
            break;
        }
    }
    room.put(Input::History {
        messages: found,
        missed,
    })
    .await;
    // Also of an archive that was empty it is remembered that it was read.
    let last = after.unwrap_or_default();
    let write = server.node.write(move |tx| {
        let value = Some(last.into_bytes().into());
        tx.put_document(&Owner::Node, SHELF, &key, Expect::Anything, value)
            .map(drop)
    });
    let _ = write.await;
}

/// The id of the newest message of the room that is known here.
fn newest(node: &Node, address: &Address, jid: &Jid) -> Outcome<Option<String>> {
    let Some(convo) = node.room(address)? else {
        return Ok(None);
    };
    let Some(reader) = convo.joined().find(|m| m.address.is_account()) else {
        return Ok(None);
    };
    let scope = Scope::Conversation(convo.id());
    let mut query = node.query(&reader.address, &scope, LATEST)?;
    query.from_end = true;
    let events = node.store().history(&query)?.events;
    Ok(events.iter().rev().find_map(|e| room_id(e, jid)))
}
