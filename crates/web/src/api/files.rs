//! Files on their way in: one PUT, measured exactly, inside the quota.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, header};
use sammen_core::Refusal;
use sammen_net::files::{self, Fault, Name, NotTaken, disposition};

use crate::auth::{Caller, Need};
use crate::extract::{Asked, Created, Done, Place};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::PUT,
            "/files",
            Need::Account,
            "Uploads a file; who knows its address may read it",
        )
        .query::<t::FileQuery>()
        .takes("application/octet-stream")
        .answer::<t::Uploaded>(201)
        .by(upload);
    table
        .on(
            Method::DELETE,
            "/files/{id}",
            Need::Account,
            "Takes a file away; its address leads nowhere then",
        )
        .done()
        .by(remove);
}

async fn upload(
    State(web): State<Arc<Web>>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<t::FileQuery>,
    body: Body,
) -> Answer<Created<t::Uploaded>> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|l| l.to_str().ok()?.parse::<u64>().ok())
        .ok_or_else(|| Problem::bad_request("say how long the file is (Content-Length)"))?;
    let name = Name {
        name: disposition::sanitised(&asked.name),
        media_type: headers
            .get(header::CONTENT_TYPE)
            .and_then(|t| disposition::media_type(t.to_str().ok()?)),
    };
    let slot = format!("{:032x}", web.node.clock().random());
    let account = caller.address().clone();
    files::take_in_as(
        &web.node,
        &web.accounts.uploads,
        account,
        slot.clone(),
        name.clone(),
        Some(length),
        body,
    )
    .await
    .map_err(not_taken)?;
    Ok(Created(t::Uploaded {
        file: t::File {
            url: files::path(&slot, &name.name),
            name: Some(name.name),
            media_type: name.media_type,
            size: Some(length),
        },
        id: slot,
    }))
}

fn not_taken(why: NotTaken) -> Problem {
    match why {
        NotTaken::Empty => Problem::invalid("body", "the file is empty"),
        NotTaken::TooLarge | NotTaken::Fault(Fault::Long) => Problem::too_large(),
        NotTaken::Quota | NotTaken::TooMany => Problem::too_many(why.to_string()),
        NotTaken::Fault(fault @ (Fault::Short | Fault::Slow)) => {
            Problem::bad_request(fault.to_string())
        }
        NotTaken::Fault(Fault::Full) => Refusal::DiskFull.into(),
        NotTaken::Fault(Fault::Store) => Problem::try_later(),
        NotTaken::Refused(refusal) => refusal.into(),
    }
}

async fn remove(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
) -> Answer<Done> {
    files::remove(&web.node, caller.address(), &id).await?;
    Ok(Done)
}

/// Pieces of an answer that are made while it is sent.
pub(super) struct Pieces(pub tokio::sync::mpsc::Receiver<axum::body::Bytes>);

impl axum::body::HttpBody for Pieces {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|p| Ok(http_body::Frame::data(p))))
    }
}
