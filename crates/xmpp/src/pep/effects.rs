//! What publishing means beyond the node: nickname, avatar, bookmarks.

use sammen_core::ops::{accounts, rooms};
use sammen_core::tx::Tx;
use sammen_core::{Address, Refusal};

use super::publish::Actor;
use super::shelf::Item;
use crate::wire::{Element, StanzaError, ns};
use crate::{avatar, bookmarks};

/// Longest display name, in characters.
const LONGEST_NAME: usize = 128;

/// An item was published.
///
/// # Errors
/// Only where the store can't be read.
pub fn published(
    tx: &mut Tx<'_>,
    actor: &Actor,
    node: &str,
    payload: &Element,
) -> Result<(), StanzaError> {
    match node {
        // XEP-0172 §4.1: only what the account says of itself.
        ns::NICK if actor.owner() && payload.is("nick", ns::NICK) => {
            let name: String = payload
                .content()
                .trim()
                .chars()
                .filter(|c| !c.is_control())
                .take(LONGEST_NAME)
                .collect();
            let name = (!name.is_empty()).then_some(name);
            accounts::change(tx, &actor.account, |a| a.display_name = name)?;
        }
        ns::AVATAR_METADATA => avatar::metadata_changed(tx, actor, Some(payload)),
        _ => {}
    }
    changed(tx, actor, node)
}

/// Whether all of these items are shown although nobody published them.
///
/// # Errors
/// When the store can't be read.
pub fn is_implied(
    tx: &mut Tx<'_>,
    actor: &Actor,
    node: &str,
    ids: &[&str],
) -> Result<bool, StanzaError> {
    if node != ns::BOOKMARKS || !actor.owner() {
        return Ok(false);
    }
    for id in ids {
        if joined(tx, actor, id)?.is_none()
            && super::shelf::item(tx, &actor.account, node, id)?.is_none()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Items are about to be retracted; `gone` are those that were stored.
///
/// # Errors
/// Only where the store can't be read.
pub fn retracting(
    tx: &mut Tx<'_>,
    actor: &Actor,
    node: &str,
    ids: &[&str],
    gone: &[Option<Item>],
) -> Result<(), StanzaError> {
    if node != ns::BOOKMARKS || !actor.owner() {
        return Ok(());
    }
    for (id, item) in ids.iter().zip(gone) {
        // A bookmark that one was not to join of itself says nothing of the membership.
        let autojoin = item
            .as_ref()
            .is_none_or(|i| i.element().is_some_and(|el| bookmarks::autojoin(&el)));
        if autojoin && let Some(room) = joined(tx, actor, id)? {
            let left = rooms::leave(tx, &actor.account, room, None, &actor.origin);
            if !matches!(left, Ok(_) | Err(Refusal::NotJoined)) {
                tracing::debug!("a membership did not end with its bookmark");
            }
        }
    }
    Ok(())
}

/// The items of a node changed.
///
/// # Errors
/// Only where the store can't be read.
pub fn changed(tx: &mut Tx<'_>, actor: &Actor, node: &str) -> Result<(), StanzaError> {
    if node == ns::BOOKMARKS {
        bookmarks::announce_old(tx, actor)?;
    }
    Ok(())
}

/// All items of a node went.
pub fn emptied(tx: &mut Tx<'_>, actor: &Actor, node: &str) -> Result<(), StanzaError> {
    if node == ns::AVATAR_METADATA {
        avatar::metadata_changed(tx, actor, None);
    }
    changed(tx, actor, node)
}

fn joined(
    tx: &mut Tx<'_>,
    actor: &Actor,
    id: &str,
) -> Result<Option<sammen_core::ConversationId>, StanzaError> {
    let Some(room) = bookmarks::room_of(&actor.domains, id) else {
        return Ok(None);
    };
    membership(tx, &actor.account, &room)
}

fn membership(
    tx: &mut Tx<'_>,
    account: &Address,
    room: &Address,
) -> Result<Option<sammen_core::ConversationId>, StanzaError> {
    match tx.room(room) {
        Ok(convo) => Ok(convo.has(account).then(|| convo.id())),
        Err(Refusal::NotFound) => Ok(None),
        Err(other) => Err(other.into()),
    }
}
