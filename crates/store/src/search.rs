//! Full-text search: an FTS5 index in a file of its own, built behind the log by its own cursor.
//!
//! A file of its own keeps commits cheap, and it can be deleted: it is built again from the log. It stores no text. The
//! words are core's ([`sammen_core::words`]): FTS5 only sees letters and digits between spaces, so its tokenizer has
//! nothing to decide, and a search finds exactly what core's `Wanted` finds. Scripts without spaces are single
//! characters and phrases of them: with `trigram` a Chinese word of two characters could not be found, with plain
//! `unicode61` no word inside a sentence.

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};
use sammen_core::ConversationId;
use sammen_core::store::StoreResult;
use sammen_core::words::{Wanted, words};

use crate::error;
use crate::folder::{Folder, private_file};
use crate::history::Found;
use crate::log::{COLUMNS, Row, collect, most};
use crate::names::Names;
use crate::pool::{Pool, keep_plans};

/// Counts up when the tables or the rules for words change: the index is built anew.
const VERSION: i64 = 1;
/// With more conversations than this, a search isn't narrowed to them beforehand.
const MOST_PLACES: usize = 400;

const TABLES: &str = "
CREATE VIRTUAL TABLE found USING fts5 (words, place, content = '', tokenize = 'ascii');
INSERT INTO found (found, rank) VALUES ('secure-delete', 1);
CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO state VALUES ('upto', 0), ('forgotten', 0), ('unclean', 0);
";

/// The index.
pub struct Search {
    // Dropped before the writer, which then can close the write-ahead log.
    readers: Pool,
    writer: Mutex<Connection>,
}

impl Search {
    /// Opens the index of a data folder; one that is damaged or of another version is built anew.
    pub fn open(folder: &Folder) -> StoreResult<Self> {
        if !folder.search().exists() {
            // A write-ahead log without its database belongs to nothing.
            remove(folder)?;
        }
        let writer = match open_writer(folder) {
            Ok(writer) => writer,
            Err(e) => {
                tracing::warn!(error = %e, "the search index can't be used and is built anew");
                remove(folder)?;
                open_writer(folder).map_err(error::reading)?
            }
        };
        Ok(Self {
            writer: Mutex::new(writer),
            readers: Pool::new(folder.search()),
        })
    }

    /// Takes in at most `limit` events that the index doesn't know, and forgets what was erased. `log` reads the log.
    pub fn index(&self, log: &Connection, names: &Names, limit: usize) -> StoreResult<usize> {
        let mut db = self.writer.lock();
        // One snapshot: what is erased in it is either not taken in here or was taken in with its words before.
        let log = log.unchecked_transaction().map_err(error::reading)?;
        let read = || -> rusqlite::Result<(i64, i64, Vec<Row>, Vec<Forget>)> {
            let upto = state(&db, "upto")?;
            let rows = log
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM log WHERE seq > ?1 ORDER BY seq LIMIT ?2"
                ))
                .and_then(|s| collect(s, params![upto, most(limit)], Row::read))?;
            let forgotten = state(&db, "forgotten")?;
            let forget = log
                .prepare_cached("SELECT number, seq, conversation, words FROM unsearch WHERE number > ?1 ORDER BY number")
                .and_then(|s| {
                    collect(s, params![forgotten], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
                })?;
            Ok((upto, forgotten, rows, forget))
        };
        let (upto, forgotten, rows, forget) = read().map_err(error::reading)?;
        if rows.is_empty() && forget.is_empty() {
            return Ok(0);
        }
        let mut texts = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(text) = row.event(&log, names)?.content.searchable() {
                texts.push((
                    row.seq as i64,
                    format!("c{}", row.conversation),
                    words(text).join(" "),
                ));
            }
        }
        let mut write = || -> rusqlite::Result<()> {
            let tx = db.transaction()?;
            {
                let mut add = tx.prepare_cached(
                    "INSERT INTO found (rowid, words, place) VALUES (?1, ?2, ?3)",
                )?;
                for (seq, place, words) in texts.iter().filter(|t| !t.2.is_empty()) {
                    add.execute(params![seq, words, place])?;
                }
                let mut remove = tx.prepare_cached(
                    "INSERT INTO found (found, rowid, words, place) VALUES ('delete', ?1, ?2, ?3)",
                )?;
                let mut gone = false;
                for (_, seq, conversation, words) in &forget {
                    if *seq <= upto {
                        remove.execute(params![seq, words, format!("c{conversation}")])?;
                        gone = true;
                    }
                }
                let mut set = tx.prepare_cached("UPDATE state SET value = ?2 WHERE name = ?1")?;
                set.execute(params!["upto", rows.last().map_or(upto, |r| r.seq as i64)])?;
                set.execute(params![
                    "forgotten",
                    forget.last().map_or(forgotten, |f| f.0)
                ])?;
                if gone {
                    set.execute(params!["unclean", 1])?;
                }
            }
            tx.commit()
        };
        write().map_err(|e| error::writing(e, || false))?;
        Ok(rows.len())
    }

    /// The events that have the words, as far as the index knows the log.
    pub fn find(&self, typed: &str, conversations: &[ConversationId]) -> StoreResult<Found> {
        let wanted = Wanted::new(typed);
        let reader = self.readers.reader()?;
        let read = || -> rusqlite::Result<Found> {
            let tx = reader.unchecked_transaction()?;
            let upto = state(&tx, "upto")? as u64;
            if wanted.phrases().is_empty() {
                return Ok(Found {
                    seqs: Vec::new(),
                    upto,
                });
            }
            let seqs: Vec<i64> = tx
                .prepare_cached("SELECT rowid FROM found WHERE found MATCH ?1 ORDER BY rowid")
                .and_then(|s| {
                    collect(s, params![expression(&wanted, conversations)], |r| r.get(0))
                })?;
            Ok(Found {
                seqs: seqs.into_iter().map(|s| s as u64).collect(),
                upto,
            })
        };
        read().map_err(error::reading)
    }

    /// Leaves nothing of what was forgotten in the file: FTS5 takes the words out of its lists, but pages that were
    /// written anew can keep older copies in their gaps. Returns up to which number erased words are gone.
    pub fn scrub(&self) -> StoreResult<i64> {
        let db = self.writer.lock();
        let clean = || -> rusqlite::Result<i64> {
            if state(&db, "unclean")? != 0 {
                db.execute_batch("VACUUM; UPDATE state SET value = 0 WHERE name = 'unclean'")?;
            }
            state(&db, "forgotten")
        };
        let forgotten = clean().map_err(|e| error::writing(e, || false))?;
        crate::scrub::truncate_wal(&db)?;
        Ok(forgotten)
    }

    /// Faults of the index.
    pub fn check(&self) -> StoreResult<Vec<String>> {
        let db = self.writer.lock();
        let mut faults = crate::check::integrity(&db, "search")?;
        let fts = db.execute("INSERT INTO found (found) VALUES ('integrity-check')", []);
        if let Err(e) = fts {
            faults.push(format!("search: the index of words is damaged: {e}"));
        }
        Ok(faults)
    }
}

/// Number, seq, conversation and words of an erased event.
type Forget = (i64, i64, i64, String);

fn remove(folder: &Folder) -> StoreResult<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = folder.search().into_os_string();
        path.push(suffix);
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(error::file(e)),
            _ => {}
        }
    }
    Ok(())
}

fn open_writer(folder: &Folder) -> rusqlite::Result<Connection> {
    let path = folder.search();
    // So that the file is its owner's alone from the start; an error shows when it is opened.
    let _ = private_file(&path, false);
    let mut db = Connection::open(&path)?;
    keep_plans(&db)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "secure_delete", true)?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        let tx = db.transaction()?;
        tx.execute_batch(TABLES)?;
        tx.pragma_update(None, "user_version", VERSION)?;
        tx.commit()?;
    } else if version != VERSION {
        return Err(rusqlite::Error::InvalidQuery);
    }
    state(&db, "upto")?;
    Ok(db)
}

fn state(db: &Connection, name: &str) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT value FROM state WHERE name = ?1")?
        .query_row(params![name], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

/// As FTS5 wants it. Words consist of letters and digits alone, so quoting them is safe.
fn expression(wanted: &Wanted, conversations: &[ConversationId]) -> String {
    let phrases: Vec<String> = wanted
        .phrases()
        .iter()
        .map(|phrase| format!("\"{}\" *", phrase.join(" ")))
        .collect();
    let mut text = format!("words : ({})", phrases.join(" AND "));
    if !conversations.is_empty() && conversations.len() <= MOST_PLACES {
        let places: Vec<String> = conversations.iter().map(|c| format!("c{c}")).collect();
        text.push_str(&format!(" AND place : ({})", places.join(" OR ")));
    }
    text
}
