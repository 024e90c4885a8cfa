//! Rooms that one knocks at, and rooms that the people of another may enter.

use sammen_core::conversation::{JoinRule, Settings};
use sammen_core::ops::rooms;
use sammen_core::principal::Origin;
use sammen_core::{Membership, Principal, Standing};
use serde_json::{Value, json};

use crate::house::{House, address};
use crate::rooms::V3;
use crate::sync_rooms::{Client, kinds, only};
use crate::verify;

const BOB: &str = "@bob:example.org";

#[tokio::test]
async fn who_knocks_is_let_in_or_turned_away() {
    let house = House::new().await;
    let mut alice = Client::new(&house, "alice").await;
    let mut bob = Client::new(&house, "bob").await;
    let made = json!({
        "room_alias_name": "club", "name": "Club",
        "initial_state": [{ "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "knock" } }],
    });
    let id = house.make(&alice.token, made).await;
    let town = house.by_id(&id).await.conversation;
    let stands = || {
        let convo = house.matrix.node.convo(town).unwrap().unwrap();
        convo
            .member(&address("bob"))
            .map(|m| (m.membership, m.standing))
    };
    alice.sync(&house, 0).await;
    bob.sync(&house, 0).await;
    let path = format!("{V3}/join/%23club:example.org");
    house
        .ask(&bob.token, "POST", &path, json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    let knocked = house
        .post(
            &bob.token,
            "knock/%23club:example.org",
            json!({ "reason": "it's me" }),
        )
        .await;
    assert_eq!(knocked["room_id"], id.as_str());
    // Once is enough, and reading is for those inside.
    house
        .post(&bob.token, &format!("knock/{id}"), json!({}))
        .await;
    let path = format!("{V3}/rooms/{id}/messages?dir=b");
    house
        .ask(&bob.token, "GET", &path, Value::Null)
        .await
        .refused(403, "M_FORBIDDEN");
    assert_eq!(stands().unwrap().0, Membership::Knocked);
    let heard = bob.hears(&house, "knock").await;
    let state = kinds(&only(&heard, "knock").1["knock_state"]["events"]);
    for wanted in ["m.room.name".to_owned(), format!("m.room.member {BOB}")] {
        assert!(state.contains(&wanted), "{state:?}");
    }
    let heard = alice.hears(&house, "join").await;
    let told = only(&heard, "join").1["timeline"]["events"]
        .as_array()
        .unwrap()
        .clone();
    let knocks: Vec<_> = told
        .iter()
        .filter(|e| e["content"]["membership"] == "knock")
        .collect();
    assert_eq!(knocks.len(), 1);
    assert_eq!(knocks[0]["content"]["reason"], "it's me");
    // Only moderators turn people away, who may knock again; an invitation answers.
    let carol = house.sign_in("carol").await;
    let away = |reason: &str| json!({ "user_id": BOB, "reason": reason });
    let path = format!("{V3}/rooms/{id}/kick");
    house
        .ask(&carol, "POST", &path, away("no"))
        .await
        .refused(403, "M_FORBIDDEN");
    house
        .post(&alice.token, &format!("rooms/{id}/kick"), away("not now"))
        .await;
    assert_eq!(stands().unwrap(), (Membership::Left, Standing::None));
    let own = house
        .get(
            &alice.token,
            &format!("rooms/{id}/state/m.room.member/{BOB}?format=event"),
        )
        .await;
    assert_eq!(
        (&own["sender"], &own["content"]["reason"]),
        (&json!("@alice:example.org"), &json!("not now"))
    );
    bob.hears(&house, "leave").await;
    house
        .post(&bob.token, &format!("knock/{id}"), json!({}))
        .await;
    house
        .post(
            &alice.token,
            &format!("rooms/{id}/invite"),
            json!({ "user_id": BOB }),
        )
        .await;
    bob.hears(&house, "invite").await;
    // An invitation that was taken back gives nothing.
    house
        .post(&alice.token, &format!("rooms/{id}/kick"), away("oops"))
        .await;
    let join = format!("{V3}/rooms/{id}/join");
    house
        .ask(&bob.token, "POST", &join, json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    house
        .post(
            &alice.token,
            &format!("rooms/{id}/invite"),
            json!({ "user_id": BOB }),
        )
        .await;
    house
        .ask(&bob.token, "POST", &join, json!({}))
        .await
        .is(200);
    // Who is in, or out for good, does not knock.
    let knock = format!("{V3}/knock/{id}");
    house
        .ask(&bob.token, "POST", &knock, json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    house
        .post(
            &alice.token,
            &format!("rooms/{id}/ban"),
            json!({ "user_id": BOB }),
        )
        .await;
    house
        .ask(&bob.token, "POST", &knock, json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    // Taken back by who knocked.
    house.post(&carol, &format!("knock/{id}"), json!({})).await;
    house
        .post(&carol, &format!("rooms/{id}/leave"), json!({}))
        .await;
    let room = house.by_id(&id).await;
    verify::whole(&house, &room, 0).await;
}

#[tokio::test]
async fn nobody_knocks_where_that_is_not_asked_for_and_not_too_many_do() {
    let house = House::untiring().await;
    let bob = house.sign_in("bob").await;
    let town = house.town("alice", Settings::default()).await;
    let id = house.room(town).await.id.to_string();
    let knock = format!("{V3}/knock/{id}");
    house
        .ask(&bob, "POST", &knock, json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    let node = &house.matrix.node;
    let set = node.write(move |tx| {
        let (by, origin) = (Principal::Of(address("alice")), Origin::default());
        let change = |s: &mut Settings| {
            s.join_rule = JoinRule::Knock;
            Ok(())
        };
        rooms::configure(tx, &by, town, change, &origin)?;
        for n in 0..rooms::KNOCKING {
            let who = address(&format!("guest{n}"));
            rooms::knock(tx, &who, town, None, &|_| false, &origin)?;
        }
        Ok(())
    });
    set.await.unwrap();
    house
        .ask(&bob, "POST", &knock, json!({}))
        .await
        .refused(429, "M_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn the_people_of_a_space_enter_its_rooms() {
    let house = House::new().await;
    let (alice, bob, carol) = (
        house.sign_in("alice").await,
        house.sign_in("bob").await,
        house.sign_in("carol").await,
    );
    let made = json!({ "preset": "public_chat", "creation_content": { "type": "m.space" } });
    let space = house.make(&alice, made).await;
    for (version, rule) in [("11", "restricted"), ("12", "knock_restricted")] {
        let allow = json!({
            "join_rule": rule,
            "allow": [{ "type": "m.room_membership", "room_id": space }, { "type": "org.example.else" }],
        });
        let made = json!({
            "room_version": version,
            "initial_state": [{ "type": "m.room.join_rules", "state_key": "", "content": allow }],
        });
        let id = house.make(&alice, made).await;
        let join = format!("{V3}/rooms/{id}/join");
        house
            .ask(&bob, "POST", &join, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        house
            .post(&bob, &format!("rooms/{space}/join"), json!({}))
            .await;
        house.ask(&bob, "POST", &join, json!({})).await.is(200);
        let own = house
            .get(&alice, &format!("rooms/{id}/state/m.room.member/{BOB}"))
            .await;
        assert_eq!(
            own["join_authorised_via_users_server"], "@alice:example.org",
            "{own}"
        );
        house
            .ask(&carol, "POST", &join, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        // The rule stays as it was said.
        let rules = house
            .get(&bob, &format!("rooms/{id}/state/m.room.join_rules"))
            .await;
        assert_eq!(rules["join_rule"], rule);
        let room = house.by_id(&id).await;
        verify::whole(&house, &room, 0).await;
        house
            .post(&bob, &format!("rooms/{space}/leave"), json!({}))
            .await;
    }
}
