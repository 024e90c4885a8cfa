//! Credentials that moved in from another server: verifiers of one hash only, until a client brings the others (XEP-0480).

use rand::CryptoRng;

use super::{Credentials, Iterations, Kind, Password, PasswordId};
use crate::hash::Hash;
use crate::verifier::{Params, Verifier, Verifiers};

impl Credentials {
    /// Credentials with what another server kept of a passphrase: one hash only, the others follow when a client brings
    /// them (XEP-0480). `None` where the keys don't have the length of the hash.
    pub fn moved_in(
        hash: Hash,
        params: Params,
        stored_key: Vec<u8>,
        server_key: Vec<u8>,
        iterations: Iterations,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Option<Self> {
        let mut new = Self::empty(iterations, rng);
        new.params.set(hash, params);
        let mut verifiers = Verifiers::default();
        let verifier = Verifier {
            stored_key,
            server_key,
        };
        verifiers.set(hash, verifier);
        let whole = verifiers.are_whole();
        new.passwords.push(Password {
            id: PasswordId::PASSPHRASE,
            kind: Kind::Passphrase,
            created_ms: now_ms,
            verifiers,
        });
        whole.then_some(new)
    }

    /// Whether SCRAM with this hash can succeed for any of the passwords.
    pub fn can(&self, hash: Hash) -> bool {
        let mut passwords = self.passwords.iter();
        passwords.any(|p| p.verifiers.of(hash).is_some())
    }

    /// Whether a password has no verifier for this hash.
    pub fn lacks(&self, id: PasswordId, hash: Hash) -> bool {
        self.password(id)
            .is_some_and(|p| p.verifiers.of(hash).is_none())
    }

    /// Adds the verifier of a hash that a password lacks, from the SaltedPassword (RFC 5802 §3) under
    /// [`Credentials::params`] that a client brought which had proven the password. The stamp stays: nobody gains or
    /// loses anything. `false` where it is not lacking, or has the wrong length.
    pub fn complete(&mut self, id: PasswordId, hash: Hash, salted: &[u8]) -> bool {
        let lacking = self.lacks(id, hash) && salted.len() == hash.size();
        let mut passwords = self.passwords.iter_mut();
        if let Some(password) = passwords.find(|p| p.id == id && lacking) {
            let verifier = Verifier::from_salted(hash, salted);
            password.verifiers.set(hash, verifier);
        }
        lacking
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Secret, password};
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn an_account_that_moved_in_gets_the_hashes_it_lacks() {
        let mut rng = StdRng::seed_from_u64(5);
        let phrase = Secret::new("correct horse");
        let before =
            Credentials::with_passphrase(&phrase, Iterations::all(8), 1, &mut rng).unwrap();
        let params = before.params(Hash::Sha1).clone();
        let prepared = password::prepare(&phrase).unwrap();
        let of = |hash: Hash, params: &Params| {
            hash.salted_password(prepared.bytes(), &params.salt, params.iterations)
        };
        let kept = Verifier::from_salted(Hash::Sha1, &of(Hash::Sha1, &params));
        let moved = |server_key| {
            let stored = kept.stored_key.clone();
            let mut rng = StdRng::seed_from_u64(6);
            let params = params.clone();
            Credentials::moved_in(
                Hash::Sha1,
                params,
                stored,
                server_key,
                Iterations::all(8),
                1,
                &mut rng,
            )
        };
        assert!(moved(vec![1]).is_none());
        let mut alice = moved(kept.server_key.clone()).unwrap();
        let id = PasswordId::PASSPHRASE;
        assert_eq!(alice.matching_password(&phrase), Some(id));
        assert_eq!(alice.matching_password(&"wrong horse".into()), None);
        assert!(alice.can(Hash::Sha1) && !alice.can(Hash::Sha256));
        let stamp = alice.stamp();
        let salted = of(Hash::Sha256, alice.params(Hash::Sha256));
        assert!(!alice.complete(id, Hash::Sha256, &salted[1..]));
        assert!(alice.complete(id, Hash::Sha256, &salted));
        assert!(!alice.complete(id, Hash::Sha256, &salted), "once");
        assert_eq!(alice.stamp(), stamp);
        let again = Credentials::decode(&alice.encode()).unwrap();
        assert_eq!(again.matching_password(&phrase), Some(id));
        assert!(again.can(Hash::Sha256) && again.lacks(id, Hash::Sha512));
    }
}
