//! Plays of talking: sending, editing, reacting, reading, searching, files.

use serde_json::json;

use crate::house::{House, address};

const TO_BOB: &str = "direct:bob@example.org";

#[tokio::test]
async fn what_alice_says_bob_reads_once_however_often_it_was_sent() {
    let house = House::new().await;
    let (alice, bob) = (house.enters("alice").await, house.enters("bob").await);
    let start = json!({ "address": "bob" });
    let begun = house
        .post(&alice, "/conversations/direct", start)
        .await
        .is(200);
    assert_eq!(begun["id"], TO_BOB);
    let send = json!({ "txn": "1", "text": "hello **you**", "markdown": true });
    let path = format!("/conversations/{TO_BOB}/entries");
    let sent = house.post(&alice, &path, send.clone()).await.is(201);
    let again = house.post(&alice, &path, send).await.is(200);
    assert_eq!(sent["id"], again["id"]);
    let list = house.get(&bob, "/conversations").await.is(200);
    let one = &list["conversations"][0];
    assert_eq!((&one["unread"], &one["name"]), (&json!(1), &json!("alice")));
    assert_eq!(one["last"]["body"]["html"], "hello <strong>you</strong>");
    assert_eq!(one["readers"]["mark"], "node");
    let id = one["id"].as_str().unwrap();
    let read = json!({ "event": sent["id"] });
    house
        .send(&bob, "PUT", &format!("/conversations/{id}/read"), read)
        .await
        .is(204);
    let one = house
        .get(&bob, &format!("/conversations/{id}"))
        .await
        .is(200);
    assert_eq!(
        (&one["unread"], &one["read_up_to"]),
        (&json!(0), &sent["id"])
    );
    let page = house
        .get(&bob, &format!("/conversations/{id}/entries"))
        .await
        .is(200);
    assert_eq!(
        page["entries"].as_array().unwrap().len(),
        1,
        "the receipt is no line"
    );
}

#[tokio::test]
async fn edits_reactions_and_retractions_show_in_the_line_they_change() {
    let house = House::new().await;
    let (alice, bob) = (house.enters("alice").await, house.enters("bob").await);
    let sent = house.says(&alice, TO_BOB, "helo").await;
    let conversation = sent["conversation"].as_str().unwrap();
    let line = format!(
        "/conversations/{conversation}/entries/{}",
        sent["id"].as_str().unwrap()
    );
    let edit = json!({ "txn": "e", "text": "hello" });
    house
        .send(&bob, "PUT", &line, edit.clone())
        .await
        .refused(403, "other-author");
    let edited = house.send(&alice, "PUT", &line, edit).await.is(200);
    assert_eq!(edited["body"]["text"], "hello");
    assert!(edited["edited_at"].is_i64());
    let react = json!({ "keys": ["👍", "🎉"] });
    house
        .send(&bob, "PUT", &format!("{line}/reactions"), react)
        .await
        .is(200);
    let react = json!({ "keys": ["👍"] });
    let seen = house
        .send(&alice, "PUT", &format!("{line}/reactions"), react)
        .await
        .is(200);
    assert_eq!(
        (&seen["reactions"][0]["key"], &seen["reactions"][0]["count"]),
        (&json!("👍"), &json!(2))
    );
    let reply =
        json!({ "txn": "r", "text": "to that", "reply_to": sent["id"], "thread": sent["id"] });
    let path = format!("/conversations/{conversation}/entries");
    let reply = house.post(&bob, &path, reply).await.is(201);
    assert_eq!(reply["reply_to"]["author"]["name"], "alice");
    let thread = house.get(&alice, &format!("{line}/thread")).await.is(200);
    assert_eq!(thread["entries"].as_array().unwrap().len(), 2);
    house
        .ask(&bob, "DELETE", &line, None)
        .await
        .refused(403, "other-author");
    let gone = house.ask(&alice, "DELETE", &line, None).await.is(200);
    assert_eq!(gone["body"]["type"], "retracted");
    assert_eq!(gone["reactions"], json!([]));
    let page = house.get(&bob, &path).await.is(200);
    let kinds: Vec<&str> = page["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["body"]["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["retracted", "message"]);
    assert!(!page.to_string().contains("hello"), "{page}");
}

#[tokio::test]
async fn a_long_history_is_read_in_parts_without_gaps_or_repeats() {
    let house = House::new().await;
    let alice = house.enters("alice").await;
    let first = house.says(&alice, TO_BOB, "line 0").await;
    let id = first["conversation"].as_str().unwrap().to_owned();
    for n in 1..60 {
        let said = house.says(&alice, &id, &format!("line {n}")).await;
        let path = format!(
            "/conversations/{id}/entries/{}/reactions",
            said["id"].as_str().unwrap()
        );
        house
            .send(&alice, "PUT", &path, json!({ "keys": ["x"] }))
            .await
            .is(200);
    }
    let base = format!("/conversations/{id}/entries?limit=7");
    let mut page = house.get(&alice, &base).await.is(200);
    let mut back: Vec<String> = Vec::new();
    loop {
        let mut texts: Vec<String> = page["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["body"]["text"].as_str().unwrap().to_owned())
            .collect();
        texts.reverse();
        back.extend(texts);
        let Some(older) = page["older"].as_str() else {
            break;
        };
        page = house
            .get(&alice, &format!("{base}&before={older}"))
            .await
            .is(200);
    }
    let expected: Vec<String> = (0..60).rev().map(|n| format!("line {n}")).collect();
    assert_eq!(back, expected);
    let around = house
        .get(
            &alice,
            &format!("{base}&around={}", first["id"].as_str().unwrap()),
        )
        .await
        .is(200);
    assert_eq!(around["entries"][0]["id"], first["id"]);
    assert!(around["older"].is_null() && around["newer"].is_string());
    let dated = house
        .get(&alice, &format!("{base}&date={}", first["at"]))
        .await
        .is(200);
    assert_eq!(dated["entries"][0]["id"], first["id"]);
    let both = format!("{base}&date=1&before={}", first["id"].as_str().unwrap());
    house.get(&alice, &both).await.refused(422, "invalid");
}

#[tokio::test]
async fn nobody_reads_what_is_not_theirs() {
    let house = House::new().await;
    let (alice, carol) = (house.enters("alice").await, house.enters("carol").await);
    let secret = house.says(&alice, TO_BOB, "between us").await;
    let id = secret["conversation"].as_str().unwrap();
    let event = secret["id"].as_str().unwrap();
    for path in [
        format!("/conversations/{id}"),
        format!("/conversations/{id}/entries"),
        format!("/conversations/{id}/entries/{event}"),
        format!("/conversations/{id}/entries/{event}/thread"),
        format!("/conversations/{id}/files"),
        format!("/conversations/{id}/readers"),
        format!("/conversations/{id}/settings"),
        format!("/conversations/{id}/members"),
        format!("/search?q=between&conversation={id}"),
    ] {
        house.get(&carol, &path).await.refused(404, "not-found");
    }
    let send = json!({ "txn": "x", "text": "me too" });
    house
        .post(&carol, &format!("/conversations/{id}/entries"), send)
        .await
        .refused(404, "not-found");
    let reply = json!({ "txn": "x", "text": "me too", "reply_to": event });
    house
        .post(&carol, &format!("/conversations/{TO_BOB}/entries"), reply)
        .await
        .refused(422, "invalid");
    let found = house.get(&carol, "/search?q=between").await.is(200);
    assert_eq!(found["entries"], json!([]));
    let report = json!({ "address": "alice@example.org", "event": event, "reason": "spam" });
    house
        .post(&carol, "/reports", report)
        .await
        .refused(404, "not-found");
    assert_eq!(
        house.get(&alice, "/search?q=between").await.is(200)["entries"][0]["id"],
        event
    );
}

#[tokio::test]
async fn files_are_sent_inside_the_quota_and_never_run() {
    let house = House::new().await;
    let (alice, bob) = (house.enters("alice").await, house.enters("bob").await);
    let page = b"<script>alert(1)</script>".to_vec();
    let up = house
        .ask(
            &alice,
            "PUT",
            "/files?name=../../x.html",
            Some(("text/html", page)),
        )
        .await
        .is(201);
    assert_eq!(up["file"]["name"], "x.html");
    let url = up["file"]["url"].as_str().unwrap();
    assert!(url.starts_with("/upload/"), "{url}");
    let id = up["id"].as_str().unwrap();
    let send = json!({ "txn": "f", "files": [id] });
    let path = format!("/conversations/{TO_BOB}/entries");
    house
        .post(
            &bob,
            "/conversations/direct:alice@example.org/entries",
            send.clone(),
        )
        .await
        .refused(422, "invalid");
    let sent = house.post(&alice, &path, send).await.is(201);
    assert_eq!(sent["body"]["files"][0]["url"], url);
    let files = format!(
        "/conversations/{}/files",
        sent["conversation"].as_str().unwrap()
    );
    assert_eq!(
        house.get(&bob, &files).await.is(200)["entries"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    house
        .ask(&bob, "DELETE", &format!("/files/{id}"), None)
        .await
        .refused(404, "not-found");
    house
        .ask(&alice, "DELETE", &format!("/files/{id}"), None)
        .await
        .is(204);
    house
        .ask(
            &alice,
            "PUT",
            "/files?name=x",
            Some(("text/plain", Vec::new())),
        )
        .await
        .refused(422, "invalid");
}

#[tokio::test]
async fn who_can_read_is_told_before_the_first_word() {
    let house = House::new().await;
    let alice = house.enters("alice").await;
    let readers = house
        .get(&alice, &format!("/conversations/{TO_BOB}/readers"))
        .await
        .is(200);
    assert_eq!(
        (&readers["mark"], &readers["node"]),
        (&json!("node"), &json!(true))
    );
    assert_eq!(readers["participants"].as_array().unwrap().len(), 2);
    assert_eq!(readers["participants"][0]["structure"], "this-node");
    house
        .post(
            &alice,
            "/conversations/direct",
            json!({ "address": "xmpp:x@other.net" }),
        )
        .await
        .refused(404, "not-found");
    house
        .post(
            &alice,
            "/conversations/direct",
            json!({ "address": "nobody-here" }),
        )
        .await
        .refused(404, "not-found");
    let found = house.get(&alice, "/reach?address=bob").await.is(200);
    assert_eq!(found["found"][0]["network"], "sammen");
}

#[tokio::test]
async fn flags_and_blocking_are_the_accounts_own() {
    let house = House::new().await;
    let (alice, bob) = (house.enters("alice").await, house.enters("bob").await);
    let sent = house.says(&alice, TO_BOB, "hi").await;
    let id = sent["conversation"].as_str().unwrap();
    let path = format!("/conversations/{id}/flags");
    let flags = json!({ "pinned": true, "muted_until": 0 });
    house.send(&bob, "PATCH", &path, flags).await.is(200);
    let one = house
        .get(&bob, &format!("/conversations/{id}"))
        .await
        .is(200);
    assert_eq!(
        one["flags"],
        json!({ "pinned": true, "archived": false, "muted_until": 0 })
    );
    let other = house
        .get(&alice, &format!("/conversations/{id}"))
        .await
        .is(200);
    assert_eq!(other["flags"]["pinned"], false);
    house
        .send(&bob, "PATCH", &path, json!({ "archived": true }))
        .await
        .is(200);
    let list = house
        .get(&bob, "/conversations?archived=false")
        .await
        .is(200);
    assert_eq!(list["conversations"], json!([]));
    house
        .ask(&bob, "PUT", "/blocked/alice@example.org", None)
        .await
        .is(204);
    let send = json!({ "txn": "b", "text": "still?" });
    house
        .post(&alice, &format!("/conversations/{id}/entries"), send)
        .await
        .refused(403, "blocked");
    assert_eq!(
        house.get(&bob, "/blocked").await.is(200)["blocked"][0]["address"],
        address("alice").as_str()
    );
    house
        .ask(&bob, "DELETE", "/blocked/alice@example.org", None)
        .await
        .is(204);
    house.says(&alice, id, "again").await;
}

#[tokio::test]
async fn own_data_comes_out_whole() {
    let house = House::new().await;
    let alice = house.enters("alice").await;
    for n in 0..5 {
        house.says(&alice, TO_BOB, &format!("word {n}")).await;
    }
    let data = house.get(&alice, "/me/export").await.is(200);
    assert_eq!(data["account"]["account"]["address"], "alice@example.org");
    let entries = data["conversations"][0]["entries"].as_array().unwrap();
    assert_eq!(
        (entries.len(), &entries[4]["body"]["text"]),
        (5, &json!("word 4"))
    );
}
