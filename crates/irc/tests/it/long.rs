//! Messages of more lines than fit: nothing of them is lost, and nobody is flooded.

use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::{Content, EventId, Message, Principal, Protocol};
use sammen_irc::Config;

use crate::filehost::asks;
use crate::world::{MODERN, Person, World, address, bare, none, one, tag};

const BASE: &str = "https://files.example.org";

async fn town() -> (World, std::net::SocketAddr) {
    let config = Config {
        files: Some(BASE.into()),
        ..Config::default()
    };
    let world = World::with(config).await;
    let router = sammen_irc::whole::router(world.server.clone());
    let (address, _) = world.serves(router);
    (world, address)
}

/// Carol says something in #town with an app of another protocol.
async fn says(world: &World, text: &str) -> EventId {
    let room = world.server.names.room("#town").unwrap();
    let id = world.node.room(&room).unwrap().unwrap().id();
    let content = Content::Message(Message::text(text));
    let said = world.node.write(move |tx| {
        let out = Outgoing::new(Target::Conversation(id), content, Protocol::Xmpp);
        send::send(tx, &Principal::Of(address("carol")), out)
    });
    said.await.unwrap().id
}

fn poem(lines: usize) -> String {
    (1..=lines).map(|n| format!("verse {n}\n")).collect()
}

async fn three(world: &World) -> [Person; 3] {
    let mut people = [
        world.enters("alice", MODERN).await,
        world.enters("bob", "").await,
        world.enters("carol", "").await,
    ];
    for person in &mut people {
        person.does("JOIN #town").await;
    }
    for person in &mut people {
        person.syncs().await;
    }
    people
}

/// What was said, without the rest of the lines.
fn said(lines: &[String]) -> Vec<&str> {
    let said = lines
        .iter()
        .map(|l| bare(l))
        .filter(|l| l.contains(" PRIVMSG #town :"));
    said.map(|l| l.split_once(" :").unwrap().1).collect()
}

#[tokio::test]
async fn a_long_message_comes_in_batches_within_the_limits_that_are_announced() {
    let (world, _) = town().await;
    let [mut alice, mut bob, _carol] = three(&world).await;
    let text = poem(249);
    let id = says(&world, &text).await.to_string();
    let lines = alice.syncs().await;
    let opened: Vec<&String> = lines.iter().filter(|l| l.contains(" BATCH +")).collect();
    assert_eq!(opened.len(), 2, "{opened:#?}");
    assert_eq!(tag(opened[0], "msgid"), Some(&*id));
    assert_eq!(tag(opened[1], "msgid"), None);
    let of = |batch: &str| {
        let inside = lines.iter().filter(|l| tag(l, "batch") == Some(batch));
        inside.count()
    };
    let most = Config::default().multiline_lines;
    assert_eq!(
        [of(&format!("m{id}")), of(&format!("m{id}-1"))],
        [most, 250 - most]
    );
    let joined = said(&lines).join("\n");
    assert_eq!(joined, text);
    // Without batches it is line after line.
    assert_eq!(said(&bob.syncs().await).join("\n") + "\n", text);
}

#[tokio::test]
async fn a_very_long_message_leads_to_its_whole_text_until_it_is_taken_back() {
    let (world, http) = town().await;
    let mut people = three(&world).await;
    let text = poem(3000);
    let id = says(&world, &text).await;
    let mut addresses = Vec::new();
    for person in &mut people[..2] {
        let lines = person.syncs().await;
        let said = said(&lines);
        assert_eq!(said[249], "verse 250");
        let rest = said[250..].concat();
        assert!(
            rest.starts_with("(2751 more lines, for anyone with this link: https://"),
            "{rest}"
        );
        addresses.push(rest.split_ascii_whitespace().nth(8).unwrap().to_owned());
    }
    assert_eq!(addresses[0], addresses[1]);
    let path = addresses[0].strip_prefix(BASE).unwrap();
    let get = |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\n");
        async move { asks(http, &head, b"").await }
    };
    let page = get(path).await;
    assert_eq!(
        (page.code(), page.header("content-type")),
        (200, Some("text/plain; charset=utf-8"))
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(page.body == text.as_bytes());
    // What is read later says the same.
    let lines = people[0].does("CHATHISTORY LATEST #town * 10").await;
    assert!(said(&lines).concat().contains(&addresses[0]));

    // Nobody finds it by trying, and it goes with the message.
    let other = says(&world, "something else").await;
    let (_, proof) = path.rsplit_once('/').unwrap();
    for wrong in [
        format!("/irc/text/{id}/{}", "0".repeat(32)),
        format!("/irc/text/{other}/{proof}"),
        format!("/irc/text/nothing/{proof}"),
    ] {
        assert_eq!(get(&wrong).await.code(), 404, "{wrong}");
    }
    let mut carol = world.enters("carol/pocket", MODERN).await;
    one(
        &carol.does(&format!("REDACT #town {id}")).await,
        " REDACT #town ",
    );
    assert_eq!(get(path).await.code(), 410);
}

#[tokio::test]
async fn an_answer_of_long_messages_has_no_gap() {
    let (world, _) = town().await;
    let [mut alice, ..] = three(&world).await;
    for n in 0..30 {
        says(&world, &format!("number {n}\n{}", "word ".repeat(12_000))).await;
    }
    let numbers = |lines: &[String]| -> Vec<u32> {
        let of = |l: &&str| l.strip_prefix("number ").and_then(|n| n.parse().ok());
        said(lines).iter().filter_map(of).collect()
    };
    alice.syncs().await;
    let latest = numbers(&alice.does("CHATHISTORY LATEST #town * 30").await);
    assert!(latest.len() > 3 && latest.len() < 30, "{latest:?}");
    let expected: Vec<u32> = (30 - latest.len() as u32..30).collect();
    assert_eq!(latest, expected, "the latest, and none is left out between");
    let far = "timestamp=2000-01-01T00:00:00.000Z";
    let first = numbers(
        &alice
            .does(&format!("CHATHISTORY AFTER #town {far} 30"))
            .await,
    );
    assert_eq!(first, (0..first.len() as u32).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_missed_more_than_fits_still_comes_in_and_is_told() {
    let (world, _) = town().await;
    let [_alice, mut bob, _carol] = three(&world).await;
    bob.sends("QUIT").await;
    bob.rest().await;
    bob.task.await.unwrap();
    for n in 0..60 {
        says(&world, &format!("number {n}\n{}", "word ".repeat(12_000))).await;
    }
    let mut bob = world.stranger();
    bob.signs_in("bob", crate::world::PASSWORD, "").await;
    let lines = bob.syncs().await;
    one(&lines, "messages before these are not shown here");
    assert!(lines.iter().any(|l| l.ends_with("number 59")));
    none(&lines, "number 0");
}
