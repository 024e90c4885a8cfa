//! Everything beside the log: conversations, members, accounts, devices, documents, the outbox.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sammen_core::account::{Account, Device};
use sammen_core::blob::BlobId;
use sammen_core::conversation::{Conversation, ConversationKey};
use sammen_core::document::{Bulk, Document, Owner, Tombstone};
use sammen_core::member::Member;
use sammen_core::network::OutboxRow;
use sammen_core::store::{BlobInfo, StoreResult, Write};
use sammen_core::{Address, ConversationId, DeviceId, Seq, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::commit::{Failure, Work};
use crate::error;
use crate::log::{collect, most};

fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>, Failure> {
    rmp_serde::to_vec_named(value).map_err(|e| Failure::Store(error::record(e)))
}

fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> StoreResult<T> {
    rmp_serde::from_slice(bytes).map_err(error::record)
}

/// Writes what is not the log's.
pub fn write(work: &mut Work<'_>, write: &Write) -> Result<(), Failure> {
    let tx = work.tx;
    let mut seen = |seq: Seq| work.meta.seq = work.meta.seq.max(seq.0);
    match write {
        Write::Conversation(c) => {
            seen(c.changed);
            work.meta.conversation = work.meta.conversation.max(c.id.0);
            let pair = c.pair();
            tx.prepare_cached(
                "INSERT INTO conversation (id, key, a, b, destroyed, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE SET key = ?2, a = ?3, b = ?4, destroyed = ?5, body = ?6",
            )?
            .execute(params![
                c.id.0 as i64,
                c.key.text(),
                pair.map(|p| p.0.as_str()),
                pair.map(|p| p.1.as_str()),
                c.destroyed,
                pack(&**c)?,
            ])?;
            if c.destroyed {
                work.dirt.table("conversation");
            }
        }
        Write::Member(conversation, member) => {
            seen(member.changed);
            tx.prepare_cached(
                "INSERT OR REPLACE INTO member (conversation, address, body) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![
                conversation.0 as i64,
                member.address.as_str(),
                pack(&**member)?
            ])?;
        }
        Write::RemoveMember(conversation, address) => {
            tx.prepare_cached("DELETE FROM member WHERE conversation = ?1 AND address = ?2")?
                .execute(params![conversation.0 as i64, address.as_str()])?;
            work.dirt.table("member");
        }
        Write::Account(account) => {
            seen(account.changed);
            tx.prepare_cached("INSERT OR REPLACE INTO account (address, body) VALUES (?1, ?2)")?
                .execute(params![account.address.as_str(), pack(&**account)?])?;
            if account.removed {
                work.dirt.table("account");
            }
        }
        Write::Device(device) => {
            work.meta.device = work.meta.device.max(device.id.0);
            tx.prepare_cached("INSERT OR REPLACE INTO device (id, account, cursor, inbound, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![
                    device.id.0 as i64,
                    device.account.as_str(),
                    device.cursor.0 as i64,
                    device.inbound,
                    pack(&**device)?,
                ])?;
        }
        Write::DeviceProgress {
            id,
            cursor,
            inbound,
        } => {
            tx.prepare_cached("UPDATE device SET cursor = coalesce(?2, cursor), inbound = coalesce(?3, inbound) WHERE id = ?1")?
                .execute(params![id.0 as i64, cursor.map(|c| c.0 as i64), inbound])?;
        }
        Write::RemoveDevice(id) => {
            tx.prepare_cached("DELETE FROM device WHERE id = ?1")?
                .execute(params![id.0 as i64])?;
            work.dirt.table("device");
        }
        Write::Document {
            owner,
            namespace,
            key,
            version,
            value,
        } => {
            seen(*version);
            tx.prepare_cached(
                "INSERT INTO document (owner, namespace, key, version, value) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET version = ?4, value = ?5",
            )?
            .execute(params![owner.text(), namespace, key, version.0 as i64, value.as_deref()])?;
            if value.is_none() {
                work.dirt.table("document");
            }
        }
        Write::ForgetTombstone(tombstone) => {
            let (owner, version) = (tombstone.owner.text(), tombstone.version.0 as i64);
            let gone = tx
                .prepare_cached(
                    "DELETE FROM document WHERE owner = ?1 AND namespace = ?2 AND key = ?3 AND version = ?4
                     AND value IS NULL",
                )?
                .execute(params![owner, tombstone.namespace, tombstone.key, version])?;
            if gone > 0 {
                tx.prepare_cached(
                    "INSERT INTO document_floor (owner, namespace, version) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET version = max(version, ?3)",
                )?
                .execute(params![owner, tombstone.namespace, version])?;
                work.dirt.table("document");
            }
        }
        Write::ForgetDocuments(owner) => {
            for table in ["document", "document_floor"] {
                tx.prepare_cached(&format!("DELETE FROM {table} WHERE owner = ?1"))?
                    .execute(params![owner.text()])?;
                work.dirt.table(table);
            }
        }
        Write::MoveShelf { from, to } => {
            let gone = to.as_ref().unwrap_or(from);
            for table in ["document", "document_floor", "blob_ref"] {
                tx.prepare_cached(&format!("DELETE FROM {table} WHERE owner = ?1"))?
                    .execute(params![gone.as_str()])?;
                if let Some(to) = to {
                    tx.prepare_cached(&format!("UPDATE {table} SET owner = ?2 WHERE owner = ?1"))?
                        .execute(params![from.as_str(), to.as_str()])?;
                }
            }
            // Rows went, or have other places now.
            work.dirt.table("document");
            work.dirt.table("document_floor");
        }
        Write::Outbox(row) => {
            seen(row.seq);
            tx.prepare_cached("INSERT OR REPLACE INTO outbox (seq, destination, attempts, next, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![row.seq.0 as i64, row.destination, row.attempts, row.next.0, pack(row)?])?;
        }
        Write::OutboxDone(seq) => {
            tx.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?
                .execute(params![seq.0 as i64])?;
            work.dirt.table("outbox");
        }
        Write::BlobRef {
            id,
            owner,
            slot,
            at,
            remove,
        } => {
            if *remove {
                tx.prepare_cached(
                    "DELETE FROM blob_ref WHERE number = (SELECT number FROM blob_ref
                     WHERE digest = ?1 AND owner = ?2 AND slot = ?3 ORDER BY number LIMIT 1)",
                )?
                .execute(params![id.0, owner.as_str(), slot])?;
                work.dirt.anything = true;
            } else {
                let size = match work.blobs.size(id)? {
                    Some(size) => size,
                    None => {
                        return Err(Failure::Store(error::record(format!(
                            "there is no blob {id}"
                        ))));
                    }
                };
                tx.prepare_cached("INSERT INTO blob_ref (digest, size, owner, slot, created) VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(params![id.0, size as i64, owner.as_str(), slot, at.0])?;
            }
        }
        Write::Event(_)
        | Write::Erase { .. }
        | Write::Accept { .. }
        | Write::Resolve { .. }
        | Write::Alias { .. }
        | Write::Waiting { .. } => {}
    }
    Ok(())
}

/// A conversation.
pub fn conversation(db: &Connection, id: ConversationId) -> StoreResult<Option<Conversation>> {
    one(
        db,
        "SELECT body FROM conversation WHERE id = ?1",
        params![id.0 as i64],
    )
}

/// A conversation by its key.
pub fn conversation_by_key(
    db: &Connection,
    key: &ConversationKey,
) -> StoreResult<Option<Conversation>> {
    one(
        db,
        "SELECT body FROM conversation WHERE key = ?1 AND destroyed = 0 ORDER BY id DESC LIMIT 1",
        params![key.text()],
    )
}

/// The conversations in which an address has a member's row or is one of the pair.
pub fn conversations_of(db: &Connection, address: &Address) -> StoreResult<Vec<ConversationId>> {
    db.prepare_cached(
        "SELECT conversation FROM member WHERE address = ?1 UNION SELECT id FROM conversation WHERE a = ?1
         UNION SELECT id FROM conversation WHERE b = ?1 ORDER BY 1",
    )
    .and_then(|s| collect(s, params![address.as_str()], |r| Ok(ConversationId(r.get::<_, i64>(0)? as u64))))
    .map_err(error::reading)
}

/// All conversations, in order of id.
pub fn conversations(
    db: &Connection,
    after: ConversationId,
    limit: usize,
) -> StoreResult<Vec<Conversation>> {
    many(
        db,
        "SELECT body FROM conversation WHERE id > ?1 ORDER BY id LIMIT ?2",
        params![after.0 as i64, most(limit)],
    )
}

/// The members of a conversation.
pub fn members(db: &Connection, conversation: ConversationId) -> StoreResult<Vec<Member>> {
    many(
        db,
        "SELECT body FROM member WHERE conversation = ?1 ORDER BY address",
        params![conversation.0 as i64],
    )
}

/// An account.
pub fn account(db: &Connection, address: &Address) -> StoreResult<Option<Account>> {
    one(
        db,
        "SELECT body FROM account WHERE address = ?1",
        params![address.as_str()],
    )
}

/// All accounts, in order of address.
pub fn accounts(
    db: &Connection,
    after: Option<&Address>,
    limit: usize,
) -> StoreResult<Vec<Account>> {
    many(
        db,
        "SELECT body FROM account WHERE address > ?1 ORDER BY address LIMIT ?2",
        params![after.map_or("", Address::as_str), most(limit)],
    )
}

fn device_of(row: &Row<'_>) -> rusqlite::Result<(Vec<u8>, i64, u32)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn with_progress((body, cursor, inbound): (Vec<u8>, i64, u32)) -> StoreResult<Device> {
    let mut device: Device = unpack(&body)?;
    device.cursor = Seq(cursor as u64);
    device.inbound = inbound;
    Ok(device)
}

/// The devices of an account.
pub fn devices(db: &Connection, account: &Address) -> StoreResult<Vec<Device>> {
    db.prepare_cached("SELECT body, cursor, inbound FROM device WHERE account = ?1 ORDER BY id")
        .and_then(|s| collect(s, params![account.as_str()], device_of))
        .map_err(error::reading)?
        .into_iter()
        .map(with_progress)
        .collect()
}

/// A device.
pub fn device(db: &Connection, id: DeviceId) -> StoreResult<Option<Device>> {
    db.prepare_cached("SELECT body, cursor, inbound FROM device WHERE id = ?1")
        .and_then(|mut s| s.query_row(params![id.0 as i64], device_of).optional())
        .map_err(error::reading)?
        .map(with_progress)
        .transpose()
}

fn document_of(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        key: row.get(0)?,
        version: Seq(row.get::<_, i64>(1)? as u64),
        value: row.get::<_, Option<Vec<u8>>>(2)?.map(Bytes::from),
    })
}

/// A document or its tombstone.
pub fn document(
    db: &Connection,
    owner: &Owner,
    namespace: &str,
    key: &str,
) -> StoreResult<Option<Document>> {
    db.prepare_cached(
        "SELECT key, version, value FROM document WHERE owner = ?1 AND namespace = ?2 AND key = ?3",
    )
    .and_then(|mut s| {
        s.query_row(params![owner.text(), namespace, key], document_of)
            .optional()
    })
    .map_err(error::reading)
}

/// Documents whose key starts with `prefix`, in order of key.
pub fn documents(
    db: &Connection,
    owner: &Owner,
    namespace: &str,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> StoreResult<Vec<Document>> {
    let read = || -> rusqlite::Result<Vec<Document>> {
        let mut statement = db.prepare_cached(
            "SELECT key, version, value FROM document WHERE owner = ?1 AND namespace = ?2 AND key >= ?3 ORDER BY key",
        )?;
        let start = after.map_or(prefix, |after| after.max(prefix));
        let mut rows = statement.query(params![owner.text(), namespace, start])?;
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(row) = rows.next()? else { break };
            let key = row.get_ref(0)?.as_str()?;
            if !key.starts_with(prefix) {
                break;
            }
            if after.is_some_and(|after| key <= after)
                || row.get_ref(2)? == rusqlite::types::ValueRef::Null
            {
                continue;
            }
            found.push(document_of(row)?);
        }
        Ok(found)
    };
    read().map_err(error::reading)
}

/// How much stands in a namespace.
pub fn count_documents(db: &Connection, owner: &Owner, namespace: &str) -> StoreResult<Bulk> {
    db.prepare_cached(
        "SELECT count(*), coalesce(sum(length(CAST(key AS BLOB)) + length(value)), 0) FROM document
         WHERE owner = ?1 AND namespace = ?2 AND value IS NOT NULL",
    )
    .and_then(|mut s| {
        s.query_row(params![owner.text(), namespace], |r| {
            Ok(Bulk {
                documents: r.get::<_, i64>(0)? as u64,
                bytes: r.get::<_, i64>(1)? as u64,
            })
        })
    })
    .map_err(error::reading)
}

/// Documents and tombstones written since a version, in order of version; `None` where one of these tombstones was
/// forgotten. In one snapshot.
pub fn documents_since(
    db: &Connection,
    owner: &Owner,
    namespace: &str,
    since: Seq,
    limit: usize,
) -> StoreResult<Option<Vec<Document>>> {
    let floor: Option<i64> = db
        .prepare_cached("SELECT version FROM document_floor WHERE owner = ?1 AND namespace = ?2")
        .and_then(|mut s| {
            s.query_row(params![owner.text(), namespace], |r| r.get(0))
                .optional()
        })
        .map_err(error::reading)?;
    if since > Seq(0) && floor.is_some_and(|floor| since < Seq(floor as u64)) {
        return Ok(None);
    }
    db.prepare_cached(
        "SELECT key, version, value FROM document WHERE owner = ?1 AND namespace = ?2 AND version > ?3
         ORDER BY version, key LIMIT ?4",
    )
    .and_then(|s| collect(s, params![owner.text(), namespace, since.0 as i64, most(limit)], document_of))
    .map(Some)
    .map_err(error::reading)
}

/// Tombstones up to a version, in order of version.
pub fn tombstones(db: &Connection, upto: Seq, limit: usize) -> StoreResult<Vec<Tombstone>> {
    let upto = upto.0.min(i64::MAX as u64) as i64;
    let rows: Vec<(String, String, String, i64)> = db
        .prepare_cached(
            "SELECT owner, namespace, key, version FROM document WHERE value IS NULL AND version <= ?1
             ORDER BY version, owner, namespace, key LIMIT ?2",
        )
        .and_then(|s| {
            collect(s, params![upto, most(limit)], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
            })
        })
        .map_err(error::reading)?;
    rows.into_iter()
        .map(|(owner, namespace, key, version)| {
            let owner = match owner.as_str() {
                "" => Owner::Node,
                address => Owner::Of(Address::new(address).map_err(error::record)?),
            };
            Ok(Tombstone {
                owner,
                namespace,
                key,
                version: Seq(version as u64),
            })
        })
        .collect()
}

/// Outbox rows, oldest first.
pub fn outbox(
    db: &Connection,
    destination: Option<&str>,
    limit: usize,
) -> StoreResult<Vec<OutboxRow>> {
    match destination {
        Some(destination) => db
            .prepare_cached("SELECT body, attempts, next FROM outbox WHERE destination = ?1 ORDER BY seq LIMIT ?2")
            .and_then(|s| collect(s, params![destination, most(limit)], outbox_row)),
        None => db
            .prepare_cached("SELECT body, attempts, next FROM outbox ORDER BY seq LIMIT ?1")
            .and_then(|s| collect(s, params![most(limit)], outbox_row)),
    }
    .map_err(error::reading)?
    .into_iter()
    .map(unpacked)
    .collect()
}

/// The oldest outbox row of each destination.
pub fn outbox_heads(db: &Connection) -> StoreResult<Vec<OutboxRow>> {
    db.prepare_cached(
        "SELECT body, attempts, next FROM outbox
         WHERE seq IN (SELECT min(seq) FROM outbox GROUP BY destination) ORDER BY seq",
    )
    .and_then(|s| collect(s, params![], outbox_row))
    .map_err(error::reading)?
    .into_iter()
    .map(unpacked)
    .collect()
}

fn outbox_row(row: &Row<'_>) -> rusqlite::Result<(Vec<u8>, u32, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn unpacked((body, attempts, next): (Vec<u8>, u32, i64)) -> StoreResult<OutboxRow> {
    let mut row: OutboxRow = unpack(&body)?;
    row.attempts = attempts;
    row.next = Timestamp(next);
    Ok(row)
}

fn one<T: DeserializeOwned>(
    db: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> StoreResult<Option<T>> {
    db.prepare_cached(sql)
        .and_then(|mut s| s.query_row(params, |r| r.get::<_, Vec<u8>>(0)).optional())
        .map_err(error::reading)?
        .map(|bytes| unpack(&bytes))
        .transpose()
}

fn many<T: DeserializeOwned>(
    db: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> StoreResult<Vec<T>> {
    db.prepare_cached(sql)
        .and_then(|s| collect(s, params, |r| r.get::<_, Vec<u8>>(0)))
        .map_err(error::reading)?
        .iter()
        .map(|bytes| unpack(bytes))
        .collect()
}

/// Whether anything refers to a blob.
pub fn is_referred(db: &Connection, id: &BlobId) -> StoreResult<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM blob_ref WHERE digest = ?1)")
        .and_then(|mut s| s.query_row(params![id.0], |r| r.get(0)))
        .map_err(error::reading)
}

/// Bytes that an owner's blobs take.
pub fn blob_usage(db: &Connection, owner: &Address) -> StoreResult<u64> {
    db.prepare_cached("SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT digest, size FROM blob_ref WHERE owner = ?1)")
        .and_then(|mut s| s.query_row(params![owner.as_str()], |r| r.get::<_, i64>(0)))
        .map(|n| n as u64)
        .map_err(error::reading)
}

/// References to blobs, each with its slot.
pub fn references(
    db: &Connection,
    condition: &str,
    value: &str,
) -> StoreResult<Vec<(String, BlobInfo)>> {
    let sql = format!("SELECT slot, digest, size, owner, created FROM blob_ref WHERE {condition}");
    let rows: Vec<(String, String, i64, String, i64)> = db
        .prepare_cached(&sql)
        .and_then(|s| {
            collect(s, params![value], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?))
            })
        })
        .map_err(error::reading)?;
    rows.into_iter()
        .map(|(slot, digest, size, owner, created)| {
            Ok((
                slot,
                BlobInfo {
                    id: BlobId(digest),
                    size: size as u64,
                    owner: Address::new(&owner).map_err(error::record)?,
                    created: Timestamp(created),
                },
            ))
        })
        .collect()
}
