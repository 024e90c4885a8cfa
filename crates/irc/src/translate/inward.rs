//! What an IRC client wrote, as core's content.

use bytes::Bytes;
use sammen_core::event::{ForeignId, MessageKind, Native, Relation, RelationKind, Scheme};
use sammen_core::{Content, EventId, Message, Protocol};

use super::html;
use crate::wire::format::Ctcp;
use crate::wire::tags::{Tags, names, unescape};

/// PRIVMSG or NOTICE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A person speaks.
    Privmsg,
    /// A program speaks, or nobody wants an answer.
    Notice,
}

/// A message's content and, where IRC clients must see more than its text, its native form.
pub fn message(
    verb: Verb,
    text: &str,
    tags: Option<&[u8]>,
    status: bool,
) -> (Content, Option<Native>) {
    let (text, kind) = match (Ctcp::action(text), verb) {
        (Some(action), _) => (action, MessageKind::Emote),
        (None, Verb::Privmsg) => (text, MessageKind::Text),
        (None, Verb::Notice) => (text, MessageKind::Notice),
    };
    let (plain, html) = html::from_codes(text);
    let kept = tags.map(kept_tags).unwrap_or_default();
    let native = (html.is_some() || !kept.is_empty() || status).then(|| Native {
        protocol: Protocol::Irc,
        bytes: native(&kept, (plain != text).then_some(text)),
        id: None,
        kind: status.then(|| "@".to_owned()),
    });
    let message = Message {
        text: plain,
        html,
        kind,
        ..Message::default()
    };
    (Content::Message(message), native)
}

/// Tags that only IRC clients understand, as they were written.
pub fn only_tags(tags: &[u8], status: bool) -> Option<(Content, Native)> {
    let kept = kept_tags(tags);
    if kept.is_empty() {
        return None;
    }
    let native = Native {
        protocol: Protocol::Irc,
        bytes: native(&kept, None),
        id: None,
        kind: Some(if status { "@TAGMSG" } else { "TAGMSG" }.to_owned()),
    };
    Some((Content::Other { fallback: None }, native))
}

/// The native form: `@tags` and, behind a space, `:text`, each where it is needed.
fn native(tags: &[u8], text: Option<&str>) -> Bytes {
    let mut out = Vec::new();
    if !tags.is_empty() {
        out.push(b'@');
        out.extend_from_slice(tags);
        out.push(b' ');
    }
    if let Some(text) = text {
        out.push(b':');
        out.extend_from_slice(text.as_bytes());
    }
    out.into()
}

/// The parts of a native form: client-only tags, and the text with its codes.
pub fn read_native(native: &Native) -> (&[u8], Option<&str>) {
    let bytes = &native.bytes[..];
    let (tags, rest) = match bytes.strip_prefix(b"@") {
        Some(rest) => {
            let at = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
            let (tags, rest) = rest.split_at_checked(at).unwrap_or((rest, b""));
            (tags, rest.get(1..).unwrap_or_default())
        }
        None => (&b""[..], bytes),
    };
    let text = rest
        .strip_prefix(b":")
        .and_then(|t| std::str::from_utf8(t).ok());
    (tags, text)
}

/// Client-only tags that core has no word for; the last of each key, at most 16.
fn kept_tags(data: &[u8]) -> Vec<u8> {
    const KNOWN: [&str; 5] = [
        names::REPLY,
        names::DRAFT_REPLY,
        names::TYPING,
        names::REACT,
        names::UNREACT,
    ];
    const ALSO_KNOWN: [&str; 2] = [names::CHANNEL_CONTEXT, names::DRAFT_CHANNEL_CONTEXT];
    let mut kept: Vec<(&[u8], &[u8])> = Vec::new();
    for (key, value) in Tags::new(data) {
        let known = KNOWN
            .iter()
            .chain(&ALSO_KNOWN)
            .any(|known| known.as_bytes() == key);
        if key.first() == Some(&b'+') && !known {
            kept.retain(|(earlier, _)| *earlier != key);
            if kept.len() < 16 {
                kept.push((key, value));
            }
        }
    }
    let mut out = Vec::new();
    for (key, value) in kept {
        if !out.is_empty() {
            out.push(b';');
        }
        out.extend_from_slice(key);
        if !value.is_empty() {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    out
}

/// The value of a tag as text.
pub fn tag(data: &[u8], keys: &[&str]) -> Option<String> {
    let mut found = None;
    for (key, value) in Tags::new(data) {
        if keys.iter().any(|k| k.as_bytes() == key) {
            found = String::from_utf8(unescape(value).into_owned()).ok();
        }
    }
    found.filter(|v| !v.is_empty())
}

/// What a reply tag refers to: an event of ours, or a foreign message's id.
pub fn relation(kind: RelationKind, msgid: &str) -> Option<Relation> {
    if msgid.is_empty() || msgid.len() > 1024 {
        return None;
    }
    Some(match msgid.parse::<EventId>() {
        Ok(id) => Relation {
            kind,
            target: Some(id),
            foreign: None,
        },
        Err(_) => Relation {
            kind,
            target: None,
            foreign: Some(ForeignId {
                scheme: Scheme::IrcMsgid,
                id: msgid.to_owned(),
            }),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_needs_no_native_form_and_codes_keep_theirs() {
        let (content, native) = message(Verb::Privmsg, "hi", Some(b"+reply=x;label=1"), false);
        assert_eq!(content, Content::Message(Message::text("hi")));
        assert_eq!(native, None);
        let (content, native) = message(Verb::Privmsg, "\x02hi\x02", Some(b"+x/y=1"), false);
        assert!(matches!(content, Content::Message(m) if m.text == "hi" && m.html.is_some()));
        let native = native.unwrap();
        assert_eq!(read_native(&native), (&b"+x/y=1"[..], Some("\x02hi\x02")));
    }

    #[test]
    fn actions_are_emotes() {
        let (content, native) = message(Verb::Privmsg, "\x01ACTION waves\x01", None, false);
        assert!(matches!(content, Content::Message(m)
            if m.text == "waves" && m.kind == MessageKind::Emote));
        assert_eq!(native, None);
    }
}
