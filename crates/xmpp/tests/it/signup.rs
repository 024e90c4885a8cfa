//! XEP-0077, 0401, 0379 and 0445: making an account with an app, and inviting people.

use sammen_core::{Address, ops};
use sammen_net::invitations::{self, Inviters, Offer, Token};
use sammen_xmpp::Config;
use sammen_xmpp::wire::{Condition, Element, StanzaError, ns};

use crate::people::{House, Person};

fn condition(answer: &Element) -> Condition {
    assert_eq!(answer.get("type"), Some("error"), "{answer:?}");
    StanzaError::of_stanza(answer).unwrap().condition
}

async fn registers(person: &mut Person, kind: &str, child: &str) -> Element {
    let query = format!("<query xmlns='{}'>{child}</query>", ns::MUC_REGISTER);
    person.asks(kind, "localhost", "register", &query).await
}

async fn shows(person: &mut Person, token: &str) -> Element {
    let child = format!("<preauth xmlns='{}' token='{token}'/>", ns::PARS);
    person.asks("set", "localhost", "preauth", &child).await
}

fn who(name: &str) -> String {
    format!("<username>{name}</username><password>pass-{name}</password>")
}

/// A value of the form that a command answered with.
fn value(answer: &Element, var: &str) -> Option<String> {
    let command = answer.find("command", ns::COMMANDS)?;
    let form = command.find("x", ns::DATA_FORMS)?;
    let field = form
        .all("field", ns::DATA_FORMS)
        .find(|f| f.get("var") == Some(var))?;
    field
        .find_text("value", ns::DATA_FORMS)
        .map(|v| v.into_owned())
}

async fn runs(person: &mut Person, node: &str, form: &str) -> Element {
    let form = match form {
        "" => String::new(),
        fields => format!("<x xmlns='{}' type='submit'>{fields}</x>", ns::DATA_FORMS),
    };
    let child = format!(
        "<command xmlns='{}' node='{node}'>{form}</command>",
        ns::COMMANDS
    );
    person.asks("set", "localhost", "command", &child).await
}

fn token_of(uri: &str) -> String {
    let token = uri.split("preauth=").nth(1).unwrap();
    token.trim_end_matches(";ibr=y").to_owned()
}

#[tokio::test]
async fn a_closed_node_takes_only_who_was_invited() {
    let config = Config {
        inviters: Inviters::Members,
        ..Config::default()
    };
    let house = House::configured(config).await;
    let mut alice = house.arrives("alice", "desk").await;
    let roster = "<query xmlns='jabber:iq:roster'/>";
    alice.asks("get", "", "roster", roster).await;
    let made = runs(&mut alice, ns::INVITE, "").await;
    let uri = value(&made, "uri").unwrap();
    assert!(uri.starts_with("xmpp:alice@localhost?roster;preauth=") && uri.ends_with(";ibr=y"));
    assert!(value(&made, "expire").is_some());

    let mut dora = house.connects().await;
    let features = dora.opens().await;
    assert!(features.has("register", ns::REGISTER_FEATURE));
    assert!(features.has("register", ns::IBR_TOKEN));
    let refused = registers(&mut dora, "get", "").await;
    assert_eq!(condition(&refused), Condition::NotAllowed);
    let refused = registers(&mut dora, "set", &who("dora")).await;
    assert_eq!(condition(&refused), Condition::NotAllowed);
    for wrong in ["", "abc", &"a".repeat(24)] {
        assert_eq!(
            condition(&shows(&mut dora, wrong).await),
            Condition::ItemNotFound
        );
    }
    assert_eq!(
        shows(&mut dora, &token_of(&uri)).await.get("type"),
        Some("result")
    );
    let asked = registers(&mut dora, "get", "").await;
    let asked = asked.find("query", ns::MUC_REGISTER).unwrap();
    assert!(asked.has("username", ns::MUC_REGISTER) && asked.has("password", ns::MUC_REGISTER));
    for (wrong, expected) in [
        (who("alice"), Condition::Conflict),
        (who("postmaster"), Condition::Conflict),
        (who("no spaces"), Condition::NotAcceptable),
        (
            "<username>dora</username>".to_owned(),
            Condition::NotAcceptable,
        ),
        (
            "<username>dora</username><password>short</password>".to_owned(),
            Condition::NotAcceptable,
        ),
    ] {
        let refused = registers(&mut dora, "set", &wrong).await;
        assert_eq!(condition(&refused), expected, "{wrong}");
    }
    assert_eq!(
        registers(&mut dora, "set", &who("dora")).await.get("type"),
        Some("result")
    );

    // XEP-0401 §5.5: the inviter's app learns of the contact at once.
    alice
        .expect(|el| {
            let item = el
                .find("query", ns::ROSTER)
                .and_then(|q| q.find("item", ns::ROSTER));
            item.is_some_and(|i| {
                i.get("jid") == Some("dora@localhost") && i.get("subscription") == Some("both")
            })
        })
        .await;
    let mut dora = house.arrives("dora", "phone").await;
    dora.expect(|el| el.name() == "presence" && el.get("from") == Some("alice@localhost/desk"))
        .await;

    // It was for one.
    let mut eve = house.connects().await;
    eve.opens().await;
    let refused = shows(&mut eve, &token_of(&uri)).await;
    assert_eq!(condition(&refused), Condition::ItemNotFound);
}

#[tokio::test]
async fn other_requests_before_signing_in_end_the_stream() {
    let house = House::new().await;
    let mut eve = house.connects().await;
    eve.opens().await;
    let answer = eve
        .asks(
            "set",
            "elsewhere.org",
            "x",
            "<preauth xmlns='urn:xmpp:pars:0'/>",
        )
        .await;
    assert_eq!(condition(&answer), Condition::ItemNotFound);
    eve.send("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    let error = eve.next().await;
    assert!(error.is("error", ns::STREAM), "{error:?}");
}

#[tokio::test]
async fn an_open_node_takes_anyone_but_not_promised_names() {
    let config = Config {
        registration: true,
        ..Config::default()
    };
    let house = House::configured(config).await;
    let promised = Offer {
        account: true,
        name: sammen_core::Name::new("juliet").ok(),
        ..Offer::default()
    };
    let token = Token::random(&mut rand::rng());
    let made = token.clone();
    let made = house
        .node
        .write(move |tx| invitations::create(tx, promised, &made));
    made.await.unwrap();
    let mut dora = house.connects().await;
    dora.opens().await;
    assert_eq!(
        registers(&mut dora, "get", "").await.get("type"),
        Some("result")
    );
    let refused = registers(&mut dora, "set", &who("juliet")).await;
    assert_eq!(condition(&refused), Condition::Conflict);
    assert_eq!(
        registers(&mut dora, "set", &who("dora")).await.get("type"),
        Some("result")
    );
    assert_eq!(
        shows(&mut dora, token.expose()).await.get("type"),
        Some("result")
    );
    let asked = registers(&mut dora, "get", "").await;
    let asked = asked.find("query", ns::MUC_REGISTER).unwrap();
    assert_eq!(
        asked.find_text("username", ns::MUC_REGISTER).as_deref(),
        Some("juliet")
    );
    let other = registers(&mut dora, "set", &who("romeo")).await;
    assert_eq!(condition(&other), Condition::Conflict);
    assert_eq!(
        registers(&mut dora, "set", &who("juliet"))
            .await
            .get("type"),
        Some("result")
    );
    house.arrives("juliet", "phone").await;
}

#[tokio::test]
async fn a_contact_link_needs_no_answer() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    // By default only administrators offer accounts; a link for contacts everybody may have.
    let made = runs(&mut alice, ns::INVITE, "").await;
    let uri = value(&made, "uri").unwrap();
    assert!(!uri.ends_with(";ibr=y"), "{uri}");
    let refused = runs(&mut alice, ns::INVITE_ACCOUNT, "").await;
    assert_eq!(condition(&refused), Condition::Forbidden);
    let mut eve = house.connects().await;
    eve.opens().await;
    let refused = shows(&mut eve, &token_of(&uri)).await;
    assert_eq!(
        condition(&refused),
        Condition::ItemNotFound,
        "it offers no account"
    );

    let mut bob = house.arrives("bob", "desk").await;
    let token = token_of(&uri);
    bob.send("<presence type='subscribed' to='alice@localhost'/>")
        .await;
    bob.send(&format!(
        "<presence type='subscribe' to='alice@localhost'><preauth xmlns='{}' token='{token}'/></presence>",
        ns::PARS
    ))
    .await;
    bob.settles().await;
    let address = |name: &str| Address::new(&format!("{name}@localhost")).unwrap();
    for (one, other) in [("alice", "bob"), ("bob", "alice")] {
        let contacts = house.node.contacts(&address(one)).unwrap();
        assert!(
            contacts
                .get(&address(other))
                .is_some_and(|c| c.sees && c.seen),
            "{one}"
        );
    }
    // Used up: the next one asks as everybody does.
    let mut carol = house.arrives("carol", "desk").await;
    carol
        .send(&format!(
            "<presence type='subscribe' to='alice@localhost'><preauth xmlns='{}' token='{token}'/></presence>",
            ns::PARS
        ))
        .await;
    alice
        .expect(|el| {
            el.get("type") == Some("subscribe") && el.get("from") == Some("carol@localhost")
        })
        .await;
}

#[tokio::test]
async fn an_administrator_administers_from_an_app() {
    let house = House::new().await;
    let alice = Address::new("alice@localhost").unwrap();
    let mut bob = house.arrives("bob", "desk").await;
    let admin = |node: &str| format!("http://jabber.org/protocol/admin#{node}");
    let add = "<field var='accountjid'><value>dora@localhost</value></field>\
               <field var='password'><value>pass-dora</value></field>\
               <field var='password-verify'><value>pass-dora</value></field>";
    let refused = runs(&mut bob, &admin("add-user"), add).await;
    assert_eq!(condition(&refused), Condition::Forbidden);
    let list = format!(
        "<query xmlns='{}' node='{}'/>",
        ns::DISCO_ITEMS,
        ns::COMMANDS
    );
    let seen = bob.asks("get", "localhost", "list", &list).await;
    assert!(!crate::people::written(&seen).contains("protocol/admin"));

    let of = alice.clone();
    let change = house
        .node
        .write(move |tx| ops::accounts::change(tx, &of, |a| a.admin = true));
    change.await.unwrap();
    let mut alice = house.arrives("alice", "desk").await;
    let seen = alice.asks("get", "localhost", "list", &list).await;
    assert!(crate::people::written(&seen).contains("protocol/admin#add-user"));
    let form = runs(&mut alice, &admin("add-user"), "").await;
    assert_eq!(
        form.find("command", ns::COMMANDS).unwrap().get("status"),
        Some("executing")
    );
    assert_eq!(
        runs(&mut alice, &admin("add-user"), add).await.get("type"),
        Some("result")
    );
    let again = runs(&mut alice, &admin("add-user"), add).await;
    assert_eq!(condition(&again), Condition::Conflict);
    let mut dora = house.arrives("dora", "phone").await;

    let count = runs(&mut alice, &admin("get-registered-users-num"), "").await;
    assert_eq!(value(&count, "registeredusersnum").as_deref(), Some("4"));
    let online = "<field var='max_items'><value>2</value></field>";
    let online = runs(&mut alice, &admin("get-online-users-list"), online).await;
    assert_eq!(
        value(&online, "onlineuserjids").as_deref(),
        Some("alice@localhost")
    );
    assert!(crate::people::written(&online).contains("2 of 3"));

    let word = "<field var='subject'><value>Soup</value></field>\
                <field var='announcement'><value>at</value><value>seven</value></field>";
    assert_eq!(
        runs(&mut alice, &admin("announce"), word).await.get("type"),
        Some("result")
    );
    let heard = bob.hears("at\nseven").await;
    assert_eq!(heard.get("type"), Some("headline"));
    assert_eq!(
        heard.find_text("subject", ns::CLIENT).as_deref(),
        Some("Soup")
    );
    let motd = "<field var='motd'><value>Welcome</value></field>";
    runs(&mut alice, &admin("edit-motd"), motd).await;
    house.arrives("carol", "desk").await.hears("Welcome").await;
    runs(&mut alice, &admin("delete-motd"), "").await;

    let one =
        |name: &str| format!("<field var='accountjids'><value>{name}@localhost</value></field>");
    let own = runs(&mut alice, &admin("disable-user"), &one("alice")).await;
    assert_eq!(condition(&own), Condition::NotAllowed);
    let nobody = runs(&mut alice, &admin("delete-user"), &one("nobody")).await;
    assert_eq!(condition(&nobody), Condition::ItemNotFound);
    assert_eq!(
        runs(&mut alice, &admin("end-user-session"), &one("dora"))
            .await
            .get("type"),
        Some("result")
    );
    assert!(
        dora.expect(|el| el.is("error", ns::STREAM))
            .await
            .has("policy-violation", ns::STREAM_ERRORS)
    );
    house.signs_in("dora", "again").await;
    let new = "<field var='accountjid'><value>dora@localhost</value></field>\
               <field var='password'><value>other words</value></field>";
    runs(&mut alice, &admin("change-user-password"), new).await;
    assert!(house.proves_with("dora", "pass-dora").await.is_err());
    assert!(house.proves_with("dora", "other words").await.is_ok());
    runs(&mut alice, &admin("disable-user"), &one("dora")).await;
    assert!(house.proves_with("dora", "other words").await.is_err());
    let disabled = runs(&mut alice, &admin("get-disabled-users-num"), "").await;
    assert_eq!(value(&disabled, "disabledusersnum").as_deref(), Some("1"));
    runs(&mut alice, &admin("reenable-user"), &one("dora")).await;
    assert!(house.proves_with("dora", "other words").await.is_ok());
    assert_eq!(
        runs(&mut alice, &admin("delete-user"), &one("dora"))
            .await
            .get("type"),
        Some("result")
    );
    assert!(house.proves_with("dora", "other words").await.is_err());
}
