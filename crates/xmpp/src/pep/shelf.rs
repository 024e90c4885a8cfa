//! Nodes and items on the account's shelf: how they are kept, read and counted.
//!
//! A node is a document of namespace `pep` under its name; its items are documents of `pep:NAME`, in order of version.
//! What all nodes of an account take together stands in `pep-use`.

use std::sync::Arc;

use bytes::Bytes;
use sammen_core::contact::Contact;
use sammen_core::document::{Document, Owner};
use sammen_core::ids::Seq;
use sammen_core::tx::{Expect, Tx, decode, encode};
use sammen_core::{Address, Convo, Node, Outcome, Refusal};
use serde::{Deserialize, Serialize};

use super::access::{Affiliation, Asker};
use super::config::{MOST_ITEMS, NodeConfig};
use super::errors;
use crate::wire::{Context, Element, Limits, Payload, StanzaError, write};

/// Namespace of nodes.
pub const NODES: &str = "pep";
const USE: &str = "pep-use";
/// Nodes of one account.
pub const MOST_NODES: usize = 512;
/// Bytes of all items of one account.
pub const MOST_BYTES: u64 = 24 << 20;
/// Bytes of one item's payload.
pub const ITEM_BYTES: usize = 200 * 1024;
/// Bytes of a node's name or an item's id.
pub const NAME_BYTES: usize = 1023;

/// A node as kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeRecord {
    /// How it behaves.
    pub config: NodeConfig,
    /// How the owner ranks people here, by address.
    pub affiliations: Vec<(String, Affiliation)>,
    /// Who subscribed.
    pub subscriptions: Vec<Subscription>,
    /// Items kept.
    pub items: u32,
    /// Their bytes.
    pub bytes: u64,
    /// The newest one's id.
    pub last: Option<String>,
}

/// An explicit subscription (XEP-0060 §6.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The account.
    pub account: String,
    /// The JID that is told: bare or full.
    pub jid: String,
    /// Its id.
    pub id: String,
    /// Waits for the owner (§8.6).
    #[serde(default)]
    pub pending: bool,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Use {
    nodes: usize,
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredItem {
    publisher: String,
    payload: Bytes,
}

/// An item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Bare JID of who published it.
    pub publisher: String,
    /// The payload, a document of its own.
    pub payload: Bytes,
    /// When, in the node's order.
    pub version: Seq,
}

impl Item {
    /// The payload as an element.
    pub fn element(&self) -> Option<Element> {
        // What was taken in under the node's limits is read back without further ones.
        let limits = Limits {
            stanza_bytes: ITEM_BYTES * 2,
            ..Limits::default()
        };
        let nodes = Payload::from_stored(self.payload.clone())
            .nodes("", &limits)
            .ok()?;
        nodes.into_iter().find_map(|n| n.as_element().cloned())
    }
}

/// A payload's bytes.
pub fn payload_bytes(payload: &Element) -> Bytes {
    let mut out = Vec::with_capacity(512);
    write::element(&mut out, payload, Context::NONE);
    out.into()
}

/// The namespace of a node's items.
pub fn items_of(node: &str) -> String {
    format!("{NODES}:{node}")
}

/// Where documents are read: inside a write, or from what is committed.
pub trait Look {
    /// One document without its tombstone.
    fn document(&mut self, owner: &Owner, namespace: &str, key: &str) -> Outcome<Option<Document>>;
    /// All documents of a namespace.
    fn documents(&mut self, owner: &Owner, namespace: &str, limit: usize)
    -> Outcome<Vec<Document>>;
    /// A contact.
    fn contact(&mut self, account: &Address, of: &Address) -> Outcome<Contact>;
    /// Whether the account is there.
    fn exists(&mut self, account: &Address) -> Outcome<bool>;
    /// The rooms that the account is in.
    fn rooms(&mut self, account: &Address) -> Outcome<Vec<Arc<Convo>>>;
}

impl Look for Tx<'_> {
    fn document(&mut self, owner: &Owner, namespace: &str, key: &str) -> Outcome<Option<Document>> {
        Ok(Tx::document(self, owner, namespace, key)?.filter(|d| d.value.is_some()))
    }
    fn documents(
        &mut self,
        owner: &Owner,
        namespace: &str,
        limit: usize,
    ) -> Outcome<Vec<Document>> {
        Tx::documents(self, owner, namespace, limit)
    }
    fn contact(&mut self, account: &Address, of: &Address) -> Outcome<Contact> {
        Tx::contact(self, account, of)
    }
    fn exists(&mut self, account: &Address) -> Outcome<bool> {
        Ok(self.account(account)?.is_some())
    }
    fn rooms(&mut self, account: &Address) -> Outcome<Vec<Arc<Convo>>> {
        let mut rooms = Vec::new();
        for id in self.conversations_of(account)? {
            let convo = self.convo(id)?;
            rooms.extend(is_in(&convo, account).then_some(convo));
        }
        Ok(rooms)
    }
}

fn is_in(convo: &Convo, account: &Address) -> bool {
    convo.is_room() && !convo.conversation.destroyed && convo.has(account)
}

impl Look for &Node {
    fn document(&mut self, owner: &Owner, namespace: &str, key: &str) -> Outcome<Option<Document>> {
        let found = self.store().document(owner, namespace, key)?;
        Ok(found.filter(|d| d.value.is_some()))
    }
    fn documents(
        &mut self,
        owner: &Owner,
        namespace: &str,
        limit: usize,
    ) -> Outcome<Vec<Document>> {
        Ok(self.store().documents(owner, namespace, "", None, limit)?)
    }
    fn contact(&mut self, account: &Address, of: &Address) -> Outcome<Contact> {
        Ok(self.contacts(account)?.get(of).cloned().unwrap_or_default())
    }
    fn exists(&mut self, account: &Address) -> Outcome<bool> {
        Ok(self.account(account)?.is_some())
    }
    fn rooms(&mut self, account: &Address) -> Outcome<Vec<Arc<Convo>>> {
        let mut rooms = Vec::new();
        for id in self.store().conversations_of(account)? {
            let convo = Node::convo(self, id)?;
            rooms.extend(convo.filter(|c| is_in(c, account)));
        }
        Ok(rooms)
    }
}

/// A node, if it is there.
pub fn node(look: &mut impl Look, account: &Address, name: &str) -> Outcome<Option<NodeRecord>> {
    let found = look.document(&account.into(), NODES, name)?;
    Ok(found.and_then(|d| d.value).and_then(|v| decode(&v)))
}

/// All nodes of an account, in order of name.
pub fn nodes(look: &mut impl Look, account: &Address) -> Outcome<Vec<(String, NodeRecord)>> {
    let found = look.documents(&account.into(), NODES, MOST_NODES)?;
    let read = |d: Document| Some((d.key, decode(&d.value?)?));
    Ok(found.into_iter().filter_map(read).collect())
}

/// One item.
pub fn item(
    look: &mut impl Look,
    account: &Address,
    node: &str,
    id: &str,
) -> Outcome<Option<Item>> {
    let found = look.document(&account.into(), &items_of(node), id)?;
    Ok(found.and_then(read_item))
}

/// All items of a node, oldest first.
pub fn items(look: &mut impl Look, account: &Address, node: &str) -> Outcome<Vec<Item>> {
    let most = MOST_ITEMS as usize + 1;
    let found = look.documents(&account.into(), &items_of(node), most)?;
    let mut items: Vec<Item> = found.into_iter().filter_map(read_item).collect();
    items.sort_by_key(|i| i.version);
    Ok(items)
}

/// The newest item of a node.
pub fn last_item(
    look: &mut impl Look,
    account: &Address,
    name: &str,
    record: &NodeRecord,
) -> Outcome<Option<Item>> {
    match &record.last {
        Some(id) => item(look, account, name, id),
        None => Ok(None),
    }
}

fn read_item(document: Document) -> Option<Item> {
    let stored: StoredItem = decode(&document.value?)?;
    Some(Item {
        id: document.key,
        publisher: stored.publisher,
        payload: stored.payload,
        version: document.version,
    })
}

/// How the owner sees somebody at a node.
///
/// # Errors
/// `service-unavailable` where the two have blocked each other or there is no such account: both look the same.
pub fn asker(
    look: &mut impl Look,
    account: &Address,
    record: Option<&NodeRecord>,
    who: &Address,
) -> Result<Asker, StanzaError> {
    let owner = account == who;
    let mut asker = Asker {
        owner,
        ..Asker::default()
    };
    if !look.exists(account)? {
        return Err(Refusal::Unreachable.into());
    }
    if !owner {
        let contact = look.contact(account, who)?;
        if contact.blocked {
            return Err(Refusal::Blocked.into());
        }
        asker.sees = contact.seen;
        asker.groups = contact.groups;
    }
    if let Some(record) = record {
        asker.affiliation = record.affiliation(who);
        asker.subscribed = record
            .subscriptions
            .iter()
            .any(|s| s.account == who.as_str() && !s.pending);
    }
    Ok(asker)
}

impl NodeRecord {
    /// The affiliation of somebody who is not the owner of the account.
    pub fn affiliation(&self, who: &Address) -> Affiliation {
        let found = self.affiliations.iter().find(|(a, _)| a == who.as_str());
        found.map_or(Affiliation::None, |(_, a)| *a)
    }
}

/// Stores a node. A new one counts; the caller has checked [`room_for_nodes`].
pub fn put_node(
    tx: &mut Tx<'_>,
    account: &Address,
    name: &str,
    record: &NodeRecord,
) -> Outcome<()> {
    let owner = Owner::from(account);
    let before = node(tx, account, name)?;
    let mut total = usage(tx, account)?;
    total.nodes += usize::from(before.is_none());
    total.bytes = total.bytes.saturating_sub(before.map_or(0, |b| b.bytes)) + record.bytes;
    tx.put_document(&owner, USE, "", Expect::Anything, Some(encode(&total)?))?;
    tx.put_document(&owner, NODES, name, Expect::Anything, Some(encode(record)?))?;
    Ok(())
}

/// Deletes a node with its items.
pub fn remove_node(tx: &mut Tx<'_>, account: &Address, name: &str) -> Outcome<()> {
    let Some(before) = node(tx, account, name)? else {
        return Ok(());
    };
    remove_items(tx, account, name)?;
    let owner = Owner::from(account);
    let mut total = usage(tx, account)?;
    total.nodes = total.nodes.saturating_sub(1);
    total.bytes = total.bytes.saturating_sub(before.bytes);
    tx.put_document(&owner, USE, "", Expect::Anything, Some(encode(&total)?))?;
    tx.put_document(&owner, NODES, name, Expect::Anything, None)?;
    Ok(())
}

/// Deletes all items of a node; its record is the caller's.
pub fn remove_items(tx: &mut Tx<'_>, account: &Address, name: &str) -> Outcome<()> {
    for item in items(tx, account, name)? {
        tx.put_document(
            &account.into(),
            &items_of(name),
            &item.id,
            Expect::Anything,
            None,
        )?;
    }
    Ok(())
}

/// Whether the account may have so many nodes more.
///
/// # Errors
/// When it has as many as it may.
pub fn room_for_nodes(tx: &mut Tx<'_>, account: &Address, more: usize) -> Result<(), StanzaError> {
    if usage(tx, account)?.nodes + more > MOST_NODES {
        return Err(errors::too_many("this account has as many nodes as it may"));
    }
    Ok(())
}

/// Whether the account may have so many bytes more.
///
/// # Errors
/// When it has as many as it may.
pub fn room_for_bytes(tx: &mut Tx<'_>, account: &Address, more: u64) -> Result<(), StanzaError> {
    if usage(tx, account)?.bytes + more > MOST_BYTES {
        return Err(errors::too_many(
            "this account has published as much as it may",
        ));
    }
    Ok(())
}

fn usage(tx: &mut Tx<'_>, account: &Address) -> Outcome<Use> {
    let found = Look::document(tx, &account.into(), USE, "")?;
    Ok(found
        .and_then(|d| d.value)
        .and_then(|v| decode(&v))
        .unwrap_or_default())
}

/// Puts an item into a node and drops the oldest ones above the node's limit. Changes `record`, which the caller stores.
pub fn put_item(
    tx: &mut Tx<'_>,
    account: &Address,
    name: &str,
    record: &mut NodeRecord,
    id: &str,
    publisher: &str,
    payload: Bytes,
) -> Outcome<Item> {
    let owner = Owner::from(account);
    let namespace = items_of(name);
    let before = item(tx, account, name, id)?;
    let size = payload.len() as u64;
    match &before {
        Some(old) => record.bytes = record.bytes.saturating_sub(old.payload.len() as u64) + size,
        None => {
            record.items += 1;
            record.bytes += size;
        }
    }
    let stored = StoredItem {
        publisher: publisher.to_owned(),
        payload: payload.clone(),
    };
    let version = tx.put_document(
        &owner,
        &namespace,
        id,
        Expect::Anything,
        Some(encode(&stored)?),
    )?;
    trim(tx, account, name, record, id)?;
    record.last = Some(id.to_owned());
    Ok(Item {
        id: id.to_owned(),
        publisher: publisher.to_owned(),
        payload,
        version,
    })
}

/// Drops the oldest items above the node's limit, but never `keep`.
pub fn trim(
    tx: &mut Tx<'_>,
    account: &Address,
    name: &str,
    record: &mut NodeRecord,
    keep: &str,
) -> Outcome<()> {
    if record.items <= record.config.max_items {
        return Ok(());
    }
    let over = (record.items - record.config.max_items) as usize;
    let items = items(tx, account, name)?;
    for old in items.iter().filter(|i| i.id != keep).take(over) {
        tx.put_document(
            &account.into(),
            &items_of(name),
            &old.id,
            Expect::Anything,
            None,
        )?;
        record.items = record.items.saturating_sub(1);
        record.bytes = record.bytes.saturating_sub(old.payload.len() as u64);
    }
    Ok(())
}

/// Takes an item out; false if it is not there. Changes `record`, which the caller stores.
pub fn remove_item(
    tx: &mut Tx<'_>,
    account: &Address,
    name: &str,
    record: &mut NodeRecord,
    id: &str,
) -> Outcome<bool> {
    let Some(old) = item(tx, account, name, id)? else {
        return Ok(false);
    };
    tx.put_document(&account.into(), &items_of(name), id, Expect::Anything, None)?;
    record.items = record.items.saturating_sub(1);
    record.bytes = record.bytes.saturating_sub(old.payload.len() as u64);
    if record.last.as_deref() == Some(id) {
        record.last = items(tx, account, name)?.last().map(|i| i.id.clone());
    }
    Ok(true)
}
