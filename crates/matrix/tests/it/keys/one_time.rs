//! One-time keys: each for one asker, whatever happens at once or again.

use std::collections::BTreeSet;
use std::sync::Arc;

use sammen_core::memory::MemoryStore;
use sammen_core::ops::contacts;
use sammen_matrix::keys;
use serde_json::{Value, json};

use super::{Phone, one_time_keys};
use crate::house::{House, address};

fn claim_of(device: &str) -> Value {
    json!({ "one_time_keys": { "@bob:example.org": { device: "signed_curve25519" } } })
}

/// The id of the key that an answer holds for Bob's phone.
fn key_of(answer: &Value) -> Option<String> {
    let keys = answer["one_time_keys"]["@bob:example.org"]["BPHONE"].as_object()?;
    assert_eq!(keys.len(), 1);
    keys.keys().next().cloned()
}

#[tokio::test]
async fn keys_are_given_out_once_in_the_order_they_came_then_the_fallback_key() {
    let house = House::new().await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let counts = |answer: Value| answer["one_time_key_counts"]["signed_curve25519"].as_u64();
    let empty = bob.uploads(json!({})).await.is(200);
    assert_eq!(counts(empty), Some(0));
    let first = json!({ "one_time_keys": one_time_keys(5..7) });
    assert_eq!(counts(bob.uploads(first.clone()).await.is(200)), Some(2));
    let fallback = json!({ "key": "fall", "fallback": true, "signatures": {} });
    let more = json!({
        "one_time_keys": one_time_keys(0..1),
        "fallback_keys": { "signed_curve25519:f": fallback },
    });
    assert_eq!(counts(bob.uploads(more).await.is(200)), Some(3));
    let unused = |house: &House| {
        let counts = keys::counts(&house.matrix, &bob.device()).unwrap();
        counts.unused_fallback.len()
    };
    assert_eq!(unused(&house), 1);
    let mut got = Vec::new();
    for _ in 0..5 {
        let answer = alice.asks("POST", "keys/claim", claim_of("BPHONE")).await;
        got.extend(key_of(&answer.is(200)));
    }
    let wanted = ["0005", "0006", "0000", "f", "f"];
    assert_eq!(got, wanted.map(|n| format!("signed_curve25519:{n}")));
    assert_eq!(unused(&house), 0);
    // The answer to the first upload was lost, so Bob's app repeats it: nobody gets these keys again.
    assert_eq!(counts(bob.uploads(first).await.is(200)), Some(0));
    let answer = alice.asks("POST", "keys/claim", claim_of("BPHONE")).await;
    assert_eq!(key_of(&answer.is(200)).unwrap(), "signed_curve25519:f");
    let gone = alice.asks("POST", "keys/claim", claim_of("GONE")).await;
    assert_eq!(gone.is(200)["one_time_keys"], json!({}));
    let body = json!({ "one_time_keys": { "@carol:elsewhere.org": { "D": "signed_curve25519" } } });
    let elsewhere = alice.asks("POST", "keys/claim", body).await.is(200);
    assert!(elsewhere["failures"]["elsewhere.org"].is_object());
}

#[tokio::test]
async fn who_is_blocked_gets_no_key_and_uses_none_up() {
    let house = House::new().await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let keys = json!({ "one_time_keys": one_time_keys(0..1) });
    bob.uploads(keys).await.is(200);
    let block = |blocked: bool| {
        house
            .matrix
            .node
            .write(move |tx| contacts::block(tx, &address("bob"), &address("alice"), blocked))
    };
    block(true).await.unwrap();
    let claim = || alice.asks("POST", "keys/claim", claim_of("BPHONE"));
    assert_eq!(key_of(&claim().await.is(200)), None);
    block(false).await.unwrap();
    let got = key_of(&claim().await.is(200));
    assert_eq!(got.unwrap(), "signed_curve25519:0000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_who_claim_at_once_get_a_hundred_keys() {
    let house = House::new().await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let keys = json!({ "one_time_keys": one_time_keys(0..100) });
    bob.uploads(keys).await.is(200);
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let mut claims = Vec::new();
    for _ in 0..120 {
        let (router, token) = (house.router.clone(), alice.token.clone());
        claims.push(tokio::spawn(async move {
            let path = "/_matrix/client/v3/keys/claim";
            let answer = House::ask_of(&router, &token, "POST", path, claim_of("BPHONE"));
            key_of(&answer.await.is(200))
        }));
    }
    let mut got = Vec::new();
    for claim in claims {
        got.extend(claim.await.unwrap());
    }
    assert_eq!(got.len(), 100);
    assert_eq!(got.iter().collect::<BTreeSet<_>>().len(), 100);
}

#[tokio::test]
async fn keys_outlive_a_restart_and_go_with_their_device() {
    let store = Arc::new(MemoryStore::new());
    let house = House::on(store.clone(), |_| {}).await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let keys = json!({ "one_time_keys": one_time_keys(0..3) });
    bob.uploads(keys.clone()).await.is(200);
    let again = House::on(store, |_| {}).await;
    let bob = Phone {
        house: &again,
        ..bob
    };
    let alice = Phone::new(&again, "alice", "APHONE").await;
    let answer = alice.asks("POST", "keys/claim", claim_of("BPHONE")).await;
    assert_eq!(key_of(&answer.is(200)).unwrap(), "signed_curve25519:0000");
    bob.asks("POST", "logout", json!({})).await.is(200);
    let bob = Phone::new(&again, "bob", "BPHONE").await;
    let answer = alice.asks("POST", "keys/claim", claim_of("BPHONE")).await;
    assert_eq!(key_of(&answer.is(200)), None);
    let counts = bob.uploads(json!({})).await.is(200);
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 0);
}

#[tokio::test]
async fn a_key_of_the_same_name_with_other_content_and_too_many_keys_are_refused() {
    let house = House::new().await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let keys = json!({ "one_time_keys": one_time_keys(0..3) });
    bob.uploads(keys.clone()).await.is(200);
    bob.uploads(keys).await.is(200);
    let other = json!({ "one_time_keys": {
        "signed_curve25519:0009": { "key": "new", "signatures": {} },
        "signed_curve25519:0001": { "key": "another", "signatures": {} },
    } });
    bob.uploads(other).await.refused(400, "M_INVALID_PARAM");
    let counts = bob.uploads(json!({})).await.is(200);
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 3);
    let most = json!({ "one_time_keys": one_time_keys(3..400) });
    bob.uploads(most).await.is(200);
    let more = json!({ "one_time_keys": one_time_keys(400..401) });
    bob.uploads(more).await.refused(413, "M_TOO_LARGE");
    let much = json!({ "one_time_keys": { "signed_curve25519:x": { "key": "x".repeat(3000), "signatures": {} } } });
    bob.uploads(much).await.refused(413, "M_TOO_LARGE");
    for bad in ["nocolon", ":x", "a/b:x", "a:"] {
        let body = json!({ "one_time_keys": { bad: { "key": "x", "signatures": {} } } });
        let status = bob.uploads(body).await.status.as_u16();
        assert_eq!(status, 400, "{bad}");
    }
}
