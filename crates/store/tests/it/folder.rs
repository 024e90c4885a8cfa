//! The data folder: locked, private, swept after a crash; what was committed is there after a restart.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sammen_core::Seq;
use sammen_core::store::{Store, StoreError};
use sammen_store::SqliteStore;
use sammen_testkit::store_suite::{alias, alice, anchor, blobs, commit, over, says, seqs, tell};

/// All files below a folder.
pub fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn only_one_can_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let second = SqliteStore::open(folder.path());
    assert!(matches!(second, Err(StoreError::TryLater(_))));
    drop(store);
    SqliteStore::open(folder.path()).unwrap();
}

#[test]
fn it_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = SqliteStore::open(&data).unwrap();
    tell(&store, vec![says(1, 1, "hi")]);
    let id = blobs::put(&store, b"picture");
    commit(&store, vec![blobs::refer(&id, &alice(), "", 0, false)]);
    store.index(9).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let all = files(&data);
    assert!(all.iter().any(|f| f.ends_with("log.sqlite-wal")));
    for file in all {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let epoch = store.start().unwrap().epoch;
    let events: Vec<_> = (1..=50).map(|n| says(n, 1 + n % 3, "before")).collect();
    tell(&store, events.clone());
    commit(&store, vec![alias(1, alice(), "a", 3)]);
    drop(store);
    let store = SqliteStore::open(folder.path()).unwrap();
    let start = store.start().unwrap();
    assert_eq!(
        (start.last_seq, start.last_conversation.0, start.epoch),
        (Seq(50), 3, epoch)
    );
    assert_eq!(
        seqs(&store, &over(&[1, 2, 3])),
        (1..=50).collect::<Vec<_>>()
    );
    // An author and a conversation known from before go on.
    tell(&store, vec![says(51, 1, "after")]);
    let mut query = over(&[1]);
    query.after = Some(anchor(&events[47]));
    assert_eq!(seqs(&store, &query), [51]);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn what_a_crash_left_behind_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let kept = blobs::put(&store, b"kept");
    commit(&store, vec![blobs::refer(&kept, &alice(), "", 0, false)]);
    let orphan = blobs::put(&store, b"orphan");
    drop(store);
    fs::write(folder.path().join("tmp/blob-half"), b"half").unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    store.scrub().unwrap();
    let names: Vec<String> = files(folder.path())
        .iter()
        .map(|f| f.display().to_string())
        .collect();
    assert!(names.iter().any(|n| n.ends_with(&kept.0[2..])));
    assert!(
        !names
            .iter()
            .any(|n| n.ends_with(&orphan.0[2..]) || n.ends_with("half"))
    );
}

#[test]
fn a_lost_or_damaged_search_index_is_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let search = folder.path().join("search.sqlite");
    let mut query = over(&[1]);
    query.text = Some("needle".into());
    let mut store = SqliteStore::open(folder.path()).unwrap();
    tell(&store, vec![says(1, 1, "a needle"), says(2, 1, "hay")]);
    while store.index(1).unwrap() > 0 {}
    for damage in [None, Some("not a database, for sure. ".repeat(400))] {
        drop(store);
        match damage {
            None => fs::remove_file(&search).unwrap(),
            Some(text) => fs::write(&search, text).unwrap(),
        }
        store = SqliteStore::open(folder.path()).unwrap();
        assert_eq!(seqs(&store, &query), [1]);
        assert_eq!(store.index(9).unwrap(), 2);
        assert_eq!(seqs(&store, &query), [1]);
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn a_check_names_a_blob_that_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let (a, b) = (
        blobs::put(&store, b"good bytes"),
        blobs::put(&store, b"more"),
    );
    commit(
        &store,
        vec![
            blobs::refer(&a, &alice(), "", 0, false),
            blobs::refer(&b, &alice(), "s", 0, false),
        ],
    );
    let path = |id: &sammen_core::blob::BlobId| {
        folder
            .path()
            .join("blobs")
            .join(&id.0[..2])
            .join(&id.0[2..])
    };
    fs::write(path(&a), b"evil bytes").unwrap();
    fs::remove_file(path(&b)).unwrap();
    let faults = store.check().unwrap();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults.iter().any(|f| f.contains(&a.0)) && faults.iter().any(|f| f.contains(&b.0)));
}

#[test]
fn a_newer_versions_folder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(folder.path()).unwrap());
    let db = rusqlite::Connection::open(folder.path().join("log.sqlite")).unwrap();
    db.pragma_update(None, "user_version", 9999).unwrap();
    drop(db);
    assert!(matches!(
        SqliteStore::open(folder.path()),
        Err(StoreError::Fatal(_))
    ));
}
