//! RFC 6121 §2: the roster, with versions (§2.6).

use std::sync::Arc;

use sammen_core::contact::{self, Contact};
use sammen_core::document::Owner;
use sammen_core::live::ContactCause;
use sammen_core::ops;
use sammen_core::tx::decode;
use sammen_core::{Address, Seq};

use crate::client::Client;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::stanza::person;
use crate::wire::{Condition, Element, Jid, StanzaError, Str, ns};

/// Changes that are pushed one by one; beyond them the whole roster is shorter.
const CHANGES: usize = 100;

/// The feature.
pub static FEATURE: Feature = Feature {
    name: "roster",
    disco: |at| match at {
        Where::OwnAccount | Where::Server => &[ns::ROSTER],
        _ => &[],
    },
    iqs: &[IqHandler {
        name: "query",
        ns: ns::ROSTER,
        get: true,
        set: true,
        at: &[Where::OwnAccount],
        handle,
    }],
    ..Feature::NONE
};

fn handle(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        if iq.set {
            set(&client, &iq).await
        } else {
            get(&client, &iq).await
        }
    })
}

/// A version is of this store's epoch and a seq: older ones of the same epoch can be caught up.
fn version(client: &Client, seq: Seq) -> String {
    format!("{:x}-{}", client.node.epoch(), seq.0)
}

fn version_seq(client: &Client, ver: &str) -> Option<Seq> {
    let (epoch, seq) = ver.split_once('-')?;
    (u64::from_str_radix(epoch, 16) == Ok(client.node.epoch()))
        .then(|| seq.parse().ok().map(Seq))?
}

async fn get(client: &Arc<Client>, iq: &Iq) -> IqAnswer {
    client.state.lock().interested = true;
    let known = iq.get("ver").and_then(|v| version_seq(client, v));
    let versioned = iq.get("ver").is_some();
    let account = client.account.clone();
    let read = client.node.read(move |node| {
        // Nothing where what was removed since is no longer known: then the whole roster says it.
        let changed = match known {
            Some(since) => node.store().documents_since(
                &Owner::from(&account),
                contact::NAMESPACE,
                since,
                CHANGES + 1,
            )?,
            None => None,
        };
        // Before the contacts, which are at least of this seq.
        let upto = node.last_seq();
        Ok((upto, node.contacts(&account)?, changed))
    });
    let (upto, contacts, changed) = read.await.map_err(StanzaError::from)?;
    // RFC 6121 §2.6.3: an empty result, and what changed as pushes.
    if let Some(changed) = changed.filter(|c| c.len() <= CHANGES) {
        for document in changed {
            let Ok(address) = Address::new(&document.key) else {
                continue;
            };
            let value: Option<Contact> = document.value.as_deref().and_then(decode);
            let item = match value.filter(|c| c.listed) {
                Some(value) => item(client, &address, &value),
                None => removed(client, &address),
            };
            push_item(client, item, document.version);
        }
        return Ok(None);
    }
    let listed = contacts.iter().filter(|(_, c)| c.listed);
    let items: Vec<_> = listed.map(|(a, c)| item(client, a, c)).collect();
    let query = Element::new(ns::ROSTER, "query").children(items);
    Ok(Some(if versioned {
        query.attr("ver", version(client, upto))
    } else {
        query
    }))
}

async fn set(client: &Arc<Client>, iq: &Iq) -> IqAnswer {
    // §2.1.5: one item, with an address.
    let mut items = iq.child.all("item", ns::ROSTER);
    let (Some(item), None) = (items.next(), items.next()) else {
        return Err(Iq::bad("a roster set has one item"));
    };
    let jid = item
        .get("jid")
        .ok_or_else(|| Iq::bad("an item has an address"))?;
    let jid = Jid::new(jid).map_err(|_| StanzaError::new(Condition::JidMalformed))?;
    let of = person(client, &jid.bare())?;
    let mut groups: Vec<String> = Vec::new();
    for group in item.all("group", ns::ROSTER) {
        let group = group.content().into_owned();
        // §2.3.3: empty groups are not acceptable, nor are two of one name.
        if group.is_empty() {
            return Err(Condition::NotAcceptable.into());
        }
        if groups.contains(&group) {
            return Err(Iq::bad("a group is named twice"));
        }
        groups.push(group);
    }
    let name = item
        .get("name")
        .filter(|n| !n.is_empty())
        .map(str::to_owned);
    let remove = item.get("subscription") == Some("remove");
    let me = client.account.clone();
    client
        .node
        .write(move |tx| {
            if remove {
                ops::contacts::remove(tx, &me, &of)
            } else {
                ops::contacts::set(tx, &me, &of, name, groups)
            }
        })
        .await
        .map_err(|refusal| -> StanzaError {
            match refusal {
                // §2.3.3.
                sammen_core::Refusal::TooLarge => Condition::NotAcceptable.into(),
                sammen_core::Refusal::Forbidden(_) => Condition::NotAllowed.into(),
                other => other.into(),
            }
        })?;
    Ok(None)
}

/// A contact as an item (§2.1.2).
fn item(client: &Client, address: &Address, contact: &Contact) -> Element {
    let subscription = match (contact.sees, contact.seen) {
        (true, true) => "both",
        (true, false) => "to",
        (false, true) => "from",
        (false, false) => "none",
    };
    let groups = contact
        .groups
        .iter()
        .map(|g| Element::new(ns::ROSTER, "group").text(g.as_str()));
    Element::new(ns::ROSTER, "item")
        .attr("jid", client.server.bare(address))
        .attr_opt("name", contact.name.as_deref())
        .attr("subscription", subscription)
        .attr_opt("ask", contact.asked.then_some("subscribe"))
        .attr_opt("approved", contact.approved.then_some("true"))
        .children(groups)
}

fn removed(client: &Client, address: &Address) -> Element {
    Element::new(ns::ROSTER, "item")
        .attr("jid", client.server.bare(address))
        .attr("subscription", "remove")
}

/// §2.1.6: a contact changed.
pub fn push(client: &Client, contact: &Address, value: &Contact, cause: ContactCause) {
    if !client.state.lock().interested || cause == ContactCause::Blocking {
        return;
    }
    let item = if value.listed {
        item(client, contact, value)
    } else if cause == ContactCause::Removed {
        removed(client, contact)
    } else {
        return;
    };
    push_item(client, item, value.version);
}

fn push_item(client: &Client, item: Element, seq: Seq) {
    let id: Str = format!("push-{:08x}", client.node.clock().random() >> 96).into();
    let query = Element::new(ns::ROSTER, "query")
        .attr("ver", version(client, seq))
        .child(item);
    let push = Element::new(ns::CLIENT, "iq")
        .attr("type", "set")
        .attr("id", id)
        .attr("to", client.jid.to_str())
        .child(query);
    client.send(&push);
}
