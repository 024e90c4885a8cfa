//! The account's devices, and what is asked before one is signed out.

use serde_json::{Value, json};

use crate::house::{House, PASSWORD};

const DEVICES: &str = "/_matrix/client/v3/devices";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

impl House {
    /// Signs a device in by its id; its access token.
    async fn device(&self, name: &str, id: &str) -> String {
        let more = json!({ "device_id": id, "initial_device_display_name": id.to_lowercase() });
        let answer = self.log_in(name, PASSWORD, more).await.is(200);
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

fn password(session: &Value, user: &str, password: &str) -> Value {
    json!({ "auth": {
        "type": "m.login.password", "session": session, "password": password,
        "identifier": { "type": "m.id.user", "user": user },
    } })
}

#[tokio::test]
async fn alice_sees_and_names_her_devices_and_nobody_elses() {
    let house = House::new().await;
    let phone = house.device("alice", "PHONE").await;
    house.device("alice", "DESK").await;
    house.device("bob", "BOBS").await;
    let all = house.ask(&phone, "GET", DEVICES, Value::Null).await.is(200);
    let mut ids: Vec<&str> = all["devices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["device_id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["DESK", "PHONE"]);
    let desk = format!("{DEVICES}/DESK");
    let renamed = house.ask(&phone, "PUT", &desk, json!({ "display_name": "the desk" }));
    renamed.await.is(200);
    house.ask(&phone, "PUT", &desk, json!({})).await.is(200);
    let shown = house.ask(&phone, "GET", &desk, Value::Null).await.is(200);
    assert_eq!(shown["display_name"], "the desk");
    assert!(shown["last_seen_ts"].as_i64().unwrap() > 0);
    for path in ["BOBS", "NONE"] {
        let path = format!("{DEVICES}/{path}");
        let found = house.ask(&phone, "GET", &path, Value::Null).await;
        found.refused(404, "M_NOT_FOUND");
        let named = house.ask(&phone, "PUT", &path, json!({ "display_name": "x" }));
        named.await.refused(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_device_is_signed_out_with_the_password_alone() {
    let house = House::new().await;
    let phone = house.device("alice", "PHONE").await;
    let desk = house.device("alice", "DESK").await;
    let path = format!("{DEVICES}/DESK");
    let asked = house.ask(&phone, "DELETE", &path, json!({})).await.is(401);
    assert_eq!(asked["flows"][0]["stages"], json!(["m.login.password"]));
    assert_eq!(asked["params"], json!({}));
    let session = &asked["session"];
    let wrong = password(session, "alice", "wrong");
    let wrong = house.ask(&phone, "DELETE", &path, wrong).await.is(401);
    assert_eq!(wrong["errcode"], "M_FORBIDDEN");
    assert_eq!(wrong["session"], *session);
    // Bob's password is right, and his.
    let bobs = password(session, "bob", PASSWORD);
    let bobs = house.ask(&phone, "DELETE", &path, bobs).await.is(401);
    assert_eq!(bobs["errcode"], "M_FORBIDDEN");
    // A session is for what it was begun for.
    let all = "/_matrix/client/v3/delete_devices";
    let mut other = password(session, "bob", "no matter");
    other["devices"] = json!(["PHONE"]);
    let other = house.ask(&phone, "POST", all, other).await.is(401);
    assert_ne!(other["session"], *session);

    let right = password(session, "alice", PASSWORD);
    house
        .ask(&phone, "DELETE", &path, right.clone())
        .await
        .is(200);
    house
        .ask(&desk, "GET", WHOAMI, Value::Null)
        .await
        .refused(401, "M_UNKNOWN_TOKEN");
    house.ask(&phone, "GET", WHOAMI, Value::Null).await.is(200);

    // Without a session beforehand, and by the whole id, as some clients do.
    let mut both = password(&Value::Null, "@alice:example.org", PASSWORD);
    both["devices"] = json!(["PHONE", "NONE"]);
    house.ask(&phone, "POST", all, both).await.is(200);
    house
        .ask(&phone, "GET", WHOAMI, Value::Null)
        .await
        .refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn a_client_without_a_form_shows_the_page() {
    let house = House::new().await;
    let phone = house.device("alice", "PHONE").await;
    let path = format!("{DEVICES}/PHONE");
    let asked = house.ask(&phone, "DELETE", &path, json!({})).await.is(401);
    let session = asked["session"].as_str().unwrap();
    let page = "/_matrix/client/v3/auth/m.login.password/fallback/web";
    let shown = house
        .ask("", "GET", &format!("{page}?session={session}"), Value::Null)
        .await;
    assert_eq!(shown.status, 200);
    assert!(shown.text().contains(session));
    let policy = shown.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'none'"), "{policy}");
    let send = |secret: &str| {
        let form = format!("session={session}&secret={}", secret.replace(' ', "+"));
        house.send(
            "",
            "POST",
            page,
            "application/x-www-form-urlencoded",
            form.into_bytes(),
        )
    };
    assert_eq!(send("wrong").await.status, 422);
    let goes_on = json!({ "auth": { "session": session } });
    house
        .ask(&phone, "DELETE", &path, goes_on.clone())
        .await
        .is(401);
    let done = send(PASSWORD).await;
    assert_eq!(done.status, 200);
    assert!(done.text().contains("onAuthDone"));
    house.ask(&phone, "DELETE", &path, goes_on).await.is(200);
    assert_eq!(send(PASSWORD).await.status, 404, "it was used up");
    let nothing = format!("{page}?session=x%22%3E%3Cscript%3E");
    let nothing = house.ask("", "GET", &nothing, Value::Null).await;
    assert_eq!(nothing.status, 404);
    assert!(!nothing.text().contains("<script"));
}
