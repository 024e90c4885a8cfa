//! Leaving nothing of what was erased in the data folder.
//!
//! SQLite's `secure_delete` overwrites what is deleted where it lies. But when pages are balanced, copies of *live* rows
//! stay behind in the gaps of pages, and those would survive the row's own erasure later. The log avoids that by never
//! changing the size of a row. The small tables are written anew here when something was deleted from them: dropping
//! the old one overwrites all of its pages. Free pages are zeros and are used again; `give_back.rs` has those leave that
//! are too many.

use rusqlite::{Connection, OptionalExtension as _, params};
use sammen_core::store::{StoreError, StoreResult};

use crate::commit::Writer;
use crate::error;

/// A table that is written anew when rows of it went.
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The order in which it is copied.
    order: &'static str,
}

/// Those that can hold what someone wrote.
pub const TABLES: &[Table] = &[
    Table {
        name: "unsearch",
        order: "number",
    },
    Table {
        name: "conversation",
        order: "id",
    },
    Table {
        name: "member",
        order: "conversation, address",
    },
    Table {
        name: "account",
        order: "address",
    },
    Table {
        name: "device",
        order: "id",
    },
    Table {
        name: "document",
        order: "owner, namespace, key",
    },
    Table {
        name: "document_floor",
        order: "owner, namespace",
    },
    Table {
        name: "outbox",
        order: "seq",
    },
];

/// Forgets the words that the search index has forgotten, writes anew the tables from which rows went, and empties the
/// write-ahead log.
pub fn scrub(writer: &mut Writer, forgotten: i64) -> StoreResult<()> {
    if writer.dirt.anything {
        let gone = writer
            .db
            .execute(
                "DELETE FROM unsearch WHERE number <= ?1",
                params![forgotten],
            )
            .map_err(|e| error::writing(e, || false))?;
        if gone > 0 {
            writer.dirt.table("unsearch");
        }
        for table in TABLES {
            if writer.dirt.tables.contains(table.name) {
                write_anew(&writer.db, table).map_err(|e| error::writing(e, || false))?;
                writer.dirt.tables.remove(table.name);
            }
        }
        writer.dirt.anything = false;
    }
    let truncated = truncate_wal(&writer.db);
    if truncated.is_err() {
        // What was erased may still stand in the write-ahead log.
        writer.dirt.anything = true;
    }
    truncated
}

/// When writing the database anew is worth it without anybody asking.
#[derive(Clone, Copy, Debug)]
pub struct Worth {
    /// It gives back so many bytes at least, and half of the file.
    pub gain: u64,
    /// It keeps so many bytes at most: commits wait while they are copied.
    pub live: u64,
    /// A file of so many bytes at most that can't give room back in steps yet is made for it.
    pub convert: u64,
}

impl Worth {
    /// What upkeep goes by. A small busy machine copied 40 MiB in a second.
    pub const USUAL: Worth = Worth {
        gain: 64 << 20,
        live: 256 << 20,
        convert: 64 << 20,
    };

    /// Whether a file of these sizes is.
    fn holds(self, size: u64, gain: u64) -> bool {
        gain >= self.gain && gain >= size / 2 && size.saturating_sub(gain) <= self.live
    }
}

/// Bytes that erased events still take in their rows.
pub fn count_erased(db: &Connection) -> StoreResult<u64> {
    db.query_row(
        "SELECT coalesce(sum(length(body)), 0) FROM log WHERE seq IN (SELECT seq FROM tombstone)",
        [],
        |row| row.get::<_, i64>(0),
    )
    .map(|n| n as u64)
    .map_err(error::reading)
}

/// Whether compacting is worth it, or has been begun and not ended.
pub fn is_worth(writer: &Writer, worth: Worth) -> StoreResult<bool> {
    let get = |sql: &str| writer.db.query_row(sql, [], |r| r.get::<_, i64>(0));
    let read = || -> rusqlite::Result<(u64, u64, bool)> {
        let page = get("PRAGMA page_size")? as u64;
        let pages = get("PRAGMA page_count")? as u64;
        let free = get("PRAGMA freelist_count")? as u64;
        let begun = get("SELECT count(*) FROM meta WHERE name = 'compacting'")? > 0;
        Ok((page * pages, page * free, begun))
    };
    let (size, free, begun) = read().map_err(error::reading)?;
    let gain = free + writer.erased.unwrap_or(0);
    if begun || worth.holds(size, gain) {
        return Ok(true);
    }
    if crate::give_back::is_made_for_it(&writer.db)? {
        return Ok(false);
    }
    if size > worth.convert && gain >= worth.gain {
        tracing::warn!(
            "the database can't give room back by itself yet: `sammen compact` once, when few are here"
        );
    }
    Ok(size <= worth.convert)
}

/// Gives back the room that erased events still take (their rows keep their size, see above), by writing the whole
/// database anew. Commits wait meanwhile.
///
/// Shrinking rows moves others, so copies of those may lie about until the file is written anew: that it has to be is
/// remembered with the same transaction.
pub fn compact(writer: &mut Writer) -> StoreResult<()> {
    let shrink = "INSERT OR REPLACE INTO meta (name, value) VALUES ('compacting', 1);
         UPDATE log SET body = x'' WHERE seq IN (SELECT seq FROM tombstone) AND length(body) > 0";
    writer
        .db
        .execute_batch(&format!(
            "BEGIN IMMEDIATE; {shrink}; COMMIT; PRAGMA auto_vacuum = INCREMENTAL; VACUUM; DELETE FROM meta WHERE name = 'compacting'"
        ))
        .map_err(|e| {
            if !writer.db.is_autocommit() {
                // Whether or not it can: the next commit finds out.
                let _ = writer.db.execute_batch("ROLLBACK");
            }
            error::writing(e, || false)
        })?;
    writer.erased = Some(0);
    writer.left = None;
    truncate_wal(&writer.db)
}

fn write_anew(db: &Connection, table: &Table) -> rusqlite::Result<()> {
    let name = table.name;
    let tx = rusqlite::Transaction::new_unchecked(db, rusqlite::TransactionBehavior::Immediate)?;
    let sql: Vec<String> = tx
        .prepare_cached("SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 AND sql IS NOT NULL ORDER BY type = 'index'")
        .and_then(|s| crate::log::collect(s, params![name], |r| r.get(0)))?;
    let sequence: Option<i64> = tx
        .query_row(
            "SELECT seq FROM sqlite_sequence WHERE name = ?1",
            params![name],
            |r| r.get(0),
        )
        .optional()?;
    tx.execute_batch(&format!("ALTER TABLE {name} RENAME TO old_{name}"))?;
    let indexes: Vec<String> = tx
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL")?
        .query_map(params![format!("old_{name}")], |r| r.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for index in indexes {
        tx.execute_batch(&format!("DROP INDEX {index}"))?;
    }
    let mut sql = sql.into_iter();
    if let Some(create) = sql.next() {
        tx.execute_batch(&create)?;
    }
    tx.execute_batch(&format!(
        "INSERT INTO {name} SELECT * FROM old_{name} ORDER BY {}; DROP TABLE old_{name}",
        table.order
    ))?;
    for index in sql {
        tx.execute_batch(&index)?;
    }
    if let Some(sequence) = sequence {
        tx.execute("DELETE FROM sqlite_sequence WHERE name = ?1", params![name])?;
        tx.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)",
            params![name, sequence],
        )?;
    }
    tx.commit()
}

/// Moves the whole write-ahead log into the database and empties its file. A reader in its way: later.
pub fn truncate_wal(db: &Connection) -> StoreResult<()> {
    let busy: i64 = db
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|e| error::writing(e, || false))?;
    if busy != 0 {
        return Err(StoreError::TryLater(
            "a reader holds the write-ahead log".into(),
        ));
    }
    Ok(())
}
