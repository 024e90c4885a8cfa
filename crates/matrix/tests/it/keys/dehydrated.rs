//! A device without a client (MSC3814).

use serde_json::{Value, json};

use super::{Phone, key_pair, one_time_keys, public, sign};
use crate::house::House;

const PATH: &str = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";

fn device(user: &str, id: &str) -> Value {
    let pair = key_pair(id);
    let keys = json!({
        "user_id": user, "device_id": id, "algorithms": [], "dehydrated": true,
        "keys": { format!("ed25519:{id}"): public(&pair) },
    });
    json!({
        "device_id": id,
        "initial_device_display_name": "asleep",
        "device_data": { "algorithm": "org.matrix.msc3814.v2", "device_pickle": "xxx", "nonce": "n" },
        "device_keys": sign(&keys, user, &pair),
        "one_time_keys": one_time_keys(0..2),
    })
}

#[tokio::test]
async fn messages_wait_for_a_dehydrated_device_until_it_is_replaced() {
    let house = House::new().await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let ask = |phone: &Phone<'_>, method: &'static str, rest: &str, body| {
        let (path, token) = (format!("{PATH}{rest}"), phone.token.clone());
        let router = house.router.clone();
        async move { House::ask_of(&router, &token, method, &path, body).await }
    };
    ask(&bob, "GET", "", Value::Null)
        .await
        .refused(404, "M_NOT_FOUND");
    let one = device(&bob.user(), "SLEEP1");
    assert_eq!(
        ask(&bob, "PUT", "", one.clone()).await.is(200)["device_id"],
        "SLEEP1"
    );
    let got = ask(&bob, "GET", "", Value::Null).await.is(200);
    assert_eq!(
        got,
        json!({ "device_id": "SLEEP1", "device_data": one["device_data"] })
    );
    let seen = alice.queries("@bob:example.org").await;
    assert_eq!(
        seen["device_keys"][bob.user()]["SLEEP1"]["dehydrated"],
        true
    );
    let claim = json!({ "one_time_keys": { bob.user(): { "SLEEP1": "signed_curve25519" } } });
    let claimed = alice.asks("POST", "keys/claim", claim).await.is(200);
    assert!(claimed["one_time_keys"][bob.user()]["SLEEP1"].is_object());
    for n in 0..150 {
        alice
            .sends(&n.to_string(), &bob.user(), &["SLEEP1"], json!({ "n": n }))
            .await
            .is(200);
    }
    let mut got = Vec::new();
    let mut body = json!({});
    loop {
        let page = ask(&bob, "POST", "/SLEEP1/events", body.clone())
            .await
            .is(200);
        got.extend(page["events"].as_array().unwrap().clone());
        match page["next_batch"].as_str() {
            Some(token) => body = json!({ "next_batch": token }),
            None => break,
        }
    }
    let numbers: Vec<_> = got.iter().map(|e| e["content"]["n"].as_u64()).collect();
    assert_eq!(numbers, (0..150).map(Some).collect::<Vec<_>>());
    // Not Alice's, not of an id that a device has; nobody signs in as it.
    ask(&alice, "POST", "/SLEEP1/events", json!({}))
        .await
        .refused(404, "M_NOT_FOUND");
    ask(&alice, "DELETE", "", Value::Null)
        .await
        .refused(404, "M_NOT_FOUND");
    let taken = device(&bob.user(), "BPHONE");
    ask(&bob, "PUT", "", taken)
        .await
        .refused(400, "M_INVALID_PARAM");
    ask(&bob, "PUT", "", device(&bob.user(), "SLEEP2"))
        .await
        .is(200);
    let seen = alice.queries("@bob:example.org").await;
    let devices = seen["device_keys"][bob.user()].as_object().unwrap();
    assert_eq!(devices.keys().collect::<Vec<_>>(), ["SLEEP2"]);
    ask(&bob, "POST", "/SLEEP1/events", json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    assert_eq!(
        ask(&bob, "DELETE", "", Value::Null).await.is(200)["device_id"],
        "SLEEP2"
    );
    let seen = alice.queries("@bob:example.org").await;
    assert_eq!(seen["device_keys"][bob.user()], json!({}));
}
