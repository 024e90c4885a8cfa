//! People: presence, MONITOR, contacts, blocking, names, WHOIS, operators.

use crate::world::{MODERN, World, none, one};

#[tokio::test]
async fn presence_is_for_those_who_may_see_it() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut bob = world.enters("bob", MODERN).await;
    // Strangers are offline to each other.
    one(
        &bob.does("MONITOR + alice,nobody").await,
        " 731 bob :alice,nobody",
    );
    none(&bob.does("ISON alice").await, ":alice");
    bob.does("CONTACT ASK alice").await;
    one(&alice.syncs().await, "bob asks to see when you are here");
    one(
        &alice.does("PRIVMSG *sammen :allow bob").await,
        "*sammen!sammen@example.org NOTICE alice :bob can see",
    );
    one(&bob.syncs().await, " 730 bob :alice!alice@example.org");
    one(&bob.does("ISON alice").await, " 303 bob :alice");
    alice.does("AWAY :lunch").await;
    one(&bob.syncs().await, ":alice!alice@example.org AWAY :lunch");
    one(&bob.does("WHOIS alice").await, " 301 bob alice :lunch");
    one(
        &bob.does("USERHOST alice").await,
        "alice=-alice@example.org",
    );
    alice.does("AWAY").await;
    assert!(one(&bob.syncs().await, "AWAY").ends_with("AWAY"));
    alice.sends("QUIT").await;
    alice.rest().await;
    bob.hears(" 731 bob :alice").await;
    let mut alice = world.enters("alice", MODERN).await;
    bob.hears(" 730 bob :alice!alice@example.org").await;
    alice.does("CONTACT DENY bob").await;
    one(&bob.syncs().await, " 731 bob :alice");
    one(&bob.does("WHOWAS alice").await, " 406 ");
}

#[tokio::test]
async fn the_blocked_reach_nobody() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut bob = world.enters("bob", MODERN).await;
    one(&alice.does("SILENCE +bob").await, "SILENCE +bob!*@*");
    one(&bob.does("PRIVMSG alice :hi").await, " 531 bob alice ");
    one(
        &bob.does("PRIVMSG alice :\x01PING 1\x01").await,
        " 531 bob alice ",
    );
    none(&alice.syncs().await, "PRIVMSG");
    one(&alice.does("SILENCE").await, " 271 alice alice bob!*@*");
    alice.does("SILENCE -bob").await;
    none(&bob.does("PRIVMSG alice :hi").await, " 531 ");
    one(&alice.syncs().await, "PRIVMSG alice :hi");
}

#[tokio::test]
async fn names_and_metadata_are_told_to_those_around() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut bob = world.enters("bob", MODERN).await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    alice.syncs().await;
    bob.does("METADATA * SUB avatar").await;
    one(&alice.does("SETNAME :Alice A.").await, "SETNAME :Alice A.");
    one(
        &bob.syncs().await,
        ":alice!alice@example.org SETNAME :Alice A.",
    );
    one(
        &bob.does("WHOIS alice").await,
        " 311 bob alice alice example.org * :Alice A.",
    );
    one(
        &alice.does("METADATA * SET avatar :https://x.y/z").await,
        " 761 alice * avatar * :https://x.y/z",
    );
    one(
        &bob.syncs().await,
        ":alice!alice@example.org METADATA alice avatar * :https://x.y/z",
    );
    one(
        &bob.does("METADATA alice SET avatar :mine").await,
        "FAIL METADATA KEY_NO_PERMISSION alice avatar",
    );
    one(
        &bob.does("METADATA #town SET topic-colour red").await,
        "FAIL METADATA KEY_NO_PERMISSION #town",
    );
    one(
        &bob.does("METADATA alice GET avatar other").await,
        " 766 bob alice other ",
    );
    one(
        &bob.does("WHO #town %tnar,9").await,
        " 354 bob 9 alice alice :Alice A.",
    );
}

#[tokio::test]
async fn administrators_sign_people_out() {
    let world = World::new().await;
    let mut carol = world.enters("carol", "").await;
    let mut bob = world.enters("bob", "").await;
    one(&bob.does("OPER bob :open sesame").await, " 491 ");
    one(&bob.does("KILL carol :x").await, " 481 ");
    one(&carol.does("OPER carol wrong").await, " 464 ");
    one(&carol.does("OPER carol :open sesame").await, " 381 ");
    one(
        &carol.does("KILL bob :enough").await,
        "bob is signed out everywhere",
    );
    one(&bob.rest().await, "ERROR :");
}

#[tokio::test]
async fn the_server_answers_what_clients_ask() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    for (command, numeric) in [
        ("LUSERS", " 251 "),
        ("MOTD", " 422 "),
        ("VERSION", " 351 "),
        ("TIME", " 391 "),
        ("INFO", " 374 "),
        ("ADMIN", " 423 "),
        ("STATS u", " 242 "),
        ("LINKS", " 365 "),
        ("MAP", " 017 "),
        ("HELP", " 706 "),
        ("HELPOP nothing", " 524 "),
        ("MODE alice", " 221 "),
        ("MODE alice +x", " 501 "),
        ("MODE bob +i", " 502 "),
        ("WHOIS nobody", " 401 "),
        ("WHO nobody", " 315 "),
        ("NAMES", " 366 "),
        ("WHOWAS nobody", " 406 "),
        ("JOIN town", " 403 "),
        ("KICK #town", " 461 "),
        ("NONSENSE", " 421 "),
        ("USER a b c d", " 462 "),
        ("AUTHENTICATE PLAIN", " 907 "),
        ("PRIVMSG", " 411 "),
        ("PRIVMSG bob", " 412 "),
        ("REHASH", " 481 "),
        ("CAP NOTHING", " 410 "),
        ("PRIVMSG a,b,c,d,e :x", " 407 "),
        ("RENAME #a #b", "FAIL RENAME CANNOT_RENAME"),
        ("ISUPPORT", " draft/isupport"),
    ] {
        one(&alice.does(command).await, numeric);
    }
    assert!(one(&alice.does("CAP LIST").await, "CAP alice LIST").contains("draft/chathistory"));
    one(
        &alice.does("CAP REQ :nonsense").await,
        "CAP alice NAK :nonsense",
    );
    let lines = alice.does("@label=q PONG").await;
    assert_eq!(lines, ["@label=q :example.org ACK"]);
}

#[tokio::test]
async fn alice_switches_her_typing_off() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut bob = world.enters("bob", MODERN).await;
    for (one, other) in [("alice", "bob"), ("bob", "alice")] {
        let writer = if one == "alice" { &mut alice } else { &mut bob };
        writer.does(&format!("PRIVMSG {other} :hi")).await;
    }
    alice.does("@+typing=active TAGMSG bob").await;
    one(&bob.syncs().await, "typing=active");
    one(
        &alice.does("PRIVMSG *sammen :settings typing off").await,
        "NOTICE alice :receipts on; typing off; last-seen on; retention none",
    );
    alice.does("@+typing=active TAGMSG bob").await;
    none(&bob.syncs().await, "typing=active");
    one(
        &alice.does("PRIVMSG *sammen :settings retention 30").await,
        "retention 30 days",
    );
    one(
        &alice.does("PRIVMSG *sammen :settings typing perhaps").await,
        "settings receipts|typing|last-seen on|off",
    );
    one(
        &alice.does("PRIVMSG *sammen :settings").await,
        "receipts on; typing off; last-seen on; retention 30 days",
    );
}
