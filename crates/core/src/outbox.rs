//! The outbox worked off: a queue per destination, each in its order and beside the others, so that a silent server
//! holds up nobody but itself.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::event::{Content, Event};
use crate::ids::Timestamp;
use crate::network::{Delivery, Network, OutboxRow};
use crate::node::Node;
use crate::refusal::Outcome;
use crate::store::Write;

/// Rows read at once.
const ROWS: usize = 64;
/// Destinations worked on at once; the others wait their turn.
const AT_ONCE: usize = 256;
/// Without anything due the outbox is looked at again after this long.
const REST: Duration = Duration::from_secs(60);

/// Destinations for which something came.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<BTreeMap<String, bool>>,
    notify: Notify,
}

impl Bell {
    /// Something came for a destination; with `at_once` also what waits for its next try is due.
    pub fn ring(&self, destination: &str, at_once: bool) {
        let mut rung = self.rung.lock();
        match rung.get_mut(destination) {
            Some(known) => *known |= at_once,
            None => {
                rung.insert(destination.to_owned(), at_once);
            }
        }
        drop(rung);
        self.notify.notify_one();
    }
}

/// What a destination's rows have in common: [`OutboxRow::destination`] of a network's server or person.
pub fn destination(network: &str, at: &str) -> String {
    format!("{network} {at}")
}

impl Node {
    /// A destination shows that it lives: what waits for it is tried at once.
    pub fn retry_outbox(&self, destination: &str) {
        self.shared.outbox.ring(destination, true);
    }

    /// Delivers what is due in the outbox, once over all destinations; returns how many rows left it.
    /// Within a destination order is kept: a row that has to wait holds back those behind it.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn deliver_outbox(&self) -> Outcome<usize> {
        let heads = self.read(|node| Ok(node.store().outbox_heads()?)).await?;
        let mut done = 0;
        for head in heads {
            done += self.work_off(&head.destination, false).await?.0;
        }
        Ok(done)
    }

    /// Works the outbox off until the node is dropped.
    pub(crate) async fn keep_delivering(self) {
        let mut due: BTreeMap<String, Timestamp> = BTreeMap::new();
        let mut urgent = BTreeSet::new();
        let mut working = BTreeSet::new();
        let mut tasks = JoinSet::new();
        match self.read(|node| Ok(node.store().outbox_heads()?)).await {
            Ok(heads) => due.extend(heads.into_iter().map(|h| (h.destination, h.next))),
            Err(error) => tracing::warn!(%error, "the outbox can't be read"),
        }
        loop {
            let bell = self.shared.outbox.notify.notified();
            let now = self.now();
            for (destination, at_once) in std::mem::take(&mut *self.shared.outbox.rung.lock()) {
                if at_once {
                    urgent.insert(destination.clone());
                }
                due.insert(destination, now);
            }
            let ready: Vec<String> = due
                .iter()
                .filter(|(d, at)| **at <= now && !working.contains(*d))
                .map(|(d, _)| d.clone())
                .take(AT_ONCE.saturating_sub(working.len()))
                .collect();
            for destination in ready {
                due.remove(&destination);
                working.insert(destination.clone());
                let at_once = urgent.remove(&destination);
                let node = self.clone();
                tasks.spawn(async move {
                    let worked = node.work_off(&destination, at_once).await;
                    (destination, worked)
                });
            }
            let free = due.iter().filter(|(d, _)| !working.contains(*d));
            let wait = free.map(|(_, at)| at.0.saturating_sub(now.0)).min();
            let wait = wait.map_or(REST, |ms| {
                Duration::from_millis(u64::try_from(ms).unwrap_or(0))
                    .clamp(Duration::from_millis(1), REST)
            });
            tokio::select! {
                () = bell => {}
                () = tokio::time::sleep(wait) => {}
                Some(ended) = tasks.join_next() => {
                    let Ok((destination, worked)) = ended else { continue };
                    working.remove(&destination);
                    let next = match worked {
                        Ok((_, next)) => next,
                        Err(error) => {
                            tracing::warn!(%error, "the outbox could not be worked off");
                            Some(self.now().plus_ms(10_000))
                        }
                    };
                    if let Some(next) = next {
                        // What came meanwhile is due at once anyway.
                        due.entry(destination).or_insert(next);
                    }
                }
            }
        }
    }

    /// Delivers to one destination until nothing is due: how many rows left, and when the next try is.
    async fn work_off(
        &self,
        destination: &str,
        mut at_once: bool,
    ) -> Outcome<(usize, Option<Timestamp>)> {
        let mut done = 0;
        loop {
            let name = destination.to_owned();
            let read = move |node: &Node| {
                let rows = node.store().outbox(Some(&name), ROWS)?;
                let mut found = Vec::with_capacity(rows.len());
                for row in rows {
                    let event = match row.event {
                        Some(seq) => node.store().event(seq)?,
                        None => None,
                    };
                    found.push((row, event));
                }
                Ok(found)
            };
            let mut rows = self.read(read).await?;
            let Some((head, _)) = rows.first() else {
                return Ok((done, None));
            };
            let now = self.now();
            if head.next > now && !at_once {
                return Ok((done, Some(head.next)));
            }
            let networks = self.networks();
            let Some(network) = networks.iter().find(|n| n.name() == head.network).cloned() else {
                return Ok((done, None));
            };
            rows.retain(|(row, _)| at_once || row.next <= now);
            at_once = false;
            rows.truncate(network.window().max(1));
            let outcomes = deliver(&*network, &rows).await;
            let (mut finished, mut next) = (Vec::new(), None);
            for ((row, event), outcome) in rows.into_iter().zip(outcomes) {
                let waits = match &outcome {
                    Delivery::Later(at) => Some(*at),
                    Delivery::WaitForPeer => Some(Timestamp(i64::MAX)),
                    _ => None,
                };
                if waits.is_none() {
                    done += 1;
                } else if next.is_some() {
                    // The first one's next try is the destination's.
                    continue;
                }
                next = next.or(waits);
                finished.push((row, event, outcome));
            }
            self.finish(finished).await?;
            if next.is_some() {
                return Ok((done, next));
            }
        }
    }

    async fn finish(&self, rows: Vec<(OutboxRow, Option<Arc<Event>>, Delivery)>) -> Outcome<()> {
        self.write(move |tx| {
            for (mut row, _, outcome) in rows {
                let seq = row.seq;
                let next = match outcome {
                    Delivery::Done | Delivery::Unknown => {
                        tx.write(Write::OutboxDone(seq));
                        continue;
                    }
                    Delivery::Refused(why) => {
                        tx.write(Write::OutboxDone(seq));
                        crate::ops::home::gave_up(tx, &row, &why, None)?;
                        continue;
                    }
                    Delivery::Bounced { why, native } => {
                        tx.write(Write::OutboxDone(seq));
                        crate::ops::home::gave_up(tx, &row, &why, Some(native))?;
                        continue;
                    }
                    Delivery::Later(next) => next,
                    Delivery::WaitForPeer => Timestamp(i64::MAX),
                };
                row.attempts += 1;
                row.next = next;
                tx.write(Write::Outbox(row));
            }
            Ok(())
        })
        .await
    }
}

type Attempt<'a> = Pin<Box<dyn Future<Output = Delivery> + Send + 'a>>;

/// Begins all in order and waits for all. What was taken back before it left never leaves.
async fn deliver(network: &dyn Network, rows: &[(OutboxRow, Option<Arc<Event>>)]) -> Vec<Delivery> {
    let mut attempts: Vec<Attempt<'_>> = rows
        .iter()
        .map(|(row, event)| -> Attempt<'_> {
            let erased = event
                .as_ref()
                .is_some_and(|e| matches!(e.content, Content::Erased { .. }));
            if erased {
                Box::pin(async { Delivery::Done })
            } else {
                network.deliver(row, event.as_deref())
            }
        })
        .collect();
    let mut outcomes: Vec<Option<Delivery>> = attempts.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut waits = false;
        for (attempt, outcome) in attempts.iter_mut().zip(&mut outcomes) {
            if outcome.is_some() {
                continue;
            }
            match attempt.as_mut().poll(cx) {
                Poll::Ready(done) => *outcome = Some(done),
                Poll::Pending => waits = true,
            }
        }
        if waits {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    outcomes
        .into_iter()
        .map(|o| o.unwrap_or(Delivery::Unknown))
        .collect()
}
