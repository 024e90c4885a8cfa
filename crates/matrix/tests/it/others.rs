//! Every endpoint, asked by people whom it is none of their business, and with ids that are odd: nothing is told, nothing
//! changes, nothing breaks.

use axum::http::Method;
use sammen_matrix::http;
use sammen_matrix::routes::Endpoint;
use serde_json::{Value, json};

use crate::house::{Answer, House};
use crate::rooms::{V3, says};

/// Stands in everything that is Alice's alone.
const SECRET: &str = "s3cret";
const ALICE: &str = "@alice:example.org";

/// What there is of Alice's.
struct Hers {
    token: String,
    device: String,
    room: String,
    event: String,
    filter: String,
    version: String,
}

impl Hers {
    async fn of(house: &House) -> Self {
        let name = json!({ "initial_device_display_name": format!("{SECRET} phone") });
        let signed = house
            .log_in("alice", crate::house::PASSWORD, name)
            .await
            .is(200);
        let token = signed["access_token"].as_str().unwrap().to_owned();
        let made = json!({
            "preset": "private_chat", "name": SECRET, "topic": SECRET, "room_alias_name": "hush",
            "initial_state": [{ "type": "org.example.note", "state_key": "x", "content": { "x": SECRET } }],
        });
        let room = house.make(&token, made).await;
        let event = house.send_text(&token, &room, "t", says(SECRET)).await;
        let mut answer = says(SECRET);
        answer["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": event });
        house.send_text(&token, &room, "t2", answer).await;
        let mine = format!("user/{ALICE}");
        let note = || json!({ "note": SECRET });
        house
            .put(&token, &format!("{mine}/account_data/org.example"), note())
            .await;
        house
            .put(
                &token,
                &format!("{mine}/rooms/{room}/account_data/org.example"),
                note(),
            )
            .await;
        house
            .put(
                &token,
                &format!("{mine}/rooms/{room}/tags/u.x"),
                json!({ "x": SECRET }),
            )
            .await;
        let filter = json!({ "room": { "rooms": [format!("!{SECRET}:example.org")] } });
        let filter = house.post(&token, &format!("{mine}/filter"), filter).await;
        let backup = json!({
            "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
            "auth_data": { "public_key": SECRET, "signatures": {} },
        });
        let version = house.post(&token, "room_keys/version", backup).await;
        Self {
            device: signed["device_id"].as_str().unwrap().to_owned(),
            filter: filter["filter_id"].as_str().unwrap().to_owned(),
            version: version["version"].as_str().unwrap().to_owned(),
            token,
            room,
            event,
        }
    }

    /// The path with what is hers.
    fn path(&self, path: &str) -> String {
        let parts = path.split('/').map(|part| {
            let Some(name) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
                return part;
            };
            match name.trim_start_matches('*') {
                "user_id" | "target_user_id" => ALICE,
                "room_id" | "room_id_or_alias" => &self.room,
                "room_alias" => "%23hush:example.org",
                "event_id" | "relates_to" | "parent_event" => &self.event,
                "device_id" => &self.device,
                "server_name" => "example.org",
                "event_type" | "type" if path.contains("account_data") => "org.example",
                "event_type" | "type" if path.contains("/state/") => "org.example.note",
                "event_type" | "type" => "m.room.message",
                "rel_type" => "m.thread",
                "receipt_type" => "m.read",
                "filter_id" => &self.filter,
                "version" => &self.version,
                "state_key" => "x",
                "tag" => "u.x",
                "kind" => "room",
                "field" | "key_name" => "displayname",
                _ => "x",
            }
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// Everything of hers that could change.
    async fn all(&self, house: &House) -> Vec<Value> {
        let mut all = Vec::new();
        let room = &self.room;
        for path in [
            "account/whoami".to_owned(),
            format!("devices/{}", self.device),
            format!("profile/{ALICE}"),
            format!("user/{ALICE}/account_data/org.example"),
            format!("user/{ALICE}/rooms/{room}/account_data/org.example"),
            format!("user/{ALICE}/rooms/{room}/tags"),
            format!("user/{ALICE}/filter/{}", self.filter),
            format!(
                "rooms/{room}/messages?dir=f&limit=100&filter=%7B%22types%22%3A%5B%22*%22%5D%7D"
            ),
            format!("rooms/{room}/state"),
            format!("directory/list/room/{room}"),
            "directory/room/%23hush:example.org".to_owned(),
            "joined_rooms".to_owned(),
            "pushrules/".to_owned(),
            "room_keys/version".to_owned(),
        ] {
            let mut answer = house.get(&self.token, &path).await;
            ageless(&mut answer);
            for field in ["last_seen_ts", "last_seen_ip", "start", "end"] {
                answer
                    .as_object_mut()
                    .unwrap_or(&mut Default::default())
                    .remove(field);
            }
            all.push(json!({ path: answer }));
        }
        all
    }
}

/// Without the age of events.
fn ageless(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(ageless),
        Value::Object(object) => {
            object.remove("age");
            object.values_mut().for_each(ageless);
        }
        _ => {}
    }
}

/// A body in which each endpoint finds what it needs.
fn body() -> Value {
    json!({
        "user_id": "@bob:example.org", "reason": "x", "msgtype": "m.text", "body": "x", "avatar_url": "mxc://example.org/x",
        "displayname": "Mallory", "visibility": "public", "order": 0.5, "timeout": 1, "typing": true, "presence": "online",
        "name": "x", "topic": "x", "messages": {}, "device_keys": {}, "one_time_keys": {}, "room_id": "!x:example.org",
        "actions": ["notify"], "enabled": false, "pattern": "x", "locked": true, "suspended": true, "m.read": "$x",
        "m.fully_read": "$x", "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {}, "rooms": {},
        "limit": 10, "search_term": SECRET, "display_name": "x", "devices": [], "new_version": "11",
    })
}

/// Whether the path names something of Alice's that is nobody else's.
fn is_hers(endpoint: &Endpoint) -> bool {
    let path = &endpoint.path;
    [
        "{room_id}",
        "{room_id_or_alias}",
        "{filter_id}",
        "{device_id}",
    ]
    .iter()
    .any(|part| path.contains(part))
        || path.contains("/user/{user_id}/")
        || path.contains("/admin/")
}

/// What of it others may ask for all the same, and why.
fn may(endpoint: &Endpoint) -> bool {
    let path = endpoint.path.as_str();
    // Whether a room stands in the directory is public; who asks who knows an id.
    endpoint.method == Method::GET && path.contains("directory/list/room/")
        // What one's own account keeps beside an id that it knows.
        || path.contains("/room_keys/")
}

#[track_caller]
fn tells_nothing(what: &str, answer: &Answer) {
    let text = answer.text();
    assert!(
        answer.status.as_u16() < 500,
        "{what}: {} {text}",
        answer.status
    );
    assert!(!text.contains(SECRET), "{what}: {text}");
}

#[tokio::test]
async fn others_learn_and_change_nothing() {
    let endpoints = http::table().endpoints;
    let house = House::untiring().await;
    let hers = Hers::of(&house).await;
    let before = hers.all(&house).await;
    assert!(
        before
            .iter()
            .map(Value::to_string)
            .collect::<String>()
            .contains(SECRET)
    );
    for endpoint in &endpoints {
        // They wait.
        if endpoint.path.ends_with("/sync") {
            continue;
        }
        let (method, path) = (endpoint.method.as_str(), hers.path(&endpoint.path));
        let what = format!("{method} {}", endpoint.path);
        let sends = endpoint.method != Method::GET && endpoint.method != Method::DELETE;
        let with = || if sends { body() } else { Value::Null };
        let nobody = house.ask("", method, &path, with()).await;
        tells_nothing(&what, &nobody);
        // A token each: some endpoints end it.
        let bob = house.sign_in("bob").await;
        let answer = house.ask(&bob, method, &path, with()).await;
        tells_nothing(&what, &answer);
        if is_hers(endpoint) && !may(endpoint) {
            let error = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
            let code = error["errcode"].as_str().unwrap_or_default();
            let hidden = ["M_FORBIDDEN", "M_NOT_FOUND", "M_UNRECOGNIZED"].contains(&code);
            // What is wrong in itself is said first.
            let wrong = answer.status == 400 && ["M_INVALID_PARAM", "M_BAD_JSON"].contains(&code);
            // Devices are deleted after the passphrase was asked for.
            let asked = answer.status == 401 && error["flows"].is_array();
            assert!(
                hidden && [403, 404].contains(&answer.status.as_u16()) || wrong || asked,
                "{what}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    let after = hers.all(&house).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    // Syncs tell them nothing either.
    let bob = house.sign_in("bob").await;
    let answer = house
        .ask(
            &bob,
            "GET",
            &format!("{V3}/sync?timeout=0&full_state=true"),
            Value::Null,
        )
        .await;
    tells_nothing("sync", &answer);
    assert!(!answer.text().contains(&hers.room), "{}", answer.text());
    let rooms =
        json!({ hers.room.as_str(): { "timeline_limit": 20, "required_state": [["*", "*"]] } });
    let sliding = json!({ "room_subscriptions": rooms, "extensions": { "account_data": { "enabled": true } } });
    let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0";
    let answer = house.ask(&bob, "POST", path, sliding).await;
    tells_nothing("sliding sync", &answer);
    assert_eq!(
        answer.is(200)["rooms"].get(&hers.room),
        None,
        "{}",
        answer.text()
    );
}

/// Ids that are none, or are too long.
fn odd() -> Vec<String> {
    let long = "x".repeat(300);
    vec![
        "%20".into(),
        "%00".into(),
        "..".into(),
        "%2F".into(),
        "%FF".into(),
        "%F0%9F%8D%8E".into(),
        "-1".into(),
        "18446744073709551616".into(),
        format!("@{long}:example.org"),
        format!("!{long}:example.org"),
        format!("%23{long}:example.org"),
        format!("${long}"),
        "x".repeat(20_000),
        "@alice:example.org:1:2".into(),
        "!room".into(),
        "%23hush".into(),
    ]
}

#[tokio::test]
async fn odd_ids_and_bodies_break_nothing() {
    let endpoints = http::table().endpoints;
    for some in endpoints.chunks(60) {
        let house = House::untiring().await;
        let hers = Hers::of(&house).await;
        for endpoint in some {
            if endpoint.path.ends_with("/sync") {
                continue;
            }
            let method = endpoint.method.as_str();
            let what = format!("{method} {}", endpoint.path);
            let sends = endpoint.method != Method::GET && endpoint.method != Method::DELETE;
            let parts: Vec<&str> = endpoint.path.split('/').collect();
            let mut token = house.sign_in("bob").await;
            for (place, _) in parts
                .iter()
                .enumerate()
                .filter(|(_, part)| part.starts_with('{'))
            {
                for odd in odd() {
                    // Every other variable is a good one.
                    let path = hers.path(&endpoint.path);
                    let mut filled: Vec<&str> = path.split('/').collect();
                    filled[place] = &odd;
                    let with = if sends { body() } else { Value::Null };
                    let answer = house.ask(&token, method, &filled.join("/"), with).await;
                    tells_nothing(&format!("{what} with {odd:.40}"), &answer);
                    if answer.status == 401 {
                        token = house.sign_in("bob").await;
                    }
                }
            }
            if !sends || !endpoint.token || endpoint.path.contains("/media/") {
                continue;
            }
            let path = hers.path(&endpoint.path);
            let deep = format!("{}{}", r#"{"a":"#.repeat(2_000), "1");
            for (body, code) in [
                (
                    format!(r#"{{"a":"{}"}}"#, "x".repeat(2 << 20)),
                    "M_TOO_LARGE",
                ),
                (deep, ""),
            ] {
                let token = house.sign_in("bob").await;
                let answer = house
                    .send(&token, method, &path, "application/json", body.into())
                    .await;
                tells_nothing(&what, &answer);
                if !code.is_empty() {
                    answer.refused(413, code);
                }
            }
        }
    }
}
