//! Notifications (XEP-0060 §7.1.2, XEP-0163 §4.3): built once, handed to sessions in order with the commit; each
//! session looks whether its client wants them.

use std::sync::Arc;

use sammen_core::live::StateChange;
use sammen_core::ops::presence;
use sammen_core::tx::Tx;
use sammen_core::{Address, Outcome, Protocol};

use super::access::may_read;
use super::config::ItemReply;
use super::shelf::{self, Item, NodeRecord};
use crate::client::Client;
use crate::wire::{Element, Str, ns};

/// A notification on its way to a session.
#[derive(Clone, Debug)]
pub struct Push {
    /// The node.
    pub node: Str,
    /// The message, without `to`.
    pub message: Element,
    /// JIDs of explicit subscriptions; their sessions need not have `+notify`.
    pub subscribed: Arc<Vec<String>>,
}

impl Push {
    /// The message for a client, if that wants it.
    pub fn message_for(&self, client: &Client) -> Option<Element> {
        let (available, caps) = {
            let state = client.state.lock();
            (state.available, state.caps.clone())
        };
        let asked = |jid: &String| *jid == *client.bare || *jid == *client.jid.as_str();
        let wanted = caps.notifies(&self.node) || self.subscribed.iter().any(asked);
        (available && wanted).then(|| self.message.clone().attr("to", client.jid.to_str()))
    }

    /// Sends it to the client if that wants it.
    pub fn deliver(&self, client: &Client) {
        if let Some(message) = self.message_for(client) {
            client.send(&message);
        }
    }

    /// The change that carries it.
    pub fn into_change(self) -> StateChange {
        StateChange::Custom {
            key: String::new(),
            protocol: Protocol::Xmpp,
            payload: Arc::new(self),
        }
    }
}

/// What happened at a node.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// An item was published.
    Published(&'a Item, &'a Element),
    /// Items were retracted.
    Retracted(&'a [&'a str]),
    /// All items went.
    Purged,
    /// The node went.
    Deleted,
    /// The node behaves otherwise.
    Configured,
}

/// The message that tells it, without `to`.
pub fn message(bare: &str, node: &str, record: &NodeRecord, what: What<'_>) -> Element {
    let plain = |name: &'static str| Element::new(ns::PUBSUB_EVENT, name).attr("node", node);
    let inner = match what {
        What::Published(item, payload) => {
            plain("items").child(item_element(ns::PUBSUB_EVENT, record, item, Some(payload)))
        }
        What::Retracted(ids) => {
            let gone = ids
                .iter()
                .map(|id| Element::new(ns::PUBSUB_EVENT, "retract").attr("id", *id));
            plain("items").children(gone)
        }
        What::Purged => plain("purge"),
        What::Deleted => plain("delete"),
        What::Configured => {
            let form = record.config.to_form().attr("type", "result");
            plain("configuration").child(form)
        }
    };
    Element::new(ns::CLIENT, "message")
        .attr("from", bare)
        .attr(
            "type",
            if record.config.headline {
                "headline"
            } else {
                "normal"
            },
        )
        .child(Element::new(ns::PUBSUB_EVENT, "event").child(inner))
}

/// `<item/>` in one of the two namespaces in which items travel; the payload only where the node delivers payloads or
/// the reader asked for items.
pub fn item_element(
    namespace: &'static str,
    record: &NodeRecord,
    item: &Item,
    payload: Option<&Element>,
) -> Element {
    let named = record.config.item_reply == ItemReply::Publisher;
    let payload =
        payload.filter(|_| namespace != ns::PUBSUB_EVENT || record.config.deliver_payloads);
    Element::new(namespace, "item")
        .attr("id", item.id.as_str())
        .attr_opt("publisher", named.then_some(item.publisher.as_str()))
        .children(payload.cloned())
}

/// Tells everyone who may know: own sessions, contacts who see the account's presence, explicit subscribers.
///
/// # Errors
/// When the store can't be read; nothing was announced then.
pub fn announce(
    tx: &mut Tx<'_>,
    account: &Address,
    bare: &str,
    node: &str,
    record: &NodeRecord,
    what: What<'_>,
) -> Outcome<()> {
    let mut to = vec![account.clone()];
    let mut others = presence::audience(tx, account)?;
    let subscribers = record
        .subscriptions
        .iter()
        .filter_map(|s| Address::new(&s.account).ok());
    others.extend(subscribers);
    others.sort();
    others.dedup();
    for who in others {
        let Ok(asker) = shelf::asker(tx, account, Some(record), &who) else {
            continue;
        };
        let one_of_us = who.is_account() || who.network() == Some(crate::s2s::network::NAME);
        if who != *account && one_of_us && may_read(&record.config, &asker).is_ok() {
            to.push(who);
        }
    }
    let push = Push {
        node: Str::new(node),
        message: message(bare, node, record, what),
        subscribed: Arc::new(
            record
                .subscriptions
                .iter()
                .filter(|s| !s.pending)
                .map(|s| s.jid.clone())
                .collect(),
        ),
    };
    let change = Arc::new(push.into_change());
    tx.after(move |live| {
        for account in &to {
            live.tell_account(account, &change);
        }
    });
    Ok(())
}
