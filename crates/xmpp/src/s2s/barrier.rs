//! Peers that acknowledge nothing (no XEP-0198): what was sent to them has arrived once they answer a question that was
//! sent behind it (XEP-0199), since a stream keeps its order (RFC 6120 §10.1). A connection alone proves nothing: it takes
//! bytes for a server that died a moment ago. Where no answer comes, our side of the stream is closed, and a peer that
//! lives closes its own ([`flow`](super::flow)).

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::wire::{Element, Jid, Str, ns};

/// How the ids of such questions begin.
const PREFIX: &str = "has-it-";
/// Questions in flight over all streams; beyond them the connection has to do.
const MOST: usize = 10_000;

/// Questions that were asked, by id.
#[derive(Debug, Default)]
pub struct Barriers {
    asked: Mutex<HashMap<String, (Str, oneshot::Sender<()>)>>,
}

/// A question on its way.
#[derive(Debug)]
pub struct Barrier {
    /// Resolves with the answer.
    pub answer: oneshot::Receiver<()>,
    /// What it acknowledges ([`Unacked::acked`](super::pipe::Unacked::acked)).
    pub upto: u32,
    /// How long it is waited for.
    pub until: Instant,
}

impl Barriers {
    /// Asks the server of `remote`: the question to send, and where its answer comes in.
    pub fn ask(&self, local: &Str, remote: &Str, number: u128) -> (Element, oneshot::Receiver<()>) {
        let id = format!("{PREFIX}{number:032x}");
        let (answered, answer) = oneshot::channel();
        let mut asked = self.asked.lock();
        asked.retain(|_, (_, answered)| !answered.is_closed());
        if asked.len() < MOST {
            asked.insert(id.clone(), (remote.clone(), answered));
        }
        let question = Element::new(ns::CLIENT, "iq")
            .attr("type", "get")
            .attr("id", id)
            .attr("from", local.clone())
            .attr("to", remote.clone())
            .child(Element::new(ns::PING, "ping"));
        (question, answer)
    }

    /// Takes an answer, on whatever stream it came; an error is one too. False where it is none.
    pub fn take(&self, from: &Jid, el: &Element) -> bool {
        let (Some(id), Some("result" | "error")) = (el.get("id"), el.get("type")) else {
            return false;
        };
        if el.name() != "iq" || !id.starts_with(PREFIX) || from.local().is_some() {
            return false;
        }
        let mut asked = self.asked.lock();
        if asked
            .get(id)
            .is_none_or(|(remote, _)| remote.as_str() != from.domain())
        {
            return false;
        }
        if let Some((_, answered)) = asked.remove(id) {
            let _ = answered.send(());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_asked_answers() {
        let barriers = Barriers::default();
        let (question, mut answer) = barriers.ask(&"here.org".into(), &"there.org".into(), 7);
        let id = question.get("id").unwrap().to_owned();
        let said = |kind: &'static str| {
            Element::new(ns::CLIENT, "iq")
                .attr("type", kind)
                .attr("id", id.clone())
        };
        let jid = |text| Jid::new(text).unwrap();
        assert!(!barriers.take(&jid("other.org"), &said("error")));
        assert!(!barriers.take(&jid("bob@there.org"), &said("result")));
        assert!(!barriers.take(&jid("there.org"), &said("get")));
        assert!(answer.try_recv().is_err());
        assert!(barriers.take(&jid("there.org"), &said("error")));
        assert_eq!(answer.try_recv(), Ok(()));
        assert!(!barriers.take(&jid("there.org"), &said("result")), "once");
    }
}
