//! Spaces: what lies below a room (client-server API, "Querying spaces").

use std::collections::HashSet;
use std::sync::Arc;

use ruma::api::client::space::SpaceHierarchyRoomsChunk;
use ruma::api::client::space::get_hierarchy::v1 as hierarchy;
use ruma::{OwnedRoomId, RoomId};
use serde_json::{Value, json};

use super::directory::{may_know, tell};
use super::seen;
use crate::chain::Link;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::fields::Fields as _;
use crate::routes::Table;
use crate::server::Matrix;

/// Most rooms in an answer, and below one room.
const MOST: usize = 50;

pub fn routes(table: &mut Table) {
    table.on(below);
}

async fn below(matrix: Arc<Matrix>, ask: Ask<hierarchy::Request>) -> Answer<hierarchy::Response> {
    let Ask { request, who, .. } = ask;
    let here = seen(&matrix, &who, &request.room_id).await?;
    let convo = matrix.node.convo(here.room.conversation)?;
    if !here.joined() && !convo.is_some_and(|c| may_know(&c, Some(who.address()))) {
        return Err(Fault::forbidden("you are not in this room"));
    }
    let limit = request
        .limit
        .map_or(MOST, |n| usize::try_from(u64::from(n)).unwrap_or(MOST));
    let limit = limit.clamp(1, MOST);
    let depth = request.max_depth.map_or(u64::MAX, u64::from);
    let skip: usize = match &request.from {
        Some(from) => from
            .parse()
            .map_err(|_| Fault::invalid("that is no token of this server"))?,
        None => 0,
    };
    let mut rooms = Vec::new();
    let mut known: HashSet<OwnedRoomId> = HashSet::new();
    let mut next: Vec<(OwnedRoomId, u64)> = vec![(here.room.id.clone(), 0)];
    let mut seen = 0_usize;
    let mut more = false;
    while let Some((id, level)) = next.pop() {
        if !known.insert(id.clone()) {
            continue;
        }
        if rooms.len() >= limit {
            more = true;
            break;
        }
        let Some(room) = super::room(&matrix, &id).await? else {
            continue;
        };
        let Some(convo) = matrix.node.convo(room.conversation)? else {
            continue;
        };
        if !may_know(&convo, Some(who.address())) {
            continue;
        }
        let state = room.state();
        let space = state.text("m.room.create", "type").as_deref() == Some("m.space");
        let mut children: Vec<(String, &Arc<Link>, Value)> = state
            .of("m.space.child")
            .filter_map(|(child, link)| {
                let content: Value = link.own()?;
                let via = content
                    .field("via")
                    .as_array()
                    .is_some_and(|via| !via.is_empty());
                let suggested = content.field("suggested") == &Value::Bool(true);
                (via && (suggested || !request.suggested_only))
                    .then(|| (child.to_owned(), link, content))
            })
            .take(MOST)
            .collect();
        // By `order`, then by age.
        children.sort_by_key(|(_, link, content)| {
            let order = content.word("order").map(str::to_owned);
            (order.is_none(), order, link.at)
        });
        let mut told = SpaceHierarchyRoomsChunk::new(tell(&room, &convo, &state)?, Vec::new());
        if space {
            for (child, link, content) in &children {
                let event = json!({
                    "type": "m.space.child",
                    "state_key": child,
                    "content": content,
                    "sender": link.sender,
                    "origin_server_ts": link.at.0,
                });
                told.children_state.extend(
                    ruma::serde::Raw::new(&event)
                        .ok()
                        .map(ruma::serde::Raw::cast_unchecked),
                );
            }
            if level < depth {
                for (child, ..) in children.iter().rev() {
                    if let Ok(child) = RoomId::parse(child) {
                        next.push((child, level + 1));
                    }
                }
            }
        }
        seen += 1;
        if seen > skip {
            rooms.push(told);
        }
    }
    let mut response = hierarchy::Response::new();
    response.next_batch = more.then(|| (skip + rooms.len()).to_string());
    response.rooms = rooms;
    Ok(response)
}
