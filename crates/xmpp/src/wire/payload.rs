//! The children of a stanza, serialised once and shared: by archive, carbons, occupants and sessions.

use bytes::Bytes;

use super::fault::StreamFault;
use super::stream::Limits;
use super::write::{self, Context};
use super::{Element, Node, parse};

/// Children of a stanza as bytes that fit into any stanza namespace: a child in the stanza's own namespace
/// (`<body/>`) is written without `xmlns` and takes that of the element around it, so the same bytes stand in
/// a client's stream, below `<forwarded><message xmlns='jabber:client'>` and in a stream between servers.
/// Every other child declares what it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Payload {
    /// The children of `stanza`.
    pub fn of(stanza: &Element) -> Self {
        Self::of_nodes(stanza.nodes(), stanza.ns())
    }

    /// Children of a stanza in namespace `ns`.
    pub fn of_nodes(nodes: &[Node], ns: &str) -> Self {
        let mut out = Vec::with_capacity(512);
        write::nodes(&mut out, nodes, Context::inside(ns));
        Self(out.into())
    }

    /// Bytes that [`Payload::of`] made earlier, from the store.
    pub fn from_stored(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes, shared.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The children again, in a stanza of namespace `ns`.
    pub fn nodes(&self, ns: &str, limits: &Limits) -> Result<Vec<Node>, StreamFault> {
        parse::nodes(&self.0, &parse::default_binding(ns), limits)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::wire::ns;

    fn omemo() -> Element {
        Element::new(ns::CLIENT, "message")
            .attr("from", "alice@example.org/phone")
            .child(
                Element::new(ns::OMEMO, "encrypted")
                    .child(Element::new(ns::OMEMO, "header").attr("sid", "7"))
                    .child(Element::new(ns::OMEMO, "payload").text("c2VjcmV0")),
            )
            .child(
                Element::new(ns::CLIENT, "body")
                    .with_lang("en")
                    .text("I sent you an OMEMO message"),
            )
            .child(Element::new(ns::HINTS, "store"))
    }

    const BYTES: &str = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='7'/><payload>c2VjcmV0</payload></encrypted>\
        <body xml:lang='en'>I sent you an OMEMO message</body><store xmlns='urn:xmpp:hints'/>";

    #[test]
    fn the_same_bytes_serve_clients_archives_and_servers() {
        let payload = Payload::of(&omemo());
        assert_eq!(payload.bytes(), BYTES);
        let mut from_server = omemo();
        from_server.change_ns(ns::CLIENT, ns::SERVER);
        assert_eq!(Payload::of(&from_server), payload);
        for ns in [ns::CLIENT, ns::SERVER] {
            let mut stanza = omemo();
            stanza.change_ns(
                ns::CLIENT,
                if ns == ns::SERVER {
                    ns::SERVER
                } else {
                    ns::CLIENT
                },
            );
            assert_eq!(
                payload.nodes(ns, &Limits::default()).unwrap(),
                stanza.nodes()
            );
        }
    }

    #[test]
    fn an_envelope_goes_around_bytes_without_parsing_them() {
        let payload = Payload::of(&omemo());
        let id = Element::new(ns::SID, "stanza-id")
            .attr("id", "1")
            .attr("by", "example.org");
        let mut out = Vec::new();
        write::envelope(
            &mut out,
            "message",
            ns::CLIENT,
            &[("to", "bob@example.org"), ("type", "chat")],
            &[payload.bytes()],
            std::slice::from_ref(&id),
            Context::CLIENT,
        );
        let expected = format!(
            "<message to='bob@example.org' type='chat'>{BYTES}<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='example.org'/></message>"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);

        let mut out = Vec::new();
        write::stanza(
            &mut out,
            &omemo(),
            &[payload.bytes()],
            &[],
            Context::inside(ns::FORWARD),
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "<message xmlns='jabber:client' from='alice@example.org/phone'>{BYTES}</message>"
            )
        );

        let mut out = Vec::new();
        write::envelope(
            &mut out,
            "presence",
            ns::CLIENT,
            &[],
            &[b""],
            &[],
            Context::WEBSOCKET,
        );
        assert_eq!(out, b"<presence xmlns='jabber:client'/>");
    }
}
