//! Read sync (XEP-0490): the node `urn:xmpp:mds:displayed:0` shows core's read markers, and publishing moves them.
//!
//! Items that lead to an event of this node's logs are not kept: they are made of core's markers, whichever protocol
//! moved those. Other items (ids are opaque to the server) are kept as in any node.

use std::sync::Arc;

use sammen_core::ids::{ConversationId, EventId, Seq};
use sammen_core::live::StateChange;
use sammen_core::ops::send::{READ, ReadMark};
use sammen_core::tx::{Tx, decode};
use sammen_core::{Address, ConversationKey, Convo, Node, Outcome, Refusal};

use super::config::NodeConfig;
use super::notify::{self, Push, What};
use super::publish::{Actor, Publication};
use super::shelf::{self, Item, NodeRecord};
use crate::address::{self, Place};
use crate::client::Client;
use crate::wire::{Element, Jid, StanzaError, Str, ns};

/// XEP-0490 §3.4: the server takes the element out of messages.
pub const ASSIST: &str = "urn:xmpp:mds:server-assist:0";

/// The event in one of the own logs that an item names.
pub(super) fn target(
    tx: &mut Tx<'_>,
    actor: &Actor,
    node: &str,
    id: &str,
    payload: &Element,
) -> Result<Option<(Arc<Convo>, EventId)>, StanzaError> {
    if node != ns::MDS || !actor.owner() || !payload.is("displayed", ns::MDS) {
        return Ok(None);
    }
    let named = payload.find("stanza-id", ns::SID).and_then(|s| s.get("id"));
    let (Some(event), Ok(jid)) = (named.and_then(|t| t.parse::<EventId>().ok()), Jid::new(id))
    else {
        return Ok(None);
    };
    let key = match address::place(&actor.domains, &jid) {
        Place::Account(peer) | Place::Remote(peer) => {
            ConversationKey::direct(&actor.account, &peer)
        }
        Place::Room(room) if jid.is_bare() => ConversationKey::Room(room),
        _ => return Ok(None),
    };
    let convo = match tx.convo_by_key(&key) {
        Ok(Some(convo)) => convo,
        Ok(None) | Err(Refusal::NotFound) => return Ok(None),
        Err(other) => return Err(other.into()),
    };
    let Some(found) = tx.event(event)? else {
        return Ok(None);
    };
    let mine = found.conversation == convo.id() && convo.sees(&actor.account, found.pos);
    Ok(mine.then_some((convo, event)))
}

/// The account read something, on any device and protocol: the client learns it if it wants to. True if it was mine.
pub fn on_read(client: &Arc<Client>, change: &Arc<StateChange>) -> bool {
    let read = matches!(**change, StateChange::Read { .. });
    if let Some(push) = push_of(client, change) {
        push.deliver(client);
    }
    read
}

/// The notification that tells a client of a moved marker.
pub fn push_of(client: &Client, change: &StateChange) -> Option<Push> {
    let StateChange::Read {
        account,
        conversation,
        event,
        ..
    } = change
    else {
        return None;
    };
    if *account != client.account {
        return None;
    }
    let convo = client.node.convo(*conversation).ok()??;
    let main = client.server.domain();
    let (item, payload) = item(main, account, &client.bare, &convo, event.id, event.seq)?;
    let record = NodeRecord {
        config: NodeConfig::for_node(ns::MDS),
        ..NodeRecord::default()
    };
    Some(Push {
        node: Str::new_static(ns::MDS),
        message: notify::message(
            &client.bare,
            ns::MDS,
            &record,
            What::Published(&item, &payload),
        ),
        subscribed: Arc::default(),
    })
}

/// The item that shows a marker.
fn item(
    main: &sammen_core::Domain,
    account: &Address,
    bare: &str,
    convo: &Convo,
    event: EventId,
    version: Seq,
) -> Option<(Item, Element)> {
    let (id, by) = match (
        convo.conversation.room(),
        convo.conversation.peer_of(account),
    ) {
        (Some(room), _) => {
            let room = address::bare(main, room);
            (room.clone(), room)
        }
        (None, Some(peer)) => (address::bare(main, peer), bare.to_owned()),
        (None, None) => return None,
    };
    let stanza_id = Element::new(ns::SID, "stanza-id")
        .attr("by", by)
        .attr("id", event.to_string());
    let payload = Element::new(ns::MDS, "displayed").child(stanza_id);
    let item = Item {
        id,
        publisher: bare.to_owned(),
        payload: shelf::payload_bytes(&payload),
        version,
    };
    Some((item, payload))
}

/// The items that core's markers make.
///
/// # Errors
/// When the store can't be read.
pub fn items(node: &Node, account: &Address, bare: &str) -> Outcome<Vec<Item>> {
    let Some(main) = node.domains().first() else {
        return Ok(Vec::new());
    };
    let marks = node
        .store()
        .documents(&account.into(), READ, "", None, node.limits().documents)?;
    let mut items = Vec::new();
    for mark in marks {
        let (Ok(id), Some(read)) = (
            mark.key.parse().map(ConversationId),
            mark.value.as_deref().and_then(decode::<ReadMark>),
        ) else {
            continue;
        };
        let Some(convo) = node.convo(id)?.filter(|c| c.has(account)) else {
            continue;
        };
        items
            .extend(item(main, account, bare, &convo, read.id, mark.version).map(|(item, _)| item));
    }
    items.sort_by_key(|i| i.version);
    Ok(items)
}

/// XEP-0490 §3.4: takes `<displayed/>` out of a message that the client sends, and returns what is to be published.
pub fn take_assist(message: &mut Element) -> Option<Publication> {
    let payload = message.take("displayed", ns::MDS)?;
    let id = message.get("to")?.to_owned();
    Some(Publication {
        node: ns::MDS.to_owned(),
        id: Some(id),
        payload,
        options: None,
    })
}
