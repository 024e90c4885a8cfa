//! Reports to those who run the node, in the one queue.

use sammen_core::ops::reports::{self, Reason, Report};
use sammen_core::{Address, EventId};
use serde_json::json;

use crate::house::{House, address};
use crate::rooms::{V3, says};

fn all(house: &House) -> Vec<Report> {
    let found = reports::list(&house.matrix.node, None, 1_000).unwrap();
    found.into_iter().map(|(_, report)| report).collect()
}

#[tokio::test]
async fn events_rooms_and_people_are_reported() {
    let house = House::untiring().await;
    let (alice, bob, carol) = (
        house.sign_in("alice").await,
        house.sign_in("bob").await,
        house.sign_in("carol").await,
    );
    let made = json!({ "preset": "private_chat", "room_alias_name": "den", "invite": ["@bob:example.org"] });
    let id = house.make(&alice, made).await;
    house
        .post(&bob, &format!("rooms/{id}/join"), json!({}))
        .await;
    let event = house.send_text(&alice, &id, "t", says("buy this")).await;
    let why = json!({ "reason": "spam", "score": -100 });
    house
        .post(&bob, &format!("rooms/{id}/report/{event}"), why.clone())
        .await;
    let room = house.by_id(&id).await;
    let link = room
        .event(&ruma::EventId::parse(&event).unwrap())
        .unwrap()
        .unwrap();
    let about: EventId = link.core.unwrap().id;
    let found = all(&house);
    assert_eq!(
        (&found[0].by, &found[0].about),
        (&address("bob"), &address("alice"))
    );
    assert_eq!(
        (found[0].event, found[0].reason),
        (Some(about), Reason::Other)
    );
    assert_eq!(found[0].text.as_deref(), Some("spam"));
    assert_eq!(
        found[0].room,
        Some(Address::new("#den@example.org").unwrap())
    );
    assert!(!found[0].encrypted);
    // Who is not in learns nothing, and adds nothing.
    for path in [
        format!("rooms/{id}/report/{event}"),
        format!("rooms/{id}/report"),
        "rooms/!x:example.org/report".into(),
    ] {
        let path = format!("{V3}/{path}");
        house
            .ask(&carol, "POST", &path, why.clone())
            .await
            .refused(404, "M_NOT_FOUND");
    }
    let path = format!("{V3}/rooms/{id}/report/$nothing");
    house
        .ask(&bob, "POST", &path, why.clone())
        .await
        .refused(404, "M_NOT_FOUND");
    assert_eq!(all(&house).len(), 1);
    house
        .post(&bob, &format!("rooms/{id}/report"), why.clone())
        .await;
    assert_eq!(
        all(&house)[0].about,
        Address::new("#den@example.org").unwrap()
    );
    house
        .post(
            &bob,
            "users/@carol:example.org/report",
            json!({ "reason": "x".repeat(9_000) }),
        )
        .await;
    let found = all(&house);
    assert_eq!(found[0].about, address("carol"));
    assert_eq!(found[0].text.as_ref().unwrap().len(), 4096);
    // Whether there is such an account is not told.
    house
        .post(&bob, "users/@nobody:example.org/report", why.clone())
        .await;
    assert_eq!(all(&house).len(), 3);
    // One account does not fill the queue.
    let path = format!("{V3}/users/@carol:example.org/report");
    for _ in 3..reports::WAITING {
        house.ask(&bob, "POST", &path, why.clone()).await.is(200);
    }
    house
        .ask(&bob, "POST", &path, why)
        .await
        .refused(429, "M_LIMIT_EXCEEDED");
}
