//! Blobs: content-addressed, counted, gone with the last reference.

use sammen_core::Address;
use sammen_core::blob::BlobId;
use sammen_core::store::{BlobInfo, Store, StoreError, Write};

use super::*;

/// Writes a blob; nothing refers to it yet.
pub fn put(store: &dyn Store, bytes: &[u8]) -> BlobId {
    let mut writer = store.blob_writer(1 << 20).unwrap();
    for piece in bytes.chunks(7) {
        writer.write(piece).unwrap();
    }
    let (id, size) = writer.finish().unwrap();
    assert_eq!((&id, size), (&BlobId::of(bytes), bytes.len() as u64));
    id
}

/// A reference, or its end.
pub fn refer(id: &BlobId, owner: &Address, slot: &str, seconds: i64, remove: bool) -> Write {
    Write::BlobRef {
        id: id.clone(),
        owner: owner.clone(),
        slot: slot.into(),
        at: at(seconds),
        remove,
    }
}

/// Ranges are clipped to the blob.
pub fn a_blob_is_read_in_pieces(store: &dyn Store) {
    let id = put(store, b"0123456789");
    let read = |range| store.read_blob(&id, range).unwrap();
    assert_eq!(
        read(0..4).as_deref(),
        Some(&b"0123"[..]),
        "from the moment that it is finished"
    );
    commit(store, vec![refer(&id, &alice(), "slot", 3, false)]);
    assert_eq!(read(0..u64::MAX).as_deref(), Some(&b"0123456789"[..]));
    assert_eq!(read(8..12).as_deref(), Some(&b"89"[..]));
    assert_eq!(read(10..12).as_deref(), Some(&b""[..]));
    assert_eq!(read(99..100).as_deref(), Some(&b""[..]));
    #[expect(clippy::reversed_empty_ranges, reason = "a stranger may ask for it")]
    let backwards = 5..2;
    assert_eq!(read(backwards).as_deref(), Some(&b""[..]));
    let known = BlobInfo {
        id: id.clone(),
        size: 10,
        owner: alice(),
        created: at(3),
    };
    assert_eq!(store.blob_by_slot("slot").unwrap(), Some(known.clone()));
    assert_eq!(store.blob_by_slot("other").unwrap(), None);
    assert_eq!(store.blobs_of(&alice()).unwrap(), [("slot".into(), known)]);
    assert_eq!(
        store.read_blob(&BlobId("../../log".into()), 0..9).unwrap(),
        None
    );
}

/// An upload that breaks off.
pub fn a_dropped_blob_leaves_nothing(store: &dyn Store) {
    let mut writer = store.blob_writer(100).unwrap();
    writer.write(b"half").unwrap();
    drop(writer);
    assert_eq!(store.read_blob(&BlobId::of(b"half"), 0..9).unwrap(), None);
    store.scrub().unwrap();
}

/// The size that was agreed on is the most.
pub fn a_blob_may_not_be_larger_than_agreed(store: &dyn Store) {
    let mut writer = store.blob_writer(4).unwrap();
    writer.write(b"123").unwrap();
    assert!(matches!(writer.write(b"45"), Err(StoreError::Full)));
}

/// References are counted by slot and owner; scrubbing takes only what nothing refers to.
pub fn the_last_reference_takes_the_blob_along(store: &dyn Store) {
    let id = put(store, b"picture");
    commit(
        store,
        vec![
            refer(&id, &alice(), "s1", 1, false),
            refer(&id, &bob(), "", 2, false),
            refer(&id, &bob(), "", 3, false),
        ],
    );
    let there = || store.read_blob(&id, 0..9).unwrap().is_some();
    commit(
        store,
        vec![
            refer(&id, &alice(), "s1", 4, true),
            refer(&id, &alice(), "s1", 4, true),
            refer(&id, &bob(), "", 4, true),
        ],
    );
    store.scrub().unwrap();
    assert!(there());
    assert_eq!(store.blob_by_slot("s1").unwrap(), None);
    assert_eq!(store.blob_by_slot("").unwrap(), None);
    assert_eq!(store.blobs_of(&bob()).unwrap().len(), 1);
    // Once more, while it is still there, so that it comes back to life.
    assert_eq!(put(store, b"picture"), id);
    commit(
        store,
        vec![
            refer(&id, &bob(), "", 5, true),
            refer(&id, &alice(), "s2", 6, false),
        ],
    );
    store.scrub().unwrap();
    assert!(there());
    commit(store, vec![refer(&id, &alice(), "s2", 7, true)]);
    assert!(!there());
    store.scrub().unwrap();
    assert!(!there());
    assert_eq!(put(store, b"picture"), id);
    assert!(there());
}

/// Quotas count bytes on disk, in order of arrival.
pub fn usage_counts_a_blob_once(store: &dyn Store) {
    let (a, b) = (put(store, b"12345"), put(store, b"123"));
    commit(
        store,
        vec![
            refer(&a, &alice(), "s2", 2, false),
            refer(&a, &alice(), "", 1, false),
            refer(&b, &alice(), "s3", 3, false),
            refer(&b, &bob(), "s4", 3, false),
        ],
    );
    assert_eq!(store.blob_usage(&alice()).unwrap(), 8);
    assert_eq!(store.blob_usage(&bob()).unwrap(), 3);
    assert_eq!(store.blob_usage(&who("carol@example.org")).unwrap(), 0);
    let slots: Vec<String> = store
        .blobs_of(&alice())
        .unwrap()
        .into_iter()
        .map(|(slot, _)| slot)
        .collect();
    assert_eq!(slots, ["", "s2", "s3"]);
}

/// A reference to nothing would be a promise that can't be kept.
pub fn an_unknown_blob_is_refused(store: &dyn Store) {
    let unknown = BlobId::of(b"never written");
    assert!(
        store
            .commit(&[refer(&unknown, &alice(), "s", 1, false)])
            .is_err()
    );
    assert_eq!(store.blob_by_slot("s").unwrap(), None);
    commit(store, vec![refer(&unknown, &alice(), "s", 1, true)]);
}
