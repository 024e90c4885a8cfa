//! All rooms of a node: which there are, opening and finding them, adding to their chains.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock};
use ruma::events::room::member::MembershipState;
use ruma::signatures::Ed25519KeyPair;
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId};
use sammen_core::document::{Document, Owner};
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, ConversationId, Convo, Domain, Node, Outcome, Refusal, Seq};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, OnceCell};

use super::link::Link;
use super::names;
use super::room::{Room, RoomRecord};
use super::sheet::{Frame, Sheet};
use crate::bell::Bells;
use crate::server::Matrix;
use crate::shelf;

/// Where an account stands in a room.
#[derive(Clone)]
pub struct Place {
    /// The room.
    pub room: Arc<Room>,
    /// How the account stands there.
    pub membership: MembershipState,
    /// Since which ordinal.
    pub since: u64,
    /// Since which seq.
    pub seq: Seq,
}

impl Place {
    /// The account left, was put out, or is not invited any more.
    pub fn is_over(&self) -> bool {
        matches!(
            self.membership,
            MembershipState::Leave | MembershipState::Ban
        )
    }
}

/// What an account's shelf says about a room.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stands {
    #[serde(rename = "m")]
    pub membership: MembershipState,
    #[serde(rename = "o")]
    pub ordinal: u64,
}

/// All rooms.
pub struct Rooms {
    pub(crate) node: Node,
    pub(crate) server: OwnedServerName,
    pub(crate) bells: Arc<Bells>,
    pub(crate) this: Weak<Rooms>,
    matrix: OnceLock<Weak<Matrix>>,
    key: OnceCell<Arc<Ed25519KeyPair>>,
    open: RwLock<HashMap<String, Arc<Room>>>,
    /// Names of rooms that are open, by id.
    ids: RwLock<HashMap<OwnedRoomId, String>>,
    current: RwLock<HashMap<ConversationId, String>>,
    /// Held by who begins a chain.
    pub(crate) beginning: tokio::sync::Mutex<()>,
    pub(crate) rung: Mutex<HashMap<ConversationId, Vec<Seq>>>,
    pub(crate) bell: Arc<Notify>,
}

impl Rooms {
    /// The rooms of a node. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn new(node: Node, server: OwnedServerName, bells: Arc<Bells>) -> Outcome<Arc<Self>> {
        let mut current = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let page =
                node.store()
                    .documents(&Owner::Node, names::CURRENT, "", after.as_deref(), 500)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for document in page {
                let name = document
                    .value
                    .map(|v| String::from_utf8_lossy(&v).into_owned());
                if let (Ok(id), Some(name)) = (document.key.parse(), name) {
                    current.insert(ConversationId(id), name);
                }
            }
        }
        let rooms = Arc::new_cyclic(|this: &Weak<Self>| Self {
            node: node.clone(),
            server,
            bells,
            this: this.clone(),
            matrix: OnceLock::new(),
            key: OnceCell::new(),
            open: RwLock::default(),
            ids: RwLock::default(),
            current: RwLock::new(current),
            beginning: tokio::sync::Mutex::new(()),
            rung: Mutex::default(),
            bell: Arc::default(),
        });
        let this = rooms.this.clone();
        node.follow(Box::new(move |announced| {
            if let Some(rooms) = this.upgrade()
                && !announced.passing
            {
                rooms.note(
                    announced.event.conversation,
                    announced.judged.then_some(announced.event.seq),
                );
            }
        }));
        Ok(rooms)
    }

    /// Whose they are.
    pub(crate) fn belongs_to(&self, matrix: &Arc<Matrix>) {
        let _ = self.matrix.set(Arc::downgrade(matrix));
    }

    /// Whose they are; `None` while the node goes down.
    pub(crate) fn matrix(&self) -> Option<Arc<Matrix>> {
        self.matrix.get()?.upgrade()
    }

    /// Something happened in a conversation: its room, if it has one, is behind.
    pub(crate) fn note(&self, conversation: ConversationId, judged: Option<Seq>) {
        if !self.current.read().contains_key(&conversation) {
            return;
        }
        let mut rung = self.rung.lock();
        rung.entry(conversation).or_default().extend(judged);
        drop(rung);
        self.bell.notify_one();
    }

    /// Somebody's name or picture changed: their rooms show it.
    ///
    /// # Errors
    /// When their rooms can't be read.
    pub async fn person_changed(&self, who: &Address) -> Outcome<()> {
        let this = self.this.upgrade().ok_or(Refusal::TryLater)?;
        let who = who.clone();
        let places = self.node.read(move |_| this.places(&who)).await?;
        for place in places {
            if place.membership == MembershipState::Join {
                *place.room.compared.lock() = None;
                self.note(place.room.conversation, None);
            }
        }
        Ok(())
    }

    /// The key that signs.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn key(&self) -> Outcome<Arc<Ed25519KeyPair>> {
        let make = || async { super::key::signing_key(&self.node).await.map(Arc::new) };
        self.key.get_or_try_init(make).await.cloned()
    }

    /// What the node's own user is called.
    pub const OWN_NAME: &str = "Sammen";

    /// The node's own user, who stands for the room where nobody else does.
    pub fn own_user(&self) -> OwnedUserId {
        UserId::parse(format!("@sammen:{}", self.server))
            .unwrap_or_else(|_| unreachable!("the server's name is valid"))
    }

    /// The user that an address is here; the node's own where it can be none.
    pub fn user(&self, address: &Address) -> OwnedUserId {
        crate::names::user_id(address, &self.server).unwrap_or_else(|| self.own_user())
    }

    /// Whom a user is; `None` for the node's own and for who can be nobody.
    pub fn address(&self, user: &UserId) -> Option<Address> {
        crate::names::address(user, self.node.domains())
    }

    /// The name that people read of somebody everywhere.
    pub fn profile(&self, who: &Address) -> String {
        super::reconcile::display_name(self, who, None)
    }

    /// The alias of a room of this node.
    pub fn alias(&self, room: &Address) -> Option<ruma::OwnedRoomAliasId> {
        room.is_room().then_some(())?;
        ruma::RoomAliasId::parse(format!("#{}:{}", room.name(), room.domain()?)).ok()
    }

    /// The domain of rooms.
    pub fn domain(&self) -> Option<&Domain> {
        self.node.domains().first()
    }

    /// A room by its id. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn by_id(&self, id: &RoomId) -> Outcome<Option<Arc<Room>>> {
        // A room has its id for good.
        let known = self.ids.read().get(id).cloned();
        if let Some(name) = known {
            return self.by_name(&name);
        }
        let store = self.node.store();
        let found = store.document(&Owner::Node, names::ROOM_IDS, id.as_str())?;
        let Some(name) = found.and_then(|d| d.value) else {
            return Ok(None);
        };
        let name = String::from_utf8_lossy(&name).into_owned();
        let room = self.by_name(&name)?;
        if room.is_some() {
            self.ids.write().insert(id.to_owned(), name);
        }
        Ok(room)
    }

    /// A room by its name on the shelf. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn by_name(&self, name: &str) -> Outcome<Option<Arc<Room>>> {
        if let Some(room) = self.open.read().get(name) {
            return Ok(Some(room.clone()));
        }
        let store = self.node.store();
        let found = store.document(&Owner::Node, names::ROOMS, name)?;
        let record: Option<RoomRecord> =
            found.and_then(|d| d.value).and_then(|v| shelf::decode(&v));
        let Some(record) = record else {
            return Ok(None);
        };
        let Some(rules) = record.version.rules() else {
            return Ok(None);
        };
        let frame = Frame {
            name: name.to_owned(),
            id: record.id.clone(),
            version: record.version.clone(),
            rules,
            server: self.server.clone(),
        };
        let room = Arc::new(Room::load(&self.node, frame, record)?);
        // Two that load it at once must end with the same.
        let mut open = self.open.write();
        Ok(Some(open.entry(name.to_owned()).or_insert(room).clone()))
    }

    /// The room that shows a conversation, if its chain has begun. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn of(&self, conversation: ConversationId) -> Outcome<Option<Arc<Room>>> {
        let known = self.current.read().get(&conversation).cloned();
        if let Some(name) = known {
            return self.by_name(&name);
        }
        // It may have begun for one who did not wait to hear of it.
        let store = self.node.store();
        let found = store.document(&Owner::Node, names::CURRENT, &conversation.to_string())?;
        let Some(name) = found.and_then(|d| d.value) else {
            return Ok(None);
        };
        let name = String::from_utf8_lossy(&name).into_owned();
        self.current.write().insert(conversation, name.clone());
        self.by_name(&name)
    }

    /// The room that shows a conversation; its chain begins if it has none, and is as long as core's log was when this
    /// was asked.
    ///
    /// # Errors
    /// When there is no such conversation or it can't be written.
    pub async fn open(&self, conversation: ConversationId) -> Outcome<Arc<Room>> {
        let this = self.this.upgrade().ok_or(Refusal::TryLater)?;
        let found = {
            let this = this.clone();
            self.node.read(move |_| this.of(conversation)).await?
        };
        let room = match found {
            Some(room) => room,
            None => {
                let _one = self.beginning.lock().await;
                let again = this.clone();
                match self.node.read(move |_| again.of(conversation)).await? {
                    Some(room) => room,
                    None => super::begin::begin(&this, conversation).await?,
                }
            }
        };
        self.catch_up(&room, self.node.last_seq(), Vec::new())
            .await?;
        Ok(room)
    }

    /// The rooms of an account: those it is in or was in, is invited to or knocks at. Direct conversations are joined by
    /// both. Chains that have not begun begin.
    ///
    /// # Errors
    /// When they can't be read or written.
    pub async fn of_account(&self, account: &Address) -> Outcome<Vec<Place>> {
        let this = self.this.upgrade().ok_or(Refusal::TryLater)?;
        let who = account.clone();
        let missing = self
            .node
            .read(move |node| {
                let mut missing = Vec::new();
                for id in node.store().conversations_of(&who)? {
                    let Some(convo) = node.convo(id)? else {
                        continue;
                    };
                    if shows(&convo, &who) {
                        missing.push(id);
                    }
                }
                Ok(missing)
            })
            .await?;
        for conversation in missing {
            let room = self.current.read().get(&conversation).cloned();
            let behind = match room {
                None => true,
                Some(name) => !self.open.read().contains_key(&name),
            };
            if behind {
                self.open(conversation).await?;
            }
        }
        let who = account.clone();
        self.node.read(move |_| this.places(&who)).await
    }

    /// The rooms of an account as far as their chains have begun. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn places(&self, account: &Address) -> Outcome<Vec<Place>> {
        let owner = Owner::from(account);
        let mut places = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let store = self.node.store();
            let page = store.documents(&owner, names::MEMBER, "", after.as_deref(), 500)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for document in page {
                places.extend(self.place(&document)?);
            }
        }
        Ok(places)
    }

    /// What an account's shelf says of a room ([`MEMBER`](super::MEMBER)); `None` for one that was forgotten. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn place(&self, document: &Document) -> Outcome<Option<Place>> {
        let stands = document.value.as_deref().and_then(shelf::decode::<Stands>);
        let Some(stands) = stands else {
            return Ok(None);
        };
        let room = self.by_name(&document.key)?;
        Ok(room.map(|room| Place {
            room,
            membership: stands.membership,
            since: stands.ordinal,
            seq: document.version,
        }))
    }

    /// Whether a conversation has a room.
    pub fn shows(&self, conversation: ConversationId) -> bool {
        self.current.read().contains_key(&conversation)
    }

    /// The chain of a new room is there. Returns the room that is used from now on: somebody may have found it on the
    /// shelf already.
    pub(crate) fn opened(&self, room: &Arc<Room>) -> Arc<Room> {
        let name = room.name().to_owned();
        self.current.write().insert(room.conversation, name.clone());
        let mut open = self.open.write();
        open.entry(name).or_insert_with(|| room.clone()).clone()
    }

    /// Commits what is on a sheet. Whoever calls holds the room's pen. `also` runs in the same batch and checks before it
    /// changes anything.
    ///
    /// # Errors
    /// What `also` refused with, or when it can't be written.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        room: &Arc<Room>,
        sheet: Sheet,
        also: impl FnOnce(&mut Tx<'_>) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        let puts = sheet.puts()?;
        let members = self.members(&sheet);
        let first = sheet.links.first().map(|link| names::place(link.ordinal));
        let namespace = names::chain(room.name());
        let this = self.this.upgrade().ok_or(Refusal::TryLater)?;
        let grown = room.clone();
        self.node
            .write(move |tx| {
                if let Some(first) = &first
                    && tx.document(&Owner::Node, &namespace, first)?.is_some()
                {
                    return Err(Refusal::Conflict);
                }
                let value = also(tx)?;
                let mut versions = Vec::new();
                for put in puts {
                    let chain = put.namespace == namespace;
                    let version = tx.put_document(
                        &put.owner,
                        &put.namespace,
                        &put.key,
                        Expect::Anything,
                        Some(put.value),
                    )?;
                    if chain {
                        versions.push(version);
                    }
                }
                for (owner, key, value) in members {
                    tx.put_document(&owner, names::MEMBER, &key, Expect::Anything, Some(value))?;
                }
                // Right behind the commit, whatever becomes of who waits for it: nobody is given a token that lies
                // behind these links without having been told of them ([`Node::announced`]).
                tx.after(move |_| {
                    let links = sheet.links.iter().zip(versions).map(|(link, seq)| {
                        Arc::new(Link {
                            seq,
                            ..(**link).clone()
                        })
                    });
                    let links: Vec<_> = links.collect();
                    let grew = !links.is_empty();
                    let parents = sheet.children.iter().map(|(parent, ..)| *parent);
                    grown.publish(sheet.head.clone(), links, parents);
                    if grew {
                        this.ring(&grown, &sheet);
                    }
                });
                Ok(value)
            })
            .await
    }

    /// What accounts' shelves say about the room once the sheet is written.
    pub(crate) fn members(&self, sheet: &Sheet) -> Vec<(Owner, String, bytes::Bytes)> {
        let mut last: HashMap<&str, Stands> = HashMap::new();
        for (user, membership, ordinal) in sheet.moved() {
            last.insert(
                user,
                Stands {
                    membership,
                    ordinal,
                },
            );
        }
        let accounts = last.iter().filter_map(|(user, stands)| {
            let address = self.address(<&UserId>::try_from(*user).ok()?)?;
            let value = shelf::encode(stands).ok()?;
            let account = address.is_account();
            account.then(|| (Owner::from(&address), sheet.frame.name.clone(), value))
        });
        accounts.collect()
    }

    /// Wakes who waits and has to do with the room.
    pub(crate) fn ring(&self, room: &Room, sheet: &Sheet) {
        let moved: HashSet<&str> = sheet.moved().map(|(user, ..)| user).collect();
        let state = room.state();
        self.bells.ring_where(|account| {
            let user = self.user(account);
            moved.contains(user.as_str())
                || matches!(
                    state.membership(&user),
                    MembershipState::Join | MembershipState::Invite | MembershipState::Knock
                )
        });
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        // Whoever waits for work has none any more.
        self.bell.notify_one();
    }
}

/// Whether a conversation is one of the account's rooms.
fn shows(convo: &Convo, who: &Address) -> bool {
    use sammen_core::Membership;
    if convo.conversation.destroyed {
        return false;
    }
    match convo.conversation.pair() {
        Some(_) => convo.has(who),
        None => convo
            .member(who)
            .is_some_and(|m| m.membership > Membership::Left),
    }
}
