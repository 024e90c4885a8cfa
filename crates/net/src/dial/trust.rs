//! What a certificate proves: that an authority we trust says that its holder is the server of a domain (RFC 5280, RFC
//! 6125, RFC 7712). The same check for servers we connect to and for those that connect to us.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use crate::tls::TlsError;

/// Why a certificate proves nothing about a domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// None was shown.
    #[error("no certificate was shown")]
    None,
    /// No authority is trusted at all.
    #[error("no authority is configured, and the system has none")]
    NoAuthorities,
    /// Expired, for other names, by an unknown authority, …
    #[error("{0}")]
    Invalid(String),
}

/// The authorities that are trusted.
#[derive(Debug)]
pub struct Trust {
    verifier: Option<Arc<WebPkiServerVerifier>>,
}

impl Trust {
    /// Trusts the authorities in these PEM files and, with `system`, those of the system.
    ///
    /// # Errors
    /// When a file can't be read or holds no certificate.
    pub fn new(files: &[PathBuf], system: bool) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        if system {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!("an authority of the system can't be read: {error}");
            }
            roots.add_parsable_certificates(found.certs);
        }
        for path in files {
            let wrong = |why: String| TlsError::Certificate {
                path: path.clone(),
                why,
            };
            let pem = fs::read(path).map_err(|source| TlsError::File {
                path: path.clone(),
                source,
            })?;
            let mut found = 0;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
                roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
                found += 1;
            }
            if found == 0 {
                return Err(wrong("it holds no certificate".into()));
            }
        }
        let verifier = if roots.is_empty() {
            None
        } else {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            Some(build(roots, provider)?)
        };
        Ok(Self { verifier })
    }

    /// The check itself, for handshakes that fail where it does.
    pub(crate) fn verifier(&self) -> Option<Arc<WebPkiServerVerifier>> {
        self.verifier.clone()
    }

    /// Whether a chain proves that its holder is the server of `domain`.
    ///
    /// # Errors
    /// Why it does not.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        domain: &str,
        now: SystemTime,
    ) -> Result<(), Untrusted> {
        let (first, rest) = chain.split_first().ok_or(Untrusted::None)?;
        let verifier = self.verifier.as_ref().ok_or(Untrusted::NoAuthorities)?;
        let name = ServerName::try_from(domain).map_err(|e| Untrusted::Invalid(e.to_string()))?;
        let since = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        verifier
            .verify_server_cert(first, rest, &name, &[], UnixTime::since_unix_epoch(since))
            .map(drop)
            .map_err(|e| Untrusted::Invalid(e.to_string()))
    }
}

fn build(
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| TlsError::Generate(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{Source, Tls};

    #[test]
    fn a_certificate_proves_its_own_domains_to_who_trusts_its_authority() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let source = Source::Own {
            folder: folder.path().to_owned(),
            names: vec!["other.net".into(), "rooms.other.net".into()],
        };
        Tls::new(source, now).unwrap();
        let pem = fs::read(folder.path().join("cert.pem")).unwrap();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .map(Result::unwrap)
            .collect();
        let trust = Trust::new(&[folder.path().join("ca.pem")], false).unwrap();
        assert_eq!(trust.verify(&chain, "other.net", now), Ok(()));
        assert_eq!(trust.verify(&chain, "rooms.other.net", now), Ok(()));
        let wrong = |domain, at| trust.verify(&chain, domain, at).unwrap_err().to_string();
        assert!(wrong("evil.net", now).contains("not valid for name"));
        assert!(wrong("other.net", now + Duration::from_secs(1000 * 86_400)).contains("expired"));
        assert_eq!(trust.verify(&[], "other.net", now), Err(Untrusted::None));
        let nobody = Trust::new(&[], false).unwrap();
        assert_eq!(
            nobody.verify(&chain, "other.net", now),
            Err(Untrusted::NoAuthorities)
        );
        assert!(Trust::new(&[folder.path().join("key.pem")], false).is_err());
    }
}
