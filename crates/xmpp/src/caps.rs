//! XEP-0115: what a client can do, learned once per software and believed only where its hash fits.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use crate::client::Client;
use crate::feature::FEATURES;
use crate::wire::{Element, Str, ns};

/// Kinds of software to remember.
const REMEMBERED: usize = 1000;
/// Most features of one client.
const MOST: usize = 500;

/// What a client can do and wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Its features; empty while not known.
    pub features: BTreeSet<Str>,
}

impl Caps {
    /// Whether it has a feature.
    pub fn has(&self, feature: &str) -> bool {
        self.features.contains(feature)
    }

    /// XEP-0163 §4.3.2: whether it wants notifications of this node.
    pub fn notifies(&self, node: &str) -> bool {
        self.features.contains(&*format!("{node}+notify"))
    }
}

/// A question of the node to a client.
pub enum Asked {
    /// What it can do; the text is the hash it announced.
    Caps(Str),
    /// Whether it is still there.
    Ping,
}

/// What is known of software, by hash; the oldest is forgotten first.
#[derive(Default)]
struct Known(Mutex<(HashMap<Str, Arc<Caps>>, VecDeque<Str>)>);

impl Known {
    fn get(&self, ver: &str) -> Option<Arc<Caps>> {
        self.0.lock().0.get(ver).cloned()
    }

    fn put(&self, ver: Str, caps: Arc<Caps>) {
        let (known, order) = &mut *self.0.lock();
        if known.insert(ver.clone(), caps).is_none() {
            order.push_back(ver);
        }
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
    }
}

/// Looks at the `<c/>` of a client's presence, and asks where the hash is new.
pub async fn note(client: &Arc<Client>, presence: &Element) {
    let Some(c) = presence.find("c", ns::CAPS) else {
        return;
    };
    let (Some(node), Some(ver)) = (c.get("node"), c.get_str("ver").cloned()) else {
        return;
    };
    // Other hashes are not checked here, so they are asked for by each client. One can't be taken for the other: they
    // differ in length.
    let checked = c.get("hash").and_then(Algorithm::named).is_some();
    if let Some(caps) = client
        .server
        .shared::<Known>()
        .get(&ver)
        .filter(|_| checked)
    {
        return learned(client, caps).await;
    }
    let id: Str = format!("caps-{:08x}", client.node.clock().random() >> 96).into();
    {
        let asked = &mut client.state.lock().asked;
        asked.retain(|_, a| !matches!(a, Asked::Caps(_)));
        let ver = if checked { ver.clone() } else { Str::default() };
        asked.insert(id.clone(), Asked::Caps(ver));
    }
    let query = Element::new(ns::DISCO_INFO, "query").attr("node", format!("{node}#{ver}"));
    let ask = Element::new(ns::CLIENT, "iq")
        .attr("type", "get")
        .attr("id", id)
        .attr("from", client.server.domain().as_str())
        .attr("to", client.jid.to_str())
        .child(query);
    client.send(&ask);
}

/// The client answers a question of the node.
pub async fn answer(client: &Arc<Client>, el: &Element) {
    let asked = el
        .get("id")
        .and_then(|id| client.state.lock().asked.remove(id));
    let Some(Asked::Caps(ver)) = asked else {
        return;
    };
    let Some(query) = el.find("query", ns::DISCO_INFO) else {
        return;
    };
    let features = query
        .all("feature", ns::DISCO_INFO)
        .filter_map(|f| f.get_str("var"));
    let caps = Arc::new(Caps {
        features: features.take(MOST).cloned().collect(),
    });
    // §5.4: a hash that does not fit poisons nothing; the client is believed for itself alone.
    let fits = |with| hash(query, with).as_deref() == Some(ver.as_str());
    if !ver.is_empty() && Algorithm::ALL.into_iter().any(fits) {
        client.server.shared::<Known>().put(ver, caps.clone());
    }
    learned(client, caps).await;
}

async fn learned(client: &Arc<Client>, caps: Arc<Caps>) {
    {
        let mut state = client.state.lock();
        if state.caps == caps {
            return;
        }
        state.caps = caps;
    }
    client.show();
    for feature in FEATURES {
        if let Some(changed) = feature.caps {
            changed(client.clone()).await;
        }
    }
}

/// What hashes are made with (§5.1, by the names of RFC 3174 and the IANA registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// What nearly every client announces.
    Sha1,
    /// The other one that is in use.
    Sha256,
}

impl Algorithm {
    const ALL: [Self; 2] = [Self::Sha1, Self::Sha256];

    fn named(name: &str) -> Option<Self> {
        match name {
            "sha-1" => Some(Self::Sha1),
            "sha-256" => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// §5.1: the hash of an answer; `None` where it is ill-formed (§5.4: the same identity, feature or form twice).
pub fn hash(query: &Element, with: Algorithm) -> Option<String> {
    let mut text = String::new();
    let mut identities: Vec<String> = query
        .all("identity", ns::DISCO_INFO)
        .map(|i| {
            let get = |name| i.get(name).unwrap_or_default();
            let lang = i.lang().unwrap_or_default();
            format!("{}/{}/{lang}/{}", get("category"), get("type"), get("name"))
        })
        .collect();
    sorted(&mut identities)?;
    let mut features: Vec<String> = query
        .all("feature", ns::DISCO_INFO)
        .map(|f| f.get("var").unwrap_or_default().to_owned())
        .collect();
    sorted(&mut features)?;
    for part in identities.into_iter().chain(features) {
        text.push_str(&part);
        text.push('<');
    }
    let mut forms = Vec::new();
    for form in query.all("x", ns::DATA_FORMS) {
        let fields: Vec<_> = form.all("field", ns::DATA_FORMS).collect();
        let values = |f: &Element| -> Vec<String> {
            let mut values: Vec<String> = f
                .all("value", ns::DATA_FORMS)
                .map(|v| v.content().into_owned())
                .collect();
            values.sort_unstable();
            values
        };
        let kind = fields.iter().find(|f| f.get("var") == Some("FORM_TYPE"))?;
        let mut kinds = values(kind);
        kinds.dedup();
        let [kind] = kinds.as_slice() else {
            return None;
        };
        let mut rest: Vec<(String, Vec<String>)> = fields
            .iter()
            .filter(|f| f.get("var") != Some("FORM_TYPE"))
            .map(|f| (f.get("var").unwrap_or_default().to_owned(), values(f)))
            .collect();
        rest.sort_unstable();
        forms.push((kind.clone(), rest));
    }
    forms.sort_unstable();
    if forms.windows(2).any(|w| matches!(w, [a, b] if a.0 == b.0)) {
        return None;
    }
    for (kind, fields) in forms {
        text.push_str(&kind);
        text.push('<');
        for (name, values) in fields {
            text.push_str(&name);
            text.push('<');
            for value in values {
                text.push_str(&value);
                text.push('<');
            }
        }
    }
    let with = match with {
        Algorithm::Sha1 => &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::Sha256 => &ring::digest::SHA256,
    };
    let digest = ring::digest::digest(with, text.as_bytes());
    Some(STANDARD.encode(digest))
}

fn sorted(parts: &mut [String]) -> Option<()> {
    parts.sort_unstable();
    let twice = parts.windows(2).any(|w| matches!(w, [a, b] if a == b));
    (!twice).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_the_standard() {
        // XEP-0115 §5.2.
        let identity = Element::new(ns::DISCO_INFO, "identity")
            .attr("category", "client")
            .attr("name", "Exodus 0.9.1")
            .attr("type", "pc");
        let features = [
            "http://jabber.org/protocol/caps",
            ns::DISCO_INFO,
            ns::DISCO_ITEMS,
            ns::MUC,
        ];
        let features = features
            .into_iter()
            .map(|f| Element::new(ns::DISCO_INFO, "feature").attr("var", f));
        let mut query = Element::new(ns::DISCO_INFO, "query")
            .child(identity)
            .children(features);
        assert_eq!(
            hash(&query, Algorithm::Sha1).as_deref(),
            Some("QgayPKawpkPSDYmwT/WM94uAlu0=")
        );
        assert_eq!(hash(&query, Algorithm::Sha256).map(|h| h.len()), Some(44));
        query.push(Element::new(ns::DISCO_INFO, "feature").attr("var", ns::MUC));
        assert_eq!(hash(&query, Algorithm::Sha1), None);
    }
}
