//! A clock tick for open loops. It spins: the generator has its core to itself, so a message leaves when it is meant to, and
//! a server that delivers does not pay for waking a sleeping reader on another core (on virtual machines that costs more
//! than the delivery; a real reader sits behind a network card).

use std::time::{Duration, Instant};

/// Ticks at `start + n × every`.
pub struct Pace {
    due: Instant,
    every: Duration,
}

impl Pace {
    /// Starts ticking.
    pub fn new(start: Instant, every: Duration) -> Self {
        Self { due: start, every }
    }

    /// The next tick, or at once if one has passed unnoticed. Meanwhile arrivals are read.
    pub async fn next(&mut self) {
        while Instant::now() < self.due {
            tokio::task::yield_now().await;
        }
        self.due += self.every;
    }
}
