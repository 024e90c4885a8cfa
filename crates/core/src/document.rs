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
