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
}
