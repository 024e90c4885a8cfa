//! State: reading it, and setting it where core and the room's rules allow it.

use std::sync::Arc;

use ruma::api::client::state::{get_state_event_for_key, get_state_events, send_state_event};
use ruma::events::TimelineEventType as Type;
use sammen_core::Outcome;
use sammen_core::conversation::{Binding, JoinRule, Settings, Visibility};
use sammen_core::ops::rooms;
use sammen_core::tx::Tx;
use serde_json::Value;

use super::ranks::Ranks;
use super::{Seen, members, seen};
use crate::auth::Caller;
use crate::chain::{Draft, PDU, Room};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::fields::Fields as _;
use crate::json;
use crate::routes::Table;
use crate::server::Matrix;

/// Most bytes of a type or state key (client-server API, "Size limits").
const KEY: usize = 255;

pub fn routes(table: &mut Table) {
    table.on(all);
    table.on(one);
    table.on(set);
    // Without a state key: with the empty one.
    let paths = [
        "/_matrix/client/r0/rooms/{room_id}/state/{event_type}",
        "/_matrix/client/r0/rooms/{room_id}/state/{event_type}/",
        "/_matrix/client/v3/rooms/{room_id}/state/{event_type}",
        "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/",
    ];
    table.under(&paths, one);
    table.under(&paths, set);
}

async fn all(
    matrix: Arc<Matrix>,
    ask: Ask<get_state_events::v3::Request>,
) -> Answer<get_state_events::v3::Response> {
    let here = seen(&matrix, &ask.who, &ask.request.room_id).await?;
    let until = here.until()?;
    let state = matrix.read(move |matrix| {
        let state = here.room.state_at(until)?;
        Ok(matrix.rooms.render_whole_state(&here.room, state.iter())?)
    });
    Ok(get_state_events::v3::Response::new(state.await?))
}

async fn one(
    matrix: Arc<Matrix>,
    ask: Ask<get_state_event_for_key::v3::Request>,
) -> Answer<get_state_event_for_key::v3::Response> {
    use ruma::api::client::state::get_state_event_for_key::v3::StateEventFormat;
    let Ask { request, who, .. } = ask;
    let here = seen(&matrix, &who, &request.room_id).await?;
    let until = here.until()?;
    let answer = matrix.read(move |matrix| {
        let state = here.room.state_at(until)?;
        let link = state.get(&request.event_type.to_string(), &request.state_key);
        let link = link.ok_or_else(|| Fault::not_found("there is no such state"))?;
        if request.format == StateEventFormat::Event {
            let event = matrix.rooms.render_whole_state(&here.room, [link])?;
            let event = event.into_iter().next().map(ruma::serde::Raw::into_json);
            return event.ok_or_else(|| Fault::unknown("try later"));
        }
        let content = link.content.clone();
        content.ok_or_else(|| Fault::not_found("there is no such state"))
    });
    Ok(get_state_event_for_key::v3::Response::new(answer.await?))
}

async fn set(
    matrix: Arc<Matrix>,
    ask: Ask<send_state_event::v3::Request>,
) -> Answer<send_state_event::v3::Response> {
    let Ask { request, who, .. } = ask;
    let content = Value::Object(json::object(request.body.json(), PDU)?);
    let kind = request.event_type.to_string();
    if kind.len() > KEY || request.state_key.len() > KEY {
        return Err(Fault::too_large());
    }
    let here = seen(&matrix, &who, &request.room_id).await?;
    let room = here.room.clone();
    let kind = Type::from(kind.as_str());
    if kind == Type::RoomMember {
        members::change(&matrix, &who, here, &request.state_key, &content).await?;
        let state = room.state();
        let link = state.get("m.room.member", &request.state_key);
        let link = link.ok_or_else(|| Fault::forbidden("that did not happen"))?;
        return Ok(send_state_event::v3::Response::new(link.id.clone()));
    }
    let here = here.inside()?;
    let id = put(&matrix, &who, here, kind, request.state_key, content).await?;
    Ok(send_state_event::v3::Response::new(id))
}

/// Most state events of a room, beside those of its members.
const STATE: usize = 10_000;

/// Sets state, in core and in the chain.
async fn put(
    matrix: &Arc<Matrix>,
    who: &Caller,
    here: Seen,
    kind: Type,
    key: String,
    content: Value,
) -> Answer<ruma::OwnedEventId> {
    let room = here.room;
    let state = room.state();
    if state.len() >= STATE && state.get(&kind.to_string(), &key).is_none() {
        return Err(Fault::too_large());
    }
    let mut draft = Draft::state(
        kind.clone(),
        &key,
        &who.user_id,
        matrix.node.now(),
        content.clone(),
    );
    draft.transaction = None;
    matrix.rooms.check(&room, draft.clone()).await?;
    if kind == Type::RoomPowerLevels
        && key.is_empty()
        && let Some(ranks) = Ranks::of(matrix, &room, &content)
    {
        let (principal, origin, id) = (who.principal(), who.origin(), room.conversation);
        let also = move |tx: &mut Tx<'_>| ranks.set(tx, &principal, id, &origin);
        return one_of(matrix.rooms.add(&room, vec![draft], also).await?.0);
    }
    let Some(change) = change(matrix, &room, &kind, &key, &content)? else {
        return one_of(matrix.rooms.add(&room, vec![draft], |_| Ok(())).await?.0);
    };
    let (principal, origin, id) = (who.principal(), who.origin(), room.conversation);
    let also = move |tx: &mut Tx<'_>| -> Outcome<()> {
        match change {
            Change::Topic(topic) => {
                rooms::set_topic(tx, &principal, id, &topic, None, &origin).map(drop)
            }
            Change::Settings(change) => {
                let change = move |settings: &mut Settings| {
                    change(settings);
                    Ok(())
                };
                rooms::configure(tx, &principal, id, change, &origin).map(drop)
            }
        }
    };
    one_of(matrix.rooms.add(&room, vec![draft], also).await?.0)
}

fn one_of(ids: Vec<ruma::OwnedEventId>) -> Answer<ruma::OwnedEventId> {
    ids.into_iter()
        .next()
        .ok_or_else(|| Fault::unknown("try later"))
}

/// A change of a room's settings.
pub type Configure = Box<dyn FnOnce(&mut Settings) + Send>;

/// What a state event changes in core.
pub enum Change {
    Topic(String),
    Settings(Configure),
}

/// What a state event of a room means to core; `None` where core has no word for it.
///
/// # Errors
/// When core can't have it.
fn change(
    matrix: &Matrix,
    room: &Room,
    kind: &Type,
    key: &str,
    content: &Value,
) -> Answer<Option<Change>> {
    if !key.is_empty() {
        return Ok(None);
    }
    let convo = matrix.node.convo(room.conversation)?;
    let convo = convo.ok_or_else(|| Fault::not_found("this room is gone"))?;
    if *kind == Type::RoomEncryption && !convo.is_room() {
        let bound = convo.conversation.settings.binding == Binding::Bound("Megolm".into());
        if !bound {
            return Err(Fault::forbidden(
                "This conversation is for every app of the two. Begin an encrypted one beside it.",
            ));
        }
    }
    if !convo.is_room() {
        // Core lets nobody else into the conversation of two, so neither of them can do it here.
        let opens = matches!(
            kind,
            Type::RoomHistoryVisibility | Type::RoomJoinRules | Type::RoomGuestAccess
        );
        if opens {
            return Err(Fault::forbidden("this conversation is for the two of you"));
        }
        return Ok(None);
    }
    if *kind == Type::RoomTopic {
        let topic = content.word("topic").unwrap_or_default().to_owned();
        return Ok(Some(Change::Topic(topic)));
    }
    let settings = settings(kind, content);
    Ok(settings.map(Change::Settings))
}

/// What a state event changes in a room's settings.
pub fn settings(kind: &Type, content: &Value) -> Option<Configure> {
    let text = |field: &str| {
        let text = content.word(field).filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    match kind {
        Type::RoomName => {
            let name = text("name");
            Some(Box::new(move |s| s.name = name))
        }
        Type::RoomJoinRules => {
            let rule = match content.word("join_rule") {
                Some("public") => JoinRule::Open,
                Some("knock" | "knock_restricted") => JoinRule::Knock,
                _ => JoinRule::Members,
            };
            Some(Box::new(move |s| s.join_rule = rule))
        }
        Type::RoomHistoryVisibility => {
            let visibility = match content.word("history_visibility") {
                Some("world_readable") => Visibility::World,
                Some("shared") => Visibility::Shared,
                _ => Visibility::Joined,
            };
            Some(Box::new(move |s| s.visibility = visibility))
        }
        Type::RoomEncryption => Some(Box::new(|s| s.binding = Binding::Bound("Megolm".into()))),
        _ => None,
    }
}
