//! Contacts: the list, asking to see someone's presence, blocking. The state tables are RFC 6121 §3 and Appendix A.

use std::sync::Arc;

use crate::address::Address;
use crate::contact::Contact;
use crate::live::{ContactCause, Presence, Show, StateChange};
use crate::refusal::{Outcome, Refusal};
use crate::tx::Tx;

fn tell(
    tx: &mut Tx<'_>,
    account: &Address,
    contact: &Address,
    value: Arc<Contact>,
    cause: ContactCause,
) {
    let change = StateChange::Contact {
        account: account.clone(),
        contact: contact.clone(),
        value,
        cause,
    };
    tx.tell_account(account, change);
}

fn put(
    tx: &mut Tx<'_>,
    account: &Address,
    of: &Address,
    contact: Contact,
    cause: ContactCause,
) -> Outcome<Arc<Contact>> {
    let value = tx.put_contact(account, of, contact)?;
    tell(tx, account, of, value.clone(), cause);
    Ok(value)
}

/// Puts someone on the list, or changes the name and groups given to them.
///
/// # Errors
/// When the list is full or the words are too long.
pub fn set(
    tx: &mut Tx<'_>,
    account: &Address,
    of: &Address,
    name: Option<String>,
    groups: Vec<String>,
) -> Outcome<Arc<Contact>> {
    if account == of {
        return Err(Refusal::Forbidden("you can't be your own contact"));
    }
    let contacts = tx.contacts(account)?;
    if !contacts.contains_key(of) && contacts.len() >= tx.limits().contacts {
        return Err(Refusal::TooMany);
    }
    let long = groups.len() > 64
        || groups.iter().any(|g| g.len() > 1023)
        || name.as_ref().is_some_and(|n| n.len() > 1023);
    if long {
        return Err(Refusal::TooLarge);
    }
    let mut contact = contacts.get(of).cloned().unwrap_or_default();
    contact.listed = true;
    contact.accepted = true;
    contact.name = name;
    contact.groups = groups;
    put(tx, account, of, contact, ContactCause::Edited)
}

/// Takes someone off the list; both stop seeing each other's presence (RFC 6121 §2.5).
///
/// # Errors
/// When they are not on it.
pub fn remove(tx: &mut Tx<'_>, account: &Address, of: &Address) -> Outcome<Arc<Contact>> {
    let contact = tx.contact(account, of)?;
    if !contact.listed {
        return Err(Refusal::NotFound);
    }
    if contact.seen || contact.asks.is_some() {
        deny(tx, account, of)?;
    }
    if contact.sees || contact.asked {
        unsubscribe(tx, account, of)?;
    }
    let contact = Contact {
        blocked: contact.blocked,
        ..Contact::default()
    };
    put(tx, account, of, contact, ContactCause::Removed)
}

/// Asks to see someone's presence (`subscribe`). `note` is what the asker's client wrote, shown until it is answered.
/// Returns whether the other side has something to answer.
///
/// # Errors
/// When there is no such account, or one blocked the other.
pub fn ask(tx: &mut Tx<'_>, account: &Address, of: &Address, note: Vec<u8>) -> Outcome<()> {
    if account == of {
        return Err(Refusal::Forbidden("you can't be your own contact"));
    }
    if note.len() > 8192 {
        return Err(Refusal::TooLarge);
    }
    let mut mine = tx.contact(account, of)?;
    if tx.is_blocked(account, of)? {
        return Err(Refusal::Blocked);
    }
    if tx.contacts(account)?.len() >= tx.limits().contacts {
        return Err(Refusal::TooMany);
    }
    mine.listed = true;
    mine.accepted = true;
    if let Some(name) = of.network()
        && !tx.speaks(name)
    {
        return Err(Refusal::Unreachable);
    }
    if !mine.sees {
        mine.asked = true;
        put(tx, account, of, mine, ContactCause::Edited)?;
    }
    receive_ask(tx, of, account, note)
}

/// What an account did reaches somebody on another network: the network says it in its own words. The contact that it
/// carries has nothing but the note, for [`ContactCause::Asks`].
fn tell_elsewhere(
    tx: &mut Tx<'_>,
    whom: &Address,
    by: &Address,
    cause: ContactCause,
    note: Option<Vec<u8>>,
) {
    let value = Arc::new(Contact {
        asks: note,
        ..Contact::default()
    });
    tell(tx, whom, by, value, cause);
}

/// Someone asks this account; also called for people of other networks.
///
/// # Errors
/// When the store can't be read.
pub fn receive_ask(
    tx: &mut Tx<'_>,
    account: &Address,
    from: &Address,
    note: Vec<u8>,
) -> Outcome<()> {
    if account.network().is_some() {
        tell_elsewhere(tx, account, from, ContactCause::Asks, Some(note));
        return Ok(());
    }
    if !account.is_account() {
        return Ok(());
    }
    // A stranger must not learn which accounts exist, so nothing is said.
    if tx.account(account)?.is_none() {
        return Ok(());
    }
    let mut theirs = tx.contact(account, from)?;
    if tx.is_blocked(account, from)? {
        return Ok(());
    }
    if theirs.seen {
        // Allowed already: say so again (RFC 6121 §3.1.3).
        return receive_allow(tx, from, account);
    }
    if theirs.approved {
        return allow(tx, account, from);
    }
    // A.3.1: a question that waits for its answer is not asked twice.
    if theirs.asks.is_some() {
        return Ok(());
    }
    let waiting = tx.contacts(account)?;
    if waiting.values().filter(|c| c.asks.is_some()).count() >= 500 {
        return Err(Refusal::TooMany);
    }
    theirs.asks = Some(note);
    put(tx, account, from, theirs, ContactCause::Asks).map(drop)
}

/// Lets someone see the own presence (`subscribed`); without a question it is an approval beforehand (RFC 6121 §3.4).
///
/// # Errors
/// When the store can't be read.
pub fn allow(tx: &mut Tx<'_>, account: &Address, of: &Address) -> Outcome<()> {
    let mut mine = tx.contact(account, of)?;
    if mine.seen {
        return Ok(());
    }
    let asked = mine.asks.take().is_some() || mine.approved && tx.contact(of, account)?.asked;
    if !asked {
        mine.approved = true;
        mine.listed = true;
        put(tx, account, of, mine, ContactCause::Edited)?;
        return Ok(());
    }
    mine.seen = true;
    mine.approved = false;
    mine.listed = true;
    mine.accepted = true;
    put(tx, account, of, mine, ContactCause::Edited)?;
    receive_allow(tx, of, account)?;
    show(tx, account, of, false);
    Ok(())
}

/// Someone let this account see their presence.
///
/// # Errors
/// When the store can't be read.
pub fn receive_allow(tx: &mut Tx<'_>, account: &Address, from: &Address) -> Outcome<()> {
    if account.network().is_some() {
        tell_elsewhere(tx, account, from, ContactCause::Allowed, None);
        return Ok(());
    }
    if !account.is_account() {
        return Ok(());
    }
    let mut mine = tx.contact(account, from)?;
    if !mine.asked {
        return Ok(());
    }
    mine.asked = false;
    mine.sees = true;
    put(tx, account, from, mine, ContactCause::Allowed)?;
    Ok(())
}

/// Refuses a question, or stops letting someone see the own presence (`unsubscribed`).
///
/// # Errors
/// When the store can't be read.
pub fn deny(tx: &mut Tx<'_>, account: &Address, of: &Address) -> Outcome<()> {
    let mut mine = tx.contact(account, of)?;
    let had = mine.seen || mine.asks.is_some();
    if !had && !mine.approved {
        return Ok(());
    }
    let was_seen = mine.seen;
    mine.seen = false;
    mine.approved = false;
    mine.asks = None;
    put(tx, account, of, mine, ContactCause::Edited)?;
    if was_seen {
        show(tx, account, of, true);
    }
    if had {
        receive_deny(tx, of, account)?;
    }
    Ok(())
}

/// Someone refused this account's question, or stopped letting it see their presence; also called for people of other
/// networks.
///
/// # Errors
/// When the store can't be read.
pub fn receive_deny(tx: &mut Tx<'_>, account: &Address, from: &Address) -> Outcome<()> {
    if account.network().is_some() {
        tell_elsewhere(tx, account, from, ContactCause::Denied, None);
        return Ok(());
    }
    let mut mine = tx.contact(account, from)?;
    if !account.is_account() || !mine.sees && !mine.asked {
        return Ok(());
    }
    mine.sees = false;
    mine.asked = false;
    put(tx, account, from, mine, ContactCause::Denied).map(drop)
}

/// Stops seeing someone's presence (`unsubscribe`).
///
/// # Errors
/// When the store can't be read.
pub fn unsubscribe(tx: &mut Tx<'_>, account: &Address, of: &Address) -> Outcome<()> {
    let mut mine = tx.contact(account, of)?;
    if mine.sees || mine.asked {
        mine.sees = false;
        mine.asked = false;
        put(tx, account, of, mine, ContactCause::Edited)?;
    }
    // RFC 6121 §A.2.2: the other side is told in every state, so that two that disagree agree again.
    receive_unsubscribe(tx, of, account)
}

/// Someone no longer wants to see this account's presence; also called for people of other networks.
///
/// # Errors
/// When the store can't be read.
pub fn receive_unsubscribe(tx: &mut Tx<'_>, account: &Address, from: &Address) -> Outcome<()> {
    if account.network().is_some() {
        tell_elsewhere(tx, account, from, ContactCause::Unsubscribed, None);
        return Ok(());
    }
    let mut mine = tx.contact(account, from)?;
    if !account.is_account() || !mine.seen && mine.asks.is_none() {
        return Ok(());
    }
    mine.seen = false;
    mine.asks = None;
    put(tx, account, from, mine, ContactCause::Unsubscribed)?;
    show(tx, account, from, true);
    Ok(())
}

/// After the commit, shows `to` the presence of `account`'s sessions, or that they are gone.
fn show(tx: &mut Tx<'_>, account: &Address, to: &Address, gone: bool) {
    let (account, to) = (account.clone(), to.clone());
    tx.after(move |live| {
        for session in live.sessions_of(&account) {
            let Some(presence) = session.presence() else {
                continue;
            };
            let presence = if gone {
                Arc::new(Presence::default())
            } else {
                presence
            };
            if presence.show == Show::Offline && !gone {
                continue;
            }
            let change = StateChange::Presence {
                account: account.clone(),
                session: session.clone(),
                presence,
            };
            live.tell_account(&to, &Arc::new(change));
        }
    });
}

/// Blocks or unblocks someone: nothing of theirs reaches the account, and they see it go.
///
/// # Errors
/// When too many are blocked.
pub fn block(
    tx: &mut Tx<'_>,
    account: &Address,
    whom: &Address,
    blocked: bool,
) -> Outcome<Arc<Contact>> {
    if account == whom {
        return Err(Refusal::Forbidden("you can't block yourself"));
    }
    let mut contact = tx.contact(account, whom)?;
    if tx.contacts(account)?.len() >= tx.limits().contacts
        && !tx.contacts(account)?.contains_key(whom)
    {
        return Err(Refusal::TooMany);
    }
    let changed = contact.blocked != blocked;
    contact.blocked = blocked;
    if blocked {
        contact.asks = None;
    }
    let seen = contact.seen;
    let value = put(tx, account, whom, contact, ContactCause::Blocking)?;
    // XEP-0191 §3.2: a blocked contact sees the account go unavailable; when unblocked, its presence again.
    if changed && seen {
        show(tx, account, whom, blocked);
    }
    Ok(value)
}
