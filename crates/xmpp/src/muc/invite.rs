//! Invitations: by way of the room (XEP-0045 §7.8), and direct ones (XEP-0249) to rooms of this node.

use std::sync::Arc;

use bytes::BytesMut;
use sammen_core::address::Address;
use sammen_core::conversation::JoinRule;
use sammen_core::convo::Convo;
use sammen_core::document::Owner;
use sammen_core::event::{MembershipChange, Native};
use sammen_core::live::{Announced, StateChange};
use sammen_core::ops::rooms;
use sammen_core::tx::Tx;
use sammen_core::tx::{Expect, decode, encode};
use sammen_core::{Membership, Protocol, Refusal, Seq};

use super::enter::is_inside;
use super::events::room_jid;
use super::speak::reason;
use crate::address::Place;
use crate::client::Client;
use crate::feature::BoxFuture;
use crate::server::Server;
use crate::wire::{Condition, Context, Element, Jid, Payload, StanzaError, ns, write};

/// Most people in one invitation.
const MOST: usize = 50;

/// A stanza of the room for each client of an account; `to` is put in.
pub struct ForEach(pub Element);

/// Delivers such a stanza.
pub fn deliver(client: &Client, stanza: &ForEach) {
    let mut el = stanza.0.clone();
    el.set("to", client.jid.to_str());
    client.send(&el);
}

fn tell(tx: &mut Tx<'_>, whom: &Address, stanza: Element) {
    tx.tell_account(
        whom,
        StateChange::Custom {
            key: String::new(),
            protocol: Protocol::Xmpp,
            payload: Arc::new(ForEach(stanza)),
        },
    );
}

/// `<x/>` with invitations or a refusal of one.
pub async fn asked(
    client: &Arc<Client>,
    convo: &Arc<Convo>,
    x: &Element,
) -> Result<(), StanzaError> {
    if let Some(decline) = x.find("decline", ns::MUC_USER) {
        return declined(client, convo, decline).await;
    }
    let invites: Vec<&Element> = x.all("invite", ns::MUC_USER).take(MOST).collect();
    if invites.is_empty() {
        return Err(Condition::BadRequest.into());
    }
    if !is_inside(client, convo.id()) {
        return Err(Condition::NotAcceptable.into());
    }
    for invite in invites {
        invited(client, convo, invite).await?;
    }
    Ok(())
}

/// XEP-0249: a direct invitation to a room of this node, by somebody who is in it, is the room's: it opens a closed room
/// to the invited, and reaches people on every protocol in their own form. False where it stays a message.
pub async fn direct(client: &Arc<Client>, whom: &Address, message: &Element) -> bool {
    let Some(x) = message.find("x", ns::CONFERENCE) else {
        return false;
    };
    let place = x.get("jid").and_then(|jid| Jid::new(jid).ok());
    let Some(Place::Room(room)) = place.map(|jid| client.server.place(&jid)) else {
        return false;
    };
    let Ok(Some(convo)) = client.node.room(&room) else {
        return false;
    };
    if !is_inside(client, convo.id()) {
        return false;
    }
    let here = whom.is_account();
    if !here && (!is_of_xmpp(whom) || convo.conversation.settings.join_rule == JoinRule::Open) {
        return false;
    }
    let why = x.get("reason").map(|r| r.chars().take(1024).collect());
    let continues = matches!(x.get("continue"), Some("true" | "1"));
    let native = continues.then(|| continued(x.get("thread")));
    let (by, whom, id) = (client.principal(), whom.clone(), convo.id());
    let origin = client.plain_origin();
    let invite = move |tx: &mut Tx<'_>| {
        rooms::invite_with(tx, &by, id, &whom, why, native, &origin).map(drop)
    };
    // People of other servers get the message as it is.
    client.node.write(invite).await.is_ok() && here
}

fn is_of_xmpp(whom: &Address) -> bool {
    whom.network() == Some("xmpp")
}

/// Tells somebody of another server, once the room knows that they are invited. The inviter hears if it can't be reached.
fn send_elsewhere(client: &Client, whom: &Address, mut stanza: Element) {
    let (Some(federation), Some(to)) = (client.server.federation.get(), client.server.jid(whom))
    else {
        return;
    };
    let id = format!("i-{:016x}", client.node.clock().random() >> 64);
    stanza.set("id", id.clone());
    stanza.set("to", to.to_str());
    let shell = Element::new(ns::CLIENT, "message")
        .attr("from", client.jid.to_str())
        .attr("to", to.to_str())
        .attr("id", id);
    let local = stanza.get("from").and_then(|from| Jid::new(from).ok());
    let Some(local) = local else { return };
    let mut out = BytesMut::new();
    write::element(&mut out, &stanza, Context::CLIENT);
    let shell = Some(Box::new(shell));
    federation.send_bytes(local.domain(), to.domain(), out.freeze(), shell);
}

/// §7.9 and XEP-0249 §3: the room goes on with a conversation of two, perhaps with one thread of it.
fn continued(thread: Option<&str>) -> Native {
    let thread = thread.filter(|t| t.len() <= 256);
    let message = Element::new(ns::CLIENT, "message")
        .child(Element::new(ns::MUC_USER, "continue").attr_opt("thread", thread));
    Native {
        protocol: Protocol::Xmpp,
        bytes: Payload::of(&message).bytes().clone(),
        id: None,
        kind: None,
    }
}

/// What [`continued`] kept.
fn kept_continue(client: &Client, native: &Native) -> Option<Element> {
    let ours = native.protocol == Protocol::Xmpp;
    let payload = ours.then(|| Payload::from_stored(native.bytes.clone()))?;
    let nodes = payload.nodes(ns::CLIENT, &client.server.config.get().member);
    let mut message = Element::new(ns::CLIENT, "message");
    for node in nodes.ok()? {
        message.push_node(node);
    }
    message.take("continue", ns::MUC_USER)
}

async fn invited(
    client: &Arc<Client>,
    convo: &Arc<Convo>,
    invite: &Element,
) -> Result<(), StanzaError> {
    let to = invite.get("to").and_then(|to| Jid::new(to).ok());
    let to = to.ok_or_else(|| StanzaError::new(Condition::JidMalformed))?;
    let whom = match client.server.place(&to) {
        Place::Account(address) => address,
        Place::Remote(address) if is_of_xmpp(&address) => address,
        Place::Remote(_) => return Err(Condition::RemoteServerNotFound.into()),
        _ => return Err(Condition::ItemNotFound.into()),
    };
    let why = reason(invite);
    let goes_on = invite.find("continue", ns::MUC_USER);
    let native = goes_on.map(|c| continued(c.get("thread")));
    let (by, me) = (client.principal(), client.account.clone());
    let (id, origin) = (convo.id(), client.plain_origin());
    let server = client.server.clone();
    let elsewhere = (!whom.is_account()).then(|| whom.clone());
    let goes_on = native.clone();
    let invited = client
        .node
        .write(move |tx| {
            let invited = rooms::invite_with(tx, &by, id, &whom, why.clone(), native, &origin);
            let again = matches!(invited, Err(Refusal::Taken));
            if !again {
                invited?;
            }
            let convo = tx.convo(id)?;
            let stanza = invitation(&server, &convo, &me, why.as_deref());
            if again && whom.is_account() {
                // A member whose clients are elsewhere is reminded of the room.
                tell(tx, &whom, stanza.clone());
            }
            Ok(stanza)
        })
        .await?;
    if let Some(whom) = elsewhere {
        let goes_on = goes_on.and_then(|native| kept_continue(client, &native));
        let stanza = match goes_on {
            Some(goes_on) => with_continue(invited, goes_on),
            None => invited,
        };
        send_elsewhere(client, &whom, stanza);
    }
    Ok(())
}

/// An invitation that says that the room goes on with a conversation of two.
fn with_continue(mut stanza: Element, goes_on: Element) -> Element {
    if let Some(mut x) = stanza.take("x", ns::MUC_USER) {
        if let Some(mut invite) = x.take("invite", ns::MUC_USER) {
            invite.push(goes_on);
            x.push(invite);
        }
        stanza.push(x);
    }
    stanza
}

/// §7.8.2: who got an invitation does not come; who sent it is told.
async fn declined(
    client: &Arc<Client>,
    convo: &Arc<Convo>,
    decline: &Element,
) -> Result<(), StanzaError> {
    let why = reason(decline);
    let (me, id, origin) = (client.account.clone(), convo.id(), client.plain_origin());
    let (room, from) = (room_jid(&client.server, convo), client.bare.clone());
    client
        .node
        .write(move |tx| {
            let convo = tx.convo(id)?;
            let inviter = convo
                .member(&me)
                .filter(|m| m.membership == Membership::Invited)
                .and_then(|m| m.invited_by.clone())
                .ok_or(Refusal::NotFound)?;
            rooms::leave(tx, &me, id, why.clone(), &origin)?;
            let decline = Element::new(ns::MUC_USER, "decline")
                .attr("from", from)
                .children(why.map(|w| Element::new(ns::MUC_USER, "reason").text(w)));
            let stanza = Element::new(ns::CLIENT, "message")
                .attr("from", room)
                .child(Element::new(ns::MUC_USER, "x").child(decline));
            tell(tx, &inviter, stanza);
            Ok(())
        })
        .await?;
    Ok(())
}

/// The invitation as the invited gets it.
fn invitation(server: &Server, convo: &Convo, by: &Address, why: Option<&str>) -> Element {
    let invite = Element::new(ns::MUC_USER, "invite")
        .attr("from", server.bare(by))
        .children(why.map(|w| Element::new(ns::MUC_USER, "reason").text(w)));
    let password = convo.conversation.settings.password.as_deref();
    let x = Element::new(ns::MUC_USER, "x")
        .child(invite)
        .children(password.map(|p| Element::new(ns::MUC_USER, "password").text(p)));
    Element::new(ns::CLIENT, "message")
        .attr("from", room_jid(server, convo))
        .child(x)
}

/// Somebody, on any protocol, invited the account.
pub fn show(client: &Arc<Client>, announced: &Announced, change: &MembershipChange) {
    let by = &announced.event.author;
    let (shown, seq) = (client.clone(), announced.event.seq);
    tokio::spawn(async move { is_shown(&shown, seq).await });
    let mut stanza = invitation(
        &client.server,
        &announced.convo,
        by,
        change.reason.as_deref(),
    )
    .attr("id", announced.event.id.to_string());
    let native = announced.event.native.as_ref();
    if let Some(goes_on) = native.and_then(|native| kept_continue(client, native)) {
        stanza = with_continue(stanza, goes_on);
    }
    deliver(client, &ForEach(stanza));
}

/// The shelf that remembers, by device, up to where invitations were shown.
const SHOWN: &str = "xmpp-invitations";

/// Remembers that the device knows of all invitations up to here. One that is forgotten when it leaves remembers nothing.
async fn is_shown(client: &Client, upto: Seq) {
    let (owner, key) = (Owner::from(&client.account), client.device.key.clone());
    if key.is_empty() {
        return;
    }
    let write = client.node.write(move |tx| {
        let before = tx.document(&owner, SHOWN, &key)?.and_then(|d| d.value);
        let before = before.and_then(|v| decode::<Seq>(&v)).unwrap_or_default();
        if before < upto {
            let value = encode(&upto)?;
            tx.put_document(&owner, SHOWN, &key, Expect::Anything, Some(value))?;
        }
        Ok(())
    });
    if let Err(refusal) = write.await {
        tracing::debug!(protocol = "xmpp", %refusal, "an invitation will be shown again");
    }
}

/// Invitations that nobody has answered are shown to a client that becomes available, once to each device.
pub fn pending(client: Arc<Client>) -> BoxFuture<()> {
    Box::pin(async move {
        let me = client.account.clone();
        let device = client.device.key.clone();
        let found = client.node.read(move |node| {
            let known = node.store().document(&Owner::from(&me), SHOWN, &device)?;
            let known = known.and_then(|d| d.value).filter(|_| !device.is_empty());
            let known = known.and_then(|v| decode::<Seq>(&v)).unwrap_or_default();
            let mut waiting = Vec::new();
            for id in node.store().conversations_of(&me)? {
                let Some(convo) = node.convo(id)? else {
                    continue;
                };
                let invited = convo.member(&me).filter(|m| {
                    let waits = m.membership == Membership::Invited && m.changed > known;
                    waits && !convo.conversation.destroyed
                });
                if let Some((seq, by)) =
                    invited.and_then(|m| Some((m.changed, m.invited_by.clone()?)))
                {
                    waiting.push((convo, by, seq));
                }
            }
            Ok(waiting)
        });
        let found = found.await.unwrap_or_default();
        let newest = found.iter().map(|(.., seq)| *seq).max();
        if let Some(newest) = newest {
            is_shown(&client, newest).await;
        }
        for (convo, by, _) in found {
            deliver(
                &client,
                &ForEach(invitation(&client.server, &convo, &by, None)),
            );
        }
    })
}
