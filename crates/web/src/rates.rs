//! How often one account or one place may ask.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use sammen_core::Address;
use sammen_net::{Bucket, Rate, place};
use tokio::time::Instant;

use crate::problem::{Answer, Problem};

/// Accounts and places that are remembered.
const REMEMBERED: usize = 16_384;
/// Of one account.
const ACCOUNT: Rate = Rate {
    per_second: 100,
    burst: 400,
};
/// Of one place without a session.
const PLACE: Rate = Rate {
    per_second: 20,
    burst: 100,
};
/// Posts of one webhook.
const HOOK: Rate = Rate {
    per_second: 1,
    burst: 20,
};
/// New accounts from one place.
const NEW_ACCOUNTS: Rate = Rate {
    per_second: 1,
    burst: 5,
};
/// What a new account costs: one every five minutes in the long run.
const NEW_ACCOUNT: usize = 300;

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
    /// One request of an account.
    pub fn account(&self, account: &Address) -> Answer<()> {
        self.one(("account", account), ACCOUNT, 1)
    }

    /// One request from a place where nobody is signed in.
    pub fn stranger(&self, from: IpAddr) -> Answer<()> {
        self.one(("place", place(from)), PLACE, 1)
    }

    /// One post to a webhook.
    pub fn hook(&self, id: &str) -> Answer<()> {
        self.one(("hook", id), HOOK, 1)
    }

    /// One new account from a place.
    pub fn new_account(&self, from: IpAddr) -> Answer<()> {
        self.one(("new", place(from)), NEW_ACCOUNTS, NEW_ACCOUNT)
    }

    fn one(&self, key: impl Hash, rate: Rate, units: usize) -> Answer<()> {
        let now = Instant::now();
        let mut buckets = self.buckets.lock();
        let bucket = buckets.get_or_insert_mut(self.hash.hash_one(key), || Bucket::new(rate, now));
        if let Some(paid) = bucket.paid_at(now) {
            let wait = paid.saturating_duration_since(now);
            return Err(Problem::throttled(wait.as_secs().saturating_add(1)));
        }
        bucket.charge(units, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_no_more() {
        let rates = Rates::default();
        let let_through = (0..100).filter(|_| rates.hook("h").is_ok()).count();
        assert!((20..=23).contains(&let_through), "{let_through}");
        assert!(rates.hook("another").is_ok());
        let problem = rates.hook("h").unwrap_err();
        assert_eq!((problem.status, problem.code), (429, "throttled"));
    }
}
