//! Accounts as sign-in sees them: made, found, changed; what is revoked ends what came in by it, and nothing else.

use std::sync::Arc;

use sammen_core::memory::MemoryStore;
use sammen_core::ops::sessions::SignIn;
use sammen_core::{
    CloseReason, Credential, Delivery, Domain, Name, Node, Options, Protocol, Refusal,
};
use sammen_net::ThrottleConfig;
use sammen_net::accounts::{AccountError, Accounts};
use sammen_net::credentials::{Credentials, Iterations, PasswordId, Scopes};
use sammen_net::sasl::{Lookup, Wanted};

#[tokio::test]
async fn accounts_are_made_found_and_changed() {
    let domain = Domain::new("example.org").unwrap();
    let node = Node::start(Arc::new(MemoryStore::new()), Options::new(domain.clone())).unwrap();
    let accounts = Accounts::open(node, Iterations::quick(), ThrottleConfig::default())
        .await
        .unwrap();
    let alice = Name::new("alice").unwrap();
    let made = accounts
        .create(&domain, &alice, "open sesame".into(), false)
        .await
        .unwrap();
    let again = accounts
        .create(&domain, &alice, "some other words".into(), false)
        .await;
    assert!(matches!(again, Err(AccountError::Refused(Refusal::Taken))));
    for name in ["alice", "Alice", "ALICE@example.org"] {
        let found = accounts.lookup(&domain, &Wanted::Name(name.into())).await;
        assert!(matches!(found, Ok(Lookup::Found(f)) if &*f.account == made.as_str()));
    }
    for name in ["bob", "alice@other.org", ""] {
        let found = accounts.lookup(&domain, &Wanted::Name(name.into())).await;
        assert!(matches!(found, Ok(Lookup::Nobody { .. })), "{name}");
    }
    let before = accounts.credentials(&made).await.unwrap().unwrap();
    accounts
        .change(&made, |c| {
            c.set_passphrase(
                &"other words".into(),
                Iterations::quick(),
                0,
                &mut rand::rng(),
            )
        })
        .await
        .unwrap();
    let after = accounts.credentials(&made).await.unwrap().unwrap();
    assert!(before.matching_password(&"open sesame".into()).is_some());
    assert!(after.matching_password(&"open sesame".into()).is_none());
    assert!(after.matching_password(&"other words".into()).is_some());
}

#[tokio::test]
async fn what_is_revoked_ends_the_sessions_that_came_in_by_it_and_lets_none_in_that_was_under_way()
{
    let domain = Domain::new("example.org").unwrap();
    let node = Node::start(Arc::new(MemoryStore::new()), Options::new(domain.clone())).unwrap();
    let accounts = Accounts::open(node.clone(), Iterations::quick(), ThrottleConfig::default())
        .await
        .unwrap();
    let name = Name::new("alice").unwrap();
    let alice = accounts
        .create(&domain, &name, "open sesame".into(), false)
        .await
        .unwrap();
    let everywhere = Scopes::everywhere;
    let app =
        move |c: &mut Credentials| c.add_app_password("phone", everywhere(), 0, &mut rand::rng());
    let (phone, _) = accounts.change(&alice, app).await.unwrap();
    let stamp = || async { accounts.credentials(&alice).await.unwrap().unwrap().stamp() };
    let how = |label: &str, credential: Option<Credential>, stamp| SignIn {
        account: alice.clone(),
        protocol: Protocol::Node,
        device: Some(label.into()),
        device_label: None,
        credential,
        stamp: Some(stamp),
        label: label.into(),
    };
    let first = stamp().await;
    let own = node.sign_in(how("own", None, first)).await.unwrap();
    let other = node.sign_in(how("other", None, first)).await.unwrap();
    let came_by = |id: &PasswordId| Credential {
        id: id.to_string(),
        name: "phone".into(),
    };
    let mobile = node
        .sign_in(how("mobile", Some(came_by(&phone)), first))
        .await
        .unwrap();
    // Something else that is called the same, as a token of the API may be.
    let other_phone = Credential {
        id: "token-1".into(),
        name: "phone".into(),
    };
    let script = node.sign_in(how("script", Some(other_phone), first)).await;
    let script = script.unwrap();
    let closed = |s: &sammen_core::ops::sessions::SignedIn| {
        let mut queue = Vec::new();
        s.session.mailbox.take(&mut queue, 100);
        queue
            .iter()
            .any(|d| matches!(d, Delivery::Closed(CloseReason::SignedOut)))
    };

    // A new passphrase, from one session: the other one that came in by the old one ends, the phone stays.
    let new = |c: &mut Credentials| {
        c.set_passphrase(
            &"other words".into(),
            Iterations::quick(),
            0,
            &mut rand::rng(),
        )
    };
    let by = Some(own.device.id);
    accounts.change_from(&alice, by, new).await.unwrap();
    assert_eq!(
        [closed(&own), closed(&other), closed(&mobile)],
        [false, true, false]
    );
    // Whoever had shown the old one and had not begun yet does not get in.
    let late = node.sign_in(how("late", None, first)).await;
    assert!(matches!(late, Err(Refusal::Forbidden(_))));
    node.sign_in(how("again", None, stamp().await))
        .await
        .unwrap();

    let revoke = move |c: &mut Credentials| Ok(c.remove_password(phone, &mut rand::rng()));
    assert!(accounts.change(&alice, revoke).await.unwrap());
    assert_eq!(
        [closed(&own), closed(&mobile), closed(&script)],
        [false, true, false]
    );
    // A new one gets the name; taking the old one away once more does not touch it.
    let (again, _) = accounts.change(&alice, app).await.unwrap();
    let now = stamp().await;
    let mobile = node
        .sign_in(how("mobile", Some(came_by(&again)), now))
        .await;
    let mobile = mobile.unwrap();
    assert!(!accounts.change(&alice, revoke).await.unwrap());
    assert!(!closed(&mobile));
    let revoke = move |c: &mut Credentials| Ok(c.remove_password(again, &mut rand::rng()));
    assert!(accounts.change(&alice, revoke).await.unwrap());
    assert!(closed(&mobile) && !closed(&script));
    let left = node.store().devices(&alice).unwrap();
    let left: Vec<_> = left.iter().map(|d| d.key.as_str()).collect();
    assert_eq!(
        left,
        ["own", "script", "again"],
        "nor does what was revoked resume"
    );
}

#[tokio::test]
async fn a_certificate_outlives_neither_its_removal_nor_its_account() {
    let domain = Domain::new("example.org").unwrap();
    let node = Node::start(Arc::new(MemoryStore::new()), Options::new(domain.clone())).unwrap();
    let accounts = Accounts::open(node, Iterations::quick(), ThrottleConfig::default())
        .await
        .unwrap();
    let mut people = Vec::new();
    for name in ["alice", "bob"] {
        let name = Name::new(name).unwrap();
        let made = accounts.create(&domain, &name, "open sesame".into(), false);
        people.push(made.await.unwrap());
    }
    let shows = Wanted::Certificate {
        fingerprint: [7; 32],
        authzid: None,
    };
    let add = |c: &mut Credentials| {
        let scopes = Scopes::everywhere();
        c.add_certificate("laptop", [7; 32], scopes, 0, &mut rand::rng())
    };
    for owner in &people {
        let found = accounts.lookup(&domain, &shows).await;
        assert!(matches!(found, Ok(Lookup::Nobody { .. })));
        accounts.change(owner, add).await.unwrap();
        let found = accounts.lookup(&domain, &shows).await;
        assert!(matches!(found, Ok(Lookup::Found(f)) if &*f.account == owner.as_str()));
        accounts.remove(owner).await.unwrap();
    }
    let found = accounts.lookup(&domain, &shows).await;
    assert!(matches!(found, Ok(Lookup::Nobody { .. })));
}
