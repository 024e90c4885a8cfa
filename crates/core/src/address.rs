//! Addresses: how to reach anyone, on any network.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A DNS domain in lower case, such as `example.org`. At most 253 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Arc<str>);

/// The name of an account: `[a-z][a-z0-9._-]*`, at most 64 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// The name of a room on this node: lower-case text that is valid as a JID localpart (RFC 7622 §3.3),
/// as an IRC channel name behind its `#` and as a Matrix alias. At most 64 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

/// A foreign network that this node can speak with: `xmpp`, `matrix`, `irc`, `mail`, `sip`, …
/// `[a-z][a-z0-9]*`, at most 16 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkName(Arc<str>);

/// Why a text is no address, name or domain.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum InvalidAddress {
    /// Nothing was given where something has to be.
    #[error("it is empty")]
    Empty,
    /// Longer than its kind may be.
    #[error("it is too long")]
    TooLong,
    /// A character that its kind may not have.
    #[error("it has a character that is not allowed there")]
    Character,
}

/// Names that certificate authorities and RFC 2142 give a meaning; nobody may register them.
pub const RESERVED_NAMES: &[&str] = &[
    "abuse",
    "admin",
    "administrator",
    "ftp",
    "hostmaster",
    "info",
    "is",
    "it",
    "list",
    "mail",
    "mailer-daemon",
    "marketing",
    "mis",
    "news",
    "nobody",
    "noc",
    "noreply",
    "no-reply",
    "postmaster",
    "root",
    "sales",
    "sammen",
    "security",
    "ssladmin",
    "ssladministrator",
    "sslwebmaster",
    "support",
    "sysadmin",
    "usenet",
    "uucp",
    "webmaster",
    "www",
];

macro_rules! text_type {
    ($t:ident) => {
        impl $t {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                $t::new(&text).map_err(serde::de::Error::custom)
            }
        }
        impl AsRef<str> for $t {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::str::FromStr for $t {
            type Err = InvalidAddress;
            fn from_str(text: &str) -> Result<Self, InvalidAddress> {
                $t::new(text)
            }
        }
    };
}
text_type!(Domain);
text_type!(Name);
text_type!(RoomName);
text_type!(NetworkName);
text_type!(Address);

fn bounded(text: &str, most: usize) -> Result<(), InvalidAddress> {
    if text.is_empty() {
        return Err(InvalidAddress::Empty);
    }
    if text.len() > most {
        return Err(InvalidAddress::TooLong);
    }
    Ok(())
}

impl Domain {
    /// Parses and lower-cases a domain; a trailing dot is dropped.
    pub fn new(text: &str) -> Result<Self, InvalidAddress> {
        let text = text.strip_suffix('.').unwrap_or(text);
        bounded(text, 253)?;
        let good = text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        });
        if !good {
            return Err(InvalidAddress::Character);
        }
        Ok(Self(text.to_lowercase().into()))
    }
}

impl Name {
    /// Parses an account name; upper case is folded.
    pub fn new(text: &str) -> Result<Self, InvalidAddress> {
        bounded(text, 64)?;
        let text = text.to_ascii_lowercase();
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        if !first
            || !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        {
            return Err(InvalidAddress::Character);
        }
        Ok(Self(text.into()))
    }

    /// Whether the name has a meaning of its own and can't be registered.
    pub fn is_reserved(&self) -> bool {
        self.as_str().starts_with("guest-") || RESERVED_NAMES.contains(&self.as_str())
    }
}

impl RoomName {
    /// Parses a room's name; upper case is folded.
    pub fn new(text: &str) -> Result<Self, InvalidAddress> {
        bounded(text, 64)?;
        let bad = |c: char| c.is_whitespace() || c.is_control() || "\"&'/:<>@,#".contains(c);
        if text.chars().any(bad) {
            return Err(InvalidAddress::Character);
        }
        let text = text.to_lowercase();
        bounded(&text, 64)?;
        Ok(Self(text.into()))
    }
}

impl NetworkName {
    /// Parses a network's name.
    pub fn new(text: &str) -> Result<Self, InvalidAddress> {
        bounded(text, 16)?;
        let good = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !good || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(InvalidAddress::Character);
        }
        Ok(Self(text.into()))
    }
}

/// How to reach anyone: an account of this node, a room of this node, a guest, or someone on a network.
///
/// Its text is canonical, so two equal addresses have equal texts:
/// `alice@example.org` (account), `#town@example.org` (room), `guest:7f3a…@example.org` (guest),
/// `xmpp:bob@other.net` (network and that network's own identifier). At most 1,024 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(Arc<str>);

/// What an [`Address`] says, taken apart.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum AddressParts<'a> {
    /// An account of this node.
    Account {
        /// Its name.
        name: &'a str,
        /// Its domain.
        domain: &'a str,
    },
    /// A room of this node.
    Room {
        /// Its name.
        name: &'a str,
        /// Its domain.
        domain: &'a str,
    },
    /// A visitor without an account.
    Guest {
        /// What tells guests apart.
        id: &'a str,
        /// The domain that let the guest in.
        domain: &'a str,
    },
    /// Someone or something on another network.
    Remote {
        /// The network.
        network: &'a str,
        /// That network's own identifier.
        id: &'a str,
    },
}

impl Address {
    /// Parses the canonical text.
    pub fn new(text: &str) -> Result<Self, InvalidAddress> {
        bounded(text, 1024)?;
        if let Some(rest) = text.strip_prefix('#') {
            let (name, domain) = rest.rsplit_once('@').ok_or(InvalidAddress::Character)?;
            return Ok(Self::room(&Domain::new(domain)?, &RoomName::new(name)?));
        }
        if let Some((network, id)) = text.split_once(':') {
            if network == "guest" {
                let (id, domain) = id.rsplit_once('@').ok_or(InvalidAddress::Character)?;
                return Self::guest(&Domain::new(domain)?, id);
            }
            return Self::remote(&NetworkName::new(network)?, id);
        }
        let (name, domain) = text.split_once('@').ok_or(InvalidAddress::Character)?;
        Ok(Self::account(&Domain::new(domain)?, &Name::new(name)?))
    }

    /// The address of an account.
    pub fn account(domain: &Domain, name: &Name) -> Self {
        Self(format!("{name}@{domain}").into())
    }

    /// The address of a room.
    pub fn room(domain: &Domain, name: &RoomName) -> Self {
        Self(format!("#{name}@{domain}").into())
    }

    /// The address of a guest.
    pub fn guest(domain: &Domain, id: &str) -> Result<Self, InvalidAddress> {
        bounded(id, 64)?;
        if !id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(InvalidAddress::Character);
        }
        Ok(Self(format!("guest:{id}@{domain}").into()))
    }

    /// The address of someone on another network. The identifier must be that network's canonical form:
    /// core compares it byte for byte.
    pub fn remote(network: &NetworkName, id: &str) -> Result<Self, InvalidAddress> {
        bounded(id, 1000)?;
        if id.chars().any(char::is_control) {
            return Err(InvalidAddress::Character);
        }
        Ok(Self(format!("{network}:{id}").into()))
    }

    /// The parts of the address.
    pub fn parts(&self) -> AddressParts<'_> {
        let text = &*self.0;
        let split = |text: &'_ str| text.len() - text.rsplit('@').next().map_or(0, str::len);
        if let Some(rest) = text.strip_prefix('#') {
            let at = split(rest);
            return AddressParts::Room {
                name: &rest[..at.saturating_sub(1)],
                domain: &rest[at..],
            };
        }
        if let Some((network, id)) = text.split_once(':') {
            if network == "guest" {
                let at = split(id);
                return AddressParts::Guest {
                    id: &id[..at.saturating_sub(1)],
                    domain: &id[at..],
                };
            }
            return AddressParts::Remote { network, id };
        }
        let at = split(text);
        AddressParts::Account {
            name: &text[..at.saturating_sub(1)],
            domain: &text[at..],
        }
    }

    /// Whether this is an account of this node.
    pub fn is_account(&self) -> bool {
        matches!(self.parts(), AddressParts::Account { .. })
    }

    /// Whether this is a visitor without an account.
    pub fn is_guest(&self) -> bool {
        self.0.starts_with("guest:")
    }

    /// Whether this is a room of this node.
    pub fn is_room(&self) -> bool {
        self.0.starts_with('#')
    }

    /// The network, for an address on another network.
    pub fn network(&self) -> Option<&str> {
        match self.parts() {
            AddressParts::Remote { network, .. } => Some(network),
            _ => None,
        }
    }

    /// The name of an account or room, the id of a guest or remote address.
    pub fn name(&self) -> &str {
        match self.parts() {
            AddressParts::Account { name, .. } | AddressParts::Room { name, .. } => name,
            AddressParts::Guest { id, .. } | AddressParts::Remote { id, .. } => id,
        }
    }

    /// The domain of an account, room or guest.
    pub fn domain(&self) -> Option<&str> {
        match self.parts() {
            AddressParts::Account { domain, .. }
            | AddressParts::Room { domain, .. }
            | AddressParts::Guest { domain, .. } => Some(domain),
            AddressParts::Remote { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip() {
        for text in [
            "alice@example.org",
            "#town@example.org",
            "guest:a1@example.org",
            "xmpp:bob@other.net",
            "matrix:@carol:m.org",
            "#å.b@x.y",
        ] {
            let address = Address::new(text).unwrap();
            assert_eq!(address.as_str(), text);
        }
        let remote = Address::new("matrix:@carol:m.org").unwrap();
        assert_eq!(
            remote.parts(),
            AddressParts::Remote {
                network: "matrix",
                id: "@carol:m.org"
            }
        );
        assert_eq!(Address::new("#town@example.org").unwrap().name(), "town");
    }

    #[test]
    fn names_are_narrow() {
        assert_eq!(Name::new("Alice").unwrap().as_str(), "alice");
        for bad in ["", "1a", "a b", "ä", "a@b", &"a".repeat(65)] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
        assert!(Name::new("postmaster").unwrap().is_reserved());
        assert!(Domain::new("a..b").is_err());
        assert_eq!(Domain::new("Example.ORG.").unwrap().as_str(), "example.org");
        assert!(RoomName::new("a b").is_err());
    }
}
