//! Who has to look at whose devices again.

use std::sync::Arc;

use sammen_core::ops::rooms;
use sammen_core::{Address, Convo, Origin, Principal, RoomName, Seq};
use sammen_matrix::keys::{self, Changed};
use serde_json::json;

use super::Phone;
use crate::house::{House, address};

async fn room(house: &House, owner: &str, name: &str) -> Arc<Convo> {
    let (domain, name) = (house.matrix.domain().clone(), RoomName::new(name).unwrap());
    let at = Address::room(&domain, &name);
    let who = Principal::Of(address(owner));
    let made = house.matrix.node.write(move |tx| {
        rooms::create(tx, &who, &at, Default::default(), None, &Origin::default())
    });
    made.await.unwrap()
}

async fn joins(house: &House, who: &str, room: &Convo) {
    let (who, id) = (address(who), room.id());
    let joined = house.matrix.node.write(move |tx| {
        rooms::join(tx, &who, id, None, None, &|_| false, &Origin::default()).map(drop)
    });
    joined.await.unwrap();
}

async fn leaves(house: &House, who: &str, room: &Convo) {
    let (who, id) = (address(who), room.id());
    let left = house
        .matrix
        .node
        .write(move |tx| rooms::leave(tx, &who, id, None, &Origin::default()).map(drop));
    left.await.unwrap();
}

/// What changed for somebody since a seq, which moves on.
fn news(house: &House, who: &str, since: &mut Seq) -> (Vec<String>, Vec<String>) {
    let upto = house.matrix.node.last_seq();
    let Changed { changed, left } =
        keys::changed(&house.matrix, &address(who), *since, upto).unwrap();
    *since = upto;
    let names = |ids: Vec<ruma::OwnedUserId>| {
        let ids = ids.into_iter();
        ids.map(|id| id.localpart().to_owned()).collect::<Vec<_>>()
    };
    (names(changed), names(left))
}

fn people(names: &[&str]) -> Vec<String> {
    names.iter().map(|&n| n.to_owned()).collect()
}

#[tokio::test]
async fn people_who_share_a_room_learn_of_keys_and_of_coming_and_going() {
    let house = House::new().await;
    let (alice, bob) = (
        Phone::new(&house, "alice", "APHONE").await,
        Phone::new(&house, "bob", "BPHONE").await,
    );
    let mut at = house.matrix.node.last_seq();
    let publish = |phone: &Phone<'_>| json!({ "device_keys": phone.identity() });
    bob.uploads(publish(&bob)).await.is(200);
    assert_eq!(
        news(&house, "alice", &mut at),
        (vec![], vec![]),
        "a stranger"
    );
    let (town, hill) = (
        room(&house, "alice", "town").await,
        room(&house, "alice", "hill").await,
    );
    joins(&house, "bob", &town).await;
    assert_eq!(news(&house, "alice", &mut at), (people(&["bob"]), vec![]));
    assert_eq!(news(&house, "alice", &mut at), (vec![], vec![]));
    let mut ear = house.matrix.bells.listen(&address("alice"));
    let mut strangers = house.matrix.bells.listen(&address("carol"));
    let other = Phone::new(&house, "bob", "BLAPTOP").await;
    other.uploads(publish(&other)).await.is(200);
    ear.rung().await;
    let silent = tokio::time::timeout(std::time::Duration::ZERO, strangers.rung());
    assert!(silent.await.is_err());
    assert_eq!(news(&house, "alice", &mut at), (people(&["bob"]), vec![]));
    other.asks("POST", "logout", json!({})).await.is(200);
    ear.rung().await;
    assert_eq!(news(&house, "alice", &mut at), (people(&["bob"]), vec![]));
    alice.uploads(publish(&alice)).await.is(200);
    assert_eq!(news(&house, "alice", &mut at), (people(&["alice"]), vec![]));
    // Two rooms shared, one left: still together. Then the other.
    joins(&house, "bob", &hill).await;
    news(&house, "alice", &mut at);
    leaves(&house, "bob", &town).await;
    assert_eq!(news(&house, "alice", &mut at).1, people(&[]));
    leaves(&house, "bob", &hill).await;
    assert_eq!(news(&house, "alice", &mut at), (vec![], people(&["bob"])));
    bob.uploads(json!({ "one_time_keys": super::one_time_keys(0..1) }))
        .await
        .is(200);
    assert_eq!(news(&house, "alice", &mut at), (vec![], vec![]));
    // Whoever leaves loses sight of all who stay.
    joins(&house, "bob", &town).await;
    joins(&house, "carol", &town).await;
    news(&house, "alice", &mut at);
    leaves(&house, "alice", &town).await;
    assert_eq!(
        news(&house, "alice", &mut at),
        (vec![], people(&["bob", "carol"]))
    );
    joins(&house, "alice", &town).await;
    assert_eq!(
        news(&house, "alice", &mut at),
        (people(&["bob", "carol"]), vec![])
    );
}

#[tokio::test]
async fn key_changes_between_two_tokens_can_be_asked_for_and_others_tokens_are_refused() {
    let house = House::new().await;
    let bob = Phone::new(&house, "bob", "BPHONE").await;
    let token = |seq: Seq| {
        let epoch = house.matrix.node.epoch();
        sammen_core::token::Token {
            epoch,
            seq,
            volatile: 0,
        }
        .encode()
    };
    let from = token(house.matrix.node.last_seq());
    bob.uploads(json!({ "device_keys": bob.identity() }))
        .await
        .is(200);
    let to = token(house.matrix.node.last_seq());
    let path = format!("keys/changes?from={from}&to={to}");
    let answer = bob
        .asks("GET", &path, serde_json::Value::Null)
        .await
        .is(200);
    assert_eq!(
        answer,
        json!({ "changed": ["@bob:example.org"], "left": [] })
    );
    let path = format!("keys/changes?from=abc&to={to}");
    let refused = bob.asks("GET", &path, serde_json::Value::Null).await;
    refused.refused(400, "M_INVALID_PARAM");
}
