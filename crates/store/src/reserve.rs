//! Room kept back for a full disk, so that erasing goes on: a file of noise that is given up when something has to be
//! written and nothing else is left, and made again as soon as there is room.
//!
//! While it is gone, only what erases is written. So nothing else can take the room that giving it up made.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::RngCore as _;

use crate::folder::private_file;

/// Enough for some thousands of retractions: one takes a few pages of the write-ahead log, which begins anew meanwhile.
pub const SIZE: u64 = 4 << 20;

/// The file.
pub struct Reserve {
    path: PathBuf,
    kept: AtomicBool,
}

impl Reserve {
    /// Takes over the file, or makes it.
    pub fn open(path: PathBuf) -> Self {
        let kept = fs::metadata(&path).is_ok_and(|m| m.len() == SIZE);
        let reserve = Self {
            path,
            kept: kept.into(),
        };
        if !kept && !reserve.make() {
            tracing::warn!("the disk is full: only erasing goes on until there is room");
        }
        reserve
    }

    /// Whether it is there: the disk is not full.
    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::SeqCst)
    }

    /// Gives it up; false if it was given up before.
    pub fn release(&self) -> bool {
        if !self.kept.swap(false, Ordering::SeqCst) {
            return false;
        }
        tracing::warn!("the disk is full: only erasing goes on until there is room");
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the room kept back can't be given up");
                false
            }
            _ => true,
        }
    }

    /// Makes it anew; false if there is no room for it.
    pub fn make(&self) -> bool {
        let made = self.fill();
        if made.is_err() {
            // Half of it would only be in the way.
            let _ = fs::remove_file(&self.path);
        } else if !self.kept.swap(true, Ordering::SeqCst) {
            tracing::debug!("room is kept back for a full disk");
        }
        made.is_ok()
    }

    fn fill(&self) -> io::Result<()> {
        let mut file = private_file(&self.path, false)?;
        file.set_len(0)?;
        let mut noise = vec![0; 1 << 20];
        // Zeros take no room where the file system packs them.
        rand::rng().fill_bytes(&mut noise);
        for _ in 0..SIZE >> 20 {
            file.write_all(&noise)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_given_up_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reserve");
        let size = || fs::metadata(&path).map(|m| m.len()).ok();
        let reserve = Reserve::open(path.clone());
        assert!(reserve.is_kept());
        assert_eq!(size(), Some(SIZE));
        assert!(reserve.release());
        assert_eq!((reserve.is_kept(), size()), (false, None));
        assert!(!reserve.release(), "once");
        assert!(reserve.make());
        assert_eq!((reserve.is_kept(), size()), (true, Some(SIZE)));
        // What a crash left half made is made whole.
        fs::write(&path, b"half").unwrap();
        assert!(Reserve::open(path.clone()).is_kept());
        assert_eq!(size(), Some(SIZE));
    }

    #[test]
    fn without_room_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("no/such/folder");
        let reserve = Reserve::open(nowhere);
        assert!(!reserve.is_kept() && !reserve.make() && !reserve.release());
    }
}
