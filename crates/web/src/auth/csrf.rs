//! That a browser's request comes from our own page: a header that other pages can't set, and the origin.
//!
//! The cookie is SameSite=Strict besides; each of the three would do alone.

use axum::http::{HeaderMap, StatusCode, header};

use crate::problem::{Answer, Problem};
use crate::server::Web;

/// What every request carries that changes something. Forms and images of other pages can't set it, and we answer no
/// CORS preflight.
pub const HEADER: &str = "sammen-client";

/// Refuses what may come from another page.
pub fn check(web: &Web, headers: &HeaderMap) -> Answer<()> {
    let named = headers.get(HEADER).is_some_and(|v| !v.is_empty());
    if named && same_origin(web, headers) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "csrf",
        "This request does not come from our own page",
    )
    .detail("send the header Sammen-Client, from the same origin"))
}

/// Whether the origin is ours, where a browser names one.
pub fn same_origin(web: &Web, headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    // Fetch metadata: browsers say it of every request, and no page can set it. A form of a page with `no-referrer`
    // comes with `Origin: null` (Fetch, "append a request Origin header").
    let site = headers
        .get("sec-fetch-site")
        .map(|v| v.to_str().unwrap_or("?"));
    match site {
        Some("same-origin") => return true,
        Some("none") | None => {}
        Some(_) => return false,
    }
    let Some(origin) = text(header::ORIGIN) else {
        return true;
    };
    if web.base.as_deref().is_some_and(|b| same(b, origin)) {
        return true;
    }
    let Some(host) = text(header::HOST) else {
        return false;
    };
    origin.split_once("://").is_some_and(|(scheme, authority)| {
        matches!(scheme, "http" | "https") && authority.eq_ignore_ascii_case(host)
    })
}

fn same(base: &str, origin: &str) -> bool {
    base.trim_end_matches('/').eq_ignore_ascii_case(origin)
}
