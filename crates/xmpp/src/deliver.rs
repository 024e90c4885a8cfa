//! What core's mailbox holds for a client → stanzas: events, state, signals, answers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sammen_core::event::{Content, Event};
use sammen_core::live::{Announced, ContactCause, StateChange, Typing};
use sammen_core::mailbox::{CloseReason, Delivery};
use sammen_core::{Device, Protocol};

use crate::c2s::sm;
use crate::client::Client;
use crate::feature::FEATURES;
use crate::live_stanza::LiveStanza;
use crate::translate::outgoing::{self, Scene};
use crate::translate::{self, Envelope};
use crate::wire::{Context, Element, ns, write};
use crate::{blocking, carbons, message, pep, presence, roster, time};

/// Forms of events that this crate keeps with them (see [`Announced::form`]); rooms have their own from 16 on.
const CHILDREN: u32 = 1;

/// Takes one delivery; the reason, where the session ends.
pub async fn one(client: &Arc<Client>, delivery: Delivery) -> Option<CloseReason> {
    match delivery {
        Delivery::Event(announced) => event(client, &announced).await,
        Delivery::Done { ticket, result } => {
            let shell = client.inbound.lock().done(ticket);
            if let (Err(refusal), Some(shell)) = (result, shell) {
                message::refused(client, &shell, &refusal);
            }
            sm::answer(client);
        }
        Delivery::State(change) => state(client, &change).await,
        Delivery::Signal(signal) => {
            if let Ok(stanza) = signal.payload.clone().downcast::<LiveStanza>() {
                client.send_with(|out| stanza.write(out, client.jid.as_str()));
            } else {
                custom(client, &signal.payload);
            }
        }
        Delivery::Lagged { after, upto } => {
            let rooms = client.node.live(|live| live.rooms_of(client.session.id));
            client.lag.lock().missed(rooms, after, upto);
        }
        Delivery::StateLost => {
            presence::probe(client).await;
            for feature in FEATURES {
                if let Some(lost) = feature.state_lost {
                    lost(client.clone()).await;
                }
            }
        }
        Delivery::Closed(why) => return Some(why),
    }
    None
}

/// A committed event. While the client catches up from the log, it comes from there.
pub async fn event(client: &Arc<Client>, announced: &Arc<Announced>) {
    let catching_up = {
        let mut lag = client.lag.lock();
        if lag.takes(announced) {
            return;
        }
        !lag.is_empty()
    };
    show(client, announced).await;
    if !catching_up {
        let mut state = client.state.lock();
        state.cursor = state.cursor.max(announced.event.seq);
    }
}

/// Shows an event to the client.
pub async fn show(client: &Arc<Client>, announced: &Arc<Announced>) {
    client.out.lock().show(announced.event.seq);
    if announced.convo.is_room() {
        if let Some(room) = FEATURES.iter().find_map(|f| f.room_event) {
            room(client, announced);
        }
    } else {
        direct(client, announced).await;
    }
    client.out.lock().shown();
}

async fn direct(client: &Arc<Client>, announced: &Arc<Announced>) {
    let event = &announced.event;
    let me = &client.account;
    let Some(peer) = announced.convo.conversation.peer_of(me) else {
        return;
    };
    let mine = event.author == *me && peer != me;
    // What another server did not take: an error follows, which says so.
    if event.acceptance == sammen_core::event::Acceptance::Rejected {
        return;
    }
    if mine && announced.origin == Some(client.session.id) {
        return;
    }
    let envelope = Envelope::of(event);
    let (carbons, listens) = {
        let state = client.state.lock();
        let there = state.available && state.priority >= 0 && event.seq > state.since;
        (state.carbons && !envelope.private, there)
    };
    let for_me = envelope
        .to
        .is_none_or(|to| Some(to) == client.jid.resource());
    let plain = !mine && for_me && (listens || envelope.to.is_some());
    if !plain && !carbons {
        return;
    }
    let Some(children) = children(client, announced).await else {
        return;
    };
    let stamp = Stamp {
        event,
        archive: &client.bare,
    };
    if plain {
        let addresses = Addresses::of(client, event, peer, &envelope);
        client.send_with(|out| {
            addresses.write(
                out,
                &envelope,
                event,
                &[&children, &stamp.id()],
                Context::CLIENT,
            );
        });
    } else {
        let addresses = Addresses::of(client, event, peer, &envelope);
        let direction = if mine { "sent" } else { "received" };
        client.send_with(|out| {
            carbons::wrap(out, client, direction, envelope.kind, |out| {
                let inside = Context::inside(ns::FORWARD);
                addresses.write(out, &envelope, event, &[&children, &stamp.id()], inside);
            });
        });
    }
}

/// A message that waited while nobody was there (XEP-0160), with its time (XEP-0203).
pub async fn late(client: &Arc<Client>, announced: &Arc<Announced>) {
    let event = &announced.event;
    let Some(peer) = announced.convo.conversation.peer_of(&client.account) else {
        return;
    };
    let people = matches!(event.content, Content::Marker(_));
    if event.author == client.account || people {
        return;
    }
    let Some(children) = children(client, announced).await else {
        return;
    };
    let envelope = Envelope::of(event);
    let stamp = Stamp {
        event,
        archive: &client.bare,
    };
    let addresses = Addresses::of(client, event, peer, &envelope);
    let domain = client.server.domain().as_str();
    let delay = format!(
        "<delay xmlns='urn:xmpp:delay' from='{domain}' stamp='{}'/>",
        time::stamp(event.at)
    );
    client.send_with(|out| {
        let parts: [&[u8]; 3] = [&children, &stamp.id(), delay.as_bytes()];
        addresses.write(out, &envelope, event, &parts, Context::CLIENT);
    });
}

/// The children of an event of a direct conversation, as XMPP wrote them or as they are for XMPP; `None` where there is
/// nothing to show.
pub async fn children(client: &Client, announced: &Arc<Announced>) -> Option<Bytes> {
    let event = &announced.event;
    if let Some(native) = translate::native(event) {
        return Some(native.bytes.clone());
    }
    let mut target = announced.about.clone();
    if target.is_none()
        && let Some(id) = event.target()
    {
        let found = client
            .node
            .read(move |node| Ok(node.store().event_by_id(id)?));
        target = found.await.ok().flatten();
    }
    let made = announced.form(Protocol::Xmpp, CHILDREN, || {
        let target = target.as_deref();
        outgoing::payload(&Scene {
            event,
            target,
            target_author: target.map(|t| client.server.bare(&t.author)),
            room: false,
        })
    });
    (!made.is_empty()).then(|| (*made).clone())
}

/// The addresses of a direct message, seen by one of the two.
pub struct Addresses {
    from: String,
    to: String,
}

impl Addresses {
    /// Of an event between the client's account and `peer`.
    pub fn of(
        client: &Client,
        event: &Event,
        peer: &sammen_core::Address,
        envelope: &Envelope<'_>,
    ) -> Self {
        let full = |bare: &str, resource: Option<&str>| match resource {
            Some(resource) => format!("{bare}/{resource}"),
            None => bare.to_owned(),
        };
        let to = if event.author == client.account {
            peer
        } else {
            &client.account
        };
        Self {
            from: full(&client.server.bare(&event.author), envelope.from),
            to: full(&client.server.bare(to), envelope.to),
        }
    }

    /// Writes the message.
    pub fn write(
        &self,
        out: &mut BytesMut,
        envelope: &Envelope<'_>,
        event: &Event,
        parts: &[&[u8]],
        context: Context<'_>,
    ) {
        let id = event.id.encode();
        let own = std::str::from_utf8(&id).unwrap_or_default();
        let id = match translate::native(event) {
            Some(native) => native.id.as_deref(),
            None => Some(own),
        };
        let mut attrs = [
            ("from", self.from.as_str()),
            ("to", &self.to),
            ("type", envelope.kind),
            ("", ""),
            ("", ""),
        ];
        let mut n = 3;
        for (name, value) in [("id", id), ("xml:lang", envelope.lang)] {
            if let (Some(value), Some(slot)) = (value, attrs.get_mut(n)) {
                *slot = (name, value);
                n += 1;
            }
        }
        let attrs = attrs.get(..n).unwrap_or_default();
        write::envelope(out, "message", ns::CLIENT, attrs, parts, &[], context);
    }
}

/// XEP-0359: the id of an event in an archive.
pub struct Stamp<'a> {
    /// The event.
    pub event: &'a Event,
    /// Whose archive, as a bare JID.
    pub archive: &'a str,
}

impl Stamp<'_> {
    /// `<stanza-id/>`.
    pub fn id(&self) -> Vec<u8> {
        let id = self.event.id.encode();
        let mut out = Vec::with_capacity(110);
        out.extend_from_slice(b"<stanza-id xmlns='urn:xmpp:sid:0' id='");
        out.extend_from_slice(&id);
        out.extend_from_slice(b"' by='");
        // No bare JID of ours has a character that XML would read (RFC 7622 §3.3.1).
        out.extend_from_slice(self.archive.as_bytes());
        out.extend_from_slice(b"'/>");
        out
    }
}

async fn state(client: &Arc<Client>, change: &Arc<StateChange>) {
    match &**change {
        StateChange::Presence {
            account,
            session,
            presence,
        } => presence::show(client, account, session, presence),
        StateChange::Contact {
            contact,
            value,
            cause,
            ..
        } => {
            roster::push(client, contact, value, *cause);
            blocking::push(client, contact, value, *cause);
            presence::subscription(client, contact, value, *cause);
            if *cause == ContactCause::Allowed {
                pep::newly_allowed(client, contact).await;
            }
        }
        StateChange::Typing {
            convo,
            who,
            typing,
            native,
            ..
        } if !convo.is_room() => {
            if let Some(stanza) = native.clone().and_then(|n| n.downcast::<LiveStanza>().ok()) {
                let state = client.state.lock();
                let there = state.available && state.priority >= 0;
                drop(state);
                let mine = stanza.resource.as_deref();
                if there && mine.is_none_or(|r| Some(r) == client.jid.resource()) {
                    let key = format!("typing {}", stanza.from);
                    client.send_quiet(&key, |out| stanza.write(out, client.jid.as_str()));
                }
            } else {
                typed(client, who, *typing);
            }
        }
        StateChange::SignedIn { device } if device.id != client.device.id => {
            signed_in(client, device);
        }
        StateChange::Keys { device, change } if device.id != client.device.id => {
            headline(client, "Encryption keys", &change.words(device));
        }
        StateChange::Custom {
            protocol: Protocol::Xmpp,
            payload,
            ..
        } => {
            if let Ok(stanza) = payload.clone().downcast::<LiveStanza>() {
                stanza.deliver(client);
            } else {
                custom(client, payload);
            }
        }
        _ => {
            for feature in FEATURES {
                if feature.state.is_some_and(|take| take(client, change)) {
                    return;
                }
            }
        }
    }
}

fn custom(client: &Arc<Client>, payload: &sammen_core::live::Payload) {
    for feature in FEATURES {
        if feature.custom.is_some_and(|take| take(client, payload)) {
            return;
        }
    }
}

/// Somebody on another protocol types (XEP-0085).
fn typed(client: &Client, who: &sammen_core::Address, typing: Typing) {
    {
        let state = client.state.lock();
        if !state.available || state.priority < 0 {
            return;
        }
    }
    let name = match typing {
        Typing::Active => "composing",
        Typing::Paused => "paused",
        Typing::Done => "active",
    };
    let from = client.server.bare(who);
    let child = format!("<{name} xmlns='{}'/>", ns::CHATSTATES);
    let attrs = [
        ("from", from.as_str()),
        ("to", client.jid.as_str()),
        ("type", "chat"),
    ];
    client.send_quiet(&format!("typing {from}"), |out| {
        write::envelope(
            out,
            "message",
            ns::CLIENT,
            &attrs,
            &[child.as_bytes()],
            &[],
            Context::CLIENT,
        );
    });
}

/// Another device signed in for the first time: its owner should know.
fn signed_in(client: &Client, device: &Device) {
    let what = device.label.as_deref().unwrap_or("without a name");
    let with = match &device.credential {
        Some(credential) => format!("the app password {:?}", credential.name),
        None => "your passphrase".to_owned(),
    };
    let protocol = device.protocol.name();
    let text = format!(
        "A new device ({what}, {protocol}) signed in to your account with {with}. \
         If that was not you, change your passphrase."
    );
    headline(client, "New device", &text);
}

/// A word of the node about the account, for who is there to read it.
fn headline(client: &Client, subject: &str, text: &str) {
    {
        let state = client.state.lock();
        if !state.available || state.priority < 0 {
            return;
        }
    }
    let message = Element::new(ns::CLIENT, "message")
        .attr("from", client.server.domain().as_str())
        .attr("to", client.jid.to_str())
        .attr("type", "headline")
        .child(Element::new(ns::CLIENT, "subject").text(subject))
        .child(Element::new(ns::CLIENT, "body").text(text));
    client.send(&message);
}
