//! Coming in, going, nicks.

use sammen_xmpp::wire::ns;

use super::{MUC, TOWN, body, codes, condition, item, ok, rank, town};
use crate::people::House;

#[tokio::test]
async fn alice_makes_the_town_and_bob_comes_in() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let made = alice.joins("alice").await;
    assert_eq!(rank(&made.own), ("owner", "moderator"));
    assert!(codes(&made.own).contains(&201));
    assert_eq!(
        made.subject.find_text("subject", ns::CLIENT).as_deref(),
        Some("")
    );
    let mut bob = house.arrives("bob", "home").await;
    let came = bob.joins("Bob the Builder").await;
    assert_eq!(codes(&came.own), [110]);
    assert_eq!(rank(&came.own), ("none", "participant"));
    assert_eq!(came.people.len(), 1);
    assert_eq!(
        came.people[0].get("from"),
        Some("town@rooms.localhost/alice")
    );
    assert_eq!(
        item(&came.people[0]).get("jid"),
        None,
        "addresses are hidden from bob"
    );
    // Alice moderates, so she sees who it is.
    let seen = alice.sees("Bob the Builder").await;
    assert_eq!(item(&seen).get("jid"), Some("bob@localhost/home"));
    assert!(seen.has("occupant-id", ns::OCCUPANT_ID));
    alice.has_nothing(|el| el.name() == "presence").await;
}

#[tokio::test]
async fn a_joiner_gets_as_much_of_the_past_as_it_wants() {
    let house = House::new().await;
    let (mut alice, _bob) = town(&house).await;
    for text in ["one", "two", "three"] {
        alice.tells(text).await;
        alice.hears(text).await;
    }
    alice
        .send(
            "<message to='town@rooms.localhost' type='groupchat'><subject>fish</subject></message>",
        )
        .await;
    alice.expect(|el| el.has("subject", ns::CLIENT)).await;
    let mut carol = house.arrives("carol", "train").await;
    let came = carol.joins("carol").await;
    let texts: Vec<_> = came.past.iter().map(body).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert!(
        came.past
            .iter()
            .all(|m| m.has("delay", ns::DELAY) && m.has("stanza-id", ns::SID))
    );
    assert_eq!(
        came.subject.find_text("subject", ns::CLIENT).as_deref(),
        Some("fish")
    );
    assert_eq!(came.subject.get("from"), Some("town@rooms.localhost/alice"));
    // Entering again while in gives everything anew.
    let x = |history: &str| format!("<x xmlns='{}'><history {history}/></x>", ns::MUC);
    let again = carol.enters(TOWN, "carol", &x("maxstanzas='2'")).await;
    assert_eq!(
        again.past.iter().map(body).collect::<Vec<_>>(),
        ["two", "three"]
    );
    assert_eq!(again.people.len(), 2);
    for nothing in [
        "maxstanzas='0'",
        "maxchars='0'",
        "seconds='0'",
        "since='2199-01-01T00:00:00Z'",
    ] {
        let again = carol.enters(TOWN, "carol", &x(nothing)).await;
        assert!(again.past.is_empty(), "{nothing}");
    }
    let again = carol
        .enters(TOWN, "carol", &x("since='2020-01-01T00:00:00Z'"))
        .await;
    assert_eq!(again.past.len(), 3);
    // Others see no coming and going.
    alice.sees("carol").await;
    alice
        .has_nothing(|el| el.name() == "presence" && el.get("type") == Some("unavailable"))
        .await;
}

#[tokio::test]
async fn nicks_are_of_one_person_and_can_change() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    assert_eq!(carol.may_not_enter(TOWN, "bob", MUC).await, "conflict");
    carol
        .send(&format!("<presence to='{TOWN}'>{MUC}</presence>"))
        .await;
    let error = carol.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "jid-malformed");
    bob.send("<presence to='town@rooms.localhost/alice'/>")
        .await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "conflict");
    bob.send("<presence to='town@rooms.localhost/robert'/>")
        .await;
    let goes = alice.sees("bob").await;
    assert_eq!(
        (goes.get("type"), codes(&goes)),
        (Some("unavailable"), vec![303])
    );
    assert_eq!(item(&goes).get("nick"), Some("robert"));
    assert_eq!(rank(&goes), ("none", "participant"));
    let comes = alice.sees("robert").await;
    assert_eq!(comes.get("type"), None);
    assert_eq!(codes(&bob.sees("bob").await), [303, 110]);
    assert_eq!(codes(&bob.sees("robert").await), [110]);
    bob.tells("me").await;
    assert_eq!(
        alice.hears("me").await.get("from"),
        Some("town@rooms.localhost/robert")
    );
    // Away, in words.
    bob.send(
        "<presence to='town@rooms.localhost/robert'><show>xa</show><status>tea</status></presence>",
    )
    .await;
    let away = alice.sees("robert").await;
    assert_eq!(away.find_text("show", ns::CLIENT).as_deref(), Some("xa"));
    assert_eq!(away.find_text("status", ns::CLIENT).as_deref(), Some("tea"));
}

#[tokio::test]
async fn leaving_on_purpose_is_seen_and_a_lost_client_is_away() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    bob.send("<presence type='unavailable' to='town@rooms.localhost/bob'><status>tea</status></presence>")
        .await;
    let gone = alice.sees("bob").await;
    assert_eq!(
        (gone.get("type"), rank(&gone)),
        (Some("unavailable"), ("none", "none"))
    );
    assert_eq!(gone.find_text("status", ns::CLIENT).as_deref(), Some("tea"));
    let own = bob.sees("bob").await;
    assert_eq!(
        (own.get("type"), codes(&own)),
        (Some("unavailable"), vec![110])
    );
    bob.joins("bob").await;
    assert_eq!(alice.sees("bob").await.get("type"), None);
    // The connection ends: the membership does not.
    bob.send("</stream:stream>").await;
    while bob.fresh().await.is_some() {}
    let away = alice.sees("bob").await;
    assert_eq!(away.get("type"), None);
    assert_eq!(away.find_text("show", ns::CLIENT).as_deref(), Some("away"));
    let mut carol = house.arrives("carol", "train").await;
    let came = carol.joins("carol").await;
    let bob = came
        .people
        .iter()
        .find(|p| p.get("from") == Some("town@rooms.localhost/bob"));
    assert_eq!(
        bob.unwrap().find_text("show", ns::CLIENT).as_deref(),
        Some("away")
    );
}

#[tokio::test]
async fn who_keeps_a_bookmark_stays_a_member() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let bookmark = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:bookmarks:1'>\
        <item id='town@rooms.localhost'><conference xmlns='urn:xmpp:bookmarks:1' autojoin='true'/></item></publish></pubsub>";
    ok(&bob.asks("set", "", "bm", bookmark).await);
    bob.send("<presence type='unavailable' to='town@rooms.localhost/bob'/>")
        .await;
    assert_eq!(bob.sees("bob").await.get("type"), Some("unavailable"));
    let away = alice.sees("bob").await;
    assert_eq!(away.get("type"), None);
    assert_eq!(away.find_text("show", ns::CLIENT).as_deref(), Some("away"));
}

#[tokio::test]
async fn two_clients_of_one_person_are_one_occupant() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut phone = house.arrives("bob", "phone").await;
    let came = phone.joins("bobby").await;
    assert_eq!(codes(&came.own), [110, 210]);
    assert_eq!(came.own.get("from"), Some("town@rooms.localhost/bob"));
    let seen = alice.sees("bob").await;
    let jids: Vec<_> = seen
        .find("x", ns::MUC_USER)
        .unwrap()
        .all("item", ns::MUC_USER)
        .map(|i| i.get("jid").unwrap())
        .collect();
    assert_eq!(jids, ["bob@localhost/home", "bob@localhost/phone"]);
    phone.tells("hi").await;
    bob.hears("hi").await;
    bob.send("<presence type='unavailable' to='town@rooms.localhost/bob'/>")
        .await;
    assert_eq!(alice.sees("bob").await.get("type"), None);
    bob.tells("still").await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "not-acceptable");
}

#[tokio::test]
async fn a_temporary_room_ends_with_its_last_occupant() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    ok(&alice
        .configures(&[("muc#roomconfig_persistentroom", "0")])
        .await);
    bob.send("</stream:stream>").await;
    while bob.fresh().await.is_some() {}
    assert_eq!(alice.sees("bob").await.get("type"), Some("unavailable"));
    alice
        .send("<presence type='unavailable' to='town@rooms.localhost/alice'/>")
        .await;
    alice.sees("alice").await;
    let again = alice.joins("alice").await;
    assert!(codes(&again.own).contains(&201), "it is made anew");
}

#[tokio::test]
async fn a_client_asks_whether_it_is_still_in() {
    let house = House::new().await;
    let (_alice, mut bob) = town(&house).await;
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    ok(&bob.asks("get", "town@rooms.localhost/bob", "p", ping).await);
    let mut phone = house.arrives("bob", "phone").await;
    let out = phone
        .asks("get", "town@rooms.localhost/bob", "p", ping)
        .await;
    assert_eq!(condition(&out), "not-acceptable");
    // Presence without <x/> of a client that only believes to be in does not let it in.
    phone
        .send("<presence to='town@rooms.localhost/bob'/>")
        .await;
    let error = phone.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "item-not-found");
}

#[tokio::test]
async fn the_doors_of_a_room() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    let refused = alice
        .configures(&[("muc#roomconfig_passwordprotectedroom", "1")])
        .await;
    assert_eq!(condition(&refused), "not-acceptable");
    ok(&alice
        .configures(&[
            ("muc#roomconfig_passwordprotectedroom", "1"),
            ("muc#roomconfig_roomsecret", "sesame"),
        ])
        .await);
    assert_eq!(
        carol.may_not_enter(TOWN, "carol", MUC).await,
        "not-authorized"
    );
    let wrong = format!("<x xmlns='{}'><password>x</password></x>", ns::MUC);
    assert_eq!(
        carol.may_not_enter(TOWN, "carol", &wrong).await,
        "not-authorized"
    );
    let right = format!("<x xmlns='{}'><password>sesame</password></x>", ns::MUC);
    carol.enters(TOWN, "carol", &right).await;
    carol
        .send("<presence type='unavailable' to='town@rooms.localhost/carol'/>")
        .await;
    carol.sees("carol").await;
    ok(&alice
        .configures(&[
            ("muc#roomconfig_passwordprotectedroom", "0"),
            ("muc#roomconfig_maxusers", "2"),
        ])
        .await);
    assert_eq!(
        carol.may_not_enter(TOWN, "carol", MUC).await,
        "service-unavailable"
    );
    // Who has no standing is shown out when the room closes.
    ok(&alice
        .configures(&[
            ("muc#roomconfig_maxusers", "none"),
            ("muc#roomconfig_membersonly", "1"),
        ])
        .await);
    let out = bob.sees("bob").await;
    assert_eq!(
        (out.get("type"), codes(&out)),
        (Some("unavailable"), vec![322, 110])
    );
    assert_eq!(
        bob.may_not_enter(TOWN, "bob", MUC).await,
        "registration-required"
    );
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='member'/>")
        .await);
    let told = bob.expect(|el| codes(el).contains(&101)).await;
    assert_eq!(item(&told).get("affiliation"), Some("member"));
    bob.joins("bob").await;
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='none'/>")
        .await);
    let out = bob.expect(|el| el.get("type") == Some("unavailable")).await;
    assert_eq!(codes(&out), [321, 110]);
}

#[tokio::test]
async fn who_can_not_resume_is_told_that_the_node_goes_down() {
    let house = House::new().await;
    let (_alice, mut bob) = town(&house).await;
    house.stop().await;
    let out = bob.sees("bob").await;
    assert_eq!(out.get("type"), Some("unavailable"));
    assert_eq!(codes(&out), [110, 332]);
}
