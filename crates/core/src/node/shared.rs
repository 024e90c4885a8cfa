//! What the writer and the readers share: snapshots of conversations and accounts, and how far the log is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::watch;

use super::Rules;
use crate::account::Account;
use crate::address::{Address, Domain};
use crate::clock::Clock;
use crate::contact::{self, Contacts};
use crate::convo::Convo;
use crate::directory::Directory;
use crate::document::Owner;
use crate::ids::{ConversationId, Seq, Timestamp};
use crate::live::Live;
use crate::network::Network;
use crate::setting::Setting;
use crate::store::{Start, Store, StoreResult};

/// What the writer and the readers share.
pub(crate) struct Shared {
    pub start: Start,
    pub rules: Setting<Rules>,
    pub clock: Arc<dyn Clock>,
    pub domains: Vec<Domain>,
    pub networks: Vec<Arc<dyn Network>>,
    pub live: RwLock<Live>,
    pub next_session: AtomicU64,
    pub(super) convos: RwLock<HashMap<ConversationId, Arc<Convo>>>,
    pub(super) accounts: RwLock<HashMap<Address, Arc<Account>>>,
    pub(super) contacts: RwLock<HashMap<Address, Arc<Contacts>>>,
    /// Rooms of this node that are not destroyed, by address.
    pub directory: RwLock<Directory>,
    /// What the last writes left in memory.
    pub shelves: crate::shelves::Shelves,
    pub(super) last_seq: AtomicU64,
    pub(super) people_changed: AtomicU64,
    pub(super) announced: AtomicU64,
    pub(super) last_time: AtomicI64,
    pub outbox: Arc<crate::outbox::Bell>,
    /// What goes with a device.
    pub partings: RwLock<Vec<crate::tx::Parting>>,
    pub(super) failed: watch::Sender<Option<String>>,
}

impl Shared {
    pub fn convo(&self, store: &dyn Store, id: ConversationId) -> StoreResult<Option<Arc<Convo>>> {
        if let Some(convo) = self.convos.read().get(&id) {
            return Ok(Some(convo.clone()));
        }
        let Some(conversation) = store.conversation(id)? else {
            return Ok(None);
        };
        let members = if conversation.room().is_some() {
            store.members(id)?
        } else {
            Vec::new()
        };
        let convo = Arc::new(Convo::new(conversation, members));
        let mut convos = self.convos.write();
        // The writer may have published a newer one meanwhile: that one stays.
        Ok(Some(convos.entry(id).or_insert(convo).clone()))
    }

    pub fn account(
        &self,
        store: &dyn Store,
        address: &Address,
    ) -> StoreResult<Option<Arc<Account>>> {
        if let Some(account) = self.accounts.read().get(address) {
            return Ok(Some(account.clone()));
        }
        let Some(account) = store.account(address)? else {
            return Ok(None);
        };
        Ok(Some(
            self.accounts
                .write()
                .entry(address.clone())
                .or_insert_with(|| Arc::new(account))
                .clone(),
        ))
    }

    pub fn contacts(&self, store: &dyn Store, account: &Address) -> StoreResult<Arc<Contacts>> {
        if let Some(contacts) = self.contacts.read().get(account) {
            return Ok(contacts.clone());
        }
        let mut list = Contacts::new();
        let mut after: Option<String> = None;
        loop {
            let page = store.documents(
                &Owner::from(account),
                contact::NAMESPACE,
                "",
                after.as_deref(),
                500,
            )?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for document in page {
                let contact: Option<contact::Contact> =
                    document.value.as_deref().and_then(crate::tx::decode);
                if let (Ok(address), Some(mut contact)) = (Address::new(&document.key), contact) {
                    contact.version = document.version;
                    list.insert(address, contact);
                }
            }
        }
        Ok(self
            .contacts
            .write()
            .entry(account.clone())
            .or_insert_with(|| Arc::new(list))
            .clone())
    }

    pub fn publish(
        &self,
        last_seq: Seq,
        convos: HashMap<ConversationId, Arc<Convo>>,
        accounts: HashMap<Address, Option<Arc<Account>>>,
        contacts: HashMap<Address, Arc<Contacts>>,
    ) {
        if !convos.is_empty() {
            let changes = convos
                .values()
                .map(|c| c.members_changed.max(c.conversation.changed));
            if let Some(last) = changes.max() {
                self.people_changed.fetch_max(last.0, Ordering::Release);
            }
            let mut directory = None;
            let mut published = self.convos.write();
            if published.len() > 200_000 {
                published.clear();
            }
            for (id, convo) in convos {
                if convo.conversation.room().is_some() {
                    let directory = directory.get_or_insert_with(|| self.directory.write());
                    directory.put(&convo.conversation);
                }
                published.insert(id, convo);
            }
        }
        if !accounts.is_empty() {
            let mut published = self.accounts.write();
            for (address, account) in accounts {
                match account {
                    Some(account) => published.insert(address, account),
                    None => published.remove(&address),
                };
            }
        }
        if !contacts.is_empty() {
            self.contacts.write().extend(contacts);
        }
        self.last_seq.store(last_seq.0, Ordering::Release);
    }

    /// What follows the commit is done up to here.
    pub fn announced(&self, upto: Seq) {
        self.announced.store(upto.0, Ordering::Release);
    }

    pub fn last_time(&self) -> Timestamp {
        Timestamp(self.last_time.load(Ordering::Relaxed))
    }

    pub fn note_time(&self, now: Timestamp) {
        self.last_time.fetch_max(now.0, Ordering::Relaxed);
    }

    pub fn fail(&self, why: &str) {
        self.failed.send_replace(Some(why.to_owned()));
    }
}
