//! The SCRAM exchange (RFC 5802 §3), server side, against every password of an account.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    Channel, Failure, Found, Lookup,
    messages::{ClientFinal, ClientFirst, Flag},
};
use crate::{credentials::PasswordId, hash::Hash, verifier::Decoy};

/// Between server-first and client-final.
pub(super) struct Exchange {
    hash: Hash,
    first: ClientFirst,
    server_first: String,
    nonce: String,
    lookup: Lookup,
}

impl Exchange {
    /// The exchange and the server-first message. An account that does not exist gets one that looks like any other.
    pub fn new(
        hash: Hash,
        first: ClientFirst,
        lookup: Lookup,
        server_nonce: &str,
        announced: Option<&str>,
        decoy: &Decoy,
    ) -> (Self, Vec<u8>) {
        let made_up;
        let params = match &lookup {
            Lookup::Found(found) => found.credentials.params(hash),
            Lookup::Nobody { canonical } => {
                made_up = decoy.params(hash, canonical);
                &made_up
            }
        };
        let nonce = format!("{}{server_nonce}", first.nonce);
        let salt = BASE64_STANDARD.encode(&params.salt);
        let mut server_first = format!("r={nonce},s={salt},i={}", params.iterations);
        if let Some(announced) = announced {
            // XEP-0474 §4.1; clients that don't know it skip it (RFC 5802 §5.1).
            let hash = BASE64_STANDARD.encode(hash.digest(announced.as_bytes()));
            server_first.push_str(",h=");
            server_first.push_str(&hash);
        }
        let challenge = server_first.clone().into_bytes();
        (
            Self {
                hash,
                first,
                server_first,
                nonce,
                lookup,
            },
            challenge,
        )
    }

    pub fn authzid(&self) -> Option<&str> {
        self.first.authzid.as_deref()
    }

    /// Checks client-final: the account, the password that was used, and the server-final message.
    pub fn verify(
        &self,
        message: &[u8],
        channel: &Channel,
    ) -> Result<(Found, PasswordId, Vec<u8>), Failure> {
        let last = ClientFinal::parse(message)?;
        if last.nonce != self.nonce {
            return Err(Failure::Malformed("nonce is not the one agreed"));
        }
        // RFC 5802 §7: cbind-input is the gs2 header and, where it says `p`, the binding's data.
        let bound = match &self.first.flag {
            Flag::Bound(kind) => channel.binding(kind).ok_or(Failure::BindingType)?,
            Flag::No | Flag::Yes => &[],
        };
        let expected = [self.first.gs2_header.as_bytes(), bound].concat();
        if *last.channel_binding != expected {
            return Err(Failure::BindingMismatch);
        }
        let auth_message = format!(
            "{},{},{}",
            self.first.bare, self.server_first, last.without_proof
        );
        let Lookup::Found(found) = &self.lookup else {
            return Err(Failure::NoSuchAccount);
        };
        let (password, signature) = found
            .credentials
            .matching_proof(self.hash, &last.proof, auth_message.as_bytes())
            .ok_or(Failure::WrongPassword)?;
        let server_final = format!("v={}", BASE64_STANDARD.encode(signature));
        Ok((found.clone(), password, server_final.into_bytes()))
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::credentials::{Credentials, Iterations};

    /// The published conversations: what the server says, and that it accepts.
    fn conversation(
        hash: Hash,
        salt: &str,
        first: &str,
        nonce: &str,
        last: &str,
    ) -> (String, String) {
        let salt = BASE64_STANDARD.decode(salt).expect("base64");
        let credentials = Credentials::known(hash, salt, "pencil");
        let found = Found {
            account: "user".into(),
            identities: vec!["user".into()],
            credentials: credentials.into(),
            disabled: false,
        };
        let first = ClientFirst::parse(first.as_bytes()).expect("client-first");
        let decoy = Decoy::new(b"", Iterations::quick());
        let (exchange, challenge) =
            Exchange::new(hash, first, Lookup::Found(found), nonce, None, &decoy);
        let none = Channel::default();
        let (_, password, answer) = exchange.verify(last.as_bytes(), &none).expect("accepted");
        assert_eq!(password, PasswordId::PASSPHRASE);
        let (rest, proof) = last.rsplit_once(",p=").expect("proof");
        let mut wrong = BASE64_STANDARD.decode(proof).expect("base64");
        wrong.rotate_left(1);
        let wrong = format!("{rest},p={}", BASE64_STANDARD.encode(wrong));
        assert_eq!(
            exchange.verify(wrong.as_bytes(), &none).err(),
            Some(Failure::WrongPassword)
        );
        (
            String::from_utf8(challenge).expect("text"),
            String::from_utf8(answer).expect("text"),
        )
    }

    #[test]
    fn the_hash_of_xep_0474() {
        use crate::sasl::{Mechanism, announcement};
        let scram = |plus| Mechanism::Scram {
            hash: Hash::Sha1,
            plus,
        };
        let offered = [scram(true), scram(false)];
        let announced = announcement(&offered, &["tls-server-end-point", "tls-exporter"]);
        let first = b"p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6";
        let first = ClientFirst::parse(first).expect("client-first");
        let nobody = Lookup::Nobody {
            canonical: "user".into(),
        };
        let decoy = Decoy::new(b"", Iterations::quick());
        let nonce = "a09117a6-ac50-4f2f-93f1-93799c2bddf6";
        let (_, challenge) =
            Exchange::new(Hash::Sha1, first, nobody, nonce, Some(&announced), &decoy);
        let challenge = String::from_utf8(challenge).expect("text");
        assert!(
            challenge.ends_with(",i=4096,h=G6k/rBLDqgOhRRaCuuatSDFkJ08="),
            "{challenge}"
        );
    }

    #[test]
    fn the_conversation_of_rfc_5802() {
        let (challenge, answer) = conversation(
            Hash::Sha1,
            "QSXCR+Q6sek8bf92",
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        );
        assert_eq!(
            challenge,
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
        );
        assert_eq!(answer, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    }

    #[test]
    fn the_conversation_of_rfc_7677() {
        let (challenge, answer) = conversation(
            Hash::Sha256,
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        );
        assert_eq!(
            challenge,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        assert_eq!(answer, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
