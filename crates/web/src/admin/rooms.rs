//! Rooms: which there are, closing them, giving them an owner. What is said in them is nobody's business here.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::member::Standing;
use sammen_core::ops::rooms;
use sammen_core::principal::Origin;
use sammen_core::{Address, Convo, Principal, Refusal, RoomName};

use super::most;
use crate::api::rooms::binding;
use crate::audit::note;
use crate::auth::{Caller, Need};
use crate::extract::{Asked, Done, Json, Place};
use crate::person::{View, person};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(Method::GET, "/admin/rooms", Need::Admin, "Rooms")
        .query::<t::PageQuery>()
        .answer::<t::RoomPage>(200)
        .by(list);
    table
        .on(
            Method::DELETE,
            "/admin/rooms/{name}",
            Need::Admin,
            "Closes a room",
        )
        .query::<t::ReasonQuery>()
        .done()
        .by(close);
}

fn shown(web: &Web, reader: &Address, convo: &Convo) -> Answer<t::RoomInfo> {
    let settings = &convo.conversation.settings;
    let room = convo.conversation.room().ok_or_else(Problem::not_found)?;
    let tail = web.node.store().tail(convo.id()).map_err(Refusal::from)?;
    let view = View::of(web, reader);
    let owners = convo
        .members
        .values()
        .filter(|m| m.standing == Standing::Owner)
        .take(10);
    Ok(t::RoomInfo {
        address: room.to_string(),
        name: settings
            .name
            .clone()
            .unwrap_or_else(|| room.name().to_owned()),
        members: convo.joined().count(),
        listed: settings.listed,
        binding: binding(settings),
        created: convo.conversation.created.0,
        at: tail.last_at.0,
        owners: owners.map(|m| person(view, &m.address)).collect(),
    })
}

async fn list(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Asked(asked): Asked<t::PageQuery>,
) -> Answer<Json<t::RoomPage>> {
    let reader = caller.address().clone();
    web.read(move |web| {
        let most = most(asked.limit);
        let after = asked.after.as_deref().map(Address::new).transpose();
        let after = after.map_err(|_| Problem::invalid("after", "that is no cursor of ours"))?;
        let page = web.node.rooms(after.as_ref(), most + 1)?;
        let more = page.len() > most;
        let rooms: Answer<Vec<t::RoomInfo>> = page
            .iter()
            .take(most)
            .map(|convo| shown(web, &reader, convo))
            .collect();
        let rooms = rooms?;
        let next = more
            .then(|| rooms.last().map(|r| r.address.clone()))
            .flatten();
        Ok(t::RoomPage { rooms, next })
    })
    .await
    .map(Json)
}

async fn close(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(name): Place<String>,
    Asked(asked): Asked<t::ReasonQuery>,
) -> Answer<Done> {
    let name = name.trim_start_matches('#');
    let name = name.split('@').next().unwrap_or(name);
    let name = RoomName::new(name).map_err(|_| Problem::not_found())?;
    let address = Address::room(web.domain(), &name);
    let by = caller.address().clone();
    let reason = asked.reason.filter(|r| !r.is_empty() && r.len() <= 1024);
    web.node
        .write(move |tx| {
            let id = tx.room(&address)?.id();
            let who = Principal::Admin(by.clone());
            rooms::destroy(tx, &who, id, reason.clone(), None, &Origin::default())?;
            note(tx, Some(&by), "room closed", address.as_str(), reason)
        })
        .await?;
    Ok(Done)
}
