//! The IRC client protocol, bytes to types and back: no IO, no state of a session, hard limits.
//!
//! A line's way in: [`lines`] cuts the byte stream, [`message`] parses one line, the session reads
//! its parameters with [`modes`], [`caps`], [`sasl`], [`casemap`], [`mod@format`] and [`multiline`].
//! A line's way out: [`mod@line`] builds it, with [`tags`] in front; [`isupport`] and [`caps`] render
//! the long lists.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        reason = "tests read what they wrote"
    )
)]

pub mod caps;
pub mod casemap;
pub mod format;
pub mod fuzz;
pub mod isupport;
pub mod line;
pub mod lines;
pub mod message;
pub mod modes;
pub mod multiline;
pub mod numeric;
pub mod sasl;
pub mod standard;
pub mod tags;
pub mod time;

pub use line::Line;
pub use lines::{LineEvent, LineSplitter};
pub use message::{Limits, Message, ParseError, Source};
pub use numeric::Numeric;
pub use standard::StandardReply;
pub use tags::TagBuf;

/// Bytes of one line without tags, CR and LF included (RFC 1459 §2.3).
pub const MAX_BODY: usize = 512;
/// Bytes of tag data (between `@` and space) that one side may put on a line (IRCv3 message-tags).
pub const MAX_TAG_DATA: usize = 4094;
/// Bytes of all tags on a line that a server sends, `@` and space included: `@` 4094 `;` 4094 ` `.
pub const MAX_SERVER_TAGS: usize = 8191;

/// The longest start of `bytes`, at most `max` long, that does not end inside a UTF-8 character.
///
/// Bytes that are not UTF-8 are cut at `max`.
pub fn truncate_utf8(bytes: &[u8], max: usize) -> &[u8] {
    let Some(head) = bytes.get(..max) else {
        return bytes;
    };
    if !bytes.get(max).is_some_and(|b| is_continuation(*b)) {
        return head;
    }
    // Walk back over at most three continuation bytes to the byte that began the character.
    for back in 1..=4usize {
        let Some(at) = max.checked_sub(back) else {
            break;
        };
        if bytes.get(at).is_some_and(|b| !is_continuation(*b)) {
            return bytes.get(..at).unwrap_or(head);
        }
    }
    head
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[cfg(test)]
mod tests {
    use super::truncate_utf8;

    #[test]
    fn a_character_is_never_cut() {
        let text = "añ😀z";
        let cuts: Vec<&[u8]> = (0..=9).map(|n| truncate_utf8(text.as_bytes(), n)).collect();
        let want = [
            "", "a", "a", "añ", "añ", "añ", "añ", "añ😀", "añ😀z", "añ😀z",
        ];
        for (cut, want) in cuts.iter().zip(want) {
            assert_eq!(std::str::from_utf8(cut).unwrap(), want);
        }
        assert_eq!(truncate_utf8(&[0x80; 9], 6), &[0x80; 6]);
    }
}
