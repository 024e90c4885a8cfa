//! What a protocol keeps for a device goes with it, in the same batch, however the device goes.

use bytes::Bytes;
use sammen_core::document::Owner;
use sammen_core::ops::{accounts, sessions};
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, DeviceId, Outcome, Seq};

use crate::stage;

const NAMESPACE: &str = "test.keys";

fn key(device: DeviceId, number: u32) -> String {
    format!("{:x}/{number}", device.0)
}

fn keep(tx: &mut Tx<'_>, account: &Address, device: DeviceId, number: u32) -> Outcome<Seq> {
    let value = Some(Bytes::from_static(b"key"));
    let owner = Owner::from(account);
    tx.put_document(
        &owner,
        NAMESPACE,
        &key(device, number),
        Expect::Anything,
        value,
    )
}

#[tokio::test]
async fn what_is_kept_for_a_device_goes_with_it() {
    let stage = stage();
    stage.node.when_devices_go(Box::new(|tx, device| {
        let owner = Owner::from(&device.account);
        let prefix = format!("{:x}/", device.id.0);
        for document in tx.documents_with(&owner, NAMESPACE, &prefix, 100).unwrap() {
            tx.erase_document(&owner, NAMESPACE, &document.key);
        }
    }));
    let first = stage.person("alice").await;
    let alice = first.address.clone();
    let mut devices = vec![first.signed_in.device.id];
    for name in ["two", "three"] {
        let person = stage.signs_in(&alice, name).await;
        devices.push(person.signed_in.device.id);
    }
    for device in devices.clone() {
        let alice = alice.clone();
        let kept = stage.node.write(move |tx| {
            for number in 0..3 {
                keep(tx, &alice, device, number)?;
            }
            // Of this batch and of the store.
            tx.erase_document(&Owner::from(&alice), NAMESPACE, &key(device, 0));
            let left = tx.documents_with(&Owner::from(&alice), NAMESPACE, &key(device, 1), 1)?;
            Ok(left.len())
        });
        assert_eq!(kept.await, Ok(1));
    }
    let count = || {
        let (store, owner) = (stage.node.store(), Owner::from(&alice));
        let found = store.documents(&owner, NAMESPACE, "", None, 100).unwrap();
        found.len()
    };
    assert_eq!(count(), 6);
    let (who, one) = (alice.clone(), devices[0]);
    let forgotten = stage
        .node
        .write(move |tx| sessions::forget_device(tx, &who, one));
    forgotten.await.unwrap();
    assert_eq!(count(), 4);
    let (who, kept) = (alice.clone(), devices[1]);
    let out = stage
        .node
        .write(move |tx| sessions::sign_out_devices(tx, &who, Some(kept)));
    out.await.unwrap();
    assert_eq!(count(), 2);
    assert!(
        stage
            .node
            .store()
            .tombstones(Seq(u64::MAX), 100)
            .unwrap()
            .iter()
            .all(|t| t.namespace != NAMESPACE)
    );
    let who = alice.clone();
    let removed = stage.node.write(move |tx| accounts::remove(tx, &who));
    removed.await.unwrap();
    assert_eq!(count(), 0);
}

#[tokio::test]
async fn whether_anybody_came_or_went_is_known_without_looking() {
    let stage = stage();
    let (alice, bob) = (stage.person("alice").await, stage.person("bob").await);
    let room = stage.room(&alice, "town", Default::default()).await;
    let before = stage.node.last_seq();
    assert!(stage.node.people_changed() <= before);
    alice.says_in(&room, "anybody?").await.unwrap();
    assert!(stage.node.people_changed() <= before);
    bob.joins(&room).await.unwrap();
    let came = stage.node.people_changed();
    assert!(came > before);
    let room = stage.node.convo(room.id()).unwrap().unwrap();
    assert!(room.members_changed > before && room.members_changed <= came);
}
