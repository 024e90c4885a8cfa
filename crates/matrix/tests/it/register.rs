//! New accounts, with an invitation or without.

use sammen_net::invitations::{self, Offer, Token};
use sammen_net::lockdown;
use serde_json::{Value, json};

use crate::house::{House, PASSWORD};

const REGISTER: &str = "/_matrix/client/v3/register";
const AVAILABLE: &str = "/_matrix/client/v3/register/available?username=";
const VALID: &str = "/_matrix/client/v1/register/m.login.registration_token/validity?token=";

impl House {
    async fn invitation(&self) -> String {
        let token = Token::random(&mut rand::rng());
        let offer = Offer {
            account: true,
            uses: Some(1),
            ..Offer::default()
        };
        let kept = token.clone();
        let made = self
            .matrix
            .node
            .write(move |tx| invitations::create(tx, offer, &kept));
        made.await.unwrap();
        token.expose().to_owned()
    }

    async fn register(&self, body: Value) -> crate::house::Answer {
        self.ask("", "POST", REGISTER, body).await
    }
}

#[tokio::test]
async fn dora_comes_by_invitation() {
    let house = House::new().await;
    let token = house.invitation().await;
    let known = house
        .ask("", "GET", &format!("{VALID}{token}"), Value::Null)
        .await;
    assert_eq!(known.is(200)["valid"], true);
    let asked = house.register(json!({})).await.is(401);
    assert_eq!(
        asked["flows"],
        json!([{ "stages": ["m.login.registration_token"] }])
    );
    let wish = |token: &str| {
        json!({ "username": "Dora", "password": PASSWORD, "initial_device_display_name": "hers",
            "auth": { "type": "m.login.registration_token", "token": token, "session": asked["session"] } })
    };
    let wrong = house.register(wish("no token at all")).await.is(401);
    assert_eq!(wrong["errcode"], "M_FORBIDDEN");
    let dora = house.register(wish(&token)).await.is(200);
    assert_eq!(dora["user_id"], "@dora:example.org");
    let who = house.ask(
        dora["access_token"].as_str().unwrap(),
        "GET",
        "/_matrix/client/v3/account/whoami",
        Value::Null,
    );
    assert_eq!(who.await.is(200)["device_id"], dora["device_id"]);
    house.log_in("dora", PASSWORD, json!({})).await.is(200);
    // It was for one.
    let known = house
        .ask("", "GET", &format!("{VALID}{token}"), Value::Null)
        .await;
    assert_eq!(known.is(200)["valid"], false);
    let mut again = wish(&token);
    again["username"] = json!("emil");
    assert_eq!(
        house.register(again).await.is(401)["errcode"],
        "M_FORBIDDEN"
    );
}

#[tokio::test]
async fn an_open_node_takes_anyone_until_it_is_locked_down() {
    let house = House::with(|config| config.registration = true).await;
    let asked = house.register(json!({})).await.is(401);
    assert_eq!(asked["flows"][0], json!({ "stages": ["m.login.dummy"] }));
    let dummy = json!({ "type": "m.login.dummy", "session": asked["session"] });
    let wish =
        json!({ "username": "emil", "password": PASSWORD, "auth": dummy, "inhibit_login": true });
    let emil = house.register(wish).await.is(200);
    assert_eq!(
        emil,
        json!({ "user_id": "@emil:example.org", "device_id": null })
    );
    let dummy = json!({ "type": "m.login.dummy" });
    let soon = json!({ "username": "fritz", "password": PASSWORD, "auth": dummy });
    house.register(soon).await.refused(429, "M_LIMIT_EXCEEDED");
    house
        .matrix
        .node
        .write(|tx| lockdown::set(tx, true))
        .await
        .unwrap();
    house.register(json!({})).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn what_can_not_be_had_is_said_before_anything_is_asked() {
    let house = House::with(|config| config.registration = true).await;
    for (wish, errcode) in [
        (json!({ "username": "alice" }), "M_USER_IN_USE"),
        (json!({ "username": "ALICE" }), "M_USER_IN_USE"),
        (json!({ "username": "admin" }), "M_INVALID_USERNAME"),
        (json!({ "username": "9" }), "M_INVALID_USERNAME"),
        (json!({ "username": "a b" }), "M_INVALID_USERNAME"),
        (
            json!({ "username": "gina", "password": "short" }),
            "M_WEAK_PASSWORD",
        ),
    ] {
        house.register(wish).await.refused(400, errcode);
    }
    let dummy = json!({ "username": "gina", "auth": { "type": "m.login.dummy" } });
    house.register(dummy).await.is(401);
    let guest = house
        .ask("", "POST", &format!("{REGISTER}?kind=guest"), json!({}))
        .await;
    guest.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    let free = house
        .ask("", "GET", &format!("{AVAILABLE}gina"), Value::Null)
        .await;
    assert_eq!(free.is(200)["available"], true);
    let taken = house
        .ask("", "GET", &format!("{AVAILABLE}bob"), Value::Null)
        .await;
    taken.refused(400, "M_USER_IN_USE");
    let mail = json!({ "client_secret": "abc", "email": "a@b.c", "send_attempt": 1 });
    let mail = house.ask(
        "",
        "POST",
        "/_matrix/client/v3/register/email/requestToken",
        mail,
    );
    mail.await.refused(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
}
