//! Rooms between people with XMPP clients.

use sammen_xmpp::wire::{Element, ns};

use crate::people::{House, Person, written};

const TOWN: &str = "town@rooms.localhost";
const MUC: &str = "<x xmlns='http://jabber.org/protocol/muc'/>";

/// What a client gets on entering.
struct Entered {
    people: Vec<Element>,
    own: Element,
    past: Vec<Element>,
    subject: Element,
}

impl Person {
    /// Enters the town under a nick.
    async fn joins(&mut self, nick: &str) -> Entered {
        self.enters(TOWN, nick, MUC).await
    }

    /// Enters a room; `x` is the whole `<x/>`.
    async fn enters(&mut self, room: &str, nick: &str, x: &str) -> Entered {
        self.send(&format!("<presence to='{room}/{nick}'>{x}</presence>"))
            .await;
        let (mut people, mut past, mut own) = (Vec::new(), Vec::new(), None);
        loop {
            let el = self
                .expect(|el| el.get("from").is_some_and(|f| f.starts_with(room)))
                .await;
            assert_ne!(el.get("type"), Some("error"), "{el:?}");
            if el.name() == "presence" {
                if codes(&el).contains(&110) {
                    own = Some(el);
                } else {
                    people.push(el);
                }
            } else if el.has("subject", ns::CLIENT) && !el.has("body", ns::CLIENT) {
                let own = own.expect("the own presence comes before the subject");
                return Entered {
                    people,
                    own,
                    past,
                    subject: el,
                };
            } else {
                past.push(el);
            }
        }
    }

    /// Is refused at the door; returns the error's condition.
    async fn may_not_enter(&mut self, room: &str, nick: &str, x: &str) -> String {
        self.send(&format!("<presence to='{room}/{nick}'>{x}</presence>"))
            .await;
        let el = self
            .expect(|el| el.name() == "presence" && el.get("type") == Some("error"))
            .await;
        assert!(el.has("x", ns::MUC), "{el:?}");
        condition(&el)
    }

    /// Says something to the town.
    async fn tells(&mut self, text: &str) {
        self.send(&format!(
            "<message to='{TOWN}' type='groupchat' id='g-{text}'><body>{text}</body></message>"
        ))
        .await;
    }

    /// Waits for presence from an occupant of the town.
    async fn sees(&mut self, nick: &str) -> Element {
        let from = format!("{TOWN}/{nick}");
        self.expect(|el| el.name() == "presence" && el.get("from") == Some(&from))
            .await
    }

    /// Changes affiliations or roles; returns the answer.
    async fn ranks(&mut self, items: &str) -> Element {
        let query = format!("<query xmlns='{}'>{items}</query>", ns::MUC_ADMIN);
        self.asks("set", TOWN, "rank", &query).await
    }

    /// Submits the configuration of the town.
    async fn configures(&mut self, fields: &[(&str, &str)]) -> Element {
        let fields: String = fields
            .iter()
            .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
            .collect();
        let form = format!(
            "<query xmlns='{}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>{}</value></field>{fields}</x></query>",
            ns::MUC_OWNER,
            ns::MUC_ROOM_CONFIG
        );
        self.asks("set", TOWN, "config", &form).await
    }

    /// disco#info of the town: features, and the form.
    async fn looks(&mut self) -> (Vec<String>, Element) {
        let info = self
            .asks(
                "get",
                TOWN,
                "info",
                "<query xmlns='http://jabber.org/protocol/disco#info'/>",
            )
            .await;
        let query = info.find("query", ns::DISCO_INFO).unwrap();
        let features = query
            .all("feature", ns::DISCO_INFO)
            .map(|f| f.get("var").unwrap().to_owned())
            .collect();
        (features, query.find("x", ns::DATA_FORMS).unwrap().clone())
    }

    /// The town's archive: the forwarded messages.
    async fn reads_archive(&mut self, query: &str) -> Result<Vec<Element>, String> {
        let fin = self
            .asks(
                "set",
                TOWN,
                "mam",
                &format!("<query xmlns='urn:xmpp:mam:2' queryid='q'>{query}</query>"),
            )
            .await;
        if fin.get("type") == Some("error") {
            return Err(condition(&fin));
        }
        let mut found = Vec::new();
        for el in self.takes(|el| el.has("result", ns::MAM)) {
            let result = el.find("result", ns::MAM).unwrap();
            let forwarded = result.find("forwarded", ns::FORWARD).unwrap();
            assert!(forwarded.has("delay", ns::DELAY));
            let mut message = forwarded.find("message", ns::CLIENT).unwrap().clone();
            message.set("archive", result.get("id").unwrap());
            found.push(message);
        }
        Ok(found)
    }
}

fn codes(el: &Element) -> Vec<u16> {
    let Some(x) = el.find("x", ns::MUC_USER) else {
        return Vec::new();
    };
    x.all("status", ns::MUC_USER)
        .map(|s| s.get("code").unwrap().parse().unwrap())
        .collect()
}

fn item(el: &Element) -> &Element {
    el.find("x", ns::MUC_USER)
        .and_then(|x| x.find("item", ns::MUC_USER))
        .unwrap_or_else(|| panic!("no item: {el:?}"))
}

/// Affiliation and role.
fn rank(el: &Element) -> (&str, &str) {
    let item = item(el);
    (item.get("affiliation").unwrap(), item.get("role").unwrap())
}

fn condition(el: &Element) -> String {
    let error = el
        .find("error", ns::CLIENT)
        .unwrap_or_else(|| panic!("no error: {el:?}"));
    error.first().unwrap().name().to_owned()
}

fn ok(el: &Element) {
    assert_eq!(el.get("type"), Some("result"), "{el:?}");
}

fn body(el: &Element) -> String {
    el.find_text("body", ns::CLIENT)
        .unwrap_or_default()
        .into_owned()
}

fn field(form: &Element, var: &str) -> Option<String> {
    let field = form
        .all("field", ns::DATA_FORMS)
        .find(|f| f.get("var") == Some(var))?;
    Some(
        field
            .find_text("value", ns::DATA_FORMS)
            .unwrap_or_default()
            .into_owned(),
    )
}

/// Alice owns the town, bob is in it.
async fn town(house: &House) -> (Person, Person) {
    let mut alice = house.arrives("alice", "desk").await;
    alice.joins("alice").await;
    let mut bob = house.arrives("bob", "home").await;
    bob.joins("bob").await;
    alice.sees("bob").await;
    (alice, bob)
}

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
async fn a_message_is_reflected_to_everyone_as_it_was() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    bob.send(
        "<message to='town@rooms.localhost' type='groupchat' id='m1' xml:lang='de'><body>hallo</body>\
         <origin-id xmlns='urn:xmpp:sid:0' id='o1'/><thing xmlns='urn:example:unknown'>t</thing>\
         <stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='town@rooms.localhost'/>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>\
         <x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner'/></x></message>",
    )
    .await;
    let mut ids = Vec::new();
    for person in [&mut alice, &mut bob] {
        let heard = person.hears("hallo").await;
        assert_eq!(heard.get("from"), Some("town@rooms.localhost/bob"));
        assert_eq!(
            (heard.get("id"), heard.get("type"), heard.lang()),
            (Some("m1"), Some("groupchat"), Some("de"))
        );
        let text = written(&heard);
        assert!(
            text.contains("<thing xmlns='urn:example:unknown'>t</thing>"),
            "{text}"
        );
        assert!(
            text.contains("<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>"),
            "{text}"
        );
        assert!(
            !text.contains("forged") && !heard.has("x", ns::MUC_USER),
            "{text}"
        );
        let id = heard.find("stanza-id", ns::SID).unwrap();
        assert_eq!(id.get("by"), Some(TOWN));
        let occupant = heard.find("occupant-id", ns::OCCUPANT_ID).unwrap();
        ids.push((
            id.get("id").unwrap().to_owned(),
            occupant.get("id").unwrap().to_owned(),
        ));
    }
    assert_eq!(ids[0], ids[1]);
    let past = alice.reads_archive("").await.unwrap();
    assert_eq!(past.len(), 1);
    assert_eq!(past[0].get("archive"), Some(ids[0].0.as_str()));
}

#[tokio::test]
async fn who_is_not_in_says_nothing() {
    let house = House::new().await;
    let (mut alice, _bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    carol.tells("hello").await;
    let error = carol.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "not-acceptable");
    carol
        .send("<message to='nowhere@rooms.localhost' type='groupchat'><body>x</body></message>")
        .await;
    let error = carol.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "item-not-found");
    alice.has_nothing(|el| el.name() == "message").await;
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
async fn the_subject_is_for_moderators_unless_the_room_says_otherwise() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let subject = "<message to='town@rooms.localhost' type='groupchat' id='s1'><subject>fish</subject></message>";
    bob.send(subject).await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(
        (condition(&error).as_str(), error.get("id")),
        ("forbidden", Some("s1"))
    );
    ok(&alice
        .configures(&[("muc#roomconfig_changesubject", "1")])
        .await);
    bob.send(subject).await;
    let seen = alice.expect(|el| el.has("subject", ns::CLIENT)).await;
    assert_eq!(
        (seen.get("from"), seen.get("id")),
        (Some("town@rooms.localhost/bob"), Some("s1"))
    );
    // A subject beside a body is a message.
    bob.send("<message to='town@rooms.localhost' type='groupchat'><subject>x</subject><body>both</body></message>")
        .await;
    alice.hears("both").await;
    let mut carol = house.arrives("carol", "train").await;
    let came = carol.joins("carol").await;
    assert_eq!(
        came.subject.find_text("subject", ns::CLIENT).as_deref(),
        Some("fish")
    );
}

#[tokio::test]
async fn private_messages_are_for_one_occupant() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    carol.joins("carol").await;
    bob.send(
        "<message to='town@rooms.localhost/alice' type='chat' id='p1'><body>psst</body></message>",
    )
    .await;
    let heard = alice.hears("psst").await;
    assert_eq!(
        (heard.get("from"), heard.get("type"), heard.get("id")),
        (Some("town@rooms.localhost/bob"), Some("chat"), Some("p1"))
    );
    assert!(heard.has("x", ns::MUC_USER));
    // Typing too.
    bob.send("<message to='town@rooms.localhost/alice' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
        .await;
    let typing = alice.expect(|el| el.has("composing", ns::CHATSTATES)).await;
    assert_eq!(typing.get("from"), Some("town@rooms.localhost/bob"));
    carol.has_nothing(|el| el.name() == "message").await;
    assert!(carol.reads_archive("").await.unwrap().is_empty());
    assert_eq!(alice.reads_archive("").await.unwrap().len(), 1);
    for (kind, to, expected) in [
        ("groupchat", "alice", "bad-request"),
        ("chat", "nobody", "item-not-found"),
    ] {
        bob.send(&format!(
            "<message to='{TOWN}/{to}' type='{kind}'><body>x</body></message>"
        ))
        .await;
        let error = bob.expect(|el| el.get("type") == Some("error")).await;
        assert_eq!(condition(&error), expected);
    }
    ok(&alice
        .configures(&[("muc#roomconfig_allowpm", "none")])
        .await);
    bob.send("<message to='town@rooms.localhost/alice' type='chat'><body>x</body></message>")
        .await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "forbidden");
}

#[tokio::test]
async fn the_senders_other_client_has_a_copy_of_a_private_message() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut phone = house.arrives("bob", "phone").await;
    phone
        .asks("set", "", "c", "<enable xmlns='urn:xmpp:carbons:2'/>")
        .await;
    phone.joins("bob").await;
    bob.send(
        "<message to='town@rooms.localhost/alice' type='chat' id='p1'><body>psst</body></message>",
    )
    .await;
    alice.hears("psst").await;
    let copy = phone.expect(|el| el.has("sent", ns::CARBONS)).await;
    let sent = copy.find("sent", ns::CARBONS).unwrap();
    let inner = sent.find("forwarded", ns::FORWARD).unwrap();
    let inner = inner.find("message", ns::CLIENT).unwrap();
    assert_eq!(inner.get("to"), Some("town@rooms.localhost/alice"));
    assert_eq!(body(inner), "psst");
    assert!(inner.has("x", ns::MUC_USER));
}

#[tokio::test]
async fn bob_is_kicked_and_banned_and_let_in_again() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    ok(&alice
        .ranks("<item nick='bob' role='none'><reason>enough</reason></item>")
        .await);
    let out = bob.sees("bob").await;
    assert_eq!(
        (out.get("type"), codes(&out)),
        (Some("unavailable"), vec![307, 110])
    );
    assert_eq!(
        item(&out).find_text("reason", ns::MUC_USER).as_deref(),
        Some("enough")
    );
    assert_eq!(
        item(&out).find("actor", ns::MUC_USER).unwrap().get("nick"),
        Some("alice")
    );
    assert_eq!(codes(&alice.sees("bob").await), [307]);
    bob.joins("bob").await;
    alice.sees("bob").await;
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='outcast'/>")
        .await);
    let out = bob.sees("bob").await;
    assert_eq!(
        (codes(&out), rank(&out)),
        (vec![301, 110], ("outcast", "none"))
    );
    assert_eq!(codes(&alice.sees("bob").await), [301]);
    assert_eq!(bob.may_not_enter(TOWN, "bob", MUC).await, "forbidden");
    assert_eq!(bob.reads_archive("").await, Err("forbidden".into()));
    let list = alice
        .asks("get", TOWN, "l", "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast'/></query>")
        .await;
    let listed = list.first().unwrap().find("item", ns::MUC_ADMIN).unwrap();
    assert_eq!(listed.get("jid"), Some("bob@localhost"));
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='none'/>")
        .await);
    bob.joins("bob").await;
}

#[tokio::test]
async fn ranks_are_given_all_at_once_or_not_at_all() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    carol.joins("carol").await;
    // The second item makes all of it impossible.
    let refused = alice
        .ranks("<item jid='bob@localhost' affiliation='admin'/><item jid='alice@localhost' affiliation='outcast'/>")
        .await;
    assert_eq!(condition(&refused), "conflict");
    let refused = alice
        .ranks("<item jid='alice@localhost' affiliation='none'/>")
        .await;
    assert_eq!(condition(&refused), "conflict", "the last owner stays");
    bob.has_nothing(|el| rank_of(el, "bob") == Some(("admin".into(), "moderator".into())))
        .await;
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='admin'><reason>helps</reason></item><item jid='carol@localhost' affiliation='member'/>")
        .await);
    let own = bob
        .expect(|el| rank_of(el, "bob") == Some(("admin".into(), "moderator".into())))
        .await;
    assert!(codes(&own).contains(&110));
    assert_eq!(
        item(&own).find_text("reason", ns::MUC_USER).as_deref(),
        Some("helps")
    );
    // As a moderator bob learns who is who.
    let seen = bob
        .expect(|el| rank_of(el, "carol").is_some() && item(el).get("jid").is_some())
        .await;
    assert_eq!(item(&seen).get("jid"), Some("carol@localhost/train"));
    for (items, expected) in [
        (
            "<item jid='alice@localhost' affiliation='member'/>",
            "not-allowed",
        ),
        (
            "<item jid='carol@localhost' affiliation='admin'/>",
            "not-allowed",
        ),
        ("<item nick='alice' role='none'/>", "not-allowed"),
        ("<item nick='alice' role='visitor'/>", "not-allowed"),
        ("<item nick='nobody' role='none'/>", "item-not-found"),
        (
            "<item jid='bob@localhost' affiliation='outcast'/>",
            "conflict",
        ),
        ("<item nick='carol' role='king'/>", "bad-request"),
        ("", "bad-request"),
    ] {
        assert_eq!(condition(&bob.ranks(items).await), expected, "{items}");
    }
    for items in [
        "<item jid='bob@localhost' affiliation='none'/>",
        "<item nick='bob' role='none'/>",
    ] {
        assert_eq!(condition(&carol.ranks(items).await), "forbidden", "{items}");
    }
    // An owner hands the room over in one request.
    ok(&alice
        .ranks("<item jid='alice@localhost' affiliation='member'/><item jid='bob@localhost' affiliation='owner'/>")
        .await);
    bob.expect(|el| rank_of(el, "alice") == Some(("member".into(), "participant".into())))
        .await;
}

fn rank_of(el: &Element, nick: &str) -> Option<(String, String)> {
    let there = el.name() == "presence" && el.get("from") == Some(&format!("{TOWN}/{nick}"));
    there.then(|| {
        let (a, r) = rank(el);
        (a.to_owned(), r.to_owned())
    })
}

#[tokio::test]
async fn a_moderated_room_gives_voice() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    ok(&alice
        .configures(&[("muc#roomconfig_moderatedroom", "1")])
        .await);
    bob.expect(|el| rank_of(el, "bob") == Some(("none".into(), "visitor".into())))
        .await;
    bob.tells("may-i").await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "forbidden");
    // A visitor may still whisper, and asks for voice.
    bob.send("<message to='town@rooms.localhost/alice' type='chat'><body>please</body></message>")
        .await;
    alice.hears("please").await;
    bob.send(
        "<message to='town@rooms.localhost'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>http://jabber.org/protocol/muc#request</value></field><field var='muc#role'><value>participant</value>\
         </field></x></message>",
    )
    .await;
    let asked = alice.expect(|el| el.has("x", ns::DATA_FORMS)).await;
    let form = asked.find("x", ns::DATA_FORMS).unwrap();
    assert_eq!(field(form, "muc#roomnick").as_deref(), Some("bob"));
    assert_eq!(
        field(form, "muc#jid").as_deref(),
        Some("bob@localhost/home")
    );
    alice
        .send(
            "<message to='town@rooms.localhost'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#request</value></field><field var='muc#roomnick'><value>bob</value>\
             </field><field var='muc#request_allow'><value>true</value></field></x></message>",
        )
        .await;
    bob.expect(|el| rank_of(el, "bob") == Some(("none".into(), "participant".into())))
        .await;
    bob.tells("thanks").await;
    alice.hears("thanks").await;
    let voices = alice
        .asks("get", TOWN, "v", "<query xmlns='http://jabber.org/protocol/muc#admin'><item role='participant'/></query>")
        .await;
    let voice = voices.first().unwrap().find("item", ns::MUC_ADMIN).unwrap();
    assert_eq!(
        (voice.get("nick"), voice.get("jid")),
        (Some("bob"), Some("bob@localhost"))
    );
    ok(&alice.ranks("<item nick='bob' role='visitor'/>").await);
    bob.expect(|el| rank_of(el, "bob") == Some(("none".into(), "visitor".into())))
        .await;
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
async fn invitations_go_through_the_room() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    let invite = |who: &str| {
        format!(
            "<message to='{TOWN}'><x xmlns='{}'><invite to='{who}@localhost'><reason>come</reason></invite></x></message>",
            ns::MUC_USER
        )
    };
    bob.send(&invite("carol")).await;
    let got = carol.expect(|el| el.has("x", ns::MUC_USER)).await;
    assert_eq!(got.get("from"), Some(TOWN));
    let from = got
        .find("x", ns::MUC_USER)
        .unwrap()
        .find("invite", ns::MUC_USER)
        .unwrap();
    assert_eq!(from.get("from"), Some("bob@localhost"));
    assert_eq!(
        from.find_text("reason", ns::MUC_USER).as_deref(),
        Some("come")
    );
    carol
        .send(&format!(
            "<message to='{TOWN}'><x xmlns='{}'><decline to='bob@localhost'><reason>busy</reason></decline></x></message>",
            ns::MUC_USER
        ))
        .await;
    let no = bob
        .expect(|el| el.name() == "message" && el.has("x", ns::MUC_USER))
        .await;
    let no = no
        .find("x", ns::MUC_USER)
        .unwrap()
        .find("decline", ns::MUC_USER)
        .unwrap();
    assert_eq!(no.get("from"), Some("carol@localhost"));
    assert_eq!(
        no.find_text("reason", ns::MUC_USER).as_deref(),
        Some("busy")
    );
    // A closed room opens to the invited.
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='member'/>")
        .await);
    ok(&alice
        .configures(&[
            ("muc#roomconfig_membersonly", "1"),
            ("muc#roomconfig_allowinvites", "0"),
        ])
        .await);
    bob.send(&invite("carol")).await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "forbidden");
    assert_eq!(
        carol.may_not_enter(TOWN, "carol", MUC).await,
        "registration-required"
    );
    alice.send(&invite("carol")).await;
    carol
        .expect(|el| el.name() == "message" && el.has("x", ns::MUC_USER))
        .await;
    let came = carol.joins("carol").await;
    assert_eq!(rank(&came.own), ("member", "participant"));
}

#[tokio::test]
async fn an_invitation_waits_for_who_is_away() {
    let house = House::new().await;
    let (_alice, mut bob) = town(&house).await;
    bob.send(&format!(
        "<message to='{TOWN}'><x xmlns='{}'><invite to='carol@localhost'/></x></message>",
        ns::MUC_USER
    ))
    .await;
    bob.settles().await;
    let mut carol = house.signs_in("carol", "train").await;
    carol.send("<presence/>").await;
    let got = carol.expect(|el| el.has("x", ns::MUC_USER)).await;
    assert_eq!(got.get("from"), Some(TOWN));
}

#[tokio::test]
async fn the_owner_configures_and_everyone_hears_of_it() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    alice.joins("alice").await;
    let form = alice
        .asks(
            "get",
            TOWN,
            "f",
            "<query xmlns='http://jabber.org/protocol/muc#owner'/>",
        )
        .await;
    let form = form
        .first()
        .unwrap()
        .find("x", ns::DATA_FORMS)
        .unwrap()
        .clone();
    for (var, value) in [
        ("FORM_TYPE", ns::MUC_ROOM_CONFIG),
        ("muc#roomconfig_membersonly", "0"),
        ("muc#roomconfig_whois", "moderators"),
        ("muc#roomconfig_persistentroom", "1"),
        ("muc#roomconfig_maxusers", "none"),
        ("muc#roomconfig_allowpm", "anyone"),
        ("muc#roomconfig_roomowners", "alice@localhost"),
        ("{urn:sammen:room}encryption", "none"),
    ] {
        assert_eq!(field(&form, var).as_deref(), Some(value), "{var}");
    }
    // An instant room takes it as it is.
    ok(&alice
        .asks("set", TOWN, "i", "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>")
        .await);
    let mut bob = house.arrives("bob", "home").await;
    bob.joins("bob").await;
    let refused = bob
        .asks(
            "get",
            TOWN,
            "f",
            "<query xmlns='http://jabber.org/protocol/muc#owner'/>",
        )
        .await;
    assert_eq!(condition(&refused), "forbidden");
    ok(&alice
        .configures(&[
            ("muc#roomconfig_roomname", "The Town"),
            ("muc#roomconfig_roomdesc", "All of us"),
            ("muc#roomconfig_publicroom", "1"),
            ("muc#roomconfig_enablelogging", "1"),
            ("muc#roomconfig_roomadmins", "bob@localhost"),
        ])
        .await);
    let told = bob.expect(|el| codes(el).contains(&170)).await;
    assert_eq!(
        (told.get("from"), told.get("type")),
        (Some(TOWN), Some("groupchat"))
    );
    bob.expect(|el| rank_of(el, "bob") == Some(("admin".into(), "moderator".into())))
        .await;
    let (features, form) = bob.looks().await;
    for feature in [
        ns::MUC,
        ns::MAM,
        ns::OCCUPANT_ID,
        ns::MUC_STABLE_ID,
        ns::SID,
        ns::VCARD_TEMP,
        "muc_public",
        "muc_open",
        "muc_semianonymous",
        "muc_persistent",
        "muc_unsecured",
        "muc_unmoderated",
    ] {
        assert!(features.iter().any(|f| f == feature), "{feature}");
    }
    assert_eq!(field(&form, "muc#roominfo_occupants").as_deref(), Some("2"));
    assert!(
        field(&form, "muc#roominfo_description")
            .unwrap()
            .starts_with("All of us\n")
    );
    // Everyone reads the history now, also who is not in.
    alice.tells("for-all").await;
    alice.hears("for-all").await;
    let mut carol = house.arrives("carol", "train").await;
    assert_eq!(carol.reads_archive("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_room_whose_first_configuration_is_cancelled_is_gone() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    alice.joins("alice").await;
    ok(&alice
        .asks("set", TOWN, "c", "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='cancel'/></query>")
        .await);
    let out = alice.sees("alice").await;
    assert!(
        out.find("x", ns::MUC_USER)
            .unwrap()
            .has("destroy", ns::MUC_USER)
    );
    let again = alice.joins("alice").await;
    assert!(codes(&again.own).contains(&201));
}

#[tokio::test]
async fn the_owner_destroys_the_room() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let destroy = format!(
        "<query xmlns='{}'><destroy jid='city@rooms.localhost'><reason>moved</reason></destroy></query>",
        ns::MUC_OWNER
    );
    assert_eq!(
        condition(&bob.asks("set", TOWN, "d", &destroy).await),
        "forbidden"
    );
    ok(&alice.asks("set", TOWN, "d", &destroy).await);
    let out = bob.sees("bob").await;
    assert_eq!(
        (out.get("type"), rank(&out)),
        (Some("unavailable"), ("none", "none"))
    );
    let gone = out
        .find("x", ns::MUC_USER)
        .unwrap()
        .find("destroy", ns::MUC_USER)
        .unwrap();
    assert_eq!(gone.get("jid"), Some("city@rooms.localhost"));
    assert_eq!(
        gone.find_text("reason", ns::MUC_USER).as_deref(),
        Some("moved")
    );
    let info = bob
        .asks(
            "get",
            TOWN,
            "i",
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        )
        .await;
    assert_eq!(condition(&info), "item-not-found");
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
async fn a_room_bound_to_omemo_is_for_members_who_see_each_other() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let secret = "<message to='town@rooms.localhost' type='groupchat' id='e1'><encrypted xmlns='eu.siacs.conversations.axolotl'>\
        <header sid='1'/><payload>x</payload></encrypted><body>secret</body></message>";
    alice.send(secret).await;
    let error = alice.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(
        condition(&error),
        "not-acceptable",
        "an unbound room is for every app"
    );
    let (features, form) = alice.looks().await;
    assert!(features.iter().any(|f| f == "muc_semianonymous"));
    assert!(
        field(&form, "muc#roominfo_description")
            .unwrap()
            .contains("every app")
    );
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='member'/>")
        .await);
    ok(&alice
        .configures(&[
            ("muc#roomconfig_membersonly", "1"),
            ("muc#roomconfig_whois", "anyone"),
        ])
        .await);
    let told = bob.expect(|el| codes(el).contains(&172)).await;
    assert_eq!(told.get("from"), Some(TOWN));
    let seen = bob
        .expect(|el| rank_of(el, "alice").is_some() && item(el).get("jid").is_some())
        .await;
    assert_eq!(item(&seen).get("jid"), Some("alice@localhost/desk"));
    let (features, _) = bob.looks().await;
    for feature in ["muc_nonanonymous", "muc_membersonly"] {
        assert!(features.iter().any(|f| f == feature), "{feature}");
    }
    // Apps learn for whom to encrypt.
    for affiliation in ["owner", "member"] {
        let query = format!(
            "<query xmlns='{}'><item affiliation='{affiliation}'/></query>",
            ns::MUC_ADMIN
        );
        let list = bob.asks("get", TOWN, "l", &query).await;
        assert_eq!(list.first().unwrap().all("item", ns::MUC_ADMIN).count(), 1);
    }
    alice.send(secret).await;
    let heard = bob.hears("secret").await;
    assert!(heard.has("encrypted", ns::OMEMO));
    alice.tells("plain").await;
    let error = alice.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "not-acceptable");
}

#[tokio::test]
async fn a_moderator_takes_back_what_bob_wrote() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    for (n, child) in [
        (
            "1",
            "<moderate xmlns='urn:xmpp:message-moderate:1' id='ID'><retract xmlns='urn:xmpp:message-retract:1'/><reason>rude</reason></moderate>",
        ),
        (
            "0",
            "<apply-to xmlns='urn:xmpp:fasten:0' id='ID'><moderate xmlns='urn:xmpp:message-moderate:0'><retract xmlns='urn:xmpp:message-retract:0'/><reason>rude</reason></moderate></apply-to>",
        ),
    ] {
        let text = format!("rude{n}");
        bob.tells(&text).await;
        let heard = alice.hears(&text).await;
        let id = heard
            .find("stanza-id", ns::SID)
            .unwrap()
            .get("id")
            .unwrap()
            .to_owned();
        let child = child.replace("ID", &id);
        bob.hears(&text).await;
        assert_eq!(
            condition(&bob.asks("set", TOWN, "m", &child).await),
            "forbidden"
        );
        ok(&alice.asks("set", TOWN, "m", &child).await);
        let told = bob.expect(|el| el.has("retract", ns::RETRACT)).await;
        assert_eq!(told.get("from"), Some(TOWN));
        let retract = told.find("retract", ns::RETRACT).unwrap();
        assert_eq!(retract.get("id"), Some(id.as_str()));
        let by = retract.find("moderated", ns::MODERATE).unwrap();
        assert_eq!(by.get("by"), Some("town@rooms.localhost/alice"));
        assert_eq!(
            retract.find_text("reason", ns::RETRACT).as_deref(),
            Some("rude")
        );
        assert!(
            told.find("apply-to", ns::FASTEN)
                .is_some_and(|a| a.get("id") == Some(&id))
        );
        // The archive keeps a tombstone that names the moderator, and nothing of the text.
        let past = bob.reads_archive("").await.unwrap();
        let stone = past.iter().find(|m| m.get("archive") == Some(&id)).unwrap();
        assert!(
            stone.has("retracted", ns::RETRACT) && !stone.has("body", ns::CLIENT),
            "{stone:?}"
        );
        let moderated = stone.find("retracted", ns::RETRACT).unwrap();
        assert!(moderated.has("moderated", ns::MODERATE), "{stone:?}");
    }
    let nothing = "<moderate xmlns='urn:xmpp:message-moderate:1' id='0000000000000000000000000a'><retract xmlns='urn:xmpp:message-retract:1'/></moderate>";
    assert_eq!(
        condition(&alice.asks("set", TOWN, "m", nothing).await),
        "item-not-found"
    );
}

#[tokio::test]
async fn corrections_reactions_replies_and_own_retractions() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    bob.tells("helo").await;
    let heard = alice.hears("helo").await;
    let id = heard
        .find("stanza-id", ns::SID)
        .unwrap()
        .get("id")
        .unwrap()
        .to_owned();
    bob.send(
        "<message to='town@rooms.localhost' type='groupchat' id='c1'><body>hello</body>\
         <replace xmlns='urn:xmpp:message-correct:0' id='g-helo'/></message>",
    )
    .await;
    assert!(alice.hears("hello").await.has("replace", ns::CORRECT));
    alice
        .send(&format!(
            "<message to='{TOWN}' type='groupchat' id='r1'><reactions xmlns='{}' id='{id}'><reaction>🐟</reaction></reactions></message>",
            ns::REACTIONS
        ))
        .await;
    let reaction = bob.expect(|el| el.has("reactions", ns::REACTIONS)).await;
    assert_eq!(
        reaction.find("reactions", ns::REACTIONS).unwrap().get("id"),
        Some(id.as_str())
    );
    alice
        .send(&format!(
            "<message to='{TOWN}' type='groupchat' id='r2'><body>yes</body><reply xmlns='{}' to='{TOWN}/bob' id='{id}'/></message>",
            ns::REPLY
        ))
        .await;
    assert!(bob.hears("yes").await.has("reply", ns::REPLY));
    alice
        .send(&format!(
            "<message to='{TOWN}' type='groupchat' id='d1'><displayed xmlns='{}' id='{id}'/></message>",
            ns::MARKERS
        ))
        .await;
    bob.expect(|el| el.has("displayed", ns::MARKERS)).await;
    bob.send("<message to='town@rooms.localhost' type='groupchat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
        .await;
    let typing = alice.expect(|el| el.has("composing", ns::CHATSTATES)).await;
    assert_eq!(typing.get("from"), Some("town@rooms.localhost/bob"));
    // Another's message is not alice's to retract as her own would be; bob's is his.
    bob.send(&format!(
        "<message to='{TOWN}' type='groupchat' id='x1'><retract xmlns='{}' id='{id}'/></message>",
        ns::RETRACT
    ))
    .await;
    let gone = alice.expect(|el| el.has("retract", ns::RETRACT)).await;
    assert_eq!(gone.get("from"), Some("town@rooms.localhost/bob"));
    alice.tells("mine").await;
    let mine = bob.hears("mine").await;
    let mine = mine.find("stanza-id", ns::SID).unwrap().get("id").unwrap();
    bob.send(&format!(
        "<message to='{TOWN}' type='groupchat' id='x2'><retract xmlns='{}' id='{mine}'/></message>",
        ns::RETRACT
    ))
    .await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "forbidden");
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_reflected_to_its_sender_alone() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    bob.tells("once").await;
    let first = bob.hears("once").await;
    alice.hears("once").await;
    bob.tells("once").await;
    assert_eq!(bob.hears("once").await, first);
    alice.has_nothing(|el| el.name() == "message").await;
    assert_eq!(alice.reads_archive("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn nicks_can_be_registered() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let own = "<query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/>";
    let none = bob.asks("get", TOWN, "n", own).await;
    assert!(none.first().unwrap().first().is_none());
    let form = bob
        .asks("get", TOWN, "r", "<query xmlns='jabber:iq:register'/>")
        .await;
    let form = form
        .first()
        .unwrap()
        .find("x", ns::DATA_FORMS)
        .unwrap()
        .clone();
    assert_eq!(field(&form, "muc#register_roomnick").as_deref(), Some(""));
    let submit = |nick: &str| {
        format!(
            "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#register</value></field><field var='muc#register_roomnick'>\
             <value>{nick}</value></field></x></query>"
        )
    };
    assert_eq!(
        condition(&bob.asks("set", TOWN, "r", &submit("alice")).await),
        "conflict"
    );
    assert_eq!(
        condition(
            &bob.asks("set", TOWN, "r", "<query xmlns='jabber:iq:register'/>")
                .await
        ),
        "bad-request"
    );
    ok(&bob.asks("set", TOWN, "r", &submit("robert")).await);
    bob.expect(|el| rank_of(el, "robert").is_some_and(|(a, _)| a == "member"))
        .await;
    let known = bob.asks("get", TOWN, "n", own).await;
    assert_eq!(
        known.first().unwrap().first().unwrap().get("name"),
        Some("robert")
    );
    // It stays his while he is gone.
    bob.send("<presence type='unavailable' to='town@rooms.localhost/robert'/>")
        .await;
    let mut carol = house.arrives("carol", "train").await;
    assert_eq!(carol.may_not_enter(TOWN, "Robert", MUC).await, "conflict");
    ok(&bob
        .asks(
            "set",
            TOWN,
            "r",
            "<query xmlns='jabber:iq:register'><remove/></query>",
        )
        .await);
    carol.joins("Robert").await;
    ok(&alice
        .configures(&[("muc#roomconfig_moderatedroom", "1")])
        .await);
    let refused = bob
        .asks("get", TOWN, "r", "<query xmlns='jabber:iq:register'/>")
        .await;
    assert_eq!(
        condition(&refused),
        "not-allowed",
        "standing would give voice"
    );
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
async fn a_room_has_a_picture() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let vcard = "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORwECAw==</BINVAL></PHOTO></vCard>";
    assert_eq!(
        condition(&bob.asks("set", TOWN, "vc", vcard).await),
        "forbidden"
    );
    ok(&alice.asks("set", TOWN, "vc", vcard).await);
    let told = bob
        .expect(|el| el.name() == "presence" && el.get("from") == Some(TOWN))
        .await;
    let hash = told.find("x", ns::VCARD_UPDATE).unwrap();
    let hash = hash
        .find_text("photo", ns::VCARD_UPDATE)
        .unwrap()
        .into_owned();
    assert_eq!(hash.len(), 40);
    let (_, form) = bob.looks().await;
    assert_eq!(field(&form, "muc#roominfo_avatarhash"), Some(hash));
    let card = bob
        .asks("get", TOWN, "vc", "<vCard xmlns='vcard-temp'/>")
        .await;
    assert!(written(&card).contains("iVBORwECAw=="));
    let mut carol = house.arrives("carol", "train").await;
    let came = carol.joins("carol").await;
    assert_eq!(came.people[0].get("from"), Some(TOWN));
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
