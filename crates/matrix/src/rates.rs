//! How often one account or one place may ask ("Rate limiting"): what the specification marks is counted.

use std::net::{IpAddr, Ipv4Addr};

use sammen_core::Address;
use sammen_net::{Peer, Rate, place};

use crate::fault::{Answer, Fault};

/// How often one account or one place may ask.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One account, over all its devices.
    pub account: Rate,
    /// One place where nobody is signed in.
    pub place: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        let rate = |per_second, burst| Rate { per_second, burst };
        Self {
            account: rate(50, 200),
            place: rate(10, 100),
        }
    }
}

/// Keys that are claimed and messages to devices, a second for long and at once.
const WORK: Rate = Rate {
    per_second: 500,
    burst: 20_000,
};
/// New accounts from one place.
const NEW: Rate = Rate {
    per_second: 1,
    burst: 5,
};
/// What a new account costs: one every five minutes in the long run.
const NEW_ACCOUNT: usize = 300;
/// New clients of OAuth 2.0 from one place.
const CLIENTS: Rate = Rate {
    per_second: 1,
    burst: 60,
};
/// What one costs: ten a minute.
const NEW_CLIENT: usize = 6;

/// Buckets of those who asked lately.
pub struct Rates {
    buckets: sammen_net::Rates,
    limits: Limits,
}

/// From where a request came; one address for all in tests without a socket.
pub fn from(peer: Option<&Peer>) -> IpAddr {
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |p| p.address.ip())
}

impl Rates {
    /// Nobody asked yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            buckets: sammen_net::Rates::default(),
            limits,
        }
    }

    /// One request of an account.
    ///
    /// # Errors
    /// M_LIMIT_EXCEEDED.
    pub fn account(&self, account: &Address) -> Answer<()> {
        let counted = self
            .buckets
            .count(("account", account), self.limits.account, 1);
        counted.map_err(Fault::limited)
    }

    /// What the specification does not count, by how much it makes the writer do: keys, messages.
    ///
    /// # Errors
    /// M_LIMIT_EXCEEDED.
    pub fn work(&self, account: &Address, units: usize) -> Answer<()> {
        let counted = self.buckets.count(("work", account), WORK, units.max(1));
        counted.map_err(Fault::limited)
    }

    /// One request from a place where nobody is signed in.
    ///
    /// # Errors
    /// M_LIMIT_EXCEEDED.
    pub fn stranger(&self, peer: Option<&Peer>) -> Answer<()> {
        let counted = self
            .buckets
            .count(("place", place(from(peer))), self.limits.place, 1);
        counted.map_err(Fault::limited)
    }

    /// One new account from a place.
    ///
    /// # Errors
    /// M_LIMIT_EXCEEDED.
    pub fn new_account(&self, peer: Option<&Peer>) -> Answer<()> {
        let key = ("new", place(from(peer)));
        self.buckets
            .count(key, NEW, NEW_ACCOUNT)
            .map_err(Fault::limited)
    }

    /// One new client of OAuth 2.0 from a place.
    ///
    /// # Errors
    /// M_LIMIT_EXCEEDED.
    pub fn new_client(&self, peer: Option<&Peer>) -> Answer<()> {
        let key = ("client", place(from(peer)));
        let counted = self.buckets.count(key, CLIENTS, NEW_CLIENT);
        counted.map_err(Fault::limited)
    }
}
