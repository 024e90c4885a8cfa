//! Rooms: who comes in, who reads what, who ranks whom.

use sammen_core::conversation::{Binding, JoinRule, Settings, Visibility};
use sammen_core::event::{MembershipAction, RoomChange};
use sammen_core::history::Scope;
use sammen_core::live::{OccupantKind, StateChange};
use sammen_core::ops::rooms;
use sammen_core::ops::send::{Outgoing, Target};
use sammen_core::{
    Address, Content, Convo, Delivery, Message, Origin, Outcome, Principal, Protocol, Refusal,
    Role, Standing,
};
use sammen_testkit::{Person, Stage};

use crate::stage;

async fn texts(stage: &Stage, reader: &Person, room: &Convo) -> Result<Vec<String>, Refusal> {
    let query = stage
        .node
        .query(&reader.address, &Scope::Conversation(room.id()), 100)?;
    let page = stage.node.history(query).await?;
    let text = |c: &Content| match c {
        Content::Message(m) => Some(m.text.clone()),
        _ => None,
    };
    Ok(page
        .events
        .iter()
        .filter_map(|e| text(&e.content))
        .collect())
}

async fn ranks(by: &Person, room: &Convo, who: &Person, standing: Standing) -> Result<(), Refusal> {
    let (id, principal, who, origin) = (
        room.id(),
        Principal::from(&by.address),
        who.address.clone(),
        by.origin(),
    );
    by.node
        .write(move |tx| rooms::set_standing(tx, &principal, id, &who, standing, None, &origin))
        .await
        .map(drop)
}

#[tokio::test]
async fn everyone_in_the_room_hears_it_and_nobody_else() {
    let stage = stage();
    let (mut alice, mut bob, mut eve) = (
        stage.person("alice").await,
        stage.person("bob").await,
        stage.person("eve").await,
    );
    let room = stage.room(&alice, "town", Settings::default()).await;
    bob.joins(&room).await.unwrap();
    alice.notices(|s| matches!(s, StateChange::Occupant(o) if o.kind == OccupantKind::Joined && o.who == bob.address)).await;
    bob.says_in(&room, "hi").await.unwrap();
    alice.hears("hi").await;
    bob.hears("hi").await;
    assert_eq!(eve.says_in(&room, "psst").await, Err(Refusal::NotJoined));
    assert_eq!(texts(&stage, &eve, &room).await, Err(Refusal::NotJoined));
    assert!(
        !eve.waiting()
            .iter()
            .any(|d| matches!(d, Delivery::Event(_)))
    );
}

#[tokio::test]
async fn history_follows_visibility_also_after_it_was_loosened() {
    let stage = stage();
    let (alice, bob) = (stage.person("alice").await, stage.person("bob").await);
    let room = stage
        .room(
            &alice,
            "club",
            Settings {
                visibility: Visibility::Joined,
                ..Settings::default()
            },
        )
        .await;
    alice.says_in(&room, "before bob").await.unwrap();
    bob.joins(&room).await.unwrap();
    alice.says_in(&room, "with bob").await.unwrap();
    bob.leaves(&room).await.unwrap();
    alice.says_in(&room, "after bob").await.unwrap();
    assert_eq!(texts(&stage, &bob, &room).await.unwrap(), ["with bob"]);
    let (id, owner, origin) = (room.id(), Principal::from(&alice.address), alice.origin());
    let open = |s: &mut Settings| {
        s.visibility = Visibility::Shared;
        Ok(())
    };
    stage
        .node
        .write(move |tx| rooms::configure(tx, &owner, id, open, &origin))
        .await
        .unwrap();
    alice.says_in(&room, "opened").await.unwrap();
    bob.joins(&room).await.unwrap();
    assert_eq!(
        texts(&stage, &bob, &room).await.unwrap(),
        ["with bob", "opened"]
    );
}

#[tokio::test]
async fn members_only_rooms_let_in_whom_they_invite() {
    let stage = stage();
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let room = stage
        .room(
            &alice,
            "board",
            Settings {
                join_rule: JoinRule::Members,
                ..Settings::default()
            },
        )
        .await;
    assert_eq!(bob.joins(&room).await, Err(Refusal::MembersOnly));
    let (id, by, whom, origin) = (
        room.id(),
        Principal::from(&alice.address),
        bob.address.clone(),
        alice.origin(),
    );
    stage
        .node
        .write(move |tx| rooms::invite(tx, &by, id, &whom, None, &origin))
        .await
        .unwrap();
    bob.sees(|a| matches!(a.event.content, Content::Membership(_)))
        .await;
    bob.joins(&room).await.unwrap();
}

#[tokio::test]
async fn the_banned_stay_out_and_the_kicked_may_return() {
    let stage = stage();
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let room = stage.room(&alice, "town", Settings::default()).await;
    bob.joins(&room).await.unwrap();
    let (id, by, whom, origin) = (
        room.id(),
        Principal::from(&alice.address),
        bob.address.clone(),
        alice.origin(),
    );
    stage
        .node
        .write(move |tx| rooms::set_role(tx, &by, id, &whom, Role::None, None, &origin))
        .await
        .unwrap();
    bob.notices(|s| matches!(s, StateChange::Occupant(o) if o.kind == OccupantKind::Kicked))
        .await;
    assert_eq!(bob.says_in(&room, "?").await, Err(Refusal::NotJoined));
    bob.joins(&room).await.unwrap();
    ranks(&alice, &room, &bob, Standing::Outcast).await.unwrap();
    assert_eq!(bob.joins(&room).await, Err(Refusal::Banned));
    assert_eq!(texts(&stage, &bob, &room).await, Err(Refusal::NotJoined));
    ranks(&alice, &room, &bob, Standing::None).await.unwrap();
    bob.joins(&room).await.unwrap();
}

#[tokio::test]
async fn nobody_ranks_above_themselves_and_the_last_owner_stays() {
    let stage = stage();
    let (alice, bob, carol) = (
        stage.person("alice").await,
        stage.person("bob").await,
        stage.person("carol").await,
    );
    let room = stage.room(&alice, "town", Settings::default()).await;
    for person in [&bob, &carol] {
        person.joins(&room).await.unwrap();
    }
    assert!(matches!(
        ranks(&bob, &room, &carol, Standing::Member).await,
        Err(Refusal::Forbidden(_))
    ));
    ranks(&alice, &room, &bob, Standing::Admin).await.unwrap();
    ranks(&bob, &room, &carol, Standing::Member).await.unwrap();
    assert!(matches!(
        ranks(&bob, &room, &carol, Standing::Owner).await,
        Err(Refusal::Forbidden(_))
    ));
    assert!(matches!(
        ranks(&bob, &room, &alice, Standing::None).await,
        Err(Refusal::Forbidden(_))
    ));
    assert!(matches!(
        ranks(&alice, &room, &alice, Standing::None).await,
        Err(Refusal::Invalid(_))
    ));
}

#[tokio::test]
async fn a_private_message_in_a_room_stays_between_two() {
    let stage = stage();
    let (alice, mut bob, mut carol) = (
        stage.person("alice").await,
        stage.person("bob").await,
        stage.person("carol").await,
    );
    let room = stage.room(&alice, "town", Settings::default()).await;
    bob.joins(&room).await.unwrap();
    carol.joins(&room).await.unwrap();
    let whisper = Outgoing {
        audience: Some(vec![bob.address.clone()]),
        ..Outgoing::new(
            Target::Conversation(room.id()),
            Content::Message(Message::text("psst")),
            Protocol::Node,
        )
    };
    alice.sends(whisper).await.unwrap();
    bob.hears("psst").await;
    alice.says_in(&room, "loud").await.unwrap();
    carol.hears("loud").await;
    assert_eq!(texts(&stage, &carol, &room).await.unwrap(), ["loud"]);
    assert_eq!(texts(&stage, &bob, &room).await.unwrap(), ["psst", "loud"]);
}

#[tokio::test]
async fn a_bound_room_takes_its_scheme_alone_and_an_unbound_one_none() {
    let stage = stage();
    let alice = stage.person("alice").await;
    let omemo = |room: &Convo| {
        Outgoing::new(
            Target::Conversation(room.id()),
            Content::Encrypted {
                scheme: "OMEMO".into(),
                fallback: None,
            },
            Protocol::Xmpp,
        )
    };
    let bound = Settings {
        binding: Binding::Bound("OMEMO".into()),
        join_rule: JoinRule::Members,
        ..Settings::default()
    };
    let bound = stage.room(&alice, "private", bound).await;
    alice.sends(omemo(&bound)).await.unwrap();
    assert!(matches!(
        alice.says_in(&bound, "plain").await,
        Err(Refusal::NotAcceptable(_))
    ));
    let open = stage.room(&alice, "town", Settings::default()).await;
    assert!(matches!(
        alice.sends(omemo(&open)).await,
        Err(Refusal::NotAcceptable(_))
    ));
}

#[tokio::test]
async fn nicks_are_unique_and_going_away_is_not_leaving() {
    let stage = stage();
    let (mut alice, bob) = (stage.person("alice").await, stage.person("bob").await);
    let room = stage.room(&alice, "town", Settings::default()).await;
    let (id, who, origin) = (room.id(), bob.address.clone(), bob.origin());
    let taken = stage
        .node
        .write(move |tx| rooms::join(tx, &who, id, Some("Alice"), None, &|_| false, &origin))
        .await;
    assert_eq!(taken.err(), Some(Refusal::Taken));
    bob.joins(&room).await.unwrap();
    stage.node.sign_out(&bob.signed_in.session).await.unwrap();
    alice.notices(|s| matches!(s, StateChange::Occupant(o) if o.kind == OccupantKind::Absent && o.who == bob.address)).await;
    assert!(
        stage
            .node
            .convo(room.id())
            .unwrap()
            .unwrap()
            .has(&bob.address)
    );
}

async fn renames(by: &Person, room: &Convo, to: &Address) -> Outcome<()> {
    let (id, who, to, origin) = (
        room.id(),
        Principal::from(&by.address),
        to.clone(),
        by.origin(),
    );
    by.node
        .write(move |tx| rooms::rename(tx, &who, id, &to, None, &origin))
        .await
        .map(drop)
}

async fn makes(by: &Person, address: &Address) -> Outcome<()> {
    let (who, address) = (Principal::from(&by.address), address.clone());
    by.node
        .write(move |tx| {
            let settings = Settings::default();
            rooms::create(tx, &who, &address, settings, None, &Origin::default())
        })
        .await
        .map(drop)
}

#[tokio::test]
async fn a_renamed_room_goes_on_and_its_old_address_leads_to_it() {
    let stage = stage();
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let room = stage.room(&alice, "town", Settings::default()).await;
    bob.joins(&room).await.unwrap();
    alice.says_in(&room, "before").await.unwrap();
    let (old, new) = (
        room.conversation.room().cloned().unwrap(),
        Address::new("#village@example.org").unwrap(),
    );
    assert!(matches!(
        renames(&bob, &room, &new).await,
        Err(Refusal::Forbidden(_))
    ));
    renames(&alice, &room, &new).await.unwrap();
    let told = bob
        .sees(|a| matches!(&a.event.content, Content::Room(RoomChange::Renamed { .. })))
        .await;
    assert_eq!(told.convo.conversation.room(), Some(&new));
    assert!(told.convo.conversation.is_named(&old));

    // Who was inside still is; the history goes on.
    alice.says_in(&room, "after").await.unwrap();
    bob.hears("after").await;
    assert_eq!(
        texts(&stage, &bob, &room).await.unwrap(),
        ["before", "after"]
    );
    let node = &stage.node;
    assert_eq!(node.room(&new).unwrap().unwrap().id(), room.id());
    assert!(node.room(&old).unwrap().is_none());
    let leads = |who: &Principal| node.renamed(&old, who).unwrap().map(|c| c.id());
    assert_eq!(leads(&Principal::from(&bob.address)), Some(room.id()));
    let listed: Vec<_> = node.rooms(None, 9).unwrap();
    assert_eq!(listed.len(), 1, "it is listed once");

    // Nobody gets the old address, and who may know of the room hears where it is.
    let gone = Refusal::Gone(Some(new.clone()));
    assert_eq!(makes(&bob, &old).await, Err(gone));
    let other = stage.room(&bob, "other", Settings::default()).await;
    assert_eq!(renames(&bob, &other, &old).await, Err(Refusal::Taken));
    assert_eq!(renames(&bob, &other, &new).await, Err(Refusal::Taken));
    let elsewhere = Address::new("#town@elsewhere.net").unwrap();
    assert_eq!(
        renames(&bob, &other, &elsewhere).await,
        Err(Refusal::InvalidName)
    );

    // It can take its old address again; then the other one is the alias.
    renames(&alice, &room, &old).await.unwrap();
    assert_eq!(node.room(&old).unwrap().unwrap().id(), room.id());
    let back = node.renamed(&new, &Principal::Node).unwrap();
    assert_eq!(back.map(|c| c.id()), Some(room.id()));
    assert!(node.renamed(&old, &Principal::Node).unwrap().is_none());
}

#[tokio::test]
async fn a_hidden_room_is_not_betrayed_by_the_address_that_it_had() {
    let stage = stage();
    let (alice, eve) = (stage.person("alice").await, stage.person("eve").await);
    let hidden = Settings {
        join_rule: JoinRule::Members,
        ..Settings::default()
    };
    let room = stage.room(&alice, "town", hidden).await;
    let old = room.conversation.room().cloned().unwrap();
    let new = Address::new("#hideout@example.org").unwrap();
    renames(&alice, &room, &new).await.unwrap();
    assert_eq!(makes(&eve, &old).await, Err(Refusal::Taken));
    let asked = |who: &Person| stage.node.renamed(&old, &Principal::from(&who.address));
    assert!(asked(&eve).unwrap().is_none());
    assert!(asked(&alice).unwrap().is_some());
}

#[tokio::test]
async fn a_room_that_ends_leaves_its_addresses_and_an_empty_shelf() {
    let stage = stage();
    let alice = stage.person("alice").await;
    let room = stage.room(&alice, "town", Settings::default()).await;
    let old = room.conversation.room().cloned().unwrap();
    let new = Address::new("#village@example.org").unwrap();
    let shelf = new.clone();
    stage
        .node
        .write(move |tx| {
            let expect = sammen_core::tx::Expect::Absent;
            tx.put_document(
                &(&shelf).into(),
                "test",
                "picture",
                expect,
                Some("p".into()),
            )
        })
        .await
        .unwrap();
    let (from, to) = (old.clone(), new.clone());
    renames(&alice, &room, &to).await.unwrap();
    assert_eq!(stage.node.room(&from).unwrap().map(|c| c.id()), None);
    let (id, who, origin) = (room.id(), Principal::from(&alice.address), alice.origin());
    // In one batch: it ends, another room has its first address, and nothing of the old one is there.
    let (first, second) = (old.clone(), new.clone());
    stage
        .node
        .write(move |tx| {
            rooms::destroy(tx, &who, id, None, None, &origin)?;
            rooms::create(tx, &who, &first, Settings::default(), None, &origin)?;
            rooms::create(tx, &who, &second, Settings::default(), None, &origin)
        })
        .await
        .unwrap();
    for address in [&old, &new] {
        assert!(
            stage
                .node
                .room(address)
                .unwrap()
                .is_some_and(|c| c.id() != id)
        );
        assert!(
            stage
                .node
                .renamed(address, &Principal::Node)
                .unwrap()
                .is_none()
        );
    }
    let store = stage.node.store();
    let left = store.document(&(&new).into(), "test", "picture").unwrap();
    assert_eq!(left, None);
}

#[tokio::test]
async fn what_people_say_beside_their_messages_has_limits() {
    let stage = stage();
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let room = stage.room(&alice, "town", Settings::default()).await;
    bob.joins(&room).await.unwrap();
    let (id, by, bobs) = (
        room.id(),
        Principal::from(&alice.address),
        bob.address.clone(),
    );
    let long = "ä".repeat(600);
    let refused = stage
        .node
        .write(move |tx| {
            let (reason, origin) = (Some(long), Origin::default());
            let carol = Address::new("xmpp:carol@other.net").unwrap();
            let new = Address::new("#village@example.org").unwrap();
            let said = || reason.clone();
            Ok([
                rooms::invite(tx, &by, id, &carol, said(), &origin).err(),
                rooms::set_role(tx, &by, id, &bobs, Role::None, said(), &origin).err(),
                rooms::set_standing(tx, &by, id, &bobs, Standing::Outcast, said(), &origin).err(),
                rooms::rename(tx, &by, id, &new, said(), &origin).err(),
                rooms::destroy(tx, &by, id, said(), None, &origin).err(),
            ])
        })
        .await
        .unwrap();
    assert_eq!(refused, std::array::from_fn(|_| Some(Refusal::TooLarge)));
    // Who leaves is not held back by what they say.
    let (who, reason) = (bob.address.clone(), Some("ä".repeat(600)));
    stage
        .node
        .write(move |tx| rooms::leave(tx, &who, id, reason, &Origin::default()))
        .await
        .unwrap();
    let left = bob
        .sees(|a| matches!(&a.event.content, Content::Membership(m) if !matches!(m.action, MembershipAction::Joined)))
        .await;
    let Content::Membership(left) = &left.event.content else {
        unreachable!()
    };
    assert_eq!(left.reason.as_ref().map(String::len), Some(1024));
}

#[tokio::test]
async fn nobody_owns_more_rooms_than_the_limit() {
    let store = std::sync::Arc::new(sammen_core::memory::MemoryStore::new());
    let stage = Stage::with(store, |options| options.limits.rooms_owned = 2);
    let alice = stage.person("alice").await;
    let room = |name: &str| Address::new(&format!("#{name}@example.org")).unwrap();
    makes(&alice, &room("one")).await.unwrap();
    makes(&alice, &room("two")).await.unwrap();
    assert_eq!(makes(&alice, &room("three")).await, Err(Refusal::TooMany));
    let (id, who) = (
        stage.node.room(&room("one")).unwrap().unwrap().id(),
        Principal::from(&alice.address),
    );
    stage
        .node
        .write(move |tx| rooms::destroy(tx, &who, id, None, None, &Origin::default()))
        .await
        .unwrap();
    makes(&alice, &room("three")).await.unwrap();
}
