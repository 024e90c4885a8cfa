//! Send-to-device messages (client-server API, "Send-to-Device messaging"): kept for the device until a token of it proves
//! that it has them.
//!
//! ```text
//! send.rs   the endpoint ── once.rs    a transaction is done once
//!                        └─ queue.rs   one document per message and device, in order of seq
//! ```

mod once;
mod queue;
mod send;

use std::sync::Arc;

use ruma::events::AnyToDeviceEvent;
use ruma::serde::Raw;
use sammen_core::tx::Tx;
use sammen_core::{Device, Outcome, Seq};

use crate::fault::Answer;
use crate::routes::Table;
use crate::server::Matrix;

pub use queue::Queues;

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(send::send);
}

/// What waits for a device.
#[derive(Debug, Default)]
pub struct Waiting {
    /// The messages, oldest first.
    pub events: Vec<Raw<AnyToDeviceEvent>>,
    /// These are all of `since < seq <= upto`. Smaller than what was asked for where the limit was reached: a token that
    /// is given out with these must not be greater.
    pub upto: Seq,
}

/// What came for a device after `since` and up to `upto`, at most `limit`. The same for the same window, whoever else
/// asks meanwhile, until [`received`] says that the device has it. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn since(
    matrix: &Matrix,
    device: &Device,
    since: Seq,
    upto: Seq,
    limit: usize,
) -> Answer<Waiting> {
    queue::since(matrix, device, since, upto, limit)
}

/// A token of the device proves that everything up to `upto` was received: it is deleted. Costs one look into the store
/// where nothing waits.
///
/// # Errors
/// When the store can't be read or written.
pub async fn received(matrix: &Arc<Matrix>, device: &Arc<Device>, upto: Seq) -> Answer<()> {
    queue::received(matrix, device, upto).await
}

/// The device goes, in the writer, and with it what waits for it.
pub(crate) fn forget(tx: &mut Tx<'_>, matrix: &Matrix, device: &Device) -> Outcome<()> {
    once::forget(tx, device)?;
    queue::forget(tx, matrix, device)
}
