//! Giving room back to the disk in steps between which commits go on, however large the database is.
//!
//! Two kinds of room come back. Rows of erased events keep their size (`scrub.rs` says why); one is made small here only
//! where all rows around it are erased as well, so that what balancing leaves in the gaps of pages are copies of zeros.
//! That is so wherever retention has gone over a log. And free pages leave at the end of the file, a few at a time, where
//! the file is made for it (`auto_vacuum = INCREMENTAL`: new ones are, older ones from their first compaction on).
//!
//! What is left, erased events among others that live, takes [`compact`](crate::SqliteStore::compact).

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, params};
use sammen_core::store::StoreResult;

use crate::commit::Writer;
use crate::error;

/// Rows on either side that have to be erased as well. SQLite balances a page with two others at most, and fewer than
/// a hundred rows fit into one: each has an envelope of some fifty bytes.
const AROUND: usize = 512;
/// Rows that are looked at in one reading.
const WINDOW: i64 = 4096;
/// What `PRAGMA auto_vacuum` says of a file whose free pages can leave in steps.
const INCREMENTAL: i64 = 2;

/// How much is done at once, and from when on.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// Begins where so many bytes could come back.
    pub gain: u64,
    /// Rows that one transaction makes small.
    pub rows: usize,
    /// Pages that one transaction cuts off.
    pub pages: u32,
}

impl Steps {
    /// What upkeep goes by: commits wait for a MiB at most.
    pub const USUAL: Steps = Steps {
        gain: 64 << 20,
        rows: 256,
        pages: 256,
    };
}

/// Finds the rows that may be made small, in the order of the log.
#[derive(Default)]
struct Runs {
    /// Erased rows in a row, up to the one that was seen last.
    erased: usize,
    /// Those behind [`AROUND`] erased ones that wait for as many to follow.
    waiting: VecDeque<(i64, u64)>,
}

impl Runs {
    /// Nothing stands before the first row of the log, and nothing ever will.
    fn from_the_start() -> Self {
        Self {
            erased: AROUND,
            waiting: VecDeque::new(),
        }
    }

    /// Takes the next row; returns one that may be made small.
    fn next(&mut self, seq: i64, bytes: u64, erased: bool) -> Option<(i64, u64)> {
        if !erased {
            *self = Self::default();
            return None;
        }
        self.erased = self.erased.saturating_add(1);
        if self.erased > AROUND {
            self.waiting.push_back((seq, bytes));
        }
        if self.waiting.len() > AROUND {
            self.waiting.pop_front()
        } else {
            None
        }
    }
}

/// Makes rows of erased events small; returns how many bytes that were. `reader` sees the log as it was at each reading;
/// rows only ever become erased, and new ones only come at the end.
pub fn shrink(reader: &Connection, writer: &Mutex<Writer>, steps: Steps) -> StoreResult<u64> {
    let mut runs = Runs::from_the_start();
    let mut ready: Vec<(i64, u64)> = Vec::with_capacity(steps.rows);
    let (mut from, mut given) = (-1_i64, 0);
    loop {
        let rows: Vec<(i64, i64, bool)> = reader
            .prepare_cached(
                "SELECT log.seq, length(log.body), tombstone.seq IS NOT NULL FROM log
                 LEFT JOIN tombstone ON tombstone.seq = log.seq WHERE log.seq > ?1 ORDER BY log.seq LIMIT ?2",
            )
            .and_then(|s| {
                crate::log::collect(s, params![from, WINDOW], |r| {
                    Ok((r.get(0)?, r.get(1)?, r.get(2)?))
                })
            })
            .map_err(error::reading)?;
        let Some(last) = rows.last() else { break };
        from = last.0;
        for (seq, bytes, erased) in rows {
            let found = runs.next(seq, bytes as u64, erased);
            ready.extend(found.filter(|(_, bytes)| *bytes > 0));
            if ready.len() >= steps.rows.max(1) {
                given += shrink_these(writer, &mut ready)?;
            }
        }
    }
    given += shrink_these(writer, &mut ready)?;
    Ok(given)
}

fn shrink_these(writer: &Mutex<Writer>, rows: &mut Vec<(i64, u64)>) -> StoreResult<u64> {
    let bytes = rows.iter().map(|(_, bytes)| bytes).sum();
    if rows.is_empty() {
        return Ok(0);
    }
    step(writer, |db| {
        let tx =
            rusqlite::Transaction::new_unchecked(db, rusqlite::TransactionBehavior::Immediate)?;
        let mut small = tx.prepare_cached("UPDATE log SET body = x'' WHERE seq = ?1")?;
        for (seq, _) in rows.drain(..) {
            small.execute(params![seq])?;
        }
        drop(small);
        tx.commit()
    })?;
    let mut writer = writer.lock();
    writer.erased = writer.erased.map(|all| all.saturating_sub(bytes));
    Ok(bytes)
}

/// Whether free pages of this file can leave in steps.
pub fn is_made_for_it(db: &Connection) -> StoreResult<bool> {
    let mode: rusqlite::Result<i64> = db.query_row("PRAGMA auto_vacuum", [], |r| r.get(0));
    Ok(mode.map_err(error::reading)? == INCREMENTAL)
}

/// Cuts free pages off; returns how many bytes that were. A sixteenth of what is used stays free: new events want it soon.
pub fn cut(writer: &Mutex<Writer>, steps: Steps) -> StoreResult<u64> {
    let count = |what: &str| -> StoreResult<u64> {
        let sql = format!("PRAGMA {what}");
        let found: rusqlite::Result<i64> = writer.lock().db.query_row(&sql, [], |r| r.get(0));
        Ok(found.map_err(error::reading)? as u64)
    };
    let page = count("page_size")?;
    let free = count("freelist_count")?;
    let pages = count("page_count")?;
    let mut left = free.saturating_sub(pages.saturating_sub(free) / 16);
    if left * page < steps.gain || !is_made_for_it(&writer.lock().db)? {
        return Ok(0);
    }
    while left > 0 {
        let some = left.min(u64::from(steps.pages.max(1)));
        step(writer, |db| {
            // A row for each page.
            let mut cut = db.prepare(&format!("PRAGMA incremental_vacuum({some})"))?;
            let mut rows = cut.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        })?;
        left -= some;
    }
    Ok(pages.saturating_sub(count("page_count")?) * page)
}

/// One transaction between the commits of others.
fn step(
    writer: &Mutex<Writer>,
    change: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> StoreResult<()> {
    let mut held = writer.lock();
    held.is_fine()?;
    let done = change(&held.db).map_err(|e| error::writing(e, || false));
    let done = match done {
        Ok(()) => {
            held.ring();
            Ok(())
        }
        Err(sammen_core::store::StoreError::Fatal(why)) => Err(held.fail(why)),
        other => other,
    };
    // Whoever wants to commit comes first.
    MutexGuard::unlock_fair(held);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_far_from_any_that_lives_are_made_small() {
        let found = |erased: &dyn Fn(i64) -> bool, count: i64| -> Vec<i64> {
            let mut runs = Runs::from_the_start();
            (1..=count)
                .filter_map(|n| runs.next(n, 1, erased(n)))
                .map(|(seq, _)| seq)
                .collect()
        };
        let around = AROUND as i64;
        assert_eq!(found(&|_| false, 3 * around), []);
        // What follows the last row is not known yet.
        assert_eq!(found(&|_| true, around), []);
        assert_eq!(found(&|_| true, around + 2), [1, 2]);
        // One that lives in the middle keeps as many on either side as they are.
        let but_one = found(&|n| n != 2 * around, 5 * around);
        let expected: Vec<i64> = (1..around).chain(3 * around + 1..=4 * around).collect();
        assert_eq!(but_one, expected);
        assert_eq!(found(&|n| n % around != 0, 10 * around), []);
    }
}
