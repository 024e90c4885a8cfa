//! Beside the log: conversations, members, accounts, devices, documents, the outbox.

use std::sync::Arc;

use sammen_core::document::{Bulk, Document, Owner};
use sammen_core::event::Protocol;
use sammen_core::network::OutboxRow;
use sammen_core::store::{Store, Write};
use sammen_core::{
    Account, Address, Conversation, ConversationId, ConversationKey, Device, DeviceId, Member,
    Membership, NetworkName, Seq, Standing, Timestamp,
};

use super::*;

/// A device.
pub fn device(id: u64, account: &Address) -> Device {
    Device {
        id: DeviceId(id),
        account: account.clone(),
        protocol: Protocol::Xmpp,
        key: format!("key-{id}"),
        label: Some("phone".into()),
        credential: None,
        cursor: Seq(1),
        inbound: 0,
        state: vec![1, 2, 255],
        generation: 3,
        created: at(0),
        seen: at(1),
    }
}

fn ids(found: Vec<ConversationId>) -> Vec<u64> {
    found.into_iter().map(|c| c.0).collect()
}

/// By id, key, pair and member; a destroyed room's address is free.
pub fn conversations_are_found_by_key_and_person(store: &dyn Store) {
    let carol = who("carol@example.org");
    let mut town = room(3);
    town.settings.topic = Some("hello".into());
    town.settings.extra.insert("xmpp/x".into(), "y".into());
    let all = [
        direct(1, &bob(), &alice()),
        direct(2, &alice(), &alice()),
        town.clone(),
        direct(4, &bob(), &carol),
    ];
    commit(
        store,
        all.iter()
            .cloned()
            .map(|c| Write::Conversation(Arc::new(c)))
            .collect(),
    );
    assert_eq!(
        store.conversation(ConversationId(3)).unwrap(),
        Some(town.clone())
    );
    assert_eq!(store.conversation(ConversationId(9)).unwrap(), None);
    let by_key = |key: &ConversationKey| store.conversation_by_key(key).unwrap().map(|c| c.id.0);
    assert_eq!(by_key(&ConversationKey::direct(&alice(), &bob())), Some(1));
    assert_eq!(by_key(&ConversationKey::direct(&alice(), &carol)), None);
    let further = ConversationKey::Further(alice(), bob(), "thread".into());
    assert_eq!(by_key(&further), None);
    commit(
        store,
        vec![
            Write::Conversation(Arc::new(Conversation {
                key: further.clone(),
                ..room(5)
            })),
            Write::Member(ConversationId(3), Arc::new(Member::new(alice()))),
        ],
    );
    assert_eq!(by_key(&further), Some(5));
    assert_eq!(ids(store.conversations_of(&alice()).unwrap()), [1, 2, 3, 5]);
    assert_eq!(ids(store.conversations_of(&carol).unwrap()), [4]);
    let page = store.conversations(ConversationId(1), 2).unwrap();
    assert_eq!(page, all[1..3]);
    commit(
        store,
        vec![Write::Conversation(Arc::new(Conversation {
            destroyed: true,
            ..town.clone()
        }))],
    );
    assert_eq!(by_key(&town.key), None);
    commit(
        store,
        vec![Write::Conversation(Arc::new(Conversation {
            key: town.key.clone(),
            ..room(6)
        }))],
    );
    assert_eq!(by_key(&town.key), Some(6));
    assert_eq!(
        ids(store.conversations_of(&alice()).unwrap()),
        [1, 2, 3, 5],
        "destroyed ones too"
    );
}

/// Rows of members are replaced whole.
pub fn members_come_and_go(store: &dyn Store) {
    commit(
        store,
        vec![
            Write::Conversation(Arc::new(room(1))),
            Write::Conversation(Arc::new(room(2))),
        ],
    );
    let mut first = Member::new(alice());
    first.membership = Membership::Joined;
    first.standing = Standing::Owner;
    first.nick = Some("Al".into());
    first.enter_history(place(3));
    let second = Member {
        level: Some(50),
        invited_by: Some(alice()),
        ..Member::new(bob())
    };
    let write = |conversation: u64, member: &Member| {
        Write::Member(ConversationId(conversation), Arc::new(member.clone()))
    };
    commit(
        store,
        vec![write(1, &second), write(1, &first), write(2, &second)],
    );
    assert_eq!(
        store.members(ConversationId(1)).unwrap(),
        [first.clone(), second.clone()]
    );
    first.leave_history(place(9));
    first.membership = Membership::Left;
    commit(
        store,
        vec![
            write(1, &first),
            Write::RemoveMember(ConversationId(1), bob()),
        ],
    );
    assert_eq!(store.members(ConversationId(1)).unwrap(), [first]);
    assert_eq!(store.members(ConversationId(2)).unwrap(), [second]);
    assert_eq!(ids(store.conversations_of(&bob()).unwrap()), [2]);
    assert_eq!(store.members(ConversationId(3)).unwrap(), []);
}

/// Also disabled and removed ones.
pub fn accounts_come_in_order(store: &dyn Store) {
    let mut accounts: Vec<Account> = ["carol", "alice", "bob"]
        .iter()
        .map(|n| Account::new(who(&format!("{n}@example.org")), at(0)))
        .collect();
    accounts[0].removed = true;
    accounts[1].display_name = Some("Alice 🌻".into());
    accounts[2].offline_since = Some(Seq(4));
    commit(
        store,
        accounts
            .iter()
            .cloned()
            .map(|a| Write::Account(Arc::new(a)))
            .collect(),
    );
    accounts.sort_by(|a, b| a.address.cmp(&b.address));
    assert_eq!(store.accounts(None, 9).unwrap(), accounts);
    assert_eq!(
        store.accounts(Some(&accounts[0].address), 1).unwrap(),
        accounts[1..2]
    );
    assert_eq!(store.account(&alice()).unwrap().as_ref(), accounts.first());
    assert_eq!(store.account(&bob()).unwrap(), None);
}

/// Cursor and counter move alone; the rest is replaced whole.
pub fn devices_keep_their_progress(store: &dyn Store) {
    let owner = Account::new(alice(), at(0));
    commit(
        store,
        vec![
            Write::Account(Arc::new(owner)),
            Write::Device(Arc::new(device(2, &alice()))),
            Write::Device(Arc::new(device(1, &alice()))),
            Write::DeviceProgress {
                id: DeviceId(1),
                cursor: Some(Seq(9)),
                inbound: None,
            },
            Write::DeviceProgress {
                id: DeviceId(1),
                cursor: None,
                inbound: Some(u32::MAX),
            },
            Write::DeviceProgress {
                id: DeviceId(7),
                cursor: Some(Seq(9)),
                inbound: Some(1),
            },
        ],
    );
    let moved = Device {
        cursor: Seq(9),
        inbound: u32::MAX,
        ..device(1, &alice())
    };
    assert_eq!(store.device(DeviceId(1)).unwrap(), Some(moved.clone()));
    assert_eq!(store.device(DeviceId(7)).unwrap(), None);
    assert_eq!(
        store.devices(&alice()).unwrap(),
        [moved.clone(), device(2, &alice())]
    );
    let renamed = Device {
        label: None,
        cursor: Seq(3),
        inbound: 4,
        ..moved
    };
    commit(
        store,
        vec![
            Write::Device(Arc::new(renamed.clone())),
            Write::RemoveDevice(DeviceId(2)),
        ],
    );
    assert_eq!(store.devices(&alice()).unwrap(), [renamed]);
    assert_eq!(store.devices(&bob()).unwrap(), []);
}

fn put(
    owner: &Owner,
    namespace: &str,
    key: &str,
    version: u64,
    value: Option<&'static str>,
) -> Write {
    Write::Document {
        owner: owner.clone(),
        namespace: namespace.into(),
        key: key.into(),
        version: Seq(version),
        value: value.map(|v| bytes::Bytes::from_static(v.as_bytes())),
    }
}

fn told(documents: impl IntoIterator<Item = Document>) -> Vec<(String, u64, bool)> {
    documents
        .into_iter()
        .map(|d| (d.key, d.version.0, d.value.is_some()))
        .collect()
}

/// A deleted document is told of to whoever asks what changed.
pub fn documents_leave_tombstones(store: &dyn Store) {
    let mine: Owner = (&alice()).into();
    commit(
        store,
        vec![
            put(&mine, "roster", "b", 1, Some("B")),
            put(&mine, "roster", "a", 2, Some("A")),
            put(&mine, "other", "a", 3, Some("O")),
            put(&Owner::Node, "roster", "a", 4, Some("N")),
        ],
    );
    commit(
        store,
        vec![
            put(&mine, "roster", "b", 5, None),
            put(&mine, "roster", "c", 6, Some("")),
        ],
    );
    let get = |key: &str| store.document(&mine, "roster", key).unwrap();
    assert_eq!(
        get("a"),
        Some(Document {
            key: "a".into(),
            version: Seq(2),
            value: Some("A".into())
        })
    );
    assert_eq!(
        get("b"),
        Some(Document {
            key: "b".into(),
            version: Seq(5),
            value: None
        })
    );
    assert_eq!(
        get("c").unwrap().value,
        Some(bytes::Bytes::new()),
        "empty is not deleted"
    );
    assert_eq!(get("d"), None);
    let since = |version, limit| {
        told(
            store
                .documents_since(&mine, "roster", Seq(version), limit)
                .unwrap()
                .unwrap(),
        )
    };
    assert_eq!(
        since(0, 9),
        [
            ("a".into(), 2, true),
            ("b".into(), 5, false),
            ("c".into(), 6, true)
        ]
    );
    assert_eq!(since(2, 1), [("b".into(), 5, false)]);
    assert_eq!(since(6, 9), []);
    commit(store, vec![put(&mine, "roster", "b", 7, Some("B2"))]);
    assert_eq!(since(6, 9), [("b".into(), 7, true)]);
    assert_eq!(
        store
            .document(&Owner::Node, "roster", "a")
            .unwrap()
            .unwrap()
            .version,
        Seq(4)
    );
}

/// In order of key; deleted ones are not listed.
pub fn documents_are_read_by_prefix(store: &dyn Store) {
    let mine: Owner = (&alice()).into();
    let keys = ["a", "a/1", "a/10", "a/2", "a/3", "a0", "b/1", "ä/1"];
    commit(
        store,
        (1..)
            .zip(keys)
            .map(|(v, k)| put(&mine, "n", k, v, Some("v")))
            .collect(),
    );
    commit(
        store,
        vec![
            put(&mine, "n", "a/2", 20, None),
            put(&mine, "m", "a/9", 21, Some("v")),
        ],
    );
    let list = |prefix: &str, after: Option<&str>, limit| -> Vec<String> {
        let found = store.documents(&mine, "n", prefix, after, limit).unwrap();
        found.into_iter().map(|d| d.key).collect()
    };
    assert_eq!(list("a/", None, 9), ["a/1", "a/10", "a/3"]);
    assert_eq!(list("a/", Some("a/1"), 1), ["a/10"]);
    assert_eq!(list("a/", Some("a/10"), 9), ["a/3"]);
    assert_eq!(list("a/", Some("a/3"), 9), Vec::<String>::new());
    assert_eq!(list("", Some("a0"), 9), ["b/1", "ä/1"]);
    assert_eq!(list("", None, 2), ["a", "a/1"]);
    assert_eq!(list("b", Some("a"), 9), ["b/1"]);
    assert_eq!(list("", None, 0), Vec::<String>::new());
}

/// With the bytes of keys and values, whatever the key is written in; what is deleted does not count.
pub fn documents_are_counted(store: &dyn Store) {
    let mine: Owner = (&alice()).into();
    let count = |namespace: &str| {
        let Bulk { documents, bytes } = store.count_documents(&mine, namespace).unwrap();
        (documents, bytes)
    };
    assert_eq!(count("n"), (0, 0));
    commit(
        store,
        vec![
            put(&mine, "n", "a", 1, Some("123")),
            put(&mine, "n", "ä/\u{1F33B}", 2, Some("")),
            put(&mine, "n", "x\0y", 3, Some("é")),
            put(&mine, "n", "gone", 4, Some("12345")),
            put(&mine, "m", "a", 5, Some("1")),
            put(&Owner::Node, "n", "a", 6, Some("1")),
        ],
    );
    commit(
        store,
        vec![
            put(&mine, "n", "gone", 7, None),
            put(&mine, "n", "a", 8, Some("12")),
        ],
    );
    assert_eq!(count("n"), (3, 3 + 7 + 5));
    assert_eq!(count("m"), (1, 2));
}

/// Upkeep takes old tombstones away; whoever might have needed one is told so, and nobody else.
pub fn forgotten_tombstones_ask_for_a_new_reading(store: &dyn Store) {
    let (mine, theirs): (Owner, Owner) = ((&alice()).into(), (&bob()).into());
    commit(
        store,
        vec![
            put(&mine, "roster", "a", 1, Some("A")),
            put(&mine, "roster", "b", 2, None),
            put(&Owner::Node, "roster", "n", 3, None),
            put(&mine, "other", "b", 4, None),
            put(&theirs, "roster", "b", 5, None),
            put(&mine, "roster", "c", 6, None),
        ],
    );
    let old = store.tombstones(Seq(5), 9).unwrap();
    let seen: Vec<_> = old.iter().map(|t| (t.key.as_str(), t.version.0)).collect();
    assert_eq!(seen, [("b", 2), ("n", 3), ("b", 4), ("b", 5)]);
    assert_eq!(old[1].owner, Owner::Node);
    assert_eq!(store.tombstones(Seq(u64::MAX), 2).unwrap(), old[..2]);
    // One of them stands for a document that came back meanwhile, another for one that was deleted once more.
    commit(
        store,
        vec![
            put(&mine, "other", "b", 7, Some("B")),
            put(&theirs, "roster", "b", 8, None),
        ],
    );
    commit(store, old.into_iter().map(Write::ForgetTombstone).collect());
    let since = |owner: &Owner, namespace: &str, version| {
        store
            .documents_since(owner, namespace, Seq(version), 9)
            .unwrap()
            .map(told)
    };
    assert_eq!(since(&mine, "roster", 1), None, "b went without a trace");
    assert_eq!(
        since(&mine, "roster", 2),
        Some(vec![("c".into(), 6, false)])
    );
    assert_eq!(
        since(&mine, "roster", 0),
        Some(vec![("a".into(), 1, true), ("c".into(), 6, false)])
    );
    assert_eq!(since(&Owner::Node, "roster", 1), None);
    assert_eq!(since(&mine, "other", 1), Some(vec![("b".into(), 7, true)]));
    assert_eq!(
        since(&theirs, "roster", 1),
        Some(vec![("b".into(), 8, false)])
    );
    let left = store.tombstones(Seq(u64::MAX), 9).unwrap();
    let left: Vec<_> = left.iter().map(|t| t.version.0).collect();
    assert_eq!(left, [6, 8]);
    assert_eq!(store.document(&mine, "roster", "b").unwrap(), None);
    // What was forgotten is known of the shelf wherever it stands, until it is nobody's.
    let to = who("village@example.org");
    let village: Owner = (&to).into();
    let moved = |from: Address, to: Option<Address>| Write::MoveShelf { from, to };
    commit(store, vec![moved(alice(), Some(to.clone()))]);
    assert_eq!(since(&village, "roster", 1), None);
    assert_eq!(since(&mine, "roster", 1), Some(vec![]));
    commit(store, vec![moved(to, None)]);
    assert_eq!(since(&village, "roster", 1), Some(vec![]));
    commit(store, vec![Write::ForgetDocuments(Owner::Node)]);
    assert_eq!(since(&Owner::Node, "roster", 1), Some(vec![]));
}

/// Tombstones too.
pub fn documents_are_forgotten_by_owner(store: &dyn Store) {
    let (mine, theirs): (Owner, Owner) = ((&alice()).into(), (&bob()).into());
    commit(
        store,
        vec![
            put(&mine, "n", "a", 1, Some("v")),
            put(&mine, "m", "b", 2, None),
            put(&theirs, "n", "a", 3, Some("v")),
            put(&Owner::Node, "n", "a", 4, Some("v")),
        ],
    );
    commit(store, vec![Write::ForgetDocuments(mine.clone())]);
    assert_eq!(
        told(
            store
                .documents_since(&mine, "m", Seq(0), 9)
                .unwrap()
                .unwrap()
        ),
        []
    );
    assert_eq!(store.document(&mine, "n", "a").unwrap(), None);
    assert!(store.document(&theirs, "n", "a").unwrap().is_some());
    assert!(store.document(&Owner::Node, "n", "a").unwrap().is_some());
}

/// Documents, tombstones and references go with a renamed room, and go for good with one that ends.
pub fn a_shelf_moves_whole(store: &dyn Store) {
    let (from, to) = (who("#town@example.org"), who("#village@example.org"));
    let (old, new): (Owner, Owner) = ((&from).into(), (&to).into());
    let mut writer = store.blob_writer(100).unwrap();
    writer.write(b"a picture").unwrap();
    let (id, _) = writer.finish().unwrap();
    let refer = |owner: &Address, slot: &str| Write::BlobRef {
        id: id.clone(),
        owner: owner.clone(),
        slot: slot.into(),
        at: at(1),
        remove: false,
    };
    commit(
        store,
        vec![
            put(&old, "n", "a", 1, Some("A")),
            put(&old, "n", "gone", 2, None),
            put(&new, "n", "left-over", 3, Some("L")),
            put(&(&alice()).into(), "n", "a", 4, Some("mine")),
            refer(&from, "of-town"),
            refer(&to, "left-over"),
        ],
    );
    let moved = |from: &Address, to: Option<&Address>| Write::MoveShelf {
        from: from.clone(),
        to: to.cloned(),
    };
    commit(store, vec![moved(&from, Some(&to))]);
    let all = |owner: &Owner| {
        told(
            store
                .documents_since(owner, "n", Seq(0), 9)
                .unwrap()
                .unwrap(),
        )
    };
    let slots = |owner: &Address| -> Vec<String> {
        let held = store.blobs_of(owner).unwrap();
        held.into_iter().map(|(slot, _)| slot).collect()
    };
    assert_eq!(all(&old), []);
    assert_eq!(
        all(&new),
        [("a".into(), 1, true), ("gone".into(), 2, false)]
    );
    assert_eq!(slots(&from), Vec::<String>::new());
    assert_eq!(slots(&to), ["of-town"]);
    assert_eq!(store.blob_by_slot("of-town").unwrap().unwrap().owner, to);
    commit(store, vec![moved(&to, None)]);
    assert_eq!(all(&new), []);
    assert_eq!(slots(&to), Vec::<String>::new());
    assert!(store.blob_by_slot("of-town").unwrap().is_none());
    assert_eq!(all(&(&alice()).into()), [("a".into(), 4, true)]);
}

/// Rows of a destination come in their order until they are done.
pub fn the_outbox_keeps_its_order(store: &dyn Store) {
    let row = |seq: u64, destination: &str| OutboxRow {
        seq: Seq(seq),
        network: NetworkName::new("xmpp").expect("a good name"),
        destination: destination.into(),
        event: Some(Seq(1)),
        conversation: None,
        from: alice(),
        to: bob(),
        payload: "<message/>".into(),
        attempts: 0,
        next: at(5),
        created: at(0),
    };
    commit(
        store,
        vec![
            Write::Outbox(row(3, "other.net")),
            Write::Outbox(row(4, "third.net")),
            Write::Outbox(row(2, "other.net")),
        ],
    );
    let heads = store.outbox_heads().expect("readable");
    assert_eq!(
        heads.iter().map(|r| r.seq.0).collect::<Vec<_>>(),
        [2, 4],
        "the oldest of each destination"
    );
    let seqs = |destination: Option<&str>, limit| -> Vec<u64> {
        store
            .outbox(destination, limit)
            .unwrap()
            .iter()
            .map(|r| r.seq.0)
            .collect()
    };
    assert_eq!(seqs(None, 9), [2, 3, 4]);
    assert_eq!(seqs(None, 2), [2, 3]);
    assert_eq!(seqs(Some("other.net"), 9), [2, 3]);
    let again = OutboxRow {
        attempts: 7,
        next: Timestamp(i64::MAX),
        ..row(2, "other.net")
    };
    commit(
        store,
        vec![
            Write::Outbox(again.clone()),
            Write::OutboxDone(Seq(4)),
            Write::OutboxDone(Seq(99)),
        ],
    );
    assert_eq!(store.outbox(None, 9).unwrap(), [again, row(3, "other.net")]);
    assert_eq!(seqs(Some("third.net"), 9), Vec::<u64>::new());
}
