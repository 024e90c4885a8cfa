//! What the server is and can do: `/versions`, well-known, capabilities.

use std::sync::Arc;

use ruma::api::client::discovery::{discover_homeserver, get_supported_versions};

use crate::extract::Ask;
use crate::fault::Answer;
use crate::routes::Table;
use crate::server::Matrix;

/// Versions of the specification that are spoken.
const VERSIONS: &[&str] = &[
    "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11",
    "v1.12",
];

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(versions);
    table.on(well_known);
}

async fn versions(
    _: Arc<Matrix>,
    _: Ask<get_supported_versions::Request>,
) -> Answer<get_supported_versions::Response> {
    let versions = VERSIONS.iter().map(|&v| v.to_owned()).collect();
    Ok(get_supported_versions::Response::new(versions))
}

async fn well_known(
    matrix: Arc<Matrix>,
    _: Ask<discover_homeserver::Request>,
) -> Answer<discover_homeserver::Response> {
    let home = discover_homeserver::HomeserverInfo::new(matrix.base());
    Ok(discover_homeserver::Response::new(home))
}
