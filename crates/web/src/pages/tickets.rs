//! Tickets: who just made an account on a page without scripts may fetch passwords for apps, for a while.

use std::num::NonZeroUsize;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lru::LruCache;
use parking_lot::Mutex;
use rand::RngCore as _;
use sammen_core::{Address, Timestamp};

/// How long a ticket holds.
const HOLDS_MS: i64 = 30 * 60_000;
/// Passwords for one ticket.
const PASSWORDS: u32 = 8;

struct Ticket {
    account: Address,
    until: Timestamp,
    left: u32,
}

/// Tickets that hold, in memory: after a restart people sign in instead.
pub struct Tickets(Mutex<LruCache<String, Ticket>>);

impl Default for Tickets {
    fn default() -> Self {
        let most = NonZeroUsize::new(1024).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(most)))
    }
}

impl Tickets {
    /// A ticket for an account that was just made.
    pub fn give(&self, account: Address, now: Timestamp) -> String {
        let mut random = [0; 24];
        rand::rng().fill_bytes(&mut random);
        let text = URL_SAFE_NO_PAD.encode(random);
        let ticket = Ticket {
            account,
            until: now.plus_ms(HOLDS_MS),
            left: PASSWORDS,
        };
        self.0.lock().put(text.clone(), ticket);
        text
    }

    /// Uses a ticket for one password.
    pub fn take(&self, text: &str, now: Timestamp) -> Option<Address> {
        let mut all = self.0.lock();
        let ticket = all.get_mut(text)?;
        if ticket.until < now || ticket.left == 0 {
            all.pop(text);
            return None;
        }
        ticket.left -= 1;
        Some(ticket.account.clone())
    }
}
