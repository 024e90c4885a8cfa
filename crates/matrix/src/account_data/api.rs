//! Getting and setting account data.

use std::sync::Arc;

use axum::http::StatusCode;
use ruma::api::client::config::{
    get_global_account_data, get_room_account_data, set_global_account_data, set_room_account_data,
};
use ruma::api::error::ErrorKind;
use ruma::serde::Raw;
use sammen_core::Refusal;
use serde_json::value::RawValue;

use super::{FULLY_READ, GLOBAL, PUSH_RULES, ROOM, get, ignored, keep, own, room_key};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::push::rules;
use crate::routes::Table;
use crate::server::Matrix;

pub(super) fn routes(table: &mut Table) {
    table.on(read_global);
    table.on(write_global);
    table.on(read_room);
    table.on(write_room);
}

async fn read_global(
    matrix: Arc<Matrix>,
    ask: Ask<get_global_account_data::v3::Request>,
) -> Answer<get_global_account_data::v3::Response> {
    own(&ask.who, &ask.request.user_id)?;
    let (kind, account) = (
        ask.request.event_type.to_string(),
        ask.who.address().clone(),
    );
    if kind == PUSH_RULES {
        let rules = rules::of(&matrix, &ask.who).await?;
        let content = rules::content(&rules)?;
        return Ok(get_global_account_data::v3::Response::new(Raw::from_json(
            content,
        )));
    }
    if kind == ignored::TYPE {
        ignored::keep_in_step(&matrix, &account).await?;
    }
    let found = matrix
        .node
        .read(move |node| get(node.store(), &account, GLOBAL, &kind));
    let found = found.await?.ok_or_else(nothing)?;
    Ok(get_global_account_data::v3::Response::new(Raw::from_json(
        found.content,
    )))
}

async fn write_global(
    matrix: Arc<Matrix>,
    ask: Ask<set_global_account_data::v3::Request>,
) -> Answer<set_global_account_data::v3::Response> {
    own(&ask.who, &ask.request.user_id)?;
    let kind = ask.request.event_type.to_string();
    if kind == PUSH_RULES || kind == FULLY_READ {
        return Err(server_controlled());
    }
    let content = object(ask.request.data.json())?;
    if kind == ignored::TYPE {
        ignored::set(&matrix, &ask.who, content).await?;
    } else {
        let kept = keep(&matrix, ask.who.address(), GLOBAL, kind, content);
        kept.await.map_err(no_room)?;
    }
    Ok(set_global_account_data::v3::Response::new())
}

async fn read_room(
    matrix: Arc<Matrix>,
    ask: Ask<get_room_account_data::v3::Request>,
) -> Answer<get_room_account_data::v3::Response> {
    own(&ask.who, &ask.request.user_id)?;
    let kind = ask.request.event_type.to_string();
    let key = room_key(ask.request.room_id.as_str(), &kind);
    let account = ask.who.address().clone();
    let found = matrix
        .node
        .read(move |node| get(node.store(), &account, ROOM, &key));
    let found = found.await?.ok_or_else(nothing)?;
    Ok(get_room_account_data::v3::Response::new(Raw::from_json(
        found.content,
    )))
}

async fn write_room(
    matrix: Arc<Matrix>,
    ask: Ask<set_room_account_data::v3::Request>,
) -> Answer<set_room_account_data::v3::Response> {
    own(&ask.who, &ask.request.user_id)?;
    let kind = ask.request.event_type.to_string();
    if kind == PUSH_RULES || kind == FULLY_READ {
        return Err(server_controlled());
    }
    let content = object(ask.request.data.json())?;
    let key = room_key(ask.request.room_id.as_str(), &kind);
    let kept = keep(&matrix, ask.who.address(), ROOM, key, content);
    kept.await.map_err(no_room)?;
    Ok(set_room_account_data::v3::Response::new())
}

fn nothing() -> Fault {
    Fault::not_found("there is no such account data")
}

/// Trying again does not help where the account keeps as much as it may.
pub(super) fn no_room(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::TooMany => Fault::too_large(),
        other => other.into(),
    }
}

/// 405 M_BAD_JSON: "This type of account data is controlled by the server".
fn server_controlled() -> Fault {
    Fault::new(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::BadJson,
        "this type of account data is controlled by the server",
    )
}

/// The content as it came, which has to be an object.
fn object(content: &RawValue) -> Answer<Vec<u8>> {
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(content.get()) {
        Ok(_) => Ok(content.get().as_bytes().to_vec()),
        Err(_) => Err(Fault::bad_json("account data is an object")),
    }
}
