//! Live connections of every protocol, and ending one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::ops::sessions;
use sammen_core::{CloseReason, SessionId};

use crate::audit::note;
use crate::auth::{Caller, Need};
use crate::extract::{Done, Json, Place};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

/// Sessions in one answer.
const MOST: usize = 1_000;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/admin/sessions",
            Need::Admin,
            "Connections now",
        )
        .answer::<t::Sessions>(200)
        .by(list);
    table
        .on(
            Method::DELETE,
            "/admin/sessions/{id}",
            Need::Admin,
            "Ends a connection",
        )
        .done()
        .by(end);
}

async fn list(State(web): State<Arc<Web>>, _: Caller) -> Json<t::Sessions> {
    let (mut sessions, total) = web.node.live(|live| {
        let some = live.all().take(MOST).map(|s| t::SessionInfo {
            id: s.id.to_string(),
            account: s.account.to_string(),
            protocol: s.protocol.name().to_owned(),
            label: s.label.to_string(),
            waiting: s.mailbox.len(),
        });
        (some.collect::<Vec<_>>(), live.all().count() as u64)
    });
    sessions.sort_by(|a, b| (&a.account, &a.label).cmp(&(&b.account, &b.label)));
    Json(t::Sessions { sessions, total })
}

async fn end(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
) -> Answer<Done> {
    let id = SessionId(id.parse().map_err(|_| Problem::not_found())?);
    let session = web.node.live(|live| live.session(id).cloned());
    let session = session.ok_or_else(Problem::not_found)?;
    let by = caller.address().clone();
    web.node
        .write(move |tx| {
            let subject = session.account.clone();
            let detail = Some(session.protocol.name().to_owned());
            sessions::end(tx, session.id, CloseReason::Killed);
            note(tx, Some(&by), "connection ended", subject.as_str(), detail)
        })
        .await?;
    Ok(Done)
}
