//! The built client: hashed names that never change, compressed when it was built, and a page that says how to build it
//! where it is missing.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::pages;

/// `client/dist`, inside the binary; debug builds read it from disk.
#[derive(RustEmbed)]
#[folder = "../../client/dist"]
#[allow_missing = true]
struct Dist;

/// No script, style, picture or connection but our own; nothing inline, nothing evaluated, no frames.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; worker-src 'self'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// Cameras and microphones for our own page, nothing else for anyone.
const PERMISSIONS: &str = "camera=(self), microphone=(self), geolocation=(), payment=(), usb=()";

/// The routes: `/`, the files of the client, and every path that the client shows as a view of its own.
pub fn router() -> Router {
    Router::new()
        .route("/", axum::routing::get(page))
        .route("/assets/{*file}", axum::routing::get(file))
        .fallback(fallback)
}

async fn page(headers: HeaderMap) -> Response<Body> {
    index(&headers)
}

fn index(headers: &HeaderMap) -> Response<Body> {
    match Dist::get("index.html") {
        Some(found) => give("index.html", found, headers),
        None => pages::not_built(),
    }
}

async fn file(uri: Uri, headers: HeaderMap) -> Response<Body> {
    let path = uri.path().trim_start_matches('/');
    match get(path) {
        Some(found) => give(path, found, &headers),
        None => nothing(),
    }
}

async fn fallback(method: axum::http::Method, uri: Uri, headers: HeaderMap) -> Response<Body> {
    if method != axum::http::Method::GET && method != axum::http::Method::HEAD {
        return nothing();
    }
    let path = uri.path().trim_start_matches('/');
    if let Some(found) = get(path) {
        return give(path, found, &headers);
    }
    // What looks like a file or belongs to a protocol is not a view of the client.
    let first = path.split('/').next().unwrap_or_default();
    let reserved = [
        "api",
        "upload",
        "i",
        "irc",
        "xmpp-websocket",
        "assets",
        ".well-known",
    ];
    if path.contains('.') || reserved.contains(&first) {
        return nothing();
    }
    index(&headers)
}

fn nothing() -> Response<Body> {
    let mut answer = Response::new(Body::from("There is no such thing here.\n"));
    *answer.status_mut() = StatusCode::NOT_FOUND;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer
}

/// A file of the client. What is compressed beside it is not reached by name.
fn get(path: &str) -> Option<EmbeddedFile> {
    let plain = !path.is_empty()
        && !path
            .split('/')
            .any(|p| p.is_empty() || p == "." || p == "..")
        && !path.contains(['\\', '\0', '%'])
        && !path.ends_with(".br")
        && !path.ends_with(".gz");
    if plain { Dist::get(path) } else { None }
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether the asker takes an encoding (RFC 9110 §12.5.3).
fn takes(headers: &HeaderMap, encoding: &str) -> bool {
    let asked = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    asked.split(',').any(|part| {
        let (name, weight) = part.split_once(';').unwrap_or((part, ""));
        name.trim().eq_ignore_ascii_case(encoding) && weight.trim().replace(' ', "") != "q=0"
    })
}

fn give(path: &str, found: EmbeddedFile, asked: &HeaderMap) -> Response<Body> {
    let tag = format!(
        "\"{}\"",
        found
            .metadata
            .sha256_hash()
            .iter()
            .take(12)
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    );
    let compressed = [("br", ".br"), ("gzip", ".gz")]
        .into_iter()
        .find_map(|(name, end)| {
            let file = takes(asked, name).then(|| Dist::get(&format!("{path}{end}")))??;
            Some((name, file))
        });
    let (encoding, data) = match compressed {
        Some((name, file)) => (Some(name), file.data),
        None => (None, found.data),
    };
    let data = match data {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let fresh = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|t| {
            t.split(',')
                .any(|t| t.trim().trim_start_matches("W/") == tag)
        });
    let mut answer = Response::new(if fresh {
        Body::empty()
    } else {
        Body::from(data)
    });
    if fresh {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let cached = if path.starts_with("assets/") {
        // The name changes with the content.
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = answer.headers_mut();
    let mut put = |name: header::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, media_type(path));
    put(header::ETAG, &tag);
    put(header::CACHE_CONTROL, cached);
    put(header::VARY, "Accept-Encoding");
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(header::X_FRAME_OPTIONS, "DENY");
    put(header::REFERRER_POLICY, "same-origin");
    put(header::CONTENT_SECURITY_POLICY, POLICY);
    put(
        header::HeaderName::from_static("permissions-policy"),
        PERMISSIONS,
    );
    put(
        header::HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    if let Some(encoding) = encoding {
        put(header::CONTENT_ENCODING, encoding);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_folder_is_reached() {
        for path in [
            "../Cargo.toml",
            "assets/../../Cargo.toml",
            "assets//x",
            "/etc/passwd",
            "assets/%2e%2e/x",
            "a\\b",
            "",
        ] {
            assert!(get(path).is_none(), "{path}");
        }
    }

    #[test]
    fn encodings_are_chosen_as_the_asker_says() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("gzip, br;q=0"),
        );
        assert!(takes(&headers, "gzip") && !takes(&headers, "br"));
    }

    #[test]
    fn the_policy_lets_nothing_run_that_is_not_ours() {
        assert!(!POLICY.contains("unsafe") && !POLICY.contains("http") && !POLICY.contains('*'));
    }
}
