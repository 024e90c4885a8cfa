//! The queue of a device: documents `<device>/<seq>` on its account's shelf.
//!
//! Deletions leave no tombstones: readers go by key.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use ruma::events::AnyToDeviceEvent;
use ruma::serde::Raw;
use sammen_core::document::{Document, Owner};
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Device, DeviceId, Outcome, Seq};
use serde_json::value::RawValue;

use super::Waiting;
use crate::fault::{Answer, Fault};
use crate::server::Matrix;

/// Messages that wait for devices; documents are what a client gets: `{"sender","type","content"}`.
const NAMESPACE: &str = "matrix.to_device";
/// Most messages that wait for one device, and most bytes of them. The oldest go beyond that: a device that was away for
/// so long asks for keys anew.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 32 << 20;
/// A queue is measured again after so many messages (or the bytes of so many).
const MEASURED: usize = 256;
/// How many are read or deleted at once.
const STEP: usize = 256;

/// What is remembered of a device's queue while the node runs.
#[derive(Default)]
struct Queue {
    /// Messages and bytes that came since it was last measured.
    messages: usize,
    bytes: usize,
    /// The newest message has this seq; maybe it is not yet committed.
    newest: Seq,
    /// The store was read after that, and held none.
    empty: bool,
    /// Requests of the device that were remembered since old ones were last forgotten.
    sent: usize,
}

/// What is remembered of queues, so that most syncs need not read the store.
#[derive(Default)]
pub struct Queues {
    queues: Mutex<HashMap<DeviceId, Queue>>,
}

impl Queues {
    /// Notes a message, in the writer: before its commit, so that who reads behind it reads the store. True if it is time
    /// to measure.
    fn comes(&self, device: DeviceId, seq: Seq, bytes: usize) -> bool {
        let mut queues = self.queues.lock();
        let queue = queues.entry(device).or_default();
        queue.messages += 1;
        queue.bytes += bytes;
        queue.newest = seq;
        queue.empty = false;
        let due = queue.messages >= MEASURED || queue.bytes >= MOST_BYTES / 8;
        if due {
            (queue.messages, queue.bytes) = (0, 0);
        }
        due
    }

    /// Whether nothing waits, as far as is known without reading.
    fn is_empty(&self, device: DeviceId) -> bool {
        self.queues.lock().get(&device).is_some_and(|q| q.empty)
    }

    /// The newest message that was noted, to be asked for before the store is read.
    fn newest(&self, device: DeviceId) -> Seq {
        self.queues.lock().get(&device).map_or(Seq(0), |q| q.newest)
    }

    /// The store held nothing, and was read when all up to `committed` was in it. Nothing may have come since `newest`
    /// was asked for.
    fn was_empty(&self, device: DeviceId, newest: Seq, committed: Seq) {
        if newest > committed {
            return;
        }
        let mut queues = self.queues.lock();
        let queue = queues.entry(device).or_default();
        if queue.newest == newest {
            queue.empty = true;
        }
    }

    /// Counts a request; true if it is time to forget old ones.
    pub(super) fn counts_sent(&self, device: DeviceId) -> bool {
        let mut queues = self.queues.lock();
        let queue = queues.entry(device).or_default();
        queue.sent += 1;
        let due = queue.sent >= MEASURED;
        if due {
            queue.sent = 0;
        }
        due
    }

    fn forget(&self, device: DeviceId) {
        self.queues.lock().remove(&device);
    }
}

fn prefix(device: DeviceId) -> String {
    format!("{:x}/", device.0)
}

fn key(device: DeviceId, seq: Seq) -> String {
    format!("{:x}/{:016x}", device.0, seq.0)
}

fn seq_of(key: &str) -> Option<Seq> {
    let (_, seq) = key.split_once('/')?;
    u64::from_str_radix(seq, 16).ok().map(Seq)
}

/// Puts a message into a device's queue, in the writer; wakes its syncs after the commit.
pub(super) fn push(tx: &mut Tx<'_>, matrix: &Matrix, to: &Device, event: Bytes) -> Outcome<()> {
    let owner = Owner::from(&to.account);
    let bytes = event.len();
    // The document's version is this or the next one; what a reader may see lies before or behind both.
    let seq = tx.next_seq();
    let key = key(to.id, seq);
    tx.put_document(&owner, NAMESPACE, &key, Expect::Anything, Some(event))?;
    if matrix.queues.comes(to.id, seq, bytes) {
        shorten(tx, to, MOST, MOST_BYTES)?;
    }
    matrix.ring_after(tx, &to.account);
    Ok(())
}

/// Drops the oldest beyond the bounds.
fn shorten(tx: &mut Tx<'_>, device: &Device, most: usize, most_bytes: usize) -> Outcome<()> {
    let owner = Owner::from(&device.account);
    let all = tx.documents_with(&owner, NAMESPACE, &prefix(device.id), most * 2)?;
    let (mut kept, mut bytes, mut dropped) = (0, 0, 0);
    for document in all.iter().rev() {
        kept += 1;
        bytes += document.value.as_ref().map_or(0, Bytes::len);
        if kept > most || bytes > most_bytes {
            tx.erase_document(&owner, NAMESPACE, &document.key);
            dropped += 1;
        }
    }
    if dropped > 0 {
        tracing::warn!(account = %device.account, device = %device.key, dropped, "too much waits for a device: the oldest is dropped");
    }
    Ok(())
}

/// What waits in a window.
pub(super) fn since(
    matrix: &Matrix,
    device: &Device,
    since: Seq,
    upto: Seq,
    limit: usize,
) -> Answer<Waiting> {
    let mut waiting = Waiting {
        events: Vec::new(),
        upto,
    };
    if matrix.queues.is_empty(device.id) {
        return Ok(waiting);
    }
    let owner = Owner::from(&device.account);
    let prefix = prefix(device.id);
    let mut after = key(device.id, since);
    loop {
        let store = matrix.node.store();
        let page = store.documents(
            &owner,
            NAMESPACE,
            &prefix,
            Some(&after),
            STEP.min(limit + 1),
        )?;
        let Some(last) = page.last() else {
            return Ok(waiting);
        };
        after.clone_from(&last.key);
        for document in page {
            let (Some(seq), Some(value)) = (seq_of(&document.key), document.value) else {
                continue;
            };
            if seq > upto {
                return Ok(waiting);
            }
            if waiting.events.len() >= limit {
                // Everything before this one was taken.
                waiting.upto = Seq(seq.0 - 1);
                return Ok(waiting);
            }
            waiting.events.push(raw(value)?);
        }
    }
}

fn raw(value: Bytes) -> Answer<Raw<AnyToDeviceEvent>> {
    let text = String::from_utf8(value.into());
    text.ok()
        .and_then(|text| RawValue::from_string(text).ok())
        .map(Raw::from_json)
        .ok_or_else(|| Fault::unknown("a message is damaged"))
}

/// The first message, and what is remembered if there is none.
fn first(matrix: &Matrix, device: &Device) -> Answer<Option<Document>> {
    let (newest, committed) = (matrix.queues.newest(device.id), matrix.node.last_seq());
    let (owner, prefix) = (Owner::from(&device.account), prefix(device.id));
    let store = matrix.node.store();
    let mut found = store.documents(&owner, NAMESPACE, &prefix, None, 1)?;
    if found.is_empty() {
        matrix.queues.was_empty(device.id, newest, committed);
    }
    Ok(found.pop())
}

/// Deletes what was received.
pub(super) async fn received(matrix: &Arc<Matrix>, device: &Arc<Device>, upto: Seq) -> Answer<()> {
    while !matrix.queues.is_empty(device.id) {
        let asked = device.clone();
        let first = matrix.read(move |matrix| first(matrix, &asked)).await?;
        let waits = |key: &str| seq_of(key).is_some_and(|seq| seq <= upto);
        if !first.is_some_and(|d| waits(&d.key)) {
            return Ok(());
        }
        let device = device.clone();
        let write = matrix.node.write(move |tx| {
            let owner = Owner::from(&device.account);
            for document in tx.documents_with(&owner, NAMESPACE, &prefix(device.id), STEP)? {
                if seq_of(&document.key).is_some_and(|seq| seq <= upto) {
                    tx.erase_document(&owner, NAMESPACE, &document.key);
                }
            }
            Ok(())
        });
        write.await?;
    }
    Ok(())
}

/// The device goes, and its queue with it.
pub(super) fn forget(tx: &mut Tx<'_>, matrix: &Matrix, device: &Device) -> Outcome<()> {
    matrix.queues.forget(device.id);
    let owner = Owner::from(&device.account);
    for document in tx.documents_with(&owner, NAMESPACE, &prefix(device.id), MOST * 2)? {
        tx.erase_document(&owner, NAMESPACE, &document.key);
    }
    Ok(())
}
