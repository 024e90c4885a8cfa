//! Ruling nodes (XEP-0060 §8): create, configure, delete, purge, affiliations, subscriptions.

use sammen_core::Address;
use sammen_core::tx::Tx;

use super::access::{Affiliation, Asker, may_rule};
use super::config::NodeConfig;
use super::form::Form;
use super::notify::{self, What};
use super::publish::{Actor, check_name};
use super::shelf::{self, NodeRecord};
use super::{authorize, effects, errors};
use crate::address::{self, Place};
use crate::wire::{Condition, Element, Jid, StanzaError, ns};

/// People that one node may rank or have subscribed.
const MOST_PEOPLE: usize = 1_000;

/// Creates a node; without a name it gets one. Returns the name.
///
/// # Errors
/// XEP-0060 §8.1.
pub fn create(
    tx: &mut Tx<'_>,
    actor: &Actor,
    name: Option<&str>,
    form: Option<&Form>,
) -> Result<String, StanzaError> {
    if !actor.owner() {
        return Err(errors::forbidden());
    }
    let name = name.map_or_else(|| format!("{:032x}", tx.random()), str::to_owned);
    check_name(&name)?;
    if shelf::node(tx, &actor.account, &name)?.is_some() {
        return Err(StanzaError::new(Condition::Conflict));
    }
    shelf::room_for_nodes(tx, &actor.account, 1)?;
    let mut record = NodeRecord {
        config: NodeConfig::for_node(&name),
        ..NodeRecord::default()
    };
    if let Some(form) = form {
        record.config.apply(form)?;
    }
    shelf::put_node(tx, &actor.account, &name, &record)?;
    Ok(name)
}

/// A node that the actor rules.
pub fn ruled(
    tx: &mut Tx<'_>,
    actor: &Actor,
    name: &str,
) -> Result<(NodeRecord, Asker), StanzaError> {
    let found = shelf::node(tx, &actor.account, name)?;
    let asker = shelf::asker(tx, &actor.account, found.as_ref(), &actor.who)?;
    let record = found.ok_or_else(errors::not_found)?;
    may_rule(&asker)?;
    Ok((record, asker))
}

/// Changes the configuration. Items above a lower limit go.
///
/// # Errors
/// XEP-0060 §8.2.
pub fn configure(
    tx: &mut Tx<'_>,
    actor: &Actor,
    name: &str,
    form: &Form,
) -> Result<(), StanzaError> {
    let (mut record, _) = match ruled(tx, actor, name) {
        // Nodes that are made of what core knows can be configured before anything was published.
        Err(e)
            if e.condition == Condition::ItemNotFound
                && super::is_made(&actor.account, &actor.who, name) =>
        {
            shelf::room_for_nodes(tx, &actor.account, 1)?;
            let config = NodeConfig::for_node(name);
            let record = NodeRecord {
                config,
                ..NodeRecord::default()
            };
            (record, Asker::default())
        }
        other => other?,
    };
    record.config.apply(form)?;
    if record.config.persist {
        shelf::trim(tx, &actor.account, name, &mut record, "")?;
    } else if record.items > 0 {
        shelf::remove_items(tx, &actor.account, name)?;
        (record.items, record.bytes, record.last) = (0, 0, None);
    }
    shelf::put_node(tx, &actor.account, name, &record)?;
    if record.config.notify_config {
        notify::announce(
            tx,
            &actor.account,
            &actor.bare,
            name,
            &record,
            What::Configured,
        )?;
    }
    Ok(())
}

/// Deletes a node.
///
/// # Errors
/// XEP-0060 §8.4.
pub fn delete(tx: &mut Tx<'_>, actor: &Actor, name: &str) -> Result<(), StanzaError> {
    let (record, _) = ruled(tx, actor, name)?;
    shelf::remove_node(tx, &actor.account, name)?;
    if record.config.notify_delete {
        notify::announce(
            tx,
            &actor.account,
            &actor.bare,
            name,
            &record,
            What::Deleted,
        )?;
    }
    effects::emptied(tx, actor, name)
}

/// Takes all items out.
///
/// # Errors
/// XEP-0060 §8.5.
pub fn purge(tx: &mut Tx<'_>, actor: &Actor, name: &str) -> Result<(), StanzaError> {
    let (mut record, _) = ruled(tx, actor, name)?;
    if !record.config.persist {
        return Err(errors::unsupported("persistent-items"));
    }
    shelf::remove_items(tx, &actor.account, name)?;
    (record.items, record.bytes, record.last) = (0, 0, None);
    shelf::put_node(tx, &actor.account, name, &record)?;
    if record.config.notify_retract {
        notify::announce(tx, &actor.account, &actor.bare, name, &record, What::Purged)?;
    }
    effects::emptied(tx, actor, name)
}

/// The affiliations of a node, as `<affiliations/>`.
pub fn affiliations(record: &NodeRecord, actor: &Actor, name: &str) -> Element {
    let one = |jid: &str, a: Affiliation| {
        Element::new(ns::PUBSUB_OWNER, "affiliation")
            .attr("jid", jid)
            .attr("affiliation", a.name())
    };
    let domain = actor.domain();
    let jid = |a: &String| Some(address::bare(domain?, &Address::new(a).ok()?));
    let others = record
        .affiliations
        .iter()
        .filter_map(|(a, rank)| Some(one(&jid(a)?, *rank)));
    Element::new(ns::PUBSUB_OWNER, "affiliations")
        .attr("node", name)
        .child(one(&actor.bare, Affiliation::Owner))
        .children(others)
}

/// Ranks people at a node.
///
/// # Errors
/// XEP-0060 §8.9.
pub fn set_affiliations(
    tx: &mut Tx<'_>,
    actor: &Actor,
    name: &str,
    list: &Element,
) -> Result<(), StanzaError> {
    let (mut record, _) = ruled(tx, actor, name)?;
    for entry in list.all("affiliation", ns::PUBSUB_OWNER) {
        let who = person(actor, entry.get("jid"))?;
        let rank = entry.get("affiliation").and_then(Affiliation::read);
        let rank = rank.ok_or_else(|| StanzaError::new(Condition::BadRequest))?;
        if who == actor.account {
            // The account owns its nodes, whatever is said.
            if rank == Affiliation::Owner {
                continue;
            }
            return Err(StanzaError::new(Condition::NotAcceptable));
        }
        record.affiliations.retain(|(a, _)| a != who.as_str());
        if rank != Affiliation::None {
            record.affiliations.push((who.to_string(), rank));
        }
        if rank == Affiliation::Outcast {
            record.subscriptions.retain(|s| s.account != who.as_str());
        }
    }
    if record.affiliations.len() > MOST_PEOPLE {
        return Err(errors::too_many("this node ranks as many people as it may"));
    }
    Ok(shelf::put_node(tx, &actor.account, name, &record)?)
}

/// The subscriptions of a node, as `<subscriptions/>`.
pub fn subscriptions(record: &NodeRecord, name: &str) -> Element {
    let one = |s: &shelf::Subscription| {
        Element::new(ns::PUBSUB_OWNER, "subscription")
            .attr("jid", s.jid.as_str())
            .attr("subscription", super::subscribe::state(s))
            .attr("subid", s.id.as_str())
    };
    Element::new(ns::PUBSUB_OWNER, "subscriptions")
        .attr("node", name)
        .children(record.subscriptions.iter().map(one))
}

/// Ends subscriptions of others, or grants those that wait (§8.8.2); only they themselves can make them.
///
/// # Errors
/// XEP-0060 §8.8.
pub fn set_subscriptions(
    tx: &mut Tx<'_>,
    actor: &Actor,
    name: &str,
    list: &Element,
) -> Result<(), StanzaError> {
    let (mut record, _) = ruled(tx, actor, name)?;
    let mut decided = Vec::new();
    for entry in list.all("subscription", ns::PUBSUB_OWNER) {
        let jid = entry
            .get("jid")
            .and_then(|j| Jid::new(j).ok())
            .ok_or_else(errors::invalid_jid)?;
        let known = record.subscriptions.iter().any(|s| s.jid == jid.as_str());
        let allow = match entry.get("subscription") {
            Some("none") => false,
            Some("subscribed") if known => true,
            Some("pending") if known => continue,
            _ => return Err(errors::unsupported("manage-subscriptions")),
        };
        decided.extend(authorize::decide(&mut record, jid.as_str(), allow));
    }
    shelf::put_node(tx, &actor.account, name, &record)?;
    for subscription in decided {
        authorize::tell(tx, actor, name, &subscription);
    }
    Ok(())
}

/// Whom a JID in a list names.
fn person(actor: &Actor, jid: Option<&str>) -> Result<Address, StanzaError> {
    let jid = jid
        .and_then(|j| Jid::new(j).ok())
        .ok_or_else(errors::invalid_jid)?;
    match address::place(&actor.domains, &jid) {
        Place::Account(who) | Place::Remote(who) => Ok(who),
        _ => Err(errors::invalid_jid()),
    }
}

/// Most explicit subscriptions of one node.
pub const MOST_SUBSCRIPTIONS: usize = MOST_PEOPLE;
