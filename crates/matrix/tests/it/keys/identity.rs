//! Identity keys of devices and people: who uploads them, who sees which signatures.

use serde_json::{Value, json};

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

/// Cross-signing keys of somebody: master, self-signing, user-signing, and what `device_signing/upload` takes.
pub struct Identity {
    pub master: ruma::signatures::Ed25519KeyPair,
    pub own: ruma::signatures::Ed25519KeyPair,
    pub people: ruma::signatures::Ed25519KeyPair,
    pub upload: Value,
}

pub fn identity_of(user: &str) -> Identity {
    let (master, own, people) = (key_pair(""), key_pair(""), key_pair(""));
    let key = |usage, pair| {
        let text = public(pair);
        let keys = json!({ format!("ed25519:{text}"): text });
        json!({ "user_id": user, "usage": [usage], "keys": keys })
    };
    let upload = json!({
        "master_key": key("master", &master),
        "self_signing_key": sign(&key("self_signing", &own), user, &master),
        "user_signing_key": sign(&key("user_signing", &people), user, &master),
    });
    Identity {
        master,
        own,
        people,
        upload,
    }
}

const CROSS: &str = "keys/device_signing/upload";
const SIGN: &str = "keys/signatures/upload";

#[tokio::test]
async fn the_first_identity_needs_no_password_the_same_again_neither_another_one_does() {
    let house = House::new().await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let first = identity_of(&bob.user());
    let mut half = first.upload.clone();
    half.as_object_mut().unwrap().remove("master_key");
    bob.asks("POST", CROSS, half)
        .await
        .refused(400, "M_MISSING_PARAM");
    let mut unsigned = first.upload.clone();
    let other = identity_of(&bob.user());
    unsigned["self_signing_key"] = other.upload["self_signing_key"].clone();
    bob.asks("POST", CROSS, unsigned)
        .await
        .refused(400, "M_INVALID_SIGNATURE");
    let stolen = alice.asks("POST", CROSS, first.upload.clone()).await;
    stolen.refused(400, "M_INVALID_PARAM");
    for _ in 0..2 {
        bob.asks("POST", CROSS, first.upload.clone()).await.is(200);
    }
    let seen = alice.queries("@bob:example.org").await;
    assert_eq!(
        seen["master_keys"]["@bob:example.org"],
        first.upload["master_key"]
    );
    let own = &seen["self_signing_keys"]["@bob:example.org"];
    assert_eq!(*own, first.upload["self_signing_key"]);
    assert!(seen.get("user_signing_keys").is_none(), "{seen}");
    let seen = bob.queries("@bob:example.org").await;
    let people = &seen["user_signing_keys"]["@bob:example.org"];
    assert_eq!(*people, first.upload["user_signing_key"]);
    // Another one: not without the password.
    let mut upload = other.upload.clone();
    let asked = bob.asks("POST", CROSS, upload.clone()).await.is(401);
    let seen = alice.queries("@bob:example.org").await;
    assert_eq!(
        seen["master_keys"]["@bob:example.org"],
        first.upload["master_key"]
    );
    upload["auth"] = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "bob" },
        "password": crate::house::PASSWORD,
        "session": asked["session"],
    });
    bob.asks("POST", CROSS, upload).await.is(200);
    let seen = alice.queries("@bob:example.org").await;
    assert_eq!(
        seen["master_keys"]["@bob:example.org"],
        other.upload["master_key"]
    );
}

#[tokio::test]
async fn who_vouches_for_whom_is_checked_and_seen_by_those_it_concerns() {
    let house = House::new().await;
    let (alice, bob, carol) = (
        Phone::new(&house, "alice", "APHONE").await,
        Phone::new(&house, "bob", "BPHONE").await,
        Phone::new(&house, "carol", "CPHONE").await,
    );
    let (his, hers) = (identity_of(&bob.user()), identity_of(&alice.user()));
    let device = bob.identity();
    bob.uploads(json!({ "device_keys": device })).await.is(200);
    bob.asks("POST", CROSS, his.upload.clone()).await.is(200);
    alice.asks("POST", CROSS, hers.upload.clone()).await.is(200);
    let master = &his.upload["master_key"];
    let id = public(&his.master);
    // Bob's identity vouches for his device, his device for his identity; a wrong key and a changed device don't.
    let signed = sign(&device, &bob.user(), &his.own);
    let by_device = sign(master, &bob.user(), &bob.key);
    let body = json!({ bob.user(): { "BPHONE": signed, id.clone(): by_device, "GONE": signed } });
    let answer = bob.asks("POST", SIGN, body).await.is(200);
    assert_eq!(
        answer["failures"][bob.user()]["GONE"]["errcode"],
        "M_NOT_FOUND"
    );
    assert_eq!(answer["failures"][bob.user()].as_object().unwrap().len(), 1);
    let wrong = sign(&device, &bob.user(), &his.people);
    let answer = bob.asks("POST", SIGN, json!({ bob.user(): { "BPHONE": wrong } }));
    let answer = answer.await.is(200);
    assert_eq!(
        answer["failures"][bob.user()]["BPHONE"]["errcode"],
        "M_INVALID_SIGNATURE"
    );
    let mut other = device.clone();
    other["algorithms"] = json!([]);
    let other = sign(&other, &bob.user(), &his.own);
    let answer = bob.asks("POST", SIGN, json!({ bob.user(): { "BPHONE": other } }));
    let answer = answer.await.is(200);
    assert_eq!(
        answer["failures"][bob.user()]["BPHONE"]["errcode"],
        "M_INVALID_PARAM"
    );
    let seen = carol.queries("@bob:example.org").await;
    let signatures = &seen["device_keys"][bob.user()]["BPHONE"]["signatures"][bob.user()];
    assert_eq!(signatures.as_object().unwrap().len(), 2, "{signatures}");
    let signatures = &seen["master_keys"][bob.user()]["signatures"][bob.user()];
    assert_eq!(signatures.as_object().unwrap().len(), 1, "{signatures}");
    // A client that uploads its keys again does not lose what vouches for it.
    bob.uploads(json!({ "device_keys": device })).await.is(200);
    let seen = carol.queries("@bob:example.org").await;
    let signatures = &seen["device_keys"][bob.user()]["BPHONE"]["signatures"][bob.user()];
    assert_eq!(signatures.as_object().unwrap().len(), 2);
    // Alice has verified Bob: she sees that, and so do her other devices; nobody else does, and nobody can do it for her.
    let before = house.matrix.node.last_seq();
    let vouched = sign(master, &alice.user(), &hers.people);
    let body = json!({ bob.user(): { id.clone(): vouched } });
    assert_eq!(
        carol.asks("POST", SIGN, body.clone()).await.is(200)["failures"][bob.user()][&id]["errcode"],
        "M_INVALID_SIGNATURE"
    );
    assert_eq!(alice.asks("POST", SIGN, body).await.is(200), json!({}));
    let seen = alice.queries("@bob:example.org").await;
    assert!(seen["master_keys"][bob.user()]["signatures"][alice.user()].is_object());
    for other in [&bob, &carol] {
        let seen = other.queries("@bob:example.org").await;
        let signatures = seen["master_keys"][bob.user()]["signatures"].as_object();
        assert!(signatures.is_some_and(|all| !all.contains_key(&alice.user())));
    }
    let upto = house.matrix.node.last_seq();
    let news = |who| {
        let who = crate::house::address(who);
        sammen_matrix::keys::changed(&house.matrix, &who, before, upto).unwrap()
    };
    assert_eq!(news("alice").changed, [bob.user()]);
    assert!(news("bob").is_empty() && news("carol").is_empty());
}

#[tokio::test]
async fn alices_sessions_on_other_protocols_hear_of_new_keys() {
    use sammen_core::live::{KeyChange, StateChange};
    let house = House::new().await;
    let how = sammen_core::ops::sessions::SignIn {
        account: crate::house::address("alice"),
        protocol: sammen_core::Protocol::Irc,
        device: None,
        device_label: None,
        credential: None,
        stamp: None,
        label: "weechat".into(),
    };
    let weechat = house.matrix.node.sign_in(how).await.unwrap();
    let alice = Phone::new(&house, "alice", "APHONE").await;
    alice
        .uploads(json!({ "device_keys": alice.identity() }))
        .await
        .is(200);
    let upload = identity_of(&alice.user()).upload;
    alice.asks("POST", CROSS, upload).await.is(200);
    let mut heard = Vec::new();
    let mut items = Vec::new();
    weechat.session.mailbox.take(&mut items, 100);
    for item in items {
        if let sammen_core::Delivery::State(change) = item
            && let StateChange::Keys { device, change } = &*change
        {
            assert!(change.words(device).contains("alice's APHONE"));
            heard.push(*change);
        }
    }
    assert_eq!(heard, [KeyChange::DeviceAdded, KeyChange::IdentityAdded]);
}
