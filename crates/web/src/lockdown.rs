//! The lockdown switch ([`sammen_net::lockdown`]) as the API tells of it.

use sammen_net::lockdown;
pub use sammen_net::lockdown::set;

use crate::problem::{Answer, Problem};
use crate::server::Web;

/// Whether it is on. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn is_on(web: &Web) -> Answer<bool> {
    Ok(lockdown::is_on(web.node.store())?)
}

/// Refuses while it is on.
///
/// # Errors
/// `locked-down`.
pub fn check(web: &Web) -> Answer<()> {
    if is_on(web)? {
        return Err(Problem::new(
            axum::http::StatusCode::FORBIDDEN,
            "locked-down",
            "Nobody new can come in just now",
        ));
    }
    Ok(())
}
