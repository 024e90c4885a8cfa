//! The page for a stage that a client can't show itself (client-server API, "Fallback").

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Form, Path, Query, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use maud::html;
use ruma::api::client::uiaa::AuthType;
use sammen_net::{Peer, Secret};
use serde::Deserialize;

use super::uia;
use crate::fault::Answer;
use crate::pages::{Page, same_origin};
use crate::routes::Table;
use crate::server::Matrix;

/// What the specification has the page do in the end.
const DONE: &str = "if (window.onAuthDone) { window.onAuthDone(); } \
    else if (window.opener && window.opener.postMessage) { window.opener.postMessage(\"authDone\", \"*\"); }";

/// Which session.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    session: String,
}

/// What somebody typed.
#[derive(Deserialize)]
struct Typed {
    #[serde(default)]
    session: String,
    #[serde(default)]
    secret: String,
}

/// The endpoints.
pub fn routes(table: &mut Table) {
    for version in ["r0", "v3"] {
        let path = format!("/_matrix/client/{version}/auth/{{auth_type}}/fallback/web");
        table.raw(Method::GET, &path, true, get(show));
        table.raw(Method::POST, &path, true, post(take));
    }
}

fn count(matrix: &Matrix, peer: Option<&Extension<Arc<Peer>>>) -> Answer<()> {
    let peer = peer.map(|Extension(peer)| peer.as_ref());
    matrix.auth.rates.stranger(peer)
}

async fn show(
    State(matrix): State<Arc<Matrix>>,
    Path(stage): Path<String>,
    peer: Option<Extension<Arc<Peer>>>,
    asked: Query<Asked>,
) -> Response<Body> {
    if let Err(fault) = count(&matrix, peer.as_ref()) {
        return fault.into_response();
    }
    let stage = AuthType::from(stage);
    form(&matrix, &stage, &asked.session, None)
}

async fn take(
    State(matrix): State<Arc<Matrix>>,
    Path(stage): Path<String>,
    peer: Option<Extension<Arc<Peer>>>,
    headers: HeaderMap,
    typed: Result<Form<Typed>, FormRejection>,
) -> Response<Body> {
    if let Err(fault) = count(&matrix, peer.as_ref()) {
        return fault.into_response();
    }
    let stage = AuthType::from(stage);
    let Ok(Form(typed)) = typed else {
        return over();
    };
    if !same_origin(&headers, &matrix.base()) {
        return over();
    }
    let id = Secret::new(typed.session.as_str());
    let peer = peer.as_ref().map(|Extension(peer)| peer.as_ref());
    match uia::show_by_page(&matrix, peer, &id, &stage, &typed.secret).await {
        Ok(true) => done(),
        Ok(false) => form(&matrix, &stage, &typed.session, Some("That was not right.")),
        Err(fault) if fault.status() == StatusCode::TOO_MANY_REQUESTS => {
            let wait = Some("That was too often. Wait a little.");
            form(&matrix, &stage, &typed.session, wait)
        }
        Err(_) => over(),
    }
}

fn form(matrix: &Matrix, stage: &AuthType, session: &str, wrong: Option<&str>) -> Response<Body> {
    if uia::asked(matrix, &Secret::new(session), stage).is_none() {
        return over();
    }
    let domain = matrix.domain().to_string();
    let content = html! {
        h1 { (domain) }
        @if let Some(wrong) = wrong { p class="wrong" role="alert" { (wrong) } }
        form method="post" {
            input type="hidden" name="session" value=(session);
            @match stage {
                AuthType::Password => {
                    label for="secret" { "Your password" }
                    input id="secret" name="secret" type="password" required autocomplete="current-password";
                }
                AuthType::RegistrationToken => {
                    label for="secret" { "Your invitation: the last part of its link" }
                    input id="secret" name="secret" required autocomplete="off" autocapitalize="none" spellcheck="false";
                }
                _ => p { "Your app goes on when you do." }
            }
            button { "Go on" }
        }
    };
    let status = if wrong.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    Page::new(status, &domain, content).answer()
}

fn done() -> Response<Body> {
    let content = html! {
        h1 { "That is all" }
        p { "Go back to your app." }
    };
    let mut page = Page::new(StatusCode::OK, "Done", content);
    page.script = Some(DONE);
    page.answer()
}

fn over() -> Response<Body> {
    let content = html! {
        h1 { "This is over" }
        p { "Go back to your app and begin again." }
    };
    Page::new(StatusCode::NOT_FOUND, "Over", content).answer()
}
