//! How far people read, and that they type.

use super::*;

/// The shelf of read markers (owner: the account; key: the conversation's number).
pub const READ: &str = "read";

/// Moves the account's read marker forward, never back, and tells its other sessions.
pub fn mark_read(
    tx: &mut Tx<'_>,
    convo: &Convo,
    who: &Address,
    target: Option<EventId>,
    kind: MarkerKind,
    origin: &Origin,
) -> Outcome<()> {
    let (MarkerKind::Displayed, Some(target), true) = (kind, target, who.is_account()) else {
        return Ok(());
    };
    let Some(event) = tx.event(target)? else {
        return Ok(());
    };
    if event.conversation != convo.id() || !convo.sees(who, event.pos) {
        return Err(Refusal::NotFound);
    }
    let owner = who.into();
    let key = convo.id().to_string();
    let before: Option<ReadMark> = tx
        .document(&owner, READ, &key)?
        .and_then(|d| d.value)
        .and_then(|v| crate::tx::decode(&v));
    if before.is_some_and(|m| m.pos >= event.pos) {
        return Ok(());
    }
    let mark = ReadMark {
        pos: event.pos,
        id: event.id,
        at: event.at,
    };
    tx.put_document(
        &owner,
        READ,
        &key,
        crate::tx::Expect::Anything,
        Some(crate::tx::encode(&mark)?),
    )?;
    let change = StateChange::Read {
        account: who.clone(),
        conversation: convo.id(),
        event,
        origin: origin.session,
    };
    tx.tell_account(who, change);
    Ok(())
}

/// Up to where an account read a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReadMark {
    /// The place.
    pub pos: Pos,
    /// The event.
    pub id: EventId,
    /// Its time.
    pub at: crate::ids::Timestamp,
}

/// Tells the people of a conversation that someone types.
///
/// # Errors
/// When the author is not in the conversation. Nothing is said where the author's switch is off or one blocked the other.
pub fn typing(
    tx: &mut Tx<'_>,
    author: &Address,
    to: &Target,
    typing: crate::live::Typing,
    session: Option<SessionId>,
    native: Option<crate::live::Payload>,
) -> Outcome<()> {
    let convo = match to {
        Target::Direct(peer) => {
            tx.convo_by_key(&crate::conversation::ConversationKey::direct(author, peer))?
        }
        Target::Conversation(id) => Some(tx.convo(*id)?),
    };
    // Where nothing was ever said nobody needs to know that something may be.
    let Some(convo) = convo else { return Ok(()) };
    if !convo.has(author) {
        return Err(Refusal::NotJoined);
    }
    if !tx.account(author)?.is_none_or(|a| a.switches.typing) {
        return Ok(());
    }
    let change = Arc::new(StateChange::Typing {
        convo: convo.clone(),
        who: author.clone(),
        typing,
        origin: session,
        native,
    });
    match convo.conversation.peer_of(author).cloned() {
        Some(peer) => {
            let mine = tx.contact(author, &peer)?;
            let blocked = tx.is_blocked(&peer, author)? || tx.is_blocked(author, &peer)?;
            if blocked || is_stranger(tx, &peer, &mine) {
                return Ok(());
            }
            tx.after(move |live| live.tell_account(&peer, &change));
        }
        None if convo.role(author) < crate::member::Role::Participant => {
            return Err(Refusal::NoVoice);
        }
        None => {
            let id = convo.id();
            tx.after(move |live| live.tell_room(id, &change));
        }
    }
    Ok(())
}
