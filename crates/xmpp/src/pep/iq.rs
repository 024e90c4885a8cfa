//! The requests (XEP-0060 §6–§8) as they come: read, checked for form, handed to who does them.

use std::sync::Arc;

use sammen_core::Address;

use super::form::{Form, boolean};
use super::publish::{self, Actor, Publication};
use super::query::{self, Page, Wanted};
use super::{config::NodeConfig, errors, owner as rule, read, subscribe, write};
use crate::address::Place;
use crate::bookmarks;
use crate::client::Client;
use crate::feature::{BoxFuture, IqAnswer};
use crate::iq::Iq;
use crate::wire::{Condition, Element, Jid, StanzaError, ns};

/// Items that one request may name.
const MOST_NAMED: usize = 500;

fn account_of(client: &Client, iq: &Iq) -> Address {
    match &iq.place {
        Place::Account(account) => account.clone(),
        _ => client.account.clone(),
    }
}

fn node_of(el: &Element) -> Result<String, StanzaError> {
    let node = el
        .get("node")
        .filter(|n| !n.is_empty())
        .ok_or_else(errors::node_required)?;
    publish::check_name(node)?;
    Ok(node.to_owned())
}

fn bad() -> StanzaError {
    StanzaError::new(Condition::BadRequest)
}

/// Requests in the namespace of everyone.
pub fn pubsub(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let account = account_of(&client, &iq);
        let actor = Actor::of(&client, &account);
        let what = iq.child.first().ok_or_else(bad)?.clone();
        let answer = |child: Option<Element>| child.map(|c| iq.child.shell().child(c));
        match (what.name(), iq.set) {
            ("items", false) => Ok(Some(items(&client, &account, &iq.child, &what).await?)),
            ("subscriptions" | "affiliations", false) => {
                let node = what.get("node").map(str::to_owned);
                let ranks = what.name() == "affiliations";
                Ok(answer(Some(
                    subscribe::own(&client, &account, ranks, node).await?,
                )))
            }
            ("default", false) => Ok(answer(Some(default_form(ns::PUBSUB)))),
            ("publish", true) => publish(&client, actor, &iq.child, &what).await.map(answer),
            ("retract", true) => retract(&client, actor, &what).await.map(|()| None),
            ("create", true) => create(&client, actor, &iq.child, &what).await.map(answer),
            ("subscribe", true) => {
                let (node, jid) = (node_of(&what)?, jid_of(&what)?);
                let done = write(&client.node, move |tx| {
                    subscribe::subscribe(tx, &actor, &node, &jid)
                });
                Ok(answer(Some(done.await?)))
            }
            ("unsubscribe", true) => {
                let (node, jid) = (node_of(&what)?, jid_of(&what)?);
                write(&client.node, move |tx| {
                    subscribe::unsubscribe(tx, &actor, &node, &jid)
                })
                .await?;
                Ok(None)
            }
            ("options", _) => Err(errors::unsupported("subscription-options")),
            _ => Err(bad()),
        }
    })
}

fn jid_of(el: &Element) -> Result<Jid, StanzaError> {
    el.get("jid")
        .and_then(|j| Jid::new(j).ok())
        .ok_or_else(errors::invalid_jid)
}

async fn items(
    client: &Client,
    account: &Address,
    pubsub: &Element,
    what: &Element,
) -> Result<Element, StanzaError> {
    let node = node_of(what)?;
    let ids = what.all("item", ns::PUBSUB).filter_map(|i| i.get("id"));
    let wanted = Wanted {
        ids: ids.take(MOST_NAMED).map(str::to_owned).collect(),
        newest: match what.get("max_items") {
            Some(text) => Some(text.parse().map_err(|_| bad())?),
            None => None,
        },
        page: pubsub.find("set", ns::RSM).map(Page::read),
    };
    let (account, who) = (account.clone(), client.account.clone());
    let bare = client.server.bare(&account);
    let found = read(&client.node, move |look| {
        query::items(look, &account, &bare, &who, &node, &wanted)
    });
    Ok(pubsub.shell().children(found.await?))
}

async fn publish(
    client: &Client,
    actor: Actor,
    pubsub: &Element,
    what: &Element,
) -> Result<Option<Element>, StanzaError> {
    let node = node_of(what)?;
    let mut items = what.all("item", ns::PUBSUB);
    let item = items.next().ok_or_else(errors::item_required)?;
    if items.next().is_some() {
        return Err(bad().with_text("one item at a time"));
    }
    let mut payloads = item.elements();
    let payload = payloads
        .next()
        .ok_or_else(errors::payload_required)?
        .clone();
    if payloads.next().is_some() {
        return Err(errors::invalid_payload());
    }
    let options = match pubsub
        .find("publish-options", ns::PUBSUB)
        .and_then(Form::below)
    {
        Some(form)
            if form
                .form_type()
                .is_some_and(|t| t != ns::PUBSUB_PUBLISH_OPTIONS) =>
        {
            return Err(bad());
        }
        other => other,
    };
    if node == ns::BOOKMARKS_OLD && payload.is("storage", ns::BOOKMARKS_OLD) {
        write(&client.node, move |tx| {
            bookmarks::set_old(tx, &actor, &payload)
        })
        .await?;
        return Ok(Some(published(&node, bookmarks::CURRENT)));
    }
    let out = Publication {
        node: node.clone(),
        id: item.get("id").filter(|i| !i.is_empty()).map(str::to_owned),
        payload,
        options,
    };
    let id = write(&client.node, move |tx| publish::publish(tx, &actor, &out)).await?;
    Ok(Some(published(&node, &id)))
}

fn published(node: &str, id: &str) -> Element {
    let item = Element::new(ns::PUBSUB, "item").attr("id", id);
    Element::new(ns::PUBSUB, "publish")
        .attr("node", node)
        .child(item)
}

async fn retract(client: &Client, actor: Actor, what: &Element) -> Result<(), StanzaError> {
    let node = node_of(what)?;
    let named = what.all("item", ns::PUBSUB).take(MOST_NAMED);
    let ids: Option<Vec<String>> = named.map(|i| i.get("id").map(str::to_owned)).collect();
    let ids = ids
        .filter(|i| !i.is_empty())
        .ok_or_else(errors::item_required)?;
    let notify = what.get("notify").and_then(boolean).unwrap_or(false);
    write(&client.node, move |tx| {
        let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        ids.sort_unstable();
        ids.dedup();
        publish::retract(tx, &actor, &node, &ids, notify)
    })
    .await
}

async fn create(
    client: &Client,
    actor: Actor,
    pubsub: &Element,
    what: &Element,
) -> Result<Option<Element>, StanzaError> {
    let name = what
        .get("node")
        .filter(|n| !n.is_empty())
        .map(str::to_owned);
    let form = pubsub.find("configure", ns::PUBSUB).and_then(Form::below);
    let instant = name.is_none();
    let done = write(&client.node, move |tx| {
        rule::create(tx, &actor, name.as_deref(), form.as_ref())
    });
    let made = done.await?;
    Ok(instant.then(|| Element::new(ns::PUBSUB, "create").attr("node", made)))
}

fn default_form(namespace: &'static str) -> Element {
    Element::new(namespace, "default").child(NodeConfig::default().to_form())
}

/// Requests in the namespace of owners.
pub fn owner(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let account = account_of(&client, &iq);
        let actor = Actor::of(&client, &account);
        let what = iq.child.first().ok_or_else(bad)?.clone();
        if what.name() == "default" && !iq.set {
            return Ok(Some(iq.child.shell().child(default_form(ns::PUBSUB_OWNER))));
        }
        let node = node_of(&what)?;
        let (set, shell) = (iq.set, iq.child.shell());
        write(&client.node, move |tx| {
            if set {
                match what.name() {
                    "configure" => match what.find("x", ns::DATA_FORMS) {
                        // XEP-0060 §8.2.4: a cancelled form leaves everything as it is.
                        Some(x) if x.get("type") == Some("cancel") => {
                            rule::ruled(tx, &actor, &node).map(drop)
                        }
                        Some(x) => {
                            let form = Form::read(x).ok_or_else(bad)?;
                            rule::configure(tx, &actor, &node, &form)
                        }
                        None => Err(bad()),
                    },
                    "delete" => rule::delete(tx, &actor, &node),
                    "purge" => rule::purge(tx, &actor, &node),
                    "affiliations" => rule::set_affiliations(tx, &actor, &node, &what),
                    "subscriptions" => rule::set_subscriptions(tx, &actor, &node, &what),
                    _ => Err(bad()),
                }?;
                return Ok(None);
            }
            let (record, _) = rule::ruled(tx, &actor, &node)?;
            let child = match what.name() {
                "configure" => Element::new(ns::PUBSUB_OWNER, "configure")
                    .attr("node", node.as_str())
                    .child(record.config.to_form()),
                "affiliations" => rule::affiliations(&record, &actor, &node),
                "subscriptions" => rule::subscriptions(&record, &node),
                _ => return Err(bad()),
            };
            Ok(Some(shell.child(child)))
        })
        .await
    })
}
