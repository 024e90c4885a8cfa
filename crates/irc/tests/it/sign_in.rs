//! Coming in: SASL, PASS, refusals, devices, several clients on one nick.

use sammen_irc::Config;
use sammen_net::credentials::Scopes;

use crate::world::{MODERN, PASSWORD, World, address, none, one};

#[tokio::test]
async fn alice_signs_in_and_is_told_what_the_server_can() {
    let world = World::new().await;
    let mut alice = world.stranger();
    alice.signs_in("alice", PASSWORD, MODERN).await;
    let lines = alice.syncs().await;
    one(&lines, " 900 ");
    one(&lines, " 903 ");
    assert!(one(&lines, " 001 ").contains("alice!alice@example.org"));
    assert!(
        lines
            .iter()
            .any(|l| l.contains(" 005 ") && l.contains("PREFIX=(qaov)~&@+"))
    );
    assert!(lines.iter().any(|l| l.contains(" 422 ")));
}

#[tokio::test]
async fn pass_signs_in_and_the_nick_is_the_accounts() {
    let world = World::new().await;
    let mut alice = world.stranger();
    for line in [
        "PASS :alice/phone:open sesame",
        "NICK Somebody",
        "USER x 0 * :x",
    ] {
        alice.sends(line).await;
    }
    let lines = alice.syncs().await;
    one(&lines, " 001 alice ");
    one(&lines, ":Somebody!alice@example.org NICK alice");
    let refused = alice.does("NICK robert").await;
    one(&refused, " 902 alice robert ");
    assert!(alice.does("NICK ALICE").await.is_empty());
}

#[tokio::test]
async fn nobody_comes_in_without_an_account_or_with_a_wrong_password() {
    let world = World::new().await;
    let mut eve = world.stranger();
    eve.sends("NICK eve").await;
    eve.sends("USER eve 0 * :eve").await;
    let lines = eve.rest().await;
    one(&lines, "FAIL * ACCOUNT_REQUIRED");
    one(&lines, "ERROR :");
    let mut eve = world.stranger();
    eve.sends("PASS alice:wrong").await;
    eve.sends("NICK eve").await;
    eve.sends("USER eve 0 * :eve").await;
    let lines = eve.rest().await;
    one(&lines, " 464 ");
    none(&lines, " 001 ");
    let mut eve = world.stranger();
    eve.signs_in("alice", "wrong", "").await;
    let lines = eve.rest().await;
    one(&lines, " 904 ");
    none(&lines, " 001 ");
    let mut eve = world.stranger();
    eve.sends("QUIT").await;
    one(&eve.rest().await, "ERROR :");
}

#[tokio::test]
async fn guests_come_in_where_the_setting_allows_it_and_leave_nothing_behind() {
    let config = Config {
        guests: true,
        ..Config::default()
    };
    let world = World::with(config).await;
    let mut alice = world.enters("alice", MODERN).await;
    alice.does("JOIN #town").await;
    let mut guest = world.stranger();
    guest.sends("NICK Visitor").await;
    guest.sends("USER x 0 * :x").await;
    one(&guest.syncs().await, " 001 guest-visitor ");
    guest.does("JOIN #town").await;
    guest.does("PRIVMSG #town :hello").await;
    let lines = alice.syncs().await;
    one(&lines, "PRIVMSG #town :hello");
    assert!(one(&lines, " JOIN ").ends_with("JOIN #town * :guest-visitor"));
    guest.sends("QUIT").await;
    guest.rest().await;
    alice
        .hears("guest-visitor!guest@example.org PART #town")
        .await;
}

#[tokio::test]
async fn two_clients_share_a_nick_and_each_sees_what_the_other_says() {
    let world = World::new().await;
    let mut desk = world.enters("alice/desk", MODERN).await;
    let mut phone = world.enters("alice/phone", "").await;
    one(&desk.syncs().await, "signed in from phone");
    desk.does("JOIN #town").await;
    // Joining is the account's: the phone is in, too.
    let lines = phone.syncs().await;
    one(&lines, ":alice!alice@example.org JOIN #town");
    one(&lines, " 366 alice #town ");
    desk.does("PRIVMSG #town :from the desk").await;
    one(
        &phone.syncs().await,
        ":alice!alice@example.org PRIVMSG #town :from the desk",
    );
    let mut bob = world.enters("bob", "").await;
    phone.does("PRIVMSG bob :from the phone").await;
    one(&bob.syncs().await, "PRIVMSG bob :from the phone");
    one(&desk.syncs().await, "PRIVMSG bob :from the phone");
}

#[tokio::test]
async fn a_disabled_account_is_signed_out() {
    let world = World::new().await;
    let mut bob = world.enters("bob", "").await;
    let who = crate::world::address("bob");
    let change = move |tx: &mut sammen_core::tx::Tx<'_>| {
        sammen_core::ops::accounts::change(tx, &who, |a| a.disabled = true).map(drop)
    };
    world.node.write(change).await.unwrap();
    one(&bob.rest().await, "ERROR :Closing link: signed out");
}

#[tokio::test]
async fn anyone_makes_an_account_only_where_the_setting_allows_it() {
    let world = World::new().await;
    let mut dave = world.stranger();
    dave.sends("REGISTER dave * :correct horse").await;
    dave.hears("FAIL REGISTER TEMPORARILY_UNAVAILABLE dave")
        .await;
    let config = Config {
        registration: true,
        ..Config::default()
    };
    let world = World::with(config).await;
    let mut dave = world.stranger();
    for line in [
        "CAP LS 302",
        "NICK dave",
        "USER dave 0 * :dave",
        "REGISTER alice * :correct horse",
        "REGISTER dave * :correct horse",
        "CAP END",
    ] {
        dave.sends(line).await;
    }
    let lines = dave.syncs().await;
    one(&lines, "FAIL REGISTER ACCOUNT_EXISTS alice");
    one(&lines, "REGISTER SUCCESS dave");
    one(&lines, " 001 dave ");
}

#[tokio::test]
async fn a_certificate_that_alice_registered_signs_in_without_a_password() {
    let world = World::new().await;
    let own = [7; 32];
    let accounts = &world.server.accounts;
    accounts
        .change(&address("alice"), move |c| {
            c.add_certificate("laptop", own, Scopes::only(["irc"]), 0, &mut rand::rng())
        })
        .await
        .unwrap();
    for (certificate, authzid, answer) in [
        (own, "+", " 903 "),
        (own, "YWxpY2U=", " 903 "),
        // bob
        (own, "Ym9i", " 904 "),
        ([8; 32], "+", " 904 "),
    ] {
        let mut person = world.shows(certificate);
        for line in [
            "CAP LS 302",
            "NICK alice",
            "USER alice 0 * :alice",
            "CAP REQ :sasl",
            "AUTHENTICATE EXTERNAL",
        ] {
            person.sends(line).await;
        }
        assert!(person.hears(" LS ").await.contains("EXTERNAL"));
        person.hears("AUTHENTICATE +").await;
        person.sends(&format!("AUTHENTICATE {authzid}")).await;
        let heard = person.hears(" 90").await;
        let heard = if heard.contains(" 900 ") {
            person.hears(" 90").await
        } else {
            heard
        };
        assert!(heard.contains(answer), "{heard}");
    }
}
