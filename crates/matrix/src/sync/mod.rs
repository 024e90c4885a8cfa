//! What a client hears: `/sync` (client-server API, "Syncing"), and everything that goes through it.

pub mod devices;
pub mod filters;
mod gather;
pub mod lively;
mod narrow;
pub mod places;
mod room;
mod sliding;
mod summary;
pub mod token;
mod v3;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use sammen_core::{Address, ConversationId, Seq, Timestamp};

use crate::routes::Table;

/// What syncing keeps in memory; all of it bounded.
pub struct Sync {
    /// Filters that were used lately.
    pub filters: filters::Filters,
    /// The devices that sync.
    pub devices: devices::Devices,
    /// Typing and presence.
    pub lively: Arc<lively::Lively>,
    /// Where accounts stand.
    pub places: places::Places,
    /// Connections of sliding sync.
    connections: sliding::Connections,
    /// Direct conversations that are named as such.
    named: Mutex<HashMap<Address, HashSet<ConversationId>>>,
    /// Up to when the lists of ignored people are in step with whom accounts block.
    pub(crate) in_step: Mutex<HashMap<Address, Seq>>,
}

impl Sync {
    /// Nobody syncs yet.
    pub fn new(now: Timestamp) -> Self {
        Self {
            filters: filters::Filters::default(),
            devices: devices::Devices::default(),
            lively: Arc::new(lively::Lively::new(now)),
            places: places::Places::default(),
            connections: sliding::Connections::default(),
            named: Mutex::default(),
            in_step: Mutex::default(),
        }
    }
}

/// The endpoints.
pub fn routes(table: &mut Table) {
    filters::routes(table);
    v3::routes(table);
    sliding::routes(table);
}
