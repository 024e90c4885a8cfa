//! `m.ignored_user_list` (client-server API, "Ignoring Users") is core's blocking: who is blocked on one protocol is
//! ignored on this one, and the other way round.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, ServerName, UserId};
use sammen_core::address::AddressParts;
use sammen_core::contact::{self, Contacts};
use sammen_core::document::Owner;
use sammen_core::ops::contacts;
use sammen_core::tx::Tx;
use sammen_core::{Address, Domain, Outcome, Refusal};
use serde_json::{Map, Value, json};

use super::{GLOBAL, put};
use crate::auth::Caller;
use crate::fault::Answer;
use crate::names;
use crate::server::Matrix;

/// The type.
pub const TYPE: &str = "m.ignored_user_list";
const FIELD: &str = "ignored_users";
/// Accounts of which it is remembered up to when the list is in step.
const IN_STEP: usize = 4_096;
/// Most people in the list.
const MOST: usize = 5_000;

/// Whether a client could mean this one: a blocked domain is nobody, and stays blocked whatever a client's list says.
fn is_person(address: &Address) -> bool {
    match address.parts() {
        AddressParts::Remote { network, id } => network != "xmpp" || id.contains('@'),
        AddressParts::Account { .. } | AddressParts::Guest { .. } => true,
        AddressParts::Room { .. } => false,
    }
}

/// The Matrix ids of those that are blocked.
pub fn blocked(contacts: &Contacts, server: &ServerName) -> BTreeSet<OwnedUserId> {
    let blocked = contacts
        .iter()
        .filter(|(who, c)| c.blocked && is_person(who));
    blocked
        .filter_map(|(who, _)| names::user_id(who, server))
        .collect()
}

/// The ids in a list.
fn listed(content: &[u8]) -> Map<String, Value> {
    let content: Option<Map<String, Value>> = serde_json::from_slice(content).ok();
    match content.and_then(|mut c| c.remove(FIELD)) {
        Some(Value::Object(listed)) => listed,
        _ => Map::new(),
    }
}

/// Whom an id of a list means for core.
fn means(id: &str, domains: &[Domain]) -> Option<Address> {
    let user = <&UserId>::try_from(id).ok()?;
    names::address(user, domains).filter(is_person)
}

/// A client's new list: who is in it is blocked, who is no longer is not.
///
/// # Errors
/// When the list is too long.
pub async fn set(matrix: &Matrix, who: &Caller, content: Vec<u8>) -> Answer<()> {
    let (bells, account) = (matrix.bells.clone(), who.address().clone());
    let write = move |tx: &mut Tx<'_>| {
        let wanted = listed(&content);
        if wanted.len() > MOST {
            return Err(Refusal::TooMany);
        }
        let domains = tx.domains().to_vec();
        let mut wanted: BTreeSet<Address> =
            wanted.keys().filter_map(|id| means(id, &domains)).collect();
        wanted.remove(&account);
        let known = tx.contacts(&account)?;
        let now = known.iter().filter(|(who, c)| c.blocked && is_person(who));
        let now: BTreeSet<Address> = now.map(|(who, _)| who.clone()).collect();
        put(tx, &account, GLOBAL, TYPE, content)?;
        for whom in wanted.difference(&now) {
            contacts::block(tx, &account, whom, true)?;
        }
        for whom in now.difference(&wanted) {
            contacts::block(tx, &account, whom, false)?;
        }
        tx.after(move |_| bells.ring(&account));
        Ok(())
    };
    Ok(matrix.node.write(write).await?)
}

/// Writes the list anew where another protocol blocked or unblocked somebody since. Cheap where nothing changed.
///
/// # Errors
/// When the store can't be read or written.
pub async fn keep_in_step(matrix: &Matrix, account: &Address) -> Outcome<()> {
    let (owner, node) = (Owner::from(account), &matrix.node);
    let at = node.announced();
    let known = matrix.sync.in_step.lock().get(account).copied();
    let changed = |namespace, since| node.shelf_changed(&owner, namespace, since);
    if known.is_some_and(|at| !changed(GLOBAL, at) && !changed(contact::NAMESPACE, at)) {
        return Ok(());
    }
    let (mine, server) = (account.clone(), matrix.name.clone());
    let read = move |node: &sammen_core::Node| {
        let found = node.store().document(&(&mine).into(), GLOBAL, TYPE)?;
        let contacts = node.contacts(&mine)?;
        let found = found.and_then(|d| d.value).unwrap_or_default();
        Ok(in_step(&found, &contacts, &server, node.domains()).is_some())
    };
    if matrix.node.read(read).await? {
        let (account, server) = (account.clone(), matrix.name.clone());
        let write = move |tx: &mut Tx<'_>| bring_in_step(tx, &account, &server);
        matrix.node.write(write).await?;
    }
    let mut all = matrix.sync.in_step.lock();
    if all.len() >= IN_STEP {
        all.clear();
    }
    all.insert(account.clone(), at);
    Ok(())
}

/// By what the list and the contacts are now: a client may have set another list since anyone looked.
fn bring_in_step(tx: &mut Tx<'_>, account: &Address, server: &ServerName) -> Outcome<()> {
    let found = tx.document(&account.into(), GLOBAL, TYPE)?;
    let found = found.and_then(|d| d.value).unwrap_or_default();
    let contacts = tx.contacts(account)?;
    match in_step(&found, &contacts, server, tx.domains()) {
        Some(content) => put(tx, account, GLOBAL, TYPE, content).map(drop),
        None => Ok(()),
    }
}

/// The list as it has to be; `None` where it is so.
fn in_step(
    content: &[u8],
    contacts: &Contacts,
    server: &ServerName,
    domains: &[Domain],
) -> Option<Vec<u8>> {
    let mut list = listed(content);
    let blocked = blocked(contacts, server);
    let before: BTreeSet<String> = list.keys().cloned().collect();
    // Whom core has no word for, only the list knows.
    list.retain(|id, _| {
        means(id, domains).is_none() || blocked.iter().any(|user| user.as_str() == id)
    });
    for user in blocked {
        list.entry(user.to_string()).or_insert_with(|| json!({}));
    }
    let after: BTreeSet<String> = list.keys().cloned().collect();
    (before != after).then(|| json!({ FIELD: list }).to_string().into_bytes())
}
