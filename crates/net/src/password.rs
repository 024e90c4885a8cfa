//! Passwords in clear on their way in: the PRECIS profile OpaqueString (RFC 8265 §4), limits, and random app passwords.

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::precis_core::{DerivedPropertyValue, FreeformClass, StringClass as _};
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
    /// A character that OpaqueString refuses, or that apps don't agree on: those that still prepare by SASLprep (RFC 4013)
    /// would hash something else in SCRAM.
    #[error("the password holds a character that not every app can send")]
    Character,
}

/// A password after preparation.
pub(crate) struct Prepared(Zeroizing<String>);

impl Prepared {
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The profile OpaqueString (RFC 8265 §4.2) without its length rule; `None` where it refuses the text.
///
/// Its tables end with Unicode 6.3, and RFC 8264 §8 refuses what was unassigned then. People write with younger letters and
/// emoji, and servers that still prepare by RFC 3920 let them pass: they stay as they are.
pub fn opaque(text: &str) -> Option<String> {
    let prepare = |text: &str| match text {
        "" => Some(String::new()),
        text => OpaqueString::enforce(text.to_owned()).ok().map(Into::into),
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_younger(*c)) {
        let (before, behind) = rest.split_at(at);
        out += &prepare(before)?;
        out.push(c);
        rest = behind.get(c.len_utf8()..)?;
    }
    out += &prepare(rest)?;
    Some(out)
}

/// Assigned after the tables were made, or not yet; what would be invisible is not meant.
fn is_younger(c: char) -> bool {
    let invisible = matches!(c, '\u{180F}' | '\u{2065}' | '\u{FFF0}'..='\u{FFF8}' | '\u{13430}'..='\u{1343F}'
        | '\u{16FE4}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{E0000}'..);
    !invisible
        && FreeformClass::default().get_value_from_char(c) == DerivedPropertyValue::Unassigned
}

/// Prepares what a client sent.
pub(crate) fn prepare(clear: &Secret) -> Result<Prepared, PasswordError> {
    if clear.expose().len() > MAX_BYTES {
        return Err(PasswordError::TooLong);
    }
    let text = clear.expose();
    if text.is_empty() {
        return Err(PasswordError::TooShort);
    }
    if text.is_ascii() {
        // What the profile does to ASCII, without its tables.
        let allowed = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        return if allowed {
            Ok(Prepared(Zeroizing::new(text.to_owned())))
        } else {
            Err(PasswordError::Character)
        };
    }
    let prepared = opaque(text).ok_or(PasswordError::Character)?;
    Ok(Prepared(Zeroizing::new(prepared)))
}

/// Whether a password does that someone wants from now on.
///
/// # Errors
/// Why not.
pub fn check_new(clear: &Secret) -> Result<(), PasswordError> {
    prepare_new(clear).map(|_| ())
}

/// Prepares a password that someone wants from now on.
pub(crate) fn prepare_new(clear: &Secret) -> Result<Prepared, PasswordError> {
    let prepared = prepare(clear)?;
    if stringprep::saslprep(clear.expose()).is_ok_and(|older| older != *prepared.0) {
        return Err(PasswordError::Character);
    }
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
    fn opaque_strings_as_in_rfc_8265() {
        // RFC 8265 §4.3.
        for (text, whole) in [
            (
                "correct horse battery staple",
                "correct horse battery staple",
            ),
            (
                "Correct Horse Battery Staple",
                "Correct Horse Battery Staple",
            ),
            ("\u{3C0}\u{DF}\u{E5}", "\u{3C0}\u{DF}\u{E5}"),
            ("Jack of \u{2666}s", "Jack of \u{2666}s"),
            ("foo\u{1680}bar", "foo bar"),
            ("a\u{30A}", "\u{E5}"),
            // Unicode 8, 10 and 13.
            (
                "a\u{30A} \u{1F914}\u{2CEB0}\u{1FAD6}",
                "\u{E5} \u{1F914}\u{2CEB0}\u{1FAD6}",
            ),
        ] {
            assert_eq!(prepared(text).unwrap(), whole);
        }
        for text in [
            "my cat is a \u{9}by",
            "\u{7}",
            "I\u{AD}X",
            "\u{301}\u{200B}",
            "\u{1F914}\u{E0080}",
            "\u{1F914}\u{FFFF}",
            "bob\u{1BCA0}",
        ] {
            assert_eq!(prepared(text), Err(PasswordError::Character), "{text:?}");
        }
        assert_eq!(prepared(""), Err(PasswordError::TooShort));
        // What an older app would hash otherwise is no new password, though it may be an old one.
        let new = |text: &str| prepare_new(&text.into()).map(|p| p.0.to_string());
        assert!(prepared("\u{2168} passwords").is_ok());
        assert_eq!(new("\u{2168} passwords"), Err(PasswordError::Character));
        assert!(new("sm\u{F8}rrebr\u{F8}d \u{1F600}").is_ok());
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
