//! The page where somebody lets an app in (RFC 6749 §4.1 with RFC 7636): name, password, yes or no.
//!
//! What the app asked for is kept here and the form holds a secret that opens it, so nothing of it can be changed on
//! the way. Only an app that is known, at an address that is its own, is ever sent somebody.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Extension, Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::routing::{get, post};
use maud::{Markup, html};
use sammen_net::login::LoginRefused;
use sammen_net::{Peer, Secret};
use serde::Deserialize;
use url::Url;

use super::clients::{self, Client};
use super::metadata::AUTHORIZE;
use super::scope::Scope;
use super::{CODE, Granted, PAGE};
use crate::auth::login;
use crate::pages::{Page, same_origin};
use crate::routes::Table;
use crate::server::Matrix;

/// Longest `state` that is handed back.
const STATE: usize = 2048;

/// What an app asked for. What it said of itself is looked up again: many may wait.
#[derive(Clone)]
pub struct Wish {
    id: String,
    back: Back,
    scope: Scope,
    challenge: String,
}

/// A code, and what it is good for.
pub struct Code {
    /// Who let which app in.
    pub granted: Granted,
    /// Where the code was sent.
    pub redirect: String,
    /// BASE64URL(SHA256(verifier)).
    pub challenge: String,
}

/// Where the person goes back to, and how.
#[derive(Clone)]
struct Back {
    asked: String,
    uri: Url,
    state: Option<String>,
    fragment: bool,
}

/// RFC 6749 §4.1.1, RFC 7636 §4.3.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    response_type: String,
    response_mode: Option<String>,
    state: Option<String>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    code_challenge: String,
    #[serde(default)]
    code_challenge_method: String,
}

/// What somebody typed.
#[derive(Deserialize)]
pub struct Typed {
    /// What opens the wish.
    #[serde(default)]
    pub wish: String,
    /// Who.
    #[serde(default)]
    pub name: String,
    /// With which password.
    #[serde(default)]
    pub password: String,
    /// `yes` or `no`.
    #[serde(default)]
    pub answer: String,
}

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.raw(Method::GET, AUTHORIZE, true, get(show));
    let take = post(take).layer(axum::extract::DefaultBodyLimit::max(16 * 1024));
    table.raw(Method::POST, AUTHORIZE, true, take);
}

/// A page that says why nothing goes on.
pub fn sorry(status: StatusCode, text: &str) -> Response<Body> {
    let content = html! {
        h1 { "That did not work" }
        p { (text) }
        p { "Go back to your app and try again." }
    };
    Page::new(status, "Sign in", content).answer()
}

/// What is asked about is no longer waited for.
pub fn over() -> Response<Body> {
    sorry(
        StatusCode::NOT_FOUND,
        "This took too long, or was done before.",
    )
}

const OFTEN: &str = "That was too often. Wait a little.";

/// Who guesses waits.
pub fn too_often() -> Response<Body> {
    sorry(StatusCode::TOO_MANY_REQUESTS, OFTEN)
}

impl Back {
    /// Sends the person back with these.
    fn with(&self, pairs: &[(&str, &str)]) -> Response<Body> {
        let mut uri = self.uri.clone();
        let pairs = pairs.iter().copied();
        let state = self.state.as_deref().map(|state| ("state", state));
        if self.fragment {
            let mut text = url::form_urlencoded::Serializer::new(String::new());
            text.extend_pairs(pairs.chain(state));
            uri.set_fragment(Some(&text.finish()));
        } else {
            uri.query_pairs_mut().extend_pairs(pairs.chain(state));
        }
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SEE_OTHER;
        let Ok(to) = HeaderValue::from_str(uri.as_str()) else {
            return sorry(StatusCode::BAD_REQUEST, "The app asked for something odd.");
        };
        let headers = answer.headers_mut();
        headers.insert(header::LOCATION, to);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
        answer
    }

    /// The origin or the scheme that a form's answer may lead to.
    fn origin(&self) -> String {
        let origin = self.uri.origin();
        if origin.is_tuple() {
            return origin.ascii_serialization();
        }
        format!("{}:", self.uri.scheme())
    }
}

async fn show(
    State(matrix): State<Arc<Matrix>>,
    peer: Option<Extension<Arc<Peer>>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response<Body> {
    let peer = peer.as_ref().map(|Extension(peer)| peer.as_ref());
    if matrix.auth.rates.stranger(peer).is_err() {
        return too_often();
    }
    let Ok(Query(asked)) = asked else {
        return sorry(StatusCode::BAD_REQUEST, "The app asked for something odd.");
    };
    match wish(&matrix, asked).await {
        Ok((wish, client)) => {
            let origin = wish.back.origin();
            let secret = matrix.oauth.pages.put(matrix.node.clock(), PAGE, wish);
            form(&matrix, &client, &origin, &secret, None, "")
        }
        Err(answer) => *answer,
    }
}

/// What the app asks for, or what it or its person is answered.
async fn wish(matrix: &Arc<Matrix>, asked: Asked) -> Result<(Wish, Client), Box<Response<Body>>> {
    let unknown = || {
        let text = "This app is not known here, or it is not what it says it is.";
        Box::new(sorry(StatusCode::BAD_REQUEST, text))
    };
    let found = clients::find(matrix, &asked.client_id).await;
    let client = found.ok().flatten().ok_or_else(unknown)?;
    let uri = Url::parse(&asked.redirect_uri).map_err(|_| unknown())?;
    let long = asked.state.as_ref().is_some_and(|s| s.len() > STATE);
    if !client.redirects_to(&uri) || !client.may("authorization_code") || long {
        return Err(unknown());
    }
    let back = Back {
        asked: asked.redirect_uri,
        uri,
        state: asked.state,
        fragment: asked.response_mode.as_deref() == Some("fragment"),
    };
    let wrong = |error: &str| Box::new(back.with(&[("error", error)]));
    if asked.response_type != "code" {
        return Err(wrong("unsupported_response_type"));
    }
    let modes = ["query", "fragment"];
    let mode = asked.response_mode.as_deref().unwrap_or("query");
    // BASE64URL of a SHA-256 (RFC 7636 §4.2).
    let challenge = asked.code_challenge;
    let base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let proof = challenge.len() == 43 && challenge.bytes().all(base64url);
    if !modes.contains(&mode) || asked.code_challenge_method != "S256" || !proof {
        return Err(wrong("invalid_request"));
    }
    let scope = Scope::read(&asked.scope).ok_or_else(|| wrong("invalid_scope"))?;
    let wish = Wish {
        id: asked.client_id,
        back,
        scope,
        challenge,
    };
    Ok((wish, client))
}

/// Who asks, what it gets, and who may say yes.
pub fn question(matrix: &Matrix, client: &Client, wrong: Option<&str>, name: &str) -> Markup {
    let called = client.client_name.as_deref().unwrap_or(client.host());
    html! {
        h1 { "Let " (called) " in?" }
        p {
            strong { (client.host()) } " asks to sign in to your account at "
            strong { (matrix.domain()) } ": to read and write messages, and to change what can be changed there."
        }
        @if let Some(wrong) = wrong { p class="wrong" role="alert" { (wrong) } }
        label for="name" { "Your name here" }
        input id="name" name="name" value=(name) required maxlength="255" autocomplete="username" autocapitalize="none" spellcheck="false";
        label for="password" { "Your password" }
        input id="password" name="password" type="password" required autocomplete="current-password";
        button name="answer" value="yes" { "Let it in" }
        button class="quiet" name="answer" value="no" formnovalidate { "No" }
    }
}

fn form(
    matrix: &Matrix,
    client: &Client,
    origin: &str,
    secret: &Secret,
    wrong: Option<&str>,
    name: &str,
) -> Response<Body> {
    let content = html! {
        form method="post" action=(AUTHORIZE) {
            input type="hidden" name="wish" value=(secret.expose());
            (question(matrix, client, wrong, name))
        }
    };
    let status = match wrong {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    let mut page = Page::new(status, "Sign in", content);
    page.leads_to = Some(origin);
    page.answer()
}

/// What is wrong with a password, for people.
pub fn why(refused: LoginRefused) -> &'static str {
    match refused {
        LoginRefused::Wrong => "Name or password are wrong.",
        LoginRefused::Disabled => "This account is locked.",
        LoginRefused::Throttled(_) => OFTEN,
        LoginRefused::TryLater => "That can't be said now. Try again in a little while.",
    }
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
    if !same_origin(&headers, &matrix.base()) {
        return over();
    }
    let peer = peer.as_ref().map(|Extension(peer)| peer.as_ref());
    if matrix.auth.rates.stranger(peer).is_err() {
        return too_often();
    }
    let (secret, now) = (Secret::new(typed.wish), matrix.node.now());
    // Taken out while the password is looked at: what was let in once is not let in twice.
    let Some((until, wish)) = matrix.oauth.pages.take(&secret, now) else {
        return over();
    };
    if typed.answer != "yes" {
        return wish.back.with(&[("error", "access_denied")]);
    }
    let Ok(Some(client)) = clients::find(&matrix, &wish.id).await else {
        return over();
    };
    let password = Secret::new(typed.password);
    let proven = login::check(&matrix, peer, Some(&typed.name), &password).await;
    let proven = match proven {
        Ok(proven) => proven,
        Err(refused) => {
            let (origin, why) = (wish.back.origin(), Some(why(refused)));
            let answer = form(&matrix, &client, &origin, &secret, why, &typed.name);
            matrix.oauth.pages.keep(&secret, until, wish);
            return answer;
        }
    };
    let account = proven.account.clone();
    tracing::info!(protocol = "matrix", %account, client = client.host(), "{account} let an app in");
    if clients::note_used(&matrix, &wish.id).await.is_err() {
        return wish.back.with(&[("error", "temporarily_unavailable")]);
    }
    let code = Code {
        granted: Granted {
            proven,
            scope: wish.scope,
            client: wish.id,
        },
        redirect: wish.back.asked.clone(),
        challenge: wish.challenge,
    };
    let code = matrix.oauth.codes.put(matrix.node.clock(), CODE, code);
    wish.back.with(&[("code", code.expose())])
}
