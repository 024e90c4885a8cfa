//! A node's listener on loopback and clients that trust it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use sammen_net::{
    CancellationToken, Connection, ConnectionLimits, Listener, ListenerConfig, Security,
    tls::{Acceptor, Source, Tls},
};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
        time_provider::TimeProvider,
        version::{TLS12, TLS13},
    },
};

/// So long that no test ever waits for it, save those that move the clock.
pub const LONG: Duration = Duration::from_secs(600);

/// The day on which the plays happen, for certificates.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + TODAY
}

const TODAY: Duration = Duration::from_secs(1_800_000_000);

#[derive(Debug)]
struct Today;

impl TimeProvider for Today {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(TODAY))
    }
}

/// A listening node.
pub struct Node {
    pub address: SocketAddr,
    pub limits: Arc<ConnectionLimits>,
    pub shutdown: CancellationToken,
    pub served: JoinHandle<()>,
}

/// TLS with the node's own certificate in `folder`.
pub fn tls(folder: &Path) -> Tls {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    Tls::new(
        Source::Own {
            folder: folder.to_owned(),
            names,
        },
        now(),
    )
    .unwrap()
}

pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub fn config(security: Security) -> ListenerConfig {
    ListenerConfig {
        name: "test",
        address: loopback(),
        security,
        handshake_timeout: LONG,
        drain: LONG,
    }
}

/// Starts a listener with some limits.
pub fn listen<H, F>(security: Security, (total, per_place): (usize, usize), handler: H) -> Node
where
    H: Fn(Connection) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let limits = ConnectionLimits::new(total, per_place);
    let listener = Listener::bind(config(security), Arc::clone(&limits)).unwrap();
    let (address, shutdown) = (listener.local_addr(), CancellationToken::new());
    let served = tokio::spawn(listener.serve(handler, shutdown.clone()));
    Node {
        address,
        limits,
        shutdown,
        served,
    }
}

/// How a client does TLS.
#[derive(Default)]
pub struct Trust {
    pub tls12: bool,
    pub alpn: Option<&'static str>,
    /// PEM of a certificate and key.
    pub identity: Option<(String, String)>,
}

impl Trust {
    pub fn connector(self, folder: &Path) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap())
            .unwrap();
        let versions = [if self.tls12 { &TLS12 } else { &TLS13 }];
        let builder =
            ClientConfig::builder_with_details(default_provider().into(), Arc::new(Today))
                .with_protocol_versions(&versions)
                .unwrap()
                .with_root_certificates(roots);
        let mut config = match self.identity {
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PemObject::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self
            .alpn
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// A TLS connection to the node.
pub async fn connect(
    address: SocketAddr,
    connector: &TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    upgrade(tcp, connector).await
}

pub async fn upgrade(
    tcp: TcpStream,
    connector: &TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    connector
        .connect(ServerName::try_from("localhost").unwrap(), tcp)
        .await
}

pub fn acceptor(tls: &Tls) -> Arc<Acceptor> {
    tls.acceptor(&[], false).unwrap()
}
