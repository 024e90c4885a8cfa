//! Signing in by OAuth 2.0 (client-server API, "OAuth 2.0 API"): an app sends its person to a page of this node, and
//! never sees the password.
//!
//! ```text
//! metadata.rs   what is where
//! clients.rs    apps introduce themselves (RFC 7591)
//! authorize.rs  the page where somebody lets an app in (RFC 6749 §4.1, RFC 7636)
//! link.rs       the same for devices without a browser (RFC 8628)
//! grants.rs     codes and refresh tokens become access tokens; tokens are given back (RFC 7009)
//! scope.rs      what an app may ask for
//! ```
//! All clients are public ones. Access tokens are those of [`crate::auth`]: a device of core each.

mod authorize;
mod clients;
mod grants;
mod link;
mod metadata;
mod scope;

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use sammen_net::login::Proven;
use serde_json::json;

use crate::auth::vault::Vault;
use crate::fault::Fault;
use crate::routes::Table;

/// How long somebody may look at the page.
const PAGE: Duration = Duration::from_secs(15 * 60);
/// How long a code waits for the app (RFC 6749 §4.1.2 asks for ten minutes at most).
const CODE: Duration = Duration::from_secs(60);
/// How long a device waits for its person.
const LINK: Duration = Duration::from_secs(15 * 60);
/// Requests that are under way, of each kind.
const MOST: usize = 4096;

/// What is under way.
pub struct OAuth {
    pages: Vault<authorize::Wish>,
    codes: Vault<authorize::Code>,
    links: Vault<link::Link>,
    /// The device code behind what a person types.
    typed: Vault<sammen_net::Secret>,
}

impl Default for OAuth {
    fn default() -> Self {
        Self {
            pages: Vault::new(MOST),
            codes: Vault::new(MOST),
            links: Vault::new(MOST),
            typed: Vault::new(MOST),
        }
    }
}

/// The endpoints.
pub fn routes(table: &mut Table) {
    metadata::routes(table);
    clients::routes(table);
    authorize::routes(table);
    link::routes(table);
    grants::routes(table);
}

/// What somebody let in: the account, and as which device.
#[derive(Clone)]
struct Granted {
    proven: Proven,
    scope: scope::Scope,
    client: String,
}

/// An error as OAuth 2.0 has them (RFC 6749 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wrong {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
}

impl Wrong {
    const fn new(error: &'static str, description: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description,
        }
    }
}

/// Why a request of an app got no good answer.
enum Refused {
    OAuth(Wrong),
    /// Too often, or a disk that is full.
    Matrix(Fault),
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Self {
        Self::OAuth(wrong)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Matrix(fault)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response<Body> {
        match self {
            Self::Matrix(fault) => fault.into_response(),
            Self::OAuth(wrong) => {
                let body = json!({ "error": wrong.error, "error_description": wrong.description });
                answer(wrong.status, &body)
            }
        }
    }
}

/// JSON that no cache keeps (RFC 6749 §5.1).
fn answer(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        let headers = answer.headers_mut();
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
