//! XML 1.0 at its smallest: characters, white space, names, references.

use memchr::memchr_iter;

use super::fault::StreamFault::{self, InvalidUtf8, NotWellFormed, Restricted};

/// UTF-8, and no character that XML 1.0 §2.2 leaves out.
pub(super) fn checked(bytes: &[u8]) -> Result<&str, StreamFault> {
    let text = std::str::from_utf8(bytes).map_err(|_| InvalidUtf8)?;
    // Without an early end, so that it runs over many bytes at once.
    let control = bytes.iter().fold(false, |found, &b| {
        found | (b < 0x20 && b != b'\t' && b != b'\n' && b != b'\r')
    });
    let noncharacter = memchr_iter(0xEF, bytes)
        .any(|i| matches!(bytes.get(i + 1..i + 3), Some([0xBF, 0xBE | 0xBF])));
    if control || noncharacter {
        Err(NotWellFormed("forbidden character"))
    } else {
        Ok(text)
    }
}

/// XML 1.0 §2.3 white space.
pub(super) fn is_space(b: &u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

pub(super) const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The five entities of XML and references to characters; others would need a document type (RFC 6120 §11.1).
pub(super) fn reference(name: &str) -> Result<char, StreamFault> {
    let number = match name {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => name.strip_prefix('#'),
    };
    let number = match number {
        Some(number) => number,
        None if is_ncname(name) => return Err(Restricted("entity reference")),
        None => return Err(NotWellFormed("reference")),
    };
    let code = match number.strip_prefix('x') {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u32::from_str_radix(hex, 16).ok()
        }
        None if number.bytes().all(|b| b.is_ascii_digit()) => number.parse().ok(),
        _ => None,
    };
    code.and_then(char::from_u32)
        .filter(|c| is_char(*c))
        .ok_or(NotWellFormed("character reference"))
}

/// XML 1.0 §2.2 `Char`.
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// Namespaces in XML 1.0 §3 `NCName`.
pub(super) fn is_ncname(name: &str) -> bool {
    if let [b'a'..=b'z' | b'A'..=b'Z' | b'_', rest @ ..] = name.as_bytes()
        && rest
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        return true;
    }
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start)
        && chars.all(|c| {
            is_name_start(c)
                || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
        })
}

fn is_name_start(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '_'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
        | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
        | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}
