//! What clients learn before they sign in.

use serde_json::{Value, json};

use crate::house::House;

#[tokio::test]
async fn a_client_finds_the_server_and_what_it_speaks() {
    let house = House::new().await;
    let found = house.ask("", "GET", "/.well-known/matrix/client", Value::Null);
    assert_eq!(
        found.await.is(200)["m.homeserver"],
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
