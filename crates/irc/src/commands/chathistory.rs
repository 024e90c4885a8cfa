//! draft/chathistory: LATEST, BEFORE, AFTER, AROUND, BETWEEN, TARGETS over core's history, with its permissions.

use std::collections::HashMap;
use std::sync::Arc;

use sammen_core::history::Scope;
use sammen_core::store::{Anchor, HistoryQuery, Kinds};
use sammen_core::{Address, Content, Convo, Event, EventId, Outcome, Pos, Refusal, Seq, Timestamp};

use crate::session::Session;
use crate::translate::out::{self, View};
use crate::translate::reaction::{self, Reactions};
use crate::wire::caps::Cap;
use crate::wire::standard::codes;
use crate::wire::{Message, time};

/// Bytes of one answer; fewer messages than asked come where they are long, without a gap next to where was read from.
const MOST_BYTES: usize = 512 * 1024;

/// Where a client reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selector {
    /// `*`
    Any,
    Msgid(EventId),
    At(Timestamp),
}

fn selector(text: &str) -> Option<Selector> {
    if text == "*" {
        return Some(Selector::Any);
    }
    if let Some(id) = text.strip_prefix("msgid=") {
        return id.parse().ok().map(Selector::Msgid);
    }
    let at = text.strip_prefix("timestamp=").and_then(time::parse)?;
    Some(Selector::At(Timestamp(at)))
}

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let sub = m.text(0).unwrap_or("").to_ascii_uppercase();
    if sub == "TARGETS" {
        return targets(s, m).await;
    }
    let target = m.text(1).unwrap_or("").to_owned();
    let count = if sub == "BETWEEN" { 5 } else { 4 };
    if !matches!(&*sub, "LATEST" | "BEFORE" | "AFTER" | "AROUND" | "BETWEEN") {
        let text = "Unknown subcommand";
        return s.fail("CHATHISTORY", codes::INVALID_PARAMS, &[&sub], text);
    }
    if m.params().len() < count {
        let text = "Not enough parameters";
        return s.fail("CHATHISTORY", codes::NEED_MORE_PARAMS, &[&sub], text);
    }
    let most = s.server.config().history;
    let limit = m.text(count - 1).and_then(|n| n.parse::<usize>().ok());
    let first = m.text(2).and_then(selector);
    let second = if sub == "BETWEEN" {
        m.text(3).and_then(selector)
    } else {
        Some(Selector::Any)
    };
    let Some(limit) = limit else {
        let text = "The limit is a number";
        return s.fail("CHATHISTORY", codes::INVALID_PARAMS, &[&sub], text);
    };
    let (Some(first), Some(second)) = (first, second) else {
        let text = "A selector is msgid=… or timestamp=…";
        return s.fail("CHATHISTORY", codes::INVALID_PARAMS, &[&sub], text);
    };
    if first == Selector::Any && sub != "LATEST" {
        let text = "* is for LATEST only";
        return s.fail("CHATHISTORY", codes::INVALID_PARAMS, &[&sub], text);
    }
    let limit = if limit == 0 { most } else { limit.min(most) };
    let Some(convo) = s.conversation(&target) else {
        if !target.starts_with('#') && s.server.names.person(&target).is_some() {
            // Nothing was said yet.
            return send(s, &target, None, Found::default()).await;
        }
        let text = "Messages could not be retrieved";
        return s.fail("CHATHISTORY", codes::INVALID_TARGET, &[&sub, &target], text);
    };
    let wanted = Wanted {
        sub: sub.clone(),
        first,
        second,
        limit,
        kinds: kinds(s),
    };
    let (me, id) = (s.account(), convo.id());
    let read = s
        .server
        .node
        .read(move |node| read(node, &me, &Scope::Conversation(id), &wanted));
    match read.await {
        Ok(found) => send(s, &target, Some(convo), found).await,
        Err(Refusal::NotFound) => send(s, &target, Some(convo), Found::default()).await,
        Err(refusal) => {
            let code = match refusal {
                Refusal::NotJoined => codes::INVALID_TARGET,
                _ => codes::MESSAGE_ERROR,
            };
            s.fail("CHATHISTORY", code, &[&sub, &target], &refusal.to_string());
        }
    }
}

fn kinds(s: &Session) -> Kinds {
    if s.has(Cap::EventPlayback) {
        Kinds::All
    } else {
        Kinds::Speech
    }
}

struct Wanted {
    sub: String,
    first: Selector,
    second: Selector,
    limit: usize,
    kinds: Kinds,
}

/// What was read, in its order.
#[derive(Default)]
struct Found {
    events: Vec<Arc<Event>>,
    /// The place of the one that is nearest to where was read from.
    nearest: usize,
}

fn read(
    node: &sammen_core::Node,
    me: &sammen_core::Address,
    scope: &Scope,
    wanted: &Wanted,
) -> Outcome<Found> {
    let query = |from_end: bool, limit: usize| -> Outcome<HistoryQuery> {
        let mut query = node.query(me, scope, limit)?;
        query.kinds = wanted.kinds;
        query.from_end = from_end;
        Ok(query)
    };
    let run = |query: &HistoryQuery| -> Outcome<Found> {
        let events = node.store().history(query)?.events;
        let nearest = if query.from_end {
            events.len().saturating_sub(1)
        } else {
            0
        };
        Ok(Found { events, nearest })
    };
    let limit = wanted.limit;
    match &*wanted.sub {
        "LATEST" => {
            let mut query = query(true, limit)?;
            after(node, me, &mut query, wanted.first)?;
            run(&query)
        }
        "BEFORE" => {
            let mut query = query(true, limit)?;
            before(node, me, &mut query, wanted.first)?;
            run(&query)
        }
        "AFTER" => {
            let mut query = query(false, limit)?;
            after(node, me, &mut query, wanted.first)?;
            run(&query)
        }
        "AROUND" => {
            let mut earlier = query(true, limit / 2)?;
            before(node, me, &mut earlier, wanted.first)?;
            let mut events = if limit > 1 {
                run(&earlier)?.events
            } else {
                Vec::new()
            };
            let nearest = events.len();
            let mut later = query(false, limit - events.len())?;
            // From the event itself on.
            match wanted.first {
                Selector::Msgid(id) => {
                    let anchor = node.anchor(me, id)?;
                    later.after = Some(Anchor {
                        pos: Pos(anchor.pos.0 - 1),
                        seq: Seq(anchor.seq.0.saturating_sub(1)),
                        ..anchor
                    });
                }
                Selector::At(at) => later.from = Some(at),
                Selector::Any => {}
            }
            events.extend(run(&later)?.events);
            Ok(Found { events, nearest })
        }
        _ => {
            // BETWEEN reads from the first towards the second, whichever is earlier.
            let (a, b) = (
                place(node, me, wanted.first)?,
                place(node, me, wanted.second)?,
            );
            let backwards = a > b;
            let (early, late) = if backwards {
                (wanted.second, wanted.first)
            } else {
                (wanted.first, wanted.second)
            };
            let mut query = query(backwards, limit)?;
            after(node, me, &mut query, early)?;
            before(node, me, &mut query, late)?;
            run(&query)
        }
    }
}

fn place(
    node: &sammen_core::Node,
    me: &sammen_core::Address,
    selector: Selector,
) -> Outcome<(Timestamp, Seq)> {
    Ok(match selector {
        Selector::Any => (Timestamp(0), Seq(0)),
        Selector::At(at) => (at, Seq(0)),
        Selector::Msgid(id) => {
            let anchor = node.anchor(me, id)?;
            (anchor.at, anchor.seq)
        }
    })
}

fn after(
    node: &sammen_core::Node,
    me: &sammen_core::Address,
    query: &mut HistoryQuery,
    selector: Selector,
) -> Outcome<()> {
    match selector {
        Selector::Any => {}
        Selector::Msgid(id) => query.after = Some(node.anchor(me, id)?),
        Selector::At(at) => query.from = Some(at.plus_ms(1)),
    }
    Ok(())
}

fn before(
    node: &sammen_core::Node,
    me: &sammen_core::Address,
    query: &mut HistoryQuery,
    selector: Selector,
) -> Outcome<()> {
    match selector {
        Selector::Any => {}
        Selector::Msgid(id) => query.before = Some(node.anchor(me, id)?),
        Selector::At(at) => query.until = Some(at.plus_ms(-1)),
    }
    Ok(())
}

/// The batch of an answer.
async fn send(s: &mut Session, target: &str, convo: Option<Arc<Convo>>, found: Found) {
    let Found { events, nearest } = found;
    let batch = s.has(Cap::Batch).then(|| s.batch_ref());
    if let Some(batch) = &batch {
        let line = s
            .server_line("BATCH")
            .param(format!("+{batch}"))
            .param("chathistory")
            .param(target);
        s.reply(line);
    }
    let view = View::of(s.caps).past();
    let server = s.server.clone();
    let mut bytes = 0;
    if let Some(convo) = convo {
        let shown = s.has(Cap::EventPlayback) && s.has(Cap::MessageTags);
        let mut before = if shown {
            earlier_reactions(s, &events).await
        } else {
            HashMap::new()
        };
        let mut order: Vec<(usize, Arc<Event>)> = events.into_iter().enumerate().collect();
        order.sort_by_key(|(at, _)| at.abs_diff(nearest));
        let mut shown_lines: Vec<(usize, Vec<u8>)> = Vec::with_capacity(order.len());
        for (at, event) in order {
            let lines = if let Content::Reaction { keys } = &event.content {
                // Without event-playback history holds PRIVMSG and NOTICE only.
                if !shown {
                    continue;
                }
                let before = before.remove(&event.seq).unwrap_or_default();
                let change = Reactions::between(&before, keys);
                reaction::render(
                    &server,
                    &event,
                    &convo,
                    None,
                    &change,
                    view,
                    batch.as_deref(),
                )
            } else if !playable(s, &event) {
                continue;
            } else {
                out::event(&server, &event, &convo, None, view, batch.as_deref())
            };
            bytes += lines.len();
            shown_lines.push((at, lines));
            if bytes > MOST_BYTES {
                break;
            }
        }
        shown_lines.sort_by_key(|(at, _)| *at);
        for (_, lines) in shown_lines {
            s.reply_lines(lines.into());
        }
    }
    if let Some(batch) = batch {
        let line = s.server_line("BATCH").param(format!("-{batch}"));
        s.reply(line);
    }
}

fn playable(s: &Session, event: &Event) -> bool {
    match event.content {
        Content::Message(_) | Content::Edit(_) | Content::Encrypted { .. } => true,
        Content::Other { fallback: Some(_) } => true,
        _ => s.has(Cap::EventPlayback),
    }
}

/// What somebody's reactions to a message were before each event that changed them. One reading a message, however often
/// people changed their minds about it.
async fn earlier_reactions(s: &Session, events: &[Arc<Event>]) -> HashMap<Seq, Vec<String>> {
    let is_one = |e: &&Arc<Event>| matches!(e.content, Content::Reaction { .. });
    let events: Vec<_> = events.iter().filter(is_one).cloned().collect();
    if events.is_empty() {
        return HashMap::new();
    }
    let read = s.server.node.read(move |node| {
        let mut out = HashMap::new();
        let mut targets: Vec<EventId> = events.iter().filter_map(|e| e.target()).collect();
        targets.sort_unstable();
        targets.dedup();
        for target in targets {
            let mut now: HashMap<Address, Vec<String>> = HashMap::new();
            for related in node.store().relations(target, 10_000)? {
                let Content::Reaction { keys } = &related.content else {
                    continue;
                };
                let earlier = now.insert(related.author.clone(), keys.clone());
                out.insert(related.seq, earlier.unwrap_or_default());
            }
        }
        Ok(out)
    });
    read.await.unwrap_or_default()
}

/// Which conversations had messages in a time.
async fn targets(s: &mut Session, m: &Message<'_>) {
    let bounds = (m.text(1).and_then(selector), m.text(2).and_then(selector));
    let limit = m.text(3).and_then(|n| n.parse::<usize>().ok());
    let (Some(Selector::At(a)), Some(Selector::At(b)), Some(limit)) = (bounds.0, bounds.1, limit)
    else {
        let text = "TARGETS timestamp=… timestamp=… limit";
        return s.fail("CHATHISTORY", codes::INVALID_PARAMS, &["TARGETS"], text);
    };
    let (from, until) = (a.min(b), a.max(b));
    let most = s.server.config().history;
    let limit = if limit == 0 { most } else { limit.min(most) };
    let me = s.account();
    let read = s.server.node.read(move |node| {
        let mut found: Vec<(Timestamp, Arc<Convo>)> = Vec::new();
        for id in node.store().conversations_of(&me)? {
            let Some(convo) = node.convo(id)? else {
                continue;
            };
            if convo.is_room() && !convo.has(&me) {
                continue;
            }
            let Ok(mut query) = node.query(&me, &Scope::Conversation(id), 1) else {
                continue;
            };
            query.kinds = Kinds::Speech;
            query.from_end = true;
            query.from = Some(from.plus_ms(1));
            query.until = Some(until.plus_ms(-1));
            if let Some(event) = node.store().history(&query)?.events.last() {
                found.push((event.at, convo));
            }
        }
        found.sort_by_key(|(at, _)| *at);
        Ok(found)
    });
    let found = read.await.unwrap_or_default();
    let batch = s.has(Cap::Batch).then(|| s.batch_ref());
    if let Some(batch) = &batch {
        let line = s
            .server_line("BATCH")
            .param(format!("+{batch}"))
            .param("draft/chathistory-targets");
        s.reply(line);
    }
    for (at, convo) in found.into_iter().take(limit) {
        let target = crate::replay::target_of(s, &convo);
        let line = s
            .server_line("CHATHISTORY")
            .param("TARGETS")
            .param(target)
            .param(time::format(at.0));
        let line = match &batch {
            Some(batch) => line.tag("batch", batch),
            None => line,
        };
        s.reply(line);
    }
    if let Some(batch) = batch {
        let line = s.server_line("BATCH").param(format!("-{batch}"));
        s.reply(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        assert_eq!(selector("*"), Some(Selector::Any));
        let id = EventId(5);
        assert_eq!(selector(&format!("msgid={id}")), Some(Selector::Msgid(id)));
        assert_eq!(
            selector("timestamp=1970-01-01T00:00:01.500Z"),
            Some(Selector::At(Timestamp(1500)))
        );
        assert_eq!(selector("time=5"), None);
    }
}
