//! XEP-0185: keys of server dialback that need no memory.

use std::fmt::Write as _;

use ring::{digest, hmac};

/// The secret of one node from which its keys follow.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// From random bytes.
    pub fn new(random: &[u8]) -> Self {
        // §3: the key of the HMAC is the hash of the secret, in hexadecimal.
        let hashed = hex(digest::digest(&digest::SHA256, random).as_ref());
        Self(hmac::Key::new(hmac::HMAC_SHA256, hashed.as_bytes()))
    }

    /// The key that `originating` shows to `receiving` on the stream of this id.
    pub fn key(&self, receiving: &str, originating: &str, stream: &str) -> String {
        let text = format!("{receiving} {originating} {stream}");
        hex(hmac::sign(&self.0, text.as_bytes()).as_ref())
    }

    /// Whether a key is the one of these domains and this stream.
    pub fn fits(&self, receiving: &str, originating: &str, stream: &str, key: &str) -> bool {
        let text = format!("{receiving} {originating} {stream}");
        let tag = unhex(key.trim());
        tag.is_some_and(|tag| hmac::verify(&self.0, text.as_bytes(), &tag).is_ok())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: char| c.to_digit(16).and_then(|d| u8::try_from(d).ok());
    let digits: Vec<u8> = text.chars().map(digit).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    let whole = pairs.remainder().is_empty();
    let bytes = pairs
        .map(|p| p.iter().fold(0, |sum, d| sum << 4 | d))
        .collect();
    whole.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_standard() {
        // XEP-0185 §4.
        let secret = Secret::new(b"s3cr3tf0rd14lb4ck");
        let key = secret.key("xmpp.example.com", "example.org", "D60000229F");
        assert_eq!(
            key,
            "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"
        );
        assert!(secret.fits("xmpp.example.com", "example.org", "D60000229F", &key));
        assert!(!secret.fits("xmpp.example.com", "example.org", "other", &key));
        assert!(!secret.fits("xmpp.example.com", "example.org", "D60000229F", ""));
    }
}
