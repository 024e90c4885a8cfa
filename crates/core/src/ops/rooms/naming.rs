//! A room's address: whether it is free, another one, and what is left of it at the end.

use super::*;

/// Whether the node can have a room with this address.
pub(super) fn is_ours(tx: &Tx<'_>, address: &Address) -> bool {
    let here = |d| tx.shared.domains.iter().any(|own| own.as_str() == d);
    address.is_room() && address.domain().is_some_and(here)
}

/// Whether nobody has the address or had it before.
pub(super) fn check_address(tx: &mut Tx<'_>, who: &Principal, address: &Address) -> Outcome<()> {
    if tx
        .convo_by_key(&ConversationKey::Room(address.clone()))?
        .is_some()
    {
        return Err(Refusal::Taken);
    }
    let Some(convo) = tx.renamed(address)? else {
        return Ok(());
    };
    let knows = who
        .address()
        .is_none_or(|who| permission::may_know(&convo, who));
    Err(if knows {
        Refusal::Gone(convo.conversation.room().cloned())
    } else {
        Refusal::Taken
    })
}

/// Gives a room another address. Members, settings, history and who is inside stay; the old address is an alias of the
/// room until the room is destroyed: [`crate::Node::renamed`] and [`Tx::renamed`] lead on from it, and
/// [`create`] refuses it with [`Refusal::Gone`], which says the address of now.
///
/// Everyone in the room gets one event, [`RoomChange::Renamed`], with the room as it is now. Protocols show it so:
///
/// * IRC: `RENAME <from> <to> :<reason>` to clients with `draft/channel-rename`. To others, as the same extension says,
///   `PART <from> :<reason>`, then a `JOIN <to>` with topic and names, of which nothing reaches others. `JOIN <from>`
///   joins the room (470 says where), other commands about `from` lead on in the same way.
/// * XMPP: to each occupant, as for a room that ends (XEP-0045 §10.9): unavailable presence from `from/nick` with
///   `<destroy jid='to'><reason/></destroy>` and status 110, then the session [`exit`]s; the membership stays, so
///   entering `to` needs no invitation or password. Presence to `from` is answered with `<gone>xmpp:to?join</gone>`,
///   an archive query to `from` by the archive of `to`. Bookmarks of `from` become those of `to`, when they are next
///   read where no client is there to see it.
/// * What the room itself wrote before bears the old address as its author: see [`crate::Conversation::is_named`].
///
/// # Errors
/// When the principal is no owner, the room's home is elsewhere, or the address is not of this node, taken, or was
/// another room's; [`Refusal::TooMany`] when it had too many before.
pub fn rename(
    tx: &mut Tx<'_>,
    by: &Principal,
    room: ConversationId,
    to: &Address,
    reason: Option<String>,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    permission::may_configure(&convo, by, true)?;
    tx.limits().check_reason(reason.as_deref())?;
    let from = convo
        .conversation
        .room()
        .filter(|_| convo.is_ours())
        .cloned()
        .ok_or(Refusal::Invalid("its address is not given here"))?;
    if from == *to {
        return Ok(convo);
    }
    if !is_ours(tx, to) {
        return Err(Refusal::InvalidName);
    }
    let former = &convo.conversation.former;
    if former.contains(to) {
        // It goes back to an address of its own.
    } else if former.len() >= tx.limits().former_addresses {
        return Err(Refusal::TooMany);
    } else if let Err(why) = check_address(tx, by, to) {
        return Err(match why {
            Refusal::Gone(_) => Refusal::Taken,
            other => other,
        });
    }
    let author = by.address().cloned().unwrap_or_else(|| to.clone());
    let (old, new) = (from.clone(), to.clone());
    let convo = tx.change_convo(&convo, move |c| {
        c.former.retain(|a| *a != new);
        c.former.push(old);
        c.key = ConversationKey::Room(new);
    });
    tx.move_shelf(&from, Some(to));
    let (from, to) = (from, to.clone());
    let change = RoomChange::Renamed { from, to, reason };
    append(
        tx,
        &convo,
        Draft::new(&author, Content::Room(change), *origin),
    );
    Ok(convo)
}

/// The room is no more: its addresses are free, and what stood on its shelf is nobody's.
pub(super) fn ends(tx: &mut Tx<'_>, convo: &Convo) -> Arc<Convo> {
    if let Some(room) = convo.conversation.room() {
        tx.move_shelf(room, None);
    }
    tx.change_convo(convo, |c| c.destroyed = true)
}
