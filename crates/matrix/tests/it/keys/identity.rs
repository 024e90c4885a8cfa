//! Identity keys of devices and people: who uploads them, who sees which signatures.

use serde_json::json;

use super::{Phone, key_pair, public, sign};
use crate::house::House;

#[tokio::test]
async fn bobs_keys_are_seen_as_he_uploaded_them_and_only_his_own_device_can_upload_them() {
    let house = House::new().await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let identity = bob.identity();
    bob.uploads(json!({ "device_keys": identity }))
        .await
        .is(200);
    let seen = alice.queries("@bob:example.org").await;
    let mut wanted = identity.clone();
    wanted["unsigned"] = json!({ "device_display_name": "bob's BPHONE" });
    assert_eq!(seen["device_keys"]["@bob:example.org"]["BPHONE"], wanted);
    // A signature of a stranger is not passed on; what was seen of the device so far stays.
    let stranger = sign(&identity, "@alice:example.org", &alice.key);
    bob.uploads(json!({ "device_keys": stranger }))
        .await
        .is(200);
    let seen = alice.queries("@bob:example.org").await;
    assert_eq!(seen["device_keys"]["@bob:example.org"]["BPHONE"], wanted);
    let taken = alice.uploads(json!({ "device_keys": identity })).await;
    taken.refused(400, "M_INVALID_PARAM");
    let body = json!({ "device_keys": {
        "@bob:example.org": ["GONE"],
        "@alice:example.org": [],
        "@nobody:example.org": [],
        "@xmpp/dave=40other.net:example.org": [],
        "@carol:elsewhere.org": [],
    } });
    let seen = alice.asks("POST", "keys/query", body).await.is(200);
    assert_eq!(
        seen["device_keys"],
        json!({
            "@bob:example.org": {},
            "@alice:example.org": {},
            "@nobody:example.org": {},
            "@xmpp/dave=40other.net:example.org": {},
        })
    );
    assert!(seen["failures"]["elsewhere.org"].is_object());
    bob.asks("POST", "logout", json!({})).await.is(200);
    let seen = alice.queries("@bob:example.org").await;
    assert_eq!(seen["device_keys"]["@bob:example.org"], json!({}));
}

#[tokio::test]
async fn one_time_keys_of_an_identity_go_when_the_device_has_another() {
    let house = House::new().await;
    let mut bob = Phone::new(&house, "bob", "BPHONE").await;
    let first =
        json!({ "device_keys": bob.identity(), "one_time_keys": super::one_time_keys(0..3) });
    bob.uploads(first).await.is(200);
    bob.key = key_pair("BPHONE");
    let identity = bob.identity();
    assert_eq!(identity["keys"]["ed25519:BPHONE"], public(&bob.key));
    let second = json!({ "device_keys": identity, "one_time_keys": super::one_time_keys(0..2) });
    let counts = bob.uploads(second).await.is(200);
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 2);
}
