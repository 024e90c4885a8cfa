//! How often one account or one place may ask.

use std::hash::Hash;
use std::net::IpAddr;

use sammen_core::Address;
use sammen_net::{Rate, place};

use crate::problem::{Answer, Problem};

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
#[derive(Default)]
pub struct Rates(sammen_net::Rates);

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
        let counted = self.0.count(key, rate, units);
        counted.map_err(|wait| Problem::throttled(wait.as_secs().saturating_add(1)))
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
