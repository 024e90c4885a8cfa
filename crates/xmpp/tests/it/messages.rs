//! Messages between two people and their devices.

use sammen_xmpp::wire::ns;

use crate::people::House;

#[tokio::test]
async fn alice_writes_to_bob_and_her_phone_has_a_copy() {
    let house = House::new().await;
    let mut desk = house.arrives("alice", "desk").await;
    let mut phone = house.arrives("alice", "phone").await;
    let mut bob = house.arrives("bob", "home").await;
    phone
        .asks("set", "", "c", "<enable xmlns='urn:xmpp:carbons:2'/>")
        .await;
    desk.says("bob@localhost", "hi").await;
    let heard = bob.hears("hi").await;
    assert_eq!(heard.get("from"), Some("alice@localhost/desk"));
    assert_eq!(heard.get("id"), Some("m-hi"));
    let id = heard.find("stanza-id", ns::SID).unwrap();
    assert_eq!(id.get("by"), Some("bob@localhost"));
    let copy = phone.expect(|el| el.has("sent", ns::CARBONS)).await;
    let sent = copy.find("sent", ns::CARBONS).unwrap();
    let inner = sent.find("forwarded", ns::FORWARD).unwrap();
    let inner = inner.find("message", ns::CLIENT).unwrap();
    assert_eq!(inner.find_text("body", ns::CLIENT).as_deref(), Some("hi"));
    let archived = inner.find("stanza-id", ns::SID).unwrap();
    assert_eq!(
        (archived.get("id"), archived.get("by")),
        (id.get("id"), Some("alice@localhost"))
    );
    desk.has_nothing(|el| el.get("type") == Some("chat")).await;
    // An answer to the desk alone reaches the phone as a copy.
    bob.says("alice@localhost/desk", "yes").await;
    desk.hears("yes").await;
    phone.expect(|el| el.has("received", ns::CARBONS)).await;
    // What is private has no copies.
    desk.send(
        "<message to='bob@localhost' type='chat'><body>psst</body><private xmlns='urn:xmpp:carbons:2'/>\
         <no-copy xmlns='urn:xmpp:hints'/></message>",
    )
    .await;
    bob.hears("psst").await;
    phone
        .has_nothing(|el| el.find_ns(ns::CARBONS).is_some())
        .await;
}

#[tokio::test]
async fn what_nobody_knows_passes_as_it_came_and_forged_ids_go() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut bob = house.arrives("bob", "home").await;
    alice
        .send(
            "<message to='bob@localhost' type='normal' id='x1' xml:lang='de'><body>text</body>\
             <thing xmlns='urn:example:unknown' a='1'><b c=\"&lt;\"/>t</thing>\
             <stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='bob@localhost'/>\
             <stanza-id xmlns='urn:xmpp:sid:0' id='kept' by='other.example'/></message>",
        )
        .await;
    let heard = bob.hears("text").await;
    assert_eq!(
        (heard.get("type"), heard.lang()),
        (Some("normal"), Some("de"))
    );
    let text = crate::people::written(&heard);
    assert!(
        text.contains("<thing xmlns='urn:example:unknown' a='1'><b c='&lt;'/>t</thing>"),
        "{text}"
    );
    assert!(!text.contains("forged") && text.contains("id='kept' by='other.example'"));
}

#[tokio::test]
async fn who_is_not_there_is_not_told_from_who_never_was() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    alice.says("nobody@localhost", "lost").await;
    let error = alice.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(error.get("id"), Some("m-lost"));
    assert!(
        error
            .find("error", ns::CLIENT)
            .unwrap()
            .has("service-unavailable", ns::STANZA_ERRORS)
    );
    // Bob exists and is away: his messages wait.
    alice.says("bob@localhost", "later").await;
    alice.settles().await;
    alice
        .has_nothing(|el| el.get("type") == Some("error"))
        .await;
    let mut bob = house.arrives("bob", "home").await;
    let late = bob.hears("later").await;
    assert!(late.has("delay", ns::DELAY));
    // Once is enough.
    bob.send("</stream:stream>").await;
    while bob.fresh().await.is_some() {}
    let mut bob = house.arrives("bob", "again").await;
    bob.has_nothing(|el| el.name() == "message").await;
    // His owner is told of another new device.
    house.arrives("bob", "third").await;
    let told = bob.expect(|el| el.get("type") == Some("headline")).await;
    assert!(
        told.find_text("body", ns::CLIENT)
            .unwrap()
            .contains("third")
    );
}

#[tokio::test]
async fn nobody_speaks_for_another() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    alice
        .send("<message from='bob@localhost' to='carol@localhost'><body>x</body></message>")
        .await;
    let error = alice.expect(|el| el.is("error", ns::STREAM)).await;
    assert!(error.has("invalid-from", ns::STREAM_ERRORS));
}

/// Converse.js resumes a stream and then names the resource that it would have bound.
#[tokio::test]
async fn another_resource_of_ones_own_in_from_is_overridden() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut phone = house.arrives("alice", "phone").await;
    alice
        .send("<message from='alice@localhost/phone' to='alice@localhost/phone' type='chat'><body>x</body></message>")
        .await;
    let heard = phone.hears("x").await;
    assert_eq!(heard.get("from"), Some("alice@localhost/desk"));
}

#[tokio::test]
async fn typing_is_shown_and_not_kept() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut bob = house.arrives("bob", "home").await;
    alice.says("bob@localhost", "first").await;
    bob.hears("first").await;
    alice
        .send("<message to='bob@localhost' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
        .await;
    bob.expect(|el| el.has("composing", ns::CHATSTATES)).await;
    let fin = bob
        .asks("set", "", "q", "<query xmlns='urn:xmpp:mam:2'/>")
        .await;
    let set = fin
        .find("fin", ns::MAM)
        .unwrap()
        .find("set", ns::RSM)
        .unwrap();
    assert_eq!(set.find_text("count", ns::RSM).as_deref(), Some("1"));
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_stored_once() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut bob = house.arrives("bob", "home").await;
    alice.says("bob@localhost", "twice").await;
    alice.says("bob@localhost", "twice").await;
    alice.says("bob@localhost", "end").await;
    bob.hears("twice").await;
    bob.hears("end").await;
    bob.has_nothing(|el| el.find_text("body", ns::CLIENT).as_deref() == Some("twice"))
        .await;
}

#[tokio::test]
async fn an_inactive_client_hears_messages_at_once_and_presence_later() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut other = house.arrives("alice", "phone").await;
    alice.send("<inactive xmlns='urn:xmpp:csi:0'/>").await;
    alice.settles().await;
    other.send("<presence><show>away</show></presence>").await;
    other.settles().await;
    let mut bob = house.arrives("bob", "home").await;
    bob.says("alice@localhost", "now").await;
    loop {
        let el = alice.next().await;
        if el.find_text("body", ns::CLIENT).as_deref() == Some("now") {
            panic!("presence comes before what is important");
        }
        if el.find_text("show", ns::CLIENT).as_deref() == Some("away") {
            break;
        }
    }
    alice.hears("now").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_for_long_gets_everything_once_and_in_order() {
    const MESSAGES: usize = 3000;
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut bob = house.arrives("bob", "home").await;
    let filler = "x".repeat(4000);
    for n in 0..MESSAGES {
        let text = format!(
            "<message to='alice@localhost' type='chat' id='n{n}'><body>{n} {filler}</body></message>"
        );
        bob.send(&text).await;
    }
    bob.settles().await;
    // More than the queues before her hold, so part of it came from the log.
    for n in 0..MESSAGES {
        let heard = alice.expect(|el| el.get("type") == Some("chat")).await;
        assert_eq!(heard.get("id"), Some(format!("n{n}").as_str()));
    }
    alice.has_nothing(|el| el.get("type") == Some("chat")).await;
}
