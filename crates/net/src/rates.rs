//! How often whoever it may be may ask: a bucket for each, of those who asked lately.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{Bucket, Rate};

/// Those who asked lately are remembered, so many.
const REMEMBERED: usize = 16_384;

/// Buckets of those who asked lately.
pub struct Rates {
    hash: RandomState,
    buckets: Mutex<LruCache<u64, Bucket>>,
}

impl Default for Rates {
    fn default() -> Self {
        let most = NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN);
        Self {
            hash: RandomState::new(),
            buckets: Mutex::new(LruCache::new(most)),
        }
    }
}

impl Rates {
    /// Counts `units` for whoever `key` is; one key always comes with the same rate.
    ///
    /// # Errors
    /// How long to wait, where it was too much; then nothing was counted.
    pub fn count(&self, key: impl Hash, rate: Rate, units: usize) -> Result<(), Duration> {
        let now = Instant::now();
        let mut buckets = self.buckets.lock();
        let bucket = buckets.get_or_insert_mut(self.hash.hash_one(key), || Bucket::new(rate, now));
        if let Some(paid) = bucket.paid_at(now) {
            return Err(paid.saturating_duration_since(now));
        }
        bucket.charge(units, now);
        Ok(())
    }
}
