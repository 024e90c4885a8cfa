//! Explicit subscriptions (XEP-0060 §6.1, §6.2, §5.6); presence with `+notify` (XEP-0163 §4) needs none.

use sammen_core::tx::Tx;
use sammen_core::{Address, Node};

use super::access::{Affiliation, may_read};
use super::authorize;
use super::config::{Access, SendLast};
use super::notify::{self, Push, What};
use super::owner::MOST_SUBSCRIPTIONS;
use super::publish::Actor;
use super::shelf::{self, Subscription};
use super::{errors, read};
use crate::client::Client;
use crate::wire::{Element, Jid, StanzaError, Str, ns};

/// Subscribes a JID of the client's own. Returns `<subscription/>`.
///
/// # Errors
/// XEP-0060 §6.1.3.
pub fn subscribe(
    tx: &mut Tx<'_>,
    actor: &Actor,
    name: &str,
    jid: &Jid,
) -> Result<Element, StanzaError> {
    if *jid.bare_str() != *actor.who_bare {
        return Err(errors::invalid_jid());
    }
    let found = shelf::node(tx, &actor.account, name)?;
    let asker = shelf::asker(tx, &actor.account, found.as_ref(), &actor.who)?;
    let mut record = found.ok_or_else(errors::not_found)?;
    let refused = may_read(&record.config, &asker).err();
    // §4.5: whoever is not cast out may ask; the owner decides.
    let asks = record.config.access == Access::Authorize && asker.affiliation == Affiliation::None;
    if let Some(refused) = refused.clone().filter(|_| !asks) {
        return Err(refused);
    }
    let known = record
        .subscriptions
        .iter()
        .find(|s| s.jid == jid.as_str())
        .cloned();
    let subscription = match known {
        Some(known) if known.pending && refused.is_some() => return Err(errors::pending()),
        Some(known) if known.pending => {
            // The node opened meanwhile.
            let waited = record.subscriptions.iter_mut().find(|s| s.id == known.id);
            if let Some(waited) = waited {
                waited.pending = false;
            }
            shelf::put_node(tx, &actor.account, name, &record)?;
            Subscription {
                pending: false,
                ..known
            }
        }
        Some(known) => known,
        None => {
            if record.subscriptions.len() >= MOST_SUBSCRIPTIONS {
                return Err(errors::too_many(
                    "this node has as many subscribers as it may",
                ));
            }
            let new = Subscription {
                account: actor.who.to_string(),
                jid: jid.as_str().to_owned(),
                id: format!("{:016x}", tx.random() as u64),
                pending: refused.is_some(),
            };
            record.subscriptions.push(new.clone());
            shelf::put_node(tx, &actor.account, name, &record)?;
            new
        }
    };
    if subscription.pending {
        authorize::ask(tx, actor, name, &subscription);
        return Ok(element(name, &subscription));
    }
    if record.config.send_last != SendLast::Never
        && let Some(item) = shelf::last_item(tx, &actor.account, name, &record)?
        && let Some(payload) = item.element()
    {
        let push = Push {
            node: Str::new(name),
            message: notify::message(&actor.bare, name, &record, What::Published(&item, &payload)),
            subscribed: std::sync::Arc::new(vec![subscription.jid.clone()]),
        };
        tx.tell_account(&actor.who, push.into_change());
    }
    Ok(element(name, &subscription))
}

/// Ends a subscription of the client's own.
///
/// # Errors
/// XEP-0060 §6.2.3.
pub fn unsubscribe(
    tx: &mut Tx<'_>,
    actor: &Actor,
    name: &str,
    jid: &Jid,
) -> Result<(), StanzaError> {
    if *jid.bare_str() != *actor.who_bare {
        return Err(errors::forbidden());
    }
    let found = shelf::node(tx, &actor.account, name)?;
    shelf::asker(tx, &actor.account, found.as_ref(), &actor.who)?;
    let mut record = found.ok_or_else(errors::not_found)?;
    let before = record.subscriptions.len();
    record.subscriptions.retain(|s| s.jid != jid.as_str());
    if record.subscriptions.len() == before {
        return Err(errors::not_subscribed());
    }
    Ok(shelf::put_node(tx, &actor.account, name, &record)?)
}

fn element(node: &str, s: &Subscription) -> Element {
    Element::new(ns::PUBSUB, "subscription")
        .attr("node", node)
        .attr("jid", s.jid.as_str())
        .attr("subid", s.id.as_str())
        .attr("subscription", state(s))
}

/// The state of a subscription on the wire.
pub fn state(s: &Subscription) -> &'static str {
    if s.pending { "pending" } else { "subscribed" }
}

/// What the client has subscribed at an account, or how it is ranked there: `<subscriptions/>` or `<affiliations/>`.
///
/// # Errors
/// `service-unavailable` for who is blocked.
pub async fn own(
    client: &Client,
    account: &Address,
    ranks: bool,
    node: Option<String>,
) -> Result<Element, StanzaError> {
    let (account, who) = (account.clone(), client.account.clone());
    read(&client.node, move |mut look: &Node| {
        shelf::asker(&mut look, &account, None, &who)?;
        let mut list = Element::new(
            ns::PUBSUB,
            if ranks {
                "affiliations"
            } else {
                "subscriptions"
            },
        );
        for (name, record) in shelf::nodes(&mut look, &account)? {
            if node.as_ref().is_some_and(|n| *n != name) {
                continue;
            }
            if !ranks {
                let own = record
                    .subscriptions
                    .iter()
                    .filter(|s| s.account == who.as_str());
                own.for_each(|s| list.push(element(&name, s)));
                continue;
            }
            let rank = if account == who {
                Affiliation::Owner
            } else {
                record.affiliation(&who)
            };
            if rank != Affiliation::None {
                let affiliation = Element::new(ns::PUBSUB, "affiliation");
                list.push(
                    affiliation
                        .attr("node", name)
                        .attr("affiliation", rank.name()),
                );
            }
        }
        Ok(list)
    })
    .await
}
