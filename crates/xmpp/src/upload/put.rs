//! A file on its way in (XEP-0363 §6): measured exactly, and durable before the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use sammen_core::blob::BlobId;
use sammen_core::document::Owner;
use sammen_core::store::{Store, StoreError, Write};
use sammen_core::tx::{Expect, encode};
use sammen_core::{Outcome, Refusal};
use tokio::sync::mpsc;

use super::disposition::media_type;
use super::exif::Blanking;
use super::headers::status;
use super::{NAMES, Open, Uploads};
use crate::server::Server;

/// How long a client may send nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pieces between the connection and the disk.
const PIECES: usize = 4;

/// `PUT`.
pub async fn put(
    State(server): State<Arc<Server>>,
    Path((slot, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let uploads: Arc<Uploads> = server.shared();
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
    let Some(length) = length else {
        return status(StatusCode::LENGTH_REQUIRED);
    };
    let key = query
        .as_deref()
        .and_then(|q| q.strip_prefix("k="))
        .unwrap_or_default();
    let Some(mut open) = uploads.take(&slot, key, &name, server.node.now()) else {
        return status(StatusCode::FORBIDDEN);
    };
    // Given back however this ends, also when the connection goes in the middle.
    let mut busy = Busy {
        uploads: &uploads,
        slot: &slot,
        done: false,
    };
    // XEP-0363 §6: the size is the one that was promised, exactly.
    if length != open.size {
        return status(if length > open.size {
            StatusCode::PAYLOAD_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        });
    }
    if open.name.media_type.is_none() {
        let sent = headers
            .get(header::CONTENT_TYPE)
            .and_then(|t| t.to_str().ok());
        open.name.media_type = sent.and_then(media_type);
    }
    let blob = match receive(server.node.store_arc(), body, open.size).await {
        Ok(blob) => blob,
        Err(fault) => return status(fault),
    };
    match keep(&server, slot.clone(), open, blob).await {
        Ok(()) => {
            busy.done = true;
            status(StatusCode::CREATED)
        }
        Err(Refusal::TooMany) => status(StatusCode::FORBIDDEN),
        Err(Refusal::DiskFull) => status(StatusCode::INSUFFICIENT_STORAGE),
        Err(_) => status(StatusCode::SERVICE_UNAVAILABLE),
    }
}

struct Busy<'a> {
    uploads: &'a Uploads,
    slot: &'a str,
    done: bool,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if self.done {
            self.uploads.done(self.slot);
        } else {
            self.uploads.give_back(self.slot);
        }
    }
}

/// Moves the body to the store; returns the blob, durable but not yet referred to.
async fn receive(store: Arc<dyn Store>, mut body: Body, size: u64) -> Result<BlobId, StatusCode> {
    let (pieces, waiting) = mpsc::channel(PIECES);
    let writing = tokio::task::spawn_blocking(move || write(&*store, waiting, size));
    let mut received = 0;
    let fault = loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let piece = match tokio::time::timeout(PATIENCE, frame).await {
            Err(_) => break Some(StatusCode::REQUEST_TIMEOUT),
            Ok(None) => break None,
            Ok(Some(Err(_))) => break Some(StatusCode::BAD_REQUEST),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
        };
        received += piece.len() as u64;
        if received > size {
            break Some(StatusCode::PAYLOAD_TOO_LARGE);
        }
        // The writer ended early: its answer says why.
        if pieces.send(Some(piece)).await.is_err() {
            break None;
        }
    };
    let fault = fault.or((received < size).then_some(StatusCode::BAD_REQUEST));
    if fault.is_none() {
        let _ = pieces.send(None).await;
    }
    drop(pieces);
    let written = writing.await;
    match (fault, written) {
        (_, Ok(Err(StoreError::Full))) => Err(StatusCode::INSUFFICIENT_STORAGE),
        (Some(fault), _) => Err(fault),
        (None, Ok(Ok(Some(blob)))) => Ok(blob),
        (None, _) => Err(StatusCode::SERVICE_UNAVAILABLE),
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

/// Refers to the blob: from here on it is the account's file.
async fn keep(server: &Arc<Server>, slot: String, open: Open, blob: BlobId) -> Outcome<()> {
    let node = server.node.clone();
    server
        .node
        .write(move |tx| {
            let there = tx.account(&open.account)?.filter(|a| !a.disabled);
            if there.is_none() {
                return Err(Refusal::NotFound);
            }
            // Checked again: slots were reserved in memory, files count in the store.
            if node.store().blob_usage(&open.account)? + open.size > node.limits().blob_quota {
                return Err(Refusal::TooMany);
            }
            let name = encode(&open.name)?;
            let owner = Owner::from(&open.account);
            tx.put_document(&owner, NAMES, &slot, Expect::Absent, Some(name))?;
            tx.write(Write::BlobRef {
                id: blob,
                owner: open.account,
                slot,
                at: tx.now,
                remove: false,
            });
            Ok(())
        })
        .await
}
