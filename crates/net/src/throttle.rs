//! Login throttling per account and per place: guessing becomes slow, known devices are never locked out.
//!
//! Time is an argument, memory is bounded, names are kept only as keyed hashes. An attempt counts when it begins, so
//! that a hundred at once are a hundred; success gives it back.

use sammen_core::setting::Setting;
use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    num::NonZeroUsize,
    sync::atomic::{AtomicU64, Ordering},
};

use lru::LruCache;
use parking_lot::Mutex;

use crate::address::place;

/// The throttle's settings; times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct ThrottleConfig {
    /// Failures of one account that cost nothing: people mistype.
    pub free_per_account: u32,
    /// Failures from one place that cost nothing: households and offices share addresses.
    pub free_per_place: u32,
    /// The wait after the first failure beyond; doubles with each.
    pub first_wait_ms: u64,
    /// The longest wait.
    pub longest_wait_ms: u64,
    /// The longest wait of a known device, for its own failures.
    pub known_wait_ms: u64,
    /// One failure is forgotten each time that this passes.
    pub forget_ms: u64,
    /// Accounts, places and known devices to remember, each.
    pub remembered: NonZeroUsize,
}

impl Default for ThrottleConfig {
    /// 5 and 20 free; 1 s doubling up to 15 min, 10 s for known devices; one forgotten every 5 min; 65,536 of each.
    fn default() -> Self {
        Self {
            free_per_account: 5,
            free_per_place: 20,
            first_wait_ms: 1000,
            longest_wait_ms: 15 * 60_000,
            known_wait_ms: 10_000,
            forget_ms: 5 * 60_000,
            remembered: NonZeroUsize::MIN.saturating_add(65_535),
        }
    }
}

/// Failures of one account, place or known device.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    failures: u32,
    last_ms: u64,
    /// A right password came; only for known devices.
    signed_in: bool,
}

impl Record {
    /// Failures that time has not forgiven yet.
    fn failures(&self, now_ms: u64, forget_ms: u64) -> u32 {
        let forgiven = now_ms.saturating_sub(self.last_ms) / forget_ms.max(1);
        self.failures
            .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }
}

struct Records {
    accounts: LruCache<u64, Record>,
    places: LruCache<u64, Record>,
    known: LruCache<u64, Record>,
}

/// The login throttle of a node.
pub struct Throttle {
    config: Setting<ThrottleConfig>,
    hash: RandomState,
    records: Mutex<Records>,
    begun: AtomicU64,
    right: AtomicU64,
    given_up: AtomicU64,
}

/// Somebody has to wait this long before the next attempt is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many failed logins; next one in {wait_ms} ms")]
pub struct Throttled {
    /// Milliseconds.
    pub wait_ms: u64,
}

/// An attempt that was let through. It has been counted as a failure; say if it was none.
#[derive(Debug)]
#[must_use = "an attempt that succeeded has to say so"]
pub struct Attempt {
    account: u64,
    place: u64,
    pair: u64,
    known: bool,
}

impl Throttle {
    /// A throttle that remembers nothing yet.
    pub fn new(config: ThrottleConfig) -> Self {
        let cache = || LruCache::new(config.remembered);
        let records = Records {
            accounts: cache(),
            places: cache(),
            known: cache(),
        };
        Self {
            config: Setting::new(config),
            hash: RandomState::new(),
            records: Mutex::new(records),
            begun: AtomicU64::new(0),
            right: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
        }
    }

    /// Another configuration from now on; it remembers as many as before.
    pub fn reconfigure(&self, config: ThrottleConfig) {
        self.config.set(config);
    }

    /// Logins since the start, right and wrong ones. One that is under way counts as wrong until it is known.
    pub fn logins(&self) -> (u64, u64) {
        let right = self.right.load(Ordering::Relaxed);
        let ended = right + self.given_up.load(Ordering::Relaxed);
        let begun = self.begun.load(Ordering::Relaxed);
        (right, begun.saturating_sub(ended))
    }

    /// May this login be tried now? `account` is the name in the form that accounts are searched by, whether there is
    /// such an account or not. `known_device` means that the client has shown to be a device which signed in before
    /// (a token, or the same place: [`Throttle::knows`]): the failures of strangers then don't count.
    pub fn begin(
        &self,
        account: &str,
        address: IpAddr,
        known_device: bool,
        now_ms: u64,
    ) -> Result<Attempt, Throttled> {
        let attempt = Attempt {
            account: self.hash.hash_one(account),
            place: self.hash.hash_one(place(address)),
            pair: self.hash.hash_one((account, place(address))),
            known: known_device,
        };
        let config = self.config.get();
        let Records {
            accounts,
            places,
            known,
        } = &mut *self.records.lock();
        let mut checks = if known_device {
            vec![(
                known,
                attempt.pair,
                config.free_per_account,
                config.known_wait_ms,
            )]
        } else {
            vec![
                (
                    accounts,
                    attempt.account,
                    config.free_per_account,
                    config.longest_wait_ms,
                ),
                (
                    places,
                    attempt.place,
                    config.free_per_place,
                    config.longest_wait_ms,
                ),
            ]
        };
        let wait_ms = checks
            .iter_mut()
            .map(|(records, key, free, longest)| {
                records
                    .get(key)
                    .map_or(0, |record| self.wait(*record, *free, *longest, now_ms))
            })
            .max()
            .unwrap_or(0);
        if wait_ms > 0 {
            return Err(Throttled { wait_ms }); // Not counted: who waits or is told to wait does not guess.
        }
        for (records, key, ..) in checks {
            let record = records.get_or_insert_mut(key, Record::default);
            record.failures = record.failures(now_ms, config.forget_ms).saturating_add(1);
            record.last_ms = now_ms;
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        Ok(attempt)
    }

    /// The password was right, or no guess was made (the client gave up before). A right password also makes this
    /// account's login from this place a known one.
    pub fn succeeded(&self, attempt: Attempt) {
        self.right.fetch_add(1, Ordering::Relaxed);
        self.give_back(&attempt);
        let records = &mut *self.records.lock();
        records
            .known
            .get_or_insert_mut(attempt.pair, Record::default)
            .signed_in = true;
    }

    /// No guess was made: the client gave up, or we could not check.
    pub fn aborted(&self, attempt: Attempt) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
        self.give_back(&attempt);
    }

    /// Whether this account has signed in from this place before, as far as is remembered: good enough to know a
    /// device by where the protocol has nothing better.
    pub fn knows(&self, account: &str, address: IpAddr) -> bool {
        let pair = self.hash.hash_one((account, place(address)));
        self.records
            .lock()
            .known
            .peek(&pair)
            .is_some_and(|record| record.signed_in)
    }

    /// Signed out everywhere, or the passphrase changed: this place is not known any more.
    pub fn forget(&self, account: &str, address: IpAddr) {
        self.records
            .lock()
            .known
            .pop(&self.hash.hash_one((account, place(address))));
    }

    fn give_back(&self, attempt: &Attempt) {
        let Records {
            accounts,
            places,
            known,
        } = &mut *self.records.lock();
        let one = |records: &mut LruCache<u64, Record>, key| {
            if let Some(record) = records.get_mut(&key) {
                record.failures = record.failures.saturating_sub(1);
            }
        };
        if attempt.known {
            one(known, attempt.pair);
        } else {
            one(accounts, attempt.account);
            one(places, attempt.place);
        }
    }

    fn wait(&self, record: Record, free: u32, longest_ms: u64, now_ms: u64) -> u64 {
        let config = self.config.get();
        let beyond = record
            .failures(now_ms, config.forget_ms)
            .saturating_sub(free);
        if beyond == 0 {
            return 0;
        }
        let doubled = 1u64.checked_shl(beyond - 1).unwrap_or(u64::MAX);
        let wait = config.first_wait_ms.saturating_mul(doubled).min(longest_ms);
        (record.last_ms.saturating_add(wait)).saturating_sub(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn throttle() -> Throttle {
        Throttle::new(ThrottleConfig {
            forget_ms: 3_600_000,
            ..ThrottleConfig::default()
        })
    }

    /// Fails until told to wait; how often it failed and how long the wait is.
    fn guess(
        throttle: &Throttle,
        account: &str,
        from: IpAddr,
        known: bool,
        now_ms: u64,
    ) -> (u32, u64) {
        for tried in 0.. {
            match throttle.begin(account, from, known, now_ms) {
                Ok(_failed) => {}
                Err(throttled) => return (tried, throttled.wait_ms),
            }
        }
        unreachable!()
    }

    #[test]
    fn logins_are_counted() {
        let throttle = Throttle::new(ThrottleConfig::default());
        let here = IpAddr::from([192, 0, 2, 1]);
        let begin = || throttle.begin("alice", here, false, 0).unwrap();
        throttle.succeeded(begin());
        throttle.aborted(begin());
        drop(begin());
        assert_eq!(throttle.logins(), (1, 1));
    }

    #[test]
    fn guessing_at_one_account_from_everywhere_gets_slower_and_slower() {
        let throttle = throttle();
        assert_eq!(guess(&throttle, "alice", ip(1), false, 0), (6, 1000));
        let mut now = 1000;
        for (n, wait) in [(2, 2000), (3, 4000), (4, 8000)] {
            assert_eq!(
                guess(&throttle, "alice", ip(n), false, now),
                (1, wait),
                "another address does not help"
            );
            now += wait;
        }
        for _ in 0..30 {
            let (tried, wait) = guess(&throttle, "alice", ip(9), false, now);
            assert_eq!(tried, 1);
            assert!(wait <= 15 * 60_000);
            now += wait;
        }
        assert_eq!(
            guess(&throttle, "bob", ip(10), false, now).0,
            6,
            "others are not touched"
        );
    }

    #[test]
    fn trying_one_password_at_many_accounts_is_slowed_by_place() {
        let throttle = throttle();
        let let_through = (0..100)
            .filter(|n| throttle.begin(&format!("u{n}"), ip(1), false, 0).is_ok())
            .count();
        assert_eq!(let_through, 21);
        let v6 = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, n, 1, 1, 1]);
        let let_through = (0..100)
            .filter(|n| throttle.begin(&format!("w{n}"), v6(*n), false, 0).is_ok())
            .count();
        assert_eq!(let_through, 21, "a /64 is one place");
    }

    #[test]
    fn a_known_device_gets_in_while_strangers_guess() {
        let throttle = throttle();
        let attempt = throttle.begin("alice", ip(7), false, 0).unwrap();
        assert!(!throttle.knows("alice", ip(7)));
        throttle.succeeded(attempt);
        assert!(throttle.knows("alice", ip(7)));
        guess(&throttle, "alice", ip(1), false, 0);
        assert!(throttle.begin("alice", ip(7), false, 0).is_err());
        let attempt = throttle.begin("alice", ip(7), true, 0).unwrap();
        throttle.succeeded(attempt);
        // Its own mistakes cost it seconds, not more.
        let mut now = 0;
        for _ in 0..20 {
            let (_, wait) = guess(&throttle, "alice", ip(7), true, now);
            assert!(wait <= 10_000);
            now += wait;
        }
        let _failed = throttle.begin("bob", ip(8), true, 0).unwrap();
        assert!(!throttle.knows("bob", ip(8)), "a claim is no sign-in");
        throttle.forget("alice", ip(7));
        assert!(!throttle.knows("alice", ip(7)));
    }

    #[test]
    fn success_costs_nothing_but_does_not_wash_guesses_away_and_time_does() {
        let throttle = throttle();
        for _ in 0..1000 {
            let attempt = throttle.begin("alice", ip(1), false, 0).unwrap();
            throttle.succeeded(attempt);
        }
        for _ in 0..3 {
            let _failed = throttle.begin("alice", ip(2), false, 0).unwrap();
        }
        let attempt = throttle.begin("alice", ip(1), false, 0).unwrap();
        throttle.aborted(attempt);
        assert_eq!(guess(&throttle, "alice", ip(2), false, 0).0, 3);
        assert_eq!(guess(&throttle, "alice", ip(2), false, 6 * 3_600_000).0, 6);
    }

    #[test]
    fn memory_is_bounded() {
        let remembered = NonZeroUsize::new(100).unwrap();
        let throttle = Throttle::new(ThrottleConfig {
            remembered,
            ..ThrottleConfig::default()
        });
        for n in 0..10_000u32 {
            let _failed = throttle
                .begin(&n.to_string(), IpAddr::from(n.to_be_bytes()), n % 2 == 0, 0)
                .unwrap();
        }
        let records = throttle.records.lock();
        assert!(
            records.accounts.len() <= 100
                && records.places.len() <= 100
                && records.known.len() <= 100
        );
    }
}
