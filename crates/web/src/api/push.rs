//! A browser that wants to hear of messages while the page is closed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;

use crate::auth::{Caller, Kind, Need};
use crate::extract::{Ask, Done, Json};
use crate::problem::{Answer, Problem};
use crate::push::{Push, Subscription};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/me/push",
            Need::Account,
            "Whether this browser is told of messages while the page is closed, and the key for that",
        )
        .answer::<t::PushState>(200)
        .by(state);
    table
        .on(
            Method::PUT,
            "/me/push",
            Need::Account,
            "Tells this browser of messages by its push service (RFC 8030) until it is signed out",
        )
        .ask::<t::PushWish>()
        .done()
        .by(subscribe);
    table
        .on(
            Method::DELETE,
            "/me/push",
            Need::Account,
            "Tells this browser nothing more",
        )
        .done()
        .by(forget);
}

/// A subscription is a browser's; scripts have the stream.
fn push<'a>(web: &'a Web, caller: &Caller) -> Answer<&'a Arc<Push>> {
    if caller.kind != Kind::Cookie {
        return Err(Problem::forbidden("only browsers are pushed to"));
    }
    web.push.get().ok_or_else(Problem::try_later)
}

async fn state(State(web): State<Arc<Web>>, caller: Caller) -> Answer<Json<t::PushState>> {
    let push = web.push.get();
    let known = push.and_then(|p| p.subscription(caller.device.id));
    Ok(Json(t::PushState {
        key: push.map(|p| p.key()),
        on: known.is_some(),
        text: known.is_some_and(|s| s.text),
    }))
}

async fn subscribe(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(ask): Ask<t::PushWish>,
) -> Answer<Done> {
    let wish = Subscription {
        account: caller.address().clone(),
        endpoint: ask.endpoint,
        p256dh: ask.p256dh,
        auth: ask.auth,
        text: ask.text,
    };
    let push = push(&web, &caller)?;
    push.subscribe(caller.device.id, wish).await?;
    Ok(Done)
}

async fn forget(State(web): State<Arc<Web>>, caller: Caller) -> Answer<Done> {
    push(&web, &caller)?.forget(caller.device.id).await?;
    Ok(Done)
}
