//! Rooms that live elsewhere, as their network shows them: who is in them, our own people among them, and what they are
//! called. Who comes and goes there is told and not kept in the log: it is the other server's to remember.

use std::collections::HashSet;
use std::sync::Arc;

use crate::address::Address;
use crate::conversation::Settings;
use crate::convo::Convo;
use crate::event::{
    Acceptance, Content, Event, ForeignId, MembershipAction, MembershipChange, Message,
    MessageKind, Relation, RelationKind, RoomChange, Scheme,
};
use crate::ids::{ConversationId, EventId, Pos};
use crate::live::{Announced, OccupantChange, OccupantKind, StateChange};
use crate::member::{Interval, Member, Membership, Role, Standing};
use crate::network::Network;
use crate::node::Node;
use crate::ops::home;
use crate::ops::send::{Draft, append};
use crate::principal::Origin;
use crate::refusal::{Outcome, Refusal};
use crate::store::{HistoryQuery, Write};
use crate::tx::{Post, Tx};

/// Somebody in a room elsewhere, as the room shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who: an account of this node, or somebody of the network.
    pub who: Address,
    /// The nick there.
    pub nick: String,
    /// What they are for good.
    pub standing: Standing,
    /// What they may do now.
    pub role: Role,
}

impl Node {
    /// Brings an account into a room of another network, by way of that network, and keeps it there until it leaves.
    /// Ready when the room has let it in. Asked again for a room that it is in, it makes sure of it.
    ///
    /// # Errors
    /// What the room or the way to it refuses with; [`Refusal::Unreachable`] where this node does not speak with the
    /// network.
    pub async fn enter_elsewhere(
        &self,
        who: &Address,
        room: &Address,
        password: Option<&str>,
    ) -> Outcome<Arc<Convo>> {
        let networks = self.networks();
        let speaks = |n: &&Arc<dyn Network>| Some(n.name().as_str()) == room.network();
        let network = networks.iter().find(speaks).ok_or(Refusal::Unreachable)?;
        network.enter(who, room, password).await?;
        let convo = self.room(room)?.filter(|c| c.has(who));
        convo.ok_or(Refusal::Unreachable)
    }
}

fn elsewhere(tx: &mut Tx<'_>, id: ConversationId) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(id)?;
    if convo.is_ours() {
        return Err(Refusal::Forbidden("this conversation lives here"));
    }
    Ok(convo)
}

/// Somebody is in the room, with this nick and rank. Nothing happens where that is known.
///
/// # Errors
/// When the conversation lives here.
pub fn came(tx: &mut Tx<'_>, id: ConversationId, seen: &Seen) -> Outcome<()> {
    let convo = elsewhere(tx, id)?;
    let known = convo.member(&seen.who).cloned();
    let joined = known.as_ref().is_some_and(|m| m.is_joined());
    if known.is_none() && convo.members.len() >= tx.limits().members {
        return Err(Refusal::RoomFull);
    }
    let mut member = known.map_or_else(|| Member::new(seen.who.clone()), |m| (*m).clone());
    let before = member.clone();
    member.membership = Membership::Joined;
    member.nick = Some(Arc::from(seen.nick.as_str()));
    member.standing = seen.standing;
    member.role_override = Some(seen.role);
    member.invited_by = None;
    if joined && member == before {
        return Ok(());
    }
    if !joined {
        member.since = tx.now;
        let tail = tx.tail(id)?;
        member.enter_history(Pos(tail.last_pos.map_or(i64::MIN, |p| p.0 + 1)));
    }
    let now = tx.put_member(&convo, member);
    if !joined {
        tell(
            tx,
            &now,
            &seen.who,
            &seen.who,
            MembershipAction::Joined,
            None,
        );
    } else if before.standing != seen.standing || before.role_override != Some(seen.role) {
        rank(tx, convo, now, &seen.who);
    }
    Ok(())
}

/// All who are in the room now; whoever else was there is not.
///
/// # Errors
/// When the conversation lives here.
pub fn present(tx: &mut Tx<'_>, id: ConversationId, all: &[Seen]) -> Outcome<()> {
    let convo = elsewhere(tx, id)?;
    let there: HashSet<&Address> = all.iter().map(|s| &s.who).collect();
    let gone: Vec<Address> = convo
        .joined()
        .map(|m| m.address.clone())
        .filter(|a| !there.contains(a) && !a.is_account())
        .collect();
    for who in gone {
        went(tx, id, &who, MembershipAction::Left, None, None)?;
    }
    for seen in all {
        match came(tx, id, seen) {
            // A room of more people than we keep is shown as far as it goes.
            Ok(()) | Err(Refusal::RoomFull) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// Somebody is no longer in the room: they left, or were thrown out by `by`.
///
/// # Errors
/// When the conversation lives here.
pub fn went(
    tx: &mut Tx<'_>,
    id: ConversationId,
    who: &Address,
    action: MembershipAction,
    by: Option<&Address>,
    reason: Option<String>,
) -> Outcome<()> {
    let convo = elsewhere(tx, id)?;
    let Some(member) = convo.member(who).filter(|m| m.is_joined()).cloned() else {
        return Ok(());
    };
    tell(tx, &convo, who, by.unwrap_or(who), action, reason);
    if !who.is_account() {
        let mut next = (*convo).clone();
        next.remove(who);
        tx.write(Write::RemoveMember(id, who.clone()));
        tx.convos.insert(id, Arc::new(next));
        return Ok(());
    }
    let mut member = (*member).clone();
    let tail = tx.tail(id)?;
    member.membership = Membership::Left;
    member.role_override = None;
    member.leave_history(Pos(tail.last_pos.map_or(0, |p| p.0) + 1));
    tx.put_member(&convo, member);
    let who = who.clone();
    tx.after(move |live| {
        live.evict(id, &who);
    });
    Ok(())
}

/// What the room is called and how it is.
///
/// # Errors
/// When the conversation lives here.
pub fn settings(
    tx: &mut Tx<'_>,
    id: ConversationId,
    change: impl FnOnce(&mut Settings),
) -> Outcome<()> {
    let convo = elsewhere(tx, id)?;
    let mut after = convo.conversation.settings.clone();
    change(&mut after);
    if after != convo.conversation.settings {
        tx.change_convo(&convo, |c| c.settings = after);
    }
    Ok(())
}

/// The room has this topic. What was said before we came is not told.
///
/// # Errors
/// When the conversation lives here.
pub fn topic(
    tx: &mut Tx<'_>,
    id: ConversationId,
    topic: &str,
    by: &Address,
    told: bool,
) -> Outcome<()> {
    let convo = elsewhere(tx, id)?;
    let topic: String = topic.chars().take(2048).collect();
    let now = tx.now;
    let same = convo
        .conversation
        .settings
        .topic
        .as_deref()
        .unwrap_or_default()
        == topic;
    if same {
        return Ok(());
    }
    let convo = tx.change_convo(&convo, |c| {
        c.settings.topic = (!topic.is_empty()).then(|| topic.clone());
        c.settings.topic_by = Some((by.clone(), now));
    });
    if told {
        let event = passing(tx, &convo, by, Content::Room(RoomChange::Topic(topic)));
        tx.posts.push(Post::Event(event));
    }
    Ok(())
}

/// The home took one of our pending events; from here on it is known by this id too.
///
/// # Errors
/// When the conversation is gone.
pub fn accepted(tx: &mut Tx<'_>, event: &Arc<Event>, id: Option<ForeignId>) -> Outcome<()> {
    if event.acceptance == Acceptance::Pending {
        home::accept(tx, event, Acceptance::Accepted, None)?;
    }
    if let Some(id) = id {
        let key = (
            event.conversation,
            id.scheme,
            event.author.clone(),
            id.id.clone(),
        );
        if tx.aliases.insert(key, event.seq).is_none() {
            tx.write(Write::Alias {
                conversation: event.conversation,
                scheme: id.scheme,
                author: event.author.clone(),
                foreign: id.id,
                seq: event.seq,
            });
        }
    }
    Ok(())
}

/// The home did not take one of our pending events: its author is told why.
///
/// # Errors
/// When the conversation is gone.
pub fn refused(tx: &mut Tx<'_>, event: &Arc<Event>, by: &Address, why: &str) -> Outcome<()> {
    let convo = tx.convo(event.conversation)?;
    home::accept(tx, event, Acceptance::Rejected, None)?;
    let note = Message {
        kind: MessageKind::Notice,
        ..Message::text(format!("Not taken by {}: {why}", by.name()))
    };
    let mut draft = Draft::new(by, Content::Message(note), Origin::default());
    draft.audience = Some(vec![event.author.clone()]);
    draft.relation = Some(Relation {
        kind: RelationKind::Reply,
        target: Some(event.id),
        foreign: None,
    });
    append(tx, &convo, draft);
    Ok(())
}

/// The event that goes by a foreign id, whoever wrote it.
///
/// # Errors
/// When the store can't be read.
pub fn known(
    tx: &mut Tx<'_>,
    id: ConversationId,
    scheme: Scheme,
    foreign: &str,
) -> Outcome<Option<Arc<Event>>> {
    let Some(hit) = tx.alias(id, scheme, None, foreign)? else {
        return Ok(None);
    };
    if let Some(event) = tx.events.values().find(|e| e.seq == hit.seq) {
        return Ok(Some(event.clone()));
    }
    Ok(tx.store.event(hit.seq)?)
}

/// The last accepted events of a conversation, oldest first, as they were before this batch.
///
/// # Errors
/// When the store can't be read.
pub fn latest(tx: &Tx<'_>, id: ConversationId, limit: usize) -> Outcome<Vec<Arc<Event>>> {
    let query = HistoryQuery {
        from_end: true,
        ..HistoryQuery::new(vec![(id, vec![Interval::ALL])], limit)
    };
    Ok(tx.store.history(&query)?.events)
}

/// Tells of a coming or going, on the lane of events and in its form, without keeping it.
fn tell(
    tx: &mut Tx<'_>,
    convo: &Arc<Convo>,
    who: &Address,
    by: &Address,
    action: MembershipAction,
    reason: Option<String>,
) {
    let member = convo.member(who);
    let joined = action == MembershipAction::Joined;
    let content = Content::Membership(MembershipChange {
        who: who.clone(),
        nick: member.and_then(|m| m.nick.as_deref().map(str::to_owned)),
        membership: if joined {
            Membership::Joined
        } else {
            Membership::Left
        },
        standing: convo.standing(who),
        action,
        reason: reason.clone(),
    });
    let event = passing(tx, convo, by, content);
    tx.posts.push(Post::Event(event));
    let kind = match action {
        MembershipAction::Joined => OccupantKind::Joined,
        MembershipAction::Kicked => OccupantKind::Kicked,
        MembershipAction::Banned => OccupantKind::Banned,
        _ => OccupantKind::Left,
    };
    let change = Arc::new(StateChange::Occupant(OccupantChange {
        convo: convo.clone(),
        who: who.clone(),
        kind,
        old_nick: member.and_then(|m| m.nick.clone()),
        reason,
        by: (by != who).then(|| by.clone()),
        origin: None,
        sessions: Vec::new(),
        before: None,
    }));
    let (id, who) = (convo.id(), who.clone());
    tx.after(move |live| {
        live.tell_room(id, &change);
        // The other sessions of one of ours learn of it too.
        for session in live.sessions_of(&who) {
            let inside = live
                .room(id)
                .is_some_and(|r| r.sessions.iter().any(|s| s.id == session.id));
            if !inside {
                session.mailbox.state(&change);
            }
        }
    });
}

fn rank(tx: &mut Tx<'_>, before: Arc<Convo>, convo: Arc<Convo>, who: &Address) {
    let id = convo.id();
    let change = Arc::new(StateChange::Occupant(OccupantChange {
        convo,
        who: who.clone(),
        kind: OccupantKind::Standing,
        old_nick: None,
        reason: None,
        by: None,
        origin: None,
        sessions: Vec::new(),
        before: Some(before),
    }));
    tx.after(move |live| live.tell_room(id, &change));
}

/// An event for those who are there now.
fn passing(
    tx: &mut Tx<'_>,
    convo: &Arc<Convo>,
    author: &Address,
    content: Content,
) -> Arc<Announced> {
    let event = Event {
        // Not behind anything that is kept: cursors stay where the log is.
        seq: tx.last_seq(),
        pos: Pos(0),
        id: EventId::new(tx.now, tx.random()),
        conversation: convo.id(),
        nick: convo
            .member(author)
            .and_then(|m| m.nick.as_deref().map(str::to_owned)),
        author: author.clone(),
        device: None,
        at: tx.now,
        acceptance: Acceptance::Accepted,
        audience: None,
        historical: false,
        relation: None,
        content,
        native: None,
    };
    let mut announced = Announced::new(Arc::new(event), convo.clone(), None, None);
    announced.passing = true;
    Arc::new(announced)
}
