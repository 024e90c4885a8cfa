//! What a client hears: `/sync` (client-server API, "Syncing"), and everything that goes through it.

pub mod devices;
pub mod filters;
pub mod lively;
pub mod token;

use std::sync::Arc;

use sammen_core::Timestamp;

use crate::routes::Table;

/// What syncing keeps in memory; all of it bounded.
pub struct Sync {
    /// Filters that were used lately.
    pub filters: filters::Filters,
    /// The devices that sync.
    pub devices: devices::Devices,
    /// Typing and presence.
    pub lively: Arc<lively::Lively>,
}

impl Sync {
    /// Nobody syncs yet.
    pub fn new(now: Timestamp) -> Self {
        Self {
            filters: filters::Filters::default(),
            devices: devices::Devices::default(),
            lively: Arc::new(lively::Lively::new(now)),
        }
    }
}

/// The endpoints.
pub fn routes(table: &mut Table) {
    filters::routes(table);
}
