//! Pushers (client-server API, "Push Notifications"; the Push Gateway API): services of apps that wake phones.
//!
//! A pusher is a document, and so is how far it was told: nothing queues up for one that sleeps. What it is told of is
//! what the account's rules say of the rooms behind that place, as they are when it is told: what was read meanwhile is not.
//!
//! ```text
//! api.rs      the endpoints ── kept.rs    documents
//! work.rs     one task for each: wakes, tells, waits
//! news.rs     what is new behind a place, and how many messages are unread
//! notice.rs   what a gateway gets
//! ```

mod api;
mod kept;
mod news;
mod notice;
mod work;

use std::collections::HashMap;

use parking_lot::Mutex;
use sammen_core::Address;
use sammen_net::fetch::Fetcher;
use tokio::runtime::Handle;

pub use api::routes;
pub(crate) use kept::device_goes;
pub use work::begin;

/// Gateways that are told at once, and pushers of one account.
const AT_ONCE: usize = 64;
const EACH: usize = 8;

/// The pushers of a node.
pub struct Pushers {
    /// What reaches gateways; none on a node that reaches nothing outside.
    fetcher: Option<Fetcher>,
    runtime: Handle,
    /// How often each was set, of those that have a task.
    running: Mutex<HashMap<(Address, String), u64>>,
}

impl Pushers {
    /// Pushers that are told by way of `fetcher`, by tasks of the runtime that this is called in.
    pub fn new(fetcher: Option<&Fetcher>) -> Self {
        Self {
            fetcher: fetcher.map(|fetcher| fetcher.lane(AT_ONCE, EACH)),
            runtime: Handle::current(),
            running: Mutex::default(),
        }
    }

    /// Whether nobody has any.
    fn is_empty(&self) -> bool {
        self.running.lock().is_empty()
    }

    /// One was set or removed. Says whether it has no task yet.
    fn changed(&self, pusher: &(Address, String)) -> bool {
        let mut running = self.running.lock();
        let begins = !running.contains_key(pusher);
        *running.entry(pusher.clone()).or_default() += 1;
        begins
    }

    /// How often one was set or removed.
    fn changes(&self, pusher: &(Address, String)) -> u64 {
        self.running.lock().get(pusher).copied().unwrap_or(0)
    }

    /// The task of one that was gone when it had changed so often ends; false if it changed since.
    fn ends(&self, pusher: &(Address, String), changes: u64) -> bool {
        let mut running = self.running.lock();
        let same = running.get(pusher) == Some(&changes);
        if same {
            running.remove(pusher);
        }
        same
    }
}

/// What a pusher is called on shelves: its app and its key, which may be long, in short.
fn key(app: &str, pushkey: &str) -> String {
    let whole = format!("{app}\0{pushkey}");
    sammen_core::blob::BlobId::of(whole.as_bytes()).0
}
