//! How people are shown, and how they find each other.

use serde_json::{Value, json};

use crate::house::House;

const ALICE: &str = "/_matrix/client/v3/profile/@alice:example.org";

#[tokio::test]
async fn alices_name_is_hers_on_every_protocol() {
    let house = House::new().await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    let name = format!("{ALICE}/displayname");
    let nothing = house.ask(&bob, "GET", &name, Value::Null).await;
    nothing.refused(404, "M_NOT_FOUND");
    let body = json!({ "displayname": "Alice im Wunderland" });
    house.ask(&alice, "PUT", &name, body.clone()).await.is(200);
    assert_eq!(
        house.ask(&bob, "GET", &name, Value::Null).await.is(200),
        body
    );
    assert_eq!(
        house.ask(&bob, "GET", ALICE, Value::Null).await.is(200),
        body
    );
    let account = house.matrix.node.account(&crate::house::address("alice"));
    let known = account.unwrap().unwrap().display_name.clone();
    assert_eq!(known.as_deref(), Some("Alice im Wunderland"));
    let forged = house.ask(&bob, "PUT", &name, body.clone()).await;
    forged.refused(403, "M_FORBIDDEN");
    let stranger = house.ask("", "GET", ALICE, Value::Null).await;
    stranger.refused(401, "M_MISSING_TOKEN");
    let nobody = "/_matrix/client/v3/profile/@nobody:example.org";
    house
        .ask(&bob, "GET", nobody, Value::Null)
        .await
        .refused(404, "M_NOT_FOUND");
    // The node itself stands in rooms that no Matrix app made; apps ask who that is.
    let own = "/_matrix/client/v3/profile/@sammen:example.org";
    let known = house.ask(&bob, "GET", own, Value::Null).await.is(200);
    assert_eq!(known["displayname"], "Sammen");
}

#[tokio::test]
async fn a_profile_has_fields_of_its_own_up_to_a_size() {
    let house = House::new().await;
    let alice = house.sign_in("alice").await;
    let zone = format!("{ALICE}/m.tz");
    let body = json!({ "m.tz": "Europe/Berlin" });
    house.ask(&alice, "PUT", &zone, body.clone()).await.is(200);
    assert_eq!(
        house.ask(&alice, "GET", ALICE, Value::Null).await.is(200),
        body
    );
    house
        .ask(&alice, "DELETE", &zone, Value::Null)
        .await
        .is(200);
    assert_eq!(
        house.ask(&alice, "GET", ALICE, Value::Null).await.is(200),
        json!({})
    );
    for (field, body, errcode) in [
        ("m.tz", json!({ "other": 1 }), "M_MISSING_PARAM"),
        ("Upper", json!({ "Upper": 1 }), "M_INVALID_PARAM"),
        (&"x".repeat(300), json!({}), "M_KEY_TOO_LARGE"),
        (
            "org.example.long",
            json!({ "org.example.long": "x".repeat(65_100) }),
            "M_PROFILE_TOO_LARGE",
        ),
        ("avatar_url", json!({ "avatar_url": 5 }), "M_BAD_JSON"),
        (
            "displayname",
            json!({ "displayname": "a\nb" }),
            "M_INVALID_PARAM",
        ),
    ] {
        let path = format!("{ALICE}/{field}");
        house
            .ask(&alice, "PUT", &path, body)
            .await
            .refused(400, errcode);
    }
    let elsewhere = json!({ "avatar_url": "mxc://other.net/abc" });
    let path = format!("{ALICE}/avatar_url");
    house
        .ask(&alice, "PUT", &path, elsewhere)
        .await
        .refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn people_are_found_by_who_knows_them() {
    let house = House::new().await;
    let alice = house.sign_in("alice").await;
    let find = async |term: &str| {
        let path = "/_matrix/client/v3/user_directory/search";
        let body = json!({ "search_term": term });
        let found = house.ask(&alice, "POST", path, body).await.is(200);
        let all = found["results"].as_array().unwrap().clone();
        all.into_iter()
            .map(|one| one["user_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    // Nobody is listed to who does not know them, but by the whole name.
    assert!(find("bo").await.is_empty());
    assert_eq!(find("Bob").await, ["@bob:example.org"]);
    assert_eq!(find("@carol:example.org").await, ["@carol:example.org"]);
    assert!(find("alice").await.is_empty());
}
