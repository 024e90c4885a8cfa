//! Documents of this crate: which namespaces there are, and JSON in and out of them.
//!
//! A document's version is a seq of the node's one order, so what changed since a sync token is read by
//! [`Store::documents_since`](sammen_core::store::Store::documents_since) everywhere.

use bytes::Bytes;
use sammen_core::{Outcome, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Encodes a document.
///
/// # Errors
/// Never for this crate's own types.
pub fn encode<T: Serialize>(value: &T) -> Outcome<Bytes> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|_| Refusal::Invalid("it can't be encoded"))
}

/// Decodes a document; a damaged one is told in the log and counts as absent.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes)
        .inspect_err(|error| tracing::warn!(%error, "a document of the Matrix side is damaged"))
        .ok()
}
