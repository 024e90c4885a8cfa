//! The writer: one connection, one batch at a time, whole or not at all, durable before it returns.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Transaction, params};
use sammen_core::event::{Acceptance, Content, Event};
use sammen_core::store::{StoreError, StoreResult, Write};
use sammen_core::words::words;
use sammen_core::{Address, Pos, Seq};

use crate::blobs::Blobs;
use crate::checkpoint::Bell;
use crate::error;
use crate::folder::Folder;
use crate::names::Names;
use crate::record::{self, flags};

/// In line: pos, at and seq all grow along the lane.
pub const IN_LINE: i64 = 2;
/// Beside the line: backfilled, late or moved.
pub const BESIDE: i64 = 3;
/// Without a place.
pub const PLACELESS: i64 = 4;

/// Conversations whose end is kept in memory.
const MOST_HEADS: usize = 100_000;

/// The last event in line of a conversation.
#[derive(Clone, Copy)]
struct Head {
    pos: i64,
    at: i64,
}

/// Tables that had rows deleted whose stale copies a scrub has to clear away.
#[derive(Default)]
pub struct Dirt {
    /// Names of tables.
    pub tables: HashSet<&'static str>,
    /// Anything was erased at all.
    pub anything: bool,
}

impl Dirt {
    /// A row of this table went.
    pub fn table(&mut self, name: &'static str) {
        self.tables.insert(name);
        self.anything = true;
    }
}

/// The connection that writes, and what it remembers between batches.
pub struct Writer {
    /// The connection.
    pub db: Connection,
    heads: HashMap<u64, Option<Head>>,
    names: Arc<Names>,
    meta: Meta,
    bell: Arc<Bell>,
    failed: Option<String>,
    /// What a scrub has to do.
    pub dirt: Dirt,
    /// Bytes that erased events still take; `None` until they were counted.
    pub erased: Option<u64>,
    /// What [`Writer::erased`] was after all rows were made small that could be; nothing more to find until it grows.
    pub left: Option<u64>,
}

/// Numbers that outlive the records that had them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Meta {
    /// Greatest seq of any record but the log.
    pub seq: u64,
    /// Greatest conversation.
    pub conversation: u64,
    /// Greatest device.
    pub device: u64,
}

impl Meta {
    /// As the table has it.
    pub fn read(db: &Connection) -> rusqlite::Result<Self> {
        let get = |name: &str| -> rusqlite::Result<u64> {
            let value: Option<i64> = db
                .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
                .query_row(params![name], |row| row.get(0))
                .optional()?;
            Ok(value.unwrap_or(0) as u64)
        };
        Ok(Self {
            seq: get("last_seq")?,
            conversation: get("last_conversation")?,
            device: get("last_device")?,
        })
    }

    fn write(self, before: Self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut put = tx.prepare_cached(
            "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
        )?;
        for (name, value, old) in [
            ("last_seq", self.seq, before.seq),
            ("last_conversation", self.conversation, before.conversation),
            ("last_device", self.device, before.device),
        ] {
            if value != old {
                put.execute(params![name, value as i64])?;
            }
        }
        Ok(())
    }
}

/// Why a batch was not written: SQLite's word, or ours.
pub enum Failure {
    /// SQLite's.
    Sql(rusqlite::Error),
    /// Ours.
    Store(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sql(e)
    }
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl Writer {
    /// Takes over a connection that is set up and migrated.
    pub fn new(db: Connection, names: Arc<Names>, bell: Arc<Bell>) -> StoreResult<Self> {
        let meta = Meta::read(&db).map_err(error::reading)?;
        Ok(Self {
            db,
            heads: HashMap::new(),
            names,
            meta,
            bell,
            failed: None,
            // What was deleted before a restart may not have been scrubbed: do it once after each start.
            dirt: Dirt {
                tables: crate::scrub::TABLES.iter().map(|t| t.name).collect(),
                anything: true,
            },
            erased: None,
            left: None,
        })
    }

    /// Makes a batch durable. After a failure that leaves it open what is durable, every further call fails too.
    pub fn commit(&mut self, folder: &Folder, blobs: &Blobs, batch: &[Write]) -> StoreResult<()> {
        self.is_fine()?;
        if batch.is_empty() {
            return Ok(());
        }
        let before = self.meta;
        let result = self.transact(blobs, batch);
        if result.is_err() {
            self.heads.clear();
            self.names.forget();
            self.meta = before;
            if !self.db.is_autocommit() && self.db.execute_batch("ROLLBACK").is_err() {
                return Err(self.fail("a batch could not be rolled back".into()));
            }
        }
        match result {
            Ok(()) => {
                self.ring();
                Ok(())
            }
            Err(Failure::Store(e)) => Err(e),
            Err(Failure::Sql(e)) => match error::writing(e, || folder.is_full()) {
                StoreError::Fatal(why) => Err(self.fail(why)),
                other => Err(other),
            },
        }
    }

    /// Whether anything may be written still.
    pub fn is_fine(&self) -> StoreResult<()> {
        match &self.failed {
            Some(why) => Err(StoreError::Fatal(why.clone())),
            None => Ok(()),
        }
    }

    /// Something was committed: the write-ahead log may be long enough to be moved.
    pub fn ring(&self) {
        self.bell.committed();
    }

    /// From now on nothing is written any more.
    pub fn fail(&mut self, why: String) -> StoreError {
        self.failed = Some(why.clone());
        StoreError::Fatal(why)
    }

    fn transact(&mut self, blobs: &Blobs, batch: &[Write]) -> Result<(), Failure> {
        let before = self.meta;
        if self.heads.len() > MOST_HEADS {
            self.heads.clear();
        }
        let tx = Transaction::new_unchecked(&self.db, rusqlite::TransactionBehavior::Immediate)?;
        let mut work = Work {
            insert: tx.prepare_cached(
                "INSERT INTO log (seq, conversation, lane, pos, at, id_high, id_low, author, flags, target, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?,
            alias: tx.prepare_cached(
                "INSERT INTO alias (conversation, scheme, foreign_id, author, seq) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET seq = excluded.seq",
            )?,
            tx: &tx,
            heads: &mut self.heads,
            names: &self.names,
            new_names: HashMap::new(),
            meta: &mut self.meta,
            dirt: &mut self.dirt,
            erased: &mut self.erased,
            blobs,
            buffer: Vec::with_capacity(1024),
        };
        for write in batch {
            work.write(write)?;
        }
        let new_names = std::mem::take(&mut work.new_names);
        drop(work);
        if self.meta != before {
            self.meta.write(before, &tx)?;
        }
        tx.commit()?;
        for (address, number) in new_names {
            self.names.learn(number, &address);
        }
        blobs.committed(batch);
        Ok(())
    }
}

/// A batch being written.
pub struct Work<'a> {
    /// Its transaction.
    pub tx: &'a Transaction<'a>,
    insert: CachedStatement<'a>,
    alias: CachedStatement<'a>,
    heads: &'a mut HashMap<u64, Option<Head>>,
    names: &'a Names,
    new_names: HashMap<Address, i64>,
    /// Numbers that outlive their records.
    pub meta: &'a mut Meta,
    /// What a scrub has to do.
    pub dirt: &'a mut Dirt,
    erased: &'a mut Option<u64>,
    /// For the size of what is referred to.
    pub blobs: &'a Blobs,
    buffer: Vec<u8>,
}

impl Work<'_> {
    fn write(&mut self, write: &Write) -> Result<(), Failure> {
        match write {
            Write::Event(event) => self.event(event),
            Write::Alias {
                conversation,
                scheme,
                author,
                foreign,
                seq,
            } => {
                let author = self.number(author)?;
                self.alias.execute(params![
                    conversation.0 as i64,
                    *scheme as u8,
                    foreign,
                    author,
                    seq.0 as i64
                ])?;
                Ok(())
            }
            Write::Erase { seq, tombstone } => self.erase(*seq, tombstone),
            Write::Accept {
                seq,
                acceptance,
                pos,
            } => self.accept(*seq, *acceptance, *pos),
            Write::Resolve { seq, target } => {
                self.tx
                    .prepare_cached(
                        "UPDATE log SET target = ?2 WHERE seq = ?1 AND target IS NOT NULL AND flags & 64 = 0",
                    )?
                    .execute(params![seq.0 as i64, target.to_bytes()])?;
                self.stop_waiting(*seq)
            }
            Write::Waiting {
                conversation,
                scheme,
                foreign,
                seq,
            } => {
                self.tx
                    .prepare_cached("INSERT OR IGNORE INTO waiting (conversation, scheme, foreign_id, seq) VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![conversation.0 as i64, *scheme as u8, foreign, seq.0 as i64])?;
                Ok(())
            }
            other => crate::shelf::write(self, other),
        }
    }

    fn number(&mut self, address: &Address) -> Result<i64, Failure> {
        if let Some(number) = self.names.remembered(address) {
            return Ok(number);
        }
        if let Some(number) = self.new_names.get(address) {
            return Ok(*number);
        }
        if let Some(number) = self.names.number(self.tx, address)? {
            return Ok(number);
        }
        self.tx
            .prepare_cached("INSERT INTO name (address) VALUES (?1)")?
            .execute(params![address.as_str()])?;
        let number = self.tx.last_insert_rowid();
        self.new_names.insert(address.clone(), number);
        Ok(number)
    }

    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        let author = self.number(&event.author)?;
        let lane = self.lane_of_new(event)?;
        self.buffer.clear();
        let mut bits = record::flags_of(event);
        if matches!(event.content, Content::Erased { .. }) {
            // It came as a tombstone (an import).
            bits |= flags::ERASED;
            record::encode_tombstone(event, &event.content, &mut self.buffer)?;
            self.tombstone(event.seq)?;
            self.buffer.clear();
        } else {
            record::encode(event, &mut self.buffer)?;
        }
        let id = event.id.0;
        // A relation's target has its room in the row from the start, so that it can be filled in later.
        let target = event
            .relation
            .as_ref()
            .map(|r| r.target.map_or([0; 16], |t| t.to_bytes()));
        self.insert.execute(params![
            event.seq.0 as i64,
            event.conversation.0 as i64,
            lane,
            record::pos_bytes(event.pos.0),
            event.at.0,
            (id >> 64) as u64 as i64,
            id as u64 as i64,
            author,
            bits,
            target,
            self.buffer,
        ])?;
        Ok(())
    }

    fn lane_of_new(&mut self, event: &Event) -> Result<i64, Failure> {
        if event.acceptance == Acceptance::Outlier {
            return Ok(PLACELESS);
        }
        let conversation = event.conversation.0;
        let head = match self.heads.get(&conversation) {
            Some(head) => *head,
            None => neighbour(self.tx, conversation, Seq(u64::MAX >> 1), true)?,
        };
        let fits = head.is_none_or(|h| event.pos.0 > h.pos && event.at.0 >= h.at);
        if fits {
            self.heads.insert(
                conversation,
                Some(Head {
                    pos: event.pos.0,
                    at: event.at.0,
                }),
            );
            Ok(IN_LINE)
        } else {
            self.heads.insert(conversation, head);
            Ok(BESIDE)
        }
    }

    fn accept(&mut self, seq: Seq, acceptance: Acceptance, pos: Pos) -> Result<(), Failure> {
        let row: Option<(i64, i64, i64)> = self
            .tx
            .prepare_cached("SELECT conversation, at, flags FROM log WHERE seq = ?1")?
            .query_row(params![seq.0 as i64], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?))
            })
            .optional()?;
        let Some((conversation, at, bits)) = row else {
            return Ok(());
        };
        let lane = if acceptance == Acceptance::Outlier {
            PLACELESS
        } else {
            let before = neighbour(self.tx, conversation as u64, seq, true)?;
            let after = neighbour(self.tx, conversation as u64, seq, false)?;
            let fits = before.is_none_or(|b| pos.0 > b.pos && at >= b.at)
                && after.is_none_or(|a| pos.0 < a.pos && at <= a.at);
            if fits { IN_LINE } else { BESIDE }
        };
        let bits = (bits & !flags::ACCEPTANCE) | record::acceptance_number(acceptance);
        self.tx
            .prepare_cached("UPDATE log SET lane = ?2, pos = ?3, flags = ?4 WHERE seq = ?1")?
            .execute(params![seq.0 as i64, lane, record::pos_bytes(pos.0), bits])?;
        self.heads.remove(&(conversation as u64));
        Ok(())
    }

    fn erase(&mut self, seq: Seq, tombstone: &Content) -> Result<(), Failure> {
        let Some(event) = crate::log::event_row(self.tx, self.names, seq)? else {
            return Ok(());
        };
        if let Some(text) = event.content.searchable() {
            let words = words(text).join(" ");
            if !words.is_empty() {
                self.tx
                    .prepare_cached(
                        "INSERT INTO unsearch (seq, conversation, words) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![seq.0 as i64, event.conversation.0 as i64, words])?;
            }
        }
        self.buffer.clear();
        record::encode_tombstone(&event, tombstone, &mut self.buffer)?;
        self.tombstone(seq)?;
        // The row keeps its size: nothing moves, nothing is copied, the old bytes are overwritten.
        let length: i64 = self
            .tx
            .prepare_cached(
                "UPDATE log SET body = zeroblob(length(body)), flags = flags | ?2,
                 target = CASE WHEN target IS NULL THEN NULL ELSE zeroblob(16) END WHERE seq = ?1
                 RETURNING length(body)",
            )?
            .query_row(params![seq.0 as i64, flags::ERASED], |r| r.get(0))?;
        if let (Some(erased), false) = (
            self.erased.as_mut(),
            matches!(event.content, Content::Erased { .. }),
        ) {
            *erased += length as u64;
        }
        self.dirt.anything = true;
        self.stop_waiting(seq)
    }

    fn tombstone(&self, seq: Seq) -> Result<(), Failure> {
        self.tx
            .prepare_cached("INSERT INTO tombstone (seq, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = ?2")?
            .execute(params![seq.0 as i64, self.buffer])?;
        Ok(())
    }

    fn stop_waiting(&mut self, seq: Seq) -> Result<(), Failure> {
        self.tx
            .prepare_cached("DELETE FROM waiting WHERE seq = ?1")?
            .execute(params![seq.0 as i64])?;
        Ok(())
    }
}

/// The next event in line before (or behind) a seq.
fn neighbour(
    tx: &Connection,
    conversation: u64,
    seq: Seq,
    before: bool,
) -> rusqlite::Result<Option<Head>> {
    let sql = if before {
        "SELECT pos, at FROM log WHERE conversation = ?1 AND lane = 2 AND seq < ?2 ORDER BY seq DESC LIMIT 1"
    } else {
        "SELECT pos, at FROM log WHERE conversation = ?1 AND lane = 2 AND seq > ?2 ORDER BY seq LIMIT 1"
    };
    tx.prepare_cached(sql)?
        .query_row(params![conversation as i64, seq.0 as i64], |row| {
            let pos: [u8; 8] = row.get(0)?;
            Ok(Head {
                pos: (u64::from_be_bytes(pos) ^ (1 << 63)) as i64,
                at: row.get(1)?,
            })
        })
        .optional()
}
