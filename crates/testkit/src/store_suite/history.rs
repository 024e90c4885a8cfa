//! Reading history: pages, anchors, merging, and what must not be seen.

use std::sync::Arc;

use sammen_core::event::{Acceptance, Content, MarkerKind};
use sammen_core::member::Interval;
use sammen_core::store::{HistoryQuery, Kinds, Store, Write};
use sammen_core::{ConversationId, Event, Pos, Seq};

use super::*;

/// Forwards from the start, backwards from the end; the page is in order of history either way.
pub fn pages_go_both_ways(store: &dyn Store) {
    tell(store, (1..=700).map(|n| says(n, 1, "x")).collect());
    let mut query = HistoryQuery {
        limit: 3,
        ..over(&[1])
    };
    let page = store.history(&query).unwrap();
    assert_eq!(
        page.events.iter().map(|e| e.seq.0).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(page.more);
    query.from_end = true;
    assert_eq!(seqs(store, &query), [698, 699, 700]);
    query.limit = 700;
    let whole = store.history(&query).unwrap();
    assert_eq!((whole.events.len(), whole.more), (700, false));
    query.limit = 0;
    let none = store.history(&query).unwrap();
    assert!(none.events.is_empty() && none.more);
    for (limit, from_end) in [(7, false), (7, true), (300, false), (300, true)] {
        assert_eq!(
            through(
                store,
                HistoryQuery {
                    limit,
                    from_end,
                    ..over(&[1])
                }
            ),
            (1..=700).collect::<Vec<_>>()
        );
    }
    assert_eq!(seqs(store, &over(&[2])), []);
    assert_eq!(seqs(store, &over(&[])), []);
}

/// Pages through everything that a query finds, in its direction; in order of history.
pub fn through(store: &dyn Store, mut query: HistoryQuery) -> Vec<u64> {
    let mut found: Vec<u64> = Vec::new();
    loop {
        let page = store.history(&query).unwrap();
        let seqs: Vec<u64> = page.events.iter().map(|e| e.seq.0).collect();
        assert!(seqs.len() <= query.limit);
        if query.from_end {
            found.splice(0..0, seqs);
            query.before = page.events.first().map(|e| anchor(e));
        } else {
            found.extend(seqs);
            query.after = page.events.last().map(|e| anchor(e));
        }
        if !page.more {
            return found;
        }
        assert!(
            !page.events.is_empty(),
            "more is promised and nothing comes"
        );
    }
}

/// Neither anchor is part of the page, and both bound it from either end.
pub fn anchors_are_exclusive(store: &dyn Store) {
    let events: Vec<Event> = (1..=20).map(|n| says(n, 1, "x")).collect();
    tell(store, events.clone());
    let between = HistoryQuery {
        after: Some(anchor(&events[4])),
        before: Some(anchor(&events[9])),
        ..over(&[1])
    };
    assert_eq!(seqs(store, &between), [6, 7, 8, 9]);
    let end = HistoryQuery {
        limit: 2,
        from_end: true,
        ..between.clone()
    };
    assert_eq!(seqs(store, &end), [8, 9]);
    assert!(store.history(&end).unwrap().more);
    let start = HistoryQuery {
        limit: 4,
        ..between.clone()
    };
    assert!(!store.history(&start).unwrap().more);
    let nothing = HistoryQuery {
        after: between.before,
        before: between.after,
        ..over(&[1])
    };
    assert_eq!(seqs(store, &nothing), []);
}

/// Over several conversations, time decides, then seq.
pub fn several_conversations_merge_by_time(store: &dyn Store) {
    // The second conversation is behind its time: seq alone would tell a wrong order.
    let mut events: Vec<Event> = (1..=40).map(|n| says(n, 1 + n % 2, "x")).collect();
    for event in &mut events {
        if event.conversation.0 == 2 {
            event.at = at(event.seq.0 as i64 / 2);
        }
    }
    let mut expected = events.clone();
    expected.sort_by_key(|e| (e.at, e.seq));
    let expected: Vec<u64> = expected.iter().map(|e| e.seq.0).collect();
    tell(store, events);
    assert_eq!(seqs(store, &over(&[1, 2])), expected);
    for (limit, from_end) in [(1, false), (1, true), (7, false), (7, true)] {
        assert_eq!(
            through(
                store,
                HistoryQuery {
                    limit,
                    from_end,
                    ..over(&[2, 1])
                }
            ),
            expected
        );
    }
    // An anchor of one conversation cuts the other too.
    let tenth = store.event(Seq(expected[10])).unwrap().unwrap();
    let after = HistoryQuery {
        after: Some(anchor(&tenth)),
        ..over(&[1, 2])
    };
    assert_eq!(seqs(store, &after), expected[11..]);
    let before = HistoryQuery {
        before: Some(anchor(&tenth)),
        ..over(&[1, 2])
    };
    assert_eq!(seqs(store, &before), expected[..10]);
}

/// Backfilled and late events, by place in one conversation and by time over several.
pub fn late_events_lie_where_they_belong(store: &dyn Store) {
    let late = |seq, after: i64, seconds| Event {
        pos: Pos(place(after).0 + seq as i64),
        at: at(seconds),
        historical: true,
        ..says(seq, 1, "late")
    };
    tell(store, (1..=5).map(|n| says(n, 1, "x")).collect());
    tell(store, vec![late(6, 2, 2), late(7, 2, 4), late(8, -3, 0)]);
    tell(store, vec![says(9, 1, "on"), says(10, 2, "other")]);
    let one = [8, 1, 2, 6, 7, 3, 4, 5, 9];
    assert_eq!(seqs(store, &over(&[1])), one);
    let several = [8, 1, 2, 6, 3, 4, 7, 5, 9, 10];
    assert_eq!(seqs(store, &over(&[1, 2])), several);
    for (limit, from_end) in [(1, false), (1, true), (2, false), (2, true)] {
        assert_eq!(
            through(
                store,
                HistoryQuery {
                    limit,
                    from_end,
                    ..over(&[1])
                }
            ),
            one
        );
        assert_eq!(
            through(
                store,
                HistoryQuery {
                    limit,
                    from_end,
                    ..over(&[1, 2])
                }
            ),
            several
        );
    }
    // By time, an event that lies before its neighbours in place is found all the same.
    let timed = HistoryQuery {
        from: Some(at(4)),
        until: Some(at(5)),
        ..over(&[1])
    };
    assert_eq!(seqs(store, &timed), [7, 4, 5]);
    assert_eq!(
        seqs(
            store,
            &HistoryQuery {
                from_end: true,
                limit: 2,
                ..timed
            }
        ),
        [4, 5]
    );
}

/// Membership opens and closes history; `to` is the first place no longer seen.
pub fn only_the_stretches_are_seen(store: &dyn Store) {
    tell(store, (1..=600).map(|n| says(n, 1, "x")).collect());
    let late = Event {
        pos: Pos(place(5).0 + 1),
        at: at(5),
        ..says(601, 1, "late")
    };
    tell(store, vec![late]);
    let stretch = |from: i64, to: Option<i64>| Interval {
        from: place(from),
        to: to.map(place),
    };
    let seen = |stretches: Vec<Interval>| HistoryQuery {
        sources: vec![(ConversationId(1), stretches)],
        limit: 1000,
        ..over(&[])
    };
    assert_eq!(seqs(store, &seen(vec![])), []);
    assert_eq!(
        seqs(store, &seen(vec![stretch(3, Some(6))])),
        [3, 4, 5, 601]
    );
    let two = seen(vec![
        stretch(3, Some(4)),
        stretch(590, Some(592)),
        stretch(599, None),
    ]);
    assert_eq!(seqs(store, &two), [3, 590, 591, 599, 600]);
    assert_eq!(store.count(&two).unwrap(), 5);
    let end = HistoryQuery {
        from_end: true,
        limit: 3,
        ..two.clone()
    };
    assert_eq!(seqs(store, &end), [591, 599, 600]);
    assert!(store.history(&end).unwrap().more);
    assert!(
        !store
            .history(&HistoryQuery { limit: 5, ..two })
            .unwrap()
            .more
    );
    assert_eq!(seqs(store, &seen(vec![stretch(601, None)])), []);
}

/// A private message inside a room is for those it names and its author.
pub fn audiences_are_kept(store: &dyn Store) {
    let carol = who("carol@example.org");
    let private = Event {
        audience: Some(vec![bob()]),
        ..says(2, 1, "psst")
    };
    tell(store, vec![says(1, 1, "a"), private, says(3, 1, "c")]);
    let by = |reader: Option<Address>| HistoryQuery {
        reader,
        ..over(&[1])
    };
    assert_eq!(seqs(store, &by(Some(alice()))), [1, 2, 3]);
    assert_eq!(seqs(store, &by(Some(bob()))), [1, 2, 3]);
    for outsider in [Some(carol), None] {
        let query = by(outsider);
        assert_eq!(seqs(store, &query), [1, 3]);
        assert_eq!(store.count(&query).unwrap(), 2);
        let page = store.history(&HistoryQuery { limit: 2, ..query }).unwrap();
        assert!(!page.more, "nothing tells of what is hidden");
    }
}

/// What a home elsewhere has not accepted.
pub fn pending_is_for_its_author_refused_for_nobody(store: &dyn Store) {
    let with = |seq, acceptance| Event {
        acceptance,
        ..says(seq, 1, "x")
    };
    tell(
        store,
        vec![
            with(1, Acceptance::Accepted),
            with(2, Acceptance::Pending),
            with(3, Acceptance::SoftFailed),
            with(4, Acceptance::Rejected),
            with(5, Acceptance::Outlier),
        ],
    );
    assert_eq!(seqs(store, &over(&[1])), [1, 2]);
    assert_eq!(
        seqs(
            store,
            &HistoryQuery {
                reader: Some(bob()),
                ..over(&[1])
            }
        ),
        [1]
    );
    assert_eq!(
        seqs(
            store,
            &HistoryQuery {
                reader: None,
                ..over(&[1])
            }
        ),
        [1]
    );
    commit(
        store,
        vec![
            Write::Accept {
                seq: Seq(2),
                acceptance: Acceptance::Rejected,
                pos: place(2),
            },
            Write::Accept {
                seq: Seq(4),
                acceptance: Acceptance::Accepted,
                pos: place(4),
            },
            Write::Accept {
                seq: Seq(99),
                acceptance: Acceptance::Accepted,
                pos: place(4),
            },
        ],
    );
    assert_eq!(seqs(store, &over(&[1])), [1, 4]);
}

/// The home decides about the place too.
pub fn an_accepted_event_moves_to_its_place(store: &dyn Store) {
    let pending = |seq| Event {
        acceptance: Acceptance::Pending,
        ..says(seq, 1, "x")
    };
    let outlier = Event {
        acceptance: Acceptance::Outlier,
        pos: place(900),
        ..says(5, 1, "o")
    };
    tell(
        store,
        vec![
            says(1, 1, "a"),
            pending(2),
            says(3, 1, "c"),
            pending(4),
            outlier,
        ],
    );
    let accept = |seq, pos| Write::Accept {
        seq: Seq(seq),
        acceptance: Acceptance::Accepted,
        pos,
    };
    commit(
        store,
        vec![
            accept(2, place(8)),
            accept(5, Pos(place(1).0 + 1)),
            accept(4, place(4)),
        ],
    );
    tell(
        store,
        vec![Event {
            pos: place(9),
            ..says(6, 1, "on")
        }],
    );
    assert_eq!(seqs(store, &over(&[1])), [1, 5, 3, 4, 2, 6]);
    assert_eq!(
        through(
            store,
            HistoryQuery {
                limit: 1,
                from_end: true,
                ..over(&[1])
            }
        ),
        [1, 5, 3, 4, 2, 6]
    );
    assert_eq!(store.event(Seq(2)).unwrap().unwrap().pos, place(8));
    let tail = store.tail(ConversationId(1)).unwrap();
    assert_eq!((tail.last_pos, tail.last_at), (Some(place(9)), at(6)));
    let found = store
        .changes(&[ConversationId(1)], Seq(1), Seq(9), 9)
        .unwrap();
    assert_eq!(
        found.iter().map(|e| e.seq.0).collect::<Vec<_>>(),
        [2, 3, 4, 5, 6]
    );
}

/// The other conditions of a reading, together with an end.
pub fn times_authors_and_kinds_narrow(store: &dyn Store) {
    let events = (1..=300)
        .map(|n| Event {
            author: if n % 3 == 0 { bob() } else { alice() },
            content: if n % 5 == 0 {
                Content::Marker(MarkerKind::Displayed)
            } else {
                Content::Message(Message::text("x"))
            },
            ..says(n, 1 + n % 2, "")
        })
        .collect();
    tell(store, events);
    let expect = |test: &dyn Fn(u64) -> bool| (1..=300).filter(|n| test(*n)).collect::<Vec<u64>>();
    let all = |conversations: &[u64]| HistoryQuery {
        limit: 400,
        ..over(conversations)
    };
    let timed = HistoryQuery {
        from: Some(at(100)),
        until: Some(at(110)),
        ..all(&[1, 2])
    };
    assert_eq!(seqs(store, &timed), expect(&|n| (100..=110).contains(&n)));
    let timed_one = HistoryQuery {
        sources: all(&[2]).sources,
        ..timed.clone()
    };
    assert_eq!(
        seqs(store, &timed_one),
        expect(&|n| (100..=110).contains(&n) && n % 2 == 1)
    );
    assert_eq!(
        seqs(
            store,
            &HistoryQuery {
                from_end: true,
                limit: 2,
                ..timed.clone()
            }
        ),
        [109, 110]
    );
    assert_eq!(
        seqs(
            store,
            &HistoryQuery {
                from: Some(at(301)),
                ..all(&[1])
            }
        ),
        []
    );
    assert_eq!(
        seqs(
            store,
            &HistoryQuery {
                until: Some(at(0)),
                ..all(&[1])
            }
        ),
        []
    );
    let bobs = HistoryQuery {
        author: Some(bob()),
        ..all(&[1, 2])
    };
    assert_eq!(seqs(store, &bobs), expect(&|n| n % 3 == 0));
    let nobodys = HistoryQuery {
        author: Some(who("carol@example.org")),
        ..all(&[1, 2])
    };
    assert_eq!(seqs(store, &nobodys), []);
    let speech = HistoryQuery {
        kinds: Kinds::Speech,
        ..all(&[1, 2])
    };
    assert_eq!(seqs(store, &speech), expect(&|n| n % 5 != 0));
    // What is erased stays of the kind that it was.
    commit(
        store,
        vec![
            Write::Erase {
                seq: Seq(5),
                tombstone: tombstone(),
            },
            Write::Erase {
                seq: Seq(6),
                tombstone: tombstone(),
            },
        ],
    );
    assert_eq!(seqs(store, &speech), expect(&|n| n % 5 != 0));
}

/// A count is what reading everything would find.
pub fn counts_agree_with_pages(store: &dyn Store) {
    let events: Vec<Event> = (1..=500).map(|n| says(n, 1 + n % 4, "x")).collect();
    tell(store, events.clone());
    for query in [
        over(&[1]),
        over(&[1, 2, 3, 4]),
        over(&[2, 3]),
        HistoryQuery {
            after: Some(anchor(&events[250])),
            ..over(&[3])
        },
        HistoryQuery {
            before: Some(anchor(&events[250])),
            from_end: true,
            ..over(&[3, 1])
        },
        HistoryQuery {
            from: Some(at(77)),
            ..over(&[1])
        },
    ] {
        let all = HistoryQuery {
            limit: usize::MAX,
            ..query.clone()
        };
        let found = seqs(store, &all);
        assert_eq!(store.count(&all).unwrap(), found.len() as u64);
        for limit in [0, 1, 7] {
            let up_to = HistoryQuery {
                limit,
                ..all.clone()
            };
            let most = found.len().min(limit) as u64;
            assert_eq!(store.count(&up_to).unwrap(), most, "up to the limit");
        }
        // A page by its number: what lies before it, in the direction of reading, is passed over.
        for skip in [0, 1, 60, found.len(), found.len() + 1] {
            let page = HistoryQuery {
                skip,
                limit: 5,
                ..query.clone()
            };
            let (left, right) = (found.len().saturating_sub(skip), skip.min(found.len()));
            let expected = if query.from_end {
                &found[left.saturating_sub(5)..left]
            } else {
                &found[right..(right + 5).min(found.len())]
            };
            assert_eq!(seqs(store, &page), expected, "skip {skip}");
            assert_eq!(store.history(&page).unwrap().more, left > 5);
        }
    }
}

/// An account with many direct conversations pages through its whole archive, each event once.
pub fn three_hundred_conversations_page_through(store: &dyn Store) {
    let conversations: Vec<u64> = (1..=300).collect();
    let events: Vec<Event> = (1..=2400)
        .map(|n| says(n, 1 + (n * 7919) % 300, "x"))
        .collect();
    tell(store, events);
    let rooms: Vec<Write> = conversations
        .iter()
        .map(|c| Write::Conversation(Arc::new(room(*c))))
        .collect();
    commit(store, rooms);
    for from_end in [false, true] {
        let query = HistoryQuery {
            limit: 50,
            from_end,
            ..over(&conversations)
        };
        assert_eq!(through(store, query), (1..=2400).collect::<Vec<_>>());
    }
}
