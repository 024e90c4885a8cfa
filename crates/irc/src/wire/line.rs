//! One line to send: built piece by piece, never malformed, never over the limit.

use super::numeric::Numeric;
use super::tags::TagBuf;
use super::{MAX_BODY, truncate_utf8};

/// A line under construction: `Line::new(source).tag(k, v).cmd("PRIVMSG").param(to).trailing(text)`.
///
/// Parameters can hold anything: CR, LF and NUL never reach the wire, and what would break a middle
/// parameter is replaced. The body is cut at a character's edge to fit 512 bytes.
#[derive(Debug, Clone)]
pub struct Line {
    tags: TagBuf,
    /// Without line end.
    body: Vec<u8>,
    limit: usize,
}

impl Line {
    /// Begins a line from `source`; an empty source is left out.
    pub fn new(source: impl AsRef<[u8]>) -> Self {
        let source = source.as_ref();
        let mut body = Vec::with_capacity(160);
        if !source.is_empty() {
            body.push(b':');
            // A colon is no trouble here; only what would end the source or the line is.
            body.extend(source.iter().map(|b| match b {
                0 | b'\r' | b'\n' | b' ' => b'_',
                other => *other,
            }));
        }
        Self {
            tags: TagBuf::new(),
            body,
            limit: MAX_BODY - 2,
        }
    }

    /// Allows `bytes` of body (CR and LF included) in place of 512.
    pub fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes.saturating_sub(2);
        self
    }

    /// Begins a numeric reply to `nick` (`*` before there is one).
    pub fn numeric(server: impl AsRef<[u8]>, numeric: Numeric, nick: impl AsRef<[u8]>) -> Self {
        Self::new(server).cmd(numeric.as_str()).param(nick)
    }

    /// Adds a tag. See [`TagBuf::push`] for what does not fit.
    pub fn tag(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.tags.push(key, value);
        self
    }

    /// Puts `tags` in place of those so far.
    pub fn tags(mut self, tags: TagBuf) -> Self {
        self.tags = tags;
        self
    }

    /// The command; comes before the parameters.
    pub fn cmd(self, command: impl AsRef<[u8]>) -> Self {
        self.param(command)
    }

    /// A middle parameter. It cannot be empty (`*` stands in), hold spaces (`_` stands in) or begin
    /// with `:` (left out).
    pub fn param(mut self, param: impl AsRef<[u8]>) -> Self {
        if !self.body.is_empty() {
            self.body.push(b' ');
        }
        push_middle(param.as_ref(), &mut self.body);
        self
    }

    /// The last parameter, always with `:`. CR, LF and NUL become spaces.
    pub fn trailing(mut self, text: impl AsRef<[u8]>) -> Self {
        self.body.extend_from_slice(b" :");
        let text = text.as_ref();
        if memchr::memchr3(0, b'\r', b'\n', text).is_none() {
            self.body.extend_from_slice(text);
        } else {
            self.body.extend(text.iter().map(|b| {
                if matches!(b, 0 | b'\r' | b'\n') {
                    b' '
                } else {
                    *b
                }
            }));
        }
        self
    }

    /// The last parameter, with `:` only where it needs one.
    pub fn last(self, text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        if is_middle(text) {
            self.param(text)
        } else {
            self.trailing(text)
        }
    }

    /// Bytes that can still be added to the body; 0 also if it is already over.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.body.len())
    }

    /// True if something will be cut off.
    pub fn is_over(&self) -> bool {
        self.body.len() > self.limit
    }

    /// The body as it will be sent, without line end.
    pub fn body(&self) -> &[u8] {
        truncate_utf8(&self.body, self.limit)
    }

    /// Appends the line with its own tags.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_with(&self.tags, out);
    }

    /// Appends the line with other tags: one body serves readers of different capabilities.
    pub fn write_with(&self, tags: &TagBuf, out: &mut Vec<u8>) {
        let body = self.body();
        out.reserve(tags.as_bytes().len() + body.len() + 4);
        tags.write(out);
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }

    /// The finished line, CR and LF included.
    pub fn finish(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

/// True if the parameter can stand without `:`.
fn is_middle(param: &[u8]) -> bool {
    param.first().is_some_and(|b| *b != b':')
        && !param.iter().any(|b| matches!(b, b' ' | 0 | b'\r' | b'\n'))
}

fn push_middle(param: &[u8], out: &mut Vec<u8>) {
    if is_middle(param) {
        out.extend_from_slice(param);
        return;
    }
    let before = out.len();
    for byte in param.iter().skip_while(|b| **b == b':') {
        match byte {
            0 | b'\r' | b'\n' => {}
            b' ' => out.push(b'_'),
            other => out.push(*other),
        }
    }
    if out.get(before) == Some(&b':') {
        // What was left out had hidden another colon.
        out.insert(before, b'_');
    }
    if out.len() == before {
        out.push(b'*');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: Line) -> String {
        String::from_utf8(line.finish()).unwrap()
    }

    #[test]
    fn a_message_with_tags() {
        let line = Line::new("alice!alice@example.org")
            .tag("msgid", "a;b")
            .tag("bot", "")
            .cmd("PRIVMSG")
            .param("#town")
            .trailing("hello you");
        assert_eq!(
            text(line),
            "@msgid=a\\:b;bot :alice!alice@example.org PRIVMSG #town :hello you\r\n"
        );
        assert_eq!(text(Line::new("").cmd("PING").last("x")), "PING x\r\n");
        assert_eq!(text(Line::new("").cmd("PING").last("")), "PING :\r\n");
        assert_eq!(
            text(
                Line::numeric("s", Numeric::ERR_NOSUCHNICK, "*")
                    .param("x")
                    .trailing("No such nick")
            ),
            ":s 401 * x :No such nick\r\n"
        );
    }

    #[test]
    fn no_parameter_breaks_the_line() {
        for (param, want) in [
            ("a\r\nQUIT", "aQUIT"),
            ("a b", "a_b"),
            ("", "*"),
            (":::", "*"),
            (":x", "x"),
            ("\0:x", "_:x"),
            ("\r\n", "*"),
        ] {
            assert_eq!(
                text(Line::new("s").cmd("X").param(param)),
                format!(":s X {want}\r\n")
            );
        }
        assert_eq!(
            text(Line::new("s").cmd("X").trailing("a\r\nQUIT\0")),
            ":s X :a  QUIT \r\n"
        );
    }

    #[test]
    fn long_lines_end_at_a_character() {
        let line = Line::new("s")
            .cmd("PRIVMSG")
            .param("#c")
            .trailing("é".repeat(400));
        assert!(line.is_over());
        let out = line.finish();
        assert!(out.len() <= 512 && out.len() > 509);
        assert!(std::str::from_utf8(&out).is_ok());
        assert!(out.ends_with(b"\r\n"));
    }
}
