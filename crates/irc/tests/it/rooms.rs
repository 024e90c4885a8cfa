//! Rooms: joining, ranks, modes, kicks, bans, invitations, always-on membership.

use crate::world::{MODERN, World, bare, none, one, town, two};

#[tokio::test]
async fn who_disconnects_stays_in_the_room() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut bob = world.enters("bob", "").await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    bob.sends("QUIT").await;
    bob.rest().await;
    bob.task.await.unwrap();
    let lines = alice.syncs().await;
    none(&lines, "PART");
    none(&lines, "QUIT");
    one(&lines, "bob!bob@example.org AWAY :away");
    one(&alice.does("NAMES #town").await, "bob");
    let mut bob = world.stranger();
    bob.signs_in("bob", crate::world::PASSWORD, "").await;
    let lines = bob.syncs().await;
    one(&lines, ":bob!bob@example.org JOIN #town");
    let lines = alice.syncs().await;
    none(&lines, "JOIN");
    assert!(one(&lines, " AWAY").ends_with("AWAY"));
}

/// Waits until so many writes are in the writer's queue.
async fn queued(world: &World, writes: usize) {
    while world.node.pending_writes() < writes {
        tokio::task::yield_now().await;
    }
}

/// WeeChat joins its channels again when it reconnects; the node had put it in already.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_join_hides_nothing_that_was_on_its_way() {
    let (world, mut alice, mut bob) = town().await;
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (begins, begun) = tokio::sync::oneshot::channel();
    let node = world.node.clone();
    let held = tokio::spawn(async move {
        let hold = move |_: &mut sammen_core::tx::Tx<'_>| {
            let _ = begins.send(());
            let _ = wait.recv();
            Ok(())
        };
        node.write(hold).await
    });
    begun.await.unwrap();
    bob.sends("PRIVMSG #town :just now").await;
    queued(&world, 1).await;
    alice.sends("JOIN #town").await;
    queued(&world, 2).await;
    go.send(()).unwrap();
    held.await.unwrap().unwrap();
    one(&alice.syncs().await, "PRIVMSG #town :just now");
}

#[tokio::test]
async fn joining_parting_topic_and_names() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let lines = alice.does("JOIN #Town").await;
    assert_eq!(lines[0], ":alice!alice@example.org JOIN #town alice :alice");
    one(&lines, " 353 alice @ #town :~@alice");
    let mut bob = world.enters("bob", "").await;
    alice.does("TOPIC #town :market day").await;
    let lines = bob.does("JOIN #town").await;
    one(&lines, " 332 bob #town :market day");
    one(&lines, " 333 bob #town alice!alice@example.org ");
    one(&bob.does("TOPIC #town :mine").await, " 482 bob #town ");
    alice.does("MODE #town -t").await;
    bob.does("TOPIC #town :ours").await;
    one(&alice.syncs().await, "TOPIC #town :ours");
    let lines = alice.does("@label=p PART #town :bye").await;
    let line = one(&lines, "PART #town :bye");
    assert_eq!(crate::world::tag(line, "label"), Some("p"));
    one(
        &bob.syncs().await,
        ":alice!alice@example.org PART #town :bye",
    );
    one(
        &alice.does("PRIVMSG #town :again").await,
        " 403 alice #town ",
    );
    one(&alice.does("PART #town").await, " 403 alice #town ");
    one(&alice.does("PART #nowhere").await, " 403 alice #nowhere ");
}

#[tokio::test]
async fn ranks_are_standings_and_roles() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut bob = world.enters("bob", "").await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    for (asked, told) in [
        ("+o bob", "+o bob"),
        ("-o bob", "-o bob"),
        ("+a bob", "+ao bob bob"),
        ("-a bob", "-ao bob bob"),
        ("+m", "+m"),
    ] {
        alice.does(&format!("MODE #town {asked}")).await;
        let lines = bob.syncs().await;
        one(
            &lines,
            &format!(":alice!alice@example.org MODE #town {told}"),
        );
    }
    one(&bob.does("MODE #town +o alice").await, " 482 ");
    let mut carol = world.enters("carol", "").await;
    carol.does("JOIN #town").await;
    one(
        &carol.does("PRIVMSG #town :may I").await,
        " 404 carol #town ",
    );
    alice.does("MODE #town +v carol").await;
    one(&carol.syncs().await, "MODE #town +v carol");
    none(&carol.does("PRIVMSG #town :thanks").await, " 404 ");
    one(&carol.does("NAMES #town").await, "+carol");
    alice.does("MODE #town -v carol").await;
    one(&carol.syncs().await, "MODE #town -v carol");
}

#[tokio::test]
async fn kicks_and_bans_hold_on_every_protocol() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut bob = world.enters("bob", "").await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    alice.does("KICK #town bob :out").await;
    one(
        &bob.syncs().await,
        ":alice!alice@example.org KICK #town bob :out",
    );
    none(&bob.does("JOIN #town").await, " 474 ");
    let lines = alice.does("MODE #town +b bob!*@*").await;
    one(&lines, "MODE #town +b bob!*@*");
    one(&lines, "KICK #town bob");
    one(&bob.does("JOIN #town").await, " 474 bob #town ");
    one(
        &alice.does("MODE #town b").await,
        " 367 alice #town bob!*@*",
    );
    let room = sammen_core::Address::new("#town@example.org").unwrap();
    let convo = world.node.room(&room).unwrap().unwrap();
    let standing = convo.standing(&crate::world::address("bob"));
    assert_eq!(standing, sammen_core::Standing::Outcast);
    alice.does("MODE #town -b $a:bob").await;
    none(&bob.does("JOIN #town").await, " 474 ");
    // A mask that means many is kept as a mask.
    bob.does("PART #town").await;
    alice.does("MODE #town +b *!*@example.*").await;
    one(&bob.does("JOIN #town").await, " 474 bob #town ");
    alice.does("MODE #town +e $a:bob").await;
    none(&bob.does("JOIN #town").await, " 474 ");
}

#[tokio::test]
async fn keys_limits_and_invitations() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut bob = world.enters("bob", "").await;
    alice.does("JOIN #town").await;
    one(
        &alice.does("MODE #town +k sesame").await,
        "MODE #town +k sesame",
    );
    one(&bob.does("JOIN #town wrong").await, " 475 bob #town ");
    none(&bob.does("JOIN #town sesame").await, " 475 ");
    one(
        &bob.does("MODE #town").await,
        " 324 bob #town +nRstk sesame",
    );
    bob.does("PART #town").await;
    alice.does("MODE #town -k *").await;
    alice.does("MODE #town +l 1").await;
    one(&bob.does("JOIN #town").await, " 471 bob #town ");
    alice.does("MODE #town -l+i").await;
    one(&bob.does("JOIN #town").await, " 473 bob #town ");
    one(
        &alice.does("INVITE bob #town").await,
        " 341 alice bob #town",
    );
    one(
        &bob.syncs().await,
        ":alice!alice@example.org INVITE bob #town",
    );
    one(&bob.does("INVITE").await, " 336 bob #town");
    none(&bob.does("JOIN #town").await, " 473 ");
    one(
        &alice.does("INVITE bob #town").await,
        " 443 alice bob #town ",
    );
    one(&alice.does("MODE #town +x").await, " 472 ");
    one(&alice.does("MODE #town +l many").await, " 696 ");
}

#[tokio::test]
async fn only_listed_rooms_and_ones_own_can_be_looked_into() {
    let (_world, mut alice, mut bob) = two().await;
    alice.does("JOIN #secret").await;
    alice.does("TOPIC #secret :plans").await;
    for command in [
        "LIST",
        "LIST #secret",
        "NAMES #secret",
        "TOPIC #secret",
        "WHO #secret",
        "MODE #secret",
        "CHATHISTORY LATEST #secret * 10",
        "WHO alice",
        "METADATA #secret LIST",
        "WHOIS alice",
    ] {
        let lines = bob.does(command).await;
        none(&lines, "plans");
        assert!(
            !lines.iter().any(|l| l.contains(" 353 ")
                || l.contains(" 352 ")
                || l.contains(" 319 ")
                || l.contains(" 324 ")),
            "{command}: {lines:#?}"
        );
    }
    alice.does("MODE #secret -s").await;
    let lines = bob.does("LIST").await;
    assert!(bare(one(&lines, " 322 ")).ends_with("322 bob #secret 1 :plans"));
    for (condition, found) in [
        (">0", true),
        (">1", false),
        ("#se*", true),
        ("!#se*", false),
        ("C>5", false),
        ("C<5", true),
    ] {
        let lines = bob.does(&format!("LIST {condition}")).await;
        assert_eq!(
            lines.iter().any(|l| l.contains(" 322 ")),
            found,
            "{condition}"
        );
    }
}

#[tokio::test]
async fn a_hidden_room_is_answered_as_one_that_is_not_there() {
    let (_world, mut alice, mut bob) = two().await;
    alice.does("JOIN #vault").await;
    alice.does("MODE #vault +i").await;
    alice.does("PRIVMSG #vault :secret").await;
    let asks = [
        "KICK # alice",
        "MODE #",
        "MODE # b",
        "MODE # +o alice",
        "MODE # +k key",
        "INVITE alice #",
        "TOPIC #",
        "TOPIC # :mine",
        "PRIVMSG # :hi",
        "PRIVMSG @# :hi",
        "NOTICE # :hi",
        "PRIVMSG # :\x01PING 1\x01",
        "@+typing=active TAGMSG #",
        "@+draft/reply=abc;+draft/react=x TAGMSG #",
        "REDACT # 0123456789abcdef0123456789abcdef",
        "PART #",
        "NAMES #",
        "WHO #",
        "LIST #",
        "CHATHISTORY LATEST # * 10",
        "MARKREAD #",
        "METADATA # LIST",
    ];
    for ask in asks {
        let hidden = bob.does(&ask.replacen('#', "#vault", 1)).await;
        let nowhere = bob.does(&ask.replacen('#', "#mauve", 1)).await;
        let same: Vec<String> = nowhere
            .iter()
            .map(|l| l.replace("#mauve", "#vault"))
            .collect();
        let bare = |lines: &[String]| -> Vec<String> {
            lines
                .iter()
                .map(|l| crate::world::bare(l).to_owned())
                .collect()
        };
        assert_eq!(bare(&hidden), bare(&same), "{ask}");
    }
    for said in [
        "KICK # alice",
        "MODE # +o alice",
        "TOPIC # :mine",
        "PRIVMSG # :hi",
        "PART #",
    ] {
        one(
            &bob.does(&said.replacen('#', "#vault", 1)).await,
            " 403 bob #vault ",
        );
    }
    // A room that is listed says what is missing.
    alice.does("MODE #vault -s").await;
    one(&bob.does("PRIVMSG #vault :hi").await, " 404 bob #vault ");
    one(&bob.does("PART #vault").await, " 442 bob #vault ");
}

#[tokio::test]
async fn voice_where_everyone_speaks_is_answered() {
    let (_world, mut alice, mut bob) = town().await;
    let lines = alice.does("MODE #town +v bob").await;
    assert!(one(&lines, " NOTICE alice :").contains("everyone speaks in #town"));
    none(&bob.syncs().await, "MODE");
    alice.does("MODE #town +m").await;
    let lines = alice.does("MODE #town +v bob").await;
    none(&lines, " NOTICE ");
    one(&lines, "MODE #town +v bob");
}

#[tokio::test]
async fn a_renamed_room_goes_on_under_its_new_name() {
    let world = World::new().await;
    let mut alice = world
        .enters("alice", &format!("{MODERN} draft/channel-rename"))
        .await;
    let mut bob = world.enters("bob", "").await;
    alice.does("JOIN #town").await;
    alice.does("TOPIC #town :tea at four").await;
    bob.does("JOIN #town").await;
    alice.syncs().await;
    one(&bob.does("RENAME #town #mine").await, " 482 bob #town ");
    let lines = alice.does("RENAME #town #city :it has grown").await;
    assert_eq!(
        bare(one(&lines, " RENAME ")),
        ":alice!alice@example.org RENAME #town #city :it has grown"
    );
    none(&lines, "PART");
    let lines = bob.syncs().await;
    let at = |part: &str| lines.iter().position(|l| l.contains(part)).unwrap();
    assert!(at(":bob!bob@example.org PART #town :it has grown") < at("JOIN #city"));
    assert!(at("JOIN #city") < at(" 332 bob #city :tea at four"));
    assert!(at(" 332 bob #city ") < at(" 366 bob #city "));
    // Who says something in the room says it there, under the old name too; nobody's membership changed.
    bob.does("PRIVMSG #city :hi").await;
    bob.does("PRIVMSG #town :hello").await;
    let heard = alice.syncs().await;
    one(&heard, "PRIVMSG #city :hi");
    one(&heard, "PRIVMSG #city :hello");
    none(&heard, "JOIN");
    // Carol follows an old link.
    let mut carol = world.enters("carol", "").await;
    let lines = carol.does("JOIN #town").await;
    one(&lines, " 470 carol #town #city ");
    one(&lines, ":carol!carol@example.org JOIN #city");
    let mut tablet = world
        .enters("carol/tablet", &format!("{MODERN} draft/channel-rename"))
        .await;
    let lines = tablet.does("JOIN #town").await;
    one(&lines, "FAIL JOIN CHANNEL_RENAMED #town #city ");
    bob.does("JOIN #other").await;
    let lines = alice.does("RENAME #city #other").await;
    one(&lines, "FAIL RENAME CHANNEL_NAME_IN_USE #city #other ");
    one(
        &alice.does("RENAME #city nowhere").await,
        "FAIL RENAME CANNOT_RENAME #city nowhere ",
    );
    one(&alice.does("RENAME #none #some").await, " 403 alice #none ");
}

#[tokio::test]
async fn an_operator_without_more_rank_keeps_people_out() {
    let (world, mut alice, mut bob) = two().await;
    let mut carol = world.enters("carol", MODERN).await;
    for person in [&mut alice, &mut bob, &mut carol] {
        person.does("JOIN #town").await;
    }
    one(&bob.does("MODE #town +b carol").await, " 482 ");
    alice.does("MODE #town +o bob").await;
    bob.syncs().await;
    let lines = bob.does("MODE #town +b carol").await;
    one(&lines, "bob@example.org MODE #town +b carol!*@*");
    one(
        &bob.does("KICK #town carol :enough").await,
        "KICK #town carol",
    );
    one(&carol.does("JOIN #town").await, " 474 carol #town ");
    one(&bob.does("MODE #town b").await, " 367 bob #town carol!*@* ");
    // Nothing else of an admin's comes with it.
    one(&bob.does("MODE #town +e dave").await, " 482 ");
    one(&bob.does("MODE #town +ib x!*@*").await, " 482 ");
    none(&bob.does("MODE #town b").await, "x!*@*");
    // An admin's ban of one person is a standing, which an operator cannot take back.
    one(
        &bob.does("MODE #town -b carol").await,
        "MODE #town -b carol!*@*",
    );
    carol.does("JOIN #town").await;
    alice.does("MODE #town +b carol").await;
    one(&bob.does("MODE #town -b carol").await, " 482 ");
    one(&carol.does("JOIN #town").await, " 474 ");
    // An admin takes back what an operator did.
    bob.does("MODE #town +b dave").await;
    let lines = alice.does("MODE #town -b dave").await;
    one(&lines, "MODE #town -b dave!*@*");
    none(&alice.does("MODE #town b").await, "dave");
}
