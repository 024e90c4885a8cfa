//! The account's archive.

use sammen_xmpp::wire::{Element, ns};

use crate::people::{House, Person};

/// Asks for a page; returns the texts and the `<fin/>`.
async fn page(person: &mut Person, inside: &str) -> (Vec<String>, Element) {
    let query = format!("<query xmlns='urn:xmpp:mam:2' queryid='q'>{inside}</query>");
    person
        .send(&format!("<iq type='set' id='mam'>{query}</iq>"))
        .await;
    let mut texts = Vec::new();
    loop {
        let el = person.next().await;
        if el.get("id") == Some("mam") {
            assert_eq!(el.get("type"), Some("result"), "{el:?}");
            return (texts, el.find("fin", ns::MAM).unwrap().clone());
        }
        let Some(result) = el.find("result", ns::MAM) else {
            continue;
        };
        let forwarded = result.find("forwarded", ns::FORWARD).unwrap();
        assert!(forwarded.has("delay", ns::DELAY));
        let message = forwarded.find("message", ns::CLIENT).unwrap();
        match message.find_text("body", ns::CLIENT) {
            Some(text) => texts.push(text.into_owned()),
            None => texts.push(format!("<{}>", message.first().unwrap().name())),
        }
    }
}

fn rsm(inside: &str) -> String {
    format!("<set xmlns='http://jabber.org/protocol/rsm'>{inside}</set>")
}

fn with(jid: &str) -> String {
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
        <field var='with'><value>{jid}</value></field></x>"
    )
}

#[tokio::test]
async fn alice_pages_through_what_was_said() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    for n in 1..=5 {
        alice.says("bob@localhost", &format!("b{n}")).await;
        alice.says("carol@localhost", &format!("c{n}")).await;
    }
    let (all, fin) = page(&mut alice, "").await;
    assert_eq!(
        all,
        ["b1", "c1", "b2", "c2", "b3", "c3", "b4", "c4", "b5", "c5"]
    );
    assert_eq!(fin.get("complete"), Some("true"));
    let (bobs, _) = page(&mut alice, &with("bob@localhost/any")).await;
    assert_eq!(bobs, ["b1", "b2", "b3", "b4", "b5"]);
    let (first, fin) = page(&mut alice, &(with("bob@localhost") + &rsm("<max>2</max>"))).await;
    assert_eq!((first.len(), fin.get("complete")), (2, None));
    let last = fin
        .find("set", ns::RSM)
        .unwrap()
        .find_text("last", ns::RSM)
        .unwrap()
        .into_owned();
    let next = rsm(&format!("<max>2</max><after>{last}</after>"));
    let (second, _) = page(&mut alice, &(with("bob@localhost") + &next)).await;
    assert_eq!(second, ["b3", "b4"]);
    let newest = rsm("<max>2</max><before/>") + "<flip-page/>";
    let (newest, _) = page(&mut alice, &(with("bob@localhost") + &newest)).await;
    assert_eq!(newest, ["b5", "b4"]);
    let (none, fin) = page(&mut alice, &rsm("<max>0</max>")).await;
    let count = fin
        .find("set", ns::RSM)
        .unwrap()
        .find_text("count", ns::RSM)
        .unwrap()
        .into_owned();
    assert_eq!((none.len(), count.as_str()), (0, "10"));
    let unknown = rsm("<after>00000000000000000000000001</after>");
    let query = format!("<query xmlns='urn:xmpp:mam:2'>{unknown}</query>");
    let error = alice.asks("set", "", "e", &query).await;
    assert!(
        error
            .find("error", ns::CLIENT)
            .unwrap()
            .has("item-not-found", ns::STANZA_ERRORS)
    );
}

#[tokio::test]
async fn nobody_reads_anothers_archive() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut carol = house.arrives("carol", "desk").await;
    alice.says("bob@localhost", "secret").await;
    alice.settles().await;
    let query = "<query xmlns='urn:xmpp:mam:2'/>";
    let error = carol.asks("set", "alice@localhost", "q", query).await;
    assert_eq!(error.get("type"), Some("error"));
    let (texts, _) = page(&mut carol, &with("alice@localhost")).await;
    assert!(texts.is_empty());
}

#[tokio::test]
async fn what_is_taken_back_leaves_a_tombstone() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut bob = house.arrives("bob", "home").await;
    alice.says("bob@localhost", "oops").await;
    bob.hears("oops").await;
    alice
        .send("<message to='bob@localhost' type='chat' id='r1'><retract id='m-oops' xmlns='urn:xmpp:message-retract:1'/>\
            <store xmlns='urn:xmpp:hints'/></message>")
        .await;
    bob.expect(|el| el.has("retract", ns::RETRACT)).await;
    // Bob can't take back what Alice said.
    alice.says("bob@localhost", "mine").await;
    bob.hears("mine").await;
    bob.send("<message to='alice@localhost' type='chat' id='r2'><retract id='m-mine' xmlns='urn:xmpp:message-retract:1'/></message>")
        .await;
    bob.expect(|el| el.get("type") == Some("error")).await;
    let (texts, _) = page(&mut bob, "").await;
    assert_eq!(texts, ["<retracted>", "<retract>", "mine"]);
}

#[tokio::test]
async fn alice_jumps_about_in_her_archive_by_number() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    for n in 0..7 {
        alice.says("bob@localhost", &format!("m{n}")).await;
    }
    let told = |fin: &Element| {
        let set = fin.find("set", ns::RSM).unwrap();
        let first = set.find("first", ns::RSM);
        (
            first.and_then(|f| f.get("index")).map(str::to_owned),
            set.find_text("count", ns::RSM).map(|c| c.into_owned()),
        )
    };
    let some = |index: &str| (Some(index.to_owned()), Some("7".to_owned()));
    let (texts, fin) = page(&mut alice, &rsm("<max>3</max><index>2</index>")).await;
    assert_eq!(texts, ["m2", "m3", "m4"]);
    assert_eq!((told(&fin), fin.get("complete")), (some("2"), None));
    let (texts, fin) = page(&mut alice, &rsm("<max>3</max><index>5</index>")).await;
    assert_eq!(texts, ["m5", "m6"]);
    assert_eq!((told(&fin), fin.get("complete")), (some("5"), Some("true")));
    let (texts, fin) = page(&mut alice, &rsm("<max>3</max><index>70</index>")).await;
    assert_eq!((texts.len(), told(&fin)), (0, (None, Some("7".into()))));
    // Other pages say how many there are as well.
    let (texts, fin) = page(&mut alice, &rsm("<max>2</max><before/>")).await;
    assert_eq!(
        (texts, told(&fin)),
        (vec!["m5".into(), "m6".into()], some("5"))
    );
    let (_, fin) = page(&mut alice, &rsm("<max>2</max>")).await;
    assert_eq!(told(&fin), some("0"));
    let far = format!(
        "<query xmlns='urn:xmpp:mam:2'>{}</query>",
        rsm("<index>4000000000</index>")
    );
    let refused = alice.asks("set", "", "far", &far).await;
    let error = refused.find("error", ns::CLIENT).unwrap();
    assert!(error.has("policy-violation", ns::STANZA_ERRORS));
}

#[tokio::test]
async fn archive_preferences_are_answered_with_what_holds() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let prefs = |inside: &str| format!("<prefs xmlns='urn:xmpp:mam:2' {inside}</prefs>");
    for (kind, ask) in [
        ("get", prefs(">")),
        (
            "set",
            prefs("default='never'><never><jid>bob@localhost</jid></never>"),
        ),
    ] {
        let answer = alice.asks(kind, "", "p", &ask).await;
        let told = answer.find("prefs", ns::MAM).unwrap();
        assert_eq!(told.get("default"), Some("always"));
        for list in ["always", "never"] {
            let list = told.find(list, ns::MAM).unwrap();
            assert_eq!(list.elements().count(), 0);
        }
    }
    for (ask, condition) in [
        (prefs("default='sometimes'>"), "bad-request"),
        (prefs(">"), "bad-request"),
        (
            prefs("default='roster'><always><jid>@</jid></always>"),
            "jid-malformed",
        ),
    ] {
        let answer = alice.asks("set", "", "p", &ask).await;
        let error = answer.find("error", ns::CLIENT).unwrap();
        assert!(error.has(condition, ns::STANZA_ERRORS), "{ask}");
    }
}
