//! Key backup: what a person's clients encrypted for each other, and nobody else's business.

use std::sync::Arc;

use sammen_core::memory::MemoryStore;
use serde_json::{Value, json};

use super::Phone;
use crate::house::House;

const NONE: Value = Value::Null;

fn key(first: u32, forwarded: u32, verified: bool) -> Value {
    json!({
        "first_message_index": first,
        "forwarded_count": forwarded,
        "is_verified": verified,
        "session_data": { "ephemeral": "AAAA", "ciphertext": "BBBB", "mac": "CCCC" },
    })
}

async fn makes(phone: &Phone<'_>, public: &str) -> String {
    let body = json!({
        "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
        "auth_data": { "public_key": public, "signatures": {} },
    });
    let made = phone.asks("POST", "room_keys/version", body).await.is(200);
    made["version"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn keys_are_kept_by_room_and_session_and_come_back_on_a_new_device() {
    let store = Arc::new(MemoryStore::new());
    let house = House::on(store.clone(), |_| {}).await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    alice
        .asks("GET", "room_keys/version", NONE)
        .await
        .refused(404, "M_NOT_FOUND");
    let version = makes(&alice, "AAAA").await;
    let at = |rest: &str| format!("room_keys/keys{rest}?version={version}");
    let body = json!({ "rooms": {
        "!a:example.org": { "sessions": { "s/1": key(5, 0, false), "s2": key(0, 0, true) } },
        "!b%2F:example.org": { "sessions": { "s3": key(1, 1, false) } },
    } });
    let first = alice.asks("PUT", &at(""), body.clone()).await.is(200);
    assert_eq!(first["count"], 3);
    let again = alice.asks("PUT", &at(""), body.clone()).await.is(200);
    assert_eq!(again, first, "nothing changed");
    let put = alice
        .asks("PUT", &at("/!c:example.org/s4"), key(0, 0, false))
        .await
        .is(200);
    assert_eq!(put["count"], 4);
    assert_ne!(put["etag"], first["etag"]);
    let more = json!({ "sessions": { "s5": key(0, 0, false) } });
    assert_eq!(
        alice
            .asks("PUT", &at("/!c:example.org"), more)
            .await
            .is(200)["count"],
        5
    );
    // The device is lost; another one finds everything, also after a restart.
    alice.asks("POST", "logout", json!({})).await.is(200);
    let house = House::on(store, |_| {}).await;
    let alice = Phone::new(&house, "alice", "NEW").await;
    let info = alice.asks("GET", "room_keys/version", NONE).await.is(200);
    assert_eq!(
        (&info["version"], &info["count"]),
        (&json!(version), &json!(5))
    );
    assert_eq!(info["auth_data"]["public_key"], "AAAA");
    let all = alice.asks("GET", &at(""), NONE).await.is(200);
    for room in ["!a:example.org", "!b%2F:example.org"] {
        assert_eq!(all["rooms"][room], body["rooms"][room]);
    }
    let room = alice
        .asks("GET", &at("/!a:example.org"), NONE)
        .await
        .is(200);
    assert_eq!(room, body["rooms"]["!a:example.org"]);
    let none = alice
        .asks("GET", &at("/!x:example.org"), NONE)
        .await
        .is(200);
    assert_eq!(none, json!({ "sessions": {} }));
    let one = alice
        .asks("GET", &at("/!a:example.org/s%2F1"), NONE)
        .await
        .is(200);
    assert_eq!(one, key(5, 0, false));
    let none = alice.asks("GET", &at("/!a:example.org/s"), NONE).await;
    none.refused(404, "M_NOT_FOUND");
    // Taken away, one by one and all at once.
    let count = |answer: Value| answer["count"].as_u64().unwrap();
    let gone = alice.asks("DELETE", &at("/!a:example.org/s2"), NONE).await;
    assert_eq!(count(gone.is(200)), 4);
    let gone = alice.asks("DELETE", &at("/!c:example.org"), NONE).await;
    assert_eq!(count(gone.is(200)), 2);
    let gone = alice.asks("DELETE", &at(""), NONE).await;
    assert_eq!(count(gone.is(200)), 0);
    assert_eq!(
        alice.asks("GET", &at(""), NONE).await.is(200),
        json!({ "rooms": {} })
    );
}

#[tokio::test]
async fn the_better_key_is_kept_and_only_the_newest_backup_takes_keys() {
    let house = House::new().await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let old = makes(&alice, "AAAA").await;
    let at = |version: &str| format!("room_keys/keys/!a:example.org/s?version={version}");
    for (put, kept) in [
        (key(5, 5, false), key(5, 5, false)),
        (key(6, 0, false), key(5, 5, false)),
        (key(5, 4, false), key(5, 4, false)),
        (key(4, 9, false), key(4, 9, false)),
        (key(9, 9, true), key(9, 9, true)),
        (key(0, 0, false), key(9, 9, true)),
        (key(9, 8, true), key(9, 8, true)),
    ] {
        alice.asks("PUT", &at(&old), put).await.is(200);
        assert_eq!(alice.asks("GET", &at(&old), NONE).await.is(200), kept);
    }
    let new = makes(&alice, "BBBB").await;
    assert!(new.parse::<u64>().unwrap() > old.parse().unwrap());
    let wrong = alice.asks("PUT", &at(&old), key(0, 0, true)).await;
    let wrong = wrong.refused(403, "M_WRONG_ROOM_KEYS_VERSION");
    assert_eq!(wrong["current_version"], new);
    assert_eq!(
        alice.asks("GET", &at(&old), NONE).await.is(200),
        key(9, 8, true)
    );
    // The newer one is deleted: the older one takes keys again.
    let version = |version: &str| format!("room_keys/version/{version}");
    alice.asks("PUT", &at(&new), key(1, 0, false)).await.is(200);
    alice.asks("DELETE", &version(&new), NONE).await.is(200);
    alice
        .asks("DELETE", &version(&new), NONE)
        .await
        .refused(404, "M_NOT_FOUND");
    alice
        .asks("GET", &at(&new), NONE)
        .await
        .refused(404, "M_NOT_FOUND");
    alice.asks("PUT", &at(&old), key(0, 0, true)).await.is(200);
    let algorithm = "m.megolm_backup.v1.curve25519-aes-sha2";
    let auth = json!({ "algorithm": algorithm, "auth_data": { "public_key": "CCCC" } });
    alice
        .asks("PUT", &version(&old), auth.clone())
        .await
        .is(200);
    let info = alice.asks("GET", &version(&old), NONE).await.is(200);
    assert_eq!(info["auth_data"], auth["auth_data"]);
    let other = json!({ "algorithm": "m.other", "auth_data": {} });
    alice
        .asks("PUT", &version(&old), other)
        .await
        .refused(400, "M_INVALID_PARAM");
    let mut other = auth.clone();
    other["version"] = json!("77");
    alice
        .asks("PUT", &version(&old), other)
        .await
        .refused(400, "M_INVALID_PARAM");
    for bad in ["", "0x5", "-1", "+1", "99999999999999999999999", "current"] {
        let path = format!("room_keys/keys?version={bad}");
        alice
            .asks("GET", &path, NONE)
            .await
            .refused(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn nobody_reads_writes_or_deletes_anothers_backup() {
    let house = House::new().await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let version = makes(&alice, "AAAA").await;
    let at = format!("room_keys/keys/!a:example.org/s?version={version}");
    alice.asks("PUT", &at, key(1, 0, false)).await.is(200);
    for (method, body) in [("GET", NONE), ("PUT", key(0, 0, true)), ("DELETE", NONE)] {
        bob.asks(method, &at, body)
            .await
            .refused(404, "M_NOT_FOUND");
        let path = format!("room_keys/version/{version}");
        let body = if method == "PUT" {
            json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {} })
        } else {
            NONE
        };
        bob.asks(method, &path, body)
            .await
            .refused(404, "M_NOT_FOUND");
        let path = format!("/_matrix/client/v3/{at}");
        let nobody = house.ask("", method, &path, NONE);
        nobody.await.refused(401, "M_MISSING_TOKEN");
    }
    assert_eq!(alice.asks("GET", &at, NONE).await.is(200), key(1, 0, false));
    for _ in 0..31 {
        makes(&bob, "BBBB").await;
    }
    makes(&bob, "BBBB").await;
    let body = json!({ "algorithm": "m.x", "auth_data": {} });
    bob.asks("POST", "room_keys/version", body)
        .await
        .refused(403, "M_FORBIDDEN");
}
