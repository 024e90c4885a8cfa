//! Plays of what publishing means beyond a node: names, read markers, bookmarks, avatars, private storage.

use sammen_core::ops::rooms;
use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::{Content, Message, Origin, Principal, Protocol};
use sammen_xmpp::pep::{newly_allowed, publish_own};
use sammen_xmpp::wire::{Condition, StanzaError, ns};
use sammen_xmpp::{avatar, pep};

use crate::desk::{self, Person, account, befriend, node, xml};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

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
