//! Files on their way in: at once, or for an address that was made before ("asynchronous uploads").

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{Method, StatusCode, header, request::Parts};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{post, put};
use ruma::api::client::media::{create_content, create_mxc_uri};
use ruma::api::error::ErrorKind;
use ruma::{MilliSecondsSinceUnixEpoch, UInt};
use sammen_core::Refusal;
use sammen_core::document::Owner;
use sammen_core::ops::files::{AWAITED, Awaited};
use sammen_core::tx::{Expect, decode, encode};
use sammen_net::files::{self, Name, NotTaken, disposition};
use serde::Deserialize;

use super::Place;
use crate::auth::Caller;
use crate::extract::{Ask, authenticate};
use crate::fault::{Answer, Fault};
use crate::routes::{Table, written};
use crate::server::Matrix;

/// How long they wait ("unused_expires_at": 24 hours are recommended).
const WAIT_MS: i64 = 86_400_000;
/// How many may wait, of one account and of all.
const MOST: usize = 20;
const MOST_OF_ALL: usize = 2_000;

/// What an upload's address says.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    filename: String,
}

pub fn routes(table: &mut Table) {
    table.on(create);
    for path in ["/_matrix/media/v3/upload", "/_matrix/media/r0/upload"] {
        table.raw(Method::POST, path, true, post(upload));
    }
    let path = "/_matrix/media/v3/upload/{server_name}/{media_id}";
    table.raw(Method::PUT, path, true, put(upload_for));
}

async fn upload(State(matrix): State<Arc<Matrix>>, request: Request) -> Response {
    let slot = format!("{:032x}", matrix.node.clock().random());
    let (head, body) = request.into_parts();
    let taken = async {
        let caller = authenticate(&matrix, &head).await?;
        take_in(&matrix, &caller, &head, body, slot.clone()).await?;
        let uri = matrix.mxc(&Place::File(slot));
        Ok::<_, Fault>(create_content::v3::Response::new(uri))
    };
    match taken.await {
        Ok(answer) => written(answer),
        Err(fault) => fault.into_response(),
    }
}

async fn upload_for(
    State(matrix): State<Arc<Matrix>>,
    Path((server, slot)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let taken = async {
        let caller = authenticate(&matrix, &head).await?;
        mine(&matrix, &caller, &server, slot.clone()).await?;
        take_in(&matrix, &caller, &head, body, slot.clone()).await?;
        let done = matrix
            .node
            .write(move |tx| tx.put_document(&Owner::Node, AWAITED, &slot, Expect::Anything, None));
        done.await?;
        matrix.media.arrived.notify_waiters();
        Ok::<_, Fault>(())
    };
    match taken.await {
        Ok(()) => ([(header::CONTENT_TYPE, "application/json")], "{}").into_response(),
        Err(fault) => fault.into_response(),
    }
}

/// Whether the caller made this address, and it is still without its file.
async fn mine(matrix: &Arc<Matrix>, caller: &Caller, server: &str, slot: String) -> Answer<()> {
    let foreign = server != matrix.name.as_str() || !files::is_slot(&slot);
    let who = caller.address().clone();
    matrix
        .read(move |matrix| {
            let no = || Fault::forbidden("this address is not yours to fill");
            if foreign {
                return Err(no());
            }
            if matrix.node.store().blob_by_slot(&slot)?.is_some() {
                return Err(overwritten());
            }
            match waiting(matrix, &slot)? {
                Some(it) if it.of == who => Ok(()),
                _ => Err(no()),
            }
        })
        .await
}

/// An address that waits for its file. Blocking.
pub(super) fn waiting(matrix: &Matrix, slot: &str) -> Answer<Option<Awaited>> {
    let found = matrix.node.store().document(&Owner::Node, AWAITED, slot)?;
    let found = found.and_then(|d| d.value);
    let found = found.and_then(|bytes| decode::<Awaited>(&bytes));
    Ok(found.filter(|it| it.until > matrix.node.now()))
}

async fn take_in(
    matrix: &Matrix,
    caller: &Caller,
    head: &Parts,
    body: axum::body::Body,
    slot: String,
) -> Answer<()> {
    let text = |name| head.headers.get(name)?.to_str().ok();
    let size = text(header::CONTENT_LENGTH).and_then(|l| l.parse().ok());
    let asked = Query::<Asked>::try_from_uri(&head.uri);
    let name = asked.map_or_else(|_| String::new(), |asked| asked.0.filename);
    let name = Name {
        name: disposition::sanitised(&name),
        media_type: text(header::CONTENT_TYPE).and_then(disposition::media_type),
    };
    let of = caller.address().clone();
    let under_way = &matrix.accounts.uploads;
    files::take_in_as(&matrix.node, under_way, of, slot, name, size, body)
        .await
        .map(drop)
        .map_err(not_taken)
}

fn overwritten() -> Fault {
    Fault::new(
        StatusCode::CONFLICT,
        ErrorKind::CannotOverwriteMedia,
        "there is a file already",
    )
}

fn not_taken(why: NotTaken) -> Fault {
    match why {
        NotTaken::TooLarge | NotTaken::Fault(files::Fault::Long) => Fault::too_large(),
        NotTaken::TooMany => Fault::limited(std::time::Duration::from_secs(2)),
        NotTaken::Quota | NotTaken::Refused(Refusal::TooMany) => Fault::forbidden(why.to_string()),
        NotTaken::Empty => Fault::invalid(why.to_string()),
        NotTaken::Refused(Refusal::Conflict) => overwritten(),
        NotTaken::Refused(refusal) => refusal.into(),
        NotTaken::Fault(files::Fault::Full) => Refusal::DiskFull.into(),
        NotTaken::Fault(fault) => Fault::new(fault.status(), ErrorKind::Unknown, fault.to_string()),
    }
}

async fn create(
    matrix: Arc<Matrix>,
    ask: Ask<create_mxc_uri::v1::Request>,
) -> Answer<create_mxc_uri::v1::Response> {
    let slot = format!("{:032x}", matrix.node.clock().random());
    let (of, key) = (ask.who.address().clone(), slot.clone());
    let until = matrix.node.now().plus_ms(WAIT_MS);
    let made = matrix.node.write(move |tx| {
        let all = tx.documents(&Owner::Node, AWAITED, MOST_OF_ALL)?;
        let (mut mine, mut others) = (0, 0);
        for document in all {
            let known = document.value.as_ref();
            let known = known.and_then(|v| decode::<Awaited>(v));
            match known.filter(|w| w.until > tx.now) {
                Some(it) if it.of == of => mine += 1,
                Some(_) => others += 1,
                None => {
                    let key = &document.key;
                    tx.put_document(&Owner::Node, AWAITED, key, Expect::Anything, None)?;
                }
            }
        }
        if mine >= MOST || mine + others >= MOST_OF_ALL {
            return Err(Refusal::TooMany);
        }
        let value = encode(&Awaited { of, until })?;
        tx.put_document(&Owner::Node, AWAITED, &key, Expect::Absent, Some(value))
    });
    made.await?;
    let mut answer = create_mxc_uri::v1::Response::new(matrix.mxc(&Place::File(slot)));
    let ms = u64::try_from(until.0).unwrap_or_default();
    let ms = UInt::new_saturating(ms);
    answer.unused_expires_at = Some(MilliSecondsSinceUnixEpoch(ms));
    Ok(answer)
}
