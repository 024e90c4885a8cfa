//! RFC 6120 §8.3: errors that answer one stanza.

use super::stream_error::conditions;
use super::{Element, Str, ns};

/// RFC 6120 §8.3.2: what the sender can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Retry after authenticating.
    Auth,
    /// Do not retry.
    Cancel,
    /// Go on: it was a warning.
    Continue,
    /// Retry with other data.
    Modify,
    /// Retry later.
    Wait,
}

impl ErrorType {
    /// Value of the `type` attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [
            Self::Auth,
            Self::Cancel,
            Self::Continue,
            Self::Modify,
            Self::Wait,
        ]
        .into_iter()
        .find(|t| t.name() == name)
    }
}

conditions! {
    /// RFC 6120 §8.3.3.
    Condition {
        BadRequest = "bad-request",
        Conflict = "conflict",
        FeatureNotImplemented = "feature-not-implemented",
        Forbidden = "forbidden",
        Gone = "gone",
        InternalServerError = "internal-server-error",
        ItemNotFound = "item-not-found",
        JidMalformed = "jid-malformed",
        NotAcceptable = "not-acceptable",
        NotAllowed = "not-allowed",
        NotAuthorized = "not-authorized",
        PolicyViolation = "policy-violation",
        RecipientUnavailable = "recipient-unavailable",
        Redirect = "redirect",
        RegistrationRequired = "registration-required",
        RemoteServerNotFound = "remote-server-not-found",
        RemoteServerTimeout = "remote-server-timeout",
        ResourceConstraint = "resource-constraint",
        ServiceUnavailable = "service-unavailable",
        SubscriptionRequired = "subscription-required",
        UndefinedCondition = "undefined-condition",
        UnexpectedRequest = "unexpected-request",
    }
}

impl Condition {
    /// The type that RFC 6120 §8.3.3 gives this condition (the first, where it names several).
    pub const fn usual_type(self) -> ErrorType {
        match self {
            Self::BadRequest
            | Self::JidMalformed
            | Self::NotAcceptable
            | Self::PolicyViolation
            | Self::Redirect
            | Self::UndefinedCondition => ErrorType::Modify,
            Self::Forbidden
            | Self::NotAuthorized
            | Self::RegistrationRequired
            | Self::SubscriptionRequired => ErrorType::Auth,
            Self::RecipientUnavailable
            | Self::RemoteServerTimeout
            | Self::ResourceConstraint
            | Self::UnexpectedRequest => ErrorType::Wait,
            Self::Conflict
            | Self::FeatureNotImplemented
            | Self::Gone
            | Self::InternalServerError
            | Self::ItemNotFound
            | Self::NotAllowed
            | Self::RemoteServerNotFound
            | Self::ServiceUnavailable => ErrorType::Cancel,
        }
    }

    /// XEP-0086 §3: the code of old clients. Profanity 0.13 publishes its first OMEMO device list only where the
    /// missing one was answered with `code="404"`.
    const fn legacy_code(self) -> Option<&'static str> {
        Some(match self {
            Self::Gone | Self::Redirect => "302",
            Self::BadRequest | Self::JidMalformed | Self::UnexpectedRequest => "400",
            Self::NotAuthorized => "401",
            Self::Forbidden => "403",
            Self::ItemNotFound | Self::RecipientUnavailable | Self::RemoteServerNotFound => "404",
            Self::NotAllowed => "405",
            Self::NotAcceptable => "406",
            Self::RegistrationRequired | Self::SubscriptionRequired => "407",
            Self::Conflict => "409",
            Self::InternalServerError | Self::ResourceConstraint | Self::UndefinedCondition => {
                "500"
            }
            Self::FeatureNotImplemented => "501",
            Self::ServiceUnavailable => "503",
            Self::RemoteServerTimeout => "504",
            Self::PolicyViolation => return None,
        })
    }
}

/// A stanza error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    /// What the sender can do.
    pub kind: ErrorType,
    /// The defined condition.
    pub condition: Condition,
    /// For people.
    pub text: Option<Str>,
    /// Who says so, if not the addressee.
    pub by: Option<Str>,
    /// Content of the condition: the new address, for [`Condition::Gone`] and [`Condition::Redirect`].
    pub new_address: Option<Str>,
    /// An application's own condition.
    pub app: Option<Element>,
}

impl StanzaError {
    /// An error of the condition's usual type.
    pub fn new(condition: Condition) -> Self {
        Self {
            kind: condition.usual_type(),
            condition,
            text: None,
            by: None,
            new_address: None,
            app: None,
        }
    }

    /// With another type.
    #[must_use]
    pub fn with_type(mut self, kind: ErrorType) -> Self {
        self.kind = kind;
        self
    }

    /// With a text for people, in English.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Str>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// With an application's own condition.
    #[must_use]
    pub fn with_app(mut self, app: Element) -> Self {
        self.app = Some(app);
        self
    }

    /// `<error/>` in the stanza namespace `ns`.
    pub fn to_element(&self, ns: &Str) -> Element {
        let mut condition = Element::new(ns::STANZA_ERRORS, self.condition.name());
        if let Some(address) = &self.new_address {
            condition.push_text(address.clone());
        }
        let text = self.text.clone().map(|t| {
            Element::new(ns::STANZA_ERRORS, "text")
                .with_lang("en")
                .text(t)
        });
        Element::named(ns.clone(), Str::new_static("error"))
            .attr_opt("by", self.by.clone())
            .attr("type", Str::new_static(self.kind.name()))
            .attr_opt("code", self.condition.legacy_code().map(Str::new_static))
            .child(condition)
            .children(text)
            .children(self.app.clone())
    }

    /// Reads an `<error/>`; generous where type or condition are missing or unknown.
    pub fn from_element(el: &Element) -> Self {
        let defined = el.elements().filter(|c| c.ns() == ns::STANZA_ERRORS);
        let found = defined
            .filter_map(|c| Some((c, Condition::from_name(c.name())?)))
            .next();
        let condition = found.map_or(Condition::UndefinedCondition, |(_, condition)| condition);
        Self {
            kind: el
                .get("type")
                .and_then(ErrorType::from_name)
                .unwrap_or(condition.usual_type()),
            condition,
            text: el.find_text("text", ns::STANZA_ERRORS).map(Str::from),
            by: el.get_str("by").cloned(),
            new_address: found
                .map(|(c, _)| c.content())
                .filter(|t| !t.is_empty())
                .map(Str::from),
            app: el.elements().find(|c| c.ns() != ns::STANZA_ERRORS).cloned(),
        }
    }

    /// The error of a stanza of type `error`.
    pub fn of_stanza(stanza: &Element) -> Option<Self> {
        stanza.find("error", stanza.ns()).map(Self::from_element)
    }

    /// The answer to `stanza`: same name and id, addresses swapped. `None` where none may be sent: to an error,
    /// or to the result of an IQ (RFC 6120 §8.3.1, §8.2.3).
    pub fn reply_to(&self, stanza: &Element) -> Option<Element> {
        let kind = stanza.get("type");
        if kind == Some("error") || (stanza.name() == "iq" && kind == Some("result")) {
            return None;
        }
        let ns = stanza.ns_str().clone();
        Some(
            Element::named(ns.clone(), stanza.name_str().clone())
                .attr("type", Str::new_static("error"))
                .attr_opt("id", stanza.get_str("id").cloned())
                .attr_opt("from", stanza.get_str("to").cloned())
                .attr_opt("to", stanza.get_str("from").cloned())
                .child(self.to_element(&ns)),
        )
    }
}

impl From<Condition> for StanzaError {
    fn from(condition: Condition) -> Self {
        Self::new(condition)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_the_way_there_and_back() {
        for &condition in Condition::ALL {
            let error = StanzaError::new(condition)
                .with_text("why")
                .with_type(ErrorType::Continue)
                .with_app(Element::new(ns::PUBSUB_ERRORS, "precondition-not-met"));
            assert_eq!(
                StanzaError::from_element(&error.to_element(&ns::intern(ns::CLIENT))),
                error
            );
        }
    }

    #[test]
    fn an_error_goes_back_to_the_sender_and_is_never_answered() {
        let iq = Element::new(ns::CLIENT, "iq")
            .attr("type", "get")
            .attr("id", "7")
            .attr("to", "x.org")
            .attr("from", "a@y.org/z");
        let reply = StanzaError::new(Condition::ServiceUnavailable)
            .reply_to(&iq)
            .unwrap();
        assert_eq!(
            reply.to_string(),
            "<iq xmlns='jabber:client' type='error' id='7' from='x.org' to='a@y.org/z'><error type='cancel' code='503'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        );
        assert_eq!(
            StanzaError::new(Condition::BadRequest).reply_to(&reply),
            None
        );
        assert_eq!(
            StanzaError::of_stanza(&reply).unwrap().condition,
            Condition::ServiceUnavailable
        );
    }

    #[test]
    fn a_strange_error_is_still_an_error() {
        let error =
            StanzaError::from_element(&Element::new(ns::CLIENT, "error").attr("type", "odd"));
        assert_eq!(
            (error.kind, error.condition),
            (ErrorType::Modify, Condition::UndefinedCondition)
        );
    }
}
