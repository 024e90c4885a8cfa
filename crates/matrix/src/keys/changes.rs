//! Whose keys changed since a token, and who no longer shares a room ("Tracking the device list for a user").
//!
//! A change is one document per account on the node's shelf: its version is when it changed last. Who shares a room is
//! core's; nothing is kept per device.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use ruma::OwnedUserId;
use ruma::api::client::keys::get_key_changes;
use sammen_core::address::AddressParts;
use sammen_core::document::Owner;
use sammen_core::token::Token;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, Convo, Outcome, Seq};

use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::names;
use crate::server::Matrix;

/// Accounts whose keys changed; never deleted, so that a removed account's change is seen too.
const NAMESPACE: &str = "matrix.keys.changed";
/// The same on an account's own shelf: what it signed, which nobody else sees.
const SEEN: &str = "matrix.keys.seen";
const STEP: usize = 500;

/// Device lists that a client has to look at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Their keys changed, or they share a room with the account only now.
    pub changed: Vec<OwnedUserId>,
    /// They no longer share a room with the account.
    pub left: Vec<OwnedUserId>,
}

impl Changed {
    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }
}

/// An account's keys changed, in the writer: everybody who shares a room with it is woken after the commit and finds it
/// in [`changed`].
///
/// # Errors
/// When the batch can't take it.
pub(crate) fn note(tx: &mut Tx<'_>, matrix: &Matrix, account: &Address) -> Outcome<()> {
    let value = Some(Bytes::from_static(b"{}"));
    let key = account.as_str();
    let version = tx.put_document(&Owner::Node, NAMESPACE, key, Expect::Anything, value)?;
    // Before the commit: a token that is made right after it must not overlook this.
    matrix.keys.note_change(version);
    let mut convos = Vec::new();
    for id in tx.conversations_of(account)? {
        convos.push(tx.convo(id)?);
    }
    let (bells, account) = (matrix.bells.clone(), account.clone());
    tx.after(move |_| {
        bells.ring_where(|who| *who == account || convos.iter().any(|c| shares(c, &account, who)));
    });
    Ok(())
}

/// Somebody's keys changed for the eyes of one account only, in the writer: the account signed them.
///
/// # Errors
/// When the batch can't take it.
pub(super) fn note_for(
    tx: &mut Tx<'_>,
    matrix: &Matrix,
    account: &Address,
    who: &Address,
) -> Outcome<()> {
    let (owner, value) = (Owner::from(account), Some(Bytes::from_static(b"{}")));
    let version = tx.put_document(&owner, SEEN, who.as_str(), Expect::Anything, value)?;
    matrix.keys.note_change(version);
    matrix.ring_after(tx, account);
    Ok(())
}

/// What changed for an account after `since` and up to `upto`, among the people of this node with whom it shares any
/// room or direct conversation. Somebody can be named again later without a reason; nobody is left out. Blocking; costs
/// nothing where nobody's keys and no conversation changed since.
///
/// # Errors
/// When the store can't be read.
pub fn changed(matrix: &Matrix, account: &Address, since: Seq, upto: Seq) -> Answer<Changed> {
    let node = &matrix.node;
    if since >= upto || since >= node.people_changed().max(matrix.keys.last_change()) {
        return Ok(Changed::default());
    }
    let mut convos = Vec::new();
    for id in node.store().conversations_of(account)? {
        convos.extend(node.convo(id)?);
    }
    let within = |seq: Seq| since < seq && seq <= upto;
    let (mut changed, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for convo in &convos {
        came_and_went(convo, account, within, &mut changed, &mut gone);
    }
    for who in named(matrix, &Owner::Node, NAMESPACE, since, upto)? {
        if who == *account || convos.iter().any(|c| shares(c, account, &who)) {
            changed.insert(who);
        }
    }
    changed.extend(named(matrix, &Owner::from(account), SEEN, since, upto)?);
    gone.retain(|who| !changed.contains(who) && !convos.iter().any(|c| shares(c, account, who)));
    let ids = |people: BTreeSet<Address>| {
        let ours = people.into_iter().filter(|who| is_ours(matrix, who));
        ours.filter_map(|who| names::user_id(&who, &matrix.name))
            .collect()
    };
    Ok(Changed {
        changed: ids(changed),
        left: ids(gone),
    })
}

/// Whom the documents of a window name. Nothing is deleted there, so nothing is ever forgotten.
fn named(
    matrix: &Matrix,
    owner: &Owner,
    namespace: &str,
    since: Seq,
    upto: Seq,
) -> Answer<Vec<Address>> {
    let (mut found, mut after) = (Vec::new(), since);
    loop {
        let store = matrix.node.store();
        let page = store.documents_since(owner, namespace, after, STEP)?;
        let page = page.unwrap_or_default();
        let Some(last) = page.last() else {
            return Ok(found);
        };
        after = last.version;
        let within = page.iter().take_while(|d| d.version <= upto);
        found.extend(within.filter_map(|d| Address::new(&d.key).ok()));
        if after > upto {
            return Ok(found);
        }
    }
}

/// Whether both are in a conversation now.
fn shares(convo: &Arc<Convo>, one: &Address, other: &Address) -> bool {
    !convo.conversation.destroyed && convo.has(one) && convo.has(other)
}

fn came_and_went(
    convo: &Arc<Convo>,
    account: &Address,
    within: impl Fn(Seq) -> bool,
    changed: &mut BTreeSet<Address>,
    gone: &mut BTreeSet<Address>,
) {
    let whole = within(convo.conversation.changed);
    if let Some((a, b)) = convo.conversation.pair() {
        if whole {
            changed.insert(if a == account { b.clone() } else { a.clone() });
        }
        return;
    }
    // Ended rooms let everybody go at once.
    let whole = whole && convo.conversation.destroyed;
    let whole = whole || convo.member(account).is_some_and(|m| within(m.changed));
    for member in convo.members.values().filter(|m| m.address != *account) {
        if !whole && !within(member.changed) {
            continue;
        }
        if shares(convo, account, &member.address) {
            changed.insert(member.address.clone());
        } else {
            gone.insert(member.address.clone());
        }
    }
}

/// Whether this node has the keys of an address: it is an account here.
pub(super) fn is_ours(matrix: &Matrix, address: &Address) -> bool {
    match address.parts() {
        AddressParts::Account { domain, .. } => {
            let mut domains = matrix.node.domains().iter();
            domains.any(|d| d.as_str() == domain)
        }
        _ => false,
    }
}

/// `GET /keys/changes`.
pub(super) async fn changes(
    matrix: Arc<Matrix>,
    ask: Ask<get_key_changes::v3::Request>,
) -> Answer<get_key_changes::v3::Response> {
    let token = |text: &str| {
        let read = Token::decode(text, matrix.node.epoch());
        read.ok_or_else(|| Fault::invalid("this token is not valid: sync anew"))
    };
    let (from, to) = (token(&ask.request.from)?, token(&ask.request.to)?);
    let found = matrix
        .read(move |matrix| changed(matrix, ask.who.address(), from.seq, to.seq))
        .await?;
    Ok(get_key_changes::v3::Response::new(
        found.changed,
        found.left,
    ))
}
