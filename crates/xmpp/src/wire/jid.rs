//! Addresses (RFC 7622): a `Jid` that exists is valid and normalised.

use std::fmt;
use std::str::FromStr;

use super::{Str, prepare};

/// Longest part, in bytes (RFC 7622 §3).
pub(super) const MOST: usize = 1023;

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an XMPP address")]
pub struct JidError;

/// An address: `domain`, `local@domain`, each also with `/resource`. Cloning copies at most 24 bytes.
///
/// Two spellings of one address are equal: its parts are prepared (`prepare.rs`). The resource keeps its case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jid {
    text: Str,
    /// Where `@` stands; 0: no local part.
    at: u16,
    /// Where `/` stands; 0: no resource.
    slash: u16,
}

impl Jid {
    /// Reads and normalises.
    pub fn new(text: &str) -> Result<Self, JidError> {
        // Three parts of 1023 bytes (RFC 7622 §3) and their marks; longer texts are not worth preparing.
        if text.len() > 3 * MOST * 2 {
            return Err(JidError);
        }
        // RFC 7622 §3.1: the resource begins at the first slash, whatever follows; before it the first `@` ends the
        // local part.
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match bare.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, bare),
        };
        Self::from_parts(local, domain, resource)
    }

    /// From parts, each of which is checked by itself: no part can smuggle in another.
    pub fn from_parts(
        local: Option<&str>,
        domain: &str,
        resource: Option<&str>,
    ) -> Result<Self, JidError> {
        let local = local.map(prepare::local).transpose()?;
        let domain = prepare::domain(domain)?;
        let resource = resource.map(prepare::resource).transpose()?;
        let part = |n: usize| u16::try_from(n).map_err(|_| JidError);
        let mut text = String::with_capacity(
            domain.len()
                + local.as_ref().map_or(0, |l| l.len() + 1)
                + resource.as_ref().map_or(0, |r| r.len() + 1),
        );
        let at = part(local.as_ref().map_or(0, |l| l.len()))?;
        if let Some(local) = &local {
            text.push_str(local);
            text.push('@');
        }
        text.push_str(&domain);
        let mut slash = 0;
        if let Some(resource) = &resource {
            slash = part(text.len())?;
            text.push('/');
            text.push_str(resource);
        }
        Ok(Self {
            text: text.into(),
            at,
            slash,
        })
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole address, to be cloned without copying.
    pub fn to_str(&self) -> Str {
        self.text.clone()
    }

    /// The part before `@`.
    pub fn local(&self) -> Option<&str> {
        if self.at == 0 {
            None
        } else {
            self.text.get(..usize::from(self.at))
        }
    }

    /// The domain.
    pub fn domain(&self) -> &str {
        let start = if self.at == 0 {
            0
        } else {
            usize::from(self.at) + 1
        };
        self.bare_str().get(start..).unwrap_or_default()
    }

    /// The part after the first `/`.
    pub fn resource(&self) -> Option<&str> {
        if self.slash == 0 {
            None
        } else {
            self.text.get(usize::from(self.slash) + 1..)
        }
    }

    /// The address without resource, as text.
    pub fn bare_str(&self) -> &str {
        if self.slash == 0 {
            &self.text
        } else {
            self.text.get(..usize::from(self.slash)).unwrap_or_default()
        }
    }

    /// The address without resource.
    #[must_use]
    pub fn bare(&self) -> Self {
        if self.slash == 0 {
            return self.clone();
        }
        Self {
            text: Str::new(self.bare_str()),
            at: self.at,
            slash: 0,
        }
    }

    /// Whether it has no resource.
    pub fn is_bare(&self) -> bool {
        self.slash == 0
    }

    /// Whether it has a resource.
    pub fn is_full(&self) -> bool {
        self.slash != 0
    }

    /// Whether both are the same but for the resource.
    pub fn same_bare(&self, other: &Self) -> bool {
        self.bare_str() == other.bare_str()
    }

    /// The same account or room with this resource (a room nick) instead.
    pub fn with_resource(&self, resource: &str) -> Result<Self, JidError> {
        let resource = prepare::resource(resource)?;
        let bare = self.bare_str();
        let slash = u16::try_from(bare.len()).map_err(|_| JidError)?;
        Ok(Self {
            text: [bare, "/", &*resource].concat().into(),
            at: self.at,
            slash,
        })
    }

    /// The domain alone.
    #[must_use]
    pub fn domain_only(&self) -> Self {
        Self {
            text: Str::new(self.domain()),
            at: 0,
            slash: 0,
        }
    }
}

impl FromStr for Jid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, JidError> {
        Self::new(text)
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<&Jid> for Str {
    fn from(jid: &Jid) -> Self {
        jid.text.clone()
    }
}

impl From<Jid> for Str {
    fn from(jid: Jid) -> Self {
        jid.text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_at_the_domains_end_moves_nothing() {
        for text in ["[@e8amplf./opagrltop", "fx./x-@tpn", "a@b./c/d@e", "x./."] {
            if let Ok(jid) = Jid::new(text) {
                let again = Jid::from_parts(jid.local(), jid.domain(), jid.resource());
                assert_eq!(again.as_ref(), Ok(&jid), "{text}");
                assert_eq!(Jid::new(jid.as_str()).as_ref(), Ok(&jid), "{text}");
            }
        }
        assert_eq!(Jid::new("a@b./c").unwrap().as_str(), "a@b/c");
    }

    #[test]
    fn what_has_no_stable_form_is_no_address() {
        for text in ["ᴶ", "a@ᴶ.org", "ᴶ@b"] {
            if let Ok(jid) = Jid::new(text) {
                assert_eq!(Jid::new(jid.as_str()).as_ref(), Ok(&jid), "{text}");
            }
        }
        assert!(Jid::new("ᴶ").is_err());
        assert!(Jid::new("ålice@smörgås.org/Å").is_ok());
    }

    #[test]
    fn parts_are_prepared_by_their_profiles() {
        // RFC 7622 §3.5, tables 1 and 2.
        for (text, whole) in [
            ("juliet@example.com", "juliet@example.com"),
            ("juliet@example.com/foo bar", "juliet@example.com/foo bar"),
            ("juliet@example.com/foo@bar", "juliet@example.com/foo@bar"),
            ("foo\\20bar@example.com", "foo\\20bar@example.com"),
            ("fussball@example.com", "fussball@example.com"),
            ("fu\u{df}ball@example.com", "fu\u{df}ball@example.com"),
            ("\u{3c0}@example.com", "\u{3c0}@example.com"),
            ("\u{3a3}@example.com/foo", "\u{3c3}@example.com/foo"),
            ("king@example.com/\u{265a}", "king@example.com/\u{265a}"),
            // RFC 8265 §3.3.2: width, then case, then NFC; a resource keeps width and case.
            ("\u{ff21}nn@example.com", "ann@example.com"),
            (
                "A\u{30a}sa@example.com/A\u{30a}",
                "\u{e5}sa@example.com/\u{c5}",
            ),
            (
                "a@example.com/\u{ff21}\u{3000}b",
                "a@example.com/\u{ff21} b",
            ),
        ] {
            assert_eq!(Jid::new(text).unwrap().as_str(), whole);
            assert_eq!(Jid::new(whole).unwrap().as_str(), whole);
        }
        for text in [
            "\"juliet\"@example.com",
            "foo bar@example.com",
            "@example.com/",
            "henry\u{2163}@example.com",
            "\u{265a}@example.com",
            "a\u{ff20}b@example.com",
            "a\u{ad}b@example.com",
            // The Bidi rule (RFC 5893 §2).
            "1\u{627}@example.com",
            "a@example.com/\u{200b}",
        ] {
            assert_eq!(Jid::new(text), Err(JidError), "{text:?}");
        }
    }

    #[test]
    fn addresses_are_normalised_and_taken_apart() {
        for (text, whole, local, domain, resource) in [
            (
                "Alice@Example.ORG./Phone",
                "alice@example.org/Phone",
                Some("alice"),
                "example.org",
                Some("Phone"),
            ),
            ("example.org", "example.org", None, "example.org", None),
            (
                "example.org/a@b/c",
                "example.org/a@b/c",
                None,
                "example.org",
                Some("a@b/c"),
            ),
            (
                "town@rooms.localhost/Bob the Builder",
                "town@rooms.localhost/Bob the Builder",
                Some("town"),
                "rooms.localhost",
                Some("Bob the Builder"),
            ),
            (
                "carol%m.org@matrix.example.org",
                "carol%m.org@matrix.example.org",
                Some("carol%m.org"),
                "matrix.example.org",
                None,
            ),
            ("a@[::1]/x", "a@[::1]/x", Some("a"), "[::1]", Some("x")),
            ("a@127.0.0.1", "a@127.0.0.1", Some("a"), "127.0.0.1", None),
            (
                "STRASSE@BÜCHER.example",
                "strasse@bücher.example",
                Some("strasse"),
                "bücher.example",
                None,
            ),
        ] {
            let jid = Jid::new(text).unwrap();
            assert_eq!(
                (jid.as_str(), jid.local(), jid.domain(), jid.resource()),
                (whole, local, domain, resource)
            );
            assert_eq!(jid.is_full(), resource.is_some());
            assert_eq!(Jid::from_parts(local, domain, resource).unwrap(), jid);
            assert_eq!(jid.bare().with_resource("x").unwrap().bare(), jid.bare());
            assert_eq!(jid.domain_only().as_str(), domain);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = "a".repeat(1024);
        for text in [
            "",
            "@",
            "@a",
            "a@",
            "a/",
            "a@b/",
            "/x",
            "a b@c",
            "a@b@c",
            "a\0@b",
            "a@b/\u{7}",
            &format!("{long}@b"),
            &format!("a@b/{long}"),
            &long,
        ] {
            assert_eq!(Jid::new(text), Err(JidError), "{text:?}");
        }
        assert!(Jid::from_parts(Some("a@b"), "c", None).is_err());
        assert!(Jid::from_parts(Some("a"), "b/c", None).is_err());
    }
}
