//! A room of Matrix: a conversation of core with its chain. Readings block; call them on a blocking thread.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use ruma::events::room::history_visibility::HistoryVisibility;
use ruma::{EventId, OwnedRoomId, OwnedUserId, RoomVersionId, UserId};
use sammen_core::document::{Document, Owner};
use sammen_core::{ConversationId, Node, Outcome, Seq};
use serde::{Deserialize, Serialize};

use super::link::Link;
use super::names;
use super::sheet::{Child, Frame, Head};
use super::sight::Sight;
use super::state::{State, membership};
use crate::fields::Fields as _;
use crate::shelf;

/// Links that are kept at hand.
const RECENT: usize = 128;
/// People of whom it is remembered what they see.
const SIGHTS: usize = 256;

/// What is kept of a room for good.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoomRecord {
    /// Its id.
    pub id: OwnedRoomId,
    /// Its version.
    pub version: RoomVersionId,
    /// The conversation.
    pub conversation: ConversationId,
    /// What core's log held before the chain began was written in order of place, up to this seq.
    pub start: Seq,
    /// A Matrix client made it.
    pub native: bool,
}

/// In which direction links are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The newest first.
    Back,
    /// The oldest first.
    Forward,
}

/// Ordinals of the newest events about a room's visibility and a person's membership.
type Newest = (u64, u64);

#[derive(Default)]
struct Tail {
    head: Arc<Head>,
    recent: VecDeque<Arc<Link>>,
    /// Links from here on came while the room was open, so it is known which of them others refer to…
    since: u64,
    /// … as far as they are at hand: these.
    parents: BTreeSet<u64>,
}

/// A room.
pub struct Room {
    /// Its id.
    pub id: OwnedRoomId,
    /// The conversation whose chain it is.
    pub conversation: ConversationId,
    /// Its version.
    pub version: RoomVersionId,
    pub(crate) frame: Frame,
    pub(crate) record: RoomRecord,
    pub(crate) node: Node,
    /// Held by who adds to the chain.
    pub(crate) pen: tokio::sync::Mutex<()>,
    tail: RwLock<Tail>,
    /// What people see, by the newest events that say so.
    sights: Mutex<HashMap<OwnedUserId, (Newest, Sight)>>,
    /// How far the scribe is: seqs of core's log.
    pub(crate) progress: tokio::sync::watch::Sender<Seq>,
    /// The conversation as it was when it was last compared with the state.
    pub(crate) compared: parking_lot::Mutex<Option<Arc<sammen_core::Convo>>>,
}

impl Room {
    pub(crate) fn new(node: &Node, frame: Frame, record: RoomRecord, head: Head) -> Self {
        Self {
            id: frame.id.clone(),
            conversation: record.conversation,
            version: frame.version.clone(),
            frame,
            record,
            node: node.clone(),
            pen: tokio::sync::Mutex::new(()),
            progress: tokio::sync::watch::Sender::new(head.read),
            sights: Mutex::default(),
            tail: RwLock::new(Tail {
                since: head.ordinal + 1,
                head: Arc::new(head),
                ..Tail::default()
            }),
            compared: parking_lot::Mutex::new(None),
        }
    }

    /// From the shelf.
    pub(crate) fn load(node: &Node, frame: Frame, record: RoomRecord) -> Outcome<Self> {
        let room = Self::new(node, frame, record, Head::default());
        room.reload()?;
        Ok(room)
    }

    /// What another wrote whose caller did not wait to hear of it is taken in. By one who holds the pen.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn refresh(&self) -> Outcome<()> {
        let (namespace, head) = (names::chain(&self.frame.name), self.head());
        if !self.node.shelf_changed(&Owner::Node, &namespace, head.seq) {
            return Ok(());
        }
        let next = names::place(head.ordinal + 1);
        let store = self.node.store();
        if store.document(&Owner::Node, &namespace, &next)?.is_some() {
            self.reload()?;
        }
        Ok(())
    }

    fn reload(&self) -> Outcome<()> {
        let mut head = Head::default();
        let mut recent = VecDeque::new();
        let store = self.node.store();
        let namespace = names::chain(&self.frame.name);
        let documents = store.documents(&Owner::Node, &namespace, "", None, RECENT / 2)?;
        for link in documents.iter().filter_map(read) {
            recent.push_front(Arc::new(link));
        }
        if let Some(last) = recent.back() {
            head.ordinal = last.ordinal;
            head.seq = last.seq;
            head.last = Some(last.id.clone());
            head.depth = last.depth;
            head.at = last.at;
            head.read = last.read;
            head.past = last.past;
            head.waiting = last.waiting.clone();
        }
        let namespace = names::state(&self.frame.name);
        let mut after: Option<String> = None;
        loop {
            let page = store.documents(&Owner::Node, &namespace, "", after.as_deref(), 500)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for document in page {
                let ordinal = number(&document);
                if let Some(link) = ordinal.map_or(Ok(None), |n| self.kept(n))? {
                    head.state.set(link);
                }
            }
        }
        let mut tail = self.tail.write();
        *tail = Tail {
            since: head.ordinal + 1,
            head: Arc::new(head),
            recent,
            parents: BTreeSet::new(),
        };
        Ok(())
    }

    /// Its name on the shelf, and in documents that are kept per room.
    pub fn name(&self) -> &str {
        &self.frame.name
    }

    /// The server that it is on.
    pub fn server(&self) -> &ruma::ServerName {
        &self.frame.server
    }

    /// Where the chain ends now.
    pub fn head(&self) -> Arc<Head> {
        self.tail.read().head.clone()
    }

    /// The state now.
    pub fn state(&self) -> State {
        self.tail.read().head.state.clone()
    }

    /// The chain grew, or core's log was read further. `parents` are the links that new ones refer to.
    pub(crate) fn publish(
        &self,
        mut head: Head,
        links: Vec<Arc<Link>>,
        parents: impl IntoIterator<Item = u64>,
    ) {
        let mut tail = self.tail.write();
        tail.parents.extend(parents);
        if let Some(last) = links.last() {
            head.seq = last.seq;
        }
        for link in links {
            if link.is_state() {
                head.state.set(link.clone());
            }
            tail.recent.push_back(link);
            if tail.recent.len() > RECENT {
                tail.recent.pop_front();
            }
        }
        if let Some(first) = tail.recent.front().map(|link| link.ordinal) {
            tail.since = tail.since.max(first);
            tail.parents = tail.parents.split_off(&first);
        }
        let read = head.read;
        tail.head = Arc::new(head);
        drop(tail);
        self.progress.send_replace(read);
    }

    /// A link that lost its content.
    pub(crate) fn replace(&self, link: Link) {
        let link = Arc::new(link);
        let mut tail = self.tail.write();
        for known in &mut tail.recent {
            if known.ordinal == link.ordinal {
                *known = link.clone();
            }
        }
        let kind = link.kind.to_string();
        let key = link.state_key.as_deref().unwrap_or_default();
        let current = tail.head.state.get(&kind, key).map(|l| l.ordinal);
        if link.is_state() && current == Some(link.ordinal) {
            Arc::make_mut(&mut tail.head).state.set(link);
        }
    }

    /// One link.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn link(&self, ordinal: u64) -> Outcome<Option<Arc<Link>>> {
        if let Some(link) = self.at_hand(ordinal) {
            return Ok(Some(link));
        }
        self.kept(ordinal)
    }

    /// One link from the store.
    fn kept(&self, ordinal: u64) -> Outcome<Option<Arc<Link>>> {
        let namespace = names::chain(&self.frame.name);
        let key = names::place(ordinal);
        let found = self.node.store().document(&Owner::Node, &namespace, &key)?;
        Ok(found.as_ref().and_then(read).map(Arc::new))
    }

    fn at_hand(&self, ordinal: u64) -> Option<Arc<Link>> {
        let tail = self.tail.read();
        let first = tail.recent.front()?.ordinal;
        let place = usize::try_from(ordinal.checked_sub(first)?).ok()?;
        tail.recent.get(place).cloned()
    }

    /// The links of some ordinals, at most `limit`, from the end where the reading begins.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn links(
        &self,
        range: RangeInclusive<u64>,
        direction: Direction,
        limit: usize,
    ) -> Outcome<Vec<Arc<Link>>> {
        let head = self.head().ordinal;
        let (mut first, mut last) = ((*range.start()).max(1), (*range.end()).min(head));
        if first > last || limit == 0 {
            return Ok(Vec::new());
        }
        let span = u64::try_from(limit).unwrap_or(u64::MAX) - 1;
        match direction {
            Direction::Back => first = first.max(last.saturating_sub(span)),
            Direction::Forward => last = last.min(first.saturating_add(span)),
        }
        let mut links = Vec::new();
        if let Some(found) = (first..=last)
            .map(|n| self.at_hand(n))
            .collect::<Option<Vec<_>>>()
        {
            links = found;
        } else {
            let most = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
            let namespace = names::chain(&self.frame.name);
            let after = names::place(last + 1);
            let store = self.node.store();
            let page = store.documents(&Owner::Node, &namespace, "", Some(&after), most)?;
            links.extend(page.iter().filter_map(read).map(Arc::new));
            links.reverse();
        }
        if direction == Direction::Back {
            links.reverse();
        }
        Ok(links)
    }

    /// Where an event is.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn ordinal(&self, id: &EventId) -> Outcome<Option<u64>> {
        let namespace = names::ids(&self.frame.name);
        let store = self.node.store();
        let found = store.document(&Owner::Node, &namespace, id.as_str())?;
        Ok(found.as_ref().and_then(number))
    }

    /// An event by its id.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn event(&self, id: &EventId) -> Outcome<Option<Arc<Link>>> {
        match self.ordinal(id)? {
            Some(ordinal) => self.link(ordinal),
            None => Ok(None),
        }
    }

    /// What a device sent under a transaction id, where core does not know of it.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn sent(&self, device: u64, transaction: &str) -> Outcome<Option<Arc<Link>>> {
        let namespace = names::ids(&self.frame.name);
        let key = names::transaction(device, transaction);
        let store = self.node.store();
        let found = store.document(&Owner::Node, &namespace, &key)?;
        let ordinal = found.as_ref().and_then(number);
        ordinal.map_or(Ok(None), |ordinal| self.link(ordinal))
    }

    /// The links that show an event of core's: none, one, or several.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn shown(&self, event: sammen_core::EventId) -> Outcome<Vec<u64>> {
        let namespace = names::ids(&self.frame.name);
        let store = self.node.store();
        let found = store.document(&Owner::Node, &namespace, &format!("~{event}"))?;
        let value = found.and_then(|d| d.value).unwrap_or_default();
        let text = std::str::from_utf8(&value).unwrap_or_default();
        Ok(text.split(',').filter_map(|n| n.parse().ok()).collect())
    }

    /// The id of the event that shows an event of core's.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn id_of(&self, event: sammen_core::EventId) -> Outcome<Option<(u64, ruma::OwnedEventId)>> {
        let Some(ordinal) = self.shown(event)?.first().copied() else {
            return Ok(None);
        };
        Ok(self.link(ordinal)?.map(|link| (ordinal, link.id.clone())))
    }

    /// How long the chain was at a seq: the ordinal of its newest link then.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn ordinal_at(&self, seq: Seq) -> Outcome<u64> {
        {
            let tail = self.tail.read();
            if tail.head.seq <= seq {
                return Ok(tail.head.ordinal);
            }
            if tail.recent.front().is_some_and(|link| link.seq <= seq) {
                let older = tail.recent.iter().rev().find(|link| link.seq <= seq);
                return Ok(older.map_or(0, |link| link.ordinal));
            }
        }
        let namespace = names::chain(&self.frame.name);
        let store = self.node.store();
        // Nothing of a chain is ever deleted.
        let next = store.documents_since(&Owner::Node, &namespace, seq, 1)?;
        let next = next.unwrap_or_default();
        let next = next.first().and_then(|d| names::ordinal(&d.key));
        Ok(next.map_or_else(|| self.head().ordinal, |n| n.saturating_sub(1)))
    }

    /// The state right behind an ordinal.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn state_at(&self, ordinal: u64) -> Outcome<State> {
        let head = self.head();
        if ordinal >= head.ordinal {
            return Ok(head.state.clone());
        }
        let mut state = head.state.clone();
        let newer: Vec<_> = head.state.iter().filter(|l| l.ordinal > ordinal).collect();
        for link in newer {
            let mut earlier = Some(link.clone());
            while let Some(link) = earlier.take_if(|link| link.ordinal > ordinal) {
                earlier = link.replaces.map_or(Ok(None), |n| self.link(n))?;
            }
            match earlier {
                Some(link) => state.set(link),
                None => state.remove(
                    &link.kind.to_string(),
                    link.state_key.as_deref().unwrap_or_default(),
                ),
            }
        }
        Ok(state)
    }

    /// All events that ever stood at a type and state key, in order.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn past(&self, kind: &str, key: &str) -> Outcome<Vec<Arc<Link>>> {
        let mut past = Vec::new();
        let mut next = self.head().state.get(kind, key).cloned();
        while let Some(link) = next {
            next = link.replaces.map_or(Ok(None), |n| self.link(n))?;
            past.push(link);
        }
        past.reverse();
        Ok(past)
    }

    /// What somebody sees.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn sight(&self, user: &UserId) -> Outcome<Sight> {
        let state = self.state();
        let at = |kind, key| state.get(kind, key).map_or(0, |link| link.ordinal);
        let newest = (
            at("m.room.history_visibility", ""),
            at("m.room.member", user.as_str()),
        );
        let known = self.sights.lock().get(user).cloned();
        if let Some((_, sight)) = known.filter(|(of, _)| *of == newest) {
            return Ok(sight);
        }
        let visibility = self.past("m.room.history_visibility", "")?;
        let visibility = visibility.iter().map(|link| {
            let content: Option<serde_json::Value> = link.own();
            let named = content.as_ref().and_then(|c| c.word("history_visibility"));
            let value = named.map_or(HistoryVisibility::Shared, HistoryVisibility::from);
            (link.ordinal, value)
        });
        let memberships = self.past("m.room.member", user.as_str())?;
        let memberships = memberships.iter().map(|l| (l.ordinal, membership(l)));
        let sight = Sight::new(user.to_owned(), visibility.collect(), memberships.collect());
        let mut all = self.sights.lock();
        if all.len() >= SIGHTS {
            all.clear();
        }
        all.insert(user.to_owned(), (newest, sight.clone()));
        Ok(sight)
    }

    /// The roots of threads, and the newest answer in each.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn threads(&self) -> Outcome<Vec<(u64, u64)>> {
        let namespace = names::threads(&self.frame.name);
        let store = self.node.store();
        let found = store.documents(&Owner::Node, &namespace, "0", None, 10_000)?;
        let threads = found.iter().filter_map(|document| {
            let root = u64::from_str_radix(&document.key, 16).ok()?;
            Some((root, number(document)?))
        });
        Ok(threads.collect())
    }

    /// The root of a thread that another protocol named.
    pub(crate) fn thread(&self, name: &str) -> Outcome<Option<Arc<Link>>> {
        let namespace = names::threads(&self.frame.name);
        let store = self.node.store();
        let found = store.document(&Owner::Node, &namespace, &format!("~{name}"))?;
        let ordinal = found.as_ref().and_then(number);
        ordinal.map_or(Ok(None), |ordinal| self.link(ordinal))
    }

    /// What is related to an event, in order.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn children(&self, ordinal: u64) -> Outcome<Vec<(u64, Child)>> {
        {
            let tail = self.tail.read();
            let known = (tail.since..=tail.head.ordinal).contains(&ordinal);
            if known && !tail.parents.contains(&ordinal) {
                return Ok(Vec::new());
            }
        }
        let namespace = names::children(&self.frame.name);
        let prefix = names::child(ordinal, 0);
        let prefix = prefix.get(..16).unwrap_or_default();
        let store = self.node.store();
        let found = store.documents(&Owner::Node, &namespace, prefix, None, 5_000)?;
        let children = found.iter().filter_map(|document| {
            let child = u64::from_str_radix(document.key.get(16..)?, 16).ok()?;
            Some((child, shelf::decode(document.value.as_deref()?)?))
        });
        Ok(children.collect())
    }
}

/// A link from its document.
fn read(document: &Document) -> Option<Link> {
    let mut link: Link = shelf::decode(document.value.as_deref()?)?;
    link.ordinal = names::ordinal(&document.key)?;
    link.seq = document.version;
    Some(link)
}

fn number(document: &Document) -> Option<u64> {
    std::str::from_utf8(document.value.as_deref()?)
        .ok()?
        .parse()
        .ok()
}
