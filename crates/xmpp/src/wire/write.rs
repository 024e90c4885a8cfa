//! Elements → bytes: escaped, with as few namespace declarations as the place they are written into needs.

use bytes::BytesMut;

use super::{Element, Node, ns};

/// Where output is collected.
pub trait Out {
    /// Appends.
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Out for BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// What is already declared where something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    /// The default namespace in force.
    pub default_ns: &'a str,
    /// Whether `stream:` is bound.
    pub stream_prefix: bool,
}

impl Context<'static> {
    /// Nothing is declared: a document of its own.
    pub const NONE: Self = Context {
        default_ns: "",
        stream_prefix: false,
    };
    /// First-level children of a client's stream over TCP.
    pub const CLIENT: Self = Context {
        default_ns: ns::CLIENT,
        stream_prefix: true,
    };
    /// First-level children of a stream between servers.
    pub const SERVER: Self = Context {
        default_ns: ns::SERVER,
        stream_prefix: true,
    };
    /// RFC 7395 §3.3.3: a WebSocket message inherits nothing.
    pub const WEBSOCKET: Self = Self::NONE;
}

impl<'a> Context<'a> {
    /// Inside an element with this default namespace, whatever stream it stands in.
    pub const fn inside(default_ns: &'a str) -> Self {
        Context {
            default_ns,
            stream_prefix: false,
        }
    }
}

/// Writes an element.
pub fn element(out: &mut impl Out, el: &Element, context: Context<'_>) {
    let (prefix, inner) = open_tag(out, el, context);
    if el.nodes().is_empty() {
        out.put(b"/>");
        return;
    }
    out.put(b">");
    nodes(out, el.nodes(), inner);
    end_tag(out, prefix, el.name());
}

/// Writes what stands between an element's tags.
pub fn nodes(out: &mut impl Out, nodes: &[Node], context: Context<'_>) {
    for node in nodes {
        match node {
            Node::Element(el) => element(out, el, context),
            Node::Text(text) => escape(out, text, false),
        }
    }
}

/// Writes `shell`'s tags and attributes around contents that were serialised before (by
/// [`Payload`](super::Payload), for the namespace of `shell`) and further children. The shell's own children
/// are left out.
pub fn stanza(
    out: &mut impl Out,
    shell: &Element,
    parts: &[&[u8]],
    extra: &[Element],
    context: Context<'_>,
) {
    let (prefix, inner) = open_tag(out, shell, context);
    contents(out, prefix, shell.name(), parts, extra, inner);
}

/// The same without building an element: for the many copies of one room message. Attributes are written in
/// the order given; `xml:lang` may be one of them.
pub fn envelope(
    out: &mut impl Out,
    name: &str,
    ns: &str,
    attrs: &[(&str, &str)],
    parts: &[&[u8]],
    extra: &[Element],
    context: Context<'_>,
) {
    out.put(b"<");
    out.put(name.as_bytes());
    if ns != context.default_ns {
        attribute(out, "", "xmlns", ns);
    }
    for (name, value) in attrs {
        attribute(out, "", name, value);
    }
    contents(
        out,
        "",
        name,
        parts,
        extra,
        Context {
            default_ns: ns,
            ..context
        },
    );
}

/// RFC 6120 §4.7: the header with which the node opens its direction of a stream over TCP.
pub fn stream_open(out: &mut impl Out, default_ns: &str, attrs: &[(&str, &str)]) {
    out.put(b"<?xml version='1.0'?><stream:stream");
    attribute(out, "", "xmlns", default_ns);
    attribute(out, "xmlns:", "stream", ns::STREAM);
    for (name, value) in attrs {
        attribute(out, "", name, value);
    }
    out.put(b">");
}

/// The end of a stream over TCP.
pub const STREAM_CLOSE: &[u8] = b"</stream:stream>";

fn contents(
    out: &mut impl Out,
    prefix: &str,
    name: &str,
    parts: &[&[u8]],
    extra: &[Element],
    inner: Context<'_>,
) {
    if extra.is_empty() && parts.iter().all(|p| p.is_empty()) {
        out.put(b"/>");
        return;
    }
    out.put(b">");
    for part in parts {
        out.put(part);
    }
    for el in extra {
        element(out, el, inner);
    }
    end_tag(out, prefix, name);
}

fn end_tag(out: &mut impl Out, prefix: &str, name: &str) {
    out.put(b"</");
    out.put(prefix.as_bytes());
    out.put(name.as_bytes());
    out.put(b">");
}

/// Writes `<name attributes` and returns the prefix used and the context of the children.
fn open_tag<'e>(
    out: &mut impl Out,
    el: &'e Element,
    context: Context<'e>,
) -> (&'static str, Context<'e>) {
    out.put(b"<");
    let (prefix, inner) = if el.ns() == ns::STREAM {
        // RFC 6120 §4.8.5: the prefix of the stream namespace is `stream`.
        out.put(b"stream:");
        out.put(el.name().as_bytes());
        if !context.stream_prefix {
            attribute(out, "xmlns:", "stream", ns::STREAM);
        }
        (
            "stream:",
            Context {
                stream_prefix: true,
                ..context
            },
        )
    } else if el.ns() == ns::XML {
        // Namespaces in XML §3: this one may not be a default namespace; `xml:` is always bound to it.
        out.put(b"xml:");
        out.put(el.name().as_bytes());
        ("xml:", context)
    } else {
        out.put(el.name().as_bytes());
        if el.ns() != context.default_ns {
            attribute(out, "", "xmlns", el.ns());
        }
        (
            "",
            Context {
                default_ns: el.ns(),
                ..context
            },
        )
    };
    for (i, attr) in el.attrs().iter().enumerate() {
        match attr.ns.as_str() {
            "" => attribute(out, "", &attr.name, &attr.value),
            ns::XML => attribute(out, "xml:", &attr.name, &attr.value),
            ns => {
                let own = format!("ns{i}");
                attribute(out, "xmlns:", &own, ns);
                attribute(out, &(own + ":"), &attr.name, &attr.value);
            }
        }
    }
    (prefix, inner)
}

fn attribute(out: &mut impl Out, prefix: &str, name: &str, value: &str) {
    out.put(b" ");
    out.put(prefix.as_bytes());
    out.put(name.as_bytes());
    out.put(b"='");
    escape(out, value, true);
    out.put(b"'");
}

/// Escapes what XML would read otherwise. Characters that XML cannot hold become U+FFFD, so that no text from
/// another protocol can break a stream.
fn escape(out: &mut impl Out, text: &str, attribute: bool) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for (i, &b) in bytes.iter().enumerate() {
        // Nearly all bytes are letters.
        if b > b'>' && b != 0xEF {
            continue;
        }
        let (instead, len): (&[u8], usize) = match b {
            b'<' => (b"&lt;", 1),
            b'>' => (b"&gt;", 1),
            b'&' => (b"&amp;", 1),
            b'\'' if attribute => (b"&apos;", 1),
            b'\t' if attribute => (b"&#9;", 1),
            b'\n' if attribute => (b"&#10;", 1),
            b'\r' => (b"&#13;", 1),
            b'\t' | b'\n' => continue,
            0..0x20 => ("\u{FFFD}".as_bytes(), 1),
            0xEF if matches!(bytes.get(i + 1..i + 3), Some([0xBF, 0xBE | 0xBF])) => {
                ("\u{FFFD}".as_bytes(), 3)
            }
            _ => continue,
        };
        out.put(bytes.get(done..i).unwrap_or_default());
        out.put(instead);
        done = i + len;
    }
    out.put(bytes.get(done..).unwrap_or_default());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn written(el: &Element, context: Context<'_>) -> String {
        let mut out = Vec::new();
        element(&mut out, el, context);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn namespaces_are_declared_where_the_place_needs_it() {
        let el = Element::new(ns::CLIENT, "message")
            .child(Element::new(ns::CLIENT, "body").text("hi"))
            .child(
                Element::new(ns::FORWARD, "forwarded").child(Element::new(ns::CLIENT, "message")),
            )
            .child(Element::new("", "x"));
        assert_eq!(
            written(&el, Context::CLIENT),
            "<message><body>hi</body><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'/></forwarded><x xmlns=''/></message>"
        );
        assert!(
            written(&el, Context::WEBSOCKET).starts_with("<message xmlns='jabber:client'><body>")
        );
        assert!(written(&el, Context::SERVER).starts_with("<message xmlns='jabber:client'><body>"));
    }

    #[test]
    fn stream_elements_have_their_prefix() {
        let el = Element::new(ns::STREAM, "features").child(Element::new(ns::BIND, "bind"));
        assert_eq!(
            written(&el, Context::CLIENT),
            "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"
        );
        assert_eq!(
            written(&el, Context::WEBSOCKET),
            "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"
        );
        let mut out = BytesMut::new();
        stream_open(&mut out, ns::CLIENT, &[("id", "1'")]);
        assert_eq!(
            out,
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1&apos;'>"
        );
    }

    #[test]
    fn elements_of_xmls_own_namespace_are_never_given_it_as_default() {
        let el = Element::new("u", "a")
            .child(Element::new(ns::XML, "b").child(Element::new("u", "c")))
            .child(Element::new("u", "d"));
        assert_eq!(
            written(&el, Context::NONE),
            "<a xmlns='u'><xml:b><c/></xml:b><d/></a>"
        );
    }

    #[test]
    fn text_from_other_protocols_cannot_break_a_stream() {
        let el = Element::new("u", "a")
            .attr("b", "<'\"&\t\n\r>")
            .with_lang("en")
            .text("\u{3}4red\0 <&>]]>\r\n\u{FFFF}\u{FFFD}'\"");
        assert_eq!(
            written(&el, Context::inside("u")),
            "<a b='&lt;&apos;\"&amp;&#9;&#10;&#13;&gt;' xml:lang='en'>\u{FFFD}4red\u{FFFD} &lt;&amp;&gt;]]&gt;&#13;\n\u{FFFD}\u{FFFD}'\"</a>"
        );
    }
}
