//! Client certificates for EXTERNAL: any is taken, nobody has to have one.
//!
//! What counts is that the client proves to have the key; who it is follows from the certificate's fingerprint, which
//! its owner registered. So no authority is asked, and rustls still checks the handshake's signature.

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use crate::Hash;

/// SHA-256 of the first certificate in PEM text: what [`Channel::certificate`](crate::sasl::Channel::certificate) is of a
/// client that shows it. `None` where there is none.
pub fn fingerprint(pem: &[u8]) -> Option<[u8; 32]> {
    let certificate = CertificateDer::pem_slice_iter(pem).next()?.ok()?;
    Hash::Sha256.digest(&certificate).try_into().ok()
}

#[derive(Debug)]
pub(super) struct AnyClientCertificate {
    pub algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
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
