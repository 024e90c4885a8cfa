//! Random batches against SQLite and the in-memory store: the answers are equal.

use std::sync::Arc;

use proptest::prelude::*;
use sammen_core::event::{
    Acceptance, Content, Event, MarkerKind, Message, Relation, RelationKind, Scheme,
};
use sammen_core::member::Interval;
use sammen_core::memory::MemoryStore;
use sammen_core::store::{HistoryQuery, Kinds, Page, Store, Write};
use sammen_core::{Address, ConversationId, EventId, Pos, Seq, Timestamp};
use sammen_store::SqliteStore;
use sammen_testkit::store_suite::{alice, anchor, bob, room, tombstone, who};

const CONVERSATIONS: u64 = 4;

fn person(n: u8) -> Address {
    match n % 3 {
        0 => alice(),
        1 => bob(),
        _ => who("carol@example.org"),
    }
}

fn text(n: u8) -> &'static str {
    ["one two", "Two three", "会議 two", "", "threefold one"][usize::from(n) % 5]
}

/// One step; numbers that name events are taken modulo how many there are.
#[derive(Clone, Debug)]
enum Step {
    Event {
        conversation: u64,
        pos: Option<i16>,
        at: i16,
        author: u8,
        what: u8,
        acceptance: u8,
        private: bool,
        historical: bool,
        target: Option<u8>,
    },
    Erase(u8),
    Accept(u8, u8, i16),
    Resolve(u8, u8),
    Alias(u8, u8, u8),
    Waiting(u8, u8),
    Index(u8),
    Scrub,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let event = (
        1..=CONVERSATIONS,
        proptest::option::weighted(0.3, -40..400i16),
        -5..20i16,
        any::<u8>(),
        any::<u8>(),
        any::<u8>(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        proptest::option::weighted(0.2, any::<u8>()),
    )
        .prop_map(
            |(conversation, pos, at, author, what, acceptance, private, historical, target)| {
                Step::Event {
                    conversation,
                    pos,
                    at,
                    author,
                    what,
                    acceptance,
                    private,
                    historical,
                    target,
                }
            },
        );
    prop_oneof![
        30 => event,
        2 => any::<u8>().prop_map(Step::Erase),
        2 => (any::<u8>(), any::<u8>(), -40..400i16).prop_map(|(e, a, p)| Step::Accept(e, a, p)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(e, t)| Step::Resolve(e, t)),
        2 => (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(e, a, f)| Step::Alias(e, a, f)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(e, f)| Step::Waiting(e, f)),
        2 => (1..20u8).prop_map(Step::Index),
        1 => Just(Step::Scrub),
        1 => Just(Step::Reopen),
    ]
}

fn acceptance(n: u8) -> Acceptance {
    match n % 16 {
        0 => Acceptance::Pending,
        1 => Acceptance::SoftFailed,
        2 => Acceptance::Rejected,
        3 => Acceptance::Outlier,
        _ => Acceptance::Accepted,
    }
}

fn id(seq: u64) -> EventId {
    EventId::new(Timestamp(seq as i64 / 3), u128::from(seq))
}

struct Pair {
    folder: tempfile::TempDir,
    sqlite: Option<SqliteStore>,
    memory: MemoryStore,
    events: Vec<Event>,
    clock: i64,
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = Self {
            sqlite: Some(SqliteStore::open(folder.path()).unwrap()),
            folder,
            memory: MemoryStore::new(),
            events: Vec::new(),
            clock: 0,
        };
        pair.commit(
            (1..=CONVERSATIONS)
                .map(|n| Write::Conversation(Arc::new(room(n))))
                .collect(),
        );
        pair
    }

    fn sqlite(&self) -> &SqliteStore {
        self.sqlite.as_ref().unwrap()
    }

    fn commit(&self, batch: Vec<Write>) {
        self.sqlite().commit(&batch).unwrap();
        self.memory.commit(&batch).unwrap();
    }

    fn pick(&self, n: u8) -> Option<&Event> {
        self.events.get(usize::from(n) % self.events.len().max(1))
    }

    fn take(&mut self, steps: &[Step]) {
        let mut batch = Vec::new();
        for step in steps {
            match step {
                Step::Event {
                    conversation,
                    pos,
                    at,
                    author,
                    what,
                    acceptance: a,
                    private,
                    historical,
                    target,
                } => {
                    self.clock += 3;
                    let seq = self.events.len() as u64 + 1;
                    let relation = target.map(|t| Relation {
                        kind: RelationKind::Reply,
                        target: (t % 4 != 0).then(|| id(1 + u64::from(t) % (seq + 3))),
                        foreign: None,
                    });
                    let event = Event {
                        seq: Seq(seq),
                        pos: pos.map_or(Pos(seq as i64 * 10), |p| Pos(p.into())),
                        id: id(seq),
                        conversation: ConversationId(*conversation),
                        author: person(*author),
                        nick: None,
                        device: None,
                        at: Timestamp(self.clock + i64::from(*at)),
                        acceptance: acceptance(*a),
                        audience: private.then(|| vec![person(*what)]),
                        historical: *historical,
                        relation,
                        content: match what % 7 {
                            0 => Content::Marker(MarkerKind::Displayed),
                            1 => Content::Edit(Message::text(text(*what / 7))),
                            _ => Content::Message(Message::text(text(*what / 7))),
                        },
                        native: None,
                    };
                    batch.push(Write::Event(Arc::new(event.clone())));
                    self.events.push(event);
                }
                Step::Erase(n) => batch.extend(self.pick(*n).map(|e| Write::Erase {
                    seq: e.seq,
                    tombstone: tombstone(),
                })),
                Step::Accept(n, a, pos) => batch.extend(self.pick(*n).map(|e| Write::Accept {
                    seq: e.seq,
                    acceptance: acceptance(*a),
                    pos: Pos((*pos).into()),
                })),
                Step::Resolve(n, t) => batch.extend(self.pick(*n).map(|e| Write::Resolve {
                    seq: e.seq,
                    target: id(1 + u64::from(*t)),
                })),
                Step::Alias(n, a, f) => batch.extend(self.pick(*n).map(|e| Write::Alias {
                    conversation: e.conversation,
                    scheme: Scheme::Test,
                    author: person(*a),
                    foreign: format!("f{}", f % 6),
                    seq: e.seq,
                })),
                Step::Waiting(n, f) => batch.extend(self.pick(*n).map(|e| Write::Waiting {
                    conversation: e.conversation,
                    scheme: Scheme::Test,
                    foreign: format!("f{}", f % 6),
                    seq: e.seq,
                })),
                Step::Index(_) | Step::Scrub | Step::Reopen => {
                    self.commit(std::mem::take(&mut batch));
                    match step {
                        Step::Index(n) => drop(self.sqlite().index((*n).into()).unwrap()),
                        Step::Scrub => self.sqlite().scrub().unwrap(),
                        _ => {
                            self.sqlite = None;
                            self.sqlite = Some(SqliteStore::open(self.folder.path()).unwrap());
                        }
                    }
                }
            }
        }
        self.commit(batch);
    }

    fn compare(&self, queries: &[HistoryQuery]) -> Result<(), TestCaseError> {
        let (a, b) = (self.sqlite(), &self.memory);
        for query in queries {
            let (x, y) = (a.history(query).unwrap(), b.history(query).unwrap());
            let seqs = |p: &Page| p.events.iter().map(|e| e.seq.0).collect::<Vec<_>>();
            prop_assert_eq!(seqs(&x), seqs(&y), "{:?}", query);
            prop_assert!(x.events == y.events, "{:?}", query);
            prop_assert_eq!(x.more, y.more, "{:?}", query);
            prop_assert_eq!(
                a.count(query).unwrap(),
                b.count(query).unwrap(),
                "{:?}",
                query
            );
        }
        let all: Vec<_> = (1..=CONVERSATIONS).map(ConversationId).collect();
        let last = self.events.len() as u64;
        for (ids, after, limit) in [
            (&all[..], 0, 1000),
            (&all[..1], last / 2, 1000),
            (&all[1..3], 0, 7),
            (&all[..], last.saturating_sub(5), 3),
        ] {
            let (after, upto) = (Seq(after), Seq(last));
            let (x, y) = (
                a.changes(ids, after, upto, limit).unwrap(),
                b.changes(ids, after, upto, limit).unwrap(),
            );
            let seqs = |found: &[Arc<Event>]| found.iter().map(|e| e.seq.0).collect::<Vec<_>>();
            prop_assert_eq!(seqs(&x), seqs(&y), "after {} limit {}", after, limit);
            for (x, y) in x.iter().zip(&y) {
                prop_assert_eq!(x, y);
            }
        }
        for id in all {
            prop_assert_eq!(a.tail(id).unwrap(), b.tail(id).unwrap());
            let before = Timestamp(self.clock / 2);
            prop_assert_eq!(
                a.older_than(id, before, 9).unwrap(),
                b.older_than(id, before, 9).unwrap()
            );
            for n in 0..6 {
                let foreign = format!("f{n}");
                for author in [None, Some(alice()), Some(bob())] {
                    let get = |s: &dyn Store| {
                        s.alias(id, Scheme::Test, author.as_ref(), &foreign)
                            .unwrap()
                            .map(|h| h.seq)
                    };
                    prop_assert_eq!(get(a), get(b));
                }
                prop_assert_eq!(
                    a.waiting(id, Scheme::Test, &foreign).unwrap(),
                    b.waiting(id, Scheme::Test, &foreign).unwrap()
                );
            }
        }
        for n in 0..self.events.len() as u64 + 3 {
            prop_assert_eq!(a.event(Seq(n)).unwrap(), b.event(Seq(n)).unwrap());
            prop_assert_eq!(a.event_by_id(id(n)).unwrap(), b.event_by_id(id(n)).unwrap());
            if n > 0 {
                prop_assert_eq!(
                    a.relations(id(n), 5).unwrap(),
                    b.relations(id(n), 5).unwrap()
                );
            }
        }
        for author in [alice(), bob()] {
            prop_assert_eq!(
                a.written_by(&author, Seq(3), 20).unwrap(),
                b.written_by(&author, Seq(3), 20).unwrap()
            );
        }
        let (x, y) = (a.start().unwrap(), b.start().unwrap());
        prop_assert_eq!(
            (x.last_seq, x.last_conversation),
            (y.last_seq, y.last_conversation)
        );
        prop_assert_eq!(a.check().unwrap(), Vec::<String>::new());
        Ok(())
    }
}

/// What to ask, as numbers; anchors are events that were written.
type Asked = (
    u8,
    Option<u8>,
    Option<u8>,
    Option<u8>,
    Option<u8>,
    (u8, u8, u8),
    usize,
    bool,
    Vec<(i16, Option<u8>)>,
);

fn asked() -> impl Strategy<Value = Asked> {
    let one = || proptest::option::weighted(0.3, any::<u8>());
    (
        1..16u8,
        one(),
        one(),
        one(),
        one(),
        any::<(u8, u8, u8)>(),
        prop_oneof![Just(0), 1..8usize, Just(1000)],
        any::<bool>(),
        prop::collection::vec(
            (-40..400i16, proptest::option::weighted(0.6, any::<u8>())),
            0..3,
        ),
    )
}

fn query(pair: &Pair, asked: &Asked) -> HistoryQuery {
    let (which, after, before, from, until, (reader, author, words), limit, from_end, stretches) =
        asked;
    let stretches: Vec<Interval> = if stretches.is_empty() {
        vec![Interval::ALL]
    } else {
        let stretch = |(from, length): &(i16, Option<u8>)| Interval {
            from: Pos((*from).into()),
            to: length.map(|l| Pos(i64::from(*from) + i64::from(l))),
        };
        stretches.iter().map(stretch).collect()
    };
    let spot = |n: &Option<u8>| n.and_then(|n| pair.pick(n)).map(anchor);
    let time = |n: &Option<u8>| n.map(|n| Timestamp(i64::from(n) * pair.clock.max(1) / 200));
    HistoryQuery {
        sources: (1..=CONVERSATIONS)
            .filter(|n| which & (1 << (n - 1)) != 0)
            .map(|n| (ConversationId(n), stretches.clone()))
            .collect(),
        reader: (reader % 4 != 0).then(|| person(*reader)),
        after: spot(after),
        before: spot(before),
        from: time(from),
        until: time(until),
        author: (author % 5 == 0).then(|| person(author / 5)),
        text: match words % 6 {
            0 => Some("two".into()),
            1 => Some("three one".into()),
            2 => Some("会議".into()),
            _ => None,
        },
        kinds: if words % 2 == 0 {
            Kinds::All
        } else {
            Kinds::Speech
        },
        skip: limit % 4,
        limit: *limit,
        from_end: *from_end,
    }
}

/// As many cases as `PROPTEST_CASES` says, else few. Nothing is written into the repository.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 48;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn both_stores_answer_alike(
        rounds in prop::collection::vec(prop::collection::vec(step(), 1..40), 1..6),
        asked in prop::collection::vec(asked(), 30),
    ) {
        let mut pair = Pair::new();
        for steps in &rounds {
            pair.take(steps);
        }
        let queries: Vec<HistoryQuery> = asked.iter().map(|a| query(&pair, a)).collect();
        pair.compare(&queries)?;
    }
}
