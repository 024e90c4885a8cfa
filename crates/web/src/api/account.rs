//! Making an account where the node lets anyone, and removing one's own.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sammen_core::Name;
use sammen_net::{Peer, Secret};

use super::session;
use crate::auth::{self, Caller, From, Need, token};
use crate::extract::{Ask, Done};
use crate::lockdown;
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::POST,
            "/accounts",
            Need::Nobody,
            "Makes an account, where anyone may, and signs it in",
        )
        .ask::<t::Register>()
        .answer::<t::Me>(201)
        .by(register);
    table
        .on(
            Method::POST,
            "/me/remove",
            Need::Passphrase,
            "Removes the account with all that belongs to it",
        )
        .ask::<t::RemoveAccount>()
        .done()
        .by(remove);
}

async fn register(
    State(web): State<Arc<Web>>,
    From(from): From,
    headers: HeaderMap,
    Ask(ask): Ask<t::Register>,
) -> Answer<Response> {
    if !web.config.get().registration {
        return Err(Problem::forbidden(
            "accounts are made by invitation, or by those who run this node",
        ));
    }
    web.read(lockdown::check).await?;
    let name = Name::new(&ask.name)
        .map_err(|_| Problem::from(sammen_core::Refusal::InvalidName).field("name"))?;
    web.rates.new_account(from)?;
    let passphrase = Secret::new(ask.password);
    let account = web
        .accounts
        .create(web.domain(), &name, passphrase, false)
        .await?;
    tracing::info!(protocol = "web", %account, "{account} was registered");
    let mut answer = session::begin(&web, &account, session::browser(&headers), None, None).await?;
    *answer.status_mut() = StatusCode::CREATED;
    Ok(answer)
}

async fn remove(
    State(web): State<Arc<Web>>,
    peer: Option<Extension<Arc<Peer>>>,
    caller: Caller,
    Ask(ask): Ask<t::RemoveAccount>,
) -> Answer<Response> {
    let secret = Secret::new(ask.passphrase);
    auth::passphrase(&web, peer.as_deref(), caller.address(), &secret).await?;
    web.accounts.remove(caller.address()).await?;
    tracing::info!(protocol = "web", account = %caller.address(), "an account was removed by its owner");
    let mut answer = Done.into_response();
    answer
        .headers_mut()
        .insert(header::SET_COOKIE, token::clear_cookie());
    Ok(answer)
}
