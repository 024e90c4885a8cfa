//! Plays of personal eventing: nodes, who may read them, who is told, and what else is made of them.

use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::ops::{accounts, contacts, rooms};
use sammen_core::{Content, Message, Origin, Principal, Protocol};
use sammen_xmpp::pep::{newly_allowed, publish_own};
use sammen_xmpp::wire::{Condition, ErrorType, StanzaError, ns};
use sammen_xmpp::{avatar, pep};

use crate::desk::{self, Person, account, befriend, form, node, xml};

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
                form(ns::PUBSUB_NODE_CONFIG, &[("access_model", "authorize")])
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
async fn a_new_contact_is_shown_the_last_items() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "phone", &[]).await;
    let carol = Person::new(&server, "carol", "desk", &[ns::NICK]).await;
    alice
        .publish(
            ns::NICK,
            "",
            "<nick xmlns='http://jabber.org/protocol/nick'>Al</nick>",
            &[],
        )
        .await
        .unwrap();
    assert!(carol.told().is_empty());
    befriend(&server.node, "alice", "carol").await;
    newly_allowed(&carol.client, &account("alice")).await;
    assert_eq!(carol.told().len(), 1);
    // XEP-0172: the name is the account's, on every protocol.
    assert_eq!(
        server
            .node
            .account(&account("alice"))
            .unwrap()
            .unwrap()
            .display_name
            .as_deref(),
        Some("Al")
    );
    let vcard = carol
        .get(ALICE, "<vCard xmlns='vcard-temp'/>")
        .await
        .unwrap();
    assert_eq!(vcard.find_text("FN", ns::VCARD_TEMP).unwrap(), "Al");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_markers_are_one_for_all_protocols() {
    let server = node().await;
    let phone = Person::new(&server, "alice", "phone", &[ns::MDS]).await;
    let laptop = Person::new(&server, "alice", "laptop", &[ns::MDS]).await;
    let say = |text: &'static str| {
        server.node.write(move |tx| {
            let content = Content::Message(Message::text(text));
            let out = Outgoing::new(Target::Direct(account("alice")), content, Protocol::Irc);
            send::send(tx, &Principal::Of(account("bob")), out)
        })
    };
    let (first, second) = (say("one").await.unwrap(), say("two").await.unwrap());
    phone.told();
    laptop.told();
    let displayed = |id: &str| {
        format!(
            "<displayed xmlns='urn:xmpp:mds:displayed:0'><stanza-id xmlns='urn:xmpp:sid:0' by='alice@example.org' id='{id}'/></displayed>"
        )
    };
    let options = [
        ("persist_items", "true"),
        ("max_items", "max"),
        ("send_last_published_item", "never"),
        ("access_model", "whitelist"),
    ];
    let one = first.id.to_string();
    phone
        .publish(ns::MDS, BOB, &displayed(&one), &options)
        .await
        .unwrap();
    let told = |id: &str| {
        vec![format!(
            "<items xmlns='http://jabber.org/protocol/pubsub#event' node='urn:xmpp:mds:displayed:0'><item id='bob@example.org'>{}</item></items>",
            displayed(id)
        )]
    };
    assert_eq!(laptop.told(), told(&one));

    // Read on IRC: the node shows it.
    let two = second.id;
    server
        .node
        .write(move |tx| {
            let convo = tx.convo(second.conversation)?;
            let kind = sammen_core::event::MarkerKind::Displayed;
            send::mark_read(
                tx,
                &convo,
                &account("alice"),
                Some(two),
                kind,
                &Origin::default(),
            )
        })
        .await
        .unwrap();
    let two = two.to_string();
    assert_eq!(laptop.told(), told(&two));
    assert_eq!(
        laptop.items("", ns::MDS).await.unwrap(),
        [(BOB.into(), displayed(&two))]
    );
    // It never goes back.
    phone
        .publish(ns::MDS, BOB, &displayed(&one), &options)
        .await
        .unwrap();
    assert_eq!(
        laptop.items("", ns::MDS).await.unwrap(),
        [(BOB.into(), displayed(&two))]
    );
    // What this node can't know is kept as it is.
    phone
        .publish(ns::MDS, "friend@other.net", &displayed("x-1"), &options)
        .await
        .unwrap();
    assert_eq!(laptop.items("", ns::MDS).await.unwrap().len(), 2);
    let bob = Person::new(&server, "bob", "desk", &[]).await;
    assert!(bob.items(ALICE, ns::MDS).await.is_err());

    // XEP-0490 §3.4: in a message.
    let three = say("three").await.unwrap().id.to_string();
    let mut message = xml(&format!(
        "<message to='{BOB}'><displayed xmlns='urn:xmpp:chat-markers:0' id='a'/>{}</message>",
        displayed(&three)
    ));
    let out = pep::mds::take_assist(&mut message).unwrap();
    assert_eq!(message.elements().count(), 1);
    publish_own(&phone.client, out).await.unwrap();
    assert!(
        laptop
            .items("", ns::MDS)
            .await
            .unwrap()
            .contains(&(BOB.into(), displayed(&three)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_joined_elsewhere_is_a_bookmark_and_removing_it_leaves() {
    let server = node().await;
    let town = desk::room(&server.node, "town", "bob").await;
    let joined = town.clone();
    let join = move |tx: &mut sammen_core::tx::Tx<'_>| {
        let id = tx.room(&joined)?.id();
        rooms::join(
            tx,
            &account("alice"),
            id,
            None,
            None,
            &|_| false,
            &Origin::default(),
        )
        .map(drop)
    };
    server.node.write(join.clone()).await.unwrap();
    let alice = Person::new(
        &server,
        "alice",
        "phone",
        &[ns::BOOKMARKS, ns::BOOKMARKS_OLD],
    )
    .await;
    alice.told();
    let implied = "<conference xmlns='urn:xmpp:bookmarks:1' autojoin='true' name='The Town'><nick>alice</nick></conference>";
    let jid = "town@rooms.example.org";
    assert_eq!(
        alice.items("", ns::BOOKMARKS).await.unwrap(),
        [(jid.into(), implied.into())]
    );
    let list = "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>";
    let old = alice.get("", list).await.unwrap().first().unwrap().clone();
    assert_eq!(old.first().unwrap().get("jid"), Some(jid));

    // A client of the old kind writes the whole list, with one more room and a URL.
    let set = "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>\
        <conference jid='town@rooms.example.org' autojoin='true' name='The Town'><nick>alice</nick></conference>\
        <conference jid='far@rooms.other.net' autojoin='1' name='Far'/><url url='https://example.org' name='x'/></storage></query>";
    alice.set("", set).await.unwrap();
    let told = alice.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("far@rooms.other.net") && told[0].contains("urn:xmpp:bookmarks:1"));
    assert!(
        told[1].contains("storage:bookmarks") && told[1].contains("<url") && told[1].contains(jid)
    );
    assert_eq!(alice.items("", ns::BOOKMARKS).await.unwrap().len(), 2);
    assert_eq!(alice.items("", ns::BOOKMARKS_OLD).await.unwrap().len(), 1);
    // A list that left the town out may be an old copy: the membership stays.
    alice
        .set(
            "",
            "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>",
        )
        .await
        .unwrap();
    assert_eq!(
        alice.items("", ns::BOOKMARKS).await.unwrap(),
        [(jid.into(), implied.into())]
    );
    alice.told();

    // Retracting the bookmark means to leave.
    let retract = format!(
        "<pubsub xmlns='{}'><retract node='{}' notify='true'><item id='{jid}'/></retract></pubsub>",
        ns::PUBSUB,
        ns::BOOKMARKS
    );
    alice.set("", &retract).await.unwrap();
    assert!(alice.items("", ns::BOOKMARKS).await.unwrap().is_empty());
    assert!(
        !server
            .node
            .room(&town)
            .unwrap()
            .unwrap()
            .has(&account("alice"))
    );
    assert_eq!(alice.told().len(), 2);
    assert_eq!(
        alice.set("", &retract).await.unwrap_err().condition,
        Condition::ItemNotFound
    );

    // A bookmark that is not joined of itself says nothing of the membership.
    server.node.write(join).await.unwrap();
    alice
        .publish(
            ns::BOOKMARKS,
            jid,
            "<conference xmlns='urn:xmpp:bookmarks:1' autojoin='false'/>",
            &[],
        )
        .await
        .unwrap();
    alice.set("", &retract).await.unwrap();
    assert!(
        server
            .node
            .room(&town)
            .unwrap()
            .unwrap()
            .has(&account("alice"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_avatar_is_the_same_in_pep_vcard_and_presence() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "phone", &[]).await;
    let bob = Person::new(&server, "bob", "desk", &[ns::AVATAR_METADATA]).await;
    let presence = || avatar::stamp(alice.client.clone(), xml("<presence/>"));
    assert!(!presence().await.has("x", ns::VCARD_UPDATE));
    // From the vCard to PEP.
    let png = "iVBORw0KGgoBAgM=";
    let hash = avatar::sha1(&[0x89, b'P', b'N', b'G', 13, 10, 26, 10, 1, 2, 3]);
    let vcard = format!(
        "<vCard xmlns='vcard-temp'><FN>Alice</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>\n{png}\n</BINVAL></PHOTO></vCard>"
    );
    alice.set("", &vcard).await.unwrap();
    let told = bob.told();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains(&format!("<info id='{hash}' type='image/png' bytes='11'/>")),
        "{told:?}"
    );
    let data = bob.items(ALICE, ns::AVATAR_DATA).await.unwrap();
    assert_eq!(
        data,
        [(
            hash.clone(),
            format!("<data xmlns='urn:xmpp:avatar:data'>{png}</data>")
        )]
    );
    let photo = |el: sammen_xmpp::wire::Element| {
        el.find("x", ns::VCARD_UPDATE)
            .and_then(|x| x.find_text("photo", ns::VCARD_UPDATE))
            .map(|t| t.into_owned())
    };
    assert_eq!(photo(presence().await), Some(hash));
    // The vCard comes back with its photo, for strangers too; setting it again changes nothing.
    let carol = Person::new(&server, "carol", "desk", &[]).await;
    let shown = carol
        .get(ALICE, "<vCard xmlns='vcard-temp'/>")
        .await
        .unwrap();
    assert_eq!(shown.find_text("FN", ns::VCARD_TEMP).unwrap(), "Alice");
    assert!(
        shown
            .to_string()
            .contains(&format!("<BINVAL>{png}</BINVAL>"))
    );
    alice.set("", &shown.to_string()).await.unwrap();
    assert!(bob.told().is_empty());
    // From PEP to the vCard.
    let gif = "R0lGODk=";
    let gif_hash = avatar::sha1(b"GIF89");
    alice
        .publish(
            ns::AVATAR_DATA,
            &gif_hash,
            &format!("<data xmlns='urn:xmpp:avatar:data'>{gif}</data>"),
            &[],
        )
        .await
        .unwrap();
    let metadata = format!(
        "<metadata xmlns='urn:xmpp:avatar:metadata'><info id='{gif_hash}' bytes='5' type='image/gif'/></metadata>"
    );
    alice
        .publish(ns::AVATAR_METADATA, &gif_hash, &metadata, &[])
        .await
        .unwrap();
    let shown = carol
        .get(ALICE, "<vCard xmlns='vcard-temp'/>")
        .await
        .unwrap()
        .to_string();
    assert!(
        shown.contains(gif) && shown.contains("<FN>Alice</FN>"),
        "{shown}"
    );
    assert_eq!(photo(presence().await), Some(gif_hash));
    // Without a photo there is none anywhere.
    alice
        .set("", "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>")
        .await
        .unwrap();
    assert!(!presence().await.has("x", ns::VCARD_UPDATE));
    assert!(
        !carol
            .get(ALICE, "<vCard xmlns='vcard-temp'/>")
            .await
            .unwrap()
            .has("PHOTO", ns::VCARD_TEMP)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn private_storage_is_private_and_bounded() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "phone", &[]).await;
    alice.set("", "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'><nick>Al</nick></exodus></query>").await.unwrap();
    let get = "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'/></query>";
    let found = alice.get("", get).await.unwrap();
    assert!(found.to_string().contains("<nick>Al</nick>"));
    let bob = Person::new(&server, "bob", "desk", &[]).await;
    assert!(!bob.get("", get).await.unwrap().to_string().contains("Al"));
    let big = format!(
        "<query xmlns='jabber:iq:private'><a xmlns='urn:a'/><b xmlns='urn:b'>{}</b></query>",
        "x".repeat(140_000)
    );
    assert_eq!(
        alice.set("", &big).await.unwrap_err().condition,
        Condition::PolicyViolation
    );
    let full = loop_until_full(&alice).await;
    assert_eq!(full.condition, Condition::ResourceConstraint);
}

async fn loop_until_full(alice: &Person) -> StanzaError {
    for i in 0..1000 {
        let set = format!("<query xmlns='jabber:iq:private'><a xmlns='urn:{i}'/></query>");
        if let Err(full) = alice.set("", &set).await {
            return full;
        }
    }
    panic!("a thousand elements fit")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_account_leaves_nothing_on_its_shelf() {
    let server = node().await;
    let alice = Person::new(&server, "alice", "phone", &[]).await;
    let bob = Person::new(&server, "bob", "desk", &[]).await;
    alice
        .publish(DEVICES, "current", &list(1), &[])
        .await
        .unwrap();
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
