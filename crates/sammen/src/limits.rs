//! What the configuration's limits are in the words of core and net.

use std::num::NonZeroU32;

use sammen_net::ThrottleConfig;

use crate::config;

/// Core's rules.
pub fn rules(config: &config::Config) -> sammen_core::node::Rules {
    sammen_core::node::Rules {
        limits: core(&config.limits),
        requests_between_accounts: config.accounts.requests_between_accounts,
        rooms_by_anyone: config.accounts.rooms_by_anyone,
    }
}

/// Core's limits.
pub fn core(limits: &config::Limits) -> sammen_core::limits::Limits {
    sammen_core::limits::Limits {
        sessions: limits.sessions_per_account,
        rooms_joined: limits.rooms_per_account,
        members: limits.members_per_room,
        text_bytes: limits.text_kib << 10,
        blob_bytes: limits.upload_mib << 20,
        blob_quota: limits.upload_quota_mib << 20,
        ..Default::default()
    }
}

/// Iteration counts of new credentials.
pub fn iterations(passwords: &config::Passwords) -> sammen_net::credentials::Iterations {
    let least = sammen_net::credentials::Iterations::quick();
    let count = |n: u32, least: NonZeroU32| NonZeroU32::new(n).map_or(least, |n| n.max(least));
    sammen_net::credentials::Iterations {
        sha1: count(passwords.sha1_iterations, least.sha1),
        sha256: count(passwords.sha256_iterations, least.sha256),
        sha512: count(passwords.sha512_iterations, least.sha512),
    }
}

/// How guessing is slowed down.
pub fn throttle(passwords: &config::Passwords) -> ThrottleConfig {
    ThrottleConfig {
        free_per_account: passwords.free_failures,
        free_per_place: passwords.free_failures_per_address,
        ..Default::default()
    }
}
