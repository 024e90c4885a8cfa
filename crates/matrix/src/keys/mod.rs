//! End-to-end encryption's server side (client-server API, "End-to-End Encryption"): it keeps public keys, gives each
//! one-time key to one asker, and tells people whose keys changed.
//!
//! ```text
//! upload.rs     a device publishes its keys ── kept.rs  identities and signatures
//! query.rs      the keys of people and devices
//! cross.rs      the identity that vouches ── signatures.rs  who vouches for whom
//! dehydrated.rs a device without a client
//! claim.rs      a one-time key for one asker ── one_time.rs  one-time and fallback keys, counts
//! changes.rs    whose keys changed, and who no longer shares a room
//! log.rs        what changed for an account, told to its sessions
//! ```

mod changes;
mod claim;
mod cross;
mod dehydrated;
mod kept;
mod log;
mod one_time;
mod query;
mod signatures;
mod upload;

use std::sync::atomic::{AtomicU64, Ordering};

use sammen_core::tx::Tx;
use sammen_core::{Address, Device, Outcome, Protocol, Seq};

use crate::routes::Table;
use crate::server::Matrix;
use crate::to_device;

pub use changes::{Changed, changed};
pub use one_time::{Counts, ONE_TIME, counts};

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(upload::upload);
    table.on(query::query);
    table.on(claim::claim);
    table.on(signatures::upload);
    table.on(cross::upload);
    table.on(dehydrated::put);
    table.on(dehydrated::get);
    table.on(dehydrated::delete);
    table.on(dehydrated::events);
    table.on(changes::changes);
}

/// What is remembered of keys while the node runs.
pub(crate) struct Keys {
    counts: one_time::Cache,
    last_change: AtomicU64,
}

impl Keys {
    /// Whatever changed before `start` may be news to somebody.
    pub fn new(start: Seq) -> Self {
        Self {
            counts: one_time::Cache::default(),
            last_change: AtomicU64::new(start.0),
        }
    }

    /// Somebody's keys change with this seq.
    fn note_change(&self, seq: Seq) {
        self.last_change.fetch_max(seq.0, Ordering::AcqRel);
    }

    /// Nobody's keys changed after this.
    fn last_change(&self) -> Seq {
        Seq(self.last_change.load(Ordering::Acquire))
    }
}

/// A device goes, in the writer: what is kept for it goes with it, and people learn that it is gone.
pub(crate) fn device_goes(tx: &mut Tx<'_>, matrix: &Matrix, device: &Device) {
    if device.protocol != Protocol::Matrix {
        return;
    }
    let mut forget = || -> Outcome<()> {
        one_time::forget(tx, matrix, device)?;
        to_device::forget(tx, matrix, device)?;
        if kept::forget(tx, device)? {
            log::add(tx, device, log::What::DeviceRemoved)?;
            changes::note(tx, matrix, &device.account)?;
        }
        Ok(())
    };
    if let Err(error) = forget() {
        // It is not found any more all the same: whoever asks is shown keys of devices that are there.
        tracing::warn!(%error, account = %device.account, "keys of a device that went were not deleted");
    }
}

/// A device has another name, in the writer: whoever knows its keys sees the name beside them.
///
/// # Errors
/// When the batch can't take it.
pub(crate) fn device_renamed(tx: &mut Tx<'_>, matrix: &Matrix, device: &Device) -> Outcome<()> {
    let key = kept::device_key(device.id);
    if kept::object(tx, &device.account, kept::DEVICES, &key)?.is_some() {
        changes::note(tx, matrix, &device.account)?;
    }
    Ok(())
}

/// The Matrix devices of an account that are signed in, in the writer.
pub(crate) fn devices(tx: &mut Tx<'_>, who: &Address) -> Outcome<Vec<Device>> {
    let Some(account) = tx.account(who)?.filter(|account| !account.disabled) else {
        return Ok(Vec::new());
    };
    let mut devices = tx.devices(who)?;
    devices.retain(|d| d.protocol == Protocol::Matrix && d.generation == account.generation);
    Ok(devices)
}

/// What is said of servers that this node doesn't speak with.
fn unreachable() -> serde_json::Value {
    serde_json::json!({
        "errcode": "M_UNREACHABLE",
        "error": "this server is not reached from here",
        "status": 503,
        "message": "this server is not reached from here",
    })
}
