//! Every route of the table, tried by those who may not.

use sammen_web::auth::Need;
use sammen_web::http::table;
use serde_json::json;

use crate::house::{Browser, House};

/// A path with something in its places.
fn filled(path: &str) -> String {
    path.split('/')
        .map(|part| if part.starts_with('{') { "alice" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

#[tokio::test]
async fn no_route_lets_in_who_may_not() {
    let house = House::new().await;
    let (alice, carol) = (house.enters("alice").await, house.enters("carol").await);
    let token = house
        .post(&carol, "/me/tokens", json!({ "name": "s" }))
        .await
        .is(201);
    let script = Browser {
        token: Some(token["secret"].as_str().unwrap().into()),
        ..Browser::default()
    };
    let wish = json!({ "name": "tablet", "scopes": ["web"] });
    let app = house.post(&carol, "/me/passwords", wish).await.is(201);
    let tablet = house
        .enters_with("carol", app["secret"].as_str().unwrap())
        .await;
    let nobody = Browser::default();
    let liar = Browser {
        cookie: Some("1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into()),
        ..Browser::default()
    };
    let mut seen = 0;
    for route in table().routes {
        let (method, path) = (route.method.as_str(), filled(route.path));
        let body = || Some(("application/json", b"{}".to_vec()));
        let name = format!("{method} {path}");
        if route.need >= Need::Account {
            for browser in [&nobody, &liar] {
                let answer = house.ask(browser, method, &path, body()).await;
                assert!(
                    matches!(answer.status.as_u16(), 401 | 429),
                    "{name}: {}",
                    answer.text()
                );
            }
        }
        if route.need >= Need::Passphrase {
            for browser in [&script, &tablet] {
                house
                    .ask(browser, method, &path, body())
                    .await
                    .refused(403, "passphrase-needed");
            }
        }
        if route.path.starts_with("/admin") {
            assert_eq!(route.need, Need::Admin, "{name}");
            house
                .ask(&alice, method, &path, body())
                .await
                .refused(403, "forbidden");
            seen += 1;
        }
        if !route.method.is_safe() {
            let careless = Browser {
                careless: true,
                ..carol.clone()
            };
            house
                .ask(&careless, method, &path, body())
                .await
                .refused(403, "csrf");
        }
    }
    assert!(seen > 20, "{seen} routes of administration");
    house.get(&carol, "/me").await.is(200);
}

#[tokio::test]
async fn administration_does_and_notes_and_never_shows_what_people_wrote() {
    let house = House::new().await;
    let (alice, carol) = (house.enters("alice").await, house.enters("carol").await);
    let said = house
        .says(&alice, "direct:bob@example.org", "a private word")
        .await;
    let report = json!({ "address": "bob@example.org", "reason": "abuse", "text": "rude" });
    house.post(&alice, "/reports", report).await.is(201);
    let made = json!({ "name": "helper", "bot": true });
    let made = house.post(&carol, "/admin/accounts", made).await.is(201);
    assert!(made["passphrase"].is_string());
    let token = house
        .post(
            &carol,
            "/admin/accounts/helper/tokens",
            json!({ "name": "t" }),
        )
        .await
        .is(201);
    let bot = Browser {
        token: token["secret"].as_str().map(str::to_owned),
        ..Browser::default()
    };
    assert_eq!(house.get(&bot, "/me").await.is(200)["account"]["bot"], true);
    house
        .post(
            &carol,
            "/admin/accounts/alice/tokens",
            json!({ "name": "t" }),
        )
        .await
        .refused(403, "forbidden");
    house
        .send(
            &carol,
            "PATCH",
            "/admin/accounts/carol",
            json!({ "admin": false }),
        )
        .await
        .refused(403, "forbidden");
    house
        .send(
            &carol,
            "PATCH",
            "/admin/accounts/alice",
            json!({ "disabled": true }),
        )
        .await
        .is(200);
    house.get(&alice, "/me").await.refused(401, "not-signed-in");
    let reset = house
        .post(&carol, "/admin/accounts/bob/reset", json!({}))
        .await
        .is(200);
    house
        .enters_with("bob", reset["passphrase"].as_str().unwrap())
        .await;
    let reports = house.get(&carol, "/admin/reports").await.is(200);
    let id = reports["reports"][0]["id"].as_str().unwrap();
    let done = json!({ "state": "done", "note": "spoke with bob" });
    assert_eq!(
        house
            .post(&carol, &format!("/admin/reports/{id}"), done)
            .await
            .is(200)["state"],
        "done"
    );
    for path in [
        "overview",
        "accounts",
        "rooms",
        "sessions",
        "invitations",
        "storage",
        "health",
        "audit",
        "reports",
        "lockdown",
    ] {
        let answer = house.get(&carol, &format!("/admin/{path}")).await;
        answer.is(200);
        assert!(!answer.text().contains("a private word"), "{path}");
    }
    house
        .get(
            &carol,
            &format!(
                "/conversations/{}/entries",
                said["conversation"].as_str().unwrap()
            ),
        )
        .await
        .refused(404, "not-found");
    let audit = house.get(&carol, "/admin/audit").await.is(200);
    let acts: Vec<&str> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["act"].as_str().unwrap())
        .collect();
    for act in [
        "account made",
        "token made",
        "account changed",
        "passphrase reset",
        "report handled",
    ] {
        assert!(acts.contains(&act), "{act} in {acts:?}");
    }
}

#[tokio::test]
async fn strange_paths_and_bodies_are_refused_in_order() {
    let house = House::new().await;
    let alice = house.enters("alice").await;
    house
        .get(&alice, "/nothing/there")
        .await
        .refused(404, "not-found");
    house
        .ask(&alice, "PUT", "/me", None)
        .await
        .refused(405, "method-not-allowed");
    let odd = ("application/json", b"{\"name\":".to_vec());
    house
        .ask(&alice, "PATCH", "/me", Some(odd))
        .await
        .refused(400, "bad-request");
    house
        .send(&alice, "PATCH", "/me", json!({ "nmae": "x" }))
        .await
        .refused(422, "invalid");
    house.get(&alice, "/search").await.refused(422, "invalid");
    let large = ("application/json", vec![b' '; 300 * 1024]);
    house
        .ask(&alice, "PATCH", "/me", Some(large))
        .await
        .refused(413, "too-large");
    for path in [
        "/conversations/99999",
        "/conversations/-1",
        "/conversations/direct:x",
        "/conversations/%00",
        "/avatars/..%2F..",
        "/conversations/18446744073709551616",
    ] {
        house.get(&alice, path).await.refused(404, "not-found");
    }
    let answer = house.get(&alice, "/me").await;
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["cache-control"], "no-store");
    for path in ["/assets/../Cargo.toml", "/assets/..%2f..%2fCargo.toml"] {
        assert_eq!(house.get(&alice, path).await.status, 404, "{path}");
    }
    let page = house.get(&Browser::default(), "/").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(page.status == 200 && !policy.contains("unsafe"), "{policy}");
}
