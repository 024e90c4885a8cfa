//! What the server is and can do: `/versions`, well-known, capabilities, relays for calls, OpenID.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{Method, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use ruma::OwnedUserId;
use ruma::RoomVersionId;
use ruma::api::client::account::request_openid_token;
use ruma::api::client::discovery::discover_support::{self, Contact, ContactRole};
use ruma::api::client::discovery::get_capabilities::v3::{
    AccountModerationCapability, Capabilities, GetLoginTokenCapability, RoomVersionStability,
    RoomVersionsCapability, ThirdPartyIdChangesCapability,
};
use ruma::api::client::discovery::{get_capabilities, get_supported_versions};
use ruma::authentication::TokenType;
use sammen_core::Address;
use sammen_net::relay::Service;
use sammen_net::{Peer, Secret};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::vault::Vault;
use crate::extract::{Ask, authenticate};
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// Versions of the specification that are spoken.
const VERSIONS: &[&str] = &[
    "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11",
    "v1.12",
];
/// How long an OpenID token tells who somebody is.
const OPENID: Duration = Duration::from_secs(3600);
/// OpenID tokens at a time.
const MOST: usize = 4096;

/// Tokens that tell others who somebody is, and nothing more.
pub struct OpenId(Vault<OwnedUserId>);

impl Default for OpenId {
    fn default() -> Self {
        Self(Vault::new(MOST))
    }
}

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(versions);
    table.on(capabilities);
    table.on(support);
    table.on(open_id);
    // ruma has no place for what clients put there besides.
    table.raw(
        Method::GET,
        "/.well-known/matrix/client",
        false,
        get(well_known),
    );
    // No relays are `{}`, and ruma has no place for that.
    for version in ["r0", "v3"] {
        let path = format!("/_matrix/client/{version}/voip/turnServer");
        table.raw(Method::GET, &path, true, get(relays));
    }
    let userinfo = "/_matrix/federation/v1/openid/userinfo";
    table.raw(Method::GET, userinfo, true, get(who_is_it));
}

async fn versions(
    _: Arc<Matrix>,
    _: Ask<get_supported_versions::Request>,
) -> Answer<get_supported_versions::Response> {
    let versions = VERSIONS.iter().map(|&v| v.to_owned()).collect();
    let mut answer = get_supported_versions::Response::new(versions);
    // Element X and Fractal ask for it before they use it.
    let sliding = "org.matrix.simplified_msc3575".to_owned();
    answer.unstable_features.insert(sliding, true);
    Ok(answer)
}

async fn well_known(State(matrix): State<Arc<Matrix>>) -> Json<Value> {
    Json(json!({
        "m.homeserver": { "base_url": matrix.base() },
        // Conversations here have people on other protocols, who can't read what Matrix apps encrypt: apps are to
        // encrypt where somebody asks for it, and not by themselves.
        "io.element.e2ee": { "default": false, "secure_backup_required": false },
    }))
}

async fn support(
    matrix: Arc<Matrix>,
    _: Ask<discover_support::Request>,
) -> Answer<discover_support::Response> {
    let mut found = discover_support::Response::with_contacts(Vec::new());
    let config = matrix.config.get();
    let lists = [
        ("m.role.admin", &config.admin_addresses),
        // MSC4121: whom to reach about abuse.
        ("m.role.moderator", &config.abuse_addresses),
    ];
    for (role, uris) in lists {
        for uri in uris {
            let role = ContactRole::from(role);
            if let Some(mail) = uri.strip_prefix("mailto:") {
                let contact = Contact::with_email_address(role, mail.to_owned());
                found.contacts.push(contact);
            } else if let Some(id) = person(&matrix, uri) {
                found.contacts.push(Contact::with_matrix_id(role, id));
            } else if uri.starts_with("https://") && found.support_page.is_none() {
                found.support_page = Some(uri.clone());
            }
        }
    }
    if found.contacts.is_empty() && found.support_page.is_none() {
        return Err(Fault::not_found("nobody is named"));
    }
    Ok(found)
}

/// Whom a URI of XMPP or Matrix means.
fn person(matrix: &Matrix, uri: &str) -> Option<OwnedUserId> {
    if let Some(id) = uri.strip_prefix("matrix:u/") {
        return OwnedUserId::try_from(format!("@{id}")).ok();
    }
    let address = Address::new(uri.strip_prefix("xmpp:")?).ok()?;
    let domain = address.domain()?;
    let ours = matrix.node.domains().iter().any(|d| d.as_str() == domain);
    let id = crate::names::user_id(&address, &matrix.name);
    id.filter(|_| ours && !address.is_room())
}

async fn capabilities(
    _: Arc<Matrix>,
    ask: Ask<get_capabilities::v3::Request>,
) -> Answer<get_capabilities::v3::Response> {
    let stable = || RoomVersionStability::Stable;
    let rooms = [
        (RoomVersionId::V11, stable()),
        (RoomVersionId::V12, stable()),
    ];
    let mut all = Capabilities::new();
    all.room_versions = RoomVersionsCapability::new(RoomVersionId::V11, BTreeMap::from(rooms));
    all.thirdparty_id_changes = ThirdPartyIdChangesCapability::new(false);
    all.get_login_token = GetLoginTokenCapability::new(true);
    all.account_moderation = AccountModerationCapability::new(false, ask.who.is_admin());
    Ok(all.into())
}

async fn relays(State(matrix): State<Arc<Matrix>>, request: Request) -> Response<Body> {
    let (head, _) = request.into_parts();
    let caller = match authenticate(&matrix, &head).await {
        Ok(caller) => caller,
        Err(fault) => return fault.into_response(),
    };
    let config = matrix.config.get();
    let relays = &config.relays;
    let Some(made) = relays.credentials(caller.address(), matrix.node.now()) else {
        return Json(json!({})).into_response();
    };
    let services = relays.services.iter().filter(|s| s.kind.is_restricted());
    let uris: Vec<String> = services.map(uri).collect();
    if uris.is_empty() {
        return Json(json!({})).into_response();
    }
    let answer = json!({
        "username": made.username,
        "password": made.password.expose(),
        "uris": uris,
        "ttl": relays.lifetime.as_secs(),
    });
    Json(answer).into_response()
}

/// RFC 7065 §3.
fn uri(service: &Service) -> String {
    let (kind, transport) = (service.kind.name(), service.transport.name());
    let host = if service.host.contains(':') {
        format!("[{}]", service.host)
    } else {
        service.host.clone()
    };
    format!("{kind}:{host}:{}?transport={transport}", service.port)
}

async fn open_id(
    matrix: Arc<Matrix>,
    ask: Ask<request_openid_token::v3::Request>,
) -> Answer<request_openid_token::v3::Response> {
    if ask.request.user_id != ask.who.user_id {
        return Err(Fault::forbidden("nobody says who others are"));
    }
    let clock = matrix.node.clock();
    let token = matrix.open_id.0.put(clock, OPENID, ask.who.user_id);
    Ok(request_openid_token::v3::Response::new(
        token.expose().to_owned(),
        TokenType::Bearer,
        matrix.name.clone(),
        OPENID,
    ))
}

#[derive(Deserialize)]
struct Shown {
    access_token: String,
}

/// Server-server API, "OpenID": whose token it is, for whoever was given it.
async fn who_is_it(
    State(matrix): State<Arc<Matrix>>,
    peer: Option<axum::Extension<Arc<Peer>>>,
    shown: Result<Query<Shown>, QueryRejection>,
) -> Response<Body> {
    let peer = peer.as_ref().map(|axum::Extension(peer)| peer.as_ref());
    if let Err(fault) = matrix.auth.rates.stranger(peer) {
        return fault.into_response();
    }
    let Ok(Query(shown)) = shown else {
        let missing = Fault::new(
            StatusCode::UNAUTHORIZED,
            ruma::api::error::ErrorKind::MissingToken,
            "a token is needed",
        );
        return missing.into_response();
    };
    let secret = Secret::new(shown.access_token);
    let who = matrix
        .open_id
        .0
        .look(&secret, matrix.node.now(), |who| who.clone());
    match who {
        Some(who) => Json(json!({ "sub": who })).into_response(),
        None => Fault::unknown_token(false).into_response(),
    }
}
