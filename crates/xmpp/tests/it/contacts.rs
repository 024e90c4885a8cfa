//! Roster, subscriptions, presence, blocking, questions between clients.

use sammen_core::store::Write;
use sammen_xmpp::wire::ns;

use crate::people::{House, written};

#[tokio::test]
async fn a_new_picture_is_told_at_once_and_the_rest_of_presence_stays() {
    let house = House::new().await;
    crate::desk::befriend_at(&house.node, "alice@localhost", "bob@localhost").await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut bob = house.signs_in("bob", "home").await;
    bob.send("<presence><show>dnd</show><status>cooking</status></presence>")
        .await;
    let of_bob = |el: &sammen_xmpp::wire::Element| {
        el.name() == "presence" && el.get("from") == Some("bob@localhost/home")
    };
    alice.expect(of_bob).await;
    let vcard = "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORwECAw==</BINVAL></PHOTO></vCard>";
    bob.asks("set", "", "vc", vcard).await;
    let shown = alice.expect(of_bob).await;
    let x = shown.find("x", ns::VCARD_UPDATE).unwrap();
    let hash = sammen_xmpp::avatar::sha1(&[0x89, b'P', b'N', b'G', 1, 2, 3]);
    assert_eq!(
        x.find_text("photo", ns::VCARD_UPDATE).as_deref(),
        Some(&*hash)
    );
    assert_eq!(
        shown.find_text("status", ns::CLIENT).as_deref(),
        Some("cooking")
    );
    bob.asks("set", "", "vc", "<vCard xmlns='vcard-temp'/>")
        .await;
    let shown = alice.expect(of_bob).await;
    let x = shown.find("x", ns::VCARD_UPDATE).unwrap();
    assert_eq!(x.find_text("photo", ns::VCARD_UPDATE).as_deref(), Some(""));
}

#[tokio::test]
async fn a_whole_domain_is_blocked() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let block = "<block xmlns='urn:xmpp:blocking'><item jid='spam.example'/></block>";
    let done = alice.asks("set", "", "b", block).await;
    assert_eq!(done.get("type"), Some("result"));
    let list = alice
        .asks("get", "", "l", "<blocklist xmlns='urn:xmpp:blocking'/>")
        .await;
    assert!(written(&list).contains("jid='spam.example'"));
    let me = sammen_core::Address::new("alice@localhost").unwrap();
    let contacts = house.node.contacts(&me).unwrap();
    for (who, blocked) in [
        ("xmpp:eve@spam.example", true),
        ("xmpp:spam.example", true),
        ("xmpp:eve@other.example", false),
        ("xmpp:eve@not-spam.example", false),
        ("mail:eve@spam.example", false),
    ] {
        let who = sammen_core::Address::new(who).unwrap();
        assert_eq!(
            sammen_core::contact::is_blocked(&contacts, &who),
            blocked,
            "{who}"
        );
    }
}

#[tokio::test]
async fn alice_and_bob_become_contacts_and_see_each_other() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut bob = house.arrives("bob", "home").await;
    for person in [&mut alice, &mut bob] {
        person
            .asks("get", "", "r", "<query xmlns='jabber:iq:roster'/>")
            .await;
    }
    alice
        .send("<presence to='bob@localhost' type='subscribe'><status>it is me</status></presence>")
        .await;
    let push = alice.expect(|el| el.has("query", ns::ROSTER)).await;
    let item = push
        .find("query", ns::ROSTER)
        .unwrap()
        .find("item", ns::ROSTER)
        .unwrap();
    assert_eq!(
        (item.get("subscription"), item.get("ask")),
        (Some("none"), Some("subscribe"))
    );
    let asked = bob.expect(|el| el.get("type") == Some("subscribe")).await;
    assert_eq!(
        asked.find_text("status", ns::CLIENT).as_deref(),
        Some("it is me")
    );
    // A client of Bob's that comes later is asked too.
    let mut phone = house.arrives("bob", "phone").await;
    phone.expect(|el| el.get("type") == Some("subscribe")).await;
    bob.send("<presence to='alice@localhost' type='subscribed'/>")
        .await;
    alice
        .expect(|el| el.get("type") == Some("subscribed"))
        .await;
    let shown = alice
        .expect(|el| el.get("from") == Some("bob@localhost/home"))
        .await;
    assert_eq!(shown.get("type"), None);
    bob.send("</stream:stream>").await;
    alice
        .expect(|el| {
            el.get("from") == Some("bob@localhost/home") && el.get("type") == Some("unavailable")
        })
        .await;
    // Taking her off the list ends it both ways.
    let me =
        "<query xmlns='jabber:iq:roster'><item jid='bob@localhost' subscription='remove'/></query>";
    alice.asks("set", "", "rm", me).await;
    alice
        .expect(|el| {
            el.find("query", ns::ROSTER)
                .and_then(|q| q.find("item", ns::ROSTER))
                .is_some_and(|i| i.get("subscription") == Some("remove"))
        })
        .await;
}

#[tokio::test]
async fn a_roster_is_caught_up_by_its_version() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let item = |jid| {
        format!("<query xmlns='jabber:iq:roster'><item jid='{jid}'><group>a</group></item></query>")
    };
    alice.asks("set", "", "1", &item("bob@localhost")).await;
    let whole = alice
        .asks("get", "", "2", "<query xmlns='jabber:iq:roster' ver=''/>")
        .await;
    let query = whole.find("query", ns::ROSTER).unwrap().clone();
    assert_eq!(query.elements().count(), 1);
    let ver = query.get("ver").unwrap().to_owned();
    alice.asks("set", "", "3", &item("carol@localhost")).await;
    let mut phone = house.signs_in("alice", "phone").await;
    let caught = format!("<query xmlns='jabber:iq:roster' ver='{ver}'/>");
    let answer = phone.asks("get", "", "4", &caught).await;
    assert_eq!(answer.elements().count(), 0);
    let push = phone.expect(|el| el.has("query", ns::ROSTER)).await;
    let item = push
        .find("query", ns::ROSTER)
        .unwrap()
        .find("item", ns::ROSTER)
        .unwrap();
    assert_eq!(item.get("jid"), Some("carol@localhost"));
}

#[tokio::test]
async fn a_roster_is_sent_whole_where_a_removal_is_no_longer_known() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let item = |jid: &str, more: &str| {
        format!("<query xmlns='jabber:iq:roster'><item jid='{jid}' {more}/></query>")
    };
    alice.asks("set", "", "1", &item("bob@localhost", "")).await;
    alice
        .asks("set", "", "2", &item("carol@localhost", ""))
        .await;
    let reading = |ver: &str| format!("<query xmlns='jabber:iq:roster' ver='{ver}'/>");
    let whole = alice.asks("get", "", "3", &reading("")).await;
    let ver = whole.find("query", ns::ROSTER).unwrap().get("ver").unwrap();
    let ver = ver.to_owned();
    let remove = item("carol@localhost", "subscription='remove'");
    alice.asks("set", "", "4", &remove).await;
    let gone = house
        .node
        .store()
        .tombstones(house.node.last_seq(), 9)
        .unwrap();
    let carol = gone.into_iter().find(|t| t.key.contains("carol")).unwrap();
    house
        .node
        .write(move |tx| {
            tx.write(Write::ForgetTombstone(carol));
            Ok(())
        })
        .await
        .unwrap();
    let mut phone = house.signs_in("alice", "phone").await;
    let answer = phone.asks("get", "", "5", &reading(&ver)).await;
    let query = answer.find("query", ns::ROSTER).unwrap();
    let items: Vec<_> = query.elements().filter_map(|i| i.get("jid")).collect();
    assert_eq!(items, ["bob@localhost"]);
    // And not again and again.
    let newer = query.get("ver").unwrap();
    let answer = phone.asks("get", "", "6", &reading(newer)).await;
    assert_eq!(answer.elements().count(), 0);
}

#[tokio::test]
async fn who_is_blocked_learns_nothing_and_reaches_nobody() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut bob = house.arrives("bob", "home").await;
    alice
        .asks("get", "", "l", "<blocklist xmlns='urn:xmpp:blocking'/>")
        .await;
    let block = "<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>";
    alice.asks("set", "", "b", block).await;
    alice.expect(|el| el.has("block", ns::BLOCKING)).await;
    bob.says("alice@localhost", "hello").await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert!(
        error
            .find("error", ns::CLIENT)
            .unwrap()
            .has("service-unavailable", ns::STANZA_ERRORS)
    );
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    let answer = bob.asks("get", "alice@localhost/desk", "p", ping).await;
    assert_eq!(answer.get("type"), Some("error"));
    alice.says("bob@localhost", "no").await;
    let error = alice.expect(|el| el.get("type") == Some("error")).await;
    assert!(
        error
            .find("error", ns::CLIENT)
            .unwrap()
            .has("blocked", ns::BLOCKING_ERRORS)
    );
    alice
        .has_nothing(|el| el.find_text("body", ns::CLIENT).as_deref() == Some("hello"))
        .await;
}

#[tokio::test]
async fn clients_ask_each_other_and_unknown_questions_are_refused() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut bob = house.arrives("bob", "home").await;
    alice
        .send(
            "<iq type='get' id='v' to='bob@localhost/home'><query xmlns='jabber:iq:version'/></iq>",
        )
        .await;
    let asked = bob.expect(|el| el.get("id") == Some("v")).await;
    assert_eq!(asked.get("from"), Some("alice@localhost/desk"));
    bob.send("<iq type='result' id='v' to='alice@localhost/desk'><query xmlns='jabber:iq:version'/></iq>").await;
    let answer = alice.expect(|el| el.get("id") == Some("v")).await;
    assert_eq!(
        (answer.get("type"), answer.get("from")),
        (Some("result"), Some("bob@localhost/home"))
    );
    for (to, condition) in [
        ("bob@localhost/away", "service-unavailable"),
        ("bob@localhost", "service-unavailable"),
        ("nobody@localhost", "service-unavailable"),
        ("localhost", "service-unavailable"),
        ("someone@other.example", "remote-server-not-found"),
    ] {
        let answer = alice
            .asks("get", to, "u", "<thing xmlns='urn:example:x'/>")
            .await;
        assert!(
            answer
                .find("error", ns::CLIENT)
                .unwrap()
                .has(condition, ns::STANZA_ERRORS),
            "{to}"
        );
    }
    let bad = alice
        .asks("get", "localhost", "w", "<a xmlns='u'/><b xmlns='u'/>")
        .await;
    assert!(
        bad.find("error", ns::CLIENT)
            .unwrap()
            .has("bad-request", ns::STANZA_ERRORS)
    );
    let info = alice
        .asks(
            "get",
            "localhost",
            "d",
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        )
        .await;
    let query = info.find("query", ns::DISCO_INFO).unwrap();
    assert!(query.elements().any(|f| f.get("var") == Some(ns::CARBONS)));
}

#[tokio::test]
async fn who_is_newly_allowed_sees_the_last_items_at_once() {
    let house = House::new().await;
    let mut alice = house.signs_in("alice", "desk").await;
    let mut bob = house.arrives("bob", "home").await;
    // Alice's app wants nicknames (XEP-0115 by disco).
    alice
        .send("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:app' ver='Li0z8aaqF48h2+SUzxyqmrf0KZw='/></presence>")
        .await;
    let asked = alice
        .expect(|el| el.name() == "iq" && el.has("query", ns::DISCO_INFO))
        .await;
    let query = asked.find("query", ns::DISCO_INFO).unwrap();
    let (id, node) = (asked.get("id").unwrap(), query.get("node").unwrap());
    alice
        .send(&format!(
            "<iq type='result' to='localhost' id='{id}'><query xmlns='{}' node='{node}'>{DISCO}</query></iq>",
            ns::DISCO_INFO
        ))
        .await;
    let nick = format!(
        "<pubsub xmlns='{}'><publish node='{n}'><item><nick xmlns='{n}'>Bobby</nick></item></publish></pubsub>",
        ns::PUBSUB,
        n = ns::NICK
    );
    bob.asks("set", "", "p", &nick).await;
    alice
        .has_nothing(|el| el.has("event", ns::PUBSUB_EVENT))
        .await;
    alice
        .send("<presence to='bob@localhost' type='subscribe'/>")
        .await;
    bob.expect(|el| el.get("type") == Some("subscribe")).await;
    bob.send("<presence to='alice@localhost' type='subscribed'/>")
        .await;
    let told = alice.expect(|el| el.has("event", ns::PUBSUB_EVENT)).await;
    assert!(written(&told).contains("Bobby"));
}

/// What her app can do; the hash above is of this.
const DISCO: &str = "<identity category='client' type='pc'/><feature var='http://jabber.org/protocol/nick+notify'/>";

#[tokio::test]
async fn an_empty_vcard_tells_a_stranger_no_more_than_none() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    for jid in ["bob@localhost", "nobody-here@localhost"] {
        let answer = alice
            .asks("get", jid, "v", "<vCard xmlns='vcard-temp'/>")
            .await;
        let error = answer.find("error", ns::CLIENT).unwrap();
        assert!(error.has("service-unavailable", ns::STANZA_ERRORS), "{jid}");
    }
}
