//! One received line: tags, source, command, parameters, borrowed from the bytes it came in.

use std::borrow::Cow;

use super::tags::{self, Tags};
use super::{MAX_BODY, MAX_SERVER_TAGS, MAX_TAG_DATA};

/// Parameters a line can have (RFC 2812 §2.3.1); the 15th takes the rest, spaces and all.
pub const MAX_PARAMS: usize = 15;

/// How long the parts of a line may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes between `@` and the space that ends the tags.
    pub tag_data: usize,
    /// Bytes of everything else, CR and LF included.
    pub body: usize,
}

impl Limits {
    /// What a client may send to a server.
    pub const FROM_CLIENT: Limits = Limits {
        tag_data: MAX_TAG_DATA,
        body: MAX_BODY,
    };
    /// What a server may send to a client.
    pub const FROM_SERVER: Limits = Limits {
        tag_data: MAX_SERVER_TAGS - 2,
        body: MAX_BODY,
    };
}

/// Why a line is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Tags over the limit: answer [`Numeric::ERR_INPUTTOOLONG`](super::Numeric), never truncate.
    #[error("tags are too long")]
    TagsTooLong,
    /// The rest over the limit: answer [`Numeric::ERR_INPUTTOOLONG`](super::Numeric).
    #[error("line is too long")]
    BodyTooLong,
    /// A NUL, CR or LF inside the line.
    #[error("line holds a NUL, CR or LF")]
    BadByte,
    /// Nothing but spaces: ignore it (RFC 1459 §2.3.1).
    #[error("empty line")]
    Empty,
    /// Tags or a source, but no command.
    #[error("no command")]
    NoCommand,
    /// A command that is neither letters and digits nor a numeric.
    #[error("malformed command")]
    BadCommand,
}

impl ParseError {
    /// True if `417 ERR_INPUTTOOLONG` is the answer.
    pub fn is_too_long(self) -> bool {
        matches!(self, Self::TagsTooLong | Self::BodyTooLong)
    }
}

/// Who a line comes from: a server's name, or `nick[!user][@host]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    /// Nick or server name.
    pub name: &'a [u8],
    /// The user (ident) part.
    pub user: Option<&'a [u8]>,
    /// The host part.
    pub host: Option<&'a [u8]>,
}

impl<'a> Source<'a> {
    /// Takes a source apart: the last `@` begins the host, the first `!` before it the user.
    pub fn parse(raw: &'a [u8]) -> Self {
        let (left, host) = match memchr::memrchr(b'@', raw).and_then(|at| raw.split_at_checked(at))
        {
            Some((left, host)) => (left, host.get(1..)),
            None => (raw, None),
        };
        match memchr::memchr(b'!', left).and_then(|at| left.split_at_checked(at)) {
            Some((name, user)) => Self {
                name,
                user: user.get(1..),
                host,
            },
            None => Self {
                name: left,
                user: None,
                host,
            },
        }
    }
}

/// One parsed line.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    tags: &'a [u8],
    source: Option<&'a [u8]>,
    command: &'a str,
    params: [&'a [u8]; MAX_PARAMS],
    len: usize,
}

impl<'a> Message<'a> {
    /// Parses a line that a client sent, with or without its line end.
    pub fn parse(line: &'a [u8]) -> Result<Self, ParseError> {
        Self::parse_with(line, Limits::FROM_CLIENT)
    }

    /// Parses a line within `limits`.
    ///
    /// Generous: several spaces count as one, spaces before and after are ignored, a missing `:`
    /// before the 15th parameter is allowed, tags without a key are passed over.
    pub fn parse_with(line: &'a [u8], limits: Limits) -> Result<Self, ParseError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut rest = skip_spaces(line);
        let mut tags: &[u8] = b"";
        if let Some(after) = rest.strip_prefix(b"@") {
            let (data, tail) = word(after);
            if data.len() > limits.tag_data {
                return Err(ParseError::TagsTooLong);
            }
            tags = data;
            rest = tail;
        }
        if rest.len() > limits.body.saturating_sub(2) {
            return Err(ParseError::BodyTooLong);
        }
        if memchr::memchr3(0, b'\r', b'\n', line).is_some() {
            return Err(ParseError::BadByte);
        }
        let mut source = None;
        if let Some(after) = rest.strip_prefix(b":") {
            let (name, tail) = word(after);
            source = (!name.is_empty()).then_some(name);
            rest = tail;
        }
        let (command, mut rest) = word(rest);
        if command.is_empty() {
            let bare = tags.is_empty() && source.is_none();
            return Err(if bare {
                ParseError::Empty
            } else {
                ParseError::NoCommand
            });
        }
        if !command.iter().all(u8::is_ascii_alphanumeric) {
            return Err(ParseError::BadCommand);
        }
        let command = std::str::from_utf8(command).map_err(|_| ParseError::BadCommand)?;

        let mut params: [&[u8]; MAX_PARAMS] = [b""; MAX_PARAMS];
        let mut len = 0;
        for (at, slot) in params.iter_mut().enumerate() {
            if rest.is_empty() {
                break;
            }
            len = at + 1;
            if let Some(trailing) = rest.strip_prefix(b":") {
                *slot = trailing;
                break;
            }
            if at + 1 == MAX_PARAMS {
                *slot = rest;
                break;
            }
            (*slot, rest) = word(rest);
        }
        Ok(Self {
            tags,
            source,
            command,
            params,
            len,
        })
    }

    /// The command as sent: letters and digits.
    pub fn command(&self) -> &'a str {
        self.command
    }

    /// The command in upper case, for looking it up.
    pub fn verb(&self) -> Cow<'a, str> {
        if self.command.bytes().any(|b| b.is_ascii_lowercase()) {
            Cow::Owned(self.command.to_ascii_uppercase())
        } else {
            Cow::Borrowed(self.command)
        }
    }

    /// True if the command is `verb`, in whichever case.
    pub fn is(&self, verb: &str) -> bool {
        self.command.eq_ignore_ascii_case(verb)
    }

    /// The command as a numeric: exactly three digits.
    pub fn numeric(&self) -> Option<super::Numeric> {
        let three = self.command.len() == 3 && self.command.bytes().all(|b| b.is_ascii_digit());
        if three {
            self.command.parse().ok().map(super::Numeric)
        } else {
            None
        }
    }

    /// Who the line says it comes from. Servers ignore what clients claim here (RFC 1459 §2.3).
    pub fn source(&self) -> Option<Source<'a>> {
        self.source.map(Source::parse)
    }

    /// The source as written.
    pub fn raw_source(&self) -> Option<&'a [u8]> {
        self.source
    }

    /// All parameters, the trailing one too.
    pub fn params(&self) -> &[&'a [u8]] {
        self.params.get(..self.len).unwrap_or_default()
    }

    /// The parameter at `at`, counted from 0.
    pub fn param(&self, at: usize) -> Option<&'a [u8]> {
        self.params().get(at).copied()
    }

    /// The parameter at `at` as text; `None` also if it is not UTF-8.
    pub fn text(&self, at: usize) -> Option<&'a str> {
        self.param(at).and_then(|p| std::str::from_utf8(p).ok())
    }

    /// The last parameter as text.
    pub fn last_text(&self) -> Option<&'a str> {
        self.text(self.len.checked_sub(1)?)
    }

    /// All words of the parameters from `from` on, for commands that take any number of them
    /// (ISON, CAP REQ, METADATA SUB): whether each is a parameter or they share the trailing one.
    pub fn words(&self, from: usize) -> impl Iterator<Item = &'a str> {
        let params = self.params;
        (from..self.len)
            .filter_map(move |at| params.get(at).copied())
            .filter_map(|p| std::str::from_utf8(p).ok())
            .flat_map(|p| p.split(' ').filter(|w| !w.is_empty()))
    }

    /// The tags, with escaped values.
    pub fn tags(&self) -> Tags<'a> {
        Tags::new(self.tags)
    }

    /// The value of the last tag named `key`, unescaped; empty if it has none.
    pub fn tag(&self, key: &str) -> Option<Cow<'a, [u8]>> {
        if self.tags.is_empty() {
            return None;
        }
        let (_, raw) = self.tags().filter(|(k, _)| *k == key.as_bytes()).last()?;
        Some(tags::unescape(raw))
    }

    /// The same as text; `None` also if it is not UTF-8.
    pub fn tag_text(&self, key: &str) -> Option<Cow<'a, str>> {
        match self.tag(key)? {
            Cow::Borrowed(raw) => std::str::from_utf8(raw).ok().map(Cow::Borrowed),
            Cow::Owned(raw) => String::from_utf8(raw).ok().map(Cow::Owned),
        }
    }
}

impl PartialEq for Message<'_> {
    /// Equal in meaning: tags by their unescaped values, everything else as sent.
    fn eq(&self, other: &Self) -> bool {
        let same_tags = self.tags == other.tags || {
            let plain = |m: &Self| -> Vec<(Vec<u8>, Vec<u8>)> {
                m.tags()
                    .map(|(k, v)| (k.to_vec(), tags::unescape(v).into_owned()))
                    .collect()
            };
            plain(self) == plain(other)
        };
        same_tags
            && self.source == other.source
            && self.command == other.command
            && self.params() == other.params()
    }
}

impl std::fmt::Debug for Message<'_> {
    /// Parameters may be private or secret: only their count shows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("command", &self.command)
            .field("params", &self.len)
            .finish()
    }
}

/// The bytes up to the first space, and what follows the spaces.
fn word(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', bytes).and_then(|at| bytes.split_at_checked(at)) {
        Some((word, rest)) => (word, skip_spaces(rest)),
        None => (bytes, b""),
    }
}

fn skip_spaces(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b" ") {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(line: &str) -> Vec<String> {
        let message = Message::parse(line.as_bytes()).unwrap();
        message
            .params()
            .iter()
            .map(|p| String::from_utf8_lossy(p).into_owned())
            .collect()
    }

    #[test]
    fn a_tagged_message() {
        let line =
            b"@aaa=bbb;ccc;example.com/ddd=e\\see :nick!ident@host.com PRIVMSG me :Hello  you\r\n";
        let m = Message::parse(line).unwrap();
        assert_eq!(m.tag("aaa").unwrap(), &b"bbb"[..]);
        assert_eq!(m.tag("ccc").unwrap(), &b""[..]);
        assert_eq!(m.tag_text("example.com/ddd").unwrap(), "e ee");
        assert!(m.tag("zzz").is_none());
        let source = m.source().unwrap();
        assert_eq!(source.name, b"nick");
        assert_eq!(source.user.unwrap(), b"ident");
        assert_eq!(source.host.unwrap(), b"host.com");
        assert!(m.is("privmsg"));
        assert_eq!(
            (m.text(0), m.text(1), m.text(2)),
            (Some("me"), Some("Hello  you"), None)
        );
    }

    #[test]
    fn parameters_are_read_generously() {
        for (line, want) in [
            ("PING", vec![]),
            ("  PING   ", vec![]),
            ("NICK bob", vec!["bob"]),
            (
                "USER a  0   *  :Real  Name ",
                vec!["a", "0", "*", "Real  Name "],
            ),
            ("TOPIC #c :", vec!["#c", ""]),
            ("TOPIC #c ", vec!["#c"]),
            ("X :", vec![""]),
            ("X ::", vec![":"]),
            ("X a:b :c", vec!["a:b", "c"]),
            ("X :a :b", vec!["a :b"]),
        ] {
            assert_eq!(params(line), want, "{line}");
        }
        let fifteen = params("X 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17");
        assert_eq!(fifteen.len(), 15);
        assert_eq!(fifteen[14], "15 16 17");
        let ison = Message::parse(b"ISON 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17").unwrap();
        assert_eq!(ison.words(0).count(), 17);
    }

    #[test]
    fn sources() {
        for (raw, name, user, host) in [
            ("irc.example.org", "irc.example.org", None, None),
            ("n!u@h", "n", Some("u"), Some("h")),
            ("n@h", "n", None, Some("h")),
            ("n!u", "n", Some("u"), None),
            (
                "bob%other.net/xmpp!bob@other.net/xmpp",
                "bob%other.net/xmpp",
                Some("bob"),
                Some("other.net/xmpp"),
            ),
            ("n!a@b@c", "n", Some("a@b"), Some("c")),
        ] {
            let s = Source::parse(raw.as_bytes());
            assert_eq!(s.name, name.as_bytes());
            assert_eq!(s.user, user.map(str::as_bytes), "{raw}");
            assert_eq!(s.host, host.map(str::as_bytes), "{raw}");
        }
    }

    #[test]
    fn numerics_are_three_digits() {
        assert_eq!(
            Message::parse(b":s 001 me :hi").unwrap().numeric(),
            Some(super::super::Numeric::RPL_WELCOME)
        );
        assert_eq!(Message::parse(b"01 me").unwrap().numeric(), None);
        assert_eq!(Message::parse(b"1234 me").unwrap().numeric(), None);
    }

    #[test]
    fn hostile_lines() {
        use ParseError::*;
        let long_tag = |n: usize| format!("@{} PING", "a".repeat(n));
        let long_body = |n: usize| format!("PING {}\r\n", "a".repeat(n - 7));
        for (line, want) in [
            ("", Err(Empty)),
            ("   ", Err(Empty)),
            ("\r\n", Err(Empty)),
            (":", Err(Empty)),
            ("@", Err(Empty)),
            ("@a", Err(NoCommand)),
            ("@a :b", Err(NoCommand)),
            (":b ", Err(NoCommand)),
            ("PRIV\0MSG a", Err(BadByte)),
            ("PRIVMSG a :b\rQUIT", Err(BadByte)),
            ("@a=b\rc PING", Err(BadByte)),
            ("PRIVMSG a :b\nQUIT", Err(BadByte)),
            ("P@NG", Err(BadCommand)),
            ("PÏNG", Err(BadCommand)),
            (&long_tag(4094), Ok(())),
            (&long_tag(4095), Err(TagsTooLong)),
            (&long_body(512), Ok(())),
            (&long_body(513), Err(BodyTooLong)),
        ] {
            let got = Message::parse(line.as_bytes()).map(|_| ());
            assert_eq!(got, want, "{:?}", line.chars().take(20).collect::<String>());
        }
        assert!(Message::parse_with(long_tag(8189).as_bytes(), Limits::FROM_SERVER).is_ok());
        assert!(Message::parse_with(long_tag(8190).as_bytes(), Limits::FROM_SERVER).is_err());
        assert!(TagsTooLong.is_too_long() && BodyTooLong.is_too_long() && !BadByte.is_too_long());
    }

    #[test]
    fn the_log_never_shows_what_was_said() {
        let m = Message::parse(b"PASS hunter2").unwrap();
        assert!(!format!("{m:?}").contains("hunter2"));
    }
}
