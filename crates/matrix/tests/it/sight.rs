//! Who sees what of a room's history: each visibility × how somebody stands to the room × each way of reading.

use serde_json::{Value, json};

use crate::house::House;
use crate::rooms::{V3, says};

/// What was said, in this order; between them people come and go.
const SAID: [&str; 4] = ["one", "two", "three", "four"];

/// Somebody, and what they see where history is world_readable, shared, invited, joined: the first and last that was said.
struct Person {
    name: &'static str,
    sees: [Option<(usize, usize)>; 4],
}

const VISIBILITIES: [&str; 4] = ["world_readable", "shared", "invited", "joined"];

const ALL: Option<(usize, usize)> = Some((0, 3));

/// Client-server API, "Room History Visibility".
const PEOPLE: [Person; 7] = [
    Person {
        name: "alice",
        sees: [ALL, ALL, ALL, ALL],
    },
    Person {
        name: "never",
        sees: [ALL, None, None, None],
    },
    // Invited behind the first, and not in yet.
    Person {
        name: "invited",
        sees: [ALL, None, Some((1, 3)), None],
    },
    // Came behind the second.
    Person {
        name: "late",
        sees: [ALL, ALL, Some((2, 3)), Some((2, 3))],
    },
    // Invited behind the first, came behind the second.
    Person {
        name: "asked",
        sees: [ALL, ALL, Some((1, 3)), Some((2, 3))],
    },
    // In from the start, gone behind the third.
    Person {
        name: "left",
        sees: [ALL, Some((0, 2)), Some((0, 2)), Some((0, 2))],
    },
    Person {
        name: "banned",
        sees: [ALL, Some((0, 2)), Some((0, 2)), Some((0, 2))],
    },
];

struct Story {
    room: String,
    /// What was said, the answer in its thread, and when.
    said: Vec<(String, String, u64)>,
    alice: String,
}

async fn story(house: &House, visibility: &str, tokens: &[(&str, String)]) -> Story {
    let token = |name: &str| tokens.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    let alice = token("alice");
    let made = json!({
        "preset": "public_chat", "topic": "zero",
        "initial_state": [{ "type": "m.room.history_visibility", "state_key": "",
                            "content": { "history_visibility": visibility } }],
    });
    let room = house.make(&alice, made).await;
    let act = |who: &str, what: &str, whom: &str| {
        let (path, who) = (format!("rooms/{room}/{what}"), token(who));
        let body = if whom.is_empty() {
            json!({})
        } else {
            json!({ "user_id": format!("@{whom}:example.org") })
        };
        async move { house.post(&who, &path, body).await }
    };
    act("left", "join", "").await;
    act("banned", "join", "").await;
    let mut said = Vec::new();
    for (n, text) in SAID.iter().enumerate() {
        house.later(60_000);
        let id = house
            .send_text(&alice, &room, &format!("m{n}"), says(text))
            .await;
        let mut answer = says(&format!("re {text}"));
        answer["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": id });
        let answer = house
            .send_text(&alice, &room, &format!("a{n}"), answer)
            .await;
        house
            .put(
                &alice,
                &format!("rooms/{room}/state/m.room.topic"),
                json!({ "topic": format!("topic {text}") }),
            )
            .await;
        let event = house.get(&alice, &format!("rooms/{room}/event/{id}")).await;
        said.push((id, answer, event["origin_server_ts"].as_u64().unwrap()));
        match n {
            0 => {
                act("alice", "invite", "invited").await;
                act("alice", "invite", "asked").await;
            }
            1 => {
                act("late", "join", "").await;
                act("asked", "join", "").await;
            }
            2 => {
                act("left", "leave", "").await;
                act("alice", "ban", "banned").await;
            }
            _ => {}
        }
    }
    Story { room, said, alice }
}

/// What was said of it, by its body; answers too.
fn bodies(events: &Value) -> Vec<String> {
    let events = events.as_array().map_or(&[][..], Vec::as_slice).iter();
    let mut bodies: Vec<String> = events
        .filter_map(|e| Some(e["content"]["body"].as_str()?.to_owned()))
        .collect();
    bodies.sort_by_key(|body| SAID.iter().position(|said| body.ends_with(said)));
    bodies
}

#[tokio::test]
async fn everybody_sees_what_is_theirs_to_see_and_no_more() {
    let house = House::untiring().await;
    let mut tokens = Vec::new();
    for person in &PEOPLE {
        house.account(person.name).await;
        tokens.push((person.name, house.sign_in(person.name).await));
    }
    for (column, visibility) in VISIBILITIES.iter().enumerate() {
        let story = story(&house, visibility, &tokens).await;
        for (person, (_, token)) in PEOPLE.iter().zip(&tokens) {
            reads(
                &house,
                &story,
                person,
                token,
                visibility,
                person.sees[column],
            )
            .await;
        }
    }
}

async fn reads(
    house: &House,
    story: &Story,
    person: &Person,
    token: &str,
    visibility: &str,
    sees: Option<(usize, usize)>,
) {
    let Story { room, said, alice } = story;
    let who = format!("{} where it is {visibility}", person.name);
    let inside = matches!(person.name, "alice" | "late" | "asked");
    let ask = |path: String| async move { house.ask(token, "GET", &path, Value::Null).await };
    let v3 = |what: &str| format!("{V3}/rooms/{room}/{what}");
    let v1 = |what: &str| format!("/_matrix/client/v1/rooms/{room}/{what}");
    let wanted: Vec<&str> = sees.map_or(Vec::new(), |(first, last)| SAID[first..=last].to_vec());
    let mut with_answers: Vec<String> = Vec::new();
    for text in &wanted {
        with_answers.extend([text.to_string(), format!("re {text}")]);
    }
    // Pages, both ways.
    for dir in ["b", "f"] {
        let page = ask(v3(&format!("messages?dir={dir}&limit=100"))).await;
        if sees.is_none() {
            page.refused(403, "M_FORBIDDEN");
            continue;
        }
        let mut found = bodies(&page.is(200)["chunk"]);
        found.sort_by_key(|body| {
            (
                SAID.iter().position(|said| body.ends_with(said)),
                body.starts_with("re "),
            )
        });
        assert_eq!(found, with_answers, "{who}: messages");
    }
    // One by one.
    for (n, (id, answer, at)) in said.iter().enumerate() {
        let visible = wanted.contains(&SAID[n]);
        let status = match (visible, sees) {
            (true, _) => 200,
            (false, Some(_)) => 404,
            (false, None) => 403,
        };
        for path in [
            v3(&format!("event/{id}")),
            v3(&format!("event/{answer}")),
            v3(&format!("context/{id}?limit=20")),
        ] {
            let got = ask(path.clone()).await;
            assert_eq!(got.status.as_u16(), status, "{who}: {path}: {}", got.text());
            if !visible {
                assert!(
                    !got.text().contains("topic "),
                    "{who}: {path}: {}",
                    got.text()
                );
                continue;
            }
            let hidden = SAID.iter().filter(|text| !wanted.contains(text));
            for text in hidden.clone() {
                assert!(
                    !got.text().contains(&format!("\"{text}\"")),
                    "{who}: {path}: {}",
                    got.text()
                );
                assert!(
                    !got.text().contains(&format!("\"re {text}\"")),
                    "{who}: {path}: {}",
                    got.text()
                );
            }
        }
        let related = ask(v1(&format!("relations/{id}"))).await;
        assert_eq!(
            related.status.as_u16(),
            status,
            "{who}: relations: {}",
            related.text()
        );
        if visible {
            assert_eq!(
                bodies(&related.is(200)["chunk"]),
                [format!("re {}", SAID[n])],
                "{who}"
            );
        }
        // The first event from then on that they may see, which may be a later one.
        let near = ask(v1(&format!("timestamp_to_event?dir=f&ts={at}"))).await;
        match sees {
            None => drop(near.refused(403, "M_FORBIDDEN")),
            Some(_) if visible => assert_eq!(near.is(200)["event_id"], **id, "{who}"),
            Some(_) => assert_ne!(near.is_either(&[200, 404])["event_id"], **id, "{who}"),
        }
    }
    // Threads.
    let threads = ask(v1("threads")).await;
    if sees.is_none() {
        threads.refused(403, "M_FORBIDDEN");
    } else {
        assert_eq!(bodies(&threads.is(200)["chunk"]), wanted, "{who}: threads");
    }
    // State: of now for who sees what happens now, else of when they left.
    let topic = match (sees, person.name) {
        (None, _) => None,
        (Some((_, 3)), _) => Some("topic four"),
        _ => Some("topic three"),
    };
    for path in [
        "state",
        "state/m.room.topic",
        "members",
        "state/m.room.member/@alice:example.org",
    ] {
        let got = ask(v3(path)).await;
        assert_eq!(
            got.status.as_u16(),
            if topic.is_some() { 200 } else { 403 },
            "{who}: {path}: {}",
            got.text()
        );
    }
    if let Some(topic) = topic {
        let got = ask(v3("state/m.room.topic")).await;
        assert_eq!(got.is(200)["topic"], topic, "{who}");
        let members = ask(v3("members")).await.is(200);
        let of = |name: &str| {
            let user = format!("@{name}:example.org");
            let found = members["chunk"]
                .as_array()
                .unwrap()
                .iter()
                .find(|e| e["state_key"] == user.as_str());
            found.map_or(Value::Null, |e| e["content"]["membership"].clone())
        };
        // Who was put out behind their back they do not see.
        let banned = match person.name {
            "left" if topic == "topic three" => "join",
            _ => "ban",
        };
        assert_eq!(
            (of("alice"), of("banned")),
            (json!("join"), json!(banned)),
            "{who}"
        );
    }
    let joined = ask(v3("joined_members")).await;
    assert_eq!(
        joined.status.as_u16(),
        if inside { 200 } else { 403 },
        "{who}"
    );
    // What a client hears first, and of how it ended.
    let filter = "%7B%22room%22%3A%7B%22include_leave%22%3Atrue%2C%22timeline%22%3A%7B%22limit%22%3A100%7D%7D%7D";
    let sync = ask(format!("{V3}/sync?timeout=0&filter={filter}"))
        .await
        .is(200);
    let part = match person.name {
        "never" => None,
        "invited" => Some("invite"),
        "left" | "banned" => Some("leave"),
        _ => Some("join"),
    };
    for name in ["invite", "leave", "join"] {
        let there = !sync["rooms"][name][room].is_null();
        assert_eq!(
            there,
            Some(name) == part,
            "{who}: {name}: {}",
            sync["rooms"]
        );
    }
    if let Some(part @ ("join" | "leave")) = part {
        let told = &sync["rooms"][part][room];
        let events = told["timeline"]["events"].as_array().unwrap();
        let mut heard = bodies(&Value::from(events.clone()));
        heard.sort_by_key(|body| {
            (
                SAID.iter().position(|said| body.ends_with(said)),
                body.starts_with("re "),
            )
        });
        let until = if part == "leave" { 3 } else { 4 };
        let upto: Vec<&String> = with_answers
            .iter()
            .filter(|body| SAID[..until].iter().any(|said| body.ends_with(said)))
            .collect();
        assert_eq!(heard.iter().collect::<Vec<_>>(), upto, "{who}: sync");
    }
    let _ = alice;
}
