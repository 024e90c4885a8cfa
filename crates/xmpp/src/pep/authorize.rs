//! Access model `authorize` (XEP-0060 §8.6, §8.8): the owner is asked who may subscribe, and says so with the form that came,
//! or by managing subscriptions.

use std::sync::Arc;

use sammen_core::Address;
use sammen_core::tx::Tx;

use super::form::{self, Form, boolean, field};
use super::notify::Push;
use super::publish::Actor;
use super::shelf::{self, NodeRecord, Subscription};
use super::{owner, subscribe};
use crate::client::Client;
use crate::wire::{Element, StanzaError, Str, ns};

/// Asks the owner's sessions, each of them.
pub fn ask(tx: &mut Tx<'_>, actor: &Actor, node: &str, subscription: &Subscription) {
    let form = form::form("form", ns::PUBSUB_AUTHORIZATION)
        .child(field("pubsub#node", "text-single", &[node]))
        .child(field("pubsub#subid", "text-single", &[&subscription.id]))
        .child(field(
            "pubsub#subscriber_jid",
            "jid-single",
            &[&subscription.jid],
        ))
        .child(field("pubsub#allow", "boolean", &["false"]));
    send(tx, &actor.account, &actor.bare, node, form, &actor.bare);
}

/// Grants or ends the subscription of a JID; what has to be told of it.
pub fn decide(record: &mut NodeRecord, jid: &str, allow: bool) -> Option<Subscription> {
    let at = record.subscriptions.iter().position(|s| s.jid == jid)?;
    if !allow {
        let mut gone = record.subscriptions.remove(at);
        gone.pending = true;
        return Some(gone);
    }
    let subscription = record.subscriptions.get_mut(at)?;
    let waited = std::mem::take(&mut subscription.pending);
    waited.then(|| subscription.clone())
}

/// §8.6: tells the subscriber what became of it: `none`, where `decide` gave it back as one that waits no longer.
pub fn tell(tx: &mut Tx<'_>, actor: &Actor, node: &str, subscription: &Subscription) {
    let Ok(who) = Address::new(&subscription.account) else {
        return;
    };
    let state = if subscription.pending {
        "none"
    } else {
        subscribe::state(subscription)
    };
    let inner = Element::new(ns::PUBSUB_EVENT, "subscription")
        .attr("node", node)
        .attr("jid", subscription.jid.as_str())
        .attr("subid", subscription.id.as_str())
        .attr("subscription", state);
    let event = Element::new(ns::PUBSUB_EVENT, "event").child(inner);
    send(tx, &who, &actor.bare, node, event, &subscription.jid);
}

fn send(tx: &mut Tx<'_>, to: &Address, from: &str, node: &str, inside: Element, jid: &str) {
    let push = Push {
        node: Str::new(node),
        message: Element::new(ns::CLIENT, "message")
            .attr("from", from)
            .attr("type", "normal")
            .child(inside),
        subscribed: Arc::new(vec![jid.to_owned()]),
    };
    tx.tell_account(to, push.into_change());
}

/// The owner's answer, in a message to the own account: node, JID and whether it may subscribe.
pub fn answer(message: &Element) -> Option<(String, String, bool)> {
    let x = message.find("x", ns::DATA_FORMS)?;
    let form = (x.get("type") == Some("submit")).then(|| Form::read(x))??;
    if form.form_type() != Some(ns::PUBSUB_AUTHORIZATION) {
        return None;
    }
    Some((
        form.value("pubsub#node")?.to_owned(),
        form.value("pubsub#subscriber_jid")?.to_owned(),
        form.value("pubsub#allow").and_then(boolean)?,
    ))
}

/// Does what the owner answered.
///
/// # Errors
/// When there is no such node.
pub async fn answered(
    client: &Client,
    (node, jid, allow): (String, String, bool),
) -> Result<(), StanzaError> {
    let actor = Actor::of(client, &client.account);
    super::write(&client.node, move |tx| {
        let (mut record, _) = owner::ruled(tx, &actor, &node)?;
        if let Some(decided) = decide(&mut record, &jid, allow) {
            shelf::put_node(tx, &actor.account, &node, &record)?;
            tell(tx, &actor, &node, &decided);
        }
        Ok(())
    })
    .await
}
