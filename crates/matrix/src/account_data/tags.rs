//! Room tags (client-server API, "Room Tagging"): account data of one room, a tag at a time.

use std::sync::Arc;

use ruma::RoomId;
use ruma::api::client::tag::{create_tag, delete_tag, get_tags};
use sammen_core::tx::Tx;
use sammen_core::{Address, Outcome, Refusal};
use serde_json::{Map, Value, json};

use super::api::no_room;
use super::{ROOM, get, own, put_if_room, room_key};
use crate::auth::Caller;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// The type.
const TYPE: &str = "m.tag";
/// Most tags of a room.
const MOST: usize = 100;
/// Longest tag, in bytes ("Room Tagging").
const LONGEST: usize = 255;

pub(super) fn routes(table: &mut Table) {
    table.on(list);
    table.on(set);
    table.on(delete);
}

async fn list(
    matrix: Arc<Matrix>,
    ask: Ask<get_tags::v3::Request>,
) -> Answer<get_tags::v3::Response> {
    own(&ask.who, &ask.request.user_id)?;
    let key = room_key(ask.request.room_id.as_str(), TYPE);
    let account = ask.who.address().clone();
    let found = matrix
        .node
        .read(move |node| get(node.store(), &account, ROOM, &key));
    let tags = match found.await? {
        Some(piece) => {
            serde_json::from_str::<ruma::events::tag::TagEventContent>(piece.content.get())
                .map_or_else(|_| Default::default(), |content| content.tags)
        }
        None => Default::default(),
    };
    Ok(get_tags::v3::Response::new(tags))
}

async fn set(
    matrix: Arc<Matrix>,
    ask: Ask<create_tag::v3::Request>,
) -> Answer<create_tag::v3::Response> {
    let create_tag::v3::Request {
        user_id,
        room_id,
        tag,
        tag_info,
        ..
    } = ask.request;
    own(&ask.who, &user_id)?;
    if tag.is_empty() || tag.len() > LONGEST {
        return Err(Fault::invalid("a tag has 1 to 255 bytes"));
    }
    let info = serde_json::to_value(tag_info).map_err(|_| Fault::bad_json("no tag"))?;
    change(&matrix, &ask.who, &room_id, move |tags| {
        if !tags.contains_key(&tag) && tags.len() >= MOST {
            return Err(Refusal::TooMany);
        }
        tags.insert(tag, info);
        Ok(true)
    })
    .await?;
    Ok(create_tag::v3::Response::new())
}

async fn delete(
    matrix: Arc<Matrix>,
    ask: Ask<delete_tag::v3::Request>,
) -> Answer<delete_tag::v3::Response> {
    own(&ask.who, &ask.request.user_id)?;
    let tag = ask.request.tag;
    let room = ask.request.room_id;
    change(&matrix, &ask.who, &room, move |tags| {
        Ok(tags.remove(&tag).is_some())
    })
    .await?;
    Ok(delete_tag::v3::Response::new())
}

async fn change(
    matrix: &Matrix,
    who: &Caller,
    room: &RoomId,
    change: impl FnOnce(&mut Map<String, Value>) -> Outcome<bool> + Send + 'static,
) -> Answer<()> {
    let (bells, account) = (matrix.bells.clone(), who.address().clone());
    let key = room_key(room.as_str(), TYPE);
    let write = move |tx: &mut Tx<'_>| {
        let mut content = read(tx, &account, &key)?;
        let tags = content.entry("tags").or_insert_with(|| json!({}));
        let Value::Object(tags) = tags else {
            return Err(Refusal::Invalid("the tags are no object"));
        };
        if change(tags)? {
            let content = Value::Object(content).to_string().into_bytes();
            put_if_room(tx, &account, ROOM, &key, content)?;
            tx.after(move |_| bells.ring(&account));
        }
        Ok(())
    };
    matrix.node.write(write).await.map_err(no_room)
}

fn read(tx: &mut Tx<'_>, account: &Address, key: &str) -> Outcome<Map<String, Value>> {
    let found = tx.document(&account.into(), ROOM, key)?;
    let found = found.and_then(|d| d.value);
    Ok(found
        .and_then(|value| serde_json::from_slice(&value).ok())
        .unwrap_or_default())
}
