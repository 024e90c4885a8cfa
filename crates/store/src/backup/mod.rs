//! Backup of a running node and its restoration somewhere else.
//!
//! A backup is one sealed stream (see [`seal`]) of files: a snapshot of the database, the blobs it refers to, and what
//! else the node keeps in files (keys, certificates). Restoring makes a new data folder with a new epoch: clients
//! resynchronise, one-time documents are gone, and the outbox is held for review.

pub mod seal;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use sammen_core::Timestamp;
use sammen_core::blob::BlobId;
use sammen_core::store::StoreError;

use crate::folder::{make_private_folder, private_file, sync_folder};
use crate::log::collect;
use crate::sqlite::SqliteStore;
use crate::{error, migrate};
use seal::{Key, Opener, Sealer};

/// Why a backup or its restoration failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Reading or writing files, or the stream is not what it must be.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// There is something already.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// A file's name leads elsewhere.
    #[error("a file of the backup has an impossible name: {0:?}")]
    Name(String),
    /// It ends without its database.
    #[error("the backup has no database")]
    NoDatabase,
}

/// A file beside the store that a backup takes along.
#[derive(Clone, Debug)]
pub struct Extra {
    /// Its name in the backup: relative, with `/`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// What a backup or a restoration held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Blobs.
    pub blobs: u64,
    /// Names of the extra files.
    pub extras: Vec<String>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Rows of the outbox that a restoration holds back.
    pub held: u64,
}

const DATABASE: &str = "log.sqlite";
const FILE: u8 = b'F';
const END: u8 = b'E';
/// Longest name of a file.
const LONGEST_NAME: usize = 1024;

impl SqliteStore {
    /// Writes a backup of this moment, `made`, while the node runs on. The snapshot stands in the data folder meanwhile.
    pub fn backup(
        &self,
        out: &mut dyn Write,
        key: &Key,
        extras: &[Extra],
        made: Timestamp,
    ) -> Result<Summary, BackupError> {
        // From before the snapshot on: what it refers to stays.
        let _hold = self.blobs().hold();
        let snapshot = Temporary(self.folder().tmp_name("backup"));
        // Its owner's alone from the start.
        private_file(&snapshot.0, true)?;
        let db = Connection::open(self.folder().log()).map_err(error::reading)?;
        db.busy_timeout(std::time::Duration::from_secs(5))
            .map_err(error::reading)?;
        db.execute("VACUUM INTO ?1", params![snapshot.0.to_string_lossy()])
            .map_err(|e| error::writing(e, || false))?;
        drop(db);
        let copy = Connection::open(&snapshot.0).map_err(error::reading)?;
        let blobs: Vec<String> = copy
            .prepare("SELECT DISTINCT digest FROM blob_ref ORDER BY digest")
            .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
            .map_err(error::reading)?;
        drop(copy);

        let mut summary = Summary::default();
        let mut stream = Sealer::new(out, key, rand::random(), made)?;
        put(&mut stream, DATABASE, &snapshot.0, &mut summary)?;
        for digest in blobs {
            let id = BlobId(digest);
            let path = self
                .blobs()
                .path(&id)
                .ok_or_else(|| BackupError::Name(id.0.clone()))?;
            let (folder, rest) = id.0.split_at(2);
            put(
                &mut stream,
                &format!("blobs/{folder}/{rest}"),
                &path,
                &mut summary,
            )?;
            summary.blobs += 1;
        }
        for extra in extras {
            let name = format!("extra/{}", extra.name);
            relative(&name)?;
            put(&mut stream, &name, &extra.path, &mut summary)?;
            summary.extras.push(extra.name.clone());
        }
        stream.write_all(&[END])?;
        stream.finish()?;
        Ok(summary)
    }
}

/// Makes a data folder from a backup. `target` must not be there or be empty; it appears only when all is well. Extra
/// files are in its folder `extra`. Documents of the namespaces `one_time` (one-time keys and the like) are left out.
pub fn restore(
    input: impl Read,
    target: &Path,
    key: &Key,
    one_time: &[&str],
) -> Result<Summary, BackupError> {
    if target.exists() && fs::read_dir(target)?.next().is_some() {
        return Err(BackupError::NotEmpty(target.to_owned()));
    }
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    let partial = target.with_file_name(name);
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    make_private_folder(&partial)?;
    let unpacked = unpack(input, &partial, key, one_time);
    if unpacked.is_err() {
        fs::remove_dir_all(&partial)?;
        return unpacked;
    }
    if target.exists() {
        fs::remove_dir(target)?;
    }
    fs::rename(&partial, target)?;
    if let Some(parent) = target.parent().filter(|p| !p.as_os_str().is_empty()) {
        sync_folder(parent)?;
    }
    unpacked
}

/// Deletes the backups in a folder that say that they were made before `before`, and returns their paths: what was
/// erased here is not kept there for ever. Other files stay, and so does what cannot be read.
pub fn expire(folder: &Path, before: Timestamp) -> io::Result<Vec<PathBuf>> {
    let mut gone = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let path = entry.path();
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if seal::made(file)?.is_some_and(|made| made < before) {
            fs::remove_file(&path)?;
            gone.push(path);
        }
    }
    if !gone.is_empty() {
        sync_folder(folder)?;
    }
    gone.sort();
    Ok(gone)
}

/// A file that goes again.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Should it fail, the next start empties the folder.
        let _ = fs::remove_file(&self.0);
    }
}

fn put(stream: &mut impl Write, name: &str, path: &Path, summary: &mut Summary) -> io::Result<()> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    stream.write_all(&[FILE])?;
    stream.write_all(&(name.len() as u16).to_be_bytes())?;
    stream.write_all(name.as_bytes())?;
    stream.write_all(&length.to_be_bytes())?;
    let copied = io::copy(&mut file.take(length), stream)?;
    if copied != length {
        return Err(io::Error::other(format!(
            "{} became shorter",
            path.display()
        )));
    }
    summary.bytes += length;
    Ok(())
}

/// A name that stays inside the folder.
fn relative(name: &str) -> Result<&Path, BackupError> {
    let plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-@+".contains(&b))
    };
    let inside = name == DATABASE || name.starts_with("blobs/") || name.starts_with("extra/");
    if name.len() > LONGEST_NAME || !inside || !name.split('/').all(plain) {
        return Err(BackupError::Name(name.to_owned()));
    }
    Ok(Path::new(name))
}

fn unpack(
    input: impl Read,
    folder: &Path,
    key: &Key,
    one_time: &[&str],
) -> Result<Summary, BackupError> {
    let mut stream = Opener::new(input, key)?;
    let mut summary = Summary::default();
    loop {
        let mut kind = [0; 1];
        stream.read_exact(&mut kind)?;
        match kind[0] {
            END => break,
            FILE => {}
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "an entry of an unknown kind",
                )
                .into());
            }
        }
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut name = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut name)?;
        let name = String::from_utf8(name).map_err(|e| BackupError::Name(e.to_string()))?;
        let path = folder.join(relative(&name)?);
        let mut length = [0; 8];
        stream.read_exact(&mut length)?;
        let length = u64::from_be_bytes(length);
        if let Some(parent) = path.parent() {
            make_private_folder(parent)?;
        }
        let mut file = private_file(&path, true)?;
        if io::copy(&mut (&mut stream).take(length), &mut file)? != length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        file.sync_all()?;
        summary.bytes += length;
        if name.starts_with("blobs/") {
            summary.blobs += 1;
        } else if let Some(extra) = name.strip_prefix("extra/") {
            summary.extras.push(extra.to_owned());
        }
    }
    if stream.read(&mut [0; 1])? != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "something follows the end").into());
    }
    if !folder.join(DATABASE).is_file() {
        return Err(BackupError::NoDatabase);
    }
    summary.held = begin_anew(&folder.join(DATABASE), one_time)?;
    sync_all_folders(folder)?;
    Ok(summary)
}

/// A new epoch; what may be used once is gone; what wanted to be sent is held.
fn begin_anew(path: &Path, one_time: &[&str]) -> Result<u64, StoreError> {
    let mut db = Connection::open(path).map_err(error::reading)?;
    let set_up = || -> rusqlite::Result<()> {
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "secure_delete", true)
    };
    set_up().map_err(error::reading)?;
    migrate::migrate_to(&mut db, migrate::newest())?;
    let mut change = || -> rusqlite::Result<u64> {
        let tx = db.transaction()?;
        migrate::new_epoch(&tx)?;
        for namespace in one_time {
            tx.execute(
                "DELETE FROM document WHERE namespace = ?1",
                params![namespace],
            )?;
        }
        let held = tx.execute("UPDATE outbox SET next = ?1", params![i64::MAX])?;
        tx.commit()?;
        Ok(held as u64)
    };
    let held = change().map_err(|e| error::writing(e, || false))?;
    let faults: Vec<String> = db
        .prepare_cached("PRAGMA integrity_check(1)")
        .and_then(|s| collect(s, [], |r| r.get(0)))
        .map_err(error::reading)?;
    if faults != ["ok"] {
        return Err(StoreError::Damaged(faults.join("; ")));
    }
    Ok(held)
}

fn sync_all_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all_folders(&entry.path())?;
        }
    }
    sync_folder(folder)
}
