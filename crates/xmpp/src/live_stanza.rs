//! Stanzas that are not stored: from one live client to others, as one shared form.

use bytes::{Bytes, BytesMut};
use sammen_core::event::Protocol;
use sammen_core::live::{Payload, StateChange};
use std::sync::Arc;

use crate::client::Client;
use crate::presence;
use crate::wire::{Context, Element, Jid, Str, ns, write};

/// A stanza on its way. Whoever gets it writes his own address into `to`.
#[derive(Clone, Debug)]
pub struct LiveStanza {
    /// `message`, `presence` or `iq`.
    pub name: &'static str,
    /// Its `type`.
    pub kind: Option<Str>,
    /// The sender.
    pub from: Str,
    /// Its `id`.
    pub id: Option<Str>,
    /// `xml:lang`.
    pub lang: Option<Str>,
    /// The resource that it is for; `None` for the bare address.
    pub resource: Option<Str>,
    /// Children.
    pub children: Bytes,
}

impl LiveStanza {
    /// Takes a stanza of a client's whose `from` is set.
    pub fn of(el: &Element, resource: Option<&str>) -> Self {
        Self {
            name: match el.name() {
                "message" => "message",
                "presence" => "presence",
                _ => "iq",
            },
            kind: el.get_str("type").cloned(),
            from: el.get_str("from").cloned().unwrap_or_default(),
            id: el.get_str("id").cloned(),
            lang: el.lang().map(Str::new),
            resource: resource.map(Str::new),
            children: crate::wire::Payload::of(el).bytes().clone(),
        }
    }

    /// As a state change for all sessions of an account.
    pub fn change(self) -> StateChange {
        StateChange::Custom {
            key: String::new(),
            protocol: Protocol::Xmpp,
            payload: self.payload(),
        }
    }

    /// As a payload.
    pub fn payload(self) -> Payload {
        Arc::new(self)
    }

    /// Writes it for a recipient.
    pub fn write(&self, out: &mut BytesMut, to: &str) {
        let mut attrs = [("", ""); 5];
        let parts = [
            ("from", Some(self.from.as_str())),
            ("to", Some(to)),
            ("type", self.kind.as_deref()),
            ("id", self.id.as_deref()),
            ("xml:lang", self.lang.as_deref()),
        ];
        let mut n = 0;
        for (name, value) in parts {
            if let (Some(value), Some(slot)) = (value, attrs.get_mut(n)) {
                *slot = (name, value);
                n += 1;
            }
        }
        let attrs = attrs.get(..n).unwrap_or_default();
        let children: &[u8] = &self.children;
        write::envelope(
            out,
            self.name,
            ns::CLIENT,
            attrs,
            &[children],
            &[],
            Context::CLIENT,
        );
    }

    /// Shows it to a client if it is for it.
    pub fn deliver(&self, client: &Arc<Client>) {
        let mine = client.jid.resource();
        let (available, priority) = {
            let state = client.state.lock();
            (state.available, state.priority)
        };
        match &self.resource {
            Some(resource) if Some(resource.as_str()) != mine => return,
            Some(_) => {}
            // RFC 6121 §8.5.2: to the bare address, for those who want it.
            None if !available || (self.name == "message" && priority < 0) => return,
            None => {}
        }
        if self.name == "presence" {
            let gone = self.kind.as_deref() == Some("unavailable");
            // Contacts learn it from the broadcast already.
            if let Ok(from) = Jid::new(&self.from)
                && presence::note_seen(client, &from, gone)
            {
                return;
            }
            client.send_quiet(&self.from, |out| self.write(out, client.jid.as_str()));
        } else {
            client.send_with(|out| self.write(out, client.jid.as_str()));
        }
    }
}
