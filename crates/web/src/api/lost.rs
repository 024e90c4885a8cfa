//! "I lost my phone": one act that ends everything that the phone could still open.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::Method;
use sammen_core::Refusal;
use sammen_core::ops::sessions;
use sammen_net::credentials::{Credentials, PasswordId};
use sammen_net::{Peer, Secret};

use super::credentials::set_passphrase;
use crate::auth::{self, Caller, Need};
use crate::extract::{Ask, Json};
use crate::problem::Answer;
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::POST,
            "/me/lost-phone",
            Need::Passphrase,
            "Ends all other sessions, app passwords, tokens and certificates",
        )
        .ask::<t::LostPhoneWish>()
        .answer::<t::LostPhone>(200)
        .by(lost);
}

async fn lost(
    State(web): State<Arc<Web>>,
    peer: Option<Extension<Arc<Peer>>>,
    caller: Caller,
    Ask(ask): Ask<t::LostPhoneWish>,
) -> Answer<Json<t::LostPhone>> {
    let secret = Secret::new(ask.passphrase);
    auth::passphrase(&web, peer.as_deref(), caller.address(), &secret).await?;
    let (of, own) = (caller.address().clone(), caller.device.id);
    // What was signed in before: the first of the changes below ends some of it already.
    let devices = web
        .read(move |web| {
            let all = web.node.store().devices(&of).map_err(Refusal::from)?;
            Ok(all.iter().filter(|d| d.id != own).count())
        })
        .await?;
    let new = ask.new_passphrase.is_some();
    if let Some(new) = ask.new_passphrase {
        set_passphrase(&web, caller.address(), Some(own), Secret::new(new)).await?;
    }
    // First what it could sign in with, then what is signed in: between the two nothing comes back.
    let (app_passwords, certificates) = web.accounts.change(caller.address(), without_apps).await?;
    let account = caller.address().clone();
    web.node
        .write(move |tx| sessions::sign_out_devices(tx, &account, Some(own)))
        .await?;
    tracing::info!(protocol = "web", account = %caller.address(), devices, app_passwords, "everything but one session was ended");
    let mut remains = vec![
        "What the phone had downloaded stays on it; erase it from afar if its maker offers that."
            .to_owned(),
        "Messages that were end-to-end encrypted for the phone alone cannot be read anywhere else."
            .to_owned(),
        "Contacts see a new key when you set up encryption anew; compare it with them.".to_owned(),
    ];
    remains.push("Your recovery code was ended, too: make another one.".to_owned());
    if !new {
        remains.push(
            "Your passphrase still holds: change it if it was stored on the phone.".to_owned(),
        );
    }
    Ok(Json(t::LostPhone {
        devices: u32::try_from(devices).unwrap_or(u32::MAX),
        app_passwords,
        certificates,
        remains,
    }))
}

fn without_apps(
    credentials: &mut Credentials,
) -> Result<(u32, u32), sammen_net::credentials::CredentialError> {
    let apps: Vec<PasswordId> = credentials
        .passwords()
        .iter()
        .map(|p| p.id)
        .filter(|id| *id != PasswordId::PASSPHRASE)
        .collect();
    let prints: Vec<Vec<u8>> = credentials
        .certificates()
        .iter()
        .map(|c| c.fingerprint.clone())
        .collect();
    let (mut passwords, mut certificates) = (0, 0);
    for id in apps {
        passwords += u32::from(credentials.remove_password(id, &mut rand::rng()));
    }
    for print in prints.iter().filter_map(|p| p.as_slice().try_into().ok()) {
        certificates += u32::from(credentials.remove_certificate(print, &mut rand::rng()));
    }
    Ok((passwords, certificates))
}
