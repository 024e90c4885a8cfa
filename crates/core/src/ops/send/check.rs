//! What is checked before anything is sent: sizes, peers, audiences, what was sent before.

use super::*;
use crate::event::Attachment;
use crate::limits::Limits;

pub(super) fn check_size(tx: &Tx<'_>, out: &Outgoing) -> Outcome<()> {
    let audience = out.audience.as_ref().map_or(0, Vec::len);
    if audience > tx.limits().audience {
        return Err(Refusal::TooMany);
    }
    check_sizes(
        tx.limits(),
        &out.content,
        out.native.as_ref(),
        out.relation.as_ref(),
        &out.aliases,
    )
}

/// Whether everything in an event is within the limits; the same for what accounts and what networks bring.
pub(crate) fn check_sizes(
    limits: &Limits,
    content: &Content,
    native: Option<&Native>,
    relation: Option<&Relation>,
    ids: &[ForeignId],
) -> Outcome<()> {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let text = match content {
        Content::Message(m) | Content::Edit(m) => {
            if m.attachments.len() > limits.attachments || m.mentions.len() > limits.mentions {
                return Err(Refusal::TooMany);
            }
            let files: usize = m.attachments.iter().map(Attachment::weight).sum();
            m.text.len() + length(&m.html) + length(&m.thread) + length(&m.subject) + files
        }
        Content::Reaction { keys } if keys.len() > limits.reactions => {
            return Err(Refusal::TooMany);
        }
        Content::Reaction { keys } => keys.iter().map(String::len).sum(),
        Content::Retraction { reason } => {
            limits.check_reason(reason.as_deref())?;
            0
        }
        Content::Encrypted { scheme, fallback } => scheme.len() + length(fallback),
        Content::Other { fallback } => length(fallback),
        Content::Membership(change) => {
            limits.check_reason(change.reason.as_deref())?;
            length(&change.nick)
        }
        _ => 0,
    };
    let native = native.map_or(0, |n| n.bytes.len() + length(&n.id) + length(&n.kind));
    if text > limits.text_bytes || native > limits.native_bytes {
        return Err(Refusal::TooLarge);
    }
    let foreign = relation.and_then(|r| r.foreign.as_ref());
    let too_long = |id: &ForeignId| id.id.is_empty() || id.id.len() > limits.foreign_id_bytes;
    if ids.iter().chain(foreign).any(too_long) {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

/// Is the peer there, and do both let each other in?
pub(super) fn check_peer(
    tx: &mut Tx<'_>,
    author: &Address,
    peer: &Address,
    out: &Outgoing,
) -> Outcome<()> {
    if author == peer {
        return Ok(());
    }
    if author.is_account() && tx.is_blocked(author, peer)? {
        return Err(Refusal::Blocked);
    }
    match peer.parts() {
        crate::address::AddressParts::Account { .. } => {
            tx.account(peer)?.ok_or(Refusal::NotFound)?;
            let theirs = tx.contact(peer, author)?;
            if tx.is_blocked(peer, author)? {
                return Err(Refusal::Blocked);
            }
            request_room(tx, author, peer, &theirs, out)
        }
        crate::address::AddressParts::Remote { network, .. } => {
            if tx.speaks(network) {
                Ok(())
            } else {
                Err(Refusal::Unreachable)
            }
        }
        crate::address::AddressParts::Guest { .. } => Ok(()),
        crate::address::AddressParts::Room { .. } => Err(Refusal::NotFound),
    }
}

/// Whether the author is a stranger to the peer: the first messages wait as a contact request.
pub fn is_stranger(tx: &Tx<'_>, author: &Address, theirs: &crate::contact::Contact) -> bool {
    let trusted = theirs.accepted || theirs.seen || theirs.sees || theirs.asked || theirs.listed;
    let colleague = author.is_account() && !tx.rules.requests_between_accounts;
    !trusted && !colleague
}

pub(super) fn request_room(
    tx: &mut Tx<'_>,
    author: &Address,
    peer: &Address,
    theirs: &crate::contact::Contact,
    out: &Outgoing,
) -> Outcome<()> {
    if !is_stranger(tx, author, theirs) {
        return Ok(());
    }
    if !out.content.is_speech() {
        return Err(Refusal::Forbidden(
            "your contact request was not accepted yet",
        ));
    }
    let key = crate::conversation::ConversationKey::direct(author, peer);
    let Some(convo) = tx.convo_by_key(&key)? else {
        return Ok(());
    };
    let most = tx.limits().request_messages;
    let query = crate::store::HistoryQuery {
        author: Some(author.clone()),
        kinds: crate::store::Kinds::Speech,
        from_end: true,
        ..crate::store::HistoryQuery::new(
            vec![(convo.id(), vec![crate::member::Interval::ALL])],
            most as usize + 1,
        )
    };
    if tx.store.count(&query)? >= u64::from(most) {
        return Err(Refusal::TooMany);
    }
    Ok(())
}

pub(super) fn check_audience(convo: &Convo, author: &Address, out: &Outgoing) -> Outcome<()> {
    let Some(audience) = &out.audience else {
        return Ok(());
    };
    if !convo.is_room() || !audience.iter().all(|a| convo.has(a)) {
        return Err(Refusal::NotFound);
    }
    let enough = convo.conversation.settings.private_messages;
    if convo.role(author) < enough {
        return Err(Refusal::Forbidden("this room allows no private messages"));
    }
    Ok(())
}

/// A message that a client sent again is known by its id and its form.
pub(super) fn find_duplicate(
    tx: &mut Tx<'_>,
    convo: &Convo,
    author: &Address,
    out: &Outgoing,
) -> Outcome<Option<Sent>> {
    // One look is enough: a client that sends again sends all its ids again.
    let Some(alias) = out.aliases.first() else {
        return Ok(None);
    };
    let Some(hit) = tx.alias(convo.id(), alias.scheme, Some(author), &alias.id)? else {
        return Ok(None);
    };
    let here = tx.events.values().find(|e| e.seq == hit.seq).cloned();
    let event = match here {
        Some(event) => Some(event),
        None => tx.store.event(hit.seq)?,
    };
    let Some(event) = event else { return Ok(None) };
    let sure =
        alias.scheme == Scheme::Transaction || matches!(event.content, Content::Erased { .. });
    let same = match (&event.native, &out.native) {
        (Some(a), Some(b)) => a.bytes == b.bytes,
        (None, None) => event.content == out.content,
        _ => false,
    };
    Ok((sure || same).then_some(Sent {
        seq: event.seq,
        id: event.id,
        pos: event.pos,
        conversation: event.conversation,
        at: event.at,
        duplicate: true,
    }))
}

/// Writing to someone takes the conversation up.
pub(super) fn accept_request(
    tx: &mut Tx<'_>,
    convo: &Convo,
    author: &Address,
    out: &Outgoing,
) -> Outcome<()> {
    let Some(peer) = convo.conversation.peer_of(author).cloned() else {
        return Ok(());
    };
    if peer == *author || !author.is_account() || !out.content.is_speech() {
        return Ok(());
    }
    let mut contact = tx.contact(author, &peer)?;
    let colleague = peer.is_account() && !tx.rules.requests_between_accounts;
    if contact.accepted || contact.listed || contact.sees || contact.seen || colleague {
        return Ok(());
    }
    contact.accepted = true;
    let value = tx.put_contact(author, &peer, contact)?;
    tx.tell_account(
        author,
        StateChange::Contact {
            account: author.clone(),
            contact: peer,
            value,
            cause: ContactCause::Edited,
        },
    );
    Ok(())
}

/// Whether what somebody received and read in a conversation is told to the others in it.
///
/// # Errors
/// When the store can't be read.
pub fn shares_receipts(tx: &mut Tx<'_>, convo: &Convo, author: &Address) -> Outcome<bool> {
    let willing = tx.account(author)?.is_none_or(|a| a.switches.receipts);
    let Some(peer) = convo.conversation.peer_of(author).cloned() else {
        return Ok(willing);
    };
    if !author.is_account() || peer == *author {
        return Ok(willing);
    }
    // No receipt goes to a stranger whose request was not accepted.
    let mine = tx.contact(author, &peer)?;
    let stranger = is_stranger(tx, &peer, &mine);
    let blocked = tx.is_blocked(author, &peer)? || tx.is_blocked(&peer, author)?;
    Ok(willing && !stranger && !blocked)
}
