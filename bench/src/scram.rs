//! The client's half of SCRAM-SHA-1 (RFC 5802), with the salted password kept so that the generator pays for it once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroU32;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::{digest, hmac, pbkdf2};

type Key = [u8; 20];

/// Salted passwords by salt and iteration count; the benchmark has one password.
#[derive(Default)]
pub struct Salted(RefCell<HashMap<(String, u32), Key>>);

impl Salted {
    fn get(&self, password: &str, salt: &str, rounds: u32) -> Option<Key> {
        let place = (salt.to_owned(), rounds);
        if let Some(key) = self.0.borrow().get(&place) {
            return Some(*key);
        }
        let mut key = [0; 20];
        let salt = BASE64.decode(salt).ok()?;
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA1,
            NonZeroU32::new(rounds)?,
            &salt,
            password.as_bytes(),
            &mut key,
        );
        self.0.borrow_mut().insert(place, key);
        Some(key)
    }
}

/// The client's first message, without the header `n,,`.
pub fn first(name: &str, nonce: u64) -> String {
    format!("n={name},r=load{nonce:020}")
}

/// The client's final message, and what the server has to answer.
pub fn last(
    salted: &Salted,
    password: &str,
    first: &str,
    challenge: &str,
) -> Option<(String, String)> {
    let field = |key: &str| challenge.split(',').find_map(|part| part.strip_prefix(key));
    let (nonce, salt, rounds) = (field("r=")?, field("s=")?, field("i=")?.parse().ok()?);
    let salted = salted.get(password, salt, rounds)?;
    let bare = format!("c=biws,r={nonce}");
    let auth = format!("{first},{challenge},{bare}");
    let client = sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &client);
    let signature = sign(stored.as_ref(), auth.as_bytes());
    let proof: Vec<u8> = client.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    let server = sign(&sign(&salted, b"Server Key"), auth.as_bytes());
    Some((
        format!("{bare},p={}", BASE64.encode(proof)),
        format!("v={}", BASE64.encode(server)),
    ))
}

fn sign(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key),
        data,
    )
    .as_ref()
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5802 §5.
    #[test]
    fn the_example_of_the_standard() {
        let first = "n=user,r=fyko+d2lbbFgONRv9qkxdawL";
        let challenge = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        let (last, server) = last(&Salted::default(), "pencil", first, challenge).expect("a proof");
        assert_eq!(
            last,
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
        );
        assert_eq!(server, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    }
}
