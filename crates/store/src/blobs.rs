//! Blobs on disk, by digest: written aside, made durable, then given their name.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use ring::digest;
use sammen_core::blob::BlobId;
use sammen_core::store::{BlobWriter, StoreError, StoreResult, Write};

use crate::error;
use crate::folder::{Folder, make_private_folder, private_file, sync_folder};

/// Most bytes of one reading.
const MOST_AT_ONCE: u64 = 64 * 1024 * 1024;

/// What makes a blob durable, so that a test can watch the order.
pub trait Disk: Send + Sync {
    /// fsync of a file.
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()>;
    /// Gives the file its name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// fsync of a folder.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The real one.
pub struct RealDisk;

impl Disk for RealDisk {
    fn sync_file(&self, file: &File, _: &Path) -> io::Result<()> {
        file.sync_all()
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        sync_folder(path)
    }
}

/// The blobs of a data folder.
pub struct Blobs {
    root: PathBuf,
    disk: Box<dyn Disk>,
    /// A folder is made and made durable before anyone relies on it.
    folders: Mutex<()>,
    /// Finished, not yet referred to: size, and how many sweeps it has survived.
    fresh: Mutex<HashMap<BlobId, (u64, u32)>>,
    /// Backups that are running: while there are any, nothing is swept.
    held: AtomicUsize,
    /// Whether a sweep could find something.
    worth_sweeping: std::sync::atomic::AtomicBool,
}

/// While it lives, no blob goes.
pub struct Hold<'a>(&'a Blobs);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Blobs {
    /// The blobs in this folder.
    pub fn new(root: PathBuf, disk: Box<dyn Disk>) -> Self {
        Self {
            root,
            disk,
            folders: Mutex::new(()),
            fresh: Mutex::default(),
            held: AtomicUsize::new(0),
            worth_sweeping: true.into(),
        }
    }

    /// Where a blob lies; `None` where the text is no digest.
    pub fn path(&self, id: &BlobId) -> Option<PathBuf> {
        BlobId::parse(&id.0)?;
        let (folder, name) = id.0.split_at(2);
        Some(self.root.join(folder).join(name))
    }

    /// Its size, if its file is there.
    pub fn size(&self, id: &BlobId) -> StoreResult<Option<u64>> {
        if let Some((size, _)) = self.fresh.lock().get(id) {
            return Ok(Some(*size));
        }
        let Some(path) = self.path(id) else {
            return Ok(None);
        };
        match fs::metadata(path) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(error::file(e)),
        }
    }

    /// Whether it was finished and is not yet referred to.
    pub fn is_fresh(&self, id: &BlobId) -> bool {
        self.fresh.lock().contains_key(id)
    }

    /// What a committed batch refers to is no longer fresh; what it lets go may be swept.
    pub fn committed(&self, batch: &[Write]) {
        for write in batch {
            if let Write::MoveShelf { .. } = write {
                self.worth_sweeping.store(true, Ordering::SeqCst);
            }
            if let Write::BlobRef { id, remove, .. } = write {
                if *remove {
                    self.worth_sweeping.store(true, Ordering::SeqCst);
                } else {
                    self.fresh.lock().remove(id);
                }
            }
        }
    }

    /// Keeps all blobs for the length of a backup.
    pub fn hold(&self) -> Hold<'_> {
        self.held.fetch_add(1, Ordering::SeqCst);
        Hold(self)
    }

    /// Begins a blob.
    pub fn writer(
        self: &Arc<Self>,
        folder: &Folder,
        most: u64,
    ) -> StoreResult<Box<dyn BlobWriter>> {
        let path = folder.tmp_name("blob");
        let file = private_file(&path, true).map_err(error::file)?;
        Ok(Box::new(Incoming {
            blobs: self.clone(),
            file,
            path,
            digest: digest::Context::new(&digest::SHA256),
            size: 0,
            most,
            named: false,
        }))
    }

    /// Bytes of a blob.
    pub fn read(&self, id: &BlobId, range: Range<u64>) -> StoreResult<Option<Bytes>> {
        let Some(path) = self.path(id) else {
            return Ok(None);
        };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(error::file(e)),
        };
        let size = file.metadata().map_err(error::file)?.len();
        let start = range.start.min(size);
        let length = range.end.min(size).saturating_sub(start).min(MOST_AT_ONCE);
        file.seek(io::SeekFrom::Start(start)).map_err(error::file)?;
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(length)
            .read_to_end(&mut bytes)
            .map_err(error::file)?;
        Ok(Some(bytes.into()))
    }

    /// All blobs that have a file.
    pub fn all(&self) -> io::Result<Vec<(BlobId, PathBuf)>> {
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.root)? {
            let folder = folder?;
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                let name = format!(
                    "{}{}",
                    folder.file_name().to_string_lossy(),
                    file.file_name().to_string_lossy()
                );
                if let Some(id) = BlobId::parse(&name) {
                    found.push((id, file.path()));
                }
            }
        }
        Ok(found)
    }

    /// Removes the files of blobs that nothing refers to. `unreferred` is asked with everything shut out that could
    /// refer to the blob meanwhile, and removes it through the closure it is given.
    pub fn sweep(
        &self,
        mut unreferred: impl FnMut(&BlobId, &dyn Fn() -> io::Result<()>) -> StoreResult<()>,
    ) -> StoreResult<()> {
        let has_fresh = {
            let mut fresh = self.fresh.lock();
            // What nobody referred to for the time of two sweeps was given up.
            fresh.retain(|_, (_, age)| {
                *age += 1;
                *age <= 2
            });
            !fresh.is_empty()
        };
        if self.held.load(Ordering::SeqCst) > 0
            || !self.worth_sweeping.swap(has_fresh, Ordering::SeqCst)
        {
            return Ok(());
        }
        let swept = (|| {
            for (id, path) in self.all().map_err(error::file)? {
                unreferred(&id, &|| {
                    let fresh = self.fresh.lock();
                    if fresh.contains_key(&id) {
                        return Ok(());
                    }
                    fs::remove_file(&path)?;
                    path.parent().map_or(Ok(()), sync_folder)
                })?;
            }
            Ok(())
        })();
        if swept.is_err() {
            self.worth_sweeping.store(true, Ordering::SeqCst);
        }
        swept
    }

    fn keep(&self, file: &File, from: &Path, id: &BlobId, size: u64) -> io::Result<()> {
        let to = self
            .path(id)
            .ok_or_else(|| io::Error::other("not a digest"))?;
        let folder = to
            .parent()
            .ok_or_else(|| io::Error::other("a blob without a folder"))?;
        self.disk.sync_file(file, from)?;
        {
            let _one_at_a_time = self.folders.lock();
            if !folder.is_dir() {
                make_private_folder(folder)?;
                self.disk.sync_folder(&self.root)?;
            }
        }
        // The same lock as a sweep's: the new name and its being fresh are one.
        let mut fresh = self.fresh.lock();
        self.disk.rename(from, &to)?;
        fresh.insert(id.clone(), (size, 0));
        self.worth_sweeping.store(true, Ordering::SeqCst);
        drop(fresh);
        self.disk.sync_folder(folder)
    }
}

struct Incoming {
    blobs: Arc<Blobs>,
    file: File,
    path: PathBuf,
    digest: digest::Context,
    size: u64,
    most: u64,
    named: bool,
}

impl BlobWriter for Incoming {
    fn write(&mut self, bytes: &[u8]) -> StoreResult<()> {
        self.size += bytes.len() as u64;
        if self.size > self.most {
            return Err(StoreError::Full);
        }
        self.file.write_all(bytes).map_err(error::file)?;
        self.digest.update(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> StoreResult<(BlobId, u64)> {
        let id = BlobId::from_digest(self.digest.clone().finish().as_ref());
        self.blobs
            .keep(&self.file, &self.path, &id, self.size)
            .map_err(error::file)?;
        self.named = true;
        Ok((id, self.size))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.named {
            // Should it fail, the next start empties the folder.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes down each step; fails at the step that has this number.
    struct Watched {
        steps: Arc<Mutex<Vec<String>>>,
        fails_at: usize,
    }

    impl Watched {
        fn step(&self, what: &str, path: &Path) -> io::Result<()> {
            let mut steps = self.steps.lock();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = name.split('-').next().unwrap_or_default();
            steps.push(format!("{what} {name}"));
            if steps.len() == self.fails_at {
                return Err(io::Error::other("the disk is broken"));
            }
            Ok(())
        }
    }

    impl Disk for Watched {
        fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
            self.step("sync file", path)?;
            file.sync_all()
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.step("rename to", to)?;
            fs::rename(from, to)
        }
        fn sync_folder(&self, path: &Path) -> io::Result<()> {
            self.step("sync folder", path)?;
            sync_folder(path)
        }
    }

    fn finish(fails_at: usize) -> (StoreResult<(BlobId, u64)>, Vec<String>, usize) {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        let steps = Arc::<Mutex<Vec<String>>>::default();
        let disk = Watched {
            steps: steps.clone(),
            fails_at,
        };
        let blobs = Arc::new(Blobs::new(folder.blobs(), Box::new(disk)));
        let mut writer = blobs.writer(&folder, 100).unwrap();
        writer.write(b"hello").unwrap();
        let finished = writer.finish();
        let left = fs::read_dir(folder.tmp()).unwrap().count();
        let steps = steps.lock().clone();
        (finished, steps, left)
    }

    #[test]
    fn a_blob_is_durable_before_it_has_its_name_and_its_name_before_it_is_told() {
        let (finished, steps, left) = finish(0);
        let id = finished.unwrap().0;
        assert_eq!(
            steps,
            [
                "sync file blob".to_owned(),
                "sync folder blobs".to_owned(),
                format!("rename to {}", &id.0[2..]),
                format!("sync folder {}", &id.0[..2]),
            ]
        );
        assert_eq!(left, 0);
    }

    #[test]
    fn a_blob_that_could_not_be_made_durable_is_not_told() {
        for step in 1..=4 {
            let (finished, steps, left) = finish(step);
            assert!(finished.is_err(), "step {step}");
            assert_eq!((steps.len(), left), (step, 0));
        }
    }
}
