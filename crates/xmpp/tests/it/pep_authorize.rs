//! A node whose owner says who may read it (XEP-0060 §8.6).

use sammen_xmpp::wire::{Condition, Jid, ns};

use crate::desk::{Person, node, xml};

const ALICE: &str = "alice@example.org";
const CAROL: &str = "carol@example.org";

fn pubsub(child: &str) -> String {
    format!("<pubsub xmlns='{}'>{child}</pubsub>", ns::PUBSUB)
}

fn owner(child: &str) -> String {
    format!("<pubsub xmlns='{}'>{child}</pubsub>", ns::PUBSUB_OWNER)
}

/// What Alice's app answers to the form it was shown.
fn answer(jid: &str, allow: &str) -> String {
    let field =
        |var: &str, value: &str| format!("<field var='{var}'><value>{value}</value></field>");
    format!(
        "<message xmlns='jabber:client' to='{ALICE}'><x xmlns='jabber:x:data' type='submit'>{}{}{}{}</x></message>",
        field("FORM_TYPE", ns::PUBSUB_AUTHORIZATION),
        field("pubsub#node", "urn:diary"),
        field("pubsub#subscriber_jid", jid),
        field("pubsub#allow", allow),
    )
}

/// Sends a message to Alice.
async fn says(person: &Person, message: &str) {
    let to = Jid::new(ALICE).unwrap();
    sammen_xmpp::message::handle(&person.client, Some(to), xml(message)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alice_is_asked_who_may_read_her_diary() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "desk", &[]).await;
    let carol = Person::new(&server, "carol", "desk", &[]).await;
    let page = |n: u8| format!("<page xmlns='urn:diary'>{n}</page>");
    let authorize = [("access_model", "authorize"), ("persist_items", "true")];
    alice
        .publish("urn:diary", "p", &page(1), &authorize)
        .await
        .unwrap();
    alice.told();
    let refused = carol.items(ALICE, "urn:diary").await.unwrap_err();
    assert_eq!(refused.condition, Condition::NotAuthorized);

    let ask = pubsub(&format!("<subscribe node='urn:diary' jid='{CAROL}'/>"));
    let asked = carol.set(ALICE, &ask).await.unwrap().unwrap();
    let state = asked
        .first()
        .unwrap()
        .get("subscription")
        .map(str::to_owned);
    assert_eq!(state.as_deref(), Some("pending"));
    let again = carol.set(ALICE, &ask).await.unwrap_err();
    assert_eq!(again.app.unwrap().name(), "pending-subscription");
    // Waiting lets nobody in.
    assert!(carol.items(ALICE, "urn:diary").await.is_err());
    alice
        .publish("urn:diary", "p", &page(2), &[])
        .await
        .unwrap();
    assert_eq!(carol.told(), Vec::<String>::new());
    let shown = format!("{:?}", alice.heard());
    assert!(
        shown.contains(ns::PUBSUB_AUTHORIZATION) && shown.contains(CAROL),
        "{shown}"
    );

    // Nobody answers for her.
    says(&carol, &answer(CAROL, "true")).await;
    assert!(carol.items(ALICE, "urn:diary").await.is_err());
    says(&alice, &answer(CAROL, "true")).await;
    assert!(
        carol
            .told()
            .iter()
            .any(|t| t.contains("subscription='subscribed'"))
    );
    assert_eq!(
        carol.items(ALICE, "urn:diary").await.unwrap(),
        [("p".into(), page(2))]
    );
    alice
        .publish("urn:diary", "p", &page(3), &[])
        .await
        .unwrap();
    assert!(carol.told().iter().any(|t| t.contains(&page(3))));
    // She thinks better of it.
    let none = owner(&format!(
        "<subscriptions node='urn:diary'><subscription jid='{CAROL}' subscription='none'/></subscriptions>"
    ));
    alice.set(ALICE, &none).await.unwrap();
    assert!(
        carol
            .told()
            .iter()
            .any(|t| t.contains("subscription='none'"))
    );
    assert!(carol.items(ALICE, "urn:diary").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_in_the_list_of_subscriptions_and_let_in_there() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "desk", &[]).await;
    let carol = Person::new(&server, "carol", "desk", &[]).await;
    let authorize = [("access_model", "authorize")];
    alice
        .publish("urn:diary", "p", "<page xmlns='urn:diary'/>", &authorize)
        .await
        .unwrap();
    let ask = pubsub(&format!("<subscribe node='urn:diary' jid='{CAROL}'/>"));
    carol.set(ALICE, &ask).await.unwrap();
    let list = alice
        .get(ALICE, &owner("<subscriptions node='urn:diary'/>"))
        .await
        .unwrap();
    let waits = list.first().unwrap().first().unwrap();
    assert_eq!(waits.get("subscription"), Some("pending"));
    let grant = owner(&format!(
        "<subscriptions node='urn:diary'><subscription jid='{CAROL}' subscription='subscribed'/></subscriptions>"
    ));
    alice.set(ALICE, &grant).await.unwrap();
    assert_eq!(carol.items(ALICE, "urn:diary").await.unwrap().len(), 1);
}
