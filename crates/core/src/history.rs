//! Reading history: merged, in order, clipped to what the principal may see.

use std::sync::Arc;

use crate::address::Address;
use crate::event::{Acceptance, Event};
use crate::ids::{ConversationId, EventId, Seq};
use crate::live::Announced;
use crate::node::Node;
use crate::refusal::{Outcome, Refusal};
use crate::store::{Anchor, HistoryQuery, Page};

/// Which history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One conversation.
    Conversation(ConversationId),
    /// All direct conversations of the reader (an XMPP account's archive).
    Direct,
    /// All direct conversations and all rooms that the reader is in.
    Everything,
}

impl Node {
    /// A query over a scope for a reader, without bounds; the caller adds them. Blocking.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] or [`Refusal::NotJoined`] when the reader may not see anything of a conversation.
    pub fn query(&self, reader: &Address, scope: &Scope, limit: usize) -> Outcome<HistoryQuery> {
        let mut sources = Vec::new();
        match scope {
            Scope::Conversation(id) => {
                let convo = self.convo(*id)?.ok_or(Refusal::NotFound)?;
                let visible = convo.visible_to(reader);
                if visible.is_empty() {
                    return Err(if convo.is_room() {
                        Refusal::NotJoined
                    } else {
                        Refusal::NotFound
                    });
                }
                sources.push((*id, visible));
            }
            Scope::Direct | Scope::Everything => {
                for id in self.store().conversations_of(reader)? {
                    let Some(convo) = self.convo(id)? else {
                        continue;
                    };
                    if convo.is_room() && (*scope == Scope::Direct || !convo.has(reader)) {
                        continue;
                    }
                    let visible = convo.visible_to(reader);
                    if !visible.is_empty() {
                        sources.push((id, visible));
                    }
                }
            }
        }
        Ok(HistoryQuery {
            reader: Some(reader.clone()),
            ..HistoryQuery::new(sources, limit)
        })
    }

    /// The place of an event that the reader may see, to read on from. Blocking.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is none such that the reader may see.
    pub fn anchor(&self, reader: &Address, id: EventId) -> Outcome<Anchor> {
        let event = self.visible_event(reader, id)?.ok_or(Refusal::NotFound)?;
        Ok(Anchor {
            at: event.at,
            pos: event.pos,
            seq: event.seq,
        })
    }

    /// An event, if the reader may see it. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn visible_event(&self, reader: &Address, id: EventId) -> Outcome<Option<Arc<Event>>> {
        let Some(event) = self.store().event_by_id(id)? else {
            return Ok(None);
        };
        let Some(convo) = self.convo(event.conversation)? else {
            return Ok(None);
        };
        Ok(may_see(&convo, reader, &event).then_some(event))
    }

    /// Runs a query that [`Node::query`] made.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn history(&self, query: HistoryQuery) -> Outcome<Page> {
        self.read(move |node| Ok(node.store().history(&query)?))
            .await
    }

    /// What an account's sessions missed: events behind `after` up to and with `upto`, in seq order, at most `limit`.
    /// Fewer than `limit` are the last. Rooms only where `rooms` names them.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn changes(
        &self,
        account: &Address,
        rooms: Vec<ConversationId>,
        after: Seq,
        upto: Seq,
        limit: usize,
    ) -> Outcome<Vec<Arc<Announced>>> {
        let account = account.clone();
        self.read(move |node| {
            let mut wanted = rooms;
            for id in node.store().conversations_of(&account)? {
                if node.convo(id)?.is_some_and(|c| !c.is_room()) {
                    wanted.push(id);
                }
            }
            let (mut out, mut after) = (Vec::new(), after);
            // What the account may not see makes no page shorter: callers take a short one for the last.
            while out.len() < limit {
                let events = node.store().changes(&wanted, after, upto, limit)?;
                let whole = events.len() < limit;
                for event in events {
                    if out.len() == limit {
                        break;
                    }
                    after = event.seq;
                    let Some(convo) = node.convo(event.conversation)? else {
                        continue;
                    };
                    if may_see(&convo, &account, &event) {
                        let about = match event.target() {
                            Some(id) => node.store().event_by_id(id)?,
                            None => None,
                        };
                        out.push(Arc::new(Announced::new(event, convo, None, about)));
                    }
                }
                if whole {
                    break;
                }
            }
            Ok(out)
        })
        .await
    }
}

/// Whether a reader may see an event of a conversation.
pub fn may_see(convo: &crate::convo::Convo, reader: &Address, event: &Event) -> bool {
    let named =
        event.author == *reader || event.audience.as_ref().is_none_or(|a| a.contains(reader));
    let shown = match event.acceptance {
        Acceptance::Accepted => true,
        Acceptance::Pending => event.author == *reader,
        _ => false,
    };
    named && shown && convo.sees(reader, event.pos)
}
