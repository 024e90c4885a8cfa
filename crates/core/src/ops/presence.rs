//! Presence: what sessions show, to whom.

use std::sync::Arc;

use crate::address::Address;
use crate::ids::SessionId;
use crate::live::{Presence, Show, StateChange};
use crate::refusal::Outcome;
use crate::tx::Tx;

/// A session shows something else. Contacts who may see it and the account's own sessions are told.
///
/// # Errors
/// When the store can't be read.
pub fn set(
    tx: &mut Tx<'_>,
    session: SessionId,
    account: &Address,
    mut presence: Presence,
) -> Outcome<()> {
    presence.status = tx.limits().clip_reason(presence.status);
    let audience = audience(tx, account)?;
    let last_seq = tx.last_seq();
    // What comes while nobody is reachable waits for the next client without an archive (XEP-0160).
    let goes = presence.show == Show::Offline || presence.priority < 0;
    if goes {
        note_unreachable(tx, account, session, last_seq)?;
    }
    let account = account.clone();
    let presence = Arc::new(presence);
    tx.after(move |live| {
        let Some(own) = live.session(session).cloned() else {
            return;
        };
        let known = own.presence.write().replace(presence.clone());
        if presence.show == Show::Offline && known.is_none_or(|p| p.show == Show::Offline) {
            return;
        }
        let change = Arc::new(StateChange::Presence {
            account: account.clone(),
            session: own,
            presence,
        });
        live.tell_account(&account, &change);
        for contact in audience {
            live.tell_account(&contact, &change);
        }
    });
    Ok(())
}

/// Who sees the presence of this account: accounts of this node, and people of networks that it speaks with.
pub fn audience(tx: &mut Tx<'_>, account: &Address) -> Outcome<Vec<Address>> {
    let contacts = tx.contacts(account)?;
    let mut seeing = Vec::new();
    for address in contacts
        .iter()
        .filter(|(_, c)| c.seen && !c.blocked)
        .map(|(a, _)| a)
    {
        let there = match address.network() {
            Some(name) => tx.speaks(name),
            None => address.is_account() && !tx.contact(address, account)?.blocked,
        };
        if there {
            seeing.push(address.clone());
        }
    }
    Ok(seeing)
}

pub(crate) fn note_unreachable(
    tx: &mut Tx<'_>,
    account: &Address,
    leaving: SessionId,
    last: crate::ids::Seq,
) -> Outcome<()> {
    let Some(known) = tx.account(account)? else {
        return Ok(());
    };
    // On a full disk the next message to the account notes it.
    if known.offline_since.is_some() || tx.store.is_full() {
        return Ok(());
    }
    let others = {
        let live = tx.shared.live.read();
        let reaches = |p: &Presence| p.show != Show::Offline && p.priority >= 0;
        let was = live
            .session(leaving)
            .and_then(|s| s.presence())
            .is_some_and(|p| reaches(&p));
        !was || live
            .sessions_of(account)
            .iter()
            .any(|s| s.id != leaving && s.presence().is_some_and(|p| reaches(&p)))
    };
    if !others {
        let mut changed = (*known).clone();
        changed.offline_since = Some(last);
        tx.put_account(changed);
    }
    Ok(())
}

/// The account is reachable again: what came since is the session's to deliver. Returns since when, and forgets it.
///
/// # Errors
/// When the store can't be read.
pub fn take_offline(tx: &mut Tx<'_>, account: &Address) -> Outcome<Option<crate::ids::Seq>> {
    let Some(known) = tx.account(account)? else {
        return Ok(None);
    };
    let Some(since) = known.offline_since else {
        tx.reached.push(account.clone());
        return Ok(None);
    };
    tx.reached.push(account.clone());
    // On a full disk it can't be forgotten: rather twice than never.
    if !tx.store.is_full() {
        let mut changed = (*known).clone();
        changed.offline_since = None;
        tx.put_account(changed);
    }
    Ok(Some(since))
}

/// Something is about to be written to an account that nobody reads just now: from here on messages wait for its next
/// client, also where it never had one, or where the node ended without noticing that it left.
pub(crate) fn note_waiting(tx: &mut Tx<'_>, account: &Address) -> Outcome<()> {
    let Some(known) = tx.account(account)? else {
        return Ok(());
    };
    if known.offline_since.is_some()
        || tx.reached.contains(account)
        || tx.shared.live.read().is_reachable(account)
    {
        return Ok(());
    }
    let mut changed = (*known).clone();
    changed.offline_since = Some(tx.last_seq());
    tx.put_account(changed);
    Ok(())
}
