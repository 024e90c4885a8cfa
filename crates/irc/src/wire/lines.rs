//! Cuts a byte stream into lines, with a bound on what it keeps.

use super::message::Limits;

/// What came out of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEvent<'a> {
    /// One line, without its line end. Never empty.
    Line(&'a [u8]),
    /// A line over the limit: reported once, the rest of it is thrown away (417).
    TooLong,
}

impl LineEvent<'_> {
    /// The line as text, if it is UTF-8; with UTF8ONLY others get `FAIL * INVALID_UTF8`.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Line(line) => std::str::from_utf8(line).ok(),
            Self::TooLong => None,
        }
    }
}

/// An incremental splitter: [`feed`](Self::feed) what the socket gave, then take
/// [`next_line`](Self::next_line) until `None`. Lines end with LF; one CR before it belongs to the end.
///
/// Keeps at most one unfinished line within the limits, whatever is fed.
#[derive(Debug)]
pub struct LineSplitter {
    buf: Vec<u8>,
    /// Where the line that comes next begins.
    start: usize,
    /// Up to where no LF was found.
    scanned: usize,
    /// Inside a line that was reported as too long.
    skipping: bool,
    limits: Limits,
}

impl LineSplitter {
    /// An empty splitter.
    pub fn new(limits: Limits) -> Self {
        Self {
            buf: Vec::new(),
            start: 0,
            scanned: 0,
            skipping: false,
            limits,
        }
    }

    /// Adds bytes. Take all lines before feeding again: then the buffer stays within one line and
    /// one read.
    pub fn feed(&mut self, data: &[u8]) {
        if self.start > 0 {
            self.buf.drain(..self.start);
            self.scanned = self.scanned.saturating_sub(self.start);
            self.start = 0;
        }
        self.buf.extend_from_slice(data);
    }

    /// Bytes kept.
    pub fn pending(&self) -> usize {
        self.buf.len().saturating_sub(self.start)
    }

    /// The next event, or `None` if more bytes are needed.
    pub fn next_line(&mut self) -> Option<LineEvent<'_>> {
        loop {
            let fresh = self.buf.get(self.scanned..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', fresh) else {
                self.scanned = self.buf.len();
                let kept = self.buf.get(self.start..).unwrap_or_default();
                // One more than the limit may be the CR of a line that just fits.
                let over = kept.len() > self.limit_of(kept) + 1;
                if self.skipping || over {
                    self.buf.clear();
                    self.start = 0;
                    self.scanned = 0;
                    if !self.skipping {
                        self.skipping = true;
                        return Some(LineEvent::TooLong);
                    }
                }
                return None;
            };
            let (from, end) = (self.start, self.scanned + found);
            self.start = end + 1;
            self.scanned = self.start;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let line = self.buf.get(from..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > self.limit_of(line) {
                return Some(LineEvent::TooLong);
            }
            if !line.is_empty() {
                // Borrowed anew: the borrow checker does not let `line` leave the loop.
                let line = self.buf.get(from..from + line.len()).unwrap_or_default();
                return Some(LineEvent::Line(line));
            }
        }
    }

    /// The longest that a line beginning like this can be; its parts are measured by the parser.
    fn limit_of(&self, line: &[u8]) -> usize {
        let body = self.limits.body.saturating_sub(2);
        if line.first() == Some(&b'@') {
            self.limits.tag_data + 2 + body
        } else {
            body
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::new(Limits::FROM_CLIENT);
        let mut out = Vec::new();
        for chunk in chunks {
            splitter.feed(chunk);
            while let Some(event) = splitter.next_line() {
                out.push(match event {
                    LineEvent::Line(line) => String::from_utf8_lossy(line).into_owned(),
                    LineEvent::TooLong => "TOO LONG".into(),
                });
            }
            assert!(splitter.pending() <= 4096 + 511);
        }
        out
    }

    #[test]
    fn line_ends_of_all_kinds() {
        assert_eq!(events(&[b"a\r\nb\n\r\n\n\nc\r\nd"]), ["a", "b", "c"]);
        assert_eq!(events(&[b"a\r", b"\nb", b"", b"c\n"]), ["a", "bc"]);
        assert_eq!(events(&[b"a\rb\r\r\n"]), ["a\rb\r"]);
    }

    #[test]
    fn a_long_line_is_one_error_and_then_all_is_well() {
        let long = vec![b'x'; 5000];
        assert_eq!(events(&[&long, &long, b"xx\r\nok\r\n"]), ["TOO LONG", "ok"]);
        let whole = [&long[..], b"\nok\n"].concat();
        assert_eq!(events(&[&whole]), ["TOO LONG", "ok"]);
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(events(&bytes), ["TOO LONG", "ok"]);
    }

    #[test]
    fn the_limit_is_exact() {
        for (n, fits) in [(510, true), (511, false), (512, false)] {
            for end in ["\n", "\r\n"] {
                let line = "x".repeat(n) + end;
                let whole = events(&[line.as_bytes()]);
                let single: Vec<&[u8]> = line.as_bytes().chunks(1).collect();
                assert_eq!(whole, events(&single));
                assert_eq!(whole[0] != "TOO LONG", fits, "{n}");
            }
        }
        let tagged = format!("@{} {}\n", "t".repeat(4094), "x".repeat(510));
        assert_ne!(events(&[tagged.as_bytes()])[0], "TOO LONG");
    }

    #[test]
    fn utf8_is_told_from_the_rest() {
        assert_eq!(LineEvent::Line("né".as_bytes()).text(), Some("né"));
        assert_eq!(LineEvent::Line(b"n\xe9").text(), None);
    }
}
