//! The credentials of one account: a passphrase, named app passwords and client certificates, as verifiers only.
//!
//! All passwords of an account share salt and iteration count per hash: a SCRAM server names the salt before it knows
//! which password the client will use, and then tries the proof against each (RFC 5802 §3 leaves that to the server).
//! Verifiers for all hashes are written together, so that no client is locked out of a mechanism.

mod kind;
mod moved;

use std::fmt;

use rand::{CryptoRng, Rng};
use sammen_core::Credential;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

pub use crate::verifier::Iterations;
use crate::{
    Secret,
    hash::{Hash, xor},
    password::{self, PasswordError},
    verifier::{Params, ParamsSet, Verifiers, base64_bytes},
};

pub use kind::{Kind, PasswordId, Scopes};

/// Most app passwords of one account: each costs a SCRAM login one more HMAC.
pub const MAX_APP_PASSWORDS: usize = 32;
/// Most client certificates of one account.
pub const MAX_CERTIFICATES: usize = 32;
/// Longest name of an app password or certificate, in bytes.
pub const MAX_NAME: usize = 128;

/// One password as stored: no clear text, only verifiers.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// Its id within the account.
    pub id: PasswordId,
    /// Passphrase or app password.
    pub kind: Kind,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    verifiers: Verifiers,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Password {
    /// What sessions are known by that came in by it; `None` for the passphrase.
    pub fn credential(&self) -> Option<Credential> {
        self.kind.label().map(|name| Credential {
            id: self.id.to_string(),
            name: name.to_owned(),
        })
    }
}

/// A client certificate that may sign in with EXTERNAL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// What the person called it.
    pub name: String,
    /// SHA-256 of the certificate in DER.
    #[serde(with = "base64_bytes")]
    pub fingerprint: Vec<u8>,
    /// Where it may be used.
    pub scopes: Scopes,
    /// When it was added, in milliseconds since 1970.
    pub created_ms: u64,
}

impl Certificate {
    /// What sessions are known by that came in by it.
    pub fn credential(&self) -> Credential {
        let print = self.fingerprint.iter().map(|b| format!("{b:02x}"));
        Credential {
            id: print.collect(),
            name: self.name.clone(),
        }
    }
}

/// Why credentials were not changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CredentialError {
    /// The password itself does not do.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The account has as many as it may have.
    #[error("an account has at most {0} of these: remove one first")]
    TooMany(usize),
    /// Names are 1 to 128 bytes without control characters.
    #[error("a name is 1 to {MAX_NAME} bytes without control characters")]
    BadName,
    /// A certificate that is there already.
    #[error("this certificate was added before")]
    Known,
    /// Stored bytes that cannot be credentials.
    #[error("stored credentials are damaged: {0}")]
    Damaged(String),
}

/// The credentials of one account. Serialises with a version; verifiers only, nothing in clear.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    version: u8,
    /// Random, new with every change: what caches and sessions compare to notice one.
    stamp: u64,
    params: ParamsSet,
    passwords: Vec<Password>,
    certificates: Vec<Certificate>,
}

const VERSION: u8 = 1;

impl Credentials {
    /// Credentials without any password or certificate: nobody can sign in.
    pub fn empty(iterations: Iterations, rng: &mut impl CryptoRng) -> Self {
        Self {
            version: VERSION,
            stamp: rng.random(),
            params: ParamsSet::random(iterations, rng),
            passwords: Vec::new(),
            certificates: Vec::new(),
        }
    }

    /// Credentials with a passphrase. Costs three PBKDF2 runs: call it on a blocking thread.
    pub fn with_passphrase(
        passphrase: &Secret,
        iterations: Iterations,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, CredentialError> {
        let mut new = Self::empty(iterations, rng);
        new.set_passphrase(passphrase, iterations, now_ms, rng)?;
        Ok(new)
    }

    /// Sets or replaces the passphrase. Salts and iteration counts become new as well, unless app passwords depend on
    /// them, whose clear text nobody has. Costs three PBKDF2 runs.
    pub fn set_passphrase(
        &mut self,
        passphrase: &Secret,
        iterations: Iterations,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(), CredentialError> {
        let prepared = password::prepare_new(passphrase)?;
        self.passwords.retain(|p| p.id != PasswordId::PASSPHRASE);
        if self.passwords.is_empty() {
            // XEP-0438 §5.3: a new salt and the current count with each new password.
            self.params = ParamsSet::random(iterations, rng);
        }
        let verifiers = self.params.verifiers(&prepared);
        let id = PasswordId::PASSPHRASE;
        self.passwords.insert(
            0,
            Password {
                id,
                kind: Kind::Passphrase,
                created_ms: now_ms,
                verifiers,
            },
        );
        self.stamp = rng.random();
        Ok(())
    }

    /// Makes an app password and returns it in clear, the only time that anybody sees it. Costs three PBKDF2 runs.
    pub fn add_app_password(
        &mut self,
        name: &str,
        scopes: Scopes,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(PasswordId, Secret), CredentialError> {
        check_name(name)?;
        if self
            .passwords
            .iter()
            .filter(|p| p.id != PasswordId::PASSPHRASE)
            .count()
            >= MAX_APP_PASSWORDS
        {
            return Err(CredentialError::TooMany(MAX_APP_PASSWORDS));
        }
        let clear = password::random_app_password(rng);
        let verifiers = self.params.verifiers(&password::prepare_new(&clear)?);
        let id = loop {
            let id = PasswordId(rng.random());
            if id != PasswordId::PASSPHRASE && self.password(id).is_none() {
                break id;
            }
        };
        let kind = Kind::App {
            name: self.free_name(name),
            scopes,
        };
        self.passwords.push(Password {
            id,
            kind,
            created_ms: now_ms,
            verifiers,
        });
        self.stamp = rng.random();
        Ok((id, clear))
    }

    /// The name, or with a number behind it where another app password or certificate has it already: people tell them apart
    /// by it.
    fn free_name(&self, name: &str) -> String {
        let taken = |name: &str| {
            let mut labels = self.passwords.iter().filter_map(|p| p.kind.label());
            labels.any(|n| n == name) || self.certificates.iter().any(|c| c.name == name)
        };
        let numbered = |n: usize| {
            let number = format!(" {n}");
            let mut end = name.len().min(MAX_NAME.saturating_sub(number.len()));
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            name.get(..end).unwrap_or_default().to_owned() + &number
        };
        std::iter::once(name.to_owned())
            .chain((2..).map(numbered))
            .find(|name| !taken(name))
            .unwrap_or_default()
    }

    /// Revokes a password (an app password, or the passphrase of an account that shall only have app passwords).
    /// `false` if there was none of that id.
    pub fn remove_password(&mut self, id: PasswordId, rng: &mut impl CryptoRng) -> bool {
        let before = self.passwords.len();
        self.passwords.retain(|p| p.id != id);
        let removed = self.passwords.len() != before;
        if removed {
            self.stamp = rng.random();
        }
        removed
    }

    /// Lets a client certificate (SHA-256 of its DER) sign in with EXTERNAL.
    pub fn add_certificate(
        &mut self,
        name: &str,
        fingerprint: [u8; 32],
        scopes: Scopes,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(), CredentialError> {
        check_name(name)?;
        if self.certificate(&fingerprint).is_some() {
            return Err(CredentialError::Known);
        }
        if self.certificates.len() >= MAX_CERTIFICATES {
            return Err(CredentialError::TooMany(MAX_CERTIFICATES));
        }
        let fingerprint = fingerprint.to_vec();
        let name = self.free_name(name);
        self.certificates.push(Certificate {
            name,
            fingerprint,
            scopes,
            created_ms: now_ms,
        });
        self.stamp = rng.random();
        Ok(())
    }

    /// Takes a certificate's right to sign in away. `false` if it had none.
    pub fn remove_certificate(&mut self, fingerprint: &[u8; 32], rng: &mut impl CryptoRng) -> bool {
        let before = self.certificates.len();
        self.certificates.retain(|c| c.fingerprint != fingerprint);
        let removed = self.certificates.len() != before;
        if removed {
            self.stamp = rng.random();
        }
        removed
    }

    /// What let somebody in before and does no longer; `None` is the passphrase.
    pub fn revoked_since(&self, before: &Self) -> Vec<Option<Credential>> {
        let still = |old: &Password| {
            let now = self.password(old.id);
            now.is_some_and(|p| p.verifiers.agree(&old.verifiers) && p.kind == old.kind)
        };
        let passwords = before.passwords.iter().filter(|p| !still(p));
        let passwords = passwords.map(Password::credential);
        let gone = before.certificates.iter();
        let gone = gone.filter(|c| self.certificate(&c.fingerprint).is_none());
        passwords
            .chain(gone.map(|c| Some(c.credential())))
            .collect()
    }

    /// The passwords, for listing them.
    pub fn passwords(&self) -> &[Password] {
        &self.passwords
    }

    /// One password.
    pub fn password(&self, id: PasswordId) -> Option<&Password> {
        self.passwords.iter().find(|p| p.id == id)
    }

    /// The certificates, for listing them.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The certificate of this fingerprint, if it may sign in.
    pub fn certificate(&self, fingerprint: &[u8]) -> Option<&Certificate> {
        self.certificates
            .iter()
            .find(|c| c.fingerprint == fingerprint)
    }

    /// A random number that is new with every change of these credentials.
    pub fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Salt and iteration count of one hash.
    pub fn params(&self, hash: Hash) -> &Params {
        self.params.of(hash)
    }

    /// Checks a password in clear (PLAIN) against all: one PBKDF2 run with SHA-256, the cheapest of the verifiers per
    /// unit of strength. Takes milliseconds: call it on a blocking thread.
    pub fn matching_password(&self, clear: &Secret) -> Option<PasswordId> {
        let prepared = password::prepare(clear).ok()?;
        // An account that moved in may not have the usual hash yet.
        let order = [Hash::Sha256, Hash::Sha512, Hash::Sha1];
        let of = |p: &Password| order.into_iter().find(|h| p.verifiers.of(*h).is_some());
        let stored = order
            .into_iter()
            .filter(|hash| self.passwords.iter().any(|p| of(p) == Some(*hash)))
            .map(|hash| (hash, self.params(hash).verifier(hash, &prepared).stored_key));
        let mut found = None;
        for (hash, stored) in stored {
            // All are compared, in constant time each, so that the time does not tell which one was close.
            for password in self.passwords.iter().filter(|p| of(p) == Some(hash)) {
                let known = password.verifiers.of(hash);
                if known.is_some_and(|v| v.stored_key.ct_eq(&stored).into()) {
                    found = found.or(Some(password.id));
                }
            }
        }
        found
    }

    /// Tries a SCRAM client proof against each password (RFC 5802 §3): the matching one and the server signature.
    pub fn matching_proof(
        &self,
        hash: Hash,
        proof: &[u8],
        auth_message: &[u8],
    ) -> Option<(PasswordId, Vec<u8>)> {
        if proof.len() != hash.size() {
            return None;
        }
        self.passwords.iter().find_map(|password| {
            let verifier = password.verifiers.of(hash)?;
            let client_key = xor(proof, &hash.hmac(&verifier.stored_key, auth_message));
            let matches = bool::from(hash.digest(&client_key).ct_eq(&verifier.stored_key));
            matches.then(|| (password.id, hash.hmac(&verifier.server_key, auth_message)))
        })
    }

    /// As bytes for a document.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers, strings and lists always serialise")
    }

    /// From the bytes of a document.
    pub fn decode(bytes: &[u8]) -> Result<Self, CredentialError> {
        let damaged = |why: &str| CredentialError::Damaged(why.to_owned());
        let this: Self =
            serde_json::from_slice(bytes).map_err(|e| CredentialError::Damaged(e.to_string()))?;
        if this.version != VERSION {
            return Err(damaged("written by a newer version"));
        }
        if !this.passwords.iter().all(|p| p.verifiers.are_whole()) {
            return Err(damaged("a verifier has the wrong length"));
        }
        if this.passwords.len() > MAX_APP_PASSWORDS + 1
            || this.certificates.len() > MAX_CERTIFICATES
        {
            return Err(damaged("too many passwords or certificates"));
        }
        Ok(this)
    }
}

#[cfg(test)]
impl Credentials {
    /// Credentials of a published example: its salt, 4096 rounds, one password of any length.
    pub(crate) fn known(hash: Hash, salt: Vec<u8>, password: &str) -> Self {
        use rand::SeedableRng;
        let mut this = Self::empty(
            Iterations::quick(),
            &mut rand::rngs::StdRng::seed_from_u64(0),
        );
        let iterations = this.params(hash).iterations;
        this.params.set(hash, Params { salt, iterations });
        let verifiers = this
            .params
            .verifiers(&password::prepare(&password.into()).unwrap());
        let id = PasswordId::PASSPHRASE;
        this.passwords.push(Password {
            id,
            kind: Kind::Passphrase,
            created_ms: 0,
            verifiers,
        });
        this
    }
}

fn check_name(name: &str) -> Result<(), CredentialError> {
    let fine =
        !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    if fine {
        Ok(())
    } else {
        Err(CredentialError::BadName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn few() -> Iterations {
        Iterations::all(8)
    }

    #[test]
    fn passphrase_and_app_passwords_open_the_account_and_a_revoked_one_does_not() {
        let mut rng = StdRng::seed_from_u64(1);
        let phrase = Secret::new("correct horse");
        let mut alice = Credentials::with_passphrase(&phrase, few(), 1, &mut rng).unwrap();
        let stamp = alice.stamp();
        let (phone, clear) = alice
            .add_app_password("phone", Scopes::only(["xmpp"]), 2, &mut rng)
            .unwrap();
        assert_ne!(alice.stamp(), stamp, "caches notice the change");
        assert_eq!(
            alice.matching_password(&phrase),
            Some(PasswordId::PASSPHRASE)
        );
        assert_eq!(alice.matching_password(&clear), Some(phone));
        assert_eq!(alice.matching_password(&Secret::new("correct hors")), None);
        assert!(alice.remove_password(phone, &mut rng));
        assert!(!alice.remove_password(phone, &mut rng));
        assert_eq!(alice.matching_password(&clear), None);
    }

    #[test]
    fn a_new_passphrase_keeps_app_passwords_working_and_salts_change_when_none_depends_on_them() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut alice =
            Credentials::with_passphrase(&"first phrase".into(), few(), 1, &mut rng).unwrap();
        let salt = alice.params(Hash::Sha1).salt.clone();
        let (_, clear) = alice
            .add_app_password("desk", Scopes::everywhere(), 2, &mut rng)
            .unwrap();
        alice
            .set_passphrase(&"second phrase".into(), few(), 3, &mut rng)
            .unwrap();
        assert!(alice.matching_password(&clear).is_some());
        assert!(alice.matching_password(&"first phrase".into()).is_none());
        assert_eq!(alice.params(Hash::Sha1).salt, salt);
        let id = alice.passwords().last().unwrap().id;
        alice.remove_password(id, &mut rng);
        alice
            .set_passphrase(&"third phrase".into(), few(), 4, &mut rng)
            .unwrap();
        assert_ne!(alice.params(Hash::Sha1).salt, salt);
    }

    #[test]
    fn at_most_32_app_passwords() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut alice = Credentials::empty(Iterations::all(1), &mut rng);
        for n in 0..MAX_APP_PASSWORDS {
            alice
                .add_app_password(&format!("app {n}"), Scopes::everywhere(), 0, &mut rng)
                .unwrap();
        }
        let refused = alice.add_app_password("one more", Scopes::everywhere(), 0, &mut rng);
        assert_eq!(refused.unwrap_err(), CredentialError::TooMany(32));
    }

    #[test]
    fn stored_form_round_trips_and_holds_nothing_in_clear() {
        let mut rng = StdRng::seed_from_u64(4);
        let mut alice =
            Credentials::with_passphrase(&"correct horse".into(), few(), 1, &mut rng).unwrap();
        let (_, clear) = alice
            .add_app_password("phone", Scopes::only(["irc"]), 2, &mut rng)
            .unwrap();
        alice
            .add_certificate("laptop", [7; 32], Scopes::everywhere(), 3, &mut rng)
            .unwrap();
        let bytes = alice.encode();
        let text = format!("{} {alice:?}", String::from_utf8(bytes.clone()).unwrap());
        assert!(!text.contains("horse") && !text.contains(clear.expose()));
        let again = Credentials::decode(&bytes).unwrap();
        assert_eq!(again.encode(), bytes);
        assert!(again.matching_password(&clear).is_some());
        assert!(again.certificate(&[7; 32]).is_some());
        let newer = String::from_utf8(bytes)
            .unwrap()
            .replace("\"version\":1", "\"version\":2");
        assert!(matches!(
            Credentials::decode(newer.as_bytes()),
            Err(CredentialError::Damaged(_))
        ));
        assert!(Credentials::decode(b"{}").is_err());
    }

    #[test]
    fn names_of_what_lets_in_are_never_the_same() {
        let mut rng = rand::rng();
        let mut all = Credentials::empty(Iterations::quick(), &mut rng);
        let long = "é".repeat(64);
        for name in ["phone", "phone", &long, &long] {
            let made = all.add_app_password(name, Scopes::everywhere(), 0, &mut rng);
            made.unwrap();
        }
        all.add_certificate("phone", [7; 32], Scopes::everywhere(), 0, &mut rng)
            .unwrap();
        let names: Vec<_> = all
            .passwords
            .iter()
            .filter_map(|p| p.kind.label())
            .chain(all.certificates.iter().map(|c| c.name.as_str()))
            .collect();
        let shorter = format!("{} 2", "é".repeat(63));
        assert_eq!(names, ["phone", "phone 2", &long, &shorter, "phone 3"]);
    }
}
