//! Moving the write-ahead log into the database, beside the writer: a thread with a connection of its own.
//!
//! ```text
//! commit ── so many frames ──▶ Bell ──▶ thread: PASSIVE passes while commits go on; when the log is long,
//!                                               until little is left, then, the writer held for a moment, the rest
//!                                               and a new start of the log
//! ```
//!
//! SQLite syncs the log before it copies from it, and the database before the log may begin anew, so nothing that was
//! acknowledged depends on when this runs. A reader that holds an old snapshot (a backup) lets the log grow; it begins
//! anew when the reader has gone.

use std::cell::Cell;
use std::os::raw::c_int;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags};
use sammen_core::store::{StoreError, StoreResult};

use crate::commit::Writer;
use crate::error;

/// Each time so many frames have come (a page each, 16 MiB), they are moved.
const SOFT: u32 = 4096;
/// A log of so many frames (64 MiB) begins anew. Commits wait for two syncs of the disk then, so this is seldom.
const ANEW: u32 = 4 * SOFT;
/// From so many frames on (128 MiB) commits wait for it, however much is left.
const HARD: u32 = 2 * ANEW;
/// So many frames may be left for the moment in which commits wait.
const FEW: u32 = 128;
/// Passes beside the writer before it is left for the next time.
const PASSES: usize = 6;
/// How long commits wait for readers of the log, below `HARD` and above.
const PATIENCE: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

thread_local! {
    /// Frames in the log after this thread's last commit.
    static FRAMES: Cell<u32> = const { Cell::new(0) };
}

/// Makes a writer's connection count the frames of its log.
pub fn count_frames(db: &Connection) {
    fn counted(_: &Wal, frames: c_int) -> rusqlite::Result<()> {
        FRAMES.set(u32::try_from(frames).unwrap_or(0));
        Ok(())
    }
    db.wal_hook(Some(counted));
}

/// What the writer rings.
#[derive(Default)]
pub struct Bell {
    /// From how many frames on; 0 is `SOFT`.
    at: AtomicU32,
    state: Mutex<Rung>,
    rung: Condvar,
}

#[derive(Default)]
struct Rung {
    /// With so many frames in the log.
    wanted: Option<u32>,
    ended: bool,
}

impl Bell {
    /// After each commit, on its thread.
    pub fn committed(&self) {
        let frames = FRAMES.get();
        if frames >= self.at.load(Ordering::Relaxed).max(SOFT) {
            // Not again for every commit of the same log.
            self.at.store(u32::MAX, Ordering::Relaxed);
            self.state.lock().wanted = Some(frames);
            self.rung.notify_one();
        }
    }

    /// As if the log were long already: on a full disk it has to be moved soon, so that it can be written from its
    /// beginning again.
    pub fn ring(&self) {
        self.state.lock().wanted = Some(FRAMES.get());
        self.rung.notify_one();
    }

    /// Waits for the next work, with so many frames in the log; `None` at the end.
    fn wait(&self) -> Option<u32> {
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(frames) = state.wanted.take() {
                return Some(frames);
            }
            self.rung.wait(&mut state);
        }
    }
}

/// The thread, as the store has it.
pub struct Checkpoints {
    bell: Arc<Bell>,
    moving: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Begins. The database has to be there.
    pub fn start(path: PathBuf, writer: Arc<Mutex<Writer>>, bell: Arc<Bell>) -> StoreResult<Self> {
        let db = connection(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(error::reading)?;
        let moving = Arc::<Mutex<()>>::default();
        let mut mover = Mover {
            db,
            writer,
            bell: bell.clone(),
            moving: moving.clone(),
            anew: ANEW,
        };
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || {
                while let Some(frames) = mover.bell.wait() {
                    if mover.run(frames).is_err() {
                        break;
                    }
                }
            })
            .map_err(error::file)?;
        Ok(Self {
            bell,
            moving,
            thread: Some(thread),
        })
    }

    /// Nothing is moved meanwhile: who wants the log empty must not meet this thread. Taken before the writer.
    pub fn pause(&self) -> MutexGuard<'_, ()> {
        self.moving.lock()
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.bell.state.lock().ended = true;
        self.bell.rung.notify_one();
        if let Some(thread) = self.thread.take() {
            // It panicked, and said so; there is nothing to add.
            let _ = thread.join();
        }
    }
}

fn connection(path: &std::path::Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(db)
}

/// The work of the thread.
struct Mover {
    db: Connection,
    writer: Arc<Mutex<Writer>>,
    bell: Arc<Bell>,
    moving: Arc<Mutex<()>>,
    /// From how many frames on the log begins anew.
    anew: u32,
}

/// What a pass found.
struct Pass {
    /// Frames in the log.
    frames: u32,
    /// Those of them that are not in the database.
    left: u32,
    /// The log begins anew (as far as that was asked for).
    done: bool,
}

impl Mover {
    /// Moves the log. An error is the end of writing; everything else is tried again when the log has grown.
    fn run(&mut self, frames: u32) -> Result<(), ()> {
        let moving = self.moving.clone();
        let _moving = moving.lock();
        let moved = self.passes();
        let next = match &moved {
            Ok(pass) if pass.done => SOFT,
            Ok(pass) => pass.frames.saturating_add(SOFT),
            // A full disk, for example: what was committed stays in the log.
            Err(_) => frames.saturating_add(SOFT),
        };
        self.bell.at.store(next, Ordering::Relaxed);
        match moved {
            Err(StoreError::Fatal(why)) => {
                tracing::error!(%why, "the write-ahead log can't be moved");
                self.writer.lock().fail(why);
                Err(())
            }
            Err(e) => {
                tracing::warn!(error = %e, "the write-ahead log could not be moved");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    fn passes(&mut self) -> StoreResult<Pass> {
        let mut pass = self.pass("PASSIVE")?;
        if pass.frames < self.anew {
            return Ok(Pass {
                done: false,
                ..pass
            });
        }
        for _ in 1..PASSES {
            if pass.left <= FEW {
                break;
            }
            pass = self.pass("PASSIVE")?;
        }
        let hard = pass.frames >= HARD;
        if pass.left > FEW && !hard {
            return Ok(Pass {
                done: false,
                ..pass
            });
        }
        let writer = self.writer.clone();
        let _still = writer.lock();
        self.db
            .busy_timeout(PATIENCE[usize::from(hard)])
            .map_err(error::reading)?;
        self.pass("RESTART")
    }

    fn pass(&self, how: &str) -> StoreResult<Pass> {
        let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(i64, i64, i64)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        };
        let (busy, frames, moved) = self
            .db
            .query_row(&format!("PRAGMA wal_checkpoint({how})"), [], row)
            .map_err(|e| error::writing(e, || false))?;
        // A checkpoint that did not take place at all says -1.
        let frames = u32::try_from(frames).unwrap_or(0);
        Ok(Pass {
            frames,
            left: frames.saturating_sub(u32::try_from(moved).unwrap_or(0)),
            done: busy == 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use sammen_core::Seq;
    use sammen_core::store::{Store as _, Write};
    use sammen_testkit::store_suite::{room, says};

    use super::*;
    use crate::SqliteStore;

    /// A store, and a mover that only moves when it is told.
    fn store(folder: &std::path::Path, mode: OpenFlags) -> (SqliteStore, Mover) {
        let store = SqliteStore::open(folder).unwrap();
        store
            .commit(&[Write::Conversation(room(1).into())])
            .unwrap();
        let mover = Mover {
            db: connection(&store.folder().log(), mode).unwrap(),
            writer: store.writer().clone(),
            bell: Arc::default(),
            moving: Arc::default(),
            anew: 0,
        };
        (store, mover)
    }

    fn write(store: &SqliteStore, seqs: std::ops::Range<u64>) {
        let text = "x".repeat(2000);
        let events: Vec<Write> = seqs
            .map(|n| Write::Event(Arc::new(says(n, 1, &text))))
            .collect();
        store.commit(&events).unwrap();
    }

    #[test]
    fn a_moved_log_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut mover) = store(folder.path(), OpenFlags::SQLITE_OPEN_READ_WRITE);
        write(&store, 1..200);
        let before = FRAMES.get();
        assert!(before > 50, "{before}");
        mover.run(FRAMES.get()).unwrap();
        assert_eq!(mover.bell.at.load(Ordering::Relaxed), SOFT);
        write(&store, 200..201);
        assert!(FRAMES.get() < 50, "{}", FRAMES.get());
        assert!(store.event(Seq(1)).unwrap().is_some());
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_reader_in_the_way_only_puts_it_off() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut mover) = store(folder.path(), OpenFlags::SQLITE_OPEN_READ_WRITE);
        write(&store, 1..100);
        let reader = connection(&store.folder().log(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let count = || -> i64 {
            reader
                .query_row("SELECT count(*) FROM log", [], |r| r.get(0))
                .unwrap()
        };
        reader.execute_batch("BEGIN").unwrap();
        assert_eq!(count(), 99);
        write(&store, 100..300);
        let before = FRAMES.get();
        mover.run(FRAMES.get()).unwrap();
        assert_ne!(mover.bell.at.load(Ordering::Relaxed), SOFT);
        write(&store, 300..301);
        assert!(FRAMES.get() > before);
        assert_eq!(count(), 99, "its snapshot stays as it was");
        reader.execute_batch("COMMIT").unwrap();
        assert_eq!(count(), 300);
        mover.run(FRAMES.get()).unwrap();
        write(&store, 301..302);
        assert!(FRAMES.get() < before);
    }

    #[test]
    fn a_database_that_takes_nothing_ends_writing() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut mover) = store(folder.path(), OpenFlags::SQLITE_OPEN_READ_ONLY);
        write(&store, 1..10);
        mover.run(FRAMES.get()).unwrap_err();
        let refused = store.commit(&[Write::Conversation(room(2).into())]);
        assert!(matches!(refused, Err(StoreError::Fatal(_))), "{refused:?}");
    }

    #[test]
    fn the_log_stays_bounded_under_a_writer_that_never_rests() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path()).unwrap();
        store
            .commit(&[Write::Conversation(room(1).into())])
            .unwrap();
        // About 30,000 frames.
        for n in 0..150 {
            write(&store, 1 + n * 300..1 + (n + 1) * 300);
        }
        let wal = folder.path().join("log.sqlite-wal");
        let size = std::fs::metadata(&wal).unwrap().len();
        assert!(size < u64::from(2 * HARD) * 4120, "{size}");
        assert_eq!(store.start().unwrap().last_seq, Seq(45_000));
        drop(store);
        assert!(!wal.exists(), "the thread let go of the database");
    }
}
