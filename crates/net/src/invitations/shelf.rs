//! Where invitations are kept: the node's own shelf, by the hash of their token.

use sammen_core::document::Owner;
use sammen_core::member::Standing;
use sammen_core::tx::{Expect, Tx, decode, encode};
use sammen_core::{Address, Name, Node, Origin, Outcome, Principal, Refusal, Timestamp};
use sammen_core::{ops, permission};

use super::{Invitation, Offer, Token};

/// The shelf.
const NAMESPACE: &str = "invitation";
/// Names that are promised (key: the account's address; value: the invitation's key).
const PROMISED: &str = "invitation-name";
/// Invitations of one account that hold, and of the node in all.
const MOST_OF_ONE: usize = 100;
const MOST: usize = 5000;
/// Rooms of one invitation.
const ROOMS: usize = 32;
/// Bytes of a label.
const LABEL: usize = 200;
/// Letters of the key that are its public name.
const ID: usize = 12;

/// Makes an invitation. Whether its inviter may is the caller's to ask (see [`super::Inviters`]).
///
/// # Errors
/// [`Refusal::TooMany`], [`Refusal::Taken`] for a name that somebody has, or what a room says to its inviter.
pub fn create(tx: &mut Tx<'_>, offer: Offer, token: &Token) -> Outcome<Invitation> {
    if offer.rooms.len() > ROOMS || offer.label.as_ref().is_some_and(|l| l.len() > LABEL) {
        return Err(Refusal::TooLarge);
    }
    let now = tx.now;
    let mut kept = Vec::new();
    for (key, invitation) in all(tx)? {
        if still(tx, &invitation, now)? {
            kept.push(invitation);
        } else {
            forget(tx, &key, &invitation)?;
        }
    }
    let own = kept.iter().filter(|i| i.offer.inviter == offer.inviter);
    let own_most = if offer.inviter.is_some() {
        MOST_OF_ONE
    } else {
        MOST
    };
    if kept.len() >= MOST || own.count() >= own_most {
        return Err(Refusal::TooMany);
    }
    for room in &offer.rooms {
        let convo = tx.room(room)?;
        if let Some(inviter) = opens(&offer) {
            permission::may_invite(&convo, &Principal::Of(inviter.clone()))?;
        }
    }
    let key = token.key();
    if let Some(name) = &offer.name {
        let address = promised_address(tx, name)?;
        if tx.is_taken(&address)? || promise(tx, &address, now)?.is_some() {
            return Err(Refusal::Taken);
        }
        let value = Some(key.clone().into_bytes().into());
        tx.put_document(
            &Owner::Node,
            PROMISED,
            address.as_str(),
            Expect::Anything,
            value,
        )?;
    }
    let invitation = Invitation {
        id: key.chars().take(ID).collect(),
        offer,
        created: now,
        used: 0,
    };
    put(tx, &key, &invitation)?;
    Ok(invitation)
}

/// The invitation that a token opens now; `None` for used, expired, revoked and unknown ones alike.
///
/// # Errors
/// When the store can't be read.
pub async fn look_up(node: &Node, token: &Token) -> Outcome<Option<Invitation>> {
    let (key, now) = (token.key(), node.now());
    node.read(move |node| {
        let found = node.store().document(&Owner::Node, NAMESPACE, &key)?;
        let found: Option<Invitation> = found.and_then(|d| d.value).and_then(|v| decode(&v));
        let Some(invitation) = found.filter(|i| i.holds(now)) else {
            return Ok(None);
        };
        let by = match &invitation.offer.inviter {
            Some(inviter) => node.account(inviter)?.is_some_and(|a| !a.disabled),
            None => true,
        };
        Ok(by.then_some(invitation))
    })
    .await
}

/// Whether an account of this name may be made with the invitation, which somebody else may have promised it.
///
/// # Errors
/// [`Refusal::NotFound`] when it does not hold or offers none, [`Refusal::Taken`] when the name is not the one.
pub fn check(tx: &mut Tx<'_>, token: &Token, who: &Address, shown: Timestamp) -> Outcome<()> {
    let (key, invitation) = holding(tx, token, shown)?;
    if !invitation.offer.account {
        return Err(Refusal::NotFound);
    }
    let name = invitation.offer.name.as_ref();
    let other = name.is_some_and(|name| name.as_str() != who.name());
    let now = tx.now;
    if other || promise(tx, who, now)?.is_some_and(|by| by != key) {
        return Err(Refusal::Taken);
    }
    Ok(())
}

/// Uses an invitation up for an account that was just made, or that accepts it: it and the inviter become contacts, and it comes into the rooms. `shown` is
/// when the invitation was looked up: what held then holds for the rest of the registration (XEP-0445 §4).
///
/// # Errors
/// [`Refusal::NotFound`] when it does not hold.
pub fn redeem(
    tx: &mut Tx<'_>,
    token: &Token,
    who: &Address,
    shown: Timestamp,
) -> Outcome<Invitation> {
    let (key, mut invitation) = holding(tx, token, shown)?;
    let offer = invitation.offer.clone();
    invitation.used += 1;
    use_up(tx, &key, &invitation)?;
    // From here on nothing refuses: what one room or list has no place for does not undo the rest.
    if let Some(inviter) = offer.inviter.as_ref().filter(|i| *i != who) {
        let _ = befriend(tx, inviter, who);
    }
    for room in &offer.rooms {
        let _ = bring_in(tx, room, opens(&offer), who);
    }
    Ok(invitation)
}

/// XEP-0379 §3.4: somebody, from anywhere, asks to see the inviter's presence and shows the token of an invitation. If
/// it is one of the inviter's, the request that follows is allowed beforehand; the answer says so, and then the inviter
/// is to ask back ([`ops::contacts::ask`]).
///
/// # Errors
/// When the store can't be read.
pub fn preapprove(
    tx: &mut Tx<'_>,
    token: &Token,
    inviter: &Address,
    who: &Address,
) -> Outcome<bool> {
    let now = tx.now;
    let (key, mut invitation) = match holding(tx, token, now) {
        Ok(found) => found,
        Err(Refusal::NotFound) => return Ok(false),
        Err(other) => return Err(other),
    };
    // A promised name is for the one who makes that account.
    if invitation.offer.inviter.as_ref() != Some(inviter) || invitation.offer.name.is_some() {
        return Ok(false);
    }
    if tx.contact(inviter, who)?.blocked || inviter == who {
        return Ok(false);
    }
    invitation.used += 1;
    use_up(tx, &key, &invitation)?;
    ops::contacts::allow(tx, inviter, who)?;
    Ok(true)
}

/// Invitations that hold: an account's own, or (`None`) everybody's.
///
/// # Errors
/// When the store can't be read.
pub async fn list(node: &Node, of: Option<&Address>) -> Outcome<Vec<Invitation>> {
    let (of, now) = (of.cloned(), node.now());
    let mut found: Vec<Invitation> = node
        .read(|node| {
            let all = node
                .store()
                .documents(&Owner::Node, NAMESPACE, "", None, MOST)?;
            let values = all.into_iter().filter_map(|d| d.value);
            Ok(values.filter_map(|v| decode(&v)).collect())
        })
        .await?;
    found.retain(|i| i.holds(now) && (of.is_none() || i.offer.inviter == of));
    found.sort_by_key(|i| i.created);
    Ok(found)
}

/// Takes an invitation back, by its id; `of` limits it to an account's own.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn revoke(tx: &mut Tx<'_>, id: &str, of: Option<&Address>) -> Outcome<()> {
    let found = all(tx)?.into_iter().find(|(_, invitation)| {
        invitation.id == id && (of.is_none() || invitation.offer.inviter.as_ref() == of)
    });
    let (key, invitation) = found.ok_or(Refusal::NotFound)?;
    forget(tx, &key, &invitation)
}

/// Whether a name is kept for who has a certain invitation; asked before an account is made without it.
///
/// # Errors
/// When the store can't be read.
pub fn name_is_promised(tx: &mut Tx<'_>, address: &Address) -> Outcome<bool> {
    let now = tx.now;
    Ok(promise(tx, address, now)?.is_some())
}

fn promise(tx: &mut Tx<'_>, address: &Address, now: Timestamp) -> Outcome<Option<String>> {
    let found = tx.document(&Owner::Node, PROMISED, address.as_str())?;
    let Some(key) = found.and_then(|d| d.value) else {
        return Ok(None);
    };
    let key = String::from_utf8_lossy(&key).into_owned();
    let held = get(tx, &key)?.is_some_and(|i| i.holds(now));
    Ok(held.then_some(key))
}

/// Who has to be allowed to invite into the rooms; `None` where the operator opens them.
fn opens(offer: &Offer) -> Option<&Address> {
    offer.inviter.as_ref().filter(|_| !offer.by_operator)
}

fn promised_address(tx: &Tx<'_>, name: &Name) -> Outcome<Address> {
    let domain = tx.domains().first().ok_or(Refusal::NotFound)?;
    Ok(Address::account(domain, name))
}

fn holding(tx: &mut Tx<'_>, token: &Token, shown: Timestamp) -> Outcome<(String, Invitation)> {
    let key = token.key();
    let found = get(tx, &key)?.filter(|i| i.holds(shown));
    let invitation = found.ok_or(Refusal::NotFound)?;
    if !still(tx, &invitation, shown)? {
        return Err(Refusal::NotFound);
    }
    Ok((key, invitation))
}

/// Whether it holds and its inviter is still somebody here.
fn still(tx: &mut Tx<'_>, invitation: &Invitation, now: Timestamp) -> Outcome<bool> {
    let there = match &invitation.offer.inviter {
        Some(inviter) => tx.account(inviter)?.is_some_and(|a| !a.disabled),
        None => true,
    };
    Ok(there && invitation.holds(now))
}

fn befriend(tx: &mut Tx<'_>, inviter: &Address, who: &Address) -> Outcome<()> {
    // Each allows beforehand, then asks: so nobody is asked anything (RFC 6121 §3.4).
    ops::contacts::allow(tx, inviter, who)?;
    ops::contacts::ask(tx, who, inviter, Vec::new())?;
    ops::contacts::allow(tx, who, inviter)?;
    ops::contacts::ask(tx, inviter, who, Vec::new())
}

fn bring_in(
    tx: &mut Tx<'_>,
    room: &Address,
    inviter: Option<&Address>,
    who: &Address,
) -> Outcome<()> {
    let id = tx.room(room)?.id();
    let origin = Origin::default();
    match inviter {
        Some(inviter) => {
            let by = Principal::Of(inviter.clone());
            ops::rooms::invite(tx, &by, id, who, None, &origin)?;
        }
        None => {
            let convo = tx.convo(id)?;
            if convo.standing(who) == Standing::None {
                let (node, member) = (Principal::Node, Standing::Member);
                ops::rooms::set_standing(tx, &node, id, who, member, None, &origin)?;
            }
        }
    }
    let password = tx.convo(id)?.conversation.settings.password.clone();
    ops::rooms::join(tx, who, id, None, password.as_deref(), &|_| false, &origin)?;
    Ok(())
}

fn all(tx: &mut Tx<'_>) -> Outcome<Vec<(String, Invitation)>> {
    let documents = tx.documents(&Owner::Node, NAMESPACE, MOST * 2)?;
    let read = |d: sammen_core::document::Document| Some((d.key, decode(&d.value?)?));
    Ok(documents.into_iter().filter_map(read).collect())
}

fn get(tx: &mut Tx<'_>, key: &str) -> Outcome<Option<Invitation>> {
    let found = tx.document(&Owner::Node, NAMESPACE, key)?;
    Ok(found.and_then(|d| d.value).and_then(|v| decode(&v)))
}

fn put(tx: &mut Tx<'_>, key: &str, invitation: &Invitation) -> Outcome<()> {
    let value = Some(encode(invitation)?);
    tx.put_document(&Owner::Node, NAMESPACE, key, Expect::Anything, value)?;
    Ok(())
}

fn use_up(tx: &mut Tx<'_>, key: &str, invitation: &Invitation) -> Outcome<()> {
    if invitation.left() == Some(0) {
        forget(tx, key, invitation)
    } else {
        put(tx, key, invitation)
    }
}

fn forget(tx: &mut Tx<'_>, key: &str, invitation: &Invitation) -> Outcome<()> {
    tx.put_document(&Owner::Node, NAMESPACE, key, Expect::Anything, None)?;
    if let Some(name) = &invitation.offer.name {
        let address = promised_address(tx, name)?;
        tx.put_document(
            &Owner::Node,
            PROMISED,
            address.as_str(),
            Expect::Anything,
            None,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Accounts;
    use crate::credentials::Iterations;
    use crate::throttle::ThrottleConfig;
    use sammen_core::memory::MemoryStore;
    use sammen_core::{Domain, Options, RoomName, Settings};
    use std::sync::Arc;

    struct Town {
        node: Node,
        accounts: Arc<Accounts>,
        domain: Domain,
    }

    impl Town {
        async fn new() -> Self {
            let domain = Domain::new("example.org").unwrap();
            let options = Options::new(domain.clone());
            let node = Node::start(Arc::new(MemoryStore::new()), options).unwrap();
            let quick = Iterations::quick();
            let accounts = Accounts::open(node.clone(), quick, ThrottleConfig::default());
            let accounts = accounts.await.unwrap();
            let town = Self {
                node,
                accounts,
                domain,
            };
            let alice = Name::new("alice").unwrap();
            let made = town
                .accounts
                .create(&town.domain, &alice, "open sesame".into(), false);
            made.await.unwrap();
            town
        }

        fn address(&self, name: &str) -> Address {
            Address::account(&self.domain, &Name::new(name).unwrap())
        }

        async fn invite(&self, offer: Offer) -> Outcome<(Token, Invitation)> {
            let token = Token::random(&mut rand::rng());
            let made = token.clone();
            let invitation = self.node.write(move |tx| create(tx, offer, &made)).await?;
            Ok((token, invitation))
        }

        async fn comes(&self, name: &str, token: &Token) -> Result<Address, String> {
            let (name, now) = (Name::new(name).unwrap(), self.node.now());
            let password = "open sesame".into();
            let made = self
                .accounts
                .create_invited(&self.domain, &name, password, token, now);
            made.await.map_err(|e| e.to_string())
        }
    }

    fn for_account(inviter: Option<Address>) -> Offer {
        Offer {
            inviter,
            account: true,
            uses: Some(1),
            ..Offer::default()
        }
    }

    #[tokio::test]
    async fn who_comes_by_invitation_is_a_contact_and_in_the_rooms() {
        let town = Town::new().await;
        let alice = town.address("alice");
        let room = Address::room(&town.domain, &RoomName::new("town").unwrap());
        let (by, at) = (Principal::Of(alice.clone()), room.clone());
        let closed = Settings {
            join_rule: sammen_core::conversation::JoinRule::Members,
            password: Some("knock".into()),
            ..Settings::default()
        };
        let made = town
            .node
            .write(move |tx| ops::rooms::create(tx, &by, &at, closed, None, &Origin::default()));
        made.await.unwrap();
        let offer = Offer {
            rooms: vec![room.clone()],
            ..for_account(Some(alice.clone()))
        };
        let (token, _) = town.invite(offer).await.unwrap();
        assert!(look_up(&town.node, &token).await.unwrap().is_some());
        let bob = town.comes("bob", &token).await.unwrap();
        let contacts = town.node.contacts(&alice).unwrap();
        assert!(
            contacts
                .get(&bob)
                .is_some_and(|c| c.sees && c.seen && c.listed)
        );
        let contacts = town.node.contacts(&bob).unwrap();
        assert!(
            contacts
                .get(&alice)
                .is_some_and(|c| c.sees && c.seen && c.listed)
        );
        assert!(town.node.room(&room).unwrap().unwrap().has(&bob));
        // It was for one.
        assert!(look_up(&town.node, &token).await.unwrap().is_none());
        assert!(town.comes("carol", &token).await.is_err());
        assert!(town.node.account(&town.address("carol")).unwrap().is_none());
    }

    #[tokio::test]
    async fn a_promised_name_waits_for_its_invitation() {
        let town = Town::new().await;
        let named = |name| Offer {
            name: Some(Name::new(name).unwrap()),
            ..for_account(None)
        };
        assert_eq!(
            town.invite(named("alice")).await.err(),
            Some(Refusal::Taken)
        );
        let (token, invitation) = town.invite(named("juliet")).await.unwrap();
        assert_eq!(
            town.invite(named("juliet")).await.err(),
            Some(Refusal::Taken)
        );
        let juliet = Name::new("juliet").unwrap();
        let made = town
            .accounts
            .create(&town.domain, &juliet, "open sesame".into(), false);
        assert!(made.await.is_err(), "the name is promised");
        assert!(
            town.comes("romeo", &token).await.is_err(),
            "for one name only"
        );
        let id = invitation.id;
        town.node
            .write(move |tx| revoke(tx, &id, None))
            .await
            .unwrap();
        assert!(town.comes("juliet", &token).await.is_err(), "taken back");
        let made = town
            .accounts
            .create(&town.domain, &juliet, "open sesame".into(), false);
        made.await.unwrap();
    }

    #[tokio::test]
    async fn invitations_end_with_their_time_and_their_inviter() {
        let town = Town::new().await;
        let alice = town.address("alice");
        let offer = Offer {
            expires: Some(Timestamp(town.node.now().0 - 1)),
            ..for_account(Some(alice.clone()))
        };
        let (late, _) = town.invite(offer).await.unwrap();
        assert!(look_up(&town.node, &late).await.unwrap().is_none());
        assert!(town.comes("bob", &late).await.is_err());
        let (token, _) = town.invite(for_account(Some(alice.clone()))).await.unwrap();
        assert_eq!(list(&town.node, Some(&alice)).await.unwrap().len(), 1);
        assert_eq!(
            list(&town.node, Some(&town.address("bob")))
                .await
                .unwrap()
                .len(),
            0
        );
        town.accounts.remove(&alice).await.unwrap();
        assert!(look_up(&town.node, &token).await.unwrap().is_none());
        assert!(town.comes("bob", &token).await.is_err());
        let only_contact = Offer {
            account: false,
            ..for_account(None)
        };
        let (token, _) = town.invite(only_contact).await.unwrap();
        assert!(
            town.comes("bob", &token).await.is_err(),
            "no account was offered"
        );
    }

    #[tokio::test]
    async fn a_token_allows_its_inviters_presence_only() {
        let town = Town::new().await;
        let alice = town.address("alice");
        let stranger = Address::new("xmpp:bob@other.net").unwrap();
        let offer = Offer {
            account: false,
            ..for_account(Some(alice.clone()))
        };
        let (token, _) = town.invite(offer).await.unwrap();
        for (inviter, allowed) in [("mallory", false), ("alice", true), ("alice", false)] {
            let (inviter, who, token) = (town.address(inviter), stranger.clone(), token.clone());
            let asked = town
                .node
                .write(move |tx| preapprove(tx, &token, &inviter, &who));
            assert_eq!(asked.await, Ok(allowed), "once, and for her alone");
        }
        let contacts = town.node.contacts(&alice).unwrap();
        assert!(contacts.get(&stranger).is_some_and(|c| c.approved));
    }
}
