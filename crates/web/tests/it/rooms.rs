//! Plays of rooms: making, inviting, ranks, webhooks.

use serde_json::json;

use crate::house::{Browser, House};

#[tokio::test]
async fn a_room_asks_the_one_question_and_its_owner_keeps_it() {
    let house = House::new().await;
    let (alice, bob) = (house.enters("alice").await, house.enters("bob").await);
    house
        .post(&alice, "/rooms", json!({ "name": "town" }))
        .await
        .refused(422, "invalid");
    house
        .post(
            &alice,
            "/rooms",
            json!({ "name": "town", "binding": "ROT13" }),
        )
        .await
        .refused(422, "invalid");
    let made =
        json!({ "name": "town", "title": "The Town", "binding": "every-app", "listed": true });
    let room = house.post(&alice, "/rooms", made.clone()).await.is(201);
    assert_eq!(
        (&room["name"], &room["standing"]),
        (&json!("The Town"), &json!("owner"))
    );
    house.post(&bob, "/rooms", made).await.refused(409, "taken");
    let id = room["id"].as_str().unwrap();
    house
        .get(&bob, &format!("/conversations/{id}/members"))
        .await
        .refused(404, "not-found");
    let listed = house.get(&bob, "/rooms?q=tow").await.is(200);
    assert_eq!(listed["rooms"][0]["address"], "#town@example.org");
    let joined = house
        .post(&bob, "/rooms/join", json!({ "address": "#town" }))
        .await
        .is(200);
    assert_eq!(joined["membership"], "joined");
    let settings = format!("/conversations/{id}/settings");
    house
        .send(&bob, "PATCH", &settings, json!({ "moderated": true }))
        .await
        .refused(403, "forbidden");
    house
        .send(&bob, "PATCH", &settings, json!({ "topic": "Bob's" }))
        .await
        .refused(403, "forbidden");
    let set = house
        .send(
            &alice,
            "PATCH",
            &settings,
            json!({ "topic": "hats", "moderated": true }),
        )
        .await
        .is(200);
    assert_eq!(
        (&set["topic"], &set["moderated"]),
        (&json!("hats"), &json!(true))
    );
    let send = json!({ "txn": "v", "text": "may I?" });
    house
        .post(&bob, &format!("/conversations/{id}/entries"), send)
        .await
        .refused(403, "no-voice");
    let members = house
        .get(&bob, &format!("/conversations/{id}/members"))
        .await
        .is(200);
    let people: Vec<&str> = members["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["person"]["address"].as_str().unwrap())
        .collect();
    // The room hides addresses: Bob is told nicks, the owner is told who they are.
    assert_eq!(people, ["#town@example.org/alice", "bob@example.org"]);
    let role = format!("/conversations/{id}/members/%23town%40example.org%2Fbob/role");
    house
        .send(
            &alice,
            "PUT",
            &role,
            json!({ "role": "none", "reason": "shh" }),
        )
        .await
        .is(204);
    let list = house.get(&bob, "/conversations").await.is(200);
    assert_eq!(list["conversations"], json!([]));
    let ban = format!("/conversations/{id}/members/bob%40example.org/standing");
    house
        .send(&alice, "PUT", &ban, json!({ "standing": "outcast" }))
        .await
        .is(204);
    house
        .post(&bob, "/rooms/join", json!({ "address": "town" }))
        .await
        .refused(403, "banned");
    house
        .ask(&bob, "DELETE", &format!("/conversations/{id}"), None)
        .await
        .refused(404, "not-found");
    house
        .ask(&alice, "DELETE", &format!("/conversations/{id}"), None)
        .await
        .is(204);
}

#[tokio::test]
async fn an_encrypted_room_is_for_its_members_and_takes_no_plain_text() {
    let house = House::new().await;
    let (alice, bob) = (house.enters("alice").await, house.enters("bob").await);
    let made = json!({ "name": "quiet", "binding": "OMEMO", "join_rule": "open" });
    let room = house.post(&alice, "/rooms", made).await.is(201);
    assert_eq!(room["readers"]["mark"], "members");
    assert_eq!(room["can"]["send"], false);
    let id = room["id"].as_str().unwrap();
    house
        .post(&bob, "/rooms/join", json!({ "address": "quiet" }))
        .await
        .refused(403, "members-only");
    let settings = format!("/conversations/{id}/settings");
    house
        .send(&alice, "PATCH", &settings, json!({ "join_rule": "open" }))
        .await
        .refused(409, "not-acceptable");
    house
        .post(
            &alice,
            &format!("/conversations/{id}/invite"),
            json!({ "address": "bob" }),
        )
        .await
        .is(204);
    let list = house.get(&bob, "/conversations").await.is(200);
    assert_eq!(list["conversations"][0]["membership"], "invited");
    house
        .post(&bob, "/rooms/join", json!({ "address": "quiet" }))
        .await
        .is(200);
}

#[tokio::test]
async fn a_tool_posts_into_a_room_and_into_no_other() {
    let house = House::new().await;
    let (alice, bob) = (house.enters("alice").await, house.enters("bob").await);
    let room = house
        .post(
            &alice,
            "/rooms",
            json!({ "name": "ci", "binding": "every-app" }),
        )
        .await
        .is(201);
    let id = room["id"].as_str().unwrap();
    house
        .post(&bob, "/rooms/join", json!({ "address": "ci" }))
        .await
        .is(200);
    let hooks = format!("/conversations/{id}/hooks");
    house
        .post(&bob, &hooks, json!({ "name": "mine" }))
        .await
        .refused(403, "forbidden");
    let made = house
        .post(&alice, &hooks, json!({ "name": "builds" }))
        .await
        .is(201);
    let url = made["url"].as_str().unwrap();
    let path = url.strip_prefix("https://example.org/api/v1").unwrap();
    let tool = Browser {
        careless: true,
        ..Browser::default()
    };
    let posted = house
        .post(
            &tool,
            path,
            json!({ "text": "build <https://ci.example/7|7> *failed*" }),
        )
        .await;
    assert_eq!((posted.status.as_u16(), posted.text()), (200, "ok".into()));
    let page = house
        .get(&bob, &format!("/conversations/{id}/entries"))
        .await
        .is(200);
    let last = page["entries"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        last["body"]["text"],
        "builds: build 7 (https://ci.example/7) *failed*"
    );
    assert_eq!(last["body"]["kind"], "notice");
    let wrong = house
        .post(&tool, "/hooks/guessed", json!({ "text": "x" }))
        .await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.text()),
        (404, "no_service".into())
    );
    let hook = made["hook"]["id"].as_str().unwrap();
    house
        .ask(&alice, "DELETE", &format!("{hooks}/{hook}"), None)
        .await
        .is(204);
    assert_eq!(
        house.post(&tool, path, json!({ "text": "x" })).await.status,
        404
    );
}
