//! Sending and taking back (client-server API, "Sending events to a room", "Redactions").

use std::sync::Arc;

use ruma::api::client::message::send_message_event::v3 as send_event;
use ruma::api::client::redact::redact_event::v3 as redact_event;
use ruma::events::TimelineEventType as Type;
use ruma::{OwnedEventId, RoomId};
use sammen_core::event::{Content, ForeignId, Message, Native, Relation, RelationKind, Scheme};
use sammen_core::ops::files::note_as;
use sammen_core::ops::send::{Outgoing, Target, send};
use sammen_core::{EventId, Protocol};
use serde_json::{Value, json};

use super::{Seen, seen};
use crate::auth::Caller;
use crate::chain::{Draft, Link, PDU, Relates};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::fields::Fields as _;
use crate::json;
use crate::routes::Table;
use crate::server::Matrix;
use crate::translate;

pub fn routes(table: &mut Table) {
    table.on(send_one);
    table.on(redact);
}

async fn send_one(
    matrix: Arc<Matrix>,
    ask: Ask<send_event::Request>,
) -> Answer<send_event::Response> {
    let who = ask.who;
    let request = ask.request;
    let kind = request.event_type.to_string();
    let content = Value::Object(json::object(request.body.json(), PDU)?);
    if kind == "m.room.redaction" {
        let about = content
            .word("redacts")
            .and_then(|id| ruma::EventId::parse(id).ok());
        let about = about.ok_or_else(|| Fault::bad_json("a redaction names an event"))?;
        let reason = content.word("reason").map(str::to_owned);
        let id = take_back(
            &matrix,
            &who,
            &request.room_id,
            about,
            request.txn_id.as_str(),
            reason,
        );
        return Ok(send_event::Response::new(id.await?));
    }
    let id = say(
        &matrix,
        &who,
        &request.room_id,
        kind,
        content,
        request.txn_id.as_str(),
    )
    .await?;
    Ok(send_event::Response::new(id))
}

async fn redact(
    matrix: Arc<Matrix>,
    ask: Ask<redact_event::Request>,
) -> Answer<redact_event::Response> {
    let Ask { request, who, .. } = ask;
    let (about, txn) = (request.event_id, request.txn_id);
    let id = take_back(
        &matrix,
        &who,
        &request.room_id,
        about,
        txn.as_str(),
        request.reason,
    );
    Ok(redact_event::Response::new(id.await?))
}

/// What core is asked to keep.
struct Prepared {
    out: Outgoing,
    /// Nothing has changed: the event that says so already.
    known: Option<OwnedEventId>,
}

/// The sender's own id for it, the same after a restart.
fn alias(who: &Caller, txn: &str) -> ForeignId {
    ForeignId {
        scheme: Scheme::Transaction,
        id: format!("{}/{txn}", who.device.id),
    }
}

/// Says something in a room.
///
/// # Errors
/// When core or the room's rules do not allow it.
pub async fn say(
    matrix: &Arc<Matrix>,
    who: &Caller,
    room: &RoomId,
    kind: String,
    content: Value,
    txn: &str,
) -> Answer<OwnedEventId> {
    if txn.is_empty() || txn.len() > 255 {
        return Err(Fault::invalid("the transaction id is too long"));
    }
    let here = seen(matrix, who, room).await?.inside()?;
    let room = here.room.clone();
    let draft = Draft {
        kind: Type::from(kind.as_str()),
        state_key: None,
        sender: who.user_id.clone(),
        at: matrix.node.now(),
        content: content.clone(),
        core: None,
        relates: Relates::default(),
        transaction: Some((who.device.id.0, txn.to_owned())),
    };
    matrix.rooms.check(&room, draft.clone()).await?;
    let asker = who.clone();
    let txn = txn.to_owned();
    let files = files(&kind, &content);
    let prepared = matrix.read(move |matrix| prepare(matrix, &asker, &here, &kind, &content, &txn));
    let prepared = match prepared.await? {
        Some(prepared) => prepared,
        // What it is about is nothing of core's.
        None => {
            let mut draft = draft;
            let about = draft.content.field("m.relates_to").word("event_id");
            draft.relates.about = about.and_then(|id| ruma::EventId::parse(id).ok());
            let (ids, ()) = matrix.rooms.add(&room, vec![draft], |_| Ok(())).await?;
            return ids
                .into_iter()
                .next()
                .ok_or_else(|| Fault::unknown("try later"));
        }
    };
    if let Some(known) = prepared.known {
        return Ok(known);
    }
    let principal = who.principal();
    let out = prepared.out;
    let sent = matrix.node.write(move |tx| {
        let sent = send(tx, &principal, out)?;
        for (address, shows) in files.iter().filter(|_| !sent.duplicate) {
            note_as(tx, sent.id, address, *shows);
        }
        Ok(sent)
    });
    let sent = sent.await?;
    matrix.rooms.catch_up(&room, sent.seq, Vec::new()).await?;
    shown(matrix, &room, sent.id).await
}

/// What core can't know of an event's files: the small picture goes with the large one, a sticker stays in its pack.
fn files(kind: &str, content: &Value) -> Vec<(String, bool)> {
    let small = content.field("info").word("thumbnail_url");
    let sticker = content.word("url").filter(|_| kind == "m.sticker");
    let small = small.map(|url| (url.to_owned(), true));
    let sticker = sticker.map(|url| (url.to_owned(), false));
    small.into_iter().chain(sticker).collect()
}

/// The id of the first event that shows an event of core's.
async fn shown(
    matrix: &Arc<Matrix>,
    room: &Arc<crate::chain::Room>,
    event: EventId,
) -> Answer<OwnedEventId> {
    let room = room.clone();
    let found = matrix.read(move |_| Ok(room.id_of(event)?)).await?;
    let (_, id) = found.ok_or_else(|| Fault::forbidden("the room's rules do not allow that"))?;
    Ok(id)
}

/// `None` where what it is about is nothing of core's.
fn prepare(
    matrix: &Matrix,
    who: &Caller,
    here: &Seen,
    kind: &str,
    content: &Value,
    txn: &str,
) -> Answer<Option<Prepared>> {
    let meant = translate::meaning(matrix, kind, content)?;
    let room = &here.room;
    let mut said = meant.content;
    let mut known = None;
    let target: Option<Arc<Link>> = match &meant.about {
        Some((_, id)) => room.event(id)?.filter(|link| here.sight.sees(link)),
        None => None,
    };
    let core = target.as_ref().and_then(|link| link.core);
    let relation = match (&meant.about, core) {
        (None, _) => None,
        (Some((kind, _)), Some(core)) => Some(Relation {
            kind: *kind,
            target: Some(core.id),
            foreign: None,
        }),
        // What is answered may be anything; the native form goes on saying it.
        (Some((RelationKind::Reply, _)), None) => None,
        (Some(_), None) if target.is_some() => return Ok(None),
        (Some(_), None) => return Err(Fault::not_found("there is no such event here")),
    };
    if let (Content::Reaction { keys }, Some(core)) = (&mut said, core) {
        let mut all = reactions(matrix, who, core.id)?;
        let sent = matrix.node.store().alias(
            room.conversation,
            Scheme::Transaction,
            Some(who.address()),
            &alias(who, txn).id,
        )?;
        let fresh = !keys.iter().any(|key| all.contains(key));
        if !fresh && sent.is_none() {
            return Err(Fault::new(
                axum::http::StatusCode::BAD_REQUEST,
                ruma::api::error::ErrorKind::DuplicateAnnotation,
                "you reacted so already",
            ));
        }
        if let Some(hit) = sent
            && let Some(event) = matrix.node.store().event(hit.seq)?
        {
            known = room.id_of(event.id)?.map(|(_, id)| id);
        }
        all.append(keys);
        *keys = all;
    }
    if let Some(root) = &meant.thread
        && let Some(root) = room.event(root)?
        && (root.relates.thread.is_some()
            || root.relates.about.is_some()
            || root.relates.other.is_some())
    {
        // Client-server API, "Threading".
        let why = "a thread can't begin there";
        let bad = axum::http::StatusCode::BAD_REQUEST;
        return Err(Fault::new(bad, ruma::api::error::ErrorKind::Unknown, why));
    }
    if let (Content::Message(message), Some(root)) = (&mut said, &meant.thread) {
        message.thread = Some(thread(matrix, room, root)?);
    }
    let bytes = serde_json::to_vec(content).map_err(|e| Fault::bad_json(e.to_string()))?;
    let mut out = Outgoing::new(
        Target::Conversation(room.conversation),
        said,
        Protocol::Matrix,
    );
    out.native = Some(Native {
        protocol: Protocol::Matrix,
        bytes: bytes.into(),
        id: Some(txn.to_owned()),
        kind: Some(kind.to_owned()),
    });
    out.relation = relation;
    out.aliases = vec![alias(who, txn)];
    out.origin = who.origin();
    Ok(Some(Prepared { out, known }))
}

/// The keys of a person's reactions to an event.
fn reactions(matrix: &Matrix, who: &Caller, about: EventId) -> Answer<Vec<String>> {
    let related = matrix.node.store().relations(about, 10_000)?;
    let mine = related
        .iter()
        .rev()
        .filter(|event| event.author == *who.address());
    let keys = mine.filter_map(|event| match &event.content {
        Content::Reaction { keys } => Some(keys.clone()),
        _ => None,
    });
    Ok(keys.into_iter().next().unwrap_or_default())
}

/// The name of a thread for every protocol: that which it has already, or the root's id.
fn thread(matrix: &Matrix, room: &crate::chain::Room, root: &ruma::EventId) -> Answer<String> {
    let event = match room.event(root)?.and_then(|link| link.core) {
        Some(core) => matrix.node.store().event(core.seq)?,
        None => None,
    };
    let named = event.and_then(|event| match &event.content {
        Content::Message(Message { thread, .. }) => thread.clone(),
        _ => None,
    });
    Ok(named.unwrap_or_else(|| root.to_string()))
}

/// Takes an event back.
///
/// # Errors
/// When it is another's and the asker is no moderator.
pub async fn take_back(
    matrix: &Arc<Matrix>,
    who: &Caller,
    room: &RoomId,
    about: OwnedEventId,
    txn: &str,
    reason: Option<String>,
) -> Answer<OwnedEventId> {
    let here = seen(matrix, who, room).await?.inside()?;
    let room = here.room.clone();
    let (asker, txn) = (who.clone(), txn.to_owned());
    let found = {
        let (room, txn) = (room.clone(), txn.clone());
        matrix.read(move |matrix| {
            if let Some(link) = room.sent(asker.device.id.0, &txn)? {
                return Ok(Err(link.id.clone()));
            }
            let sent = matrix.node.store().alias(
                room.conversation,
                Scheme::Transaction,
                Some(asker.address()),
                &alias(&asker, &txn).id,
            )?;
            if let Some(hit) = sent
                && let Some(event) = matrix.node.store().event(hit.seq)?
                && let Some((_, id)) = room.id_of(event.id)?
            {
                return Ok(Err(id));
            }
            let link = room.event(&about)?.filter(|link| here.sight.sees(link));
            let link = link.ok_or_else(|| Fault::not_found("there is no such event here"))?;
            let key = match link.kind {
                Type::Reaction => translate::key(&matrix.rooms, &link)?,
                _ => None,
            };
            let mut keys = None;
            if let (Some(key), Some(core)) = (key, link.core)
                && link.sender == asker.user_id
                && let Some(event) = matrix.node.store().event(core.seq)?
                && let Some(target) = event.target()
            {
                let mut left = reactions(matrix, &asker, target)?;
                left.retain(|known| *known != key);
                keys = Some((target, left));
            }
            Ok(Ok((link, keys)))
        })
    };
    let (link, keys) = match found.await? {
        Ok(found) => found,
        Err(known) => return Ok(known),
    };
    let draft = Draft {
        kind: Type::RoomRedaction,
        state_key: None,
        sender: who.user_id.clone(),
        at: matrix.node.now(),
        content: json!({ "redacts": link.id }),
        core: None,
        relates: Relates::default(),
        transaction: None,
    };
    matrix.rooms.check(&room, draft).await?;
    let (content, target) = match (keys, link.core) {
        (Some((target, keys)), _) => (Content::Reaction { keys }, Some(target)),
        // An edit that is taken back leaves the first wording: core has no word for that.
        (None, Some(core)) if link.relates.about.is_none() && link.state_key.is_none() => (
            Content::Retraction {
                reason: reason.clone(),
            },
            Some(core.id),
        ),
        _ => (Content::Retraction { reason: None }, None),
    };
    let Some(target) = target else {
        if link.sender != who.user_id {
            let state = room.state();
            let levels: Value = state.content("m.room.power_levels", "").unwrap_or_default();
            let level = |field: &str, otherwise| levels.field(field).as_i64().unwrap_or(otherwise);
            let mine = levels.field("users").field(who.user_id.as_str()).as_i64();
            let creator = state
                .get("m.room.create", "")
                .is_some_and(|c| c.sender == who.user_id);
            let strong = room.version == ruma::RoomVersionId::V12 && creator;
            if !strong && mine.unwrap_or_else(|| level("users_default", 0)) < level("redact", 50) {
                return Err(Fault::forbidden("only its author can do that"));
            }
        }
        let transaction = (who.device.id.0, txn);
        let id = matrix
            .rooms
            .redact(&room, &link, &who.user_id, reason, transaction);
        return Ok(id.await?);
    };
    let kind = match content {
        Content::Reaction { .. } => RelationKind::Reaction,
        _ => RelationKind::Retraction,
    };
    let mut out = Outgoing::new(
        Target::Conversation(room.conversation),
        content,
        Protocol::Matrix,
    );
    out.relation = Some(Relation {
        kind,
        target: Some(target),
        foreign: None,
    });
    out.aliases = vec![alias(who, &txn)];
    out.origin = who.origin();
    let principal = who.principal();
    let sent = matrix
        .node
        .write(move |tx| send(tx, &principal, out))
        .await?;
    matrix.rooms.catch_up(&room, sent.seq, Vec::new()).await?;
    shown(matrix, &room, sent.id).await
}
