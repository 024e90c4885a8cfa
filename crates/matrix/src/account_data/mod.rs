//! Account data: what clients keep on the server for an account, all of it or for one room (client-server API, "Client
//! Config"), and what core knows of it under other names: direct conversations, blocking.

mod api;
pub mod direct;
pub mod ignored;
mod tags;

use ruma::RoomId;
use sammen_core::document::{Document, Owner};
use sammen_core::ops::files;
use sammen_core::store::Store;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, Node, Outcome, Refusal, Seq};
use serde_json::value::RawValue;

use crate::auth::Caller;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// Of the whole account; the key is the type.
pub const GLOBAL: &str = "matrix.account_data";
/// Of rooms; the key is the room's id and the type.
pub const ROOM: &str = "matrix.room_account_data";
/// What follows the rules of notification.
pub const PUSH_RULES: &str = "m.push_rules";
/// How far a person has read, as shown in the room.
pub const FULLY_READ: &str = "m.fully_read";
/// Most types of an account that its clients write.
const GLOBAL_MOST: u64 = 1_000;
/// Most types of all rooms of an account.
const ROOM_MOST: u64 = 5_000;
/// Most bytes of either, types and room ids included.
const BYTES: u64 = 4 << 20;
/// Changes read at once; who missed more reads all.
const PAGE: usize = 2_000;

/// The endpoints.
pub fn routes(table: &mut Table) {
    api::routes(table);
    tags::routes(table);
}

/// One piece of account data.
pub struct Piece {
    /// The room, unless it is of the whole account.
    pub room: Option<String>,
    /// The type.
    pub kind: String,
    /// The content.
    pub content: Box<RawValue>,
}

impl Piece {
    fn read(document: &Document, in_room: bool) -> Option<Self> {
        let text = std::str::from_utf8(document.value.as_deref()?).ok()?;
        let content = RawValue::from_string(text.to_owned()).ok()?;
        let (room, kind) = if in_room {
            let (room, kind) = document.key.split_once('\0')?;
            (Some(room.to_owned()), kind)
        } else {
            (None, document.key.as_str())
        };
        Some(Self {
            room,
            kind: kind.to_owned(),
            content,
        })
    }
}

/// The key of a room's piece.
pub fn room_key(room: &str, kind: &str) -> String {
    format!("{room}\0{kind}")
}

/// One piece. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn get(
    store: &dyn Store,
    account: &Address,
    namespace: &str,
    key: &str,
) -> Outcome<Option<Piece>> {
    let found = store.document(&Owner::from(account), namespace, key)?;
    Ok(found.and_then(|d| Piece::read(&d, namespace == ROOM)))
}

/// What changed after `since` up to `upto`, or all of it. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn changed(
    node: &Node,
    account: &Address,
    namespace: &str,
    since: Option<Seq>,
    upto: Seq,
) -> Outcome<Vec<Piece>> {
    let (owner, store) = (Owner::from(account), node.store());
    if since.is_some_and(|since| !node.shelf_changed(&owner, namespace, since)) {
        return Ok(Vec::new());
    }
    let read = |d: &Document| Piece::read(d, namespace == ROOM);
    if let Some(since) = since
        && let Some(found) = store.documents_since(&owner, namespace, since, PAGE)?
        && found.len() < PAGE
    {
        let known = found.iter().filter(|d| d.version <= upto);
        return Ok(known.filter_map(read).collect());
    }
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.documents(&owner, namespace, "", after.as_deref(), 500)?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        all.extend(page.iter().filter_map(read));
    }
    Ok(all)
}

/// Writes a piece that a client chose, if there is room.
///
/// # Errors
/// [`Refusal::TooMany`] where there is not, or when the piece is too large.
pub fn put_if_room(
    tx: &mut Tx<'_>,
    account: &Address,
    namespace: &str,
    key: &str,
    content: Vec<u8>,
) -> Outcome<Seq> {
    let owner = Owner::from(account);
    let before = tx.document(&owner, namespace, key)?;
    let before = before.and_then(|d| d.value).map(|value| value.len());
    // What takes no more than before is not in the way.
    if before.is_none_or(|before| before < content.len()) {
        let held = tx.count_documents(&owner, namespace)?;
        let most = if namespace == ROOM {
            ROOM_MOST
        } else {
            GLOBAL_MOST
        };
        let more = before.map_or(key.len() + content.len(), |before| content.len() - before);
        let full = before.is_none() && held.documents >= most;
        if full || held.bytes + more as u64 > BYTES {
            return Err(Refusal::TooMany);
        }
    }
    files::hold(tx, &content);
    put(tx, account, namespace, key, content)
}

/// Writes a piece that the server keeps for the account, however much there is: its types are few.
///
/// # Errors
/// When it is too large.
pub fn put(
    tx: &mut Tx<'_>,
    account: &Address,
    namespace: &str,
    key: &str,
    content: Vec<u8>,
) -> Outcome<Seq> {
    let owner = Owner::from(account);
    tx.put_document(
        &owner,
        namespace,
        key,
        Expect::Anything,
        Some(content.into()),
    )
}

/// Refuses what is another account's.
///
/// # Errors
/// M_FORBIDDEN.
pub fn own(who: &Caller, user: &ruma::UserId) -> Answer<()> {
    if who.user_id == user {
        Ok(())
    } else {
        Err(Fault::forbidden("that is another account's"))
    }
}

/// Writes a client's piece and wakes the account's devices.
///
/// # Errors
/// As [`put_if_room`].
pub async fn keep(
    matrix: &Matrix,
    account: &Address,
    namespace: &'static str,
    key: String,
    content: Vec<u8>,
) -> Outcome<Seq> {
    let (bells, account) = (matrix.bells.clone(), account.clone());
    let write = move |tx: &mut Tx<'_>| {
        let version = put_if_room(tx, &account, namespace, &key, content)?;
        tx.after(move |_| bells.ring(&account));
        Ok(version)
    };
    matrix.node.write(write).await
}

/// How far the account has read a room, as its clients show it. Inside the writer.
///
/// # Errors
/// As [`put`].
pub fn put_fully_read(
    tx: &mut Tx<'_>,
    account: &Address,
    room: &RoomId,
    event: &ruma::EventId,
) -> Outcome<Seq> {
    let content = serde_json::json!({ "event_id": event }).to_string();
    let key = room_key(room.as_str(), FULLY_READ);
    put(tx, account, ROOM, &key, content.into_bytes())
}
