//! Tokens that end, tokens that renew them, and tokens that sign another device in.

use serde_json::{Value, json};

use crate::house::{House, PASSWORD};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const REFRESH: &str = "/_matrix/client/v3/refresh";
const HOUR: i64 = 3_600_000;

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

impl House {
    async fn pair(&self) -> (String, String) {
        let answer = self.log_in("alice", PASSWORD, json!({ "refresh_token": true }));
        let answer = answer.await.is(200);
        assert_eq!(answer["expires_in_ms"], HOUR);
        (
            text(&answer["access_token"]),
            text(&answer["refresh_token"]),
        )
    }

    async fn renew(&self, token: &str) -> crate::house::Answer {
        let body = json!({ "refresh_token": token });
        self.ask("", "POST", REFRESH, body).await
    }

    async fn known(&self, token: &str) -> bool {
        self.ask(token, "GET", WHOAMI, Value::Null).await.status == 200
    }
}

#[tokio::test]
async fn a_token_ends_and_is_renewed() {
    let house = House::new().await;
    let (access, refresh) = house.pair().await;
    assert!(house.known(&access).await);
    house.later(HOUR);
    let over = house.ask(&access, "GET", WHOAMI, Value::Null).await;
    assert_eq!(over.refused(401, "M_UNKNOWN_TOKEN")["soft_logout"], true);
    let new = house.renew(&refresh).await.is(200);
    assert_eq!(new["expires_in_ms"], HOUR);
    let access = text(&new["access_token"]);
    assert!(house.known(&access).await);
    // What is in use ends what was before.
    house.renew(&refresh).await.refused(401, "M_UNKNOWN_TOKEN");
    let again = house.renew(&text(&new["refresh_token"])).await.is(200);
    assert!(house.known(&access).await, "until the new one is used");
    assert!(house.known(&text(&again["access_token"])).await);
    assert!(!house.known(&access).await);
    // One token is not the other.
    house.renew(&access).await.refused(401, "M_UNKNOWN_TOKEN");
    assert!(!house.known(&text(&again["refresh_token"])).await);
}

#[tokio::test]
async fn an_answer_that_was_lost_locks_nobody_out() {
    let house = House::new().await;
    let (access, refresh) = house.pair().await;
    let lost = house.renew(&refresh).await.is(200);
    assert!(house.known(&access).await);
    let second = house.renew(&refresh).await.is(200);
    assert!(
        !house.known(&text(&lost["access_token"])).await,
        "never used"
    );
    assert!(house.known(&text(&second["access_token"])).await);
}

#[tokio::test]
async fn what_nobody_renews_for_months_is_over_softly() {
    let house = House::new().await;
    let (_, refresh) = house.pair().await;
    house.later(61 * 24 * HOUR);
    let over = house.renew(&refresh).await.refused(401, "M_UNKNOWN_TOKEN");
    assert_eq!(over["soft_logout"], true);
    for nothing in ["", "1.", "999.AAAA", "x.y", &"1".repeat(5000)] {
        house.renew(nothing).await.refused(401, "M_UNKNOWN_TOKEN");
    }
}

#[tokio::test]
async fn a_device_signs_another_in_once_and_soon() {
    let house = House::new().await;
    let desk = house.sign_in("alice").await;
    let ask = "/_matrix/client/v1/login/get_token";
    house.ask(&desk, "POST", ask, json!({})).await.is(401);
    let auth = json!({ "auth": { "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": "alice" } } });
    let login = |token: Value| {
        let body = json!({ "type": "m.login.token", "token": token, "device_id": "PHONE" });
        house.ask("", "POST", "/_matrix/client/v3/login", body)
    };
    let given = house.ask(&desk, "POST", ask, auth.clone()).await.is(200);
    assert_eq!(given["expires_in_ms"], 120_000);
    let phone = login(given["login_token"].clone()).await.is(200);
    assert_eq!(
        (&phone["user_id"], &phone["device_id"]),
        (&json!("@alice:example.org"), &json!("PHONE"))
    );
    assert!(house.known(&text(&phone["access_token"])).await);
    login(given["login_token"].clone())
        .await
        .refused(403, "M_FORBIDDEN");
    let late = house.ask(&desk, "POST", ask, auth).await.is(200);
    house.later(120_001);
    login(late["login_token"].clone())
        .await
        .refused(403, "M_FORBIDDEN");
}
