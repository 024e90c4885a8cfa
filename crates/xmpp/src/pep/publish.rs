//! Publishing and taking back (XEP-0060 §7): decided and done inside the writer, whole or not at all.

use std::sync::Arc;

use sammen_core::event::MarkerKind;
use sammen_core::ops::send;
use sammen_core::tx::Tx;
use sammen_core::{Address, Domain, Origin};

use super::access::{may_publish, may_retract};
use super::config::NodeConfig;
use super::form::Form;
use super::notify::{self, What};
use super::shelf::{self, ITEM_BYTES, Item, NAME_BYTES, NodeRecord};
use super::{effects, errors, mds};
use crate::avatar::Hashes;
use crate::client::Client;
use crate::wire::{Condition, Element, StanzaError, Str};

/// Who acts, at whose nodes.
#[derive(Clone)]
pub struct Actor {
    /// Whose nodes.
    pub account: Address,
    /// Their bare JID.
    pub bare: Str,
    /// Who acts.
    pub who: Address,
    /// The actor's bare JID.
    pub who_bare: Str,
    /// From where, for what core remembers.
    pub origin: Origin,
    /// The domains of the node; the first is the main one.
    pub domains: Arc<[Domain]>,
    /// Hashes of avatars, to be kept up to date.
    pub avatars: Arc<Hashes>,
}

impl Actor {
    /// A client at the nodes of `account`.
    pub fn of(client: &Client, account: &Address) -> Self {
        Self {
            account: account.clone(),
            bare: client.server.bare(account).into(),
            who: client.account.clone(),
            who_bare: client.bare.clone(),
            origin: client.plain_origin(),
            domains: client.node.domains().into(),
            avatars: client.server.shared(),
        }
    }

    /// The node's main domain.
    pub fn domain(&self) -> Option<&Domain> {
        self.domains.first()
    }

    /// Whether somebody acts at their own nodes.
    pub fn owner(&self) -> bool {
        self.account == self.who
    }
}

/// One publication.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The node.
    pub node: String,
    /// The item's id, where the publisher gave one.
    pub id: Option<String>,
    /// What.
    pub payload: Element,
    /// Preconditions, or the configuration of a node that is not there yet.
    pub options: Option<Form>,
}

/// Publishes. Returns the item's id.
///
/// # Errors
/// XEP-0060 §7.1.3 and §7.1.5; nothing was changed then.
pub fn publish(tx: &mut Tx<'_>, actor: &Actor, out: &Publication) -> Result<String, StanzaError> {
    check_name(&out.node)?;
    if let Some(id) = &out.id {
        check_name(id)?;
    }
    let found = shelf::node(tx, &actor.account, &out.node)?;
    let asker = shelf::asker(tx, &actor.account, found.as_ref(), &actor.who)?;
    let existed = found.is_some();
    let mut record = match found {
        Some(record) => {
            may_publish(&record.config, &asker)?;
            if let Some(options) = &out.options {
                record.config.meets(options)?;
            }
            record
        }
        None if !asker.owner => return Err(errors::forbidden()),
        None => {
            shelf::room_for_nodes(tx, &actor.account, 1)?;
            let mut config = NodeConfig::for_node(&out.node);
            if let Some(options) = &out.options {
                config.apply(options)?;
            }
            NodeRecord {
                config,
                ..NodeRecord::default()
            }
        }
    };
    let wanted = record.config.payload_type.as_deref();
    if wanted.is_some_and(|ns| ns != out.payload.ns()) {
        return Err(errors::invalid_payload());
    }
    let bytes = shelf::payload_bytes(&out.payload);
    if bytes.len() > ITEM_BYTES {
        return Err(errors::payload_too_big());
    }
    let id = out
        .id
        .clone()
        .unwrap_or_else(|| format!("{:032x}", tx.random()));
    let before = shelf::item(tx, &actor.account, &out.node, &id)?;
    // XEP-0060 §4.1: who may only publish does not overwrite what another one wrote.
    if let Some(before) = &before {
        may_retract(&asker, before.publisher == *actor.who_bare)?;
    }
    shelf::room_for_bytes(tx, &actor.account, bytes.len() as u64)?;

    // A place in one of the node's own logs is core's to keep: the item is made of its marker.
    if let Some((convo, event)) = mds::target(tx, actor, &out.node, &id, &out.payload)? {
        if !existed {
            shelf::put_node(tx, &actor.account, &out.node, &record)?;
        }
        let displayed = MarkerKind::Displayed;
        send::mark_read(
            tx,
            &convo,
            &actor.account,
            Some(event),
            displayed,
            &actor.origin,
        )?;
        return Ok(id);
    }
    let item = if record.config.persist {
        shelf::put_item(
            tx,
            &actor.account,
            &out.node,
            &mut record,
            &id,
            &actor.who_bare,
            bytes,
        )?
    } else {
        Item {
            id: id.clone(),
            publisher: actor.who_bare.to_string(),
            payload: bytes,
            version: tx.last_seq(),
        }
    };
    if record.config.persist || !existed {
        shelf::put_node(tx, &actor.account, &out.node, &record)?;
    }
    if record.config.deliver_notifications {
        let what = What::Published(&item, &out.payload);
        notify::announce(tx, &actor.account, &actor.bare, &out.node, &record, what)?;
    }
    effects::published(tx, actor, &out.node, &out.payload)?;
    Ok(id)
}

/// Publishes at the actor's own node what was checked before, without looking at preconditions; tells who wants to know.
///
/// # Errors
/// Only where the store can't be read.
pub fn put_quietly(tx: &mut Tx<'_>, actor: &Actor, out: &Publication) -> Result<(), StanzaError> {
    let found = shelf::node(tx, &actor.account, &out.node)?;
    let mut record = found.unwrap_or_else(|| NodeRecord {
        config: NodeConfig::for_node(&out.node),
        ..NodeRecord::default()
    });
    let bytes = shelf::payload_bytes(&out.payload);
    let id = out
        .id
        .clone()
        .unwrap_or_else(|| format!("{:032x}", tx.random()));
    let item = shelf::put_item(
        tx,
        &actor.account,
        &out.node,
        &mut record,
        &id,
        &actor.who_bare,
        bytes,
    )?;
    shelf::put_node(tx, &actor.account, &out.node, &record)?;
    let what = What::Published(&item, &out.payload);
    notify::announce(tx, &actor.account, &actor.bare, &out.node, &record, what)?;
    Ok(())
}

/// Retracts items. All of them must be there.
///
/// # Errors
/// XEP-0060 §7.2.3; nothing was changed then.
pub fn retract(
    tx: &mut Tx<'_>,
    actor: &Actor,
    node: &str,
    ids: &[&str],
    notify: bool,
) -> Result<(), StanzaError> {
    let record = shelf::node(tx, &actor.account, node)?;
    let asker = shelf::asker(tx, &actor.account, record.as_ref(), &actor.who)?;
    // A room that one is in is a bookmark also where no client ever wrote it.
    let shown = effects::is_implied(tx, actor, node, ids)?;
    let mut record = match record {
        Some(record) => record,
        None if shown => NodeRecord {
            config: NodeConfig::for_node(node),
            ..NodeRecord::default()
        },
        None => return Err(errors::not_found()),
    };
    let mut gone = Vec::new();
    for id in ids {
        let found = shelf::item(tx, &actor.account, node, id)?;
        if found.is_none() && !shown {
            may_retract(&asker, false)?;
            return Err(errors::not_found());
        }
        may_retract(
            &asker,
            found
                .as_ref()
                .is_some_and(|i| i.publisher == *actor.who_bare),
        )?;
        gone.push(found);
    }
    effects::retracting(tx, actor, node, ids, &gone)?;
    let mut stored = false;
    for id in ids {
        stored |= shelf::remove_item(tx, &actor.account, node, &mut record, id)?;
    }
    if stored {
        shelf::put_node(tx, &actor.account, node, &record)?;
    }
    if notify || record.config.notify_retract {
        notify::announce(
            tx,
            &actor.account,
            &actor.bare,
            node,
            &record,
            What::Retracted(ids),
        )?;
    }
    effects::changed(tx, actor, node)?;
    Ok(())
}

/// A node's name or an item's id is something that can be kept.
///
/// # Errors
/// `not-acceptable` for over-long ones.
pub fn check_name(name: &str) -> Result<(), StanzaError> {
    if name.is_empty() || name.len() > NAME_BYTES {
        let error = StanzaError::new(Condition::NotAcceptable);
        return Err(error.with_text("names have 1 to 1023 bytes"));
    }
    Ok(())
}
