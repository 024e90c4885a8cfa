//! Rooms of a client whose connection or node was gone for a while (XEP-0198).

use sammen_xmpp::Config;
use sammen_xmpp::wire::ns;

use super::{body, ok, town};
use crate::people::{House, Person};

async fn enables(person: &mut Person) -> String {
    person
        .send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        .await;
    let enabled = person.expect(|el| el.is("enabled", ns::SM)).await;
    enabled.get("id").unwrap().to_owned()
}

#[tokio::test]
async fn a_resumed_client_is_in_its_room_and_missed_nothing() {
    let house = House::new().await;
    let (mut alice, bob) = town(&house).await;
    drop(bob);
    let mut bob = house.signs_in("bob", "phone").await;
    let id = enables(&mut bob).await;
    bob.send("<presence/>").await;
    bob.joins("bob").await;
    drop(bob);
    alice.tells("missed").await;
    alice.hears("missed").await;
    let mut bob = house.proves("bob").await;
    bob.send(&format!(
        "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>"
    ))
    .await;
    assert!(bob.next().await.is("resumed", ns::SM));
    bob.hears("missed").await;
    bob.tells("back").await;
    assert_eq!(
        alice.hears("back").await.get("from"),
        Some("town@rooms.localhost/bob")
    );
}

#[tokio::test]
async fn a_restart_of_the_node_throws_nobody_out() {
    let house = House::new().await;
    let (mut alice, bob) = town(&house).await;
    drop(bob);
    let mut bob = house.signs_in("bob", "phone").await;
    let id = enables(&mut bob).await;
    bob.send("<presence/>").await;
    bob.joins("bob").await;
    alice.tells("before").await;
    bob.hears("before").await;
    let store = house.stop().await;
    let house = House::with(store, Config::default()).await;
    let mut alice = house.arrives("alice", "desk").await;
    alice.joins("alice").await;
    alice.tells("between").await;
    alice.hears("between").await;
    let mut bob = house.proves("bob").await;
    bob.send(&format!(
        "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>"
    ))
    .await;
    let resumed = bob.next().await;
    assert!(resumed.is("resumed", ns::SM), "{resumed:?}");
    bob.hears("between").await;
    ok(&bob
        .asks(
            "get",
            "town@rooms.localhost/bob",
            "p",
            "<ping xmlns='urn:xmpp:ping'/>",
        )
        .await);
    let twice = bob.takes(|el| body(el) == "between");
    assert!(twice.is_empty(), "{twice:?}");
    bob.tells("here").await;
    assert_eq!(
        alice.hears("here").await.get("from"),
        Some("town@rooms.localhost/bob")
    );
    // His id in the room is the same as before.
    let past = alice.reads_archive("").await.unwrap();
    assert_eq!(past.len(), 3);
    assert_eq!(past[0].get("from"), Some("town@rooms.localhost/alice"));
    let ids: Vec<_> = past
        .iter()
        .map(|m| {
            m.find("occupant-id", ns::OCCUPANT_ID)
                .unwrap()
                .get("id")
                .unwrap()
        })
        .collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2]);
}
