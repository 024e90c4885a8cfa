//! Simplified sliding sync, as Element X and Fractal speak it.

use sammen_core::conversation::Settings;
use sammen_core::ops::send::Target;
use serde_json::{Value, json};

use crate::chain::text;
use crate::house::{House, address};
use crate::sync_rooms::{kinds, said};

const PATH: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

fn body() -> Value {
    json!({
        "conn_id": "room-list",
        "lists": { "all": {
            "ranges": [[0, 0]],
            "timeline_limit": 1,
            "required_state": [["m.room.name", ""], ["m.room.member", "$ME"], ["m.room.member", "$LAZY"]],
        } },
        "extensions": {
            "to_device": { "enabled": true },
            "e2ee": { "enabled": true },
            "account_data": { "enabled": true },
            "receipts": { "enabled": true },
            "typing": { "enabled": true },
        },
    })
}

async fn ask(house: &House, token: &str, pos: &str, body: &Value) -> Value {
    let path = match pos {
        "" => format!("{PATH}?timeout=0"),
        pos => format!("{PATH}?timeout=120000&pos={pos}"),
    };
    house.ask(token, "POST", &path, body.clone()).await.is(200)
}

fn timeline(room: &Value) -> Value {
    json!({ "timeline": { "events": room["timeline"] } })
}

#[tokio::test]
async fn a_window_over_the_rooms_moves_with_what_is_said() {
    let house = House::new().await;
    let town = house.town("alice", Settings::default()).await;
    house.joins("bob", town).await;
    house
        .says("alice", Target::Conversation(town), text("in town"))
        .await;
    house
        .says("alice", Target::Direct(address("bob")), text("to you"))
        .await;
    let bob = house.sign_in("bob").await;
    let first = ask(&house, &bob, "", &body()).await;
    assert_eq!(first["lists"]["all"]["count"], 2, "{first}");
    let rooms = first["rooms"].as_object().unwrap();
    assert_eq!(rooms.len(), 1);
    let (direct, room) = rooms.iter().next().unwrap();
    assert_eq!(room["initial"], true);
    assert_eq!(room["is_dm"], true);
    assert_eq!(said(&timeline(room)), ["to you"]);
    assert_eq!(room["limited"], true);
    assert_eq!(room["heroes"][0]["user_id"], "@alice:example.org");
    let mut state = kinds(&room["required_state"]);
    state.sort();
    let members = [
        "m.room.member @alice:example.org",
        "m.room.member @bob:example.org",
    ];
    assert_eq!(state, members);
    let extensions = &first["extensions"];
    assert!(extensions["to_device"]["next_batch"].is_string(), "{first}");
    assert!(
        !extensions["account_data"]["global"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    // The town comes into the window when something is said there.
    let pos = first["pos"].as_str().unwrap();
    let say = async {
        house
            .says("alice", Target::Conversation(town), text("hello, town"))
            .await;
    };
    let hear = async {
        let mut pos = pos.to_owned();
        loop {
            let answer = ask(&house, &bob, &pos, &body()).await;
            if answer["rooms"].is_object() {
                return answer;
            }
            pos = answer["pos"].as_str().unwrap().to_owned();
        }
    };
    let (second, ()) = tokio::join!(hear, say);
    let rooms = second["rooms"].as_object().unwrap();
    assert_eq!(rooms.len(), 1, "{second}");
    let (town_id, room) = rooms.iter().next().unwrap();
    assert_ne!(town_id, direct);
    assert_eq!(room["initial"], true);
    assert_eq!(said(&timeline(room)), ["hello, town"]);
    // The answer got lost: the same is told again.
    let again = ask(&house, &bob, pos, &body()).await;
    assert_eq!(said(&timeline(&again["rooms"][town_id])), ["hello, town"]);
    // By id, with more of its timeline; and what is new only.
    let pos = again["pos"].as_str().unwrap();
    let mut more = body();
    let subscription = json!({ "timeline_limit": 10, "required_state": [["m.room.create", ""]] });
    more["room_subscriptions"] = json!({ direct: subscription });
    let third = ask(&house, &bob, pos, &more).await;
    let room = &third["rooms"][direct];
    assert!(
        kinds(&room["required_state"]).contains(&"m.room.create".to_owned()),
        "{third}"
    );
    house
        .says("alice", Target::Direct(address("bob")), text("more"))
        .await;
    house.room(town).await;
    let mut pos = third["pos"].as_str().unwrap().to_owned();
    loop {
        let next = ask(&house, &bob, &pos, &more).await;
        pos = next["pos"].as_str().unwrap().to_owned();
        if next["rooms"][direct].is_object() {
            let room = &next["rooms"][direct];
            assert_eq!(said(&timeline(room)), ["more"]);
            assert_eq!(room["initial"], Value::Null);
            assert_eq!(room["num_live"], 1);
            break;
        }
    }
    // A connection that nobody knows is over.
    let path = format!("{PATH}?pos=7/1.1.1");
    let unknown = house.ask(&bob, "POST", &path, body()).await;
    unknown.refused(400, "M_UNKNOWN_POS");
}

/// Asks on until `is` says yes of an answer; that one.
async fn until(
    house: &House,
    token: &str,
    pos: &mut String,
    body: &Value,
    is: impl Fn(&Value) -> bool,
) -> Value {
    loop {
        let answer = ask(house, token, pos, body).await;
        *pos = answer["pos"].as_str().unwrap().to_owned();
        if is(&answer) {
            return answer;
        }
    }
}

#[tokio::test]
async fn what_ended_is_told_once_wherever_it_stands_in_the_lists() {
    let house = House::new().await;
    let garden = house.town("alice", Settings::default()).await;
    house.joins("bob", garden).await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    let first = ask(&house, &bob, "", &body()).await;
    let room = first["rooms"].as_object().unwrap().keys().next().unwrap();
    // Another conversation takes its place in the window of one.
    let mut pos = first["pos"].as_str().unwrap().to_owned();
    house
        .says("alice", Target::Direct(address("bob")), text("to you"))
        .await;
    let other = |answer: &Value| answer["rooms"].as_object().is_some_and(|r| !r.is_empty());
    until(&house, &bob, &mut pos, &body(), other).await;
    let kick = json!({ "user_id": "@bob:example.org", "reason": "out" });
    let path = format!("/_matrix/client/v3/rooms/{room}/kick");
    house.ask(&alice, "POST", &path, kick).await.is(200);
    let ended = |answer: &Value| answer["rooms"][room].is_object();
    let told = until(&house, &bob, &mut pos, &body(), ended).await;
    let told = &told["rooms"][room];
    assert_eq!(told["initial"], Value::Null, "{told}");
    let own = &told["required_state"].as_array().unwrap().last().unwrap()["content"];
    assert_eq!(
        (&own["membership"], &own["reason"]),
        (&json!("leave"), &json!("out"))
    );
    let path = format!("{PATH}?timeout=0&pos={pos}");
    let next = house.ask(&bob, "POST", &path, body()).await.is(200);
    assert_eq!(next["rooms"][room], Value::Null, "{next}");
    // Who begins anew finds out, too; of what they left themselves, nothing is said.
    let mut wide = body();
    wide["lists"]["all"]["ranges"] = json!([[0, 9]]);
    let anew = ask(&house, &bob, "", &wide).await;
    assert_eq!(anew["rooms"][room]["initial"], true, "{anew}");
    let path = format!("/_matrix/client/v3/rooms/{room}/join");
    house.ask(&bob, "POST", &path, json!({})).await.is(200);
    let mut pos = anew["pos"].as_str().unwrap().to_owned();
    let again = until(&house, &bob, &mut pos, &wide, ended).await;
    assert_eq!(again["rooms"][room]["initial"], true, "{again}");
    let path = format!("/_matrix/client/v3/rooms/{room}/leave");
    house.ask(&bob, "POST", &path, json!({})).await.is(200);
    let left = until(&house, &bob, &mut pos, &wide, ended).await;
    assert_eq!(left["lists"]["all"]["count"], 1, "{left}");
    let anew = ask(&house, &bob, "", &wide).await;
    assert_eq!(anew["rooms"][room], Value::Null, "{anew}");
}

#[tokio::test]
async fn a_position_of_before_a_restoration_loses_no_message_for_the_device() {
    let house = House::new().await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    let send = |n: u32| {
        let path = format!("/_matrix/client/v3/sendToDevice/x.y/{n}");
        let body = json!({ "messages": { "@bob:example.org": { "*": { "n": n } } } });
        let (house, alice) = (&house, &alice);
        async move { house.ask(alice, "PUT", &path, body).await.is(200) }
    };
    send(1).await;
    let first = ask(&house, &bob, "", &body()).await;
    let waiting = &first["extensions"]["to_device"];
    assert_eq!(waiting["events"][0]["content"]["n"], 1);
    let next = waiting["next_batch"].as_str().unwrap();
    // The place of another history, far ahead: all that waits comes, and nothing is taken for received.
    let (epoch, _) = next.split_once('.').unwrap();
    for elsewhere in [next.replacen(epoch, "z9", 1), "999999".into()] {
        let mut asks = body();
        asks["extensions"]["to_device"]["since"] = elsewhere.into();
        let again = ask(&house, &bob, "", &asks).await;
        assert_eq!(
            again["extensions"]["to_device"]["events"][0]["content"]["n"],
            1
        );
    }
    let mut asks = body();
    asks["extensions"]["to_device"]["since"] = next.into();
    let over = ask(&house, &bob, "", &asks).await;
    assert_eq!(over["extensions"]["to_device"]["events"], Value::Null);
}
