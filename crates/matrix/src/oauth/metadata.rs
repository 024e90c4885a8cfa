//! Where everything is: `/auth_metadata` (RFC 8414).

use std::sync::Arc;

use ruma::api::client::discovery::get_authorization_server_metadata::v1 as metadata;
use ruma::serde::Raw;
use serde_json::json;

use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// Where an app introduces itself.
pub const REGISTER: &str = "/_matrix/oauth/register";
/// Where a person lets it in.
pub const AUTHORIZE: &str = "/_matrix/oauth/authorize";
/// Where it gets tokens.
pub const TOKEN: &str = "/_matrix/oauth/token";
/// Where it gives them back.
pub const REVOKE: &str = "/_matrix/oauth/revoke";
/// Where a device without a browser begins.
pub const DEVICE: &str = "/_matrix/oauth/device";
/// Where its person types what it shows.
pub const LINK: &str = "/_matrix/oauth/link";
/// The name of that grant (RFC 8628 §3.4).
pub const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(show);
}

async fn show(matrix: Arc<Matrix>, _: Ask<metadata::Request>) -> Answer<metadata::Response> {
    let base = matrix.base();
    let at = |path: &str| format!("{base}{path}");
    let metadata = json!({
        "issuer": at("/"),
        "authorization_endpoint": at(AUTHORIZE),
        "token_endpoint": at(TOKEN),
        "registration_endpoint": at(REGISTER),
        "revocation_endpoint": at(REVOKE),
        "device_authorization_endpoint": at(DEVICE),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment"],
        "grant_types_supported": ["authorization_code", "refresh_token", DEVICE_CODE],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        // The page where people see their devices and app passwords.
        "account_management_uri": at("/"),
    });
    let raw = serde_json::value::to_raw_value(&metadata);
    let raw = raw.map_err(|_| Fault::unknown("the answer could not be written"))?;
    Ok(metadata::Response::new(Raw::from_json(raw)))
}
