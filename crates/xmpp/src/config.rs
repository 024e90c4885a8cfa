//! What an operator can set for XMPP.

use std::time::Duration;

use crate::wire::Limits;

/// Settings of the XMPP side.
#[derive(Clone, Debug)]
pub struct Config {
    /// What a connection may send before it signed in.
    pub stranger: Limits,
    /// What it may send afterwards.
    pub member: Limits,
    /// How long a stream may take to sign in.
    pub login_timeout: Duration,
    /// After this long without a byte the node pings.
    pub ping_after: Duration,
    /// After this long without an answer to it the connection is gone.
    pub ping_timeout: Duration,
    /// How long a write may make no progress.
    pub write_timeout: Duration,
    /// How long a session outlives its connection (XEP-0198 resumption).
    pub hibernation: Duration,
    /// Stanzas that a client may leave unacknowledged before the session ends.
    pub unacked: usize,
    /// Bytes of output that wait before a slow connection; then reading stops.
    pub output_bytes: usize,
    /// Stanzas a second that a client may send for long, and how many at once.
    pub rate: u32,
    /// Burst above the rate.
    pub burst: u32,
    /// Most events in one page of an archive.
    pub archive_page: usize,
    /// XEP-0157: addresses such as `mailto:abuse@example.org`, by the form's field (`abuse-addresses`, …).
    pub contacts: Vec<(String, Vec<String>)>,
    /// Anyone may make an account; otherwise who was invited.
    pub registration: bool,
    /// Who may invite people who have no account yet.
    pub inviters: sammen_net::invitations::Inviters,
    /// How long invitations made in an app hold.
    pub invitation_days: u32,
    /// XEP-0215: servers that apps use for calls.
    pub relays: sammen_net::relay::Relays,
    /// Name that XEP-0092 tells.
    pub software: String,
    /// Version that XEP-0092 tells.
    pub version: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stranger: Limits {
                stanza_bytes: 16 * 1024,
                elements: 256,
                ..Limits::default()
            },
            member: Limits::default(),
            login_timeout: Duration::from_secs(60),
            ping_after: Duration::from_secs(300),
            ping_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            hibernation: Duration::from_secs(300),
            unacked: 4096,
            output_bytes: 64 * 1024,
            rate: 1000,
            burst: 5000,
            archive_page: 100,
            contacts: Vec::new(),
            registration: false,
            inviters: Default::default(),
            invitation_days: 7,
            relays: Default::default(),
            software: "Sammen".into(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}
