//! History: CHATHISTORY in all its forms, replay for plain clients.

use crate::world::{MODERN, PASSWORD, World, bare, none, one, tag, two};

fn texts(lines: &[String]) -> Vec<String> {
    let said = lines.iter().filter(|l| l.contains("PRIVMSG"));
    said.map(|l| bare(l).split(" :").nth(1).unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn history_is_read_in_every_direction() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    alice.does("JOIN #town").await;
    let mut ids = Vec::new();
    let mut times = Vec::new();
    for n in 0..6 {
        let lines = alice.does(&format!("PRIVMSG #town :{n}")).await;
        let line = one(&lines, "PRIVMSG");
        ids.push(tag(line, "msgid").unwrap().to_owned());
        times.push(tag(line, "time").unwrap().to_owned());
    }
    for (query, expected) in [
        ("LATEST #town * 3".to_owned(), vec!["3", "4", "5"]),
        (format!("LATEST #town msgid={} 10", ids[3]), vec!["4", "5"]),
        (format!("BEFORE #town msgid={} 2", ids[3]), vec!["1", "2"]),
        (format!("AFTER #town msgid={} 2", ids[3]), vec!["4", "5"]),
        (
            format!("AROUND #town msgid={} 3", ids[3]),
            vec!["2", "3", "4"],
        ),
        (
            format!("BETWEEN #town msgid={} msgid={} 10", ids[1], ids[4]),
            vec!["2", "3"],
        ),
        (
            format!("BETWEEN #town msgid={} msgid={} 1", ids[4], ids[1]),
            vec!["3"],
        ),
    ] {
        let lines = alice.does(&format!("CHATHISTORY {query}")).await;
        assert_eq!(texts(&lines), expected, "{query}");
        one(&lines, " chathistory #town");
    }
    let lines = alice.does("CHATHISTORY LATEST #town * 1").await;
    assert_eq!(tag(one(&lines, "PRIVMSG"), "msgid"), Some(&*ids[5]));
    // Joins are played back only to those who ask for events.
    one(
        &alice.does("CHATHISTORY LATEST #town * 50").await,
        "JOIN #town",
    );
    let mut reader = world
        .enters(
            "alice/reader",
            "batch server-time message-tags draft/chathistory",
        )
        .await;
    none(
        &reader.does("CHATHISTORY LATEST #town * 50").await,
        "JOIN #town",
    );
    for (query, code) in [
        ("LATEST #nowhere * 5", "INVALID_TARGET"),
        ("LATEST #town 5", "NEED_MORE_PARAMS"),
        ("BEFORE #town * 5", "INVALID_PARAMS"),
        ("SIDEWAYS #town * 5", "INVALID_PARAMS"),
        ("LATEST #town * many", "INVALID_PARAMS"),
    ] {
        one(
            &alice.does(&format!("CHATHISTORY {query}")).await,
            &format!("FAIL CHATHISTORY {code} "),
        );
    }
    let mut bob = world.enters("bob", MODERN).await;
    bob.does("PRIVMSG alice :hello").await;
    let far = "timestamp=2000-01-01T00:00:00.000Z timestamp=2100-01-01T00:00:00.000Z";
    let lines = alice.does(&format!("CHATHISTORY TARGETS {far} 10")).await;
    let found: Vec<_> = lines
        .iter()
        .filter(|l| l.contains("CHATHISTORY TARGETS"))
        .collect();
    assert!(found[0].contains("TARGETS #town") && found[1].contains("TARGETS bob"));
}

#[tokio::test]
async fn a_plain_client_gets_what_it_missed_once() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut bob = world.enters("bob/old", "").await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    alice.does("PRIVMSG #town :seen").await;
    one(&bob.syncs().await, "seen");
    bob.sends("QUIT").await;
    bob.rest().await;
    bob.task.await.unwrap();
    alice.does("PRIVMSG #town :missed").await;
    alice.does("PRIVMSG bob :\x02privately\x02").await;
    let mut bob = world.stranger();
    bob.signs_in("bob/old", PASSWORD, "").await;
    let lines = bob.syncs().await;
    let missed = one(&lines, ":missed".trim_start_matches(':'));
    assert!(missed.contains("PRIVMSG #town :[") && missed.ends_with("] missed"));
    one(&lines, "] \x02privately\x02");
    none(&lines, "seen");
    bob.sends("QUIT").await;
    bob.rest().await;
    bob.task.await.unwrap();
    let mut bob = world.stranger();
    bob.signs_in("bob/old", PASSWORD, "server-time batch").await;
    none(&bob.syncs().await, "missed");
    // A device that is new has missed nothing; one with server-time gets a batch.
    let mut phone = world.stranger();
    phone
        .signs_in("bob/phone", PASSWORD, "server-time batch")
        .await;
    none(&phone.syncs().await, "missed");
    phone.sends("QUIT").await;
    phone.rest().await;
    phone.task.await.unwrap();
    alice.does("PRIVMSG #town :later").await;
    let mut phone = world.stranger();
    phone
        .signs_in("bob/phone", PASSWORD, "server-time batch")
        .await;
    let lines = phone.syncs().await;
    let line = one(&lines, "PRIVMSG #town :later");
    assert!(tag(line, "time").is_some() && tag(line, "batch").is_some());
}

#[tokio::test]
async fn nobody_reads_what_was_said_before_a_secret_room_let_them_in() {
    let (_world, mut alice, mut bob) = two().await;
    alice.does("JOIN #town").await;
    alice.does("PRIVMSG #town :before").await;
    bob.does("JOIN #town").await;
    alice.does("KICK #town bob").await;
    alice.does("PRIVMSG #town :after the kick").await;
    none(
        &bob.does("CHATHISTORY LATEST #town * 50").await,
        "after the kick",
    );
}
