//! `/i/TOKEN`: name, passphrase, done; then an app. Also for those who have an XMPP app already (XEP-0401, 0445).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use maud::{Markup, html};
use sammen_core::{Address, Name};
use sammen_net::Secret;
use sammen_net::invitations::{self, Invitation, Token};
use serde::Deserialize;

use super::apps::{self, App, System};
use super::{first, page, qr};
use crate::api::{credentials, recovery};
use crate::auth::{From, same_origin};
use crate::lockdown;
use crate::person::{View, person};
use crate::problem::{Answer, Problem};
use crate::server::Web;

/// Name and passphrase.
#[derive(Deserialize)]
pub struct Wish {
    name: String,
    passphrase: String,
    again: String,
}

/// An app, for who just made an account.
#[derive(Deserialize)]
pub struct AppWish {
    ticket: String,
    app: String,
}

async fn find(web: &Arc<Web>, from: std::net::IpAddr, token: &str) -> Answer<(Token, Invitation)> {
    // Guessing is hopeless, and slow besides.
    web.rates.stranger(from)?;
    let token = Token::read(token).ok_or_else(Problem::not_found)?;
    let found = invitations::look_up(&web.node, &token).await?;
    Ok((token, found.ok_or_else(Problem::not_found)?))
}

fn failed(problem: &Problem) -> Response<Body> {
    if problem.status == 404 {
        return page(
            StatusCode::NOT_FOUND,
            "Invitation",
            html! {
                h1 { "This invitation does not hold" }
                p { "It was used, taken back, or its days are over. Ask whoever sent it for another one." }
            },
        );
    }
    page(
        problem.status(),
        "Invitation",
        html! {
            h1 { "That did not work" }
            p { (problem.detail.as_deref().unwrap_or(&problem.title)) }
        },
    )
}

/// `GET` and `HEAD`.
pub async fn show(
    State(web): State<Arc<Web>>,
    From(from): From,
    Path(token): Path<String>,
) -> Response<Body> {
    match find(&web, from, &token).await {
        Ok((token, invitation)) => landing(&web, &token, &invitation, None, "").await,
        Err(problem) => failed(&problem),
    }
}

async fn landing(
    web: &Arc<Web>,
    token: &Token,
    invitation: &Invitation,
    wrong: Option<&str>,
    typed: &str,
) -> Response<Body> {
    let domain = web.domain().to_string();
    let offer = invitation.offer.clone();
    let reader = web.domain().clone();
    let inviter = offer.inviter.clone();
    let from = web
        .read(move |web| {
            let nobody = Name::new("nobody").map_err(|_| Problem::try_later())?;
            let reader = Address::account(&reader, &nobody);
            Ok(inviter.map(|a| person(View::of(web, &reader), &a).name))
        })
        .await
        .unwrap_or_default();
    let uri = invitations::uri(invitation, web.domain(), token);
    let xmpp = web.config.get().doors.iter().any(|d| d.protocol == "xmpp");
    let rooms: Vec<&str> = offer.rooms.iter().map(Address::name).collect();
    let content = html! {
        h1 {
            @match &from {
                Some(name) => { (name) " invites you to " (domain) }
                None => { "You are invited to " (domain) }
            }
        }
        @if !rooms.is_empty() {
            p { "You will be in: " (rooms.join(", ")) "." }
        }
        @if let Some(wrong) = wrong {
            p class="wrong" role="alert" { (wrong) }
        }
        @if offer.account {
            form method="post" {
                label for="name" { "Your name here" }
                @match &offer.name {
                    Some(name) => { input id="name" name="name" value=(name) readonly; }
                    None => {
                        input id="name" name="name" value=(typed) required maxlength="64"
                            pattern="[A-Za-z][A-Za-z0-9._\\-]*" autocomplete="username"
                            autocapitalize="none" spellcheck="false" aria-describedby="address";
                    }
                }
                p id="address" { "People reach you as name@" (domain) ", with letters, digits, dots and dashes." }
                label for="passphrase" { "A passphrase, at least 8 characters" }
                input id="passphrase" name="passphrase" type="password" required minlength="8" autocomplete="new-password";
                label for="again" { "The same once more" }
                input id="again" name="again" type="password" required minlength="8" autocomplete="new-password";
                button { "Make my account" }
            }
            p { "The page that you chat with comes from this node; whoever runs it could change it." }
        } @else {
            p { "Open it in your app to become contacts." }
        }
        @if xmpp {
            h2 { "You have an XMPP app already?" }
            p { a class="button" href=(uri) { "Open the invitation in it" } }
            @if let Some(code) = qr::data(&uri) {
                p { "Or scan this with your phone:" }
                p class="qr" { img src=(code) alt="The invitation as a QR code" width="224" height="224"; }
            }
        }
    };
    let status = if wrong.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let mut answer = page(status, "Invitation", content);
    if xmpp && let Ok(value) = HeaderValue::from_str(&format!("<{uri}>; rel=\"alternate\"")) {
        // XEP-0401 §5.2: apps that were given the web address find their own.
        answer.headers_mut().insert(header::LINK, value);
    }
    answer
}

/// `POST`: the account is made.
pub async fn take(
    State(web): State<Arc<Web>>,
    From(from): From,
    Path(token): Path<String>,
    headers: HeaderMap,
    form: Result<Form<Wish>, axum::extract::rejection::FormRejection>,
) -> Response<Body> {
    let found = find(&web, from, &token).await;
    let (token, invitation) = match found {
        Ok(found) => found,
        Err(problem) => return failed(&problem),
    };
    let Ok(Form(wish)) = form else {
        return landing(&web, &token, &invitation, Some("Fill in all three."), "").await;
    };
    if !same_origin(&web, &headers) {
        return failed(&Problem::forbidden(
            "Open the invitation itself and try again.",
        ));
    }
    match make(&web, &token, &invitation, &wish).await {
        Ok(account) => {
            tracing::info!(protocol = "web", %account, "{account} came by invitation");
            done(&web, token.expose(), &account, &headers).await
        }
        Err(problem) => {
            let words = match problem.code {
                "taken" => "That name is taken. Choose another one.",
                "invalid-name" => {
                    "A name begins with a letter and has letters, digits, dots, dashes. Some names are kept for those who run the node."
                }
                "not-found" => return failed(&problem),
                _ => problem.detail.as_deref().unwrap_or(&problem.title),
            };
            landing(&web, &token, &invitation, Some(words), &wish.name).await
        }
    }
}

async fn make(
    web: &Arc<Web>,
    token: &Token,
    invitation: &Invitation,
    wish: &Wish,
) -> Answer<Address> {
    let first = first::is(web, &invitation.id).await?;
    if !first {
        web.read(lockdown::check).await?;
    }
    if wish.passphrase != wish.again {
        return Err(Problem::invalid("again", "The two passphrases differ."));
    }
    let name = Name::new(wish.name.trim())
        .map_err(|_| Problem::from(sammen_core::Refusal::InvalidName))?;
    let passphrase = Secret::new(wish.passphrase.clone());
    let account = web
        .accounts
        .create_invited(web.domain(), &name, passphrase, token, web.node.now())
        .await?;
    if first {
        first::crown(web, &invitation.id, &account).await?;
    }
    Ok(account)
}

async fn done(
    web: &Arc<Web>,
    token: &str,
    account: &Address,
    headers: &HeaderMap,
) -> Response<Body> {
    // Where it can't be made the account is there all the same.
    let code = recovery::replace(web, account, None).await;
    let ticket = web.tickets.give(account.clone(), web.node.now());
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let system = System::of(agent);
    let offered = apps::offered(&web.config.get().doors, system);
    page(
        StatusCode::OK,
        "Welcome",
        html! {
            h1 { "Welcome, " (account.name()) }
            p { "Your address is " strong { (account) } "." }
            @if let Ok(code) = &code {
                h2 { "Keep this code" }
                p { "With it you get back in when you forget your passphrase. It is shown only now: write it down." }
                p class="secret" { (code) }
            }
            h2 { "Chat here, now" }
            div class="card first" {
                h3 { "In this browser" }
                p { "Nothing to install. Sign in with your name and passphrase." }
                a class="button" href="/" { "Open the page" }
            }
            @if !offered.is_empty() {
                h2 { "Or with an app" }
                p { "Each app gets a password of its own, which you can take back." }
                @for (n, app) in offered.iter().enumerate() {
                    (card(app, n == 0 && system != System::Other, system, token, &ticket))
                }
            }
        },
    )
}

fn card(app: &App, first: bool, system: System, token: &str, ticket: &str) -> Markup {
    let systems: Vec<&str> = app.systems.iter().map(|s| s.name()).collect();
    html! {
        div class=(if first { "card first" } else { "card" }) {
            h3 { (app.name) @if first { " – good on " (system.name()) } }
            p { (app.about) ". For " (systems.join(", ")) "." }
            form method="post" action=(format!("/i/{token}/app")) {
                input type="hidden" name="ticket" value=(ticket);
                input type="hidden" name="app" value=(app.id);
                button { "Use " (app.name) }
            }
        }
    }
}

/// `POST`: a password for an app, shown once.
pub async fn app(
    State(web): State<Arc<Web>>,
    From(from): From,
    headers: HeaderMap,
    form: Result<Form<AppWish>, axum::extract::rejection::FormRejection>,
) -> Response<Body> {
    match set_up(&web, from, &headers, form).await {
        Ok(answer) => answer,
        Err(problem) => failed(&problem),
    }
}

async fn set_up(
    web: &Arc<Web>,
    from: std::net::IpAddr,
    headers: &HeaderMap,
    form: Result<Form<AppWish>, axum::extract::rejection::FormRejection>,
) -> Answer<Response<Body>> {
    web.rates.stranger(from)?;
    let Form(wish) = form.map_err(|_| Problem::bad_request("Choose an app."))?;
    if !same_origin(web, headers) {
        return Err(Problem::forbidden(
            "Open the invitation itself and try again.",
        ));
    }
    let app = apps::APPS
        .iter()
        .find(|a| a.id == wish.app)
        .ok_or_else(Problem::not_found)?;
    let config = web.config.get();
    let door = config.doors.iter().find(|d| d.protocol == app.protocol);
    let door = door.ok_or_else(Problem::not_found)?;
    let account = web
        .tickets
        .take(&wish.ticket, web.node.now())
        .ok_or_else(|| {
            Problem::forbidden(
                "This page is too old. Sign in on the page and make an app password there.",
            )
        })?;
    let scopes = vec![app.protocol.to_owned()];
    let made = credentials::make(web, &account, app.name.to_owned(), scopes).await?;
    let link = apps::link(app, door, account.as_str(), &made.secret);
    let code = link.as_deref().and_then(qr::data);
    Ok(page(
        StatusCode::OK,
        app.name,
        html! {
            h1 { (app.name) }
            @if let Some(link) = &link {
                p { a class="button" href=(link) { "Open in " (app.name) } }
                @if let Some(code) = code {
                    p class="qr" { img src=(code) alt="The same as a QR code" width="224" height="224"; }
                }
            }
            h2 { "What to type" }
            dl {
                @if app.protocol == "xmpp" {
                    dt { "Address" } dd { (account) }
                } @else {
                    dt { "Server" } dd { (door.host) }
                    dt { "Port" } dd { (door.port) @if door.tls { " with TLS" } }
                    dt { "Nick and account" } dd { (account.name()) }
                }
                dt { "Password" } dd class="secret" { (made.secret) }
            }
            p { "The password is for this app alone and is shown only now. You can take it back on the page, under devices." }
            p { a href="/" { "To the page" } }
        },
    ))
}
