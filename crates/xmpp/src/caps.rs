//! XEP-0115: what a client can do, learned once per software.

use std::collections::BTreeSet;

use crate::wire::Str;

/// What a client can do and wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Its features; empty while not known.
    pub features: BTreeSet<Str>,
}

impl Caps {
    /// Whether it has a feature.
    pub fn has(&self, feature: &str) -> bool {
        self.features.contains(feature)
    }

    /// XEP-0163 §4.3.2: whether it wants notifications of this node.
    pub fn notifies(&self, node: &str) -> bool {
        self.features.contains(&*format!("{node}+notify"))
    }
}

/// A question of the node to a client.
pub enum Asked {
    /// What it can do; the text is the hash it announced.
    Caps(Str),
    /// Whether it is still there.
    Ping,
}
