//! Where web clients find the WebSocket (XEP-0156 §3): host-meta as XRD (RFC 6415) and as JSON.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use axum::routing::get;

use crate::websocket::PATH;
use crate::wire::Element;

const XRD: &str = "http://docs.oasis-open.org/ns/xri/xrd-1.0";
const REL: &str = "urn:xmpp:alt-connections:websocket";

/// The two routes.
pub fn router(base: &str) -> Router {
    let url: Arc<str> = websocket_url(base).into();
    let as_json = url.clone();
    Router::new()
        .route(
            "/.well-known/host-meta",
            get(move || async move { answer("application/xrd+xml; charset=utf-8", xml(&url)) }),
        )
        .route(
            "/.well-known/host-meta.json",
            get(move || async move { answer("application/json", json(&as_json)) }),
        )
}

/// The WebSocket's address on a front that is reached at `base`.
pub fn websocket_url(base: &str) -> String {
    let base = base.trim_end_matches('/');
    let ws = base.strip_prefix("https").map(|rest| format!("wss{rest}"));
    let ws = ws.or_else(|| base.strip_prefix("http").map(|rest| format!("ws{rest}")));
    format!("{}{PATH}", ws.unwrap_or_else(|| base.to_owned()))
}

fn xml(url: &str) -> String {
    let link = Element::new(XRD, "Link").attr("rel", REL).attr("href", url);
    format!(
        "<?xml version='1.0' encoding='utf-8'?>{}",
        Element::new(XRD, "XRD").child(link)
    )
}

fn json(url: &str) -> String {
    let mut text = String::new();
    for c in url.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    format!("{{\"links\":[{{\"rel\":\"{REL}\",\"href\":\"{text}\"}}]}}")
}

fn answer(media_type: &'static str, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    // XEP-0156 §3.1: web clients of any origin ask.
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_the_websocket() {
        let url = websocket_url("https://example.org:5443/");
        assert_eq!(url, "wss://example.org:5443/xmpp-websocket");
        assert_eq!(
            xml(&url),
            "<?xml version='1.0' encoding='utf-8'?><XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\
             <Link rel='urn:xmpp:alt-connections:websocket' href='wss://example.org:5443/xmpp-websocket'/></XRD>"
        );
        assert_eq!(
            json(&url),
            "{\"links\":[{\"rel\":\"urn:xmpp:alt-connections:websocket\",\"href\":\"wss://example.org:5443/xmpp-websocket\"}]}"
        );
        assert_eq!(
            websocket_url("http://127.0.0.1:1"),
            "ws://127.0.0.1:1/xmpp-websocket"
        );
    }
}
