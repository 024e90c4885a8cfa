//! Levels of Matrix and the standings and roles of everybody else, both ways.

use sammen_core::conversation::{JoinRule, Settings};
use sammen_core::ops::rooms;
use sammen_core::ops::send::Target;
use sammen_core::principal::Origin;
use sammen_core::{Principal, Role, Standing};
use serde_json::{Value, json};

use crate::chain::text;
use crate::house::{House, address};
use crate::rooms::V3;
use crate::sync_rooms::{Client, kinds, only};
use crate::verify;

/// Sets somebody's level.
async fn level(house: &House, token: &str, room: &str, who: &str, level: i64) -> Value {
    change(house, token, room, |levels| {
        levels["users"][who] = level.into()
    })
    .await
}

async fn change(house: &House, token: &str, room: &str, with: impl FnOnce(&mut Value)) -> Value {
    let path = format!("rooms/{room}/state/m.room.power_levels");
    let mut levels = house.get(token, &path).await;
    with(&mut levels);
    house.put(token, &path, levels).await
}

const BOB: &str = "@bob:example.org";

#[tokio::test]
async fn a_moderator_made_in_matrix_is_one_everywhere_and_stays_one() {
    let house = House::new().await;
    let alice = house.sign_in("alice").await;
    let (town, node) = (
        house.town("alice", Settings::default()).await,
        house.matrix.node.clone(),
    );
    let here = Target::Conversation(town);
    house.joins("bob", town).await;
    house.joins("carol", town).await;
    let room = house.room(town).await;
    let id = room.id.to_string();
    let role = |who: &str| node.convo(town).unwrap().unwrap().role(&address(who));
    let shown = || async {
        house.says("alice", here.clone(), text("hm")).await;
        house.room(town).await;
        let path = format!("rooms/{id}/state/m.room.power_levels");
        house.get(&alice, &path).await["users"][BOB].clone()
    };
    level(&house, &alice, &id, BOB, 50).await;
    assert_eq!(role("bob"), Role::Moderator);
    assert_eq!(shown().await, 50);
    level(&house, &alice, &id, BOB, 60).await;
    assert_eq!((role("bob"), shown().await), (Role::Moderator, json!(60)));
    // He puts out one who came from IRC, and may not make others what he is.
    let bob = house.sign_in("bob").await;
    let path = format!("rooms/{id}/state/m.room.power_levels");
    let mut levels = house.get(&bob, &path).await;
    levels["users"]["@carol:example.org"] = 50.into();
    let path = format!("{V3}/rooms/{id}/state/m.room.power_levels");
    let no = house.ask(&bob, "PUT", &path, levels).await;
    no.refused(403, "M_FORBIDDEN");
    let out = json!({ "user_id": "@carol:example.org", "reason": "noise" });
    house.post(&bob, &format!("rooms/{id}/kick"), out).await;
    assert!(!node.convo(town).unwrap().unwrap().has(&address("carol")));
    // Who leaves and comes back, by whichever way, is a moderator still.
    let left =
        node.write(move |tx| rooms::leave(tx, &address("bob"), town, None, &Origin::default()));
    left.await.unwrap();
    assert_eq!(shown().await, 60);
    house.joins("bob", town).await;
    assert_eq!((role("bob"), shown().await), (Role::Moderator, json!(60)));
    level(&house, &alice, &id, BOB, 0).await;
    assert_eq!((role("bob"), shown().await), (Role::Participant, json!(0)));
    // Made one on XMPP: 50. Unmade there: nothing special any more.
    for (to, has) in [(Role::Moderator, 50), (Role::Participant, 0)] {
        let set = node.write(move |tx| {
            let (by, origin) = (Principal::Of(address("alice")), Origin::default());
            rooms::set_role(tx, &by, town, &address("bob"), to, None, &origin)
        });
        set.await.unwrap();
        assert_eq!(shown().await, has, "{to:?}");
    }
    // From an admin down to a moderator in one step, and up again.
    for (is, standing, role_is) in [
        (75, Standing::Admin, Role::Moderator),
        (50, Standing::Member, Role::Moderator),
        (0, Standing::Member, Role::Participant),
    ] {
        level(&house, &alice, &id, BOB, is).await;
        let convo = node.convo(town).unwrap().unwrap();
        assert_eq!(convo.standing(&address("bob")), standing);
        assert_eq!(role("bob"), role_is);
        assert_eq!(shown().await, is);
    }
    verify::whole(&house, &room, 0).await;
}

#[tokio::test]
async fn who_is_invited_as_a_moderator_comes_in_as_one() {
    let house = House::new().await;
    let alice = house.sign_in("alice").await;
    let settings = Settings {
        join_rule: JoinRule::Members,
        ..Settings::default()
    };
    let town = house.town("alice", settings).await;
    let room = house.room(town).await;
    let id = room.id.to_string();
    let invite = json!({ "user_id": BOB });
    house
        .post(&alice, &format!("rooms/{id}/invite"), invite)
        .await;
    level(&house, &alice, &id, BOB, 50).await;
    house.joins("bob", town).await;
    house.room(town).await;
    let convo = house.matrix.node.convo(town).unwrap().unwrap();
    assert_eq!(convo.role(&address("bob")), Role::Moderator);
    let path = format!("rooms/{id}/state/m.room.power_levels");
    assert_eq!(house.get(&alice, &path).await["users"][BOB], 50);
}

#[tokio::test]
async fn who_may_speak_invite_and_set_the_topic_is_set_from_matrix() {
    let house = House::new().await;
    let alice = house.sign_in("alice").await;
    let settings = Settings {
        join_rule: JoinRule::Members,
        ..Settings::default()
    };
    let town = house.town("alice", settings).await;
    let room = house.room(town).await;
    let id = room.id.to_string();
    let settings = || {
        let convo = house.matrix.node.convo(town).unwrap().unwrap();
        convo.conversation.settings.clone()
    };
    assert!(!settings().moderated && settings().invites_open && !settings().topic_open);
    change(&house, &alice, &id, |levels| {
        levels["events_default"] = 50.into();
        levels["invite"] = 75.into();
    })
    .await;
    assert!(settings().moderated && !settings().invites_open && !settings().topic_open);
    house.room(town).await;
    let path = format!("rooms/{id}/state/m.room.power_levels");
    let levels = house.get(&alice, &path).await;
    assert_eq!(
        (&levels["events_default"], &levels["invite"]),
        (&json!(50), &json!(75))
    );
    change(&house, &alice, &id, |levels| {
        levels["events_default"] = 0.into();
        levels["invite"] = 0.into();
        levels["events"]["m.room.topic"] = 0.into();
    })
    .await;
    assert!(!settings().moderated && settings().invites_open && settings().topic_open);
    house.room(town).await;
    let levels = house.get(&alice, &path).await;
    assert_eq!(levels["events"]["m.room.topic"], 0);
    verify::whole(&house, &room, 0).await;
}

#[tokio::test]
async fn a_role_that_another_protocol_gives_is_heard_at_once() {
    let house = House::new().await;
    let town = house.town("alice", Settings::default()).await;
    house.joins("bob", town).await;
    let mut alice = Client::new(&house, "alice").await;
    alice.sync(&house, 0).await;
    let node = house.matrix.node.clone();
    let give = async {
        let set = node.write(move |tx| {
            let (by, origin) = (Principal::Of(address("alice")), Origin::default());
            rooms::set_role(
                tx,
                &by,
                town,
                &address("bob"),
                Role::Moderator,
                None,
                &origin,
            )
        });
        set.await.unwrap();
    };
    let hear = async {
        loop {
            let answer = alice.hears(&house, "join").await;
            let heard = kinds(&only(&answer, "join").1["timeline"]["events"]);
            if heard.iter().any(|kind| kind == "m.room.power_levels") {
                return;
            }
        }
    };
    tokio::join!(hear, give);
}
