//! Who is told of what, as the page does it: what others say, in what is not muted or where the reader is named. And how much of
//! it leaves the node: nothing of what is encrypted, nor of what a stranger writes before they are accepted.

use sammen_core::contact::is_blocked;
use sammen_core::history::may_see;
use sammen_core::live::Announced;
use sammen_core::{Address, Content};
use serde::Serialize;

use super::courier::Letter;
use crate::person::{View, person_in};
use crate::problem::Answer;
use crate::server::Web;
use crate::summary;
use crate::translate;

/// Characters of a text, and of a name.
const TEXT: usize = 300;
const NAME: usize = 80;

/// What one account is told.
pub(super) struct Notice {
    urgent: bool,
    told: Told,
}

/// What the page's service worker reads.
#[derive(Clone, Default, Serialize)]
struct Told {
    /// The conversation's id.
    c: String,
    kind: &'static str,
    #[serde(flatten)]
    words: Words,
}

/// What only who wants it is told.
#[derive(Clone, Default, Serialize)]
struct Words {
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl Notice {
    /// As it goes to a browser.
    pub(super) fn letter(&self, text: bool) -> Letter {
        let mut told = self.told.clone();
        if !text {
            told.words = Words::default();
        }
        Letter {
            urgent: self.urgent,
            text: serde_json::to_string(&told).unwrap_or_default(),
            conversation: told.c,
        }
    }
}

fn first(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// What an account is told of an event; `None` for nothing. Blocking.
pub(super) fn due(web: &Web, reader: &Address, announced: &Announced) -> Answer<Option<Notice>> {
    let (event, convo) = (&announced.event, &announced.convo);
    if !translate::counts(event, reader) || !may_see(convo, reader, event) {
        return Ok(None);
    }
    let account = web.node.account(reader)?;
    if account.is_none_or(|a| a.disabled || a.removed) {
        return Ok(None);
    }
    if is_blocked(&*web.node.contacts(reader)?, &event.author) {
        return Ok(None);
    }
    let named = translate::mentions(event, reader);
    let flags = summary::flags(web, reader, convo.id())?;
    let muted = flags
        .muted_until
        .is_some_and(|until| until == 0 || until > web.node.now().0);
    if muted && !named {
        return Ok(None);
    }
    let request = summary::waits(web, reader, convo)?;
    let mut words = Words::default();
    if let (false, Content::Message(message)) = (request, &event.content) {
        let view = View::of(web, reader);
        let who = person_in(view, convo, &event.author, event.nick.as_deref());
        let text = match message.attachments.first() {
            Some(file) if message.text.is_empty() || message.text == file.url => {
                file.name.clone().unwrap_or_default()
            }
            _ => message
                .text
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        };
        words.who = Some(first(&who.name, NAME));
        words.text = Some(first(&text, TEXT));
        if let Some(room) = convo.conversation.room() {
            let settings = &convo.conversation.settings;
            let name = settings.name.as_deref().unwrap_or(room.name());
            words.room = Some(first(name, NAME));
        }
    }
    Ok(Some(Notice {
        urgent: named || !convo.is_room(),
        told: Told {
            c: convo.id().to_string(),
            kind: if request { "request" } else { "message" },
            words,
        },
    }))
}
