//! The recovery code: with it, once, somebody who forgot the passphrase sets another one, and gets another code.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::Method;
use sammen_core::Address;
use sammen_net::credentials::{Credentials, Kind, Password, PasswordId, Scopes};
use sammen_net::{Peer, Secret};

use crate::auth::{self, Caller, Need};
use crate::extract::{Ask, Json};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

/// The scope of recovery codes: no protocol takes them.
pub const SCOPE: &str = "recovery";
/// What they are called among the passwords.
const NAME: &str = "Recovery code";

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::POST,
            "/recovery",
            Need::Nobody,
            "Sets another passphrase with the recovery code, which holds once; what came in by the old one ends",
        )
        .ask::<t::Recover>()
        .answer::<t::RecoveryCode>(200)
        .by(recover);
    table
        .on(
            Method::POST,
            "/me/recovery",
            Need::Passphrase,
            "Makes another recovery code, shown once; the one before holds no longer",
        )
        .ask::<t::RecoveryWish>()
        .answer::<t::RecoveryCode>(200)
        .by(renew);
}

/// An account's recovery codes: passwords for nothing else.
fn codes(credentials: &Credentials) -> impl Iterator<Item = &Password> {
    let code =
        |p: &&Password| matches!(&p.kind, Kind::App { scopes, .. } if scopes.names().eq([SCOPE]));
    credentials.passwords().iter().filter(code)
}

async fn recover(
    State(web): State<Arc<Web>>,
    peer: Option<Extension<Arc<Peer>>>,
    Ask(ask): Ask<t::Recover>,
) -> Answer<Json<t::RecoveryCode>> {
    // Guesses are slowed down as those of passphrases are, and count with them.
    let code = Secret::new(ask.code.split_whitespace().collect::<String>());
    let peer = peer.as_deref().map(AsRef::as_ref);
    let checked = web.recoveries.check(web.domain(), peer, &ask.name, &code);
    let proven = checked.await?;
    // An app's password for every protocol is none of these, and neither is the passphrase.
    let known = web.accounts.credentials(&proven.account).await?;
    let shown = |p: &&Password| p.credential() == proven.credential;
    let used = known.as_ref().and_then(|c| codes(c).find(shown));
    let used = used.map(|p| p.id).ok_or_else(Problem::wrong_login)?;
    let new = Secret::new(ask.password);
    let code = replace(&web, &proven.account, Some((used, new))).await?;
    tracing::info!(protocol = "web", account = %proven.account, "{} set another passphrase with the recovery code", proven.account);
    Ok(Json(t::RecoveryCode { code }))
}

async fn renew(
    State(web): State<Arc<Web>>,
    peer: Option<Extension<Arc<Peer>>>,
    caller: Caller,
    Ask(ask): Ask<t::RecoveryWish>,
) -> Answer<Json<t::RecoveryCode>> {
    let passphrase = Secret::new(ask.passphrase);
    auth::passphrase(&web, peer.as_deref(), caller.address(), &passphrase).await?;
    let code = replace(&web, caller.address(), None).await?;
    Ok(Json(t::RecoveryCode { code }))
}

/// Makes a recovery code in place of those before, and with one of them another passphrase: all of it or nothing.
pub(crate) async fn replace(
    web: &Web,
    account: &Address,
    with: Option<(PasswordId, Secret)>,
) -> Answer<String> {
    let (iterations, now) = (web.accounts.iterations(), web.accounts.now_ms());
    let made = web.accounts.change(account, move |credentials| {
        let rng = &mut rand::rng();
        let old: Vec<PasswordId> = codes(credentials).map(|p| p.id).collect();
        if let Some((used, new)) = &with {
            // Somebody was faster with the same code.
            if !old.contains(used) {
                return Ok(None);
            }
            credentials.set_passphrase(new, iterations, now, rng)?;
        }
        for id in old {
            credentials.remove_password(id, rng);
        }
        let (_, code) = credentials.add_app_password(NAME, Scopes::only([SCOPE]), now, rng)?;
        Ok(Some(code.expose().to_owned()))
    });
    made.await?.ok_or_else(Problem::wrong_login)
}
