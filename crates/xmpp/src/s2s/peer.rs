//! One pair of domains, ours and theirs: the stream between them, or what waits for one.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::pipe::{Failure, Item, Pipe};
use super::{Federation, flow};
use crate::wire::Str;

/// A pair of domains.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Ours.
    pub local: Str,
    /// Theirs.
    pub remote: Str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    line: Line,
    waiting: VecDeque<Item>,
    bytes: usize,
    /// Tries that failed one after the other.
    failures: u32,
    /// Whether it answers questions about what it has; unknown before the first.
    answers: Option<bool>,
}

#[derive(Debug, Default)]
enum Line {
    /// There is no stream.
    #[default]
    Idle,
    /// One is being opened.
    Opening,
    /// There is one.
    Up(Arc<Pipe>),
    /// The last try failed; not before this time.
    Down(Instant, Failure),
}

impl Peer {
    pub fn new(local: Str, remote: Str) -> Self {
        Self {
            local,
            remote,
            state: Mutex::default(),
        }
    }

    /// Sends, or lets it wait for a stream that is opened then.
    pub fn send(self: &Arc<Self>, federation: &Arc<Federation>, item: Item) {
        let most = federation.config.get().waiting_bytes;
        let mut state = self.state.lock();
        let item = match &state.line {
            Line::Up(pipe) => match pipe.push(item, most) {
                Ok(()) => return,
                Err((item, true)) => {
                    drop(state);
                    return federation.fail(item, &Failure::Busy);
                }
                Err((item, false)) => {
                    state.line = Line::Idle;
                    item
                }
            },
            Line::Down(until, why) if Instant::now() < *until => {
                let why = why.clone();
                drop(state);
                return federation.fail(item, &why);
            }
            Line::Down(..) => {
                state.line = Line::Idle;
                item
            }
            Line::Idle => item,
            Line::Opening => {
                if state.bytes > most && item.done.is_none() {
                    drop(state);
                    return federation.fail(item, &Failure::Busy);
                }
                item
            }
        };
        state.bytes += item.bytes.len();
        state.waiting.push_back(item);
        if matches!(state.line, Line::Idle) {
            state.line = Line::Opening;
            let (peer, federation) = (self.clone(), federation.clone());
            drop(state);
            federation.clone().spawn(flow::open(federation, peer));
        }
    }

    /// A stream is there: what waited goes first. False where another one was faster.
    pub fn up(&self, pipe: &Arc<Pipe>) -> bool {
        let mut state = self.state.lock();
        if let Line::Up(_) = &state.line {
            return false;
        }
        for item in std::mem::take(&mut state.waiting) {
            // A fresh pipe takes everything.
            let _ = pipe.push(item, usize::MAX);
        }
        state.bytes = 0;
        state.failures = 0;
        state.line = Line::Up(pipe.clone());
        true
    }

    /// The stream ended; whoever sends next opens another one.
    pub fn ended(&self, pipe: &Arc<Pipe>) {
        let mut state = self.state.lock();
        if matches!(&state.line, Line::Up(known) if Arc::ptr_eq(known, pipe)) {
            state.line = Line::Idle;
        }
    }

    /// No stream came about.
    pub fn failed(&self, federation: &Arc<Federation>, why: Failure) {
        let (first, longest) = federation.config.get().pause;
        let waiting = {
            let mut state = self.state.lock();
            // The peer may have opened one meanwhile that goes both ways.
            if !matches!(state.line, Line::Opening) {
                return;
            }
            let pause = first
                .saturating_mul(1 << state.failures.min(16))
                .min(longest);
            state.failures += 1;
            state.line = Line::Down(Instant::now() + pause, why.clone());
            state.bytes = 0;
            std::mem::take(&mut state.waiting)
        };
        for item in waiting {
            federation.fail(item, &why);
        }
    }

    /// When the next try may be, in milliseconds from now.
    pub fn pause_ms(&self) -> i64 {
        match &self.state.lock().line {
            Line::Down(until, _) => {
                let left = until.saturating_duration_since(Instant::now());
                i64::try_from(left.as_millis()).unwrap_or(i64::MAX)
            }
            _ => 0,
        }
    }

    /// Whether the peer answered the last question that told (see [`barrier`](super::barrier)).
    pub fn answers(&self) -> Option<bool> {
        self.state.lock().answers
    }

    /// It answered a question, or let the first one go by.
    pub fn answered(&self, answers: bool) {
        self.state.lock().answers = Some(answers);
    }

    /// The other side lives: the next try may be at once.
    pub fn revive(&self) {
        let mut state = self.state.lock();
        if let Line::Down(..) = state.line {
            state.line = Line::Idle;
        }
    }

    /// Whether nothing would be lost with it.
    pub fn is_idle(&self, now: Instant) -> bool {
        let state = self.state.lock();
        match &state.line {
            Line::Idle => true,
            Line::Down(until, _) => *until < now,
            _ => false,
        }
    }
}
