//! What is kept for minutes under a secret that only its holder knows: in memory, bounded, each with its end.

use std::num::NonZeroUsize;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lru::LruCache;
use parking_lot::Mutex;
use sammen_core::Timestamp;
use sammen_core::clock::Clock;
use sammen_net::Secret;

/// Values by the hash of their secret; the one that was used longest ago makes room.
pub struct Vault<T> {
    held: Mutex<LruCache<String, (Timestamp, T)>>,
}

/// SHA-256 in base64url.
pub fn hashed(secret: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, secret))
}

/// 256 bits that nobody guesses.
pub fn random(clock: &dyn Clock) -> [u8; 32] {
    let mut bits = [0; 32];
    let halves = [clock.random(), clock.random()];
    for (place, half) in bits.chunks_exact_mut(16).zip(halves) {
        place.copy_from_slice(&half.to_be_bytes());
    }
    bits
}

/// The time after a while.
pub fn later(now: Timestamp, lifetime: Duration) -> Timestamp {
    now.plus_ms(i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX / 2))
}

impl<T> Vault<T> {
    /// Room for so many.
    pub fn new(most: usize) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        Self {
            held: Mutex::new(LruCache::new(most)),
        }
    }

    /// Keeps a value; what is returned opens it.
    pub fn put(&self, clock: &dyn Clock, lifetime: Duration, value: T) -> Secret {
        let secret = Secret::new(URL_SAFE_NO_PAD.encode(random(clock)));
        self.keep(&secret, later(clock.now(), lifetime), value);
        secret
    }

    /// Keeps a value under a secret that was given out before.
    pub fn keep(&self, secret: &Secret, until: Timestamp, value: T) {
        let key = hashed(secret.expose().as_bytes());
        self.held.lock().put(key, (until, value));
    }

    /// Takes what a secret opens, and until when it would have stayed: nobody else gets it.
    pub fn take(&self, secret: &Secret, now: Timestamp) -> Option<(Timestamp, T)> {
        let key = hashed(secret.expose().as_bytes());
        self.held.lock().pop(&key).filter(|(until, _)| now < *until)
    }

    /// Looks at what a secret opens.
    pub fn look<R>(
        &self,
        secret: &Secret,
        now: Timestamp,
        see: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let key = hashed(secret.expose().as_bytes());
        let mut held = self.held.lock();
        let (until, value) = held.get_mut(&key)?;
        (now < *until).then(|| see(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sammen_core::clock::SystemClock;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn what_is_kept_opens_once_in_time_and_for_who_knows() {
        let vault = Vault::new(2);
        let now = SystemClock.now();
        let first = vault.put(&SystemClock, HOUR, 1);
        assert_eq!(vault.look(&first, now, |n| *n), Some(1));
        assert!(vault.take(&Secret::new("guess"), now).is_none());
        assert_eq!(vault.take(&first, now).map(|t| t.1), Some(1));
        assert!(vault.take(&first, now).is_none(), "once");
        let late = vault.put(&SystemClock, HOUR, 2);
        let then = later(now, HOUR + HOUR);
        assert_eq!(vault.look(&late, then, |n| *n), None);
        let secrets: Vec<Secret> = (3..6).map(|n| vault.put(&SystemClock, HOUR, n)).collect();
        let left = secrets.iter().filter(|s| vault.take(s, now).is_some());
        assert_eq!(left.count(), 2, "bounded");
    }
}
