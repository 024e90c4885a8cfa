//! Reporting what was said, rooms and people to those who run the node (client-server API, "Reporting Content").

use std::sync::Arc;

use ruma::api::client::reporting::report_user;
use ruma::api::client::room::{report_content, report_room};
use ruma::events::TimelineEventType as Type;
use sammen_core::ops::reports::{self, Reason, Report, State};
use sammen_core::{Address, EventId};

use super::seen;
use crate::auth::Caller;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

pub fn routes(table: &mut Table) {
    table.on(event);
    table.on(room);
    table.on(person);
}

/// What is reported.
struct About {
    who: Address,
    room: Option<Address>,
    event: Option<EventId>,
    encrypted: bool,
}

async fn add(matrix: &Matrix, by: &Caller, about: About, mut text: String) -> Answer<()> {
    text.truncate(text.floor_char_boundary(reports::TEXT));
    let report = Report {
        at: matrix.node.now(),
        by: by.address().clone(),
        about: about.who,
        reason: Reason::Other,
        text: (!text.trim().is_empty()).then_some(text),
        event: about.event,
        room: about.room,
        encrypted: about.encrypted,
        state: State::Open,
        note: None,
    };
    let added = matrix.node.write(move |tx| reports::add(tx, &report));
    Ok(added.await.map(drop)?)
}

async fn event(
    matrix: Arc<Matrix>,
    ask: Ask<report_content::v3::Request>,
) -> Answer<report_content::v3::Response> {
    let Ask { request, who, .. } = ask;
    let nothing = || Fault::not_found("there is no such event here");
    let here = seen(&matrix, &who, &request.room_id).await;
    let here = here.map_err(|_| nothing())?;
    if !here.joined() {
        return Err(nothing());
    }
    let about = matrix.read(move |matrix| {
        let link = here.room.event(&request.event_id)?;
        let link = link.filter(|link| here.sight.sees(link));
        let link = link.ok_or_else(nothing)?;
        let convo = matrix.node.convo(here.room.conversation)?;
        Ok(About {
            // What the node's own user says for the room is the room's.
            who: matrix
                .rooms
                .address(&link.sender)
                .or_else(|| convo.as_ref()?.conversation.room().cloned())
                .ok_or_else(nothing)?,
            room: convo.and_then(|convo| convo.conversation.room().cloned()),
            event: link.core.map(|core| core.id),
            encrypted: link.kind == Type::RoomEncrypted,
        })
    });
    let about = about.await?;
    add(&matrix, &who, about, request.reason.unwrap_or_default()).await?;
    Ok(report_content::v3::Response::new())
}

async fn room(
    matrix: Arc<Matrix>,
    ask: Ask<report_room::v3::Request>,
) -> Answer<report_room::v3::Response> {
    let Ask { request, who, .. } = ask;
    let nothing = || Fault::not_found("there is no such room here");
    let room = super::room(&matrix, &request.room_id).await?;
    let room = room.ok_or_else(nothing)?;
    let convo = matrix.node.convo(room.conversation)?.ok_or_else(nothing)?;
    if !super::directory::may_know(&convo, Some(who.address())) {
        return Err(nothing());
    }
    let place = convo.conversation.room().cloned();
    let peer = convo.conversation.peer_of(who.address()).cloned();
    let about = About {
        who: place.clone().or(peer).ok_or_else(nothing)?,
        room: place,
        event: None,
        encrypted: false,
    };
    add(&matrix, &who, about, request.reason).await?;
    Ok(report_room::v3::Response::new())
}

async fn person(
    matrix: Arc<Matrix>,
    ask: Ask<report_user::v3::Request>,
) -> Answer<report_user::v3::Response> {
    let Ask { request, who, .. } = ask;
    let about = matrix.rooms.address(&request.user_id);
    // Whether there is such an account is nobody's business.
    let there = |about: &Address| match about.is_account() {
        true => matrix.node.account(about).is_ok_and(|a| a.is_some()),
        false => true,
    };
    if let Some(address) = about.filter(there) {
        let about = About {
            who: address,
            room: None,
            event: None,
            encrypted: false,
        };
        add(&matrix, &who, about, request.reason).await?;
    }
    Ok(report_user::v3::Response::new())
}
