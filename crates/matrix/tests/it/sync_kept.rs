//! What clients keep on the server: account data, tags, filters, push rules.

use sammen_core::ops::contacts;
use serde_json::{Value, json};

use crate::house::{House, address};

const ALICE: &str = "/_matrix/client/v3/user/@alice:example.org";
const RULES: &str = "/_matrix/client/v3/pushrules";

#[tokio::test]
async fn account_data_comes_back_as_it_was_kept_and_to_its_owner_alone() {
    let house = House::new().await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    let path = format!("{ALICE}/account_data/org.example.theme");
    let none = house.ask(&alice, "GET", &path, Value::Null).await;
    none.refused(404, "M_NOT_FOUND");
    let content = json!({ "dark": true, "n": 1 });
    house
        .ask(&alice, "PUT", &path, content.clone())
        .await
        .is(200);
    let found = house.ask(&alice, "GET", &path, Value::Null).await;
    assert_eq!(found.is(200), content);
    for method in ["GET", "PUT"] {
        let body = if method == "GET" {
            Value::Null
        } else {
            json!({})
        };
        let other = house.ask(&bob, method, &path, body).await;
        other.refused(403, "M_FORBIDDEN");
    }
    let list = house.ask(&alice, "PUT", &path, json!([])).await;
    list.refused(400, "M_BAD_JSON");
    for kind in ["m.push_rules", "m.fully_read"] {
        let global = format!("{ALICE}/account_data/{kind}");
        let room = format!("{ALICE}/rooms/!r:example.org/account_data/{kind}");
        for path in [global, room] {
            let refused = house.ask(&alice, "PUT", &path, json!({})).await;
            refused.refused(405, "M_BAD_JSON");
        }
    }
    let room = format!("{ALICE}/rooms/!r:example.org/account_data/org.example.x");
    house
        .ask(&alice, "PUT", &room, json!({ "y": 2 }))
        .await
        .is(200);
    let found = house.ask(&alice, "GET", &room, Value::Null).await;
    assert_eq!(found.is(200), json!({ "y": 2 }));
}

#[tokio::test]
async fn tags_come_and_go_one_by_one() {
    let house = House::new().await;
    let alice = house.sign_in("alice").await;
    let tags = format!("{ALICE}/rooms/!r:example.org/tags");
    let one = format!("{tags}/m.favourite");
    house
        .ask(&alice, "PUT", &one, json!({ "order": 0.25 }))
        .await
        .is(200);
    let two = format!("{tags}/u.work");
    house.ask(&alice, "PUT", &two, json!({})).await.is(200);
    let found = house.ask(&alice, "GET", &tags, Value::Null).await;
    let both = json!({ "tags": { "m.favourite": { "order": 0.25 }, "u.work": {} } });
    assert_eq!(found.is(200), both);
    house.ask(&alice, "DELETE", &one, Value::Null).await.is(200);
    let found = house.ask(&alice, "GET", &tags, Value::Null).await;
    assert_eq!(found.is(200), json!({ "tags": { "u.work": {} } }));
    let long = format!("{tags}/{}", "x".repeat(256));
    let long = house.ask(&alice, "PUT", &long, json!({})).await;
    long.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn whom_alice_ignores_she_has_blocked_on_every_protocol() {
    let house = House::new().await;
    let alice = house.sign_in("alice").await;
    let path = format!("{ALICE}/account_data/m.ignored_user_list");
    let list = |ids: &[&str]| {
        let ids = ids.iter().map(|id| ((*id).to_owned(), json!({})));
        json!({ "ignored_users": Value::Object(ids.collect()) })
    };
    let stranger = "@xmpp/eve=40other.net:example.org";
    let both = list(&["@bob:example.org", stranger]);
    house.ask(&alice, "PUT", &path, both.clone()).await.is(200);
    let node = house.matrix.node.clone();
    let blocked = || {
        let contacts = node.contacts(&address("alice")).unwrap();
        let blocked = contacts.iter().filter(|(_, c)| c.blocked);
        blocked.map(|(a, _)| a.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(blocked(), ["bob@example.org", "xmpp:eve@other.net"]);
    // Another app blocks somebody else, and lets Bob in again.
    node.write(|tx| {
        contacts::block(tx, &address("alice"), &address("carol"), true)?;
        contacts::block(tx, &address("alice"), &address("bob"), false)
    })
    .await
    .unwrap();
    let found = house.ask(&alice, "GET", &path, Value::Null).await;
    assert_eq!(found.is(200), list(&["@carol:example.org", stranger]));
    house.ask(&alice, "PUT", &path, list(&[])).await.is(200);
    assert!(blocked().is_empty());
}

/// Somebody asks for the list, which another protocol has changed, while an app sets another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_list_of_ignored_people_that_was_set_meanwhile_stays() {
    let house = House::new().await;
    let alice = house.sign_in("alice").await;
    let path = format!("{ALICE}/account_data/m.ignored_user_list");
    let node = house.matrix.node.clone();
    node.write(|tx| contacts::block(tx, &address("alice"), &address("carol"), true))
        .await
        .unwrap();
    // The writer is held up until both have looked.
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let (began, holds) = tokio::sync::oneshot::channel();
    let busy = tokio::spawn({
        let node = node.clone();
        async move {
            node.write(move |_| {
                began.send(()).unwrap();
                held.recv().unwrap();
                Ok(())
            })
            .await
        }
    });
    holds.await.unwrap();
    let begin = |method: &'static str, body: Value| {
        let (router, alice, path) = (house.router.clone(), alice.clone(), path.clone());
        tokio::spawn(async move { House::ask_of(&router, &alice, method, &path, body).await })
    };
    // Core has no word for whom this names.
    let list = json!({ "ignored_users": { "nobody": {} } });
    let queued = |n| {
        let node = node.clone();
        async move {
            while node.pending_writes() < n {
                tokio::task::yield_now().await;
            }
        }
    };
    let set = begin("PUT", list.clone());
    queued(1).await;
    let got = begin("GET", Value::Null);
    queued(2).await;
    go_on.send(()).unwrap();
    busy.await.unwrap().unwrap();
    set.await.unwrap().is(200);
    got.await.unwrap();
    let found = house.ask(&alice, "GET", &path, Value::Null).await;
    assert_eq!(found.is(200), list);
}

#[tokio::test]
async fn an_account_keeps_so_much_and_no_more() {
    let house = House::untiring().await;
    let alice = house.sign_in("alice").await;
    let put = |kind: String, bytes: usize| {
        let path = format!("{ALICE}/account_data/{kind}");
        let (alice, house) = (alice.clone(), &house);
        async move {
            let content = json!({ "x": "x".repeat(bytes) });
            house.ask(&alice, "PUT", &path, content).await
        }
    };
    // 4 MiB in all.
    for n in 0..8 {
        put(format!("org.example.{n}"), 500_000).await.is(200);
    }
    put("org.example.more".into(), 300_000)
        .await
        .refused(413, "M_TOO_LARGE");
    put("org.example.0".into(), 10).await.is(200);
    put("org.example.more".into(), 300_000).await.is(200);
    // What the server keeps there has its place all the same.
    for n in 1..8 {
        put(format!("org.example.{n}"), 1).await.is(200);
    }
    for n in 9..999 {
        put(format!("org.example.{n}"), 1).await.is(200);
    }
    put("org.example.last".into(), 1).await.is(200);
    put("org.example.beyond".into(), 1)
        .await
        .refused(413, "M_TOO_LARGE");
    put("org.example.9".into(), 2).await.is(200);
    let ignored = format!("{ALICE}/account_data/m.ignored_user_list");
    let list = json!({ "ignored_users": { "@bob:example.org": {} } });
    house.ask(&alice, "PUT", &ignored, list).await.is(200);
}

#[tokio::test]
async fn old_filters_make_room() {
    let house = House::untiring().await;
    let alice = house.sign_in("alice").await;
    let path = format!("{ALICE}/filter");
    let keep = async |n: usize, rooms: usize| {
        let rooms: Vec<_> = (0..rooms)
            .map(|r| format!("!{n}-{r}:example.org"))
            .collect();
        let filter = json!({ "room": { "rooms": rooms, "timeline": { "limit": n + 1 } } });
        let kept = house.ask(&alice, "POST", &path, filter).await;
        kept.is(200)["filter_id"].as_str().unwrap().to_owned()
    };
    let first = keep(0, 0).await;
    let read = async |id: &str| {
        let path = format!("{path}/{id}");
        house.ask(&alice, "GET", &path, Value::Null).await
    };
    for n in 1..64 {
        keep(n, 0).await;
    }
    let last = keep(64, 0).await;
    read(&first).await.refused(404, "M_NOT_FOUND");
    read(&last).await.is(200);
    // 256 KiB in all: a few large ones take the room of all small ones.
    for n in 65..100 {
        keep(n, 400).await;
    }
    let owner = (&address("alice")).into();
    let held = house.matrix.node.store();
    let held = held.count_documents(&owner, "matrix.filter").unwrap();
    assert!(held.bytes <= 256 * 1024, "{held:?}");
    assert!(held.documents > 10, "{held:?}");
}

#[tokio::test]
async fn the_same_filter_has_the_same_id() {
    let house = House::new().await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    let path = format!("{ALICE}/filter");
    let filter = json!({ "room": { "timeline": { "limit": 5, "types": ["m.room.*"] } } });
    let first = house
        .ask(&alice, "POST", &path, filter.clone())
        .await
        .is(200);
    let again = house
        .ask(&alice, "POST", &path, filter.clone())
        .await
        .is(200);
    assert_eq!(first, again);
    let id = first["filter_id"].as_str().unwrap();
    let one = format!("{path}/{id}");
    let found = house.ask(&alice, "GET", &one, Value::Null).await;
    assert_eq!(found.is(200), filter);
    house
        .ask(&bob, "GET", &one, Value::Null)
        .await
        .refused(403, "M_FORBIDDEN");
    let none = house
        .ask(&alice, "GET", &format!("{path}/0"), Value::Null)
        .await;
    none.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn push_rules_are_read_ordered_changed_and_removed() {
    let house = House::new().await;
    let alice = house.sign_in("alice").await;
    let all = house
        .ask(&alice, "GET", &format!("{RULES}/"), Value::Null)
        .await
        .is(200);
    assert_eq!(all["global"]["override"][0]["rule_id"], ".m.rule.master");
    let rule = |id: &str| format!("{RULES}/global/content/{id}");
    let words = |word: &str| json!({ "actions": ["notify"], "pattern": word });
    for id in ["one", "two"] {
        house.ask(&alice, "PUT", &rule(id), words(id)).await.is(200);
    }
    let after = format!("{}?after=one", rule("three"));
    house
        .ask(&alice, "PUT", &after, words("three"))
        .await
        .is(200);
    let ids = |all: &Value| -> Vec<String> {
        let rules = all["content"].as_array().cloned().unwrap_or_default();
        let ids = rules
            .iter()
            .map(|r| r["rule_id"].as_str().unwrap().to_owned());
        ids.collect()
    };
    let global = format!("{RULES}/global/");
    let found = house.ask(&alice, "GET", &global, Value::Null).await.is(200);
    assert_eq!(ids(&found), ["two", "one", "three"]);
    let enabled = format!("{}/enabled", rule("two"));
    house
        .ask(&alice, "PUT", &enabled, json!({ "enabled": false }))
        .await
        .is(200);
    let found = house.ask(&alice, "GET", &enabled, Value::Null).await;
    assert_eq!(found.is(200), json!({ "enabled": false }));
    let actions = format!("{RULES}/global/underride/.m.rule.message/actions");
    house
        .ask(&alice, "PUT", &actions, json!({ "actions": [] }))
        .await
        .is(200);
    let found = house.ask(&alice, "GET", &actions, Value::Null).await;
    assert_eq!(found.is(200), json!({ "actions": [] }));
    house
        .ask(&alice, "DELETE", &rule("one"), Value::Null)
        .await
        .is(200);
    house
        .ask(&alice, "GET", &rule("one"), Value::Null)
        .await
        .refused(404, "M_NOT_FOUND");
    let refused = [
        (
            "DELETE",
            format!("{RULES}/global/override/.m.rule.master"),
            Value::Null,
            400,
        ),
        ("PUT", rule(".mine"), words("x"), 400),
        (
            "PUT",
            format!("{}?before=none", rule("four")),
            words("x"),
            404,
        ),
        ("GET", format!("{RULES}/global/nothing/x"), Value::Null, 400),
        (
            "PUT",
            format!("{}/enabled", rule("none")),
            json!({ "enabled": true }),
            404,
        ),
    ];
    for (method, path, body, status) in refused {
        let answer = house.ask(&alice, method, &path, body).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {path}: {}",
            answer.text()
        );
    }
    // As account data they are read, too.
    let path = format!("{ALICE}/account_data/m.push_rules");
    let found = house.ask(&alice, "GET", &path, Value::Null).await.is(200);
    assert_eq!(ids(&found["global"]), ["two", "three"]);
}
