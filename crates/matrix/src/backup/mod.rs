//! Key backup ("Server-side key backups"): room keys that a client encrypted for its own later devices.
//!
//! ```text
//! versions.rs   /room_keys/version: backups of an account, the newest of which takes keys
//! keys.rs       /room_keys/keys: put, get, delete; all, a room's, one
//! ```

mod keys;
mod versions;

use crate::routes::Table;

/// The endpoints.
pub fn routes(table: &mut Table) {
    versions::routes(table);
    keys::routes(table);
}
