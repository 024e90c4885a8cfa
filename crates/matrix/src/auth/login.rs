//! Signing in and out: `/login`, `/logout`, `/account/whoami`.

use std::sync::Arc;

use axum::http::{Method, Request};
use ruma::UserId;
use ruma::api::auth_scheme::NoAccessToken;
use ruma::api::client::account::whoami;
use ruma::api::client::session::get_login_types::{self, v3::LoginType};
use ruma::api::client::session::login::v3 as login;
use ruma::api::client::session::{logout, logout_all};
use ruma::api::client::uiaa::UserIdentifier;
use ruma::api::error::{DeserializationError, ErrorKind};
use ruma::api::path_builder::VersionHistory;
use ruma::api::{IncomingRequest, Metadata};
use sammen_core::Domain;
use sammen_core::ops::sessions;
use sammen_core::tx::Tx;
use sammen_net::login::{LoginRefused, Proven};
use sammen_net::{Peer, Secret};

use super::devices;
use super::token::{self, Wish};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(flows);
    table.on(log_in);
    table.on(who_am_i);
    table.on(log_out);
    table.on(log_out_everywhere);
}

async fn flows(
    _: Arc<Matrix>,
    _: Ask<get_login_types::v3::Request>,
) -> Answer<get_login_types::v3::Response> {
    let password = LoginType::Password(get_login_types::v3::PasswordLoginType::new());
    let mut token = get_login_types::v3::TokenLoginType::new();
    token.get_login_token = true;
    let flows = vec![password, LoginType::Token(token)];
    Ok(get_login_types::v3::Response::new(flows))
}

/// ruma's request; its reader panics where `type` is missing, so that is looked for before.
struct LogIn(login::Request);

impl Metadata for LogIn {
    const METHOD: Method = login::Request::METHOD;
    const RATE_LIMITED: bool = login::Request::RATE_LIMITED;
    type Authentication = NoAccessToken;
    type PathBuilder = VersionHistory;
    const PATH_BUILDER: VersionHistory = login::Request::PATH_BUILDER;
}

impl IncomingRequest for LogIn {
    type EndpointError = <login::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = login::Response;

    fn try_from_http_request_inner(
        request: Request<&[u8]>,
        path: &[&str],
    ) -> Result<Self, DeserializationError> {
        #[derive(serde::Deserialize)]
        struct Typed {
            #[serde(rename = "type")]
            _type: String,
        }
        serde_json::from_slice::<Typed>(request.body())?;
        login::Request::try_from_http_request_inner(request, path).map(Self)
    }
}

async fn log_in(matrix: Arc<Matrix>, ask: Ask<LogIn>) -> Answer<login::Response> {
    let LogIn(request) = ask.request;
    let proven = match request.login_info {
        login::LoginInfo::Password(given) => {
            #[expect(deprecated, reason = "clients still send it")]
            let user = given.user.as_deref();
            let name = match (&given.identifier, user) {
                (Some(identifier), _) => named(identifier),
                (None, Some(user)) => Some(user),
                (None, None) => return Err(Fault::bad_json("who wants to sign in?")),
            };
            let password = Secret::new(given.password);
            check(&matrix, ask.peer.as_deref(), name, &password).await?
        }
        login::LoginInfo::Token(given) => {
            let token = Secret::new(given.token);
            matrix.auth.login_tokens.take(&matrix, &token)?
        }
        _ => {
            return Err(Fault::new(
                axum::http::StatusCode::BAD_REQUEST,
                ErrorKind::Unknown,
                "nobody signs in that way here",
            ));
        }
    };
    let wish = Wish {
        device_id: request.device_id,
        label: request.initial_device_display_name,
        refreshes: request.refresh_token,
        client: None,
    };
    let (fresh, caller) = token::mint(&matrix, proven, wish).await?;
    let mut answer = login::Response::new(
        caller.user_id,
        fresh.access.expose().to_owned(),
        caller.device_id,
    );
    answer.expires_in = fresh.expires_in();
    answer.refresh_token = fresh.refresh.map(|token| token.expose().to_owned());
    let home = login::HomeserverInfo::new(matrix.base());
    answer.well_known = Some(login::DiscoveryInfo::new(home));
    Ok(answer)
}

/// What an identifier says; `None` for e-mail addresses and phones, which nobody has here.
pub(crate) fn named(identifier: &UserIdentifier) -> Option<&str> {
    match identifier {
        UserIdentifier::Matrix(id) => Some(&id.user),
        _ => None,
    }
}

/// Checks the password of whoever `name` is, a localpart or a whole Matrix id.
pub(crate) async fn check(
    matrix: &Matrix,
    peer: Option<&Peer>,
    name: Option<&str>,
    password: &Secret,
) -> Result<Proven, LoginRefused> {
    let (domain, name) = name
        .and_then(|name| at(matrix, name))
        .ok_or(LoginRefused::Wrong)?;
    let logins = &matrix.auth.logins;
    logins.check(&domain, peer, &name, password).await
}

/// The domain and the name there; `None` at another server.
fn at(matrix: &Matrix, name: &str) -> Option<(Domain, String)> {
    let (name, domain) = match name.strip_prefix('@') {
        Some(_) => {
            let id = UserId::parse(name).ok()?;
            (id.localpart().to_owned(), id.server_name().to_string())
        }
        // As people write it elsewhere.
        None => match name.rsplit_once('@') {
            Some((name, domain)) => (name.to_owned(), domain.to_owned()),
            None => return Some((matrix.domain().clone(), name.to_owned())),
        },
    };
    let domain = Domain::new(&domain).ok()?;
    let ours = matrix.node.domains().contains(&domain);
    ours.then_some((domain, name))
}

async fn who_am_i(_: Arc<Matrix>, ask: Ask<whoami::v3::Request>) -> Answer<whoami::v3::Response> {
    let mut answer = whoami::v3::Response::new(ask.who.user_id, false);
    answer.device_id = Some(ask.who.device_id);
    Ok(answer)
}

async fn log_out(
    matrix: Arc<Matrix>,
    ask: Ask<logout::v3::Request>,
) -> Answer<logout::v3::Response> {
    let (account, device) = (ask.who.address().clone(), ask.who.device.id);
    let forget = move |tx: &mut Tx<'_>| sessions::forget_device(tx, &account, device);
    matrix.node.write(forget).await?;
    Ok(logout::v3::Response::new())
}

/// The account's Matrix devices; those of other protocols stay, they hold no access token.
async fn log_out_everywhere(
    matrix: Arc<Matrix>,
    ask: Ask<logout_all::v3::Request>,
) -> Answer<logout_all::v3::Response> {
    let account = ask.who.address().clone();
    let ended = matrix
        .node
        .write(move |tx| devices::forget(tx, &account, None));
    ended.await?;
    Ok(logout_all::v3::Response::new())
}
