//! File upload (XEP-0363): slots are asked for over XMPP, files go and come over HTTP.
//!
//! ```text
//! slot.rs (IQ) → Uploads (open slots, in memory) → put.rs (exact size, locations taken out of pictures, durable) → core's blobs
//!                                                   get.rs (ranges, safe headers)
//! ```
//! A file's address holds 128 random bits; who knows it may read the file. Nothing is listed.

mod disposition;
pub mod exif;
mod get;
mod headers;
mod put;
mod range;
mod retention;
mod slot;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use parking_lot::{Mutex, RwLock};
use sammen_core::document::Owner;
use sammen_core::store::Write;
use sammen_core::tx::{Expect, decode};
use sammen_core::{Address, Node, Outcome, Timestamp};
use serde::{Deserialize, Serialize};

use crate::server::Server;

pub use retention::forget;
pub use slot::FEATURE;

/// The shelf that holds what a file is called (owner: who uploaded it; key: its slot).
const NAMES: &str = "xmpp-upload";
/// How long an open slot waits for its file.
const SLOT_MS: i64 = 5 * 60 * 1000;
/// Slots that one account may have open.
const OPEN_PER_ACCOUNT: usize = 32;
/// Path of files below the node's HTTPS address.
pub const PATH: &str = "/upload";

/// What is kept beside a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Name {
    name: String,
    media_type: Option<String>,
}

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

    fn base(&self) -> Option<Arc<str>> {
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
    let route = axum::routing::put(put::put)
        .get(get::get)
        .head(get::get)
        .options(headers::options);
    Router::new()
        .route(&format!("{PATH}/{{slot}}/{{name}}"), route)
        // The route measures the body itself.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(server)
}

/// Removes an account's files that came before a time, for retention. Returns how many.
///
/// # Errors
/// When the store can't be read or written.
pub async fn expire(node: &Node, account: &Address, before: Timestamp) -> Outcome<usize> {
    let of = account.clone();
    let old = node.read(move |node| {
        let all = node.store().blobs_of(&of)?;
        Ok(all
            .into_iter()
            .filter(|(slot, info)| !slot.is_empty() && info.created < before)
            .collect::<Vec<_>>())
    });
    let old = old.await?;
    let account = account.clone();
    node.write(move |tx| {
        let owner = Owner::from(&account);
        let mut removed = 0;
        for (slot, info) in old {
            // Slots of other kinds (none today) are not ours to remove.
            if tx
                .document(&owner, NAMES, &slot)?
                .is_none_or(|d| d.value.is_none())
            {
                continue;
            }
            tx.write(Write::BlobRef {
                id: info.id,
                owner: account.clone(),
                slot: slot.clone(),
                at: tx.now,
                remove: true,
            });
            tx.put_document(&owner, NAMES, &slot, Expect::Anything, None)?;
            removed += 1;
        }
        Ok(removed)
    })
    .await
}

fn name_of(node: &Node, owner: &Address, slot: &str) -> Outcome<Option<Name>> {
    let found = node.store().document(&Owner::from(owner), NAMES, slot)?;
    Ok(found.and_then(|d| d.value).and_then(|v| decode(&v)))
}
