//! A session's queue: three lanes in one order, each with its own bound, so a slow reader costs bounded memory.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::ids::Seq;
use crate::live::{Announced, Signal, StateChange};
use crate::refusal::Refusal;
use crate::sent::Sent;

/// Most events that wait before a session; then it reads the log from its cursor.
pub const EVENTS: usize = 1024;
/// Most state changes that wait; then the session reads the state anew.
pub const STATES: usize = 4096;
/// Most one-shots that wait; then their senders get an error.
pub const SIGNALS: usize = 256;

/// What reaches a session.
pub enum Delivery {
    /// Events lane: a committed event.
    Event(Arc<Announced>),
    /// Events lane: the queue overflowed. Read what lies behind `after` up to and with `upto` from the log.
    Lagged {
        /// Everything up to here was delivered.
        after: Seq,
        /// What follows in the queue lies behind this.
        upto: Seq,
    },
    /// State lane.
    State(Arc<StateChange>),
    /// State lane: it overflowed. Read presence, occupants and lists anew.
    StateLost,
    /// One-shots lane.
    Signal(Arc<Signal>),
    /// What became of something this session submitted, in the order it submitted.
    Done {
        /// The number that the session gave it.
        ticket: u64,
        /// What became of it.
        result: Result<Sent, Refusal>,
    },
    /// The session ends.
    Closed(CloseReason),
}

/// Why the node ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Another session took its label.
    Replaced,
    /// Signed out from elsewhere, password changed, or account disabled.
    SignedOut,
    /// An operator ended it (IRC KILL).
    Killed,
    /// The node shuts down.
    Shutdown,
    /// The node's store failed.
    Failed,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Delivery>,
    events: usize,
    states: usize,
    signals: usize,
    /// Whether a `Lagged` waits in the queue.
    lagging: bool,
    /// Up to where the log holds what the queue dropped.
    lag_upto: Seq,
    state_lost: bool,
    /// A `Closed` waits (or was taken).
    closed: Option<CloseReason>,
}

/// A session's queue. Many push, one reads.
#[derive(Default)]
pub struct Mailbox {
    queue: Mutex<Queue>,
    bell: Notify,
}

impl Mailbox {
    /// Adds a delivery without a bound: for answers and the end, of which a session causes few.
    pub(crate) fn push(&self, delivery: Delivery) {
        let mut queue = self.queue.lock();
        if let Delivery::Closed(why) = &delivery {
            queue.closed.get_or_insert(*why);
        }
        queue.items.push_back(delivery);
        drop(queue);
        self.bell.notify_one();
    }

    pub(crate) fn event(&self, announced: &Arc<Announced>) {
        {
            let mut queue = self.queue.lock();
            let seq = announced.event.seq;
            if queue.lagging {
                // The session has not begun to catch up: the log has this one too.
                queue.lag_upto = seq;
                return;
            }
            if queue.events >= EVENTS {
                queue.overflow(seq);
            } else {
                queue.events += 1;
                queue.items.push_back(Delivery::Event(announced.clone()));
            }
        }
        self.bell.notify_one();
    }

    pub(crate) fn state(&self, change: &Arc<StateChange>) {
        {
            let mut queue = self.queue.lock();
            if queue.state_lost {
                return;
            }
            if queue.states >= STATES {
                queue.items.retain(|d| !matches!(d, Delivery::State(_)));
                queue.states = 0;
                queue.state_lost = true;
                queue.items.push_back(Delivery::StateLost);
            } else {
                queue.states += 1;
                queue.items.push_back(Delivery::State(change.clone()));
            }
        }
        self.bell.notify_one();
    }

    pub(crate) fn signal(&self, signal: &Arc<Signal>) -> bool {
        {
            let mut queue = self.queue.lock();
            if queue.signals >= SIGNALS {
                return false;
            }
            queue.signals += 1;
            queue.items.push_back(Delivery::Signal(signal.clone()));
        }
        self.bell.notify_one();
        true
    }

    /// Waits until something is there, then moves up to `most` deliveries into `into`.
    pub async fn receive(&self, into: &mut Vec<Delivery>, most: usize) {
        loop {
            let notified = self.bell.notified();
            if self.take(into, most) > 0 {
                return;
            }
            notified.await;
        }
    }

    /// Waits until the node ends the session, and takes nothing: for sessions that nobody reads just now.
    pub async fn closed(&self) -> CloseReason {
        loop {
            let notified = self.bell.notified();
            let closed = self.queue.lock().closed;
            if let Some(why) = closed {
                return why;
            }
            notified.await;
        }
    }

    /// Moves what is there now, up to `most` deliveries; returns how many.
    pub fn take(&self, into: &mut Vec<Delivery>, most: usize) -> usize {
        let mut queue = self.queue.lock();
        let n = queue.items.len().min(most);
        for _ in 0..n {
            let Some(item) = queue.items.pop_front() else {
                break;
            };
            match item {
                Delivery::Event(_) => queue.events -= 1,
                Delivery::State(_) => queue.states -= 1,
                Delivery::Signal(_) => queue.signals -= 1,
                Delivery::Lagged { after, .. } => {
                    queue.lagging = false;
                    into.push(Delivery::Lagged {
                        after,
                        upto: queue.lag_upto,
                    });
                    continue;
                }
                Delivery::StateLost => queue.state_lost = false,
                Delivery::Done { .. } | Delivery::Closed(_) => {}
            }
            into.push(item);
        }
        if !queue.items.is_empty() {
            self.bell.notify_one();
        }
        n
    }

    /// How many deliveries wait.
    pub fn len(&self) -> usize {
        self.queue.lock().items.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Queue {
    /// Replaces all waiting events by one `Lagged` at the place of the first.
    fn overflow(&mut self, seq: Seq) {
        let mut first = None;
        let mut kept = VecDeque::with_capacity(self.items.len());
        for item in self.items.drain(..) {
            match item {
                Delivery::Event(announced) if first.is_none() => {
                    let after = Seq(announced.event.seq.0.saturating_sub(1));
                    first = Some(after);
                    kept.push_back(Delivery::Lagged { after, upto: seq });
                }
                Delivery::Event(_) => {}
                other => kept.push_back(other),
            }
        }
        self.items = kept;
        self.events = 0;
        self.lagging = true;
        self.lag_upto = seq;
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox({})", self.len())
    }
}
