//! Reading history: a lazy merge of lanes, each read through its index in small helpings.
//!
//! A conversation has two lanes. In line (nearly everything), place, time and seq all grow together, so any bound is
//! found by a search over seqs. Beside the line lie backfilled, late and moved events, which have indexes of their own
//! by place and by time. One conversation is read by (place, seq), several by (time, seq).

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};
use sammen_core::event::{Acceptance, Event};
use sammen_core::member::Interval;
use sammen_core::store::{HistoryQuery, Kinds, Page, StoreResult};
use sammen_core::words::Wanted;
use sammen_core::{Pos, Seq};

use crate::error;
use crate::log::{COLUMNS, Row, collect, most};
use crate::names::Names;
use crate::record::{acceptance_number, flags};
use crate::seek::{Bounds, Order, time_guess};

/// Most rows of one helping.
const HELPING: usize = 256;

/// What the search index says beforehand: only these (sorted) and those behind `upto` can have the words.
#[derive(Debug)]
pub struct Found {
    /// Seqs, sorted.
    pub seqs: Vec<u64>,
    /// Up to here the index knows the log.
    pub upto: u64,
}

/// Up to so many candidates are looked at one by one; with more, history is walked through.
const MOST_CANDIDATES: usize = 20_000;

impl Found {
    fn may_have(&self, seq: u64) -> bool {
        seq > self.upto || self.seqs.binary_search(&seq).is_ok()
    }

    /// The rows that can have the words and lie inside the bounds, in order, each with the number of its source;
    /// `None` where they are so many that walking through history is better.
    fn rows(
        &self,
        db: &Connection,
        query: &HistoryQuery,
        order: Order,
    ) -> StoreResult<Option<Vec<(Row, usize)>>> {
        let read = || -> rusqlite::Result<Option<Vec<(Row, usize)>>> {
            let last: Option<i64> = db
                .prepare_cached("SELECT max(seq) FROM log")?
                .query_row([], |row| row.get(0))?;
            let tail = (last.unwrap_or(0) as u64).saturating_sub(self.upto);
            if self.seqs.len() as u64 + tail > MOST_CANDIDATES as u64 {
                return Ok(None);
            }
            let sources: HashMap<u64, (usize, Bounds)> = query
                .sources
                .iter()
                .enumerate()
                .filter_map(|(n, (c, i))| Some((c.0, (n, Bounds::new(order, query, i)?))))
                .collect();
            let mut rows = Vec::new();
            let mut keep = |row: Row| {
                if let Some((n, bounds)) = sources.get(&row.conversation)
                    && bounds.holds(&row)
                {
                    rows.push((row, *n));
                }
            };
            let mut one =
                db.prepare_cached(&format!("SELECT {COLUMNS} FROM log WHERE seq = ?1"))?;
            for seq in &self.seqs {
                if let Some(row) = one.query_row(params![*seq as i64], Row::read).optional()? {
                    keep(row);
                }
            }
            let behind = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM log WHERE seq > ?1 ORDER BY seq"
            ))?;
            collect(behind, params![self.upto as i64], Row::read)?
                .into_iter()
                .for_each(&mut keep);
            rows.sort_unstable_by_key(|(row, _)| order.key(row));
            Ok(Some(rows))
        };
        read().map_err(error::reading)
    }
}

/// Reads history.
pub fn history(
    db: &Connection,
    names: &Names,
    query: &HistoryQuery,
    found: Option<&Found>,
) -> StoreResult<Page> {
    let mut events = Vec::new();
    let mut more = false;
    let limit = query.limit;
    walk(
        db,
        names,
        query,
        found,
        true,
        query.from_end,
        &mut |event| {
            if events.len() == limit {
                more = true;
                return false;
            }
            events.extend(event.map(Arc::new));
            true
        },
    )?;
    if query.from_end {
        events.reverse();
    }
    Ok(Page { events, more })
}

/// How many events a reading without its limit would find.
pub fn count(
    db: &Connection,
    names: &Names,
    query: &HistoryQuery,
    found: Option<&Found>,
) -> StoreResult<u64> {
    let mut n = 0;
    walk(db, names, query, found, false, false, &mut |_| {
        n += 1;
        true
    })?;
    Ok(n)
}

/// Events since, over many conversations, in seq order.
pub fn changes(
    db: &Connection,
    names: &Names,
    conversations: &[sammen_core::ConversationId],
    after: Seq,
    upto: Seq,
    limit: usize,
) -> StoreResult<Vec<Arc<Event>>> {
    let shown = |row: &Row| {
        let acceptance = row.flags & flags::ACCEPTANCE;
        row.flags & flags::HISTORICAL == 0
            && (acceptance == acceptance_number(Acceptance::Accepted)
                || acceptance == acceptance_number(Acceptance::Pending))
    };
    let (after, upto) = (
        after.0.min(i64::MAX as u64) as i64,
        upto.0.min(i64::MAX as u64) as i64,
    );
    let mut rows: Vec<Row> = Vec::new();
    let span = upto.saturating_sub(after);
    if span <= 8 * conversations.len() as i64 {
        // Fewer events than looking into each conversation would cost: read that piece of the log.
        let wanted: std::collections::HashSet<u64> = conversations.iter().map(|c| c.0).collect();
        let sql = format!("SELECT {COLUMNS} FROM log WHERE seq > ?1 AND seq <= ?2 ORDER BY seq");
        let mut statement = db.prepare_cached(&sql).map_err(error::reading)?;
        let mut all = statement
            .query(params![after, upto])
            .map_err(error::reading)?;
        while rows.len() < limit {
            let Some(row) = all.next().map_err(error::reading)? else {
                break;
            };
            let conversation: i64 = row.get(1).map_err(error::reading)?;
            if wanted.contains(&(conversation as u64)) {
                let row = Row::read(row).map_err(error::reading)?;
                if shown(&row) {
                    rows.push(row);
                }
            }
        }
    } else {
        // Of each conversation only what could still be among the first `limit`.
        let sql = format!(
            "SELECT {COLUMNS} FROM log WHERE conversation = ?1 AND lane = ?2 AND seq > ?3 AND seq <= ?4 ORDER BY seq"
        );
        let mut statement = db.prepare_cached(&sql).map_err(error::reading)?;
        let mut bound = upto;
        for conversation in conversations {
            for lane in [2, 3] {
                let mut all = statement
                    .query(params![conversation.0 as i64, lane, after, bound])
                    .map_err(error::reading)?;
                let mut taken = 0;
                while taken < limit {
                    let Some(row) = all.next().map_err(error::reading)? else {
                        break;
                    };
                    let row = Row::read(row).map_err(error::reading)?;
                    if shown(&row) {
                        rows.push(row);
                        taken += 1;
                    }
                }
            }
            if rows.len() > limit.saturating_mul(2).max(64) {
                rows.sort_unstable_by_key(|r| r.seq);
                rows.truncate(limit);
                bound = rows.last().map_or(bound, |r| r.seq as i64);
            }
        }
        rows.sort_unstable_by_key(|r| r.seq);
        rows.dedup_by_key(|r| r.seq);
        rows.truncate(limit);
    }
    rows.iter()
        .map(|row| row.event(db, names).map(Arc::new))
        .collect()
}

/// Goes through what a query asks for until `take` has enough. With `want` events are made, else only where a filter
/// needs them.
fn walk(
    db: &Connection,
    names: &Names,
    query: &HistoryQuery,
    found: Option<&Found>,
    want: bool,
    backwards: bool,
    take: &mut dyn FnMut(Option<Event>) -> bool,
) -> StoreResult<()> {
    let Some(filter) = Filter::new(db, names, query, found)? else {
        return Ok(());
    };
    let order = if query.sources.len() == 1 {
        Order::Place
    } else {
        Order::Time
    };
    let mut offer = |row: Row, intervals: &[Interval]| -> StoreResult<bool> {
        if !filter.lets(&row, intervals) {
            return Ok(true);
        }
        let event = if want || filter.needs_event(&row) {
            Some(row.event(db, names)?)
        } else {
            None
        };
        Ok(event.as_ref().is_some_and(|e| !filter.lets_event(e)) || take(event))
    };
    if let Some(rows) = found.map_or(Ok(None), |found| found.rows(db, query, order))? {
        let mut rows = rows;
        if backwards {
            rows.reverse();
        }
        for (row, source) in rows {
            let intervals = query.sources.get(source).map_or(&[][..], |s| &s.1);
            if !offer(row, intervals)? {
                break;
            }
        }
        return Ok(());
    }
    let guess = time_guess(db, query, backwards)?;
    let share = query
        .limit
        .saturating_add(1)
        .div_ceil(query.sources.len().max(1));
    let mut lanes = Vec::new();
    for (conversation, intervals) in &query.sources {
        let Some(bounds) = Bounds::new(order, query, intervals) else {
            continue;
        };
        for in_line in [true, false] {
            lanes.push(Lane {
                conversation: conversation.0,
                intervals,
                bounds,
                order,
                in_line,
                backwards,
                helping: share.clamp(4, HELPING),
                waiting: VecDeque::new(),
                last: None,
                ended: false,
            });
        }
    }
    let mut heap = BinaryHeap::new();
    for (n, lane) in lanes.iter_mut().enumerate() {
        if lane.in_line {
            lane.last = Some((
                0,
                lane.bounds.start(db, lane.conversation, backwards, guess)?,
            ));
        }
        heap.extend(lane.head(db)?.map(|key| Turn::new(key, n, backwards)));
    }
    while let Some(turn) = heap.pop() {
        let Some(lane) = lanes.get_mut(turn.lane) else {
            continue;
        };
        if let Some(row) = lane.waiting.pop_front()
            && !offer(row, lane.intervals)?
        {
            return Ok(());
        }
        heap.extend(
            lane.head(db)?
                .map(|key| Turn::new(key, turn.lane, backwards)),
        );
    }
    Ok(())
}

/// A lane's next event in the merge.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    key: (i128, i128),
    lane: usize,
}

impl Turn {
    /// The heap gives the greatest first: forwards that must be the smallest key.
    fn new(key: (i64, u64), lane: usize, backwards: bool) -> Self {
        let sign = if backwards { 1 } else { -1 };
        Self {
            key: (sign * i128::from(key.0), sign * i128::from(key.1)),
            lane,
        }
    }
}

/// One lane of one conversation, read helping by helping.
struct Lane<'a> {
    conversation: u64,
    intervals: &'a [Interval],
    bounds: Bounds,
    order: Order,
    in_line: bool,
    backwards: bool,
    helping: usize,
    waiting: VecDeque<Row>,
    /// Key of the last row read; before the first helping, where to start (in line: seq, exclusive).
    last: Option<(i64, u64)>,
    ended: bool,
}

impl Lane<'_> {
    /// The key of the next row, reading on if needed.
    fn head(&mut self, db: &Connection) -> StoreResult<Option<(i64, u64)>> {
        if self.waiting.is_empty() && !self.ended {
            self.read_on(db)?;
        }
        Ok(self.waiting.front().map(|row| self.order.key(row)))
    }

    fn read_on(&mut self, db: &Connection) -> StoreResult<()> {
        // Beside the line, a whole helping can lie outside the bounds.
        while self.waiting.is_empty() && !self.ended {
            let rows = if self.in_line {
                self.in_line(db)
            } else {
                self.beside(db)
            };
            let rows = rows.map_err(error::reading)?;
            if rows.len() < self.helping {
                self.ended = true;
            }
            self.helping = (self.helping * 4).min(HELPING);
            for row in rows {
                self.last = Some(self.order.key(&row));
                if self.bounds.holds(&row) {
                    self.waiting.push_back(row);
                } else if self.in_line || self.bounds.is_past_in_order(&row, self.backwards) {
                    // In line the reading began inside, and each bound is crossed once.
                    self.ended = true;
                    break;
                }
            }
        }
        Ok(())
    }

    fn in_line(&self, db: &Connection) -> rusqlite::Result<Vec<Row>> {
        let sql = if self.backwards {
            format!(
                "SELECT {COLUMNS} FROM log WHERE conversation = ?1 AND lane = 2 AND seq < ?2 ORDER BY seq DESC LIMIT ?3"
            )
        } else {
            format!(
                "SELECT {COLUMNS} FROM log WHERE conversation = ?1 AND lane = 2 AND seq > ?2 ORDER BY seq LIMIT ?3"
            )
        };
        let edge = self
            .last
            .map_or(0, |(_, seq)| seq.min(i64::MAX as u64) as i64);
        collect(
            db.prepare_cached(&sql)?,
            params![self.conversation as i64, edge, most(self.helping)],
            Row::read,
        )
    }

    fn beside(&self, db: &Connection) -> rusqlite::Result<Vec<Row>> {
        let (index, column) = match self.order {
            Order::Place => ("log_place", "pos"),
            Order::Time => ("log_time", "at"),
        };
        let (cmp, direction) = if self.backwards {
            ("<", "DESC")
        } else {
            (">", "ASC")
        };
        let (key, seq) = self
            .last
            .unwrap_or_else(|| self.bounds.start_in_order(self.backwards));
        let sql = format!(
            "SELECT {COLUMNS} FROM log INDEXED BY {index} WHERE conversation = ?1 AND lane = 3
             AND {column} {cmp}= ?2 AND ({column} {cmp} ?2 OR seq {cmp} ?3) ORDER BY {column} {direction}, seq {direction} LIMIT ?4"
        );
        let seq = seq.min(i64::MAX as u64) as i64;
        let statement = db.prepare_cached(&sql)?;
        let n = most(self.helping);
        match self.order {
            Order::Place => collect(
                statement,
                params![
                    self.conversation as i64,
                    crate::record::pos_bytes(key),
                    seq,
                    n
                ],
                Row::read,
            ),
            Order::Time => collect(
                statement,
                params![self.conversation as i64, key, seq, n],
                Row::read,
            ),
        }
    }
}

/// What a row must fulfil beside the bounds.
struct Filter<'a> {
    query: &'a HistoryQuery,
    reader: Option<i64>,
    author: Option<i64>,
    wanted: Option<Wanted>,
    found: Option<&'a Found>,
}

impl<'a> Filter<'a> {
    /// `None` where nothing can pass.
    fn new(
        db: &Connection,
        names: &Names,
        query: &'a HistoryQuery,
        found: Option<&'a Found>,
    ) -> StoreResult<Option<Self>> {
        let author = match &query.author {
            Some(author) => match names.number(db, author)? {
                Some(number) => Some(number),
                None => return Ok(None),
            },
            None => None,
        };
        let reader = match &query.reader {
            Some(reader) => names.number(db, reader)?,
            None => None,
        };
        let wanted = query.text.as_deref().map(Wanted::new);
        if wanted.as_ref().is_some_and(|w| w.phrases().is_empty()) {
            return Ok(None);
        }
        Ok(Some(Self {
            query,
            reader,
            author,
            wanted,
            found,
        }))
    }

    fn lets(&self, row: &Row, intervals: &[Interval]) -> bool {
        let acceptance = row.flags & flags::ACCEPTANCE;
        let by_reader = self.reader == Some(row.author);
        (acceptance == acceptance_number(Acceptance::Accepted)
            || acceptance == acceptance_number(Acceptance::Pending) && by_reader)
            && self.author.is_none_or(|author| author == row.author)
            && (self.query.kinds == Kinds::All || row.flags & flags::SPEECH != 0)
            && intervals.iter().any(|i| i.contains(Pos(row.pos)))
            && (row.flags & flags::AUDIENCE == 0 || by_reader || self.query.reader.is_some())
            && self.found.is_none_or(|found| found.may_have(row.seq))
    }

    fn needs_event(&self, row: &Row) -> bool {
        row.flags & flags::AUDIENCE != 0 || self.wanted.is_some()
    }

    fn lets_event(&self, event: &Event) -> bool {
        let audience = event.audience.as_ref().is_none_or(|audience| {
            self.query
                .reader
                .as_ref()
                .is_some_and(|reader| event.author == *reader || audience.contains(reader))
        });
        audience
            && self
                .wanted
                .as_ref()
                .is_none_or(|w| event.content.searchable().is_some_and(|text| w.is_in(text)))
    }
}
