//! Certificates from files, chosen by the name a client asks for and replaced under running listeners.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{TlsError, der};

/// A certificate with its key.
pub(crate) struct Loaded {
    key: Arc<CertifiedKey>,
    end_point: Option<Vec<u8>>,
    not_after: Option<i64>,
}

impl Loaded {
    /// Reads a chain (leaf first) and its key, both PEM, and checks that they belong together.
    pub fn read(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let bad = |path: &Path, why: &dyn fmt::Display| TlsError::Certificate {
            path: path.to_owned(),
            why: why.to_string(),
        };
        let pem = std::fs::read(chain).map_err(|e| TlsError::file(chain, e))?;
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|e| bad(chain, &e))?;
        let leaf = certificates
            .first()
            .ok_or_else(|| bad(chain, &"no certificate in it"))?;
        let (end_point, not_after) = (der::server_end_point(leaf), der::not_after(leaf));
        let pem = zeroize::Zeroizing::new(std::fs::read(key).map_err(|e| TlsError::file(key, e))?);
        let secret = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| bad(key, &e))?;
        let certified = CertifiedKey::from_der(
            certificates,
            secret,
            &rustls::crypto::ring::default_provider(),
        )
        .map_err(|e| bad(key, &e))?;
        Ok(Self {
            key: Arc::new(certified),
            end_point,
            not_after,
        })
    }

    /// Whether the certificate is for this name or address.
    pub fn covers(&self, name: &str) -> bool {
        let Ok(name) = ServerName::try_from(name) else {
            return false;
        };
        self.key
            .cert
            .first()
            .and_then(|leaf| ParsedCertificate::try_from(leaf).ok())
            .is_some_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }

    pub fn not_after(&self) -> Option<i64> {
        self.not_after
    }
}

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM, the node's own certificate first, then the authorities between.
    pub chain: PathBuf,
    /// PEM, PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// A certificate that was read and fits its key, for whoever wants to know what it is worth.
pub struct Inspected(Loaded);

impl Inspected {
    /// Reads a certificate and its key.
    ///
    /// # Errors
    /// When one can't be read, or they don't belong together.
    pub fn read(files: &CertificateFiles) -> Result<Self, TlsError> {
        Loaded::read(&files.chain, &files.key).map(Self)
    }

    /// Whether it is for this name or address.
    pub fn covers(&self, name: &str) -> bool {
        self.0.covers(name)
    }

    /// The certificate, and those that stand behind it in its file.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.key.cert
    }

    /// From when on it holds, in seconds since 1970.
    pub fn not_before(&self) -> Option<i64> {
        Some(der::validity(self.chain().first()?)?.0)
    }

    /// Until when it holds, in seconds since 1970.
    pub fn not_after(&self) -> Option<i64> {
        self.0.not_after
    }
}

/// All certificates of the node; the first is shown to clients that ask for none or an unknown one.
pub(crate) struct Certificates(ArcSwap<Vec<Loaded>>);

impl Certificates {
    pub fn read(files: &[CertificateFiles]) -> Result<Self, TlsError> {
        Ok(Self(ArcSwap::from_pointee(read_all(files)?)))
    }

    /// All or nothing: on an error the old ones stay.
    pub fn reload(&self, files: &[CertificateFiles]) -> Result<(), TlsError> {
        self.0.store(Arc::new(read_all(files)?));
        Ok(())
    }

    pub fn end_point(&self, name: Option<&str>) -> Option<Vec<u8>> {
        choose(&self.0.load(), name).and_then(|loaded| loaded.end_point.clone())
    }

    /// The node's main certificate, to be shown to other servers.
    pub fn first(&self) -> Option<Arc<CertifiedKey>> {
        self.0.load().first().map(|loaded| Arc::clone(&loaded.key))
    }

    pub fn not_after(&self) -> Option<i64> {
        self.0.load().iter().filter_map(Loaded::not_after).min()
    }
}

fn read_all(files: &[CertificateFiles]) -> Result<Vec<Loaded>, TlsError> {
    if files.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    files
        .iter()
        .map(|f| Loaded::read(&f.chain, &f.key))
        .collect()
}

fn choose<'a>(all: &'a [Loaded], name: Option<&str>) -> Option<&'a Loaded> {
    name.filter(|_| all.len() > 1)
        .and_then(|name| all.iter().find(|l| l.covers(name)))
        .or(all.first())
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        choose(&self.0.load(), hello.server_name()).map(|loaded| Arc::clone(&loaded.key))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificates({})", self.0.load().len())
    }
}
