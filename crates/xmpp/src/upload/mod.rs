//! File upload (XEP-0363): slots are asked for over XMPP, files go and come over HTTP.
//!
//! ```text
//! slot.rs (IQ) → Uploads (open slots, in memory) → put.rs → net's files (durable, harmless) → core's blobs
//! ```

mod put;
mod slot;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use parking_lot::{Mutex, RwLock};
use sammen_core::{Address, Timestamp};
use sammen_net::files::{self, Name, PATH};

use crate::server::Server;

pub use slot::FEATURE;

/// How long an open slot waits for its file.
const SLOT_MS: i64 = 5 * 60 * 1000;
/// Slots that one account may have open.
const OPEN_PER_ACCOUNT: usize = 32;

/// A slot that waits for its file.
#[derive(Clone, Debug)]
struct Open {
    account: Address,
    /// What only the one who asked for the slot knows.
    key: String,
    size: u64,
    name: Name,
    until: Timestamp,
    /// Its file is on its way in.
    busy: bool,
}

/// The open slots, and where files are reached.
#[derive(Default)]
pub struct Uploads {
    base: RwLock<Option<Arc<str>>>,
    open: Mutex<HashMap<String, Open>>,
}

impl Uploads {
    /// Sets the address below which [`PATH`] is reached from outside, such as `https://example.org:5443`.
    pub fn set_base(&self, url: &str) {
        *self.base.write() = Some(url.trim_end_matches('/').into());
    }

    /// That address.
    pub(crate) fn base(&self) -> Option<Arc<str>> {
        self.base.read().clone()
    }

    /// Opens a slot, if the account may have one more; `used` are the bytes its files take already.
    fn open(
        &self,
        slot: String,
        open: Open,
        now: Timestamp,
        used: u64,
        quota: u64,
    ) -> Result<(), Full> {
        let mut all = self.open.lock();
        all.retain(|_, o| o.busy || o.until > now);
        let own = all.values().filter(|o| o.account == open.account);
        let (mut count, mut reserved) = (0, 0);
        for one in own {
            count += 1;
            reserved += one.size;
        }
        if used + reserved + open.size > quota {
            return Err(Full::Quota);
        }
        if count >= OPEN_PER_ACCOUNT {
            return Err(Full::Slots);
        }
        all.insert(slot, open);
        Ok(())
    }

    /// Takes a slot for one upload; it is given back with [`Uploads::give_back`] when that fails.
    fn take(&self, slot: &str, key: &str, name: &str, now: Timestamp) -> Option<Open> {
        let mut all = self.open.lock();
        let open = all.get_mut(slot)?;
        let fits = open.key == key && open.name.name == name && !open.busy && open.until > now;
        fits.then(|| {
            open.busy = true;
            open.clone()
        })
    }

    fn give_back(&self, slot: &str) {
        if let Some(open) = self.open.lock().get_mut(slot) {
            open.busy = false;
        }
    }

    fn done(&self, slot: &str) {
        self.open.lock().remove(slot);
    }
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    /// The account's files take all the room it has.
    Quota,
    /// Too many slots wait for their files.
    Slots,
}

/// The routes.
pub fn router(server: Arc<Server>) -> Router {
    let reading = files::router(server.node.clone());
    Router::new()
        .route(
            &format!("{PATH}/{{slot}}/{{name}}"),
            axum::routing::put(put::put),
        )
        // The route measures the body itself.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(server)
        .merge(reading)
}
