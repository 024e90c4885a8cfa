//! The XMPP side's routes: files (XEP-0363), WebSocket (RFC 7395), BOSH (XEP-0206), and where to find it (XEP-0156).

use std::sync::Arc;

use axum::Router;

use crate::server::Server;
use crate::upload::{self, Uploads};
use crate::{bosh, host_meta, websocket};

/// The routes, for an HTTPS front that is reached from outside at `base` (such as `https://example.org:5443`).
pub fn router(server: Arc<Server>, base: &str) -> Router {
    server.shared::<Uploads>().set_base(base);
    Router::new()
        .merge(upload::router(server.clone()))
        .merge(bosh::router(server.clone()))
        .merge(websocket::router(server))
        .merge(host_meta::router(base))
}
