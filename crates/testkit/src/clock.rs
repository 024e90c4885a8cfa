//! A clock that stands still until a test moves it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use sammen_core::{Clock, Timestamp};

/// Virtual time, and chance that is the same every day.
#[derive(Debug)]
pub struct TestClock {
    now: AtomicI64,
    drawn: AtomicU64,
}

impl Default for TestClock {
    fn default() -> Self {
        Self {
            now: AtomicI64::new(1_700_000_000_000),
            drawn: AtomicU64::new(0),
        }
    }
}

impl TestClock {
    /// Lets time pass.
    pub fn advance_ms(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Relaxed))
    }

    fn random(&self) -> u128 {
        // SplitMix64 over a counter: different each time, the same in each run.
        let mut z = self
            .drawn
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u128::from(z ^ (z >> 31)) << 16 | u128::from(z)
    }
}
