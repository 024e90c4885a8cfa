//! Finds where a stanza ends in bytes that arrive in pieces, looking at each byte once.
//!
//! It only counts tags. Whatever it lets pass is parsed strictly afterwards, once and whole, and a piece
//! that the parser sees differently is refused there.

use memchr::{memchr, memchr3, memmem};

use super::fault::StreamFault::{self, BadFormat, Restricted, TooMuch};

const CDATA: &[u8] = b"<![CDATA[";

/// What was found, with its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole element.
    Stanza(usize),
    /// The end tag of the stream.
    StreamEnd(usize),
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Content,
    /// At a `<`.
    Markup,
    StartTag,
    Quoted(u8),
    EndTag,
    CData,
}

/// Where the search stands inside one stanza.
#[derive(Clone, Debug, Default)]
pub(super) struct Scanner {
    at: usize,
    depth: usize,
    state: State,
}

impl Scanner {
    /// Whether no byte of a stanza was seen yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.at == 0
    }

    /// Goes on with `window`, which starts at the stanza's first byte and may have grown since the last call.
    /// `None`: more bytes are needed.
    pub(super) fn advance(
        &mut self,
        window: &[u8],
        max_depth: usize,
    ) -> Result<Option<Found>, StreamFault> {
        loop {
            let Some(rest) = window.get(self.at..) else {
                return Ok(None);
            };
            match self.state {
                State::Content => match memchr(b'<', rest) {
                    Some(i) => {
                        self.at += i;
                        self.state = State::Markup;
                    }
                    None => return Ok(self.starve(window)),
                },
                State::Markup => match rest.get(1) {
                    None => return Ok(None),
                    Some(b'?') => return Err(Restricted("processing instruction")),
                    Some(b'!') => {
                        let n = rest.len().min(CDATA.len());
                        if rest.get(..n) != CDATA.get(..n) {
                            return Err(Restricted("comment or document type"));
                        }
                        if n < CDATA.len() {
                            return Ok(None);
                        }
                        if self.depth == 0 {
                            return Err(BadFormat("text between stanzas"));
                        }
                        self.at += n;
                        self.state = State::CData;
                    }
                    Some(b'/') => {
                        self.at += 2;
                        self.state = State::EndTag;
                    }
                    Some(_) => {
                        self.at += 1;
                        self.state = State::StartTag;
                    }
                },
                State::StartTag => match memchr3(b'>', b'"', b'\'', rest) {
                    None => return Ok(self.starve(window)),
                    Some(i) => {
                        let empty = self.at + i > 0 && window.get(self.at + i - 1) == Some(&b'/');
                        self.at += i + 1;
                        self.state = match rest.get(i) {
                            Some(&q @ (b'"' | b'\'')) => State::Quoted(q),
                            _ => {
                                if self.depth + 1 > max_depth {
                                    return Err(TooMuch("nesting"));
                                }
                                if empty && self.depth == 0 {
                                    return Ok(Some(Found::Stanza(self.at)));
                                }
                                self.depth += usize::from(!empty);
                                State::Content
                            }
                        };
                    }
                },
                State::Quoted(quote) => match memchr(quote, rest) {
                    None => return Ok(self.starve(window)),
                    Some(i) => {
                        self.at += i + 1;
                        self.state = State::StartTag;
                    }
                },
                State::EndTag => match memchr(b'>', rest) {
                    None => return Ok(self.starve(window)),
                    Some(i) => {
                        self.at += i + 1;
                        self.state = State::Content;
                        match self.depth {
                            0 => return Ok(Some(Found::StreamEnd(self.at))),
                            1 => return Ok(Some(Found::Stanza(self.at))),
                            _ => self.depth -= 1,
                        }
                    }
                },
                State::CData => match memmem::find(rest, b"]]>") {
                    Some(i) => {
                        self.at += i + 3;
                        self.state = State::Content;
                    }
                    None => {
                        // The last two bytes may belong to the end mark.
                        self.at = self.at.max(window.len().saturating_sub(2));
                        return Ok(None);
                    }
                },
            }
        }
    }

    fn starve(&mut self, window: &[u8]) -> Option<Found> {
        self.at = window.len();
        None
    }
}

/// The length of a start tag at the head of `window`, if its end has come.
pub(super) fn start_tag(window: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let i = at + memchr3(b'>', b'"', b'\'', window.get(at..)?)?;
        at = match window.get(i) {
            Some(&quote @ (b'"' | b'\'')) => i + 1 + memchr(quote, window.get(i + 1..)?)? + 1,
            _ => return Some(i + 1),
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_whatever_quotes_and_cdata_hold() {
        for stanza in [
            "<a/>",
            "<a></a>",
            "<a b='>\"/>' c=\"'\"/>",
            "<a><b/><c><![CDATA[</c></a>]]></c>&gt;></a>",
            "<a>]]<![CDATA[]]]]></a >",
        ] {
            let whole = format!("{stanza}<next/>");
            for cut in 0..stanza.len() {
                let mut scanner = Scanner::default();
                assert_eq!(
                    scanner.advance(&whole.as_bytes()[..cut], 9),
                    Ok(None),
                    "{stanza} cut at {cut}"
                );
                assert_eq!(
                    scanner.advance(whole.as_bytes(), 9),
                    Ok(Some(Found::Stanza(stanza.len()))),
                    "{stanza} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn the_end_of_the_stream_and_forbidden_markup_are_seen() {
        let scan = |xml: &str| Scanner::default().advance(xml.as_bytes(), 2);
        assert_eq!(scan("</stream:stream>"), Ok(Some(Found::StreamEnd(16))));
        assert_eq!(scan("<!-"), Err(Restricted("comment or document type")));
        assert_eq!(scan("<a><?"), Err(Restricted("processing instruction")));
        assert_eq!(scan("<a><b><c>"), Err(TooMuch("nesting")));
        assert_eq!(scan("<![CDATA["), Err(BadFormat("text between stanzas")));
    }
}
