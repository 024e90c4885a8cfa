//! One complete piece of XML → elements, as strictly as RFC 6120 §11 asks.
//!
//! quick-xml finds tags, texts and references and matches end tags; what it leaves to its users stands
//! here: names, attributes, namespaces, characters, references and limits.

use std::borrow::Cow;

use memchr::{memchr, memchr3, memmem};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::chars::{SPACE, checked, is_ncname, reference};
use super::element::push_text;
use super::fault::StreamFault::{self, NotWellFormed, Restricted, TooMuch};
use super::stream::Limits;
use super::{Attr, Element, Node, Str, ns};

/// A prefix (empty: the default) bound to a namespace by an element at `depth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub prefix: Str,
    pub ns: Str,
    depth: usize,
}

/// Exactly one element. `base` holds what the stream header declared.
pub(super) fn document(
    bytes: &[u8],
    base: &[Binding],
    limits: &Limits,
) -> Result<Element, StreamFault> {
    let mut nodes = nodes(bytes, base, limits)?.into_iter();
    match (nodes.next(), nodes.next()) {
        (Some(Node::Element(el)), None) => Ok(el),
        _ => Err(NotWellFormed("not one element")),
    }
}

/// Elements and text as they stand inside another element.
pub(super) fn nodes(
    bytes: &[u8],
    base: &[Binding],
    limits: &Limits,
) -> Result<Vec<Node>, StreamFault> {
    let text = checked(bytes)?;
    let mut parser = Parser {
        base,
        limits,
        bindings: Vec::new(),
        open: Vec::new(),
        top: Vec::new(),
        count: 0,
    };
    // The reader would swallow a byte order mark, which inside a stream is text (RFC 6120 §11.6).
    let (marks, text) = text.split_at(text.len() - text.trim_start_matches('\u{FEFF}').len());
    let mut reader = Reader::from_str(text);
    // Text up to the next tag, borrowed while it is one piece: a copy for each reference would be quadratic.
    let mut pending = Cow::Borrowed(marks);
    loop {
        match reader.read_event().map_err(|_| NotWellFormed("syntax"))? {
            Event::Start(tag) => {
                parser.text(&mut pending);
                let el = parser.start(&tag)?;
                parser.open.push(el);
            }
            Event::Empty(tag) => {
                parser.text(&mut pending);
                let el = parser.start(&tag)?;
                parser.end(el);
            }
            Event::End(_) => {
                parser.text(&mut pending);
                let el = parser
                    .open
                    .pop()
                    .ok_or(NotWellFormed("end tag without start"))?;
                parser.end(el);
            }
            Event::Text(text) => {
                if memmem::find(text.as_bytes(), b"]]>").is_some() {
                    return Err(NotWellFormed("]]> in text")); // XML 1.0 §2.4
                }
                append(&mut pending, lines(text.into_inner()));
            }
            Event::CData(text) => append(&mut pending, lines(text.into_inner())),
            Event::GeneralRef(name) => pending.to_mut().push(reference(&name)?),
            Event::Eof => break,
            Event::Comment(_) => return Err(Restricted("comment")),
            Event::PI(_) | Event::Decl(_) => return Err(Restricted("processing instruction")),
            Event::DocType(_) => return Err(Restricted("document type")),
        }
    }
    parser.text(&mut pending);
    if parser.open.is_empty() {
        Ok(parser.top)
    } else {
        Err(NotWellFormed("element not ended"))
    }
}

/// A stream's start tag, without its end: the element, its name as written and what it declares.
pub(super) fn start_tag(
    bytes: &[u8],
    limits: &Limits,
) -> Result<(Element, Str, Vec<Binding>), StreamFault> {
    let mut reader = Reader::from_str(checked(bytes)?);
    let mut parser = Parser {
        base: &[],
        limits,
        bindings: Vec::new(),
        open: Vec::new(),
        top: Vec::new(),
        count: 0,
    };
    match reader.read_event().map_err(|_| NotWellFormed("syntax"))? {
        Event::Start(tag) | Event::Empty(tag) => {
            let el = parser.start(&tag)?;
            Ok((el, Str::new(tag.name().into_inner()), parser.bindings))
        }
        _ => Err(NotWellFormed("no start tag")),
    }
}

/// The default namespace of a context, as a base for [`nodes`].
pub(super) fn default_binding(ns: &str) -> [Binding; 1] {
    [Binding {
        prefix: Str::default(),
        ns: ns::intern(ns),
        depth: 0,
    }]
}

struct Parser<'a> {
    base: &'a [Binding],
    limits: &'a Limits,
    bindings: Vec<Binding>,
    open: Vec<Element>,
    top: Vec<Node>,
    count: usize,
}

impl Parser<'_> {
    /// Where content goes: into the innermost open element.
    fn content(&mut self) -> &mut Vec<Node> {
        match self.open.last_mut() {
            Some(el) => el.nodes_mut(),
            None => &mut self.top,
        }
    }

    fn end(&mut self, el: Element) {
        // What the ended element declared stood one deeper than those still open.
        let depth = self.open.len();
        while self.bindings.last().is_some_and(|b| b.depth > depth) {
            self.bindings.pop();
        }
        self.content().push(Node::Element(el));
    }

    fn text(&mut self, pending: &mut Cow<'_, str>) {
        if !pending.is_empty() {
            let text = match std::mem::take(pending) {
                Cow::Borrowed(text) => Str::new(text),
                Cow::Owned(text) => Str::from(text),
            };
            push_text(self.content(), text);
        }
    }

    fn start(&mut self, tag: &BytesStart<'_>) -> Result<Element, StreamFault> {
        let depth = self.open.len() + 1;
        self.count += 1;
        if depth > self.limits.depth {
            return Err(TooMuch("nesting"));
        }
        if self.count > self.limits.elements {
            return Err(TooMuch("elements"));
        }
        let mut el = Element::named(Str::default(), Str::default());
        let mut prefixed = Vec::new();
        let mut rest = tag.attributes_raw();
        let mut seen = 0;
        while let Some((name, value)) = attribute(&mut rest)? {
            seen += 1;
            if seen > self.limits.attributes {
                return Err(TooMuch("attributes"));
            }
            if name == "xmlns" {
                self.declare("", value, depth)?;
            } else if let Some(prefix) = name.strip_prefix("xmlns:") {
                if prefix.is_empty() {
                    return Err(NotWellFormed("prefix"));
                }
                self.declare(prefix, value, depth)?;
            } else {
                let (prefix, local) = split_name(name)?;
                let attr = Attr {
                    ns: Str::default(),
                    name: Str::new(local),
                    value: attribute_value(value)?,
                };
                if prefix.is_empty() {
                    if el
                        .attrs()
                        .iter()
                        .any(|a| a.name == local && a.ns.is_empty())
                    {
                        return Err(NotWellFormed("attribute twice"));
                    }
                    el.push_attr(attr);
                } else {
                    // A later declaration may bind this prefix: it keeps its place and is resolved below.
                    prefixed.push(el.attrs().len());
                    el.push_attr(Attr {
                        ns: unresolved(prefix),
                        ..attr
                    });
                }
            }
        }
        for at in prefixed {
            let Some(attr) = el.attrs().get(at) else {
                continue;
            };
            let ns = self.resolve(attr.ns.get(1..).unwrap_or_default())?;
            // Namespaces in XML §6.3: unique by expanded name too.
            if el.attrs().iter().any(|a| a.ns == ns && a.name == attr.name) {
                return Err(NotWellFormed("attribute twice"));
            }
            el.set_attr_ns(at, ns);
        }
        let (prefix, local) = split_name(tag.name().into_inner())?;
        el.set_name(self.resolve(prefix)?, Str::new(local));
        Ok(el)
    }

    /// Namespaces in XML 1.0 §3.
    fn declare(&mut self, prefix: &str, value: &str, depth: usize) -> Result<(), StreamFault> {
        let value = attribute_value(value)?;
        let forbidden = match prefix {
            "" => value == ns::XML || value == ns::XMLNS,
            "xml" => value != ns::XML,
            "xmlns" => true,
            _ => !is_ncname(prefix) || value.is_empty() || value == ns::XML || value == ns::XMLNS,
        };
        if forbidden {
            return Err(NotWellFormed("namespace declaration"));
        }
        if self
            .bindings
            .iter()
            .rev()
            .take_while(|b| b.depth == depth)
            .any(|b| b.prefix == prefix)
        {
            return Err(NotWellFormed("attribute twice"));
        }
        // Each name looks through all of them.
        if self.bindings.len() >= 2 * self.limits.attributes {
            return Err(TooMuch("namespace declarations"));
        }
        self.bindings.push(Binding {
            prefix: Str::new(prefix),
            ns: ns::intern(&value),
            depth,
        });
        Ok(())
    }

    fn resolve(&self, prefix: &str) -> Result<Str, StreamFault> {
        if prefix == "xml" {
            return Ok(Str::new_static(ns::XML));
        }
        let local = self.bindings.iter().rev();
        match local
            .chain(self.base.iter().rev())
            .find(|b| b.prefix == prefix)
        {
            Some(binding) => Ok(binding.ns.clone()),
            None if prefix.is_empty() => Ok(Str::default()),
            None => Err(NotWellFormed("prefix not declared")),
        }
    }
}

/// The next attribute of a start tag: name and raw value.
pub(super) fn attribute<'t>(rest: &mut &'t str) -> Result<Option<(&'t str, &'t str)>, StreamFault> {
    let at = rest.trim_start_matches(SPACE);
    if at.is_empty() {
        return Ok(None);
    }
    if at.len() == rest.len() {
        return Err(NotWellFormed("no space before attribute"));
    }
    let (name, after) = at
        .split_once('=')
        .ok_or(NotWellFormed("attribute without value"))?;
    let after = after.trim_start_matches(SPACE);
    let quote = match after.as_bytes().first() {
        Some(&q @ (b'"' | b'\'')) => q,
        _ => return Err(NotWellFormed("attribute value not quoted")),
    };
    let value = after.get(1..).unwrap_or_default();
    let end = memchr(quote, value.as_bytes()).ok_or(NotWellFormed("attribute value not ended"))?;
    *rest = value.get(end + 1..).unwrap_or_default();
    let value = value.get(..end).unwrap_or_default();
    if memchr(b'<', value.as_bytes()).is_some() {
        return Err(NotWellFormed("< in attribute value"));
    }
    Ok(Some((name.trim_end_matches(SPACE), value)))
}

/// XML 1.0 §3.3.3: white space becomes a space, references are resolved.
fn attribute_value(raw: &str) -> Result<Str, StreamFault> {
    if memchr(b'&', raw.as_bytes()).is_none()
        && memchr3(b'\t', b'\r', b'\n', raw.as_bytes()).is_none()
    {
        return Ok(Str::new(raw));
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('&') {
        spaces(&mut out, before);
        let (name, after) = after
            .split_once(';')
            .ok_or(NotWellFormed("reference not ended"))?;
        out.push(reference(name)?);
        rest = after;
    }
    spaces(&mut out, rest);
    Ok(out.into())
}

fn spaces(out: &mut String, text: &str) {
    out.extend(
        text.replace("\r\n", " ")
            .chars()
            .map(|c| if SPACE.contains(&c) { ' ' } else { c }),
    );
}

fn append<'t>(pending: &mut Cow<'t, str>, text: Cow<'t, str>) {
    if pending.is_empty() {
        *pending = text;
    } else {
        pending.to_mut().push_str(&text);
    }
}

/// XML 1.0 §2.11: line ends are one `\n`.
fn lines(text: Cow<'_, str>) -> Cow<'_, str> {
    if memchr(b'\r', text.as_bytes()).is_none() {
        text
    } else {
        text.replace("\r\n", "\n").replace('\r', "\n").into()
    }
}

/// Stands for a namespace until the prefix is looked up; no namespace that can be declared looks like it.
fn unresolved(prefix: &str) -> Str {
    ["\0", prefix].concat().into()
}

fn split_name(name: &str) -> Result<(&str, &str), StreamFault> {
    let (prefix, local) = match memchr(b':', name.as_bytes()) {
        Some(_) => name
            .split_once(':')
            .filter(|(p, _)| is_ncname(p))
            .ok_or(NotWellFormed("name"))?,
        None => ("", name),
    };
    if prefix == "xmlns" || !is_ncname(local) {
        Err(NotWellFormed("name"))
    } else {
        Ok((prefix, local))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use StreamFault::InvalidUtf8;

    fn parse(xml: &str) -> Result<Element, StreamFault> {
        document(
            xml.as_bytes(),
            &default_binding(ns::CLIENT),
            &Limits::default(),
        )
    }

    #[test]
    fn names_texts_and_namespaces_are_understood() {
        let el = parse(
            "<message to = 'a&amp;b'\n xml:lang=\"de\" p:x='1' xmlns:p='urn:p'><body>1 &lt; 2\r\n<![CDATA[<&]]>&#x1F600;</body>\
             <p:q/><x xmlns=''><y/></x><body>no xmlns</body></message >",
        )
        .unwrap();
        assert!(el.is("message", ns::CLIENT));
        assert_eq!(el.get("to"), Some("a&b"));
        assert_eq!(el.lang(), Some("de"));
        assert_eq!(el.get_ns("urn:p", "x"), Some("1"));
        assert_eq!(
            el.find_text("body", ns::CLIENT).unwrap(),
            "1 < 2\n<&\u{1F600}"
        );
        assert!(el.has("q", "urn:p"));
        assert!(el.find("x", "").unwrap().has("y", ""));
        assert_eq!(el.all("body", ns::CLIENT).count(), 2);
    }

    #[test]
    fn white_space_in_attributes_is_normalised_and_references_are_not() {
        assert_eq!(
            parse("<a b='x\r\ny\tz&#10;&quot;'/>").unwrap().get("b"),
            Some("x y z\n\"")
        );
    }

    #[test]
    fn a_byte_order_mark_is_text() {
        let text = "\u{FEFF}\u{FEFF}a";
        assert_eq!(
            nodes(text.as_bytes(), &[], &Limits::default()),
            Ok(vec![Node::Text(text.into())])
        );
        assert!(parse("\u{FEFF}<a/>").is_err());
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for xml in [
            "<a",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>text",
            "</a>",
            "<a b/>",
            "<a b=c/>",
            "<a b='1'c='2'/>",
            "<a b='1' b='2'/>",
            "<a b='<'/>",
            "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
            "<p:a/>",
            "<a p:b='1'/>",
            "<a xmlns:p=''/>",
            "<a xmlns:xmlns='u'/>",
            "<a xmlns:xml='u'/>",
            "<a xmlns='u' xmlns='u'/>",
            "<a:b:c xmlns:a='u'/>",
            "<:a/>",
            "<a:/>",
            "<1a/>",
            "<a !/>",
            "<a>]]></a>",
            "<a>&#0;</a>",
            "<a>&#xFFFE;</a>",
            "<a>&#xD800;</a>",
            "<a>&#+65;</a>",
            "<a>&#X41;</a>",
            "<a>&#;</a>",
            "<a>&#99999999999;</a>",
            "<a>& b</a>",
            "<a>&amp</a>",
            "<a b='&amp'/>",
            "<a>\u{1}</a>",
            "<a>\u{FFFF}</a>",
            "<a b='\u{0}'/>",
            "< a/>",
            "<a/ >",
            "<a xmlns:='u'/>",
            "<a xmlns::p='u'/>",
            "<xmlns:a/>",
            "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
        ] {
            assert!(
                matches!(parse(xml), Err(NotWellFormed(_))),
                "{xml}: {:?}",
                parse(xml)
            );
        }
    }

    #[test]
    fn what_xmpp_forbids_is_refused() {
        for xml in [
            "<a><!-- x --></a>",
            "<a><?php x ?></a>",
            "<?xml version='1.0'?><a/>",
            "<!DOCTYPE a><a/>",
            "<a>&lol;</a>",
            "<a b='&lol;'/>",
        ] {
            assert!(
                matches!(parse(xml), Err(Restricted(_))),
                "{xml}: {:?}",
                parse(xml)
            );
        }
        assert_eq!(
            document(b"<a>\xC3(</a>", &[], &Limits::default()),
            Err(InvalidUtf8)
        );
        assert_eq!(
            document(b"<a>\xED\xA0\x80</a>", &[], &Limits::default()),
            Err(InvalidUtf8)
        );
    }

    #[test]
    fn depth_attributes_and_elements_are_limited() {
        let limits = Limits::default();
        let deep = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        assert!(parse(&deep(limits.depth)).is_ok());
        assert_eq!(parse(&deep(limits.depth + 1)), Err(TooMuch("nesting")));
        let declare: String = (0..limits.attributes)
            .map(|i| format!(" xmlns:p{i}='u'"))
            .collect();
        assert!(parse(&format!("<a{declare}><b{declare}/><b{declare}/></a>")).is_ok());
        assert_eq!(
            parse(&format!("<a{declare}><a{declare}><b xmlns='u'/></a></a>")),
            Err(TooMuch("namespace declarations"))
        );
        let wide = |n: usize| {
            format!(
                "<a{}/>",
                (0..n).map(|i| format!(" b{i}=''")).collect::<String>()
            )
        };
        assert!(parse(&wide(limits.attributes)).is_ok());
        assert_eq!(
            parse(&wide(limits.attributes + 1)),
            Err(TooMuch("attributes"))
        );
        assert_eq!(
            parse(&format!("<a>{}</a>", "<b/>".repeat(limits.elements))),
            Err(TooMuch("elements"))
        );
    }
}
