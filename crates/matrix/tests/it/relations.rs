//! What is related to what: threads, edits and references, in clear beside ciphertext, too.

use serde_json::{Value, json};

use crate::house::House;
use crate::rooms::{V3, says};

#[tokio::test]
async fn relations_of_encrypted_events_are_known() {
    let house = House::new().await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    let made = json!({
        "preset": "private_chat", "invite": ["@bob:example.org"],
        "initial_state": [{ "type": "m.room.encryption", "state_key": "",
                            "content": { "algorithm": "m.megolm.v1.aes-sha2" } }],
    });
    let id = house.make(&alice, made).await;
    house
        .post(&bob, &format!("rooms/{id}/join"), json!({}))
        .await;
    let send = |who: &str, txn: &str, relates: Value| {
        let path = format!("rooms/{id}/send/m.room.encrypted/{txn}");
        let mut content = json!({
            "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": txn, "session_id": "s",
        });
        if !relates.is_null() {
            content["m.relates_to"] = relates;
        }
        let (house, who) = (&house, who.to_owned());
        async move {
            let sent = house.put(&who, &path, content).await;
            sent["event_id"].as_str().unwrap().to_owned()
        }
    };
    let to = |how: &str, id: &str| json!({ "rel_type": how, "event_id": id });
    let root = send(&alice, "root", Value::Null).await;
    let answer = send(&bob, "answer", to("m.thread", &root)).await;
    let edit = send(&alice, "edit", to("m.replace", &root)).await;
    let vote = send(&bob, "vote", to("m.reference", &root)).await;
    let own = send(&bob, "own", to("org.example.own", &root)).await;
    // What looks like the chain's own word for taking back is none.
    send(&bob, "spoof", to("redaction", &root)).await;
    let ids = |page: &Value| {
        let chunk = page["chunk"].as_array().unwrap().iter();
        let ids: Vec<_> = chunk
            .map(|e| e["event_id"].as_str().unwrap().to_owned())
            .collect();
        ids
    };
    for (how, wanted) in [
        ("", vec![&own, &vote, &edit, &answer]),
        ("/m.thread", vec![&answer]),
        ("/m.replace", vec![&edit]),
        ("/m.reference", vec![&vote]),
        ("/m.reference/m.room.encrypted", vec![&vote]),
        ("/m.reference/m.room.message", vec![]),
        ("/org.example.own", vec![&own]),
    ] {
        let path = format!("/_matrix/client/v1/rooms/{id}/relations/{root}{how}");
        let page = house.ask(&alice, "GET", &path, Value::Null).await.is(200);
        assert_eq!(ids(&page).iter().collect::<Vec<_>>(), wanted, "{how}");
    }
    let path = format!("/_matrix/client/v1/rooms/{id}/threads");
    let threads = house.ask(&alice, "GET", &path, Value::Null).await.is(200);
    assert_eq!(ids(&threads), std::slice::from_ref(&root));
    let shown = house.get(&alice, &format!("rooms/{id}/event/{root}")).await;
    assert_eq!(shown["content"]["ciphertext"], "root");
    let relations = &shown["unsigned"]["m.relations"];
    assert_eq!(relations["m.thread"]["latest_event"]["event_id"], answer);
    assert_eq!(relations["m.replace"]["event_id"], edit);
    assert_eq!(
        relations["m.reference"]["chunk"],
        json!([{ "event_id": vote }])
    );
    // A thread does not begin in a thread.
    let path = format!("{V3}/rooms/{id}/send/m.room.message/deep");
    let mut content = says("deep");
    content["m.relates_to"] = to("m.thread", &answer);
    let deep = house.ask(&alice, "PUT", &path, content).await;
    assert!(deep.status.is_client_error(), "{}", deep.text());
    // An edit that is taken back leaves the first.
    house
        .put(&alice, &format!("rooms/{id}/redact/{edit}/r1"), json!({}))
        .await;
    let shown = house.get(&alice, &format!("rooms/{id}/event/{root}")).await;
    assert_eq!(shown["unsigned"]["m.relations"]["m.replace"], Value::Null);
}
