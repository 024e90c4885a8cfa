//! What happened since a seq, over many conversations: what a device that was away reads.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, params};
use sammen_core::event::{Acceptance, Event};
use sammen_core::store::StoreResult;
use sammen_core::{ConversationId, Seq};

use crate::commit::{BESIDE, IN_LINE};
use crate::error;
use crate::log::{COLUMNS, Row, most};
use crate::names::Names;
use crate::record::{acceptance_number, flags};

/// Most rows that are read of one conversation at once.
const HELPING: usize = 256;

/// Events of these conversations with `after < seq <= upto` in seq order: accepted and pending ones, not historical.
pub fn changes(
    db: &Connection,
    names: &Names,
    conversations: &[ConversationId],
    after: Seq,
    upto: Seq,
    limit: usize,
) -> StoreResult<Vec<Arc<Event>>> {
    let after = after.0.min(i64::MAX as u64) as i64;
    let upto = upto.0.min(i64::MAX as u64) as i64;
    // Fewer events than looking into each conversation would cost: read that piece of the log.
    let short = upto.saturating_sub(after) <= 8 * conversations.len() as i64;
    let rows = if short {
        from_log(db, conversations, after, upto, limit)
    } else {
        merged(db, conversations, after, upto, limit)
    }
    .map_err(error::reading)?;
    rows.iter()
        .map(|row| row.event(db, names).map(Arc::new))
        .collect()
}

fn is_shown(row: &Row) -> bool {
    let acceptance = row.flags & flags::ACCEPTANCE;
    row.flags & flags::HISTORICAL == 0
        && (acceptance == acceptance_number(Acceptance::Accepted)
            || acceptance == acceptance_number(Acceptance::Pending))
}

fn from_log(
    db: &Connection,
    conversations: &[ConversationId],
    after: i64,
    upto: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Row>> {
    let wanted: HashSet<i64> = conversations.iter().map(|c| c.0 as i64).collect();
    let sql = format!("SELECT {COLUMNS} FROM log WHERE seq > ?1 AND seq <= ?2 ORDER BY seq");
    let mut statement = db.prepare_cached(&sql)?;
    let mut all = statement.query(params![after, upto])?;
    let mut rows = Vec::new();
    while rows.len() < limit {
        let Some(row) = all.next()? else { break };
        if wanted.contains(&row.get(1)?) {
            rows.push(Row::read(row)?);
            rows.pop_if(|row| !is_shown(row));
        }
    }
    Ok(rows)
}

/// One lane of one conversation.
struct Strand {
    conversation: i64,
    lane: i64,
    after: i64,
    helping: usize,
    ended: bool,
    waiting: VecDeque<Row>,
}

impl Strand {
    fn head(
        &mut self,
        statement: &mut CachedStatement<'_>,
        upto: i64,
    ) -> rusqlite::Result<Option<u64>> {
        while self.waiting.is_empty() && !self.ended {
            let n = most(self.helping);
            let mut rows =
                statement.query(params![self.conversation, self.lane, self.after, upto, n])?;
            let mut read = 0;
            while let Some(row) = rows.next()? {
                let row = Row::read(row)?;
                read += 1;
                self.after = row.seq as i64;
                if is_shown(&row) {
                    self.waiting.push_back(row);
                }
            }
            self.ended = read < self.helping;
            self.helping = (self.helping * 4).min(HELPING);
        }
        Ok(self.waiting.front().map(|row| row.seq))
    }
}

fn merged(
    db: &Connection,
    conversations: &[ConversationId],
    after: i64,
    upto: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Row>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM log WHERE conversation = ?1 AND lane = ?2 AND seq > ?3 AND seq <= ?4 ORDER BY seq LIMIT ?5"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let share = limit.div_ceil(conversations.len().max(1)).clamp(1, HELPING);
    let mut strands: Vec<Strand> = conversations
        .iter()
        .flat_map(|c| [(c.0 as i64, IN_LINE), (c.0 as i64, BESIDE)])
        .map(|(conversation, lane)| Strand {
            conversation,
            lane,
            after,
            helping: share,
            ended: false,
            waiting: VecDeque::new(),
        })
        .collect();
    let mut heap = BinaryHeap::new();
    for (n, strand) in strands.iter_mut().enumerate() {
        heap.extend(
            strand
                .head(&mut statement, upto)?
                .map(|seq| Reverse((seq, n))),
        );
    }
    let mut found: Vec<Row> = Vec::new();
    while found.len() < limit {
        let Some(Reverse((_, n))) = heap.pop() else {
            break;
        };
        let Some(strand) = strands.get_mut(n) else {
            break;
        };
        found.extend(strand.waiting.pop_front());
        heap.extend(
            strand
                .head(&mut statement, upto)?
                .map(|seq| Reverse((seq, n))),
        );
    }
    Ok(found)
}
