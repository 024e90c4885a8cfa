//! Plays of personal eventing: nodes, who may read them, who is told, and what else is made of them.

use sammen_core::ops::contacts;
use sammen_xmpp::pep;
use sammen_xmpp::wire::{Condition, ErrorType, StanzaError, ns};

use crate::desk::{Person, account, form, node};

const DEVICES: &str = "eu.siacs.conversations.axolotl.devicelist";
const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

fn list(id: u32) -> String {
    format!("<list xmlns='eu.siacs.conversations.axolotl'><device id='{id}'/></list>")
}

fn app(error: &StanzaError) -> &str {
    error.app.as_ref().map_or("", |a| a.name())
}

fn owner(child: &str) -> String {
    format!("<pubsub xmlns='{}'>{child}</pubsub>", ns::PUBSUB_OWNER)
}

#[tokio::test(flavor = "multi_thread")]
async fn omemo_devices_reach_contacts_and_strangers_can_fetch_them() {
    let server = node().await;
    let phone = Person::new(&server, "alice", "phone", &[DEVICES]).await;
    let laptop = Person::new(&server, "alice", "laptop", &[DEVICES]).await;
    let bob = Person::new(&server, "bob", "desk", &[DEVICES]).await;
    let deaf = Person::new(&server, "bob", "deaf", &[]).await;
    let carol = Person::new(&server, "carol", "desk", &[DEVICES]).await;
    let open = [
        ("access_model", "open"),
        ("persist_items", "true"),
        ("max_items", "1"),
    ];
    phone
        .publish(DEVICES, "current", &list(1), &open)
        .await
        .unwrap();
    let told = vec![format!(
        "<items xmlns='http://jabber.org/protocol/pubsub#event' node='{DEVICES}'><item id='current'>{}</item></items>",
        list(1)
    )];
    assert_eq!(phone.told(), told);
    assert_eq!(laptop.told(), told);
    assert_eq!(bob.told(), told);
    assert!(deaf.told().is_empty());
    // Carol does not see Alice's presence: she is not told, but keys are there for whoever wants to write.
    assert!(carol.told().is_empty());
    assert_eq!(
        carol.items(ALICE, DEVICES).await.unwrap(),
        [("current".into(), list(1))]
    );

    // Who comes later is shown the last list, of others and of the own account.
    let tablet = Person::new(&server, "bob", "tablet", &[DEVICES]).await;
    assert_eq!(tablet.told(), told);
    let watch = Person::new(&server, "alice", "watch", &[DEVICES]).await;
    assert_eq!(watch.told(), told);
    // The same caps again bring nothing new.
    watch.wants(&[DEVICES]).await;
    assert!(watch.told().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_stay_one_for_each_device() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "phone", &[]).await;
    let options = [
        ("access_model", "open"),
        ("max_items", "max"),
        ("persist_items", "true"),
    ];
    let bundle =
        |n: u32| format!("<bundle xmlns='urn:xmpp:omemo:2'><spk id='{n}'>AAAA</spk></bundle>");
    for id in [7, 8, 9] {
        alice
            .publish(
                "urn:xmpp:omemo:2:bundles",
                &id.to_string(),
                &bundle(id),
                &options,
            )
            .await
            .unwrap();
    }
    alice
        .publish("urn:xmpp:omemo:2:bundles", "8", &bundle(80), &options)
        .await
        .unwrap();
    let carol = Person::new(&server, "carol", "desk", &[]).await;
    let found = carol
        .items(ALICE, "urn:xmpp:omemo:2:bundles")
        .await
        .unwrap();
    assert_eq!(
        found,
        [
            ("7".into(), bundle(7)),
            ("9".into(), bundle(9)),
            ("8".into(), bundle(80))
        ]
    );
    let one = format!(
        "<pubsub xmlns='{}'><items node='urn:xmpp:omemo:2:bundles'><item id='9'/></items></pubsub>",
        ns::PUBSUB
    );
    let answer = carol.get(ALICE, &one).await.unwrap();
    assert_eq!(answer.first().unwrap().elements().count(), 1);
    let newest = format!(
        "<pubsub xmlns='{}'><items node='urn:xmpp:omemo:2:bundles' max_items='1'/></pubsub>",
        ns::PUBSUB
    );
    let answer = carol.get(ALICE, &newest).await.unwrap();
    assert_eq!(
        answer.first().unwrap().first().unwrap().get("id"),
        Some("8")
    );
    // A page says where it is.
    let page = format!(
        "<pubsub xmlns='{}'><items node='urn:xmpp:omemo:2:bundles'/><set xmlns='{}'><max>2</max></set></pubsub>",
        ns::PUBSUB,
        ns::RSM
    );
    let answer = carol.get(ALICE, &page).await.unwrap();
    assert_eq!(
        answer
            .find("set", ns::RSM)
            .unwrap()
            .find_text("count", ns::RSM)
            .unwrap(),
        "3"
    );
    assert_eq!(answer.first().unwrap().elements().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn preconditions_that_do_not_hold_change_nothing() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "phone", &["urn:x"]).await;
    alice
        .publish("urn:x", "a", "<x xmlns='urn:x'/>", &[])
        .await
        .unwrap();
    alice.told();
    let refused = alice
        .publish(
            "urn:x",
            "a",
            "<y xmlns='urn:x'/>",
            &[("access_model", "open")],
        )
        .await
        .unwrap_err();
    assert_eq!(
        (refused.condition, refused.kind),
        (Condition::Conflict, ErrorType::Cancel)
    );
    assert_eq!(app(&refused), "precondition-not-met");
    assert_eq!(
        alice.items("", "urn:x").await.unwrap(),
        [("a".into(), "<x xmlns='urn:x'/>".into())]
    );
    assert!(alice.told().is_empty());
    // The client sets the configuration and tries again, as clients do.
    let request = owner(&format!(
        "<configure node='urn:x'>{}</configure>",
        form(ns::PUBSUB_NODE_CONFIG, &[("access_model", "open")])
    ));
    alice.set("", &request).await.unwrap();
    alice
        .publish(
            "urn:x",
            "a",
            "<y xmlns='urn:x'/>",
            &[("access_model", "open")],
        )
        .await
        .unwrap();
    let shown = alice
        .get("", &owner("<configure node='urn:x'/>"))
        .await
        .unwrap();
    assert!(shown.to_string().contains("<value>open</value>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_or_writes_what_is_not_theirs() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "phone", &[]).await;
    let bob = Person::new(&server, "bob", "desk", &["urn:list", "urn:presence"]).await;
    let carol = Person::new(&server, "carol", "desk", &["urn:list", "urn:presence"]).await;
    alice
        .publish("urn:presence", "a", "<x xmlns='urn:x'/>", &[])
        .await
        .unwrap();
    alice
        .publish(
            "urn:list",
            "a",
            "<x xmlns='urn:x'/>",
            &[("access_model", "whitelist")],
        )
        .await
        .unwrap();
    assert_eq!(bob.told().len(), 1);
    assert!(carol.told().is_empty());

    assert!(bob.items(ALICE, "urn:presence").await.is_ok());
    let refused = carol.items(ALICE, "urn:presence").await.unwrap_err();
    assert_eq!(
        (refused.condition, app(&refused)),
        (Condition::NotAuthorized, "presence-subscription-required")
    );
    let refused = bob.items(ALICE, "urn:list").await.unwrap_err();
    assert_eq!(
        (refused.condition, app(&refused)),
        (Condition::NotAllowed, "closed-node")
    );
    assert_eq!(
        bob.items(ALICE, "urn:nothing").await.unwrap_err().condition,
        Condition::ItemNotFound
    );
    assert_eq!(
        bob.items(ALICE, ns::BOOKMARKS).await.unwrap_err().condition,
        Condition::ItemNotFound
    );

    // Bob is let in by name; he reads, is told, and still writes nothing.
    let request = owner(
        "<affiliations node='urn:list'><affiliation jid='bob@example.org' affiliation='member'/></affiliations>",
    );
    alice.set("", &request).await.unwrap();
    assert!(bob.items(ALICE, "urn:list").await.is_ok());
    alice
        .publish("urn:list", "b", "<y xmlns='urn:x'/>", &[])
        .await
        .unwrap();
    assert_eq!(bob.told().len(), 1);
    let publish = format!(
        "<pubsub xmlns='{}'><publish node='urn:list'><item><z xmlns='urn:x'/></item></publish></pubsub>",
        ns::PUBSUB
    );
    assert_eq!(
        bob.set(ALICE, &publish).await.unwrap_err().condition,
        Condition::Forbidden
    );
    let retract = format!(
        "<pubsub xmlns='{}'><retract node='urn:list'><item id='b'/></retract></pubsub>",
        ns::PUBSUB
    );
    assert_eq!(
        bob.set(ALICE, &retract).await.unwrap_err().condition,
        Condition::Forbidden
    );
    for request in ["<delete node='urn:list'/>", "<purge node='urn:list'/>"] {
        assert_eq!(
            bob.set(ALICE, &owner(request)).await.unwrap_err().condition,
            Condition::Forbidden
        );
    }
    assert_eq!(
        bob.get(ALICE, &owner("<configure node='urn:list'/>"))
            .await
            .unwrap_err()
            .condition,
        Condition::Forbidden
    );
    assert_eq!(alice.items("", "urn:list").await.unwrap().len(), 1);

    // Nobody lists what they may not read.
    let names = |found: Vec<sammen_xmpp::wire::Element>| -> Vec<String> {
        found
            .iter()
            .filter_map(|i| i.get("node").map(str::to_owned))
            .collect()
    };
    let seen = pep::disco::items(&bob.client, &account("alice"), None)
        .await
        .unwrap();
    assert_eq!(names(seen), ["urn:list", "urn:presence"]);
    let seen = pep::disco::items(&carol.client, &account("alice"), None)
        .await
        .unwrap();
    assert!(names(seen).is_empty());

    // Who is blocked learns nothing at all, not even from open nodes.
    alice
        .publish(DEVICES, "current", &list(1), &[])
        .await
        .unwrap();
    let block = |tx: &mut sammen_core::tx::Tx<'_>| {
        contacts::block(tx, &account("alice"), &account("bob"), true).map(drop)
    };
    server.node.write(block).await.unwrap();
    for item in ["urn:list", DEVICES, "urn:nothing"] {
        assert_eq!(
            bob.items(ALICE, item).await.unwrap_err().condition,
            Condition::ServiceUnavailable,
            "{item}"
        );
    }
    alice
        .publish("urn:list", "c", "<y xmlns='urn:x'/>", &[])
        .await
        .unwrap();
    assert!(bob.told().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_retracted_purged_and_nodes_deleted() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "phone", &["urn:x"]).await;
    let bob = Person::new(&server, "bob", "desk", &["urn:x"]).await;
    let create = format!(
        "<pubsub xmlns='{}'><create node='urn:x'/><configure>{}</configure></pubsub>",
        ns::PUBSUB,
        form(
            ns::PUBSUB_NODE_CONFIG,
            &[("max_items", "3"), ("notify_delete", "1")]
        )
    );
    alice.set("", &create).await.unwrap();
    assert_eq!(
        alice.set("", &create).await.unwrap_err().condition,
        Condition::Conflict
    );
    for id in ["a", "b", "c", "d"] {
        alice
            .publish("urn:x", id, "<x xmlns='urn:x'/>", &[])
            .await
            .unwrap();
    }
    let ids =
        |items: Vec<(String, String)>| items.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(
        ids(alice.items("", "urn:x").await.unwrap()),
        ["b", "c", "d"]
    );
    bob.told();
    let retract = |ids: &str| {
        format!(
            "<pubsub xmlns='{}'><retract node='urn:x' notify='1'>{ids}</retract></pubsub>",
            ns::PUBSUB
        )
    };
    // One that is not there: nothing goes.
    let refused = alice
        .set("", &retract("<item id='d'/><item id='nope'/>"))
        .await
        .unwrap_err();
    assert_eq!(refused.condition, Condition::ItemNotFound);
    assert_eq!(alice.items("", "urn:x").await.unwrap().len(), 3);
    alice.set("", &retract("<item id='d'/>")).await.unwrap();
    assert_eq!(
        bob.told(),
        [
            "<items xmlns='http://jabber.org/protocol/pubsub#event' node='urn:x'><retract id='d'/></items>"
        ]
    );
    // The last item is now the one before.
    let late = Person::new(&server, "bob", "late", &["urn:x"]).await;
    assert!(late.told()[0].contains("<item id='c'>"));
    assert_eq!(
        app(&alice.set("", &retract("")).await.unwrap_err()),
        "item-required"
    );
    alice
        .set("", &owner("<purge node='urn:x'/>"))
        .await
        .unwrap();
    assert!(alice.items("", "urn:x").await.unwrap().is_empty());
    alice
        .set("", &owner("<delete node='urn:x'/>"))
        .await
        .unwrap();
    assert_eq!(
        bob.told(),
        [
            "<purge xmlns='http://jabber.org/protocol/pubsub#event' node='urn:x'/>",
            "<delete xmlns='http://jabber.org/protocol/pubsub#event' node='urn:x'/>"
        ]
    );
    assert_eq!(
        alice.items("", "urn:x").await.unwrap_err().condition,
        Condition::ItemNotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_is_told_without_presence() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "phone", &[]).await;
    let carol = Person::new(&server, "carol", "desk", &[]).await;
    alice
        .publish(
            "urn:blog",
            "1",
            "<post xmlns='urn:blog'/>",
            &[("access_model", "open")],
        )
        .await
        .unwrap();
    let subscribe = |jid: &str| {
        format!(
            "<pubsub xmlns='{}'><subscribe node='urn:blog' jid='{jid}'/></pubsub>",
            ns::PUBSUB
        )
    };
    assert_eq!(
        app(&carol.set(ALICE, &subscribe(BOB)).await.unwrap_err()),
        "invalid-jid"
    );
    carol
        .set(ALICE, &subscribe("carol@example.org"))
        .await
        .unwrap();
    assert_eq!(carol.told().len(), 1, "the last item");
    alice
        .publish("urn:blog", "2", "<post xmlns='urn:blog'/>", &[])
        .await
        .unwrap();
    assert_eq!(carol.told().len(), 1);
    let own = format!("<pubsub xmlns='{}'><subscriptions/></pubsub>", ns::PUBSUB);
    assert_eq!(
        carol
            .get(ALICE, &own)
            .await
            .unwrap()
            .first()
            .unwrap()
            .elements()
            .count(),
        1
    );
    let unsubscribe = format!(
        "<pubsub xmlns='{}'><unsubscribe node='urn:blog' jid='carol@example.org'/></pubsub>",
        ns::PUBSUB
    );
    carol.set(ALICE, &unsubscribe).await.unwrap();
    alice
        .publish("urn:blog", "3", "<post xmlns='urn:blog'/>", &[])
        .await
        .unwrap();
    assert!(carol.told().is_empty());
    assert_eq!(
        app(&carol.set(ALICE, &unsubscribe).await.unwrap_err()),
        "not-subscribed"
    );
    // Access is looked at whenever something is told: once the node closes, the subscription is of no use.
    carol
        .set(ALICE, &subscribe("carol@example.org"))
        .await
        .unwrap();
    carol.told();
    let close = format!(
        "<configure node='urn:blog'>{}</configure>",
        form(ns::PUBSUB_NODE_CONFIG, &[("access_model", "whitelist")])
    );
    alice.set("", &owner(&close)).await.unwrap();
    alice
        .publish("urn:blog", "4", "<post xmlns='urn:blog'/>", &[])
        .await
        .unwrap();
    assert!(carol.told().is_empty());
}
