//! Devices without a browser (RFC 8628): the device shows a few letters, its person types them on a page of ours.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Extension, Form, Query, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use maud::html;
use sammen_core::{Clock, Timestamp};
use sammen_net::{Peer, Secret};
use serde::Deserialize;
use serde_json::json;

use super::authorize::{over, question, too_often, why};
use super::clients::{self, Client};
use super::metadata::{DEVICE, DEVICE_CODE, LINK as PAGE};
use super::scope::Scope;
use super::{Granted, LINK, Refused, Wrong, answer};
use crate::auth::login;
use crate::auth::vault::later;
use crate::pages::{Page, same_origin};
use crate::routes::Table;
use crate::server::Matrix;

/// RFC 8628 §6.1: consonants, so that no words come of it. 20 to the 8th is 34 bits, for a quarter of an hour.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LENGTH: usize = 8;
/// Seconds between two questions of a device.
const INTERVAL: i64 = 5;

/// A device that waits.
pub struct Link {
    id: String,
    scope: Scope,
    asked: Option<Timestamp>,
    answer: Option<Result<Granted, ()>>,
}

/// RFC 8628 §3.1.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    scope: String,
}

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    user_code: String,
}

#[derive(Deserialize)]
struct Typed {
    #[serde(default)]
    user_code: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    answer: String,
}

/// The endpoints.
pub fn routes(table: &mut Table) {
    let limit = || axum::extract::DefaultBodyLimit::max(16 * 1024);
    table.raw(Method::POST, DEVICE, true, post(begin).layer(limit()));
    table.raw(Method::GET, PAGE, true, get(show));
    table.raw(Method::POST, PAGE, true, post(take).layer(limit()));
}

async fn begin(
    State(matrix): State<Arc<Matrix>>,
    peer: Option<Extension<Arc<Peer>>>,
    asked: Result<Form<Asked>, FormRejection>,
) -> Response<Body> {
    let peer = peer.as_ref().map(|Extension(peer)| peer.as_ref());
    match wait(&matrix, peer, asked).await {
        Ok(answer) => answer,
        Err(refused) => refused.into_response(),
    }
}

async fn wait(
    matrix: &Arc<Matrix>,
    peer: Option<&Peer>,
    asked: Result<Form<Asked>, FormRejection>,
) -> Result<Response<Body>, Refused> {
    matrix.auth.rates.stranger(peer)?;
    let asked = asked.map_err(|_| Wrong::new("invalid_request", "something is missing"))?;
    let Form(Asked { client_id, scope }) = asked;
    let unknown = Wrong::new("invalid_client", "this client is not known");
    let client = clients::find(matrix, &client_id).await?.ok_or(unknown)?;
    if !client.may(DEVICE_CODE) {
        return Err(Wrong::new("unauthorized_client", "it did not say that it would").into());
    }
    let scope = Scope::read(&scope);
    let scope = scope.ok_or(Wrong::new("invalid_scope", "the API and one device"))?;
    let link = Link {
        id: client_id,
        scope,
        asked: None,
        answer: None,
    };
    let clock = matrix.node.clock();
    let code = matrix.oauth.links.put(clock, LINK, link);
    let letters = letters(clock);
    let until = later(clock.now(), LINK);
    let device_code = code.expose().to_owned();
    matrix
        .oauth
        .typed
        .keep(&Secret::new(letters.as_str()), until, code);
    let (first, second) = letters.split_at(LENGTH / 2);
    let shown = format!("{first}-{second}");
    let page = format!("{}{PAGE}", matrix.base());
    let body = json!({
        "device_code": device_code,
        "user_code": shown,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={shown}"),
        "expires_in": LINK.as_secs(),
        "interval": INTERVAL,
    });
    Ok(answer(StatusCode::OK, &body))
}

fn letters(clock: &dyn Clock) -> String {
    let mut bits = clock.random();
    let mut text = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        let at = usize::try_from(bits % 20).unwrap_or_default();
        text.push(LETTERS.get(at).copied().map_or('B', char::from));
        bits /= 20;
    }
    text
}

/// The letters without what people put between them.
fn plain(typed: &str) -> Secret {
    let letters = typed.chars().filter(char::is_ascii_alphabetic);
    Secret::new(
        letters
            .take(LENGTH)
            .collect::<String>()
            .to_ascii_uppercase(),
    )
}

/// What a device gets that asks whether its person said yes (RFC 8628 §3.5).
pub fn granted(matrix: &Matrix, client: &str, code: &str) -> Result<Granted, Wrong> {
    let (code, now) = (Secret::new(code), matrix.node.now());
    let over = Wrong::new("expired_token", "it is over; begin again");
    let links = &matrix.oauth.links;
    let waits = links.look(&code, now, |link| {
        if link.id != client {
            return Err(Wrong::new("invalid_grant", "it is not yours"));
        }
        if link.answer.is_some() {
            return Ok(());
        }
        let soon = link
            .asked
            .is_some_and(|at| now.0 - at.0 < (INTERVAL - 1) * 1000);
        link.asked = Some(now);
        if soon {
            return Err(Wrong::new("slow_down", "not so often"));
        }
        Err(Wrong::new("authorization_pending", "nobody said yes yet"))
    });
    waits.ok_or(over)??;
    let (_, link) = links.take(&code, now).ok_or(over)?;
    match link.answer {
        Some(Ok(granted)) => Ok(granted),
        _ => Err(Wrong::new("access_denied", "its person said no")),
    }
}

/// The client behind what somebody typed, while it waits.
async fn behind(matrix: &Arc<Matrix>, letters: &Secret) -> Option<Client> {
    let now = matrix.node.now();
    let code = matrix.oauth.typed.look(letters, now, |code| code.clone())?;
    let waiting = |link: &mut Link| link.answer.is_none().then(|| link.id.clone());
    let id = matrix.oauth.links.look(&code, now, waiting)??;
    clients::find(matrix, &id).await.ok().flatten()
}

fn form(
    matrix: &Matrix,
    letters: &Secret,
    client: Option<&Client>,
    wrong: Option<&str>,
    name: &str,
) -> Response<Body> {
    let content = html! {
        @match client {
            Some(client) => form method="post" action=(PAGE) {
                input type="hidden" name="user_code" value=(letters.expose());
                (question(matrix, client, wrong, name))
                p { "Say yes only if you hold the device that shows " strong { (letters.expose()) } " in your hand." }
            },
            None => {
                h1 { "Sign a device in" }
                @if let Some(wrong) = wrong { p class="wrong" role="alert" { (wrong) } }
                form method="get" action=(PAGE) {
                    label for="user_code" { "The letters that it shows" }
                    input id="user_code" name="user_code" required maxlength="16" autocomplete="off" spellcheck="false";
                    button { "Go on" }
                }
            }
        }
    };
    let status = match wrong {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    Page::new(status, "Sign in", content).answer()
}

async fn show(
    State(matrix): State<Arc<Matrix>>,
    peer: Option<Extension<Arc<Peer>>>,
    shown: Result<Query<Shown>, QueryRejection>,
) -> Response<Body> {
    let peer = peer.as_ref().map(|Extension(peer)| peer.as_ref());
    // Guessing letters is slow.
    if matrix.auth.rates.stranger(peer).is_err() {
        return too_often();
    }
    let typed = shown
        .map(|Query(shown)| shown.user_code)
        .unwrap_or_default();
    let letters = plain(&typed);
    let client = behind(&matrix, &letters).await;
    let wrong =
        (client.is_none() && !typed.is_empty()).then_some("No device waits with these letters.");
    form(&matrix, &letters, client.as_ref(), wrong, "")
}

async fn take(
    State(matrix): State<Arc<Matrix>>,
    peer: Option<Extension<Arc<Peer>>>,
    headers: HeaderMap,
    typed: Result<Form<Typed>, FormRejection>,
) -> Response<Body> {
    let Ok(Form(typed)) = typed else {
        return over();
    };
    let peer = peer.as_ref().map(|Extension(peer)| peer.as_ref());
    if matrix.auth.rates.stranger(peer).is_err() {
        return too_often();
    }
    let (letters, now) = (plain(&typed.user_code), matrix.node.now());
    if !same_origin(&headers, &matrix.base()) {
        return over();
    }
    let Some(client) = behind(&matrix, &letters).await else {
        return over();
    };
    let said = if typed.answer == "yes" {
        let password = Secret::new(typed.password);
        match login::check(&matrix, peer, Some(&typed.name), &password).await {
            Ok(proven) => Some(proven),
            Err(refused) => {
                let wrong = Some(why(refused));
                return form(&matrix, &letters, Some(&client), wrong, &typed.name);
            }
        }
    } else {
        None
    };
    // From here on the letters are used up.
    let Some((_, code)) = matrix.oauth.typed.take(&letters, now) else {
        return over();
    };
    let yes = said.is_some();
    let id = matrix.oauth.links.look(&code, now, |link| {
        let granted = said.map(|proven| Granted {
            proven,
            scope: link.scope.clone(),
            client: link.id.clone(),
        });
        link.answer = Some(granted.ok_or(()));
        link.id.clone()
    });
    let Some(id) = id else {
        return over();
    };
    if clients::note_used(&matrix, &id).await.is_err() {
        tracing::debug!("when a client was used could not be written");
    }
    let content = html! {
        h1 { @if yes { "The device is signed in" } @else { "The device stays out" } }
        p { "You can close this page." }
    };
    Page::new(StatusCode::OK, "Sign in", content).answer()
}
