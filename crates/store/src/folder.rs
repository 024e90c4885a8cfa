//! The data folder: what lies where, for whom it is readable, and the lock that keeps a second process out.
//!
//! ```text
//! data/              0700
//!   lock             held while the store is open
//!   log.sqlite       log, shelf, members, outbox … (and -wal, -shm)
//!   search.sqlite    the search index; can be built again from the log
//!   blobs/ab/cdef…   blobs by digest
//!   reserve          room kept back for a full disk
//!   tmp/             blobs on their way in, snapshots for backups; emptied at start
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use sammen_core::store::{StoreError, StoreResult};

use crate::error;

/// An open, locked data folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if it isn't there, locks it and clears away what a crash left in `tmp`.
    pub fn open(root: &Path) -> StoreResult<Self> {
        make_private_folder(root).map_err(error::file)?;
        let lock = private_file(&root.join("lock"), false).map_err(error::file)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(StoreError::TryLater(format!(
                    "{} is in use by another process",
                    root.display()
                )));
            }
            Err(fs::TryLockError::Error(e)) => return Err(error::file(e)),
        }
        let folder = Self {
            root: root.to_owned(),
            _lock: lock,
        };
        make_private_folder(&folder.blobs()).map_err(error::file)?;
        make_private_folder(&folder.tmp()).map_err(error::file)?;
        for entry in fs::read_dir(folder.tmp()).map_err(error::file)? {
            fs::remove_file(entry.map_err(error::file)?.path()).map_err(error::file)?;
        }
        Ok(folder)
    }

    /// The database.
    pub fn log(&self) -> PathBuf {
        self.root.join("log.sqlite")
    }

    /// The search index.
    pub fn search(&self) -> PathBuf {
        self.root.join("search.sqlite")
    }

    /// Room that is kept back.
    pub fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// Where blobs lie.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// Where files lie that a crash may leave behind.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// A name in `tmp` that nobody else uses.
    pub fn tmp_name(&self, what: &str) -> PathBuf {
        self.tmp()
            .join(format!("{what}-{:032x}", rand::random::<u128>()))
    }

    /// Whether the disk takes nothing more.
    pub fn is_full(&self) -> bool {
        let path = self.tmp_name("probe");
        let tried = (|| -> io::Result<()> {
            use std::io::Write as _;
            let mut file = private_file(&path, true)?;
            file.write_all(&[0x5a; 64 * 1024])?;
            file.sync_data()
        })();
        // The probe must not stay; if it can't be removed, the next start does it.
        let _ = fs::remove_file(&path);
        tried.is_err_and(|e| {
            matches!(
                e.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        })
    }
}

/// Makes a folder that only its owner can enter.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Opens (or makes, with `new` only makes) a file that only its owner can read.
pub fn private_file(path: &Path, new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if new {
        options.create_new(true);
    } else {
        options.create(true).truncate(false);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// Makes names in a folder durable: those that came and those that went.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
