//! The passphrase and app passwords. Only who gave the passphrase changes them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::Method;
use sammen_core::ops::sessions;
use sammen_core::{Address, DeviceId};
use sammen_net::credentials::{Credentials, Kind, Password, PasswordId, Scopes};
use sammen_net::{Peer, Secret};

use crate::auth::{self, Caller, Need};
use crate::extract::{Ask, Created, Done, Json, Place};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::POST,
            "/me/passphrase",
            Need::Passphrase,
            "Changes the passphrase",
        )
        .ask::<t::PassphraseChange>()
        .done()
        .by(change);
    table
        .on(
            Method::GET,
            "/me/passwords",
            Need::Passphrase,
            "App passwords, without the passwords",
        )
        .answer::<t::AppPasswords>(200)
        .by(list);
    table
        .on(
            Method::POST,
            "/me/passwords",
            Need::Passphrase,
            "Makes an app password, shown once",
        )
        .ask::<t::AppPasswordWish>()
        .answer::<t::NewAppPassword>(201)
        .by(add);
    table
        .on(
            Method::DELETE,
            "/me/passwords/{id}",
            Need::Passphrase,
            "Takes an app password away; what signed in with it is signed out",
        )
        .done()
        .by(remove);
}

async fn change(
    State(web): State<Arc<Web>>,
    peer: Option<Extension<Arc<Peer>>>,
    caller: Caller,
    Ask(ask): Ask<t::PassphraseChange>,
) -> Answer<Done> {
    let old = Secret::new(ask.old);
    auth::passphrase(&web, peer.as_deref(), caller.address(), &old).await?;
    let own = Some(caller.device.id);
    set_passphrase(&web, caller.address(), own, Secret::new(ask.new)).await?;
    if ask.sign_out_others {
        let (account, own) = (caller.address().clone(), caller.device.id);
        web.node
            .write(move |tx| sessions::sign_out_devices(tx, &account, Some(own)))
            .await?;
    }
    Ok(Done)
}

/// Gives an account another passphrase. What came in by the old one ends, but for the device that asked.
pub(crate) async fn set_passphrase(
    web: &Web,
    account: &Address,
    own: Option<DeviceId>,
    new: Secret,
) -> Answer<()> {
    let (iterations, now) = (web.accounts.iterations(), web.accounts.now_ms());
    web.accounts
        .change_from(account, own, move |c| {
            c.set_passphrase(&new, iterations, now, &mut rand::rng())
        })
        .await?;
    Ok(())
}

fn shown(password: &Password) -> Option<t::AppPassword> {
    match &password.kind {
        Kind::Passphrase => None,
        Kind::App { name, scopes } => Some(t::AppPassword {
            id: password.id.to_string(),
            name: name.clone(),
            scopes: scopes.names().map(str::to_owned).collect(),
            created: i64::try_from(password.created_ms).unwrap_or(i64::MAX),
        }),
    }
}

async fn list(State(web): State<Arc<Web>>, caller: Caller) -> Answer<Json<t::AppPasswords>> {
    let known = web.accounts.credentials(caller.address()).await?;
    let passwords = known
        .iter()
        .flat_map(Credentials::passwords)
        .filter_map(shown)
        .collect();
    Ok(Json(t::AppPasswords { passwords }))
}

async fn add(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(ask): Ask<t::AppPasswordWish>,
) -> Answer<Created<t::NewAppPassword>> {
    let known = ["xmpp", "irc", "matrix", "web"];
    if ask.scopes.iter().any(|s| !known.contains(&s.as_str())) {
        return Err(Problem::invalid(
            "scopes",
            "a protocol is xmpp, irc, matrix or web",
        ));
    }
    make(&web, caller.address(), ask.name, ask.scopes)
        .await
        .map(Created)
}

/// Makes an app password.
pub(crate) async fn make(
    web: &Web,
    account: &Address,
    name: String,
    only: Vec<String>,
) -> Answer<t::NewAppPassword> {
    let now = web.accounts.now_ms();
    let (called, scopes) = (name.clone(), only.clone());
    let (id, secret) = web
        .accounts
        .change(account, move |c| {
            let scopes = Scopes::only(scopes.clone());
            c.add_app_password(&called, scopes, now, &mut rand::rng())
        })
        .await?;
    Ok(t::NewAppPassword {
        password: t::AppPassword {
            id: id.to_string(),
            name,
            scopes: only,
            created: i64::try_from(now).unwrap_or(i64::MAX),
        },
        secret: secret.expose().to_owned(),
    })
}

async fn remove(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
) -> Answer<Done> {
    let id = PasswordId::parse(&id)
        .filter(|id| *id != PasswordId::PASSPHRASE)
        .ok_or_else(Problem::not_found)?;
    let known = web.accounts.credentials(caller.address()).await?;
    let there = known.as_ref().and_then(|c| c.password(id));
    there.and_then(shown).ok_or_else(Problem::not_found)?;
    web.accounts
        .change(caller.address(), move |c| {
            c.remove_password(id, &mut rand::rng());
            Ok(())
        })
        .await?;
    Ok(Done)
}
