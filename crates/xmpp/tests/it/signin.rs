//! Signing in the newer way: SASL2, Bind 2, resumption on the way, tokens, upgrades. What comes of it is what comes of
//! the older way.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sammen_core::ops::sessions;
use sammen_core::{Address, Domain, Name};
use sammen_net::Hash;
use sammen_net::credentials::{Credentials, Iterations};
use sammen_net::sasl::Mechanism;
use sammen_xmpp::wire::{Element, ns};

use crate::people::{House, Person, written};

const PHONE: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";
const NONE: &str = "HT-SHA-256-NONE";

/// `<authenticate/>` with the password.
fn plain(name: &str, more: &str) -> String {
    let data = STANDARD.encode(format!("\0{name}\0pass-{name}"));
    authenticate("PLAIN", &data, more)
}

fn authenticate(mechanism: &str, data: &str, more: &str) -> String {
    format!(
        "<authenticate xmlns='{}' mechanism='{mechanism}'><initial-response>{data}</initial-response>{more}</authenticate>",
        ns::SASL2
    )
}

fn agent(id: &str) -> String {
    format!("<user-agent id='{id}'><software>Play</software><device>phone</device></user-agent>")
}

fn bind(more: &str) -> String {
    format!("<bind xmlns='{}'><tag>Play</tag>{more}</bind>", ns::BIND2)
}

/// `<authenticate/>` with a token.
fn token(name: &str, token: &str, fast: &str, more: &str) -> String {
    let hash = Hash::Sha256.hmac(token.as_bytes(), b"Initiator");
    let data = STANDARD.encode([name.as_bytes(), b"\0", &hash].concat());
    let fast = format!("<fast xmlns='{}'{fast}/>{more}", ns::FAST);
    authenticate(NONE, &data, &fast)
}

fn wants_token() -> String {
    format!("<request-token xmlns='{}' mechanism='{NONE}'/>", ns::FAST)
}

fn fresh_token(success: &Element) -> String {
    let token = success.find("token", ns::FAST).expect("a token");
    assert!(token.get("expiry").is_some());
    token.get("token").unwrap().to_owned()
}

/// Opens a stream and says this; the answer. After success come the features.
async fn says(house: &House, authenticate: &str) -> (Person, Element) {
    let mut person = house.connects().await;
    person.opens().await;
    person.send(authenticate).await;
    let answer = person.next().await;
    if answer.is("success", ns::SASL2) {
        let jid = answer.find_text("authorization-identifier", ns::SASL2);
        person.jid = jid.unwrap().into_owned();
        assert!(person.next().await.is("features", ns::STREAM));
    }
    (person, answer)
}

async fn is_let_in(house: &House, authenticate: &str) -> (Person, Element) {
    let (person, answer) = says(house, authenticate).await;
    assert!(answer.is("success", ns::SASL2), "{answer:?}");
    (person, answer)
}

async fn is_refused(house: &House, authenticate: &str, condition: &str) -> Person {
    let (person, answer) = says(house, authenticate).await;
    assert!(answer.is("failure", ns::SASL2), "{answer:?}");
    assert!(answer.has(condition, ns::SASL), "{condition}: {answer:?}");
    person
}

#[tokio::test]
async fn the_features_say_what_can_be_done_on_the_way() {
    let house = House::new().await;
    let features = house.connects().await.opens().await;
    let old = features.find("mechanisms", ns::SASL).unwrap();
    let new = features.find("authentication", ns::SASL2).unwrap();
    let names = |el: &Element, ns: &str| -> Vec<String> {
        let found = el.elements().filter(|e| e.is("mechanism", ns));
        found.map(|e| e.content().into_owned()).collect()
    };
    assert_eq!(names(old, ns::SASL), names(new, ns::SASL2));
    let inline = new.find("inline", ns::SASL2).unwrap();
    assert!(inline.has("sm", ns::SM));
    let fast = inline.find("fast", ns::FAST).unwrap();
    assert_eq!(names(fast, ns::FAST), [NONE], "no TLS, nothing to bind to");
    let bind = inline.find("bind", ns::BIND2).unwrap();
    assert_eq!(
        bind.find("inline", ns::BIND2).unwrap().elements().count(),
        3
    );
    assert!(new.has("upgrade", ns::SASL_UPGRADE));
}

#[tokio::test]
async fn alice_signs_in_with_one_element_and_has_what_she_asked_for() {
    let house = House::new().await;
    let mut bob = house.arrives("bob", "desk").await;
    let wishes = bind(
        "<enable xmlns='urn:xmpp:carbons:2'/><enable xmlns='urn:xmpp:sm:3' resume='true'/><inactive xmlns='urn:xmpp:csi:0'/>",
    );
    let (mut alice, success) = is_let_in(&house, &plain("alice", &(agent(PHONE) + &wishes))).await;
    assert!(
        alice.jid.starts_with("alice@localhost/Play/"),
        "{}",
        alice.jid
    );
    assert!(!alice.jid.contains(PHONE));
    let bound = success.find("bound", ns::BIND2).unwrap();
    assert!(bound.has("metadata", ns::MAM));
    assert!(bound.find("enabled", ns::SM).unwrap().get("id").is_some());
    alice.send("<presence/>").await;
    // Carbons are on: what her desk says is copied to her.
    let mut desk = house.arrives("alice", "desk").await;
    desk.send("<message to='bob@localhost' type='chat'><body>hi</body></message>")
        .await;
    bob.expect(|el| el.find_text("body", ns::CLIENT).as_deref() == Some("hi"))
        .await;
    alice.expect(|el| el.has("sent", ns::CARBONS)).await;
    // What she sends is counted from the first stanza on.
    alice.send("<r xmlns='urn:xmpp:sm:3'/>").await;
    let handled = alice.expect(|el| el.is("a", ns::SM)).await;
    assert_eq!(handled.get("h"), Some("1"));
    // The same app has the same name again, and the older session ends.
    let (again, _) = is_let_in(&house, &plain("alice", &(agent(PHONE) + &bind("")))).await;
    assert_eq!(again.jid, alice.jid);
    let error = alice.expect(|el| el.is("error", ns::STREAM)).await;
    assert!(error.has("conflict", ns::STREAM_ERRORS));
    let (other, _) = is_let_in(&house, &plain("alice", &(agent("another") + &bind("")))).await;
    assert_ne!(other.jid, alice.jid);
}

#[tokio::test]
async fn who_only_signs_in_binds_as_ever() {
    let house = House::new().await;
    let (mut alice, success) = is_let_in(&house, &plain("alice", "")).await;
    assert_eq!(alice.jid, "alice@localhost");
    assert!(!success.has("bound", ns::BIND2));
    let bind = format!(
        "<bind xmlns='{}'><resource>desk</resource></bind>",
        ns::BIND
    );
    let bound = alice.asks("set", "", "b", &bind).await;
    assert_eq!(bound.get("type"), Some("result"));
    // RFC 3921 §3, as Converse.js does it.
    let session = format!("<session xmlns='{}'/>", ns::SESSION);
    let begun = alice.asks("set", "", "s", &session).await;
    assert_eq!(begun.get("type"), Some("result"), "{begun:?}");
    alice.settles().await;
}

#[tokio::test]
async fn a_token_opens_the_account_and_nothing_else_does() {
    let house = House::new().await;
    let first = plain("alice", &(agent(PHONE) + &bind("") + &wants_token()));
    let (alice, success) = is_let_in(&house, &first).await;
    let secret = fresh_token(&success);
    drop(alice);
    let me = agent(PHONE) + &bind("");
    let (_, success) = is_let_in(&house, &token("alice", &secret, "", &me)).await;
    assert!(!success.has("token", ns::FAST), "it is a day old at most");
    let proof = success.find_text("additional-data", ns::SASL2).unwrap();
    let proof = STANDARD.decode(proof.as_bytes()).unwrap();
    assert_eq!(proof, Hash::Sha256.hmac(secret.as_bytes(), b"Responder"));
    // Another app, another account, another token, or none of the app's name.
    let other = agent("another") + &bind("");
    is_refused(
        &house,
        &token("alice", &secret, "", &other),
        "not-authorized",
    )
    .await;
    is_refused(&house, &token("bob", &secret, "", &me), "not-authorized").await;
    is_refused(&house, &token("nobody", &secret, "", &me), "not-authorized").await;
    is_refused(
        &house,
        &token("alice", "made up", "", &me),
        "not-authorized",
    )
    .await;
    is_refused(
        &house,
        &token("alice", &secret, "", &bind("")),
        "malformed-request",
    )
    .await;
    let bound = token("alice", &secret, "", &me).replace(NONE, "HT-SHA-256-EXPR");
    is_refused(&house, &bound, "invalid-mechanism").await;
    // A count is good once.
    is_let_in(&house, &token("alice", &secret, " count='2'", &me)).await;
    is_refused(
        &house,
        &token("alice", &secret, " count='2'", &me),
        "not-authorized",
    )
    .await;
    // A new one replaces it once it is used.
    let renew = me.clone() + &wants_token();
    let (_, success) = is_let_in(&house, &token("alice", &secret, " count='3'", &renew)).await;
    let newer = fresh_token(&success);
    is_let_in(&house, &token("alice", &secret, " count='4'", &me)).await;
    is_let_in(&house, &token("alice", &newer, "", &me)).await;
    is_refused(
        &house,
        &token("alice", &secret, " count='5'", &me),
        "not-authorized",
    )
    .await;
    // It is given back.
    is_let_in(&house, &token("alice", &newer, " invalidate='true'", &me)).await;
    is_refused(&house, &token("alice", &newer, "", &me), "not-authorized").await;
}

#[tokio::test]
async fn a_token_dies_with_its_password_and_when_all_are_signed_out() {
    let house = House::new().await;
    let me = agent(PHONE) + &bind("");
    let first = plain("alice", &(me.clone() + &wants_token()));
    let (mut alice, success) = is_let_in(&house, &first).await;
    let secret = fresh_token(&success);
    let account = Address::new("alice@localhost").unwrap();
    let everywhere = account.clone();
    house
        .node
        .write(move |tx| sessions::sign_out_everywhere(tx, &everywhere, None))
        .await
        .unwrap();
    alice.expect(|el| el.is("error", ns::STREAM)).await;
    let shown = token("alice", &secret, "", &me);
    is_refused(&house, &shown, "credentials-expired").await;
    let (mut alice, success) = is_let_in(&house, &first).await;
    let secret = fresh_token(&success);
    is_let_in(&house, &token("alice", &secret, "", &me)).await;
    alice.expect(|el| el.is("error", ns::STREAM)).await;
    house
        .server
        .accounts
        .change(&account, |c| {
            c.set_passphrase(
                &"other words".into(),
                Iterations::quick(),
                5,
                &mut rand::rng(),
            )
        })
        .await
        .unwrap();
    let shown = token("alice", &secret, "", &me);
    is_refused(&house, &shown, "credentials-expired").await;
}

#[tokio::test]
async fn a_session_is_resumed_on_the_way_or_a_new_one_begins() {
    let house = House::new().await;
    let mut bob = house.arrives("bob", "desk").await;
    let enable = bind("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let first = plain("alice", &(agent(PHONE) + &enable + &wants_token()));
    let (mut alice, success) = is_let_in(&house, &first).await;
    let secret = fresh_token(&success);
    let enabled = success
        .find("bound", ns::BIND2)
        .unwrap()
        .find("enabled", ns::SM)
        .unwrap();
    let id = enabled.get("id").unwrap().to_owned();
    alice.send("<presence/>").await;
    alice.settles().await;
    let jid = alice.jid.clone();
    drop(alice);
    bob.send("<message to='alice@localhost' type='chat'><body>while away</body></message>")
        .await;
    bob.settles().await;
    let resume = |id: &str| format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>");
    let shown = token(
        "alice",
        &secret,
        "",
        &(agent(PHONE) + &resume(&id) + &enable),
    );
    let (mut alice, success) = is_let_in(&house, &shown).await;
    assert!(success.has("resumed", ns::SM));
    assert!(!success.has("bound", ns::BIND2), "resumption comes first");
    assert_eq!(alice.jid, jid);
    let late = alice.expect(|el| el.has("body", ns::CLIENT)).await;
    assert_eq!(
        late.find_text("body", ns::CLIENT).as_deref(),
        Some("while away")
    );
    drop(alice);
    let shown = token(
        "alice",
        &secret,
        "",
        &(agent(PHONE) + &resume("42.none") + &enable),
    );
    let (mut alice, success) = is_let_in(&house, &shown).await;
    assert!(success.has("failed", ns::SM) && success.has("bound", ns::BIND2));
    alice.settles().await;
}

/// What waits for somebody comes the same on both ways: once, and it stays in the archive.
#[tokio::test]
async fn what_waited_comes_on_either_way() {
    let house = House::new().await;
    let mut bob = house.arrives("bob", "desk").await;
    for modern in [false, true] {
        let text = format!("modern: {modern}");
        bob.send(&format!(
            "<message to='alice@localhost' type='chat'><body>{text}</body></message>"
        ))
        .await;
        bob.settles().await;
        let arrives = async || {
            if modern {
                let me = agent(PHONE) + &bind("");
                let mut alice = is_let_in(&house, &plain("alice", &me)).await.0;
                alice.send("<presence/>").await;
                alice
            } else {
                house.arrives("alice", "desk").await
            }
        };
        let mut alice = arrives().await;
        let is_it = |el: &Element| el.find_text("body", ns::CLIENT).as_deref() == Some(&*text);
        let late = alice.expect(is_it).await;
        assert!(late.has("delay", ns::DELAY));
        let archive = "<query xmlns='urn:xmpp:mam:2'/>";
        assert_eq!(
            alice.asks("set", "", "m", archive).await.get("type"),
            Some("result")
        );
        let copied =
            |el: &Element| el.find("result", ns::MAM).is_some() && written(el).contains(&text);
        alice.expect(copied).await;
        alice.send("</stream:stream>").await;
        while alice.fresh().await.is_some() {}
        // Once only.
        let mut again = arrives().await;
        again.has_nothing(is_it).await;
        again.send("</stream:stream>").await;
        while again.fresh().await.is_some() {}
    }
}

#[tokio::test]
async fn what_is_out_of_turn_ends_the_stream_and_giving_up_does_not() {
    let house = House::new().await;
    let scram = STANDARD.encode("n,,n=alice,r=abcdefgh");
    let begin = authenticate("SCRAM-SHA-256", &scram, "");
    let abort = format!("<abort xmlns='{}'/>", ns::SASL2);
    let (mut alice, challenge) = says(&house, &begin).await;
    assert!(challenge.is("challenge", ns::SASL2));
    alice.send(&abort).await;
    assert!(alice.next().await.has("aborted", ns::SASL));
    alice.send(&plain("alice", "")).await;
    assert!(alice.next().await.is("success", ns::SASL2));
    alice.next().await;
    // XEP-0388 §3: nobody signs in twice.
    alice.send(&plain("alice", "")).await;
    assert!(alice.next().await.is("error", ns::STREAM));
    for odd in [
        "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>".to_owned(),
        begin.clone(),
        format!("<next xmlns='{}' task='UPGR-SCRAM-SHA-256'/>", ns::SASL2),
    ] {
        let (mut alice, _) = says(&house, &begin).await;
        alice.send(&odd).await;
        assert!(alice.next().await.is("error", ns::STREAM), "{odd}");
    }
    let mut stranger = house.connects().await;
    stranger.opens().await;
    for _ in 0..5 {
        stranger.send(&authenticate("PLAIN", "?", "")).await;
        assert!(stranger.next().await.has("incorrect-encoding", ns::SASL));
    }
    assert!(
        stranger.next().await.is("error", ns::STREAM),
        "five are enough"
    );
}

#[tokio::test]
async fn a_stream_from_somebody_else_is_not_opened_by_alice() {
    let house = House::new().await;
    for (from, fine) in [("bob@localhost", false), ("alice@localhost", true)] {
        let mut alice = house.connects().await;
        alice
            .send(&format!("<stream:stream from='{from}' to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"))
            .await;
        alice.next().await;
        alice.send(&plain("alice", "")).await;
        let answer = alice.next().await;
        assert_eq!(answer.is("success", ns::SASL2), fine, "{answer:?}");
        assert_eq!(answer.has("invalid-authzid", ns::SASL), !fine);
    }
}

#[tokio::test]
async fn dora_who_moved_in_brings_the_hash_that_is_missing() {
    let house = House::new().await;
    let (accounts, domain) = (&house.server.accounts, Domain::new("localhost").unwrap());
    let salted = |hash: Hash, c: &Credentials| {
        let params = c.params(hash);
        hash.salted_password(b"pass-dora", &params.salt, params.iterations)
    };
    let quick = Iterations::quick();
    let other = Credentials::empty(quick, &mut rand::rng());
    let (params, key) = (other.params(Hash::Sha1).clone(), salted(Hash::Sha1, &other));
    let stored = Hash::Sha1.digest(&Hash::Sha1.hmac(&key, b"Client Key"));
    let server = Hash::Sha1.hmac(&key, b"Server Key");
    let rng = &mut rand::rng();
    let dora = Credentials::moved_in(Hash::Sha1, params, stored, server, quick, 1, rng).unwrap();
    let account = accounts
        .move_in(&domain, &Name::new("dora").unwrap(), dora)
        .await
        .unwrap();
    let offers = accounts.narrowed(&domain, "dora", Mechanism::all()).await;
    assert!(
        offers.iter().all(|m| !m.name().contains("SHA-256")),
        "{offers:?}"
    );
    assert_eq!(
        accounts.narrowed(&domain, "alice", Mechanism::all()).await,
        Mechanism::all()
    );
    let upgrade = |n| {
        format!(
            "<upgrade xmlns='{}'>UPGR-SCRAM-SHA-{n}</upgrade>",
            ns::SASL_UPGRADE
        )
    };
    let both = upgrade(256) + &upgrade(512);
    let mut person = house.connects().await;
    person.opens().await;
    person.send(&plain("dora", &both)).await;
    for (hash, name) in [(Hash::Sha256, "256"), (Hash::Sha512, "512")] {
        let asked = person.next().await;
        let task = asked
            .find("tasks", ns::SASL2)
            .unwrap()
            .find_text("task", ns::SASL2);
        assert_eq!(task.as_deref(), Some(&*format!("UPGR-SCRAM-SHA-{name}")));
        let next = format!("<next xmlns='{}' task='UPGR-SCRAM-SHA-{name}'/>", ns::SASL2);
        person.send(&next).await;
        let data = person.next().await;
        let salt = data.find("salt", ns::SCRAM_UPGRADE).unwrap();
        let rounds = salt.get("iterations").unwrap().parse().unwrap();
        let salt = STANDARD.decode(salt.content().as_bytes()).unwrap();
        let hash = STANDARD.encode(hash.salted_password(b"pass-dora", &salt, rounds));
        let data = format!(
            "<task-data xmlns='{}'><hash xmlns='{}'>{hash}</hash></task-data>",
            ns::SASL2,
            ns::SCRAM_UPGRADE
        );
        person.send(&data).await;
    }
    assert!(person.next().await.is("success", ns::SASL2));
    let known = accounts.credentials(&account).await.unwrap().unwrap();
    assert!(Hash::ALL.iter().all(|hash| known.can(*hash)));
    assert!(known.matching_password(&"pass-dora".into()).is_some());
    // Nothing is lacking any more: nothing is asked.
    is_let_in(&house, &plain("dora", &both)).await;
}

#[tokio::test]
async fn alice_sees_what_has_access_and_takes_it_away() {
    let house = House::new().await;
    let account = Address::new("alice@localhost").unwrap();
    let accounts = &house.server.accounts;
    let added = accounts.change(&account, |c| {
        let everywhere = sammen_net::credentials::Scopes::everywhere();
        c.add_app_password("tablet", everywhere.clone(), 1, &mut rand::rng())?;
        c.add_app_password("watch", everywhere, 1, &mut rand::rng())
    });
    let (_, watch) = added.await.unwrap();
    let data = STANDARD.encode(format!("\0alice\0{}", watch.expose()));
    let first = authenticate(
        "PLAIN",
        &data,
        &(agent("watch") + &bind("") + &wants_token()),
    );
    let (mut app, success) = is_let_in(&house, &first).await;
    let secret = fresh_token(&success);
    let (mut alice, _) = is_let_in(&house, &plain("alice", &(agent(PHONE) + &bind("")))).await;
    let list = format!("<list xmlns='{}'/>", ns::CAM);
    let listed = alice.asks("get", "", "l", &list).await;
    assert_eq!(listed.get("type"), Some("result"), "{listed:?}");
    let clients = listed.find("clients", ns::CAM).unwrap();
    let of = |software: &str, status: &str| {
        let it = |c: &&Element| {
            let about = c.find("user-agent", ns::CAM).unwrap();
            about.find_text("software", ns::CAM).as_deref() == Some(software)
                && c.find("permission", ns::CAM).unwrap().get("status") == Some(status)
        };
        let found = clients
            .elements()
            .find(it)
            .unwrap_or_else(|| panic!("{clients:?}"));
        (found.get("id").unwrap().to_owned(), found.clone())
    };
    let (watch, shown) = of("Play", "normal");
    assert_eq!(shown.get("connected"), Some("true"));
    assert!(shown.find("auth", ns::CAM).unwrap().has("fast", ns::CAM));
    let (phone, shown) = of("Play", "unrestricted");
    assert!(!shown.find("auth", ns::CAM).unwrap().has("fast", ns::CAM));
    let (tablet, shown) = of("tablet", "normal");
    assert_eq!(shown.get("type"), Some("access"));
    let revoke = |id: &str| format!("<revoke xmlns='{}' id='{id}'/>", ns::CAM);
    let refused = app.asks("set", "", "r", &revoke(&phone)).await;
    assert!(written(&refused).contains("forbidden"), "{refused:?}");
    let refused = alice.asks("set", "", "1", &revoke(&phone)).await;
    assert!(written(&refused).contains("password-reset-required"));
    let refused = alice.asks("set", "", "2", &revoke("device-4711")).await;
    assert!(written(&refused).contains("item-not-found"));
    for (n, id) in ["3", "4"].into_iter().zip([&watch, &tablet]) {
        let done = alice.asks("set", "", n, &revoke(id)).await;
        assert_eq!(done.get("type"), Some("result"), "{done:?}");
    }
    app.expect(|el| el.is("error", ns::STREAM)).await;
    let me = agent("watch") + &bind("");
    is_refused(
        &house,
        &token("alice", &secret, "", &me),
        "credentials-expired",
    )
    .await;
    is_refused(&house, &first, "not-authorized").await;
    let listed = alice.asks("get", "", "again", &list).await;
    assert_eq!(
        listed.find("clients", ns::CAM).unwrap().elements().count(),
        1
    );
}
