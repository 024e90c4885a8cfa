//! What SQLite and the file system say, in the port's words.

use rusqlite::ErrorCode;
use sammen_core::store::StoreError;

const IOERR_WRITE: i32 = 10 | (3 << 8);
const IOERR_SHMSIZE: i32 = 10 | (19 << 8);

/// An error of a reading.
pub fn reading(error: rusqlite::Error) -> StoreError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OperationInterrupted
            | ErrorCode::OutOfMemory
            | ErrorCode::CannotOpen,
        ) => StoreError::TryLater(text),
        _ => StoreError::Damaged(text),
    }
}

/// An error of a commit that was rolled back. `full` tries whether the disk takes anything at all: SQLite tells a
/// reached quota (EDQUOT) only as "can't write".
pub fn writing(error: rusqlite::Error, full: impl FnOnce() -> bool) -> StoreError {
    let text = error.to_string();
    let extended = error.sqlite_error().map_or(0, |e| e.extended_code);
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted,
        ) => StoreError::TryLater(text),
        Some(ErrorCode::SystemIoFailure)
            if matches!(extended, IOERR_WRITE | IOERR_SHMSIZE) && full() =>
        {
            StoreError::Full
        }
        // A failed fsync, a read error under the writer, a corrupt page: what was acknowledged is in doubt.
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::FileLockingProtocolFailed,
        ) => StoreError::Fatal(text),
        _ => StoreError::Damaged(text),
    }
}

/// An error of the file system.
pub fn file(error: std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::TryLater(error.to_string()),
    }
}

/// A record that can't be understood.
pub fn record(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }

    #[test]
    fn each_failure_of_a_commit_says_whether_the_node_may_go_on() {
        let says = |code, full| writing(failure(code), || full);
        assert!(matches!(says(13, false), StoreError::Full));
        assert!(matches!(says(IOERR_WRITE, true), StoreError::Full));
        assert!(matches!(says(IOERR_WRITE, false), StoreError::Fatal(_)));
        let fsync = 10 | (4 << 8);
        assert!(matches!(says(fsync, true), StoreError::Fatal(_)));
        assert!(matches!(says(5, false), StoreError::TryLater(_)));
        assert!(matches!(says(11, false), StoreError::Fatal(_)));
        assert!(matches!(reading(failure(11)), StoreError::Damaged(_)));
    }
}
