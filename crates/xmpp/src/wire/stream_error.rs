//! RFC 6120 §4.9: errors that end a stream.

use super::{Element, Str, ns};

macro_rules! conditions {
    ($(#[$meta:meta])* $kind:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $kind {
            $(#[doc = concat!("`<", $name, "/>`")] $variant,)*
        }

        impl $kind {
            /// Every condition.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Element name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The condition of this element name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}
pub(super) use conditions;

conditions! {
    /// RFC 6120 §4.9.3.
    StreamCondition {
        BadFormat = "bad-format",
        BadNamespacePrefix = "bad-namespace-prefix",
        Conflict = "conflict",
        ConnectionTimeout = "connection-timeout",
        HostGone = "host-gone",
        HostUnknown = "host-unknown",
        ImproperAddressing = "improper-addressing",
        InternalServerError = "internal-server-error",
        InvalidFrom = "invalid-from",
        InvalidNamespace = "invalid-namespace",
        InvalidXml = "invalid-xml",
        NotAuthorized = "not-authorized",
        NotWellFormed = "not-well-formed",
        PolicyViolation = "policy-violation",
        RemoteConnectionFailed = "remote-connection-failed",
        Reset = "reset",
        ResourceConstraint = "resource-constraint",
        RestrictedXml = "restricted-xml",
        SeeOtherHost = "see-other-host",
        SystemShutdown = "system-shutdown",
        UndefinedCondition = "undefined-condition",
        UnsupportedEncoding = "unsupported-encoding",
        UnsupportedFeature = "unsupported-feature",
        UnsupportedStanzaType = "unsupported-stanza-type",
        UnsupportedVersion = "unsupported-version",
    }
}

/// A stream error with what explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// The defined condition.
    pub condition: StreamCondition,
    /// For people, in English.
    pub text: Option<Str>,
    /// Content of the condition: where to go, for [`StreamCondition::SeeOtherHost`].
    pub other_host: Option<Str>,
    /// An application's own condition.
    pub app: Option<Element>,
}

impl StreamError {
    /// An error without explanation.
    pub fn new(condition: StreamCondition) -> Self {
        Self {
            condition,
            text: None,
            other_host: None,
            app: None,
        }
    }

    /// With a text for people.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Str>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// `<stream:error/>`.
    pub fn to_element(&self) -> Element {
        let mut condition = Element::new(ns::STREAM_ERRORS, self.condition.name());
        if let Some(host) = &self.other_host {
            condition.push_text(host.clone());
        }
        let text = self.text.clone().map(|t| {
            Element::new(ns::STREAM_ERRORS, "text")
                .with_lang("en")
                .text(t)
        });
        Element::new(ns::STREAM, "error")
            .child(condition)
            .children(text)
            .children(self.app.clone())
    }

    /// Reads a peer's `<stream:error/>`; what has no known condition is undefined-condition.
    pub fn from_element(el: &Element) -> Option<Self> {
        if !el.is("error", ns::STREAM) {
            return None;
        }
        let defined = el.elements().filter(|c| c.ns() == ns::STREAM_ERRORS);
        let found = defined
            .filter_map(|c| Some((c, StreamCondition::from_name(c.name())?)))
            .next();
        let other_host = found
            .map(|(c, _)| c.content())
            .filter(|t| !t.is_empty())
            .map(Str::from);
        Some(Self {
            condition: found.map_or(StreamCondition::UndefinedCondition, |(_, condition)| {
                condition
            }),
            text: el.find_text("text", ns::STREAM_ERRORS).map(Str::from),
            other_host,
            app: el.elements().find(|c| c.ns() != ns::STREAM_ERRORS).cloned(),
        })
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> Self {
        Self::new(condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_the_way_there_and_back() {
        for &condition in StreamCondition::ALL {
            let error = StreamError::new(condition).with_text("why");
            assert_eq!(StreamError::from_element(&error.to_element()), Some(error));
        }
        let moved = StreamError {
            other_host: Some("[2001:db8::1]:5222".into()),
            app: Some(Element::new("urn:x", "y")),
            ..StreamCondition::SeeOtherHost.into()
        };
        assert_eq!(StreamError::from_element(&moved.to_element()), Some(moved));
        assert_eq!(
            StreamError::from_element(&Element::new(ns::CLIENT, "error")),
            None
        );
    }
}
