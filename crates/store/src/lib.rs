//! SQLite, blobs and backups behind core's `Store` port.
//!
//! ```text
//! commit ─▶ commit.rs ── one writer, WAL, fsync ──▶ log.sqlite ◀── readers (pool.rs): history, log, shelf
//!                                                     │ behind the log, by its own cursor
//!                                                     ▼
//!                                                search.sqlite        blobs/ (blobs.rs)
//! ```
//!
//! SQL stands in this crate only. The tables are in `migrations/`, the data folder is drawn in `folder.rs`, what keeps
//! erased text from surviving in `scrub.rs`, the way history is read in `history.rs`.

pub mod backup;
mod blobs;
mod changes;
mod check;
mod checkpoint;
mod commit;
mod error;
mod folder;
mod give_back;
mod history;
mod log;
mod migrate;
mod names;
mod pool;
mod record;
mod reserve;
mod retained;
mod scrub;
mod search;
mod seek;
mod shelf;
mod sqlite;

pub use give_back::Steps;
pub use scrub::Worth;
pub use sqlite::SqliteStore;
