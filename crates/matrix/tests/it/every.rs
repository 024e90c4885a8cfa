//! Every endpoint of the table, tried by somebody who may not and by somebody who writes nonsense.

use std::collections::BTreeSet;

use axum::http::Method;
use sammen_matrix::http;
use serde_json::{Value, json};

use crate::house::{Answer, House};

/// Endpoints tried in one house.
const AT_A_TIME: usize = 50;

fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| {
        let Some(name) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
            return part.to_owned();
        };
        let value = match name.trim_start_matches('*') {
            "user_id" | "target_user_id" => "@alice:example.org",
            "room_id" | "room_id_or_alias" => "!nowhere:example.org",
            "room_alias" => "%23nowhere:example.org",
            "event_id" | "relates_to" | "parent_event" => "$nothing",
            "device_id" => "DEVICE",
            "server_name" => "example.org",
            "event_type" | "type" | "rel_type" => "m.room.message",
            "receipt_type" => "m.read",
            "kind" => "room",
            "field" | "key_name" => "displayname",
            _ => "x",
        };
        value.to_owned()
    });
    parts.collect::<Vec<_>>().join("/")
}

#[track_caller]
fn healthy(what: &str, answer: &Answer) {
    assert!(
        answer.status.as_u16() < 500,
        "{what}: {} {}",
        answer.status,
        answer.text()
    );
}

#[tokio::test]
async fn nobody_comes_in_without_a_token_and_nonsense_breaks_nothing() {
    let endpoints = http::table().endpoints;
    assert!(endpoints.len() > 50);
    for some in endpoints.chunks(AT_A_TIME) {
        let house = House::untiring().await;
        for endpoint in some {
            let (method, path) = (endpoint.method.as_str(), filled(&endpoint.path));
            let what = format!("{method} {}", endpoint.path);
            let nobody = house.ask("", method, &path, Value::Null).await;
            healthy(&what, &nobody);
            if endpoint.token {
                nobody.refused(401, "M_MISSING_TOKEN");
                let wrong = house.ask("1.AAAA", method, &path, json!({})).await;
                wrong.refused(401, "M_UNKNOWN_TOKEN");
            }
            if endpoint.method == Method::GET {
                continue;
            }
            // A token each: some endpoints end it.
            let token = house.sign_in("carol").await;
            let empty = house.ask(&token, method, &path, json!({})).await;
            healthy(&what, &empty);
            for nonsense in ["{", "[", "\"x", "\u{0}", "nul"] {
                let token = house.sign_in("carol").await;
                let kind = "application/json";
                let bytes = nonsense.as_bytes().to_vec();
                let answer = house.send(&token, method, &path, kind, bytes).await;
                healthy(&what, &answer);
                // Who does not read the body answers as to an empty one.
                let code = |a: &Answer| {
                    let error: Value = serde_json::from_slice(&a.body).unwrap_or_default();
                    error["errcode"].clone()
                };
                let ignores = answer.status == empty.status && code(&answer) == code(&empty);
                let reads = ignores && code(&empty) == "M_BAD_JSON";
                assert!(
                    code(&answer) == "M_NOT_JSON" || (ignores && !reads),
                    "{what}: {} {}",
                    answer.status,
                    answer.text(),
                );
            }
            for odd in [
                json!([]),
                json!(7),
                json!({ "auth": 7, "type": [] }),
                json!({ "user": null }),
            ] {
                let token = house.sign_in("carol").await;
                let answer = house.ask(&token, method, &path, odd).await;
                healthy(&what, &answer);
            }
        }
    }
}

#[test]
fn no_endpoint_is_there_twice() {
    let endpoints = http::table().endpoints;
    let all: BTreeSet<(String, String)> = endpoints
        .iter()
        .map(|e| (e.method.to_string(), e.path.clone()))
        .collect();
    assert_eq!(all.len(), endpoints.len());
}
