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
use crate::store::{HistoryQuery, Tail, Write};
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
    put(tx, id, incoming, before.map_or(Place::End, Place::Before))
}

/// Like [`receive`], for an event that was missed: it goes where its time puts it, which may be before what is known
/// already. Thousands of them fit between two neighbours, oldest first.
///
/// # Errors
/// As for [`receive`].
pub fn fill(tx: &mut Tx<'_>, id: ConversationId, incoming: Incoming) -> Outcome<Sent> {
    put(tx, id, incoming, Place::Time)
}

/// Where an event of a network's belongs.
#[derive(Clone, Copy)]
enum Place {
    End,
    Before(EventId),
    Time,
}

fn put(tx: &mut Tx<'_>, id: ConversationId, incoming: Incoming, place: Place) -> Outcome<Sent> {
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
    let neighbours = match place {
        Place::End => None,
        Place::Before(next) => {
            let next = tx
                .event(next)?
                .filter(|e| e.conversation == id)
                .ok_or(Refusal::NotFound)?;
            Some((nearest(tx, id, &Side::Below(next.pos))?, next))
        }
        Place::Time => {
            let previous = nearest(tx, id, &Side::Until(incoming.at))?;
            let floor = previous.as_ref().map_or(Pos(i64::MIN), |e| e.pos);
            let next = nearest(tx, id, &Side::Above(floor))?;
            next.map(|next| (previous, next))
        }
    };
    let (pos, at, at_end) = match neighbours {
        None => (
            Pos(tail.last_pos.map_or(0, |p| p.0) + Pos::STEP),
            incoming.at.max(tail.last_at),
            true,
        ),
        Some((previous, next)) => {
            let floor = previous.as_ref().map(|e| e.pos);
            let pos = match (place, floor) {
                // The next one follows this one: most of the room stays behind it.
                (Place::Time, Some(floor)) => Pos::behind(floor, next.pos),
                _ => Pos::between(floor, Some(next.pos), 1).and_then(|p| p.first().copied()),
            };
            let pos = pos.ok_or(Refusal::Invalid("no place is left there"))?;
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
    crate::ops::files::note(tx, &event);
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
            let previous = nearest(tx, event.conversation, &Side::Below(next.pos))?;
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

/// On which side of what.
enum Side {
    Below(Pos),
    Above(Pos),
    Until(Timestamp),
}

/// The accepted event that is nearest to a place or a time, on one side of it.
fn nearest(
    tx: &mut Tx<'_>,
    conversation: ConversationId,
    side: &Side,
) -> Outcome<Option<Arc<Event>>> {
    let (from, to, until) = match *side {
        Side::Below(pos) => (Pos(i64::MIN), Some(pos), None),
        Side::Above(pos) => (Pos(pos.0.saturating_add(1)), None, None),
        Side::Until(at) => (Pos(i64::MIN), None, Some(at)),
    };
    let first = matches!(side, Side::Above(_));
    let query = HistoryQuery {
        until,
        from_end: !first,
        ..HistoryQuery::new(
            vec![(conversation, vec![crate::member::Interval { from, to }])],
            1,
        )
    };
    let stored = tx.store.history(&query)?.events.pop();
    let here = tx.events.values().filter(|e| {
        e.conversation == conversation
            && e.acceptance == Acceptance::Accepted
            && e.pos >= from
            && to.is_none_or(|to| e.pos < to)
            && until.is_none_or(|until| e.at <= until)
    });
    let all = here.cloned().chain(stored);
    Ok(if first {
        all.min_by_key(|e| e.pos)
    } else {
        all.max_by_key(|e| e.pos)
    })
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
