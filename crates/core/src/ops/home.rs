//! Conversations that live elsewhere: the network that is their home rules, this node projects.

use std::sync::Arc;

use crate::address::Address;
use crate::conversation::{ConversationKey, Home, Settings};
use crate::convo::Convo;
use crate::event::{Acceptance, Content, Event, ForeignId, Native, Relation};
use crate::ids::{ConversationId, EventId, Pos, Timestamp};
use crate::live::Announced;
use crate::member::Member;
use crate::network::OutboxRow;
use crate::refusal::{Outcome, Refusal};
use crate::sent::Sent;
use crate::store::{HistoryQuery, Kinds, Tail, Write};
use crate::tx::{Post, Tx};

/// An event as a network reports it.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Who wrote it.
    pub author: Address,
    /// When, by the network's word; clamped between its neighbours.
    pub at: Timestamp,
    /// What it says.
    pub content: Content,
    /// As the network wrote it.
    pub native: Option<Native>,
    /// What it refers to.
    pub relation: Option<Relation>,
    /// The network's ids for it. The first one tells whether it is known already.
    pub ids: Vec<ForeignId>,
    /// The network's verdict.
    pub acceptance: Acceptance,
    /// It happened before it was known here: no live delivery.
    pub historical: bool,
}

/// Makes or finds the projection of a room that lives on a network.
///
/// # Errors
/// When the address is not of that network.
pub fn project(tx: &mut Tx<'_>, room: &Address, settings: Settings) -> Outcome<Arc<Convo>> {
    let network = room
        .network()
        .and_then(|n| crate::address::NetworkName::new(n).ok())
        .ok_or(Refusal::NotFound)?;
    let key = ConversationKey::Room(room.clone());
    match tx.convo_by_key(&key)? {
        Some(convo) => Ok(convo),
        None => Ok(tx.create_convo(key, settings, Home::Network(network))),
    }
}

/// The home changed a setting or a member: the projection follows, whatever was there.
///
/// # Errors
/// When the conversation lives here.
pub fn overrule(
    tx: &mut Tx<'_>,
    id: ConversationId,
    settings: Option<Settings>,
    members: Vec<Member>,
) -> Outcome<Arc<Convo>> {
    let mut convo = tx.convo(id)?;
    if convo.is_ours() {
        return Err(Refusal::Forbidden("this conversation lives here"));
    }
    if let Some(settings) = settings {
        convo = tx.change_convo(&convo, |c| c.settings = settings);
    }
    for member in members {
        convo = tx.put_member(&convo, member);
    }
    Ok(convo)
}

/// A network brings an event. One that is known (by its first id, from anyone) is stored once; if it is our own pending
/// one, it is accepted by that. `before` names the event in front of which it belongs (backfill, reordering).
///
/// # Errors
/// When there is no place between its neighbours, the conversation is unknown, or something is larger than a limit.
pub fn receive(
    tx: &mut Tx<'_>,
    id: ConversationId,
    incoming: Incoming,
    before: Option<EventId>,
) -> Outcome<Sent> {
    let convo = tx.convo(id)?;
    let tail = tx.tail(id)?;
    crate::ops::send::check_sizes(
        tx.limits(),
        &incoming.content,
        incoming.native.as_ref(),
        incoming.relation.as_ref(),
        &incoming.ids,
    )?;
    if let Some(first) = incoming.ids.first()
        && let Some(hit) = tx.alias(id, first.scheme, None, &first.id)?
    {
        let known = tx
            .store
            .event(hit.seq)?
            .or_else(|| tx.events.values().find(|e| e.seq == hit.seq).cloned());
        // Somebody else there may have taken the id of our pending one: that says nothing about ours.
        let pretends =
            |e: &Event| e.acceptance == Acceptance::Pending && e.author != incoming.author;
        if let Some(event) = known.filter(|e| !pretends(e)) {
            if event.acceptance == Acceptance::Pending {
                accept(tx, &event, incoming.acceptance, None)?;
            }
            return Ok(sent(&event, true));
        }
    }
    let (pos, at, at_end) = match before {
        None => (
            Pos(tail.last_pos.map_or(0, |p| p.0) + Pos::STEP),
            incoming.at.max(tail.last_at),
            true,
        ),
        Some(next) => {
            let next = tx
                .event(next)?
                .filter(|e| e.conversation == id)
                .ok_or(Refusal::NotFound)?;
            let previous = previous(tx, id, next.pos)?;
            let places = Pos::between(previous.as_ref().map(|e| e.pos), Some(next.pos), 1);
            let pos = places
                .and_then(|p| p.first().copied())
                .ok_or(Refusal::Invalid("no place is left there"))?;
            let floor = previous.map_or(Timestamp(i64::MIN), |e| e.at);
            (pos, incoming.at.max(floor).min(next.at), false)
        }
    };
    let event = Arc::new(Event {
        seq: tx.next_seq(),
        pos,
        id: EventId::new(at, tx.random()),
        conversation: id,
        nick: convo
            .member(&incoming.author)
            .and_then(|m| m.nick.as_deref().map(str::to_owned)),
        author: incoming.author,
        device: None,
        at,
        acceptance: incoming.acceptance,
        audience: None,
        historical: incoming.historical,
        relation: incoming.relation,
        content: incoming.content,
        native: incoming.native,
    });
    tx.write(Write::Event(event.clone()));
    tx.events.insert(event.id, event.clone());
    for alias in incoming.ids {
        // The event is written already: what can't be read now stays waiting.
        let waiting = tx.store.waiting(id, alias.scheme, &alias.id);
        for waiting in waiting.unwrap_or_default() {
            tx.write(Write::Resolve {
                seq: waiting,
                target: event.id,
            });
        }
        tx.aliases.insert(
            (id, alias.scheme, event.author.clone(), alias.id.clone()),
            event.seq,
        );
        tx.write(Write::Alias {
            conversation: id,
            scheme: alias.scheme,
            author: event.author.clone(),
            foreign: alias.id,
            seq: event.seq,
        });
    }
    let mut after = Tail {
        last_seq: event.seq,
        first_pos: Some(tail.first_pos.map_or(pos, |f| f.min(pos))),
        ..tail
    };
    if at_end {
        after.last_pos = Some(pos);
        after.last_at = at;
    }
    tx.cache.tails.insert(id, after);
    if !event.historical && event.acceptance == Acceptance::Accepted {
        tx.posts.push(Post::Event(Arc::new(Announced::new(
            event.clone(),
            convo,
            None,
            None,
        ))));
    }
    Ok(sent(&event, false))
}

/// The home's verdict on one of our pending events; with `before` it takes the place that the home gave it.
///
/// # Errors
/// When there is no such event or no place.
pub fn accept(
    tx: &mut Tx<'_>,
    event: &Arc<Event>,
    acceptance: Acceptance,
    before: Option<EventId>,
) -> Outcome<()> {
    let convo = tx.convo(event.conversation)?;
    let pos = match before {
        None => event.pos,
        Some(next) => {
            let next = tx
                .event(next)?
                .filter(|e| e.conversation == event.conversation)
                .ok_or(Refusal::NotFound)?;
            let previous = previous(tx, event.conversation, next.pos)?;
            let places = Pos::between(previous.map(|e| e.pos), Some(next.pos), 1);
            places
                .and_then(|p| p.first().copied())
                .ok_or(Refusal::Invalid("no place is left there"))?
        }
    };
    tx.write(Write::Accept {
        seq: event.seq,
        acceptance,
        pos,
    });
    let mut judged = (**event).clone();
    judged.acceptance = acceptance;
    judged.pos = pos;
    let judged = Arc::new(judged);
    tx.events.insert(judged.id, judged.clone());
    let mut announced = Announced::new(judged, convo, None, None);
    announced.judged = true;
    tx.posts.push(Post::Event(Arc::new(announced)));
    Ok(())
}

/// The network will never take it: the event is rejected and its author sees why.
pub(crate) fn gave_up(
    tx: &mut Tx<'_>,
    row: &OutboxRow,
    why: &str,
    native: Option<Native>,
) -> Outcome<()> {
    let Some(seq) = row.event else { return Ok(()) };
    let Some(event) = tx.store.event(seq)? else {
        return Ok(());
    };
    returned(tx, &event, &row.to, why, native)
}

/// A network brought an event of an account's back (after it had taken it, or instead): the event is rejected, and its
/// author sees why, in `native`'s words on that protocol and in `why`'s on others. Where it was known, nothing happens.
///
/// # Errors
/// When the conversation is gone.
pub fn returned(
    tx: &mut Tx<'_>,
    event: &Arc<Event>,
    by: &Address,
    why: &str,
    native: Option<Native>,
) -> Outcome<()> {
    if event.acceptance == Acceptance::Rejected {
        return Ok(());
    }
    let convo = tx.convo(event.conversation)?;
    accept(tx, event, Acceptance::Rejected, None)?;
    let words = format!("Not delivered to {}: {why}", by.name());
    let note = crate::event::Message {
        kind: crate::event::MessageKind::Notice,
        ..crate::event::Message::text(words)
    };
    let mut draft = crate::ops::send::Draft::new(
        by,
        Content::Message(note),
        crate::principal::Origin::default(),
    );
    draft.native = native;
    draft.audience = Some(vec![event.author.clone()]);
    draft.relation = Some(Relation {
        kind: crate::event::RelationKind::Reply,
        target: Some(event.id),
        foreign: None,
    });
    crate::ops::send::append(tx, &convo, draft);
    Ok(())
}

/// The event in front of a place.
fn previous(
    tx: &mut Tx<'_>,
    conversation: ConversationId,
    pos: Pos,
) -> Outcome<Option<Arc<Event>>> {
    let query = HistoryQuery {
        sources: vec![(
            conversation,
            vec![crate::member::Interval {
                from: Pos(i64::MIN),
                to: Some(pos),
            }],
        )],
        reader: None,
        after: None,
        before: None,
        from: None,
        until: None,
        author: None,
        text: None,
        kinds: Kinds::All,
        skip: 0,
        limit: 1,
        from_end: true,
    };
    let stored = tx.store.history(&query)?.events.pop();
    let here = tx
        .events
        .values()
        .filter(|e| e.conversation == conversation && e.pos < pos)
        .max_by_key(|e| e.pos)
        .cloned();
    Ok([stored, here].into_iter().flatten().max_by_key(|e| e.pos))
}

fn sent(event: &Event, duplicate: bool) -> Sent {
    Sent {
        seq: event.seq,
        id: event.id,
        pos: event.pos,
        conversation: event.conversation,
        at: event.at,
        duplicate,
    }
}
