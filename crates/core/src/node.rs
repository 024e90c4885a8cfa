//! The node's handle: what protocol crates hold. Cheap to clone.

mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot, watch};

use crate::account::Account;
use crate::address::{Address, Domain};
use crate::clock::Clock;
use crate::contact::Contacts;
use crate::conversation::ConversationKey;
use crate::convo::Convo;
use crate::directory::Directory;
use crate::document::Owner;
use crate::event::Event;
use crate::ids::{ConversationId, Seq, Timestamp};
use crate::limits::Limits;
use crate::live::{Live, Session};
use crate::mailbox::{CloseReason, Delivery};
use crate::network::Network;
use crate::permission;
use crate::principal::Principal;
use crate::refusal::{Outcome, Refusal};
use crate::sent::Sent;
use crate::setting::Setting;
use crate::store::{Store, StoreResult};
use crate::tx::{Post, Tx};
use crate::writer::{self, Job};

pub(crate) use shared::Shared;

/// What a node is started with.
pub struct Options {
    /// The domains that this node serves; the first is the main one.
    pub domains: Vec<Domain>,
    /// Limits.
    pub limits: Limits,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// Other networks.
    pub networks: Vec<Arc<dyn Network>>,
    /// Whether strangers of the same node need a contact request too.
    pub requests_between_accounts: bool,
    /// Whether any account may make rooms (administrators always may).
    pub rooms_by_anyone: bool,
}

impl Options {
    /// What a node for one domain usually has.
    pub fn new(domain: Domain) -> Self {
        Self {
            domains: vec![domain],
            limits: Limits::default(),
            clock: Arc::new(crate::clock::SystemClock),
            networks: Vec::new(),
            requests_between_accounts: false,
            rooms_by_anyone: true,
        }
    }
}

/// What holds for everybody and can change while the node runs.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Limits. How writes are gathered and how many wait is of the start.
    pub limits: Limits,
    /// Accounts of this node need a contact request among each other.
    pub requests_between_accounts: bool,
    /// Every account may make rooms; otherwise administrators alone.
    pub rooms_by_anyone: bool,
}

/// What a session waits for: whatever happens, it gets one answer.
struct Ticket {
    mailbox: Arc<crate::mailbox::Mailbox>,
    ticket: u64,
    result: Outcome<Sent>,
}

impl Ticket {
    fn answer(mut self, result: Outcome<Sent>) {
        self.result = result;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let result = self.result.clone();
        self.mailbox.push(Delivery::Done {
            ticket: self.ticket,
            result,
        });
    }
}

/// The node's handle.
#[derive(Clone)]
pub struct Node {
    pub(crate) shared: Arc<Shared>,
    pub(crate) store: Arc<dyn Store>,
    jobs: mpsc::Sender<Job>,
    writer: Arc<parking_lot::Mutex<Option<std::thread::JoinHandle<()>>>>,
}

impl Node {
    /// Starts a node on a store. Its writer runs on a thread of its own until every handle is dropped or [`Node::stop`].
    ///
    /// # Errors
    /// When the store can't be read or the thread not started.
    pub fn start(store: Arc<dyn Store>, options: Options) -> StoreResult<Self> {
        let start = store.start()?;
        let mut directory = Directory::default();
        let mut after = ConversationId(0);
        loop {
            let page = store.conversations(after, 1000)?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for conversation in page {
                if !conversation.destroyed {
                    directory.put(&conversation);
                }
            }
        }
        let shared = Arc::new(Shared {
            start,
            rules: Setting::new(Rules {
                limits: options.limits,
                requests_between_accounts: options.requests_between_accounts,
                rooms_by_anyone: options.rooms_by_anyone,
            }),
            clock: options.clock,
            domains: options.domains,
            live: RwLock::new(Live::new(options.networks.clone())),
            networks: options.networks,
            next_session: AtomicU64::new(1),
            convos: RwLock::default(),
            accounts: RwLock::default(),
            contacts: RwLock::default(),
            directory: RwLock::new(directory),
            shelves: crate::shelves::Shelves::new(start.last_seq),
            last_seq: AtomicU64::new(start.last_seq.0),
            people_changed: AtomicU64::new(start.last_seq.0),
            announced: AtomicU64::new(start.last_seq.0),
            last_time: AtomicI64::new(0),
            outbox: Arc::default(),
            partings: RwLock::default(),
            failed: watch::Sender::new(None),
        });
        let (jobs, receiver) = mpsc::channel(shared.rules.get().limits.pending_writes);
        let thread = std::thread::Builder::new().name("writer".into()).spawn({
            let (shared, store) = (shared.clone(), store.clone());
            move || writer::run(shared, store, receiver)
        });
        let thread = thread.map_err(|e| crate::store::StoreError::TryLater(e.to_string()))?;
        Ok(Self {
            shared,
            store,
            jobs,
            writer: Arc::new(parking_lot::Mutex::new(Some(thread))),
        })
    }

    /// Runs a write in the writer and returns what came of it after the commit is durable and announced.
    ///
    /// # Errors
    /// What the write refused with, or [`Refusal::TryLater`] and [`Refusal::DiskFull`] when the batch could not be stored.
    pub async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Tx<'_>) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let outcome = write(tx);
            tx.posts.push(Post::Answer(Box::new(move |committed| {
                let _ = answer.send(committed.and(outcome));
            })));
        });
        self.jobs.send(job).await.map_err(|_| Refusal::TryLater)?;
        result.await.unwrap_or(Err(Refusal::TryLater))
    }

    /// Puts a write into the writer's queue and returns at once; what came of it reaches the session's mailbox as
    /// [`Delivery::Done`] with this ticket, in the order of submission. Waits only while the writer's queue is full.
    pub async fn submit(
        &self,
        session: &Session,
        ticket: u64,
        write: impl FnOnce(&mut Tx<'_>) -> Outcome<Sent> + Send + 'static,
    ) {
        let ticket = Ticket {
            mailbox: session.mailbox.clone(),
            ticket,
            result: Err(Refusal::TryLater),
        };
        let job: Job = Box::new(move |tx| {
            let outcome = write(tx);
            tx.posts.push(Post::Answer(Box::new(move |committed| {
                ticket.answer(committed.and(outcome));
            })));
        });
        // A job that the writer could not take, or that a defect cut short, answers when its ticket is dropped.
        let _ = self.jobs.send(job).await;
    }

    /// Reads from the store on a blocking thread.
    ///
    /// # Errors
    /// What the reading refused with.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Node) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        let node = self.clone();
        tokio::task::spawn_blocking(move || read(&node))
            .await
            .unwrap_or(Err(Refusal::TryLater))
    }

    /// The store, for readings that core has no word for. Blocking.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The store, shared.
    pub fn store_arc(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.shared.clock
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// The rules and limits as they are now.
    pub fn rules(&self) -> Arc<Rules> {
        self.shared.rules.get()
    }

    /// Other rules and limits from the next batch on. What is beyond a new limit already stays.
    pub fn set_rules(&self, rules: Rules) {
        self.shared.rules.set(rules);
    }

    /// The limits as they are now.
    pub fn limits(&self) -> Limits {
        self.rules().limits.clone()
    }

    /// The domains this node serves; the first is the main one.
    pub fn domains(&self) -> &[Domain] {
        &self.shared.domains
    }

    /// The networks this node speaks with.
    pub fn networks(&self) -> &[Arc<dyn Network>] {
        &self.shared.networks
    }

    /// The store's epoch: part of every token that leaves the node.
    pub fn epoch(&self) -> u64 {
        self.shared.start.epoch
    }

    /// How many writes wait for the writer.
    pub fn pending_writes(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// The greatest committed seq.
    pub fn last_seq(&self) -> Seq {
        Seq(self.shared.last_seq.load(Ordering::Acquire))
    }

    /// No conversation was made or changed, and nobody's place in one, after this seq. The greatest seq at the start until
    /// something changes.
    pub fn people_changed(&self) -> Seq {
        Seq(self.shared.people_changed.load(Ordering::Acquire))
    }

    /// Everything up to this seq is committed, and what its writes do after the commit is done: readers of what those
    /// keep in memory have missed nothing. Who is woken by such a write and asks then is told of it.
    pub fn announced(&self) -> Seq {
        let _announcing = self.shared.live.read();
        Seq(self.shared.announced.load(Ordering::Acquire))
    }

    /// Whether a document of this shelf may have been written or deleted after `since`. `false` is certain for everything
    /// up to what [`Node::announced`] said before, and costs no reading.
    pub fn shelf_changed(&self, owner: &Owner, namespace: &str, since: Seq) -> bool {
        self.shared.shelves.changed(owner, namespace, since)
    }

    /// An event by its seq, from memory or (blocking) from the store.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn event(&self, seq: Seq) -> Outcome<Option<Arc<Event>>> {
        match self.shared.shelves.event(seq) {
            Some(event) => Ok(Some(event)),
            None => Ok(self.store.event(seq)?),
        }
    }

    /// Looks at what lives; hold it for moments only and never across an `.await`.
    pub fn live<T>(&self, look: impl FnOnce(&Live) -> T) -> T {
        look(&self.shared.live.read())
    }

    /// Tells `follower` of every event from now on: for what a protocol makes of all events behind the log.
    pub fn follow(&self, follower: crate::live::Follower) {
        self.shared.live.write().follow(follower);
    }

    /// Tells `watcher` of every change of state that an account's sessions are told of, such as how far it has read: for
    /// what a protocol does for people who are not there.
    pub fn watch(&self, watcher: crate::live::Watcher) {
        self.shared.live.write().watch(watcher);
    }

    /// Runs `parting` in the writer for every device that goes, however it goes (signed out, revoked, too old, its account
    /// removed), so that what a protocol keeps for it goes in the same batch. It must not hold the node, and must not
    /// register another.
    pub fn when_devices_go(&self, parting: crate::tx::Parting) {
        self.shared.partings.write().push(parting);
    }

    /// A conversation, from memory or (blocking) from the store.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn convo(&self, id: ConversationId) -> Outcome<Option<Arc<Convo>>> {
        Ok(self.shared.convo(&*self.store, id)?)
    }

    /// A conversation by its key.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn convo_by_key(&self, key: &ConversationKey) -> Outcome<Option<Arc<Convo>>> {
        if let ConversationKey::Room(address) = key {
            let id = self.shared.directory.read().room(address);
            return id.map_or(Ok(None), |id| self.convo(id));
        }
        match self.store.conversation_by_key(key)? {
            Some(found) => self.convo(found.id),
            None => Ok(None),
        }
    }

    /// The room that had this address before it was renamed, for those who may know of it: what protocols ask when
    /// [`Node::room`] finds none, so that old links, joins and readings of history lead on.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn renamed(&self, address: &Address, who: &Principal) -> Outcome<Option<Arc<Convo>>> {
        let id = self.shared.directory.read().former(address);
        let found = id.map_or(Ok(None), |id| self.convo(id))?;
        Ok(found.filter(|convo| match who {
            Principal::Node | Principal::Admin(_) => true,
            Principal::Of(who) => permission::may_know(convo, who),
        }))
    }

    /// A room by its address.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn room(&self, address: &Address) -> Outcome<Option<Arc<Convo>>> {
        self.convo_by_key(&ConversationKey::Room(address.clone()))
    }

    /// Rooms of this node behind `after`, in order of address, at most `most`: for directories, which tell each asker
    /// only of those that are listed or that the asker is in.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn rooms(&self, after: Option<&Address>, most: usize) -> Outcome<Vec<Arc<Convo>>> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids: Vec<ConversationId> = {
            let directory = self.shared.directory.read();
            let behind = directory
                .rooms
                .range::<Address, _>((from, Bound::Unbounded));
            behind.take(most).map(|(_, id)| *id).collect()
        };
        let mut rooms = Vec::with_capacity(ids.len());
        for id in ids {
            rooms.extend(self.convo(id)?);
        }
        Ok(rooms)
    }

    /// An account that was not removed.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn account(&self, address: &Address) -> Outcome<Option<Arc<Account>>> {
        Ok(self
            .shared
            .account(&*self.store, address)?
            .filter(|a| !a.removed))
    }

    /// The contacts of an account.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn contacts(&self, account: &Address) -> Outcome<Arc<Contacts>> {
        Ok(self.shared.contacts(&*self.store, account)?)
    }

    /// Resolves with the reason when the store failed and the process must end.
    pub async fn failed(&self) -> String {
        let mut failed = self.shared.failed.subscribe();
        loop {
            if let Some(why) = failed.borrow_and_update().clone() {
                return why;
            }
            if failed.changed().await.is_err() {
                return "the node is gone".into();
            }
        }
    }

    /// Tells every session that the node shuts down.
    pub fn announce_shutdown(&self) {
        writer::close_all(&self.shared.live.read(), CloseReason::Shutdown);
    }

    /// Waits until what was submitted before is committed, then closes the writer. Blocking: call it from no runtime thread.
    pub fn stop(self) {
        let Self {
            jobs,
            writer,
            store,
            shared,
        } = self;
        drop(jobs);
        // Other handles keep the writer alive; then there is nothing to wait for here.
        if Arc::strong_count(&writer) == 1
            && let Some(thread) = writer.lock().take()
        {
            let _ = thread.join();
        }
        drop((store, shared));
    }
}
