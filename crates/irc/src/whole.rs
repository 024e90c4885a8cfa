//! A message of more lines than anybody wants to read on IRC, whole: an address that shows its text in a browser.
//!
//! Nothing is kept for it. The address names the event, and proves that the node told it: who was shown the message has
//! it, like the address of a file. It leads nowhere once the message is erased.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use sammen_core::{Content, EventId};
use sammen_net::files::headers;

use crate::server::Server;

/// Where the route is that a node's HTTP listener serves.
pub const PATH: &str = "/irc/text";

/// The route.
pub fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route(&format!("{PATH}/{{id}}/{{proof}}"), get(show))
        .with_state(server)
}

impl Server {
    /// Where the whole text of a message can be read; `None` where the node has no web server.
    pub(crate) fn whole_text(&self, id: EventId) -> Option<String> {
        let config = self.config();
        let base = config.files.as_ref()?;
        let proof = self.accounts.links.proof(&id.to_string());
        Some(format!("{base}{PATH}/{id}/{proof}"))
    }
}

async fn show(
    State(server): State<Arc<Server>>,
    Path((id, proof)): Path<(String, String)>,
) -> Response<Body> {
    match text(&server, &id, &proof).await {
        Ok(text) => {
            let kind = HeaderValue::from_static("text/plain; charset=utf-8");
            let keep = HeaderValue::from_static("no-store");
            let own = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)];
            let own: HeaderMap = own.into_iter().collect();
            headers::answer(StatusCode::OK, own, Body::from(text))
        }
        Err(status) => headers::status(status),
    }
}

async fn text(server: &Server, id: &str, proof: &str) -> Result<String, StatusCode> {
    let id: EventId = id.parse().map_err(|_| StatusCode::NOT_FOUND)?;
    if !server.accounts.links.holds(&id.to_string(), proof) {
        return Err(StatusCode::NOT_FOUND);
    }
    let read = server
        .node
        .read(move |node| Ok(node.store().event_by_id(id)?));
    let event = read.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    match event.as_deref().map(|event| &event.content) {
        Some(Content::Message(message) | Content::Edit(message)) => Ok(message.text.clone()),
        Some(Content::Other {
            fallback: Some(text),
        }) => Ok(text.clone()),
        Some(Content::Erased { .. }) => Err(StatusCode::GONE),
        _ => Err(StatusCode::NOT_FOUND),
    }
}
