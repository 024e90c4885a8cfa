//! History that comes when the chain has gone on, and what is erased.

use sammen_core::conversation::Settings;
use sammen_core::event::{Acceptance, ForeignId, Scheme};
use sammen_core::member::Member;
use sammen_core::ops::home::{self, Incoming};
use sammen_core::ops::send::Target;
use sammen_core::upkeep::Retention;
use sammen_core::{Address, ConversationId, EventId, Membership, Timestamp};
use serde_json::Value;

use crate::chain::text;
use crate::house::{House, address};
use crate::verify;

/// The room's server tells of something: now, or of what was said before another event.
async fn told(
    house: &House,
    room: ConversationId,
    said: &'static str,
    before: Option<EventId>,
) -> EventId {
    let incoming = Incoming {
        author: Address::new("xmpp:dora@far.net").unwrap(),
        at: Timestamp(1),
        content: text(said),
        native: None,
        relation: None,
        ids: vec![ForeignId {
            scheme: Scheme::XmppId,
            id: said.into(),
        }],
        acceptance: Acceptance::Accepted,
        historical: before.is_some(),
    };
    let node = &house.matrix.node;
    let received = node.write(move |tx| home::receive(tx, room, incoming, before));
    received.await.unwrap().id
}

fn bodies(page: &Value) -> Vec<&str> {
    let chunk = page["chunk"].as_array().unwrap().iter();
    chunk
        .filter_map(|e| e["content"]["body"].as_str())
        .collect()
}

#[tokio::test]
async fn history_that_comes_later_is_read_where_it_belongs() {
    let house = House::untiring().await;
    let made = house.matrix.node.write(|tx| {
        let place = Address::new("xmpp:#square@far.net").unwrap();
        let convo = home::project(tx, &place, Settings::default())?;
        let mut bob = Member::new(address("bob"));
        bob.membership = Membership::Joined;
        home::overrule(tx, convo.id(), None, vec![bob])
    });
    let square = made.await.unwrap().id();
    let one = told(&house, square, "one", None).await;
    let bob = house.sign_in("bob").await;
    let room = house.room(square).await;
    let three = told(&house, square, "three", None).await;
    told(&house, square, "four", None).await;
    house.room(square).await;
    let ordinal = room.head().ordinal;
    told(&house, square, "zero", Some(one)).await;
    let late = told(&house, square, "two", Some(three)).await;
    told(&house, square, "two and a half", Some(three)).await;
    told(&house, square, "five", None).await;
    house.room(square).await;
    // Nothing of it is in the chain.
    assert_eq!(room.head().ordinal, ordinal + 1);
    let id = room.id.to_string();
    let all = [
        "zero",
        "one",
        "two",
        "two and a half",
        "three",
        "four",
        "five",
    ];
    let page = house
        .get(&bob, &format!("rooms/{id}/messages?dir=f&limit=200"))
        .await;
    assert_eq!(bodies(&page), all);
    let mut back = Vec::new();
    let mut from = String::new();
    loop {
        let page = house
            .get(&bob, &format!("rooms/{id}/messages?dir=b&limit=2{from}"))
            .await;
        back.extend(bodies(&page).into_iter().map(str::to_owned));
        match page["end"].as_str() {
            Some(end) => from = format!("&from={end}"),
            None => break,
        }
    }
    back.reverse();
    assert_eq!(back, all);
    let shown = house
        .get(&bob, &format!("rooms/{id}/event/$late-{late}"))
        .await;
    assert_eq!(shown["content"]["body"], "two");
    let carol = house.sign_in("carol").await;
    let path = format!("/_matrix/client/v3/rooms/{id}/event/$late-{late}");
    house
        .ask(&carol, "GET", &path, Value::Null)
        .await
        .refused(403, "M_FORBIDDEN");
    verify::whole(&house, &room, 0).await;
}

#[tokio::test]
async fn what_expired_is_a_stub() {
    let house = House::untiring().await;
    let town = house.town("alice", Settings::default()).await;
    house
        .says("alice", Target::Conversation(town), text("soon gone"))
        .await;
    let alice = house.sign_in("alice").await;
    let id = house.room(town).await.id.to_string();
    house.later(3 * 86_400_000);
    let retention = Retention { days: Some(1) };
    assert!(house.matrix.node.apply_retention(retention).await.unwrap() > 0);
    let page = house
        .get(&alice, &format!("rooms/{id}/messages?dir=b&limit=200"))
        .await;
    assert!(!page.to_string().contains("soon gone"), "{page}");
    let chunk = page["chunk"].as_array().unwrap();
    let stub = chunk
        .iter()
        .find(|e| e["type"] == "m.room.message")
        .unwrap();
    assert_eq!(stub["content"], serde_json::json!({}));
    let because = &stub["unsigned"]["redacted_because"];
    assert_eq!(because["type"], "m.room.redaction", "{stub}");
    assert_eq!(because["content"]["redacts"], stub["event_id"]);
}
