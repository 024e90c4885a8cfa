//! Reading history: a lazy merge of lanes, each read through its index in small helpings.
//!
//! A conversation has two lanes. In line (nearly everything), place, time and seq all grow together, so any bound is
//! found by a search over seqs. Beside the line lie backfilled, late and moved events, which have indexes of their own
//! by place and by time. One conversation is read by (place, seq), several by (time, seq).

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use sammen_core::Pos;
use sammen_core::event::{Acceptance, Event};
use sammen_core::member::Interval;
use sammen_core::store::{HistoryQuery, Kinds, Page, StoreResult};
use sammen_core::words::Wanted;

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

/// How many events there are inside the bounds, up to the limit.
pub fn count(
    db: &Connection,
    names: &Names,
    query: &HistoryQuery,
    found: Option<&Found>,
) -> StoreResult<u64> {
    let (mut n, most) = (0, query.limit as u64);
    if most > 0 {
        walk(db, names, query, found, false, false, &mut |_| {
            n += 1;
            n < most
        })?;
    }
    Ok(n)
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
    let mut to_skip = if want { query.skip } else { 0 };
    let mut offer = |row: Row, intervals: &[Interval]| -> StoreResult<bool> {
        if !filter.lets(&row, intervals) {
            return Ok(true);
        }
        let event = if want && to_skip == 0 || filter.needs_event(&row) {
            Some(row.event(db, names)?)
        } else {
            None
        };
        if event.as_ref().is_some_and(|e| !filter.lets_event(e)) {
            return Ok(true);
        }
        if to_skip > 0 {
            to_skip -= 1;
            return Ok(true);
        }
        Ok(take(event))
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
        .saturating_add(query.skip)
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
                helping: share.clamp(1, HELPING),
                waiting: VecDeque::new(),
                last: None,
                ended: false,
            });
        }
    }
    let mut reads = Reads::new(db, order, backwards).map_err(error::reading)?;
    let mut heap = BinaryHeap::new();
    for (n, lane) in lanes.iter_mut().enumerate() {
        if lane.in_line {
            lane.last = Some((
                0,
                lane.bounds.start(db, lane.conversation, backwards, guess)?,
            ));
        }
        heap.extend(
            lane.head(&mut reads)?
                .map(|key| Turn::new(key, n, backwards)),
        );
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
            lane.head(&mut reads)?
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
    fn head(&mut self, reads: &mut Reads<'_>) -> StoreResult<Option<(i64, u64)>> {
        if self.waiting.is_empty() && !self.ended {
            self.read_on(reads).map_err(error::reading)?;
        }
        Ok(self.waiting.front().map(|row| self.order.key(row)))
    }

    fn read_on(&mut self, reads: &mut Reads<'_>) -> rusqlite::Result<()> {
        // Beside the line, a whole helping can lie outside the bounds.
        while self.waiting.is_empty() && !self.ended {
            let conversation = self.conversation as i64;
            let (key, seq) = self
                .last
                .unwrap_or_else(|| self.bounds.start_in_order(self.backwards));
            let seq = seq.min(i64::MAX as u64) as i64;
            let n = most(self.helping);
            let mut rows = match (self.in_line, self.order) {
                (true, _) => reads.in_line.query(params![conversation, seq, n]),
                (false, Order::Place) => {
                    let place = crate::record::pos_bytes(key);
                    reads.beside.query(params![conversation, place, seq, n])
                }
                (false, Order::Time) => reads.beside.query(params![conversation, key, seq, n]),
            }?;
            let mut read = 0;
            while let Some(row) = rows.next()? {
                let row = Row::read(row)?;
                read += 1;
                self.last = Some(self.order.key(&row));
                if self.bounds.holds(&row) {
                    self.waiting.push_back(row);
                } else if self.in_line || self.bounds.is_past_in_order(&row, self.backwards) {
                    // In line the reading began inside, and each bound is crossed once.
                    self.ended = true;
                    break;
                }
            }
            if read < self.helping {
                self.ended = true;
            }
            self.helping = (self.helping * 4).min(HELPING);
        }
        Ok(())
    }
}

/// The statements that read helpings, for both kinds of lanes.
struct Reads<'a> {
    in_line: CachedStatement<'a>,
    beside: CachedStatement<'a>,
}

impl<'a> Reads<'a> {
    fn new(db: &'a Connection, order: Order, backwards: bool) -> rusqlite::Result<Self> {
        let (cmp, direction) = if backwards {
            ("<", "DESC")
        } else {
            (">", "ASC")
        };
        let (index, column) = match order {
            Order::Place => ("log_place", "pos"),
            Order::Time => ("log_time", "at"),
        };
        Ok(Self {
            in_line: db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM log WHERE conversation = ?1 AND lane = 2 AND seq {cmp} ?2
                 ORDER BY seq {direction} LIMIT ?3"
            ))?,
            beside: db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM log INDEXED BY {index} WHERE conversation = ?1 AND lane = 3
                 AND {column} {cmp}= ?2 AND ({column} {cmp} ?2 OR seq {cmp} ?3)
                 ORDER BY {column} {direction}, seq {direction} LIMIT ?4"
            ))?,
        })
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
