//! Data folders of every earlier version open with this one and say the same.
//!
//! `golden/vN.sql` is a database as version N wrote it. When a migration is added, the ignored test below writes the new
//! version's file; earlier ones are never changed.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use sammen_core::event::{Acceptance, Event, ForeignId, Relation, RelationKind, Scheme};
use sammen_core::memory::MemoryStore;
use sammen_core::network::OutboxRow;
use sammen_core::store::{Store, Write};
use sammen_core::{ConversationId, DeviceId, EventId, Member, NetworkName, Pos, Seq};
use sammen_store::SqliteStore;
use sammen_testkit::store_suite::{
    alias, alice, at, blobs, bob, direct, log::contents, native, place, room, says, search, shelf,
    tombstone,
};

const BLOB: &[u8] = b"golden";

/// A little of everything.
fn writes() -> Vec<Write> {
    let mut writes = vec![
        Write::Conversation(Arc::new(room(1))),
        Write::Conversation(Arc::new(direct(2, &alice(), &bob()))),
        Write::Account(Arc::new(sammen_core::Account::new(alice(), at(0)))),
        Write::Device(Arc::new(shelf::device(4, &alice()))),
        Write::DeviceProgress {
            id: DeviceId(4),
            cursor: Some(Seq(7)),
            inbound: Some(3),
        },
    ];
    let mut member = Member::new(bob());
    member.enter_history(place(2));
    member.nick = Some("b".into());
    writes.push(Write::Member(ConversationId(1), Arc::new(member)));
    for (seq, content) in (1..).zip(contents()) {
        let event = Event {
            content,
            author: if seq % 2 == 0 { alice() } else { bob() },
            native: (seq % 3 == 0).then(|| native(b"<body/>")),
            acceptance: if seq == 5 {
                Acceptance::Pending
            } else {
                Acceptance::Accepted
            },
            pos: if seq == 9 {
                Pos(place(2).0 + 1)
            } else {
                place(seq as i64)
            },
            audience: (seq == 7).then(|| vec![bob()]),
            relation: (seq % 4 == 0 && seq < 19).then(|| Relation {
                kind: RelationKind::Reply,
                target: (seq % 8 == 0).then_some(EventId(77)),
                foreign: Some(ForeignId {
                    scheme: Scheme::OriginId,
                    id: "f".into(),
                }),
            }),
            nick: (seq == 1).then(|| "Al".into()),
            device: Some(DeviceId(4)),
            ..says(seq, 1 + seq % 2, "")
        };
        writes.push(Write::Event(Arc::new(event)));
    }
    writes.push(Write::Event(Arc::new(says(40, 1, "erased words"))));
    writes.push(Write::Erase {
        seq: Seq(40),
        tombstone: tombstone(),
    });
    writes.push(alias(1, alice(), "a", 2));
    writes.push(Write::Waiting {
        conversation: ConversationId(1),
        scheme: Scheme::OriginId,
        foreign: "f".into(),
        seq: Seq(4),
    });
    for (version, value) in [(50, Some("v".into())), (51, None)] {
        writes.push(Write::Document {
            owner: (&alice()).into(),
            namespace: "n".into(),
            key: format!("k{version}"),
            version: Seq(version),
            value,
        });
    }
    writes.push(Write::Outbox(OutboxRow {
        seq: Seq(60),
        network: NetworkName::new("xmpp").unwrap(),
        destination: "other.net".into(),
        event: Some(Seq(1)),
        conversation: Some(ConversationId(1)),
        from: alice(),
        to: bob(),
        payload: "p".into(),
        attempts: 1,
        next: at(9),
        created: at(0),
    }));
    writes
}

fn fill(store: &dyn Store) {
    store.commit(&writes()).unwrap();
    let id = blobs::put(store, BLOB);
    store
        .commit(&[blobs::refer(&id, &alice(), "slot", 5, false)])
        .unwrap();
}

fn folder_of_goldens() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden")
}

/// Everything that the port tells.
fn told(store: &dyn Store) -> Vec<String> {
    let mut lines = Vec::new();
    for n in 0..70 {
        lines.push(format!("{:?}", store.event(Seq(n)).unwrap()));
        lines.push(format!("{:?}", store.device(DeviceId(n)).unwrap()));
        let id = ConversationId(n);
        lines.push(format!(
            "{:?} {:?}",
            store.conversation(id).unwrap(),
            store.members(id).unwrap()
        ));
        lines.push(format!(
            "{:?} {:?}",
            store.tail(id).unwrap(),
            store.waiting(id, Scheme::OriginId, "f").unwrap()
        ));
    }
    lines.push(format!("{:?}", store.accounts(None, 9).unwrap()));
    let owner = (&alice()).into();
    lines.push(format!(
        "{:?}",
        store
            .documents_since(&owner, "n", Seq(0), 9)
            .unwrap()
            .unwrap()
    ));
    lines.push(format!("{:?}", store.outbox(None, 9).unwrap()));
    lines.push(format!("{:?}", store.blobs_of(&alice()).unwrap()));
    lines.push(format!(
        "{:?}",
        store
            .alias(ConversationId(1), Scheme::XmppId, None, "a")
            .unwrap()
    ));
    lines.push(format!("{:?}", store.relations(EventId(77), 9).unwrap()));
    lines
}

fn same(store: &dyn Store, memory: &dyn Store, version: i64) {
    for (line, expected) in told(store).iter().zip(told(memory)) {
        assert_eq!(*line, expected, "version {version}");
    }
}

#[test]
fn every_earlier_version_opens_and_says_the_same() {
    let memory = MemoryStore::new();
    fill(&memory);
    let newest = {
        let folder = tempfile::tempdir().unwrap();
        drop(SqliteStore::open(folder.path()).unwrap());
        let db = Connection::open(folder.path().join("log.sqlite")).unwrap();
        db.pragma_query_value(None, "user_version", |r| r.get::<_, i64>(0))
            .unwrap()
    };
    assert!(newest >= 1);
    for version in 1..=newest {
        let sql = fs::read_to_string(folder_of_goldens().join(format!("v{version}.sql")))
            .unwrap_or_else(|e| panic!("version {version} has no golden file: {e}"));
        let folder = tempfile::tempdir().unwrap();
        let db = Connection::open(folder.path().join("log.sqlite")).unwrap();
        db.execute_batch(&sql).unwrap();
        drop(db);
        let id = sammen_core::blob::BlobId::of(BLOB);
        let path = folder.path().join("blobs").join(&id.0[..2]);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(&id.0[2..]), BLOB).unwrap();

        let store = SqliteStore::open(folder.path()).unwrap();
        same(&store, &memory, version);
        assert_eq!(store.start().unwrap().last_seq, Seq(60));
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
        search::catch_up(&store);
        store.scrub().unwrap();
        same(&store, &memory, version);
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    }
}

/// Run by hand once for each new version: `cargo test -p sammen-store write_golden -- --ignored`.
#[test]
#[ignore = "writes the file of a new version into the repository"]
fn write_golden() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    fill(&store);
    drop(store);
    let db = Connection::open(folder.path().join("log.sqlite")).unwrap();
    let version: i64 = db
        .pragma_query_value(None, "user_version", |r| r.get(0))
        .unwrap();
    let path = folder_of_goldens().join(format!("v{version}.sql"));
    assert!(!path.exists(), "{} is never changed", path.display());
    let strings = |sql: &str| -> Vec<String> {
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |r| r.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let mut dump = format!("PRAGMA user_version = {version};\n");
    for sql in strings(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
    ) {
        dump.push_str(&format!("{sql};\n"));
    }
    for table in strings("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
        let columns = strings(&format!(
            "SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')"
        ));
        let values = columns.join(" || ', ' || ");
        for row in strings(&format!("SELECT {values} FROM {table}")) {
            dump.push_str(&format!("INSERT INTO {table} VALUES ({row});\n"));
        }
    }
    fs::write(path, dump).unwrap();
}
