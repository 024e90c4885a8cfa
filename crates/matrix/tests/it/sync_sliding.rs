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
