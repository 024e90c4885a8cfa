//! What must hold for any bytes at all: entry points for fuzzing, also run by the property tests below.

use super::fault::StreamFault;
use super::stream::{Frame, Limits, StreamParser};
use super::write::{self, Context};
use super::{Element, Jid, Payload, body, framing, ns, parse};

const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:p='urn:p'>";

/// Small, so that a fuzzer reaches them.
const LIMITS: Limits = Limits {
    stanza_bytes: 512,
    header_bytes: 256,
    depth: 6,
    attributes: 6,
    elements: 24,
};

/// Any bytes give the same frames in one piece as in many, with and without a header of ours before them; each
/// stanza survives writing and parsing in every context.
pub fn fuzz_stream(data: &[u8]) {
    let (seed, rest) = data.split_first().unwrap_or((&0, &[]));
    let framed = [HEADER, rest].concat();
    for bytes in [rest, &framed] {
        let whole = frames(bytes, bytes.len());
        assert_eq!(whole, frames(bytes, 1), "byte by byte");
        assert_eq!(
            whole,
            frames(bytes, usize::from(*seed) + 1),
            "in pieces of {}",
            usize::from(*seed) + 1
        );
        for frame in &whole.0 {
            if let Frame::Stanza(el) = frame {
                round_trip(el);
            }
        }
    }
}

/// Any WebSocket message is parsed or refused, and what was parsed survives writing.
pub fn fuzz_message(data: &[u8]) {
    if let Ok(Some(Frame::Stanza(el))) = framing::parse_message(data, &LIMITS) {
        round_trip(&el);
    }
}

/// Any BOSH request is parsed or refused, and its stanzas survive writing.
pub fn fuzz_body(data: &[u8]) {
    let framed = [
        b"<body xmlns='http://jabber.org/protocol/httpbind' rid='1' ",
        data,
    ]
    .concat();
    for bytes in [data, &framed] {
        if let Ok(body) = body::parse_body(bytes, &LIMITS) {
            for frame in body.frames {
                if let Frame::Stanza(el) = frame {
                    round_trip(&el);
                }
            }
        }
    }
}

/// Any text is an address or none; an address is its own normal form.
pub fn fuzz_jid(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(jid) = Jid::new(text) {
        assert_eq!(
            Jid::from_parts(jid.local(), jid.domain(), jid.resource()).as_ref(),
            Ok(&jid)
        );
    }
}

fn frames(bytes: &[u8], piece: usize) -> (Vec<Frame>, Option<StreamFault>) {
    let mut parser = StreamParser::new(LIMITS);
    let mut out = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        parser.feed(piece);
        loop {
            match parser.next_frame() {
                Ok(Some(frame)) => out.push(frame),
                Ok(None) => break,
                Err(fault) => return (out, Some(fault)),
            }
        }
    }
    (out, None)
}

fn round_trip(el: &Element) {
    // Declarations that writing adds are no stranger's doing.
    let limits = Limits {
        attributes: 64,
        ..Limits::default()
    };
    let mut written = Vec::new();
    write::element(&mut written, el, Context::NONE);
    assert_eq!(
        parse::document(&written, &[], &limits).as_ref(),
        Ok(el),
        "{el}"
    );

    written.clear();
    write::element(&mut written, el, Context::inside(ns::CLIENT));
    assert_eq!(
        parse::document(&written, &parse::default_binding(ns::CLIENT), &limits).as_ref(),
        Ok(el),
        "{el}"
    );

    let payload = Payload::of(el);
    assert_eq!(
        payload.nodes(el.ns(), &limits).as_deref(),
        Ok(el.nodes()),
        "{el}"
    );
    written.clear();
    write::stanza(&mut written, el, &[payload.bytes()], &[], Context::SERVER);
    if el.ns() != ns::STREAM {
        assert_eq!(
            parse::document(&written, &parse::default_binding(ns::SERVER), &limits).as_ref(),
            Ok(el),
            "{el}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pieces of streams, good and bad, that mean something next to each other.
    const PIECES: &[&str] = &[
        "<message>",
        "</message>",
        "<message to='a>b' xml:lang=\"en\">",
        "<body>",
        "</body>",
        "text",
        " ",
        "\r\n",
        "&lt;",
        "&#x41;",
        "<![CDATA[",
        "]]>",
        "<a xmlns='urn:x'>",
        "</a>",
        "<p:a p:b='1'>",
        "</p:a>",
        "<b/>",
        "<iq/>",
        "<x xmlns=''/>",
        "&lol;",
        "<!--",
        "<?x",
        "</stream:stream>",
        "<stream:error>",
        "</stream:error>",
        "<q:z/>",
        "é",
        "\u{FEFF}",
        "\u{FFFF}",
        "\0",
        "'",
        "\"",
        "<",
        ">",
        "/",
        "<a a='1' a='2'/>",
        "<a b='&apos;&#9;\n'/>",
        "<a xmlns:p='urn:q' p:b='' p:c=''/>",
        "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>",
        "<?xml version='1.0'?>",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ];

    fn xml() -> impl Strategy<Value = Element> {
        let text = "[a-z<>&'\"\t\n é\u{1F600}]{0,8}";
        let name = prop::sample::select(vec!["a", "body", "é-1"]);
        let space = prop::sample::select(vec![ns::CLIENT, ns::SERVER, "urn:x", "", ns::STREAM]);
        let leaf = (
            name,
            space,
            prop::option::of(text),
            prop::option::of(text),
            prop::option::of(text),
        )
            .prop_map(|(name, space, plain, lang, other)| {
                let mut el = Element::new(space, name).attr_opt("k", plain);
                if let Some(lang) = lang {
                    el.set_ns(ns::XML, "lang", lang);
                }
                if let Some(other) = other {
                    el.set_ns("urn:other", "k", other.clone());
                    el.set_ns("urn:other", "l", other);
                }
                el
            });
        leaf.clone().prop_recursive(4, 24, 4, move |inner| {
            let node = prop_oneof![
                inner.prop_map(super::super::Node::Element),
                text.prop_map(|t| super::super::Node::Text(t.into()))
            ];
            (leaf.clone(), prop::collection::vec(node, 0..4)).prop_map(|(mut el, nodes)| {
                nodes.into_iter().for_each(|node| el.push_node(node));
                el
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pieces_of_xml_in_any_order(seed in any::<u8>(), pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30)) {
            let mut data = vec![seed];
            pieces.iter().for_each(|piece| data.extend_from_slice(piece.as_bytes()));
            fuzz_stream(&data);
            fuzz_message(&data);
        }

        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz_stream(&data);
            fuzz_message(&data);
            fuzz_jid(&data);
        }

        #[test]
        fn any_text_may_be_an_address(text in "[a-zA-Z@/.é\u{130}ß: -]{0,24}") {
            fuzz_jid(text.as_bytes());
        }

        #[test]
        fn any_element_survives_writing_and_parsing(el in xml()) {
            round_trip(&el);
        }
    }
}
