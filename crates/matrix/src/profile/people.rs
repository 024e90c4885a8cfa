//! Looking for people ("User directory"): contacts and those one shares a room with. Of others nobody learns here, except
//! by their whole name.

use std::collections::BTreeSet;
use std::sync::Arc;

use ruma::api::client::user_directory::search_users::v3::{Request, Response, User};
use ruma::{OwnedUserId, UserId};
use sammen_core::address::AddressParts;
use sammen_core::{Address, Name};

use super::shown;
use crate::extract::Ask;
use crate::fault::Answer;
use crate::names;
use crate::routes::Table;
use crate::server::Matrix;

/// People that are looked at, and found.
const LOOKED_AT: usize = 5_000;
const MOST: usize = 50;

pub fn routes(table: &mut Table) {
    table.on(search);
}

async fn search(matrix: Arc<Matrix>, ask: Ask<Request>) -> Answer<Response> {
    let me = ask.who.address().clone();
    let limit = usize::try_from(u64::from(ask.request.limit)).unwrap_or(MOST);
    let limit = limit.clamp(1, MOST);
    let term = ask.request.search_term.trim().to_lowercase();
    matrix
        .read(move |matrix| {
            let mut found = Vec::new();
            if term.is_empty() {
                return Ok(Response::new(found, false));
            }
            for person in known(matrix, &me, &term)? {
                let Some(id) = names::user_id(&person, &matrix.name) else {
                    continue;
                };
                let (name, picture) = shown(matrix, &person)?;
                if !fits(&id, name.as_deref(), &term) {
                    continue;
                }
                let mut user = User::new(id);
                user.display_name = name;
                user.avatar_url = picture;
                found.push(user);
                if found.len() > limit {
                    found.truncate(limit);
                    return Ok(Response::new(found, true));
                }
            }
            Ok(Response::new(found, false))
        })
        .await
}

fn fits(id: &OwnedUserId, name: Option<&str>, term: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(term);
    has(id.localpart()) || id.as_str() == term || name.is_some_and(has)
}

/// Contacts, people of shared rooms, and who is meant by the whole name or id.
fn known(matrix: &Matrix, me: &Address, term: &str) -> Answer<BTreeSet<Address>> {
    let node = &matrix.node;
    let contacts = node.contacts(me)?;
    let mut people: BTreeSet<Address> = contacts
        .iter()
        .filter(|(_, c)| c.listed || c.accepted)
        .map(|(address, _)| address.clone())
        .take(LOOKED_AT)
        .collect();
    for id in node.store().conversations_of(me)? {
        if people.len() >= LOOKED_AT {
            break;
        }
        let Some(convo) = node.convo(id)? else {
            continue;
        };
        if convo.is_room() && convo.member(me).is_some_and(|m| m.is_joined()) {
            let room = LOOKED_AT - people.len();
            people.extend(convo.joined().take(room).map(|m| m.address.clone()));
        }
    }
    let named = match <&UserId>::try_from(term) {
        Ok(id) => names::address(id, node.domains()),
        Err(_) => Name::new(term)
            .ok()
            .map(|name| Address::account(matrix.domain(), &name)),
    };
    if let Some(person) = named
        && matches!(person.parts(), AddressParts::Account { .. })
        && node.account(&person)?.is_some_and(|a| !a.disabled)
    {
        people.insert(person);
    }
    people.remove(me);
    people.retain(|person| !contacts.get(person).is_some_and(|c| c.blocked));
    Ok(people)
}
