//! An in-memory store for tests: simple and obviously right, the oracle that other stores are compared with.

mod tables;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::account::{Account, Device};
use crate::address::Address;
use crate::blob::BlobId;
use crate::conversation::{Conversation, ConversationKey};
use crate::document::{Bulk, Document, Owner, Tombstone};
use crate::event::{Acceptance, Content, Event, Scheme};
use crate::ids::{ConversationId, DeviceId, EventId, Seq, Timestamp};
use crate::member::Member;
use crate::network::OutboxRow;
use crate::store::{
    AliasHit, BlobInfo, BlobWriter, HistoryQuery, Page, Start, Store, StoreError, StoreResult,
    Tail, Write,
};

use tables::{DocumentKey, Tables};

/// The store. Cheap to make; everything is gone when it is dropped.
#[derive(Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    /// The next commits fail with these, in order.
    faults: Mutex<Vec<StoreError>>,
    /// Its disk is full.
    full: std::sync::atomic::AtomicBool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next commit fail.
    pub fn fail_next(&self, error: StoreError) {
        self.faults.lock().push(error);
    }

    /// From now on there is no room for more, or there is again.
    pub fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }
}

struct Writer {
    tables: Arc<Mutex<Tables>>,
    bytes: Vec<u8>,
    most: u64,
}

impl BlobWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> StoreResult<()> {
        if (self.bytes.len() + bytes.len()) as u64 > self.most {
            return Err(StoreError::Full);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> StoreResult<(BlobId, u64)> {
        let id = BlobId::of(&self.bytes);
        let size = self.bytes.len() as u64;
        let mut tables = self.tables.lock();
        tables.blobs.insert(id.clone(), self.bytes.into());
        tables.fresh.insert(id.clone());
        Ok((id, size))
    }
}

impl Store for MemoryStore {
    fn start(&self) -> StoreResult<Start> {
        let (seq, conversation, device) = self.tables.lock().start;
        Ok(Start {
            last_seq: Seq(seq),
            last_conversation: ConversationId(conversation),
            last_device: DeviceId(device),
            epoch: 1,
        })
    }

    fn commit(&self, batch: &[Write]) -> StoreResult<()> {
        let fault = {
            let mut faults = self.faults.lock();
            (!faults.is_empty()).then(|| faults.remove(0))
        };
        if let Some(fault) = fault {
            return Err(fault);
        }
        if self.is_full() && !crate::store::erases(batch) {
            return Err(StoreError::Full);
        }
        let mut tables = self.tables.lock();
        for write in batch {
            // What the blobs hold doesn't change within a batch.
            if let Write::BlobRef { id, remove, .. } = write
                && !remove
                && !tables.blobs.contains_key(id)
            {
                return Err(StoreError::Damaged(format!("there is no blob {id}")));
            }
        }
        for write in batch {
            tables.apply(write);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::SeqCst)
    }

    fn history(&self, query: &HistoryQuery) -> StoreResult<Page> {
        let mut events = self.tables.lock().inside(query);
        let skip = query.skip.min(events.len());
        if query.from_end {
            events.truncate(events.len() - skip);
        } else {
            events.drain(..skip);
        }
        let more = events.len() > query.limit;
        if query.from_end {
            events.drain(..events.len().saturating_sub(query.limit));
        } else {
            events.truncate(query.limit);
        }
        Ok(Page { events, more })
    }

    fn count(&self, query: &HistoryQuery) -> StoreResult<u64> {
        let inside = self.tables.lock().inside(query).len();
        Ok(inside.min(query.limit) as u64)
    }

    fn changes(
        &self,
        conversations: &[ConversationId],
        after: Seq,
        upto: Seq,
        limit: usize,
    ) -> StoreResult<Vec<Arc<Event>>> {
        let tables = self.tables.lock();
        let shown = |e: &Event| {
            matches!(e.acceptance, Acceptance::Accepted | Acceptance::Pending) && !e.historical
        };
        let wanted = |e: &Event| {
            e.seq > after && e.seq <= upto && conversations.contains(&e.conversation) && shown(e)
        };
        Ok(tables
            .log
            .values()
            .map(|s| &s.event)
            .filter(|e| wanted(e))
            .take(limit)
            .cloned()
            .collect())
    }

    fn event(&self, seq: Seq) -> StoreResult<Option<Arc<Event>>> {
        Ok(self.tables.lock().log.get(&seq).map(|s| s.event.clone()))
    }

    fn event_by_id(&self, id: EventId) -> StoreResult<Option<Arc<Event>>> {
        Ok(self
            .tables
            .lock()
            .log
            .values()
            .find(|s| s.event.id == id)
            .map(|s| s.event.clone()))
    }

    fn tail(&self, conversation: ConversationId) -> StoreResult<Tail> {
        let tables = self.tables.lock();
        let mut tail = Tail::default();
        let placed = tables.log.values().map(|s| &s.event);
        for event in
            placed.filter(|e| e.conversation == conversation && e.acceptance != Acceptance::Outlier)
        {
            tail.last_seq = tail.last_seq.max(event.seq);
            tail.first_pos = Some(tail.first_pos.map_or(event.pos, |p| p.min(event.pos)));
            if tail.last_pos.is_none_or(|p| p <= event.pos) {
                tail.last_pos = Some(event.pos);
                tail.last_at = event.at;
            }
        }
        tail.waiting = tables.waiting.iter().any(|(c, ..)| *c == conversation);
        Ok(tail)
    }

    fn alias(
        &self,
        conversation: ConversationId,
        scheme: Scheme,
        author: Option<&Address>,
        foreign: &str,
    ) -> StoreResult<Option<AliasHit>> {
        let tables = self.tables.lock();
        let fits = |(c, s, f, a): &(ConversationId, Scheme, String, Address)| {
            *c == conversation
                && *s == scheme
                && f == foreign
                && author.is_none_or(|author| a == author)
        };
        let hits = tables.aliases.iter().filter(|(key, _)| fits(key));
        Ok(hits
            .max_by_key(|(_, seq)| **seq)
            .map(|((.., author), seq)| AliasHit {
                seq: *seq,
                author: author.clone(),
            }))
    }

    fn waiting(
        &self,
        conversation: ConversationId,
        scheme: Scheme,
        foreign: &str,
    ) -> StoreResult<Vec<Seq>> {
        let tables = self.tables.lock();
        let here = tables
            .waiting
            .iter()
            .filter(|(c, s, f, _)| *c == conversation && *s == scheme && f == foreign);
        let mut seqs: Vec<_> = here.map(|(.., seq)| *seq).collect();
        seqs.sort();
        Ok(seqs)
    }

    fn relations(&self, target: EventId, limit: usize) -> StoreResult<Vec<Arc<Event>>> {
        let tables = self.tables.lock();
        let related = tables
            .log
            .values()
            .map(|s| &s.event)
            .filter(|e| e.target() == Some(target));
        Ok(related.take(limit).cloned().collect())
    }

    fn older_than(
        &self,
        conversation: ConversationId,
        before: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<Seq>> {
        let tables = self.tables.lock();
        let old = |e: &&Arc<Event>| {
            e.conversation == conversation
                && e.at < before
                && !matches!(e.content, Content::Erased { .. })
        };
        let mut found: Vec<_> = tables
            .log
            .values()
            .map(|s| &s.event)
            .filter(old)
            .map(|e| (e.at, e.seq))
            .collect();
        found.sort();
        Ok(found.into_iter().take(limit).map(|(_, seq)| seq).collect())
    }

    fn written_by(&self, author: &Address, after: Seq, limit: usize) -> StoreResult<Vec<Seq>> {
        let tables = self.tables.lock();
        let theirs = |e: &&Arc<Event>| {
            e.author == *author && e.seq > after && !matches!(e.content, Content::Erased { .. })
        };
        Ok(tables
            .log
            .values()
            .map(|s| &s.event)
            .filter(theirs)
            .take(limit)
            .map(|e| e.seq)
            .collect())
    }

    fn conversation(&self, id: ConversationId) -> StoreResult<Option<Conversation>> {
        Ok(self.tables.lock().conversations.get(&id).cloned())
    }

    fn conversation_by_key(&self, key: &ConversationKey) -> StoreResult<Option<Conversation>> {
        let tables = self.tables.lock();
        Ok(tables
            .conversations
            .values()
            .rev()
            .find(|c| c.key == *key && !c.destroyed)
            .cloned())
    }

    fn conversations_of(&self, address: &Address) -> StoreResult<Vec<ConversationId>> {
        let tables = self.tables.lock();
        let theirs = |c: &&Conversation| {
            c.pair().is_some_and(|(a, b)| a == address || b == address)
                || tables.members.contains_key(&(c.id, address.clone()))
        };
        Ok(tables
            .conversations
            .values()
            .filter(theirs)
            .map(|c| c.id)
            .collect())
    }

    fn conversations(&self, after: ConversationId, limit: usize) -> StoreResult<Vec<Conversation>> {
        let tables = self.tables.lock();
        Ok(tables
            .conversations
            .values()
            .filter(|c| c.id > after)
            .take(limit)
            .cloned()
            .collect())
    }

    fn members(&self, conversation: ConversationId) -> StoreResult<Vec<Member>> {
        let tables = self.tables.lock();
        Ok(tables
            .members
            .iter()
            .filter(|((c, _), _)| *c == conversation)
            .map(|(_, m)| m.clone())
            .collect())
    }

    fn account(&self, address: &Address) -> StoreResult<Option<Account>> {
        Ok(self.tables.lock().accounts.get(address).cloned())
    }

    fn accounts(&self, after: Option<&Address>, limit: usize) -> StoreResult<Vec<Account>> {
        let tables = self.tables.lock();
        let behind = tables
            .accounts
            .values()
            .filter(|a| after.is_none_or(|after| a.address > *after));
        Ok(behind.take(limit).cloned().collect())
    }

    fn devices(&self, account: &Address) -> StoreResult<Vec<Device>> {
        Ok(self
            .tables
            .lock()
            .devices
            .values()
            .filter(|d| d.account == *account)
            .cloned()
            .collect())
    }

    fn device(&self, id: DeviceId) -> StoreResult<Option<Device>> {
        Ok(self.tables.lock().devices.get(&id).cloned())
    }

    fn document(&self, owner: &Owner, namespace: &str, key: &str) -> StoreResult<Option<Document>> {
        let index = (
            owner.text().to_owned(),
            namespace.to_owned(),
            key.to_owned(),
        );
        Ok(self.tables.lock().documents.get(&index).cloned())
    }

    fn documents(
        &self,
        owner: &Owner,
        namespace: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<Document>> {
        let tables = self.tables.lock();
        let wanted = |((o, n, k), d): &(&DocumentKey, &Document)| {
            o == owner.text()
                && n == namespace
                && k.starts_with(prefix)
                && after.is_none_or(|after| k.as_str() > after)
                && d.value.is_some()
        };
        Ok(tables
            .documents
            .iter()
            .filter(wanted)
            .take(limit)
            .map(|(_, d)| d.clone())
            .collect())
    }

    fn count_documents(&self, owner: &Owner, namespace: &str) -> StoreResult<Bulk> {
        let tables = self.tables.lock();
        let here = tables.documents.iter();
        let here = here.filter(|((o, n, _), _)| o == owner.text() && n == namespace);
        Ok(here.fold(Bulk::default(), |bulk, (_, d)| bulk.with(d)))
    }

    fn documents_since(
        &self,
        owner: &Owner,
        namespace: &str,
        since: Seq,
        limit: usize,
    ) -> StoreResult<Option<Vec<Document>>> {
        let tables = self.tables.lock();
        let floor = tables
            .floors
            .get(&(owner.text().to_owned(), namespace.to_owned()));
        if since > Seq(0) && floor.is_some_and(|floor| since < *floor) {
            return Ok(None);
        }
        let newer = |((o, n, _), d): &(&DocumentKey, &Document)| {
            o == owner.text() && n == namespace && d.version > since
        };
        let mut found: Vec<_> = tables
            .documents
            .iter()
            .filter(newer)
            .map(|(_, d)| d.clone())
            .collect();
        found.sort_by_key(|d| d.version);
        found.truncate(limit);
        Ok(Some(found))
    }

    fn tombstones(&self, upto: Seq, limit: usize) -> StoreResult<Vec<Tombstone>> {
        let tables = self.tables.lock();
        let gone = tables
            .documents
            .iter()
            .filter(|(_, d)| d.value.is_none() && d.version <= upto);
        let mut found: Vec<_> = gone
            .map(|((owner, namespace, key), d)| Tombstone {
                owner: Address::new(owner).map_or(Owner::Node, Owner::Of),
                namespace: namespace.clone(),
                key: key.clone(),
                version: d.version,
            })
            .collect();
        found.sort_by_key(|t| t.version);
        found.truncate(limit);
        Ok(found)
    }

    fn outbox(&self, destination: Option<&str>, limit: usize) -> StoreResult<Vec<OutboxRow>> {
        let tables = self.tables.lock();
        let rows = tables
            .outbox
            .values()
            .filter(|r| destination.is_none_or(|d| r.destination == d));
        Ok(rows.take(limit).cloned().collect())
    }

    fn outbox_heads(&self) -> StoreResult<Vec<OutboxRow>> {
        let tables = self.tables.lock();
        let mut seen = std::collections::HashSet::new();
        let heads = tables.outbox.values();
        let heads = heads.filter(|r| seen.insert(r.destination.clone()));
        Ok(heads.cloned().collect())
    }

    fn blob_writer(&self, most: u64) -> StoreResult<Box<dyn BlobWriter>> {
        Ok(Box::new(Writer {
            tables: self.tables.clone(),
            bytes: Vec::new(),
            most,
        }))
    }

    fn blob_by_slot(&self, slot: &str) -> StoreResult<Option<BlobInfo>> {
        if slot.is_empty() {
            return Ok(None);
        }
        Ok(self
            .tables
            .lock()
            .references
            .iter()
            .find(|r| r.slot == slot)
            .map(|r| r.info.clone()))
    }

    fn read_blob(&self, id: &BlobId, range: Range<u64>) -> StoreResult<Option<Bytes>> {
        let tables = self.tables.lock();
        let referred = tables.references.iter().any(|r| r.info.id == *id);
        if !referred && !tables.fresh.contains(id) {
            return Ok(None);
        }
        Ok(tables.blobs.get(id).map(|bytes| {
            let end = usize::try_from(range.end)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
            bytes.slice(start..end)
        }))
    }

    fn blob_usage(&self, owner: &Address) -> StoreResult<u64> {
        let tables = self.tables.lock();
        let theirs = tables.references.iter().filter(|r| r.info.owner == *owner);
        let sizes: BTreeMap<_, _> = theirs.map(|r| (&r.info.id, r.info.size)).collect();
        Ok(sizes.values().sum())
    }

    fn blobs_of(&self, owner: &Address) -> StoreResult<Vec<(String, BlobInfo)>> {
        let tables = self.tables.lock();
        let theirs = tables.references.iter().filter(|r| r.info.owner == *owner);
        let mut found: Vec<_> = theirs.map(|r| (r.slot.clone(), r.info.clone())).collect();
        found.sort_by_key(|(_, info)| info.created);
        Ok(found)
    }

    fn scrub(&self) -> StoreResult<()> {
        let mut tables = self.tables.lock();
        let mut used = tables.fresh.clone();
        used.extend(tables.references.iter().map(|r| r.info.id.clone()));
        tables.blobs.retain(|id, _| used.contains(id));
        Ok(())
    }

    fn index(&self, _limit: usize) -> StoreResult<usize> {
        // Search reads the log itself here.
        Ok(0)
    }

    fn check(&self) -> StoreResult<Vec<String>> {
        let tables = self.tables.lock();
        let lost = tables
            .members
            .keys()
            .filter(|(c, _)| !tables.conversations.contains_key(c));
        Ok(lost
            .map(|(c, a)| format!("{a} is a member of conversation {c}, which is not there"))
            .collect())
    }
}
