//! The server's key, for whoever wants to verify what it signed (server-server API, "Publishing Keys").

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::response::IntoResponse as _;
use axum::routing::{MethodFilter, on};
use ruma::canonical_json::try_from_json_map;
use ruma::serde::Base64;
use ruma::signatures::sign_json;
use serde_json::{Value, json};

use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// For how long others may go on trusting it: a week, the longest that they do.
const VALID: i64 = 7 * 24 * 60 * 60 * 1000;

pub fn routes(table: &mut Table) {
    let path = "/_matrix/key/v2/server";
    table.raw(Method::GET, path, false, on(MethodFilter::GET, answer));
}

async fn answer(State(matrix): State<Arc<Matrix>>) -> axum::response::Response {
    match keys(&matrix).await {
        Ok(keys) => {
            let kind = [(axum::http::header::CONTENT_TYPE, "application/json")];
            (kind, keys.to_string()).into_response()
        }
        Err(fault) => fault.into_response(),
    }
}

async fn keys(matrix: &Arc<Matrix>) -> Answer<Value> {
    let key = matrix.rooms.key().await?;
    let public: Base64 = Base64::new(key.public_key().to_vec());
    let keys = json!({
        "server_name": matrix.name,
        "verify_keys": { format!("ed25519:{}", key.version()): { "key": public.encode() } },
        "old_verify_keys": {},
        "valid_until_ts": matrix.node.now().plus_ms(VALID).0,
    });
    let unknown = || Fault::unknown("try later");
    let Value::Object(keys) = keys else {
        return Err(unknown());
    };
    let mut keys = try_from_json_map(keys).map_err(|_| unknown())?;
    sign_json(matrix.name.as_str(), &*key, &mut keys).map_err(|_| unknown())?;
    serde_json::to_value(keys).map_err(|_| unknown())
}
