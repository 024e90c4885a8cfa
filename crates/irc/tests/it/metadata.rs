//! draft/metadata-2: what is subscribed to is told when it comes into sight.

use crate::world::{MODERN, World, none, one, two};

#[tokio::test]
async fn what_alice_subscribes_to_comes_with_rooms_people_and_keys() {
    let (world, mut alice, mut bob) = two().await;
    bob.does("JOIN #town").await;
    for key in ["avatar", "homepage"] {
        bob.does(&format!("METADATA * SET {key} :https://b.example/{key}"))
            .await;
    }
    bob.does("METADATA #town SET avatar :https://b.example/town")
        .await;
    alice.does("METADATA * SUB avatar").await;
    let joined = alice.does("JOIN #town").await;
    let at = |part: &str| joined.iter().position(|l| l.contains(part)).unwrap();
    assert!(at(" 366 ") < at(" BATCH +") && at(" BATCH +") < at("METADATA bob avatar"));
    one(&joined, " METADATA #town avatar * :https://b.example/town");
    none(&joined, "homepage");
    // A key that is new tells what it says of those around; one that is known does not.
    let more = alice.does("METADATA * SUB homepage avatar").await;
    one(&more, " 770 alice homepage avatar");
    one(
        &more,
        " METADATA bob homepage * :https://b.example/homepage",
    );
    none(&more, "METADATA bob avatar");
    // Who comes in again is told again, with what was subscribed to before the welcome.
    let mut phone = world.stranger();
    phone.sends("CAP REQ :draft/metadata-2 batch").await;
    phone.sends("METADATA * SUB avatar").await;
    phone
        .signs_in("alice/phone", crate::world::PASSWORD, MODERN)
        .await;
    one(
        &phone.syncs().await,
        " METADATA bob avatar * :https://b.example/avatar",
    );
    // Who asks for the capability late gets their own keys then.
    let mut late = world.enters("bob/late", "batch").await;
    let lines = late.does("CAP REQ :draft/metadata-2").await;
    one(
        &lines,
        " METADATA bob homepage * :https://b.example/homepage",
    );
}

#[tokio::test]
async fn who_is_monitored_shows_their_keys_when_they_come() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    alice.does("METADATA * SUB avatar").await;
    let mut bob = world.enters("bob", MODERN).await;
    bob.does("METADATA * SET avatar :https://b.example/me")
        .await;
    alice.does("CONTACT ASK bob").await;
    bob.does("CONTACT ALLOW alice").await;
    alice.syncs().await;
    let lines = alice.does("MONITOR + bob").await;
    one(&lines, " 730 alice :bob!");
    one(&lines, " METADATA bob avatar * :https://b.example/me");
    bob.sends("QUIT").await;
    bob.rest().await;
    alice.hears(" 731 alice :bob").await;
    let _bob = world.enters("bob", MODERN).await;
    alice.hears(" 730 alice :bob!").await;
    alice
        .hears(" METADATA bob avatar * :https://b.example/me")
        .await;
}

#[tokio::test]
async fn clear_is_one_batch_and_many_changes_are_slowed_down() {
    let (_world, mut alice, mut bob) = two().await;
    bob.does("JOIN #town").await;
    bob.does("METADATA #town SET avatar :x").await;
    for key in ["avatar", "homepage"] {
        alice.does(&format!("METADATA * SET {key} :x")).await;
    }
    let lines = alice.does("METADATA * CLEAR").await;
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines[0].contains(" BATCH +") && lines[3].contains(" BATCH -"));
    one(&lines, " 766 alice * homepage ");
    alice.does("JOIN #town").await;
    one(
        &alice.does("METADATA #town CLEAR").await,
        "FAIL METADATA KEY_NO_PERMISSION #town * :",
    );
    one(
        &alice.does("METADATA * UNSUB avatar $x").await,
        "FAIL METADATA KEY_INVALID $x",
    );
    let many: Vec<String> = (0..51).map(|n| format!("k{n}")).collect();
    one(
        &alice
            .does(&format!("METADATA * SUB {}", many.join(" ")))
            .await,
        "FAIL METADATA TOO_MANY_SUBS k50",
    );
    let mut slowed = None;
    for n in 0..2000 {
        let lines = alice.does(&format!("METADATA * SET avatar :{n}")).await;
        slowed = lines.into_iter().find(|l| l.contains(" FAIL "));
        if slowed.is_some() {
            break;
        }
    }
    let slowed = slowed.unwrap();
    assert!(
        slowed.contains("FAIL METADATA RATE_LIMITED * avatar 1 :"),
        "{slowed}"
    );
    // What costs more than is left is for later.
    one(
        &alice.does("METADATA #town SYNC").await,
        " 774 alice #town ",
    );
}
