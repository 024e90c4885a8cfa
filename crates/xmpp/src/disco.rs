//! XEP-0030: what the node and its accounts can do; XEP-0157 contact addresses; the node's own XEP-0115 hash.

use std::sync::{Arc, LazyLock, OnceLock};

use crate::address::{Place, ROOMS, UPLOAD};
use crate::caps;
use crate::client::Client;
use crate::commands;
use crate::feature::{BoxFuture, FEATURES, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::node_resource;
use crate::pep;
use crate::server::Server;
use crate::wire::{Condition, Element, Jid, StanzaError, ns};

/// What names the node's software in XEP-0115 §4: a URI that is unique for the software, not for one installation of it.
/// Not an address, because no site belongs to the software; not a URN of an own namespace, because those are registered
/// (RFC 8141 §5); RFC 9562 gives everybody unique ones.
const NODE: &str = "urn:uuid:437edf72-05df-4dd6-9fcd-a206ea3cbac7";

/// The feature.
pub static FEATURE: Feature = Feature {
    name: "disco",
    disco: |at| match at {
        Where::Server | Where::OwnAccount => {
            &[ns::DISCO_INFO, ns::DISCO_ITEMS, "msgoffline", ns::SID]
        }
        _ => &[],
    },
    identities: |at| match at {
        Where::Server => &[("server", "im")],
        Where::OwnAccount | Where::OtherAccount => &[("account", "registered")],
        _ => &[],
    },
    iqs: &[
        IqHandler {
            name: "query",
            ns: ns::DISCO_INFO,
            get: true,
            set: false,
            at: &[Where::Server, Where::OwnAccount, Where::OtherAccount],
            handle: info,
        },
        IqHandler {
            name: "query",
            ns: ns::DISCO_ITEMS,
            get: true,
            set: false,
            at: &[Where::Server, Where::OwnAccount, Where::OtherAccount],
            handle: items,
        },
    ],
    ..Feature::NONE
};

/// Identities and features of an address, from all features.
pub fn describe(at: Where) -> Vec<Element> {
    let identities = FEATURES
        .iter()
        .flat_map(|f| (f.identities)(at))
        .map(|(category, kind)| {
            let name = (*category == "server").then_some("Sammen");
            identity(category, kind).attr_opt("name", name)
        });
    let mut names: Vec<&str> = FEATURES
        .iter()
        .flat_map(|f| (f.disco)(at))
        .copied()
        .collect();
    names.sort_unstable();
    names.dedup();
    identities.chain(names.into_iter().map(feature)).collect()
}

fn identity(category: &'static str, kind: &'static str) -> Element {
    Element::new(ns::DISCO_INFO, "identity")
        .attr("category", category)
        .attr("type", kind)
}

fn feature(name: &'static str) -> Element {
    Element::new(ns::DISCO_INFO, "feature").attr("var", name)
}

fn info(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        visible(&client, &iq).await?;
        // The node has no nodes of its own but that of its software.
        if let Some(node) = iq.get("node")
            && !(iq.at == Where::Server && node.starts_with(NODE))
        {
            if iq.at != Where::OtherAccount
                && let Some(told) = commands::info(&client, node)
            {
                return Ok(Some(iq.child.shell().children(told)));
            }
            // XEP-0060 §5.3: a node of an account.
            let Place::Account(account) = &iq.place else {
                return Err(Condition::ItemNotFound.into());
            };
            let told = pep::disco::info(&client, account, node).await?;
            return Ok(Some(iq.child.shell().children(told)));
        }
        Ok(Some(whole(&client.server, iq.at, iq.get("node"))))
    })
}

/// disco#info of an address.
fn whole(server: &Server, at: Where, node: Option<&str>) -> Element {
    let configured = FEATURES.iter().flat_map(|f| (f.configured)(server, at));
    let query = Element::new(ns::DISCO_INFO, "query")
        .attr_opt("node", node)
        .children(describe(at))
        .children(configured.copied().map(feature));
    if at == Where::Server {
        query.children(contacts(server))
    } else {
        query
    }
}

/// XEP-0115 §6.3: what the node can do, as a stream feature, so that apps that know it need not ask.
pub fn server_caps(server: &Server) -> Element {
    let known = server.shared::<OnceLock<String>>();
    let ver = known.get_or_init(|| {
        caps::hash(&whole(server, Where::Server, None), caps::Algorithm::Sha1).unwrap_or_default()
    });
    Element::new(ns::CAPS, "c")
        .attr("hash", "sha-1")
        .attr("node", NODE)
        .attr("ver", ver.as_str())
}

/// XEP-0157 §3.
fn contacts(server: &Server) -> Option<Element> {
    let config = server.config.get();
    let contacts = &config.contacts;
    if contacts.is_empty() {
        return None;
    }
    let value = |v: &str| Element::new(ns::DATA_FORMS, "value").text(v);
    let field = |name: &str| Element::new(ns::DATA_FORMS, "field").attr("var", name);
    let kind = field("FORM_TYPE")
        .attr("type", "hidden")
        .child(value("http://jabber.org/network/serverinfo"));
    let fields = contacts.iter().map(|(name, addresses)| {
        field(name)
            .attr("type", "list-multi")
            .children(addresses.iter().map(|a| value(a)))
    });
    Some(
        Element::new(ns::DATA_FORMS, "x")
            .attr("type", "result")
            .child(kind)
            .children(fields),
    )
}

fn items(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        visible(&client, &iq).await?;
        let mut query = Element::new(ns::DISCO_ITEMS, "query").attr_opt("node", iq.get("node"));
        if let Some(node) = iq.get("node") {
            if node == ns::COMMANDS && iq.at != Where::OtherAccount {
                let own = client.bare.as_str();
                let at = iq.to.as_ref().map_or(own, Jid::as_str);
                return Ok(Some(query.children(commands::items(&client, at))));
            }
            // XEP-0060 §5.5: the items of a node of an account.
            if let Place::Account(account) = &iq.place {
                query = query.children(pep::disco::items(&client, account, Some(node)).await?);
            }
            return Ok(Some(query));
        }
        let item = |jid: String| Element::new(ns::DISCO_ITEMS, "item").attr("jid", jid);
        if iq.at == Where::Server {
            let domain = iq
                .to
                .as_ref()
                .map_or(client.server.domain().as_str(), Jid::domain);
            query.push(item(format!("{ROOMS}{domain}")).attr("name", "Rooms"));
            query.push(item(format!("{UPLOAD}{domain}")).attr("name", "Files"));
            let federation = client.server.federation.get();
            let components = federation.map(|f| f.components.below(domain));
            query = query.children(components.into_iter().flatten().map(item));
        } else if let Place::Account(account) = &iq.place {
            // RFC 6121 §8.5.2: the resources that the asker may see.
            let bare = client.server.bare(account);
            let (seen, named): (Vec<_>, _) = client.node.live(|live| {
                let sessions = live.sessions_of(account).iter();
                let there = sessions.filter(|s| s.presence().is_some());
                let xmpp = |s: &&Arc<_>| -> bool {
                    let s: &sammen_core::live::Session = s;
                    s.protocol == sammen_core::Protocol::Xmpp
                };
                let all: Vec<_> = there.collect();
                let other = all.iter().any(|s| !xmpp(s));
                (
                    all.into_iter()
                        .filter(xmpp)
                        .map(|s| s.label.clone())
                        .collect(),
                    other,
                )
            });
            for label in seen {
                query.push(item(format!("{bare}/{label}")));
            }
            if named {
                query.push(item(format!("{bare}/{}", node_resource::NAME)));
            }
            query = query.children(pep::disco::items(&client, account, None).await?);
        }
        Ok(Some(query))
    })
}

/// RFC 6121 §8.5.1 and XEP-0030 §9: strangers learn of an account neither what it is nor that it is there.
async fn visible(client: &Arc<Client>, iq: &Iq) -> Result<(), StanzaError> {
    let Place::Account(account) = &iq.place else {
        return Ok(());
    };
    if iq.at != Where::OtherAccount {
        return Ok(());
    }
    let (me, whom) = (client.account.clone(), account.clone());
    let sees = client.node.read(move |node| {
        Ok(node
            .contacts(&whom)?
            .get(&me)
            .is_some_and(|c| c.seen && !c.blocked))
    });
    if sees.await.unwrap_or(false) {
        Ok(())
    } else {
        Err(Condition::ServiceUnavailable.into())
    }
}

/// What somebody on another protocol can take from XMPP: messages, and what is translated.
const NODE_FEATURES: &[&str] = &[
    ns::CHATSTATES,
    ns::DISCO_INFO,
    ns::VERSION,
    ns::CORRECT,
    ns::RETRACT,
    ns::PING,
    ns::REACTIONS,
    ns::REPLY,
];

/// disco#info of [`node_resource`].
pub fn node_info(node: Option<&str>) -> Element {
    Element::new(ns::DISCO_INFO, "query")
        .attr_opt("node", node)
        .child(identity("client", "pc").attr("name", "Sammen"))
        .children(NODE_FEATURES.iter().copied().map(feature))
}

/// `<c/>` for it.
pub fn node_caps() -> Element {
    static VER: LazyLock<String> =
        LazyLock::new(|| caps::hash(&node_info(None), caps::Algorithm::Sha1).unwrap_or_default());
    Element::new(ns::CAPS, "c")
        .attr("hash", "sha-1")
        .attr("node", NODE)
        .attr("ver", VER.as_str())
}
