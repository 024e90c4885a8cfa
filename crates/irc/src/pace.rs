//! What one session may do of that which is told to everyone around, or costs a search: names, metadata, reactions.
//! Commands as such are paced by their connection.

use sammen_core::Timestamp;

use crate::session::Session;

/// At once.
const MOST: u32 = 120;
/// Milliseconds until one more is allowed.
const EACH: i64 = 1000;

/// What is left of it.
#[derive(Debug)]
pub(crate) struct Pace {
    left: u32,
    at: Timestamp,
}

impl Pace {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            left: MOST,
            at: now,
        }
    }

    /// Takes so much, at most all there can be; else the seconds after which there is enough.
    fn take(&mut self, cost: u32, now: Timestamp) -> Result<(), u32> {
        let passed = (now.0 - self.at.0).max(0);
        let back = u32::try_from(passed / EACH).unwrap_or(MOST);
        self.left = self.left.saturating_add(back).min(MOST);
        self.at = Timestamp(now.0 - passed % EACH);
        let cost = cost.min(MOST);
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err((cost - self.left).max(1)),
        }
    }
}

impl Session {
    /// Takes so much of what the session may do; else the seconds after which there is enough.
    pub(crate) fn pace(&mut self, cost: u32) -> Result<(), u32> {
        let now = self.server.node.now();
        self.registration.pace.take(cost, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_comes_back_with_time() {
        let mut pace = Pace::new(Timestamp(0));
        assert_eq!(pace.take(MOST, Timestamp(500)), Ok(()));
        assert_eq!(pace.take(1, Timestamp(900)), Err(1));
        assert_eq!(pace.take(1, Timestamp(1000)), Ok(()));
        assert_eq!(pace.take(3, Timestamp(1999)), Err(3));
        assert_eq!(pace.take(1, Timestamp(2000)), Ok(()));
        // However late, and however much: never more than there can be.
        assert_eq!(pace.take(u32::MAX, Timestamp(i64::MAX)), Ok(()));
        assert_eq!(pace.take(1, Timestamp(i64::MAX)), Err(1));
    }
}
