//! Profiles: the account's name and picture, the same on every protocol, and fields of Matrix's own ("Profiles",
//! "User directory").
//!
//! Who has no token learns of nobody: the specification lets a server ask for one.

mod fields;
mod people;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{Method, header, request::Parts};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use ruma::api::auth_scheme::AccessToken;
use ruma::{OwnedMxcUri, UserId};
use sammen_core::address::AddressParts;
use sammen_core::document::Owner;
use sammen_core::{Address, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::chain::Rooms;
use crate::extract::admit;
use crate::fault::{Answer, Fault};
use crate::media;
use crate::routes::Table;
use crate::server::Matrix;
use crate::{names, shelf};

/// The shelf of what only Matrix has of a profile (owner: the account; key: empty).
const NAMESPACE: &str = "matrix.profile";

/// What only Matrix has.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// Fields beside name and picture.
    #[serde(default)]
    fields: BTreeMap<String, Value>,
    /// The address under which a Matrix client set the picture, and which version of it that was.
    #[serde(default)]
    picture: Option<(OwnedMxcUri, String)>,
}

/// How a person is shown: the name, where one was chosen or none can be read from the id, and the picture. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn shown(matrix: &Matrix, person: &Address) -> Outcome<(Option<String>, Option<OwnedMxcUri>)> {
    let name = match person.parts() {
        AddressParts::Account { .. } => {
            let account = matrix.node.account(person)?;
            account.and_then(|a| a.display_name.clone())
        }
        AddressParts::Remote { id, .. } => Some(id.to_owned()),
        _ => None,
    };
    Ok((name, picture(matrix, person)?))
}

/// The picture, by the address that the person's own client gave it, if it is still that one.
pub fn picture(matrix: &Matrix, person: &Address) -> Outcome<Option<OwnedMxcUri>> {
    let Some(version) = matrix.host.picture_version(person) else {
        return Ok(None);
    };
    if let Some((set, _)) = kept(matrix, person)?.picture.filter(|(_, v)| *v == version) {
        return Ok(Some(set));
    }
    let of = person.clone();
    Ok(Some(matrix.mxc(&media::Place::Picture { of, version })))
}

fn kept(matrix: &Matrix, person: &Address) -> Outcome<Kept> {
    let store = matrix.node.store();
    let found = store.document(&Owner::from(person), NAMESPACE, "")?;
    let value = found.and_then(|d| d.value);
    Ok(value.and_then(|v| shelf::decode(&v)).unwrap_or_default())
}

/// The endpoints.
pub fn routes(table: &mut Table) {
    for path in ["/_matrix/client/v3/profile", "/_matrix/client/r0/profile"] {
        let whole = format!("{path}/{{user_id}}");
        table.raw(Method::GET, &whole, false, get(look));
    }
    fields::routes(table);
    people::routes(table);
}

/// `GET …/profile/{user_id}` and `GET …/profile/{user_id}/{field}`.
async fn look(
    State(matrix): State<Arc<Matrix>>,
    Path(parts): Path<Vec<(String, String)>>,
    head: Parts,
) -> Response {
    let mut parts = parts.into_iter().map(|(_, value)| value);
    let (user, field) = (parts.next().unwrap_or_default(), parts.next());
    let found = async {
        admit::<AccessToken>(&matrix, &head, false).await?;
        let all = matrix.read(move |matrix| profile(matrix, &user)).await?;
        match field {
            None => Ok::<_, Fault>(all),
            Some(field) => {
                let mut all = all;
                let value = all.remove(&field);
                let value = value.ok_or_else(|| Fault::not_found("there is no such field"))?;
                Ok(Map::from_iter([(field, value)]))
            }
        }
    };
    match found.await {
        Ok(found) => {
            let found = Value::Object(found).to_string();
            ([(header::CONTENT_TYPE, "application/json")], found).into_response()
        }
        Err(fault) => fault.into_response(),
    }
}

/// The whole of a profile. Blocking.
fn profile(matrix: &Matrix, user: &str) -> Answer<Map<String, Value>> {
    let nobody = || Fault::not_found("nobody has this id here");
    let user = <&UserId>::try_from(user).map_err(|_| Fault::invalid("that is no user id"))?;
    if *user == matrix.rooms.own_user() {
        let name = Rooms::OWN_NAME.into();
        return Ok(Map::from_iter([("displayname".to_owned(), name)]));
    }
    let person = names::address(user, matrix.node.domains()).ok_or_else(nobody)?;
    match person.parts() {
        AddressParts::Account { .. } => {
            matrix.node.account(&person)?.ok_or_else(nobody)?;
        }
        AddressParts::Remote { network, .. } if network != "matrix" => {}
        _ => return Err(nobody()),
    }
    let mut all: Map<_, _> = kept(matrix, &person)?.fields.into_iter().collect();
    let (name, picture) = shown(matrix, &person)?;
    all.extend(name.map(|name| ("displayname".to_owned(), name.into())));
    all.extend(picture.map(|mxc| ("avatar_url".to_owned(), mxc.as_str().into())));
    Ok(all)
}
