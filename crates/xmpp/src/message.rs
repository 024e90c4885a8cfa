//! RFC 6121 §5 and §8: messages from a client to an account.

use std::sync::Arc;

use sammen_core::contact::is_blocked;
use sammen_core::conversation::ConversationKey;
use sammen_core::event::{Native, Protocol};
use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::{Address, Outcome, Refusal, Sent};

use crate::address::Place;
use crate::client::Client;
use crate::feature::FEATURES;
use crate::live_stanza::LiveStanza;
use crate::pep;
use crate::translate::incoming::{self, Act};
use crate::translate::{self, Envelope};
use crate::wire::{Condition, Element, Jid, Payload, StanzaError, Str, ns};

/// Takes a message.
pub async fn handle(client: &Arc<Client>, to: Option<Jid>, mut el: Element) {
    // XEP-0490 §3.4: before anything else sees the message. What is refused changes nothing for it.
    if client.account.is_account()
        && let Some(read) = pep::mds::take_assist(&mut el)
        && let Err(why) = pep::publish_own(client, read).await
    {
        tracing::debug!(condition = ?why.condition, "a read marker in a message was not taken");
    }
    // RFC 6121 §8.1: without `to` it is for the own bare address.
    let to = match to {
        Some(to) => to,
        None => client.jid.bare(),
    };
    // XEP-0060 §8.6: an answer for the own nodes is nothing that anybody wrote.
    if to.same_bare(&client.jid)
        && client.account.is_account()
        && let Some(answer) = pep::authorize::answer(&el)
    {
        if let Err(error) = pep::authorize::answered(client, answer).await {
            client.refuse(&el, &error);
        }
        return;
    }
    let peer = match client.server.place(&to) {
        Place::Account(address) | Place::Remote(address) => address,
        Place::Room(_) => {
            let hook = FEATURES.iter().find_map(|f| f.room_message);
            let done = match hook {
                Some(hook) => hook(client.clone(), to, el.clone()).await,
                None => Err(Condition::ServiceUnavailable.into()),
            };
            if let Err(error) = done {
                client.refuse(&el, &error);
            }
            return;
        }
        // Nobody reads there; an error would only tell how the node is built.
        Place::Server | Place::RoomService | Place::Upload => return,
        Place::Nowhere => return client.refuse(&el, &Condition::ServiceUnavailable.into()),
    };
    // A room elsewhere: its own server keeps and checks what is said there.
    if peer.network().is_some() && (el.get("type") == Some("groupchat") || is_inside(client, &to)) {
        return live(client, peer, &el, to.resource()).await;
    }
    let kind = match el.get("type") {
        Some("error") => "error",
        Some("chat") => "chat",
        Some("headline") => "headline",
        Some("groupchat") => "groupchat",
        _ => "normal",
    };
    let domains = client.node.domains();
    incoming::clean(&mut el, |by| {
        let by = Jid::new(by);
        by.is_ok_and(|by| crate::s2s::is_ours(domains, by.domain()))
    });
    // A resource that is not there is as good as none (§8.5.3.2.1).
    let resource = to
        .resource()
        .filter(|r| !peer.is_account() || client.server.session(&peer, r).is_some())
        .map(Str::new);
    // Liberty: §8.5.3.2.1 drops or refuses `normal` messages to a resource that is not there; here they wait like
    // those to the bare address, because a person wrote them.
    if matches!(kind, "error" | "headline" | "groupchat") {
        let to_bare = to.resource().is_none();
        if resource.is_some() || kind == "headline" && to_bare {
            live(client, peer, &el, resource.as_deref()).await;
        } else if kind == "groupchat" {
            // §8.5.2.1.1: only rooms, and clients that are named, take those.
            client.refuse(&el, &Condition::ServiceUnavailable.into());
        }
        // §8.5.2, §8.5.3.2: an error for somebody who is gone, and a headline for nobody, are dropped.
        return;
    }
    if crate::muc::invite::direct(client, &peer, &el).await {
        return;
    }
    match incoming::read(&el) {
        Act::Live => live(client, peer, &el, resource.as_deref()).await,
        Act::Typing(typing) => {
            let native = LiveStanza::of(&el, resource.as_deref()).payload();
            let (who, session) = (client.account.clone(), client.session.id);
            client
                .submit(&el, move |tx, _| {
                    let to = Target::Direct(peer);
                    // To strangers and blocked people nothing is said; that is no error.
                    let _ = send::typing(tx, &who, &to, typing, Some(session), Some(native));
                    Ok(Sent::NOTHING)
                })
                .await;
        }
        Act::Log(content, relation) => {
            let envelope = Envelope {
                kind,
                from: client.jid.resource(),
                to: resource.as_deref(),
                lang: el
                    .lang()
                    .filter(|l| l.bytes().all(|b| b.is_ascii_graphic())),
                private: el.has("private", ns::CARBONS) || el.has("no-copy", ns::HINTS),
            };
            let native = Native {
                protocol: Protocol::Xmpp,
                bytes: Payload::of(&el).bytes().clone(),
                id: el.get("id").map(str::to_owned),
                kind: Some(envelope.encode()),
            };
            let mut out = Outgoing::new(Target::Direct(peer.clone()), content, Protocol::Xmpp);
            out.native = Some(native);
            out.relation = relation;
            out.aliases = incoming::aliases(&el);
            let who = client.principal();
            client
                .submit(&el, move |tx, origin| {
                    out.origin = origin;
                    if let (Some(relation), Some(author)) = (&mut out.relation, who.address()) {
                        let key = ConversationKey::direct(author, &peer);
                        if let Some(convo) = tx.convo_by_key(&key)? {
                            translate::resolve(tx, convo.id(), relation)?;
                        }
                    }
                    // Who does not exist is told from a message that does not: the peer alone says
                    // service-unavailable (RFC 6121 §8.5.1).
                    if peer.is_account() && tx.account(&peer)?.is_none() {
                        return Err(Refusal::Unreachable);
                    }
                    send::send(tx, &who, out)
                })
                .await;
        }
    }
}

/// Rooms on other servers that a client entered, as bare JIDs.
#[derive(Default)]
pub(crate) struct Elsewhere(pub parking_lot::Mutex<std::collections::BTreeSet<Str>>);

/// Whether a JID names a room elsewhere that the client is in, or somebody there.
fn is_inside(client: &Client, to: &Jid) -> bool {
    let rooms = client.own::<Elsewhere>();
    let rooms = rooms.0.lock();
    rooms.contains(to.bare_str())
}

/// For those who are there; nothing of it is kept.
async fn live(client: &Arc<Client>, peer: Address, el: &Element, resource: Option<&str>) {
    let stanza = LiveStanza::of(el, resource);
    let me = client.account.clone();
    client
        .submit(el, move |tx, _| {
            check(tx, &me, &peer)?;
            tx.tell_account(&peer, stanza.change());
            Ok(Sent::NOTHING)
        })
        .await;
}

/// Whether one may reach the other at all.
pub fn check(tx: &mut sammen_core::tx::Tx<'_>, me: &Address, peer: &Address) -> Outcome<()> {
    if me == peer {
        return Ok(());
    }
    let there = match peer.network() {
        Some(network) => tx.speaks(network),
        None => peer.is_account() && tx.account(peer)?.is_some(),
    };
    if !there {
        return Err(Refusal::Unreachable);
    }
    if tx.is_blocked(me, peer)? || tx.is_blocked(peer, me)? {
        return Err(Refusal::Blocked);
    }
    Ok(())
}

/// A write was refused: the sender learns why, as far as it may.
pub fn refused(client: &Client, shell: &Element, refusal: &Refusal) {
    if shell.name() != "message" {
        return client.refuse(shell, &refusal.clone().into());
    }
    let to = shell.get("to").and_then(|to| Jid::new(to).ok());
    let place = to.map(|to| client.server.place(&to));
    let error = match (refusal, &place) {
        (Refusal::Unreachable, Some(Place::Remote(_))) => {
            StanzaError::new(Condition::RemoteServerNotFound)
        }
        // XEP-0191 §3.2: whom the sender blocked itself is named.
        (Refusal::Blocked, Some(Place::Account(peer))) => {
            let contacts = client.node.contacts(&client.account);
            if contacts.is_ok_and(|c| is_blocked(&c, peer)) {
                blocked()
            } else {
                StanzaError::new(Condition::ServiceUnavailable)
            }
        }
        _ => refusal.clone().into(),
    };
    client.refuse(shell, &error);
}

/// XEP-0191 §3.2, example 11.
pub fn blocked() -> StanzaError {
    StanzaError::new(Condition::NotAcceptable)
        .with_type(crate::wire::ErrorType::Cancel)
        .with_app(Element::new(ns::BLOCKING_ERRORS, "blocked"))
}
