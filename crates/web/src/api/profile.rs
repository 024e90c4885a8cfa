//! The caller's name, picture and switches; the pictures of others.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderValue, Method, Response, header};
use sammen_core::ops::accounts;
use sammen_core::{Address, Refusal};

use super::session::{switches, whoami};
use crate::auth::{Caller, Need};
use crate::extract::{Ask, Done, Json, Place};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

/// Bytes of a picture.
const PICTURE: usize = 200 * 1024;
/// Bytes of a name that people read.
const NAME: usize = 256;

pub fn routes(table: &mut Table) {
    table
        .on(Method::PATCH, "/me", Need::Account, "Changes the profile")
        .ask::<t::ProfileChange>()
        .answer::<t::Me>(200)
        .by(change);
    table
        .on(
            Method::PATCH,
            "/me/switches",
            Need::Account,
            "Changes what the account lets others know",
        )
        .ask::<t::SwitchesChange>()
        .answer::<t::Switches>(200)
        .by(change_switches);
    table
        .on(Method::PUT, "/me/avatar", Need::Account, "Sets the picture")
        .takes("image/*")
        .done()
        .by(set_picture);
    table
        .on(
            Method::DELETE,
            "/me/avatar",
            Need::Account,
            "Takes the picture away",
        )
        .done()
        .by(remove_picture);
    table
        .on(
            Method::GET,
            "/avatars/{address}",
            Need::Account,
            "Somebody's picture",
        )
        .gives(200, "image/*")
        .by(picture);
}

async fn change(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(ask): Ask<t::ProfileChange>,
) -> Answer<Json<t::Me>> {
    let mut caller = caller;
    if let Some(name) = ask.name {
        let name = display_name(&name)?;
        let account = caller.address().clone();
        caller.account = web
            .node
            .write(move |tx| accounts::change(tx, &account, |a| a.display_name = name))
            .await?;
    }
    web.read(move |web| whoami(web, &caller)).await.map(Json)
}

/// A name that people read, if the text is one; empty takes it away.
pub(crate) fn display_name(text: &str) -> Answer<Option<String>> {
    let text = text.trim();
    if text.len() > NAME || text.chars().any(char::is_control) {
        return Err(Problem::invalid(
            "name",
            "a name is one line of at most 256 bytes",
        ));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

async fn change_switches(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(ask): Ask<t::SwitchesChange>,
) -> Answer<Json<t::Switches>> {
    let account = caller.address().clone();
    let changed = web.node.write(move |tx| {
        accounts::change(tx, &account, |a| {
            let set = |switch: &mut bool, wish: Option<bool>| *switch = wish.unwrap_or(*switch);
            set(&mut a.switches.receipts, ask.receipts);
            set(&mut a.switches.typing, ask.typing);
            set(&mut a.switches.last_seen, ask.last_seen);
            if let Some(days) = ask.retention_days {
                a.retention_days = (days > 0).then_some(days);
            }
        })
    });
    Ok(Json(switches(&*changed.await?)))
}

/// What the first bytes say; SVG can carry scripts and is none of them.
fn sniff(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

async fn set_picture(
    State(web): State<Arc<Web>>,
    caller: Caller,
    request: Request,
) -> Answer<Done> {
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if length.is_none_or(|l| l > PICTURE) {
        return Err(Problem::too_large());
    }
    let bytes = Bytes::from_request(request, &())
        .await
        .map_err(|_| Problem::too_large())?;
    let media_type = sniff(&bytes)
        .ok_or_else(|| Problem::invalid("picture", "send a PNG, JPEG, GIF or WebP picture"))?;
    let picture = Some((media_type.to_owned(), bytes));
    web.host.set_picture(caller.address(), picture).await?;
    Ok(Done)
}

async fn remove_picture(State(web): State<Arc<Web>>, caller: Caller) -> Answer<Done> {
    web.host.set_picture(caller.address(), None).await?;
    Ok(Done)
}

async fn picture(
    State(web): State<Arc<Web>>,
    _: Caller,
    Place(address): Place<String>,
) -> Answer<Response<Body>> {
    let address = Address::new(&address).map_err(|_| Problem::not_found())?;
    let found = web.read(move |web| Ok(web.host.picture(&address)?)).await?;
    let (media_type, bytes) = found.ok_or(Refusal::NotFound)?;
    // What others stored is believed to be a picture only where its first bytes say so.
    if sniff(&bytes).is_none() {
        return Err(Problem::not_found());
    }
    let mut answer = Response::new(Body::from(bytes));
    let headers = answer.headers_mut();
    let media_type = HeaderValue::from_str(&media_type).map_err(|_| Problem::not_found())?;
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=86400"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    Ok(answer)
}
