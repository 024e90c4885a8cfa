//! XEP-0045 §17.4 and XEP-0410: IQs to an occupant: to oneself a self-ping, to others passed on without their address.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use sammen_core::Protocol;
use sammen_core::ids::SessionId;
use sammen_core::live::Signal;

use super::enter::is_inside;
use super::events::room_jid;
use super::occupant;
use crate::address::Place;
use crate::client::Client;
use crate::feature::{BoxFuture, RoomIq, handler};
use crate::iq::{Iq, Where};
use crate::live_stanza::LiveStanza;
use crate::wire::{Condition, Element, Jid, StanzaError, Str, ns};

/// Most requests that one client may leave unanswered; older ones are forgotten.
const PENDING: usize = 64;

/// A request that was passed on to a client.
struct Passed {
    /// The id it was given.
    id: Str,
    /// The occupant it came from.
    from: Str,
    /// The session that asked.
    asker: SessionId,
    /// The id that it had there.
    original: Str,
    /// The address that was asked.
    asked: Str,
}

/// Requests that were passed on to a client, by session (two share nothing).
#[derive(Default)]
struct Pending(Mutex<std::collections::HashMap<SessionId, VecDeque<Passed>>>);

fn refused(condition: Condition) -> RoomIq {
    RoomIq::Answer(Err(condition.into()))
}

/// A request to a room or occupant that no handler took.
pub fn request(client: Arc<Client>, iq: Iq) -> BoxFuture<RoomIq> {
    Box::pin(async move {
        let (Place::Room(room), Some(to)) = (&iq.place, &iq.to) else {
            return refused(Condition::ItemNotFound);
        };
        let convo = match client.node.room(room) {
            Ok(Some(convo)) => convo,
            Ok(None) => return refused(Condition::ItemNotFound),
            Err(refusal) => return RoomIq::Answer(Err(refusal.into())),
        };
        let Some(nick) = to.resource() else {
            return refused(Condition::ServiceUnavailable);
        };
        // XEP-0410 §3.3: who is not in is told so; to any other answer the client knows that it is.
        if !is_inside(&client, convo.id()) {
            return refused(Condition::NotAcceptable);
        }
        let Some(target) = convo.by_nick(nick) else {
            return refused(Condition::ItemNotFound);
        };
        let ping = iq.child.is("ping", ns::PING);
        if target.address == client.account && ping {
            return RoomIq::Answer(Ok(None));
        }
        // §17.4: a vCard is the account's, and the node has it.
        if iq.child.is("vCard", ns::VCARD_TEMP) && !iq.set {
            return vcard(client, iq, Place::Account(target.address.clone())).await;
        }
        let sessions = client.node.live(|live| {
            live.room(convo.id())
                .and_then(|r| r.occupants.get(&target.address))
                .map(|o| o.sessions.clone())
                .unwrap_or_default()
        });
        let there = sessions
            .iter()
            .rev()
            .filter(|(s, _)| s.protocol == Protocol::Xmpp)
            .max_by_key(|(_, p)| p.show);
        match there {
            Some((session, _)) => {
                let from = room_jid(&client.server, &convo);
                let own = occupant::nick_of(&convo, &client.account);
                pass(&client, &iq, &format!("{from}/{own}"), session.id, to)
            }
            // Someone on another protocol, or away: the node answers for them what it can.
            None if ping && !sessions.is_empty() => RoomIq::Answer(Ok(None)),
            None => refused(Condition::ServiceUnavailable),
        }
    })
}

/// The same request to the account that an occupant is.
async fn vcard(client: Arc<Client>, mut iq: Iq, account: Place) -> RoomIq {
    iq.at = Where::OtherAccount;
    iq.to = None;
    iq.place = account;
    match handler(&iq) {
        Some(handler) => RoomIq::Answer((handler.handle)(client, iq).await),
        None => refused(Condition::ServiceUnavailable),
    }
}

fn pass(client: &Arc<Client>, iq: &Iq, from: &str, to: SessionId, asked: &Jid) -> RoomIq {
    let id = format!("muc-{:x}", client.node.clock().random());
    let pending = client.server.shared::<Pending>();
    {
        let mut all = pending.0.lock();
        // Sessions that are gone leave nothing behind.
        if all.len() > 10_000 {
            client
                .node
                .live(|live| all.retain(|session, _| live.session(*session).is_some()));
        }
        let waiting = all.entry(to).or_default();
        if waiting.len() >= PENDING {
            waiting.pop_front();
        }
        waiting.push_back(Passed {
            id: Str::new(&id),
            from: Str::new(from),
            asker: client.session.id,
            original: iq.id.clone(),
            asked: asked.to_str(),
        });
    }
    let el = Element::new(ns::CLIENT, "iq")
        .attr("type", if iq.set { "set" } else { "get" })
        .attr("from", from)
        .attr("id", id)
        .child(iq.child.clone());
    let signal = Arc::new(Signal {
        from: client.account.clone(),
        session: Some(client.session.id),
        protocol: Protocol::Xmpp,
        payload: LiveStanza::of(&el, None).payload(),
    });
    match client.node.live(|live| live.signal(to, &signal)) {
        Ok(()) => RoomIq::Relayed,
        Err(_) => refused(Condition::RecipientUnavailable),
    }
}

/// A client's answer to a request that was passed on to it: back to who asked, under the id it had there.
pub fn answer(client: Arc<Client>, to: Jid, el: Element) -> BoxFuture<Result<(), StanzaError>> {
    Box::pin(async move {
        let pending = client.server.shared::<Pending>();
        let passed = {
            let mut all = pending.0.lock();
            let Some(waiting) = all.get_mut(&client.session.id) else {
                return Ok(());
            };
            let at = waiting
                .iter()
                .position(|p| Some(p.id.as_str()) == el.get("id") && p.from == to.as_str());
            at.and_then(|at| waiting.remove(at))
        };
        let Some(passed) = passed else { return Ok(()) };
        let mut back = el;
        back.set("from", passed.asked);
        back.set("id", passed.original);
        let signal = Arc::new(Signal {
            from: client.account.clone(),
            session: Some(client.session.id),
            protocol: Protocol::Xmpp,
            payload: LiveStanza::of(&back, None).payload(),
        });
        let _ = client.node.live(|live| live.signal(passed.asker, &signal));
        Ok(())
    })
}
