//! RFC 7395: XMPP over WebSocket, where each message is one whole element that declares its own namespaces.

use super::fault::StreamFault::{self, NotWellFormed, TooMuch};
use super::stream::{Frame, Limits, StreamOpen, declaration};
use super::{Element, Str, ns, parse};

/// One WebSocket message → a frame; `None` for a message of white space only.
pub fn parse_message(message: &[u8], limits: &Limits) -> Result<Option<Frame>, StreamFault> {
    if message.len() > limits.stanza_bytes {
        return Err(TooMuch("stanza size"));
    }
    // Liberty: RFC 7395 §3.3.3 wants `<` first; space and an XML declaration before it do no harm.
    let message = message.trim_ascii();
    if message.is_empty() {
        return Ok(None);
    }
    let skip = declaration(message)?.ok_or(NotWellFormed("XML declaration"))?;
    let el = parse::document(message.get(skip..).unwrap_or_default(), &[], limits)?;
    Ok(Some(if el.is("open", ns::FRAMING) {
        Frame::Open(StreamOpen::from_element(&el, Str::new_static(ns::FRAMING)))
    } else if el.is("close", ns::FRAMING) {
        Frame::Close
    } else {
        Frame::Stanza(el)
    }))
}

/// The `<open/>` that answers a client's.
pub fn open(from: &str, id: &str, lang: &str) -> Element {
    Element::new(ns::FRAMING, "open")
        .attr("from", from)
        .attr("id", id)
        .attr("version", "1.0")
        .with_lang(lang)
}

/// The `<close/>` that ends a stream.
pub fn close() -> Element {
    Element::new(ns::FRAMING, "close")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(message: &str) -> Result<Option<Frame>, StreamFault> {
        parse_message(message.as_bytes(), &Limits::default())
    }

    #[test]
    fn a_browser_opens_talks_and_closes() {
        let opened = parse(
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0'/>",
        );
        let Ok(Some(Frame::Open(open))) = opened else {
            panic!("{opened:?}")
        };
        assert_eq!(open.to.as_deref(), Some("example.org"));
        let stanza = parse("<message xmlns='jabber:client'><body>hi</body></message>")
            .unwrap()
            .unwrap();
        let Frame::Stanza(el) = stanza else { panic!() };
        assert_eq!(el.find_text("body", ns::CLIENT).unwrap(), "hi");
        assert_eq!(
            parse("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"),
            Ok(Some(Frame::Close))
        );
        assert_eq!(parse(" \n"), Ok(None));
    }

    #[test]
    fn a_message_is_exactly_one_element() {
        for bad in [
            "<a/><b/>",
            "<a>",
            "text",
            "<a/>text",
            "<stream:features/>",
            "<?xml version='1.0'",
        ] {
            assert!(
                matches!(parse(bad), Err(NotWellFormed(_))),
                "{bad}: {:?}",
                parse(bad)
            );
        }
        assert_eq!(parse(&" ".repeat(300_000)), Err(TooMuch("stanza size")));
    }
}
