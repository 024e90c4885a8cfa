//! All routes of the Matrix side, and what every answer has.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use ruma::api::error::ErrorKind;

use crate::fault::Fault;
use crate::routes::Table;
use crate::server::Matrix;
use crate::{
    account_data, auth, backup, discovery, keys, media, presence, profile, push, receipts, rooms,
    sync, to_device, typing,
};

/// Client-server API, "Web Browser Clients": these, for every endpoint.
const CORS: &[(HeaderName, &str)] = &[
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (
        header::ACCESS_CONTROL_ALLOW_METHODS,
        "GET, POST, PUT, DELETE, OPTIONS",
    ),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "X-Requested-With, Content-Type, Authorization",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "86400"),
];

/// The table of endpoints.
pub fn table() -> Table {
    let mut table = Table::default();
    discovery::routes(&mut table);
    auth::routes(&mut table);
    crate::oauth::routes(&mut table);
    rooms::routes(&mut table);
    media::routes(&mut table);
    profile::routes(&mut table);
    account_data::routes(&mut table);
    sync::routes(&mut table);
    push::routes(&mut table);
    keys::routes(&mut table);
    backup::routes(&mut table);
    to_device::routes(&mut table);
    receipts::routes(&mut table);
    typing::routes(&mut table);
    presence::routes(&mut table);
    table
}

/// The routes, all of them.
pub fn router(matrix: Arc<Matrix>) -> Router {
    let nothing = || async { Fault::unrecognized() };
    table()
        .router()
        .method_not_allowed_fallback(not_allowed)
        .route("/_matrix", axum::routing::any(nothing))
        .route("/_matrix/{*rest}", axum::routing::any(nothing))
        .with_state(matrix)
        .layer(from_fn(cors))
}

async fn not_allowed() -> Fault {
    Fault::new(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Unrecognized,
        "this can't be done here",
    )
}

async fn cors(request: Request, next: Next) -> Response {
    // A browser asks beforehand; that must never need a token.
    let mut answer = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in CORS {
        answer
            .headers_mut()
            .insert(name.clone(), HeaderValue::from_static(value));
    }
    answer
}
