//! People: presence, MONITOR, contacts, blocking, names, WHOIS, operators.

use sammen_net::credentials::Scopes;

use crate::world::{MODERN, PASSWORD, World, address, none, one, town, two};

#[tokio::test]
async fn presence_is_for_those_who_may_see_it() {
    let (world, mut alice, mut bob) = two().await;
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
    let (_world, mut alice, mut bob) = two().await;
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
    let (_world, mut alice, mut bob) = town().await;
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
        ("RENAME #a #b", " 403 "),
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
    let (_world, mut alice, mut bob) = two().await;
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

#[tokio::test]
async fn a_display_name_is_the_name_that_setname_sets_and_a_rooms_is_its_name() {
    let (world, mut alice, mut bob) = two().await;
    bob.does("METADATA * SUB display-name").await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    alice.syncs().await;
    let set = alice.does("METADATA * SET display-name :Alice A.").await;
    one(&set, " 761 alice * display-name * :Alice A.");
    let told = bob.syncs().await;
    one(&told, ":alice!alice@example.org SETNAME :Alice A.");
    one(
        &told,
        ":alice!alice@example.org METADATA alice display-name * :Alice A.",
    );
    alice.does("SETNAME :Alice B.").await;
    one(
        &bob.syncs().await,
        "METADATA alice display-name * :Alice B.",
    );
    let got = bob.does("METADATA alice GET display-name").await;
    one(&got, " 761 bob alice display-name * :Alice B.");
    let set = alice
        .does("METADATA #town SET display-name :The Town")
        .await;
    one(&set, " 761 alice #town display-name * :The Town");
    one(
        &bob.syncs().await,
        "METADATA #town display-name * :The Town",
    );
    let synced = bob.does("METADATA #town SYNC").await;
    one(&synced, "METADATA #town display-name * :The Town");
    one(&synced, "METADATA alice display-name * :Alice B.");
    let mut phone = world.enters("alice/phone", "").await;
    one(
        &phone.does("WHOIS alice").await,
        " 311 alice alice alice example.org * :Alice B.",
    );
    for n in 0..50 {
        alice.does(&format!("METADATA * SET key{n} x")).await;
    }
    one(
        &alice.does("METADATA * SET one-more x").await,
        "FAIL METADATA LIMIT_REACHED",
    );
}

#[tokio::test]
async fn metadata_before_connecting_holds_afterwards() {
    let world = World::new().await;
    let mut alice = world.stranger();
    for line in [
        "CAP REQ :draft/metadata-2 batch standard-replies",
        "METADATA * SUB avatar display-name",
        "METADATA * SET avatar :https://x.y/z",
        "METADATA bob SET avatar :mine",
        "METADATA * LIST",
    ] {
        alice.sends(line).await;
    }
    let lines = alice.syncs().await;
    one(&lines, " 770 * avatar display-name");
    one(&lines, " 761 * * avatar * :https://x.y/z");
    one(&lines, "FAIL METADATA INVALID_TARGET bob");
    one(&lines, "FAIL METADATA SUBCOMMAND_INVALID LIST");
    alice.signs_in("alice", PASSWORD, "").await;
    let lines = alice.syncs().await;
    let at = |part: &str| lines.iter().position(|l| l.contains(part)).unwrap();
    assert!(at(" 001 ") < at("METADATA alice avatar * :https://x.y/z"));
    one(
        &alice.does("METADATA * SUBS").await,
        " 772 alice avatar display-name",
    );
}

#[tokio::test]
async fn who_shares_a_room_is_monitored_without_being_a_contact() {
    let (world, mut alice, mut bob) = town().await;
    one(&bob.does("MONITOR + alice").await, " 730 bob :alice!");
    alice.does("AWAY :tea").await;
    one(&bob.syncs().await, ":alice!alice@example.org AWAY :tea");
    alice.sends("QUIT").await;
    alice.rest().await;
    (&mut alice.task).await.unwrap();
    one(&bob.syncs().await, " 731 bob :alice");
    let mut alice = world.enters("alice", MODERN).await;
    one(&bob.syncs().await, " 730 bob :alice!");
    // Out of the room she is out of sight, and so is her name.
    alice.does("PART #town").await;
    bob.syncs().await;
    alice.does("SETNAME :Alice A.").await;
    none(&bob.syncs().await, "SETNAME");
    bob.does("MONITOR C").await;
    bob.does("JOIN #other").await;
    alice.does("JOIN #other").await;
    bob.does("MONITOR + alice").await;
    alice.does("SETNAME :Alice B.").await;
    one(&bob.syncs().await, "SETNAME :Alice B.");
}

#[tokio::test]
async fn a_passphrase_is_changed_only_by_who_knows_it() {
    let world = World::new().await;
    let (accounts, alice) = (world.server.accounts.clone(), address("alice"));
    let app = accounts.change(&alice, |c| {
        let (iterations, rng) = (
            sammen_net::credentials::Iterations::quick(),
            &mut rand::rng(),
        );
        c.set_passphrase(&"old-and-good".into(), iterations, 1, rng)?;
        c.add_app_password("phone", Scopes::everywhere(), 1, rng)
    });
    let app = app.await.unwrap().1;
    let mut phone = world.stranger();
    phone.signs_in("alice/phone", app.expose(), "").await;
    let mut alice = world.stranger();
    alice.signs_in("alice", "old-and-good", MODERN).await;
    alice.syncs().await;
    for (asked, answer) in [
        (
            "wrong-and-bad new-and-better new-and-better",
            "The old passphrase is not right",
        ),
        (
            "old-and-good new-and-better new-and-worse",
            "not the same twice",
        ),
        (
            "old-and-good short short",
            "Not done: a passphrase has at least 8",
        ),
        ("old-and-good", "passwd OLD NEW NEW"),
        ("", "passwd OLD NEW NEW"),
    ] {
        let lines = alice
            .does(&format!("PRIVMSG NickServ :PASSWD {asked}"))
            .await;
        one(&lines, answer);
    }
    let with_app = format!("NS PASSWD {} new-and-better new-and-better", app.expose());
    one(
        &alice.does(&with_app).await,
        "The old passphrase is not right",
    );
    phone.syncs().await;
    let changed = alice
        .does("NS PASSWD old-and-good new-and-better new-and-better")
        .await;
    one(&changed, "Your passphrase is changed");
    let ended = phone.rest().await;
    assert!(ended.last().unwrap().starts_with("ERROR :"), "{ended:?}");
    let mut again = world.stranger();
    again.signs_in("alice", "old-and-good", "").await;
    one(&again.rest().await, " 904 ");
    let mut again = world.stranger();
    again.signs_in("alice", "new-and-better", "").await;
    one(&again.syncs().await, " 001 ");
}

#[tokio::test]
async fn who_does_not_say_when_they_were_last_seen_is_not_asked() {
    let (_world, mut alice, mut bob) = town().await;
    one(&bob.does("WHOIS alice").await, " 317 bob alice ");
    alice.does("PRIVMSG *sammen :settings last-seen off").await;
    none(&bob.does("WHOIS alice").await, " 317 ");
    one(&bob.does("WHO alice %nl").await, " 354 bob alice 0");
    one(&alice.does("WHOIS alice").await, " 317 alice alice ");
    alice.sends("QUIT").await;
    alice.rest().await;
    (&mut alice.task).await.unwrap();
    one(&bob.does("WHOWAS alice").await, " 406 bob alice ");
}

#[tokio::test]
async fn strangers_learn_of_nobody_that_they_are_here() {
    let (_world, mut alice, mut bob) = two().await;
    alice.does("AWAY :at the lake").await;
    bob.does("JOIN #den").await;
    // An app would answer a CTCP by itself; what is not there would not either.
    assert!(bob.does("PRIVMSG alice :\x01VERSION\x01").await.is_empty());
    none(&alice.syncs().await, "VERSION");
    let invited = bob.does("INVITE alice #den").await;
    one(&invited, " 341 bob alice #den");
    none(&invited, " 301 ");
    alice.does("JOIN #den").await;
    bob.does("PRIVMSG alice :\x01VERSION\x01").await;
    one(&alice.syncs().await, "PRIVMSG alice :\x01VERSION\x01");
    bob.syncs().await;
    alice.does("NOTICE bob :\x01VERSION x\x01").await;
    one(&bob.syncs().await, "NOTICE bob :\x01VERSION x\x01");
}

#[tokio::test]
async fn a_full_list_names_everyone_who_is_not_on_it() {
    let world = World::with(sammen_irc::Config {
        monitor: 2,
        ..sammen_irc::Config::default()
    })
    .await;
    let mut alice = world.enters("alice", MODERN).await;
    let lines = alice.does("MONITOR + bob,carol,dora,emil").await;
    one(&lines, " 731 alice :bob,carol");
    one(&lines, " 734 alice 2 dora,emil :");
    one(&alice.does("MONITOR +").await, " 461 alice MONITOR ");
    one(&alice.does("MONITOR X").await, " 400 alice MONITOR X ");
    one(&alice.does("MONITOR L").await, " 732 alice :bob,carol");
}

#[tokio::test]
async fn alice_says_that_her_account_is_a_program() {
    let (_world, mut alice, mut bob) = town().await;
    one(&alice.does("MODE alice +B").await, ":alice MODE alice +B");
    one(&bob.does("WHOIS alice").await, " 335 bob alice ");
    alice.does("PRIVMSG #town :beep").await;
    assert!(crate::world::tag(one(&bob.syncs().await, "beep"), "bot").is_some());
    one(&alice.does("MODE alice -B").await, ":alice MODE alice -B");
    none(&bob.does("WHOIS alice").await, " 335 ");
}
