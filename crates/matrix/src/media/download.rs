//! Files on their way out: for people with a token only ("Serving content"). The old addresses without one are refused:
//! nothing here is older than they are ("frozen" from the first day).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use ruma::api::error::ErrorKind;
use sammen_net::files::{self, disposition};
use serde::Deserialize;

use super::{Place, upload};
use crate::extract::authenticate;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// How long a request waits for a file at most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What a request says beside the path.
#[derive(Deserialize)]
struct Asked {
    #[serde(default = "twenty_seconds")]
    timeout_ms: u64,
}

fn twenty_seconds() -> u64 {
    20_000
}

pub fn routes(table: &mut Table) {
    let path = "/_matrix/client/v1/media/download/{server_name}/{media_id}";
    table.raw(Method::GET, path, true, get(download));
    let named = format!("{path}/{{file_name}}");
    table.raw(Method::GET, &named, true, get(download));
    for version in ["v3", "r0"] {
        for what in [
            "download/{server_name}/{media_id}",
            "download/{server_name}/{media_id}/{file_name}",
            "thumbnail/{server_name}/{media_id}",
        ] {
            let path = format!("/_matrix/media/{version}/{what}");
            table.raw(Method::GET, &path, true, get(frozen));
        }
    }
}

async fn frozen() -> Fault {
    Fault::not_found("files are given to who shows a token, below /_matrix/client/v1/media")
}

async fn download(
    State(matrix): State<Arc<Matrix>>,
    Path(parts): Path<Vec<(String, String)>>,
    head: Parts,
) -> Response {
    let parts: Vec<String> = parts.into_iter().map(|(_, value)| value).collect();
    match find(&matrix, &parts, &head).await {
        Ok(answer) => guarded(answer),
        Err(fault) => fault.into_response(),
    }
}

async fn find(matrix: &Arc<Matrix>, parts: &[String], head: &Parts) -> Answer<Response<Body>> {
    authenticate(matrix, head).await?;
    let [server, id, ..] = parts else {
        return Err(Fault::not_found("there is no such file"));
    };
    let place = place(matrix, server, id)?;
    match place {
        Place::File(slot) => {
            wait(matrix, &slot, head).await?;
            let answer = files::serve(&matrix.node, slot, None, &head.method, &head.headers).await;
            match answer.status() {
                StatusCode::NOT_FOUND => Err(nothing()),
                _ => Ok(answer),
            }
        }
        place => {
            let (media_type, bytes) = picture(matrix, place).await?;
            Ok(shown(&media_type, bytes))
        }
    }
}

/// What a path means.
pub(super) fn place(matrix: &Matrix, server: &str, id: &str) -> Answer<Place> {
    if server != matrix.name.as_str() {
        return Err(nothing());
    }
    Place::parse(id).ok_or_else(nothing)
}

pub(super) fn nothing() -> Fault {
    Fault::not_found("there is no such file")
}

/// Waits for a file whose address was made before it ("timeout_ms").
pub(super) async fn wait(matrix: &Arc<Matrix>, slot: &str, head: &Parts) -> Answer<()> {
    let asked = Query::<Asked>::try_from_uri(&head.uri);
    let patience = asked.map_or_else(|_| twenty_seconds(), |asked| asked.0.timeout_ms);
    let patience = Duration::from_millis(patience).min(LONGEST_WAIT);
    let come = async {
        loop {
            let rung = matrix.media.arrived.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            let slot = slot.to_owned();
            let waiting = matrix.read(move |matrix| {
                let there = matrix.node.store().blob_by_slot(&slot)?.is_some();
                Ok(!there && upload::waiting(matrix, &slot)?.is_some())
            });
            if !waiting.await? {
                return Ok(());
            }
            rung.await;
        }
    };
    tokio::time::timeout(patience, come)
        .await
        .unwrap_or_else(|_| {
            Err(Fault::new(
                StatusCode::GATEWAY_TIMEOUT,
                ErrorKind::NotYetUploaded,
                "the file has not come yet",
            ))
        })
}

/// The picture of a person, if it is one that can be shown.
pub(super) async fn picture(matrix: &Arc<Matrix>, place: Place) -> Answer<(String, Bytes)> {
    let found = matrix.read(move |matrix| match place {
        Place::Picture { of, version } => {
            let now = matrix.host.picture_version(&of);
            if now != Some(version) {
                return Ok(None);
            }
            Ok(matrix.host.picture(&of)?.map(|(_, bytes)| bytes))
        }
        Place::File(_) => Ok(None),
    });
    let bytes = found.await?.ok_or_else(nothing)?;
    let media_type = sammen_net::thumbnail::sniff(&bytes).ok_or_else(nothing)?;
    Ok((media_type.to_owned(), bytes))
}

/// A picture that is in memory.
pub(super) fn shown(media_type: &str, bytes: Bytes) -> Response<Body> {
    let mut answer = files::headers::answer(StatusCode::OK, <_>::default(), Body::from(bytes));
    let headers = answer.headers_mut();
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, media_type);
    let disposition = disposition::header("picture", Some(media_type));
    put(header::CONTENT_DISPOSITION, &disposition);
    put(
        header::CACHE_CONTROL,
        "private, max-age=31536000, immutable",
    );
    answer
}

/// "Serving content": other origins may embed it, and nothing in it runs.
pub(super) fn guarded(mut answer: Response<Body>) -> Response<Body> {
    answer.headers_mut().insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    );
    answer
}
