//! Rooms by the API: made, entered, spoken in, read, left.

use std::sync::Arc;

use sammen_core::conversation::Settings;
use sammen_core::ops::send::Target;
use sammen_core::{Address, Content};
use sammen_matrix::chain::Room;
use serde_json::{Value, json};

use crate::chain::text;
use crate::house::{House, address};
use crate::verify;

pub const V3: &str = "/_matrix/client/v3";

impl House {
    pub async fn post(&self, token: &str, path: &str, body: Value) -> Value {
        let path = format!("{V3}/{path}");
        self.ask(token, "POST", &path, body).await.is(200)
    }

    pub async fn put(&self, token: &str, path: &str, body: Value) -> Value {
        let path = format!("{V3}/{path}");
        self.ask(token, "PUT", &path, body).await.is(200)
    }

    pub async fn get(&self, token: &str, path: &str) -> Value {
        let path = format!("{V3}/{path}");
        self.ask(token, "GET", &path, Value::Null).await.is(200)
    }

    pub async fn make(&self, token: &str, body: Value) -> String {
        let made = self.post(token, "createRoom", body).await;
        made["room_id"].as_str().unwrap().to_owned()
    }

    /// Sends a message; the event's id.
    pub async fn send_text(&self, token: &str, room: &str, txn: &str, body: Value) -> String {
        let path = format!("rooms/{room}/send/m.room.message/{txn}");
        let sent = self.put(token, &path, body).await;
        sent["event_id"].as_str().unwrap().to_owned()
    }

    pub async fn by_id(&self, id: &str) -> Arc<Room> {
        let rooms = self.matrix.rooms.clone();
        let id = ruma::RoomId::parse(id).unwrap();
        rooms.by_id(&id).unwrap().unwrap()
    }
}

pub fn says(body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body })
}

#[tokio::test]
async fn a_room_made_in_matrix_is_a_room_of_everybody() {
    let house = House::new().await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    for version in ["11", "12"] {
        let made = json!({
            "name": "Garden", "topic": "Beans", "preset": "private_chat", "room_version": version,
            "room_alias_name": format!("garden{version}"), "invite": ["@bob:example.org"],
            "initial_state": [{ "type": "m.room.guest_access", "state_key": "",
                                "content": { "guest_access": "forbidden" } }],
        });
        let id = house.make(&alice, made).await;
        assert_eq!(id.contains(':'), version == "11", "{id}");
        let room = house.by_id(&id).await;
        // Core has it.
        let place = Address::new(&format!("#garden{version}@example.org")).unwrap();
        let convo = house.matrix.node.room(&place).unwrap().unwrap();
        assert_eq!(convo.id(), room.conversation);
        assert_eq!(convo.conversation.settings.name.as_deref(), Some("Garden"));
        // Bob is invited, sees nothing yet, comes in.
        let path = format!("{V3}/rooms/{id}/messages?dir=b");
        house
            .ask(&bob, "GET", &path, Value::Null)
            .await
            .refused(403, "M_FORBIDDEN");
        house
            .post(&bob, &format!("rooms/{id}/join"), json!({}))
            .await;
        let convo = house.matrix.node.room(&place).unwrap().unwrap();
        assert!(convo.has(&address("bob")));
        // What is sent twice is there once.
        let first = house.send_text(&bob, &id, "t1", says("hi")).await;
        assert_eq!(house.send_text(&bob, &id, "t1", says("hi")).await, first);
        let second = house.send_text(
            &alice,
            &id,
            "t1",
            json!({
                "msgtype": "m.text", "body": "> <@bob:example.org> hi\n\nhello *you*",
                "format": "org.matrix.custom.html",
                "formatted_body": "<mx-reply>x</mx-reply>hello <b>you</b><script>x</script>",
                "m.relates_to": { "m.in_reply_to": { "event_id": first } },
            }),
        );
        let second = second.await;
        // As core's other protocols get it.
        let link = room
            .event(&ruma::EventId::parse(&second).unwrap())
            .unwrap()
            .unwrap();
        let event = house
            .matrix
            .node
            .store()
            .event(link.core.unwrap().seq)
            .unwrap()
            .unwrap();
        let Content::Message(message) = &event.content else {
            panic!("{event:?}")
        };
        assert_eq!(message.text, "hello *you*");
        assert_eq!(message.html.as_deref(), Some("hello <b>you</b>"));
        assert!(event.target().is_some());
        // Edit, reaction, redaction.
        let edit = json!({
            "msgtype": "m.text", "body": "* ho", "m.new_content": says("ho"),
            "m.relates_to": { "rel_type": "m.replace", "event_id": first },
        });
        house.send_text(&bob, &id, "t2", edit).await;
        let react = |key: &str| {
            json!({
                "m.relates_to": { "rel_type": "m.annotation", "event_id": first, "key": key }
            })
        };
        let path = format!("rooms/{id}/send/m.reaction/r1");
        let yes = house.put(&alice, &path, react("👍")).await;
        assert_eq!(house.put(&alice, &path, react("👍")).await, yes);
        let again = format!("{V3}/rooms/{id}/send/m.reaction/r2");
        let again = house.ask(&alice, "PUT", &again, react("👍")).await;
        again.refused(400, "M_DUPLICATE_ANNOTATION");
        house
            .put(
                &alice,
                &format!("rooms/{id}/send/m.reaction/r3"),
                react("🎉"),
            )
            .await;
        let yes = yes["event_id"].as_str().unwrap();
        let gone = house
            .put(&alice, &format!("rooms/{id}/redact/{yes}/d1"), json!({}))
            .await;
        assert_eq!(
            house
                .put(&alice, &format!("rooms/{id}/redact/{yes}/d1"), json!({}))
                .await,
            gone
        );
        let other = format!("{V3}/rooms/{id}/redact/{second}/d2");
        house
            .ask(&bob, "PUT", &other, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        let shown = house
            .get(&alice, &format!("rooms/{id}/event/{first}"))
            .await;
        assert_eq!(
            shown["unsigned"]["m.relations"]["m.replace"]["content"]["m.new_content"]["body"],
            "ho"
        );
        let path = format!("/_matrix/client/v1/rooms/{id}/relations/{first}/m.annotation");
        let related = house.ask(&alice, "GET", &path, Value::Null);
        let related = related.await.is(200);
        assert_eq!(related["chunk"].as_array().unwrap().len(), 1, "{related}");
        house
            .put(
                &bob,
                &format!("rooms/{id}/redact/{first}/d3"),
                json!({ "reason": "oops" }),
            )
            .await;
        let shown = house
            .get(&alice, &format!("rooms/{id}/event/{first}"))
            .await;
        assert_eq!(shown["content"], json!({}));
        assert_eq!(
            shown["unsigned"]["redacted_because"]["content"]["reason"],
            "oops"
        );
        // State: core's and others'.
        house
            .put(
                &alice,
                &format!("rooms/{id}/state/m.room.topic"),
                json!({ "topic": "Peas" }),
            )
            .await;
        house
            .put(
                &alice,
                &format!("rooms/{id}/state/m.room.name/"),
                json!({ "name": "Field" }),
            )
            .await;
        house
            .put(
                &alice,
                &format!("rooms/{id}/state/org.example.thing/x"),
                json!({ "n": 1 }),
            )
            .await;
        let forbidden = format!("{V3}/rooms/{id}/state/m.room.name/");
        let no = house
            .ask(&bob, "PUT", &forbidden, json!({ "name": "Mine" }))
            .await;
        no.refused(403, "M_FORBIDDEN");
        let convo = house.matrix.node.room(&place).unwrap().unwrap();
        assert_eq!(convo.conversation.settings.topic.as_deref(), Some("Peas"));
        assert_eq!(convo.conversation.settings.name.as_deref(), Some("Field"));
        let thing = house
            .get(&bob, &format!("rooms/{id}/state/org.example.thing/x"))
            .await;
        assert_eq!(thing, json!({ "n": 1 }));
        let mut levels = house
            .get(&alice, &format!("rooms/{id}/state/m.room.power_levels"))
            .await;
        levels["users"]["@bob:example.org"] = 75.into();
        house
            .put(
                &alice,
                &format!("rooms/{id}/state/m.room.power_levels"),
                levels,
            )
            .await;
        let convo = house.matrix.node.room(&place).unwrap().unwrap();
        assert_eq!(
            convo.standing(&address("bob")),
            sammen_core::Standing::Admin
        );
        // What an IRC client says is there.
        house
            .says(
                "bob",
                Target::Conversation(room.conversation),
                text("from IRC"),
            )
            .await;
        house.matrix.rooms.open(room.conversation).await.unwrap();
        let page = house
            .get(&alice, &format!("rooms/{id}/messages?dir=b&limit=2"))
            .await;
        assert_eq!(page["chunk"][0]["content"]["body"], "from IRC");
        // Quaternion asks so before its first sync is through.
        let same = house
            .get(
                &alice,
                &format!("rooms/{id}/messages?from=&dir=b&limit=2&to="),
            )
            .await;
        for at in ["/chunk/0/event_id", "/chunk/1/event_id", "/start", "/end"] {
            assert!(same.pointer(at).is_some());
            assert_eq!(same.pointer(at), page.pointer(at), "{at}");
        }
        let from = page["end"].as_str().unwrap();
        let older = house
            .get(
                &alice,
                &format!("rooms/{id}/messages?dir=b&limit=200&from={from}"),
            )
            .await;
        let older = older["chunk"].as_array().unwrap();
        assert_eq!(older.last().unwrap()["type"], "m.room.create");
        assert_eq!(older.len() as u64 + 2, room.head().ordinal);
        let around = house
            .get(&alice, &format!("rooms/{id}/context/{second}?limit=4"))
            .await;
        assert_eq!(around["event"]["event_id"], second.as_str());
        // Bob goes; Carol never was there.
        house
            .post(&bob, &format!("rooms/{id}/leave"), json!({}))
            .await;
        let path = format!("{V3}/rooms/{id}/send/m.room.message/t9");
        house
            .ask(&bob, "PUT", &path, says("still here"))
            .await
            .refused(403, "M_FORBIDDEN");
        house.get(&bob, &format!("rooms/{id}/messages?dir=b")).await;
        let carol = house.sign_in("carol").await;
        for path in [
            "messages?dir=b",
            "state",
            "members",
            "joined_members",
            "context/$x",
            "event/$x",
        ] {
            let path = format!("{V3}/rooms/{id}/{path}");
            house
                .ask(&carol, "GET", &path, Value::Null)
                .await
                .refused(403, "M_FORBIDDEN");
        }
        verify::whole(&house, &room, 4).await;
    }
}

#[tokio::test]
async fn who_left_reads_no_thread_on() {
    let house = House::new().await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    let id = house.make(&alice, json!({ "preset": "public_chat" })).await;
    let act = |who: &str, what: &str| {
        let path = format!("{V3}/rooms/{id}/{what}");
        let who = who.to_owned();
        let house = &house;
        async move { house.ask(&who, "POST", &path, json!({})).await.is(200) }
    };
    act(&bob, "join").await;
    let say = |txn: &str, content: Value| {
        let path = format!("{V3}/rooms/{id}/send/m.room.message/{txn}");
        let (house, alice) = (&house, &alice);
        async move { house.ask(alice, "PUT", &path, content).await.is(200) }
    };
    let root = say("t1", json!({ "msgtype": "m.text", "body": "root" })).await;
    let root = root["event_id"].as_str().unwrap().to_owned();
    let answer = |text: &str| {
        json!({
            "msgtype": "m.text", "body": text,
            "m.relates_to": { "rel_type": "m.thread", "event_id": root },
        })
    };
    say("t2", answer("while he was in")).await;
    act(&bob, "leave").await;
    say("t3", answer("behind his back")).await;
    let path = format!("rooms/{id}/event/{root}");
    let seen = house.get(&bob, &path).await;
    let thread = &seen["unsigned"]["m.relations"]["m.thread"];
    assert_eq!(
        thread["latest_event"]["content"]["body"], "while he was in",
        "{seen}"
    );
    assert_eq!(thread["count"], 1);
    let all = house.get(&alice, &path).await;
    let thread = &all["unsigned"]["m.relations"]["m.thread"];
    assert_eq!(thread["latest_event"]["content"]["body"], "behind his back");
}

#[tokio::test]
async fn a_direct_chat_is_the_conversation_that_the_two_have_already() {
    let house = House::new().await;
    house
        .says("bob", Target::Direct(address("alice")), text("from XMPP"))
        .await;
    let alice = house.sign_in("alice").await;
    let made = json!({ "is_direct": true, "preset": "trusted_private_chat", "invite": ["@bob:example.org"] });
    let id = house.make(&alice, made.clone()).await;
    assert_eq!(house.make(&alice, made).await, id);
    let page = house
        .get(&alice, &format!("rooms/{id}/messages?dir=b&limit=1"))
        .await;
    assert_eq!(page["chunk"][0]["content"]["body"], "from XMPP");
    // Encryption would shut other apps out of it: that is another conversation.
    let path = format!("{V3}/rooms/{id}/state/m.room.encryption/");
    let algorithm = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    house
        .ask(&alice, "PUT", &path, algorithm.clone())
        .await
        .refused(403, "M_FORBIDDEN");
    // Neither of the two opens it to others.
    for (kind, content) in [
        (
            "m.room.history_visibility",
            json!({ "history_visibility": "world_readable" }),
        ),
        ("m.room.join_rules", json!({ "join_rule": "public" })),
    ] {
        let path = format!("{V3}/rooms/{id}/state/{kind}/");
        let opened = house.ask(&alice, "PUT", &path, content).await;
        opened.refused(403, "M_FORBIDDEN");
    }
    let made = json!({
        "is_direct": true, "preset": "trusted_private_chat", "invite": ["@bob:example.org"],
        "initial_state": [{ "type": "m.room.encryption", "state_key": "", "content": algorithm }],
    });
    let sealed = house.make(&alice, made).await;
    assert_ne!(sealed, id);
    let state = house
        .get(&alice, &format!("rooms/{sealed}/state/m.room.encryption/"))
        .await;
    assert_eq!(state, algorithm);
    // It stands before anybody else comes in, so that no app ever sees the room without it and speaks in the clear.
    let page = house
        .get(&alice, &format!("rooms/{sealed}/messages?dir=f&limit=50"))
        .await;
    let order = page["chunk"].as_array().unwrap();
    let at = |kind: &str, key: &str| {
        let fits = |e: &Value| e["type"] == kind && e["state_key"] == key;
        order.iter().position(fits).unwrap()
    };
    assert!(at("m.room.encryption", "") < at("m.room.member", "@bob:example.org"));
    let path = format!("rooms/{sealed}/send/m.room.encrypted/e1");
    let cipher =
        json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "session_id": "y" });
    house.put(&alice, &path, cipher.clone()).await;
    let page = house
        .get(&alice, &format!("rooms/{sealed}/messages?dir=b&limit=1"))
        .await;
    assert_eq!(page["chunk"][0]["content"], cipher);
    let room = house.by_id(&sealed).await;
    verify::whole(&house, &room, 0).await;
    // Whoever leaves comes back with the next message.
    house
        .post(&alice, &format!("rooms/{id}/leave"), json!({}))
        .await;
    let joined = house.get(&alice, "joined_rooms").await;
    assert_eq!(joined["joined_rooms"], json!([sealed]));
    house
        .says(
            "bob",
            Target::Direct(address("alice")),
            text("are you there?"),
        )
        .await;
    let room = house.by_id(&id).await;
    house.matrix.rooms.open(room.conversation).await.unwrap();
    let joined = house.get(&alice, "joined_rooms").await;
    assert_eq!(joined["joined_rooms"].as_array().unwrap().len(), 2);
    verify::whole(&house, &room, 0).await;
}

#[tokio::test]
async fn a_room_of_irc_is_found_by_its_address_and_in_the_directory() {
    let house = House::new().await;
    let settings = Settings {
        listed: true,
        ..Settings::default()
    };
    let town = house.town("alice", settings).await;
    house
        .says("alice", Target::Conversation(town), text("welcome"))
        .await;
    let bob = house.sign_in("bob").await;
    let list = house.get(&bob, "publicRooms").await;
    assert_eq!(list["chunk"][0]["canonical_alias"], "#town:example.org");
    let found = house.get("", "directory/room/%23town:example.org").await;
    let id = found["room_id"].as_str().unwrap();
    house
        .post(&bob, "join/%23town:example.org", json!({}))
        .await;
    house.send_text(&bob, id, "1", json!({
        "msgtype": "m.emote", "body": "waves", "m.mentions": { "user_ids": ["@alice:example.org"] },
    })).await;
    let page = house
        .get(&bob, &format!("rooms/{id}/messages?dir=f&limit=200"))
        .await;
    let bodies: Vec<_> = page["chunk"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["content"]["body"].as_str())
        .collect();
    assert_eq!(bodies, ["welcome", "waves"]);
    house
        .ask(
            &bob,
            "PUT",
            &format!("{V3}/directory/room/%23dorf:example.org"),
            json!({ "room_id": id }),
        )
        .await
        .is(200);
    let found = house.get(&bob, "directory/room/%23dorf:example.org").await;
    assert_eq!(found["room_id"], id);
    let aliases = house.get(&bob, &format!("rooms/{id}/aliases")).await;
    assert_eq!(
        aliases["aliases"],
        json!(["#town:example.org", "#dorf:example.org"])
    );
    let path = format!("/_matrix/client/v1/room_summary/{id}");
    let summary = house.ask(&bob, "GET", &path, Value::Null);
    assert_eq!(summary.await.is(200)["num_joined_members"], 2);
    let keys = house
        .ask("", "GET", "/_matrix/key/v2/server", Value::Null)
        .await
        .is(200);
    assert_eq!(keys["server_name"], "example.org");
    let room = house.by_id(id).await;
    verify::whole(&house, &room, 0).await;
}
