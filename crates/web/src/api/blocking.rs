//! Blocking: the same for every protocol.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::ops::contacts;

use crate::auth::{Caller, Need};
use crate::extract::{Done, Json, Place};
use crate::person::{View, person};
use crate::problem::Answer;
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/blocked",
            Need::Account,
            "Whom the account blocked",
        )
        .answer::<t::Blocked>(200)
        .by(list);
    table
        .on(
            Method::PUT,
            "/blocked/{address}",
            Need::Account,
            "Blocks someone, on every protocol",
        )
        .done()
        .by(block);
    table
        .on(
            Method::DELETE,
            "/blocked/{address}",
            Need::Account,
            "Unblocks someone",
        )
        .done()
        .by(unblock);
}

async fn list(State(web): State<Arc<Web>>, caller: Caller) -> Answer<Json<t::Blocked>> {
    let reader = caller.address().clone();
    web.read(move |web| {
        let view = View::of(web, &reader);
        let all = web.node.contacts(&reader)?;
        let blocked = all.iter().filter(|(_, c)| c.blocked);
        Ok(t::Blocked {
            blocked: blocked.map(|(a, _)| person(view, a)).collect(),
        })
    })
    .await
    .map(Json)
}

async fn set(web: &Web, caller: &Caller, address: &str, blocked: bool) -> Answer<Done> {
    let whom = web.address("address", address)?;
    let account = caller.address().clone();
    web.node
        .write(move |tx| contacts::block(tx, &account, &whom, blocked))
        .await?;
    Ok(Done)
}

async fn block(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(address): Place<String>,
) -> Answer<Done> {
    set(&web, &caller, &address, true).await
}

async fn unblock(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(address): Place<String>,
) -> Answer<Done> {
    set(&web, &caller, &address, false).await
}
