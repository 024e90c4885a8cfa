//! What is taken back is gone, with its edits; so is what retention ends and what a removed account wrote.

use std::sync::Arc;

use sammen_core::document::Owner;
use sammen_core::event::{Attachment, Native, Relation, RelationKind};
use sammen_core::history::Scope;
use sammen_core::memory::MemoryStore;
use sammen_core::ops::send::{Outgoing, Target};
use sammen_core::ops::{accounts, files};
use sammen_core::store::Write;
use sammen_core::tx::{Expect, Tx};
use sammen_core::upkeep::Retention;
use sammen_core::{Content, Event, Message, Protocol, Refusal, Sent, Seq};

use sammen_testkit::{Person, Stage};

use crate::stage;

fn is_gone(event: &Event) -> bool {
    matches!(event.content, Content::Erased { .. }) && event.native.is_none()
}

#[tokio::test]
async fn a_retraction_erases_the_message_and_its_edits() {
    let stage = stage();
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let first = alice.says(&bob, "secret").await.unwrap();
    let about = |kind, content| Outgoing {
        relation: Some(Relation {
            kind,
            target: Some(first.id),
            foreign: None,
        }),
        ..Outgoing::new(
            Target::Conversation(first.conversation),
            content,
            Protocol::Node,
        )
    };
    alice
        .sends(about(
            RelationKind::Edit,
            Content::Edit(Message::text("secret!")),
        ))
        .await
        .unwrap();
    let retract = || {
        about(
            RelationKind::Retraction,
            Content::Retraction { reason: None },
        )
    };
    assert_eq!(bob.sends(retract()).await, Err(Refusal::OtherAuthor));
    alice.sends(retract()).await.unwrap();
    let seen = bob
        .sees(|a| matches!(a.event.content, Content::Retraction { .. }))
        .await;
    assert_eq!(seen.about.as_ref().map(|e| e.id), Some(first.id));
    let page = stage
        .node
        .history(stage.node.query(&bob.address, &Scope::Direct, 10).unwrap())
        .await
        .unwrap();
    assert_eq!(page.events.iter().filter(|e| is_gone(e)).count(), 2);
    assert!(!format!("{:?}", page.events).contains("secret"));
}

/// A file of somebody's, by its slot.
async fn uploads(stage: &Stage, who: &Person, slot: &str) {
    let mut writer = stage.node.store().blob_writer(100).unwrap();
    writer.write(slot.as_bytes()).unwrap();
    let (id, _) = writer.finish().unwrap();
    let (owner, slot) = (who.address.clone(), slot.to_owned());
    let kept = stage.node.write(move |tx| {
        let name = Some("a name".into());
        tx.put_document(&(&owner).into(), files::NAMES, &slot, Expect::Absent, name)?;
        tx.write(Write::BlobRef {
            id,
            owner,
            slot,
            at: tx.now,
            remove: false,
        });
        Ok(())
    });
    kept.await.unwrap();
}

fn link(slot: &str) -> String {
    format!("https://example.org/upload/{slot}/a.png")
}

fn takes_back(sent: Sent) -> Outgoing {
    let content = Content::Retraction { reason: None };
    Outgoing {
        relation: Some(Relation {
            kind: RelationKind::Retraction,
            target: Some(sent.id),
            foreign: None,
        }),
        ..Outgoing::new(
            Target::Conversation(sent.conversation),
            content,
            Protocol::Node,
        )
    }
}

#[tokio::test]
async fn a_file_goes_with_the_last_message_that_refers_to_it() {
    let stage = stage();
    let (alice, bob) = (stage.person("alice").await, stage.person("bob").await);
    let to = |who: &Person| Target::Direct(who.address.clone());
    let shows = |who: &Person, slot: &str| {
        let mut message = Message::text("look");
        message.attachments.push(Attachment {
            url: link(slot),
            name: None,
            media_type: None,
            size: None,
        });
        Outgoing::new(to(who), Content::Message(message), Protocol::Node)
    };
    let there = |slot: &str| stage.node.store().blob_by_slot(slot).unwrap().is_some();
    let notes = || {
        let notes = stage.node.store();
        let owner = (&alice.address).into();
        let left = |namespace| notes.count_documents(&owner, namespace).unwrap().documents;
        (left("file-notes"), left(files::NAMES))
    };

    // Shown twice, once as a file and once as an address in a text.
    let slot = "0123456789abcdef0123456789abcdef";
    uploads(&stage, &alice, slot).await;
    let first = alice.sends(shows(&bob, slot)).await.unwrap();
    let again = alice.says(&bob, &format!("see {} there", link(slot))).await;
    alice.sends(takes_back(first)).await.unwrap();
    assert!(there(slot), "another message refers to it");
    alice.sends(takes_back(again.unwrap())).await.unwrap();
    assert!(!there(slot));
    assert_eq!(notes(), (0, 0));

    // Bob hands it on: it stays for as long as he says so, and then goes since Alice took hers back.
    let slot = "1123456789abcdef0123456789abcdef";
    uploads(&stage, &alice, slot).await;
    let first = alice.sends(shows(&bob, slot)).await.unwrap();
    let his = bob.sends(shows(&alice, slot)).await.unwrap();
    alice.sends(takes_back(first)).await.unwrap();
    assert!(there(slot));
    bob.sends(takes_back(his)).await.unwrap();
    assert!(!there(slot));

    // What Bob says of a file and takes back again is not the end of it.
    let slot = "2123456789abcdef0123456789abcdef";
    uploads(&stage, &alice, slot).await;
    let his = bob.sends(shows(&alice, slot)).await.unwrap();
    bob.sends(takes_back(his)).await.unwrap();
    assert!(
        there(slot),
        "Alice may have shown it where the node can't read"
    );
    // Nor is what only an app's own form says.
    let mut out = shows(&bob, "3123456789abcdef0123456789abcdef");
    out.native = Some(Native {
        protocol: Protocol::Node,
        bytes: format!("<img src='{}'/>", link(slot)).into(),
        id: None,
        kind: None,
    });
    let inside = alice.sends(out).await.unwrap();
    alice.sends(takes_back(inside)).await.unwrap();
    assert!(there(slot));
    assert_eq!(notes(), (0, 1));

    // An edit that shows it goes with its message; so does what retention ends.
    let first = alice.says(&bob, "nothing").await.unwrap();
    let edit = shows(&bob, slot);
    let Content::Message(message) = edit.content else {
        unreachable!()
    };
    let edit = Outgoing {
        relation: Some(Relation {
            kind: RelationKind::Edit,
            target: Some(first.id),
            foreign: None,
        }),
        ..Outgoing::new(to(&bob), Content::Edit(message), Protocol::Node)
    };
    alice.sends(edit).await.unwrap();
    alice.sends(takes_back(first)).await.unwrap();
    assert!(!there(slot));
    let slot = "4123456789abcdef0123456789abcdef";
    uploads(&stage, &alice, slot).await;
    alice.sends(shows(&bob, slot)).await.unwrap();
    stage.clock.advance_ms(3 * 86_400_000);
    let days = Retention { days: Some(2) };
    stage.node.apply_retention(days).await.unwrap();
    assert!(!there(slot));
    assert_eq!(notes(), (0, 0));
}

#[tokio::test]
async fn retention_erases_what_is_old_and_leaves_the_rest() {
    let stage = stage();
    let (alice, bob) = (stage.person("alice").await, stage.person("bob").await);
    alice.says(&bob, "old").await.unwrap();
    stage.clock.advance_ms(3 * 86_400_000);
    alice.says(&bob, "new").await.unwrap();
    assert_eq!(
        stage
            .node
            .apply_retention(Retention { days: Some(2) })
            .await,
        Ok(1)
    );
    let page = stage
        .node
        .history(stage.node.query(&bob.address, &Scope::Direct, 10).unwrap())
        .await
        .unwrap();
    assert_eq!(
        page.events.iter().map(|e| is_gone(e)).collect::<Vec<_>>(),
        [true, false]
    );
}

#[tokio::test]
async fn a_documents_tombstone_stands_for_thirty_days() {
    let stage = stage();
    let alice = stage.person("alice").await;
    let owner = Owner::from(&alice.address);
    let put = async |key: &'static str, value: Option<&'static str>| {
        let (owner, value) = (owner.clone(), value.map(|v| v.as_bytes().into()));
        let put = move |tx: &mut Tx<'_>| tx.put_document(&owner, "n", key, Expect::Anything, value);
        stage.node.write(put).await.unwrap()
    };
    let since = |seq| {
        let store = stage.node.store();
        let found = store.documents_since(&owner, "n", seq, 9).unwrap();
        found.map(|found| found.into_iter().map(|d| d.key).collect::<Vec<_>>())
    };
    put("kept", Some("v")).await;
    let before = put("gone", Some("v")).await;
    put("gone", None).await;
    for _ in 0..30 {
        assert_eq!(stage.node.forget_tombstones().await, Ok(0));
        stage.clock.advance_ms(86_400_000);
    }
    assert_eq!(since(before), Some(vec!["gone".to_owned()]));
    let after = put("late", None).await;
    assert_eq!(stage.node.forget_tombstones().await, Ok(1));
    assert_eq!(since(before), None, "whoever knew it reads anew");
    assert_eq!(since(after), Some(vec![]));
    assert_eq!(
        since(Seq(0)),
        Some(vec!["kept".to_owned(), "late".to_owned()])
    );
}

#[tokio::test]
async fn a_removed_account_leaves_tombstones_and_its_name_stays_taken() {
    let stage = stage();
    let (alice, bob) = (stage.person("alice").await, stage.person("bob").await);
    for i in 0..600 {
        alice.says(&bob, &format!("secret {i}")).await.unwrap();
    }
    bob.says(&alice, "mine").await.unwrap();
    let gone = alice.address.clone();
    stage
        .node
        .write(move |tx| accounts::remove(tx, &gone))
        .await
        .unwrap();
    stage.node.finish_removals().await.unwrap();
    let page = stage
        .node
        .history(
            stage
                .node
                .query(&bob.address, &Scope::Direct, 1000)
                .unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(page.events.iter().filter(|e| is_gone(e)).count(), 600);
    assert_eq!(bob.says(&alice, "hello?").await, Err(Refusal::NotFound));
    let (domain, name) = (
        stage.domain.clone(),
        sammen_core::Name::new("alice").unwrap(),
    );
    let again = stage
        .node
        .write(move |tx| accounts::create(tx, &domain, &name, true))
        .await;
    assert_eq!(again.err(), Some(Refusal::Taken));
}

#[tokio::test]
async fn on_a_full_disk_nobody_writes_and_whoever_erases_signs_in_or_leaves_goes_on() {
    let store = Arc::new(MemoryStore::new());
    let stage = Stage::on(store.clone());
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let said = alice.says(&bob, "secret").await.unwrap();
    let retract = || Outgoing {
        relation: Some(Relation {
            kind: RelationKind::Retraction,
            target: Some(said.id),
            foreign: None,
        }),
        ..Outgoing::new(
            Target::Conversation(said.conversation),
            Content::Retraction { reason: None },
            Protocol::Node,
        )
    };
    store.fill(true);
    // All at once, so that they could share a batch.
    let (one, gone, two) = tokio::join!(
        bob.says(&alice, "no"),
        alice.sends(retract()),
        bob.says(&alice, "nor this"),
    );
    assert_eq!(one, Err(Refusal::DiskFull));
    assert_eq!(two, Err(Refusal::DiskFull));
    let gone = gone.unwrap();
    bob.sees(|a| a.event.seq == gone.seq).await;
    assert!(
        alice.sends(retract()).await.is_err(),
        "there is nothing left to erase"
    );
    let laptop = stage.signs_in(&bob.address, "laptop").await;
    assert!(laptop.signed_in.first);
    let page = laptop
        .node
        .history(stage.node.query(&bob.address, &Scope::Direct, 10).unwrap())
        .await
        .unwrap();
    assert!(is_gone(&page.events[0]));
    let session = laptop.signed_in.session.clone();
    stage.node.sign_out(&session).await.unwrap();
    assert_eq!(stage.node.live(|l| l.sessions_of(&bob.address).len()), 1);
    store.fill(false);
    bob.says(&alice, "here again").await.unwrap();
}
