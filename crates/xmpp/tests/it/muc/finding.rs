//! What can be learned of rooms and occupants: discovery, archive, questions.

use sammen_xmpp::wire::{Element, ns};

use super::{MUC, TOWN, body, field, item, ok, town};
use crate::people::{House, written};

#[tokio::test]
async fn a_question_to_an_occupant_hides_who_asks() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    bob.send("<iq type='get' id='v1' to='town@rooms.localhost/alice'><query xmlns='jabber:iq:version'/></iq>")
        .await;
    let asked = alice.expect(|el| el.name() == "iq").await;
    assert_eq!(asked.get("from"), Some("town@rooms.localhost/bob"));
    let id = asked.get("id").unwrap();
    alice
        .send(&format!(
            "<iq type='result' id='{id}' to='town@rooms.localhost/bob'><query xmlns='jabber:iq:version'><name>x</name></query></iq>"
        ))
        .await;
    let answer = bob.expect(|el| el.name() == "iq").await;
    assert_eq!(
        (answer.get("from"), answer.get("id"), answer.get("type")),
        (
            Some("town@rooms.localhost/alice"),
            Some("v1"),
            Some("result")
        )
    );
    // A second answer, and one that nobody asked for, reach nobody.
    alice
        .send(&format!(
            "<iq type='result' id='{id}' to='town@rooms.localhost/bob'/>"
        ))
        .await;
    alice.settles().await;
    bob.has_nothing(|el| el.name() == "iq").await;
    let vcard = "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>";
    ok(&alice.asks("set", "", "vc", vcard).await);
    let card = bob
        .asks(
            "get",
            "town@rooms.localhost/alice",
            "vc",
            "<vCard xmlns='vcard-temp'/>",
        )
        .await;
    let card = card
        .find("vCard", ns::VCARD_TEMP)
        .unwrap_or_else(|| panic!("{card:?}"));
    assert_eq!(
        card.find_text("FN", ns::VCARD_TEMP).as_deref(),
        Some("Alice")
    );
}

#[tokio::test]
async fn rooms_are_found_by_those_who_may_know_of_them() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    let count = |el: &Element| el.first().unwrap().all("item", ns::DISCO_ITEMS).count();
    let mut carol = house.arrives("carol", "train").await;
    assert_eq!(
        count(&bob.asks("get", "rooms.localhost", "d", items).await),
        1
    );
    assert_eq!(
        count(&carol.asks("get", "rooms.localhost", "d", items).await),
        0
    );
    ok(&alice
        .configures(&[
            ("muc#roomconfig_publicroom", "1"),
            ("muc#roomconfig_roomname", "The Town"),
        ])
        .await);
    let found = carol.asks("get", "rooms.localhost", "d", items).await;
    let town = found
        .first()
        .unwrap()
        .find("item", ns::DISCO_ITEMS)
        .unwrap();
    assert_eq!(
        (town.get("jid"), town.get("name")),
        (Some(TOWN), Some("The Town"))
    );
    assert_eq!(count(&carol.asks("get", TOWN, "d", items).await), 2);
    // By pages.
    for name in ["aaa", "bbb"] {
        carol
            .enters(&format!("{name}@rooms.localhost"), "carol", MUC)
            .await;
    }
    let page = |after: &str| {
        format!(
            "<query xmlns='{}'><set xmlns='{}'><max>2</max>{after}</set></query>",
            ns::DISCO_ITEMS,
            ns::RSM
        )
    };
    let first = carol.asks("get", "rooms.localhost", "d", &page("")).await;
    assert_eq!(count(&first), 2);
    let last = first
        .first()
        .unwrap()
        .find("set", ns::RSM)
        .unwrap()
        .find_text("last", ns::RSM);
    let after = format!("<after>{}</after>", last.unwrap());
    assert_eq!(
        count(
            &carol
                .asks("get", "rooms.localhost", "d", &page(&after))
                .await
        ),
        1
    );
    // A closed and hidden room keeps to itself.
    ok(&alice
        .configures(&[
            ("muc#roomconfig_publicroom", "0"),
            ("muc#roomconfig_membersonly", "1"),
        ])
        .await);
    assert_eq!(count(&carol.asks("get", TOWN, "d", items).await), 0);
    let (_, form) = carol.looks().await;
    assert_eq!(field(&form, "muc#roominfo_subject"), None);
    assert_eq!(carol.reads_archive("").await, Err("forbidden".into()));
    let info = carol
        .asks(
            "get",
            "rooms.localhost",
            "i",
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        )
        .await;
    assert!(written(&info).contains("var='http://jabber.org/protocol/muc'"));
}

#[tokio::test]
async fn the_archive_of_a_room_is_paged_and_searched() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    for text in ["one", "two", "three"] {
        alice.tells(text).await;
        bob.hears(text).await;
    }
    let last = bob
        .reads_archive("<set xmlns='http://jabber.org/protocol/rsm'><max>2</max><before/></set>")
        .await
        .unwrap();
    assert_eq!(last.iter().map(body).collect::<Vec<_>>(), ["two", "three"]);
    assert_eq!(last[0].get("from"), Some("town@rooms.localhost/alice"));
    assert!(
        last[0].find("x", ns::MUC_USER).is_none(),
        "bob sees no address"
    );
    let seen = alice.reads_archive("").await.unwrap();
    assert_eq!(item(&seen[0]).get("jid"), Some("alice@localhost"));
    let with = |who: &str| {
        format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
             <field var='with'><value>{who}</value></field></x>"
        )
    };
    assert_eq!(
        bob.reads_archive(&with("town@rooms.localhost/alice"))
            .await
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        bob.reads_archive(&with("town@rooms.localhost/bob"))
            .await
            .unwrap()
            .len(),
        0
    );
    assert_eq!(
        bob.reads_archive(&with("alice@localhost"))
            .await
            .unwrap()
            .len(),
        0
    );
    let ends = bob
        .asks("get", TOWN, "md", "<metadata xmlns='urn:xmpp:mam:2'/>")
        .await;
    assert_eq!(
        ends.first()
            .unwrap()
            .find("end", ns::MAM)
            .unwrap()
            .get("id"),
        last[1].get("archive")
    );
}
