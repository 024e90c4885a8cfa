//! draft/FILEHOST: a POST with the account's name and password uploads a file; its address comes back in `Location`.
//!
//! The same limits, quota and harmless answers as files of every protocol have: [`sammen_net::files`].

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sammen_core::event::Attachment;
use sammen_core::{Address, Content};
use sammen_net::files::{self, Name, disposition, headers};
use sammen_net::sasl::Failure;
use sammen_net::{Peer, Secret};

use crate::server::Server;
use crate::session::Client;

/// The route that a node's HTTP listener serves, for instance at `/irc/files`.
pub fn router(server: Arc<Server>, path: &str) -> Router {
    Router::new()
        .route(path, post(upload).options(options))
        // The route measures the body itself.
        .layer(DefaultBodyLimit::disable())
        .with_state(server)
}

/// What the answers here have beside those of all files: browsers may POST, and read where the file is.
fn own() -> HeaderMap {
    const OWN: [(HeaderName, &str); 4] = [
        (header::ALLOW, "OPTIONS, POST"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "OPTIONS, POST"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, Content-Disposition",
        ),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Location"),
    ];
    let pairs = OWN.map(|(name, value)| (name, HeaderValue::from_static(value)));
    pairs.into_iter().collect()
}

async fn options() -> Response<Body> {
    let mut headers = own();
    let accepts = HeaderName::from_static("accept-post");
    headers.insert(accepts, HeaderValue::from_static("*/*"));
    headers::answer(StatusCode::NO_CONTENT, headers, Body::empty())
}

async fn upload(
    State(server): State<Arc<Server>>,
    peer: Option<Extension<Arc<Peer>>>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let mut out = own();
    let status = match take(&server, peer.as_deref(), &headers, body).await {
        Ok(location) => {
            out.insert(header::LOCATION, location);
            StatusCode::CREATED
        }
        Err(StatusCode::UNAUTHORIZED) => {
            let how = HeaderValue::from_static("Basic realm=\"files\", charset=\"UTF-8\"");
            out.insert(header::WWW_AUTHENTICATE, how);
            StatusCode::UNAUTHORIZED
        }
        Err(status) => status,
    };
    headers::answer(status, out, Body::empty())
}

async fn take(
    server: &Server,
    peer: Option<&Arc<Peer>>,
    headers: &HeaderMap,
    body: Body,
) -> Result<HeaderValue, StatusCode> {
    let base = server.config().files.clone();
    let base = base.ok_or(StatusCode::NOT_FOUND)?;
    let account = who(server, peer, headers).await?;
    let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    let length = text(header::CONTENT_LENGTH).and_then(|l| l.parse().ok());
    let length: u64 = length.ok_or(StatusCode::LENGTH_REQUIRED)?;
    // Names beyond ASCII come as they are from some apps.
    let named = headers.get(header::CONTENT_DISPOSITION);
    let named = named.and_then(|v| std::str::from_utf8(v.as_bytes()).ok());
    let named = named.and_then(disposition::filename).unwrap_or_default();
    let name = Name {
        name: disposition::sanitised(&named),
        media_type: text(header::CONTENT_TYPE).and_then(disposition::media_type),
    };
    let taken = files::take_in(
        &server.node,
        &server.accounts.uploads,
        account,
        name,
        length,
        body,
    )
    .await;
    let path = taken.map_err(|why| why.status())?;
    HeaderValue::try_from(format!("{base}{path}")).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Whose name and password the request has (RFC 7617).
async fn who(
    server: &Server,
    peer: Option<&Arc<Peer>>,
    headers: &HeaderMap,
) -> Result<Address, StatusCode> {
    let (name, password) = basic(headers).ok_or(StatusCode::UNAUTHORIZED)?;
    let client = Client {
        address: peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |p| p.address.ip()),
        channel: peer.map(|p| p.channel()).unwrap_or_default(),
        plain_allowed: peer.is_none_or(|p| p.plain_allowed),
    };
    match crate::login::proves(server, &client, &name, &password).await {
        Ok(signed) => Ok(signed.account),
        Err(Failure::Throttled) => Err(StatusCode::TOO_MANY_REQUESTS),
        Err(Failure::Unavailable | Failure::Overloaded) => Err(StatusCode::SERVICE_UNAVAILABLE),
        Err(_) => Err(StatusCode::UNAUTHORIZED),
    }
}

fn basic(headers: &HeaderMap) -> Option<(String, Secret)> {
    let written = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, coded) = written.split_once(' ')?;
    let decoded = BASE64.decode(coded.trim()).ok()?;
    let pair = Secret::new(String::from_utf8(decoded).ok()?);
    let (name, password) = pair.expose().split_once(':')?;
    let is_basic = scheme.eq_ignore_ascii_case("Basic");
    (is_basic && !name.is_empty()).then(|| (name.to_owned(), Secret::new(password)))
}

/// Files of one message that are looked for.
const MOST: usize = 8;

/// Whoever says the address of a file of this node says the file: for people on other protocols it is an attachment.
pub(crate) async fn attach(server: &Server, content: &mut Content) {
    let config = server.config();
    let (Content::Message(message), Some(base)) = (content, &config.files) else {
        return;
    };
    let words = message.text.split_ascii_whitespace();
    let found: Vec<(String, String)> = words
        .filter_map(|url| Some((url.to_owned(), files::slot_of(base, url)?.to_owned())))
        .take(MOST)
        .collect();
    if found.is_empty() {
        return;
    }
    let read = server.node.read(move |node| {
        let mut out = Vec::with_capacity(found.len());
        for (url, slot) in found {
            if let Some(upload) = files::upload(node, &slot)? {
                out.push(Attachment {
                    url,
                    name: Some(upload.name.name),
                    media_type: upload.name.media_type,
                    size: Some(upload.size),
                });
            }
        }
        Ok(out)
    });
    message.attachments = read.await.unwrap_or_default();
}
