//! XEP-0045 §7.2.13–16: what a joiner is sent of what was said before, and the subject that ends it.

use std::sync::Arc;

use bytes::Bytes;
use sammen_core::convo::Convo;
use sammen_core::history::Scope;
use sammen_core::ids::{Seq, Timestamp};
use sammen_core::store::Kinds;

use super::events::{self, delay, room_jid, subject as subject_element};
use super::occupant;
use super::settings::{HISTORY_MOST, max_history};
use crate::client::Client;
use crate::time;
use crate::wire::{Element, ns};

/// How much of the past a client asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Most characters of whole stanzas.
    pub chars: Option<usize>,
    /// Most messages.
    pub stanzas: Option<usize>,
    /// Only since then.
    pub since: Option<Timestamp>,
}

impl Wanted {
    /// Reads `<history/>`.
    pub fn read(history: Option<&Element>, now: Timestamp) -> Self {
        let Some(history) = history else {
            return Self::default();
        };
        let number = |name| history.get(name).and_then(|n| n.parse::<u32>().ok());
        let seconds = number("seconds").map(|s| now.plus_ms(-i64::from(s) * 1000));
        let since = history.get("since").and_then(time::parse);
        Self {
            chars: number("maxchars").map(|n| n as usize),
            stanzas: number("maxstanzas").map(|n| n as usize),
            since: seconds.max(since),
        }
    }

    fn nothing(&self) -> bool {
        self.chars == Some(0) || self.stanzas == Some(0)
    }

    /// How many at most, in a room that sends `usual` to who does not say.
    fn most(&self, usual: usize) -> usize {
        let asked = self
            .stanzas
            .unwrap_or(if self.since.is_some() || self.chars.is_some() {
                HISTORY_MOST
            } else {
                usual
            });
        asked.min(HISTORY_MOST)
    }

    /// The newest messages that fit into the wanted number and length.
    fn clip(&self, mut messages: Vec<Bytes>, most: usize, envelope: usize) -> Vec<Bytes> {
        let start = messages.len().saturating_sub(most);
        messages.drain(..start);
        if let Some(chars) = self.chars {
            let mut left = chars;
            let mut fits = 0;
            for message in messages.iter().rev() {
                let length = String::from_utf8_lossy(message).chars().count() + envelope;
                if length > left {
                    break;
                }
                left -= length;
                fits += 1;
            }
            let start = messages.len() - fits;
            messages.drain(..start);
        }
        messages
    }
}

/// The messages, without their receiver, up to a place in the log: what follows is delivered.
pub async fn before(
    client: &Arc<Client>,
    convo: &Arc<Convo>,
    upto: Seq,
    wanted: &Wanted,
) -> Vec<Bytes> {
    let most = wanted.most(max_history(&convo.conversation.settings));
    if wanted.nothing() || most == 0 {
        return Vec::new();
    }
    let (reader, id, since) = (client.account.clone(), convo.id(), wanted.since);
    let (server, seen) = (client.server.clone(), convo.clone());
    let read = client.node.read(move |node| {
        // Some of it is no speech, or came meanwhile.
        let mut query = node.query(&reader, &Scope::Conversation(id), most * 2 + 16)?;
        query.kinds = Kinds::Speech;
        query.from_end = true;
        query.from = since;
        let page = node.store().history(&query)?;
        let mut messages = Vec::new();
        for event in &page.events {
            if event.seq > upto || !events::is_history(event) {
                continue;
            }
            let about = events::target(&server, event);
            if let Some(spoken) = events::message(&server, &seen, event, about.as_deref()) {
                messages.push(spoken.tail(&[delay(&server, &seen, event)]));
            }
        }
        Ok(messages)
    });
    match read.await {
        // `<message to='…'` is counted too.
        Ok(messages) => wanted.clip(messages, most, client.jid.as_str().len() + 14),
        Err(refusal) => {
            tracing::warn!(protocol = "xmpp", %refusal, "no history on joining");
            Vec::new()
        }
    }
}

/// §7.2.15: the subject, also where there is none: after it a client knows that it is in.
pub fn subject(client: &Client, convo: &Convo) {
    let settings = &convo.conversation.settings;
    let room = room_jid(&client.server, convo);
    let topic = settings.topic.as_deref().unwrap_or_default();
    let mut message = Element::new(ns::CLIENT, "message")
        .attr("to", client.jid.to_str())
        .attr("type", "groupchat");
    match &settings.topic_by {
        Some((who, at)) => {
            let nick = occupant::nick_of(convo, who);
            let from = if convo.member(who).is_some() {
                format!("{room}/{nick}")
            } else {
                room.clone()
            };
            message.set("from", from);
            message.push(subject_element(topic));
            message.push(
                Element::new(ns::DELAY, "delay")
                    .attr("from", room)
                    .attr("stamp", time::stamp(*at)),
            );
        }
        None => {
            message.set("from", room);
            message.push(subject_element(topic));
        }
    }
    client.send(&message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(attrs: &[(&'static str, &'static str)]) -> Element {
        attrs
            .iter()
            .fold(Element::new(ns::MUC, "history"), |el, (k, v)| {
                el.attr(k, *v)
            })
    }

    #[test]
    fn a_joiner_says_how_much_of_the_past_it_wants() {
        let now = Timestamp(100_000);
        let wanted = Wanted::read(
            Some(&history(&[("seconds", "30"), ("maxstanzas", "5")])),
            now,
        );
        assert_eq!(
            (wanted.since, wanted.stanzas, wanted.most(20)),
            (Some(Timestamp(70_000)), Some(5), 5)
        );
        let since = history(&[("since", "1970-01-01T00:01:30Z")]);
        let wanted = Wanted::read(Some(&since), now);
        assert_eq!(
            (wanted.since, wanted.most(20)),
            (Some(Timestamp(90_000)), HISTORY_MOST)
        );
        assert!(Wanted::read(Some(&history(&[("maxchars", "0")])), now).nothing());
        assert_eq!(Wanted::read(None, now).most(20), 20);
        assert_eq!(
            Wanted::read(Some(&history(&[("maxstanzas", "x")])), now).most(20),
            20
        );
    }

    #[test]
    fn the_newest_are_kept_up_to_a_number_of_characters() {
        let messages = || {
            ["1234567890", "äöü", "xyz"]
                .map(|m| Bytes::from_static(m.as_bytes()))
                .to_vec()
        };
        let chars = |n| Wanted {
            chars: Some(n),
            ..Wanted::default()
        };
        assert_eq!(chars(16).clip(messages(), 9, 5).len(), 2);
        assert_eq!(chars(15).clip(messages(), 9, 5).len(), 1);
        assert_eq!(chars(7).clip(messages(), 9, 5).len(), 0);
        assert_eq!(Wanted::default().clip(messages(), 2, 5).len(), 2);
    }
}
