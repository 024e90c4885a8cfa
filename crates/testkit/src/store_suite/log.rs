//! The log: what is written comes back, and is found by every name it has.

use std::sync::Arc;

use sammen_core::event::{
    Acceptance, Attachment, Content, ForeignId, MarkerKind, MembershipAction, MembershipChange,
    Message, MessageKind, Relation, RelationKind, RoomChange, Scheme,
};
use sammen_core::store::{Store, Tail, Write};
use sammen_core::{ConversationId, DeviceId, Event, EventId, Membership, Seq, Standing};

use super::*;

/// An empty store is at zero; numbers that were once used are never given again.
pub fn starts_empty_and_remembers_the_greatest_numbers(store: &dyn Store) {
    let start = store.start().unwrap();
    assert_eq!(
        (
            start.last_seq.0,
            start.last_conversation.0,
            start.last_device.0
        ),
        (0, 0, 0)
    );
    let account = sammen_core::Account::new(alice(), at(0));
    commit(store, vec![Write::Account(Arc::new(account))]);
    tell(store, vec![says(5, 3, "hi")]);
    commit(
        store,
        vec![Write::Device(Arc::new(shelf::device(9, &alice())))],
    );
    commit(
        store,
        vec![
            Write::RemoveDevice(DeviceId(9)),
            Write::Document {
                owner: (&alice()).into(),
                namespace: "n".into(),
                key: "k".into(),
                version: Seq(12),
                value: Some("v".into()),
            },
            Write::ForgetDocuments((&alice()).into()),
        ],
    );
    let later = store.start().unwrap();
    assert_eq!(
        (
            later.last_seq.0,
            later.last_conversation.0,
            later.last_device.0
        ),
        (12, 3, 9)
    );
    assert_eq!(later.epoch, start.epoch);
}

/// By seq and by id.
pub fn an_event_comes_back_as_it_was_written(store: &dyn Store) {
    let event = Event {
        nick: Some("Al".into()),
        device: Some(DeviceId(7)),
        audience: Some(vec![bob()]),
        historical: true,
        acceptance: Acceptance::Pending,
        relation: Some(Relation {
            kind: RelationKind::Reply,
            target: Some(EventId(42)),
            foreign: Some(ForeignId {
                scheme: Scheme::OriginId,
                id: "o-1".into(),
            }),
        }),
        content: Content::Message(Message {
            text: "hello".into(),
            html: Some("<b>hello</b>".into()),
            kind: MessageKind::Emote,
            attachments: vec![Attachment {
                url: "https://example.org/f".into(),
                name: None,
                media_type: Some("image/png".into()),
                size: Some(3),
            }],
            thread: Some("t".into()),
            subject: Some("s".into()),
            mentions: vec![bob()],
        }),
        native: Some(native(b"<body>\x00\xff</body>")),
        ..says(1, 1, "")
    };
    tell(store, vec![event.clone()]);
    assert_eq!(*store.event(Seq(1)).unwrap().unwrap(), event);
    assert_eq!(*store.event_by_id(event.id).unwrap().unwrap(), event);
    assert_eq!(store.event(Seq(2)).unwrap(), None);
    assert_eq!(store.event_by_id(EventId(event.id.0 ^ 1)).unwrap(), None);
}

/// One of each, so that a forgotten kind shows.
pub fn contents() -> Vec<Content> {
    vec![
        Content::Message(Message::text("m")),
        Content::Message(Message {
            kind: MessageKind::Notice,
            ..Message::text("")
        }),
        Content::Edit(Message {
            kind: MessageKind::Emote,
            ..Message::text("e")
        }),
        Content::Retraction { reason: None },
        Content::Retraction {
            reason: Some("spam".into()),
        },
        Content::Reaction {
            keys: vec!["👍".into(), "no".into()],
        },
        Content::Reaction { keys: vec![] },
        Content::Membership(MembershipChange {
            who: bob(),
            nick: Some("b".into()),
            membership: Membership::Joined,
            standing: Standing::Admin,
            action: MembershipAction::Joined,
            reason: Some("r".into()),
        }),
        Content::Room(RoomChange::Created),
        Content::Room(RoomChange::Topic("t".into())),
        Content::Room(RoomChange::Avatar(None)),
        Content::Room(RoomChange::Settings(vec!["moderated".into()])),
        Content::Room(RoomChange::Destroyed {
            reason: None,
            alternate: Some(bob()),
        }),
        Content::Encrypted {
            scheme: "OMEMO".into(),
            fallback: Some("f".into()),
        },
        Content::Marker(MarkerKind::Received),
        Content::Marker(MarkerKind::Displayed),
        Content::Other { fallback: None },
        Content::Other {
            fallback: Some("x".into()),
        },
        tombstone(),
        Content::Erased {
            by: None,
            at: at(1),
        },
    ]
}

/// Whatever an event can say.
pub fn every_kind_of_content_comes_back(store: &dyn Store) {
    // Newer than the first version's golden file.
    let renamed = Content::Room(RoomChange::Renamed {
        from: who("#town@example.org"),
        to: who("#village@example.org"),
        reason: Some("it grew smaller".into()),
    });
    let events: Vec<Event> = (1..)
        .zip(contents().into_iter().chain([renamed]))
        .map(|(seq, content)| Event {
            content,
            ..says(seq, 1, "")
        })
        .collect();
    tell(store, events.clone());
    for event in events {
        assert_eq!(*store.event(event.seq).unwrap().unwrap(), event);
    }
}

/// What is wrong with one write is wrong with all.
pub fn a_batch_is_written_whole_or_not_at_all(store: &dyn Store) {
    tell(store, vec![says(1, 1, "one")]);
    let missing = sammen_core::blob::BlobId::of(b"never written");
    let refused = store.commit(&[
        Write::Event(Arc::new(says(2, 1, "two"))),
        alias(1, alice(), "two", 2),
        Write::BlobRef {
            id: missing,
            owner: alice(),
            slot: String::new(),
            at: at(0),
            remove: false,
        },
    ]);
    assert!(refused.is_err());
    assert_eq!(store.event(Seq(2)).unwrap(), None);
    assert_eq!(
        store
            .alias(ConversationId(1), Scheme::XmppId, None, "two")
            .unwrap(),
        None
    );
    assert_eq!(
        store.tail(ConversationId(1)).unwrap().last_pos,
        Some(place(1))
    );
    assert_eq!(store.start().unwrap().last_seq, Seq(1));
    // And the same seq is free for the next batch.
    tell(store, vec![says(2, 1, "two again")]);
    assert_eq!(seqs(store, &over(&[1])), [1, 2]);
}

/// An id used again leads to the newer event; others' ids stay apart.
pub fn the_latest_alias_wins(store: &dyn Store) {
    tell(store, (1..=4).map(|n| says(n, 1 + n / 4, "x")).collect());
    let get = |conversation: u64, scheme, author: Option<&Address>, id: &str| {
        let hit = store
            .alias(ConversationId(conversation), scheme, author, id)
            .unwrap();
        hit.map(|h| (h.seq.0, h.author))
    };
    commit(
        store,
        vec![
            alias(1, alice(), "a", 1),
            alias(1, bob(), "a", 2),
            alias(2, alice(), "a", 4),
        ],
    );
    let xmpp = Scheme::XmppId;
    assert_eq!(get(1, xmpp, Some(&alice()), "a"), Some((1, alice())));
    assert_eq!(get(1, xmpp, Some(&bob()), "a"), Some((2, bob())));
    assert_eq!(get(1, xmpp, None, "a"), Some((2, bob())));
    commit(store, vec![alias(1, alice(), "a", 3)]);
    assert_eq!(get(1, xmpp, Some(&alice()), "a"), Some((3, alice())));
    assert_eq!(get(1, xmpp, None, "a"), Some((3, alice())));
    assert_eq!(get(2, xmpp, None, "a"), Some((4, alice())));
    assert_eq!(get(1, Scheme::OriginId, None, "a"), None);
    assert_eq!(get(1, xmpp, None, "A"), None);
    assert_eq!(get(1, xmpp, Some(&who("carol@example.org")), "a"), None);
}

/// A relation waits for its target, by any author.
pub fn what_waits_is_found_until_it_is_resolved(store: &dyn Store) {
    tell(
        store,
        vec![reacts(1, 1, None), reacts(2, 1, None), reacts(3, 1, None)],
    );
    let wait = |seq: u64, id: &str| Write::Waiting {
        conversation: ConversationId(1),
        scheme: Scheme::OriginId,
        foreign: id.into(),
        seq: Seq(seq),
    };
    let waiting = |id: &str| {
        store
            .waiting(ConversationId(1), Scheme::OriginId, id)
            .unwrap()
    };
    assert!(!store.tail(ConversationId(1)).unwrap().waiting);
    commit(
        store,
        vec![wait(2, "x"), wait(1, "x"), wait(3, "y"), wait(1, "x")],
    );
    assert!(store.tail(ConversationId(1)).unwrap().waiting);
    assert_eq!(waiting("x"), [Seq(1), Seq(2)]);
    assert_eq!(
        store
            .waiting(ConversationId(2), Scheme::OriginId, "x")
            .unwrap(),
        []
    );
    let target = EventId(77);
    commit(
        store,
        vec![Write::Resolve {
            seq: Seq(1),
            target,
        }],
    );
    assert_eq!(waiting("x"), [Seq(2)]);
    assert_eq!(store.event(Seq(1)).unwrap().unwrap().target(), Some(target));
    let related = store.relations(target, 9).unwrap();
    assert_eq!(related.iter().map(|e| e.seq.0).collect::<Vec<_>>(), [1]);
    commit(
        store,
        vec![
            Write::Resolve {
                seq: Seq(2),
                target,
            },
            Write::Erase {
                seq: Seq(3),
                tombstone: tombstone(),
            },
        ],
    );
    assert_eq!(waiting("y"), []);
    assert!(!store.tail(ConversationId(1)).unwrap().waiting);
}

/// Edits, reactions and replies of an event.
pub fn relations_come_oldest_first(store: &dyn Store) {
    let first = says(1, 1, "first");
    let target = Some(first.id);
    tell(
        store,
        vec![
            first.clone(),
            reacts(2, 1, target),
            reacts(3, 1, Some(EventId(9))),
            reacts(4, 1, target),
            reacts(5, 1, None),
        ],
    );
    let related = |limit| -> Vec<u64> {
        store
            .relations(first.id, limit)
            .unwrap()
            .iter()
            .map(|e| e.seq.0)
            .collect()
    };
    assert_eq!(related(9), [2, 4]);
    assert_eq!(related(1), [2]);
    commit(
        store,
        vec![Write::Erase {
            seq: Seq(2),
            tombstone: tombstone(),
        }],
    );
    assert_eq!(related(9), [4]);
    assert!(store.relations(EventId(0), 9).unwrap().is_empty());
}

/// Content, native form and relation go, the envelope stays.
pub fn erasing_leaves_the_envelope_and_a_tombstone(store: &dyn Store) {
    let event = Event {
        nick: Some("Al".into()),
        audience: Some(vec![bob()]),
        native: Some(native(b"<body>secret</body>")),
        relation: Some(Relation {
            kind: RelationKind::Reply,
            target: Some(EventId(4)),
            foreign: None,
        }),
        ..says(1, 1, "secret")
    };
    tell(store, vec![event.clone(), says(2, 1, "b")]);
    commit(
        store,
        vec![Write::Erase {
            seq: Seq(1),
            tombstone: tombstone(),
        }],
    );
    let erased = Event {
        content: tombstone(),
        native: None,
        relation: None,
        ..event
    };
    assert_eq!(*store.event(Seq(1)).unwrap().unwrap(), erased);
    assert_eq!(seqs(store, &over(&[1])), [1, 2]);
    // Again, and for what isn't there: no harm.
    let by_time = Content::Erased {
        by: None,
        at: at(5),
    };
    commit(
        store,
        vec![
            Write::Erase {
                seq: Seq(1),
                tombstone: by_time.clone(),
            },
            Write::Erase {
                seq: Seq(99),
                tombstone: by_time.clone(),
            },
        ],
    );
    assert_eq!(store.event(Seq(1)).unwrap().unwrap().content, by_time);
    assert_eq!(store.event(Seq(99)).unwrap(), None);
}

/// What a writer must know to append.
pub fn the_tail_counts_all_but_outliers(store: &dyn Store) {
    assert_eq!(store.tail(ConversationId(1)).unwrap(), Tail::default());
    let outlier = Event {
        acceptance: Acceptance::Outlier,
        pos: place(99),
        ..says(3, 1, "o")
    };
    let rejected = Event {
        acceptance: Acceptance::Rejected,
        ..says(4, 1, "r")
    };
    let backfilled = Event {
        pos: place(-5),
        at: at(-9),
        historical: true,
        ..says(5, 1, "b")
    };
    tell(
        store,
        vec![
            says(1, 1, "a"),
            says(2, 2, "elsewhere"),
            outlier,
            rejected,
            backfilled,
        ],
    );
    let tail = store.tail(ConversationId(1)).unwrap();
    assert_eq!(
        (tail.first_pos, tail.last_pos),
        (Some(place(-5)), Some(place(4)))
    );
    assert_eq!((tail.last_at, tail.last_seq), (at(4), Seq(5)));
}

/// What a device that was away must hear.
pub fn changes_come_in_seq_order_without_history_and_refused_ones(store: &dyn Store) {
    let mut events: Vec<Event> = (1..=60).map(|n| says(n, 1 + n % 3, "x")).collect();
    for event in &mut events {
        event.acceptance = match event.seq.0 {
            10 => Acceptance::Pending,
            11 => Acceptance::Rejected,
            12 => Acceptance::SoftFailed,
            13 => Acceptance::Outlier,
            _ => Acceptance::Accepted,
        };
        event.historical = event.seq.0 == 14;
        if event.seq.0 == 15 {
            event.pos = Pos(place(3).0 + 1);
        }
    }
    tell(store, events);
    let changes = |ids: &[u64], after: u64, upto: u64, limit: usize| -> Vec<u64> {
        let ids: Vec<_> = ids.iter().map(|i| ConversationId(*i)).collect();
        let found = store.changes(&ids, Seq(after), Seq(upto), limit).unwrap();
        found.iter().map(|e| e.seq.0).collect()
    };
    // 1, 4, 7 … lie in the second, 2, 5, 8 … in the third, 3, 6, 9 … in the first.
    assert_eq!(changes(&[1, 2, 3], 8, 16, 99), [9, 10, 15, 16]);
    assert_eq!(changes(&[1, 2, 3], 8, 60, 5), [9, 10, 15, 16, 17]);
    assert_eq!(changes(&[1], 8, 60, 3), [9, 15, 18]);
    assert_eq!(changes(&[1], 8, u64::MAX, 99).len(), 17);
    assert_eq!(changes(&[3, 1], 55, 60, 99), [56, 57, 59, 60]);
    assert_eq!(changes(&[4], 0, 60, 9), []);
    assert_eq!(changes(&[1], 60, 60, 9), []);
}

/// Old events of a conversation, in order of time, erased ones not again.
pub fn retention_finds_what_is_old(store: &dyn Store) {
    let late = Event {
        at: at(2),
        pos: Pos(place(2).0 + 1),
        ..says(6, 1, "late")
    };
    tell(
        store,
        vec![
            says(1, 1, "a"),
            says(2, 2, "b"),
            says(3, 1, "c"),
            says(4, 1, "d"),
            late,
        ],
    );
    let old = |seconds, limit| -> Vec<u64> {
        let found = store
            .older_than(ConversationId(1), at(seconds), limit)
            .unwrap();
        found.iter().map(|s| s.0).collect()
    };
    assert_eq!(old(4, 9), [1, 6, 3]);
    assert_eq!(old(4, 2), [1, 6]);
    commit(
        store,
        vec![Write::Erase {
            seq: Seq(1),
            tombstone: tombstone(),
        }],
    );
    assert_eq!(old(4, 9), [6, 3]);
    assert_eq!(old(1, 9), []);
    assert_eq!(old(9, 9), [6, 3, 4]);
}

/// For an account's removal.
pub fn an_authors_events_are_found(store: &dyn Store) {
    let by_bob = |seq| Event {
        author: bob(),
        ..says(seq, 1 + seq % 2, "x")
    };
    tell(
        store,
        vec![
            says(1, 1, "a"),
            by_bob(2),
            by_bob(3),
            says(4, 1, "d"),
            by_bob(5),
        ],
    );
    commit(
        store,
        vec![Write::Erase {
            seq: Seq(3),
            tombstone: tombstone(),
        }],
    );
    let written = |author: &Address, after, limit| -> Vec<u64> {
        let found = store.written_by(author, Seq(after), limit).unwrap();
        found.iter().map(|s| s.0).collect()
    };
    assert_eq!(written(&bob(), 0, 9), [2, 5]);
    assert_eq!(written(&bob(), 2, 9), [5]);
    assert_eq!(written(&alice(), 0, 1), [1]);
    assert_eq!(written(&who("carol@example.org"), 0, 9), []);
}
