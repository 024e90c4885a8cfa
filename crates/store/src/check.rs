//! Whether everything in the data folder is as it must be; each line names a fault.

use std::fs::File;
use std::io::Read as _;

use ring::digest;
use rusqlite::{Connection, params};
use sammen_core::blob::BlobId;
use sammen_core::store::StoreResult;

use crate::blobs::Blobs;
use crate::error;
use crate::log::{COLUMNS, Row, collect};
use crate::names::Names;

/// Most faults that are told of a kind.
const MOST: i64 = 20;

/// What SQLite finds wrong with a file.
pub fn integrity(db: &Connection, what: &str) -> StoreResult<Vec<String>> {
    let lines: Vec<String> = db
        .prepare_cached("PRAGMA integrity_check(20)")
        .and_then(|s| collect(s, [], |r| r.get(0)))
        .map_err(error::reading)?;
    Ok(lines
        .into_iter()
        .filter(|line| line != "ok")
        .map(|line| format!("{what}: {line}"))
        .collect())
}

/// Questions whose every answer is a fault: what it says, and the rows that show it.
const QUESTIONS: &[(&str, &str)] = &[
    ("a member of a conversation that isn't there", "SELECT conversation || ' ' || address FROM member WHERE conversation NOT IN (SELECT id FROM conversation)"),
    ("an event of a conversation that isn't there", "SELECT DISTINCT 'conversation ' || conversation FROM log WHERE conversation NOT IN (SELECT id FROM conversation)"),
    ("an event without its author's name", "SELECT 'seq ' || seq FROM log WHERE author NOT IN (SELECT id FROM name)"),
    ("an alias of an event that isn't there", "SELECT 'conversation ' || conversation || ' seq ' || seq FROM alias WHERE seq NOT IN (SELECT seq FROM log)"),
    ("an erased event without a tombstone", "SELECT 'seq ' || seq FROM log WHERE flags & 64 AND seq NOT IN (SELECT seq FROM tombstone)"),
    ("an erased event that still says something", "SELECT 'seq ' || seq FROM log WHERE flags & 64 AND body <> zeroblob(length(body))"),
    ("an event out of its line", "SELECT 'seq ' || seq FROM (SELECT seq, pos, at, lag(pos) OVER w AS p, lag(at) OVER w AS a FROM log WHERE lane = 2
      WINDOW w AS (PARTITION BY conversation ORDER BY seq)) WHERE pos <= p OR at < a"),
    ("two conversations under one key", "SELECT min(id) || ' and ' || max(id) FROM conversation WHERE destroyed = 0 GROUP BY key HAVING count(*) > 1"),
    ("a device of an account that isn't there", "SELECT id || ' ' || account FROM device WHERE account NOT IN (SELECT address FROM account)"),
];

/// Faults of the database.
pub fn log(db: &Connection, names: &Names) -> StoreResult<Vec<String>> {
    let mut faults = integrity(db, "log")?;
    for (what, sql) in QUESTIONS {
        let found: Vec<String> = db
            .prepare_cached(&format!("SELECT * FROM ({sql}) LIMIT {MOST}"))
            .and_then(|s| collect(s, [], |r| r.get(0)))
            .map_err(error::reading)?;
        faults.extend(found.into_iter().map(|row| format!("{what}: {row}")));
    }
    let mut rows = db
        .prepare_cached(&format!("SELECT {COLUMNS} FROM log ORDER BY seq"))
        .map_err(error::reading)?;
    let mut rows = rows.query([]).map_err(error::reading)?;
    while let Some(row) = rows.next().map_err(error::reading)? {
        let read = Row::read(row)
            .map_err(error::reading)
            .and_then(|row| row.event(db, names));
        if let Err(e) = read {
            let seq: i64 = row.get(0).unwrap_or_default();
            faults.push(format!("an event that can't be read: seq {seq}: {e}"));
        }
    }
    Ok(faults)
}

/// Faults of the blobs: missing, of another size, of another content.
pub fn blobs(db: &Connection, blobs: &Blobs) -> StoreResult<Vec<String>> {
    let known: Vec<(String, i64)> = db
        .prepare_cached("SELECT DISTINCT digest, size FROM blob_ref")
        .and_then(|s| collect(s, params![], |r| Ok((r.get(0)?, r.get(1)?))))
        .map_err(error::reading)?;
    let mut faults = Vec::new();
    for (digest, size) in known {
        let id = BlobId(digest);
        let Some(path) = blobs.path(&id) else {
            faults.push(format!("a blob with an impossible name: {id}"));
            continue;
        };
        match digest_of(&path) {
            Ok((found, length)) if found == id && length == size as u64 => {}
            Ok(_) => faults.push(format!("a blob whose bytes are not its own: {id}")),
            Err(e) => faults.push(format!("a blob that can't be read: {id}: {e}")),
        }
    }
    Ok(faults)
}

fn digest_of(path: &std::path::Path) -> std::io::Result<(BlobId, u64)> {
    let mut file = File::open(path)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 64 * 1024];
    let mut length = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((BlobId::from_digest(context.finish().as_ref()), length));
        }
        context.update(buffer.get(..n).unwrap_or_default());
        length += n as u64;
    }
}
