//! Long and many-lined text as lines that fit, and back: draft/multiline and plain splitting.

use super::MAX_BODY;

/// A part of a text that fits one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The part; may be empty (a blank line).
    pub text: &'a str,
    /// It continues the piece before without a line break (`draft/multiline-concat`).
    pub concat: bool,
}

/// Bytes of text that fit `:source COMMAND target :text CR LF`.
pub fn room(source: &str, command: &str, target: &str) -> usize {
    // `:`, three spaces, `:`, CR, LF.
    MAX_BODY.saturating_sub(source.len() + command.len() + target.len() + 7)
}

/// Splits text at line breaks (LF or CR LF), and lines longer than `max` bytes after a space where
/// one is in reach, else between characters. At least one character goes on each line.
///
/// Clients without draft/multiline must not get the blank ones.
pub fn split(text: &str, max: usize) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    for line in text.split('\n') {
        let mut rest = line.strip_suffix('\r').unwrap_or(line);
        let mut concat = false;
        loop {
            let (text, tail) = rest.split_at_checked(cut(rest, max)).unwrap_or((rest, ""));
            out.push(Piece { text, concat });
            if tail.is_empty() {
                break;
            }
            rest = tail;
            concat = true;
        }
    }
    out
}

/// Where to end the first line of `text`.
fn cut(text: &str, max: usize) -> usize {
    if text.len() <= max {
        return text.len();
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = text.get(..end).unwrap_or_default();
    // A space in the second half: the space stays at the end of the line (multiline, "Splitting
    // long lines").
    if let Some(space) = head.rfind(' ').filter(|at| at + 1 > max / 2) {
        return space + 1;
    }
    // Nobody wants a letter without its accent or a family without its children: walk back to
    // where something new begins, unless that is far.
    let mut at = end;
    for (before, previous) in head.char_indices().rev().take(16) {
        let next = text.get(at..).and_then(|t| t.chars().next());
        if !next.is_some_and(extends)
            && previous != ZWJ
            && !(next.is_some_and(is_flag) && is_flag(previous))
        {
            if at > 0 {
                return at;
            }
            break;
        }
        at = before;
    }
    if end > 0 {
        return end;
    }
    // Not even one character fits: it is sent all the same, or this would never end.
    text.chars().next().map_or(text.len(), char::len_utf8)
}

const ZWJ: char = '\u{200d}';

/// Regional indicators, which pair up to flags.
fn is_flag(c: char) -> bool {
    ('\u{1f1e6}'..='\u{1f1ff}').contains(&c)
}

/// Characters that belong to the one before: combining marks, joiners, variation selectors, skin
/// tones, tags. The common blocks of them, not all of Unicode.
fn extends(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{93a}'..='\u{94f}' | '\u{e31}' | '\u{e34}'..='\u{e3a}'
        | '\u{e47}'..='\u{e4e}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{200c}' | ZWJ
        | '\u{20d0}'..='\u{20ff}' | '\u{3099}' | '\u{309a}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}'
        | '\u{e0100}'..='\u{e01ef}')
}

/// Lines as one text without line breaks, blank ones left out: where there are too many.
pub fn packed(pieces: &[Piece<'_>]) -> String {
    let mut out = String::new();
    for piece in pieces.iter().filter(|p| !p.text.trim().is_empty()) {
        if !piece.concat && !out.is_empty() {
            out.push_str(" ↵ ");
        }
        out.push_str(piece.text);
    }
    out
}

/// Lines in batches of at most so many bytes and lines. A batch of blank lines alone is none (multiline, "Batch types").
pub fn batches<'a, 'b>(
    pieces: &'b [Piece<'a>],
    bytes: usize,
    lines: usize,
) -> impl Iterator<Item = &'b [Piece<'a>]> {
    let mut rest = pieces;
    std::iter::from_fn(move || {
        let mut size = 0;
        let fits = |piece: &&Piece<'_>| {
            // With its line break.
            size += piece.text.len() + 1;
            size <= bytes
        };
        let most = rest.iter().take(lines).take_while(fits).count().max(1);
        let (now, later) = rest.split_at_checked(most)?;
        rest = later;
        Some(now)
    })
    .filter(|batch| batch.iter().any(|piece| !piece.text.is_empty()))
}

/// Why a multiline batch is refused: `FAIL BATCH` with [`MultilineError::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MultilineError {
    /// More bytes than the limit, which the reply names.
    #[error("more than {0} bytes")]
    MaxBytes(usize),
    /// More lines than the limit, which the reply names.
    #[error("more than {0} lines")]
    MaxLines(usize),
    /// A blank line with the concat tag, only blank lines, or no line.
    #[error("malformed batch")]
    Invalid,
}

impl MultilineError {
    /// The code of the standard reply.
    pub fn code(self) -> &'static str {
        use super::standard::codes;
        match self {
            Self::MaxBytes(_) => codes::MULTILINE_MAX_BYTES,
            Self::MaxLines(_) => codes::MULTILINE_MAX_LINES,
            Self::Invalid => codes::MULTILINE_INVALID,
        }
    }
}

/// Puts the lines of a batch together, within limits.
#[derive(Debug, Clone)]
pub struct Joiner {
    text: String,
    lines: usize,
    max_bytes: usize,
    max_lines: usize,
}

impl Joiner {
    /// An empty text, for batches within the advertised limits.
    pub fn new(max_bytes: usize, max_lines: usize) -> Self {
        Self {
            text: String::new(),
            lines: 0,
            max_bytes,
            max_lines,
        }
    }

    /// Adds one line of the batch. After an error the batch is lost.
    pub fn push(&mut self, line: &str, concat: bool) -> Result<(), MultilineError> {
        if concat && line.is_empty() {
            return Err(MultilineError::Invalid);
        }
        let newline = self.lines > 0 && !concat;
        if self.lines >= self.max_lines {
            return Err(MultilineError::MaxLines(self.max_lines));
        }
        if self.text.len() + usize::from(newline) + line.len() > self.max_bytes {
            return Err(MultilineError::MaxBytes(self.max_bytes));
        }
        if newline {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.lines += 1;
        Ok(())
    }

    /// The whole text.
    pub fn finish(self) -> Result<String, MultilineError> {
        if self.text.bytes().all(|b| b == b'\n') {
            return Err(MultilineError::Invalid);
        }
        Ok(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, max: usize) -> Vec<(&str, bool)> {
        split(text, max)
            .into_iter()
            .map(|p| (p.text, p.concat))
            .collect()
    }

    #[test]
    fn lines_and_words() {
        assert_eq!(
            texts("hello\nyou\r\n\nthere", 80),
            [
                ("hello", false),
                ("you", false),
                ("", false),
                ("there", false)
            ]
        );
        assert_eq!(
            texts("how is everyone?", 10),
            [("how is ", false), ("everyone?", true)]
        );
        assert_eq!(
            texts("abcdefghij", 4),
            [("abcd", false), ("efgh", true), ("ij", true)]
        );
        assert_eq!(texts("", 10), [("", false)]);
        assert_eq!(
            texts("a bcdefghijkl", 10),
            [("a bcdefghi", false), ("jkl", true)]
        );
    }

    #[test]
    fn characters_stay_whole() {
        assert_eq!(texts("ééé", 3), [("é", false), ("é", true), ("é", true)]);
        // e + combining acute.
        assert_eq!(
            texts("abe\u{301}c", 3),
            [("ab", false), ("e\u{301}", true), ("c", true)]
        );
        let family = "👨\u{200d}👩\u{200d}👧";
        assert_eq!(
            texts(&format!("x{family}"), 18),
            [("x", false), (family, true)]
        );
        assert_eq!(texts("x🇩🇪", 8), [("x", false), ("🇩🇪", true)]);
        // Too long to stay whole.
        assert_eq!(texts(family, 12).len(), 2);
        assert_eq!(texts("😀", 1), [("😀", false)]);
        assert_eq!(texts("😀b", 0), [("😀", false), ("b", true)]);
    }

    #[test]
    fn splitting_and_joining_is_the_same_text() {
        let text = "a long line of words, ünd ümläute\n\n  and\tothers 👍🏽 ".repeat(9);
        for max in [1, 2, 5, 17, 60, 1000] {
            let mut joiner = Joiner::new(10_000, 10_000);
            for piece in split(&text, max) {
                assert!(piece.text.len() <= max.max(4));
                joiner.push(piece.text, piece.concat).unwrap();
            }
            assert_eq!(joiner.finish().unwrap(), text);
        }
    }

    #[test]
    fn too_many_lines_are_packed_and_batches_keep_to_the_limits() {
        let text = "one\n\n two\n   \nthree and four\n";
        let pieces = split(text, 8);
        assert_eq!(packed(&pieces), "one ↵  two ↵ three and four");
        assert_eq!(packed(&split("\n\n", 8)), "");
        let all = split("ab\ncd\n\n\nef", 8);
        let sizes = |bytes, lines| -> Vec<usize> {
            batches(&all, bytes, lines)
                .map(<[Piece<'_>]>::len)
                .collect()
        };
        assert_eq!(sizes(100, 100), [5]);
        assert_eq!(sizes(100, 2), [2, 1], "the two blank ones alone are none");
        assert_eq!(sizes(6, 100), [2, 3]);
        assert_eq!(sizes(1, 100), [1, 1, 1]);
        assert_eq!(batches(&[], 5, 5).count(), 0);
    }

    #[test]
    fn a_batch_has_limits() {
        let mut j = Joiner::new(7, 2);
        assert_eq!(j.push("", true), Err(MultilineError::Invalid));
        j.push("abc", false).unwrap();
        assert_eq!(j.push("defg", false), Err(MultilineError::MaxBytes(7)));
        j.push("def", false).unwrap();
        assert_eq!(j.push("", false), Err(MultilineError::MaxLines(2)));
        assert_eq!(j.finish().unwrap(), "abc\ndef");
        assert_eq!(Joiner::new(9, 9).finish(), Err(MultilineError::Invalid));
        let mut blank = Joiner::new(9, 9);
        blank.push("", false).unwrap();
        blank.push("", false).unwrap();
        assert_eq!(blank.finish(), Err(MultilineError::Invalid));
        assert_eq!(MultilineError::MaxBytes(1).code(), "MULTILINE_MAX_BYTES");
    }

    #[test]
    fn the_room_is_exact() {
        let room = room("alice!alice@example.org", "PRIVMSG", "#town");
        let line = super::super::Line::new("alice!alice@example.org")
            .cmd("PRIVMSG")
            .param("#town");
        assert_eq!(line.trailing("x".repeat(room)).finish().len(), 512);
    }
}
