//! The stream: a WebSocket that tails the log from a cursor, with what lives beside it.
//!
//! ```text
//! upgrade → session.rs (one task: mailbox, socket, heartbeat) → catch_up.rs (what the cursor missed, from the log)
//!                                                             → frames.rs  (deliveries as frames, as the reader sees them)
//! ```
//! What is slow costs itself: core's mailbox is bounded, its overflow is read from the log, and who takes nothing for
//! half a minute is disconnected and comes back with its cursor.

mod catch_up;
mod frames;
mod session;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use sammen_core::token::Token;
use sammen_core::{ConversationId, Seq};
use sammen_net::Peer;

use crate::auth::{Caller, Kind, Need, same_origin};
use crate::extract::Asked;
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;

/// Most bytes of a frame from a client.
const FRAME: usize = 16 * 1024;

/// What an account's sessions of the web are told when something about a conversation changed that is no event.
pub struct Changed(pub ConversationId);

/// Where the stream begins.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamQuery {
    /// The last cursor that the client took in.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// The route.
pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/stream",
            Need::Account,
            "What happens, as it happens: a WebSocket with frames of type Frame and ClientFrame",
        )
        .query::<StreamQuery>()
        .gives(101, "application/json")
        .by(upgrade);
}

/// A cursor: opaque to clients, worthless after a restore.
pub fn cursor(web: &Web, seq: Seq) -> String {
    let token = Token {
        epoch: web.node.epoch(),
        seq,
        volatile: 0,
    };
    token.encode()
}

async fn upgrade(
    State(web): State<Arc<Web>>,
    peer: Option<Extension<Arc<Peer>>>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<StreamQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    // Browsers name the origin of every WebSocket, and send cookies whatever page opens it.
    if caller.kind == Kind::Cookie
        && !(headers.contains_key(header::ORIGIN) && same_origin(&web, &headers))
    {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "csrf",
            "This request does not come from our own page",
        ));
    }
    let upgrade = upgrade.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let shutdown = peer
        .map(|Extension(p)| p.shutdown.clone())
        .unwrap_or_default();
    let upgrade = upgrade.max_message_size(FRAME).max_frame_size(FRAME);
    Ok(upgrade
        .on_upgrade(move |socket| session::serve(web, socket, caller, asked.cursor, shutdown)))
}
