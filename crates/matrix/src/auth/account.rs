//! What an account does to itself: another password, its end. There are no e-mail addresses and phones to bind.

use std::sync::Arc;

use axum::http::StatusCode;
use ruma::api::client::account::{
    ThirdPartyIdRemovalStatus, add_3pid, change_password, deactivate, delete_3pid, get_3pids,
    request_3pid_management_token_via_email, request_3pid_management_token_via_msisdn,
    request_password_change_token_via_email, request_password_change_token_via_msisdn,
    request_registration_token_via_email, request_registration_token_via_msisdn,
};
use ruma::api::client::uiaa::AuthType;
use ruma::api::error::ErrorKind;
use sammen_core::ops::sessions;
use sammen_net::{Secret, password};

use super::Caller;
use super::uia::{self, Demand};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(change);
    table.on(remove);
    table.on(bound);
    table.on(bind);
    table.on(unbind);
    table.on(mail_to_bind);
    table.on(text_to_bind);
    table.on(mail_to_change);
    table.on(text_to_change);
    table.on(mail_to_register);
    table.on(text_to_register);
}

/// The account's own passphrase, for what can't be undone.
fn passphrase(who: &Caller, what: &str) -> Demand {
    Demand {
        what: what.to_owned(),
        account: Some(who.address().clone()),
        flows: vec![vec![AuthType::Password]],
        passphrase: true,
    }
}

async fn change(
    matrix: Arc<Matrix>,
    ask: Ask<change_password::v3::Request>,
) -> Answer<change_password::v3::Response> {
    // Without a token clients prove an e-mail address, which nobody has here.
    let who = ask.who.ok_or_else(Fault::missing_token)?;
    let new = Secret::new(ask.request.new_password);
    password::check_new(&new).map_err(|why| Fault::weak_password(why.to_string()))?;
    let demand = passphrase(&who, "password");
    uia::pass(&matrix, ask.peer.as_deref(), demand, ask.request.auth).await?;
    let accounts = &matrix.accounts;
    let (iterations, now) = (accounts.iterations(), accounts.now_ms());
    let others = ask.request.logout_devices;
    let own = Some(who.device.id);
    let set = move |c: &mut sammen_net::credentials::Credentials| {
        c.set_passphrase(&new, iterations, now, &mut rand::rng())
    };
    if others {
        accounts.change_from(who.address(), own, set).await?;
        let account = who.address().clone();
        let ended = matrix
            .node
            .write(move |tx| sessions::sign_out_devices(tx, &account, own));
        ended.await?;
        matrix.bells.ring(who.address());
    } else {
        accounts.change_keeping_sessions(who.address(), set).await?;
    }
    tracing::info!(protocol = "matrix", account = %who.address(), "a passphrase was changed");
    Ok(change_password::v3::Response::new())
}

async fn remove(
    matrix: Arc<Matrix>,
    ask: Ask<deactivate::v3::Request>,
) -> Answer<deactivate::v3::Response> {
    let who = ask.who.ok_or_else(Fault::missing_token)?;
    let demand = passphrase(&who, "deactivate");
    uia::pass(&matrix, ask.peer.as_deref(), demand, ask.request.auth).await?;
    // Everything is erased, whether `erase` asks for it or not: that is what removal means here.
    matrix.accounts.remove(who.address()).await?;
    matrix.bells.ring(who.address());
    tracing::info!(protocol = "matrix", account = %who.address(), "an account was removed by its owner");
    let nothing = ThirdPartyIdRemovalStatus::Success;
    Ok(deactivate::v3::Response::new(nothing))
}

async fn bound(_: Arc<Matrix>, _: Ask<get_3pids::v3::Request>) -> Answer<get_3pids::v3::Response> {
    Ok(get_3pids::v3::Response::new(Vec::new()))
}

fn no_medium() -> Fault {
    Fault::new(
        StatusCode::BAD_REQUEST,
        ErrorKind::ThreepidMediumNotSupported,
        "e-mail addresses and phone numbers are not kept here",
    )
}

async fn bind(_: Arc<Matrix>, _: Ask<add_3pid::v3::Request>) -> Answer<add_3pid::v3::Response> {
    Err(no_medium())
}

async fn unbind(
    _: Arc<Matrix>,
    _: Ask<delete_3pid::v3::Request>,
) -> Answer<delete_3pid::v3::Response> {
    Err(Fault::new(
        StatusCode::BAD_REQUEST,
        ErrorKind::ThreepidNotFound,
        "the account has no such address",
    ))
}

async fn mail_to_bind(
    _: Arc<Matrix>,
    _: Ask<request_3pid_management_token_via_email::v3::Request>,
) -> Answer<request_3pid_management_token_via_email::v3::Response> {
    Err(no_medium())
}

async fn text_to_bind(
    _: Arc<Matrix>,
    _: Ask<request_3pid_management_token_via_msisdn::v3::Request>,
) -> Answer<request_3pid_management_token_via_msisdn::v3::Response> {
    Err(no_medium())
}

async fn mail_to_change(
    _: Arc<Matrix>,
    _: Ask<request_password_change_token_via_email::v3::Request>,
) -> Answer<request_password_change_token_via_email::v3::Response> {
    Err(no_medium())
}

async fn text_to_change(
    _: Arc<Matrix>,
    _: Ask<request_password_change_token_via_msisdn::v3::Request>,
) -> Answer<request_password_change_token_via_msisdn::v3::Response> {
    Err(no_medium())
}

async fn mail_to_register(
    _: Arc<Matrix>,
    _: Ask<request_registration_token_via_email::v3::Request>,
) -> Answer<request_registration_token_via_email::v3::Response> {
    Err(no_medium())
}

async fn text_to_register(
    _: Arc<Matrix>,
    _: Ask<request_registration_token_via_msisdn::v3::Request>,
) -> Answer<request_registration_token_via_msisdn::v3::Response> {
    Err(no_medium())
}
