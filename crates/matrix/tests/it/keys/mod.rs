//! End-to-end encryption's server side, without the encryption: people, their devices, and what the node keeps for them.

mod backup;
mod changes;
mod dehydrated;
mod hostile;
mod identity;
mod one_time;
mod to_device;

use std::sync::Arc;

use ruma::CanonicalJsonObject;
use ruma::signatures::{Ed25519KeyPair, sign_json};
use sammen_core::{Device, Seq};
use sammen_matrix::to_device as queue;
use serde_json::{Value, json};

use crate::house::{Answer, House, address};

/// Somebody's device.
pub struct Phone<'a> {
    pub house: &'a House,
    pub name: String,
    pub token: String,
    pub id: String,
    pub key: Ed25519KeyPair,
}

/// A pair of keys of which the public one has this id (`""`: its own text, as cross-signing keys have).
pub fn key_pair(id: &str) -> Ed25519KeyPair {
    let der = Ed25519KeyPair::generate();
    let pair = Ed25519KeyPair::from_der(&der, "x".into()).unwrap();
    let id = if id.is_empty() {
        public(&pair)
    } else {
        id.into()
    };
    Ed25519KeyPair::from_der(&der, id).unwrap()
}

/// The public key.
pub fn public(pair: &Ed25519KeyPair) -> String {
    use ruma::serde::Base64;
    Base64::<ruma::serde::base64::Standard>::new(pair.public_key().to_vec()).encode()
}

/// Adds a signature of `by`.
pub fn sign(object: &Value, by: &str, pair: &Ed25519KeyPair) -> Value {
    let mut signed: CanonicalJsonObject = serde_json::from_value(object.clone()).unwrap();
    sign_json(by, pair, &mut signed).unwrap();
    serde_json::to_value(signed).unwrap()
}

impl<'a> Phone<'a> {
    pub async fn new(house: &'a House, name: &str, id: &str) -> Self {
        let more =
            json!({ "device_id": id, "initial_device_display_name": format!("{name}'s {id}") });
        let answer = house
            .log_in(name, crate::house::PASSWORD, more)
            .await
            .is(200);
        Self {
            house,
            name: name.into(),
            token: answer["access_token"].as_str().unwrap().into(),
            id: id.into(),
            key: key_pair(id),
        }
    }

    pub fn user(&self) -> String {
        format!("@{}:example.org", self.name)
    }

    pub async fn asks(&self, method: &str, path: &str, body: Value) -> Answer {
        let path = format!("/_matrix/client/v3/{path}");
        self.house.ask(&self.token, method, &path, body).await
    }

    /// The device as core has it.
    pub fn device(&self) -> Arc<Device> {
        let store = self.house.matrix.node.store();
        let devices = store.devices(&address(&self.name)).unwrap();
        Arc::new(devices.into_iter().find(|d| d.key == self.id).unwrap())
    }

    /// Its identity keys, signed.
    pub fn identity(&self) -> Value {
        let keys = json!({
            "user_id": self.user(),
            "device_id": self.id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {
                format!("ed25519:{}", self.id): public(&self.key),
                format!("curve25519:{}", self.id): public(&key_pair("x")),
            },
        });
        sign(&keys, &self.user(), &self.key)
    }

    pub async fn uploads(&self, body: Value) -> Answer {
        self.asks("POST", "keys/upload", body).await
    }

    pub async fn queries(&self, user: &str) -> Value {
        let body = json!({ "device_keys": { user: [] } });
        self.asks("POST", "keys/query", body).await.is(200)
    }

    /// Sends `content` to devices of somebody.
    pub async fn sends(&self, txn: &str, to: &str, devices: &[&str], content: Value) -> Answer {
        let devices = devices.iter().map(|d| ((*d).to_owned(), content.clone()));
        let devices: serde_json::Map<_, _> = devices.collect();
        let body = json!({ "messages": { to: devices } });
        self.asks("PUT", &format!("sendToDevice/m.test/{txn}"), body)
            .await
    }

    /// What came for it in a window.
    pub fn waiting(&self, since: Seq, upto: Seq, limit: usize) -> (Vec<Value>, Seq) {
        let matrix = &self.house.matrix;
        let found = queue::since(matrix, &self.device(), since, upto, limit).unwrap();
        let events = found.events.iter();
        let events = events.map(|e| serde_json::from_str(e.json().get()).unwrap());
        (events.collect(), found.upto)
    }

    /// All that waits, by its contents' `n`.
    pub fn numbers(&self) -> Vec<u64> {
        let all = self.waiting(Seq(0), self.house.matrix.node.last_seq(), 100_000);
        let numbers = all.0.iter();
        numbers
            .map(|e| e["content"]["n"].as_u64().unwrap())
            .collect()
    }
}

/// One-time keys by number: what `/keys/upload` takes.
pub fn one_time_keys(numbers: std::ops::Range<u32>) -> Value {
    let keys = numbers.map(|n| {
        let key = json!({ "key": format!("key{n}"), "signatures": {} });
        (format!("signed_curve25519:{n:04}"), key)
    });
    Value::Object(keys.collect())
}
