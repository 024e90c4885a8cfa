//! [`SqliteStore`]: the port, answered by the modules beside this one.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};
use sammen_core::account::{Account, Device};
use sammen_core::blob::BlobId;
use sammen_core::conversation::{Conversation, ConversationKey};
use sammen_core::document::{Bulk, Document, Owner, Tombstone};
use sammen_core::event::{Event, Scheme};
use sammen_core::member::Member;
use sammen_core::network::OutboxRow;
use sammen_core::store::{
    AliasHit, BlobInfo, BlobWriter, HistoryQuery, Page, Start, Store, StoreError, StoreResult,
    Tail, Write, erases,
};
use sammen_core::{Address, ConversationId, DeviceId, EventId, Seq, Timestamp};

use crate::blobs::{Blobs, RealDisk};
use crate::checkpoint::{self, Bell, Checkpoints};
use crate::commit::{Meta, Writer};
use crate::folder::{Folder, private_file, sync_folder};
use crate::give_back::{self, Steps};
use crate::history::Found;
use crate::names::Names;
use crate::pool::{Pool, Reader, keep_plans};
use crate::reserve::Reserve;
use crate::scrub::Worth;
use crate::search::Search;
use crate::{changes, check, error, history, log, migrate, scrub, shelf};

/// The store of one data folder.
pub struct SqliteStore {
    // Dropped before the writer, which then can close the write-ahead log.
    checkpoints: Checkpoints,
    readers: Pool,
    writer: Arc<Mutex<Writer>>,
    names: Arc<Names>,
    search: Search,
    blobs: Arc<Blobs>,
    retained: crate::retained::Retained,
    reserve: Reserve,
    bell: Arc<Bell>,
    folder: Folder,
}

impl SqliteStore {
    /// Opens a data folder, making it where there is none, bringing an older one up to date. Only one process can.
    pub fn open(path: impl AsRef<Path>) -> StoreResult<Self> {
        let folder = Folder::open(path.as_ref())?;
        let mut db = open_writer(&folder).map_err(|e| error::writing(e, || folder.is_full()))?;
        migrate::migrate_to(&mut db, migrate::newest())?;
        sync_folder(path.as_ref()).map_err(error::file)?;
        let names = Arc::<Names>::default();
        let bell = Arc::<Bell>::default();
        let writer = Writer::new(db, names.clone(), bell.clone())?;
        let writer = Arc::new(Mutex::new(writer));
        Ok(Self {
            checkpoints: Checkpoints::start(folder.log(), writer.clone(), bell.clone())?,
            bell,
            reserve: Reserve::open(folder.reserve()),
            writer,
            readers: Pool::new(folder.log()),
            names,
            search: Search::open(&folder)?,
            blobs: Arc::new(Blobs::new(folder.blobs(), Box::new(RealDisk))),
            retained: crate::retained::Retained::default(),
            folder,
        })
    }

    /// Gives the room of erased events back to the disk. Writes the whole database anew, and commits wait meanwhile.
    pub fn compact(&self) -> StoreResult<()> {
        let _pause = self.checkpoints.pause();
        scrub::compact(&mut self.writer.lock())
    }

    /// The same, if it is worth it: says whether. Part of each scrub.
    pub fn compact_if(&self, worth: Worth) -> StoreResult<bool> {
        if self.writer.lock().erased.is_none() {
            let erased = scrub::count_erased(&*self.reader()?)?;
            self.writer.lock().erased.get_or_insert(erased);
        }
        if self.is_full() || !scrub::is_worth(&self.writer.lock(), worth)? {
            return Ok(false);
        }
        tracing::info!("much was erased: the database is written anew, and commits wait meanwhile");
        self.compact()?;
        Ok(true)
    }

    /// Gives room back in steps, without making commits wait: returns how many bytes. Part of each scrub where the
    /// database is too large to be written anew.
    pub fn give_back(&self, steps: Steps) -> StoreResult<u64> {
        if self.is_full() {
            return Ok(0);
        }
        let (erased, left) = {
            let writer = self.writer.lock();
            (writer.erased.unwrap_or(0), writer.left.unwrap_or(0))
        };
        if erased.saturating_sub(left) >= steps.gain {
            let small = give_back::shrink(&*self.reader()?, &self.writer, steps)?;
            tracing::info!(bytes = small, "rows of erased events were made small");
            let mut writer = self.writer.lock();
            writer.left = writer.erased;
        }
        let cut = give_back::cut(&self.writer, steps)?;
        if cut > 0 {
            let _pause = self.checkpoints.pause();
            scrub::truncate_wal(&self.writer.lock().db)?;
        }
        Ok(cut)
    }

    #[cfg(test)]
    pub(crate) fn writer(&self) -> &Arc<Mutex<Writer>> {
        &self.writer
    }

    pub(crate) fn reader(&self) -> StoreResult<Reader<'_>> {
        self.readers.reader()
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// What search knows, where the query asks for words.
    fn found(&self, query: &HistoryQuery) -> StoreResult<Option<Found>> {
        let Some(text) = &query.text else {
            return Ok(None);
        };
        let conversations: Vec<ConversationId> = query.sources.iter().map(|s| s.0).collect();
        self.search.find(text, &conversations).map(Some)
    }

    fn scrub_once(&self) -> StoreResult<()> {
        // The words of erased events leave the search index first, durably; then the log forgets that they had to.
        self.search.index(&*self.reader()?, &self.names, 0)?;
        let forgotten = self.search.scrub()?;
        self.blobs.sweep(|id, remove| {
            // No batch can refer to it meanwhile.
            let writer = self.writer.lock();
            let referred: Option<i64> = writer
                .db
                .prepare_cached("SELECT 1 FROM blob_ref WHERE digest = ?1 LIMIT 1")
                .and_then(|mut s| s.query_row(params![id.0], |r| r.get(0)).optional())
                .map_err(error::reading)?;
            match referred {
                Some(_) => Ok(()),
                None => remove().map_err(error::file),
            }
        })?;
        let _pause = self.checkpoints.pause();
        scrub::scrub(&mut self.writer.lock(), forgotten)
    }

    /// Nothing is lost when it fails, and the reserve is not for it.
    fn compact_usually(&self) -> StoreResult<()> {
        let done = match self.compact_if(Worth::USUAL) {
            Ok(false) => self.give_back(Steps::USUAL).map(|_| ()),
            other => other.map(|_| ()),
        };
        match done {
            Err(error @ (StoreError::Full | StoreError::TryLater(_))) => {
                tracing::warn!(%error, "the room of what was erased could not be given back yet");
                Ok(())
            }
            other => other,
        }
    }
}

fn open_writer(folder: &Folder) -> rusqlite::Result<Connection> {
    let path = folder.log();
    // So that the file is its owner's alone from the start; an error shows when it is opened.
    let _ = private_file(&path, false);
    let db = Connection::open(&path)?;
    db.set_prepared_statement_cache_capacity(64);
    keep_plans(&db)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.pragma_update(None, "page_size", PAGE)?;
    // Of a new file; for an older one it holds from its first compaction on.
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "secure_delete", true)?;
    // `checkpoint.rs` does it, so that commits need not wait and a failed fsync is seen.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    checkpoint::count_frames(&db);
    db.pragma_update(None, "cache_size", -32_768)?;
    Ok(db)
}

const PAGE: i64 = 4096;

impl Store for SqliteStore {
    fn start(&self) -> StoreResult<Start> {
        let db = self.reader()?;
        let read = || -> rusqlite::Result<Start> {
            let meta = Meta::read(&db)?;
            let log: Option<i64> = db.query_row("SELECT max(seq) FROM log", [], |r| r.get(0))?;
            let epoch: i64 =
                db.query_row("SELECT value FROM meta WHERE name = 'epoch'", [], |r| {
                    r.get(0)
                })?;
            Ok(Start {
                last_seq: Seq(meta.seq.max(log.unwrap_or(0) as u64)),
                last_conversation: ConversationId(meta.conversation),
                last_device: DeviceId(meta.device),
                epoch: epoch as u64,
            })
        };
        read().map_err(error::reading)
    }

    fn commit(&self, batch: &[Write]) -> StoreResult<()> {
        let mut writer = self.writer.lock();
        if !self.reserve.is_kept() && !self.reserve.make() && !erases(batch) {
            return Err(StoreError::Full);
        }
        match writer.commit(&self.folder, &self.blobs, batch) {
            // Whatever meets the end of the disk first still finds room: it may bring something that erases.
            Err(StoreError::Full) if self.reserve.release() => {
                writer.commit(&self.folder, &self.blobs, batch)
            }
            other => other,
        }?;
        if !self.reserve.is_kept() {
            self.bell.ring();
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        !self.reserve.is_kept()
    }

    fn history(&self, query: &HistoryQuery) -> StoreResult<Page> {
        let found = self.found(query)?;
        snapshot(&*self.reader()?, |db| {
            history::history(db, &self.names, query, found.as_ref())
        })
    }

    fn count(&self, query: &HistoryQuery) -> StoreResult<u64> {
        let found = self.found(query)?;
        snapshot(&*self.reader()?, |db| {
            history::count(db, &self.names, query, found.as_ref())
        })
    }

    fn changes(
        &self,
        conversations: &[ConversationId],
        after: Seq,
        upto: Seq,
        limit: usize,
    ) -> StoreResult<Vec<Arc<Event>>> {
        snapshot(&*self.reader()?, |db| {
            changes::changes(db, &self.names, conversations, after, upto, limit)
        })
    }

    fn event(&self, seq: Seq) -> StoreResult<Option<Arc<Event>>> {
        snapshot(&*self.reader()?, |db| {
            Ok(log::event_row(db, &self.names, seq)?.map(Arc::new))
        })
    }

    fn event_by_id(&self, id: EventId) -> StoreResult<Option<Arc<Event>>> {
        snapshot(&*self.reader()?, |db| {
            Ok(log::event_by_id(db, &self.names, id)?.map(Arc::new))
        })
    }

    fn tail(&self, conversation: ConversationId) -> StoreResult<Tail> {
        snapshot(&*self.reader()?, |db| log::tail(db, conversation))
    }

    fn alias(
        &self,
        conversation: ConversationId,
        scheme: Scheme,
        author: Option<&Address>,
        foreign: &str,
    ) -> StoreResult<Option<AliasHit>> {
        log::alias(
            &*self.reader()?,
            &self.names,
            conversation,
            scheme,
            author,
            foreign,
        )
    }

    fn waiting(
        &self,
        conversation: ConversationId,
        scheme: Scheme,
        foreign: &str,
    ) -> StoreResult<Vec<Seq>> {
        log::waiting(&*self.reader()?, conversation, scheme, foreign)
    }

    fn relations(&self, target: EventId, limit: usize) -> StoreResult<Vec<Arc<Event>>> {
        snapshot(&*self.reader()?, |db| {
            log::relations(db, &self.names, target, limit)
        })
    }

    fn older_than(
        &self,
        conversation: ConversationId,
        before: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<Seq>> {
        snapshot(&*self.reader()?, |db| {
            let from = self.retained.from(db, conversation)?;
            log::older_than(db, conversation, before, limit, from)
        })
    }

    fn written_by(&self, author: &Address, after: Seq, limit: usize) -> StoreResult<Vec<Seq>> {
        log::written_by(&*self.reader()?, &self.names, author, after, limit)
    }

    fn conversation(&self, id: ConversationId) -> StoreResult<Option<Conversation>> {
        shelf::conversation(&*self.reader()?, id)
    }

    fn conversation_by_key(&self, key: &ConversationKey) -> StoreResult<Option<Conversation>> {
        shelf::conversation_by_key(&*self.reader()?, key)
    }

    fn conversations_of(&self, address: &Address) -> StoreResult<Vec<ConversationId>> {
        shelf::conversations_of(&*self.reader()?, address)
    }

    fn conversations(&self, after: ConversationId, limit: usize) -> StoreResult<Vec<Conversation>> {
        shelf::conversations(&*self.reader()?, after, limit)
    }

    fn members(&self, conversation: ConversationId) -> StoreResult<Vec<Member>> {
        shelf::members(&*self.reader()?, conversation)
    }

    fn account(&self, address: &Address) -> StoreResult<Option<Account>> {
        shelf::account(&*self.reader()?, address)
    }

    fn accounts(&self, after: Option<&Address>, limit: usize) -> StoreResult<Vec<Account>> {
        shelf::accounts(&*self.reader()?, after, limit)
    }

    fn devices(&self, account: &Address) -> StoreResult<Vec<Device>> {
        shelf::devices(&*self.reader()?, account)
    }

    fn device(&self, id: DeviceId) -> StoreResult<Option<Device>> {
        shelf::device(&*self.reader()?, id)
    }

    fn document(&self, owner: &Owner, namespace: &str, key: &str) -> StoreResult<Option<Document>> {
        shelf::document(&*self.reader()?, owner, namespace, key)
    }

    fn documents(
        &self,
        owner: &Owner,
        namespace: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<Document>> {
        shelf::documents(&*self.reader()?, owner, namespace, prefix, after, limit)
    }

    fn count_documents(&self, owner: &Owner, namespace: &str) -> StoreResult<Bulk> {
        shelf::count_documents(&*self.reader()?, owner, namespace)
    }

    fn documents_since(
        &self,
        owner: &Owner,
        namespace: &str,
        since: Seq,
        limit: usize,
    ) -> StoreResult<Option<Vec<Document>>> {
        snapshot(&*self.reader()?, |db| {
            shelf::documents_since(db, owner, namespace, since, limit)
        })
    }

    fn tombstones(&self, upto: Seq, limit: usize) -> StoreResult<Vec<Tombstone>> {
        shelf::tombstones(&*self.reader()?, upto, limit)
    }

    fn outbox(&self, destination: Option<&str>, limit: usize) -> StoreResult<Vec<OutboxRow>> {
        shelf::outbox(&*self.reader()?, destination, limit)
    }

    fn outbox_heads(&self) -> StoreResult<Vec<OutboxRow>> {
        shelf::outbox_heads(&*self.reader()?)
    }

    fn blob_writer(&self, most: u64) -> StoreResult<Box<dyn BlobWriter>> {
        self.blobs.writer(&self.folder, most)
    }

    fn blob_by_slot(&self, slot: &str) -> StoreResult<Option<BlobInfo>> {
        let found = shelf::references(
            &*self.reader()?,
            "slot = ?1 AND slot <> '' ORDER BY number LIMIT 1",
            slot,
        )?;
        Ok(found.into_iter().next().map(|(_, info)| info))
    }

    fn read_blob(&self, id: &BlobId, range: Range<u64>) -> StoreResult<Option<Bytes>> {
        let referred = self.blobs.is_fresh(id) || shelf::is_referred(&*self.reader()?, id)?;
        if !referred {
            return Ok(None);
        }
        self.blobs.read(id, range)
    }

    fn blob_usage(&self, owner: &Address) -> StoreResult<u64> {
        shelf::blob_usage(&*self.reader()?, owner)
    }

    fn blobs_of(&self, owner: &Address) -> StoreResult<Vec<(String, BlobInfo)>> {
        shelf::references(
            &*self.reader()?,
            "owner = ?1 ORDER BY created, number",
            owner.as_str(),
        )
    }

    fn scrub(&self) -> StoreResult<()> {
        match self.scrub_once() {
            Err(StoreError::Full) if self.reserve.release() => self.scrub_once(),
            other => other,
        }?;
        self.compact_usually()
    }
    fn index(&self, limit: usize) -> StoreResult<usize> {
        self.search.index(&*self.reader()?, &self.names, limit)
    }

    fn check(&self) -> StoreResult<Vec<String>> {
        let mut faults = self.search.check()?;
        let reader = self.reader()?;
        faults.extend(snapshot(&reader, |db| check::log(db, &self.names))?);
        faults.extend(check::blobs(&reader, &self.blobs)?);
        Ok(faults)
    }
}

/// One snapshot for several statements.
fn snapshot<T>(
    db: &Connection,
    read: impl FnOnce(&Connection) -> StoreResult<T>,
) -> StoreResult<T> {
    let say = |word: &str| {
        db.prepare_cached(word)
            .and_then(|mut s| s.execute([]))
            .map_err(error::reading)
    };
    say("BEGIN")?;
    let result = read(db);
    say("COMMIT")?;
    result
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sammen_core::Conversation;
    use sammen_core::store::{Store, StoreError, Write};
    use sammen_testkit::store_suite::{room, says};

    use super::SqliteStore;

    #[test]
    fn a_full_disk_refuses_batches_whole_and_lets_writing_resume() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path()).unwrap();
        let limit = |pages: i64| {
            let writer = store.writer.lock();
            let set = |r: &rusqlite::Row<'_>| r.get::<_, i64>(0);
            let pragma = format!("PRAGMA max_page_count = {pages}");
            writer.db.query_row(&pragma, [], set).unwrap();
        };
        let town: Arc<Conversation> = room(1).into();
        store.commit(&[Write::Conversation(town)]).unwrap();
        limit(1);
        let batch = |from: u64| -> Vec<Write> {
            let text = "x".repeat(3000);
            let event = |n| Write::Event(Arc::new(says(n, 1, &text)));
            (from..from + 50).map(event).collect()
        };
        let refused = store.commit(&batch(1));
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
        assert_eq!(store.event(sammen_core::Seq(1)).unwrap(), None);
        limit(1_000_000);
        store.commit(&batch(1)).unwrap();
        assert_eq!(store.start().unwrap().last_seq.0, 50);
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn after_a_fatal_failure_nothing_is_written_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path()).unwrap();
        store.writer.lock().fail("fsync failed".into());
        let refused = store.commit(&[Write::Conversation(room(1).into())]);
        assert!(matches!(refused, Err(StoreError::Fatal(_))));
        assert_eq!(
            store.conversation(sammen_core::ConversationId(1)).unwrap(),
            None
        );
    }
}
