//! Federation as one of core's networks: messages from the outbox, and what people of other servers may see now.

use std::sync::Arc;

use bytes::BytesMut;
use sammen_core::conversation::ConversationKey;
use sammen_core::event::{Event, Native, Scheme};
use sammen_core::live::{ContactCause, Show, StateChange, Typing};
use sammen_core::network::{BoxFuture, Delivery, Network, OutboxRow, Reach};
use sammen_core::ops::home;
use sammen_core::{Address, EventId, NetworkName, Outcome, Protocol, Refusal, Timestamp};
use tokio::sync::oneshot;

use super::pipe::{Failure, Item};
use super::{Federation, SERVICE, ascii, gate, presence};
use crate::client::Client;
use crate::live_stanza::LiveStanza;
use crate::pep::notify::Push;
use crate::server::Server;
use crate::translate::outgoing::{self, Scene};
use crate::translate::{self, Envelope};
use crate::wire::{Context, Element, Jid, Payload, StanzaError, Str, ns, write};
use crate::{elsewhere, message, node_resource};

/// The network's name in addresses.
pub const NAME: &str = "xmpp";
/// Messages to one domain that are on their way at once.
const WINDOW: usize = 64;

/// The network of an `Arc`, which it needs to open streams.
pub struct Port(pub Arc<Federation>);

fn name() -> NetworkName {
    NetworkName::new(NAME).unwrap_or_else(|_| unreachable!("xmpp is a name"))
}

impl Network for Port {
    fn name(&self) -> NetworkName {
        name()
    }

    fn reach<'a>(&'a self, typed: &'a str) -> BoxFuture<'a, Option<Reach>> {
        Box::pin(async move {
            let jid = Jid::new(typed).ok()?;
            jid.local()?;
            let domain = ascii(jid.domain());
            let found = self
                .0
                .ways
                .get()
                .dialer
                .targets(&domain, &SERVICE)
                .await
                .ok()?;
            let address = Address::remote(&name(), jid.bare_str()).ok()?;
            (!found.is_empty() && self.0.config.get().speaks_with(jid.domain())).then_some(Reach {
                network: name(),
                address,
                confirmed: false,
            })
        })
    }

    fn deliver<'a>(
        &'a self,
        row: &'a OutboxRow,
        event: Option<&'a Event>,
    ) -> BoxFuture<'a, Delivery> {
        Box::pin(async move {
            let Some(server) = self.0.server() else {
                return Delivery::Later(row.next.plus_ms(1000));
            };
            let now = server.node.now();
            // Nothing is awaited before the stanza is in the queue: rows are begun in order, and stay in it.
            let Some(event) = event else {
                return Delivery::Done;
            };
            let (message, room) = match elsewhere::outgoing(&server, row, event) {
                elsewhere::Out::NoRoom => (Outgoing::of(&server, row, event), false),
                elsewhere::Out::Send(stanza) => (Outgoing::written(&stanza), true),
                elsewhere::Out::Done(delivery) => return delivery,
            };
            let Some(message) = message else {
                return Delivery::Done;
            };
            let (done, fate) = oneshot::channel();
            let item = Item {
                bytes: message.bytes,
                done: Some(done),
                shell: None,
            };
            let (local, remote) = (message.local, message.remote);
            self.0.enqueue(&local, &remote, item);
            let why = match fate.await {
                Ok(Ok(())) => return Delivery::Done,
                Ok(Err(why)) => why,
                Err(_) => Failure::Lost,
            };
            let waited = now.0.saturating_sub(row.created.0);
            let patience =
                i64::try_from(self.0.config.get().give_up.as_millis()).unwrap_or(i64::MAX);
            if why.is_final() || waited >= patience {
                if room {
                    return Delivery::Refused(why.words());
                }
                return Delivery::Bounced {
                    why: why.words(),
                    native: bounce(event, &why.error()),
                };
            }
            let pause = match self.0.is_component(&remote) {
                // It is tried again as soon as it connects.
                true => 60_000,
                false => self.0.peer(&local, &remote).map_or(1000, |p| p.pause_ms()),
            };
            let pause = pause.max(500);
            Delivery::Later(later(
                server.node.now(),
                pause,
                row.created.plus_ms(patience),
            ))
        })
    }

    fn enter<'a>(
        &'a self,
        who: &'a Address,
        room: &'a Address,
        password: Option<&'a str>,
    ) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            match self.0.server() {
                Some(server) => elsewhere::enter(&server, who, room, password).await,
                None => Err(Refusal::Unreachable),
            }
        })
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn state(&self, to: &Address, change: &Arc<StateChange>) {
        if let Some(server) = self.0.server() {
            tell(&self.0, &server, to.name(), change);
        }
    }
}

/// After a pause, but not later than when it is given up.
fn later(now: Timestamp, pause: i64, end: Timestamp) -> Timestamp {
    now.plus_ms(pause).min(end.max(now.plus_ms(500)))
}

/// An event as a message to another server.
struct Outgoing {
    bytes: bytes::Bytes,
    local: Str,
    remote: Str,
}

impl Outgoing {
    /// A stanza with both addresses.
    fn written(stanza: &Element) -> Option<Self> {
        let address = |name| stanza.get(name).and_then(|a| Jid::new(a).ok());
        let mut out = BytesMut::new();
        write::element(&mut out, stanza, Context::CLIENT);
        Some(Self {
            bytes: out.freeze(),
            local: Str::new(address("from")?.domain()),
            remote: Str::new(address("to")?.domain()),
        })
    }

    /// `None` where XMPP has nothing to say.
    fn of(server: &Server, row: &OutboxRow, event: &Event) -> Option<Self> {
        let children = match translate::native(event) {
            Some(native) => native.bytes.clone(),
            None => {
                let target = event
                    .target()
                    .and_then(|id| server.node.store().event_by_id(id).ok().flatten());
                outgoing::payload(&Scene {
                    event,
                    target: target.as_deref(),
                    target_author: target.as_ref().map(|t| server.bare(&t.author)),
                    room: false,
                })
            }
        };
        if children.is_empty() {
            return None;
        }
        let envelope = Envelope::of(event);
        let full = |bare: String, resource: Option<&str>| match resource {
            Some(resource) => format!("{bare}/{resource}"),
            None => bare,
        };
        let from = full(server.bare(&event.author), envelope.from);
        let to = full(server.bare(&row.to), envelope.to);
        let id = translate::stanza_id(event);
        let mut attrs = vec![
            ("from", from.as_str()),
            ("to", &to),
            ("type", envelope.kind),
            ("id", &id),
        ];
        if let Some(lang) = envelope.lang {
            attrs.push(("xml:lang", lang));
        }
        let mut out = BytesMut::new();
        let parts: [&[u8]; 1] = [&children];
        write::envelope(
            &mut out,
            "message",
            ns::CLIENT,
            &attrs,
            &parts,
            &[],
            Context::CLIENT,
        );
        let (from, to) = (Jid::new(&from).ok()?, Jid::new(&to).ok()?);
        Some(Self {
            bytes: out.freeze(),
            local: Str::new(from.domain()),
            remote: Str::new(to.domain()),
        })
    }
}

/// How XMPP tells the author that a message came back: an error to the client that sent it.
fn bounce(event: &Event, error: &StanzaError) -> Native {
    let sent = Envelope::of(event);
    let envelope = Envelope {
        kind: "error",
        from: sent.to,
        to: sent.from,
        lang: None,
        private: true,
    };
    let stanza =
        Element::new(ns::CLIENT, "message").child(error.to_element(&Str::new_static(ns::CLIENT)));
    Native {
        protocol: Protocol::Xmpp,
        bytes: Payload::of(&stanza).bytes().clone(),
        id: Some(translate::stanza_id(event)),
        kind: Some(envelope.encode()),
    }
}

/// Another server brings a message back that it had taken: its author is told, on whatever protocol.
pub(super) async fn came_back(visitor: &Arc<Client>, account: Address, to: &Jid, el: Element) {
    let me = visitor.account.clone();
    let id = el.get("id").map(str::to_owned);
    let error = StanzaError::of_stanza(&el);
    let (Some(id), Some(error)) = (id, error) else {
        return;
    };
    let author = account.clone();
    let known = visitor.node.write(move |tx| {
        let key = ConversationKey::direct(&author, &me);
        let Some(convo) = tx.convo_by_key(&key)? else {
            return Ok(false);
        };
        let hit = tx.alias(convo.id(), Scheme::XmppId, Some(&author), &id)?;
        let event = match hit {
            Some(hit) => tx.event_by_seq(hit.seq)?,
            // Events of other protocols go out under their own id.
            None => match id.parse::<EventId>() {
                Ok(id) => tx.event(id)?,
                Err(_) => None,
            },
        };
        let fits = |e: &Arc<Event>| e.conversation == convo.id() && e.author == author;
        let Some(event) = event.filter(fits) else {
            return Ok(false);
        };
        let why = error
            .text
            .clone()
            .unwrap_or_else(|| error.condition.name().into());
        home::returned(tx, &event, &me, &why, Some(bounce(&event, &error)))?;
        Ok(true)
    });
    if !known.await.unwrap_or(true) {
        message::handle(visitor, Some(to.clone()), el).await;
    }
}

/// What happened, in XMPP's words, to a bare address on another server.
fn tell(federation: &Arc<Federation>, server: &Arc<Server>, bare: &str, change: &Arc<StateChange>) {
    match &**change {
        StateChange::Presence {
            account,
            session,
            presence,
        } => {
            let other = session.protocol != Protocol::Xmpp;
            if other && presence.show == Show::Offline {
                // One of several sessions may have gone: what is shown is what the others say.
                return later_presence(federation, server, account, bare);
            }
            let Some(from) = server.jid(account) else {
                return;
            };
            let stanza = presence::stanza(server, account, session, presence, bare);
            if let (Some(stanza), Some(to)) = (stanza, domain_of(bare)) {
                federation.send_bytes(from.domain(), &to, stanza, None);
            }
        }
        StateChange::Contact {
            contact,
            value,
            cause,
            ..
        } => {
            let (kind, note) = match cause {
                ContactCause::Asks => ("subscribe", value.asks.as_deref()),
                ContactCause::Allowed => ("subscribed", None),
                ContactCause::Denied => ("unsubscribed", None),
                ContactCause::Unsubscribed => ("unsubscribe", None),
                _ => return,
            };
            let from = server.bare(contact);
            let attrs = [("from", from.as_str()), ("to", bare), ("type", kind)];
            let mut out = BytesMut::new();
            let parts = [note.unwrap_or_default()];
            write::envelope(
                &mut out,
                "presence",
                ns::CLIENT,
                &attrs,
                &parts,
                &[],
                Context::CLIENT,
            );
            let local = Jid::new(&from).ok();
            if let (Some(local), Some(to)) = (local, domain_of(bare)) {
                federation.send_bytes(local.domain(), &to, out.freeze(), None);
            }
        }
        StateChange::Typing {
            who,
            typing,
            native,
            ..
        } => {
            let native = native.clone().and_then(|n| n.downcast::<LiveStanza>().ok());
            match native {
                Some(stanza) => live(federation, bare, &stanza),
                None => {
                    let name = match typing {
                        Typing::Active => "composing",
                        Typing::Paused => "paused",
                        Typing::Done => "active",
                    };
                    let stanza = Element::new(ns::CLIENT, "message")
                        .attr("from", server.bare(who))
                        .attr("to", bare)
                        .attr("type", "chat")
                        .child(Element::new(ns::CHATSTATES, name))
                        .child(Element::new(ns::HINTS, "no-store"));
                    federation.send(&stanza);
                }
            }
        }
        StateChange::Custom {
            protocol: Protocol::Xmpp,
            payload,
            ..
        } => {
            if let Some(stanza) = payload.downcast_ref::<LiveStanza>() {
                live(federation, bare, stanza);
            } else if payload.is::<Push>() {
                federation.visitors.push(bare, change);
            }
        }
        _ => {}
    }
}

/// Once the writer is done: somebody who is here on other protocols, as a whole.
fn later_presence(
    federation: &Arc<Federation>,
    server: &Arc<Server>,
    account: &Address,
    bare: &str,
) {
    let (server, account, bare) = (server.clone(), account.clone(), bare.to_owned());
    let sender = federation.clone();
    federation.spawn(async move {
        let best = node_resource::best(&server, &account);
        let Some(jid) = server.jid(&account) else {
            return;
        };
        let stanza = node_resource::stanza(&server, &account, &bare, &best);
        let mut out = BytesMut::new();
        if let (Some(stanza), Some(to)) = (stanza, domain_of(&bare)) {
            write::element(&mut out, &stanza, Context::CLIENT);
            sender.send_bytes(jid.domain(), &to, out.freeze(), None);
        }
    });
}

/// A stanza of a local client's that is kept nowhere.
fn live(federation: &Arc<Federation>, bare: &str, stanza: &LiveStanza) {
    let to = match &stanza.resource {
        Some(resource) => format!("{bare}/{resource}"),
        None => bare.to_owned(),
    };
    let (Ok(from), Ok(target)) = (Jid::new(&stanza.from), Jid::new(&to)) else {
        return;
    };
    let mut out = BytesMut::new();
    stanza.write(&mut out, &to);
    let shell = Element::new(ns::CLIENT, stanza.name)
        .attr("from", stanza.from.clone())
        .attr("to", to)
        .attr_opt("type", stanza.kind.clone())
        .attr_opt("id", stanza.id.clone());
    let shell = gate::comes_back(&shell).then(|| Box::new(shell));
    federation.send_bytes(from.domain(), target.domain(), out.freeze(), shell);
}

fn domain_of(bare: &str) -> Option<Str> {
    Some(Str::new(Jid::new(bare).ok()?.domain()))
}
