//! XEP-0198 from the peer: what it sent, counted in order once each stanza is dealt with, however long that took.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What one stream brought.
#[derive(Debug, Default)]
pub struct Tally {
    state: Mutex<State>,
    /// Rings when the count moves.
    pub bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Dealt with, modulo 2^32.
    handled: u32,
    /// Behind it, in order: whether it is dealt with.
    waiting: VecDeque<bool>,
    /// Index of the first of those.
    first: u64,
    /// The peer asked when so many were received.
    asked: Option<u32>,
}

/// One stanza in hand; dropping it counts it.
#[derive(Debug)]
pub(crate) struct Token {
    tally: Arc<Tally>,
    index: u64,
}

impl Tally {
    /// A stanza came.
    pub(crate) fn take(self: &Arc<Self>) -> Token {
        let mut state = self.state.lock();
        let index = state.first + state.waiting.len() as u64;
        state.waiting.push_back(false);
        Token {
            tally: self.clone(),
            index,
        }
    }

    /// Counting begins at zero here.
    pub fn reset(&self) {
        let mut state = self.state.lock();
        let waiting = u32::try_from(state.waiting.len()).unwrap_or(u32::MAX);
        state.handled = 0u32.wrapping_sub(waiting);
    }

    /// How many are in hand.
    pub fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// The peer asks what was handled: it is told once everything before the question is.
    pub fn ask(&self) {
        let mut state = self.state.lock();
        let waiting = u32::try_from(state.waiting.len()).unwrap_or(u32::MAX);
        let upto = state.handled.wrapping_add(waiting);
        state.asked.get_or_insert(upto);
    }

    /// The answer, once it is due.
    pub fn answer(&self) -> Option<u32> {
        let mut state = self.state.lock();
        let behind = state.asked?.wrapping_sub(state.handled);
        if behind != 0 && behind < u32::MAX / 2 {
            return None;
        }
        state.asked = None;
        Some(state.handled)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut state = self.tally.state.lock();
        let at = self.index.saturating_sub(state.first);
        if let Some(slot) = usize::try_from(at)
            .ok()
            .and_then(|at| state.waiting.get_mut(at))
        {
            *slot = true;
        }
        while state.waiting.front() == Some(&true) {
            state.waiting.pop_front();
            state.first += 1;
            state.handled = state.handled.wrapping_add(1);
        }
        drop(state);
        self.tally.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_waits_for_what_came_before_the_question() {
        let tally = Arc::new(Tally::default());
        let early = tally.take();
        tally.reset();
        let (one, two) = (tally.take(), tally.take());
        tally.ask();
        drop(two);
        assert_eq!(tally.answer(), None);
        drop(early);
        assert_eq!(tally.answer(), None, "counting began behind the first one");
        let three = tally.take();
        drop(one);
        assert_eq!(tally.answer(), Some(2));
        assert_eq!((tally.answer(), tally.waiting()), (None, 1));
        drop(three);
        assert_eq!(tally.waiting(), 0);
    }
}
