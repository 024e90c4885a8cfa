//! Signing in and out, and who is signed in.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use sammen_core::ops::sessions;
use sammen_net::{Peer, Secret};

use crate::auth::{self, Caller, Kind, MaybeCaller, Need, token};
use crate::extract::{Ask, Done, Json};
use crate::lockdown;
use crate::person::{View, person};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::POST,
            "/session",
            Need::Nobody,
            "Signs in with a name and a passphrase or app password",
        )
        .ask::<t::SignIn>()
        .answer::<t::Me>(200)
        .by(sign_in);
    table
        .on(Method::DELETE, "/session", Need::Account, "Signs out")
        .done()
        .by(sign_out);
    table
        .on(
            Method::POST,
            "/session/everywhere",
            Need::Passphrase,
            "Signs out everywhere else",
        )
        .ask::<t::SignOutEverywhere>()
        .done()
        .by(everywhere);
    table
        .on(
            Method::GET,
            "/node",
            Need::Nobody,
            "What kind of node this is",
        )
        .answer::<t::NodeInfo>(200)
        .by(node);
    table
        .on(Method::GET, "/me", Need::Account, "Who is signed in")
        .answer::<t::Me>(200)
        .by(me);
}

async fn sign_in(
    State(web): State<Arc<Web>>,
    peer: Option<Extension<Arc<Peer>>>,
    MaybeCaller(before): MaybeCaller,
    headers: HeaderMap,
    Ask(ask): Ask<t::SignIn>,
) -> Answer<Response> {
    let password = Secret::new(ask.password);
    let proven = auth::sign_in(&web, peer.as_deref(), &ask.name, &password).await?;
    // A new device with a token that nobody knew before: whatever the browser had is no longer of use.
    if let Some(old) = before.filter(|c| c.kind == Kind::Cookie) {
        let (account, id) = (old.address().clone(), old.device.id);
        let ended = web
            .node
            .write(move |tx| sessions::forget_device(tx, &account, id));
        ended.await?;
    }
    tracing::info!(protocol = "web", account = %proven.account, "{} signed in", proven.account);
    let label = ask.device.or_else(|| browser(&headers));
    let stamp = proven.stamp;
    begin(&web, &proven.account, label, proven.credential, stamp).await
}

/// Begins a browser's session for an account that was proven or just made.
pub(super) async fn begin(
    web: &Arc<Web>,
    account: &sammen_core::Address,
    label: Option<String>,
    credential: Option<sammen_core::Credential>,
    stamp: Option<u64>,
) -> Answer<Response> {
    let label = label.map(|l| l.chars().filter(|c| !c.is_control()).take(64).collect());
    let (token, _) = token::mint(web, account, Kind::Cookie, label, credential, stamp).await?;
    let caller = token::caller(web, Kind::Cookie, &token)
        .await?
        .ok_or_else(Problem::try_later)?;
    let me = web.read(move |web| whoami(web, &caller)).await?;
    let mut answer = Json(me).into_response();
    answer
        .headers_mut()
        .insert(header::SET_COOKIE, token::set_cookie(&token));
    Ok(answer)
}

/// What a browser calls itself, in short.
pub(super) fn browser(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    let find = |names: &[&'static str]| names.iter().find(|n| agent.contains(**n)).copied();
    let browser = find(&["Firefox", "Edg", "OPR", "Chrome", "Safari"]).unwrap_or("Browser");
    let system = find(&["Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux"]);
    Some(match system {
        Some(system) => format!("{browser}, {system}"),
        None => browser.to_owned(),
    })
}

async fn sign_out(State(web): State<Arc<Web>>, caller: Caller) -> Answer<Response> {
    let (account, id) = (caller.address().clone(), caller.device.id);
    web.node
        .write(move |tx| sessions::forget_device(tx, &account, id))
        .await?;
    let mut answer = Done.into_response();
    if caller.kind == Kind::Cookie {
        answer
            .headers_mut()
            .insert(header::SET_COOKIE, token::clear_cookie());
    }
    Ok(answer)
}

async fn everywhere(
    State(web): State<Arc<Web>>,
    peer: Option<Extension<Arc<Peer>>>,
    caller: Caller,
    Ask(ask): Ask<t::SignOutEverywhere>,
) -> Answer<Done> {
    let secret = Secret::new(ask.passphrase);
    auth::passphrase(&web, peer.as_deref(), caller.address(), &secret).await?;
    let keep = ask.keep_this.then_some(caller.device.id);
    let account = caller.address().clone();
    web.node
        .write(move |tx| sessions::sign_out_devices(tx, &account, keep))
        .await?;
    Ok(Done)
}

async fn node(State(web): State<Arc<Web>>) -> Answer<Json<t::NodeInfo>> {
    web.read(info).await.map(Json)
}

fn info(web: &Web) -> Answer<t::NodeInfo> {
    let config = web.config.get();
    Ok(t::NodeInfo {
        domain: web.domain().to_string(),
        version: config.version.clone(),
        protocols: config.protocols(),
        registration: config.registration,
        lockdown: lockdown::is_on(web)?,
        rooms_by_anyone: config.rooms_by_anyone,
        previews: config.previews.is_some(),
        members_invite: config.inviters == sammen_net::invitations::Inviters::Members,
    })
}

async fn me(State(web): State<Arc<Web>>, caller: Caller) -> Answer<Json<t::Me>> {
    web.read(move |web| whoami(web, &caller)).await.map(Json)
}

/// Who is signed in. Blocking.
pub(super) fn whoami(web: &Web, caller: &Caller) -> Answer<t::Me> {
    let address = caller.address();
    let limits = web.node.limits();
    let used = web.node.store().blob_usage(address);
    Ok(t::Me {
        account: person(View::of(web, address), address),
        admin: caller.account.admin,
        full: caller.full(),
        device: caller.device.id.to_string(),
        node: info(web)?,
        switches: switches(&caller.account),
        quota: t::Quota {
            used: used.map_err(sammen_core::Refusal::from)?,
            most: limits.blob_quota,
        },
        limits: t::SendLimits {
            file_bytes: limits.blob_bytes,
            text_bytes: limits.text_bytes as u64,
        },
    })
}

/// What an account lets others know.
pub(super) fn switches(account: &sammen_core::Account) -> t::Switches {
    t::Switches {
        receipts: account.switches.receipts,
        typing: account.switches.typing,
        last_seen: account.switches.last_seen,
        retention_days: account.retention_days,
    }
}
