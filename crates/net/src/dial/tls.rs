//! TLS towards other servers. The handshake takes any certificate and tells which one it was; whether it proves anything
//! is asked afterwards ([`super::Trust`]), because a protocol may know other proofs (XMPP's dialback).

use std::io;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::connection::Stream;
use crate::tls::certificates::Certificates;

/// What the other side showed in the handshake.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its certificate and what it sent with it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The protocol that was agreed on (RFC 7301).
    pub alpn: Option<String>,
    /// `TLSv1_3`.
    pub version: &'static str,
}

/// Does handshakes as a client, with the node's own certificate where the other side asks for one.
pub struct ClientTls {
    plain: Arc<ClientConfig>,
    direct: Arc<ClientConfig>,
}

impl ClientTls {
    pub(crate) fn new(
        provider: Arc<CryptoProvider>,
        own: Arc<Certificates>,
        alpn: &str,
    ) -> Result<Self, Error> {
        let algorithms = provider.signature_verification_algorithms;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServerCertificate { algorithms }))
            .with_client_cert_resolver(Arc::new(Own(own)));
        // What the peer proves is looked at in each handshake.
        config.resumption = rustls::client::Resumption::disabled();
        let plain = Arc::new(config.clone());
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        Ok(Self {
            plain,
            direct: Arc::new(config),
        })
    }

    /// The handshake, for the server of `domain`; `direct` announces the protocol by ALPN (XEP-0368 §3). The caller
    /// limits its time.
    ///
    /// # Errors
    /// When it fails, or `domain` can be no server's name.
    pub async fn handshake(
        &self,
        tcp: TcpStream,
        domain: &str,
        direct: bool,
    ) -> io::Result<(Stream, Shown)> {
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        let config = if direct { &self.direct } else { &self.plain };
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, tcp)
            .await?;
        let tls = stream.get_ref().1;
        let shown = Shown {
            chain: tls
                .peer_certificates()
                .map(<[_]>::to_vec)
                .unwrap_or_default(),
            alpn: tls
                .alpn_protocol()
                .and_then(|name| String::from_utf8(name.to_vec()).ok()),
            version: tls
                .protocol_version()
                .and_then(|v| v.as_str())
                .unwrap_or("TLS"),
        };
        Ok((Stream::Out(Box::new(stream)), shown))
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientTls")
    }
}

/// The node's certificates, shown to servers that ask (SASL EXTERNAL).
#[derive(Debug)]
struct Own(Arc<Certificates>);

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0
            .first()
            .filter(|key| key.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct AnyServerCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyServerCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
