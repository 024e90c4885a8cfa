//! What SASL has to know of the connection below it: TLS or not, its channel bindings, the client's certificate.

/// The security layer below a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    /// TLS (or something as good: a local socket).
    pub secure: bool,
    /// `tls-exporter` (RFC 9266), on TLS 1.3.
    pub exporter: Option<[u8; 32]>,
    /// `tls-server-end-point` (RFC 5929 §4): hash of the server's certificate.
    pub server_end_point: Option<Vec<u8>>,
    /// SHA-256 of the client's certificate, where it sent one and proved to have the key.
    pub certificate: Option<[u8; 32]>,
}

impl Channel {
    /// Whether there is something to bind to.
    pub fn can_bind(&self) -> bool {
        !self.binding_types().is_empty()
    }

    /// The types on offer, the better one first; what XEP-0440 announces.
    pub fn binding_types(&self) -> Vec<&'static str> {
        [
            ("tls-exporter", self.exporter.is_some()),
            ("tls-server-end-point", self.server_end_point.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, there)| (self.secure && there).then_some(name))
        .collect()
    }

    /// The data of one type.
    pub fn binding(&self, kind: &str) -> Option<&[u8]> {
        match kind {
            "tls-exporter" => self.exporter.as_ref().map(<[u8; 32]>::as_slice),
            "tls-server-end-point" => self.server_end_point.as_deref(),
            _ => None,
        }
        .filter(|_| self.secure)
    }
}
