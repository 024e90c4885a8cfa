//! Passwords in clear on their way in: SASLprep (RFC 4013), limits, and random app passwords.

use rand::{CryptoRng, Rng};
use zeroize::Zeroizing;

use crate::Secret;

/// Shortest passphrase, in characters (XEP-0438 §8).
pub const MIN_CHARS: usize = 8;
/// Longest password, in bytes: PBKDF2 must not be fed without bounds.
pub const MAX_BYTES: usize = 1024;

/// No `i`, `l`, `o`, `0`, `1`: nothing that is read wrongly from paper. 31 letters.
const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// 4 groups of 5 letters: log2(31) × 20 = 99 bits.
const GROUPS: usize = 4;
const GROUP: usize = 5;

/// Why a password does not do.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum PasswordError {
    /// Under 8 characters.
    #[error("a passphrase has at least {MIN_CHARS} characters")]
    TooShort,
    /// Over 1024 bytes.
    #[error("a password has at most {MAX_BYTES} bytes")]
    TooLong,
    /// A character that SASLprep refuses: apps would not agree on its bytes. Emoji that are younger than
    /// Unicode 3.2 belong here.
    #[error("the password holds a character that not every app can send")]
    Character,
}

/// A password after SASLprep.
pub(crate) struct Prepared(Zeroizing<String>);

impl Prepared {
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Prepares what a client sent.
pub(crate) fn prepare(clear: &Secret) -> Result<Prepared, PasswordError> {
    if clear.expose().len() > MAX_BYTES {
        return Err(PasswordError::TooLong);
    }
    let prepared = stringprep::saslprep(clear.expose()).map_err(|_| PasswordError::Character)?;
    Ok(Prepared(Zeroizing::new(prepared.into_owned())))
}

/// Prepares a password that someone wants from now on.
pub(crate) fn prepare_new(clear: &Secret) -> Result<Prepared, PasswordError> {
    let prepared = prepare(clear)?;
    if prepared.0.chars().count() < MIN_CHARS {
        return Err(PasswordError::TooShort);
    }
    Ok(prepared)
}

/// A random password that a person can type: `k7wqd-3mxzr-…`. It is lower-case and has to be typed as shown, dashes
/// included, because SCRAM hashes it on the client.
pub fn random_app_password(rng: &mut impl CryptoRng) -> Secret {
    let mut text = String::with_capacity(GROUPS * (GROUP + 1));
    for group in 0..GROUPS {
        if group > 0 {
            text.push('-');
        }
        for _ in 0..GROUP {
            let letter = ALPHABET
                .get(rng.random_range(0..ALPHABET.len()))
                .copied()
                .unwrap_or(b'a');
            text.push(char::from(letter));
        }
    }
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn prepared(text: &str) -> Result<String, PasswordError> {
        prepare(&text.into()).map(|p| p.0.to_string())
    }

    #[test]
    fn saslprep_as_in_rfc_4013() {
        // RFC 4013 §3.
        assert_eq!(prepared("I\u{AD}X").unwrap(), "IX");
        assert_eq!(prepared("\u{AA}").unwrap(), "a");
        assert_eq!(prepared("\u{2168}").unwrap(), "IX");
        assert_eq!(prepared("\u{7}"), Err(PasswordError::Character));
        assert_eq!(prepared("\u{627}1"), Err(PasswordError::Character));
        assert_eq!(
            prepare_new(&"sieben7".into()).err(),
            Some(PasswordError::TooShort)
        );
        assert_eq!(
            prepared(&"x".repeat(MAX_BYTES + 1)),
            Err(PasswordError::TooLong)
        );
    }

    #[test]
    fn app_passwords_are_typable_and_not_alike() {
        let mut rng = StdRng::seed_from_u64(5);
        let one = random_app_password(&mut rng);
        assert_eq!(one.expose().len(), 23);
        assert!(
            one.expose()
                .bytes()
                .all(|b| b == b'-' || ALPHABET.contains(&b))
        );
        assert_ne!(one.expose(), random_app_password(&mut rng).expose());
        assert!(31f64.log2() * 20.0 >= 80.0);
    }
}
