//! What clients learn before they sign in.

use sammen_net::Secret;
use sammen_net::relay::{Kind, Relays, Service, Transport};
use serde_json::{Value, json};

use crate::house::House;

#[tokio::test]
async fn a_client_finds_the_server_and_what_it_speaks() {
    let house = House::new().await;
    let found = house.ask("", "GET", "/.well-known/matrix/client", Value::Null);
    let found = found.await.is(200);
    assert_eq!(found["io.element.e2ee"]["default"], false);
    assert_eq!(
        found["m.homeserver"],
        json!({ "base_url": "https://example.org" })
    );
    let versions = house.ask("", "GET", "/_matrix/client/versions", Value::Null);
    let versions = versions.await;
    assert_eq!(versions.headers["access-control-allow-origin"], "*");
    let versions = versions.is(200);
    let spoken = versions["versions"].as_array().unwrap();
    assert!(spoken.contains(&json!("v1.11")), "{versions}");
}

#[tokio::test]
async fn what_is_not_there_is_said_in_matrix_words() {
    let house = House::new().await;
    let nothing = house.ask("", "GET", "/_matrix/client/v3/nothing", Value::Null);
    nothing.await.refused(404, "M_UNRECOGNIZED");
    let wrong = house.ask("", "POST", "/_matrix/client/versions", json!({}));
    wrong.await.refused(405, "M_UNRECOGNIZED");
    let browser = house.ask("", "OPTIONS", "/_matrix/client/v3/sync", Value::Null);
    assert_eq!(browser.await.status.as_u16(), 204);
}

#[tokio::test]
async fn a_client_learns_what_it_can_do() {
    let house = House::new().await;
    let token = house.sign_in("alice").await;
    let path = "/_matrix/client/v3/capabilities";
    let all = house.ask(&token, "GET", path, Value::Null).await.is(200);
    let all = &all["capabilities"];
    let rooms = json!({ "default": "11", "available": { "11": "stable", "12": "stable" } });
    assert_eq!(all["m.room_versions"], rooms);
    assert_eq!(all["m.get_login_token"], json!({ "enabled": true }));
    assert_eq!(all["m.3pid_changes"], json!({ "enabled": false }));
    assert_eq!(all["m.account_moderation"], Value::Null);
}

#[tokio::test]
async fn people_find_who_runs_the_node() {
    let house = House::new().await;
    let path = "/.well-known/matrix/support";
    let nobody = house.ask("", "GET", path, Value::Null).await;
    nobody.refused(404, "M_NOT_FOUND");
    let house = House::with(|config| {
        config.admin_addresses = vec![
            "xmpp:alice@example.org".into(),
            "https://example.org/help".into(),
        ];
        config.abuse_addresses = vec!["mailto:abuse@example.org".into(), "xmpp:x@other.net".into()];
    });
    let house = house.await;
    let found = house.ask("", "GET", path, Value::Null).await.is(200);
    let whole = json!({
        "contacts": [
            { "role": "m.role.admin", "matrix_id": "@alice:example.org" },
            { "role": "m.role.moderator", "email_address": "abuse@example.org" },
        ],
        "support_page": "https://example.org/help",
    });
    assert_eq!(found, whole);
}

#[tokio::test]
async fn calls_find_a_relay() {
    let house = House::new().await;
    let token = house.sign_in("alice").await;
    let path = "/_matrix/client/v3/voip/turnServer";
    house
        .ask("", "GET", path, Value::Null)
        .await
        .refused(401, "M_MISSING_TOKEN");
    assert_eq!(
        house.ask(&token, "GET", path, Value::Null).await.is(200),
        json!({})
    );
    let service = |kind, host: &str| Service {
        kind,
        host: host.into(),
        port: 3478,
        transport: Transport::Udp,
    };
    let house = House::with(|config| {
        config.relays = Relays {
            services: vec![
                service(Kind::Stun, "a"),
                service(Kind::Turn, "turn.example.org"),
                service(Kind::Turn, "::1"),
            ],
            secret: Some(Secret::new("shared")),
            lifetime: std::time::Duration::from_secs(600),
        };
    });
    let house = house.await;
    let token = house.sign_in("alice").await;
    let found = house.ask(&token, "GET", path, Value::Null).await.is(200);
    let uris = json!([
        "turn:turn.example.org:3478?transport=udp",
        "turn:[::1]:3478?transport=udp"
    ]);
    assert_eq!((&found["uris"], &found["ttl"]), (&uris, &json!(600)));
    assert!(found["username"].is_string() && found["password"].is_string());
}

#[tokio::test]
async fn a_widget_learns_who_alice_is_and_nothing_else() {
    let house = House::new().await;
    let token = house.sign_in("alice").await;
    let path =
        |who: &str| format!("/_matrix/client/v3/user/@{who}:example.org/openid/request_token");
    let bob = house.ask(&token, "POST", &path("bob"), json!({})).await;
    bob.refused(403, "M_FORBIDDEN");
    let given = house
        .ask(&token, "POST", &path("alice"), json!({}))
        .await
        .is(200);
    assert_eq!(given["matrix_server_name"], "example.org");
    let given = given["access_token"].as_str().unwrap();
    let ask = |token: &str| format!("/_matrix/federation/v1/openid/userinfo?access_token={token}");
    let told = house.ask("", "GET", &ask(given), Value::Null).await.is(200);
    assert_eq!(told, json!({ "sub": "@alice:example.org" }));
    house
        .ask("", "GET", &ask("guess"), Value::Null)
        .await
        .refused(401, "M_UNKNOWN_TOKEN");
    let whoami = "/_matrix/client/v3/account/whoami";
    house
        .ask(given, "GET", whoami, Value::Null)
        .await
        .refused(401, "M_UNKNOWN_TOKEN");
    house.later(3_600_001);
    house
        .ask("", "GET", &ask(given), Value::Null)
        .await
        .refused(401, "M_UNKNOWN_TOKEN");
}
