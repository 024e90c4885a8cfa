//! Who asks too much waits, and nobody else does.

use serde_json::{Value, json};

use crate::house::{Answer, House};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

/// Asks until that is too much.
async fn floods(house: &House, token: &str) -> Answer {
    for _ in 0..2000 {
        let answer = house.ask(token, "GET", WHOAMI, Value::Null).await;
        if answer.status == 429 {
            return answer;
        }
    }
    panic!("it never ends");
}

#[tokio::test]
async fn who_asks_too_much_waits_and_nobody_else_does() {
    let house = House::new().await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    let other = house.sign_in("alice").await;
    let slow = floods(&house, &alice).await;
    assert!(slow.headers.contains_key("retry-after"));
    let slow = slow.refused(429, "M_LIMIT_EXCEEDED");
    assert!(slow["retry_after_ms"].is_u64(), "{slow}");
    house.ask(&bob, "GET", WHOAMI, Value::Null).await.is(200);
    // What the specification does not mark is not counted.
    let devices = "/_matrix/client/v3/devices";
    house.ask(&alice, "GET", devices, Value::Null).await.is(200);
    // Another device of hers waits, too; on a slow machine the wait may be over by then.
    for _ in 0..50 {
        floods(&house, &alice).await;
        let asked = house.ask(&other, "GET", WHOAMI, Value::Null).await;
        if asked.status == 429 {
            return;
        }
    }
    panic!("another device never waits");
}

/// Endpoints that no type of ruma's stands for are counted as well.
#[tokio::test]
async fn files_and_names_are_counted_too() {
    let house = House::new().await;
    let alice = house.sign_in("alice").await;
    for (method, path, body) in [
        (
            "GET",
            "/_matrix/client/v1/media/download/example.org/none",
            Value::Null,
        ),
        (
            "PUT",
            "/_matrix/client/v3/profile/@alice:example.org/displayname",
            json!({ "displayname": "Alice" }),
        ),
    ] {
        let mut limited = false;
        for _ in 0..2000 {
            let answer = house.ask(&alice, method, path, body.clone()).await;
            limited = answer.status == 429;
            if limited {
                break;
            }
        }
        assert!(limited, "{method} {path}");
    }
}

#[tokio::test]
async fn guessing_tokens_gets_slow() {
    let house = House::new().await;
    let bob = house.sign_in("bob").await;
    let first = house.ask("1.AAAA", "GET", WHOAMI, Value::Null).await;
    first.refused(401, "M_UNKNOWN_TOKEN");
    let login = json!({ "type": "m.login.password", "user": "alice", "password": "x" });
    for _ in 0..50 {
        floods(&house, "1.AAAA").await;
        house.ask(&bob, "GET", WHOAMI, Value::Null).await.is(200);
        let path = "/_matrix/client/v3/login";
        let asked = house.ask("", "POST", path, login.clone()).await;
        if asked.status == 429 {
            return;
        }
    }
    panic!("who guesses tokens may guess passwords");
}
