//! Messages for devices: durable, in order, each once.

use std::sync::Arc;

use sammen_core::Seq;
use sammen_core::memory::MemoryStore;
use sammen_core::ops::contacts;
use sammen_matrix::to_device as queue;
use serde_json::json;

use super::Phone;
use crate::house::{House, address};

#[tokio::test]
async fn a_message_reaches_the_devices_it_names_and_no_others() {
    let house = House::new().await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let (phone, laptop) = (
        Phone::new(&house, "bob", "BPHONE").await,
        Phone::new(&house, "bob", "BLAPTOP").await,
    );
    let sent = alice.sends(
        "1",
        "@bob:example.org",
        &["BPHONE", "GONE"],
        json!({ "n": 1 }),
    );
    assert_eq!(sent.await.is(200), json!({}));
    let sent = alice.sends("2", "@bob:example.org", &["*"], json!({ "n": 2 }));
    sent.await.is(200);
    let upto = house.matrix.node.last_seq();
    let (events, reached) = phone.waiting(Seq(0), upto, 10);
    assert_eq!(reached, upto);
    let first = json!({ "type": "m.test", "sender": "@alice:example.org", "content": { "n": 1 } });
    assert_eq!(events[0], first);
    assert_eq!(phone.numbers(), [1, 2]);
    assert_eq!(laptop.numbers(), [2]);
    assert_eq!(alice.numbers(), [0; 0]);
    // Nobody there, somebody of another network: nothing to do. Another server: that is said, and nothing is sent.
    for nobody in ["@nobody:example.org", "@xmpp/bob=40other.net:example.org"] {
        alice.sends("3", nobody, &["*"], json!({})).await.is(200);
    }
    let body = json!({ "messages": {
        "@bob:example.org": { "*": { "n": 4 } },
        "@carol:elsewhere.org": { "*": { "n": 4 } },
    } });
    let elsewhere = alice.asks("PUT", "sendToDevice/m.test/4", body).await;
    elsewhere.refused(404, "M_NOT_FOUND");
    assert_eq!(phone.numbers(), [1, 2]);
}

#[tokio::test]
async fn a_transaction_is_done_once_also_when_tried_at_once_and_after_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let house = House::on(store.clone(), |_| {}).await;
    let (alice, other, bob) = (
        Phone::new(&house, "alice", "APHONE").await,
        Phone::new(&house, "alice", "ALAPTOP").await,
        Phone::new(&house, "bob", "BPHONE").await,
    );
    let same = || alice.sends("t1", "@bob:example.org", &["BPHONE"], json!({ "n": 1 }));
    let tries = tokio::join!(same(), same(), same(), same());
    for answer in [tries.0, tries.1, tries.2, tries.3] {
        answer.is(200);
    }
    // A transaction's id is a device's own.
    let sent = other.sends("t1", "@bob:example.org", &["BPHONE"], json!({ "n": 2 }));
    sent.await.is(200);
    assert_eq!(bob.numbers(), [1, 2]);
    let (token, house) = (alice.token.clone(), {
        drop(house.router.clone());
        House::on(store, |_| {}).await
    });
    let again = json!({ "messages": { "@bob:example.org": { "BPHONE": { "n": 1 } } } });
    let path = "/_matrix/client/v3/sendToDevice/m.test/t1";
    house.ask(&token, "PUT", path, again).await.is(200);
    let bob = Phone {
        house: &house,
        ..bob
    };
    assert_eq!(bob.numbers(), [1, 2]);
}

#[tokio::test]
async fn every_message_is_in_one_answer_of_a_chain_of_tokens_whatever_happens_meanwhile() {
    let house = House::new().await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let device = bob.device();
    let matrix = &house.matrix;
    let send = async {
        for n in 0..300_u32 {
            let txn = n.to_string();
            let sent = alice.sends(&txn, "@bob:example.org", &["*"], json!({ "n": n }));
            sent.await.is(200);
        }
    };
    // A client that syncs, and now and then does so twice with the same token, as after a broken connection.
    let receive = async {
        let (mut token, mut got, mut round) = (Seq(0), Vec::new(), 0);
        while got.len() < 300 {
            round += 1;
            queue::received(matrix, &device, token).await.unwrap();
            let upto = matrix.node.last_seq();
            let limit = 1 + round % 7;
            let lost = bob.waiting(token, upto, limit);
            let again = bob.waiting(token, upto, limit);
            assert_eq!(lost, again);
            got.extend(again.0);
            token = again.1;
            tokio::task::yield_now().await;
        }
        queue::received(matrix, &device, token).await.unwrap();
        got
    };
    let ((), got) = tokio::join!(send, receive);
    let got: Vec<_> = got.iter().map(|e| e["content"]["n"].as_u64()).collect();
    assert_eq!(got, (0..300).map(Some).collect::<Vec<_>>());
    assert_eq!(bob.numbers(), [0; 0], "what was received is deleted");
    let owner = sammen_core::document::Owner::from(&address("bob"));
    let left = matrix.node.store();
    let left = left.documents(&owner, "matrix.to_device", "", None, 10);
    assert_eq!(left.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_senders_and_syncs_at_once_lose_and_double_nothing() {
    let house = House::new().await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let mut senders = Vec::new();
    for s in 0..8_u32 {
        let name = ["alice", "carol"][(s % 2) as usize];
        let phone = Phone::new(&house, name, &format!("D{s}")).await;
        let (router, token) = (house.router.clone(), phone.token);
        senders.push(tokio::spawn(async move {
            for n in 0..25 {
                let body = json!({ "messages": { "@bob:example.org": { "BPHONE": { "n": s * 25 + n } } } });
                let path = format!("/_matrix/client/v3/sendToDevice/m.test/{n}");
                House::ask_of(&router, &token, "PUT", &path, body).await.is(200);
            }
        }));
    }
    let (matrix, device) = (house.matrix.clone(), bob.device());
    let receiver = tokio::spawn(async move {
        let (mut token, mut got) = (Seq(0), Vec::new());
        while got.len() < 200 {
            let upto = matrix.node.last_seq();
            let found = queue::since(&matrix, &device, token, upto, 10).unwrap();
            // The same window at once, by two connections.
            let twin = queue::since(&matrix, &device, token, upto, 10).unwrap();
            assert_eq!(found.events.len(), twin.events.len());
            for event in &found.events {
                let event: serde_json::Value = serde_json::from_str(event.json().get()).unwrap();
                got.push(event["content"]["n"].as_u64().unwrap());
            }
            token = found.upto;
            queue::received(&matrix, &device, token).await.unwrap();
            tokio::task::yield_now().await;
        }
        got
    });
    for sender in senders {
        sender.await.unwrap();
    }
    let mut got = receiver.await.unwrap();
    for s in 0..8 {
        let theirs: Vec<_> = got.iter().filter(|n| **n / 25 == s).collect();
        assert!(theirs.is_sorted(), "each sender's order holds: {theirs:?}");
    }
    got.sort_unstable();
    assert_eq!(got, (0..200).collect::<Vec<_>>());
    assert_eq!(bob.numbers(), [0; 0]);
}

#[tokio::test]
async fn whom_bob_blocks_reaches_none_of_his_devices() {
    let house = House::new().await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let (who, whom) = (address("bob"), address("alice"));
    let blocked = house
        .matrix
        .node
        .write(move |tx| contacts::block(tx, &who, &whom, true));
    blocked.await.unwrap();
    alice
        .sends("1", "@bob:example.org", &["*"], json!({ "n": 1 }))
        .await
        .is(200);
    assert_eq!(bob.numbers(), [0; 0]);
}

#[tokio::test]
async fn what_waited_for_a_device_goes_with_it_and_too_much_is_dropped_from_the_front() {
    let house = House::new().await;
    let alice = Phone::new(&house, "alice", "APHONE").await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    // Messages of 60 KiB: the queue's bytes are what is bounded.
    let long = "x".repeat(60 * 1024);
    let mut sent = 0;
    for txn in 0..9 {
        for n in 0..70 {
            let content = json!({ "n": sent, "long": long });
            let txn = format!("{txn}-{n}");
            let to = alice.sends(&txn, "@bob:example.org", &["BPHONE"], content);
            to.await.is(200);
            sent += 1;
        }
    }
    let kept = bob.numbers();
    let bytes = kept.len() * long.len();
    assert!(bytes < 40 << 20, "{bytes}");
    assert!(bytes > 25 << 20, "{bytes}");
    assert_eq!(kept.last(), Some(&(sent - 1)), "the newest are kept");
    let old = bob.device();
    bob.asks("POST", "logout", json!({})).await.is(200);
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    assert_ne!(bob.device().id, old.id);
    assert_eq!(bob.numbers(), [0; 0]);
    let owner = sammen_core::document::Owner::from(&address("bob"));
    let store = house.matrix.node.store();
    let left = store.documents(&owner, "matrix.to_device", "", None, 10);
    assert_eq!(left.unwrap(), []);
}
