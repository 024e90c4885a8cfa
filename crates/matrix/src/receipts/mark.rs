//! Moving one's own receipts, inside the writer.

use std::sync::Arc;

use sammen_core::document::Owner;
use sammen_core::event::{Content, MarkerKind, Protocol, Relation, RelationKind};
use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, EventId, Origin, Outcome, Principal};

use super::{OWN, Receipt, key, public};
use crate::chain::Room;
use crate::server::Matrix;
use crate::shelf;

/// A step forward.
pub struct Step {
    /// Whose.
    pub account: Address,
    /// Their Matrix id.
    pub user: String,
    /// The room.
    pub room: Arc<Room>,
    /// The thread; empty for all of the room, `main` for what is in none.
    pub thread: String,
    /// What is kept.
    pub receipt: Receipt,
    /// The event of core's up to which that is; `None` for threads, which core doesn't know.
    pub core: Option<EventId>,
    /// The device that says it.
    pub origin: Origin,
}

/// Moves a receipt forward; one that goes back changes nothing.
///
/// # Errors
/// When it can't be read or written.
pub fn forward(tx: &mut Tx<'_>, matrix: &Arc<Matrix>, mut step: Step) -> Outcome<()> {
    // Who doesn't tell others when they read, doesn't tell them here either; nor strangers, nor whom they blocked.
    let convo = tx.convo(step.room.conversation)?;
    step.receipt.public &= send::shares_receipts(tx, &convo, &step.account)?;
    let owner = Owner::from(&step.account);
    let own = key(step.room.name(), &step.thread);
    let before = tx.document(&owner, OWN, &own)?.and_then(|d| d.value);
    let before: Option<Receipt> = before.and_then(|v| shelf::decode(&v));
    let receipt = &step.receipt;
    let news = |before: &Receipt| {
        receipt.ordinal > before.ordinal
            || receipt.ordinal == before.ordinal && receipt.public && !before.public
    };
    if !before.as_ref().is_none_or(news) {
        return Ok(());
    }
    if let Some(target) = step.core {
        tell_core(tx, &step, target)?;
    }
    let value = shelf::encode(receipt)?;
    tx.put_document(&owner, OWN, &own, Expect::Anything, Some(value.clone()))?;
    if receipt.public {
        let shown = key(&step.user, &step.thread);
        show(tx, matrix, &step.room, &shown, value)?;
    }
    let (bells, account) = (matrix.bells.clone(), step.account);
    tx.after(move |_| bells.ring(&account));
    Ok(())
}

/// Writes a public receipt and wakes the room.
pub(super) fn show(
    tx: &mut Tx<'_>,
    matrix: &Arc<Matrix>,
    room: &Arc<Room>,
    shown: &str,
    value: bytes::Bytes,
) -> Outcome<()> {
    let namespace = public(room.name());
    let seq = tx.put_document(
        &Owner::Node,
        &namespace,
        shown,
        Expect::Anything,
        Some(value),
    )?;
    let (matrix, room) = (matrix.clone(), room.clone());
    tx.after(move |_| {
        matrix.receipts.note(room.name(), seq);
        if let Ok(Some(convo)) = matrix.node.convo(room.conversation) {
            matrix.bells.ring_where(|who| convo.has(who));
        }
    });
    Ok(())
}

/// Moves core's mark. In a direct conversation the other one is told by a marker, as by every other app; what is read
/// in a room is kept out of its log.
fn tell_core(tx: &mut Tx<'_>, step: &Step, target: EventId) -> Outcome<()> {
    let convo = tx.convo(step.room.conversation)?;
    let theirs = tx.event(target)?.is_some_and(|e| e.author != step.account);
    let (kind, who) = (MarkerKind::Displayed, &step.account);
    if convo.is_room() || !theirs || !step.receipt.public {
        return send::mark_read(tx, &convo, who, Some(target), kind, &step.origin);
    }
    let to = Target::Conversation(convo.id());
    let mut out = Outgoing::new(to, Content::Marker(kind), Protocol::Matrix);
    out.relation = Some(Relation {
        kind: RelationKind::Marker,
        target: Some(target),
        foreign: None,
    });
    out.origin = step.origin;
    match send::send(tx, &Principal::Of(who.clone()), out) {
        Ok(_) => Ok(()),
        // Somebody else may not be told; what was read is read all the same.
        Err(_) => send::mark_read(tx, &convo, who, Some(target), kind, &step.origin),
    }
}
