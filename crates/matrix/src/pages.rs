//! Pages for people, without scripts of ours: everything that strangers wrote is escaped by the template language, and the
//! policy allows one style sheet by its hash.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("pages.css");

/// A page, and what it may do.
pub struct Page<'a> {
    /// The status.
    pub status: StatusCode,
    /// The title.
    pub title: &'a str,
    /// What stands on it.
    pub content: Markup,
    /// The one script that the specification prescribes, where it does.
    pub script: Option<&'static str>,
    /// Where its form may lead to, besides here: an origin or a scheme.
    pub leads_to: Option<&'a str>,
}

impl<'a> Page<'a> {
    /// A page with nothing special.
    pub fn new(status: StatusCode, title: &'a str, content: Markup) -> Self {
        Self {
            status,
            title,
            content,
            script: None,
            leads_to: None,
        }
    }

    /// The page as it goes out.
    pub fn answer(self) -> Response<Body> {
        let text = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="robots" content="noindex";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    main { (self.content) }
                    @if let Some(script) = self.script { script { (PreEscaped(script)) } }
                }
            }
        };
        let script = self.script.map_or_else(|| "'none'".to_owned(), hash);
        let to = self.leads_to.unwrap_or_default();
        let policy = format!(
            "default-src 'none'; style-src {}; script-src {script}; form-action 'self' {to}; \
             base-uri 'none'; frame-ancestors 'none'",
            hash(STYLE),
        );
        let mut answer = Response::new(Body::from(text.into_string()));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        // What a client registered was checked; what is no header all the same gets the strictest policy.
        let policy = HeaderValue::from_str(&policy)
            .unwrap_or(HeaderValue::from_static("default-src 'none'"));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            // The address holds a secret.
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}

fn hash(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    format!("'sha256-{}'", STANDARD.encode(digest))
}

/// Whether a form was sent from a page of ours: browsers say so.
pub fn same_origin(headers: &HeaderMap, base: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    // A form of a page with `no-referrer` comes with `Origin: null` (Fetch, "append a request Origin header"); what no
    // page can set itself tells more.
    match text("sec-fetch-site") {
        Some("same-origin") => return true,
        Some("none") | None => {}
        Some(_) => return false,
    }
    let Some(origin) = text("origin") else {
        return true;
    };
    let host = text("host");
    origin.eq_ignore_ascii_case(base)
        || origin.split_once("://").is_some_and(|(_, authority)| {
            host.is_some_and(|host| authority.eq_ignore_ascii_case(host))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_comes_from_a_page_of_ours_or_not_at_all() {
        let asked = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                let name = axum::http::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            same_origin(&HeaderMap::from_iter(pairs), "https://example.org")
        };
        for (headers, ours) in [
            (&[][..], true),
            (&[("origin", "https://example.org")], true),
            // As browsers send a form of a page with `no-referrer`.
            (
                &[("sec-fetch-site", "same-origin"), ("origin", "null")],
                true,
            ),
            (&[("origin", "null")], false),
            (
                &[("origin", "https://evil.example"), ("host", "example.org")],
                false,
            ),
            (&[("sec-fetch-site", "cross-site")], false),
            (
                &[
                    ("sec-fetch-site", "same-site"),
                    ("origin", "https://example.org"),
                ],
                false,
            ),
        ] {
            assert_eq!(asked(headers), ours, "{headers:?}");
        }
    }
}
