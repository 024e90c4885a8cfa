//! TLS 1.2 and 1.3 with rustls: the node's certificates, and one acceptor per listener.

pub(crate) mod certificates;
mod client_certificate;
mod der;
mod generate;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{
    ProtocolVersion, ServerConfig, ServerConnection, crypto::CryptoProvider,
    pki_types::CertificateDer, server::NoServerSessionStorage,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub use certificates::{CertificateFiles, Inspected};
pub use client_certificate::fingerprint;

use sammen_core::setting::Setting;

use crate::sasl::Channel;
use certificates::Certificates;
use client_certificate::AnyClientCertificate;

/// What is wrong with TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no usable certificate or key.
    #[error("{}: {why}", path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No certificate was configured.
    #[error("no certificate is configured")]
    NoCertificate,
    /// The node's own certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Generate(String),
    /// rustls refuses the configuration.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

impl TlsError {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

/// Where the node's certificates come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Made at first start and kept as `ca.pem`, `cert.pem`, `key.pem` (mode 0600) in this folder.
    Own {
        /// The folder.
        folder: PathBuf,
        /// Domains and addresses that clients connect to.
        names: Vec<String>,
    },
    /// Files that someone else renews; read again by [`Tls::reload`].
    Files(Vec<CertificateFiles>),
}

/// The node's TLS identity, shared by all listeners.
pub struct Tls {
    source: Setting<Source>,
    certificates: Arc<Certificates>,
    provider: Arc<CryptoProvider>,
    ticketer: Arc<dyn rustls::server::ProducesTickets>,
}

impl Tls {
    /// Reads the certificates, or makes them. `now` is what a new certificate's validity starts from.
    pub fn new(source: Source, now: SystemTime) -> Result<Self, TlsError> {
        if let Source::Own { folder, names } = &source
            && generate::ensure(folder, names, now)?
        {
            tracing::info!(folder = %folder.display(), "made a certificate for {}", names.join(", "));
        }
        Ok(Self {
            certificates: Arc::new(Certificates::read(&files(&source))?),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            // Tickets are encrypted under keys of this process that rotate: nothing is kept per client.
            ticketer: rustls::crypto::ring::Ticketer::new()?,
            source: Setting::new(source),
        })
    }

    /// Reads the certificates again, or renews the node's own; they may come from elsewhere now. On an error the old ones
    /// stay in use. Connections that exist are not touched.
    pub fn reload(&self, source: Source, now: SystemTime) -> Result<(), TlsError> {
        if let Source::Own { folder, names } = &source {
            generate::ensure(folder, names, now)?;
        }
        self.certificates.reload(&files(&source))?;
        self.source.set(source);
        Ok(())
    }

    /// Where the certificates come from.
    pub fn source(&self) -> Source {
        Source::clone(&self.source.get())
    }

    /// The file with the authority that clients have to trust, where the node made its own.
    pub fn authority(&self) -> Option<PathBuf> {
        match &*self.source.get() {
            Source::Own { folder, .. } => Some(folder.join(generate::CA)),
            Source::Files(_) => None,
        }
    }

    /// When the first of the certificates expires, in seconds since 1970.
    pub fn expires(&self) -> Option<i64> {
        self.certificates.not_after()
    }

    /// For connections to other servers: the node's own certificate is shown to those that ask. `alpn` is announced
    /// where TLS comes first.
    ///
    /// # Errors
    /// When rustls refuses the configuration.
    pub fn client(&self, alpn: &str) -> Result<crate::dial::ClientTls, TlsError> {
        let own = Arc::clone(&self.certificates);
        Ok(crate::dial::ClientTls::new(
            Arc::clone(&self.provider),
            own,
            alpn,
        )?)
    }

    /// An acceptor for listeners. With `alpn` names, a client that offers only others is refused (RFC 7301 §3.2); one
    /// that offers none is served. With `client_certificates`, clients are asked for one, for EXTERNAL.
    pub fn acceptor(
        &self,
        alpn: &[&str],
        client_certificates: bool,
    ) -> Result<Arc<Acceptor>, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?;
        let builder = if client_certificates {
            let algorithms = self.provider.signature_verification_algorithms;
            builder.with_client_cert_verifier(Arc::new(AnyClientCertificate { algorithms }))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.certificates) as _);
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.ticketer = Arc::clone(&self.ticketer);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(Arc::new(Acceptor {
            config: Arc::new(config),
            certificates: Arc::clone(&self.certificates),
        }))
    }
}

fn files(source: &Source) -> Vec<CertificateFiles> {
    match source {
        Source::Own { folder, .. } => {
            vec![CertificateFiles {
                chain: folder.join(generate::CERTIFICATE),
                key: folder.join(generate::KEY),
            }]
        }
        Source::Files(files) => files.clone(),
    }
}

/// Turns TCP connections into TLS connections.
pub struct Acceptor {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl Acceptor {
    /// The handshake. The caller limits its time.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, TlsInfo)> {
        let stream = TlsAcceptor::from(Arc::clone(&self.config))
            .accept(stream)
            .await?;
        let info = self.info(stream.get_ref().1);
        Ok((stream, info))
    }

    fn info(&self, tls: &ServerConnection) -> TlsInfo {
        // RFC 9266 §4.2 rules TLS 1.2 out unless the extended master secret was used, which rustls does not tell.
        let exporter = (tls.protocol_version() == Some(ProtocolVersion::TLSv1_3))
            .then(|| {
                tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
                    .ok()
            })
            .flatten();
        let chain = tls
            .peer_certificates()
            .map(<[_]>::to_vec)
            .unwrap_or_default();
        let certificate = chain.first().and_then(|leaf| {
            ring::digest::digest(&ring::digest::SHA256, leaf)
                .as_ref()
                .try_into()
                .ok()
        });
        TlsInfo {
            chain,
            channel: Channel {
                secure: true,
                exporter,
                server_end_point: self.certificates.end_point(tls.server_name()),
                certificate,
            },
            alpn: tls
                .alpn_protocol()
                .and_then(|name| String::from_utf8(name.to_vec()).ok()),
            server_name: tls.server_name().map(str::to_owned),
            version: tls
                .protocol_version()
                .and_then(|v| v.as_str())
                .unwrap_or("TLS"),
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

/// What is known of a TLS connection after its handshake.
#[derive(Clone, Debug)]
pub struct TlsInfo {
    /// The certificate that the client showed and what it sent with it; empty where it showed none.
    pub chain: Vec<CertificateDer<'static>>,
    /// For SASL: channel bindings and the client's certificate.
    pub channel: Channel,
    /// The protocol that was agreed on.
    pub alpn: Option<String>,
    /// The name that the client asked for.
    pub server_name: Option<String>,
    /// `TLSv1_3`.
    pub version: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::fs::PermissionsExt, time::Duration};

    fn own(folder: &Path, names: &[&str]) -> Source {
        Source::Own {
            folder: folder.to_owned(),
            names: names.iter().map(|n| (*n).to_owned()).collect(),
        }
    }

    #[test]
    fn a_certificate_is_made_once_and_again_for_new_names_or_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let names = ["localhost", "127.0.0.1"];
        let tls = Tls::new(own(folder.path(), &names), now).unwrap();
        assert_eq!(tls.expires(), Some(1_800_000_000 + 820 * 86_400));
        let (ca, first) = (read("ca.pem"), read("cert.pem"));
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            let mode = std::fs::metadata(folder.path().join(file))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let again = Tls::new(
            own(folder.path(), &names),
            now + Duration::from_secs(86_400),
        )
        .unwrap();
        assert_eq!(read("ca.pem"), ca, "a restart keeps what clients trust");
        assert_eq!(again.authority(), Some(folder.path().join("ca.pem")));
        Tls::new(own(folder.path(), &["localhost", "example.org"]), now).unwrap();
        let second = read("cert.pem");
        assert_ne!(second, first);
        Tls::new(
            own(folder.path(), &["example.org"]),
            now + Duration::from_secs(800 * 86_400),
        )
        .unwrap();
        assert_ne!(read("cert.pem"), second);
    }

    #[test]
    fn a_broken_file_leaves_the_old_certificate_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Tls::new(own(folder.path(), &["a.example"]), now).unwrap();
        let files = CertificateFiles {
            chain: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        let tls = Tls::new(Source::Files(vec![files.clone()]), now).unwrap();
        let before = tls.certificates.end_point(None);
        assert!(before.is_some());
        let good = std::fs::read(&files.chain).unwrap();
        std::fs::write(&files.chain, "nothing").unwrap();
        assert!(matches!(
            tls.reload(tls.source(), now),
            Err(TlsError::Certificate { .. })
        ));
        assert_eq!(tls.certificates.end_point(None), before);
        std::fs::write(&files.chain, good).unwrap();
        // A key that belongs to another certificate.
        let other = tempfile::tempdir().unwrap();
        Tls::new(own(other.path(), &["a.example"]), now).unwrap();
        std::fs::copy(other.path().join("key.pem"), &files.key).unwrap();
        assert!(matches!(
            tls.reload(tls.source(), now),
            Err(TlsError::Certificate { .. })
        ));
        std::fs::copy(other.path().join("cert.pem"), &files.chain).unwrap();
        tls.reload(tls.source(), now).unwrap();
        assert_ne!(tls.certificates.end_point(None), before);
        assert!(matches!(
            Tls::new(Source::Files(vec![]), now),
            Err(TlsError::NoCertificate)
        ));
    }
}
