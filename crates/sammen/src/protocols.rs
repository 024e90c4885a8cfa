//! The protocols of a node: made from the configuration, and handed to listeners.

use std::sync::Arc;

use axum::Router;
use sammen_net::Connection;

use crate::config::{Config, Security};
use crate::run::{Addresses, Assembled};

/// Keys of the configuration that protocols take in while they run.
pub const RELOADS: &[&str] = &[];

/// The protocols.
pub struct Protocols {
    xmpp: Arc<sammen_xmpp::Server>,
    url: Option<String>,
}

impl Protocols {
    /// Makes them on a node.
    ///
    /// # Errors
    /// When the node has no domain.
    pub fn new(config: &Config, node: &Assembled, addresses: &Addresses) -> anyhow::Result<Self> {
        let (handle, accounts) = (node.node.clone(), node.accounts.clone());
        let xmpp = sammen_xmpp::Server::new(handle, xmpp(config), accounts);
        let url = http_url(config, addresses);
        Ok(Self { xmpp, url })
    }

    /// Serves an XMPP connection.
    pub fn xmpp_handler(
        &self,
    ) -> impl Fn(Connection) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static
    {
        let server = self.xmpp.clone();
        move |connection| Box::pin(sammen_xmpp::serve(server.clone(), connection))
    }

    /// Serves an IRC connection. Nobody speaks it yet: the connection ends at once.
    pub fn irc_handler(
        &self,
    ) -> impl Fn(Connection) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static
    {
        |_| Box::pin(std::future::ready(()))
    }

    /// Files, WebSockets and host-meta.
    pub fn http_router(&self) -> Router {
        match &self.url {
            Some(url) => sammen_xmpp::http::router(self.xmpp.clone(), url),
            None => Router::new(),
        }
    }

    /// Takes in what can change while it runs.
    pub fn reload(&self, _: &Config, _: &Addresses) {}
}

fn xmpp(config: &Config) -> sammen_xmpp::Config {
    let fields = [
        ("abuse-addresses", &config.xmpp.abuse_addresses),
        ("admin-addresses", &config.xmpp.admin_addresses),
    ];
    sammen_xmpp::Config {
        rate: config.xmpp.stanzas_per_second,
        burst: config.xmpp.stanzas_burst,
        hibernation: std::time::Duration::from_secs(u64::from(config.xmpp.resume_seconds)),
        contacts: fields
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(field, list)| (field.to_owned(), list.clone()))
            .collect(),
        ..Default::default()
    }
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
    if address.ip().is_loopback() {
        return Some(format!("{scheme}://{address}"));
    }
    Some(format!("{scheme}://{}:{}", config.domain, address.port()))
}
