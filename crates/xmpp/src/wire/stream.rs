//! RFC 6120 §4: an XML stream in pieces → its header, its stanzas, its end.

use memchr::memmem;

use super::chars::is_space;
use super::fault::StreamFault::{
    self, BadFormat, NotAStream, NotWellFormed, OtherEncoding, Restricted, TooMuch,
};
use super::parse::{self, Binding};
use super::scan::{self, Found, Scanner};
use super::{Element, Str, ns};

/// How much a stranger may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one stanza. RFC 6120 §13.12 asks for at least 10,000.
    pub stanza_bytes: usize,
    /// Bytes of a stream header, XML declaration included.
    pub header_bytes: usize,
    /// Elements inside each other within a stanza.
    pub depth: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
    /// Elements of one stanza; bounds memory, of which an element needs more than its bytes.
    pub elements: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stanza_bytes: 256 * 1024,
            header_bytes: 4096,
            depth: 64,
            attributes: 64,
            elements: 8192,
        }
    }
}

/// A stream header (`<stream:stream>`, or `<open/>` over WebSocket).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamOpen {
    /// Whom the stream is for.
    pub to: Option<Str>,
    /// Who opens it, where said.
    pub from: Option<Str>,
    /// Stream id; only a responding server gives one.
    pub id: Option<Str>,
    /// `1.0`, or `None` for pre-RFC clients.
    pub version: Option<Str>,
    /// `xml:lang`: what the peer reads.
    pub lang: Option<Str>,
    /// Default namespace (`jabber:client`, `jabber:server`); over WebSocket that of the framing.
    pub default_ns: Str,
}

impl StreamOpen {
    pub(super) fn from_element(el: &Element, default_ns: Str) -> Self {
        Self {
            to: el.get_str("to").cloned(),
            from: el.get_str("from").cloned(),
            id: el.get_str("id").cloned(),
            version: el.get_str("version").cloned(),
            lang: el.lang().map(Str::new),
            default_ns,
        }
    }
}

/// What a stream consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The header.
    Open(StreamOpen),
    /// A first-level child: a stanza, or a step of negotiation.
    Stanza(Element),
    /// The end. Nothing comes after it.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Header,
    Open,
    /// The header was an empty element: the end follows at once.
    OpenEnded,
    Closed,
    Failed(StreamFault),
}

/// Takes bytes in any pieces and gives frames. After a fault it gives that fault for ever.
#[derive(Debug)]
pub struct StreamParser {
    limits: Limits,
    buf: Vec<u8>,
    start: usize,
    phase: Phase,
    scanner: Scanner,
    root: Str,
    bindings: Vec<Binding>,
    /// The namespace of its stanzas, where that is not `jabber:client`.
    foreign: Option<&'static str>,
}

impl StreamParser {
    /// A parser that waits for a stream header.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buf: Vec::new(),
            start: 0,
            phase: Phase::Header,
            scanner: Scanner::default(),
            root: Str::default(),
            bindings: Vec::new(),
            foreign: None,
        }
    }

    /// A parser for a stream between servers: what stands in `jabber:server` is given as `jabber:client` (RFC 6120
    /// §4.8.3 asks for that whenever a stanza goes from one kind of stream to the other), so that the whole node knows
    /// one namespace of stanzas only. The header keeps its own.
    #[must_use]
    pub fn between_servers(mut self) -> Self {
        self.foreign = Some(ns::SERVER);
        self
    }

    /// A parser for a component's stream (XEP-0114), in the same way.
    #[must_use]
    pub fn for_component(mut self) -> Self {
        self.foreign = Some(ns::COMPONENT);
        self
    }

    /// Other limits from the next stanza on (wider once somebody has signed in).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Adds what the peer sent. Take all frames before feeding more: that bounds memory to one stanza and
    /// one piece.
    pub fn feed(&mut self, bytes: &[u8]) {
        if matches!(self.phase, Phase::Closed | Phase::Failed(_)) {
            return;
        }
        if self.start > 0 {
            self.buf.drain(..self.start);
            self.start = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// Bytes held that no frame was made of yet.
    pub fn pending(&self) -> usize {
        self.buf.len() - self.start
    }

    /// A new stream on the same connection, after SASL (RFC 6120 §6.4.6): a header is expected next, and bytes
    /// not yet used belong to it.
    pub fn reset(&mut self) {
        if matches!(self.phase, Phase::Closed | Phase::Failed(_)) {
            return;
        }
        self.phase = Phase::Header;
        self.scanner = Scanner::default();
        self.bindings.clear();
    }

    /// A new stream under TLS: bytes sent before the handshake are thrown away, since anybody on the way may
    /// have put them there (RFC 6120 §5.4.3.3). Returns how many there were.
    pub fn reset_discarding(&mut self) -> usize {
        let dropped = self.pending();
        self.buf = Vec::new();
        self.start = 0;
        self.reset();
        dropped
    }

    /// The next frame, or `None` until more bytes come.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, StreamFault> {
        let frame = match self.phase {
            Phase::Header => self.header(),
            Phase::Open => self.stanza(),
            Phase::OpenEnded => {
                self.phase = Phase::Closed;
                Ok(Some(Frame::Close))
            }
            Phase::Closed => Ok(None),
            Phase::Failed(fault) => Err(fault),
        };
        if let Err(fault) = frame {
            self.phase = Phase::Failed(fault);
        }
        if matches!(self.phase, Phase::Closed | Phase::Failed(_)) {
            self.buf = Vec::new();
            self.start = 0;
        } else if self.start == self.buf.len() {
            self.start = 0;
            // An idle connection holds no buffer of the size of its busiest moment.
            if self.buf.capacity() > 4096 {
                self.buf = Vec::new();
            } else {
                self.buf.clear();
            }
        }
        frame
    }

    /// White space between stanzas is a keepalive (RFC 6120 §4.6.1).
    fn skip_space(&mut self) -> &[u8] {
        let rest = self.buf.get(self.start..).unwrap_or_default();
        let n = rest.iter().take_while(|b| is_space(b)).count();
        self.start += n;
        self.buf.get(self.start..).unwrap_or_default()
    }

    fn header(&mut self) -> Result<Option<Frame>, StreamFault> {
        let limits = self.limits;
        let held = self.skip_space();
        let window = held.get(..limits.header_bytes).unwrap_or(held);
        let Some((skip, len)) = header_span(window)? else {
            return if held.len() > limits.header_bytes {
                Err(TooMuch("stream header"))
            } else {
                Ok(None)
            };
        };
        let tag = window.get(skip..skip + len).unwrap_or_default();
        let (el, root, bindings) = parse::start_tag(tag, &limits)?;
        // RFC 6120 §4.9.3.10.
        if !el.is("stream", ns::STREAM) {
            return Err(NotAStream);
        }
        self.phase = if tag.ends_with(b"/>") {
            Phase::OpenEnded
        } else {
            Phase::Open
        };
        let default_ns = bindings
            .iter()
            .find(|b| b.prefix.is_empty())
            .map(|b| b.ns.clone());
        let open = StreamOpen::from_element(&el, default_ns.unwrap_or_default());
        self.root = root;
        self.bindings = bindings;
        if let Some(foreign) = self.foreign {
            for binding in self.bindings.iter_mut().filter(|b| b.ns == foreign) {
                binding.ns = Str::new_static(ns::CLIENT);
            }
        }
        self.start += skip + len;
        Ok(Some(Frame::Open(open)))
    }

    fn stanza(&mut self) -> Result<Option<Frame>, StreamFault> {
        let limits = self.limits;
        if self.scanner.is_fresh() {
            match self.skip_space().first() {
                None => return Ok(None),
                Some(b'<') => {}
                Some(0..0x20) => return Err(NotWellFormed("forbidden character")),
                Some(_) => return Err(BadFormat("text between stanzas")),
            }
        }
        let held = self.buf.get(self.start..).unwrap_or_default();
        let window = held.get(..limits.stanza_bytes).unwrap_or(held);
        let Some(found) = self.scanner.advance(window, limits.depth)? else {
            return if held.len() > limits.stanza_bytes {
                Err(TooMuch("stanza size"))
            } else {
                Ok(None)
            };
        };
        self.scanner = Scanner::default();
        match found {
            Found::Stanza(len) => {
                let mut el = parse::document(
                    window.get(..len).unwrap_or_default(),
                    &self.bindings,
                    &limits,
                )?;
                if let Some(foreign) = self.foreign.filter(|ns| el.ns() == *ns) {
                    el.change_ns(foreign, ns::CLIENT);
                }
                self.start += len;
                Ok(Some(Frame::Stanza(el)))
            }
            Found::StreamEnd(len) => {
                let name = window.get(2..len - 1).unwrap_or_default();
                if name.trim_ascii_end() != self.root.as_bytes() {
                    return Err(NotWellFormed("end tag without start"));
                }
                self.phase = Phase::Closed;
                Ok(Some(Frame::Close))
            }
        }
    }
}

/// Where the start tag after an optional XML declaration stands: bytes before it and its length.
fn header_span(window: &[u8]) -> Result<Option<(usize, usize)>, StreamFault> {
    let Some(tag_at) = declaration(window)? else {
        return Ok(None);
    };
    match window.get(tag_at..).unwrap_or_default() {
        [] | [b'<'] => Ok(None),
        [b'<', b'!', ..] => Err(Restricted("comment or document type")),
        [b'<', b'?', ..] => Err(Restricted("processing instruction")),
        tag @ [b'<', ..] => Ok(scan::start_tag(tag).map(|len| (tag_at, len))),
        _ => Err(NotWellFormed("not XML")),
    }
}

/// The length of an XML declaration and the space after it (RFC 6120 §11.5); `None` while it is incomplete.
pub(super) fn declaration(window: &[u8]) -> Result<Option<usize>, StreamFault> {
    const START: &[u8] = b"<?xml";
    if !window.starts_with(b"<?") {
        return Ok(Some(0));
    }
    let n = window.len().min(START.len());
    if window.get(..n) != START.get(..n) || window.get(n).is_some_and(|b| !is_space(b)) {
        return Err(Restricted("processing instruction"));
    }
    let Some(end) = memmem::find(window, b"?>") else {
        return Ok(None);
    };
    let inside = window.get(n..end).unwrap_or_default();
    let inside = std::str::from_utf8(inside).map_err(|_| StreamFault::InvalidUtf8)?;
    let mut rest = inside;
    let mut version = false;
    while let Some((name, value)) = parse::attribute(&mut rest)? {
        match name {
            "version" if value == "1.0" => version = true,
            "encoding" if value.eq_ignore_ascii_case("utf-8") => {}
            "encoding" => return Err(OtherEncoding), // RFC 6120 §11.6
            "standalone" => {}
            _ => return Err(NotWellFormed("XML declaration")),
        }
    }
    if !version {
        return Err(NotWellFormed("XML declaration"));
    }
    let after = window.get(end + 2..).unwrap_or_default();
    let space = after.iter().take_while(|b| is_space(b)).count();
    Ok(Some(end + 2 + space))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xml:lang='en' \
        xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:p='urn:p'>";

    fn all(parser: &mut StreamParser) -> Result<Vec<Frame>, StreamFault> {
        std::iter::from_fn(|| parser.next_frame().transpose()).collect()
    }

    fn opened() -> StreamParser {
        let mut parser = StreamParser::new(Limits::default());
        parser.feed(HEADER.as_bytes());
        assert!(matches!(all(&mut parser).unwrap()[..], [Frame::Open(_)]));
        parser
    }

    fn fault(bytes: &[u8]) -> Option<StreamFault> {
        let mut parser = opened();
        parser.feed(bytes);
        let first = all(&mut parser).err();
        assert_eq!(all(&mut parser).err(), first, "a fault stays");
        first
    }

    #[test]
    fn alice_opens_a_stream_says_something_and_leaves() {
        let mut parser = StreamParser::new(Limits::default());
        parser.feed(format!("{HEADER}\n <p:message><body>hi</body></p:message> <r xmlns='urn:xmpp:sm:3'/></stream:stream >junk").as_bytes());
        let frames = all(&mut parser).unwrap();
        let [
            Frame::Open(open),
            Frame::Stanza(message),
            Frame::Stanza(r),
            Frame::Close,
        ] = &frames[..]
        else {
            panic!("{frames:?}")
        };
        assert_eq!(
            (
                open.to.as_deref(),
                open.version.as_deref(),
                open.lang.as_deref()
            ),
            (Some("example.org"), Some("1.0"), Some("en"))
        );
        assert_eq!(open.default_ns, ns::CLIENT);
        assert!(
            message.is("message", "urn:p"),
            "a prefix of the header counts inside stanzas"
        );
        assert!(message.has("body", ns::CLIENT));
        assert!(r.is("r", ns::SM));
        parser.feed(b"more");
        assert_eq!((parser.next_frame(), parser.pending()), (Ok(None), 0));
    }

    #[test]
    fn another_server_speaks_of_the_same_stanzas() {
        let header = HEADER.replace("jabber:client", "jabber:server");
        let mut parser = StreamParser::new(Limits::default()).between_servers();
        parser.feed(header.as_bytes());
        parser.feed(b"<message><body>hi</body></message>");
        parser.feed(b"<p:iq xmlns:p='jabber:server'><p:error/></p:iq>");
        parser.feed(b"<message><x xmlns='urn:x'><body xmlns='jabber:server'/></x></message>");
        let frames = all(&mut parser).unwrap();
        let [
            Frame::Open(open),
            Frame::Stanza(message),
            Frame::Stanza(iq),
            Frame::Stanza(far),
        ] = &frames[..]
        else {
            panic!("{frames:?}")
        };
        assert_eq!(open.default_ns, ns::SERVER);
        assert!(message.is("message", ns::CLIENT) && message.has("body", ns::CLIENT));
        assert!(iq.is("iq", ns::CLIENT) && iq.has("error", ns::CLIENT));
        assert!(
            far.find_ns("urn:x").unwrap().has("body", ns::SERVER),
            "content is nobody's business"
        );
    }

    #[test]
    fn a_stream_starts_again_after_sasl_and_forgets_what_came_before_tls() {
        let mut parser = opened();
        parser.feed(HEADER.as_bytes());
        parser.reset();
        assert!(matches!(all(&mut parser).unwrap()[..], [Frame::Open(_)]));
        parser.feed(b"<message/>");
        assert_eq!(parser.reset_discarding(), 10);
        assert_eq!(parser.next_frame(), Ok(None));
    }

    #[test]
    fn a_header_must_be_one() {
        use super::super::StreamCondition as C;
        for (bytes, condition) in [
            (&b"GET / HTTP/1.1"[..], C::NotWellFormed),
            (b"\x16\x03\x01", C::NotWellFormed),
            (b"<stream xmlns='jabber:client'>", C::InvalidNamespace),
            (b"<stream:stream>", C::NotWellFormed),
            (b"<!DOCTYPE x", C::RestrictedXml),
            (b"<!--", C::RestrictedXml),
            (b"<?php ", C::RestrictedXml),
            (b"<?xml version='1.0'?><?x", C::RestrictedXml),
            (
                b"<?xml version='1.0' encoding='latin1'?>",
                C::UnsupportedEncoding,
            ),
            (b"<?xml version='1.1'?>", C::NotWellFormed),
            (
                b"<stream:stream to='\xFF' xmlns:stream='http://etherx.jabber.org/streams'>",
                C::UnsupportedEncoding,
            ),
        ] {
            let mut parser = StreamParser::new(Limits::default());
            parser.feed(bytes);
            let fault = parser.next_frame().unwrap_err();
            assert_eq!(
                fault.condition(),
                condition,
                "{}: {fault}",
                String::from_utf8_lossy(bytes)
            );
        }
        let mut parser = StreamParser::new(Limits::default());
        parser.feed(b"<stream:stream a='");
        parser.feed(&[b'x'; 5000]);
        assert_eq!(parser.next_frame(), Err(TooMuch("stream header")));
    }

    #[test]
    fn hostile_bytes_end_the_stream_with_its_own_error() {
        use super::super::StreamCondition as C;
        let deep = "<a>".repeat(100);
        let wide = format!("<a{}/>", " x".repeat(5));
        let many: String = (0..100).map(|i| format!(" a{i}=''")).collect();
        let many = format!("<a{many}/>");
        let endless = format!("<a b='{}", "x".repeat(300_000));
        let huge = format!("<a>{}</a>", "x".repeat(300_000));
        let name = format!("<{}", "x".repeat(300_000));
        let crowd = format!("<a>{}</a>", "<b/>".repeat(20_000));
        for (bytes, condition) in [
            (
                &b"<!DOCTYPE lolz [<!ENTITY lol 'lol'>"[..],
                C::RestrictedXml,
            ),
            (b"<message><body>&lol9;</body></message>", C::RestrictedXml),
            (b"<message><!-- hidden --></message>", C::RestrictedXml),
            (b"<?xml-stylesheet href='x'?>", C::RestrictedXml),
            (b"<message><?php ?></message>", C::RestrictedXml),
            (b"<message><body>\0</body></message>", C::NotWellFormed),
            (b"\0", C::NotWellFormed),
            (
                b"<message><body>\xC0\x80</body></message>",
                C::UnsupportedEncoding,
            ),
            (
                b"<message><body>\xED\xA0\x80</body></message>",
                C::UnsupportedEncoding,
            ),
            (
                b"<message><body>\xEF\xBF\xBF</body></message>",
                C::NotWellFormed,
            ),
            (b"<q:message/>", C::NotWellFormed),
            (b"<message a='1' a='2'/>", C::NotWellFormed),
            (b"<message></iq>", C::NotWellFormed),
            (b"</stream>", C::NotWellFormed),
            (b"hello", C::BadFormat),
            (b"<![CDATA[x]]>", C::BadFormat),
            (deep.as_bytes(), C::PolicyViolation),
            (wide.as_bytes(), C::NotWellFormed),
            (many.as_bytes(), C::PolicyViolation),
            (endless.as_bytes(), C::PolicyViolation),
            (huge.as_bytes(), C::PolicyViolation),
            (name.as_bytes(), C::PolicyViolation),
            (crowd.as_bytes(), C::PolicyViolation),
        ] {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
            assert_eq!(
                fault(bytes).map(|f| f.condition()),
                Some(condition),
                "{shown}"
            );
        }
    }

    #[test]
    fn an_incomplete_stanza_never_holds_more_than_its_limit_and_one_piece() {
        let mut parser = opened();
        parser.feed(b"<message><body>");
        let mut fed = 0;
        while parser.next_frame().is_ok() {
            parser.feed(&[b'x'; 1000]);
            fed += 1000;
            assert!(parser.pending() <= Limits::default().stanza_bytes + 1000);
        }
        assert!(fed <= Limits::default().stanza_bytes + 1000);
        assert_eq!(parser.pending(), 0);
    }

    #[test]
    fn keepalives_leave_nothing_behind() {
        let mut parser = opened();
        for _ in 0..1000 {
            parser.feed(b" \r\n");
            assert_eq!(parser.next_frame(), Ok(None));
            assert_eq!(parser.pending(), 0);
        }
    }

    #[test]
    fn an_empty_stream_ends_at_once() {
        let mut parser = StreamParser::new(Limits::default());
        parser.feed(b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'/>");
        assert!(matches!(
            all(&mut parser).unwrap()[..],
            [Frame::Open(_), Frame::Close]
        ));
    }
}
