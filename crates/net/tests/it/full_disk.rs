//! Credentials while the disk is full: changed whole, or as they were.

use std::sync::Arc;

use sammen_core::memory::MemoryStore;
use sammen_core::node::Options;
use sammen_core::ops::sessions::SignIn;
use sammen_core::{CloseReason, Delivery, Domain, Name, Node, Protocol, Refusal};
use sammen_net::ThrottleConfig;
use sammen_net::accounts::{AccountError, Accounts};
use sammen_net::credentials::{Credentials, Iterations};

#[tokio::test]
async fn a_new_passphrase_on_a_full_disk_holds_or_the_old_one_stays() {
    let store = Arc::new(MemoryStore::new());
    let domain = Domain::new("example.org").unwrap();
    let node = Node::start(store.clone(), Options::new(domain.clone())).unwrap();
    let accounts = Accounts::open(node.clone(), Iterations::quick(), ThrottleConfig::default())
        .await
        .unwrap();
    let alice = accounts
        .create(
            &domain,
            &Name::new("alice").unwrap(),
            "open sesame".into(),
            false,
        )
        .await
        .unwrap();
    let known = async || accounts.credentials(&alice).await.unwrap().unwrap();
    let signs_in = async |label: &str| {
        let how = SignIn {
            account: alice.clone(),
            protocol: Protocol::Node,
            device: Some(label.into()),
            device_label: None,
            credential: None,
            stamp: Some(known().await.stamp()),
            label: label.into(),
        };
        node.sign_in(how).await.unwrap()
    };
    let holds = async |phrase: &str| known().await.matching_password(&phrase.into()).is_some();
    let new = |c: &mut Credentials| {
        c.set_passphrase(
            &"other words".into(),
            Iterations::quick(),
            0,
            &mut rand::rng(),
        )
    };
    let own = signs_in("own").await;
    let by = Some(own.device.id);
    store.fill(true);
    let refused = accounts.change_from(&alice, by, new).await;
    assert!(matches!(
        refused,
        Err(AccountError::Refused(Refusal::DiskFull))
    ));
    assert!(holds("open sesame").await && !holds("other words").await);

    // Where it takes something away (another device that came in by the old one), it is among what goes on.
    store.fill(false);
    let other = signs_in("other").await;
    store.fill(true);
    accounts.change_from(&alice, by, new).await.unwrap();
    assert!(!holds("open sesame").await && holds("other words").await);
    let mut queue = Vec::new();
    other.session.mailbox.take(&mut queue, 100);
    let ended = |d: &Delivery| matches!(d, Delivery::Closed(CloseReason::SignedOut));
    assert!(queue.iter().any(ended));
}
