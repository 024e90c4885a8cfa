//! Reaching other servers: where a domain's service is (SRV, addresses, configured routes), a TCP connection to it, TLS,
//! and what the other side's certificate proves.
//!
//! ```text
//! domain → route of the configuration | SRV (RFC 2782, XEP-0368) | A/AAAA and the usual port
//!        → addresses, raced (RFC 8305) → TcpStream → ClientTls::handshake → Trust::verify(chain, domain)
//! ```

mod dns;
pub(crate) mod race;
mod tls;
mod trust;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// A certificate as it stands in a handshake.
pub type Certificate = rustls::pki_types::CertificateDer<'static>;

pub use dns::Names;
pub use tls::{ClientTls, Shown};
pub use trust::{Trust, Untrusted};

/// Most targets of one domain that are tried.
const TARGETS: usize = 8;

/// A service as DNS knows it.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// SRV labels of the service that upgrades to TLS, such as `_xmpp-server._tcp`.
    pub starttls: &'static str,
    /// SRV labels of the service under TLS from the first byte.
    pub direct: Option<&'static str>,
    /// The port where there are no SRV records.
    pub port: u16,
}

/// Where a domain is, by configuration instead of by DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS from the first byte.
    pub direct_tls: bool,
}

/// One place to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS from the first byte.
    pub direct_tls: bool,
}

/// Why a domain's server was not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// DNS says that there is none (RFC 6120 §3.2: also SRV with the target `.`).
    #[error("{0} has no such service")]
    NoSuchService(String),
    /// Names can't be looked up just now, or lead nowhere.
    #[error("{domain} can't be looked up: {why}")]
    Lookup {
        /// The domain.
        domain: String,
        /// What DNS said.
        why: String,
    },
    /// There are only configured routes, and none for this domain.
    #[error("no route leads to {0}")]
    NoRoute(String),
    /// Nobody answers.
    #[error("{domain} can't be reached: {source}")]
    Unreachable {
        /// The domain.
        domain: String,
        /// The last try's error.
        source: io::Error,
    },
}

impl DialError {
    /// Whether trying again later can't be expected to help within minutes.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::NoSuchService(_) | Self::NoRoute(_))
    }
}

/// A connection to another server.
#[derive(Debug)]
pub struct Dialed {
    /// The connection, in clear.
    pub stream: TcpStream,
    /// TLS comes at once.
    pub direct_tls: bool,
    /// Where it leads.
    pub address: SocketAddr,
}

/// Finds and connects to other servers.
#[derive(Debug)]
pub struct Dialer {
    routes: HashMap<String, Route>,
    names: Option<Names>,
    patience: Duration,
}

impl Dialer {
    /// A dialer; without `names` only `routes` lead anywhere. `patience` is for one address.
    pub fn new(routes: HashMap<String, Route>, names: Option<Names>, patience: Duration) -> Self {
        Self {
            routes,
            names,
            patience,
        }
    }

    /// Whether anything is known of a service of this domain, without connecting.
    ///
    /// # Errors
    /// When the names can't be looked up.
    pub async fn targets(&self, domain: &str, service: &Service) -> Result<Vec<Target>, DialError> {
        if let Some(route) = self.routes.get(domain) {
            return Ok(vec![Target {
                host: route.host.clone(),
                port: route.port,
                direct_tls: route.direct_tls,
            }]);
        }
        match &self.names {
            Some(names) => names.targets(domain, service).await,
            None => Err(DialError::NoRoute(domain.to_owned())),
        }
    }

    /// Connects to the first target that answers.
    ///
    /// # Errors
    /// When there is none.
    pub async fn connect(&self, domain: &str, service: &Service) -> Result<Dialed, DialError> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for target in self
            .targets(domain, service)
            .await?
            .into_iter()
            .take(TARGETS)
        {
            match self.reach(&target).await {
                Ok(stream) => {
                    let address = match stream.peer_addr() {
                        Ok(address) => address,
                        Err(error) => {
                            last = error;
                            continue;
                        }
                    };
                    return Ok(Dialed {
                        stream,
                        direct_tls: target.direct_tls,
                        address,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(DialError::Unreachable {
            domain: domain.to_owned(),
            source: last,
        })
    }

    async fn reach(&self, target: &Target) -> io::Result<TcpStream> {
        let addresses = match (target.host.parse(), &self.names) {
            (Ok(ip), _) => vec![ip],
            (Err(_), Some(names)) => names.addresses(&target.host).await?,
            (Err(_), None) => tokio::net::lookup_host((target.host.as_str(), target.port))
                .await?
                .map(|a| a.ip())
                .collect(),
        };
        let sockets = race::interleaved(addresses)
            .into_iter()
            .map(|ip| SocketAddr::new(ip, target.port))
            .collect();
        let connect = |address: SocketAddr| async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        timeout(self.patience, race::first(sockets, connect))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const SERVICE: Service = Service {
        starttls: "_xmpp-server._tcp",
        direct: Some("_xmpps-server._tcp"),
        port: 5269,
    };

    #[tokio::test]
    async fn a_route_of_the_configuration_needs_no_dns() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let route = Route {
            host: "127.0.0.1".into(),
            port,
            direct_tls: true,
        };
        let routes = HashMap::from([("other.net".to_owned(), route)]);
        let dialer = Dialer::new(routes, None, Duration::from_secs(5));
        let dialed = dialer.connect("other.net", &SERVICE).await.unwrap();
        assert!(dialed.direct_tls && dialed.address.port() == port);
        let nowhere = dialer.connect("elsewhere.net", &SERVICE).await.unwrap_err();
        assert!(nowhere.is_final(), "{nowhere}");
        drop((listener, dialed));
        let gone = dialer.connect("other.net", &SERVICE).await.unwrap_err();
        assert!(matches!(gone, DialError::Unreachable { .. }) && !gone.is_final());
    }
}
