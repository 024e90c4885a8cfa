//! XEP-0004 data forms as rooms use them: forms to fill in, results, and what a client submitted.

use std::collections::HashMap;

use crate::wire::{Element, Str, ns};

/// Most fields that are read from a submitted form, and most values of one.
const MOST: usize = 256;

/// A form being built.
#[derive(Clone, Debug)]
pub struct Form(Element);

impl Form {
    /// A form of a kind (`form`, `result`) for a FORM_TYPE (XEP-0068).
    pub fn new(kind: &'static str, form_type: &'static str) -> Self {
        let x = Element::new(ns::DATA_FORMS, "x").attr("type", Str::new_static(kind));
        Self(x).field("FORM_TYPE", "hidden", None, [form_type])
    }

    /// Title and instructions; they stand before the fields.
    #[must_use]
    pub fn headed(mut self, title: &str, instructions: &str) -> Self {
        let fields = self.0.take_nodes();
        self.0
            .push(Element::new(ns::DATA_FORMS, "title").text(title));
        self.0
            .push(Element::new(ns::DATA_FORMS, "instructions").text(instructions));
        for node in fields {
            self.0.push_node(node);
        }
        self
    }

    /// A field with its values.
    #[must_use]
    pub fn field<V: AsRef<str>>(
        mut self,
        var: &str,
        kind: &'static str,
        label: Option<&str>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let mut field = Element::new(ns::DATA_FORMS, "field")
            .attr("var", var)
            .attr("type", Str::new_static(kind))
            .attr_opt("label", label);
        for value in values {
            field.push(Element::new(ns::DATA_FORMS, "value").text(value.as_ref()));
        }
        self.0.push(field);
        self
    }

    /// A text of one line.
    #[must_use]
    pub fn text(self, var: &str, label: &str, value: &str) -> Self {
        let value = (!value.is_empty()).then_some(value);
        self.field(var, "text-single", Some(label), value)
    }

    /// Yes or no.
    #[must_use]
    pub fn flag(self, var: &str, label: &str, value: bool) -> Self {
        let value = if value { "1" } else { "0" };
        self.field(var, "boolean", Some(label), [value])
    }

    /// One of several.
    #[must_use]
    pub fn choice(self, var: &str, label: &str, value: &str, options: &[(&str, &str)]) -> Self {
        self.options("list-single", var, label, &[value], options)
    }

    /// Any of several.
    #[must_use]
    pub fn choices(
        self,
        var: &str,
        label: &str,
        values: &[&str],
        options: &[(&str, &str)],
    ) -> Self {
        self.options("list-multi", var, label, values, options)
    }

    fn options(
        mut self,
        kind: &'static str,
        var: &str,
        label: &str,
        values: &[&str],
        options: &[(&str, &str)],
    ) -> Self {
        let mut field = Element::new(ns::DATA_FORMS, "field")
            .attr("var", var)
            .attr("type", kind)
            .attr("label", label);
        for value in values {
            field.push(Element::new(ns::DATA_FORMS, "value").text(*value));
        }
        for (value, label) in options {
            field.push(
                Element::new(ns::DATA_FORMS, "option")
                    .attr("label", *label)
                    .child(Element::new(ns::DATA_FORMS, "value").text(*value)),
            );
        }
        self.0.push(field);
        self
    }

    /// The element.
    pub fn done(self) -> Element {
        self.0
    }
}

/// What a client submitted.
#[derive(Clone, Debug, Default)]
pub struct Submitted {
    /// The FORM_TYPE it gave.
    pub form_type: Option<String>,
    fields: HashMap<String, Vec<String>>,
}

impl Submitted {
    /// Reads `<x type='submit'/>`; `None` if it is another kind of form.
    pub fn read(x: &Element) -> Option<Self> {
        if !x.is("x", ns::DATA_FORMS) || x.get("type") != Some("submit") {
            return None;
        }
        let mut out = Self::default();
        for field in x.all("field", ns::DATA_FORMS).take(MOST) {
            let Some(var) = field.get("var") else {
                continue;
            };
            let values = field
                .all("value", ns::DATA_FORMS)
                .take(MOST)
                .map(|v| v.content().into_owned())
                .collect();
            out.fields.insert(var.to_owned(), values);
        }
        out.form_type = out.one("FORM_TYPE").map(str::to_owned);
        Some(out)
    }

    /// Whether nothing but the type was given.
    pub fn is_empty(&self) -> bool {
        self.fields.keys().all(|k| k == "FORM_TYPE")
    }

    /// The first value of a field; an empty text for a field that was emptied.
    pub fn one(&self, var: &str) -> Option<&str> {
        self.fields
            .get(var)
            .map(|v| v.first().map_or("", String::as_str))
    }

    /// All values of a field.
    pub fn many(&self, var: &str) -> Option<&[String]> {
        self.fields.get(var).map(Vec::as_slice)
    }

    /// XEP-0004 §3.3: `1` and `true`, `0` and `false`.
    pub fn flag(&self, var: &str) -> Option<bool> {
        match self.one(var)? {
            "1" | "true" => Some(true),
            "0" | "false" | "" => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_in_is_read() {
        let x = Form::new("submit", ns::MUC_ROOM_CONFIG)
            .flag("yes", "Yes?", true)
            .field("off", "boolean", None, ["false"])
            .field("odd", "boolean", None, ["perhaps"])
            .text("name", "Name", "Town")
            .text("gone", "Gone", "")
            .field("many", "jid-multi", None, ["a@b", "c@d"])
            .done();
        let form = Submitted::read(&x).unwrap_or_default();
        assert_eq!(form.form_type.as_deref(), Some(ns::MUC_ROOM_CONFIG));
        assert_eq!(
            (form.flag("yes"), form.flag("off"), form.flag("odd")),
            (Some(true), Some(false), None)
        );
        assert_eq!(
            (form.one("name"), form.one("gone"), form.one("nothing")),
            (Some("Town"), Some(""), None)
        );
        assert_eq!(form.many("many").map(<[String]>::len), Some(2));
        assert!(!form.is_empty());
        let cancel = Element::new(ns::DATA_FORMS, "x").attr("type", "cancel");
        assert!(Submitted::read(&cancel).is_none());
    }

    #[test]
    fn the_heading_stands_before_the_fields() {
        let x = Form::new("form", "t").headed("Title", "Do this").done();
        let names: Vec<_> = x.elements().map(Element::name).collect();
        assert_eq!(names, ["title", "instructions", "field"]);
    }
}
