//! Binding listeners, and counting the connections that are on them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sammen_net::tls::{Acceptor, Tls};
use sammen_net::{Connection, ConnectionLimits, ListenError, Listener, ListenerConfig, Security};

use crate::config::{self, Listen};
use crate::metrics::Connections;
use crate::protocols::{Handler, Serving};

/// How long sessions may take to say goodbye when the node goes down.
pub const DRAIN: Duration = Duration::from_secs(4);

/// What listeners of one protocol have in common.
pub struct Family<'a> {
    /// `xmpp`, `irc`, `http`, `metrics`.
    pub name: &'static str,
    /// Its name in ALPN (RFC 7301).
    pub alpn: &'a [&'a str],
    /// Whether clients are asked for a certificate, for EXTERNAL.
    pub client_certificates: bool,
    /// Whether a listener in clear text understands TLS as well. Its clients must speak first.
    pub sniff: bool,
    /// For a TLS handshake.
    pub handshake: Duration,
}

/// A bound listener and how it is protected.
pub struct Bound {
    /// The listener.
    pub listener: Listener,
    /// How it is protected.
    pub security: config::Security,
}

impl Bound {
    /// Its address, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }
}

/// Binds all listeners of a protocol.
///
/// # Errors
/// When an address can't be listened on, or TLS is not there.
pub fn bind(
    family: &Family<'_>,
    listen: &[Listen],
    tls: &Tls,
    limits: &Arc<ConnectionLimits>,
) -> anyhow::Result<Vec<Bound>> {
    let mut acceptor: Option<Arc<Acceptor>> = None;
    let mut bound = Vec::new();
    for one in listen {
        let acceptor = match &acceptor {
            Some(acceptor) => acceptor.clone(),
            None => acceptor
                .insert(tls.acceptor(family.alpn, family.client_certificates)?)
                .clone(),
        };
        let security = match one.security {
            config::Security::Tls => Security::Tls(acceptor),
            config::Security::Starttls => Security::StartTls(acceptor),
            config::Security::Plain => Security::Plain {
                tls: family.sniff.then_some(acceptor),
                beyond_loopback: one.plain_beyond_loopback,
            },
        };
        let listener = bind_one(family, one.address, security, limits)?;
        bound.push(Bound {
            listener,
            security: one.security,
        });
    }
    Ok(bound)
}

/// Binds one listener.
///
/// # Errors
/// When the address can't be listened on.
pub fn bind_one(
    family: &Family<'_>,
    address: SocketAddr,
    security: Security,
    limits: &Arc<ConnectionLimits>,
) -> Result<Listener, ListenError> {
    let config = ListenerConfig {
        name: family.name,
        address,
        security,
        handshake_timeout: family.handshake,
        drain: DRAIN,
    };
    Listener::bind(config, Arc::clone(limits))
}

/// Counts a connection for as long as its handler runs.
pub fn counted(
    connections: Arc<Connections>,
    handler: Handler,
) -> impl Fn(Connection) -> Serving + Send + Sync + 'static {
    struct Ends(Arc<Connections>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.now.fetch_sub(1, Ordering::Relaxed);
        }
    }
    move |connection| {
        connections.now.fetch_add(1, Ordering::Relaxed);
        connections.ever.fetch_add(1, Ordering::Relaxed);
        let ends = Ends(Arc::clone(&connections));
        let served = handler(connection);
        Box::pin(async move {
            let _ends = ends;
            served.await;
        })
    }
}
