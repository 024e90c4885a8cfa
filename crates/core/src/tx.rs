//! What a write sees and builds inside the writer: a batch that is committed whole, then announced.
//!
//! A write checks first and changes afterwards: once it has changed something it must not refuse any more.

mod shelf;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::account::{Account, Device};
use crate::address::Address;
use crate::clock::Clock;
use crate::contact::{self, Contact, Contacts};
use crate::conversation::{Conversation, ConversationKey};
use crate::convo::Convo;
use crate::document::{Document, Owner};
use crate::event::{Event, Scheme};
use crate::ids::{ConversationId, DeviceId, EventId, Pos, Seq, SessionId, Timestamp};
use crate::live::{Announced, Live, Signal, StateChange};
use crate::member::Member;
use crate::node::{Rules, Shared};
use crate::refusal::{Outcome, Refusal};
use crate::store::{AliasHit, Store, Tail, Write};

/// What happens after the commit, in order.
pub(crate) enum Post {
    /// An event for everyone who sees it.
    Event(Arc<Announced>),
    /// A change of what lives.
    Live(Box<dyn FnOnce(&mut Live) + Send>),
    /// An answer to who asked; runs also when the commit failed.
    Answer(Box<dyn FnOnce(Result<(), Refusal>) + Send>),
}

/// What a protocol takes away with a device; runs in the writer, in the batch that deletes the device.
pub type Parting = Box<dyn Fn(&mut Tx<'_>, &Device) + Send + Sync>;

/// The writer's own memory between batches. Dropped whole when a commit fails: the store is the truth.
#[derive(Default)]
pub(crate) struct Cache {
    pub tails: HashMap<ConversationId, Tail>,
    pub keys: HashMap<ConversationKey, ConversationId>,
    pub members_dirty: bool,
}

/// A batch being built.
pub struct Tx<'a> {
    /// The time of this batch.
    pub now: Timestamp,
    pub(crate) shared: &'a Shared,
    pub(crate) rules: Arc<Rules>,
    pub(crate) store: &'a dyn Store,
    pub(crate) cache: &'a mut Cache,
    pub(crate) last_seq: &'a mut u64,
    pub(crate) last_conversation: &'a mut u64,
    pub(crate) last_device: &'a mut u64,
    pub(crate) writes: Vec<Write>,
    pub(crate) posts: Vec<Post>,
    pub(crate) convos: HashMap<ConversationId, Arc<Convo>>,
    pub(crate) accounts: HashMap<Address, Option<Arc<Account>>>,
    pub(crate) contacts: HashMap<Address, Arc<Contacts>>,
    pub(crate) documents: HashMap<(Owner, String, String), Document>,
    pub(crate) events: HashMap<EventId, Arc<Event>>,
    pub(crate) aliases: HashMap<(ConversationId, Scheme, Address, String), Seq>,
    /// Cursor and counter of devices: written once a batch, the last value of each.
    pub(crate) progress: HashMap<DeviceId, (Option<Seq>, Option<u32>)>,
    /// Accounts that became reachable in this batch, which shows only after it.
    pub(crate) reached: Vec<Address>,
}

impl<'a> Tx<'a> {
    /// The next seq.
    pub fn next_seq(&mut self) -> Seq {
        *self.last_seq += 1;
        Seq(*self.last_seq)
    }

    /// The greatest seq given out.
    pub fn last_seq(&self) -> Seq {
        Seq(*self.last_seq)
    }

    /// Random bits.
    pub fn random(&self) -> u128 {
        self.shared.clock.random()
    }

    /// The node's clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.shared.clock
    }

    /// Looks at what lives, as it is before this batch is announced.
    pub fn live<T>(&self, look: impl FnOnce(&Live) -> T) -> T {
        look(&self.shared.live.read())
    }

    /// Whether this node speaks with a network.
    pub fn speaks(&self, network: &str) -> bool {
        let mut networks = self.shared.networks.iter();
        networks.any(|n| n.name().as_str() == network)
    }

    /// Limits of this node.
    pub fn limits(&self) -> &crate::limits::Limits {
        &self.rules.limits
    }

    /// Adds a write.
    pub fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Moves a device's cursor, its counter or both, with this batch.
    pub fn progress(&mut self, id: DeviceId, cursor: Option<Seq>, inbound: Option<u32>) {
        let known = self.progress.entry(id).or_default();
        *known = (cursor.or(known.0), inbound.or(known.1));
    }

    /// Adds a change of what lives, to run after the commit in the order of this batch.
    pub fn after(&mut self, change: impl FnOnce(&mut Live) + Send + 'static) {
        self.posts.push(Post::Live(Box::new(change)));
    }

    /// Tells all sessions of an account.
    pub fn tell_account(&mut self, account: &Address, change: StateChange) {
        let (account, change) = (account.clone(), Arc::new(change));
        self.after(move |live| live.tell_account(&account, &change));
    }

    /// Hands a one-shot to a session, in order with this batch; `failed` runs if it can't be had.
    pub fn signal(
        &mut self,
        to: SessionId,
        signal: Signal,
        failed: impl FnOnce(Refusal) + Send + 'static,
    ) {
        self.after(move |live| {
            if let Err(why) = live.signal(to, &Arc::new(signal)) {
                failed(why);
            }
        });
    }

    /// A conversation. How its log ends is known from here on, so that appending can't fail.
    pub fn convo(&mut self, id: ConversationId) -> Outcome<Arc<Convo>> {
        self.tail(id)?;
        if let Some(convo) = self.convos.get(&id) {
            return Ok(convo.clone());
        }
        self.shared.convo(self.store, id)?.ok_or(Refusal::NotFound)
    }

    /// The conversations in which an address has a member's row or is one of the pair, this batch's included.
    pub fn conversations_of(&mut self, address: &Address) -> Outcome<Vec<ConversationId>> {
        let mut found = self.store.conversations_of(address)?;
        let here = self.convos.values();
        found.extend(
            here.filter(|c| c.has(address) || c.member(address).is_some())
                .map(|c| c.id()),
        );
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// A conversation by its key.
    pub fn convo_by_key(&mut self, key: &ConversationKey) -> Outcome<Option<Arc<Convo>>> {
        if let Some(id) = self.cache.keys.get(key).copied() {
            return self.convo(id).map(Some);
        }
        let Some(found) = self.store.conversation_by_key(key)? else {
            return Ok(None);
        };
        let convo = self.convo(found.id)?;
        // Destroyed or renamed in this very batch, which the store does not know yet.
        if convo.conversation.destroyed || convo.conversation.key != *key {
            return Ok(None);
        }
        self.cache.keys.insert(key.clone(), found.id);
        Ok(Some(convo))
    }

    /// The room that had this address before it was renamed.
    pub fn renamed(&mut self, address: &Address) -> Outcome<Option<Arc<Convo>>> {
        let leads =
            |c: &Convo| !c.conversation.destroyed && c.conversation.former.contains(address);
        if let Some(convo) = self.convos.values().find(|c| leads(c)) {
            return Ok(Some(convo.clone()));
        }
        let Some(id) = self.shared.directory.read().former(address) else {
            return Ok(None);
        };
        Ok(Some(self.convo(id)?).filter(|c| leads(c)))
    }

    /// A room by its address; destroyed ones are not found, and renamed ones only by their address of now (see
    /// [`Tx::renamed`]).
    pub fn room(&mut self, address: &Address) -> Outcome<Arc<Convo>> {
        self.convo_by_key(&ConversationKey::Room(address.clone()))?
            .ok_or(Refusal::NotFound)
    }

    /// The main direct conversation of a pair, made if it is not there.
    pub fn direct(&mut self, a: &Address, b: &Address) -> Outcome<Arc<Convo>> {
        let key = ConversationKey::direct(a, b);
        match self.convo_by_key(&key)? {
            Some(convo) => Ok(convo),
            None => Ok(self.create_convo(key, Default::default(), crate::conversation::Home::Node)),
        }
    }

    /// Makes a conversation.
    pub fn create_convo(
        &mut self,
        key: ConversationKey,
        settings: crate::conversation::Settings,
        home: crate::conversation::Home,
    ) -> Arc<Convo> {
        *self.last_conversation += 1;
        let id = ConversationId(*self.last_conversation);
        let conversation = Conversation {
            id,
            key: key.clone(),
            home,
            settings,
            turned_encrypted: None,
            created: self.now,
            changed: self.next_seq(),
            destroyed: false,
            open_from: Pos(i64::MIN),
            former: Vec::new(),
        };
        self.cache.keys.insert(key, id);
        self.cache.tails.insert(id, Tail::default());
        self.put_convo(Convo::new(conversation, Vec::new()));
        self.convos
            .get(&id)
            .cloned()
            .unwrap_or_else(|| unreachable!("put above"))
    }

    /// Stores a conversation's own record anew.
    pub fn put_convo(&mut self, convo: Convo) -> Arc<Convo> {
        self.writes
            .push(Write::Conversation(convo.conversation.clone()));
        let convo = Arc::new(convo);
        self.convos.insert(convo.id(), convo.clone());
        convo
    }

    /// Changes a conversation's own record.
    pub fn change_convo(
        &mut self,
        convo: &Convo,
        change: impl FnOnce(&mut Conversation),
    ) -> Arc<Convo> {
        let mut next = convo.clone();
        let seq = self.next_seq();
        let conversation = Arc::make_mut(&mut next.conversation);
        let key = conversation.key.clone();
        change(conversation);
        conversation.changed = seq;
        if conversation.destroyed || conversation.key != key {
            self.cache.keys.remove(&key);
        }
        if !conversation.destroyed && conversation.key != key {
            let id = conversation.id;
            self.cache.keys.insert(conversation.key.clone(), id);
        }
        self.put_convo(next)
    }

    /// Stores a member's row.
    pub fn put_member(&mut self, convo: &Convo, mut member: Member) -> Arc<Convo> {
        member.changed = self.next_seq();
        let member = Arc::new(member);
        self.writes.push(Write::Member(convo.id(), member.clone()));
        let mut next = convo.clone();
        next.put(member);
        let next = Arc::new(next);
        self.convos.insert(next.id(), next.clone());
        self.cache.members_dirty = true;
        next
    }

    /// How a conversation's log ends.
    pub fn tail(&mut self, id: ConversationId) -> Outcome<Tail> {
        if let Some(tail) = self.cache.tails.get(&id) {
            return Ok(*tail);
        }
        let tail = self.store.tail(id)?;
        self.cache.tails.insert(id, tail);
        Ok(tail)
    }

    /// The domains that this node serves; the first is the main one.
    pub fn domains(&self) -> &[crate::address::Domain] {
        &self.shared.domains
    }

    /// Whether an account has this name or had it once: then nobody else gets it.
    pub fn is_taken(&mut self, address: &Address) -> Outcome<bool> {
        if let Some(account) = self.accounts.get(address) {
            return Ok(account.is_some());
        }
        Ok(self.shared.account(self.store, address)?.is_some())
    }

    /// An account that is there (disabled ones too, removed ones not).
    pub fn account(&mut self, address: &Address) -> Outcome<Option<Arc<Account>>> {
        if let Some(account) = self.accounts.get(address) {
            return Ok(account.clone().filter(|a| !a.removed));
        }
        Ok(self
            .shared
            .account(self.store, address)?
            .filter(|a| !a.removed))
    }

    /// Stores an account.
    pub fn put_account(&mut self, mut account: Account) -> Arc<Account> {
        account.changed = self.next_seq();
        let account = Arc::new(account);
        self.writes.push(Write::Account(account.clone()));
        self.accounts
            .insert(account.address.clone(), Some(account.clone()));
        account
    }

    /// A new device's number.
    pub fn next_device(&mut self) -> DeviceId {
        *self.last_device += 1;
        DeviceId(*self.last_device)
    }

    /// A device as this batch leaves it.
    pub fn device(&self, id: DeviceId) -> Outcome<Option<Device>> {
        let written = self.writes.iter().rev().find_map(|write| match write {
            Write::Device(device) if device.id == id => Some(Some((**device).clone())),
            Write::RemoveDevice(gone) if *gone == id => Some(None),
            _ => None,
        });
        Ok(match written {
            Some(device) => device,
            None => self.store.device(id)?,
        })
    }

    /// The devices of an account as this batch leaves them.
    pub fn devices(&self, account: &Address) -> Outcome<Vec<Device>> {
        let mut devices = self.store.devices(account)?;
        for write in &self.writes {
            let id = match write {
                Write::Device(device) if device.account == *account => device.id,
                Write::RemoveDevice(id) => *id,
                _ => continue,
            };
            devices.retain(|d| d.id != id);
            if let Write::Device(device) = write {
                devices.push((**device).clone());
            }
        }
        Ok(devices)
    }

    /// The contacts of an account.
    pub fn contacts(&mut self, account: &Address) -> Outcome<Arc<Contacts>> {
        if let Some(contacts) = self.contacts.get(account) {
            return Ok(contacts.clone());
        }
        Ok(self.shared.contacts(self.store, account)?)
    }

    /// One contact of an account; an empty one if there is none.
    pub fn contact(&mut self, account: &Address, of: &Address) -> Outcome<Contact> {
        Ok(self.contacts(account)?.get(of).cloned().unwrap_or_default())
    }

    /// Whether an account has blocked an address, or its whole domain.
    pub fn is_blocked(&mut self, account: &Address, of: &Address) -> Outcome<bool> {
        Ok(contact::is_blocked(&*self.contacts(account)?, of))
    }

    /// Stores a contact; an empty one is deleted. Returns it with its version.
    pub fn put_contact(
        &mut self,
        account: &Address,
        of: &Address,
        mut contact: Contact,
    ) -> Outcome<Arc<Contact>> {
        let mut contacts = self.contacts(account)?;
        let version = self.next_seq();
        contact.version = version;
        let value = if contact.is_empty() {
            None
        } else {
            Some(encode(&contact)?)
        };
        self.writes.push(Write::Document {
            owner: account.into(),
            namespace: contact::NAMESPACE.into(),
            key: of.to_string(),
            version,
            value: value.clone(),
        });
        let list = Arc::make_mut(&mut contacts);
        if value.is_some() {
            list.insert(of.clone(), contact.clone());
        } else {
            list.remove(of);
        }
        self.contacts.insert(account.clone(), contacts);
        Ok(Arc::new(contact))
    }

    /// An event by its id, committed or in this batch.
    pub fn event(&mut self, id: EventId) -> Outcome<Option<Arc<Event>>> {
        if let Some(event) = self.events.get(&id) {
            return Ok(Some(event.clone()));
        }
        Ok(self.store.event_by_id(id)?)
    }

    /// An event by its seq, committed or in this batch.
    pub fn event_by_seq(&mut self, seq: Seq) -> Outcome<Option<Arc<Event>>> {
        if let Some(event) = self.events.values().find(|e| e.seq == seq) {
            return Ok(Some(event.clone()));
        }
        Ok(self.store.event(seq)?)
    }

    /// What a foreign id of an author leads to.
    pub fn alias(
        &mut self,
        conversation: ConversationId,
        scheme: Scheme,
        author: Option<&Address>,
        foreign: &str,
    ) -> Outcome<Option<AliasHit>> {
        let here = match author {
            Some(author) => {
                let index = (conversation, scheme, author.clone(), foreign.to_owned());
                self.aliases.get(&index).map(|seq| AliasHit {
                    seq: *seq,
                    author: author.clone(),
                })
            }
            None => self
                .aliases
                .iter()
                .find(|((c, s, _, f), _)| *c == conversation && *s == scheme && f == foreign)
                .map(|((_, _, author, _), seq)| AliasHit {
                    seq: *seq,
                    author: author.clone(),
                }),
        };
        match here {
            Some(hit) => Ok(Some(hit)),
            None => Ok(self.store.alias(conversation, scheme, author, foreign)?),
        }
    }
}

/// What must be there for a document's write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Whatever.
    Anything,
    /// Nothing, or a tombstone.
    Absent,
    /// This version.
    Version(Seq),
}

/// Encodes a record of core's for the shelf.
pub fn encode<T: serde::Serialize>(value: &T) -> Outcome<Bytes> {
    rmp_serde::to_vec_named(value)
        .map(Bytes::from)
        .map_err(|_| Refusal::Invalid("it can't be encoded"))
}

/// Decodes a record of core's from the shelf.
pub fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    rmp_serde::from_slice(bytes).ok()
}
