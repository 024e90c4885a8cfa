//! The `Store` port: what core needs of a database, at the level of meaning.
//!
//! Calls are synchronous and may block; the node runs reads on a blocking thread and commits on its writer's thread.
//! Only the writer calls [`Store::commit`], one batch at a time, so seqs arrive in order.

mod room;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::account::{Account, Device};
use crate::address::Address;
use crate::blob::BlobId;
use crate::conversation::{Conversation, ConversationKey};
use crate::document::{Bulk, Document, Owner, Tombstone};
use crate::event::{Acceptance, Content, Event, Scheme};
use crate::ids::{ConversationId, DeviceId, EventId, Pos, Seq, Timestamp};
use crate::member::{Interval, Member};
use crate::network::OutboxRow;

pub use room::erases;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error, Clone)]
pub enum StoreError {
    /// No space (or quota) for more: reading and erasing go on, writing can be tried later.
    #[error("the disk is full")]
    Full,
    /// Busy or passing trouble; nothing was written.
    #[error("the store can't do this now: {0}")]
    TryLater(String),
    /// What was acknowledged can no longer be trusted to be durable (a failed fsync): the node must stop.
    #[error("the store failed and must not be used on: {0}")]
    Fatal(String),
    /// A record can't be read.
    #[error("a record is damaged: {0}")]
    Damaged(String),
}

/// What a store returns.
pub type StoreResult<T> = Result<T, StoreError>;

/// One write. A batch of them is committed whole or not at all, durable before `commit` returns.
#[derive(Clone, Debug)]
pub enum Write {
    /// Appends an event; its `seq` is greater than every earlier one.
    Event(Arc<Event>),
    /// Replaces what an event says: the content becomes the tombstone; native form, relation and search entry go. Used
    /// for tombstones, so what stood there must be gone from the data folder within the hour. For [`Kinds`] the event
    /// stays of the kind that it was.
    Erase {
        /// Which.
        seq: Seq,
        /// The tombstone.
        tombstone: Content,
    },
    /// The home of the conversation has spoken about an event, or its place became known.
    Accept {
        /// Which.
        seq: Seq,
        /// What it is now.
        acceptance: Acceptance,
        /// Its place.
        pos: Pos,
    },
    /// The target of a relation that waited became known.
    Resolve {
        /// The event whose relation waited.
        seq: Seq,
        /// The target.
        target: EventId,
    },
    /// Remembers a foreign id of an event; the latest one wins.
    Alias {
        /// Where the id is unique.
        conversation: ConversationId,
        /// The id's scheme.
        scheme: Scheme,
        /// Whose id it is.
        author: Address,
        /// The id.
        foreign: String,
        /// The event.
        seq: Seq,
    },
    /// A relation waits for an event with this foreign id (of any author).
    Waiting {
        /// Where.
        conversation: ConversationId,
        /// The id's scheme.
        scheme: Scheme,
        /// The id.
        foreign: String,
        /// The event whose relation waits.
        seq: Seq,
    },
    /// Inserts or replaces a conversation.
    Conversation(Arc<Conversation>),
    /// Inserts or replaces a member.
    Member(ConversationId, Arc<Member>),
    /// Deletes a member's row.
    RemoveMember(ConversationId, Address),
    /// Inserts or replaces an account.
    Account(Arc<Account>),
    /// Inserts or replaces a device, cursor and counter included.
    Device(Arc<Device>),
    /// The device has had everything up to `cursor`; `inbound` of its stanzas are handled.
    DeviceProgress {
        /// Which.
        id: DeviceId,
        /// New cursor, if it moved.
        cursor: Option<Seq>,
        /// New counter, if it moved.
        inbound: Option<u32>,
    },
    /// Deletes a device.
    RemoveDevice(DeviceId),
    /// Writes a document, or with `None` its tombstone.
    Document {
        /// Whose shelf.
        owner: Owner,
        /// Namespace on the shelf.
        namespace: String,
        /// Key in the namespace.
        key: String,
        /// Version of this write.
        version: Seq,
        /// The bytes.
        value: Option<Bytes>,
    },
    /// Forgets a document's tombstone, if it is still the one of this version: whoever asks for changes since before it
    /// has to read the namespace anew from then on.
    ForgetTombstone(Tombstone),
    /// Deletes all documents and tombstones of an owner.
    ForgetDocuments(Owner),
    /// All documents, tombstones and references to blobs of one address are another's from now on, or gone. Those that
    /// the other had before are gone.
    MoveShelf {
        /// Whose they were.
        from: Address,
        /// Whose they are; `None` is nobody's.
        to: Option<Address>,
    },
    /// Puts a row into the outbox, or replaces it (attempts, next try).
    Outbox(OutboxRow),
    /// Takes a row out of the outbox.
    OutboxDone(Seq),
    /// Changes how many records refer to a blob. At zero its file goes (within the hour).
    BlobRef {
        /// Which.
        id: BlobId,
        /// Who holds it: counted in that owner's quota.
        owner: Address,
        /// How it is reached from outside: an unguessable slot, empty where nothing is.
        slot: String,
        /// When; the first one of a slot becomes [`BlobInfo::created`].
        at: Timestamp,
        /// Takes one such reference away instead.
        remove: bool,
    },
}

/// Where a store stands at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The greatest seq that any record ever had; 0 in an empty store.
    pub last_seq: Seq,
    /// The greatest conversation id ever.
    pub last_conversation: ConversationId,
    /// The greatest device id ever.
    pub last_device: DeviceId,
    /// The store's epoch: a random number that changes when a backup is restored.
    pub epoch: u64,
}

/// How a conversation's log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Greatest place.
    pub last_pos: Option<Pos>,
    /// Smallest place.
    pub first_pos: Option<Pos>,
    /// Time of the event at the greatest place.
    pub last_at: Timestamp,
    /// Greatest seq.
    pub last_seq: Seq,
    /// Whether relations wait here for events not yet seen.
    pub waiting: bool,
}

/// A reading of history. All bounds hold together.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    /// Which conversations, each with the stretches the reader may see. The order of history is by place in one
    /// conversation; several are merged by (time, seq).
    pub sources: Vec<(ConversationId, Vec<Interval>)>,
    /// Events with an audience are left out unless this one wrote them or is named, pending ones unless this one wrote
    /// them; with `None`, all of these are left out.
    pub reader: Option<Address>,
    /// Only behind this event (exclusive), in the order of the result.
    pub after: Option<Anchor>,
    /// Only before this event (exclusive).
    pub before: Option<Anchor>,
    /// Only from this time on.
    pub from: Option<Timestamp>,
    /// Only up to this time (inclusive).
    pub until: Option<Timestamp>,
    /// Only by this author.
    pub author: Option<Address>,
    /// Only events that search finds for these words.
    pub text: Option<String>,
    /// Which events at all.
    pub kinds: Kinds,
    /// So many of them are passed over first, in the direction of reading.
    pub skip: usize,
    /// Most events.
    pub limit: usize,
    /// Take the last ones inside the bounds instead of the first. The result is in order of history either way.
    pub from_end: bool,
}

impl HistoryQuery {
    /// The first events of some conversations that everybody there may see, with no further bound.
    pub fn new(sources: Vec<(ConversationId, Vec<Interval>)>, limit: usize) -> Self {
        Self {
            sources,
            reader: None,
            after: None,
            before: None,
            from: None,
            until: None,
            author: None,
            text: None,
            kinds: Kinds::All,
            skip: 0,
            limit,
            from_end: false,
        }
    }
}

/// A place to read on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The event's time.
    pub at: Timestamp,
    /// Its place in its conversation.
    pub pos: Pos,
    /// Its seq.
    pub seq: Seq,
}

/// Which events a reader wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kinds {
    /// Every accepted one (and own pending ones).
    #[default]
    All,
    /// What people wrote and what changes it: no memberships, room changes, markers.
    Speech,
}

/// Some events in order of history.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The events.
    pub events: Vec<Arc<Event>>,
    /// Whether the bounds hold more than was read (in the direction of reading).
    pub more: bool,
}

/// What an alias led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasHit {
    /// The event.
    pub seq: Seq,
    /// Its author.
    pub author: Address,
}

/// A blob as known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobInfo {
    /// Which.
    pub id: BlobId,
    /// Bytes.
    pub size: u64,
    /// The owner of the slot.
    pub owner: Address,
    /// When it came.
    pub created: Timestamp,
}

/// A blob on its way in. Dropping it before [`BlobWriter::finish`] leaves nothing behind; what was finished and is not
/// referred to within the hour goes again.
pub trait BlobWriter: Send {
    /// Adds bytes.
    fn write(&mut self, bytes: &[u8]) -> StoreResult<()>;
    /// Ends it: durable on disk under its digest (not yet referred to).
    fn finish(self: Box<Self>) -> StoreResult<(BlobId, u64)>;
}

/// The database and the blobs.
pub trait Store: Send + Sync + 'static {
    /// Where the store stands.
    fn start(&self) -> StoreResult<Start>;
    /// Makes a batch durable, whole or not at all. While the disk is full only batches that [`erases`] says yes to are
    /// taken.
    fn commit(&self, batch: &[Write]) -> StoreResult<()>;
    /// Whether the disk was full at the last commit: the writer gives each write a batch of its own then, so that those
    /// that erase are not refused with others.
    fn is_full(&self) -> bool;

    /// Reads history.
    fn history(&self, query: &HistoryQuery) -> StoreResult<Page>;
    /// How many events there are inside the bounds, counted up to the limit. Nothing is passed over.
    fn count(&self, query: &HistoryQuery) -> StoreResult<u64>;
    /// Events of these conversations with `after < seq <= upto`, in seq order, the first `limit`: accepted and pending
    /// ones, not historical ones. Audiences are not looked at: that is the caller's part.
    fn changes(
        &self,
        conversations: &[ConversationId],
        after: Seq,
        upto: Seq,
        limit: usize,
    ) -> StoreResult<Vec<Arc<Event>>>;
    /// One event.
    fn event(&self, seq: Seq) -> StoreResult<Option<Arc<Event>>>;
    /// One event by the id that clients know.
    fn event_by_id(&self, id: EventId) -> StoreResult<Option<Arc<Event>>>;
    /// How a conversation's log ends. Outliers have no place and don't count; every other event does.
    fn tail(&self, conversation: ConversationId) -> StoreResult<Tail>;
    /// What a foreign id leads to; with `author`, only that author's, else the event with the greatest seq.
    fn alias(
        &self,
        conversation: ConversationId,
        scheme: Scheme,
        author: Option<&Address>,
        foreign: &str,
    ) -> StoreResult<Option<AliasHit>>;
    /// The events whose relations wait for this foreign id.
    fn waiting(
        &self,
        conversation: ConversationId,
        scheme: Scheme,
        foreign: &str,
    ) -> StoreResult<Vec<Seq>>;
    /// The events that relate to this one (edits, retractions, reactions, replies), oldest first.
    fn relations(&self, target: EventId, limit: usize) -> StoreResult<Vec<Arc<Event>>>;
    /// Seqs of events that are not erased and older than `before` in a conversation, by (time, seq): for retention.
    fn older_than(
        &self,
        conversation: ConversationId,
        before: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<Seq>>;
    /// Seqs of events by this author that are not erased, in seq order, after `after`: for an account's removal.
    fn written_by(&self, author: &Address, after: Seq, limit: usize) -> StoreResult<Vec<Seq>>;

    /// A conversation.
    fn conversation(&self, id: ConversationId) -> StoreResult<Option<Conversation>>;
    /// A conversation by its key (not destroyed; should there be several, the one with the greatest id).
    fn conversation_by_key(&self, key: &ConversationKey) -> StoreResult<Option<Conversation>>;
    /// The conversations in which an address has a member's row (whatever it says) or is one of the pair, in order of
    /// id, destroyed ones too.
    fn conversations_of(&self, address: &Address) -> StoreResult<Vec<ConversationId>>;
    /// All conversations, in order of id, after `after`.
    fn conversations(&self, after: ConversationId, limit: usize) -> StoreResult<Vec<Conversation>>;
    /// The members of a conversation.
    fn members(&self, conversation: ConversationId) -> StoreResult<Vec<Member>>;

    /// An account (also disabled and removed ones).
    fn account(&self, address: &Address) -> StoreResult<Option<Account>>;
    /// All accounts, in order of address, after `after`.
    fn accounts(&self, after: Option<&Address>, limit: usize) -> StoreResult<Vec<Account>>;
    /// The devices of an account.
    fn devices(&self, account: &Address) -> StoreResult<Vec<Device>>;
    /// A device.
    fn device(&self, id: DeviceId) -> StoreResult<Option<Device>>;

    /// A document; tombstones are returned too.
    fn document(&self, owner: &Owner, namespace: &str, key: &str) -> StoreResult<Option<Document>>;
    /// Documents whose key starts with `prefix`, in order of key, after `after`; without tombstones.
    fn documents(
        &self,
        owner: &Owner,
        namespace: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<Document>>;
    /// How much stands in a namespace: what a limit is checked against, without reading it.
    fn count_documents(&self, owner: &Owner, namespace: &str) -> StoreResult<Bulk>;
    /// Documents of a namespace written (or deleted: tombstones) since a version, in order of version; `None` where a
    /// tombstone of after `since` was forgotten, so that who asks has to read the namespace anew. Who asks since 0 knows
    /// nothing that could have been deleted.
    fn documents_since(
        &self,
        owner: &Owner,
        namespace: &str,
        since: Seq,
        limit: usize,
    ) -> StoreResult<Option<Vec<Document>>>;
    /// Tombstones of documents with versions up to `upto`, in order of version, the first `limit`.
    fn tombstones(&self, upto: Seq, limit: usize) -> StoreResult<Vec<Tombstone>>;

    /// Outbox rows for a destination or (with `None`) all, oldest first, also those whose time has not come.
    fn outbox(&self, destination: Option<&str>, limit: usize) -> StoreResult<Vec<OutboxRow>>;
    /// The oldest outbox row of each destination.
    fn outbox_heads(&self) -> StoreResult<Vec<OutboxRow>>;

    /// Begins a blob of at most `most` bytes; beyond that, writing is refused as [`StoreError::Full`].
    fn blob_writer(&self, most: u64) -> StoreResult<Box<dyn BlobWriter>>;
    /// What a slot holds.
    fn blob_by_slot(&self, slot: &str) -> StoreResult<Option<BlobInfo>>;
    /// Bytes of a blob, as far as the range lies inside it; `None` once nothing refers to it.
    fn read_blob(&self, id: &BlobId, range: Range<u64>) -> StoreResult<Option<Bytes>>;
    /// Bytes that an owner's blobs take; what is referred to several times counts once.
    fn blob_usage(&self, owner: &Address) -> StoreResult<u64>;
    /// The references of an owner, oldest first: one entry for each, with its slot (or an empty text).
    fn blobs_of(&self, owner: &Address) -> StoreResult<Vec<(String, BlobInfo)>>;

    /// Makes what was erased unrecoverable in the data folder: log pages, write-ahead log, search index, blobs without
    /// references. Called at least every half hour while there is something to do.
    fn scrub(&self) -> StoreResult<()>;
    /// Brings the search index up to the log; returns how many events it took in (0 when it is up to date).
    fn index(&self, limit: usize) -> StoreResult<usize>;
    /// Checks the integrity of everything; each line names a fault.
    fn check(&self) -> StoreResult<Vec<String>>;
}
