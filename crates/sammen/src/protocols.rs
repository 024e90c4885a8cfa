//! The protocols of a node: made from the configuration, and handed to listeners.

use axum::Router;
use sammen_net::Connection;

use crate::config::{Config, Security};
use crate::run::{Addresses, Assembled};

/// Keys of the configuration that protocols take in while they run.
pub const RELOADS: &[&str] = &[];

/// The protocols.
pub struct Protocols;

impl Protocols {
    /// Makes them on a node.
    ///
    /// # Errors
    /// When the node has no domain.
    pub fn new(_: &Config, _: &Assembled, _: &Addresses) -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// Serves an XMPP connection. Nobody speaks it yet: the connection ends at once.
    pub fn xmpp_handler(
        &self,
    ) -> impl Fn(Connection) -> std::future::Ready<()> + Send + Sync + 'static {
        |_| std::future::ready(())
    }

    /// Serves an IRC connection. Nobody speaks it yet: the connection ends at once.
    pub fn irc_handler(
        &self,
    ) -> impl Fn(Connection) -> std::future::Ready<()> + Send + Sync + 'static {
        |_| std::future::ready(())
    }

    /// Files, WebSockets and host-meta.
    pub fn http_router(&self) -> Router {
        Router::new()
    }

    /// Takes in what can change while it runs.
    pub fn reload(&self, _: &Config, _: &Addresses) {}
}

/// How the outside reaches the HTTP listener: what the configuration says, or the domain and the first listener's port.
pub fn http_url(config: &Config, addresses: &Addresses) -> Option<String> {
    if let Some(url) = &config.http.url {
        return Some(url.trim_end_matches('/').to_owned());
    }
    let (security, address) = addresses.http.first()?;
    let scheme = if *security == Security::Plain {
        "http"
    } else {
        "https"
    };
    Some(format!("{scheme}://{}:{}", config.domain, address.port()))
}
