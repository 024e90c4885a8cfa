//! Addresses of rooms: core's own, and further ones that only Matrix has.

use std::sync::Arc;

use ruma::api::client::alias::{create_alias, delete_alias, get_alias};
use ruma::api::client::room::aliases::v3 as aliases;
use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomAliasId};
use sammen_core::document::Owner;
use sammen_core::tx::Expect;
use sammen_core::{Address, Refusal, RoomName, permission};
use serde::{Deserialize, Serialize};

use super::seen;
use crate::auth::Caller;
use crate::chain::Room;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;
use crate::shelf;

/// Namespace of aliases that core does not know, by the alias.
const NAMESPACE: &str = "matrix.alias";
/// Most of them for one room.
const MOST: usize = 64;

#[derive(Serialize, Deserialize)]
struct Alias {
    room: OwnedRoomId,
    by: Address,
}

pub fn routes(table: &mut Table) {
    table.on(get);
    table.on(put);
    table.on(delete);
    table.on(list);
}

/// The address that an alias of this node is.
fn address(matrix: &Matrix, alias: &RoomAliasId) -> Answer<Address> {
    if alias.server_name() != matrix.name {
        return Err(Fault::not_found("there is no such alias here"));
    }
    let name = RoomName::new(alias.alias()).map_err(|e| Fault::invalid(e.to_string()))?;
    Ok(Address::room(matrix.domain(), &name))
}

/// The room that an alias leads to.
///
/// # Errors
/// 404 where there is none.
pub async fn room_of(
    matrix: &Arc<Matrix>,
    who: &Caller,
    alias: &RoomAliasId,
) -> Answer<OwnedRoomId> {
    let me = who.address().clone();
    match find(matrix, alias).await? {
        Found::Room(id) => Ok(id),
        Found::Conversation(convo) if super::directory::may_know(&convo, Some(&me)) => {
            Ok(matrix.rooms.open(convo.id()).await?.id.clone())
        }
        _ => Err(Fault::not_found("there is no such alias here")),
    }
}

enum Found {
    Room(OwnedRoomId),
    Conversation(Arc<sammen_core::Convo>),
    Nothing,
}

async fn find(matrix: &Arc<Matrix>, alias: &RoomAliasId) -> Answer<Found> {
    let Ok(address) = address(matrix, alias) else {
        return Ok(Found::Nothing);
    };
    let alias = alias.to_string();
    matrix
        .read(move |matrix| {
            let node = &matrix.node;
            let nobody = sammen_core::Principal::Node;
            let convo = match node.room(&address)? {
                Some(convo) => Some(convo),
                None => node.renamed(&address, &nobody)?,
            };
            if let Some(convo) = convo {
                return Ok(Found::Conversation(convo));
            }
            let found = node.store().document(&Owner::Node, NAMESPACE, &alias)?;
            let found: Option<Alias> = found.and_then(|d| d.value).and_then(|v| shelf::decode(&v));
            Ok(found.map_or(Found::Nothing, |alias| Found::Room(alias.room)))
        })
        .await
}

async fn get(
    matrix: Arc<Matrix>,
    ask: Ask<get_alias::v3::Request>,
) -> Answer<get_alias::v3::Response> {
    let nothing = || Fault::not_found("there is no such alias here");
    let room = match find(&matrix, &ask.request.room_alias).await? {
        Found::Room(id) => id,
        Found::Conversation(convo) => {
            let settings = &convo.conversation.settings;
            // This is asked without a token: only of rooms that everybody may know of, and those that Matrix knows already.
            let open = settings.listed
                || settings.join_rule == sammen_core::conversation::JoinRule::Open
                    && settings.password.is_none();
            let id = convo.id();
            let known = matrix.read(move |matrix| Ok(matrix.rooms.of(id)?)).await?;
            match known {
                Some(room) => room.id.clone(),
                None if open => matrix.rooms.open(convo.id()).await?.id.clone(),
                None => return Err(nothing()),
            }
        }
        Found::Nothing => return Err(nothing()),
    };
    Ok(get_alias::v3::Response::new(
        room,
        vec![matrix.name.clone()],
    ))
}

async fn put(
    matrix: Arc<Matrix>,
    ask: Ask<create_alias::v3::Request>,
) -> Answer<create_alias::v3::Response> {
    let Ask { request, who, .. } = ask;
    let here = seen(&matrix, &who, &request.room_id).await?.inside()?;
    let address = address(&matrix, &request.room_alias)?;
    let taken = || {
        Fault::new(
            axum::http::StatusCode::CONFLICT,
            ruma::api::error::ErrorKind::Unknown,
            "that alias leads to a room already",
        )
    };
    if !matches!(find(&matrix, &request.room_alias).await?, Found::Nothing) {
        return Err(taken());
    }
    let known = of(&matrix, &here.room).await?;
    if known.len() >= MOST {
        return Err(Fault::forbidden("this room has enough aliases"));
    }
    let value = shelf::encode(&Alias {
        room: request.room_id.clone(),
        by: who.address().clone(),
    })?;
    let alias = request.room_alias.to_string();
    let put = matrix.node.write(move |tx| {
        if tx.room(&address).is_ok() {
            return Err(Refusal::Conflict);
        }
        tx.put_document(&Owner::Node, NAMESPACE, &alias, Expect::Absent, Some(value))
    });
    match put.await {
        Ok(_) => Ok(create_alias::v3::Response::new()),
        Err(Refusal::Conflict) => Err(taken()),
        Err(why) => Err(why.into()),
    }
}

async fn delete(
    matrix: Arc<Matrix>,
    ask: Ask<delete_alias::v3::Request>,
) -> Answer<delete_alias::v3::Response> {
    let Ask { request, who, .. } = ask;
    let alias = request.room_alias.to_string();
    let key = alias.clone();
    let found: Option<Alias> = matrix
        .read(move |matrix| {
            let found = matrix
                .node
                .store()
                .document(&Owner::Node, NAMESPACE, &key)?;
            Ok(found.and_then(|d| d.value).and_then(|v| shelf::decode(&v)))
        })
        .await?;
    let Some(found) = found else {
        return Err(match find(&matrix, &request.room_alias).await? {
            // The room's own address: it goes with the room.
            Found::Conversation(_) => Fault::forbidden("that is the room's own address"),
            _ => Fault::not_found("there is no such alias here"),
        });
    };
    if found.by != *who.address() {
        let here = seen(&matrix, &who, &found.room).await?.inside()?;
        let convo = matrix.node.convo(here.room.conversation)?;
        let convo = convo.ok_or_else(|| Fault::not_found("this room is gone"))?;
        permission::may_configure(&convo, &who.principal(), false)?;
    }
    matrix
        .node
        .write(move |tx| tx.put_document(&Owner::Node, NAMESPACE, &alias, Expect::Anything, None))
        .await?;
    Ok(delete_alias::v3::Response::new())
}

/// All aliases of a room.
async fn of(matrix: &Arc<Matrix>, room: &Arc<Room>) -> Answer<Vec<OwnedRoomAliasId>> {
    let room = room.clone();
    matrix
        .read(move |matrix| {
            let mut aliases = Vec::new();
            if let Some(convo) = matrix.node.convo(room.conversation)? {
                let own = convo.conversation.room().into_iter();
                let own = own.chain(&convo.conversation.former);
                aliases.extend(own.filter_map(|address| matrix.rooms.alias(address)));
            }
            let mut after: Option<String> = None;
            loop {
                let store = matrix.node.store();
                let page = store.documents(&Owner::Node, NAMESPACE, "", after.as_deref(), 500)?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                for document in page {
                    let alias: Option<Alias> = document.value.as_deref().and_then(shelf::decode);
                    if alias.is_some_and(|alias| alias.room == room.id) {
                        aliases.extend(RoomAliasId::parse(&document.key));
                    }
                }
            }
            Ok(aliases)
        })
        .await
}

async fn list(matrix: Arc<Matrix>, ask: Ask<aliases::Request>) -> Answer<aliases::Response> {
    let here = seen(&matrix, &ask.who, &ask.request.room_id).await?;
    if !here.joined() && !here.sight.sees_now() {
        return Err(Fault::forbidden("you are not in this room"));
    }
    Ok(aliases::Response::new(of(&matrix, &here.room).await?))
}
