//! Plays of people who forgot their passphrase.

use serde_json::json;

use crate::house::{Browser, House, PASSWORD};

async fn code(house: &House, who: &Browser) -> String {
    let wish = json!({ "passphrase": PASSWORD });
    let made = house.post(who, "/me/recovery", wish).await.is(200);
    made["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn with_the_code_alice_sets_another_passphrase_once() {
    let house = House::new().await;
    let alice = house.enters("alice").await;
    let code = code(&house, &alice).await;
    let nobody = Browser::default();
    let with = |code: &str, new: &str| json!({ "name": "alice", "code": code, "password": new });
    // A passphrase that does not do costs the code nothing.
    let empty = house.post(&nobody, "/recovery", with(&code, "")).await;
    assert_eq!(empty.status, 422, "{}", empty.text());
    let done = house.post(&nobody, "/recovery", with(&code, "a new passphrase"));
    let next = done.await.is(200)["code"].as_str().unwrap().to_owned();
    // Whoever had the old one is out.
    house.get(&alice, "/me").await.refused(401, "not-signed-in");
    let old = json!({ "name": "alice", "password": PASSWORD });
    let refused = house.post(&nobody, "/session", old).await;
    refused.refused(401, "wrong-login");
    house.enters_with("alice", "a new passphrase").await;
    // The code is used up; the next one holds.
    let again = house.post(&nobody, "/recovery", with(&code, "another passphrase"));
    again.await.refused(401, "wrong-login");
    let third = house.post(&nobody, "/recovery", with(&next, "another passphrase"));
    third.await.is(200);
}

#[tokio::test]
async fn nothing_else_recovers_an_account_and_a_code_opens_nothing_else() {
    let house = House::new().await;
    let alice = house.enters("alice").await;
    let first = code(&house, &alice).await;
    let second = code(&house, &alice).await;
    let everywhere = json!({ "name": "every app" });
    let app = house.post(&alice, "/me/passwords", everywhere).await;
    let app = app.is(201)["secret"].as_str().unwrap().to_owned();
    let nobody = Browser::default();
    for wrong in [&app, &first, PASSWORD] {
        let ask = json!({ "name": "alice", "code": wrong, "password": "a new passphrase" });
        let refused = house.post(&nobody, "/recovery", ask).await;
        refused.refused(401, "wrong-login");
    }
    let sign_in = json!({ "name": "alice", "password": second });
    let refused = house.post(&nobody, "/session", sign_in).await;
    refused.refused(401, "wrong-login");
    // Only who knows the passphrase makes one.
    let wish = json!({ "passphrase": "guess" });
    let refused = house.post(&alice, "/me/recovery", wish).await;
    refused.refused(401, "wrong-login");
    for _ in 0..30 {
        let ask = json!({ "name": "alice", "code": "guess", "password": "a new passphrase" });
        let answer = house.post(&nobody, "/recovery", ask).await;
        if answer.status == 429 {
            return answer.refused(429, "throttled");
        }
    }
    panic!("guessing went on");
}
