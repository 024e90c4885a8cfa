//! An XML element as XMPP means it: names and namespaces resolved, order and unknown parts kept.

use std::borrow::Cow;
use std::fmt;

use super::{ns, write};

/// Text that clones without copying: up to 23 bytes inline, longer ones shared.
pub type Str = smol_str::SmolStr;

/// One attribute; `ns` is empty for the usual ones without a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Namespace of a prefixed attribute such as `xml:lang`, else empty.
    pub ns: Str,
    /// Local name.
    pub name: Str,
    /// Value, unescaped.
    pub value: Str,
}

/// What stands between an element's tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A child element.
    Element(Element),
    /// Text, unescaped; neighbours are one node after parsing.
    Text(Str),
}

impl Node {
    /// The element, if it is one.
    pub fn as_element(&self) -> Option<&Element> {
        match self {
            Node::Element(el) => Some(el),
            Node::Text(_) => None,
        }
    }
}

/// An element. Two are equal when names, namespaces, attributes and children are the same in the same order.
#[derive(Clone, PartialEq, Eq)]
pub struct Element {
    ns: Str,
    name: Str,
    attrs: Vec<Attr>,
    nodes: Vec<Node>,
}

/// Building: each takes and returns the element.
impl Element {
    /// An empty element with names known at compile time.
    pub fn new(ns: &'static str, name: &'static str) -> Self {
        Self::named(Str::new_static(ns), Str::new_static(name))
    }

    /// An empty element with names known only now. `name` must be an XML name without colon.
    pub fn named(ns: Str, name: Str) -> Self {
        Self {
            ns,
            name,
            attrs: Vec::new(),
            nodes: Vec::new(),
        }
    }

    /// Adds or replaces an attribute.
    #[must_use]
    pub fn attr(mut self, name: &'static str, value: impl Into<Str>) -> Self {
        self.set(name, value);
        self
    }

    /// Adds or replaces an attribute where there is a value.
    #[must_use]
    pub fn attr_opt(self, name: &'static str, value: Option<impl Into<Str>>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// Sets `xml:lang`.
    #[must_use]
    pub fn with_lang(mut self, lang: impl Into<Str>) -> Self {
        self.set_ns(ns::XML, "lang", lang);
        self
    }

    /// Adds a child element.
    #[must_use]
    pub fn child(mut self, child: Element) -> Self {
        self.nodes.push(Node::Element(child));
        self
    }

    /// Adds children (also an `Option` of one).
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.nodes.extend(children.into_iter().map(Node::Element));
        self
    }

    /// Adds text.
    #[must_use]
    pub fn text(mut self, text: impl Into<Str>) -> Self {
        self.push_text(text);
        self
    }
}

/// Reading.
impl Element {
    /// Local name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Namespace.
    pub fn ns(&self) -> &str {
        &self.ns
    }

    /// Local name, to be cloned without copying.
    pub fn name_str(&self) -> &Str {
        &self.name
    }

    /// Namespace, to be cloned without copying.
    pub fn ns_str(&self) -> &Str {
        &self.ns
    }

    /// Whether it has this name in this namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// Value of an attribute without prefix.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_str(name).map(Str::as_str)
    }

    /// The same, to be cloned without copying.
    pub fn get_str(&self, name: &str) -> Option<&Str> {
        self.attrs
            .iter()
            .find(|a| a.ns.is_empty() && a.name == name)
            .map(|a| &a.value)
    }

    /// Value of an attribute in a namespace.
    pub fn get_ns(&self, ns: &str, name: &str) -> Option<&str> {
        self.attrs
            .iter()
            .find(|a| a.ns == ns && a.name == name)
            .map(|a| a.value.as_str())
    }

    /// `xml:lang` of this element itself.
    pub fn lang(&self) -> Option<&str> {
        self.get_ns(ns::XML, "lang")
    }

    /// All attributes in order.
    pub fn attrs(&self) -> &[Attr] {
        &self.attrs
    }

    /// All children in order, text included.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Child elements in order.
    pub fn elements(&self) -> impl DoubleEndedIterator<Item = &Element> {
        self.nodes.iter().filter_map(Node::as_element)
    }

    /// Child elements of this name and namespace.
    pub fn all<'a>(
        &'a self,
        name: &'a str,
        ns: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a Element> {
        self.elements().filter(move |el| el.is(name, ns))
    }

    /// First child element of this name and namespace.
    pub fn find(&self, name: &str, ns: &str) -> Option<&Element> {
        self.elements().find(|el| el.is(name, ns))
    }

    /// First child element of this namespace.
    pub fn find_ns(&self, ns: &str) -> Option<&Element> {
        self.elements().find(|el| el.ns == ns)
    }

    /// Whether such a child exists.
    pub fn has(&self, name: &str, ns: &str) -> bool {
        self.find(name, ns).is_some()
    }

    /// First child element: an IQ's payload.
    pub fn first(&self) -> Option<&Element> {
        self.elements().next()
    }

    /// Its own text, children's text left out.
    pub fn content(&self) -> Cow<'_, str> {
        let mut texts = self.nodes.iter().filter_map(|n| match n {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        let first = texts.next().unwrap_or_default();
        match texts.next() {
            None => Cow::Borrowed(first),
            Some(second) => Cow::Owned([first, second].into_iter().chain(texts).collect()),
        }
    }

    /// Text of the first such child.
    pub fn find_text(&self, name: &str, ns: &str) -> Option<Cow<'_, str>> {
        self.find(name, ns).map(Element::content)
    }

    /// The element without its children: name and attributes of an envelope.
    #[must_use]
    pub fn shell(&self) -> Element {
        Element {
            ns: self.ns.clone(),
            name: self.name.clone(),
            attrs: self.attrs.clone(),
            nodes: Vec::new(),
        }
    }
}

/// Changing in place.
impl Element {
    /// Adds an attribute or replaces its value.
    pub fn set(&mut self, name: &'static str, value: impl Into<Str>) {
        self.set_ns("", name, value);
    }

    /// The same in a namespace.
    pub fn set_ns(&mut self, ns: &'static str, name: &'static str, value: impl Into<Str>) {
        let value = value.into();
        match self.attrs.iter_mut().find(|a| a.ns == ns && a.name == name) {
            Some(attr) => attr.value = value,
            None => {
                self.attrs.push(Attr {
                    ns: Str::new_static(ns),
                    name: Str::new_static(name),
                    value,
                });
            }
        }
    }

    /// Removes an attribute without prefix.
    pub fn unset(&mut self, name: &str) -> Option<Str> {
        let at = self
            .attrs
            .iter()
            .position(|a| a.ns.is_empty() && a.name == name)?;
        Some(self.attrs.remove(at).value)
    }

    /// Adds an attribute as parsed; the caller has seen to it that it is new.
    pub(super) fn push_attr(&mut self, attr: Attr) {
        self.attrs.push(attr);
    }

    /// For the parser, which learns the names last.
    pub(super) fn set_name(&mut self, ns: Str, name: Str) {
        self.ns = ns;
        self.name = name;
    }

    /// For the parser, which learns what a prefix means last.
    pub(super) fn set_attr_ns(&mut self, at: usize, ns: Str) {
        if let Some(attr) = self.attrs.get_mut(at) {
            attr.ns = ns;
        }
    }

    pub(super) fn nodes_mut(&mut self) -> &mut Vec<Node> {
        &mut self.nodes
    }

    /// Adds a child element.
    pub fn push(&mut self, child: Element) {
        self.nodes.push(Node::Element(child));
    }

    /// Adds text, joined to text that stands last.
    pub fn push_text(&mut self, text: impl Into<Str>) {
        push_text(&mut self.nodes, text.into());
    }

    /// Adds a child or text.
    pub fn push_node(&mut self, node: Node) {
        match node {
            Node::Element(el) => self.push(el),
            Node::Text(text) => self.push_text(text),
        }
    }

    /// Takes out the first such child.
    pub fn take(&mut self, name: &str, ns: &str) -> Option<Element> {
        let at = self
            .nodes
            .iter()
            .position(|n| n.as_element().is_some_and(|el| el.is(name, ns)))?;
        match self.nodes.remove(at) {
            Node::Element(el) => Some(el),
            Node::Text(_) => None,
        }
    }

    /// Removes the child elements for which `gone` holds; text stays. Returns how many.
    pub fn remove_children(&mut self, mut gone: impl FnMut(&Element) -> bool) -> usize {
        let before = self.nodes.len();
        self.nodes
            .retain(|n| !n.as_element().is_some_and(&mut gone));
        before - self.nodes.len()
    }

    /// Takes out all children, text included.
    pub fn take_nodes(&mut self) -> Vec<Node> {
        std::mem::take(&mut self.nodes)
    }

    /// Moves the element, and the children that inherit from it, from one stanza namespace to another
    /// (`jabber:client` ↔ `jabber:server`). Below a child of a third namespace nothing changes: what is
    /// forwarded there keeps the namespace that its author wrote.
    pub fn change_ns(&mut self, from: &str, to: &'static str) {
        if self.ns != from {
            return;
        }
        self.ns = Str::new_static(to);
        for node in &mut self.nodes {
            if let Node::Element(el) = node {
                el.change_ns(from, to);
            }
        }
    }
}

/// Adds text to a list of nodes so that no two texts stand side by side and none is empty.
pub(super) fn push_text(nodes: &mut Vec<Node>, text: Str) {
    if text.is_empty() {
        return;
    }
    if let Some(Node::Text(last)) = nodes.last_mut() {
        let mut joined = String::with_capacity(last.len() + text.len());
        joined.push_str(last);
        joined.push_str(&text);
        *last = joined.into();
    } else {
        nodes.push(Node::Text(text));
    }
}

/// The element as a document of its own.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        write::element(&mut out, self, write::Context::NONE);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Element {
        Element::new(ns::CLIENT, "message")
            .attr("to", "bob@example.org")
            .with_lang("en")
            .child(Element::new(ns::CLIENT, "body").text("Hi ").text("Bob"))
            .child(Element::new(ns::HINTS, "store"))
            .child(Element::new(ns::SID, "stanza-id").attr("id", "1"))
    }

    #[test]
    fn what_was_built_is_read() {
        let el = message();
        assert!(el.is("message", ns::CLIENT));
        assert_eq!(el.get("to"), Some("bob@example.org"));
        assert_eq!(el.lang(), Some("en"));
        assert_eq!(el.get("lang"), None);
        assert_eq!(el.find_text("body", ns::CLIENT).as_deref(), Some("Hi Bob"));
        assert_eq!(
            el.elements().map(Element::name).collect::<Vec<_>>(),
            ["body", "store", "stanza-id"]
        );
        assert!(!el.has("body", ns::SERVER));
    }

    #[test]
    fn a_forged_child_is_taken_out_and_the_rest_keeps_its_order() {
        let mut el = message();
        assert_eq!(el.remove_children(|c| c.is("stanza-id", ns::SID)), 1);
        assert_eq!(
            el.take("store", ns::HINTS),
            Some(Element::new(ns::HINTS, "store"))
        );
        assert_eq!(el.take("store", ns::HINTS), None);
        assert_eq!(el.elements().count(), 1);
        assert_eq!(el.unset("to").as_deref(), Some("bob@example.org"));
        assert_eq!(el.shell().nodes().len(), 0);
    }

    #[test]
    fn another_stanza_namespace_reaches_only_what_inherits_it() {
        let forwarded = Element::new(ns::FORWARD, "forwarded").child(message());
        let mut el = message().child(forwarded.clone());
        el.change_ns(ns::CLIENT, ns::SERVER);
        assert!(el.has("body", ns::SERVER));
        assert_eq!(el.find("forwarded", ns::FORWARD), Some(&forwarded));
    }
}
