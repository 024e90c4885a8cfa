//! Where web clients find WebSocket and BOSH (XEP-0156 §3): host-meta as XRD (RFC 6415) and as JSON.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use axum::routing::get;

use crate::bosh;
use crate::websocket::PATH;
use crate::wire::Element;

const XRD: &str = "http://docs.oasis-open.org/ns/xri/xrd-1.0";
const WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";
const BOSH: &str = "urn:xmpp:alt-connections:xbosh";

/// The two routes.
pub fn router(base: &str) -> Router {
    let links: Arc<[_; 2]> = Arc::new([
        (WEBSOCKET, websocket_url(base)),
        (
            BOSH,
            format!("{}{}", base.trim_end_matches('/'), bosh::PATH),
        ),
    ]);
    let as_json = links.clone();
    Router::new()
        .route(
            "/.well-known/host-meta",
            get(move || async move { answer("application/xrd+xml; charset=utf-8", xml(&*links)) }),
        )
        .route(
            "/.well-known/host-meta.json",
            get(move || async move { answer("application/json", json(&*as_json)) }),
        )
}

/// The WebSocket's address on a front that is reached at `base`.
pub fn websocket_url(base: &str) -> String {
    let base = base.trim_end_matches('/');
    let ws = base.strip_prefix("https").map(|rest| format!("wss{rest}"));
    let ws = ws.or_else(|| base.strip_prefix("http").map(|rest| format!("ws{rest}")));
    format!("{}{PATH}", ws.unwrap_or_else(|| base.to_owned()))
}

fn xml(links: &[(&'static str, String)]) -> String {
    let links = links.iter().map(|(rel, url)| {
        Element::new(XRD, "Link")
            .attr("rel", *rel)
            .attr("href", url.as_str())
    });
    format!(
        "<?xml version='1.0' encoding='utf-8'?>{}",
        Element::new(XRD, "XRD").children(links)
    )
}

fn json(links: &[(&'static str, String)]) -> String {
    let mut text = String::from("{\"links\":[");
    for (n, (rel, url)) in links.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        text.push_str(&format!("{{\"rel\":\"{rel}\",\"href\":\""));
        for c in url.chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                c if c.is_control() => {}
                c => text.push(c),
            }
        }
        text.push_str("\"}");
    }
    text.push_str("]}");
    text
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
    fn both_forms_name_both_ways() {
        let url = websocket_url("https://example.org:5443/");
        assert_eq!(url, "wss://example.org:5443/xmpp-websocket");
        let links = [(WEBSOCKET, url), (BOSH, "https://a/http-bind".to_owned())];
        assert_eq!(
            xml(&links),
            "<?xml version='1.0' encoding='utf-8'?><XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\
             <Link rel='urn:xmpp:alt-connections:websocket' href='wss://example.org:5443/xmpp-websocket'/>\
             <Link rel='urn:xmpp:alt-connections:xbosh' href='https://a/http-bind'/></XRD>"
        );
        assert_eq!(
            json(&links),
            "{\"links\":[{\"rel\":\"urn:xmpp:alt-connections:websocket\",\"href\":\"wss://example.org:5443/xmpp-websocket\"},\
             {\"rel\":\"urn:xmpp:alt-connections:xbosh\",\"href\":\"https://a/http-bind\"}]}"
        );
        assert_eq!(
            websocket_url("http://127.0.0.1:1"),
            "ws://127.0.0.1:1/xmpp-websocket"
        );
    }
}
