//! Why a stream of bytes is refused, and which stream error (RFC 6120 §4.9.3) says so.

use super::stream_error::{StreamCondition, StreamError};

/// What was wrong with the bytes. Each ends the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// Violates XML or its namespaces.
    #[error("not well-formed: {0}")]
    NotWellFormed(&'static str),
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    InvalidUtf8,
    /// The XML declaration names another encoding.
    #[error("encoding other than UTF-8")]
    OtherEncoding,
    /// XML that XMPP forbids: comments, processing instructions, document types, entities of one's own.
    #[error("forbidden in XMPP: {0}")]
    Restricted(&'static str),
    /// A limit of the node was passed.
    #[error("too much: {0}")]
    TooMuch(&'static str),
    /// XML that means nothing at this place, such as text between stanzas.
    #[error("out of place: {0}")]
    BadFormat(&'static str),
    /// The root is not a stream.
    #[error("not an XMPP stream")]
    NotAStream,
}

impl StreamFault {
    /// The defined condition to answer with.
    pub fn condition(&self) -> StreamCondition {
        match self {
            Self::NotWellFormed(_) => StreamCondition::NotWellFormed,
            // RFC 6120 §4.9.3.22 names violations of UTF-8 under this condition.
            Self::InvalidUtf8 | Self::OtherEncoding => StreamCondition::UnsupportedEncoding,
            Self::Restricted(_) => StreamCondition::RestrictedXml,
            Self::TooMuch(_) => StreamCondition::PolicyViolation,
            Self::BadFormat(_) => StreamCondition::BadFormat,
            Self::NotAStream => StreamCondition::InvalidNamespace,
        }
    }
}

impl From<StreamFault> for StreamError {
    fn from(fault: StreamFault) -> Self {
        StreamError::new(fault.condition()).with_text(fault.to_string())
    }
}
