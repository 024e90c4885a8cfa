//! Between XMPP's children of `<message/>` and core's content, both ways.

pub mod incoming;
pub mod outgoing;
pub mod styling;

use sammen_core::event::{Event, Relation};
use sammen_core::tx::Tx;
use sammen_core::{ConversationId, EventId, Native, Outcome, Protocol};

/// Separates the parts of [`Native::kind`].
const MARK: char = '\u{1f}';

/// What of a message's envelope is kept with its native form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The message's type.
    pub kind: &'a str,
    /// The sender's resource.
    pub from: Option<&'a str>,
    /// The resource that it was for, where it was for one.
    pub to: Option<&'a str>,
    /// `xml:lang` of the stanza.
    pub lang: Option<&'a str>,
    /// No carbons of it (XEP-0280 §6.4).
    pub private: bool,
}

impl<'a> Envelope<'a> {
    /// As [`Native::kind`].
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(32);
        out.push_str(self.kind);
        let private = self.private.then_some("p");
        let parts = [self.from, self.to, self.lang, private];
        let filled = parts.iter().rposition(Option::is_some).map_or(0, |n| n + 1);
        for part in parts.iter().take(filled) {
            out.push(MARK);
            out.push_str(part.unwrap_or_default());
        }
        out
    }

    /// From [`Native::kind`].
    pub fn decode(kind: &'a str) -> Self {
        let mut parts = kind.split(MARK);
        let kind = parts.next().unwrap_or_default();
        let mut next = || parts.next().filter(|p| !p.is_empty());
        Self {
            kind,
            from: next(),
            to: next(),
            lang: next(),
            private: next().is_some(),
        }
    }

    /// The envelope of an event; a chat message where another protocol wrote it.
    pub fn of(event: &'a Event) -> Self {
        match native(event).and_then(|n| n.kind.as_deref()) {
            Some(kind) => Self::decode(kind),
            None => Self {
                kind: "chat",
                ..Self::default()
            },
        }
    }
}

/// The native form, if XMPP wrote the event.
pub fn native(event: &Event) -> Option<&Native> {
    event
        .native
        .as_ref()
        .filter(|n| n.protocol == Protocol::Xmpp)
}

/// The `id` under which XMPP clients know an event: the sender's own, or for other protocols the event's.
pub fn stanza_id(event: &Event) -> String {
    match native(event) {
        Some(native) => native.id.clone().unwrap_or_else(|| event.id.to_string()),
        None => event.id.to_string(),
    }
}

/// Where a relation names an event by its own id (XEP-0359 stanza-id), that is the target.
///
/// # Errors
/// When the store can't be read.
pub fn resolve(tx: &mut Tx<'_>, convo: ConversationId, relation: &mut Relation) -> Outcome<()> {
    let named = relation.foreign.as_ref().map(|f| f.id.parse::<EventId>());
    if let Some(Ok(id)) = named
        && relation.target.is_none()
        && tx.event(id)?.is_some_and(|e| e.conversation == convo)
    {
        relation.target = Some(id);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_round_trip() {
        for envelope in [
            Envelope {
                kind: "chat",
                ..Envelope::default()
            },
            Envelope {
                kind: "chat",
                from: Some("phone"),
                ..Envelope::default()
            },
            Envelope {
                kind: "normal",
                from: Some("a/b"),
                to: Some("x y"),
                lang: Some("de"),
                private: true,
            },
            Envelope {
                kind: "groupchat",
                lang: Some("en"),
                ..Envelope::default()
            },
        ] {
            assert_eq!(Envelope::decode(&envelope.encode()), envelope);
        }
    }
}
