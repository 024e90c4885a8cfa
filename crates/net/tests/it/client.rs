//! A SASL client, straight from RFC 5802 §3.

use base64::{Engine, prelude::BASE64_STANDARD};
use sammen_net::Hash;

/// What the client says about channel binding.
#[derive(Clone)]
pub enum Binding {
    No,
    ThinksServerCannot,
    To(&'static str, Vec<u8>),
}

/// One SCRAM login.
pub struct Scram {
    hash: Hash,
    password: String,
    binding: Binding,
    gs2: String,
    bare: String,
    auth_message: String,
    salted: Vec<u8>,
}

impl Scram {
    pub fn new(
        hash: Hash,
        username: &str,
        password: &str,
        binding: Binding,
        authzid: Option<&str>,
    ) -> Self {
        let escape = |name: &str| name.replace('=', "=3D").replace(',', "=2C");
        let flag = match &binding {
            Binding::No => "n".to_owned(),
            Binding::ThinksServerCannot => "y".to_owned(),
            Binding::To(kind, _) => format!("p={kind}"),
        };
        let authzid = authzid
            .map(|a| format!("a={}", escape(a)))
            .unwrap_or_default();
        Self {
            hash,
            password: stringprep::saslprep(password).unwrap().into_owned(),
            binding,
            gs2: format!("{flag},{authzid},"),
            bare: format!("n={},r=client+nonce/0123456789", escape(username)),
            auth_message: String::new(),
            salted: Vec::new(),
        }
    }

    pub fn first(&self) -> Vec<u8> {
        format!("{}{}", self.gs2, self.bare).into_bytes()
    }

    /// Salt and count that the server names.
    pub fn params(challenge: &[u8]) -> (String, u32) {
        let text = std::str::from_utf8(challenge).unwrap();
        let part = |name: &str| text.split(',').find_map(|a| a.strip_prefix(name)).unwrap();
        (part("s=").to_owned(), part("i=").parse().unwrap())
    }

    pub fn last(&mut self, challenge: &[u8]) -> Vec<u8> {
        let server_first = std::str::from_utf8(challenge).unwrap();
        let nonce = server_first
            .split(',')
            .find_map(|a| a.strip_prefix("r="))
            .unwrap();
        assert!(
            nonce.starts_with("client+nonce/0123456789") && nonce.len() >= 23 + 24,
            "the server adds its own"
        );
        let (salt, count) = Self::params(challenge);
        let salt = BASE64_STANDARD.decode(salt).unwrap();
        self.salted =
            self.hash
                .salted_password(self.password.as_bytes(), &salt, count.try_into().unwrap());
        let client_key = self.hash.hmac(&self.salted, b"Client Key");
        let stored_key = self.hash.digest(&client_key);
        let mut bound = self.gs2.clone().into_bytes();
        if let Binding::To(_, data) = &self.binding {
            bound.extend(data);
        }
        let without_proof = format!("c={},r={nonce}", BASE64_STANDARD.encode(bound));
        self.auth_message = format!("{},{server_first},{without_proof}", self.bare);
        let signature = self.hash.hmac(&stored_key, self.auth_message.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(signature)
            .map(|(a, b)| a ^ b)
            .collect();
        format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)).into_bytes()
    }

    /// Whether the server knows the password too.
    pub fn trusts(&self, server_final: &[u8]) -> bool {
        let server_key = self.hash.hmac(&self.salted, b"Server Key");
        let signature = self.hash.hmac(&server_key, self.auth_message.as_bytes());
        server_final == format!("v={}", BASE64_STANDARD.encode(signature)).as_bytes()
    }
}
