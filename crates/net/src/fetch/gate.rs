//! How many requests run at once: in all, and of one who asks. Who waits counts as one who runs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::FetchError;

/// The gate of one kind of requests.
#[derive(Debug)]
pub(crate) struct Gate {
    seats: Semaphore,
    each: usize,
    hash: RandomState,
    asking: Arc<Mutex<HashMap<u64, usize>>>,
}

/// One who asks.
struct Asking {
    all: Arc<Mutex<HashMap<u64, usize>>>,
    who: u64,
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Entry::Occupied(mut mine) = self.all.lock().entry(self.who) {
            *mine.get_mut() -= 1;
            if *mine.get() == 0 {
                mine.remove();
            }
        }
    }
}

/// A seat, given back when dropped.
pub(crate) struct Seat<'a> {
    _seat: SemaphorePermit<'a>,
    _asking: Asking,
}

impl Gate {
    pub(crate) fn new(at_once: usize, each: usize) -> Self {
        Self {
            seats: Semaphore::new(at_once),
            each,
            hash: RandomState::new(),
            asking: Arc::default(),
        }
    }

    /// Waits for a seat; refuses at once whoever has enough of them.
    pub(crate) async fn enter(&self, who: impl Hash) -> Result<Seat<'_>, FetchError> {
        let who = self.hash.hash_one(who);
        let asking = {
            let mut all = self.asking.lock();
            let mine = all.entry(who).or_default();
            if *mine >= self.each {
                return Err(FetchError::Busy);
            }
            *mine += 1;
            Asking {
                all: Arc::clone(&self.asking),
                who,
            }
        };
        let seat = self.seats.acquire().await.map_err(|_| FetchError::Busy)?;
        Ok(Seat {
            _seat: seat,
            _asking: asking,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_takes_all_seats_and_each_comes_back() {
        let gate = Gate::new(3, 2);
        let first = gate.enter("alice").await.unwrap();
        let second = gate.enter("alice").await.unwrap();
        assert!(matches!(gate.enter("alice").await, Err(FetchError::Busy)));
        let third = gate.enter("bob").await.unwrap();
        let mut waits = Box::pin(gate.enter("carol"));
        assert!(futures_now(&mut waits).is_none(), "all seats are taken");
        drop(first);
        waits.await.unwrap();
        drop((second, third));
        assert!(gate.asking.lock().is_empty());
    }

    fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        }
    }
}
