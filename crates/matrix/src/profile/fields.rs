//! Changing one's profile: the name and the picture are the account's on every protocol, other fields are Matrix's own.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, put};
use ruma::MxcUri;
use ruma::api::error::ErrorKind;
use sammen_core::document::Owner;
use sammen_core::ops::accounts;
use sammen_core::ops::files;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, Outcome, Refusal};
use serde_json::{Map, Value};

use super::{Kept, NAMESPACE, look};
use crate::extract::authenticate;
use crate::fault::{Answer, Fault};
use crate::media;
use crate::routes::Table;
use crate::server::Matrix;
use crate::shelf;

/// Bytes of a profile ("Profiles": 64 KiB) and of a field's name.
const PROFILE: usize = 64 * 1024;
const NAME: usize = 255;
/// Bytes of a display name.
const DISPLAY_NAME: usize = 256;

pub fn routes(table: &mut Table) {
    // One path, all methods: the router takes each of them once.
    for version in ["v3", "r0", "unstable/uk.tcpip.msc4133"] {
        let path = format!("/_matrix/client/{version}/profile/{{user_id}}/{{field}}");
        let methods: [(Method, bool, MethodRouter<Arc<Matrix>>); 3] = [
            (Method::GET, false, axum::routing::get(look)),
            (Method::PUT, true, put(change)),
            (Method::DELETE, true, delete(change)),
        ];
        for (method, limited, handler) in methods {
            table.raw(method, &path, limited, handler);
        }
    }
}

async fn change(
    State(matrix): State<Arc<Matrix>>,
    Path((user, field)): Path<(String, String)>,
    request: Request,
) -> Response {
    match changed(&matrix, &user, field, request).await {
        Ok(()) => ([(header::CONTENT_TYPE, "application/json")], "{}").into_response(),
        Err(fault) => fault.into_response(),
    }
}

async fn changed(matrix: &Arc<Matrix>, user: &str, field: String, request: Request) -> Answer<()> {
    let (head, body) = request.into_parts();
    let caller = authenticate(matrix, &head).await?;
    if caller.user_id != user {
        return Err(Fault::forbidden("this is not your profile"));
    }
    check(&field)?;
    let value = if head.method == Method::DELETE {
        Value::Null
    } else {
        let body = axum::body::to_bytes(body, PROFILE)
            .await
            .map_err(|_| too_large())?;
        let body: Value = serde_json::from_slice(&body).map_err(|_| {
            Fault::new(
                StatusCode::BAD_REQUEST,
                ErrorKind::NotJson,
                "that is no JSON",
            )
        })?;
        match body {
            Value::Object(mut fields) => fields.remove(&field),
            _ => None,
        }
        .ok_or_else(|| {
            let text = "the field's name is not in the body";
            Fault::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, text)
        })?
    };
    let account = caller.address().clone();
    match field.as_str() {
        "displayname" => set_name(matrix, account, &value).await?,
        "avatar_url" => set_picture(matrix, account, &value).await?,
        _ => return set_field(matrix, account, field, value).await,
    }
    Ok(matrix.rooms.person_changed(caller.address()).await?)
}

/// Appendices, "Common Namespaced Identifier Grammar".
fn check(field: &str) -> Answer<()> {
    if field.len() > NAME {
        let text = "the field's name is too long";
        let kind = ErrorKind::KeyTooLarge;
        return Err(Fault::new(StatusCode::BAD_REQUEST, kind, text));
    }
    let good = field.starts_with(|c: char| c.is_ascii_lowercase())
        && field
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    good.then_some(())
        .ok_or_else(|| Fault::invalid("a field's name is like m.example"))
}

fn too_large() -> Fault {
    let kind = ErrorKind::ProfileTooLarge;
    let text = "a profile may have 64 KiB";
    Fault::new(StatusCode::BAD_REQUEST, kind, text)
}

async fn set_name(matrix: &Arc<Matrix>, account: Address, value: &Value) -> Answer<()> {
    let text = match value {
        Value::Null => "",
        Value::String(text) => text.trim(),
        _ => return Err(Fault::bad_json("a name is text")),
    };
    if text.len() > DISPLAY_NAME || text.chars().any(char::is_control) {
        return Err(Fault::invalid("a name is one line of at most 256 bytes"));
    }
    let name = (!text.is_empty()).then(|| text.to_owned());
    let write = move |tx: &mut Tx<'_>| accounts::change(tx, &account, |a| a.display_name = name);
    matrix.node.write(write).await?;
    Ok(())
}

async fn set_picture(matrix: &Arc<Matrix>, account: Address, value: &Value) -> Answer<()> {
    let mxc: Option<&MxcUri> = match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.as_str().into()),
        _ => return Err(Fault::bad_json("a picture is an mxc: address")),
    };
    let picture = match mxc {
        None => None,
        Some(mxc) => Some(media::portrait(matrix, mxc).await?),
    };
    matrix.host.set_picture(&account, picture).await?;
    // Read back under the address by which it was set, for as long as it is that picture.
    let (host, mxc) = (matrix.host.clone(), mxc.map(MxcUri::to_owned));
    let write = move |tx: &mut Tx<'_>| {
        let version = host.picture_version(&account);
        if let Some(mxc) = &mxc {
            files::hold(tx, mxc.as_str().as_bytes());
        }
        edit(tx, &account, |kept| kept.picture = mxc.zip(version))
    };
    Ok(matrix.node.write(write).await?)
}

async fn set_field(
    matrix: &Arc<Matrix>,
    account: Address,
    field: String,
    value: Value,
) -> Answer<()> {
    let write = move |tx: &mut Tx<'_>| {
        edit(tx, &account, |kept| {
            match value {
                Value::Null => kept.fields.remove(&field),
                value => kept.fields.insert(field, value),
            };
        })
    };
    matrix
        .node
        .write(write)
        .await
        .map_err(|refusal| match refusal {
            Refusal::TooLarge => too_large(),
            refusal => refusal.into(),
        })
}

fn edit(tx: &mut Tx<'_>, account: &Address, change: impl FnOnce(&mut Kept)) -> Outcome<()> {
    tx.account(account)?.ok_or(Refusal::NotFound)?;
    let owner = Owner::from(account);
    let before = tx.document(&owner, NAMESPACE, "")?.and_then(|d| d.value);
    let mut kept: Kept = before.and_then(|v| shelf::decode(&v)).unwrap_or_default();
    change(&mut kept);
    let fields: Map<_, _> = kept.fields.clone().into_iter().collect();
    if Value::Object(fields).to_string().len() > PROFILE - 2 * DISPLAY_NAME {
        return Err(Refusal::TooLarge);
    }
    let value = shelf::encode(&kept)?;
    tx.put_document(&owner, NAMESPACE, "", Expect::Anything, Some(value))
        .map(drop)
}
