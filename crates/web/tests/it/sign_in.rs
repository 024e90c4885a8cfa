//! Plays of sign-in: cookies, tokens, other pages, signing out.

use serde_json::json;

use crate::house::{Browser, House, PASSWORD, cookie};

#[tokio::test]
async fn alice_signs_in_and_out() {
    let house = House::new().await;
    let alice = house.enters("alice").await;
    let me = house.get(&alice, "/me").await.is(200);
    assert_eq!(me["account"]["address"], "alice@example.org");
    assert_eq!((&me["full"], &me["admin"]), (&json!(true), &json!(false)));
    house.ask(&alice, "DELETE", "/session", None).await.is(204);
    house.get(&alice, "/me").await.refused(401, "not-signed-in");
}

#[tokio::test]
async fn who_knows_the_name_alone_does_not_come_in_and_is_slowed_down() {
    let house = House::new().await;
    let nobody = Browser::default();
    let wrong = json!({ "name": "alice", "password": "guess" });
    let nameless = json!({ "name": "mallory", "password": "guess" });
    let a = house.post(&nobody, "/session", wrong.clone()).await;
    let b = house.post(&nobody, "/session", nameless).await;
    a.refused(401, "wrong-login");
    b.refused(401, "wrong-login");
    assert_eq!(
        a.body, b.body,
        "nothing tells whether there is such an account"
    );
    for _ in 0..30 {
        let answer = house.post(&nobody, "/session", wrong.clone()).await;
        if answer.status == 429 {
            answer.refused(429, "throttled");
            assert!(answer.headers.contains_key("retry-after"));
            return;
        }
    }
    panic!("guessing went on");
}

#[tokio::test]
async fn a_cookie_from_before_is_of_no_use_after_signing_in() {
    let house = House::new().await;
    // Fixed beforehand: a value that somebody chose.
    let mut fixed = Browser {
        cookie: Some("7.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into()),
        ..Browser::default()
    };
    let body = json!({ "name": "alice", "password": PASSWORD });
    let answer = house.post(&fixed, "/session", body.clone()).await;
    answer.is(200);
    let fresh = cookie(&answer).unwrap();
    assert_ne!(Some(&fresh), fixed.cookie.as_ref());
    house.get(&fixed, "/me").await.refused(401, "not-signed-in");
    // And a session of one's own ends when another begins in the same browser.
    fixed.cookie = Some(fresh);
    house.post(&fixed, "/session", body).await.is(200);
    house.get(&fixed, "/me").await.refused(401, "not-signed-in");
}

#[tokio::test]
async fn other_pages_can_not_ask_in_alices_name() {
    let house = House::new().await;
    let alice = house.enters("alice").await;
    let rename = json!({ "name": "Eve" });
    let careless = Browser {
        careless: true,
        ..alice.clone()
    };
    house
        .send(&careless, "PATCH", "/me", rename.clone())
        .await
        .refused(403, "csrf");
    for origin in [
        "https://evil.example",
        "https://example.org.evil.example",
        "null",
        "https://example.org:444",
    ] {
        let foreign = Browser {
            origin: Some(origin.into()),
            ..alice.clone()
        };
        house
            .send(&foreign, "PATCH", "/me", rename.clone())
            .await
            .refused(403, "csrf");
        house
            .get(
                &Browser {
                    origin: Some(origin.into()),
                    ..alice.clone()
                },
                "/stream",
            )
            .await
            .refused(403, "csrf");
    }
    house.get(&alice, "/stream").await.refused(403, "csrf");
    let own = Browser {
        origin: Some("https://example.org".into()),
        ..alice.clone()
    };
    let me = house
        .send(&own, "PATCH", "/me", json!({ "name": "Alice L." }))
        .await
        .is(200);
    assert_eq!(me["account"]["name"], "Alice L.");
    // A form of another page can't send JSON, and what it can send is not taken.
    let form = ("text/plain", br#"{"name":"Eve"}"#.to_vec());
    assert_eq!(
        house.ask(&alice, "PATCH", "/me", Some(form)).await.status,
        415
    );
}

#[tokio::test]
async fn signing_out_everywhere_ends_other_browsers_and_scripts() {
    let house = House::new().await;
    let (desk, sofa) = (house.enters("alice").await, house.enters("alice").await);
    let made = house
        .post(&desk, "/me/tokens", json!({ "name": "script" }))
        .await
        .is(201);
    let script = Browser {
        token: Some(made["secret"].as_str().unwrap().into()),
        careless: true,
        ..Browser::default()
    };
    assert_eq!(house.get(&script, "/me").await.is(200)["full"], false);
    house
        .get(&script, "/me/tokens")
        .await
        .refused(403, "passphrase-needed");
    let as_cookie = Browser {
        cookie: script.token.clone(),
        ..Browser::default()
    };
    house
        .get(&as_cookie, "/me")
        .await
        .refused(401, "not-signed-in");
    let wrong = json!({ "passphrase": "guess" });
    house
        .post(&desk, "/session/everywhere", wrong)
        .await
        .refused(401, "wrong-login");
    house
        .post(
            &desk,
            "/session/everywhere",
            json!({ "passphrase": PASSWORD }),
        )
        .await
        .is(204);
    house.get(&desk, "/me").await.is(200);
    house.get(&sofa, "/me").await.refused(401, "not-signed-in");
    house
        .get(&script, "/me")
        .await
        .refused(401, "not-signed-in");
}

#[tokio::test]
async fn an_app_password_lets_in_and_changes_nothing_and_goes_with_its_sessions() {
    let house = House::new().await;
    let alice = house.enters("alice").await;
    let wish = json!({ "name": "tablet", "scopes": ["web"] });
    let made = house.post(&alice, "/me/passwords", wish).await.is(201);
    let secret = made["secret"].as_str().unwrap();
    let tablet = house.enters_with("alice@example.org", secret).await;
    assert_eq!(house.get(&tablet, "/me").await.is(200)["full"], false);
    house
        .post(&tablet, "/me/passwords", json!({ "name": "more" }))
        .await
        .refused(403, "passphrase-needed");
    let other = json!({ "name": "irc only", "scopes": ["irc"] });
    let other = house.post(&alice, "/me/passwords", other).await.is(201);
    let login = json!({ "name": "alice", "password": other["secret"] });
    house
        .post(&Browser::default(), "/session", login)
        .await
        .refused(401, "wrong-login");
    let id = made["password"]["id"].as_str().unwrap();
    house
        .ask(&alice, "DELETE", &format!("/me/passwords/{id}"), None)
        .await
        .is(204);
    house
        .get(&tablet, "/me")
        .await
        .refused(401, "not-signed-in");
    house.get(&alice, "/me").await.is(200);
}

#[tokio::test]
async fn the_lost_phone_opens_nothing_any_more() {
    let house = House::new().await;
    let alice = house.enters("alice").await;
    let made = house
        .post(&alice, "/me/passwords", json!({ "name": "phone" }))
        .await
        .is(201);
    let phone = house
        .enters_with("alice", made["secret"].as_str().unwrap())
        .await;
    let wish = json!({ "passphrase": PASSWORD, "new_passphrase": "another sesame" });
    let ended = house.post(&alice, "/me/lost-phone", wish).await.is(200);
    assert_eq!(
        (&ended["devices"], &ended["app_passwords"]),
        (&json!(1), &json!(1))
    );
    assert!(ended["remains"].as_array().unwrap().len() >= 3);
    house.get(&phone, "/me").await.refused(401, "not-signed-in");
    let again = json!({ "name": "alice", "password": made["secret"] });
    house
        .post(&Browser::default(), "/session", again)
        .await
        .refused(401, "wrong-login");
    house.get(&alice, "/me").await.is(200);
    house.enters_with("alice", "another sesame").await;
}

#[tokio::test]
async fn a_removed_account_is_gone() {
    let house = House::new().await;
    let alice = house.enters("alice").await;
    house
        .post(&alice, "/me/remove", json!({ "passphrase": "guess" }))
        .await
        .refused(401, "wrong-login");
    house
        .post(&alice, "/me/remove", json!({ "passphrase": PASSWORD }))
        .await
        .is(204);
    house.get(&alice, "/me").await.refused(401, "not-signed-in");
}

#[tokio::test]
async fn open_registration_is_a_setting_and_ends_in_a_lockdown() {
    let house = House::new().await;
    let dave = json!({ "name": "dave", "password": "long enough" });
    let answer = house.post(&Browser::default(), "/accounts", dave).await;
    assert_eq!(answer.is(201)["account"]["address"], "dave@example.org");
    let carol = house.enters("carol").await;
    house
        .send(&carol, "PUT", "/admin/lockdown", json!({ "on": true }))
        .await
        .is(200);
    let erin = json!({ "name": "erin", "password": "long enough" });
    house
        .post(&Browser::default(), "/accounts", erin.clone())
        .await
        .refused(403, "locked-down");
    let closed = House::with(|c| c.registration = false).await;
    closed
        .post(&Browser::default(), "/accounts", erin)
        .await
        .refused(403, "forbidden");
}
