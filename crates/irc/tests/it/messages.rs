//! Talking: messages, echoes, labels, multi-line, reactions, redactions, typing, order.

use crate::world::{MODERN, World, bare, none, one, tag, town, two};

#[tokio::test]
async fn an_echo_has_the_label_and_the_same_id_as_what_others_see() {
    let (world, mut alice, mut bob) = town().await;
    let lines = alice.does("@label=7 PRIVMSG #town :hi").await;
    let echo = one(&lines, "PRIVMSG #town :hi");
    assert_eq!(tag(echo, "label"), Some("7"));
    let lines = bob.syncs().await;
    let heard = one(&lines, "PRIVMSG #town :hi");
    assert_eq!(tag(heard, "label"), None);
    assert_eq!(tag(heard, "msgid"), tag(echo, "msgid"));
    assert_eq!(tag(heard, "time"), tag(echo, "time"));
    assert_eq!(tag(heard, "account"), Some("alice"));
    // Without echo-message a label is acknowledged; a refusal has it, too.
    let mut plain = world.enters("carol", "labeled-response batch").await;
    assert_eq!(
        bare(one(&plain.does("@label=a PRIVMSG bob :x").await, "ACK")),
        ":example.org ACK"
    );
    // Of a hidden room she would hear that there is none.
    alice.does("MODE #town -s").await;
    let lines = plain.does("@label=b PRIVMSG #town :x").await;
    assert_eq!(tag(one(&lines, " 404 "), "label"), Some("b"));
    one(&plain.does("PRIVMSG nobody :x").await, " 401 carol nobody ");
}

#[tokio::test]
async fn what_was_sent_is_seen_by_others_before_the_pong() {
    let world = World::new().await;
    let mut alice = world.enters("alice", "").await;
    let mut bob = world.enters("bob", "").await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    for n in 0..50 {
        alice.sends(&format!("PRIVMSG #town :{n}")).await;
    }
    alice.syncs().await;
    let lines = bob.syncs().await;
    let heard: Vec<_> = lines
        .iter()
        .filter(|l| l.contains("PRIVMSG #town"))
        .collect();
    assert_eq!(heard.len(), 50);
    assert!(
        heard
            .iter()
            .enumerate()
            .all(|(n, l)| l.ends_with(&format!(":{n}")))
    );
}

#[tokio::test]
async fn formatting_and_client_tags_stay_between_irc_clients() {
    let (_world, mut alice, mut bob) = two().await;
    alice
        .does("@+x/y=1;+reply=abc PRIVMSG bob :\x02bold\x02 and \x0304red")
        .await;
    let lines = bob.syncs().await;
    let line = one(&lines, "PRIVMSG bob :\x02bold\x02 and \x0304red");
    assert_eq!(tag(line, "+x/y"), Some("1"));
    alice.does("PRIVMSG bob :\x01ACTION waves\x01").await;
    one(&bob.syncs().await, "PRIVMSG bob :\x01ACTION waves\x01");
    alice.does("@+x/z=2 TAGMSG bob").await;
    assert_eq!(
        tag(one(&bob.syncs().await, "TAGMSG bob"), "+x/z"),
        Some("2")
    );
    bob.does("CONTACT ALLOW alice").await;
    alice.does("CONTACT ASK bob").await;
    alice.does("PRIVMSG bob :\x01VERSION\x01").await;
    one(&bob.syncs().await, "PRIVMSG bob :\x01VERSION\x01");
    // Talk between programs is nobody's history.
    none(&bob.does("CHATHISTORY LATEST alice * 50").await, "VERSION");
}

#[tokio::test]
async fn many_lines_are_one_message() {
    let (world, mut alice, mut bob) = two().await;
    let mut carol = world.enters("carol", "").await;
    for who in [&mut alice, &mut bob, &mut carol] {
        who.does("JOIN #town").await;
    }
    alice.syncs().await;
    bob.syncs().await;
    for line in [
        "@label=m BATCH +1 draft/multiline #town",
        "@batch=1 PRIVMSG #town :one",
        "@batch=1 PRIVMSG #town :",
        "@batch=1 PRIVMSG #town :two ",
        "@batch=1;draft/multiline-concat PRIVMSG #town :and a half",
    ] {
        alice.sends(line).await;
    }
    let echo = alice.does("BATCH -1").await;
    assert_eq!(tag(one(&echo, "BATCH +m"), "label"), Some("m"));
    let lines = bob.syncs().await;
    let open = one(&lines, "BATCH +m");
    assert!(tag(open, "msgid").is_some());
    let texts: Vec<_> = lines
        .iter()
        .filter(|l| l.contains("PRIVMSG"))
        .map(|l| bare(l))
        .collect();
    assert_eq!(
        texts,
        [
            ":alice!alice@example.org PRIVMSG #town :one",
            ":alice!alice@example.org PRIVMSG #town :",
            ":alice!alice@example.org PRIVMSG #town :two and a half",
        ]
    );
    let plain: Vec<_> = carol
        .syncs()
        .await
        .into_iter()
        .filter(|l| l.contains("PRIVMSG"))
        .collect();
    assert_eq!(plain.len(), 2);
    for (lines, code) in [
        (
            vec![
                "BATCH +2 draft/multiline #town",
                "@batch=2 PRIVMSG #other :x",
            ],
            "MULTILINE_INVALID_TARGET",
        ),
        (
            vec!["BATCH +3 draft/multiline #town", "BATCH -3"],
            "MULTILINE_INVALID",
        ),
        (vec!["BATCH +4 unknown #town"], "MULTILINE_INVALID"),
    ] {
        for line in lines {
            alice.sends(line).await;
        }
        one(&alice.syncs().await, &format!("FAIL BATCH {code} "));
        alice.sends("BATCH -2").await;
        alice.syncs().await;
    }
    // A long line is split for those who need it.
    alice.sends("BATCH +5 draft/multiline #town").await;
    for n in 0..3 {
        let concat = if n > 0 { ";draft/multiline-concat" } else { "" };
        let text = "word ".repeat(80);
        alice
            .sends(&format!("@batch=5{concat} PRIVMSG #town :{text}"))
            .await;
    }
    alice.does("BATCH -5").await;
    let lines = carol.syncs().await;
    let whole: String = lines.iter().filter_map(|l| l.split(" :").nth(1)).collect();
    assert_eq!(whole.trim_end().len(), "word ".repeat(240).trim_end().len());
    assert!(lines.iter().all(|l| l.len() <= 510));
}

#[tokio::test]
async fn reactions_come_and_go_and_messages_are_taken_back() {
    let (world, mut alice, mut bob) = two().await;
    let mut carol = world.enters("carol", "").await;
    let mut weechat = world
        .enters("alice/weechat", "message-tags server-time")
        .await;
    for who in [&mut alice, &mut bob, &mut carol] {
        who.does("JOIN #town").await;
    }
    alice.does("PRIVMSG #town :shall we?").await;
    let lines = bob.syncs().await;
    let id = tag(one(&lines, "shall we?"), "msgid").unwrap().to_owned();
    bob.does(&format!("@+draft/react=👍;+draft/reply={id} TAGMSG #town"))
        .await;
    bob.does(&format!("@+draft/react=🎉;+reply={id} TAGMSG #town"))
        .await;
    bob.does(&format!("@+draft/unreact=👍;+reply={id} TAGMSG #town"))
        .await;
    let lines = alice.syncs().await;
    let reactions: Vec<_> = lines.iter().filter(|l| l.contains("TAGMSG")).collect();
    assert_eq!(reactions.len(), 3);
    assert_eq!(tag(reactions[0], "+draft/react"), Some("👍"));
    assert_eq!(tag(reactions[0], "+reply"), Some(&*id));
    assert_eq!(tag(reactions[1], "+draft/react"), Some("🎉"));
    assert_eq!(tag(reactions[2], "+draft/unreact"), Some("👍"));
    let lines = carol.syncs().await;
    one(&lines, "NOTICE #town :👍 ← alice: “shall we?”");
    // Who knows tags but has never reacted gets both, until the first reaction.
    let lines = weechat.syncs().await;
    one(&lines, "NOTICE #town :👍 ← alice: “shall we?”");
    one(&lines, "+draft/react=👍");
    weechat
        .does(&format!("@+draft/react=☕;+reply={id} TAGMSG #town"))
        .await;
    bob.does(&format!("@+draft/react=👋;+reply={id} TAGMSG #town"))
        .await;
    let lines = weechat.syncs().await;
    one(&lines, "+draft/react=👋");
    none(&lines, "NOTICE");
    alice.syncs().await;
    carol.syncs().await;
    one(
        &bob.does(&format!("REDACT #town {id}")).await,
        "FAIL REDACT REDACT_FORBIDDEN #town ",
    );
    one(
        &alice.does(&format!("REDACT #town {id} :never mind")).await,
        &format!("REDACT #town {id} :never mind"),
    );
    one(
        &bob.syncs().await,
        &format!("REDACT #town {id} :never mind"),
    );
    let lines = carol.syncs().await;
    let told = one(&lines, "NOTICE #town :took back what they said");
    assert!(!told.contains("shall we"));
    none(
        &alice.does("CHATHISTORY LATEST #town * 50").await,
        "shall we?",
    );
    one(
        &alice.does("REDACT #town nothing").await,
        "FAIL REDACT UNKNOWN_MSGID #town nothing",
    );
}

#[tokio::test]
async fn typing_and_read_markers() {
    let world = World::new().await;
    let mut alice = world.enters("alice/desk", MODERN).await;
    let mut phone = world.enters("alice/phone", MODERN).await;
    let mut bob = world.enters("bob", MODERN).await;
    bob.does("PRIVMSG alice :hi").await;
    bob.does("@+typing=active TAGMSG alice").await;
    let lines = alice.syncs().await;
    assert_eq!(tag(one(&lines, "TAGMSG alice"), "+typing"), Some("active"));
    let time = tag(one(&lines, "PRIVMSG alice :hi"), "time")
        .unwrap()
        .to_owned();
    phone.syncs().await;
    one(&alice.does("MARKREAD bob").await, "MARKREAD bob *");
    one(
        &alice.does(&format!("MARKREAD bob timestamp={time}")).await,
        &format!("MARKREAD bob timestamp={time}"),
    );
    one(
        &phone.syncs().await,
        &format!("MARKREAD bob timestamp={time}"),
    );
    // It never goes back.
    one(
        &alice
            .does("MARKREAD bob timestamp=2020-01-01T00:00:00.000Z")
            .await,
        &time,
    );
    one(
        &alice.does("MARKREAD bob yesterday").await,
        "FAIL MARKREAD INVALID_PARAMS bob",
    );
}

#[tokio::test]
async fn words_to_moderators_and_between_two_in_a_room() {
    let (world, mut alice, mut bob) = two().await;
    let mut carol = world.enters("carol", MODERN).await;
    for who in [&mut alice, &mut bob, &mut carol] {
        who.does("JOIN #town").await;
    }
    carol.syncs().await;
    bob.does("PRIVMSG @#town :help").await;
    one(
        &alice.syncs().await,
        ":bob!bob@example.org PRIVMSG @#town :help",
    );
    none(&carol.syncs().await, "help");
    bob.does("@+draft/channel-context=#town PRIVMSG alice :quietly")
        .await;
    let lines = alice.syncs().await;
    assert_eq!(
        tag(one(&lines, "PRIVMSG alice :quietly"), "+channel-context"),
        Some("#town")
    );
    none(
        &carol.does("CHATHISTORY LATEST #town * 50").await,
        "quietly",
    );
}

#[tokio::test]
async fn what_gathers_comes_whole_and_in_order() {
    // Longer than the test waits for a line: what comes, comes because something took it along.
    let world = World::with(sammen_irc::Config {
        gather_ms: 1_000_000,
        ..sammen_irc::Config::default()
    })
    .await;
    let mut alice = world.enters("alice", "").await;
    let mut bob = world.enters("bob", "").await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    alice.does("PRIVMSG #town :one").await;
    bob.hears("PRIVMSG #town :one").await;
    for text in ["two", "three"] {
        alice.does(&format!("PRIVMSG #town :{text}")).await;
    }
    alice.does("PRIVMSG bob :psst").await;
    for text in ["#town :two", "#town :three", "bob :psst"] {
        assert!(bob.next().await.unwrap().contains(text), "{text}");
    }
    alice.does("PRIVMSG #town :four").await;
    one(&bob.syncs().await, "PRIVMSG #town :four");
    // More than may gather, and then the end of the time.
    for n in 0..64 {
        alice.does(&format!("PRIVMSG #town :line {n}")).await;
    }
    bob.hears("PRIVMSG #town :line 63").await;
    let world = World::new().await;
    let mut alice = world.enters("alice", "").await;
    let mut bob = world.enters("bob", "").await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    for n in 0..5 {
        alice.does(&format!("PRIVMSG #town :line {n}")).await;
    }
    for n in 0..5 {
        bob.hears(&format!("PRIVMSG #town :line {n}")).await;
    }
}

#[tokio::test]
async fn a_programs_question_to_some_in_a_room_reaches_nobody_else() {
    let (world, mut alice, mut bob) = two().await;
    let mut carol = world.enters("carol", MODERN).await;
    for person in [&mut alice, &mut bob, &mut carol] {
        person.does("JOIN #town").await;
    }
    bob.does("PRIVMSG @#town :\x01VERSION\x01").await;
    bob.does("@+channel-context=#town PRIVMSG alice :\x01PING 1\x01")
        .await;
    let lines = alice.syncs().await;
    one(&lines, "PRIVMSG @#town :\x01VERSION\x01");
    one(&lines, "PRIVMSG alice :\x01PING 1\x01");
    none(&carol.syncs().await, "\x01");
}
