//! IRCv3 message tags: names in use, escaping, reading them off a line, collecting them for one.

use std::borrow::Cow;

use super::MAX_TAG_DATA;

/// Names of the tags this server reads or writes.
pub mod names {
    /// When the message was sent (server-time).
    pub const TIME: &str = "time";
    /// The message's identifier (message-ids).
    pub const MSGID: &str = "msgid";
    /// The sender's account (account-tag).
    pub const ACCOUNT: &str = "account";
    /// The batch a line belongs to (batch).
    pub const BATCH: &str = "batch";
    /// What a reply answers (labeled-response).
    pub const LABEL: &str = "label";
    /// The sender is a bot (bot-mode).
    pub const BOT: &str = "bot";
    /// The line continues the one before without a line break (draft/multiline).
    pub const MULTILINE_CONCAT: &str = "draft/multiline-concat";
    /// active, paused or done (typing).
    pub const TYPING: &str = "+typing";
    /// The msgid this message answers (reply).
    pub const REPLY: &str = "+reply";
    /// The name of [`REPLY`] before it was ratified; most clients send this one.
    pub const DRAFT_REPLY: &str = "+draft/reply";
    /// A reaction, together with a reply tag.
    pub const REACT: &str = "+draft/react";
    /// Takes a reaction back.
    pub const UNREACT: &str = "+draft/unreact";
    /// The channel that a private message is about (channel-context).
    pub const CHANNEL_CONTEXT: &str = "+channel-context";
    /// The name of [`CHANNEL_CONTEXT`] before it was ratified.
    pub const DRAFT_CHANNEL_CONTEXT: &str = "+draft/channel-context";
}

/// Undoes the escaping of a tag value. A lone `\` at the end vanishes, `\x` of an unknown x is x.
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', raw) else {
        return Cow::Borrowed(raw);
    };
    let (head, tail) = raw.split_at_checked(first).unwrap_or((raw, b""));
    let mut out = Vec::with_capacity(raw.len());
    out.extend_from_slice(head);
    let mut bytes = tail.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b':') => out.push(b';'),
            Some(b's') => out.push(b' '),
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    Cow::Owned(out)
}

/// Appends `value` in escaped form. NUL, which has no escape, is left out.
pub fn escape_into(value: &[u8], out: &mut Vec<u8>) {
    if !value
        .iter()
        .any(|b| matches!(b, b';' | b' ' | b'\\' | b'\r' | b'\n' | 0))
    {
        out.extend_from_slice(value);
        return;
    }
    for byte in value {
        match byte {
            b';' => out.extend_from_slice(b"\\:"),
            b' ' => out.extend_from_slice(b"\\s"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0 => {}
            other => out.push(*other),
        }
    }
}

/// The tags of a received line, as (key, escaped value). A missing and an empty value are the same
/// (IRCv3 message-tags). Tags without a key are passed over.
#[derive(Debug, Clone)]
pub struct Tags<'a> {
    rest: &'a [u8],
}

impl<'a> Tags<'a> {
    /// Reads tag data: what stands between `@` and the space.
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (tag, rest) = split_once(self.rest, b';').unwrap_or((self.rest, b""));
            self.rest = rest;
            let (key, value) = split_once(tag, b'=').unwrap_or((tag, b""));
            if !key.is_empty() {
                return Some((key, value));
            }
        }
        None
    }
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let (head, tail) = bytes.split_at_checked(memchr::memchr(at, bytes)?)?;
    Some((head, tail.get(1..)?))
}

/// Tags for a line to send. The server's own come first, so that a client's never push them out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagBuf {
    /// Joined by `;`, escaped.
    data: Vec<u8>,
    own: usize,
    client: usize,
}

impl TagBuf {
    /// No tags yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tag; an empty value is written as the key alone. False if the key cannot be written
    /// or the tag does not fit its side's budget ([`MAX_TAG_DATA`] for the server's tags, the same
    /// again for client-only ones): it is then left out.
    pub fn push(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> bool {
        let (key, value) = (key.as_ref(), value.as_ref());
        if key.is_empty()
            || key
                .iter()
                .any(|b| matches!(b, b';' | b'=' | b' ' | 0 | b'\r' | b'\n'))
        {
            return false;
        }
        let before = self.data.len();
        if self.data.is_empty() {
            self.data.reserve(128);
        } else {
            self.data.push(b';');
        }
        self.data.extend_from_slice(key);
        if !value.is_empty() {
            self.data.push(b'=');
            escape_into(value, &mut self.data);
        }
        // Each side's tags, joined, plus one separator: `@` 4094 `;` 4094 ` `.
        let grown = self.data.len() - before + usize::from(before == 0);
        let used = if key.first() == Some(&b'+') {
            &mut self.client
        } else {
            &mut self.own
        };
        if *used + grown > MAX_TAG_DATA + 1 {
            self.data.truncate(before);
            return false;
        }
        *used += grown;
        true
    }

    /// Copies a client's client-only tags (`+…`) for relaying, the last of each key
    /// (IRCv3 message-tags: all others must be removed), at most 64.
    pub fn relay(&mut self, tags: Tags<'_>) {
        let mut seen: Vec<(&[u8], &[u8])> = Vec::new();
        for (key, value) in tags.filter(|(key, _)| key.first() == Some(&b'+')) {
            seen.retain(|(earlier, _)| *earlier != key);
            if seen.len() < 64 {
                seen.push((key, value));
            }
        }
        for (key, value) in seen {
            self.push(key, unescape(value));
        }
    }

    /// True if there is no tag.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The tags as written, without `@` and space.
    pub fn as_bytes(&self) -> &[u8] {
        &self.data
    }

    /// Appends `@tags ` to `out`, or nothing if there are none.
    pub fn write(&self, out: &mut Vec<u8>) {
        if !self.data.is_empty() {
            out.push(b'@');
            out.extend_from_slice(&self.data);
            out.push(b' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_both_ways() {
        // The specification's own example, and its rules for odd input.
        let mut out = Vec::new();
        escape_into(b"raw+:=,escaped; \\", &mut out);
        assert_eq!(out, b"raw+:=,escaped\\:\\s\\\\");
        for (raw, value) in [
            (r"raw+:=,escaped\:\s\\", "raw+:=,escaped; \\"),
            (r"test\", "test"),
            (r"a\bc", "abc"),
            (r"\r\n", "\r\n"),
            (r"\\s", "\\s"),
            ("", ""),
        ] {
            assert_eq!(&*unescape(raw.as_bytes()), value.as_bytes(), "{raw}");
        }
        let mut out = Vec::new();
        escape_into(b"a\0b", &mut out);
        assert_eq!(out, b"ab");
    }

    #[test]
    fn tags_are_read_generously() {
        let read: Vec<_> = Tags::new(b"a=b;;c;=x;d==;e=").collect();
        let want: [(&[u8], &[u8]); 4] = [(b"a", b"b"), (b"c", b""), (b"d", b"="), (b"e", b"")];
        assert_eq!(read, want);
    }

    #[test]
    fn budgets_hold() {
        let mut tags = TagBuf::new();
        assert!(tags.push("a", vec![b'x'; MAX_TAG_DATA - 2]));
        assert!(!tags.push("b", "y"));
        assert!(tags.push("+c", vec![b'x'; MAX_TAG_DATA - 3]));
        assert!(!tags.push("+d", "y"));
        let mut out = Vec::new();
        tags.write(&mut out);
        assert_eq!(out.len(), super::super::MAX_SERVER_TAGS);
        for bad in ["", "a b", "a;b", "a=b", "a\n"] {
            assert!(!TagBuf::new().push(bad, ""), "{bad:?}");
        }
    }

    #[test]
    fn only_client_tags_are_relayed_and_the_last_wins() {
        let mut tags = TagBuf::new();
        tags.push("msgid", "1");
        tags.relay(Tags::new(
            b"label=9;+typing=active;msgid=fake;+x=a\\sb;+typing=done",
        ));
        assert_eq!(tags.as_bytes(), b"msgid=1;+x=a\\sb;+typing=done");
    }
}
