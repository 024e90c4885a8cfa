//! Plays of what personal eventing refuses: requests without sense, too much of everything, accounts that are gone.

use sammen_core::ops::accounts;
use sammen_xmpp::pep;
use sammen_xmpp::wire::{Condition, StanzaError, ns};

use crate::desk::{Person, account, form, node};

const ALICE: &str = "alice@example.org";
const DEVICES: &str = "eu.siacs.conversations.axolotl.devicelist";
const LIST: &str = "<list xmlns='eu.siacs.conversations.axolotl'><device id='1'/></list>";

fn app(error: &StanzaError) -> &str {
    error.app.as_ref().map_or("", |a| a.name())
}

fn owner(child: &str) -> String {
    format!("<pubsub xmlns='{}'>{child}</pubsub>", ns::PUBSUB_OWNER)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_sense_are_refused_by_name() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "phone", &[]).await;
    let long = "x".repeat(1024);
    let big = format!(
        "<publish node='n'><item><x xmlns='urn:x'>{}</x></item></publish>",
        "x".repeat(210_000)
    );
    for (child, condition, name) in [
        (
            "<publish><item><x xmlns='urn:x'/></item></publish>",
            Condition::BadRequest,
            "nodeid-required",
        ),
        (
            "<publish node='n'/>",
            Condition::BadRequest,
            "item-required",
        ),
        (
            "<publish node='n'><item/></publish>",
            Condition::BadRequest,
            "payload-required",
        ),
        (
            "<publish node='n'><item><a xmlns='urn:x'/><b xmlns='urn:x'/></item></publish>",
            Condition::BadRequest,
            "invalid-payload",
        ),
        (&big, Condition::NotAcceptable, "payload-too-big"),
        (
            &format!("<publish node='{long}'><item><x xmlns='urn:x'/></item></publish>"),
            Condition::NotAcceptable,
            "",
        ),
        (
            &format!(
                "<create node='n'/><configure>{}</configure>",
                form(ns::PUBSUB_NODE_CONFIG, &[("access_model", "moderate")])
            ),
            Condition::NotAcceptable,
            "unsupported-access-model",
        ),
        (
            "<options node='n' jid='alice@example.org'/>",
            Condition::FeatureNotImplemented,
            "unsupported",
        ),
        ("<nonsense/>", Condition::BadRequest, ""),
    ] {
        let request = format!("<pubsub xmlns='{}'>{child}</pubsub>", ns::PUBSUB);
        let refused = alice.set("", &request).await.unwrap_err();
        assert_eq!(
            (refused.condition, app(&refused)),
            (condition, name),
            "{}",
            &child[..child.len().min(80)]
        );
    }
    assert!(
        pep::disco::items(&alice.client, &account("alice"), None)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_cannot_fill_the_node() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "phone", &[]).await;
    let full = loop {
        let create = format!("<pubsub xmlns='{}'><create/></pubsub>", ns::PUBSUB);
        if let Err(full) = alice.set("", &create).await {
            break full;
        }
    };
    assert_eq!(full.condition, Condition::ResourceConstraint);
    let nodes = pep::disco::items(&alice.client, &account("alice"), None)
        .await
        .unwrap();
    assert_eq!(nodes.len(), pep::shelf::MOST_NODES);
    let gone = nodes[0].get("node").unwrap();
    alice
        .set("", &owner(&format!("<delete node='{gone}'/>")))
        .await
        .unwrap();
    let payload = format!("<x xmlns='urn:x'>{}</x>", "x".repeat(190_000));
    let mut count = 0;
    let full = loop {
        let options = [("max_items", "max")];
        match alice.publish("urn:big", "", &payload, &options).await {
            Ok(_) => count += 1,
            Err(full) => break full,
        }
    };
    assert_eq!(full.condition, Condition::ResourceConstraint);
    assert!(count > 100 && count as u64 * 190_000 <= pep::shelf::MOST_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_account_leaves_nothing_on_its_shelf() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "phone", &[]).await;
    let bob = Person::new(&server, "bob", "desk", &[]).await;
    alice.publish(DEVICES, "current", LIST, &[]).await.unwrap();
    assert!(bob.items(ALICE, DEVICES).await.is_ok());
    server
        .node
        .write(|tx| accounts::remove(tx, &account("alice")))
        .await
        .unwrap();
    assert_eq!(
        bob.items(ALICE, DEVICES).await.unwrap_err().condition,
        Condition::ServiceUnavailable
    );
    let left = server
        .node
        .store()
        .documents(
            &(&account("alice")).into(),
            &pep::shelf::items_of(DEVICES),
            "",
            None,
            9,
        )
        .unwrap();
    assert!(left.is_empty());
}
