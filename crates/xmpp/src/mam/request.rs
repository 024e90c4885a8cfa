//! What an archive is asked for: the form (XEP-0313 §4.1, extended), paging (XEP-0059), order.

use sammen_core::{EventId, Timestamp};

use crate::mam::unknown_item;
use crate::time;
use crate::wire::{Condition, Element, Jid, StanzaError, Str, ns};

/// XEP-0431: full-text search, and the field that announces it.
pub const FULLTEXT: &str = "urn:xmpp:fulltext:0";
const FULLTEXT_FIELD: &str = "{urn:xmpp:fulltext:0}fulltext";
/// Up to here results are counted, and pages are found by number.
pub const COUNTED: u32 = 100_000;
/// Most single events in one query.
const IDS: usize = 100;

/// XEP-0059: which page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rsm {
    /// Most results; 0 asks for the count alone.
    pub max: usize,
    /// Behind this one.
    pub after: Option<EventId>,
    /// Before this one; `Some(None)` asks for the last page.
    pub before: Option<Option<EventId>>,
    /// §2.6: the page begins with the one of this number, from 0 on.
    pub index: Option<usize>,
}

/// A query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Repeated in each result.
    pub queryid: Option<Str>,
    /// Only the conversation with this one.
    pub with: Option<Jid>,
    /// Not earlier.
    pub start: Option<Timestamp>,
    /// Not later.
    pub end: Option<Timestamp>,
    /// Behind this event.
    pub after: Option<EventId>,
    /// Before this event.
    pub before: Option<EventId>,
    /// Just these.
    pub ids: Vec<EventId>,
    /// Words to be found.
    pub text: Option<String>,
    /// Which page.
    pub rsm: Rsm,
    /// §4.3.2: the page is sent newest first.
    pub flip: bool,
}

impl Request {
    /// Reads a `<query/>`; `most` bounds a page.
    ///
    /// # Errors
    /// `bad-request` where a field makes no sense, `item-not-found` for ids that are none of ours.
    pub fn read(query: &Element, most: usize) -> Result<Self, StanzaError> {
        let bad = |why: &'static str| StanzaError::new(Condition::BadRequest).with_text(why);
        let mut request = Request {
            queryid: query.get_str("queryid").cloned(),
            flip: query.has("flip-page", ns::MAM),
            rsm: rsm(query, most)?,
            ..Request::default()
        };
        let Some(form) = query.find("x", ns::DATA_FORMS) else {
            return Ok(request);
        };
        for field in form.all("field", ns::DATA_FORMS) {
            let mut values = field
                .all("value", ns::DATA_FORMS)
                .map(|v| v.content().into_owned());
            let name = field.get("var").unwrap_or_default();
            if name == "ids" {
                for id in values.by_ref().take(IDS + 1) {
                    request.ids.push(id.parse().map_err(|_| unknown_item())?);
                }
                if request.ids.len() > IDS {
                    return Err(Condition::PolicyViolation.into());
                }
                continue;
            }
            let Some(value) = values.next() else { continue };
            let id = || value.parse().map_err(|_| unknown_item());
            let moment = || time::parse(&value).ok_or_else(|| bad("not a moment"));
            match name {
                "FORM_TYPE" if value != ns::MAM => return Err(bad("another form")),
                "FORM_TYPE" => {}
                "with" => {
                    let jid = Jid::new(&value).map_err(|_| bad("not an address"))?;
                    request.with = Some(jid);
                }
                "start" => request.start = Some(moment()?),
                "end" => request.end = Some(moment()?),
                "after-id" => request.after = Some(id()?),
                "before-id" => request.before = Some(id()?),
                FULLTEXT_FIELD | "withtext" => request.text = Some(value),
                // §4.1.1: fields that are not known are an error, so that nobody believes in a filter.
                _ => return Err(Condition::FeatureNotImplemented.into()),
            }
        }
        Ok(request)
    }
}

/// XEP-0059 `<set/>` of a query.
fn rsm(query: &Element, most: usize) -> Result<Rsm, StanzaError> {
    let mut rsm = Rsm {
        max: most,
        ..Rsm::default()
    };
    let Some(set) = query.find("set", ns::RSM) else {
        return Ok(rsm);
    };
    if let Some(max) = set.find_text("max", ns::RSM) {
        let max: usize = max
            .trim()
            .parse()
            .map_err(|_| StanzaError::new(Condition::BadRequest))?;
        rsm.max = max.min(most);
    }
    if let Some(index) = set.find_text("index", ns::RSM) {
        let index: u32 = index
            .trim()
            .parse()
            .map_err(|_| StanzaError::new(Condition::BadRequest))?;
        // A log counts its way there.
        if index > COUNTED {
            return Err(StanzaError::new(Condition::PolicyViolation)
                .with_text("so far into an archive only by id or by time"));
        }
        rsm.index = usize::try_from(index).ok();
    }
    if let Some(after) = set.find_text("after", ns::RSM).filter(|a| !a.is_empty()) {
        rsm.after = Some(after.parse().map_err(|_| unknown_item())?);
    }
    rsm.before = match set.find_text("before", ns::RSM) {
        None => None,
        Some(id) if id.is_empty() => Some(None),
        Some(id) => Some(Some(id.parse().map_err(|_| unknown_item())?)),
    };
    Ok(rsm)
}

/// The form that says which fields there are (§4.1.1).
pub fn form() -> Element {
    let field = |name: &'static str, kind: &'static str| {
        Element::new(ns::DATA_FORMS, "field")
            .attr("type", kind)
            .attr("var", name)
    };
    let hidden =
        field("FORM_TYPE", "hidden").child(Element::new(ns::DATA_FORMS, "value").text(ns::MAM));
    let open = Element::new("http://jabber.org/protocol/xdata-validate", "validate")
        .attr("datatype", "xs:string")
        .child(Element::new(
            "http://jabber.org/protocol/xdata-validate",
            "open",
        ));
    let form = Element::new(ns::DATA_FORMS, "x")
        .attr("type", "form")
        .child(hidden)
        .child(field("with", "jid-single"))
        .child(field("start", "text-single"))
        .child(field("end", "text-single"))
        .child(field("before-id", "text-single"))
        .child(field("after-id", "text-single"))
        .child(field("ids", "list-multi").child(open))
        .child(field(FULLTEXT_FIELD, "text-single"));
    Element::new(ns::MAM, "query").child(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(fields: &[(&'static str, &str)]) -> Element {
        let fields = fields.iter().map(|(name, value)| {
            Element::new(ns::DATA_FORMS, "field")
                .attr("var", *name)
                .child(Element::new(ns::DATA_FORMS, "value").text(*value))
        });
        Element::new(ns::MAM, "query").attr("queryid", "q1").child(
            Element::new(ns::DATA_FORMS, "x")
                .attr("type", "submit")
                .children(fields),
        )
    }

    #[test]
    fn fields_are_understood_or_refused() {
        let id = EventId(7).to_string();
        let el = query(&[
            ("FORM_TYPE", ns::MAM),
            ("with", "bob@example.org"),
            ("start", "2026-11-22T16:05:09Z"),
            ("after-id", &id),
            (FULLTEXT_FIELD, "party"),
        ])
        .child(
            Element::new(ns::RSM, "set")
                .child(Element::new(ns::RSM, "max").text("5"))
                .child(Element::new(ns::RSM, "before")),
        );
        let request = Request::read(&el, 100);
        let Ok(request) = request else {
            panic!("{request:?}")
        };
        assert_eq!(
            request.rsm,
            Rsm {
                max: 5,
                before: Some(None),
                ..Rsm::default()
            }
        );
        assert_eq!(
            (request.after, request.start),
            (Some(EventId(7)), Some(Timestamp(1_795_363_509_000)))
        );
        assert_eq!(request.text.as_deref(), Some("party"));
        for (field, condition) in [
            (("start", "yesterday"), Condition::BadRequest),
            (("with", "@"), Condition::BadRequest),
            (("after-id", "x"), Condition::ItemNotFound),
            (("mood", "x"), Condition::FeatureNotImplemented),
        ] {
            let error = Request::read(&query(&[field]), 100).err();
            assert_eq!(error.map(|e| e.condition), Some(condition));
        }
    }
}
