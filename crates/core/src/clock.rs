//! Time and chance come in from outside, so tests are the same every day.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::ids::Timestamp;

/// Where time and random bits come from.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// 128 random bits that nobody can guess.
    fn random(&self) -> u128;
}

/// The machine's clock and the operating system's randomness.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

#[expect(
    clippy::disallowed_methods,
    reason = "this is the place where time comes in"
)]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn random(&self) -> u128 {
        rand::random()
    }
}
