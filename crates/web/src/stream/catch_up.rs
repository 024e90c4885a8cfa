//! What a client missed, from the log: events by cursor, and documents written since.

use std::sync::Arc;

use sammen_core::document::{Document, Owner};
use sammen_core::live::Announced;
use sammen_core::member::Membership;
use sammen_core::ops::send::{READ, ReadMark};
use sammen_core::tx::decode;
use sammen_core::{Address, ConversationId, Refusal, Seq};

use super::frames::{Made, Reader, conversation, event, read};
use crate::problem::Answer;
use crate::server::Web;
use crate::summary::FLAGS;
use crate::types::Frame;

/// Events read at once.
pub const PAGE: usize = 200;
/// A client that missed more reads its lists anew: that is less.
pub const MOST: usize = 5_000;
/// Marks and flags that are told one by one.
const DOCUMENTS: usize = 500;

/// Rooms that an account is in. Blocking.
pub fn rooms(web: &Web, account: &Address) -> Answer<Vec<ConversationId>> {
    let mut rooms = Vec::new();
    let store = web.node.store();
    for id in store.conversations_of(account).map_err(Refusal::from)? {
        let Some(convo) = web.node.convo(id)? else {
            continue;
        };
        if convo.is_room() && !convo.conversation.destroyed && convo.has(account) {
            rooms.push(id);
        }
    }
    Ok(rooms)
}

/// Conversations that a client knows that has read its lists. Blocking.
pub fn known(web: &Web, account: &Address) -> Answer<Vec<ConversationId>> {
    let store = web.node.store();
    Ok(store.conversations_of(account).map_err(Refusal::from)?)
}

/// Frames for events. Blocking.
pub fn events(web: &Web, reader: &mut Reader, page: &[Arc<Announced>]) -> Answer<Made> {
    let mut made = Made::default();
    for announced in page {
        event(web, reader, announced, &mut made)?;
    }
    Ok(made)
}

/// Read marks and flags that changed.
pub struct Changed {
    marks: Vec<Document>,
    flags: Vec<Document>,
}

/// Read marks and flags that changed since `after`; `None` when they are too many, or too old to be told. Blocking.
pub fn changed(web: &Web, account: &Address, after: Seq) -> Answer<Option<Changed>> {
    let owner = Owner::from(account);
    let since = |namespace| -> Answer<Option<Vec<Document>>> {
        let found = web
            .node
            .store()
            .documents_since(&owner, namespace, after, DOCUMENTS + 1)
            .map_err(Refusal::from)?;
        Ok(found.filter(|found| found.len() <= DOCUMENTS))
    };
    Ok(match (since(READ)?, since(FLAGS)?) {
        (Some(marks), Some(flags)) => Some(Changed { marks, flags }),
        _ => None,
    })
}

/// Frames for what changed since `after` and is no event: rooms that were left, invitations, read marks, flags. Blocking.
pub fn rest(web: &Web, reader: &mut Reader, after: Seq, changed: Changed) -> Answer<Made> {
    let mut made = Made::default();
    let account = reader.account.clone();
    let store = web.node.store();
    for id in store.conversations_of(&account).map_err(Refusal::from)? {
        let Some(convo) = web.node.convo(id)? else {
            continue;
        };
        let Some(member) = convo.member(&account) else {
            continue;
        };
        let destroyed = convo.conversation.destroyed && convo.conversation.changed > after;
        if destroyed || member.changed > after && member.membership == Membership::Left {
            made.frames.push(Frame::Left { id: id.to_string() });
            reader.known.remove(&id);
        } else if member.changed > after || convo.conversation.changed > after {
            conversation(web, reader, id, &mut made);
        }
    }
    for mark in changed.marks {
        let value = mark.value.and_then(|v| decode::<ReadMark>(&v));
        if let (Ok(id), Some(value)) = (mark.key.parse(), value) {
            read(
                web,
                &account,
                ConversationId(id),
                &value.id.to_string(),
                &mut made,
            );
        }
    }
    for flag in changed.flags {
        if let Ok(id) = flag.key.parse() {
            conversation(web, reader, ConversationId(id), &mut made);
        }
    }
    Ok(made)
}
