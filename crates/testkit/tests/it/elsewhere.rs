//! The network half: an outbox that is patient, a room that lives elsewhere and overrules us, history from before.

use std::sync::Arc;

use sammen_core::event::{Acceptance, ForeignId, Scheme};
use sammen_core::history::Scope;
use sammen_core::memory::MemoryStore;
use sammen_core::network::{Delivery as Outcome, Network};
use sammen_core::ops::home::{self, Incoming};
use sammen_core::ops::send::{Outgoing, Target};
use sammen_core::{
    Address, Content, Delivery, Member, Membership, Message, Protocol, Refusal, Settings, Timestamp,
};
use sammen_testkit::{ScriptedNetwork, Stage};

fn stage() -> (Stage, Arc<ScriptedNetwork>) {
    let network = Arc::new(ScriptedNetwork::new("test", &["dora"]));
    let known = network.clone();
    (
        Stage::with(Arc::new(MemoryStore::new()), |o| o.networks.push(known)),
        network,
    )
}

fn dora() -> Address {
    Address::new("test:dora@far.net").unwrap()
}

fn text(event: &sammen_core::Event) -> String {
    match &event.content {
        Content::Message(m) => m.text.clone(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_wait_in_order_until_the_network_takes_them() {
    let (stage, network) = stage();
    let alice = stage.person("alice").await;
    for text in ["one", "two"] {
        alice.says_to(Target::Direct(dora()), text).await.unwrap();
    }
    network.will(Outcome::Later(Timestamp(1_700_000_060_000)));
    assert_eq!(stage.node.deliver_outbox().await, Ok(0));
    assert_eq!(
        stage.node.deliver_outbox().await,
        Ok(0),
        "not before its time, and nothing overtakes"
    );
    stage.clock.advance_ms(60_000);
    assert_eq!(stage.node.deliver_outbox().await, Ok(2));
    let taken: Vec<_> = network
        .taken()
        .iter()
        .filter_map(|(_, e)| e.as_ref().map(text))
        .collect();
    assert_eq!(taken, ["one", "two"]);
}

#[tokio::test]
async fn giving_up_is_visible_in_the_conversation() {
    let (stage, network) = stage();
    let mut alice = stage.person("alice").await;
    let sent = alice.says_to(Target::Direct(dora()), "hi").await.unwrap();
    network.will(Outcome::Refused("no such person".into()));
    stage.node.deliver_outbox().await.unwrap();
    let note = alice.sees(|a| a.event.author == dora()).await;
    assert!(text(&note.event).contains("no such person"));
    assert_eq!(note.event.target(), Some(sent.id));
    let unknown = Target::Direct(Address::new("other:x@y").unwrap());
    assert_eq!(
        alice.says_to(unknown, "hi").await,
        Err(Refusal::Unreachable)
    );
    assert!(network.reach("dora").await.is_some() && network.reach("nobody").await.is_none());
}

#[tokio::test]
async fn a_room_elsewhere_accepts_refuses_reorders_and_fills_in() {
    let (stage, _network) = stage();
    let mut alice = stage.person("alice").await;
    let room = Address::new("test:#square@far.net").unwrap();
    let who = alice.address.clone();
    let convo = stage
        .node
        .write(move |tx| {
            let convo = home::project(tx, &room, Settings::default())?;
            let mut member = Member::new(who);
            member.membership = Membership::Joined;
            home::overrule(tx, convo.id(), None, vec![member])
        })
        .await
        .unwrap();
    alice.enters(&convo).await.unwrap();
    let id = convo.id();
    let mine = alice.says_in(&convo, "mine").await.unwrap();
    let incoming = |text: &str, foreign: &str, historical| Incoming {
        author: dora(),
        at: Timestamp(1_600_000_000_000),
        content: Content::Message(Message::text(text)),
        native: None,
        relation: None,
        ids: vec![ForeignId {
            scheme: Scheme::Test,
            id: foreign.into(),
        }],
        acceptance: Acceptance::Accepted,
        historical,
    };
    let theirs = incoming("theirs", "t1", false);
    let first = stage
        .node
        .write(move |tx| home::receive(tx, id, theirs, None))
        .await
        .unwrap();
    alice.hears("theirs").await;
    let again = incoming("theirs", "t1", false);
    assert!(
        stage
            .node
            .write(move |tx| home::receive(tx, id, again, None))
            .await
            .unwrap()
            .duplicate
    );
    // The home put ours behind theirs, and before it lies something older.
    let old = incoming("older", "t0", true);
    let before = mine.id;
    stage
        .node
        .write(move |tx| home::receive(tx, id, old, Some(before)))
        .await
        .unwrap();
    let refused = alice.says_in(&convo, "too late").await.unwrap();
    let own = stage.node.store().event(mine.seq).unwrap().unwrap();
    let other = stage.node.store().event(refused.seq).unwrap().unwrap();
    stage
        .node
        .write(move |tx| {
            home::accept(tx, &own, Acceptance::Accepted, None)?;
            home::accept(tx, &other, Acceptance::Rejected, None)
        })
        .await
        .unwrap();
    let page = stage
        .node
        .history(
            stage
                .node
                .query(&alice.address, &Scope::Conversation(id), 10)
                .unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(
        page.events.iter().map(|e| text(e)).collect::<Vec<_>>(),
        ["older", "mine", "theirs"]
    );
    assert!(first.pos > mine.pos);
    let live = alice.waiting();
    assert!(
        !live
            .iter()
            .any(|d| matches!(d, Delivery::Event(a) if text(&a.event) == "older")),
        "history is not news"
    );
    let ours = stage
        .node
        .write(move |tx| home::overrule(tx, sammen_core::ConversationId(u64::MAX), None, vec![]))
        .await;
    assert_eq!(ours.err(), Some(Refusal::NotFound));
}

#[tokio::test]
async fn nobody_elsewhere_accepts_our_message_by_taking_its_id() {
    let (stage, _network) = stage();
    let alice = stage.person("alice").await;
    let room = Address::new("test:#square@far.net").unwrap();
    let who = alice.address.clone();
    let convo = stage
        .node
        .write(move |tx| {
            let convo = home::project(tx, &room, Settings::default())?;
            let mut member = Member::new(who);
            member.membership = Membership::Joined;
            home::overrule(tx, convo.id(), None, vec![member])
        })
        .await
        .unwrap();
    let id = convo.id();
    let ours = ForeignId {
        scheme: Scheme::OriginId,
        id: "guessed".into(),
    };
    let mine = alice
        .sends(Outgoing {
            aliases: vec![ours.clone()],
            ..Outgoing::new(
                Target::Conversation(id),
                Content::Message(Message::text("mine")),
                Protocol::Node,
            )
        })
        .await
        .unwrap();
    let incoming = |author: Address, text: &str| Incoming {
        author,
        at: Timestamp(1_700_000_000_000),
        content: Content::Message(Message::text(text)),
        native: None,
        relation: None,
        ids: vec![ours.clone()],
        acceptance: Acceptance::Accepted,
        historical: false,
    };
    let theirs = incoming(dora(), "theirs");
    let long = incoming(dora(), &"x".repeat(100_000));
    let (taken, too_long) = stage
        .node
        .write(move |tx| {
            let long = home::receive(tx, id, long, None);
            Ok((home::receive(tx, id, theirs, None)?, long))
        })
        .await
        .unwrap();
    assert_eq!(too_long.err(), Some(Refusal::TooLarge));
    assert!(!taken.duplicate);
    let acceptance = |seq| stage.node.store().event(seq).unwrap().unwrap().acceptance;
    assert_eq!(acceptance(mine.seq), Acceptance::Pending);
    assert_eq!(acceptance(taken.seq), Acceptance::Accepted);
}
