//! A store that counts what is committed, and what goes wrong.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use sammen_core::account::{Account, Device};
use sammen_core::blob::BlobId;
use sammen_core::conversation::{Conversation, ConversationKey};
use sammen_core::document::{Bulk, Document, Owner, Tombstone};
use sammen_core::event::{Event, Scheme};
use sammen_core::member::Member;
use sammen_core::network::OutboxRow;
use sammen_core::store::{
    AliasHit, BlobInfo, BlobWriter, HistoryQuery, Page, Start, Store, StoreResult, Tail, Write,
};
use sammen_core::{Address, ConversationId, DeviceId, EventId, Seq, Timestamp};

use crate::metrics::StoreCounts;

/// Hands everything on to the store inside.
pub struct Metered<S> {
    inner: Arc<S>,
    counts: Arc<StoreCounts>,
}

impl<S: Store> Metered<S> {
    /// Counts what `inner` does.
    pub fn new(inner: Arc<S>, counts: Arc<StoreCounts>) -> Self {
        Self { inner, counts }
    }

    fn seen<T>(&self, result: StoreResult<T>) -> StoreResult<T> {
        if result.is_err() {
            self.counts.errors.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

macro_rules! hand_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $name(&self, $($argument: $type),*) -> StoreResult<$result> {
            self.seen(self.inner.$name($($argument),*))
        }
    )*};
}

impl<S: Store> Store for Metered<S> {
    fn commit(&self, batch: &[Write]) -> StoreResult<()> {
        self.seen(self.inner.commit(batch))?;
        let events = batch.iter().filter(|w| matches!(w, Write::Event(_)));
        self.counts.committed(batch.len(), events.count());
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.inner.is_full()
    }

    hand_on! {
        start() -> Start;
        history(query: &HistoryQuery) -> Page;
        count(query: &HistoryQuery) -> u64;
        changes(conversations: &[ConversationId], after: Seq, upto: Seq, limit: usize) -> Vec<Arc<Event>>;
        event(seq: Seq) -> Option<Arc<Event>>;
        event_by_id(id: EventId) -> Option<Arc<Event>>;
        tail(conversation: ConversationId) -> Tail;
        alias(conversation: ConversationId, scheme: Scheme, author: Option<&Address>, foreign: &str) -> Option<AliasHit>;
        waiting(conversation: ConversationId, scheme: Scheme, foreign: &str) -> Vec<Seq>;
        relations(target: EventId, limit: usize) -> Vec<Arc<Event>>;
        older_than(conversation: ConversationId, before: Timestamp, limit: usize) -> Vec<Seq>;
        written_by(author: &Address, after: Seq, limit: usize) -> Vec<Seq>;
        conversation(id: ConversationId) -> Option<Conversation>;
        conversation_by_key(key: &ConversationKey) -> Option<Conversation>;
        conversations_of(address: &Address) -> Vec<ConversationId>;
        conversations(after: ConversationId, limit: usize) -> Vec<Conversation>;
        members(conversation: ConversationId) -> Vec<Member>;
        account(address: &Address) -> Option<Account>;
        accounts(after: Option<&Address>, limit: usize) -> Vec<Account>;
        devices(account: &Address) -> Vec<Device>;
        device(id: DeviceId) -> Option<Device>;
        document(owner: &Owner, namespace: &str, key: &str) -> Option<Document>;
        documents(owner: &Owner, namespace: &str, prefix: &str, after: Option<&str>, limit: usize) -> Vec<Document>;
        count_documents(owner: &Owner, namespace: &str) -> Bulk;
        documents_since(owner: &Owner, namespace: &str, since: Seq, limit: usize) -> Option<Vec<Document>>;
        tombstones(upto: Seq, limit: usize) -> Vec<Tombstone>;
        outbox(destination: Option<&str>, limit: usize) -> Vec<OutboxRow>;
        outbox_heads() -> Vec<OutboxRow>;
        blob_writer(most: u64) -> Box<dyn BlobWriter>;
        blob_by_slot(slot: &str) -> Option<BlobInfo>;
        read_blob(id: &BlobId, range: Range<u64>) -> Option<Bytes>;
        blob_usage(owner: &Address) -> u64;
        blobs_of(owner: &Address) -> Vec<(String, BlobInfo)>;
        scrub() -> ();
        index(limit: usize) -> usize;
        check() -> Vec<String>;
    }
}
