//! A backup of a running node, restored elsewhere.

use std::fs;

use sammen_core::network::OutboxRow;
use sammen_core::store::{Store, Write};
use sammen_core::{NetworkName, Seq, Timestamp};
use sammen_store::SqliteStore;
use sammen_store::backup::seal::{Cost, Key};
use sammen_store::backup::{BackupError, Extra, expire, restore};
use sammen_testkit::store_suite::{
    alice, at, blobs, bob, commit, over, says, search, seqs, tell, tombstone,
};

use crate::folder::files;

fn key(passphrase: &str) -> Key {
    let cost = Cost {
        memory: 64,
        passes: 1,
        lanes: 1,
    };
    Key::Passphrase(passphrase.into(), cost)
}

fn document(namespace: &str, version: u64) -> Write {
    Write::Document {
        owner: (&alice()).into(),
        namespace: namespace.into(),
        key: "k".into(),
        version: Seq(version),
        value: Some("v".into()),
    }
}

#[test]
fn a_running_node_comes_back_elsewhere_with_a_new_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("data")).unwrap();
    let row = OutboxRow {
        seq: Seq(2001),
        network: NetworkName::new("xmpp").unwrap(),
        destination: "other.net".into(),
        event: None,
        conversation: None,
        from: alice(),
        to: bob(),
        payload: "p".into(),
        attempts: 2,
        next: at(0),
        created: at(0),
    };
    tell(
        &store,
        (1..=1000)
            .map(|n| says(n, 1 + n % 7, &format!("secret word {n}")))
            .collect(),
    );
    let blob = blobs::put(&store, &vec![42; 300_000]);
    commit(
        &store,
        vec![
            Write::Erase {
                seq: Seq(3),
                tombstone: tombstone(),
            },
            blobs::refer(&blob, &alice(), "slot", 0, false),
            Write::Outbox(row.clone()),
            document("roster", 2002),
            document("one-time", 2003),
        ],
    );
    let pem = folder.path().join("node.pem");
    fs::write(&pem, "PRIVATE KEY").unwrap();
    let extras = [Extra {
        name: "tls/node.pem".into(),
        path: pem,
    }];

    let mut sealed = Vec::new();
    let summary = store
        .backup(&mut sealed, &key("house"), &extras, at(5))
        .unwrap();
    assert_eq!((summary.blobs, summary.extras.len()), (1, 1));
    tell(&store, (3001..=4000).map(|n| says(n, 1, "later")).collect());
    let has = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|w| w == text);
    assert!(!has(&sealed, b"secret") && !has(&sealed, b"PRIVATE") && !has(&sealed, &[42; 40]));
    assert_eq!(
        fs::read_dir(folder.path().join("data/tmp"))
            .unwrap()
            .count(),
        0
    );

    let target = folder.path().join("elsewhere");
    let summary = restore(&*sealed, &target, &key("house"), &["one-time"]).unwrap();
    assert_eq!((summary.held, summary.blobs), (1, 1));
    assert_eq!(
        fs::read_to_string(target.join("extra/tls/node.pem")).unwrap(),
        "PRIVATE KEY"
    );
    let restored = SqliteStore::open(&target).unwrap();
    assert_ne!(
        restored.start().unwrap().epoch,
        store.start().unwrap().epoch
    );
    assert_eq!(restored.start().unwrap().last_seq, Seq(2003));
    let all: Vec<u64> = (1..=7).collect();
    let query = sammen_core::store::HistoryQuery {
        limit: 5000,
        ..over(&all)
    };
    assert_eq!(seqs(&restored, &query), (1..=1000).collect::<Vec<_>>());
    assert_eq!(
        restored.event(Seq(3)).unwrap().unwrap().content,
        tombstone()
    );
    assert_eq!(
        restored.read_blob(&blob, 0..3).unwrap().as_deref(),
        Some(&[42; 3][..])
    );
    let held = OutboxRow {
        next: Timestamp(i64::MAX),
        ..row
    };
    assert_eq!(restored.outbox(None, 9).unwrap(), [held]);
    let owner = (&alice()).into();
    assert!(restored.document(&owner, "roster", "k").unwrap().is_some());
    assert!(
        restored
            .document(&owner, "one-time", "k")
            .unwrap()
            .is_none()
    );
    let query = sammen_core::store::HistoryQuery {
        text: Some("777".into()),
        ..over(&all)
    };
    assert_eq!(seqs(&restored, &query), [777]);
    search::catch_up(&restored);
    assert_eq!(seqs(&restored, &query), [777]);
    assert_eq!(restored.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_bad_backup_leaves_nothing_and_a_good_one_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("data")).unwrap();
    tell(&store, vec![says(1, 1, "hi")]);
    let mut sealed = Vec::new();
    store
        .backup(&mut sealed, &key("house"), &[], at(5))
        .unwrap();
    let target = folder.path().join("elsewhere");
    assert!(restore(&*sealed, &target, &key("home"), &[]).is_err());
    assert!(restore(&sealed[..sealed.len() - 1], &target, &key("house"), &[]).is_err());
    assert!(!target.exists() && !folder.path().join("elsewhere.restoring").exists());
    fs::create_dir(&target).unwrap();
    fs::write(target.join("mine"), "mine").unwrap();
    let refused = restore(&*sealed, &target, &key("house"), &[]);
    assert!(matches!(refused, Err(BackupError::NotEmpty(_))));
    assert_eq!(files(&target).len(), 1);
    fs::remove_file(target.join("mine")).unwrap();
    restore(&*sealed, &target, &key("house"), &[]).unwrap();
    assert!(
        SqliteStore::open(&target)
            .unwrap()
            .event(Seq(1))
            .unwrap()
            .is_some()
    );
}

#[test]
fn names_that_lead_outside_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("data")).unwrap();
    let path = folder.path().join("f");
    fs::write(&path, "f").unwrap();
    for name in ["../f", "/etc/f", "a//b", "", "a/./b", "a\0b"] {
        let extra = Extra {
            name: name.into(),
            path: path.clone(),
        };
        let refused = store.backup(&mut Vec::new(), &key("house"), &[extra], at(5));
        assert!(matches!(refused, Err(BackupError::Name(_))), "{name}");
    }
}

#[test]
fn backups_go_when_their_days_are_over_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("data")).unwrap();
    let kept = folder.path().join("backups");
    fs::create_dir(&kept).unwrap();
    for (name, made) in [("old", 10), ("new", 30)] {
        let mut file = fs::File::create(kept.join(name)).unwrap();
        store
            .backup(&mut file, &key("house"), &[], at(made))
            .unwrap();
    }
    fs::write(kept.join("letter"), vec![b'x'; 1000]).unwrap();
    assert_eq!(expire(&kept, at(20)).unwrap(), [kept.join("old")]);
    assert_eq!(
        expire(&kept, at(20)).unwrap(),
        [] as [std::path::PathBuf; 0]
    );
    assert_eq!(files(&kept).len(), 2);
}
