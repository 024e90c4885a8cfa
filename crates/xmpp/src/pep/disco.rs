//! What disco (XEP-0030) tells of an account's nodes.

use sammen_core::Address;

use super::access::may_read;
use super::shelf;
use super::{errors, form, is_made, read};
use crate::client::Client;
use crate::wire::{Element, StanzaError, ns};

macro_rules! features {
    ($($name:literal),* $(; $($more:expr),*)?) => {
        &["http://jabber.org/protocol/pubsub", $(concat!("http://jabber.org/protocol/pubsub#", $name)),* $(, $($more),*)?]
    };
}

/// Features of an account (XEP-0060 §10, XEP-0163 §5).
pub const FEATURES: &[&str] = features!(
    "access-authorize",
    "access-open",
    "access-presence",
    "access-roster",
    "access-whitelist",
    "auto-create",
    "auto-subscribe",
    "config-node",
    "config-node-max",
    "create-and-configure",
    "create-nodes",
    "delete-items",
    "delete-nodes",
    "filtered-notifications",
    "instant-nodes",
    "item-ids",
    "last-published",
    "manage-affiliations",
    "manage-subscriptions",
    "member-affiliation",
    "meta-data",
    "modify-affiliations",
    "multi-items",
    "outcast-affiliation",
    "persistent-items",
    "presence-notifications",
    "presence-subscribe",
    "publish",
    "publish-only-affiliation",
    "publish-options",
    "publisher-affiliation",
    "purge-nodes",
    "retract-items",
    "retrieve-affiliations",
    "retrieve-default",
    "retrieve-items",
    "retrieve-subscriptions",
    "rsm",
    "subscribe"
);

/// Features of the own account: also what this node makes of bookmarks and read markers.
pub const OWN: &[&str] = features!(
    "access-authorize", "access-open", "access-presence", "access-roster", "access-whitelist", "auto-create", "auto-subscribe",
    "config-node", "config-node-max", "create-and-configure", "create-nodes", "delete-items", "delete-nodes",
    "filtered-notifications", "instant-nodes", "item-ids", "last-published", "manage-affiliations",
    "manage-subscriptions", "member-affiliation", "meta-data", "modify-affiliations", "multi-items",
    "outcast-affiliation", "persistent-items", "presence-notifications", "presence-subscribe", "publish",
    "publish-only-affiliation", "publish-options", "publisher-affiliation", "purge-nodes", "retract-items",
    "retrieve-affiliations", "retrieve-default", "retrieve-items", "retrieve-subscriptions", "rsm", "subscribe";
    crate::bookmarks::COMPAT_PEP, crate::bookmarks::CONVERSION, ns::BOOKMARKS_COMPAT, super::mds::ASSIST
);

/// disco#items of an account: the nodes that the client may read, or the items of one of them.
///
/// # Errors
/// For a node that the client may not read.
pub async fn items(
    client: &Client,
    account: &Address,
    node: Option<&str>,
) -> Result<Vec<Element>, StanzaError> {
    let bare = client.server.bare(account);
    let (account, who) = (account.clone(), client.account.clone());
    let node = node.map(str::to_owned);
    let entry = move |node: &str| {
        Element::new(ns::DISCO_ITEMS, "item")
            .attr("jid", bare.as_str())
            .attr("node", node)
    };
    read(&client.node, move |mut look| {
        if let Some(name) = node {
            let record = shelf::node(&mut look, &account, &name)?.ok_or_else(errors::not_found)?;
            let asker = shelf::asker(&mut look, &account, Some(&record), &who)?;
            may_read(&record.config, &asker)?;
            let items = shelf::items(&mut look, &account, &name)?;
            let named = |i: &shelf::Item| {
                let mut el = entry(&i.id).attr("name", i.id.as_str());
                el.unset("node");
                el
            };
            return Ok(items.iter().map(named).collect());
        }
        let mut found = Vec::new();
        for (name, record) in shelf::nodes(&mut look, &account)? {
            let asker = shelf::asker(&mut look, &account, Some(&record), &who)?;
            if may_read(&record.config, &asker).is_ok() {
                found.push(entry(&name));
            }
        }
        Ok(found)
    })
    .await
}

/// disco#info of one node: identity, features and metadata (XEP-0060 §5.3, §5.4), without the query around it.
///
/// # Errors
/// For a node that the client may not read.
pub async fn info(
    client: &Client,
    account: &Address,
    node: &str,
) -> Result<Vec<Element>, StanzaError> {
    let (account, who, node) = (account.clone(), client.account.clone(), node.to_owned());
    read(&client.node, move |mut look| {
        let record = match shelf::node(&mut look, &account, &node)? {
            Some(record) => record,
            None if is_made(&account, &who, &node) => shelf::NodeRecord {
                config: super::config::NodeConfig::for_node(&node),
                ..Default::default()
            },
            None => return Err(errors::not_found()),
        };
        let asker = shelf::asker(&mut look, &account, Some(&record), &who)?;
        may_read(&record.config, &asker)?;
        let identity = Element::new(ns::DISCO_INFO, "identity")
            .attr("category", "pubsub")
            .attr("type", "leaf");
        let feature = Element::new(ns::DISCO_INFO, "feature").attr("var", ns::PUBSUB);
        let mut meta = form::form("result", "http://jabber.org/protocol/pubsub#meta-data")
            .child(form::field(
                "pubsub#access_model",
                "list-single",
                &[record.config.access.name()],
            ))
            .child(form::field(
                "pubsub#publish_model",
                "list-single",
                &[record.config.publish.name()],
            ))
            .child(form::field(
                "pubsub#max_items",
                "text-single",
                &[&record.config.max_items_text()],
            ));
        if let Some(title) = &record.config.title {
            meta.push(form::field("pubsub#title", "text-single", &[title]));
        }
        if let Some(kind) = &record.config.payload_type {
            meta.push(form::field("pubsub#type", "text-single", &[kind]));
        }
        Ok(vec![identity, feature, meta])
    })
    .await
}
