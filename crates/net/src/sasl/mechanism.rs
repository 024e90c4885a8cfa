//! The names of SASL mechanisms.

use std::fmt;

use crate::hash::Hash;

/// A mechanism that this node speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4422 appendix A: the identity of the client's certificate.
    External,
    /// RFC 5802, RFC 7677.
    Scram {
        /// The hash.
        hash: Hash,
        /// With channel binding.
        plus: bool,
    },
    /// RFC 4616.
    Plain,
}

impl Mechanism {
    /// All, strongest first: proof bound to the channel before proof without, PLAIN last.
    pub fn all() -> Vec<Self> {
        let scram = |plus| {
            Hash::ALL
                .into_iter()
                .map(move |hash| Self::Scram { hash, plus })
        };
        std::iter::once(Self::External)
            .chain(scram(true))
            .chain(scram(false))
            .chain([Self::Plain])
            .collect()
    }

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::Scram {
                hash: Hash::Sha1,
                plus: false,
            } => "SCRAM-SHA-1",
            Self::Scram {
                hash: Hash::Sha1,
                plus: true,
            } => "SCRAM-SHA-1-PLUS",
            Self::Scram {
                hash: Hash::Sha256,
                plus: false,
            } => "SCRAM-SHA-256",
            Self::Scram {
                hash: Hash::Sha256,
                plus: true,
            } => "SCRAM-SHA-256-PLUS",
            Self::Scram {
                hash: Hash::Sha512,
                plus: false,
            } => "SCRAM-SHA-512",
            Self::Scram {
                hash: Hash::Sha512,
                plus: true,
            } => "SCRAM-SHA-512-PLUS",
            Self::Plain => "PLAIN",
        }
    }

    /// The mechanism of a name; case does not matter, since IRC clients write it as they like.
    pub fn parse(name: &str) -> Option<Self> {
        Self::all()
            .into_iter()
            .find(|m| m.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for mechanism in Mechanism::all() {
            assert_eq!(Mechanism::parse(mechanism.name()), Some(mechanism));
        }
        assert_eq!(Mechanism::all().len(), 8);
        assert_eq!(Mechanism::parse("plain"), Some(Mechanism::Plain));
        assert_eq!(Mechanism::parse("CRAM-MD5"), None);
    }
}
