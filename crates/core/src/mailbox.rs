//! A session's queue: three lanes in one order, each with its own bound, so a slow reader costs bounded memory.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::event::Content;
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

/// Most messages that a patient reader lets gather.
const GATHERED: usize = 64;

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
    /// The reader, while it waits.
    reader: Option<Waker>,
    /// It is not woken for what is said in rooms ([`Mailbox::poll_patiently`]).
    patient: bool,
    /// How much of what waits was said in rooms.
    said: usize,
}

/// A session's queue. Many push, one reads. A reader that waits is woken once for all that is pushed until it looks.
#[derive(Default)]
pub struct Mailbox {
    queue: Mutex<Queue>,
}

impl Delivery {
    /// Whether it is what a person says in a room.
    pub fn is_said(&self) -> bool {
        matches!(self, Delivery::Event(announced) if is_said(announced))
    }
}

/// What a person says in a room.
fn is_said(announced: &Announced) -> bool {
    matches!(announced.event.content, Content::Message(_)) && announced.convo.is_room()
}

/// Wakes a reader; call it without the lock.
fn wake(reader: Option<Waker>) {
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl Mailbox {
    /// Adds a delivery without a bound: for answers and the end, of which a session causes few.
    pub(crate) fn push(&self, delivery: Delivery) {
        let mut queue = self.queue.lock();
        if let Delivery::Closed(why) = &delivery {
            queue.closed.get_or_insert(*why);
        }
        queue.items.push_back(delivery);
        let reader = queue.reader.take();
        drop(queue);
        wake(reader);
    }

    pub(crate) fn event(&self, announced: &Arc<Announced>) {
        let reader = {
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
                queue.said += usize::from(is_said(announced));
                queue.items.push_back(Delivery::Event(announced.clone()));
            }
            if queue.may_wait() {
                return;
            }
            queue.reader.take()
        };
        wake(reader);
    }

    pub(crate) fn state(&self, change: &Arc<StateChange>) {
        let reader = {
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
            queue.reader.take()
        };
        wake(reader);
    }

    pub(crate) fn signal(&self, signal: &Arc<Signal>) -> bool {
        let reader = {
            let mut queue = self.queue.lock();
            if queue.signals >= SIGNALS {
                return false;
            }
            queue.signals += 1;
            queue.items.push_back(Delivery::Signal(signal.clone()));
            queue.reader.take()
        };
        wake(reader);
        true
    }

    /// Waits until something is there, then moves up to `most` deliveries into `into`.
    pub async fn receive(&self, into: &mut Vec<Delivery>, most: usize) {
        poll_fn(|cx| self.poll_receive(cx, into, most)).await;
    }

    /// [`receive`](Self::receive) for loops that poll by hand.
    pub fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        into: &mut Vec<Delivery>,
        most: usize,
    ) -> Poll<()> {
        let mut queue = self.queue.lock();
        queue.patient = false;
        if queue.take(into, most) > 0 {
            return Poll::Ready(());
        }
        queue.waits(cx.waker());
        Poll::Pending
    }

    /// Like [`poll_receive`](Self::poll_receive), but neither ready nor woken while all that waits is a few messages said
    /// in rooms. For a reader that has just shown some and lets the next ones gather; it has a timer of its own.
    pub fn poll_patiently(
        &self,
        cx: &mut Context<'_>,
        into: &mut Vec<Delivery>,
        most: usize,
    ) -> Poll<()> {
        let mut queue = self.queue.lock();
        queue.patient = true;
        if !queue.may_wait() && queue.take(into, most) > 0 {
            return Poll::Ready(());
        }
        queue.waits(cx.waker());
        Poll::Pending
    }

    /// Waits until the node ends the session, and takes nothing: for sessions that nobody reads just now.
    pub async fn closed(&self) -> CloseReason {
        poll_fn(|cx| {
            let mut queue = self.queue.lock();
            if let Some(why) = queue.closed {
                return Poll::Ready(why);
            }
            queue.waits(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Moves what is there now, up to `most` deliveries; returns how many.
    pub fn take(&self, into: &mut Vec<Delivery>, most: usize) -> usize {
        self.queue.lock().take(into, most)
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
    fn take(&mut self, into: &mut Vec<Delivery>, most: usize) -> usize {
        let n = self.items.len().min(most);
        for item in self.items.drain(..n) {
            into.push(match item {
                Delivery::Lagged { after, .. } => {
                    self.lagging = false;
                    Delivery::Lagged {
                        after,
                        upto: self.lag_upto,
                    }
                }
                other => {
                    match &other {
                        Delivery::Event(announced) => {
                            self.events -= 1;
                            self.said -= usize::from(is_said(announced));
                        }
                        Delivery::State(_) => self.states -= 1,
                        Delivery::Signal(_) => self.signals -= 1,
                        Delivery::StateLost => self.state_lost = false,
                        _ => {}
                    }
                    other
                }
            });
        }
        n
    }

    /// Whether the reader wants to wait for more.
    fn may_wait(&self) -> bool {
        self.patient && self.items.len() == self.said && self.said < GATHERED
    }

    /// Remembers whom to wake.
    fn waits(&mut self, reader: &Waker) {
        match &mut self.reader {
            Some(known) => known.clone_from(reader),
            none => *none = Some(reader.clone()),
        }
    }

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
        self.said = 0;
        self.lagging = true;
        self.lag_upto = seq;
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox({})", self.len())
    }
}
