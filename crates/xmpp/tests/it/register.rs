//! XEP-0077: a new passphrase from an app, and leaving for good.

use sammen_net::credentials::Scopes;
use sammen_xmpp::wire::{Condition, Element, StanzaError, ns};

use crate::people::{House, Person};

fn condition(answer: &Element) -> Condition {
    assert_eq!(answer.get("type"), Some("error"), "{answer:?}");
    StanzaError::of_stanza(answer).unwrap().condition
}

async fn asks(person: &mut Person, kind: &str, child: &str) -> Element {
    let query = format!("<query xmlns='{}'>{child}</query>", ns::MUC_REGISTER);
    person.asks(kind, "localhost", "register", &query).await
}

async fn app_password(house: &House, name: &str) -> String {
    let address = sammen_core::Address::new(&format!("{name}@localhost")).unwrap();
    let (_, secret) = house
        .server
        .accounts
        .change(&address, |c| {
            c.add_app_password("phone", Scopes::only(["xmpp"]), 0, &mut rand::rng())
        })
        .await
        .unwrap();
    secret.expose().to_owned()
}

#[tokio::test]
async fn alice_changes_her_passphrase_and_her_other_devices_sign_in_anew() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut phone = house.arrives("alice", "phone").await;
    let known = asks(&mut alice, "get", "").await;
    let known = known.find("query", ns::MUC_REGISTER).unwrap();
    assert!(known.has("registered", ns::MUC_REGISTER));
    assert_eq!(
        known.find_text("username", ns::MUC_REGISTER).as_deref(),
        Some("alice")
    );

    for (wrong, expected) in [
        ("<username>alice</username>", Condition::BadRequest),
        (
            "<username>alice</username><password/>",
            Condition::BadRequest,
        ),
        (
            "<username>bob</username><password>new words here</password>",
            Condition::NotAllowed,
        ),
        (
            "<username>alice</username><password>short</password>",
            Condition::NotAcceptable,
        ),
    ] {
        let answer = asks(&mut alice, "set", wrong).await;
        assert_eq!(condition(&answer), expected, "{wrong}");
    }
    phone.settles().await;

    let new = "<username>alice</username><password>new words here</password>";
    assert_eq!(
        asks(&mut alice, "set", new).await.get("type"),
        Some("result")
    );
    let over = phone.expect(|el| el.is("error", ns::STREAM)).await;
    assert!(over.elements().any(|e| e.name() == "reset"), "{over:?}");
    alice.settles().await;
    assert!(house.proves_with("alice", "pass-alice").await.is_err());
    house
        .signs_in_with("alice", "new words here", "phone")
        .await
        .settles()
        .await;
}

#[tokio::test]
async fn an_app_password_changes_nothing_of_the_account() {
    let house = House::new().await;
    let secret = app_password(&house, "alice").await;
    let mut phone = house.signs_in_with("alice", &secret, "phone").await;
    let new = "<username>alice</username><password>new words here</password>";
    for wish in [new, "<remove/>"] {
        let answer = asks(&mut phone, "set", wish).await;
        assert_eq!(condition(&answer), Condition::Forbidden, "{wish}");
    }
    house.proves("alice").await;
}

#[tokio::test]
async fn alice_leaves_for_good() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut phone = house.arrives("alice", "phone").await;
    let both = asks(&mut alice, "set", "<remove/><username>alice</username>").await;
    assert_eq!(condition(&both), Condition::BadRequest);
    let gone = asks(&mut alice, "set", "<remove/>").await;
    assert_eq!(gone.get("type"), Some("result"));
    for person in [&mut alice, &mut phone] {
        person.expect(|el| el.is("error", ns::STREAM)).await;
    }
    assert!(house.proves_with("alice", "pass-alice").await.is_err());
    let address = sammen_core::Address::new("alice@localhost").unwrap();
    assert!(
        house
            .node
            .account(&address)
            .unwrap()
            .is_none_or(|a| a.removed)
    );
}
