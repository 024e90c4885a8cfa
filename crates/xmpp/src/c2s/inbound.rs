//! What a client sent, in order: a stanza is handled once what it caused is durable (XEP-0198 `h`).

use std::collections::VecDeque;

use crate::s2s::Token;
use crate::wire::Element;

/// A stanza that is not yet counted.
struct Slot {
    /// Waits for this ticket; `None`: done, but an earlier one is not.
    ticket: Option<u64>,
    /// Envelope, for an error.
    shell: Option<Element>,
    /// Dropped with the slot: the stream from another server that brought it counts it then.
    _token: Option<Token>,
}

/// The inbound half of a session.
#[derive(Default)]
pub struct Inbound {
    /// Stanzas handled (since stream management was enabled), modulo 2^32.
    handled: u32,
    /// Whether the count is stored with each message.
    durable: bool,
    next_ticket: u64,
    slots: VecDeque<Slot>,
    /// The stanza in hand has been submitted.
    submitted: bool,
    /// What the stanza in hand is counted by besides.
    token: Option<Token>,
    /// The client asked for `h`; it gets it once this much is handled, and then again.
    due: Option<u32>,
    again: Option<u32>,
}

impl Inbound {
    /// Stream management begins: counting starts at `handled`; `durable` stores the count with messages.
    pub fn enable(&mut self, handled: u32, durable: bool) {
        // What is still on its way came before, so it counts up to `handled`.
        let waiting = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.handled = handled.wrapping_sub(waiting);
        self.durable = durable;
    }

    /// What the client is told.
    pub fn handled(&self) -> u32 {
        self.handled
    }

    /// The client asks what was handled. The answer waits for what is on its way; see [`Inbound::answer`].
    pub fn ask(&mut self) {
        let waiting = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let target = self.handled.wrapping_add(waiting);
        if self.due.is_none() {
            self.due = Some(target);
        } else {
            self.again = Some(target);
        }
    }

    /// The answer, once it is due.
    pub fn answer(&mut self) -> Option<u32> {
        let due = self.due?;
        if due.wrapping_sub(self.handled) != 0 && due.wrapping_sub(self.handled) < u32::MAX / 2 {
            return None;
        }
        self.due = self.again.take();
        if self.due.is_some_and(|d| d == self.handled) {
            self.due = None;
        }
        Some(self.handled)
    }

    /// Stanzas on their way.
    pub fn waiting(&self) -> usize {
        self.slots.len()
    }

    /// A stanza comes into hand.
    pub fn begin(&mut self) {
        self.submitted = false;
    }

    /// A stanza from another server comes into hand; the token is dropped once it is dealt with.
    pub(crate) fn begin_for(&mut self, token: Token) {
        self.submitted = false;
        self.token = Some(token);
    }

    /// The stanza in hand goes to the writer; returns its ticket and the count to store with it.
    pub fn submit(&mut self, stanza: &Element) -> (u64, Option<u32>) {
        self.next_ticket += 1;
        let first = !std::mem::replace(&mut self.submitted, true);
        if first {
            self.slots.push_back(Slot {
                ticket: Some(self.next_ticket),
                shell: Some(stanza.shell()),
                _token: self.token.take(),
            });
        }
        // Everything before it was handled in order, so the count of this one covers all.
        let waiting = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let count = self.durable.then(|| self.handled.wrapping_add(waiting));
        (self.next_ticket, count)
    }

    /// The stanza in hand is dealt with.
    pub fn end(&mut self) {
        self.token = None;
        if !self.submitted {
            if self.slots.is_empty() {
                self.handled = self.handled.wrapping_add(1);
            } else {
                self.slots.push_back(Slot {
                    ticket: None,
                    shell: None,
                    _token: None,
                });
            }
        }
    }

    /// The writer answered; returns the envelope of the stanza.
    pub fn done(&mut self, ticket: u64) -> Option<Element> {
        let at = self.slots.iter().position(|s| s.ticket == Some(ticket))?;
        let shell = self.slots.get_mut(at).and_then(|slot| {
            slot.ticket = None;
            slot.shell.take()
        });
        while self.slots.front().is_some_and(|s| s.ticket.is_none()) {
            self.slots.pop_front();
            self.handled = self.handled.wrapping_add(1);
        }
        shell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ns;

    #[test]
    fn stanzas_count_in_the_order_they_came() {
        let mut inbound = Inbound::default();
        inbound.enable(u32::MAX, true);
        let message = Element::new(ns::CLIENT, "message").attr("id", "1");
        inbound.begin();
        let (first, count) = inbound.submit(&message);
        inbound.end();
        assert_eq!(count, Some(0));
        inbound.begin();
        inbound.end();
        inbound.begin();
        let (second, count) = inbound.submit(&message);
        inbound.end();
        assert_eq!((count, inbound.handled()), (Some(2), u32::MAX));
        assert!(inbound.done(second).is_some());
        assert_eq!(inbound.handled(), u32::MAX, "the first is not durable yet");
        assert!(inbound.done(first).is_some());
        assert_eq!((inbound.handled(), inbound.waiting()), (2, 0));
        assert!(inbound.done(first).is_none());
    }
}
