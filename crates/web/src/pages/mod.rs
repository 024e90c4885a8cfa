//! Pages that work without JavaScript: invitations, and what is shown where the client is not built.
//!
//! Everything that people wrote is escaped by the template language; the policy allows one style sheet of our own and
//! pictures inside the page, and nothing else.

mod apps;
pub mod first;
mod invitation;
pub(crate) mod qr;
mod tickets;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use maud::{DOCTYPE, Markup, html};

use crate::server::Web;

pub(crate) use tickets::Tickets;

/// No script at all. The hash is that of the style sheet's own file, which is a file of ours: no inline style either.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("style.css");

/// The routes.
pub fn router(web: Arc<Web>) -> Router {
    Router::new()
        .route("/i/style.css", get(style))
        .route("/i/{token}", get(invitation::show).post(invitation::take))
        .route("/i/{token}/app", axum::routing::post(invitation::app))
        .layer(axum::extract::DefaultBodyLimit::max(16 * 1024))
        .with_state(web)
}

async fn style() -> Response<Body> {
    let mut answer = Response::new(Body::from(STYLE));
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/css; charset=utf-8"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer
}

/// A page.
fn page(status: StatusCode, title: &str, content: Markup) -> Response<Body> {
    let text = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) }
                link rel="stylesheet" href="/i/style.css";
            }
            body { main { (content) } }
        }
    };
    let mut answer = Response::new(Body::from(text.into_string()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // The address is a secret.
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// What stands at `/` where the client is not in the binary.
pub fn not_built() -> Response<Body> {
    page(
        StatusCode::OK,
        "Sammen",
        html! {
            h1 { "This node runs" }
            p { "It was built without its chat page. To build the page, and the node with it:" }
            pre { code { "cd client && npm ci && npm run build\ncargo build --release -p sammen" } }
            p { "Apps for XMPP and IRC can sign in all the same. The API is described at "
                a href="/api/v1/openapi.json" { "/api/v1/openapi.json" } "." }
        },
    )
}
