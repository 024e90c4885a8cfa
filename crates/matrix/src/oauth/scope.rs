//! Scopes: the whole client-server API, as one device ("Scope").

use ruma::OwnedDeviceId;

/// The prefixes of the specification, and those from before it.
const API: [&str; 2] = [
    "urn:matrix:client:api:*",
    "urn:matrix:org.matrix.msc2967.client:api:*",
];
const DEVICE: [&str; 2] = [
    "urn:matrix:client:device:",
    "urn:matrix:org.matrix.msc2967.client:device:",
];
/// Longest device id.
const LONGEST: usize = 255;

/// What an app asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// As which device.
    pub device: OwnedDeviceId,
    /// The words that were understood.
    pub words: String,
}

impl Scope {
    /// Reads a scope; words that are not ours are left out (RFC 6749 §3.3). `None` without the API or without one device.
    pub fn read(text: &str) -> Option<Self> {
        let words = text.split(' ').filter(|w| !w.is_empty());
        let device = |w: &str| {
            DEVICE
                .iter()
                .find_map(|p| w.strip_prefix(p))
                .map(str::to_owned)
        };
        let ours = |w: &&str| API.contains(w) || device(w).is_some();
        let mut seen = std::collections::BTreeSet::new();
        let words: Vec<&str> = words.filter(ours).filter(|w| seen.insert(*w)).collect();
        let mut devices: Vec<String> = words.iter().filter_map(|w| device(w)).collect();
        devices.dedup();
        let one: [String; 1] = devices.try_into().ok()?;
        let [id] = one;
        // RFC 3986 §2.3: unreserved characters.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let fits = !id.is_empty() && id.len() <= LONGEST && id.bytes().all(plain);
        let whole = words.iter().any(|w| API.contains(w));
        (fits && whole).then(|| Self {
            device: id.as_str().into(),
            words: words.join(" "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_the_api_and_one_device() {
        let read = |text: &str| Scope::read(text).map(|s| (s.device.to_string(), s.words));
        let both = "urn:matrix:client:api:* urn:matrix:client:device:ABCDEFGHIJ";
        let found = Some(("ABCDEFGHIJ".to_owned(), both.to_owned()));
        assert_eq!(read(both), found);
        assert_eq!(read(&format!("openid  {both} email")), found);
        let old = "urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:org.matrix.msc2967.client:device:x";
        assert_eq!(read(old), Some(("x".to_owned(), old.to_owned())));
        for nothing in [
            "",
            "openid",
            "urn:matrix:client:api:*",
            "urn:matrix:client:device:ABC",
            "urn:matrix:client:api:* urn:matrix:client:device:",
            "urn:matrix:client:api:* urn:matrix:client:device:a/b",
            "urn:matrix:client:api:* urn:matrix:client:device:a urn:matrix:client:device:b",
        ] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }
}
