//! SCRAM verifiers: StoredKey and ServerKey per hash, with the salt and iteration count they were made with.

use std::num::NonZeroU32;

use rand::{CryptoRng, Rng};
use serde::{Deserialize, Serialize};

use crate::{hash::Hash, password::Prepared};

/// Bytes of salt: XEP-0438 §7 asks for at least 16.
const SALT_LENGTH: usize = 16;

/// PBKDF2 iteration counts for new credentials.
///
/// The default is 10,000 for each hash, the minimum of XEP-0438 §7 (RFC 5802 §5.1 and RFC 7677 §4 ask for at least
/// 4096): in SCRAM it is the *client*, often a phone, that pays at every login, and stored keys are only as strong as
/// the cheapest of the three hashes. App passwords are random, so that the count adds nothing to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Iterations {
    /// For SCRAM-SHA-1.
    pub sha1: NonZeroU32,
    /// For SCRAM-SHA-256 and for PLAIN.
    pub sha256: NonZeroU32,
    /// For SCRAM-SHA-512.
    pub sha512: NonZeroU32,
}

impl Iterations {
    pub(crate) const fn all(count: u32) -> Self {
        match NonZeroU32::new(count) {
            Some(n) => Self {
                sha1: n,
                sha256: n,
                sha512: n,
            },
            None => Self::quick(),
        }
    }

    /// The least that clients accept (4096), for a node that is only tried out.
    pub const fn quick() -> Self {
        Self::all(4096)
    }

    /// The count for one hash.
    pub fn of(&self, hash: Hash) -> NonZeroU32 {
        match hash {
            Hash::Sha1 => self.sha1,
            Hash::Sha256 => self.sha256,
            Hash::Sha512 => self.sha512,
        }
    }
}

impl Default for Iterations {
    fn default() -> Self {
        Self::all(10_000)
    }
}

/// Salt and iteration count of one hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The salt.
    #[serde(with = "base64_bytes")]
    pub salt: Vec<u8>,
    /// PBKDF2 rounds.
    pub iterations: NonZeroU32,
}

impl Params {
    /// The verifier of a password under these parameters (RFC 5802 §3). Takes milliseconds.
    pub(crate) fn verifier(&self, hash: Hash, password: &Prepared) -> Verifier {
        Verifier::from_salted(
            hash,
            &hash.salted_password(password.bytes(), &self.salt, self.iterations),
        )
    }
}

impl Verifier {
    /// From RFC 5802's SaltedPassword.
    pub fn from_salted(hash: Hash, salted: &[u8]) -> Self {
        let client_key = hash.hmac(salted, b"Client Key");
        Self {
            stored_key: hash.digest(&client_key),
            server_key: hash.hmac(salted, b"Server Key"),
        }
    }
}

/// The parameters of all hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParamsSet {
    sha1: Params,
    sha256: Params,
    sha512: Params,
}

impl ParamsSet {
    /// A distinct random salt for each hash (XEP-0438 §5.2).
    pub fn random(iterations: Iterations, rng: &mut impl CryptoRng) -> Self {
        let mut one = |hash| Params {
            salt: rng.random::<[u8; SALT_LENGTH]>().to_vec(),
            iterations: iterations.of(hash),
        };
        Self {
            sha1: one(Hash::Sha1),
            sha256: one(Hash::Sha256),
            sha512: one(Hash::Sha512),
        }
    }

    pub fn of(&self, hash: Hash) -> &Params {
        match hash {
            Hash::Sha1 => &self.sha1,
            Hash::Sha256 => &self.sha256,
            Hash::Sha512 => &self.sha512,
        }
    }

    /// Takes over what another server used.
    pub fn set(&mut self, hash: Hash, params: Params) {
        *match hash {
            Hash::Sha1 => &mut self.sha1,
            Hash::Sha256 => &mut self.sha256,
            Hash::Sha512 => &mut self.sha512,
        } = params;
    }

    pub fn verifiers(&self, password: &Prepared) -> Verifiers {
        let one = |hash| Some(self.of(hash).verifier(hash, password));
        Verifiers {
            sha1: one(Hash::Sha1),
            sha256: one(Hash::Sha256),
            sha512: one(Hash::Sha512),
        }
    }
}

/// What the server keeps of a password for one hash.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verifier {
    #[serde(with = "base64_bytes")]
    pub stored_key: Vec<u8>,
    #[serde(with = "base64_bytes")]
    pub server_key: Vec<u8>,
}

/// What the server keeps of a password: for all hashes, or for those that came along when the account moved in.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verifiers {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha1: Option<Verifier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Verifier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha512: Option<Verifier>,
}

impl Verifiers {
    /// Whether they are of the same password, as far as both know it.
    pub fn agree(&self, other: &Self) -> bool {
        let both = Hash::ALL
            .into_iter()
            .filter_map(|h| self.of(h).zip(other.of(h)));
        let mut both = both.peekable();
        both.peek().is_some() && both.all(|(a, b)| a == b)
    }

    pub fn of(&self, hash: Hash) -> Option<&Verifier> {
        match hash {
            Hash::Sha1 => &self.sha1,
            Hash::Sha256 => &self.sha256,
            Hash::Sha512 => &self.sha512,
        }
        .as_ref()
    }

    pub fn set(&mut self, hash: Hash, verifier: Verifier) {
        *match hash {
            Hash::Sha1 => &mut self.sha1,
            Hash::Sha256 => &mut self.sha256,
            Hash::Sha512 => &mut self.sha512,
        } = Some(verifier);
    }

    /// Whether there is one, and all keys have the length of their hash.
    pub fn are_whole(&self) -> bool {
        let there = Hash::ALL.map(|hash| (hash, self.of(hash)));
        there.iter().any(|(_, verifier)| verifier.is_some())
            && there.iter().all(|(hash, verifier)| {
                verifier.is_none_or(|v| {
                    v.stored_key.len() == hash.size() && v.server_key.len() == hash.size()
                })
            })
    }
}

/// Stands in for accounts that do not exist: salts that are the same at every try, so that nobody can find out which
/// names have accounts (RFC 5802 §9 warns of it).
#[derive(Clone)]
pub struct Decoy {
    key: ring::hmac::Key,
    iterations: Iterations,
}

impl Decoy {
    /// From a secret that the node keeps, and the iteration counts that new accounts get.
    pub fn new(node_secret: &[u8], iterations: Iterations) -> Self {
        Self {
            key: ring::hmac::Key::new(ring::hmac::HMAC_SHA256, node_secret),
            iterations,
        }
    }

    /// The parameters that an account of this name would seem to have.
    pub fn params(&self, hash: Hash, username: &str) -> Params {
        let text = format!("sammen decoy salt {} {username}", hash.name());
        let tag = ring::hmac::sign(&self.key, text.as_bytes());
        let salt = tag.as_ref().iter().copied().take(SALT_LENGTH).collect();
        Params {
            salt,
            iterations: self.iterations.of(hash),
        }
    }
}

/// Bytes as base64 text.
pub(crate) mod base64_bytes {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        BASE64_STANDARD
            .decode(String::deserialize(d)?)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoy_is_the_same_at_every_try_and_looks_like_an_account() {
        let decoy = Decoy::new(b"node", Iterations::default());
        let nobody = decoy.params(Hash::Sha256, "nobody");
        assert_eq!(nobody, decoy.params(Hash::Sha256, "nobody"));
        assert_ne!(nobody, decoy.params(Hash::Sha256, "somebody"));
        assert_ne!(nobody.salt, decoy.params(Hash::Sha1, "nobody").salt);
        assert_ne!(
            nobody,
            Decoy::new(b"other", Iterations::default()).params(Hash::Sha256, "nobody")
        );
        assert_eq!(nobody.salt.len(), SALT_LENGTH);
        assert_eq!(nobody.iterations, Iterations::default().sha256);
    }
}
