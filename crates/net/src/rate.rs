//! A token bucket that may go into debt: what was read is paid afterwards, and reading stops until it is.

use std::time::Duration;

use tokio::time::Instant;

/// So much a second in the long run, and so much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units a second; 0 means without limit.
    pub per_second: u32,
    /// Units that a quiet time saves up.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self {
        per_second: 0,
        burst: 0,
    };
}

/// The bucket of one connection.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: Rate,
    /// Under 0 is debt.
    level: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            level: f64::from(rate.burst),
            filled: now,
        }
    }

    /// Takes `units` out, into debt if need be.
    pub fn charge(&mut self, units: usize, now: Instant) {
        if self.rate.per_second == 0 {
            return; // Never in debt.
        }
        self.fill(now);
        self.level -= units as f64;
    }

    /// Whether there was a debt when it was last looked at; without one there is none now.
    pub fn in_debt(&self) -> bool {
        self.level < 0.0
    }

    /// When the debt is paid; `None` if there is none now.
    pub fn paid_at(&mut self, now: Instant) -> Option<Instant> {
        if self.rate.per_second == 0 {
            return None;
        }
        self.fill(now);
        // A millisecond is as fine as timers are.
        (self.level < 0.0).then(|| {
            let seconds = -self.level / f64::from(self.rate.per_second);
            now + Duration::from_secs_f64(seconds).max(Duration::from_millis(1))
        })
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level =
            (self.level + passed * f64::from(self.rate.per_second)).min(f64::from(self.rate.burst));
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_debt_takes_its_time() {
        let start = Instant::now();
        let mut bucket = Bucket::new(
            Rate {
                per_second: 10,
                burst: 20,
            },
            start,
        );
        bucket.charge(20, start);
        assert_eq!(bucket.paid_at(start), None);
        bucket.charge(5, start);
        assert_eq!(
            bucket.paid_at(start),
            Some(start + Duration::from_millis(500))
        );
        let later = start + Duration::from_millis(600);
        assert_eq!(bucket.paid_at(later), None);
        // However long it is quiet, no more than the burst is saved.
        let much_later = start + Duration::from_secs(3600);
        bucket.charge(30, much_later);
        assert_eq!(
            bucket.paid_at(much_later),
            Some(much_later + Duration::from_secs(1))
        );
        let mut free = Bucket::new(Rate::UNLIMITED, start);
        free.charge(1_000_000, start);
        assert_eq!(free.paid_at(start), None);
    }
}
