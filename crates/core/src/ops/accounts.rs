//! Accounts: making, changing, disabling, removing.

use std::sync::Arc;

use crate::account::Account;
use crate::address::{Address, Domain, Name};
use crate::document::Owner;
use crate::ids::Seq;
use crate::mailbox::CloseReason;
use crate::ops::{contacts, erase, rooms};
use crate::principal::{Origin, Principal};
use crate::refusal::{Outcome, Refusal};
use crate::store::Write;
use crate::tx::Tx;

/// Longest name that people read, in bytes.
const NAME_BYTES: usize = 256;

/// Makes an account. A removed account's name is not given out again.
///
/// # Errors
/// When the name is taken or reserved, or the domain is not ours.
pub fn create(
    tx: &mut Tx<'_>,
    domain: &Domain,
    name: &Name,
    by_admin: bool,
) -> Outcome<Arc<Account>> {
    if !tx.shared.domains.contains(domain) {
        return Err(Refusal::NotFound);
    }
    if name.is_reserved() && !by_admin {
        return Err(Refusal::InvalidName);
    }
    let address = Address::account(domain, name);
    let here = tx.accounts.get(&address).cloned().flatten();
    if here.is_some() || tx.shared.account(tx.store, &address)?.is_some() {
        return Err(Refusal::Taken);
    }
    Ok(tx.put_account(Account::new(address, tx.now)))
}

/// Changes an account's record. A disabled account's sessions end.
///
/// # Errors
/// When it is gone, or its new name is too long.
pub fn change(
    tx: &mut Tx<'_>,
    address: &Address,
    change: impl FnOnce(&mut Account),
) -> Outcome<Arc<Account>> {
    let known = tx.account(address)?.ok_or(Refusal::NotFound)?;
    let mut account = (*known).clone();
    change(&mut account);
    if account
        .display_name
        .as_ref()
        .is_some_and(|n| n.len() > NAME_BYTES)
    {
        return Err(Refusal::TooLarge);
    }
    if account.disabled && !known.disabled {
        let address = address.clone();
        tx.after(move |live| live.close(&address, CloseReason::SignedOut, None));
    }
    Ok(tx.put_account(account))
}

/// Removes an account: sessions end, memberships and contacts end, its documents, devices and blobs go, and what it
/// wrote is erased batch by batch (see [`erase::erase_author`]). The name stays taken.
///
/// # Errors
/// When it is gone already.
pub fn remove(tx: &mut Tx<'_>, address: &Address) -> Outcome<()> {
    let known = tx.account(address)?.ok_or(Refusal::NotFound)?;
    let origin = Origin::default();
    for id in tx.store.conversations_of(address)? {
        let convo = tx.convo(id)?;
        if convo.is_room()
            && convo
                .member(address)
                .is_some_and(|m| m.membership > crate::member::Membership::Left)
        {
            rooms::leave(tx, address, id, None, &origin)?;
        }
    }
    let list: Vec<_> = tx.contacts(address)?.keys().cloned().collect();
    for of in list {
        contacts::deny(tx, address, &of)?;
        contacts::unsubscribe(tx, address, &of)?;
    }
    for device in tx.devices(address)? {
        tx.remove_device(&device);
    }
    for (slot, blob) in tx.store.blobs_of(address)? {
        tx.write(Write::BlobRef {
            id: blob.id,
            owner: address.clone(),
            slot,
            remove: true,
            at: tx.now,
        });
    }
    tx.contacts.insert(address.clone(), Arc::default());
    let mut gone = Account::new(address.clone(), known.created);
    gone.removed = true;
    gone.disabled = true;
    gone.generation = known.generation + 1;
    tx.put_account(gone);
    erase::erase_author(tx, address, Seq(0), 256)?;
    // Behind all that was written on the account's shelf.
    tx.write(Write::ForgetDocuments(Owner::from(address)));
    let account = address.clone();
    tx.after(move |live| live.close(&account, CloseReason::SignedOut, None));
    Ok(())
}

/// Whether a principal may administer the node.
///
/// # Errors
/// When it may not.
pub fn may_administer(tx: &mut Tx<'_>, who: &Principal) -> Outcome<()> {
    match who {
        Principal::Node | Principal::Admin(_) => Ok(()),
        Principal::Of(address) if tx.account(address)?.is_some_and(|a| a.admin) => Ok(()),
        Principal::Of(_) => Err(Refusal::Forbidden("only administrators do that")),
    }
}
