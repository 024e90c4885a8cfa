//! The server's own settings: changed while people are there, and the counts it tells.

use sammen_irc::Config;

use crate::world::{MODERN, PASSWORD, World, none, one};

fn changed() -> Config {
    Config {
        registration: true,
        icon: Some("https://example.org/icon.png".into()),
        multiline_lines: 50,
        commands_per_second: 0,
        ..Config::default()
    }
}

#[tokio::test]
async fn clients_learn_what_a_rehash_changed() {
    let world = World::new().await;
    world.server.on_rehash(Box::new(|| Some(changed())));
    let mut alice = world.enters("alice", MODERN).await;
    let mut old = world.stranger();
    old.sends(&format!("PASS :bob:{PASSWORD}")).await;
    old.sends("NICK bob").await;
    old.sends("USER bob 0 * :bob").await;
    old.syncs().await;
    let mut carol = world.enters("carol", MODERN).await;
    carol.does(&format!("OPER carol :{PASSWORD}")).await;
    let lines = carol.does("REHASH").await;
    one(&lines, " 382 ");
    let told = alice.does("TIME").await;
    for lines in [lines, told] {
        let new = one(&lines, " NEW :");
        for part in [
            "draft/account-registration=before-connect",
            "draft/multiline=max-bytes=32768,max-lines=50",
        ] {
            assert!(new.contains(part), "{new}");
        }
        assert!(!new.contains("echo-message"), "{new}");
        one(&lines, "draft/ICON=https://example.org/icon.png");
        none(&lines, " DEL ");
    }
    let lines = old.does("TIME").await;
    none(&lines, "CAP");
    one(&lines, " 005 ");
    // Back again: what was asked for meanwhile is off.
    alice.does("CAP REQ draft/account-registration").await;
    world.server.reconfigure(Config {
        commands_per_second: 0,
        ..Config::default()
    });
    let lines = alice.does("CAP LIST").await;
    assert!(one(&lines, " DEL :").ends_with(":draft/account-registration"));
    assert!(one(&lines, " 005 ").contains(" -draft/ICON "));
    assert!(!one(&lines, " LIST :").contains("registration"));
    none(&alice.does("TIME").await, "CAP");
}

#[tokio::test]
async fn lusers_counts_people_strangers_operators_and_rooms() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let _phone = world.enters("alice/phone", MODERN).await;
    let mut bob = world.enters("bob", MODERN).await;
    let lines = alice.does("LUSERS").await;
    assert!(one(&lines, " 251 ").contains("There are 2 users"));
    for part in [" 252 ", " 253 ", " 254 "] {
        none(&lines, part);
    }
    let mut stranger = world.stranger();
    stranger.sends("NICK x").await;
    stranger.syncs().await;
    bob.does("JOIN #garden").await;
    let mut carol = world.enters("carol", MODERN).await;
    carol.does(&format!("OPER carol :{PASSWORD}")).await;
    let lines = alice.does("LUSERS").await;
    assert!(one(&lines, " 251 ").contains("There are 3 users"));
    one(&lines, " 252 alice 1 ");
    one(&lines, " 253 alice 1 ");
    one(&lines, " 254 alice 1 ");
    one(&lines, " 265 alice 3 3 ");
    carol.does("MODE carol -o").await;
    carol.sends("QUIT").await;
    carol.rest().await;
    (&mut carol.task).await.unwrap();
    let lines = alice.does("LUSERS").await;
    none(&lines, " 252 ");
    one(&lines, " 265 alice 2 3 ");
}
