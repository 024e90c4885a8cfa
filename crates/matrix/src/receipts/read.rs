//! Receipts for syncs. Blocking.

use std::collections::{BTreeMap, HashMap};

use sammen_core::document::{Document, Owner};
use sammen_core::ops::send::{READ, ReadMark};
use sammen_core::{Address, Outcome, Seq};
use serde_json::{Map, Value, json};

use super::{OWN, OWN_KEPT, Receipt, public};
use crate::chain::Room;
use crate::server::Matrix;
use crate::shelf;

/// Most receipts of a room that are told at once.
const MOST: usize = 5_000;

/// A thread, or none.
pub type Thread = String;

/// How far an account has read a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// By thread; empty for all of the room, `main` for what is in none.
    pub threads: BTreeMap<Thread, Receipt>,
    /// Further than any of these: what another protocol says.
    pub elsewhere: Option<Receipt>,
}

impl Own {
    /// Up to where everything was read, whatever thread it is in.
    pub fn all(&self) -> u64 {
        let own = self.threads.get("").map_or(0, |r| r.ordinal);
        own.max(self.elsewhere.as_ref().map_or(0, |r| r.ordinal))
    }

    /// Up to where a thread (or `main`) was read.
    pub fn thread(&self, thread: &str) -> u64 {
        let own = self.threads.get(thread).map_or(0, |r| r.ordinal);
        own.max(self.all())
    }

    /// Up to where everything was read for one who doesn't tell threads apart: that is the main timeline.
    pub fn main(&self) -> u64 {
        self.thread("main")
    }
}

fn decode(document: &Document) -> Option<Receipt> {
    shelf::decode(document.value.as_deref()?)
}

/// How far an account has read a room.
///
/// # Errors
/// When the store can't be read.
pub fn own(matrix: &Matrix, account: &Address, room: &Room) -> Outcome<Own> {
    let (node, owner) = (&matrix.node, Owner::from(account));
    let (at, key) = (node.announced(), (account.clone(), room.name().to_owned()));
    let changed =
        |since| node.shelf_changed(&owner, OWN, since) || node.shelf_changed(&owner, READ, since);
    let known = matrix.receipts.own.lock().get(&key).cloned();
    if let Some((_, own)) = known.filter(|(at, _)| !changed(*at)) {
        return Ok(own);
    }
    let store = node.store();
    let prefix = format!("{}\0", room.name());
    let mut own = Own::default();
    for document in store.documents(&owner, OWN, &prefix, None, MOST)? {
        let thread = document.key.strip_prefix(&prefix).map(str::to_owned);
        if let (Some(thread), Some(receipt)) = (thread, decode(&document)) {
            own.threads.insert(thread, receipt);
        }
    }
    let mark = store.document(&owner, READ, &room.conversation.to_string())?;
    let mark = mark.and_then(|d| d.value);
    let mark: Option<ReadMark> = mark.and_then(|v| sammen_core::tx::decode(&v));
    if let Some(mark) = mark {
        let Some((ordinal, event)) = room.id_of(mark.id)? else {
            // The chain does not show it yet.
            return Ok(own);
        };
        if ordinal > own.main() {
            own.elsewhere = Some(Receipt {
                event,
                ordinal,
                at: mark.at,
                public: false,
            });
        }
    }
    let mut all = matrix.receipts.own.lock();
    if all.len() >= OWN_KEPT {
        all.clear();
    }
    all.insert(key, (at, own.clone()));
    Ok(own)
}

/// Rooms in which an account's own receipts or marks changed after `since` up to `upto`, by name of the room, and the conversations
/// whose marks did. `None` where that is not known any more.
///
/// # Errors
/// When the store can't be read.
pub fn own_changed(
    matrix: &Matrix,
    account: &Address,
    since: Seq,
    upto: Seq,
) -> Outcome<Option<(Vec<String>, Vec<String>)>> {
    let store = matrix.node.store();
    let owner = Owner::from(account);
    let keys = |namespace: &str| -> Outcome<Option<Vec<String>>> {
        if !matrix.node.shelf_changed(&owner, namespace, since) {
            return Ok(Some(Vec::new()));
        }
        let found = store.documents_since(&owner, namespace, since, MOST)?;
        let found = found.filter(|found| found.len() < MOST);
        let known = |found: Vec<Document>| found.into_iter().filter(|d| d.version <= upto);
        Ok(found.map(|found| known(found).map(|d| d.key).collect()))
    };
    let Some(receipts) = keys(OWN)? else {
        return Ok(None);
    };
    let rooms = receipts.iter().filter_map(|key| key.split('\0').next());
    let rooms = rooms.map(str::to_owned).collect();
    Ok(keys(READ)?.map(|marks| (rooms, marks)))
}

/// The content of `m.receipt` for a reader: what changed after `since`, or all, up to `upto`; `None` where nothing is there to tell.
/// `private` are the reader's own. Ignored people are left out.
///
/// # Errors
/// When the store can't be read.
pub fn receipts(
    matrix: &Matrix,
    room: &Room,
    since: Option<Seq>,
    upto: Seq,
    private: Option<(&str, &Own)>,
    ignored: &dyn Fn(&str) -> bool,
) -> Outcome<Option<Value>> {
    let store = matrix.node.store();
    let namespace = public(room.name());
    let changed = match since {
        Some(since) if !matrix.receipts.since(room.name(), since) => Vec::new(),
        Some(since) => match store.documents_since(&Owner::Node, &namespace, since, MOST)? {
            Some(changed) => changed,
            None => store.documents(&Owner::Node, &namespace, "", None, MOST)?,
        },
        None => store.documents(&Owner::Node, &namespace, "", None, MOST)?,
    };
    let mut told: HashMap<String, Map<String, Value>> = HashMap::new();
    let mut tell = |event: &str, kind: &str, user: &str, thread: &str, receipt: &Receipt| {
        let mut data = json!({ "ts": receipt.at.0 });
        if let (Value::Object(data), false) = (&mut data, thread.is_empty()) {
            data.insert("thread_id".into(), thread.into());
        }
        let kinds = told.entry(event.to_owned()).or_default();
        let users = kinds.entry(kind).or_insert_with(|| json!({}));
        if let Value::Object(users) = users {
            users.insert(user.to_owned(), data);
        }
    };
    for document in changed.iter().filter(|d| d.version <= upto) {
        let Some((user, thread)) = document.key.split_once('\0') else {
            continue;
        };
        if let Some(receipt) = decode(document).filter(|_| !ignored(user)) {
            tell(receipt.event.as_str(), "m.read", user, thread, &receipt);
        }
    }
    if let Some((user, own)) = private {
        for (thread, receipt) in own.threads.iter().filter(|(_, r)| !r.public) {
            tell(
                receipt.event.as_str(),
                "m.read.private",
                user,
                thread,
                receipt,
            );
        }
        if let Some(receipt) = &own.elsewhere {
            tell(receipt.event.as_str(), "m.read.private", user, "", receipt);
        }
    }
    Ok((!told.is_empty()).then(|| json!(told)))
}
