//! Documents: a keyed shelf for what is rare or belongs to one protocol.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::ids::Seq;

/// Whose shelf a document stands on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Owner {
    /// The node's own.
    Node,
    /// An account's (or a room's, or a remote person's), by address.
    Of(Address),
}

impl Owner {
    /// A text that is equal exactly for equal owners; what a store indexes.
    pub fn text(&self) -> &str {
        match self {
            Owner::Node => "",
            Owner::Of(address) => address.as_str(),
        }
    }
}

impl From<&Address> for Owner {
    fn from(address: &Address) -> Self {
        Owner::Of(address.clone())
    }
}

/// A tombstone, as upkeep finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Whose shelf it stands on.
    pub owner: Owner,
    /// Namespace on the shelf.
    pub namespace: String,
    /// Key in the namespace.
    pub key: String,
    /// Seq of the deletion.
    pub version: Seq,
}

/// How much stands in a namespace, without tombstones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    /// Documents.
    pub documents: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl Bulk {
    /// With one more.
    #[must_use]
    pub fn with(self, document: &Document) -> Self {
        let (count, bytes) = document.bulk();
        Self {
            documents: self.documents + count,
            bytes: self.bytes + bytes,
        }
    }

    /// With one less, which is among them.
    #[must_use]
    pub fn without(self, document: &Document) -> Self {
        let (count, bytes) = document.bulk();
        Self {
            documents: self.documents.saturating_sub(count),
            bytes: self.bytes.saturating_sub(bytes),
        }
    }
}

/// A document, or the tombstone of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its key within (owner, namespace).
    pub key: String,
    /// Seq of the write: its version.
    pub version: Seq,
    /// The bytes; `None` is a tombstone.
    pub value: Option<Bytes>,
}

impl Document {
    /// What it adds to its namespace: one and its bytes, or nothing.
    fn bulk(&self) -> (u64, u64) {
        let bytes = |value: &Bytes| (1, (self.key.len() + value.len()) as u64);
        self.value.as_ref().map_or((0, 0), bytes)
    }
}
