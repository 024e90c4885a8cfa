//! Data forms (XEP-0004, XEP-0068) as far as publish-subscribe needs them.

use crate::wire::{Element, Str, ns};

/// Most fields of a form that are looked at.
const MOST_FIELDS: usize = 64;
/// Most values of one field.
const MOST_VALUES: usize = 256;

/// The fields of a submitted form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form(Vec<(Str, Vec<String>)>);

impl Form {
    /// Reads `<x xmlns='jabber:x:data' type='submit'/>`; a cancelled form is none.
    pub fn read(x: &Element) -> Option<Self> {
        if !x.is("x", ns::DATA_FORMS) || x.get("type") == Some("cancel") {
            return None;
        }
        let fields = x.all("field", ns::DATA_FORMS).take(MOST_FIELDS);
        Some(Self(
            fields
                .filter_map(|f| {
                    let values = f.all("value", ns::DATA_FORMS).take(MOST_VALUES);
                    let values = values.map(|v| v.content().into_owned()).collect();
                    Some((f.get_str("var")?.clone(), values))
                })
                .collect(),
        ))
    }

    /// The form below an element.
    pub fn below(el: &Element) -> Option<Self> {
        el.find("x", ns::DATA_FORMS).and_then(Self::read)
    }

    /// `FORM_TYPE`.
    pub fn form_type(&self) -> Option<&str> {
        self.value("FORM_TYPE")
    }

    /// The first value of a field; an empty text where the field has none.
    pub fn value(&self, var: &str) -> Option<&str> {
        let values = self.values(var)?;
        Some(values.first().map_or("", String::as_str))
    }

    /// The values of a field.
    pub fn values(&self, var: &str) -> Option<&[String]> {
        let field = self.0.iter().find(|(name, _)| name == var);
        field.map(|(_, values)| values.as_slice())
    }

    /// The fields.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0
            .iter()
            .map(|(var, values)| (var.as_str(), values.as_slice()))
    }
}

/// An `<x/>` of this type with its `FORM_TYPE`.
pub fn form(kind: &'static str, form_type: &'static str) -> Element {
    let hidden = Element::new(ns::DATA_FORMS, "field")
        .attr("var", "FORM_TYPE")
        .attr("type", "hidden")
        .child(value(form_type));
    Element::new(ns::DATA_FORMS, "x")
        .attr("type", kind)
        .child(hidden)
}

/// A field with its values.
pub fn field(var: &'static str, kind: &'static str, values: &[&str]) -> Element {
    Element::new(ns::DATA_FORMS, "field")
        .attr("var", var)
        .attr("type", kind)
        .children(values.iter().map(|v| value(v)))
}

/// A field that offers a choice.
pub fn choice(
    var: &'static str,
    label: &'static str,
    now: &str,
    options: &[&'static str],
) -> Element {
    let options = options
        .iter()
        .map(|o| Element::new(ns::DATA_FORMS, "option").child(value(o)));
    field(var, "list-single", &[now])
        .attr("label", label)
        .children(options)
}

fn value(text: &str) -> Element {
    Element::new(ns::DATA_FORMS, "value").text(text)
}

/// XML Schema's boolean.
pub fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_can_be_answered() {
        let x = form("submit", "urn:example")
            .child(field("a", "text-single", &["1"]))
            .child(field("b", "text-multi", &["x", "y"]));
        let read = Form::read(&x).unwrap_or_default();
        assert_eq!(read.form_type(), Some("urn:example"));
        assert_eq!(read.value("a").and_then(boolean), Some(true));
        assert_eq!(read.values("b").map(<[_]>::len), Some(2));
        assert_eq!(read.value("c"), None);
        assert_eq!(Form::read(&x.attr("type", "cancel")), None);
    }
}
