//! Whatever a client sends to these endpoints, it gets an answer, and the node goes on.

use serde_json::{Map, Value, json};

use super::identity::identity_of;
use super::{Phone, one_time_keys, sign};
use crate::house::House;

/// Numbers that are the same in every run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }

    fn odd(&mut self) -> Value {
        match self.next(14) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(u64::MAX),
            4 => json!(1.5e300),
            5 => json!(""),
            6 => json!("\u{0}\u{202e}/%2F\"'"),
            7 => json!("x".repeat(5_000)),
            8 => json!([]),
            9 => json!({}),
            10 => json!([[[[[[{ "a": [null, {}] }]]]]]]),
            11 => (0..60).fold(json!(1), |inner, _| json!([inner])),
            12 => json!({ "@bob:example.org": { "*": {} } }),
            _ => json!({ "ed25519:x": "AAAA", "keys": {}, "signatures": { "": {} } }),
        }
    }

    /// The same with one thing in it changed, renamed, doubled or gone.
    fn bend(&mut self, value: &mut Value) {
        let deeper = self.next(4) > 0;
        match value {
            Value::Object(object) if deeper && !object.is_empty() => {
                let at = self.next(object.len());
                let key = object.keys().nth(at).cloned().unwrap_or_default();
                match self.next(6) {
                    0 => drop(object.remove(&key)),
                    1 => {
                        let found = object.remove(&key).unwrap_or_default();
                        let name = ["", "x", "@:", "a/b", "ed25519:", "*", "!:"][self.next(7)];
                        object.insert(name.into(), found);
                    }
                    _ => self.bend(object.get_mut(&key).unwrap()),
                }
            }
            Value::Array(list) if deeper && !list.is_empty() => {
                let at = self.next(list.len());
                self.bend(&mut list[at]);
            }
            _ => *value = self.odd(),
        }
    }
}

#[tokio::test]
async fn whatever_comes_is_answered_and_the_node_goes_on() {
    let house = House::untiring().await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let (user, cross) = (alice.user(), identity_of("@alice:example.org"));
    let signed = sign(&alice.identity(), &user, &cross.own);
    let key = json!({
        "first_message_index": 1, "forwarded_count": 0, "is_verified": true,
        "session_data": { "ephemeral": "AAAA", "ciphertext": "BBBB", "mac": "CCCC" },
    });
    let algorithm = "m.megolm_backup.v1.curve25519-aes-sha2";
    let auth = json!({ "algorithm": algorithm, "auth_data": { "public_key": "A" } });
    let backup = alice
        .asks("POST", "room_keys/version", auth.clone())
        .await
        .is(200);
    let version = backup["version"].as_str().unwrap();
    let asleep = "../unstable/org.matrix.msc3814.v1/dehydrated_device";
    let asks = [
        (
            "POST",
            "keys/upload".to_owned(),
            json!({
                "device_keys": alice.identity(),
                "one_time_keys": one_time_keys(0..3),
                "fallback_keys": { "signed_curve25519:f": { "key": "f", "fallback": true, "signatures": {} } },
            }),
        ),
        (
            "POST",
            "keys/query".into(),
            json!({ "timeout": 10, "device_keys": { user.clone(): ["APHONE"] } }),
        ),
        (
            "POST",
            "keys/claim".into(),
            json!({ "one_time_keys": { user.clone(): { "APHONE": "signed_curve25519" } } }),
        ),
        (
            "POST",
            "keys/device_signing/upload".into(),
            cross.upload.clone(),
        ),
        (
            "POST",
            "keys/signatures/upload".into(),
            json!({ user.clone(): { "APHONE": signed } }),
        ),
        (
            "PUT",
            "sendToDevice/m.x/TXN".into(),
            json!({ "messages": { user.clone(): { "*": { "a": 1 } } } }),
        ),
        ("POST", "room_keys/version".into(), auth.clone()),
        ("PUT", format!("room_keys/version/{version}"), auth),
        (
            "PUT",
            format!("room_keys/keys?version={version}"),
            json!({ "rooms": { "!a:b": { "sessions": { "s": key } } } }),
        ),
        (
            "PUT",
            format!("room_keys/keys/!a:b?version={version}"),
            json!({ "sessions": { "s": key } }),
        ),
        (
            "PUT",
            format!("room_keys/keys/!a:b/s?version={version}"),
            key,
        ),
        (
            "PUT",
            asleep.into(),
            json!({
                "device_id": "SLEEP", "device_keys": alice.identity(), "one_time_keys": {},
                "device_data": { "algorithm": "org.matrix.msc3814.v2", "device_pickle": "x", "nonce": "n" },
            }),
        ),
        (
            "POST",
            format!("{asleep}/SLEEP/events"),
            json!({ "next_batch": "1.2.3" }),
        ),
    ];
    let mut chance = Chance(20_261_122);
    for round in 0..150 {
        for (method, path, good) in &asks {
            let mut body = good.clone();
            for _ in 0..=chance.next(3) {
                chance.bend(&mut body);
            }
            let path = path.replace("TXN", &round.to_string());
            let path = match path.strip_prefix("../") {
                Some(other) => format!("/_matrix/client/{other}"),
                None => format!("/_matrix/client/v3/{path}"),
            };
            // Not always JSON.
            let mut bytes = serde_json::to_vec(&body).unwrap();
            if chance.next(10) == 0 {
                bytes.truncate(chance.next(bytes.len() + 1));
            }
            let answer = house.send(&alice.token, method, &path, "application/json", bytes);
            let answer = answer.await;
            let status = answer.status.as_u16();
            assert!(status < 500, "{method} {path} {body}: {}", answer.text());
            let said: Map<String, Value> = serde_json::from_slice(&answer.body).unwrap();
            let errcode =
                status == 200 || said.contains_key("errcode") || said.contains_key("flows");
            assert!(errcode, "{method} {path} {body}: {}", answer.text());
        }
    }
    // What a client gets after all that is JSON that it can read.
    alice.queries("@alice:example.org").await;
    let upto = house.matrix.node.last_seq();
    alice.waiting(sammen_core::Seq(0), upto, 100_000);
    for path in [
        "room_keys/version".to_owned(),
        format!("room_keys/keys?version={version}"),
    ] {
        alice.asks("GET", &path, Value::Null).await.is(200);
    }
}
