//! What a client hears of rooms: timelines, state, invitations, leaving, what lives, what is unread.

use std::sync::Arc;

use sammen_core::conversation::{JoinRule, Settings};
use sammen_core::event::{MarkerKind, RelationKind};
use sammen_core::live::Typing;
use sammen_core::memory::MemoryStore;
use sammen_core::ops::send::{self, Target};
use sammen_core::ops::{contacts, rooms};
use sammen_core::principal::Origin;
use sammen_core::{Content, ConversationId, Principal};
use serde_json::{Value, json};

use crate::chain::text;
use crate::house::{House, address};

/// A client that syncs.
pub struct Client {
    pub token: String,
    pub since: String,
    pub filter: Value,
}

impl Client {
    pub async fn new(house: &House, name: &str) -> Self {
        Self {
            token: house.sign_in(name).await,
            since: String::new(),
            filter: Value::Null,
        }
    }

    /// Asks, waits for at most this many milliseconds, and goes on from the answer.
    pub async fn sync(&mut self, house: &House, wait: u32) -> Value {
        self.sync_with(house, &format!("&timeout={wait}")).await
    }

    /// The first answer with something in this part of the rooms.
    pub async fn hears(&mut self, house: &House, part: &str) -> Value {
        loop {
            let answer = self.sync(house, 120_000).await;
            if answer["rooms"][part].is_object() {
                return answer;
            }
        }
    }

    /// The first presence of somebody.
    pub async fn sees(&mut self, house: &House, who: &str) -> Value {
        loop {
            let answer = self.sync(house, 120_000).await;
            let events = answer["presence"]["events"].as_array();
            let events = events.map_or(&[][..], Vec::as_slice).iter();
            if let Some(event) = events.rev().find(|e| e["sender"] == who) {
                return event["content"].clone();
            }
        }
    }

    pub async fn sync_with(&mut self, house: &House, more: &str) -> Value {
        let mut path = "/_matrix/client/v3/sync?x=1".to_owned();
        if !self.since.is_empty() {
            path += &format!("&since={}", self.since);
        }
        if !self.filter.is_null() {
            let filter: String = self
                .filter
                .to_string()
                .bytes()
                .map(|b| format!("%{b:02x}"))
                .collect();
            path += &format!("&filter={filter}");
        }
        path += more;
        let answer = house.ask(&self.token, "GET", &path, Value::Null);
        let answer = answer.await.is(200);
        self.since = answer["next_batch"].as_str().unwrap().to_owned();
        answer
    }
}

/// The only room in a part of an answer, with its id.
pub fn only<'a>(answer: &'a Value, part: &str) -> (&'a str, &'a Value) {
    let rooms = answer["rooms"][part].as_object();
    let rooms = rooms.unwrap_or_else(|| panic!("no {part}: {answer}"));
    assert_eq!(rooms.len(), 1, "{answer}");
    let (id, room) = rooms.iter().next().unwrap();
    (id, room)
}

/// What was said in a timeline.
pub fn said(room: &Value) -> Vec<&str> {
    let events = room["timeline"]["events"].as_array();
    let events = events.map_or(&[][..], Vec::as_slice).iter();
    let said = events.filter(|e| e["type"] == "m.room.message");
    said.map(|e| e["content"]["body"].as_str().unwrap())
        .collect()
}

/// The types (and state keys) of events.
pub fn kinds(events: &Value) -> Vec<String> {
    let events = events.as_array().map_or(&[][..], Vec::as_slice).iter();
    let kinds = events.map(|e| {
        let key = e["state_key"].as_str().unwrap_or_default();
        format!("{} {key}", e["type"].as_str().unwrap())
            .trim()
            .to_owned()
    });
    kinds.collect()
}

fn ephemeral<'a>(room: &'a Value, kind: &str) -> Option<&'a Value> {
    let events = room["ephemeral"]["events"].as_array()?;
    let found = events.iter().find(|e| e["type"] == kind)?;
    Some(&found["content"])
}

fn to(room: ConversationId) -> Target {
    Target::Conversation(room)
}

#[tokio::test]
async fn all_is_there_at_first_and_then_only_what_is_new() {
    let house = House::new().await;
    let bob = Target::Direct(address("bob"));
    house.says("alice", bob.clone(), text("hi")).await;
    let mut client = Client::new(&house, "bob").await;
    let first = client.sync(&house, 0).await;
    let (id, room) = only(&first, "join");
    assert_eq!(said(room), ["hi"]);
    assert_eq!(room["summary"]["m.heroes"], json!(["@alice:example.org"]));
    assert_eq!(room["summary"]["m.joined_member_count"], 2);
    assert_eq!(room["unread_notifications"]["notification_count"], 1);
    let data = first["account_data"]["events"].as_array().unwrap();
    let of = |kind: &str| data.iter().find(|e| e["type"] == kind).unwrap();
    assert_eq!(
        of("m.direct")["content"],
        json!({ "@alice:example.org": [id] })
    );
    assert!(of("m.push_rules")["content"]["global"]["override"].is_array());
    // State and timeline have each event once.
    let mut all = kinds(&room["state"]["events"]);
    all.extend(kinds(&room["timeline"]["events"]));
    let once: std::collections::BTreeSet<_> = all.iter().filter(|k| k.contains("power")).collect();
    assert_eq!(
        all.iter().filter(|k| k.contains("power")).count(),
        once.len()
    );
    let nothing = client.sync(&house, 0).await;
    assert_eq!(nothing["rooms"], Value::Null, "{nothing}");
    assert_eq!(nothing["account_data"], Value::Null, "{nothing}");
    house.says("alice", bob, text("are you there?")).await;
    let second = client.hears(&house, "join").await;
    let (_, room) = only(&second, "join");
    assert_eq!(said(room), ["are you there?"]);
    assert_eq!(room["timeline"]["limited"], Value::Null);
    assert_eq!(room["state"], Value::Null);
    // A token of another life of the node is worth nothing.
    client.since = "1.1.1".into();
    let anew = client.sync(&house, 0).await;
    assert_eq!(said(only(&anew, "join").1), ["hi", "are you there?"]);
}

#[tokio::test]
async fn a_client_that_waits_hears_each_message_once_and_in_order() {
    let house = House::new().await;
    let town = house.town("alice", Settings::default()).await;
    house.joins("bob", town).await;
    let mut client = Client::new(&house, "bob").await;
    client.filter = json!({ "room": { "timeline": { "limit": 500 } } });
    client.sync(&house, 0).await;
    let talk = async {
        for n in 0..200 {
            house.says("alice", to(town), text(&n.to_string())).await;
        }
    };
    let listen = async {
        let mut heard: Vec<u32> = Vec::new();
        while heard.len() < 200 {
            let answer = client.hears(&house, "join").await;
            let (_, room) = only(&answer, "join");
            assert_eq!(room["timeline"]["limited"], Value::Null, "{answer}");
            heard.extend(said(room).iter().map(|n| n.parse::<u32>().unwrap()));
        }
        heard
    };
    let (heard, ()) = tokio::join!(listen, talk);
    assert_eq!(heard, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_gap_is_said_and_the_state_in_it_is_told() {
    let house = House::new().await;
    let town = house.town("alice", Settings::default()).await;
    house.joins("bob", town).await;
    let mut client = Client::new(&house, "bob").await;
    client.filter = json!({ "room": { "timeline": { "limit": 2 } } });
    client.sync(&house, 0).await;
    let node = house.matrix.node.clone();
    let who = Principal::Of(address("alice"));
    let topic =
        node.write(move |tx| rooms::set_topic(tx, &who, town, "cats", None, &Origin::default()));
    topic.await.unwrap();
    for n in 0..4 {
        house.says("alice", to(town), text(&n.to_string())).await;
    }
    house.room(town).await;
    let answer = client.hears(&house, "join").await;
    let (id, room) = only(&answer, "join");
    assert_eq!(said(room), ["2", "3"]);
    assert_eq!(room["timeline"]["limited"], true);
    assert_eq!(kinds(&room["state"]["events"]), ["m.room.topic"]);
    let before = room["timeline"]["prev_batch"].as_str().unwrap();
    let path = format!("/_matrix/client/v3/rooms/{id}/messages?dir=b&limit=3&from={before}");
    let page = house.ask(&client.token, "GET", &path, Value::Null);
    let page = page.await.is(200);
    let chunk = page["chunk"].as_array().unwrap();
    let bodies = chunk.iter().map(|e| e["content"]["body"].as_str());
    let bodies: Vec<_> = bodies.collect();
    assert_eq!(bodies[..2], [Some("1"), Some("0")]);
    assert_eq!(chunk[2]["type"], "m.room.topic");
    // Whoever wants the state behind the timeline gets it there.
    let answer = client
        .sync_with(&house, "&full_state=true&use_state_after=true")
        .await;
    let (_, room) = only(&answer, "join");
    let state = kinds(&room["state_after"]["events"]);
    assert!(state.contains(&"m.room.topic".to_owned()), "{state:?}");
    assert_eq!(room["state"], Value::Null);
}

#[tokio::test]
async fn filters_let_through_what_was_asked_for() {
    let house = House::new().await;
    let town = house.town("alice", Settings::default()).await;
    house.joins("bob", town).await;
    house.joins("carol", town).await;
    let mut client = Client::new(&house, "bob").await;
    client.filter = json!({
        "account_data": { "types": [] },
        "presence": { "types": [] },
        "room": {
            "state": { "lazy_load_members": true },
            "timeline": { "types": ["m.room.message"], "not_senders": ["@carol:example.org"] },
        },
    });
    house.says("alice", to(town), text("one")).await;
    house.says("carol", to(town), text("two")).await;
    let first = client.sync(&house, 0).await;
    let (_, room) = only(&first, "join");
    assert_eq!(said(room), ["one"]);
    assert_eq!(first["account_data"], Value::Null);
    assert_eq!(first["presence"], Value::Null);
    let members = |room: &Value| {
        let mut members = kinds(&room["state"]["events"]);
        members.retain(|k| k.starts_with("m.room.member"));
        members.sort();
        members
    };
    let told = members(room);
    assert!(
        told.contains(&"m.room.member @alice:example.org".to_owned()),
        "{told:?}"
    );
    // Who was told already is not told again, unless the answer got lost.
    house.says("alice", to(town), text("three")).await;
    let before = client.since.clone();
    let once = client.hears(&house, "join").await;
    let again = only(&once, "join").1;
    assert_eq!(members(again), ["m.room.member @alice:example.org"]);
    client.since = before;
    let lost = client.hears(&house, "join").await;
    assert_eq!(members(only(&lost, "join").1), members(again));
    house.says("alice", to(town), text("four")).await;
    let next = client.hears(&house, "join").await;
    assert!(members(only(&next, "join").1).is_empty(), "{next}");
}

#[tokio::test]
async fn invitations_and_leaving_reach_a_client_that_waits() {
    let house = House::new().await;
    let settings = Settings {
        join_rule: JoinRule::Members,
        name: Some("Town".into()),
        ..Settings::default()
    };
    let town = house.town("alice", settings).await;
    let mut client = Client::new(&house, "bob").await;
    client.sync(&house, 0).await;
    let node = house.matrix.node.clone();
    let who = Principal::Of(address("alice"));
    let invite = async {
        let invited = node.write(move |tx| {
            rooms::invite(tx, &who, town, &address("bob"), None, &Origin::default())
        });
        invited.await.unwrap();
    };
    let (answer, ()) = tokio::join!(client.hears(&house, "invite"), invite);
    let (_, room) = only(&answer, "invite");
    let state = kinds(&room["invite_state"]["events"]);
    for wanted in [
        "m.room.create",
        "m.room.name",
        "m.room.member @bob:example.org",
    ] {
        assert!(state.contains(&wanted.to_owned()), "{state:?}");
    }
    house.joins("bob", town).await;
    let answer = client.hears(&house, "join").await;
    let (_, room) = only(&answer, "join");
    let mut state = kinds(&room["state"]["events"]);
    state.extend(kinds(&room["timeline"]["events"]));
    assert!(state.contains(&"m.room.create".to_owned()), "{answer}");
    house.says("alice", to(town), text("welcome")).await;
    let left =
        node.write(move |tx| rooms::leave(tx, &address("bob"), town, None, &Origin::default()));
    left.await.unwrap();
    house.says("alice", to(town), text("he is gone")).await;
    house.room(town).await;
    let answer = client.hears(&house, "leave").await;
    let (_, room) = only(&answer, "leave");
    assert_eq!(said(room), ["welcome"]);
    assert_eq!(
        kinds(&room["timeline"]["events"]).last().unwrap(),
        "m.room.member @bob:example.org"
    );
    let nothing = client.sync(&house, 0).await;
    assert_eq!(nothing["rooms"], Value::Null, "{nothing}");
}

#[tokio::test]
async fn who_types_and_who_is_there_is_heard_at_once() {
    let house = House::new().await;
    let town = house.town("alice", Settings::default()).await;
    house.joins("bob", town).await;
    house.joins("carol", town).await;
    let node = house.matrix.node.clone();
    let befriended = node.write(|tx| {
        contacts::ask(tx, &address("bob"), &address("carol"), Vec::new())?;
        contacts::allow(tx, &address("carol"), &address("bob"))
    });
    befriended.await.unwrap();
    let mut bob = Client::new(&house, "bob").await;
    bob.sync(&house, 0).await;
    let typing = |typing| {
        let write = node
            .write(move |tx| send::typing(tx, &address("alice"), &to(town), typing, None, None));
        async { write.await.unwrap() }
    };
    let (answer, ()) = tokio::join!(bob.hears(&house, "join"), typing(Typing::Active));
    let (id, room) = only(&answer, "join");
    let users = json!({ "user_ids": ["@alice:example.org"] });
    assert_eq!(ephemeral(room, "m.typing"), Some(&users));
    assert_eq!(room["timeline"], Value::Null, "nothing else: {answer}");
    let (answer, ()) = tokio::join!(bob.hears(&house, "join"), typing(Typing::Done));
    let none = json!({ "user_ids": [] });
    assert_eq!(ephemeral(only(&answer, "join").1, "m.typing"), Some(&none));
    // Carol comes with a client of the same kind, and types there.
    let mut carol = Client::new(&house, "carol").await;
    let carol_id = "@carol:example.org";
    let (shown, first) = tokio::join!(bob.sees(&house, carol_id), carol.sync(&house, 0));
    assert_eq!(shown["presence"], "online");
    let path = format!("/_matrix/client/v3/rooms/{id}/typing/@carol:example.org");
    let body = json!({ "typing": true, "timeout": 30_000 });
    let (answer, put) = tokio::join!(
        bob.hears(&house, "join"),
        house.ask(&carol.token, "PUT", &path, body.clone())
    );
    put.is(200);
    let users = json!({ "user_ids": ["@carol:example.org"] });
    assert_eq!(ephemeral(only(&answer, "join").1, "m.typing"), Some(&users));
    let other = house.ask(&bob.token, "PUT", &path, body).await;
    other.refused(403, "M_FORBIDDEN");
    assert_eq!(first["rooms"]["join"].as_object().unwrap().len(), 1);
    // Core sees both of them in the room.
    let inside = node.live(|live| live.room(town).map_or(0, |r| r.occupants.len()));
    assert_eq!(inside, 2);
    // Presence is for those who may see it.
    let status = "/_matrix/client/v3/presence/@carol:example.org/status";
    let away = json!({ "presence": "unavailable", "status_msg": "tea" });
    let (shown, put) = tokio::join!(
        bob.sees(&house, carol_id),
        house.ask(&carol.token, "PUT", status, away)
    );
    put.is(200);
    assert_eq!(shown["presence"], "unavailable", "{shown}");
    assert_eq!(shown["status_msg"], "tea");
    let seen = house
        .ask(&bob.token, "GET", status, Value::Null)
        .await
        .is(200);
    assert_eq!(seen["presence"], "unavailable");
    let alice = house.sign_in("alice").await;
    let hidden = house.ask(&alice, "GET", status, Value::Null).await;
    hidden.refused(403, "M_FORBIDDEN");
    // A minute after she asked last she is gone.
    let later = tokio::time::Instant::now() + sammen_matrix::sync::devices::IDLE * 2;
    house.matrix.sync.devices.sweep(later);
    while bob.sees(&house, carol_id).await["presence"] != "offline" {}
}

#[tokio::test]
async fn what_is_unread_is_counted_until_it_is_read_on_any_app() {
    let house = House::new().await;
    let town = house.town("alice", Settings::default()).await;
    house.joins("bob", town).await;
    house.joins("carol", town).await;
    let mut bob = Client::new(&house, "bob").await;
    bob.sync(&house, 0).await;
    house.says("alice", to(town), text("one")).await;
    let two = house.says("alice", to(town), text("two")).await;
    let mut named = sammen_core::Message::text("bob: three");
    named.mentions = vec![address("bob")];
    let three = house.says("carol", to(town), Content::Message(named)).await;
    house.room(town).await;
    let answer = bob.hears(&house, "join").await;
    let (id, room) = only(&answer, "join");
    let counts = |n: u32, h: u32| json!({ "notification_count": n, "highlight_count": h });
    assert_eq!(room["unread_notifications"], counts(3, 1), "{answer}");
    let id = id.to_owned();
    // Read on IRC up to the second.
    let node = house.matrix.node.clone();
    let read = async {
        let write = node.write(move |tx| {
            let convo = tx.convo(town)?;
            let kind = MarkerKind::Displayed;
            send::mark_read(
                tx,
                &convo,
                &address("bob"),
                Some(two.id),
                kind,
                &Origin::default(),
            )
        });
        write.await.unwrap();
    };
    let (answer, ()) = tokio::join!(bob.hears(&house, "join"), read);
    let (_, room) = only(&answer, "join");
    assert_eq!(room["unread_notifications"], counts(1, 1), "{answer}");
    let receipts = ephemeral(room, "m.receipt").unwrap().as_object().unwrap();
    let (event, kinds) = receipts.iter().next().unwrap();
    assert!(kinds["m.read.private"]["@bob:example.org"]["ts"].is_number());
    assert!(event.starts_with('$'));
    // And here up to the third, which others see.
    let event = {
        let room = house.room(town).await;
        room.id_of(three.id).unwrap().unwrap().1
    };
    let mut carol = Client::new(&house, "carol").await;
    carol.sync(&house, 0).await;
    let path = format!("/_matrix/client/v3/rooms/{id}/receipt/m.read/{event}");
    let token = bob.token.clone();
    let (answer, put, heard) = tokio::join!(
        bob.hears(&house, "join"),
        house.ask(&token, "POST", &path, json!({})),
        carol.hears(&house, "join"),
    );
    put.is(200);
    let (_, room) = only(&answer, "join");
    assert_eq!(room["unread_notifications"], counts(0, 0), "{answer}");
    let (_, room) = only(&heard, "join");
    let receipt = &ephemeral(room, "m.receipt").unwrap()[event.as_str()];
    assert!(
        receipt["m.read"]["@bob:example.org"]["ts"].is_number(),
        "{heard}"
    );
    // Core knows it, too.
    let mark = node
        .store()
        .document(&(&address("bob")).into(), send::READ, &town.to_string());
    let mark = mark.unwrap().unwrap().value.unwrap();
    let mark: send::ReadMark = sammen_core::tx::decode(&mark).unwrap();
    assert_eq!(mark.id, three.id);
    // Own words are read, and a receipt for nothing is refused.
    house.says("alice", to(town), text("four")).await;
    house.says("bob", to(town), text("five")).await;
    house.room(town).await;
    let answer = bob.hears(&house, "join").await;
    let (_, room) = only(&answer, "join");
    assert_eq!(room["unread_notifications"], counts(0, 0), "{answer}");
    let path = format!("/_matrix/client/v3/rooms/{id}/receipt/m.read/$nothing");
    let nothing = house.ask(&bob.token, "POST", &path, json!({})).await;
    nothing.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_direct_receipt_is_a_marker_for_the_other_and_the_other_way_round() {
    let house = House::new().await;
    let hi = house
        .says("alice", Target::Direct(address("bob")), text("hi"))
        .await;
    let mut bob = Client::new(&house, "bob").await;
    let first = bob.sync(&house, 0).await;
    let (id, room) = only(&first, "join");
    let events = room["timeline"]["events"].as_array().unwrap();
    let event = events.last().unwrap()["event_id"].as_str().unwrap();
    let path = format!("/_matrix/client/v3/rooms/{id}/read_markers");
    let body = json!({ "m.fully_read": event, "m.read": event });
    house.ask(&bob.token, "POST", &path, body).await.is(200);
    let answer = bob.sync(&house, 0).await;
    let (_, room) = only(&answer, "join");
    let data = room["account_data"]["events"].as_array().unwrap();
    assert_eq!(data[0]["content"]["event_id"], event);
    // Alice's other app was told by a marker in the log.
    let node = &house.matrix.node;
    let marks = node.store().relations(hi.id, 10).unwrap();
    assert!(matches!(
        marks[0].content,
        Content::Marker(MarkerKind::Displayed)
    ));
    assert_eq!(marks[0].author, address("bob"));
    // Alice reads with XMPP what Bob answers.
    let back = Target::Direct(address("alice"));
    let answer = house.says("bob", back, text("hello")).await;
    let mark = Content::Marker(MarkerKind::Displayed);
    let about = Some((RelationKind::Marker, answer.id));
    house
        .says_about("alice", Target::Direct(address("bob")), mark, about)
        .await;
    let mut seen = Value::Null;
    while seen.is_null() {
        let answer = bob.hears(&house, "join").await;
        let (_, room) = only(&answer, "join");
        let receipts = ephemeral(room, "m.receipt").cloned().unwrap_or_default();
        for kinds in receipts.as_object().into_iter().flat_map(|r| r.values()) {
            if kinds["m.read"]["@alice:example.org"].is_object() {
                seen = receipts.clone();
            }
        }
    }
}

#[tokio::test]
async fn on_a_full_disk_a_sync_goes_on_and_a_direct_conversation_is_named_later() {
    let store = Arc::new(MemoryStore::new());
    let house = House::on(store.clone(), |_| {}).await;
    let mut alice = Client::new(&house, "alice").await;
    let mut bob = Client::new(&house, "bob").await;
    alice.sync(&house, 0).await;
    let to = Target::Direct(address("bob"));
    house.says("alice", to, text("hi")).await;
    // The chain begins.
    bob.sync(&house, 0).await;
    store.fill(true);
    let full = alice.sync(&house, 0).await;
    only(&full, "join");
    store.fill(false);
    let (path, kind) = ("/_matrix/client/v3/user/@alice:example.org", "m.direct");
    let path = format!("{path}/account_data/{kind}");
    let none = house.ask(&alice.token, "GET", &path, Value::Null).await;
    none.refused(404, "M_NOT_FOUND");
    alice.sync(&house, 0).await;
    let named = house.ask(&alice.token, "GET", &path, Value::Null).await;
    assert!(named.is(200)["@bob:example.org"].is_array());
}
