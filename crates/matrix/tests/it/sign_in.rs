//! Signing in with a password, and out again.

use serde_json::{Value, json};

use crate::house::{House, PASSWORD};

const LOGIN: &str = "/_matrix/client/v3/login";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

#[tokio::test]
async fn alice_signs_in_and_out() {
    let house = House::new().await;
    let flows = house.ask("", "GET", LOGIN, Value::Null).await.is(200);
    assert_eq!(flows["flows"][0]["type"], "m.login.password");
    let phone = json!({ "device_id": "PHONE", "initial_device_display_name": "a phone" });
    let phone = house.log_in("alice", PASSWORD, phone).await.is(200);
    assert_eq!(phone["user_id"], "@alice:example.org");
    assert_eq!(phone["device_id"], "PHONE");
    let base = &phone["well_known"]["m.homeserver"]["base_url"];
    assert_eq!(base, "https://example.org");
    assert_eq!(phone.get("refresh_token"), None);
    let token = phone["access_token"].as_str().unwrap();
    let me = house.ask(token, "GET", WHOAMI, Value::Null).await.is(200);
    let whole = json!({ "user_id": "@alice:example.org", "device_id": "PHONE" });
    assert_eq!(me, whole);
    let query = format!("{WHOAMI}?x=1&access_token={token}");
    house.ask("", "GET", &query, Value::Null).await.is(200);

    let other = house.sign_in("alice").await;
    let out = house.ask(token, "POST", "/_matrix/client/v3/logout", json!({}));
    out.await.is(200);
    let gone = house.ask(token, "GET", WHOAMI, Value::Null).await;
    let gone = gone.refused(401, "M_UNKNOWN_TOKEN");
    assert_ne!(gone["soft_logout"], true);
    house.ask(&other, "GET", WHOAMI, Value::Null).await.is(200);

    let third = house.sign_in("alice").await;
    let out = house.ask(&third, "POST", "/_matrix/client/v3/logout/all", Value::Null);
    out.await.is(200);
    for token in [&other, &third] {
        let gone = house.ask(token, "GET", WHOAMI, Value::Null).await;
        gone.refused(401, "M_UNKNOWN_TOKEN");
    }
}

#[tokio::test]
async fn a_device_that_signs_in_again_is_the_same_and_its_old_token_is_void() {
    let house = House::new().await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let desk = json!({ "device_id": "DESK" });
        let desk = house.log_in("alice", PASSWORD, desk).await.is(200);
        tokens.push(desk["access_token"].as_str().unwrap().to_owned());
    }
    let old = house.ask(&tokens[0], "GET", WHOAMI, Value::Null).await;
    old.refused(401, "M_UNKNOWN_TOKEN");
    let new = house.ask(&tokens[1], "GET", WHOAMI, Value::Null).await;
    assert_eq!(new.is(200)["device_id"], "DESK");
}

#[tokio::test]
async fn people_are_named_in_every_way_that_clients_have() {
    let house = House::new().await;
    for name in ["alice", "Alice", "@alice:example.org", "alice@example.org"] {
        house.log_in(name, PASSWORD, json!({})).await.is(200);
    }
    let old = json!({ "type": "m.login.password", "user": "bob", "password": PASSWORD });
    house
        .ask("", "POST", "/_matrix/client/r0/login", old)
        .await
        .is(200);
    for name in ["nobody", "@alice:other.net", "@", "", "a/b", "@alice"] {
        let refused = house.log_in(name, PASSWORD, json!({})).await;
        refused.refused(403, "M_FORBIDDEN");
    }
    let mail = json!({ "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": "a@b.c" } });
    house
        .ask("", "POST", LOGIN, mail)
        .await
        .refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn what_is_no_sign_in_is_refused_in_matrix_words() {
    let house = House::new().await;
    house
        .log_in("alice", "wrong", json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    for (body, errcode) in [
        (json!({}), "M_BAD_JSON"),
        (json!({ "type": 7 }), "M_BAD_JSON"),
        (
            json!({ "type": "m.login.password", "password": "x" }),
            "M_BAD_JSON",
        ),
        (json!({ "type": "m.login.sso" }), "M_UNKNOWN"),
        (
            json!({ "type": "m.login.application_service" }),
            "M_UNKNOWN",
        ),
    ] {
        let refused = house.ask("", "POST", LOGIN, body).await;
        refused.refused(400, errcode);
    }
    let long = json!({ "device_id": "x".repeat(256) });
    let long = house.log_in("alice", PASSWORD, long).await;
    long.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn guessing_gets_slow() {
    let house = House::new().await;
    for _ in 0..6 {
        house
            .log_in("alice", "guess", json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
    }
    let slow = house.log_in("alice", PASSWORD, json!({})).await;
    assert!(slow.headers.contains_key("retry-after"));
    let slow = slow.refused(429, "M_LIMIT_EXCEEDED");
    assert!(slow["retry_after_ms"].as_u64().unwrap() > 0, "{slow}");
}
