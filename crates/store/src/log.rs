//! Rows of the log and what is asked of them one by one: events, ends, aliases, relations, what is to be erased.

use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Params, params};
use sammen_core::event::{Content, Event, Relation, RelationKind, Scheme};
use sammen_core::store::{AliasHit, StoreResult, Tail};
use sammen_core::{Address, ConversationId, EventId, Pos, Seq, Timestamp};

use crate::error;
use crate::names::Names;
use crate::record::{self, flags};

/// The columns of [`Row`], in its order.
pub const COLUMNS: &str =
    "seq, conversation, pos, at, id_high, id_low, author, flags, target, body";

/// A row of the log as it lies there.
#[derive(Clone, Debug)]
pub struct Row {
    /// Node-wide order.
    pub seq: u64,
    /// Whose log.
    pub conversation: u64,
    /// Place.
    pub pos: i64,
    /// Time.
    pub at: i64,
    /// Event id.
    pub id: u128,
    /// Number of the author's name.
    pub author: i64,
    /// See [`flags`].
    pub flags: i64,
    /// The related event; all zeros while it isn't known.
    pub target: Option<[u8; 16]>,
    /// The rest.
    pub body: Vec<u8>,
}

impl Row {
    /// From a statement that selects [`COLUMNS`].
    pub fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let pos: [u8; 8] = row.get(2)?;
        let high: i64 = row.get(4)?;
        let low: i64 = row.get(5)?;
        Ok(Self {
            seq: row.get::<_, i64>(0)? as u64,
            conversation: row.get::<_, i64>(1)? as u64,
            pos: (u64::from_be_bytes(pos) ^ (1 << 63)) as i64,
            at: row.get(3)?,
            id: (u128::from(high as u64) << 64) | u128::from(low as u64),
            author: row.get(6)?,
            flags: row.get(7)?,
            target: row.get(8)?,
            body: row.get_ref(9)?.as_blob()?.to_vec(),
        })
    }

    /// The event.
    pub fn event(&self, db: &Connection, names: &Names) -> StoreResult<Event> {
        let erased = self.flags & flags::ERASED != 0;
        let target = self
            .target
            .filter(|t| *t != [0; 16])
            .map(EventId::from_bytes);
        let mut event = Event {
            seq: Seq(self.seq),
            pos: Pos(self.pos),
            id: EventId(self.id),
            conversation: ConversationId(self.conversation),
            author: names.address(db, self.author)?,
            nick: None,
            device: None,
            at: Timestamp(self.at),
            acceptance: record::acceptance_of(self.flags)?,
            audience: None,
            historical: self.flags & flags::HISTORICAL != 0,
            // Carries the target to `decode`, which knows the rest.
            relation: target.filter(|_| !erased).map(|t| Relation {
                kind: RelationKind::Reply,
                target: Some(t),
                foreign: None,
            }),
            content: Content::Other { fallback: None },
            native: None,
        };
        if erased {
            let body: Vec<u8> = db
                .prepare_cached("SELECT body FROM tombstone WHERE seq = ?1")
                .and_then(|mut s| s.query_row(params![self.seq as i64], |r| r.get(0)))
                .map_err(error::reading)?;
            record::decode(&body, &mut event)?;
        } else {
            record::decode(&self.body, &mut event)?;
        }
        Ok(event)
    }
}

/// All rows of a statement.
pub fn collect<T, P: Params>(
    mut statement: CachedStatement<'_>,
    params: P,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    statement.query_map(params, read)?.collect()
}

/// One event by its seq.
pub fn event_row(db: &Connection, names: &Names, seq: Seq) -> StoreResult<Option<Event>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM log WHERE seq = ?1"))
        .and_then(|mut s| s.query_row(params![seq.0 as i64], Row::read).optional())
        .map_err(error::reading)?
        .map(|row| row.event(db, names))
        .transpose()
}

/// One event by the id that clients know.
pub fn event_by_id(db: &Connection, names: &Names, id: EventId) -> StoreResult<Option<Event>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM log WHERE id_high = ?1 AND id_low = ?2 ORDER BY seq LIMIT 1"
    );
    db.prepare_cached(&sql)
        .and_then(|mut s| {
            s.query_row(
                params![(id.0 >> 64) as u64 as i64, id.0 as u64 as i64],
                Row::read,
            )
            .optional()
        })
        .map_err(error::reading)?
        .map(|row| row.event(db, names))
        .transpose()
}

/// How a conversation's log ends.
pub fn tail(db: &Connection, conversation: ConversationId) -> StoreResult<Tail> {
    let id = conversation.0 as i64;
    let one = |sql: &str| -> rusqlite::Result<Option<(i64, i64, i64)>> {
        db.prepare_cached(sql)?
            .query_row(params![id], |row| {
                let pos: [u8; 8] = row.get(0)?;
                Ok((
                    (u64::from_be_bytes(pos) ^ (1 << 63)) as i64,
                    row.get(2)?,
                    row.get(1)?,
                ))
            })
            .optional()
    };
    let read = || -> rusqlite::Result<Tail> {
        // Each is (pos, seq, at).
        let line_last = one(
            "SELECT pos, at, seq FROM log WHERE conversation = ?1 AND lane = 2 ORDER BY seq DESC LIMIT 1",
        )?;
        let line_first = one(
            "SELECT pos, at, seq FROM log WHERE conversation = ?1 AND lane = 2 ORDER BY seq LIMIT 1",
        )?;
        let beside_newest = one(
            "SELECT pos, at, seq FROM log WHERE conversation = ?1 AND lane = 3 ORDER BY seq DESC LIMIT 1",
        )?;
        let (beside_last, beside_first) = match beside_newest {
            None => (None, None),
            Some(_) => (
                one(
                    "SELECT pos, at, seq FROM log INDEXED BY log_place WHERE conversation = ?1 AND lane = 3 ORDER BY pos DESC, seq DESC LIMIT 1",
                )?,
                one(
                    "SELECT pos, at, seq FROM log INDEXED BY log_place WHERE conversation = ?1 AND lane = 3 ORDER BY pos, seq LIMIT 1",
                )?,
            ),
        };
        let last = line_last.max(beside_last);
        let first = match (line_first, beside_first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let newest = line_last.map(|l| l.1).max(beside_newest.map(|b| b.1));
        let waiting = db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM waiting WHERE conversation = ?1)")?
            .query_row(params![id], |row| row.get(0))?;
        Ok(Tail {
            last_pos: last.map(|l| Pos(l.0)),
            first_pos: first.map(|f| Pos(f.0)),
            last_at: Timestamp(last.map_or(0, |l| l.2)),
            last_seq: Seq(newest.unwrap_or(0) as u64),
            waiting,
        })
    };
    read().map_err(error::reading)
}

/// What a foreign id leads to.
pub fn alias(
    db: &Connection,
    names: &Names,
    conversation: ConversationId,
    scheme: Scheme,
    author: Option<&Address>,
    foreign: &str,
) -> StoreResult<Option<AliasHit>> {
    let conversation = conversation.0 as i64;
    let found: Option<(i64, i64)> = match author {
        Some(author) => {
            let Some(number) = names.number(db, author)? else {
                return Ok(None);
            };
            db.prepare_cached("SELECT seq, author FROM alias WHERE conversation = ?1 AND scheme = ?2 AND foreign_id = ?3 AND author = ?4")
                .and_then(|mut s| s.query_row(params![conversation, scheme as u8, foreign, number], |r| Ok((r.get(0)?, r.get(1)?))).optional())
        }
        None => db
            .prepare_cached("SELECT seq, author FROM alias WHERE conversation = ?1 AND scheme = ?2 AND foreign_id = ?3 ORDER BY seq DESC LIMIT 1")
            .and_then(|mut s| s.query_row(params![conversation, scheme as u8, foreign], |r| Ok((r.get(0)?, r.get(1)?))).optional()),
    }
    .map_err(error::reading)?;
    found
        .map(|(seq, author)| {
            Ok(AliasHit {
                seq: Seq(seq as u64),
                author: names.address(db, author)?,
            })
        })
        .transpose()
}

/// The events whose relations wait for this foreign id.
pub fn waiting(
    db: &Connection,
    conversation: ConversationId,
    scheme: Scheme,
    foreign: &str,
) -> StoreResult<Vec<Seq>> {
    db.prepare_cached("SELECT seq FROM waiting WHERE conversation = ?1 AND scheme = ?2 AND foreign_id = ?3 ORDER BY seq")
        .and_then(|s| collect(s, params![conversation.0 as i64, scheme as u8, foreign], seq))
        .map_err(error::reading)
}

/// The events that relate to this one, oldest first.
pub fn relations(
    db: &Connection,
    names: &Names,
    target: EventId,
    limit: usize,
) -> StoreResult<Vec<Arc<Event>>> {
    if target.0 == 0 {
        // Zeros stand for a target that isn't known.
        return Ok(Vec::new());
    }
    let sql = format!("SELECT {COLUMNS} FROM log WHERE target = ?1 ORDER BY seq LIMIT ?2");
    let rows = db
        .prepare_cached(&sql)
        .and_then(|s| collect(s, params![target.to_bytes(), most(limit)], Row::read))
        .map_err(error::reading)?;
    rows.iter()
        .map(|row| row.event(db, names).map(Arc::new))
        .collect()
}

/// Seqs of events that are not erased and older than `before`, by (time, seq).
pub fn older_than(
    db: &Connection,
    conversation: ConversationId,
    before: Timestamp,
    limit: usize,
    from: Seq,
) -> StoreResult<Vec<Seq>> {
    let id = conversation.0 as i64;
    // In line, time grows with seq: the reading ends at the first event that is young enough.
    let mut found: Vec<(i64, i64)> = Vec::new();
    let read = |found: &mut Vec<(i64, i64)>| -> rusqlite::Result<()> {
        let mut line = db.prepare_cached(
            "SELECT at, seq, flags FROM log WHERE conversation = ?1 AND lane = 2 AND seq >= ?2 ORDER BY seq",
        )?;
        let mut rows = line.query(params![id, from.0 as i64])?;
        while let Some(row) = rows.next()? {
            let at: i64 = row.get(0)?;
            if at >= before.0 || found.len() >= limit {
                break;
            }
            if row.get::<_, i64>(2)? & flags::ERASED == 0 {
                found.push((at, row.get(1)?));
            }
        }
        let beside = db.prepare_cached(
            "SELECT at, seq FROM log INDEXED BY log_time WHERE conversation = ?1 AND lane = 3 AND at < ?2 AND flags & 64 = 0
             ORDER BY at, seq LIMIT ?3",
        )?;
        found.extend(collect(beside, params![id, before.0, most(limit)], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })?);
        let placeless = db.prepare_cached(
            "SELECT at, seq FROM log WHERE conversation = ?1 AND lane = 4 AND at < ?2 AND flags & 64 = 0 ORDER BY at, seq LIMIT ?3",
        )?;
        found.extend(collect(
            placeless,
            params![id, before.0, most(limit)],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )?);
        Ok(())
    };
    read(&mut found).map_err(error::reading)?;
    found.sort_unstable();
    found.truncate(limit);
    Ok(found.into_iter().map(|(_, s)| Seq(s as u64)).collect())
}

/// Seqs of events by this author that are not erased, in seq order, after `after`. Reads the log from there on: it
/// is asked only when an account is removed.
pub fn written_by(
    db: &Connection,
    names: &Names,
    author: &Address,
    after: Seq,
    limit: usize,
) -> StoreResult<Vec<Seq>> {
    let Some(number) = names.number(db, author)? else {
        return Ok(Vec::new());
    };
    db.prepare_cached("SELECT seq FROM log WHERE seq > ?1 AND +author = ?2 AND flags & 64 = 0 ORDER BY seq LIMIT ?3")
        .and_then(|s| collect(s, params![after.0 as i64, number, most(limit)], seq))
        .map_err(error::reading)
}

/// A limit as SQLite takes it.
pub fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn seq(row: &rusqlite::Row<'_>) -> rusqlite::Result<Seq> {
    Ok(Seq(row.get::<_, i64>(0)? as u64))
}
