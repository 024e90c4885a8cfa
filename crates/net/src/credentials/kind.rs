//! What a password is: the passphrase or an app password, its id, and where it may be used.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

/// Names one password of an account; the passphrase is [`PasswordId::PASSPHRASE`], app passwords have random ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PasswordId(pub(super) u64);

impl PasswordId {
    /// The account's own passphrase, the only one that may change credentials.
    pub const PASSPHRASE: Self = Self(0);

    /// Reads what `Display` wrote (16 hexadecimal digits).
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16)
            .then(|| u64::from_str_radix(text, 16).ok())
            .flatten()
            .map(Self)
    }
}

impl fmt::Display for PasswordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for PasswordId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PasswordId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a password id"))
    }
}

/// Where an app password or certificate may be used: names such as `xmpp`, `irc`; empty means everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<String>);

impl Scopes {
    /// Every protocol.
    pub fn everywhere() -> Self {
        Self::default()
    }

    /// Only these.
    pub fn only<S: Into<String>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self(scopes.into_iter().map(Into::into).collect())
    }

    /// Whether the protocol named so is among them.
    pub fn allow(&self, scope: &str) -> bool {
        self.0.is_empty() || self.0.contains(scope)
    }

    /// The names; none means everywhere.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// What a login was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The account's passphrase.
    Passphrase,
    /// A named app password.
    App {
        /// What the person called it: "phone".
        name: String,
        /// Where it may be used.
        scopes: Scopes,
    },
}

impl Kind {
    /// The name of an app password; `None` for the passphrase.
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Passphrase => None,
            Self::App { name, .. } => Some(name),
        }
    }
}
