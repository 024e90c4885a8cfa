//! Files that people upload: durable on the way in, harmless on the way out, the same for every protocol.
//!
//! ```text
//! a protocol's PUT → receive.rs (exact size, locations taken out of pictures, durable) → keep → core's blobs
//!                                                             GET ← get.rs (ranges, safe headers)
//! ```
//! A file's address holds 128 random bits; who knows it may read the file. Nothing is listed. It goes with the messages
//! that show it ([`sammen_core::ops::files`]).

mod chunks;
pub mod disposition;
pub mod exif;
mod get;
pub mod headers;
mod heif;
mod range;
mod receive;
mod retention;
mod take_in;

use axum::Router;
use sammen_core::document::Owner;
use sammen_core::ops::files::{self, NAMES};
use sammen_core::store::Write;
use sammen_core::tx::{Expect, decode, encode};
use sammen_core::{Address, Node, Outcome, Refusal, Timestamp};
use serde::{Deserialize, Serialize};

pub use get::serve;
pub use receive::{Fault, receive, receive_up_to};
pub use retention::forget;
pub use take_in::{NotTaken, UnderWay, take_in, take_in_as};

/// Path of files below the node's HTTPS address.
pub const PATH: &str = "/upload";

/// What is kept beside a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// Its name, harmless: [`disposition::sanitised`].
    pub name: String,
    /// Its media type without parameters: [`disposition::media_type`].
    pub media_type: Option<String>,
}

/// A file that an account uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// How it is called.
    pub name: Name,
    /// Bytes.
    pub size: u64,
    /// Whose.
    pub owner: Address,
}

/// The path at which a file is reached, below the node's HTTPS address.
pub fn path(slot: &str, name: &str) -> String {
    format!("{PATH}/{slot}/{}", disposition::encode(name))
}

/// The slot of an address that [`path`] made, below `base`.
pub fn slot_of<'a>(base: &str, url: &'a str) -> Option<&'a str> {
    let below = url.strip_prefix(base)?.strip_prefix(PATH)?;
    let (slot, _) = below.strip_prefix('/')?.split_once('/')?;
    is_slot(slot).then_some(slot)
}

/// Whether the text has the form of a slot.
pub fn is_slot(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The routes by which files are read. Beside them a protocol may have its own PUT.
pub fn router(node: Node) -> Router {
    let route = axum::routing::get(get::get)
        .head(get::get)
        .options(headers::options);
    Router::new()
        .route(&format!("{PATH}/{{slot}}/{{name}}"), route)
        .with_state(node)
}

/// Refers to a received blob: from here on it is the account's file, reached by `slot`.
///
/// # Errors
/// [`Refusal::TooMany`] over the quota, [`Refusal::NotFound`] when the account is gone.
pub async fn keep(
    node: &Node,
    account: Address,
    slot: String,
    name: Name,
    size: u64,
    blob: sammen_core::blob::BlobId,
) -> Outcome<()> {
    let handle = node.clone();
    node.write(move |tx| {
        let there = tx.account(&account)?.filter(|a| !a.disabled);
        if there.is_none() {
            return Err(Refusal::NotFound);
        }
        // Checked again: what was reserved in memory counts in the store now.
        if handle.store().blob_usage(&account)? + size > handle.limits().blob_quota {
            return Err(Refusal::TooMany);
        }
        let name = encode(&name)?;
        let owner = Owner::from(&account);
        tx.put_document(&owner, NAMES, &slot, Expect::Absent, Some(name))?;
        tx.write(Write::BlobRef {
            id: blob,
            owner: account,
            slot,
            at: tx.now,
            remove: false,
        });
        Ok(())
    })
    .await
}

/// What a slot holds. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn upload(node: &Node, slot: &str) -> Outcome<Option<Upload>> {
    if !is_slot(slot) {
        return Ok(None);
    }
    let Some(info) = node.store().blob_by_slot(slot)? else {
        return Ok(None);
    };
    let name = name_of(node, &info.owner, slot)?;
    Ok(name.map(|name| Upload {
        name,
        size: info.size,
        owner: info.owner,
    }))
}

/// Takes one file of an account away.
///
/// # Errors
/// [`Refusal::NotFound`] when it is not the account's.
pub async fn remove(node: &Node, account: &Address, slot: &str) -> Outcome<()> {
    let (of, wanted) = (account.clone(), slot.to_owned());
    let own = node
        .read(move |node| Ok(node.store().blobs_of(&of)?))
        .await?;
    let one: Vec<_> = own.into_iter().filter(|(s, _)| *s == wanted).collect();
    if one.is_empty() || !is_slot(slot) {
        return Err(Refusal::NotFound);
    }
    take_away(node, account, one).await.map(drop)
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
    take_away(node, account, old.await?).await
}

async fn take_away(
    node: &Node,
    account: &Address,
    files: Vec<(String, sammen_core::store::BlobInfo)>,
) -> Outcome<usize> {
    let account = account.clone();
    node.write(move |tx| {
        let owner = Owner::from(&account);
        let mut removed = 0;
        for (slot, info) in files {
            // Slots of other kinds (none today) are not ours to remove.
            if tx
                .document(&owner, NAMES, &slot)?
                .is_none_or(|d| d.value.is_none())
            {
                continue;
            }
            files::remove(tx, &slot, &info)?;
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
