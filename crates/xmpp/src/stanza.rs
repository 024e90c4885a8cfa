//! A signed-in client's stanzas: checked (RFC 6120 §8), then to whom they are for.

use std::sync::Arc;

use sammen_core::live::Signal;
use sammen_core::{Address, Protocol};

use crate::address::Place;
use crate::c2s::sm;
use crate::client::Client;
use crate::feature::{FEATURES, RoomIq, handler};
use crate::iq::{Iq, Where};
use crate::live_stanza::LiveStanza;
use crate::wire::{Condition, Element, Jid, StanzaError, StreamCondition, StreamError, ns};
use crate::{caps, message, node_resource, presence};

/// Takes a first-level element. An error ends the stream.
pub async fn handle(client: &Arc<Client>, mut el: Element) -> Result<(), StreamError> {
    match (el.name(), el.ns()) {
        (_, ns::SM) => return sm::element(client, &el).await,
        ("active", ns::CSI) => {
            client.out.lock().set_inactive(false);
            client.bell.notify_one();
            return Ok(());
        }
        ("inactive", ns::CSI) => {
            client.out.lock().set_inactive(true);
            return Ok(());
        }
        ("message" | "presence" | "iq", ns::CLIENT) => {}
        _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
    }
    // RFC 6120 §8.1.2.1: nobody speaks for another. Another resource of the own account is overridden below, not an
    // error: Converse.js names the one it would have bound after it resumed a stream.
    if let Some(from) = el.get("from") {
        let from = Jid::new(from).map_err(|_| StreamError::new(StreamCondition::InvalidFrom))?;
        if from.bare_str() != client.bare {
            return Err(StreamCondition::InvalidFrom.into());
        }
    }
    el.set("from", client.jid.to_str());
    client.inbound.lock().begin();
    let to = match el.get("to").map(Jid::new) {
        None => Ok(None),
        Some(Ok(to)) => Ok(Some(to)),
        Some(Err(_)) => Err(StanzaError::new(Condition::JidMalformed)),
    };
    match (el.name(), to) {
        (_, Err(error)) => client.refuse(&el, &error),
        ("message", Ok(to)) => message::handle(client, to, el).await,
        ("presence", Ok(to)) => presence::handle(client, to, el).await,
        (_, Ok(to)) => iq(client, to, el).await,
    }
    client.inbound.lock().end();
    sm::answer(client);
    Ok(())
}

/// A sign of life is wanted (RFC 6120 §4.6.3).
pub fn ping(client: &Client) {
    if client.out.lock().is_managed() {
        let mut out = client.out.lock();
        out.nonza(&Element::new(ns::SM, "r"));
        return;
    }
    let id = format!("ping-{:08x}", client.node.clock().random() >> 96);
    let ping = Element::new(ns::CLIENT, "iq")
        .attr("type", "get")
        .attr("from", client.server.domain().as_str())
        .attr("to", client.jid.to_str())
        .attr("id", id.as_str())
        .child(Element::new(ns::PING, "ping"));
    let asked = &mut client.state.lock().asked;
    asked.retain(|_, a| !matches!(a, caps::Asked::Ping));
    asked.insert(id.into(), caps::Asked::Ping);
    client.send(&ping);
}

/// Takes an IQ from a client, or from somebody of another server.
pub(crate) async fn iq(client: &Arc<Client>, to: Option<Jid>, el: Element) {
    // RFC 6120 §8.2.3.
    let Some(id) = el.get_str("id").cloned() else {
        return client.refuse(&el, &Iq::bad("an IQ has an id"));
    };
    let set = match el.get("type") {
        Some("get") => false,
        Some("set") => true,
        Some("result" | "error") => return answer(client, to, el).await,
        _ => return client.refuse(&el, &Iq::bad("an IQ has a type")),
    };
    let mut children = el.elements();
    let (Some(child), None) = (children.next().cloned(), children.next()) else {
        return client.refuse(&el, &Iq::bad("a request has one child"));
    };
    let own = Place::Account(client.account.clone());
    let place = to
        .as_ref()
        .map_or_else(|| own.clone(), |to| client.server.place(to));
    let full = to.as_ref().and_then(Jid::resource).map(str::to_owned);
    let at = match (&place, &full) {
        (Place::Server, None) => Where::Server,
        (Place::Account(account), None) if *account == client.account => Where::OwnAccount,
        (Place::Account(_), None) => Where::OtherAccount,
        (Place::Account(account), Some(resource)) => {
            let (account, resource) = (account.clone(), resource.clone());
            return relay(client, &account, &resource, &el).await;
        }
        (Place::RoomService, None) => Where::RoomService,
        (Place::Room(_), None) => Where::Room,
        (Place::Room(_), Some(_)) => Where::Occupant,
        (Place::Upload, None) => Where::Upload,
        (Place::Remote(peer), _) => {
            let (peer, el) = (peer.clone(), el.clone());
            return elsewhere(client, &peer, &el);
        }
        (_, _) => return client.refuse(&el, &Condition::ItemNotFound.into()),
    };
    let request = Iq {
        id: id.clone(),
        from: client.jid.clone(),
        to: to.clone(),
        place,
        at,
        set,
        child,
    };
    let answer = match handler(&request) {
        Some(handler) => (handler.handle)(client.clone(), request).await,
        None => match FEATURES.iter().find_map(|f| f.room_iq) {
            Some(room) if matches!(at, Where::Room | Where::Occupant) => {
                match room(client.clone(), request).await {
                    RoomIq::Relayed => return,
                    RoomIq::Answer(answer) => answer,
                }
            }
            // RFC 6121 §8.5.2.1.3.
            _ => Err(Condition::ServiceUnavailable.into()),
        },
    };
    match answer {
        Ok(child) => client.result(&id, to.as_ref(), child),
        Err(error) => client.refuse(&el, &error),
    }
}

/// RFC 6120 §10.4: to another server.
fn elsewhere(client: &Arc<Client>, peer: &Address, el: &Element) {
    let blocked = client
        .node
        .contacts(&client.account)
        .is_ok_and(|c| c.get(peer).is_some_and(|c| c.blocked));
    match client.server.federation.get() {
        Some(_) if blocked => client.refuse(el, &message::blocked()),
        Some(federation) if peer.network() == Some(crate::s2s::network::NAME) => {
            federation.send(el);
        }
        _ => client.refuse(el, &Condition::RemoteServerNotFound.into()),
    }
}

/// RFC 6121 §8.5.3: to one resource, in order with what was sent before.
async fn relay(client: &Arc<Client>, account: &Address, resource: &str, el: &Element) {
    if resource == node_resource::NAME && client.server.session(account, resource).is_none() {
        return node_resource::iq(client, account, el).await;
    }
    let gone = StanzaError::new(Condition::ServiceUnavailable);
    let Some(session) = client.server.session(account, resource) else {
        return client.refuse(el, &gone);
    };
    let signal = Signal {
        from: client.account.clone(),
        session: Some(client.session.id),
        protocol: Protocol::Xmpp,
        payload: LiveStanza::of(el, Some(resource)).payload(),
    };
    let (mine, theirs) = (client.account.clone(), account.clone());
    let (back, shell) = (client.clone(), el.shell());
    let sent = client.node.write(move |tx| {
        if mine != theirs {
            // XEP-0191 §3.2: who is blocked learns nothing.
            let blocked = tx.contact(&theirs, &mine)?.blocked;
            if blocked || tx.contact(&mine, &theirs)?.blocked {
                return Err(sammen_core::Refusal::Blocked);
            }
        }
        tx.signal(session.id, signal, move |_| {
            back.refuse(&shell, &Condition::ServiceUnavailable.into());
        });
        Ok(())
    });
    if sent.await.is_err() {
        client.refuse(el, &gone);
    }
}

/// An answer to a request: of the node's own, of another client's, or of nobody's.
async fn answer(client: &Arc<Client>, to: Option<Jid>, el: Element) {
    let place = to.as_ref().map(|to| (client.server.place(to), to));
    match place {
        None | Some((Place::Server, _)) => caps::answer(client, &el).await,
        Some((Place::Account(account), to)) => match to.resource() {
            Some(resource) => relay(client, &account, resource, &el).await,
            None if account == client.account => caps::answer(client, &el).await,
            None => {}
        },
        Some((Place::Room(_), _)) => {
            if let (Some(room), Some(to)) = (FEATURES.iter().find_map(|f| f.room_answer), to) {
                let _ = room(client.clone(), to, el).await;
            }
        }
        Some((Place::Remote(peer), _)) => elsewhere(client, &peer, &el),
        Some(_) => {}
    }
}

/// The place of a JID that must be an account or somebody elsewhere.
pub fn person(client: &Client, jid: &Jid) -> Result<Address, StanzaError> {
    match client.server.place(jid) {
        Place::Account(address) | Place::Remote(address) => Ok(address),
        _ => Err(StanzaError::new(Condition::ItemNotFound)),
    }
}
