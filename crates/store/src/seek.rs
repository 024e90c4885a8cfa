//! The bounds of a reading, and where in a conversation's line they lie.

use rusqlite::{Connection, OptionalExtension as _, params};
use sammen_core::member::Interval;
use sammen_core::store::{HistoryQuery, StoreResult};

use crate::error;
use crate::log::Row;

/// By what a reading is ordered, seq deciding among equals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// One conversation: by place.
    Place,
    /// Several: by time.
    Time,
}

impl Order {
    /// A row's key in this order.
    pub fn key(self, row: &Row) -> (i64, u64) {
        match self {
            Order::Place => (row.pos, row.seq),
            Order::Time => (row.at, row.seq),
        }
    }
}

/// Where an event lies.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// Place.
    pub pos: i64,
    /// Time.
    pub at: i64,
    /// Seq.
    pub seq: u64,
}

impl From<&Row> for Spot {
    fn from(row: &Row) -> Self {
        Self {
            pos: row.pos,
            at: row.at,
            seq: row.seq,
        }
    }
}

/// The bounds of a query within one conversation.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    order: Order,
    after: Option<(i64, u64)>,
    before: Option<(i64, u64)>,
    from: i64,
    until: i64,
    first_pos: i64,
    /// The first place behind; `None` without an end.
    end_pos: Option<i64>,
    /// Seqs of the anchors: good guesses for where they lie.
    anchors: (Option<u64>, Option<u64>),
}

impl Bounds {
    /// `None` where nothing can lie inside.
    pub fn new(order: Order, query: &HistoryQuery, intervals: &[Interval]) -> Option<Self> {
        let key = |a: &sammen_core::store::Anchor| match order {
            Order::Place => (a.pos.0, a.seq.0),
            Order::Time => (a.at.0, a.seq.0),
        };
        let first_pos = intervals.iter().map(|i| i.from.0).min()?;
        let end_pos = if intervals.iter().any(|i| i.to.is_none()) {
            None
        } else {
            intervals.iter().filter_map(|i| i.to).map(|p| p.0).max()
        };
        Some(Self {
            order,
            after: query.after.as_ref().map(key),
            before: query.before.as_ref().map(key),
            from: query.from.map_or(i64::MIN, |t| t.0),
            until: query.until.map_or(i64::MAX, |t| t.0),
            first_pos,
            end_pos,
            anchors: (query.after.map(|a| a.seq.0), query.before.map(|a| a.seq.0)),
        })
    }

    fn key(&self, spot: Spot) -> (i64, u64) {
        match self.order {
            Order::Place => (spot.pos, spot.seq),
            Order::Time => (spot.at, spot.seq),
        }
    }

    fn before(&self, spot: Spot) -> bool {
        self.after.is_some_and(|a| self.key(spot) <= a)
            || spot.at < self.from
            || spot.pos < self.first_pos
    }

    fn behind(&self, spot: Spot) -> bool {
        self.before.is_some_and(|b| self.key(spot) >= b)
            || spot.at > self.until
            || self.end_pos.is_some_and(|end| spot.pos >= end)
    }

    /// Whether the row lies inside.
    pub fn holds(&self, row: &Row) -> bool {
        let spot = row.into();
        !self.before(spot) && !self.behind(spot)
    }

    /// Whether, in the order of the reading, nothing further can lie inside.
    pub fn is_past_in_order(&self, row: &Row, backwards: bool) -> bool {
        let key = self.order.key(row);
        if backwards {
            self.after.is_some_and(|a| key <= a)
                || match self.order {
                    Order::Place => row.pos < self.first_pos,
                    Order::Time => row.at < self.from,
                }
        } else {
            self.before.is_some_and(|b| key >= b)
                || match self.order {
                    Order::Place => self.end_pos.is_some_and(|end| row.pos >= end),
                    Order::Time => row.at > self.until,
                }
        }
    }

    /// The key (exclusive) from which a reading beside the line starts.
    pub fn start_in_order(&self, backwards: bool) -> (i64, u64) {
        if backwards {
            let edge = match self.order {
                Order::Place => (self.end_pos.unwrap_or(i64::MAX), u64::MAX),
                Order::Time => (self.until, u64::MAX),
            };
            self.before.map_or(edge, |b| b.min(edge))
        } else {
            let edge = match self.order {
                Order::Place => (self.first_pos, 0),
                Order::Time => (self.from, 0),
            };
            self.after.map_or(edge, |a| a.max(edge))
        }
    }

    /// The seq (exclusive) from which a reading in line starts.
    pub fn start(
        &self,
        db: &Connection,
        conversation: u64,
        backwards: bool,
        time_guess: Option<u64>,
    ) -> StoreResult<u64> {
        let mut line = Line { db, conversation };
        if backwards {
            let unbounded =
                self.before.is_none() && self.until == i64::MAX && self.end_pos.is_none();
            if unbounded {
                return Ok(END);
            }
            let guess = [self.anchors.1, time_guess].into_iter().flatten().min();
            line.first(guess, |spot| self.behind(spot))
                .map_err(error::reading)
        } else {
            let unbounded =
                self.after.is_none() && self.from == i64::MIN && self.first_pos == i64::MIN;
            if unbounded {
                return Ok(0);
            }
            let guess = [self.anchors.0.map(|s| s.saturating_add(1)), time_guess]
                .into_iter()
                .flatten()
                .max();
            let first = line
                .first(guess, |spot| !self.before(spot))
                .map_err(error::reading)?;
            Ok(first.saturating_sub(1))
        }
    }
}

/// A conversation's events in line.
struct Line<'a> {
    db: &'a Connection,
    conversation: u64,
}

/// Greater than every seq.
const END: u64 = u64::MAX >> 1;

impl Line<'_> {
    fn spot(&mut self, seq: u64, backwards: bool) -> rusqlite::Result<Option<Spot>> {
        let sql = if backwards {
            "SELECT pos, at, seq FROM log WHERE conversation = ?1 AND lane = 2 AND seq < ?2 ORDER BY seq DESC LIMIT 1"
        } else {
            "SELECT pos, at, seq FROM log WHERE conversation = ?1 AND lane = 2 AND seq >= ?2 ORDER BY seq LIMIT 1"
        };
        self.db
            .prepare_cached(sql)?
            .query_row(
                params![self.conversation as i64, seq.min(END) as i64],
                |row| {
                    let pos: [u8; 8] = row.get(0)?;
                    Ok(Spot {
                        pos: (u64::from_be_bytes(pos) ^ (1 << 63)) as i64,
                        at: row.get(1)?,
                        seq: row.get::<_, i64>(2)? as u64,
                    })
                },
            )
            .optional()
    }

    /// The smallest seq of an event in line that fulfils `holds`, which stays true once it is; a seq behind all events
    /// where none does. Looks around the guess first, then doubles its steps, then halves.
    fn first(&mut self, guess: Option<u64>, holds: impl Fn(Spot) -> bool) -> rusqlite::Result<u64> {
        let guess = guess.unwrap_or(END).min(END);
        let mut step = 64_u64;
        match self.spot(guess, true)? {
            Some(before) if holds(before) => {
                // It lies further back.
                let mut high = before.seq;
                loop {
                    match self.spot(high.saturating_sub(step), true)? {
                        None => return self.halve(0, high, holds),
                        Some(spot) if holds(spot) => {
                            high = spot.seq;
                            step = step.saturating_mul(8);
                        }
                        Some(spot) => return self.halve(spot.seq + 1, high, holds),
                    }
                }
            }
            _ => {
                // Nothing before the guess: with a good one it is the very next event.
                let mut low = guess;
                loop {
                    match self.spot(low, false)? {
                        None => return Ok(END),
                        Some(spot) if holds(spot) => return Ok(spot.seq),
                        Some(spot) => low = spot.seq + 1,
                    }
                    match self.spot(low.saturating_add(step), false)? {
                        Some(far) if !holds(far) => {
                            low = far.seq + 1;
                            step = step.saturating_mul(8);
                        }
                        Some(far) => return self.halve(low, far.seq, holds),
                        None => return self.halve(low, END, holds),
                    }
                }
            }
        }
    }

    /// Every event before `low` does not hold; the first one from `high` on holds or isn't there.
    fn halve(
        &mut self,
        mut low: u64,
        mut high: u64,
        holds: impl Fn(Spot) -> bool,
    ) -> rusqlite::Result<u64> {
        if high == END {
            // From the last event on there is nothing to halve.
            match self.spot(END, true)? {
                Some(last) if holds(last) => high = last.seq,
                _ => return Ok(END),
            }
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.spot(middle, false)? {
                Some(spot) if spot.seq < high && !holds(spot) => low = spot.seq + 1,
                _ => high = middle,
            }
        }
        Ok(high)
    }
}

/// About the seq at which the log reached the time that bounds the reading where it starts: the log as a whole nearly
/// follows time. `None` where time doesn't bound it.
pub fn time_guess(
    db: &Connection,
    query: &HistoryQuery,
    backwards: bool,
) -> StoreResult<Option<u64>> {
    let Some(time) = (if backwards { query.until } else { query.from }) else {
        return Ok(None);
    };
    let search = || -> rusqlite::Result<u64> {
        let last: Option<i64> = db
            .prepare_cached("SELECT max(seq) FROM log")?
            .query_row([], |row| row.get(0))?;
        let (mut low, mut high) = (1_i64, last.unwrap_or(0) + 1);
        let mut at =
            db.prepare_cached("SELECT at, seq FROM log WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
        while low < high {
            let middle = low + (high - low) / 2;
            let spot: Option<(i64, i64)> = at
                .query_row(params![middle], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let past = |t: i64| if backwards { t > time.0 } else { t >= time.0 };
            match spot {
                Some((t, seq)) if !past(t) => low = seq + 1,
                _ => high = middle,
            }
        }
        Ok(high as u64)
    };
    search().map(Some).map_err(error::reading)
}
