//! XEP-0124 and XEP-0206: the `<body/>` around stanzas in HTTP.

use super::fault::StreamFault::{self, NotWellFormed, TooMuch};
use super::stream::{Frame, Limits, StreamOpen, declaration};
use super::{Node, Str, ns, parse};

/// XEP-0124 §14.1: no greater number is ever sent.
const MOST: u64 = (1 << 53) - 1;

/// What a client sent in one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// The number of the request.
    pub rid: u64,
    /// The session; `None` asks for a new one.
    pub sid: Option<Str>,
    /// The longest time to wait, in seconds.
    pub wait: Option<u64>,
    /// How many requests may be held.
    pub hold: Option<u64>,
    /// The client tells which answers it got.
    pub ack: Option<u64>,
    /// It will be away for so many seconds.
    pub pause: Option<u64>,
    /// It ends the session.
    pub terminate: bool,
    /// What the request brings: a header where a stream begins anew, then stanzas.
    pub frames: Vec<Frame>,
}

/// One request → what it says.
///
/// # Errors
/// When it is no such element, or too much.
pub fn parse_body(request: &[u8], limits: &Limits) -> Result<Body, StreamFault> {
    // Several stanzas may share a request; each of them has the limits of one, all together twice that.
    if request.len() > limits.stanza_bytes.saturating_mul(2) {
        return Err(TooMuch("request size"));
    }
    let together = Limits {
        stanza_bytes: limits.stanza_bytes.saturating_mul(2),
        ..*limits
    };
    let request = request.trim_ascii();
    let skip = declaration(request)?.ok_or(NotWellFormed("XML declaration"))?;
    let mut el = parse::document(request.get(skip..).unwrap_or_default(), &[], &together)?;
    if !el.is("body", ns::BOSH) {
        return Err(NotWellFormed("not a body"));
    }
    let number = |name: &str| match el.get(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<u64>()
            .ok()
            .filter(|n| *n <= MOST)
            .map(Some)
            .ok_or(NotWellFormed("a number")),
    };
    let sid = el.get_str("sid").cloned();
    let rid = number("rid")?.ok_or(NotWellFormed("no rid"))?;
    let restart = matches!(el.get_ns(ns::XBOSH, "restart"), Some("true" | "1"));
    let opens = restart || sid.is_none();
    let open = opens.then(|| {
        let version = el.get_ns(ns::XBOSH, "version").unwrap_or("1.0");
        Frame::Open(StreamOpen {
            to: el.get_str("to").cloned(),
            from: el.get_str("from").cloned(),
            id: None,
            version: Some(Str::new(version)),
            lang: el.lang().map(Str::new),
            default_ns: Str::new_static(ns::BOSH),
        })
    });
    let mut body = Body {
        rid,
        sid,
        wait: number("wait")?,
        hold: number("hold")?,
        ack: number("ack")?,
        pause: number("pause")?,
        terminate: el.get("type") == Some("terminate"),
        frames: open.into_iter().collect(),
    };
    for node in el.take_nodes() {
        match node {
            Node::Element(stanza) => body.frames.push(Frame::Stanza(stanza)),
            // XEP-0124 §6: white space apart there is no text.
            Node::Text(text) if !text.trim().is_empty() => {
                return Err(NotWellFormed("text in the body"));
            }
            Node::Text(_) => {}
        }
    }
    if body.terminate {
        body.frames.push(Frame::Close);
    }
    Ok(body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(attrs: &str, inside: &str) -> Result<Body, StreamFault> {
        let text = format!(
            "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' {attrs}>{inside}</body>"
        );
        parse_body(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn a_session_begins_goes_on_and_ends() {
        let first = parse(
            "rid='7' to='example.org' wait='60' hold='1' xmpp:version='1.0'",
            "",
        );
        let first = first.unwrap();
        let Some(Frame::Open(open)) = first.frames.first() else {
            panic!("{first:?}")
        };
        assert_eq!(open.to.as_deref(), Some("example.org"));
        assert_eq!((first.rid, first.wait, first.hold), (7, Some(60), Some(1)));
        let said = "<message xmlns='jabber:client'><body>hi</body></message>";
        let more = parse("rid='8' sid='x'", &format!("{said} {said}")).unwrap();
        assert_eq!(more.frames.len(), 2);
        assert!(matches!(more.frames.first(), Some(Frame::Stanza(el)) if el.ns() == ns::CLIENT));
        let again = parse("rid='9' sid='x' xmpp:restart='true' to='example.org'", "").unwrap();
        assert!(matches!(again.frames.first(), Some(Frame::Open(_))));
        let last = "<presence xmlns='jabber:client' type='unavailable'/>";
        let last = parse("rid='10' sid='x' type='terminate'", last).unwrap();
        assert!(last.terminate);
        assert_eq!(last.frames.last(), Some(&Frame::Close));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (attrs, inside) in [
            ("", ""),
            ("rid='x'", ""),
            ("rid='-1'", ""),
            ("rid='9007199254740992'", ""),
            ("rid='1' hold='many'", ""),
            ("rid='1'", "text"),
            ("rid='1'", "<a>"),
            ("rid='1' rid='2'", ""),
        ] {
            assert!(parse(attrs, inside).is_err(), "{attrs} {inside}");
        }
        for text in [
            "",
            "<body rid='1'/>",
            "<?xml version='1.0'?><!DOCTYPE body><body rid='1'/>",
            "<x xmlns='http://jabber.org/protocol/httpbind' rid='1'/>",
        ] {
            assert!(
                parse_body(text.as_bytes(), &Limits::default()).is_err(),
                "{text}"
            );
        }
        let much = format!("<a>{}</a>", "x".repeat(Limits::default().stanza_bytes * 2));
        assert!(parse("rid='1'", &much).is_err());
    }
}
