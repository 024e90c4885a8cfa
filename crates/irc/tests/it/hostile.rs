//! Bad input: each gets the protocol's own error, and others are served on.

use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::{Content, Message, Principal, Protocol};

use crate::world::{MODERN, World, address, none, one, two};

#[tokio::test]
async fn bad_lines_are_answered_and_cost_nothing_else() {
    let world = World::new().await;
    let mut alice = world.enters("alice", "standard-replies").await;
    alice.sends_bytes(b"PRIVMSG bob :\xff\xfe\r\n").await;
    one(&alice.syncs().await, "FAIL PRIVMSG INVALID_UTF8");
    alice
        .sends_bytes(format!("PRIVMSG bob :{}\r\n", "x".repeat(600)).as_bytes())
        .await;
    one(&alice.syncs().await, " 417 ");
    alice
        .sends_bytes(format!("@+a={} PING 1\r\n", "x".repeat(5000)).as_bytes())
        .await;
    one(&alice.syncs().await, " 417 ");
    alice
        .sends_bytes(b"\r\n\r\n   \r\n:alice\r\n@x \r\nPING \0\r\n")
        .await;
    none(&alice.syncs().await, "PONG");
    alice.sends_bytes(&b"x".repeat(100_000)).await;
    alice.sends_bytes(b"\r\n").await;
    one(&alice.syncs().await, " 417 ");
}

#[tokio::test]
async fn every_command_bears_any_parameters() {
    let world = World::new().await;
    let mut alice = world.enters("alice", crate::world::MODERN).await;
    alice.does("JOIN #town").await;
    let verbs = [
        "ADMIN",
        "AWAY",
        "BATCH",
        "CAP",
        "CHATHISTORY",
        "CONTACT",
        "HELP",
        "INFO",
        "INVITE",
        "ISON",
        "JOIN",
        "KICK",
        "KILL",
        "LINKS",
        "LIST",
        "LUSERS",
        "MAP",
        "MARKREAD",
        "METADATA",
        "MODE",
        "MONITOR",
        "MOTD",
        "NAMES",
        "NICK",
        "NOTICE",
        "NS",
        "OPER",
        "PART",
        "PASS",
        "PRIVMSG",
        "REDACT",
        "REGISTER",
        "REHASH",
        "RENAME",
        "SEARCH",
        "SETNAME",
        "SILENCE",
        "STATS",
        "TAGMSG",
        "TIME",
        "TOPIC",
        "USERHOST",
        "USERIP",
        "VERIFY",
        "VERSION",
        "WALLOPS",
        "WHO",
        "WHOIS",
        "WHOWAS",
    ];
    let odd = [
        "",
        ":",
        "#",
        "#town",
        "*",
        "bob",
        "\u{1}",
        "+",
        "-",
        "☃",
        "a/b/c",
        "%/xmpp",
        "=zz%x/xmpp",
        "@#town",
        "0",
        "#town,#town",
    ];
    for verb in verbs {
        for one in odd {
            for two in ["", " *", " bob x y z", " +ov-k a", " timestamp=x 5"] {
                alice.sends(&format!("{verb} {one}{two}")).await;
            }
        }
        alice.syncs().await;
    }
    alice.does("JOIN #town").await;
    one(&alice.does("PRIVMSG #town :still here").await, "still here");
}

#[tokio::test]
async fn nothing_is_done_before_signing_in() {
    let world = World::new().await;
    let mut eve = world.stranger();
    for verb in [
        "JOIN #town",
        "PRIVMSG alice :x",
        "LIST",
        "WHOIS alice",
        "CHATHISTORY LATEST #town * 5",
        "NONSENSE",
    ] {
        eve.sends(verb).await;
        eve.hears(" 451 ").await;
    }
    eve.sends("AUTHENTICATE PLAIN").await;
    eve.hears("AUTHENTICATE +").await;
    eve.sends("AUTHENTICATE !!!").await;
    eve.hears(" 904 ").await;
    eve.sends("AUTHENTICATE CRAM-MD5").await;
    eve.hears(" 908 ").await;
    eve.hears(" 904 ").await;
    eve.sends("AUTHENTICATE PLAIN").await;
    eve.sends(&format!("AUTHENTICATE {}", "A".repeat(401)))
        .await;
    eve.hears(" 905 ").await;
    eve.sends("AUTHENTICATE PLAIN").await;
    eve.sends("AUTHENTICATE *").await;
    eve.hears(" 906 ").await;
}

#[tokio::test]
async fn the_shutdown_says_goodbye() {
    let world = World::new().await;
    let mut alice = world.enters("alice", "").await;
    world.shutdown.cancel();
    one(
        &alice.rest().await,
        "ERROR :Closing link: the server shuts down",
    );
    alice.task.await.unwrap();
}

#[tokio::test]
async fn who_reads_nothing_for_long_gets_each_message_once_and_in_order_afterwards() {
    const MANY: usize = 9000;
    let world = World::new().await;
    let mut alice = world.enters("alice", crate::world::MODERN).await;
    let mut bob = world.enters("bob", "").await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    alice.syncs().await;
    let filling = "x".repeat(400);
    for n in 0..MANY {
        bob.sends(&format!("PRIVMSG #town :{n} {filling}")).await;
        if n % 500 == 0 {
            bob.syncs().await;
        }
    }
    bob.syncs().await;
    // More than the connection's and the session's queues hold.
    let lines = alice.syncs().await;
    let heard: Vec<usize> = lines
        .iter()
        .filter(|l| l.contains("PRIVMSG #town"))
        .map(|l| {
            l.split(" :")
                .last()
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(heard, (0..MANY).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_of_thousands_of_lines_is_no_flood() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut bob = world.enters("bob", "").await;
    for person in [&mut alice, &mut bob] {
        person.does("JOIN #town").await;
    }
    alice.syncs().await;
    let room = world.server.names.room("#town").unwrap();
    let id = world.node.room(&room).unwrap().unwrap().id();
    // As an app of another protocol would say it.
    let sent = world.node.write(move |tx| {
        let text = "\u{1}x\n".repeat(20_000);
        let content = Content::Message(Message::text(text.as_str()));
        let out = Outgoing::new(Target::Conversation(id), content, Protocol::Xmpp);
        send::send(tx, &Principal::Of(address("carol")), out)
    });
    assert!(sent.await.is_err(), "she is not in the room");
    let mut carol = world.enters("carol", "").await;
    carol.does("JOIN #town").await;
    let sent = world.node.write(move |tx| {
        let text = "\u{1}x\n".repeat(20_000);
        let content = Content::Message(Message::text(text.as_str()));
        let out = Outgoing::new(Target::Conversation(id), content, Protocol::Xmpp);
        send::send(tx, &Principal::Of(address("carol")), out)
    });
    sent.await.unwrap();
    for person in [&mut alice, &mut bob] {
        let lines = person.syncs().await;
        let said: Vec<_> = lines.iter().filter(|l| l.contains(" PRIVMSG ")).collect();
        assert!((251..600).contains(&said.len()), "{}", said.len());
        let texts = said.iter().filter_map(|l| l.split_once(" PRIVMSG #town :"));
        let x: usize = texts.map(|(_, text)| text.matches('x').count()).sum();
        assert_eq!(x, 20_000, "nothing is lost");
        none(&lines, "\u{1}");
    }
}

#[tokio::test]
async fn a_list_is_told_once_however_often_it_was_asked_for() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    alice.does("JOIN #town").await;
    alice.does("MODE #town +bb x!*@* y!*@*").await;
    let lines = alice
        .does(&format!("MODE #town {}", "be".repeat(150)))
        .await;
    assert_eq!(lines.len(), 4, "{lines:#?}");
    one(&lines, " 368 ");
    one(&lines, " 349 ");
}

#[tokio::test]
async fn a_batch_that_fails_answers_its_label() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    alice.does("JOIN #town").await;
    for lines in [
        ["@batch=a PRIVMSG #other :x", "BATCH -a"],
        ["@batch=a NOTICE #town :", "BATCH -a"],
    ] {
        alice.sends("@label=7 BATCH +a draft/multiline #town").await;
        for line in lines {
            alice.sends(line).await;
        }
        let got = alice.syncs().await;
        one(&got, "label=7");
        one(&got, "FAIL BATCH MULTILINE_");
    }
}

#[tokio::test]
async fn long_answers_take_several_lines() {
    let (_world, mut alice, mut bob) = two().await;
    let name = "x".repeat(50);
    for n in 10..30 {
        for person in [&mut alice, &mut bob] {
            person.does(&format!("JOIN #{name}{n}")).await;
        }
    }
    let lines = bob.does("WHOIS alice").await;
    let told: Vec<&str> = lines
        .iter()
        .filter(|l| l.contains(" 319 "))
        .flat_map(|l| l.rsplit_once(':').unwrap().1.split(' '))
        .collect();
    assert_eq!(told.len(), 20);
    assert!(
        told.iter()
            .all(|c| c.ends_with(|c: char| c.is_ascii_digit()))
    );
}

#[tokio::test]
async fn what_everyone_is_told_of_is_paced() {
    let (_world, mut alice, mut bob) = crate::world::town().await;
    let said = bob.does("PRIVMSG #town :hi").await;
    let id = crate::world::tag(one(&said, "PRIVMSG"), "msgid")
        .unwrap()
        .to_owned();
    let reacts = format!("@+draft/react=x;+draft/reply={id} TAGMSG #town");
    let unreacts = reacts.replace("/react", "/unreact");
    for (lines, answer) in [
        (
            [reacts.as_str(), unreacts.as_str()],
            "FAIL TAGMSG RATE_LIMITED #town 1 :",
        ),
        (["AWAY :x", "AWAY"], " 263 alice AWAY "),
        (
            ["SETNAME x", "SETNAME y"],
            "FAIL SETNAME CANNOT_CHANGE_REALNAME :",
        ),
    ] {
        let mut told = false;
        for n in 0..2000 {
            told = alice
                .does(lines[n % 2])
                .await
                .iter()
                .any(|l| l.contains(answer));
            if told {
                break;
            }
        }
        assert!(told, "{answer}");
    }
    // Talking goes on.
    one(&alice.does("PRIVMSG #town :still").await, "still");
}
