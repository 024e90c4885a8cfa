//! A file on its way in (XEP-0363 §6): measured exactly, and durable before the answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use sammen_core::Refusal;
use sammen_net::files::{self, disposition::media_type, headers::status};

use super::Uploads;
use crate::server::Server;

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
    let blob = match files::receive(server.node.store_arc(), body, open.size).await {
        Ok(blob) => blob,
        Err(fault) => return status(fault.status()),
    };
    match files::keep(
        &server.node,
        open.account,
        slot.clone(),
        open.name,
        open.size,
        blob,
    )
    .await
    {
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
