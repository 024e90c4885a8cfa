//! XEP-0198: nothing is lost and nothing comes twice.

use sammen_xmpp::Config;
use sammen_xmpp::wire::ns;

use crate::people::{House, Person};

async fn enables(person: &mut Person) -> String {
    person
        .send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        .await;
    let enabled = person.expect(|el| el.is("enabled", ns::SM)).await;
    assert_eq!(enabled.get("resume"), Some("true"));
    enabled.get("id").unwrap().to_owned()
}

async fn h(person: &mut Person) -> String {
    person.send("<r xmlns='urn:xmpp:sm:3'/>").await;
    let a = person.expect(|el| el.is("a", ns::SM)).await;
    a.get("h").unwrap().to_owned()
}

#[tokio::test]
async fn alice_loses_her_connection_and_misses_nothing() {
    let house = House::new().await;
    let mut bob = house.arrives("bob", "home").await;
    let mut alice = house.signs_in("alice", "desk").await;
    let id = enables(&mut alice).await;
    alice.send("<presence/>").await;
    alice.expect(|el| el.name() == "presence").await;
    alice.says("bob@localhost", "one").await;
    assert_eq!(h(&mut alice).await, "2");
    bob.says("alice@localhost", "seen").await;
    alice.hears("seen").await;
    drop(alice);
    bob.says("alice@localhost", "missed").await;
    bob.settles().await;
    let mut alice = house.proves("alice").await;
    // Her own presence and `seen`: two stanzas.
    alice
        .send(&format!(
            "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='2'/>"
        ))
        .await;
    let resumed = alice.next().await;
    assert!(resumed.is("resumed", ns::SM), "{resumed:?}");
    assert_eq!(resumed.get("h"), Some("2"));
    alice.hears("missed").await;
    alice
        .has_nothing(|el| el.find_text("body", ns::CLIENT).as_deref() == Some("seen"))
        .await;
    // The other way still works, and once only.
    alice.says("bob@localhost", "back").await;
    bob.hears("back").await;
    let fin = bob
        .asks("set", "", "q", "<query xmlns='urn:xmpp:mam:2'/>")
        .await;
    let set = fin
        .find("fin", ns::MAM)
        .unwrap()
        .find("set", ns::RSM)
        .unwrap();
    assert_eq!(set.find_text("count", ns::RSM).as_deref(), Some("4"));
}

#[tokio::test]
async fn a_connection_that_still_seems_alive_is_taken_over() {
    let house = House::new().await;
    let mut old = house.signs_in("alice", "desk").await;
    let id = enables(&mut old).await;
    let mut new = house.proves("alice").await;
    new.send(&format!(
        "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>"
    ))
    .await;
    assert!(new.next().await.is("resumed", ns::SM));
    let error = old.expect(|el| el.is("error", ns::STREAM)).await;
    assert!(error.has("conflict", ns::STREAM_ERRORS));
    // Bob can't take what is Alice's.
    let mut bob = house.proves("bob").await;
    bob.send(&format!(
        "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>"
    ))
    .await;
    assert!(bob.next().await.is("failed", ns::SM));
    new.settles().await;
}

#[tokio::test]
async fn alice_resumes_after_the_node_restarted_in_order() {
    let house = House::new().await;
    let mut alice = house.signs_in("alice", "desk").await;
    let id = enables(&mut alice).await;
    alice
        .send("<presence><status>here</status></presence>")
        .await;
    alice.expect(|el| el.name() == "presence").await;
    alice.says("bob@localhost", "before").await;
    assert_eq!(h(&mut alice).await, "2");
    let mut bob = house.arrives("bob", "home").await;
    bob.hears("before").await;
    bob.says("alice@localhost", "unacknowledged").await;
    alice.hears("unacknowledged").await;
    let store = house.stop().await;
    let house = House::with(store, Config::default()).await;
    let mut bob = house.arrives("bob", "home").await;
    bob.says("alice@localhost", "meanwhile").await;
    bob.settles().await;
    let mut alice = house.proves("alice").await;
    // She has her presence, but not the message.
    alice
        .send(&format!(
            "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='1'/>"
        ))
        .await;
    let resumed = alice.next().await;
    assert!(resumed.is("resumed", ns::SM), "{resumed:?}");
    assert_eq!(resumed.get("h"), Some("2"));
    alice.hears("unacknowledged").await;
    alice.hears("meanwhile").await;
    bob.says("alice@localhost", "now").await;
    alice.hears("now").await;
    alice
        .has_nothing(|el| el.find_text("body", ns::CLIENT).is_some())
        .await;
}

#[tokio::test]
async fn after_a_crash_the_client_learns_what_was_handled() {
    let house = House::new().await;
    let mut alice = house.signs_in("alice", "desk").await;
    let id = enables(&mut alice).await;
    for n in 0..3 {
        alice.says("bob@localhost", &format!("m{n}")).await;
    }
    assert_eq!(h(&mut alice).await, "3");
    // The process is gone without a word: a second one opens what is durable.
    let copy = house.store.clone();
    let again = House::with(copy, Config::default()).await;
    let mut alice = again.proves("alice").await;
    alice
        .send(&format!(
            "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>"
        ))
        .await;
    let failed = alice.next().await;
    assert!(failed.is("failed", ns::SM), "{failed:?}");
    assert_eq!(failed.get("h"), Some("3"));
    assert!(failed.has("item-not-found", ns::STANZA_ERRORS));
}

#[tokio::test]
async fn who_claims_more_than_was_sent_is_put_right() {
    let house = House::new().await;
    let mut alice = house.signs_in("alice", "desk").await;
    enables(&mut alice).await;
    alice.send("<a xmlns='urn:xmpp:sm:3' h='7'/>").await;
    let error = alice.expect(|el| el.is("error", ns::STREAM)).await;
    assert!(error.has("handled-count-too-high", ns::SM));
}

#[tokio::test]
async fn what_a_client_that_never_came_back_missed_waits_for_the_next() {
    let config = Config {
        hibernation: std::time::Duration::from_millis(1),
        ..Config::default()
    };
    let house = House::configured(config).await;
    let mut bob = house.arrives("bob", "home").await;
    let mut alice = house.signs_in("alice", "desk").await;
    enables(&mut alice).await;
    alice
        .send("<presence/><presence to='bob@localhost'/>")
        .await;
    bob.expect(|el| el.get("from") == Some("alice@localhost/desk"))
        .await;
    bob.says("alice@localhost", "had").await;
    alice.hears("had").await;
    // Her presence and `had`.
    alice.send("<a xmlns='urn:xmpp:sm:3' h='2'/>").await;
    alice.settles().await;
    bob.says("alice@localhost", "lost").await;
    alice.hears("lost").await;
    drop(alice);
    bob.expect(|el| el.get("type") == Some("unavailable")).await;
    let mut alice = house.arrives("alice", "phone").await;
    let late = alice.hears("lost").await;
    assert!(late.has("delay", ns::DELAY));
    alice
        .has_nothing(|el| el.find_text("body", ns::CLIENT).as_deref() == Some("had"))
        .await;
    bob.has_nothing(|el| el.get("type") == Some("error")).await;
}

#[tokio::test]
async fn an_app_password_does_not_take_over_what_came_in_by_the_passphrase() {
    let house = House::new().await;
    let mut alice = house.signs_in("alice", "desk").await;
    let id = enables(&mut alice).await;
    let account = sammen_core::Address::new("alice@localhost").unwrap();
    let scopes = sammen_net::credentials::Scopes::everywhere;
    let made = house.server.accounts.change(&account, move |c| {
        c.add_app_password("phone", scopes(), 0, &mut rand::rng())
    });
    let (_, phone) = made.await.unwrap();
    let mut other = house.proves_with("alice", phone.expose()).await.unwrap();
    let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>");
    other.send(&resume).await;
    let failed = other.next().await;
    assert!(failed.is("failed", ns::SM), "{failed:?}");
    // The one whose session it is still can.
    drop(alice);
    let mut alice = house.proves("alice").await;
    alice.send(&resume).await;
    assert!(alice.next().await.is("resumed", ns::SM));
}
