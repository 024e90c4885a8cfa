//! A clock tick for open loops: a thread of its own wakes the one that sends, exactly enough for schedules below a millisecond.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Wakes whoever waits at `start + n × every`.
pub struct Pace {
    tick: Arc<Notify>,
    ended: Arc<AtomicBool>,
}

impl Pace {
    /// Starts ticking.
    pub fn new(start: Instant, every: Duration) -> Self {
        let (tick, ended) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (their_tick, their_end) = (tick.clone(), ended.clone());
        std::thread::spawn(move || {
            let mut due = start;
            while !their_end.load(Ordering::Relaxed) {
                let now = Instant::now();
                if due > now {
                    std::thread::sleep(due - now);
                }
                their_tick.notify_one();
                due += every;
            }
        });
        Self { tick, ended }
    }

    /// The next tick, or at once if one has passed unnoticed.
    pub async fn next(&self) {
        self.tick.notified().await;
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
