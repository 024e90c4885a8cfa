//! What is signed in: devices, and tokens for scripts.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::ops::sessions;
use sammen_core::{Credential, Device, DeviceId, Protocol, Refusal};

use crate::auth::{Caller, Kind, Need, token};
use crate::extract::{Ask, Created, Done, Json, Place};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

/// Tokens that one account may have.
const TOKENS: usize = 32;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/me/devices",
            Need::Account,
            "What is signed in, without tokens",
        )
        .answer::<t::Devices>(200)
        .by(list);
    table
        .on(
            Method::DELETE,
            "/me/devices/{id}",
            Need::Passphrase,
            "Signs a device out",
        )
        .done()
        .by(remove);
    table
        .on(
            Method::GET,
            "/me/tokens",
            Need::Passphrase,
            "Tokens for scripts",
        )
        .answer::<t::Tokens>(200)
        .by(tokens);
    table
        .on(
            Method::POST,
            "/me/tokens",
            Need::Passphrase,
            "Makes a token for scripts, shown once",
        )
        .ask::<t::TokenWish>()
        .answer::<t::NewToken>(201)
        .by(make);
    table
        .on(
            Method::DELETE,
            "/me/tokens/{id}",
            Need::Passphrase,
            "Takes a token back",
        )
        .done()
        .by(remove);
}

/// A device as a client shows it.
pub(crate) fn shown(web: &Web, device: &Device, current: Option<DeviceId>) -> t::Device {
    let kind = match device.protocol {
        Protocol::Web if device.key.starts_with(Kind::Token.prefix()) => t::DeviceKind::Token,
        Protocol::Web => t::DeviceKind::Session,
        _ => t::DeviceKind::App,
    };
    let online = web.node.live(|live| {
        let sessions = live.sessions_of(&device.account).iter();
        sessions.into_iter().any(|s| s.device == device.id)
    });
    t::Device {
        id: device.id.to_string(),
        label: device.label.clone(),
        protocol: device.protocol.name().to_owned(),
        credential: device.credential.as_ref().map(|c| c.name.clone()),
        created: device.created.0,
        seen: device.seen.0,
        current: current == Some(device.id),
        online,
        kind,
    }
}

async fn devices(web: &Arc<Web>, caller: &Caller) -> Answer<Vec<t::Device>> {
    let (account, own) = (caller.address().clone(), caller.device.id);
    web.read(move |web| {
        let mut all = web.node.store().devices(&account).map_err(Refusal::from)?;
        all.sort_by_key(|d| std::cmp::Reverse(d.seen));
        Ok(all.iter().map(|d| shown(web, d, Some(own))).collect())
    })
    .await
}

async fn list(State(web): State<Arc<Web>>, caller: Caller) -> Answer<Json<t::Devices>> {
    let mut devices = devices(&web, &caller).await?;
    devices.retain(|d| d.kind != t::DeviceKind::Token);
    Ok(Json(t::Devices { devices }))
}

async fn tokens(State(web): State<Arc<Web>>, caller: Caller) -> Answer<Json<t::Tokens>> {
    let mut tokens = devices(&web, &caller).await?;
    tokens.retain(|d| d.kind == t::DeviceKind::Token);
    Ok(Json(t::Tokens { tokens }))
}

async fn remove(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
) -> Answer<Done> {
    let id = DeviceId(id.parse().map_err(|_| Problem::not_found())?);
    let account = caller.address().clone();
    web.node
        .write(move |tx| sessions::forget_device(tx, &account, id))
        .await?;
    Ok(Done)
}

async fn make(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(ask): Ask<t::TokenWish>,
) -> Answer<Created<t::NewToken>> {
    mint(&web, caller.address(), &ask.name).await.map(Created)
}

/// Makes a token for an account.
pub(crate) async fn mint(
    web: &Arc<Web>,
    account: &sammen_core::Address,
    name: &str,
) -> Answer<t::NewToken> {
    let name = name.trim();
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err(Problem::invalid(
            "name",
            "a name is one line of 1 to 64 bytes",
        ));
    }
    let of = account.clone();
    let known = web
        .read(move |web| {
            let all = web.node.store().devices(&of).map_err(Refusal::from)?;
            let tokens = all
                .iter()
                .filter(|d| d.key.starts_with(Kind::Token.prefix()));
            Ok(tokens.count())
        })
        .await?;
    if known >= TOKENS {
        return Err(Problem::too_many(
            "an account has at most 32 tokens: take one back first",
        ));
    }
    // A token is a credential of its own, whatever it is called: what an app password of the same name let in is not its.
    let own = Credential {
        id: format!("token-{:032x}", web.node.clock().random()),
        name: name.to_owned(),
    };
    let label = Some(name.to_owned());
    let (secret, device) = token::mint(web, account, Kind::Token, label, Some(own), None).await?;
    Ok(t::NewToken {
        token: shown(web, &device, None),
        secret: secret.expose().to_owned(),
    })
}
