//! All routes of the web side: the API, the pages without scripts, the client.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;

use crate::routes::{BASE, Table};
use crate::server::Web;
use crate::{admin, api, client, openapi, pages, stream};

/// What every answer of the API has.
const ALWAYS: &[(HeaderName, &str)] = &[
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

/// The table of version 1.
pub fn table() -> Table {
    let mut table = Table::default();
    api::routes(&mut table);
    stream::routes(&mut table);
    admin::routes(&mut table);
    table
}

/// The routes, all of them.
pub fn router(web: Arc<Web>) -> Router {
    let api = table()
        .router(&web)
        .merge(api::hooks::door(web.clone()))
        .merge(document(&web))
        .layer(from_fn(headers));
    api.merge(pages::router(web.clone()))
        .merge(client::router())
}

/// The OpenAPI document, made once.
fn document(web: &Arc<Web>) -> Router {
    let document = openapi::document(table(), &web.config.get().version);
    let text: Arc<str> = document.to_string().into();
    Router::new()
        .route(&format!("{BASE}/openapi.json"), axum::routing::get(give))
        .with_state(text)
}

async fn give(State(text): State<Arc<str>>) -> Response<Body> {
    let mut answer = Response::new(Body::from(text.to_string()));
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    answer
}

async fn headers(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    for (name, value) in ALWAYS {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), HeaderValue::from_static(value));
        }
    }
    answer
}
