//! A file on its way in: measured exactly, and durable before the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use sammen_core::blob::BlobId;
use sammen_core::store::{Store, StoreError};
use tokio::sync::mpsc;

use super::exif::Blanking;

/// How long a client may send nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pieces between the connection and the disk.
const PIECES: usize = 4;

/// Why a file did not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing came for too long.
    #[error("the file stopped coming")]
    Slow,
    /// Fewer bytes than were said, or the connection broke.
    #[error("the file is not whole")]
    Short,
    /// More bytes than were said.
    #[error("the file is larger than was said")]
    Long,
    /// No room on the disk.
    #[error("the disk is full")]
    Full,
    /// The store can't take it now.
    #[error("try later")]
    Store,
}

impl Fault {
    /// The status that says so.
    pub fn status(self) -> StatusCode {
        match self {
            Fault::Slow => StatusCode::REQUEST_TIMEOUT,
            Fault::Short => StatusCode::BAD_REQUEST,
            Fault::Long => StatusCode::PAYLOAD_TOO_LARGE,
            Fault::Full => StatusCode::INSUFFICIENT_STORAGE,
            Fault::Store => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Moves a body of exactly `size` bytes to the store; returns the blob, durable but not yet referred to.
///
/// # Errors
/// When it is not whole, or the store can't take it.
pub async fn receive(store: Arc<dyn Store>, body: Body, size: u64) -> Result<BlobId, Fault> {
    let (blob, received) = receive_up_to(store, body, size).await?;
    // A blob that nothing refers to goes by itself.
    if received < size {
        return Err(Fault::Short);
    }
    Ok(blob)
}

/// The same with a body whose size was not said: at most `most` bytes. Returns how many came, too.
///
/// # Errors
/// When it breaks off, or the store can't take it.
pub async fn receive_up_to(
    store: Arc<dyn Store>,
    mut body: Body,
    most: u64,
) -> Result<(BlobId, u64), Fault> {
    let (pieces, waiting) = mpsc::channel(PIECES);
    let writing = tokio::task::spawn_blocking(move || write(&*store, waiting, most));
    let mut received = 0;
    let fault = loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let piece = match tokio::time::timeout(PATIENCE, frame).await {
            Err(_) => break Some(Fault::Slow),
            Ok(None) => break None,
            Ok(Some(Err(_))) => break Some(Fault::Short),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
        };
        received += piece.len() as u64;
        if received > most {
            break Some(Fault::Long);
        }
        // The writer ended early: its answer says why.
        if pieces.send(Some(piece)).await.is_err() {
            break None;
        }
    };
    if fault.is_none() {
        let _ = pieces.send(None).await;
    }
    drop(pieces);
    let written = writing.await;
    match (fault, written) {
        (_, Ok(Err(StoreError::Full))) => Err(Fault::Full),
        (Some(fault), _) => Err(fault),
        (None, Ok(Ok(Some(blob)))) => Ok((blob, received)),
        (None, _) => Err(Fault::Store),
    }
}

/// The disk's side; `None` among the pieces says that the file is complete.
fn write(
    store: &dyn Store,
    mut pieces: mpsc::Receiver<Option<Bytes>>,
    size: u64,
) -> Result<Option<BlobId>, StoreError> {
    let mut writer = store.blob_writer(size)?;
    let mut walk = Blanking::default();
    let mut out = Vec::new();
    while let Some(piece) = pieces.blocking_recv() {
        let Some(piece) = piece else {
            walk.finish(&mut out);
            writer.write(&out)?;
            let (blob, _) = writer.finish()?;
            return Ok(Some(blob));
        };
        walk.feed(&piece, &mut out);
        writer.write(&out)?;
        out.clear();
    }
    Ok(None)
}
