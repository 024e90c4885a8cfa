//! Who asks too much waits, and nobody else does.

use serde_json::{Value, json};

use crate::house::House;

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

#[tokio::test]
async fn who_asks_too_much_waits_and_nobody_else_does() {
    let house = House::new().await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    let mut slow = None;
    for _ in 0..2000 {
        let answer = house.ask(&alice, "GET", WHOAMI, Value::Null).await;
        if answer.status != 200 {
            slow = Some(answer);
            break;
        }
    }
    let slow = slow.expect("it never ends");
    assert!(slow.headers.contains_key("retry-after"));
    let slow = slow.refused(429, "M_LIMIT_EXCEEDED");
    assert!(slow["retry_after_ms"].is_u64(), "{slow}");
    // Another device of hers waits, too.
    let other = house.sign_in("alice").await;
    let other = house.ask(&other, "GET", WHOAMI, Value::Null).await;
    other.refused(429, "M_LIMIT_EXCEEDED");
    house.ask(&bob, "GET", WHOAMI, Value::Null).await.is(200);
    // What the specification does not mark is not counted.
    let devices = "/_matrix/client/v3/devices";
    house.ask(&alice, "GET", devices, Value::Null).await.is(200);
}

#[tokio::test]
async fn guessing_tokens_gets_slow() {
    let house = House::new().await;
    let bob = house.sign_in("bob").await;
    let mut slow = false;
    for _ in 0..2000 {
        let guess = house.ask("1.AAAA", "GET", WHOAMI, Value::Null).await;
        slow = guess.status == 429;
        if slow {
            break;
        }
        guess.refused(401, "M_UNKNOWN_TOKEN");
    }
    assert!(slow);
    let login = json!({ "type": "m.login.password", "user": "alice", "password": "x" });
    let login = house
        .ask("", "POST", "/_matrix/client/v3/login", login)
        .await;
    login.refused(429, "M_LIMIT_EXCEEDED");
    house.ask(&bob, "GET", WHOAMI, Value::Null).await.is(200);
}
