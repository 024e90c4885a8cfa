//! XEP-0045 §7.4, §7.5 and §8.1: what a client says to a room, to one occupant, or as its subject.

use std::sync::Arc;

use sammen_core::address::Address;
use sammen_core::convo::Convo;
use sammen_core::event::{Content, Event, Native, Relation};
use sammen_core::live::{Signal, StateChange, Typing};
use sammen_core::member::Role;
use sammen_core::ops::{rooms, send};
use sammen_core::permission;
use sammen_core::{ConversationId, Protocol, Refusal, Sent};

use super::changes::Wrote;
use super::enter::{is_inside, missing, room_of};
use super::places::Rooms;
use super::settings::NO_PRIVATE;
use super::{events, invite, occupant, voice};
use crate::address::Place;
use crate::client::Client;
use crate::feature::BoxFuture;
use crate::live_stanza::LiveStanza;
use crate::translate::incoming::{self, Act};
use crate::translate::{self, Envelope};
use crate::wire::{Condition, Element, Jid, Payload, StanzaError, ns};

/// A message that is not kept, on its way to all occupants: what follows `<message`.
pub struct Fleeting {
    room: ConversationId,
    tail: bytes::Bytes,
}

/// A message to a room or occupant.
pub fn message(client: Arc<Client>, to: Jid, el: Element) -> BoxFuture<Result<(), StanzaError>> {
    Box::pin(async move {
        // §18.1.1: an error from a client means that it could not take something; it is no word to the room.
        if el.get("type") == Some("error") {
            return Ok(());
        }
        let room = room_of(&client, &to)?;
        Rooms::ready(&client.server).await?;
        let convo = client
            .node
            .room(&room)?
            .ok_or_else(|| missing(&client, &room))?;
        let groupchat = el.get("type") == Some("groupchat");
        match to.resource() {
            // §7.5.
            Some(_) if groupchat => Err(Condition::BadRequest.into()),
            Some(nick) => private(&client, &convo, nick, el).await,
            None if groupchat => public(&client, &convo, el).await,
            None => plain(&client, &convo, el).await,
        }
    })
}

/// A message to the room that is none of the conversation: invitations, and asking for voice.
async fn plain(client: &Arc<Client>, convo: &Arc<Convo>, el: Element) -> Result<(), StanzaError> {
    if let Some(x) = el.find("x", ns::MUC_USER) {
        return invite::asked(client, convo, x).await;
    }
    if let Some(form) = el.find("x", ns::DATA_FORMS) {
        return voice::asked(client, convo, form).await;
    }
    // §7.4 lets us reject what is not of type groupchat; what says nothing is dropped.
    if el.has("body", ns::CLIENT) {
        return Err(Condition::BadRequest.into());
    }
    Ok(())
}

/// Takes out what only the room may say.
fn clean(client: &Client, convo: &Convo, el: &mut Element) {
    let server = &client.server;
    incoming::clean(el, |by| {
        Jid::new(by).is_ok_and(|by| {
            matches!(server.place(&by), Place::Room(room) if convo.conversation.room() == Some(&room))
                || server.node.domains().iter().any(|d| d.as_str() == by.domain())
        })
    });
    el.remove_children(|c| matches!(c.ns(), ns::MUC_USER | ns::MUC) || c.is("x", "jabber:x:delay"));
}

fn native(el: &Element, kind: &'static str) -> Native {
    let envelope = Envelope {
        kind,
        lang: el
            .lang()
            .filter(|l| l.bytes().all(|b| b.is_ascii_graphic())),
        ..Envelope::default()
    };
    Native {
        protocol: Protocol::Xmpp,
        bytes: Payload::of(el).bytes().clone(),
        id: el.get("id").map(str::to_owned),
        kind: Some(envelope.encode()),
    }
}

/// What a message to a room is. What a person wrote is always kept, whatever hints stand beside it: people on other
/// protocols and those who come later read it too.
fn read(el: &Element) -> Act {
    match incoming::read(el) {
        Act::Live if el.has("body", ns::CLIENT) => {
            let mut kept = el.clone();
            kept.remove_children(|c| c.ns() == ns::HINTS);
            incoming::read(&kept)
        }
        act => act,
    }
}

async fn public(
    client: &Arc<Client>,
    convo: &Arc<Convo>,
    mut el: Element,
) -> Result<(), StanzaError> {
    // §7.4: who is not in it says nothing to it. A member whose client is not in learns that it has to enter again.
    if !is_inside(client, convo.id()) {
        return Err(StanzaError::new(Condition::NotAcceptable)
            .with_text("You are not in this room; enter it first."));
    }
    clean(client, convo, &mut el);
    let id = convo.id();
    // §8.1: a subject without body or thread.
    if let Some(subject) = el.find_text("subject", ns::CLIENT)
        && !el.has("body", ns::CLIENT)
        && !el.has("thread", ns::CLIENT)
    {
        let subject = subject.into_owned();
        let (who, native) = (client.principal(), native(&el, "groupchat"));
        client
            .submit(&el, move |tx, origin| {
                rooms::set_topic(tx, &who, id, &subject, Some(native), &origin)
            })
            .await;
        return Ok(());
    }
    match read(&el) {
        Act::Log(content, relation) => say(client, id, None, content, relation, &el).await,
        Act::Typing(typing) => typed(client, id, typing, &el).await,
        Act::Live => fleeting(client, convo, &el).await,
    }
    Ok(())
}

async fn say(
    client: &Arc<Client>,
    room: ConversationId,
    to: Option<Address>,
    content: Content,
    relation: Option<Relation>,
    el: &Element,
) {
    let kind = if to.is_some() { "chat" } else { "groupchat" };
    let mut out = send::Outgoing::new(send::Target::Conversation(room), content, Protocol::Xmpp);
    out.native = Some(native(el, kind));
    out.relation = relation;
    out.aliases = incoming::aliases(el);
    out.audience = to.map(|to| vec![to]);
    let (who, session) = (client.principal(), client.session.id);
    client
        .submit(el, move |tx, origin| {
            out.origin = origin;
            if let Some(relation) = &mut out.relation {
                translate::resolve(tx, room, relation)?;
            }
            let sent = send::send(tx, &who, out)?;
            if sent.duplicate
                && let Some(event) = tx.event(sent.id)?
            {
                // The client sent it again because it saw no reflection: it alone gets one (XEP-0359 tells it apart).
                let again = StateChange::Custom {
                    key: String::new(),
                    protocol: Protocol::Xmpp,
                    payload: Arc::new(Again(tx.convo(room)?, event)),
                };
                let again = Arc::new(again);
                tx.after(move |live| live.tell_session(session, &again));
            }
            Ok(sent)
        })
        .await;
}

/// A message that was stored before, to be reflected once more.
pub struct Again(Arc<Convo>, Arc<Event>);

/// Reflects a message again to the client that sent it again.
pub fn reflect(client: &Client, Again(convo, event): &Again) {
    let about = events::target(&client.server, event);
    let message = events::message(&client.server, convo, event, about.as_deref());
    if let Some(message) = message.filter(|_| event.audience.is_none()) {
        occupant::send(client, "message", &message.tail(&[]));
    }
}

async fn typed(client: &Arc<Client>, room: ConversationId, typing: Typing, el: &Element) {
    let (who, session) = (client.account.clone(), client.session.id);
    let native = Arc::new(Wrote(Payload::of(el)));
    client
        .submit(el, move |tx, _| {
            let to = send::Target::Conversation(room);
            // Without voice nobody types; that is no error.
            let _ = send::typing(tx, &who, &to, typing, Some(session), Some(native));
            Ok(Sent::NOTHING)
        })
        .await;
}

/// For those who are there now, in order with what is kept.
async fn fleeting(client: &Arc<Client>, convo: &Arc<Convo>, el: &Element) {
    let shared = Rooms::of(&client.server);
    let nick = occupant::nick_of(convo, &client.account);
    let from = format!("{}/{nick}", events::room_jid(&client.server, convo));
    let mut attrs = vec![("from", from.as_str()), ("type", "groupchat")];
    if let Some(id) = el.get("id") {
        attrs.push(("id", id));
    }
    let extra: Vec<Element> = shared
        .key()
        .map(|k| k.element(convo.id(), &client.account))
        .into_iter()
        .collect();
    let payload = Payload::of(el);
    let tail = occupant::tail("message", &attrs, &[payload.bytes()], &extra);
    let (room, who) = (convo.id(), client.account.clone());
    client
        .submit(el, move |tx, _| {
            let convo = tx.convo(room)?;
            if !convo.has(&who) {
                return Err(Refusal::NotJoined);
            }
            if convo.role(&who) < Role::Participant {
                return Err(Refusal::NoVoice);
            }
            let change = Arc::new(StateChange::Custom {
                key: String::new(),
                protocol: Protocol::Xmpp,
                payload: Arc::new(Fleeting { room, tail }),
            });
            tx.after(move |live| live.tell_room(room, &change));
            Ok(Sent::NOTHING)
        })
        .await;
}

/// Shows a message that is not kept.
pub fn show_fleeting(client: &Client, fleeting: &Fleeting) {
    if is_inside(client, fleeting.room) {
        occupant::send(client, "message", &fleeting.tail);
    }
}

/// §7.5: to one occupant.
async fn private(
    client: &Arc<Client>,
    convo: &Arc<Convo>,
    nick: &str,
    mut el: Element,
) -> Result<(), StanzaError> {
    if !is_inside(client, convo.id()) {
        return Err(StanzaError::new(Condition::NotAcceptable)
            .with_text("You are not in this room; enter it first."));
    }
    let target = convo
        .by_nick(nick)
        .map(|m| m.address.clone())
        .ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?;
    let settings = &convo.conversation.settings;
    if settings.extra.contains_key(NO_PRIVATE)
        || convo.role(&client.account) < settings.private_messages
    {
        return Err(StanzaError::new(Condition::Forbidden)
            .with_text("This room allows you no private messages."));
    }
    clean(client, convo, &mut el);
    match incoming::read(&el) {
        Act::Log(content, relation) => {
            say(client, convo.id(), Some(target), content, relation, &el).await;
        }
        Act::Typing(_) | Act::Live => whisper(client, convo, &target, el).await?,
    }
    Ok(())
}

/// To the clients of one occupant, and not kept.
async fn whisper(
    client: &Arc<Client>,
    convo: &Arc<Convo>,
    target: &Address,
    mut el: Element,
) -> Result<(), StanzaError> {
    permission::may_send(
        convo,
        &client.principal(),
        &Content::Other { fallback: None },
    )
    .or_else(|refusal| {
        if refusal == Refusal::NoVoice {
            Ok(())
        } else {
            Err(refusal)
        }
    })?;
    let nick = occupant::nick_of(convo, &client.account).to_owned();
    el.set(
        "from",
        format!("{}/{nick}", events::room_jid(&client.server, convo)),
    );
    el.push(Element::new(ns::MUC_USER, "x"));
    if let Some(key) = Rooms::of(&client.server).key() {
        el.push(key.element(convo.id(), &client.account));
    }
    let (room, target, from) = (convo.id(), target.clone(), client.account.clone());
    let (session, shell) = (client.session.id, el.shell());
    client
        .submit(&shell, move |tx, _| {
            let payload = LiveStanza::of(&el, None).payload();
            let signal = Arc::new(Signal {
                from,
                session: Some(session),
                protocol: Protocol::Xmpp,
                payload,
            });
            tx.after(move |live| {
                let sessions = live
                    .room(room)
                    .and_then(|r| r.occupants.get(&target))
                    .map(|o| o.sessions.clone())
                    .unwrap_or_default();
                for (session, _) in sessions {
                    if session.protocol == Protocol::Xmpp {
                        let _ = live.signal(session.id, &signal);
                    }
                }
            });
            Ok(Sent::NOTHING)
        })
        .await;
    Ok(())
}

/// The `<reason/>` inside an element, bounded.
pub fn reason(el: &Element) -> Option<String> {
    let text = el.find_text("reason", el.ns())?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.chars().take(1024).collect())
}
