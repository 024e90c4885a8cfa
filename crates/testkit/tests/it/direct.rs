//! Two people write to each other.

use std::sync::Arc;

use sammen_core::event::{ForeignId, MarkerKind, Relation, RelationKind, Scheme};
use sammen_core::history::Scope;
use sammen_core::live::{Show, StateChange};
use sammen_core::mailbox::EVENTS;
use sammen_core::memory::MemoryStore;
use sammen_core::ops::send::{Outgoing, Target};
use sammen_core::store::StoreError;
use sammen_core::{Content, Delivery, Message, Protocol, Refusal, Seq};
use sammen_testkit::Stage;

use crate::stage;

#[tokio::test]
async fn bob_hears_alice_on_both_devices_and_alice_sees_it_on_her_other_one() {
    let stage = stage();
    let (mut alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let mut phone = stage.signs_in(&bob.address, "phone").await;
    let mut laptop = stage.signs_in(&alice.address, "laptop").await;
    let sent = alice.says(&bob, "hi").await.unwrap();
    for person in [&mut alice, &mut bob, &mut phone, &mut laptop] {
        assert_eq!(person.hears("hi").await.event.id, sent.id);
    }
    let page = stage
        .node
        .history(stage.node.query(&bob.address, &Scope::Direct, 10).unwrap())
        .await
        .unwrap();
    assert_eq!(
        page.events.iter().map(|e| e.id).collect::<Vec<_>>(),
        [sent.id]
    );
}

#[tokio::test]
async fn what_is_sent_again_is_stored_once() {
    let stage = stage();
    let (alice, bob) = (stage.person("alice").await, stage.person("bob").await);
    let out = |text: &str| Outgoing {
        aliases: vec![ForeignId {
            scheme: Scheme::XmppId,
            id: "m1".into(),
        }],
        ..Outgoing::new(
            Target::Direct(bob.address.clone()),
            Content::Message(Message::text(text)),
            Protocol::Xmpp,
        )
    };
    let first = alice.sends(out("hi")).await.unwrap();
    let again = alice.sends(out("hi")).await.unwrap();
    assert!(again.duplicate && again.id == first.id);
    let other = alice
        .sends(out("a client that counts its ids from one each time"))
        .await
        .unwrap();
    assert!(!other.duplicate && other.id != first.id);
    assert!(
        !bob.sends(Outgoing {
            to: Target::Direct(alice.address.clone()),
            ..out("hi")
        })
        .await
        .unwrap()
        .duplicate
    );
}

#[tokio::test]
async fn edits_belong_to_the_author_and_point_to_the_first_version() {
    let stage = stage();
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let first = alice.says(&bob, "helo").await.unwrap();
    let edit = |of| Outgoing {
        relation: Some(Relation {
            kind: RelationKind::Edit,
            target: Some(of),
            foreign: None,
        }),
        ..Outgoing::new(
            Target::Conversation(first.conversation),
            Content::Edit(Message::text("hello")),
            Protocol::Node,
        )
    };
    let second = alice.sends(edit(first.id)).await.unwrap();
    let third = alice.sends(edit(second.id)).await.unwrap();
    let seen = bob.sees(|a| a.event.id == third.id).await;
    assert_eq!(seen.event.target(), Some(first.id));
    assert_eq!(bob.sends(edit(first.id)).await, Err(Refusal::OtherAuthor));
    let carol = stage.person("carol").await;
    assert_eq!(carol.sends(edit(first.id)).await, Err(Refusal::NotFound));
}

#[tokio::test]
async fn nobody_writes_to_who_blocked_them_or_is_not_there() {
    let stage = stage();
    let (alice, bob) = (stage.person("alice").await, stage.person("bob").await);
    bob.blocks(&alice, true).await;
    assert_eq!(alice.says(&bob, "hi").await, Err(Refusal::Blocked));
    assert_eq!(bob.says(&alice, "hi").await, Err(Refusal::Blocked));
    bob.blocks(&alice, false).await;
    assert!(alice.says(&bob, "hi").await.is_ok());
    let nobody = Target::Direct(stage.address("nobody"));
    assert_eq!(alice.says_to(nobody, "hi").await, Err(Refusal::NotFound));
}

#[tokio::test]
async fn a_stranger_waits_until_accepted_and_gets_no_receipt_before() {
    let stage = Stage::with(Arc::new(MemoryStore::new()), |o| {
        o.requests_between_accounts = true;
        o.limits.request_messages = 2;
    });
    let (mut alice, bob) = (stage.person("alice").await, stage.person("bob").await);
    let first = alice.says(&bob, "hi").await.unwrap();
    alice.says(&bob, "it's me").await.unwrap();
    assert_eq!(alice.says(&bob, "hello?").await, Err(Refusal::TooMany));
    let seen = Outgoing {
        relation: Some(Relation {
            kind: RelationKind::Marker,
            target: Some(first.id),
            foreign: None,
        }),
        ..Outgoing::new(
            Target::Direct(alice.address.clone()),
            Content::Marker(MarkerKind::Displayed),
            Protocol::Node,
        )
    };
    assert_eq!(
        bob.sends(seen.clone()).await.unwrap().seq,
        Seq(0),
        "read, but alice is not told"
    );
    bob.says(&alice, "who?").await.unwrap();
    bob.sends(seen).await.unwrap();
    alice
        .sees(|a| matches!(a.event.content, Content::Marker(_)))
        .await;
    alice.says(&bob, "alice").await.unwrap();
}

#[tokio::test]
async fn presence_reaches_those_who_may_see_it() {
    let stage = stage();
    let (alice, mut bob, mut carol) = (
        stage.person("alice").await,
        stage.person("bob").await,
        stage.person("carol").await,
    );
    bob.asks(&alice).await;
    alice.allows(&bob).await;
    bob.notices(
        |s| matches!(s, StateChange::Presence { account, .. } if *account == alice.address),
    )
    .await;
    alice.shows(Show::Away).await;
    bob.notices(
        |s| matches!(s, StateChange::Presence { presence, .. } if presence.show == Show::Away),
    )
    .await;
    carol.shows(Show::Away).await;
    let me = carol.address.clone();
    let strangers = |d: &Delivery| matches!(d, Delivery::State(s) if matches!(&**s, StateChange::Presence { account, .. } if *account != me));
    assert!(!carol.waiting().iter().any(strangers));
    alice.node.sign_out(&alice.signed_in.session).await.unwrap();
    bob.notices(
        |s| matches!(s, StateChange::Presence { presence, .. } if presence.show == Show::Offline),
    )
    .await;
}

#[tokio::test]
async fn a_slow_reader_costs_bounded_memory_and_reads_on_from_the_log() {
    let stage = stage();
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let n = EVENTS * 2 + 10;
    for i in 0..n {
        alice.says(&bob, &format!("{i}")).await.unwrap();
    }
    assert!(bob.signed_in.session.mailbox.len() <= EVENTS + 8);
    let mut heard = Vec::new();
    let mut note = |a: &sammen_core::live::Announced| {
        if let Content::Message(m) = &a.event.content {
            heard.push(m.text.clone());
        }
    };
    for delivery in bob.waiting() {
        match delivery {
            Delivery::Event(a) => note(&a),
            Delivery::Lagged { mut after, upto } => loop {
                let page = stage
                    .node
                    .changes(&bob.address, Vec::new(), after, upto, 100)
                    .await
                    .unwrap();
                let Some(last) = page.last() else { break };
                after = last.event.seq;
                page.iter().for_each(|a| note(a));
            },
            _ => {}
        }
    }
    assert_eq!(heard, (0..n).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_disk_refuses_and_goes_on_later_and_a_failed_one_stops_the_node() {
    let store = Arc::new(MemoryStore::new());
    let stage = Stage::on(store.clone());
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    alice.says(&bob, "one").await.unwrap();
    store.fail_next(StoreError::Full);
    assert_eq!(alice.says(&bob, "two").await, Err(Refusal::DiskFull));
    alice.says(&bob, "three").await.unwrap();
    bob.hears("three").await;
    store.fail_next(StoreError::Fatal("fsync".into()));
    assert_eq!(alice.says(&bob, "four").await, Err(Refusal::TryLater));
    assert_eq!(stage.node.failed().await, "fsync");
    assert_eq!(alice.says(&bob, "five").await, Err(Refusal::TryLater));
    let told = bob.waiting();
    assert!(told.iter().any(|d| matches!(d, Delivery::Closed(_))));
    assert!(!told.iter().any(|d| matches!(d, Delivery::Event(a) if a.event.content == Content::Message(Message::text("four")))));
}

#[tokio::test]
async fn plain_text_from_another_protocol_is_refused_once_a_conversation_turned_encrypted() {
    let stage = stage();
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let to = Target::Direct(bob.address.clone());
    let from = |protocol, content| Outgoing::new(to.clone(), content, protocol);
    let omemo = Content::Encrypted {
        scheme: "OMEMO".into(),
        fallback: None,
    };
    alice
        .sends(from(
            Protocol::Irc,
            Content::Message(Message::text("plain")),
        ))
        .await
        .unwrap();
    alice.sends(from(Protocol::Xmpp, omemo)).await.unwrap();
    let plain = || Content::Message(Message::text("oops"));
    assert!(matches!(
        alice.sends(from(Protocol::Irc, plain())).await,
        Err(Refusal::NotAcceptable(_))
    ));
    alice.sends(from(Protocol::Xmpp, plain())).await.unwrap();
    let (me, peer, origin) = (bob.address.clone(), alice.address.clone(), bob.origin());
    stage
        .node
        .write(move |tx| sammen_core::encryption::allow_plain(tx, &me, &peer, true, origin))
        .await
        .unwrap();
    let note = bob
        .sees(|a| matches!(&a.event.content, Content::Message(m) if m.text.contains("allowed")))
        .await;
    assert!(sammen_core::readers::readers(&note.convo).node);
    alice.sends(from(Protocol::Irc, plain())).await.unwrap();
}
