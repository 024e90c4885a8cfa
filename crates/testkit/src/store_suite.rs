//! What every store must do. Its own crate runs it with one line: `sammen_testkit::store_suite!(make)`.
//!
//! `make` gives an empty store and whatever must live as long (a temporary folder). Each case becomes a `#[test]`.

pub mod blobs;
pub mod history;
pub mod log;
pub mod search;
pub mod shelf;

use std::any::Any;
use std::sync::Arc;

use sammen_core::event::{
    Acceptance, Content, Event, Message, Protocol, Relation, RelationKind, Scheme,
};
use sammen_core::member::Interval;
use sammen_core::store::{Anchor, HistoryQuery, Store, Write};
use sammen_core::{
    Address, Conversation, ConversationId, ConversationKey, EventId, Home, Pos, Seq, Settings,
    Timestamp,
};

/// A store to be tried, and what must live as long as it.
pub struct Fixture {
    /// The store.
    pub store: Box<dyn Store>,
    /// Dropped after it.
    pub keep: Box<dyn Any>,
}

/// Makes a `#[test]` of each case of the suite; `$make` is a function that gives a [`Fixture`].
#[macro_export]
macro_rules! store_suite {
    ($make:path) => {
        $crate::store_suite!(@module $make, log:
            starts_empty_and_remembers_the_greatest_numbers,
            an_event_comes_back_as_it_was_written,
            every_kind_of_content_comes_back,
            a_batch_is_written_whole_or_not_at_all,
            the_latest_alias_wins,
            what_waits_is_found_until_it_is_resolved,
            relations_come_oldest_first,
            erasing_leaves_the_envelope_and_a_tombstone,
            the_tail_counts_all_but_outliers,
            changes_come_in_seq_order_without_history_and_refused_ones,
            retention_finds_what_is_old,
            an_authors_events_are_found);
        $crate::store_suite!(@module $make, history:
            pages_go_both_ways,
            anchors_are_exclusive,
            several_conversations_merge_by_time,
            late_events_lie_where_they_belong,
            only_the_stretches_are_seen,
            audiences_are_kept,
            pending_is_for_its_author_refused_for_nobody,
            an_accepted_event_moves_to_its_place,
            times_authors_and_kinds_narrow,
            counts_agree_with_pages,
            three_hundred_conversations_page_through);
        $crate::store_suite!(@module $make, shelf:
            conversations_are_found_by_key_and_person,
            members_come_and_go,
            accounts_come_in_order,
            devices_keep_their_progress,
            documents_leave_tombstones,
            forgotten_tombstones_ask_for_a_new_reading,
            documents_are_read_by_prefix,
            documents_are_counted,
            documents_are_forgotten_by_owner,
            a_shelf_moves_whole,
            the_outbox_keeps_its_order);
        $crate::store_suite!(@module $make, blobs:
            a_blob_is_read_in_pieces,
            a_dropped_blob_leaves_nothing,
            a_blob_may_not_be_larger_than_agreed,
            the_last_reference_takes_the_blob_along,
            usage_counts_a_blob_once,
            an_unknown_blob_is_refused);
        $crate::store_suite!(@module $make, search:
            words_are_found_before_and_after_indexing,
            search_stays_inside_what_is_visible,
            erased_words_are_not_found,
            short_words_and_other_scripts_are_found,
            search_pages_like_history);
    };
    (@module $make:path, $module:ident: $($case:ident),* $(,)?) => {
        mod $module {
            $(
                #[test]
                fn $case() {
                    let made = $make();
                    $crate::store_suite::$module::$case(&*made.store);
                    let faults = sammen_core::store::Store::check(&*made.store).unwrap();
                    assert_eq!(faults, Vec::<String>::new());
                }
            )*
        }
    };
}

/// An address.
pub fn who(text: &str) -> Address {
    Address::new(text).expect("a good address")
}

/// Alice.
pub fn alice() -> Address {
    who("alice@example.org")
}

/// Bob, on another network.
pub fn bob() -> Address {
    who("xmpp:bob@other.net")
}

/// A time: seconds after a fixed moment.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp(1_700_000_000_000 + seconds * 1000)
}

/// The place that the n-th event of a conversation has.
pub fn place(n: i64) -> Pos {
    Pos(n * Pos::STEP)
}

/// An event by Alice that says `text`, its place and time by its seq.
pub fn says(seq: u64, conversation: u64, text: &str) -> Event {
    let time = at(seq as i64);
    Event {
        seq: Seq(seq),
        pos: place(seq as i64),
        id: EventId::new(time, u128::from(seq) * 7919),
        conversation: ConversationId(conversation),
        author: alice(),
        nick: None,
        device: None,
        at: time,
        acceptance: Acceptance::Accepted,
        audience: None,
        historical: false,
        relation: None,
        content: Content::Message(Message::text(text)),
        native: None,
    }
}

/// A reaction to another event.
pub fn reacts(seq: u64, conversation: u64, target: Option<EventId>) -> Event {
    Event {
        relation: Some(Relation {
            kind: RelationKind::Reaction,
            target,
            foreign: None,
        }),
        content: Content::Reaction {
            keys: vec!["👍".into()],
        },
        ..says(seq, conversation, "")
    }
}

/// A room.
pub fn room(id: u64) -> Conversation {
    conversation(
        id,
        ConversationKey::Room(who(&format!("#room{id}@example.org"))),
    )
}

/// A direct conversation.
pub fn direct(id: u64, a: &Address, b: &Address) -> Conversation {
    conversation(id, ConversationKey::direct(a, b))
}

fn conversation(id: u64, key: ConversationKey) -> Conversation {
    // By its stored form, so that fields which are added with a default need no change here.
    Conversation {
        id: ConversationId(id),
        key,
        home: Home::Node,
        settings: Settings::default(),
        turned_encrypted: None,
        created: at(0),
        changed: Seq(0),
        destroyed: false,
        open_from: Pos(i64::MIN),
        former: Vec::new(),
    }
}

/// Commits these.
pub fn commit(store: &dyn Store, batch: Vec<Write>) {
    store.commit(&batch).expect("a good batch");
}

/// Commits events, after rooms for their conversations.
pub fn tell(store: &dyn Store, events: Vec<Event>) {
    let mut rooms: Vec<u64> = events.iter().map(|e| e.conversation.0).collect();
    rooms.sort_unstable();
    rooms.dedup();
    let mut batch: Vec<Write> = Vec::new();
    for id in rooms {
        if store
            .conversation(ConversationId(id))
            .expect("readable")
            .is_none()
        {
            batch.push(Write::Conversation(Arc::new(room(id))));
        }
    }
    batch.extend(events.into_iter().map(|e| Write::Event(Arc::new(e))));
    commit(store, batch);
}

/// A query over conversations that are seen whole, by Alice, without bounds.
pub fn over(conversations: &[u64]) -> HistoryQuery {
    HistoryQuery {
        reader: Some(alice()),
        ..HistoryQuery::new(
            conversations
                .iter()
                .map(|c| (ConversationId(*c), vec![Interval::ALL]))
                .collect(),
            100,
        )
    }
}

/// The seqs that a query finds.
pub fn seqs(store: &dyn Store, query: &HistoryQuery) -> Vec<u64> {
    let page = store.history(query).expect("readable");
    page.events.iter().map(|e| e.seq.0).collect()
}

/// Where an event lies.
pub fn anchor(event: &Event) -> Anchor {
    Anchor {
        at: event.at,
        pos: event.pos,
        seq: event.seq,
    }
}

/// An alias of an event.
pub fn alias(conversation: u64, author: Address, foreign: &str, seq: u64) -> Write {
    Write::Alias {
        conversation: ConversationId(conversation),
        scheme: Scheme::XmppId,
        author,
        foreign: foreign.into(),
        seq: Seq(seq),
    }
}

/// A tombstone.
pub fn tombstone() -> Content {
    Content::Erased {
        by: Some(alice()),
        at: at(999),
    }
}

/// A native form.
pub fn native(bytes: &'static [u8]) -> sammen_core::Native {
    sammen_core::Native {
        protocol: Protocol::Xmpp,
        bytes: bytes::Bytes::from_static(bytes),
        id: Some("stanza-1".into()),
        kind: Some("groupchat".into()),
    }
}
