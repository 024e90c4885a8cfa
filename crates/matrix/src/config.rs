//! What the binary tells this crate about the node.

/// Settings.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// How the outside reaches the node over HTTP, such as `https://example.org`; no slash at the end.
    pub base: Option<String>,
    /// The node's version.
    pub version: String,
    /// Anyone may make an account.
    pub registration: bool,
    /// Whom people reach about the node, as URIs.
    pub admin_addresses: Vec<String>,
    /// Whom people reach about abuse, as URIs.
    pub abuse_addresses: Vec<String>,
    /// How often one account or one place may ask.
    pub limits: crate::rates::Limits,
    /// Relays for calls.
    pub relays: sammen_net::relay::Relays,
    /// What reaches gateways that wake phones; without it nobody is woken.
    pub fetcher: Option<sammen_net::fetch::Fetcher>,
}
