//! Stanzas on their way to another server, in order: while no stream is there they wait, bounded; on a stream they are
//! kept until the peer has acknowledged them, where it does that.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::wire::{Condition, Element, StanzaError};

/// Why something did not reach another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Configuration forbids it.
    Forbidden,
    /// There is no such server.
    NoServer(String),
    /// It can't be reached now.
    Unreachable(String),
    /// It is there, and can't prove to be it, or does not accept that we are we.
    Unproven(String),
    /// The stream broke before the peer said that it has it.
    Lost,
    /// Too much waits already.
    Busy,
    /// It is a component's, which is not connected.
    Away,
}

impl Failure {
    /// What the sender is told (RFC 6120 §8.3.3.16 and .17).
    pub fn error(&self) -> StanzaError {
        let (condition, text) = match self {
            Self::Forbidden => (
                Condition::NotAllowed,
                "This server does not speak with that one.",
            ),
            Self::NoServer(_) => (Condition::RemoteServerNotFound, "There is no such server."),
            Self::Unreachable(_) | Self::Lost => (
                Condition::RemoteServerTimeout,
                "The other server does not answer.",
            ),
            Self::Unproven(_) => (
                Condition::RemoteServerTimeout,
                "The two servers could not prove to each other who they are.",
            ),
            Self::Away => (
                Condition::ServiceUnavailable,
                "This service is not connected now.",
            ),
            Self::Busy => (
                Condition::ResourceConstraint,
                "Too much waits for the other server.",
            ),
        };
        StanzaError::new(condition).with_text(text)
    }

    /// For people on other protocols and for the log.
    pub fn words(&self) -> String {
        match self {
            Self::Forbidden => "this server does not speak with that one".into(),
            Self::NoServer(why) | Self::Unreachable(why) | Self::Unproven(why) => why.clone(),
            Self::Away => "this service is not connected".into(),
            Self::Lost => "the connection broke".into(),
            Self::Busy => "too much waits for that server".into(),
        }
    }

    /// Whether waiting can't help.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Forbidden | Self::NoServer(_))
    }
}

/// One stanza on its way.
#[derive(Debug)]
pub struct Item {
    /// As it stands on a stream between servers.
    pub bytes: Bytes,
    /// Who waits for the peer to have it.
    pub done: Option<oneshot::Sender<Result<(), Failure>>>,
    /// The envelope, for an error to its sender.
    pub shell: Option<Box<Element>>,
}

/// What goes out on one stream.
#[derive(Debug, Default)]
pub struct Pipe {
    queue: Mutex<Queue>,
    /// Rings when there is something, or nothing more will come.
    pub bell: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    closed: bool,
}

impl Pipe {
    /// Adds an item; gives it back where the stream has ended (`false`) or too much waits (`true`).
    pub fn push(&self, item: Item, most_bytes: usize) -> Result<(), (Item, bool)> {
        {
            let mut queue = self.queue.lock();
            if queue.closed {
                return Err((item, false));
            }
            // What somebody waits for is bounded by who waits.
            if item.done.is_none() && queue.bytes > most_bytes {
                return Err((item, true));
            }
            queue.bytes += item.bytes.len();
            queue.items.push_back(item);
        }
        self.bell.notify_one();
        Ok(())
    }

    /// The next item.
    pub fn pop(&self) -> Option<Item> {
        let mut queue = self.queue.lock();
        let item = queue.items.pop_front()?;
        queue.bytes -= item.bytes.len();
        Some(item)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.lock().items.is_empty()
    }

    /// Nothing more is taken; returns what waits.
    pub fn close(&self) -> VecDeque<Item> {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.bytes = 0;
        let items = std::mem::take(&mut queue.items);
        drop(queue);
        self.bell.notify_one();
        items
    }

    /// Nothing more is taken, unless something waits; false then.
    pub fn close_if_empty(&self) -> bool {
        let mut queue = self.queue.lock();
        if queue.items.is_empty() {
            queue.closed = true;
        }
        queue.closed
    }
}

/// XEP-0198 towards the peer: what was sent and not acknowledged.
#[derive(Debug, Default)]
pub struct Unacked {
    acked: u32,
    items: VecDeque<Item>,
    asked: bool,
}

/// The peer acknowledged more than it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooHigh;

impl Unacked {
    /// A stanza was sent.
    pub fn sent(&mut self, item: Item) {
        self.items.push_back(item);
    }

    /// Whether the peer should be asked now.
    pub fn asks(&mut self) -> bool {
        !self.items.is_empty() && !std::mem::replace(&mut self.asked, true)
    }

    /// The question did not go out: it is due again.
    pub fn not_asked(&mut self) {
        self.asked = false;
    }

    /// What an acknowledgement of everything sent so far would say.
    pub fn all(&self) -> u32 {
        let waiting = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        self.acked.wrapping_add(waiting)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.items.len()
    }

    /// The peer has everything up to `h`.
    pub fn acked(&mut self, h: u32) -> Result<(), TooHigh> {
        self.asked = false;
        let n = h.wrapping_sub(self.acked);
        // Older than what it said before: nothing new.
        if n > u32::MAX / 2 {
            return Ok(());
        }
        if n as usize > self.items.len() {
            return Err(TooHigh);
        }
        self.acked = h;
        for item in self.items.drain(..n as usize) {
            if let Some(done) = item.done {
                let _ = done.send(Ok(()));
            }
        }
        Ok(())
    }

    /// The stream is gone: what nobody knows the fate of.
    pub fn lost(self) -> VecDeque<Item> {
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &'static str) -> (Item, oneshot::Receiver<Result<(), Failure>>) {
        let (done, fate) = oneshot::channel();
        let item = Item {
            bytes: Bytes::from_static(text.as_bytes()),
            done: Some(done),
            shell: None,
        };
        (item, fate)
    }

    #[test]
    fn the_peer_has_what_it_acknowledged_and_nothing_else() {
        let mut unacked = Unacked::default();
        let (one, mut first) = item("<a/>");
        let (two, mut second) = item("<b/>");
        unacked.sent(one);
        assert!(unacked.asks() && !unacked.asks(), "one question at a time");
        unacked.not_asked();
        assert!(unacked.asks() && !unacked.asks(), "until one went out");
        unacked.sent(two);
        assert_eq!(unacked.acked(1), Ok(()));
        assert_eq!((first.try_recv(), unacked.waiting()), (Ok(Ok(())), 1));
        assert!(second.try_recv().is_err());
        assert_eq!(unacked.acked(0), Ok(()), "an old count");
        assert_eq!(unacked.acked(3), Err(TooHigh));
        assert_eq!(unacked.lost().len(), 1);
    }

    #[test]
    fn a_closed_pipe_gives_back_what_it_is_given() {
        let pipe = Pipe::default();
        let plain = || Item {
            done: None,
            ..item("<presence/>").0
        };
        assert!(pipe.push(plain(), 5).is_ok());
        assert!(matches!(pipe.push(plain(), 5), Err((_, true))), "too much");
        assert!(pipe.push(item("<m/>").0, 5).is_ok(), "who waits is let in");
        assert!(!pipe.close_if_empty());
        assert_eq!(pipe.close().len(), 2);
        assert!(matches!(pipe.push(plain(), 5), Err((_, false))));
    }
}
