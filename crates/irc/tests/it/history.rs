//! History: CHATHISTORY in all its forms, replay for plain clients.

use crate::world::{MODERN, PASSWORD, World, bare, none, one, tag, town, two};

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

/// What Bob's plain app is told when it comes back after `say`, which Alice does in a room that both are in.
async fn missed(config: sammen_irc::Config, say: impl Iterator<Item = String>) -> Vec<String> {
    let world = World::with(config).await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut bob = world.enters("bob/old", "").await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    bob.syncs().await;
    bob.sends("QUIT").await;
    bob.rest().await;
    bob.task.await.unwrap();
    for line in say {
        alice.does(&line).await;
    }
    let mut bob = world.stranger();
    bob.signs_in("bob/old", PASSWORD, "").await;
    bob.syncs().await
}

#[tokio::test]
async fn who_missed_more_than_is_looked_at_gets_the_latest() {
    let config = sammen_irc::Config {
        replay: 20,
        replay_looks: 50,
        ..sammen_irc::Config::default()
    };
    let say = (0..1_200).map(|n| format!("PRIVMSG #town :word {n}."));
    let lines = missed(config, say).await;
    let shown: Vec<_> = lines.iter().filter(|l| l.contains(" #town :[")).collect();
    assert_eq!(shown.len(), 20, "{shown:?}");
    for (line, n) in shown.iter().zip(1_180..) {
        assert!(line.ends_with(&format!("] word {n}.")), "{line}");
    }
    one(&lines, "You missed more than is shown here");
}

#[tokio::test]
async fn what_is_not_for_the_reader_ends_no_replay() {
    let hidden = std::iter::once("PRIVMSG @#town :between us".to_owned());
    let say = hidden.chain((0..510).map(|n| format!("PRIVMSG #town :word {n}.")));
    let lines = missed(sammen_irc::Config::default(), say).await;
    none(&lines, "between us");
    one(&lines, "] word 509.");
    one(&lines, "10 messages before these are not shown here");
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

#[tokio::test]
async fn words_are_found_in_what_one_may_see_and_nowhere_else() {
    let (world, mut alice, mut bob) = town().await;
    let mut carol = world.enters("carol", MODERN).await;
    one(&alice.does("SEARCH text=x").await, " 421 alice SEARCH ");
    for person in [&mut alice, &mut bob, &mut carol] {
        person.does("CAP REQ soju.im/search").await;
    }
    for text in ["the green apple", "a red apple", "a pear"] {
        alice.does(&format!("PRIVMSG #town :{text}")).await;
    }
    bob.does("PRIVMSG alice :an apple for you").await;
    bob.does("PRIVMSG #town :my apple").await;
    alice.syncs().await;
    let said = |lines: &[String]| -> Vec<String> {
        let told = lines.iter().filter(|l| l.contains(" PRIVMSG "));
        told.map(|l| l.rsplit_once(':').unwrap().1.to_owned())
            .collect()
    };
    let found = alice.does("SEARCH text=apple").await;
    assert!(one(&found, " BATCH +").ends_with(" soju.im/search"));
    let all = [
        "the green apple",
        "a red apple",
        "an apple for you",
        "my apple",
    ];
    assert_eq!(said(&found), all);
    let found = alice.does("SEARCH text=red\\sapple;in=#town").await;
    assert_eq!(said(&found), ["a red apple"]);
    assert!(tag(one(&found, "red apple"), "msgid").is_some());
    let found = alice.does("SEARCH from=bob;in=#town;limit=1").await;
    assert_eq!(said(&found), ["my apple"]);
    let found = alice
        .does("SEARCH text=apple;before=2020-01-01T00:00:00.000Z")
        .await;
    assert_eq!(found.len(), 2, "{found:#?}");
    // Carol is in no room, and nobody wrote to her.
    let found = carol.does("SEARCH text=apple").await;
    assert_eq!(found.len(), 2, "{found:#?}");
    for bad in ["in=#town", "limit=0", "after=yesterday", "text="] {
        let told = carol.does(&format!("SEARCH {bad}")).await;
        one(&told, "FAIL SEARCH INVALID_PARAMS ");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_between_signing_in_and_entering_the_rooms_is_heard_once() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut bob = world.enters("bob", "").await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    for round in 0..3 {
        bob.sends("QUIT").await;
        bob.rest().await;
        bob.task.await.unwrap();
        alice.does(&format!("PRIVMSG #town :{round} before")).await;
        // The writer waits, so that Bob's sign-in and then Alice's words stand in its queue before it goes on: what she
        // says comes after he is in, and before he asks to enter his rooms.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (busy, begun) = tokio::sync::oneshot::channel();
        let node = world.node.clone();
        let held = tokio::spawn(async move {
            let held = node.write(move |_| {
                let _ = busy.send(());
                let _ = wait.recv();
                Ok(())
            });
            held.await
        });
        begun.await.unwrap();
        bob = world.stranger();
        bob.signs_in("bob", PASSWORD, "").await;
        waits_for(&world, 1).await;
        alice
            .sends(&format!("PRIVMSG #town :{round} meanwhile"))
            .await;
        waits_for(&world, 2).await;
        go.send(()).unwrap();
        held.await.unwrap().unwrap();
        let mut lines = bob.syncs().await;
        alice.does(&format!("PRIVMSG #town :{round} after")).await;
        lines.extend(bob.syncs().await);
        let said: Vec<_> = lines
            .iter()
            .filter(|l| l.contains(" PRIVMSG #town "))
            .collect();
        assert_eq!(said.len(), 3, "{said:#?}");
        for (line, word) in said.iter().zip(["before", "meanwhile", "after"]) {
            assert!(line.ends_with(&format!("{round} {word}")), "{said:#?}");
        }
    }
}

/// So many writes wait for the writer.
async fn waits_for(world: &World, writes: usize) {
    while world.node.pending_writes() < writes {
        tokio::task::yield_now().await;
    }
}
