//! Bad input: each gets the protocol's own error, and others are served on.

use crate::world::{World, none, one};

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
