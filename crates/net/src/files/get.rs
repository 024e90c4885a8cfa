//! A file on its way out: whole or a part, never as something that a browser runs.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use sammen_core::Node;
use sammen_core::blob::BlobId;
use sammen_core::store::BlobInfo;
use tokio::sync::mpsc;

use super::headers::{answer, status};
use super::range::{self, Asked};
use super::{Name, disposition, is_slot, name_of};

/// Bytes read at once.
const PIECE: u64 = 256 * 1024;

/// `GET` and `HEAD`.
pub async fn get(
    State(node): State<Node>,
    Path((slot, name)): Path<(String, String)>,
    method: Method,
    asked: HeaderMap,
) -> Response<Body> {
    serve(&node, slot, Some(&name), &method, &asked).await
}

/// The same for other paths that lead to a file; `name` is the one it must have.
pub async fn serve(
    node: &Node,
    slot: String,
    name: Option<&str>,
    method: &Method,
    asked: &HeaderMap,
) -> Response<Body> {
    if !is_slot(&slot) {
        return status(StatusCode::NOT_FOUND);
    }
    let found = node.read(move |node| {
        let Some(info) = node.store().blob_by_slot(&slot)? else {
            return Ok(None);
        };
        Ok(name_of(node, &info.owner, &slot)?.map(|name| (info, name)))
    });
    match found.await {
        Ok(Some((info, known))) if name.is_none_or(|name| known.name == name) => {
            file(node, info, &known, method, asked)
        }
        Ok(_) => status(StatusCode::NOT_FOUND),
        Err(_) => status(StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn file(
    node: &Node,
    info: BlobInfo,
    name: &Name,
    method: &Method,
    asked: &HeaderMap,
) -> Response<Body> {
    let text = |h: HeaderName| asked.get(h).and_then(|v| v.to_str().ok());
    let tag = format!("\"{}\"", info.id);
    let mut own = HeaderMap::new();
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            own.insert(name, value);
        }
    };
    put(header::ETAG, &tag);
    put(
        header::CACHE_CONTROL,
        "private, max-age=31536000, immutable",
    );
    put(header::ACCEPT_RANGES, "bytes");
    if text(header::IF_NONE_MATCH).is_some_and(|t| {
        t == "*"
            || t.split(',')
                .any(|t| t.trim().trim_start_matches("W/") == tag)
    }) {
        return answer(StatusCode::NOT_MODIFIED, own, Body::empty());
    }
    let media_type = name.media_type.as_deref();
    put(
        header::CONTENT_TYPE,
        media_type.unwrap_or("application/octet-stream"),
    );
    put(
        header::CONTENT_DISPOSITION,
        &disposition::header(&name.name, media_type),
    );
    // RFC 9110 §13.1.5: a part of something else is of no use.
    let same = text(header::IF_RANGE).is_none_or(|t| t == tag);
    let range = text(header::RANGE).filter(|_| same && *method == Method::GET);
    let (code, part) = match range::read(range, info.size) {
        Asked::Whole => (StatusCode::OK, 0..info.size),
        Asked::Part(part) => {
            put(
                header::CONTENT_RANGE,
                &format!("bytes {}-{}/{}", part.start, part.end - 1, info.size),
            );
            (StatusCode::PARTIAL_CONTENT, part)
        }
        Asked::Outside => {
            put(header::CONTENT_RANGE, &format!("bytes */{}", info.size));
            return answer(StatusCode::RANGE_NOT_SATISFIABLE, own, Body::empty());
        }
    };
    put(header::CONTENT_LENGTH, &(part.end - part.start).to_string());
    if *method == Method::HEAD {
        return answer(code, own, Body::empty());
    }
    let (pieces, waiting) = mpsc::channel(2);
    tokio::spawn(read_out(node.clone(), info.id, part, pieces));
    answer(code, own, Body::new(Pieces(waiting)))
}

/// Reads piece by piece; a slow reader holds a small task, no thread.
async fn read_out(
    node: Node,
    id: BlobId,
    part: std::ops::Range<u64>,
    pieces: mpsc::Sender<Result<Bytes, std::io::Error>>,
) {
    let mut at = part.start;
    while at < part.end {
        let (id, next) = (id.clone(), at..part.end.min(at + PIECE));
        let read = node
            .read(move |node| Ok(node.store().read_blob(&id, next)?))
            .await;
        let piece = match read {
            Ok(Some(bytes)) if !bytes.is_empty() => bytes,
            // It was erased meanwhile: the connection breaks off rather than end as if complete.
            _ => {
                let _ = pieces
                    .send(Err(std::io::ErrorKind::UnexpectedEof.into()))
                    .await;
                return;
            }
        };
        at += piece.len() as u64;
        if pieces.send(Ok(piece)).await.is_err() {
            return;
        }
    }
}

/// A body of pieces that come through a channel.
pub(super) struct Pieces(pub(super) mpsc::Receiver<Result<Bytes, std::io::Error>>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|p| p.map(http_body::Frame::data)))
    }
}
