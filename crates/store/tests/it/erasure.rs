//! What was erased is in no file of the data folder.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use sammen_core::network::OutboxRow;
use sammen_core::store::{HistoryQuery, Store, Write};
use sammen_core::{Account, ConversationId, Event, NetworkName, Seq};
use sammen_store::{SqliteStore, Steps, Worth};
use sammen_testkit::store_suite::{
    alice, at, blobs, bob, commit, native, over, says, seqs, tell, tombstone,
};

use crate::folder::files;

/// A small generator: the same noise on every run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A word that stands for one event, by which its traces are recognised (search keeps it in lower case).
fn mark(seq: u64) -> String {
    format!("zq{:012x}", seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16)
}

/// Which of these are in any file.
fn traces(folder: &Path, wanted: &[u64]) -> Vec<(u64, String)> {
    let marks: std::collections::HashMap<Vec<u8>, u64> =
        wanted.iter().map(|n| (mark(*n).into_bytes(), *n)).collect();
    let mut found = Vec::new();
    for file in files(folder) {
        let bytes = fs::read(&file).unwrap();
        for window in bytes.windows(14) {
            if window.starts_with(b"zq")
                && let Some(n) = marks.get(window)
            {
                found.push((*n, file.file_name().unwrap().to_string_lossy().into_owned()));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn event(seq: u64, noise: &mut Noise) -> Event {
    // Most are short; some need pages of their own.
    let length = match noise.below(20) {
        0 => 9000,
        1..=3 => 1500,
        _ => 10 + noise.below(300),
    };
    let text = format!("{} {}", mark(seq), "lorem ".repeat(length as usize / 6));
    let mut form = native(b"");
    form.bytes = format!("<body>{text}</body>").into();
    Event {
        native: Some(form),
        author: if noise.below(2) == 0 { alice() } else { bob() },
        ..says(seq, 1 + noise.below(5), &text)
    }
}

#[test]
fn nothing_that_was_erased_is_left_in_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let mut noise = Noise(7);
    let mut live: Vec<u64> = Vec::new();
    let mut gone: Vec<u64> = Vec::new();
    let mut seq = 0;
    for round in 0..12 {
        let mut batch = Vec::new();
        for _ in 0..120 {
            seq += 1;
            live.push(seq);
            batch.push(event(seq, &mut noise));
        }
        tell(&store, batch);
        if round % 2 == 0 {
            while store.index(50).unwrap() > 0 {}
        }
        for _ in 0..60 {
            let n = live.swap_remove(noise.below(live.len() as u64) as usize);
            gone.push(n);
            commit(
                &store,
                vec![Write::Erase {
                    seq: Seq(n),
                    tombstone: tombstone(),
                }],
            );
        }
        store.scrub().unwrap();
        assert_eq!(traces(folder.path(), &gone), []);
    }
    // The search for traces can find some.
    let left: Vec<u64> = traces(folder.path(), &live)
        .into_iter()
        .filter(|t| t.1 == "log.sqlite")
        .map(|t| t.0)
        .collect();
    live.sort_unstable();
    assert_eq!(left, live);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn retention_leaves_nothing_and_old_events_stay_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let mut noise = Noise(3);
    tell(&store, (1..=600).map(|n| event(n, &mut noise)).collect());
    while store.index(100).unwrap() > 0 {}
    let mut gone = Vec::new();
    for conversation in 1..=5 {
        loop {
            let old = store
                .older_than(ConversationId(conversation), at(400), 50)
                .unwrap();
            if old.is_empty() {
                break;
            }
            gone.extend(old.iter().map(|s| s.0));
            commit(
                &store,
                old.into_iter()
                    .map(|seq| Write::Erase {
                        seq,
                        tombstone: tombstone(),
                    })
                    .collect(),
            );
        }
    }
    assert_eq!(gone.len(), 399);
    assert!(
        !traces(folder.path(), &gone).is_empty(),
        "before the scrub there are traces"
    );
    store.scrub().unwrap();
    assert_eq!(traces(folder.path(), &gone), []);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn compacting_gives_the_room_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let mut noise = Noise(5);
    tell(&store, (1..=500).map(|n| event(n, &mut noise)).collect());
    let gone: Vec<u64> = (1..=500).filter(|n| n % 10 != 0).collect();
    let erase = |n: &u64| Write::Erase {
        seq: Seq(*n),
        tombstone: tombstone(),
    };
    commit(&store, gone.iter().map(erase).collect());
    store.scrub().unwrap();
    let size = || {
        fs::metadata(folder.path().join("log.sqlite"))
            .unwrap()
            .len()
    };
    let before = size();
    let convert = 0;
    let worth = |gain, live| {
        let worth = Worth {
            gain,
            live,
            convert,
        };
        store.compact_if(worth).unwrap()
    };
    assert!(!worth(before, before), "it would not give back so much");
    assert!(!worth(1, 1), "commits would wait for too long");
    assert!(!store.compact_if(Worth::USUAL).unwrap());
    assert_eq!(size(), before);
    assert!(worth(1, before));
    assert!(!worth(1, before), "there is nothing more");
    assert!(size() * 3 < before, "{} of {before}", size());
    assert_eq!(traces(folder.path(), &gone), []);
    assert_eq!(
        seqs(
            &store,
            &HistoryQuery {
                limit: 999,
                ..over(&[1, 2, 3, 4, 5])
            }
        )
        .len(),
        500
    );
    commit(&store, vec![erase(&1), erase(&10)]);
    assert_eq!(store.event(Seq(1)).unwrap().unwrap().content, tombstone());
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

/// What people say: seldom long.
fn line(seq: u64, noise: &mut Noise) -> Event {
    let length = match noise.below(50) {
        0 => 6000,
        _ => 10 + noise.below(300),
    };
    let text = format!("{} {}", mark(seq), "lorem ".repeat(length as usize / 6));
    says(seq, 1 + noise.below(5), &text)
}

/// A log of which retention took all but the end and one conversation's few events, with people talking meanwhile: how
/// many bytes the file had before and after room was given back in steps.
fn given_back(folder: &Path, events: u64, steps: Steps) -> (u64, u64) {
    let store = SqliteStore::open(folder).unwrap();
    let mut noise = Noise(11);
    for from in (1..=events).step_by(500) {
        let upto = (from + 500).min(events + 1);
        tell(&store, (from..upto).map(|n| line(n, &mut noise)).collect());
        while store.index(1000).unwrap() > 0 {}
    }
    // Some live on far apart from each other, as where one person keeps everything.
    let stays = |n: &u64| *n > events * 9 / 10 || *n % (events / 2) == 1;
    let erase = |n: &u64| Write::Erase {
        seq: Seq(*n),
        tombstone: tombstone(),
    };
    let (mut live, gone): (Vec<u64>, Vec<u64>) = (1..=events).partition(stays);
    for some in gone.chunks(256) {
        commit(&store, some.iter().map(erase).collect());
    }
    store.scrub().unwrap();
    assert_eq!(traces(folder, &gone), []);
    let size = || fs::metadata(folder.join("log.sqlite")).unwrap().len();
    let before = size();
    std::thread::scope(|scope| {
        let talk = scope.spawn(|| {
            let mut noise = Noise(13);
            let new: Vec<u64> = (events + 1..=events + 200).collect();
            for n in &new {
                tell(&store, vec![line(*n, &mut noise)]);
            }
            new
        });
        store.give_back(steps).unwrap();
        live.extend(talk.join().unwrap());
    });
    let after = size();
    assert_eq!(store.give_back(steps).unwrap(), 0, "there is nothing more");
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    // Nobody's words were lost, and nothing stayed of those that go now: neighbours of rows that were made small.
    let found = |wanted: &[u64]| -> Vec<u64> {
        let all = traces(folder, wanted).into_iter();
        let mut found: Vec<u64> = all.map(|t| t.0).collect();
        found.dedup();
        found
    };
    assert_eq!(found(&live), live);
    let (late, live): (Vec<u64>, Vec<u64>) = live.into_iter().partition(|n| n % 2 == 1);
    for some in late.chunks(256) {
        commit(&store, some.iter().map(erase).collect());
    }
    store.scrub().unwrap();
    assert_eq!(traces(folder, &late), []);
    assert_eq!(traces(folder, &gone), []);
    assert_eq!(found(&live), live);
    assert_eq!(store.event(Seq(2)).unwrap().unwrap().content, tombstone());
    (before, after)
}

#[test]
fn room_is_given_back_in_steps_while_people_talk() {
    let folder = tempfile::tempdir().unwrap();
    let steps = Steps {
        gain: 100 << 10,
        rows: 64,
        pages: 16,
    };
    let (before, after) = given_back(folder.path(), 6_000, steps);
    assert!(after * 3 < before * 2, "{after} of {before}");
}

/// `make soak` runs it: minutes, and half a GiB of disk.
#[test]
#[ignore = "minutes"]
fn a_large_database_gives_its_room_back_and_keeps_nothing_that_was_erased() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = given_back(folder.path(), 900_000, Steps::USUAL);
    assert!(before > 300 << 20, "{before} is not large");
    assert!(after * 2 < before, "{after} of {before}");
}

#[test]
fn an_older_data_folder_learns_to_give_room_back() {
    let folder = tempfile::tempdir().unwrap();
    let mode = || -> i64 {
        let db = rusqlite::Connection::open(folder.path().join("log.sqlite")).unwrap();
        db.query_row("PRAGMA auto_vacuum", [], |r| r.get(0))
            .unwrap()
    };
    drop(SqliteStore::open(folder.path()).unwrap());
    assert_eq!(mode(), 2);
    let db = rusqlite::Connection::open(folder.path().join("log.sqlite")).unwrap();
    db.execute_batch("PRAGMA auto_vacuum = NONE; VACUUM")
        .unwrap();
    drop(db);
    assert_eq!(mode(), 0);
    let store = SqliteStore::open(folder.path()).unwrap();
    tell(&store, vec![says(1, 1, "still here")]);
    store.scrub().unwrap();
    assert_eq!(mode(), 2);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    assert!(store.event(Seq(1)).unwrap().is_some());
}

#[test]
fn a_removed_accounts_shelf_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let mut noise = Noise(11);
    let document = |n: u64, owner: &sammen_core::Address, length: u64| Write::Document {
        owner: owner.into(),
        namespace: "n".into(),
        key: format!("k{:03}", n.wrapping_mul(7919) % 1000),
        version: Seq(n),
        value: Some(format!("{} {}", mark(n), "x".repeat(length as usize)).into()),
    };
    // Hers and his grow beside each other, in no order of key, so that pages are split and balanced.
    for n in 1..=400 {
        let owner = if n % 2 == 0 { alice() } else { bob() };
        commit(&store, vec![document(n, &owner, noise.below(900))]);
    }
    let mut account = Account::new(alice(), at(0));
    account.display_name = Some(mark(901));
    let blob = blobs::put(&store, mark(902).as_bytes());
    let row = OutboxRow {
        seq: Seq(903),
        network: NetworkName::new("xmpp").unwrap(),
        destination: "other.net".into(),
        event: None,
        conversation: None,
        from: alice(),
        to: bob(),
        payload: mark(903).into(),
        attempts: 0,
        next: at(0),
        created: at(0),
    };
    commit(
        &store,
        vec![
            Write::Account(Arc::new(account.clone())),
            blobs::refer(&blob, &alice(), "slot", 0, false),
            Write::Outbox(row),
        ],
    );
    account.display_name = None;
    account.removed = true;
    commit(
        &store,
        vec![
            Write::Account(Arc::new(account)),
            Write::ForgetDocuments((&alice()).into()),
            blobs::refer(&blob, &alice(), "slot", 0, true),
            Write::OutboxDone(Seq(903)),
        ],
    );
    store.scrub().unwrap();
    let hers: Vec<u64> = (2..=400).step_by(2).chain([901, 902, 903]).collect();
    assert_eq!(traces(folder.path(), &hers), []);
    let his: Vec<u64> = (1..=400).step_by(2).collect();
    let left: Vec<u64> = traces(folder.path(), &his)
        .into_iter()
        .map(|t| t.0)
        .collect();
    assert_eq!(left, his);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}
