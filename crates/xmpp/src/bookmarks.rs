//! Bookmarks: XEP-0402 items are the truth; XEP-0048 lists, in private storage (XEP-0049) and in PEP, are made of them.
//!
//! A room that the account is in is a bookmark even where no client wrote one, so that a room joined on IRC shows up.
//! Retracting an item that was to be joined of itself ends the membership; leaving it out of a whole list (which may be
//! an old copy) only takes away what was written.

use std::collections::BTreeMap;
use std::sync::Arc;

use sammen_core::document::Owner;
use sammen_core::ids::Seq;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, Convo, Domain, Node, Outcome, Principal};

use crate::address::{self, Place};
use crate::client::Client;
use crate::pep::config::NodeConfig;
use crate::pep::form::boolean;
use crate::pep::notify::{self, What};
use crate::pep::publish::{Actor, Publication};
use crate::pep::shelf::{self, Item, Look, NodeRecord};
use crate::pep::{self, errors, publish};
use crate::private;
use crate::wire::{Element, Jid, StanzaError, Str, ns};

/// The id of the one item of the old node (XEP-0048 §3).
pub const CURRENT: &str = "current";
/// Most bookmarks that a list may set.
const MOST: usize = 2_000;

/// XEP-0402 over XEP-0048 in PEP.
pub const COMPAT_PEP: &str = "urn:xmpp:bookmarks:1#compat-pep";
/// Conversion between private storage and PEP.
pub const CONVERSION: &str = "urn:xmpp:bookmarks-conversion:0";

/// The room that a bookmark's JID leads to, if it is one of this node.
pub fn room_of(domains: &[Domain], jid: &str) -> Option<Address> {
    let jid = Jid::new(jid).ok().filter(Jid::is_bare)?;
    match address::place(domains, &jid) {
        Place::Room(room) => Some(room),
        _ => None,
    }
}

/// Whether clients join the room of themselves.
pub fn autojoin(conference: &Element) -> bool {
    conference
        .get("autojoin")
        .and_then(boolean)
        .unwrap_or(false)
}

/// The stored bookmarks and those that memberships imply, oldest first; implied ones first.
///
/// # Errors
/// When the store can't be read.
pub fn items(look: &mut impl Look, main: &Domain, account: &Address) -> Outcome<Vec<Item>> {
    let stored = shelf::items(look, account, ns::BOOKMARKS)?;
    let mut all = Vec::new();
    for convo in look.rooms(account)? {
        let Some(room) = convo.conversation.room() else {
            continue;
        };
        let id = address::bare(main, room);
        if stored.iter().any(|i| i.id == id) {
            continue;
        }
        let nick = convo.member(account).and_then(|m| m.nick.clone());
        let name = convo.conversation.settings.name.clone();
        let conference = Element::new(ns::BOOKMARKS, "conference")
            .attr("autojoin", "true")
            .attr("name", name.unwrap_or_else(|| room.name().to_owned()))
            .children(nick.map(|n| Element::new(ns::BOOKMARKS, "nick").text(&*n)));
        all.push(Item {
            id,
            publisher: account.to_string(),
            payload: shelf::payload_bytes(&conference),
            version: Seq(0),
        });
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all.extend(stored);
    Ok(all)
}

/// `<storage/>` of XEP-0048 made of the items, with what else the client keeps there (URLs).
pub fn to_old(items: &[Item], others: &[Element]) -> Element {
    let conference = |item: &Item| {
        let el = item.element()?;
        let mut old = Element::new(ns::BOOKMARKS_OLD, "conference").attr("jid", item.id.as_str());
        for name in ["name", "autojoin"] {
            if let Some(value) = el.get_str(name) {
                old.set(name, value.clone());
            }
        }
        for name in ["nick", "password"] {
            if let Some(text) = el.find_text(name, ns::BOOKMARKS) {
                old.push(Element::new(ns::BOOKMARKS_OLD, name).text(text.as_ref()));
            }
        }
        Some(old)
    };
    Element::new(ns::BOOKMARKS_OLD, "storage")
        .children(items.iter().filter_map(conference))
        .children(others.iter().cloned())
}

/// An old `<conference/>` as a new one; what only the new form has is taken from the item that was there.
fn to_new(old: &Element, before: Option<&Element>) -> Element {
    let mut new = Element::new(ns::BOOKMARKS, "conference");
    for name in ["name", "autojoin"] {
        if let Some(value) = old.get_str(name) {
            new.set(name, value.clone());
        }
    }
    for name in ["nick", "password"] {
        if let Some(text) = old.find_text(name, ns::BOOKMARKS_OLD) {
            new.push(Element::new(ns::BOOKMARKS, name).text(text.as_ref()));
        }
    }
    let kept = before.map(|b| {
        b.elements()
            .filter(|c| !c.is("nick", ns::BOOKMARKS) && !c.is("password", ns::BOOKMARKS))
    });
    for child in kept.into_iter().flatten() {
        new.push(child.clone());
    }
    new
}

/// Whether two bookmarks say the same, however they are written.
fn same(a: &Element, b: &Element) -> bool {
    let text = |el: &Element, name| el.find_text(name, ns::BOOKMARKS).map(|t| t.into_owned());
    a.get("name") == b.get("name")
        && autojoin(a) == autojoin(b)
        && text(a, "nick") == text(b, "nick")
        && text(a, "password") == text(b, "password")
}

/// The old list of an account.
///
/// # Errors
/// When the store can't be read.
pub fn old_list(look: &mut impl Look, main: &Domain, account: &Address) -> Outcome<Element> {
    let items = items(look, main, account)?;
    let kept = private::stored(look, account, ns::BOOKMARKS_OLD, "storage")?;
    let others: Vec<Element> = kept.iter().flat_map(|k| k.elements()).cloned().collect();
    Ok(to_old(&items, &others))
}

/// Takes over a whole list in the old form: changed items are published, those left out retracted.
///
/// # Errors
/// When the list is too long or does not fit; nothing was changed then.
pub fn set_old(tx: &mut Tx<'_>, actor: &Actor, storage: &Element) -> Result<(), StanzaError> {
    if !actor.owner() {
        return Err(errors::forbidden());
    }
    let Some(main) = actor.domain().cloned() else {
        return Err(errors::not_found());
    };
    let shown = items(tx, &main, &actor.account)?;
    let mut wanted: BTreeMap<String, &Element> = BTreeMap::new();
    for conference in storage.all("conference", ns::BOOKMARKS_OLD) {
        let jid = conference.get("jid").and_then(|j| Jid::new(j).ok());
        if let Some(jid) = jid.filter(Jid::is_bare) {
            wanted.insert(jid.as_str().to_owned(), conference);
        }
    }
    let others: Vec<Element> = storage
        .elements()
        .filter(|c| !c.is("conference", ns::BOOKMARKS_OLD))
        .cloned()
        .collect();
    let kept = Element::new(ns::BOOKMARKS_OLD, "storage").children(others);
    let bytes = shelf::payload_bytes(&kept);
    if wanted.len() > MOST || bytes.len() > private::ELEMENT_BYTES {
        return Err(errors::too_many("that list of bookmarks is too long"));
    }
    let mut changes = Vec::new();
    let mut more = 0;
    for (jid, old) in wanted
        .iter()
        .filter(|(jid, _)| jid.len() <= shelf::NAME_BYTES)
    {
        let before = shown.iter().find(|i| i.id == *jid);
        let payload = to_new(old, before.and_then(Item::element).as_ref());
        let size = shelf::payload_bytes(&payload);
        if before
            .and_then(Item::element)
            .is_some_and(|b| same(&b, &payload))
        {
            continue;
        }
        if size.len() > shelf::ITEM_BYTES {
            return Err(errors::payload_too_big());
        }
        more += size.len() as u64;
        changes.push(Publication {
            node: ns::BOOKMARKS.to_owned(),
            id: Some(jid.clone()),
            payload,
            options: None,
        });
    }
    shelf::room_for_bytes(tx, &actor.account, more)?;
    if shelf::node(tx, &actor.account, ns::BOOKMARKS)?.is_none() {
        shelf::room_for_nodes(tx, &actor.account, 1)?;
    }
    let gone: Vec<&str> = shown
        .iter()
        .filter(|i| i.version != Seq(0) && !wanted.contains_key(&i.id))
        .map(|i| i.id.as_str())
        .collect();

    let owner = Owner::from(&actor.account);
    let key = private::key(ns::BOOKMARKS_OLD, "storage");
    tx.put_document(
        &owner,
        private::NAMESPACE,
        &key,
        Expect::Anything,
        Some(bytes),
    )?;
    for change in &changes {
        publish::put_quietly(tx, actor, change)?;
    }
    if !gone.is_empty() {
        take_away(tx, actor, &gone)?;
    }
    if !changes.is_empty() || !gone.is_empty() {
        announce_old(tx, actor)?;
    }
    Ok(())
}

fn take_away(tx: &mut Tx<'_>, actor: &Actor, ids: &[&str]) -> Outcome<()> {
    let Some(mut record) = shelf::node(tx, &actor.account, ns::BOOKMARKS)? else {
        return Ok(());
    };
    for id in ids {
        shelf::remove_item(tx, &actor.account, ns::BOOKMARKS, &mut record, id)?;
    }
    shelf::put_node(tx, &actor.account, ns::BOOKMARKS, &record)?;
    notify::announce(
        tx,
        &actor.account,
        &actor.bare,
        ns::BOOKMARKS,
        &record,
        What::Retracted(ids),
    )
}

/// Bookmarks of rooms that have another address now become bookmarks of that address.
pub async fn follow(client: Arc<Client>) {
    let me = client.account.clone();
    let before = pep::read(&client.node, move |mut node: &Node| {
        let stored = shelf::items(&mut node, &me, ns::BOOKMARKS)?;
        let mut moved = Vec::new();
        for item in stored {
            let Some(room) = room_of(node.domains(), &item.id) else {
                continue;
            };
            if node.room(&room)?.is_none()
                && let Some(now) = node.renamed(&room, &Principal::Of(me.clone()))?
                && let Some(payload) = item.element()
                && let Some(address) = now.conversation.room()
            {
                moved.push((item.id, address.clone(), payload));
            }
        }
        Ok(moved)
    });
    let moved = before.await.unwrap_or_default();
    if moved.is_empty() {
        return;
    }
    let actor = Actor::of(&client, &client.account);
    let write = pep::write(&client.node, move |tx| {
        for (old, room, payload) in &moved {
            let new = actor.domain().map(|main| address::bare(main, room));
            let new = new.ok_or_else(errors::not_found)?;
            let change = Publication {
                node: ns::BOOKMARKS.to_owned(),
                id: Some(new.clone()),
                payload: payload.clone(),
                options: None,
            };
            if shelf::item(tx, &actor.account, ns::BOOKMARKS, &new)?.is_none() {
                publish::put_quietly(tx, &actor, &change)?;
            }
            take_away(tx, &actor, &[old])?;
        }
        announce_old(tx, &actor)
    });
    if let Err(why) = write.await {
        tracing::debug!(condition = ?why.condition, "bookmarks did not follow a room");
    }
}

/// The account came into a room by way of another protocol, or left it: clients that want to know of bookmarks learn of
/// the one that this makes or takes away. One that a client wrote stays as it is.
pub async fn implied(client: Arc<Client>, convo: Arc<Convo>, joined: bool) {
    let Some(room) = convo.conversation.room() else {
        return;
    };
    let id = client.server.bare(room);
    let (me, key, bare) = (client.account.clone(), id.clone(), client.bare.clone());
    let main = client.server.domain().clone();
    let made = pep::read(&client.node, move |mut node: &Node| {
        if shelf::item(&mut node, &me, ns::BOOKMARKS, &key)?.is_some() {
            return Ok(None);
        }
        let record = shelf::node(&mut node, &me, ns::BOOKMARKS)?.unwrap_or_else(|| NodeRecord {
            config: NodeConfig::for_node(ns::BOOKMARKS),
            ..NodeRecord::default()
        });
        if !joined {
            let gone = What::Retracted(&[&key]);
            return Ok(Some(notify::message(&bare, ns::BOOKMARKS, &record, gone)));
        }
        let all = items(&mut node, &main, &me)?;
        let item = all.into_iter().find(|i| i.id == key);
        Ok(item.and_then(|item| {
            let payload = item.element()?;
            let what = What::Published(&item, &payload);
            Some(notify::message(&bare, ns::BOOKMARKS, &record, what))
        }))
    });
    if let Ok(Some(message)) = made.await {
        let push = notify::Push {
            node: Str::new_static(ns::BOOKMARKS),
            message,
            subscribed: Arc::default(),
        };
        push.deliver(&client);
    }
}

/// Tells clients that want the old node of PEP what the list is now.
///
/// # Errors
/// When the store can't be read.
pub fn announce_old(tx: &mut Tx<'_>, actor: &Actor) -> Result<(), StanzaError> {
    let Some(main) = actor.domain().cloned() else {
        return Ok(());
    };
    let payload = old_list(tx, &main, &actor.account)?;
    let record = old_record();
    let item = old_item(&actor.bare, &payload, tx.last_seq());
    let what = What::Published(&item, &payload);
    notify::announce(
        tx,
        &actor.account,
        &actor.bare,
        ns::BOOKMARKS_OLD,
        &record,
        what,
    )?;
    Ok(())
}

/// The old node as it always is.
pub fn old_record() -> NodeRecord {
    NodeRecord {
        config: NodeConfig::for_node(ns::BOOKMARKS_OLD),
        items: 1,
        last: Some(CURRENT.to_owned()),
        ..NodeRecord::default()
    }
}

/// The one item of the old node.
pub fn old_item(publisher: &str, payload: &Element, version: Seq) -> Item {
    Item {
        id: CURRENT.to_owned(),
        publisher: publisher.to_owned(),
        payload: shelf::payload_bytes(payload),
        version,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_bookmarks_say_the_same() {
        let extensions =
            Element::new(ns::BOOKMARKS, "extensions").child(Element::new("urn:x", "pinned"));
        let new = Element::new(ns::BOOKMARKS, "conference")
            .attr("name", "The Town")
            .attr("autojoin", "true")
            .child(Element::new(ns::BOOKMARKS, "nick").text("Al"))
            .child(extensions);
        let item = Item {
            id: "town@rooms.example.org".into(),
            publisher: String::new(),
            payload: shelf::payload_bytes(&new),
            version: Seq(1),
        };
        let url = Element::new(ns::BOOKMARKS_OLD, "url").attr("url", "https://example.org");
        let storage = to_old(std::slice::from_ref(&item), std::slice::from_ref(&url));
        let old = storage.find("conference", ns::BOOKMARKS_OLD).unwrap();
        assert_eq!(old.get("jid"), Some("town@rooms.example.org"));
        assert_eq!(old.find_text("nick", ns::BOOKMARKS_OLD).unwrap(), "Al");
        assert!(storage.has("url", ns::BOOKMARKS_OLD));
        assert_eq!(shelf::payload_bytes(&to_new(old, Some(&new))), item.payload);
        assert!(autojoin(&new));
    }

    #[test]
    fn only_rooms_of_this_node_are_its_memberships() {
        let domains = [Domain::new("example.org").unwrap()];
        assert_eq!(
            room_of(&domains, "town@rooms.example.org")
                .unwrap()
                .as_str(),
            "#town@example.org"
        );
        for other in [
            "town@rooms.other.org",
            "alice@example.org",
            "town@rooms.example.org/Al",
            "@@",
        ] {
            assert_eq!(room_of(&domains, other), None, "{other}");
        }
    }
}
