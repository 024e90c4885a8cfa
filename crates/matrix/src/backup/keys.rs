//! The keys of a backup: `/room_keys/keys`, `/room_keys/keys/{roomId}`, `/room_keys/keys/{roomId}/{sessionId}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use ruma::api::client::backup::{
    KeyBackupData, RoomKeyBackup, add_backup_keys::v3 as put_all,
    add_backup_keys_for_room::v3 as put_room, add_backup_keys_for_session::v3 as put_one,
    delete_backup_keys::v3 as delete_all, delete_backup_keys_for_room::v3 as delete_room,
    delete_backup_keys_for_session::v3 as delete_one, get_backup_keys::v3 as get_all,
    get_backup_keys_for_room::v3 as get_room, get_backup_keys_for_session::v3 as get_one,
};
use ruma::api::error::{ErrorKind, WrongRoomKeysVersionErrorData};
use ruma::serde::Raw;
use ruma::{OwnedRoomId, RoomId};
use sammen_core::document::Owner;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, Outcome};
use serde_json::{Map, Value};

use super::versions;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::json;
use crate::routes::Table;
use crate::server::Matrix;
use crate::shelf::{decode, encode};

/// `<version>/<room>/<session>`: a key as the client encrypted it.
const NAMESPACE: &str = "matrix.backup.keys";
/// Most keys of a backup.
const MOST: u32 = 100_000;
/// Most bytes of its keys: they are given back in one answer.
const BYTES: u64 = 96 << 20;
/// Most bytes of a key.
const KEY: usize = 8 * 1024;
/// Most bytes of a session's id.
const SESSION: usize = 255;
/// How many are read or deleted at once.
const STEP: usize = 500;

pub(super) fn routes(table: &mut Table) {
    table.on(put_all);
    table.on(put_room);
    table.on(put_one);
    table.on(get_all);
    table.on(get_room);
    table.on(get_one);
    table.on(delete_all);
    table.on(delete_room);
    table.on(delete_one);
}

/// A name as a part of a document's key.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

fn unescaped(part: &str) -> String {
    part.replace("%2F", "/").replace("%25", "%")
}

/// A key on its way in.
struct New {
    place: String,
    key: Map<String, Value>,
}

fn new(room: &RoomId, session: &str, raw: &Raw<KeyBackupData>) -> Answer<New> {
    if session.len() > SESSION {
        return Err(Fault::invalid("the session's id is too long"));
    }
    let key = json::object(raw.json(), KEY)?;
    let number = |name| key.get(name).is_some_and(Value::is_u64);
    let verified = key.get("is_verified").is_some_and(Value::is_boolean);
    let data = key.get("session_data").is_some_and(Value::is_object);
    if !number("first_message_index") || !number("forwarded_count") || !verified || !data {
        return Err(Fault::bad_json(
            "a key has first_message_index, forwarded_count, is_verified and session_data",
        ));
    }
    let place = format!("{}/{}", escaped(room.as_str()), escaped(session));
    Ok(New { place, key })
}

/// "If a key for the room and session is there already": verified before not, then the one that reaches further back,
/// then the one that went through fewer hands ("Storing megolm keys serverside").
fn is_better(new: &Map<String, Value>, old: &Map<String, Value>) -> bool {
    let rank = |key: &Map<String, Value>| {
        let verified = key.get("is_verified").and_then(Value::as_bool) == Some(true);
        let number = |name| key.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX);
        (
            !verified,
            number("first_message_index"),
            number("forwarded_count"),
        )
    };
    rank(new) < rank(old)
}

/// What a backup says of itself after a change.
struct Now {
    etag: String,
    count: u32,
}

async fn put(
    matrix: &Arc<Matrix>,
    account: Address,
    version: String,
    keys: Vec<New>,
) -> Answer<Now> {
    /// What came of it.
    enum Put {
        Now(Now),
        Wrong(Option<String>),
        Full,
    }
    let put = matrix.node.write(move |tx| {
        let current = versions::current(tx, &account)?;
        let known = versions::get(tx, &account, &version)?;
        let (true, Some(mut record)) = (current.as_ref() == Some(&version), known) else {
            return Ok(Put::Wrong(current));
        };
        let owner = Owner::from(&account);
        let mut better: BTreeMap<String, bytes::Bytes> = BTreeMap::new();
        let (mut count, mut bytes) = (record.count, record.bytes);
        for new in keys {
            let place = format!("{version}/{}", new.place);
            let old = tx
                .document(&owner, NAMESPACE, &place)?
                .and_then(|d| d.value);
            let size = old.as_ref().map_or(0, |old| old.len() as u64);
            let old: Option<Map<_, _>> = old.as_deref().and_then(decode);
            count += u32::from(old.is_none());
            if old.is_none_or(|old| is_better(&new.key, &old)) {
                let value = encode(&new.key)?;
                bytes = (bytes + value.len() as u64).saturating_sub(size);
                better.insert(place, value);
            }
        }
        if count > MOST || bytes > BYTES {
            return Ok(Put::Full);
        }
        if !better.is_empty() {
            record.etag += 1;
            (record.count, record.bytes) = (count, bytes);
            for (place, value) in better {
                tx.put_document(&owner, NAMESPACE, &place, Expect::Anything, Some(value))?;
            }
            versions::put(tx, &account, &version, &record)?;
        }
        Ok(Put::Now(Now {
            etag: record.etag.to_string(),
            count: record.count,
        }))
    });
    match put.await? {
        Put::Now(now) => Ok(now),
        Put::Wrong(Some(current)) => {
            let data = WrongRoomKeysVersionErrorData::new(current);
            let kind = ErrorKind::WrongRoomKeysVersion(data);
            let text = "keys go into the newest backup";
            Err(Fault::new(StatusCode::FORBIDDEN, kind, text))
        }
        Put::Wrong(None) => Err(Fault::not_found("there is no backup")),
        Put::Full => Err(Fault::too_large()),
    }
}

async fn put_all(matrix: Arc<Matrix>, ask: Ask<put_all::Request>) -> Answer<put_all::Response> {
    let mut keys = Vec::new();
    for (room, backup) in ask.request.rooms {
        for (session, raw) in backup.sessions {
            keys.push(new(&room, &session, &raw)?);
        }
    }
    let now = put(
        &matrix,
        ask.who.address().clone(),
        ask.request.version,
        keys,
    )
    .await?;
    Ok(put_all::Response::new(now.etag, now.count.into()))
}

async fn put_room(matrix: Arc<Matrix>, ask: Ask<put_room::Request>) -> Answer<put_room::Response> {
    let sessions = ask.request.sessions.iter();
    let keys = sessions.map(|(session, raw)| new(&ask.request.room_id, session, raw));
    let keys = keys.collect::<Answer<_>>()?;
    let now = put(
        &matrix,
        ask.who.address().clone(),
        ask.request.version,
        keys,
    )
    .await?;
    Ok(put_room::Response::new(now.etag, now.count.into()))
}

async fn put_one(matrix: Arc<Matrix>, ask: Ask<put_one::Request>) -> Answer<put_one::Response> {
    let request = ask.request;
    let keys = vec![new(
        &request.room_id,
        &request.session_id,
        &request.session_data,
    )?];
    let now = put(&matrix, ask.who.address().clone(), request.version, keys).await?;
    Ok(put_one::Response::new(now.etag, now.count.into()))
}

/// The keys below a place, by room and session. Blocking.
fn read(
    matrix: &Matrix,
    account: &Address,
    version: &str,
    below: &str,
) -> Answer<BTreeMap<OwnedRoomId, BTreeMap<String, Raw<KeyBackupData>>>> {
    versions::read(matrix, account, version)?;
    let owner = Owner::from(account);
    let prefix = format!("{version}/{below}");
    let mut rooms: BTreeMap<OwnedRoomId, BTreeMap<_, _>> = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let store = matrix.node.store();
        let page = store.documents(&owner, NAMESPACE, &prefix, after.as_deref(), STEP)?;
        let Some(last) = page.last() else {
            return Ok(rooms);
        };
        after = Some(last.key.clone());
        for document in page {
            let mut parts = document.key.split('/').skip(1).map(unescaped);
            let (Some(room), Some(session)) = (parts.next(), parts.next()) else {
                continue;
            };
            let key: Option<Box<serde_json::value::RawValue>> =
                document.value.as_deref().and_then(decode);
            if let (Ok(room), Some(key)) = (OwnedRoomId::try_from(room), key) {
                let sessions = rooms.entry(room).or_default();
                sessions.insert(session, Raw::from_json(key));
            }
        }
    }
}

/// One whole backup is in memory at a time.
static READING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);

async fn get_all(matrix: Arc<Matrix>, ask: Ask<get_all::Request>) -> Answer<get_all::Response> {
    let _one = READING.acquire().await;
    matrix
        .read(move |matrix| {
            let rooms = read(matrix, ask.who.address(), &ask.request.version, "")?;
            let rooms = rooms.into_iter();
            let rooms = rooms.map(|(room, keys)| (room, RoomKeyBackup::new(keys)));
            Ok(get_all::Response::new(rooms.collect()))
        })
        .await
}

async fn get_room(matrix: Arc<Matrix>, ask: Ask<get_room::Request>) -> Answer<get_room::Response> {
    let _one = READING.acquire().await;
    matrix
        .read(move |matrix| {
            let below = format!("{}/", escaped(ask.request.room_id.as_str()));
            let rooms = read(matrix, ask.who.address(), &ask.request.version, &below)?;
            let sessions = rooms.into_values().next();
            Ok(get_room::Response::new(sessions.unwrap_or_default()))
        })
        .await
}

async fn get_one(matrix: Arc<Matrix>, ask: Ask<get_one::Request>) -> Answer<get_one::Response> {
    matrix
        .read(move |matrix| {
            let request = ask.request;
            versions::read(matrix, ask.who.address(), &request.version)?;
            let place = place(&request.version, &request.room_id, &request.session_id);
            let owner = Owner::from(ask.who.address());
            let found = matrix.node.store().document(&owner, NAMESPACE, &place)?;
            let found: Option<Box<serde_json::value::RawValue>> =
                found.and_then(|d| d.value).as_deref().and_then(decode);
            let found = found.ok_or_else(|| Fault::not_found("there is no such key"))?;
            Ok(get_one::Response::new(Raw::from_json(found)))
        })
        .await
}

fn place(version: &str, room: &RoomId, session: &str) -> String {
    let (room, session) = (escaped(room.as_str()), escaped(session));
    format!("{version}/{room}/{session}")
}

/// Deletes some of the keys below a place, in the writer; whether there may be more.
pub(super) fn erase_some(
    tx: &mut Tx<'_>,
    owner: &Owner,
    version: &str,
    below: &str,
) -> Outcome<bool> {
    let prefix = format!("{version}/{below}");
    let some = tx.documents_with(owner, NAMESPACE, &prefix, STEP)?;
    for document in &some {
        tx.erase_document(owner, NAMESPACE, &document.key);
    }
    Ok(some.len() == STEP)
}

/// Deletes keys below a place, or the one at it.
async fn delete(
    matrix: &Arc<Matrix>,
    account: &Address,
    version: &str,
    below: String,
    one: bool,
) -> Answer<Now> {
    loop {
        let (account, version, below) = (account.clone(), version.to_owned(), below.clone());
        let some = matrix.node.write(move |tx| {
            let Some(mut record) = versions::get(tx, &account, &version)? else {
                return Ok(None);
            };
            let owner = Owner::from(&account);
            let prefix = format!("{version}/{below}");
            let mut some = tx.documents_with(&owner, NAMESPACE, &prefix, STEP)?;
            if one {
                some.retain(|d| d.key == prefix);
            }
            for document in &some {
                tx.erase_document(&owner, NAMESPACE, &document.key);
            }
            if !some.is_empty() {
                record.etag += 1;
                let gone = u32::try_from(some.len()).unwrap_or(u32::MAX);
                record.count = record.count.saturating_sub(gone);
                let sizes = some.iter().filter_map(|d| d.value.as_ref());
                let gone: u64 = sizes.map(|value| value.len() as u64).sum();
                record.bytes = record.bytes.saturating_sub(gone);
                versions::put(tx, &account, &version, &record)?;
            }
            let now = Now {
                etag: record.etag.to_string(),
                count: record.count,
            };
            Ok(Some((some.len() == STEP, now)))
        });
        match some.await? {
            None => return Err(Fault::not_found("there is no such backup")),
            Some((true, _)) => {}
            Some((false, now)) => return Ok(now),
        }
    }
}

async fn delete_all(
    matrix: Arc<Matrix>,
    ask: Ask<delete_all::Request>,
) -> Answer<delete_all::Response> {
    let (account, version) = (ask.who.address(), &ask.request.version);
    let now = delete(&matrix, account, version, String::new(), false).await?;
    Ok(delete_all::Response::new(now.etag, now.count.into()))
}

async fn delete_room(
    matrix: Arc<Matrix>,
    ask: Ask<delete_room::Request>,
) -> Answer<delete_room::Response> {
    let (account, version) = (ask.who.address(), &ask.request.version);
    let below = format!("{}/", escaped(ask.request.room_id.as_str()));
    let now = delete(&matrix, account, version, below, false).await?;
    Ok(delete_room::Response::new(now.etag, now.count.into()))
}

async fn delete_one(
    matrix: Arc<Matrix>,
    ask: Ask<delete_one::Request>,
) -> Answer<delete_one::Response> {
    let (account, version, request) = (ask.who.address(), &ask.request.version, &ask.request);
    let (room, session) = (
        escaped(request.room_id.as_str()),
        escaped(&request.session_id),
    );
    let now = delete(&matrix, account, version, format!("{room}/{session}"), true).await?;
    Ok(delete_one::Response::new(now.etag, now.count.into()))
}
