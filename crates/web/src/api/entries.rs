//! Writing: sending, editing, taking back, reacting, marking read.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use sammen_core::event::{
    Attachment, ForeignId, MarkerKind, Message, Relation, RelationKind, Scheme,
};
use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::{Address, Content, Convo, EventId, Protocol, Sent};
use sammen_net::files;

use crate::auth::{Caller, Need};
use crate::extract::{Ask, Asked, Json, Place};
use crate::markdown;
use crate::person::{View, resolve};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::summary::{self, Meant};
use crate::translate::{core_kind, entry};
use crate::types as t;

/// Files of one message.
const FILES: usize = 16;
/// People that one message names.
const MENTIONS: usize = 64;

pub fn routes(table: &mut Table) {
    table
        .on(Method::POST, "/conversations/{id}/entries", Need::Account, "Says something; what is sent again with the same txn is stored once, and answered with 200")
        .ask::<t::Send>()
        .answer::<t::Entry>(201)
        .by(say);
    table
        .on(
            Method::PUT,
            "/conversations/{id}/entries/{event}",
            Need::Account,
            "Gives an own entry another wording",
        )
        .ask::<t::EditText>()
        .answer::<t::Entry>(200)
        .by(edit);
    table
        .on(
            Method::DELETE,
            "/conversations/{id}/entries/{event}",
            Need::Account,
            "Takes an entry back",
        )
        .query::<t::ReasonQuery>()
        .answer::<t::Entry>(200)
        .by(retract);
    table
        .on(
            Method::PUT,
            "/conversations/{id}/entries/{event}/reactions",
            Need::Account,
            "Sets all of the caller's reactions to an entry",
        )
        .ask::<t::React>()
        .answer::<t::Entry>(200)
        .by(react);
}

/// An id of an entry, or the field that has none.
pub(super) fn event_id(field: &'static str, text: &str) -> Answer<EventId> {
    text.parse()
        .map_err(|_| Problem::invalid(field, "that is no entry's id"))
}

fn txn(caller: &Caller, text: &str) -> Answer<ForeignId> {
    if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) {
        return Err(Problem::invalid("txn", "1 to 64 bytes"));
    }
    Ok(ForeignId {
        scheme: Scheme::Transaction,
        // Ids are the device's own.
        id: format!("{}:{text}", caller.device.id),
    })
}

/// The words of a message, checked.
fn words(web: &Web, text: &str, markdown: bool) -> Answer<(String, Option<String>)> {
    let text: String = text
        .replace("\r\n", "\n")
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    if text.len() > web.node.limits().text_bytes {
        return Err(Problem::too_large());
    }
    let html = markdown.then(|| markdown::html(&text)).flatten();
    Ok((text, html))
}

fn mentions(convo: Option<&Convo>, named: &[String]) -> Answer<Vec<Address>> {
    if named.len() > MENTIONS {
        return Err(Problem::too_many("a message names at most 64 people"));
    }
    let mut found = Vec::new();
    for text in named {
        let who = match convo {
            Some(convo) => resolve(convo, text),
            None => Address::new(text).ok(),
        };
        let who = who.ok_or_else(|| Problem::invalid("mentions", "that is nobody's address"))?;
        if !found.contains(&who) {
            found.push(who);
        }
    }
    Ok(found)
}

/// Files that the caller uploaded, as attachments. Blocking.
fn attachments(web: &Web, caller: &Address, ids: &[String]) -> Answer<Vec<Attachment>> {
    if ids.len() > FILES {
        return Err(Problem::too_many("a message has at most 16 files"));
    }
    let base = web.base.as_deref().unwrap_or_default();
    let mut out = Vec::new();
    for id in ids {
        let file = files::upload(&web.node, id)?
            .filter(|f| f.owner == *caller)
            .ok_or_else(|| Problem::invalid("files", "that is no file of yours"))?;
        out.push(Attachment {
            url: format!("{base}{}", files::path(id, &file.name.name)),
            name: Some(file.name.name),
            media_type: file.name.media_type,
            size: Some(file.size),
        });
    }
    Ok(out)
}

async fn say(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Ask(ask): Ask<t::Send>,
) -> Answer<Response> {
    let alias = txn(&caller, &ask.txn)?;
    let prepared = {
        let caller = caller.clone();
        let ask = ask.clone();
        web.read(move |web| prepare(web, &caller, &id, &ask))
            .await?
    };
    let (to, message, relation) = prepared;
    let mut out = Outgoing::new(to, Content::Message(message), Protocol::Web);
    out.aliases = vec![alias];
    out.relation = relation;
    out.origin = caller.origin();
    let sent = put(&web, &caller, out, &ask.txn).await?;
    let status = if sent.duplicate {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let entry = shown(&web, &caller, sent.id).await?;
    Ok((status, Json(entry)).into_response())
}

/// What is to be sent, and where. Blocking.
fn prepare(
    web: &Web,
    caller: &Caller,
    id: &str,
    ask: &t::Send,
) -> Answer<(Target, Message, Option<Relation>)> {
    let meant = summary::meant(web, caller.address(), id)?;
    let (to, convo) = match &meant {
        Meant::Known(convo) => (Target::Conversation(convo.id()), Some(&**convo)),
        Meant::New(peer) => (Target::Direct(peer.clone()), None),
    };
    let (text, html) = words(web, &ask.text, ask.markdown)?;
    if text.trim().is_empty() && ask.files.is_empty() {
        return Err(Problem::invalid("text", "say something, or send a file"));
    }
    if ask.subject.as_ref().is_some_and(|s| s.len() > 1024) {
        return Err(Problem::invalid(
            "subject",
            "a subject has at most 1024 bytes",
        ));
    }
    let thread = ask
        .thread
        .as_deref()
        .map(|t| event_id("thread", t))
        .transpose()?;
    let reply = ask
        .reply_to
        .as_deref()
        .map(|r| event_id("reply_to", r))
        .transpose()?;
    let target = reply.or(thread);
    if let Some(target) = target {
        let there = web.node.visible_event(caller.address(), target)?;
        let here = there.filter(|e| convo.is_some_and(|c| c.id() == e.conversation));
        here.ok_or_else(|| Problem::invalid("reply_to", "there is no such entry here"))?;
    }
    let message = Message {
        text,
        html,
        kind: core_kind(ask.kind),
        attachments: attachments(web, caller.address(), &ask.files)?,
        thread: thread.map(|t| t.to_string()),
        subject: ask.subject.clone().filter(|s| !s.is_empty()),
        mentions: mentions(convo, &ask.mentions)?,
    };
    let relation = target.map(|target| Relation {
        kind: RelationKind::Reply,
        target: Some(target),
        foreign: None,
    });
    Ok((to, message, relation))
}

/// Stores something; the sender's own stream is told the transaction id with it.
async fn put(web: &Arc<Web>, caller: &Caller, out: Outgoing, txn: &str) -> Answer<Sent> {
    let (who, shared) = (caller.principal(), web.clone());
    let (device, txn) = (caller.device.id, txn.to_owned());
    let sent = web
        .node
        .write(move |tx| {
            let sent = send::send(tx, &who, out)?;
            shared.sent.lock().put(sent.id, (device, txn));
            Ok(sent)
        })
        .await?;
    Ok(sent)
}

/// The entry of an event that was just stored.
async fn shown(web: &Arc<Web>, caller: &Caller, id: EventId) -> Answer<t::Entry> {
    let reader = caller.address().clone();
    web.read(move |web| {
        let event = web
            .node
            .visible_event(&reader, id)?
            .ok_or_else(Problem::not_found)?;
        let convo = web
            .node
            .convo(event.conversation)?
            .ok_or_else(Problem::not_found)?;
        Ok(entry(View::of(web, &reader), &convo, &event))
    })
    .await
}

/// The conversation, and an entry in it that the caller may see.
async fn line(
    web: &Arc<Web>,
    caller: &Caller,
    id: String,
    event: &str,
) -> Answer<(Arc<Convo>, EventId)> {
    let event: EventId = event.parse().map_err(|_| Problem::not_found())?;
    let reader = caller.address().clone();
    web.read(move |web| {
        let convo = summary::known(web, &reader, &id)?;
        let there = web.node.visible_event(&reader, event)?;
        there
            .filter(|e| e.conversation == convo.id() && crate::translate::is_line(e))
            .ok_or_else(Problem::not_found)?;
        Ok((convo, event))
    })
    .await
}

fn about(convo: &Convo, content: Content, kind: RelationKind, target: EventId) -> Outgoing {
    let to = Target::Conversation(convo.id());
    let mut out = Outgoing::new(to, content, Protocol::Web);
    out.relation = Some(Relation {
        kind,
        target: Some(target),
        foreign: None,
    });
    out
}

async fn edit(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place((id, event)): Place<(String, String)>,
    Ask(ask): Ask<t::EditText>,
) -> Answer<Json<t::Entry>> {
    let alias = txn(&caller, &ask.txn)?;
    let (convo, target) = line(&web, &caller, id, &event).await?;
    let (text, html) = words(&web, &ask.text, ask.markdown)?;
    if text.trim().is_empty() {
        return Err(Problem::invalid("text", "to say nothing, take it back"));
    }
    let message = Message {
        text,
        html,
        mentions: mentions(Some(&convo), &ask.mentions)?,
        ..Message::default()
    };
    let mut out = about(&convo, Content::Edit(message), RelationKind::Edit, target);
    out.aliases = vec![alias];
    out.origin = caller.origin();
    put(&web, &caller, out, &ask.txn).await?;
    shown(&web, &caller, target).await.map(Json)
}

async fn retract(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place((id, event)): Place<(String, String)>,
    Asked(asked): Asked<t::ReasonQuery>,
) -> Answer<Json<t::Entry>> {
    let (convo, target) = line(&web, &caller, id, &event).await?;
    if asked.reason.as_ref().is_some_and(|r| r.len() > 1024) {
        return Err(Problem::invalid(
            "reason",
            "a reason has at most 1024 bytes",
        ));
    }
    let content = Content::Retraction {
        reason: asked.reason.filter(|r| !r.is_empty()),
    };
    let mut out = about(&convo, content, RelationKind::Retraction, target);
    out.origin = caller.origin();
    let who = caller.principal();
    web.node.write(move |tx| send::send(tx, &who, out)).await?;
    shown(&web, &caller, target).await.map(Json)
}

async fn react(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place((id, event)): Place<(String, String)>,
    Ask(ask): Ask<t::React>,
) -> Answer<Json<t::Entry>> {
    let (convo, target) = line(&web, &caller, id, &event).await?;
    let mut keys: Vec<String> = Vec::new();
    for key in ask.keys {
        let bad = key.is_empty() || key.len() > 64 || key.chars().any(char::is_control);
        if bad {
            return Err(Problem::invalid("keys", "a reaction has 1 to 64 bytes"));
        }
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.len() > web.node.limits().reactions {
        return Err(Problem::too_many(
            "so many reactions of one person to one entry",
        ));
    }
    let content = Content::Reaction { keys };
    let mut out = about(&convo, content, RelationKind::Reaction, target);
    out.origin = caller.origin();
    let who = caller.principal();
    web.node.write(move |tx| send::send(tx, &who, out)).await?;
    shown(&web, &caller, target).await.map(Json)
}

/// Marks a conversation read up to an entry; others are told where the caller's switch lets them.
pub(super) async fn mark(web: &Web, caller: &Caller, convo: &Convo, event: EventId) -> Answer<()> {
    let content = Content::Marker(MarkerKind::Displayed);
    let mut out = about(convo, content, RelationKind::Marker, event);
    out.origin = caller.origin();
    let (who, reader, convo_id) = (caller.principal(), caller.address().clone(), convo.id());
    let room = convo.is_room();
    web.node
        .write(move |tx| {
            let convo = tx.convo(convo_id)?;
            let known = tx.event(event)?.filter(|e| e.conversation == convo_id);
            let known = known.ok_or(sammen_core::Refusal::NotFound)?;
            // In a room, and for what the caller wrote, the place is the caller's own business.
            if room || known.author == reader {
                let origin = sammen_core::Origin::default();
                let target = Some(event);
                return send::mark_read(
                    tx,
                    &convo,
                    &reader,
                    target,
                    MarkerKind::Displayed,
                    &origin,
                );
            }
            let key = convo.id().to_string();
            let mark = tx.document(&(&reader).into(), send::READ, &key)?;
            let mark: Option<send::ReadMark> = mark
                .and_then(|d| d.value)
                .and_then(|v| sammen_core::tx::decode(&v));
            // Said already: a second marker would only fill the log.
            if mark.is_some_and(|m| m.pos >= known.pos) {
                return Ok(());
            }
            send::send(tx, &who, out).map(drop)
        })
        .await?;
    Ok(())
}
