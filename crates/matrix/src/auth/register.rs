//! New accounts: with an invitation (its token is a registration token), or by anyone where the node is open.

use std::sync::Arc;

use axum::http::StatusCode;
use ruma::api::client::account::register::{self, LoginType, RegistrationKind};
use ruma::api::client::account::{check_registration_token_validity, get_username_availability};
use ruma::api::client::uiaa::AuthType;
use ruma::api::error::ErrorKind;
use sammen_core::{Address, Name, Outcome, Refusal};
use sammen_net::accounts::AccountError;
use sammen_net::invitations::{self, Token};
use sammen_net::login::Proven;
use sammen_net::{Secret, lockdown, password};

use super::token::{self, Wish};
use super::uia::{self, Demand};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// Longest registration token that is looked at ("Token-authenticated registration": 64 characters).
const TOKEN: usize = 64;

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(register);
    table.on(available);
    table.on(valid);
}

fn refused(kind: ErrorKind, text: &str) -> Fault {
    Fault::new(StatusCode::BAD_REQUEST, kind, text)
}

/// What a name or an invitation was refused for.
fn unusable(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Taken => refused(ErrorKind::UserInUse, "this name is taken"),
        Refusal::InvalidName => refused(
            ErrorKind::InvalidUsername,
            "a name begins with a letter and has letters, digits, dots, dashes; some are kept for the node",
        ),
        Refusal::NotFound => Fault::forbidden("this invitation does not hold"),
        other => other.into(),
    }
}

fn name(text: &str) -> Answer<Name> {
    Name::new(text).map_err(|_| unusable(Refusal::InvalidName))
}

/// Refuses names that nobody can have now; `invited` may have one that an invitation promised.
async fn look(matrix: &Matrix, name: &Name, invited: bool) -> Answer<()> {
    if name.is_reserved() {
        return Err(unusable(Refusal::InvalidName));
    }
    let address = Address::account(matrix.domain(), name);
    let free = matrix.node.write(move |tx| -> Outcome<bool> {
        let promised = !invited && invitations::name_is_promised(tx, &address)?;
        Ok(!promised && !tx.is_taken(&address)?)
    });
    if free.await? {
        return Ok(());
    }
    Err(unusable(Refusal::Taken))
}

async fn register(
    matrix: Arc<Matrix>,
    ask: Ask<register::v3::Request>,
) -> Answer<register::v3::Response> {
    let (request, peer) = (ask.request, ask.peer.as_deref());
    if request.kind != RegistrationKind::User {
        return Err(Fault::new(
            StatusCode::FORBIDDEN,
            ErrorKind::GuestAccessForbidden,
            "there are no guests on Matrix here",
        ));
    }
    if let Some(LoginType::ApplicationService) = request.login_type {
        return Err(Fault::forbidden("application services are not spoken"));
    }
    let closed = matrix.read(|matrix| Ok(lockdown::is_on(matrix.node.store())?));
    if closed.await? {
        return Err(Fault::forbidden("nobody new can come in just now"));
    }
    // What can't succeed is said before anybody is asked for something.
    let wished = request.username.as_deref().map(name).transpose()?;
    // Who has an account is nobody's business who may not come in.
    let open = matrix.config.get().registration;
    if let Some(name) = wished.as_ref().filter(|_| open) {
        look(&matrix, name, true).await?;
    }
    let passphrase = request.password.map(Secret::new);
    if let Some(passphrase) = &passphrase {
        password::check_new(passphrase).map_err(|why| Fault::weak_password(why.to_string()))?;
    }
    let mut flows = vec![vec![AuthType::RegistrationToken]];
    if open {
        flows.insert(0, vec![AuthType::Dummy]);
    }
    let demand = Demand {
        what: "register".to_owned(),
        account: None,
        flows,
        passphrase: false,
    };
    let (Some(passphrase), true) = (passphrase, request.auth.is_some()) else {
        // Clients ask without anything to learn what is needed.
        uia::pass(&matrix, peer, demand, None).await?;
        return Err(Fault::bad_json("a password is needed"));
    };
    let shown = uia::pass(&matrix, peer, demand, request.auth).await?;
    if let Some(name) = wished.as_ref().filter(|_| !open) {
        look(&matrix, name, true).await?;
    }
    matrix.auth.rates.new_account(peer)?;
    let name = match wished {
        Some(name) => name,
        None => name(&format!("user{:08x}", matrix.node.clock().random() as u32))?,
    };
    let account = create(&matrix, &name, passphrase, shown.token).await?;
    tracing::info!(protocol = "matrix", %account, "{account} was registered");
    let id = crate::names::user_id(&account, &matrix.name);
    let id = id.ok_or_else(|| Fault::invalid("this name can't be a Matrix name"))?;
    let mut answer = register::v3::Response::new(id);
    if request.inhibit_login {
        return Ok(answer);
    }
    let proven = Proven {
        account,
        credential: None,
        stamp: None,
    };
    let wish = Wish {
        device_id: request.device_id,
        label: request.initial_device_display_name,
        refreshes: request.refresh_token,
        client: None,
    };
    let (fresh, caller) = token::mint(&matrix, proven, wish).await?;
    answer.device_id = Some(caller.device_id);
    answer.expires_in = fresh.expires_in();
    answer.access_token = Some(fresh.access.expose().to_owned());
    answer.refresh_token = fresh.refresh.map(|token| token.expose().to_owned());
    Ok(answer)
}

async fn create(
    matrix: &Matrix,
    name: &Name,
    passphrase: Secret,
    token: Option<String>,
) -> Answer<Address> {
    let (accounts, domain, now) = (&matrix.accounts, matrix.domain(), matrix.node.now());
    let made = match token.as_deref().and_then(Token::read) {
        Some(token) => {
            let made = accounts.create_invited(domain, name, passphrase, &token, now);
            made.await
        }
        None => accounts.create(domain, name, passphrase, false).await,
    };
    made.map_err(|error| match error {
        AccountError::Refused(refusal) => unusable(refusal),
        other => other.into(),
    })
}

async fn available(
    matrix: Arc<Matrix>,
    ask: Ask<get_username_availability::v3::Request>,
) -> Answer<get_username_availability::v3::Response> {
    let name = name(&ask.request.username)?;
    if !matrix.config.get().registration {
        return Err(Fault::forbidden("one needs an invitation here"));
    }
    look(&matrix, &name, false).await?;
    Ok(get_username_availability::v3::Response::new(true))
}

async fn valid(
    matrix: Arc<Matrix>,
    ask: Ask<check_registration_token_validity::v1::Request>,
) -> Answer<check_registration_token_validity::v1::Response> {
    let token = ask.request.token;
    let valid = token.len() <= TOKEN && uia::invitation(&matrix, &token).await?;
    Ok(check_registration_token_validity::v1::Response::new(valid))
}
