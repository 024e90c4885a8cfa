//! Tombstones of documents stand for thirty days; whoever was away for longer reads anew what they belonged to.

use serde::{Deserialize, Serialize};

use crate::document::Owner;
use crate::ids::{Seq, Timestamp};
use crate::node::Node;
use crate::refusal::Outcome;
use crate::store::Write;
use crate::tx::{Expect, decode, encode};

const DAY_MS: i64 = 86_400_000;
/// How long a tombstone stands at least.
const STANDS_MS: i64 = 30 * DAY_MS;
const NAMESPACE: &str = "upkeep";
const KEY: &str = "days";
const STEP: usize = 256;

/// Where the log stood when. Versions carry no time of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    at: Timestamp,
    seq: Seq,
}

/// Adds a day where one has passed, and says up to where tombstones are old enough. Days of a clock that ran ahead, and
/// was set right, are dropped.
fn turn(days: &mut Vec<Day>, now: Timestamp, seq: Seq) -> (bool, Option<Seq>) {
    let before = days.len();
    days.retain(|day| day.at <= now);
    let mut changed = days.len() != before;
    if days.last().is_none_or(|day| now.0 - day.at.0 >= DAY_MS) {
        days.push(Day { at: now, seq });
        changed = true;
    }
    let old = days.iter().rposition(|day| now.0 - day.at.0 >= STANDS_MS);
    // The youngest of those that are old enough is the only one of them that is needed.
    if let Some(old) = old.filter(|old| *old > 0) {
        days.drain(..old);
        changed = true;
    }
    (changed, old.and_then(|_| days.first().map(|day| day.seq)))
}

impl Node {
    /// Forgets tombstones of documents that have stood for thirty days; returns how many went. Safe to run any time.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn forget_tombstones(&self) -> Outcome<usize> {
        let now = self.now();
        let upto = self
            .write(move |tx| {
                let days = tx.document(&Owner::Node, NAMESPACE, KEY)?;
                let days = days.and_then(|d| d.value);
                let mut days: Vec<Day> = days.and_then(|v| decode(&v)).unwrap_or_default();
                let (changed, upto) = turn(&mut days, now, tx.last_seq());
                if changed {
                    let days = encode(&days)?;
                    tx.put_document(&Owner::Node, NAMESPACE, KEY, Expect::Anything, Some(days))?;
                }
                Ok(upto)
            })
            .await?;
        let Some(upto) = upto else { return Ok(0) };
        let mut total = 0;
        loop {
            let old = self
                .read(move |node| Ok(node.store().tombstones(upto, STEP)?))
                .await?;
            if old.is_empty() {
                return Ok(total);
            }
            total += old.len();
            self.write(move |tx| {
                for tombstone in old {
                    tx.write(Write::ForgetTombstone(tombstone));
                }
                Ok(())
            })
            .await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_pass_and_the_old_ones_go() {
        let mut days = Vec::new();
        let mut at = |day: i64, seq| turn(&mut days, Timestamp(day * DAY_MS), Seq(seq));
        assert_eq!(at(0, 1), (true, None));
        assert_eq!(at(0, 2), (false, None));
        for day in 1..30 {
            assert_eq!(at(day, 10 + day as u64), (true, None));
        }
        assert_eq!(at(30, 40), (true, Some(Seq(1))));
        assert_eq!(at(30, 41), (false, Some(Seq(1))));
        assert_eq!(at(31, 42), (true, Some(Seq(11))));
        assert_eq!(at(90, 43), (true, Some(Seq(42))));
        assert_eq!(days.len(), 2);
    }

    #[test]
    fn a_clock_that_ran_ahead_costs_only_what_it_forgot() {
        let mut days = Vec::new();
        let mut at = |day: i64, seq| turn(&mut days, Timestamp(day * DAY_MS), Seq(seq)).1;
        assert_eq!(at(0, 1), None);
        assert_eq!(at(5_000, 2), Some(Seq(1)));
        assert_eq!(at(1, 3), None);
        assert_eq!(at(31, 4), Some(Seq(3)));
    }
}
