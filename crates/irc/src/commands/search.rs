//! soju.im/search: messages that say these words, of one conversation or of all that the account may see.

use std::sync::Arc;

use sammen_core::history::Scope;
use sammen_core::store::Kinds;
use sammen_core::{Address, Content, ConversationId, Convo, Event, Timestamp};

use crate::session::Session;
use crate::translate::out::{self, View};
use crate::wire::caps::Cap;
use crate::wire::standard::codes;
use crate::wire::tags::{Tags, unescape};
use crate::wire::{Message, Numeric, time};

/// What is found where no limit was said.
const USUAL: usize = 50;
/// Searches cost as much as so many changes of metadata.
const COST: u32 = 4;

/// What is looked for.
#[derive(Default)]
struct Wanted {
    place: Option<ConversationId>,
    author: Option<Address>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    text: Option<String>,
    limit: usize,
}

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    if !s.has(Cap::SojuSearch) {
        return s.numeric(Numeric::ERR_UNKNOWNCOMMAND, &["SEARCH"], "Unknown command");
    }
    let wanted = match read(s, m.param(0).unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(key) => {
            let text = "Invalid parameters";
            return s.fail("SEARCH", codes::INVALID_PARAMS, &[&key], text);
        }
    };
    if let Err(seconds) = s.pace(COST) {
        let (code, text) = (codes::RATE_LIMITED, "Too many searches; try later");
        return s.fail("SEARCH", code, &[&seconds.to_string()], text);
    }
    let me = s.account();
    let found = s.server.node.read(move |node| {
        let scope = wanted.place.map_or(Scope::Everything, Scope::Conversation);
        let mut query = node.query(&me, &scope, wanted.limit)?;
        query.kinds = Kinds::Speech;
        query.from_end = wanted.after.is_none();
        query.from = wanted.after;
        query.until = wanted.before;
        query.author = wanted.author;
        query.text = wanted.text;
        let mut out: Vec<(Arc<Event>, Arc<Convo>)> = Vec::new();
        for event in node.store().history(&query)?.events {
            if let (Content::Message(_) | Content::Edit(_), Some(convo)) =
                (&event.content, node.convo(event.conversation)?)
            {
                out.push((event, convo));
            }
        }
        Ok(out)
    });
    match found.await {
        Ok(found) => show(s, &found),
        Err(refusal) => {
            let text = refusal.to_string();
            s.fail("SEARCH", codes::INTERNAL_ERROR, &[], &text);
        }
    }
}

/// The attributes; an error is the one that makes no sense.
fn read(s: &Session, attributes: &[u8]) -> Result<Wanted, String> {
    let most = s.server.config().history;
    let mut wanted = Wanted {
        limit: USUAL.min(most),
        ..Wanted::default()
    };
    for (key, value) in Tags::new(attributes) {
        let key = String::from_utf8_lossy(key).into_owned();
        let value = String::from_utf8(unescape(value).into_owned()).map_err(|_| key.clone())?;
        let known = match key.as_str() {
            "in" => {
                wanted.place = s.conversation(&value).map(|c| c.id());
                wanted.place.is_some()
            }
            "from" => {
                wanted.author = s.server.names.person(&value);
                wanted.author.is_some()
            }
            "after" => {
                wanted.after = time::parse(&value).map(Timestamp);
                wanted.after.is_some()
            }
            "before" => {
                wanted.before = time::parse(&value).map(Timestamp);
                wanted.before.is_some()
            }
            "text" => {
                wanted.text = Some(value).filter(|v| !v.trim().is_empty());
                wanted.text.is_some()
            }
            "limit" => match value.parse() {
                Ok(0) | Err(_) => false,
                Ok(limit) => {
                    wanted.limit = most.min(limit);
                    true
                }
            },
            // Attributes to come are passed over.
            _ => true,
        };
        if !known {
            return Err(key);
        }
    }
    Ok(wanted)
}

fn show(s: &mut Session, found: &[(Arc<Event>, Arc<Convo>)]) {
    let batch = s.has(Cap::Batch).then(|| s.batch_ref());
    if let Some(batch) = &batch {
        let line = s.server_line("BATCH").param(format!("+{batch}"));
        s.reply(line.param("soju.im/search"));
    }
    let (view, server) = (View::of(s.caps).past(), s.server.clone());
    for (event, convo) in found {
        let lines = out::event(&server, event, convo, None, view, batch.as_deref());
        s.reply_lines(lines.into());
    }
    if let Some(batch) = batch {
        let line = s.server_line("BATCH").param(format!("-{batch}"));
        s.reply(line);
    }
}
