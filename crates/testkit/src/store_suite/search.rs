//! Search: exact whether or not the index has caught up.

use sammen_core::member::Interval;
use sammen_core::store::{HistoryQuery, Store, Write};
use sammen_core::{ConversationId, Event, Seq};

use super::*;

fn search(conversations: &[u64], text: &str) -> HistoryQuery {
    HistoryQuery {
        text: Some(text.into()),
        ..over(conversations)
    }
}

/// Indexes all there is.
pub fn catch_up(store: &dyn Store) {
    while store.index(2).unwrap() > 0 {}
}

/// The same answers before, in the middle of and after indexing.
pub fn words_are_found_before_and_after_indexing(store: &dyn Store) {
    tell(
        store,
        vec![
            says(1, 1, "The meeting is at seven"),
            says(2, 1, "which meeting?"),
            says(3, 2, "Meeting-room, Köln"),
            says(4, 1, "no"),
        ],
    );
    let look = || {
        assert_eq!(seqs(store, &search(&[1], "meeting")), [1, 2]);
        assert_eq!(seqs(store, &search(&[1, 2], "MEET")), [1, 2, 3]);
        assert_eq!(seqs(store, &search(&[1, 2], "koln meeting")), [3]);
        assert_eq!(seqs(store, &search(&[1, 2], "meeting-room")), [3]);
        assert_eq!(seqs(store, &search(&[1, 2], "room-meeting")), []);
        assert_eq!(seqs(store, &search(&[1, 2], "\"AND NOT\" words:*")), []);
        assert_eq!(seqs(store, &search(&[1, 2], " ?! ")), []);
        assert_eq!(
            seqs(store, &search(&[1, 2], "c1")),
            [],
            "the index's own words are not a person's"
        );
        assert_eq!(store.count(&search(&[1, 2], "meeting")).unwrap(), 3);
    };
    look();
    store.index(2).unwrap();
    look();
    catch_up(store);
    assert_eq!(store.index(100).unwrap(), 0);
    look();
    tell(store, vec![says(5, 2, "meeting again")]);
    assert_eq!(seqs(store, &search(&[2], "meeting")), [3, 5]);
    let end = HistoryQuery {
        limit: 2,
        from_end: true,
        ..search(&[1, 2], "meeting")
    };
    assert_eq!(seqs(store, &end), [3, 5]);
    assert!(store.history(&end).unwrap().more);
}

/// Nobody finds what they may not read.
pub fn search_stays_inside_what_is_visible(store: &dyn Store) {
    let private = Event {
        audience: Some(vec![bob()]),
        author: bob(),
        ..says(3, 1, "secret")
    };
    tell(
        store,
        vec![
            says(1, 1, "secret"),
            says(2, 1, "secret"),
            private,
            says(4, 2, "secret"),
        ],
    );
    for _ in 0..2 {
        let stretch = Interval {
            from: place(2),
            to: None,
        };
        let query = HistoryQuery {
            sources: vec![(ConversationId(1), vec![stretch])],
            ..search(&[], "secret")
        };
        assert_eq!(seqs(store, &query), [2]);
        assert_eq!(store.count(&query).unwrap(), 1);
        assert_eq!(
            seqs(
                store,
                &HistoryQuery {
                    reader: Some(bob()),
                    ..query
                }
            ),
            [2, 3]
        );
        assert_eq!(
            seqs(
                store,
                &HistoryQuery {
                    author: Some(bob()),
                    ..search(&[1, 2], "secret")
                }
            ),
            []
        );
        assert_eq!(
            seqs(
                store,
                &HistoryQuery {
                    until: Some(at(1)),
                    ..search(&[1, 2], "secret")
                }
            ),
            [1]
        );
        catch_up(store);
    }
}

/// At once, and also after everything is brought up to date and scrubbed.
pub fn erased_words_are_not_found(store: &dyn Store) {
    tell(store, (1..=6).map(|n| says(n, 1, "secret plan")).collect());
    store.index(3).unwrap();
    let erase = |seq| Write::Erase {
        seq: Seq(seq),
        tombstone: tombstone(),
    };
    commit(store, vec![erase(2), erase(5)]);
    let look = |expected: &[u64]| assert_eq!(seqs(store, &search(&[1], "secret")), expected);
    look(&[1, 3, 4, 6]);
    store.index(1).unwrap();
    look(&[1, 3, 4, 6]);
    store.scrub().unwrap();
    look(&[1, 3, 4, 6]);
    catch_up(store);
    store.scrub().unwrap();
    look(&[1, 3, 4, 6]);
    commit(store, vec![erase(1), erase(2), erase(6)]);
    store.scrub().unwrap();
    store.scrub().unwrap();
    look(&[3, 4]);
    tell(store, vec![says(7, 1, "secret again")]);
    catch_up(store);
    look(&[3, 4, 7]);
}

/// Words of one letter, and of scripts without spaces.
pub fn short_words_and_other_scripts_are_found(store: &dyn Store) {
    tell(
        store,
        vec![
            says(1, 1, "plan B"),
            says(2, 1, "明日の会議は中止"),
            says(3, 1, "встреча в 7"),
            says(4, 1, "สวัสดีครับ"),
        ],
    );
    for _ in 0..2 {
        assert_eq!(seqs(store, &search(&[1], "b")), [1]);
        assert_eq!(seqs(store, &search(&[1], "会議")), [2]);
        assert_eq!(seqs(store, &search(&[1], "議会")), []);
        assert_eq!(seqs(store, &search(&[1], "Встр 7")), [3]);
        assert_eq!(seqs(store, &search(&[1], "ดีครับ")), [4]);
        catch_up(store);
    }
}

/// Pages of results have the order of history, with anchors, over several conversations.
pub fn search_pages_like_history(store: &dyn Store) {
    let text = |n: u64| {
        if n.is_multiple_of(3) {
            "needle in hay"
        } else {
            "hay"
        }
    };
    tell(
        store,
        (1..=90).map(|n| says(n, 1 + n % 4, text(n))).collect(),
    );
    let late = Event {
        at: at(4),
        pos: Pos(place(4).0 + 1),
        historical: true,
        ..says(91, 1, "late needle")
    };
    tell(store, vec![late]);
    let mut expected: Vec<u64> = (1..=90).filter(|n| n % 3 == 0).collect();
    expected.insert(1, 91);
    for _ in 0..2 {
        for (limit, from_end) in [(4, false), (4, true)] {
            let query = HistoryQuery {
                limit,
                from_end,
                ..search(&[1, 2, 3, 4], "needle")
            };
            assert_eq!(history::through(store, query), expected);
        }
        catch_up(store);
    }
}
