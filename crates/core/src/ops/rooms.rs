//! Rooms: making, entering, leaving, inviting, ranking, configuring, destroying.

use std::sync::Arc;

use crate::address::Address;
use crate::conversation::{ConversationKey, Home, JoinRule, Mask, Settings, Visibility};
use crate::convo::Convo;
use crate::event::{Content, MembershipAction, MembershipChange, RoomChange};
use crate::ids::{ConversationId, Pos, SessionId};
use crate::live::{Live, OccupantChange, OccupantKind, Presence, StateChange};
use crate::member::{Member, Membership, Role, Standing};
use crate::ops::send::{Draft, append, progress};
use crate::permission;
use crate::principal::{Origin, Principal};
use crate::refusal::{Outcome, Refusal};
use crate::tx::Tx;

/// Longest nick, in bytes.
pub const NICK_BYTES: usize = 64;

/// Whether a text can be a nick: no control characters, not empty, not only white space, not too long.
pub fn valid_nick(nick: &str) -> bool {
    !nick.trim().is_empty() && nick.len() <= NICK_BYTES && !nick.chars().any(char::is_control)
}

/// Makes a room; the one who makes it is its owner and in it.
///
/// # Errors
/// When the address is taken or not ours, or the account owns too many.
pub fn create(
    tx: &mut Tx<'_>,
    who: &Principal,
    address: &Address,
    settings: Settings,
    nick: Option<&str>,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let owner = who.address().cloned();
    let ours = address
        .domain()
        .is_some_and(|d| tx.shared.domains.iter().any(|own| own.as_str() == d));
    if !address.is_room() || !ours {
        return Err(Refusal::NotFound);
    }
    if matches!(who, Principal::Of(a) if !a.is_account())
        || (matches!(who, Principal::Of(_)) && !tx.shared.rooms_by_anyone)
    {
        return Err(Refusal::Forbidden("you may not make rooms here"));
    }
    let key = ConversationKey::Room(address.clone());
    if tx.convo_by_key(&key)?.is_some() {
        return Err(Refusal::Taken);
    }
    if let Some(owner) = &owner {
        check_room_count(tx, owner)?;
    }
    let nick = match (&owner, nick) {
        (_, Some(nick)) if !valid_nick(nick) => return Err(Refusal::InvalidName),
        (_, Some(nick)) => Some(nick.to_owned()),
        (Some(owner), None) => Some(owner.name().to_owned()),
        (None, None) => None,
    };
    let convo = tx.create_convo(key, settings, Home::Node);
    let author = owner.clone().unwrap_or_else(|| address.clone());
    append(
        tx,
        &convo,
        Draft::new(&author, Content::Room(RoomChange::Created), *origin),
    );
    let Some(owner) = owner else { return Ok(convo) };
    let mut member = Member::new(owner.clone());
    member.standing = Standing::Owner;
    Ok(admit(tx, &convo, member, nick.as_deref(), &owner, origin))
}

fn check_room_count(tx: &mut Tx<'_>, who: &Address) -> Outcome<()> {
    let most = tx.limits().rooms_joined;
    // Counted roughly, by the conversations of the account that are in the directory.
    let count = tx.store.conversations_of(who)?.len();
    if count >= most.saturating_mul(4) {
        Err(Refusal::TooMany)
    } else {
        Ok(())
    }
}

/// Becomes a member (nothing changes for one who is). A pending invitation is used up.
///
/// # Errors
/// When the room does not let the address in, or the nick is taken.
pub fn join(
    tx: &mut Tx<'_>,
    who: &Address,
    room: ConversationId,
    nick: Option<&str>,
    password: Option<&str>,
    fits: &dyn Fn(&Mask) -> bool,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    permission::may_join(&convo, who, password, fits)?;
    let known = convo.member(who).cloned();
    if known.as_ref().is_some_and(|m| m.is_joined()) {
        return match nick {
            Some(nick) if known.as_ref().and_then(|m| m.nick.as_deref()) != Some(nick) => {
                set_nick(tx, who, room, nick, origin)
            }
            _ => Ok(convo),
        };
    }
    if convo.members.len() >= tx.limits().members {
        return Err(Refusal::RoomFull);
    }
    let wanted = nick
        .or(known.as_ref().and_then(|m| m.nick.as_deref()))
        .unwrap_or(who.name())
        .to_owned();
    check_nick(&convo, who, &wanted)?;
    check_room_count(tx, who)?;
    let member = known.map_or_else(|| Member::new(who.clone()), |m| (*m).clone());
    Ok(admit(tx, &convo, member, Some(&wanted), who, origin))
}

fn check_nick(convo: &Convo, who: &Address, nick: &str) -> Outcome<()> {
    if !valid_nick(nick) {
        return Err(Refusal::InvalidName);
    }
    let folded = crate::convo::fold_nick(nick);
    if convo.nicks.get(&folded).is_some_and(|a| a != who) {
        return Err(Refusal::Taken);
    }
    // A registered nick stays its member's while away.
    let kept = convo.members.values().any(|m| {
        m.address != *who
            && m.standing >= Standing::Member
            && m.nick
                .as_deref()
                .is_some_and(|n| crate::convo::fold_nick(n) == folded)
    });
    if kept { Err(Refusal::Taken) } else { Ok(()) }
}

/// Writes the membership, its event and its announcement. Checked before.
fn admit(
    tx: &mut Tx<'_>,
    convo: &Arc<Convo>,
    mut member: Member,
    nick: Option<&str>,
    by: &Address,
    origin: &Origin,
) -> Arc<Convo> {
    let tail = tx.cache.tails.get(&convo.id()).copied().unwrap_or_default();
    member.membership = Membership::Joined;
    member.since = tx.now;
    member.invited_by = None;
    member.nick = nick.map(Arc::from);
    // The own joining is the first thing one sees.
    member.enter_history(Pos(tail.last_pos.map_or(0, |p| p.0) + 1));
    let who = member.address.clone();
    let change = membership(&member, MembershipAction::Joined, None);
    let convo = tx.put_member(convo, member);
    append(tx, &convo, Draft::new(by, change, *origin));
    announce(
        tx,
        Change {
            convo: convo.clone(),
            who,
            kind: OccupantKind::Joined,
            old_nick: None,
            reason: None,
            by: None,
            origin: origin.session,
            evict: false,
            before: None,
        },
    );
    convo
}

fn membership(member: &Member, action: MembershipAction, reason: Option<String>) -> Content {
    Content::Membership(MembershipChange {
        who: member.address.clone(),
        nick: member.nick.as_deref().map(str::to_owned),
        membership: member.membership,
        standing: member.standing,
        action,
        reason,
    })
}

struct Change {
    convo: Arc<Convo>,
    who: Address,
    kind: OccupantKind,
    old_nick: Option<Arc<str>>,
    reason: Option<String>,
    by: Option<Address>,
    origin: Option<SessionId>,
    /// Whether the sessions of `who` leave the room with it.
    evict: bool,
    before: Option<Arc<Convo>>,
}

/// Tells the room about a change of an occupant after the commit.
fn announce(tx: &mut Tx<'_>, change: Change) {
    tx.after(move |live| {
        let room = change.convo.id();
        let sessions = live
            .room(room)
            .and_then(|r| r.occupants.get(&change.who))
            .map(|o| o.sessions.clone())
            .unwrap_or_default();
        let change_out = Arc::new(StateChange::Occupant(OccupantChange {
            convo: change.convo,
            who: change.who.clone(),
            kind: change.kind,
            old_nick: change.old_nick,
            reason: change.reason,
            by: change.by,
            origin: change.origin,
            sessions,
            before: change.before,
        }));
        live.tell_room(room, &change_out);
        // Other sessions of the same account learn of joining and leaving too.
        if matches!(
            change.kind,
            OccupantKind::Joined | OccupantKind::Left | OccupantKind::Nick
        ) {
            for session in live.sessions_of(&change.who) {
                let inside = live
                    .room(room)
                    .is_some_and(|r| r.sessions.iter().any(|s| s.id == session.id));
                if !inside {
                    session.mailbox.state(&change_out);
                }
            }
        }
        if change.evict {
            live.evict(room, &change.who);
        }
    });
}

/// Brings a session into a room of which its account is a member. What the session gets in `entered` (called in order
/// with the log: everything up to `seq` is history to it, everything later will be delivered) it must show first.
///
/// # Errors
/// When the account is not in the room.
pub fn enter(
    tx: &mut Tx<'_>,
    session: SessionId,
    who: &Address,
    room: ConversationId,
    presence: Presence,
) -> Outcome<Entered> {
    let convo = tx.convo(room)?;
    if !convo.has(who) {
        return Err(Refusal::NotJoined);
    }
    let seq = tx.last_seq();
    let (who, convo_out) = (who.clone(), convo.clone());
    let presence = Arc::new(presence);
    tx.after(move |live| {
        let Some(own) = live.session(session).cloned() else {
            return;
        };
        let new = live.enter(room, &own, presence);
        let sessions = live
            .room(room)
            .and_then(|r| r.occupants.get(&who))
            .map(|o| o.sessions.clone())
            .unwrap_or_default();
        let change = OccupantChange {
            convo,
            who,
            kind: if new {
                OccupantKind::Entered
            } else {
                OccupantKind::Updated
            },
            old_nick: None,
            reason: None,
            by: None,
            origin: Some(session),
            sessions,
            before: None,
        };
        live.tell_room(room, &Arc::new(StateChange::Occupant(change)));
    });
    Ok(Entered {
        convo: convo_out,
        seq,
    })
}

/// A session is in a room now.
#[derive(Clone, Debug)]
pub struct Entered {
    /// The room.
    pub convo: Arc<Convo>,
    /// Everything up to here is history to the session.
    pub seq: crate::ids::Seq,
}

/// Takes a session out of a room; the membership stays.
pub fn exit(
    tx: &mut Tx<'_>,
    session: SessionId,
    who: &Address,
    room: ConversationId,
) -> Outcome<()> {
    let convo = tx.convo(room)?;
    let who = who.clone();
    tx.after(move |live| leave_occupancy(live, &convo, session, &who));
    Ok(())
}

/// Takes a session out of a room because its person left on purpose (XEP-0045 §7.14). Where it was the last one the
/// membership ends too, unless `stays`; in a room that does not persist it always does. Returns whether it ended.
///
/// # Errors
/// When there is no such room.
pub fn depart(
    tx: &mut Tx<'_>,
    session: SessionId,
    who: &Address,
    room: ConversationId,
    stays: bool,
    reason: Option<String>,
    origin: &Origin,
) -> Outcome<bool> {
    let convo = tx.convo(room)?;
    let others = has_other_session(tx, room, who, session);
    let stays = stays && convo.conversation.settings.persistent;
    if others || stays || !convo.has(who) {
        exit(tx, session, who, room)?;
        return Ok(false);
    }
    leave(tx, who, room, reason, origin).map(|_| true)
}

/// Whether a person is in a room with another session than this one.
pub(crate) fn has_other_session(
    tx: &Tx<'_>,
    room: ConversationId,
    who: &Address,
    session: SessionId,
) -> bool {
    let live = tx.shared.live.read();
    live.room(room)
        .and_then(|r| r.occupants.get(who))
        .is_some_and(|o| o.sessions.iter().any(|(s, _)| s.id != session))
}

/// Reserves a nick and makes its holder a member of an open room (XEP-0045 §7.10). Who is in the room goes by it at once.
///
/// # Errors
/// When the room is closed to this one or gives voice by standing, or the nick is taken.
pub fn register(
    tx: &mut Tx<'_>,
    who: &Address,
    room: ConversationId,
    nick: &str,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    may_register(&convo, who)?;
    check_nick(&convo, who, nick)?;
    if convo.member(who).is_none() && convo.members.len() >= tx.limits().members {
        return Err(Refusal::TooMany);
    }
    let convo = if convo.has(who) {
        set_nick(tx, who, room, nick, origin)?
    } else {
        let mut member = convo
            .member(who)
            .map_or_else(|| Member::new(who.clone()), |m| (**m).clone());
        member.nick = Some(Arc::from(nick));
        tx.put_member(&convo, member)
    };
    if convo.standing(who) >= Standing::Member {
        progress(tx, origin);
        return Ok(convo);
    }
    set_standing(
        tx,
        &Principal::Node,
        room,
        who,
        Standing::Member,
        None,
        origin,
    )
}

/// May this one reserve a nick? Members always; others in open rooms in which that gives nothing else.
///
/// # Errors
/// When not.
pub fn may_register(convo: &Convo, who: &Address) -> Outcome<()> {
    let settings = &convo.conversation.settings;
    match convo.standing(who) {
        Standing::Outcast => Err(Refusal::Banned),
        Standing::None if settings.join_rule != JoinRule::Open => Err(Refusal::MembersOnly),
        Standing::None if settings.moderated => {
            Err(Refusal::Forbidden("only admins make members of this room"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn leave_occupancy(
    live: &mut Live,
    convo: &Arc<Convo>,
    session: SessionId,
    who: &Address,
) {
    if !live.exit(convo.id(), session) {
        return;
    }
    let sessions = live
        .room(convo.id())
        .and_then(|r| r.occupants.get(who))
        .map(|o| o.sessions.clone())
        .unwrap_or_default();
    let kind = if sessions.is_empty() {
        OccupantKind::Absent
    } else {
        OccupantKind::Updated
    };
    let change = OccupantChange {
        convo: convo.clone(),
        who: who.clone(),
        kind,
        old_nick: None,
        reason: None,
        by: None,
        origin: Some(session),
        sessions,
        before: None,
    };
    live.tell_room(convo.id(), &Arc::new(StateChange::Occupant(change)));
}

/// Ends the membership: PART, Matrix leave, removing the bookmark. A declined invitation ends the same way.
///
/// # Errors
/// When the address is not in the room and not invited.
pub fn leave(
    tx: &mut Tx<'_>,
    who: &Address,
    room: ConversationId,
    reason: Option<String>,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    let member = convo
        .member(who)
        .filter(|m| m.membership > Membership::Left)
        .cloned()
        .ok_or(Refusal::NotJoined)?;
    let convo = remove(
        tx,
        &convo,
        &member,
        MembershipAction::Left,
        OccupantKind::Left,
        reason,
        who,
        origin,
    );
    // A room that does not persist goes with its last member.
    if !convo.conversation.settings.persistent && convo.joined().next().is_none() {
        return Ok(tx.change_convo(&convo, |c| c.destroyed = true));
    }
    Ok(convo)
}

#[expect(
    clippy::too_many_arguments,
    reason = "one place where a membership ends; each part differs between the four ways"
)]
fn remove(
    tx: &mut Tx<'_>,
    convo: &Arc<Convo>,
    member: &Member,
    action: MembershipAction,
    kind: OccupantKind,
    reason: Option<String>,
    by: &Address,
    origin: &Origin,
) -> Arc<Convo> {
    let was_joined = member.is_joined();
    let mut member = member.clone();
    let old_nick = member.nick.clone();
    member.membership = Membership::Left;
    member.role_override = None;
    member.invited_by = None;
    let change = membership(&member, action, reason.clone());
    // The own leaving is the last thing one sees.
    let convo_before = convo.clone();
    append(tx, &convo_before, Draft::new(by, change, *origin));
    let end = tx
        .cache
        .tails
        .get(&convo.id())
        .and_then(|t| t.last_pos)
        .map_or(0, |p| p.0)
        + 1;
    member.leave_history(Pos(end));
    if member.standing < Standing::Member && member.standing != Standing::Outcast {
        member.nick = None;
    }
    let who = member.address.clone();
    let convo = tx.put_member(convo, member);
    if was_joined {
        announce(
            tx,
            Change {
                convo: convo.clone(),
                who,
                kind,
                old_nick,
                reason,
                by: Some(by.clone()),
                origin: origin.session,
                evict: true,
                before: Some(convo_before),
            },
        );
    }
    convo
}

/// Changes the own nick.
///
/// # Errors
/// When it is taken or no valid nick.
pub fn set_nick(
    tx: &mut Tx<'_>,
    who: &Address,
    room: ConversationId,
    nick: &str,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    let member = convo
        .member(who)
        .filter(|m| m.is_joined())
        .cloned()
        .ok_or(Refusal::NotJoined)?;
    if member.nick.as_deref() == Some(nick) {
        return Ok(convo);
    }
    check_nick(&convo, who, nick)?;
    let mut changed = (*member).clone();
    changed.nick = Some(nick.into());
    let content = membership(&changed, MembershipAction::Nick, None);
    let convo = tx.put_member(&convo, changed);
    append(tx, &convo, Draft::new(who, content, *origin));
    announce(
        tx,
        Change {
            convo: convo.clone(),
            who: who.clone(),
            kind: OccupantKind::Nick,
            old_nick: member.nick.clone(),
            reason: None,
            by: None,
            origin: origin.session,
            evict: false,
            before: None,
        },
    );
    Ok(convo)
}

/// Invites someone. In a members-only room they get the standing to come in.
///
/// # Errors
/// When the principal may not invite, the other is banned or already in.
pub fn invite(
    tx: &mut Tx<'_>,
    by: &Principal,
    room: ConversationId,
    whom: &Address,
    reason: Option<String>,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    permission::may_invite(&convo, by)?;
    if whom.is_account() {
        tx.account(whom)?.ok_or(Refusal::NotFound)?;
    }
    let inviter = by
        .address()
        .cloned()
        .ok_or(Refusal::Invalid("the node invites nobody"))?;
    if whom.is_account() && tx.contact(whom, &inviter)?.blocked {
        return Err(Refusal::Blocked);
    }
    let mut member = convo
        .member(whom)
        .map_or_else(|| Member::new(whom.clone()), |m| (**m).clone());
    if member.standing == Standing::Outcast {
        return Err(Refusal::Banned);
    }
    if member.is_joined() {
        return Err(Refusal::Taken);
    }
    if !convo.members.contains_key(whom) && convo.members.len() >= tx.limits().members {
        return Err(Refusal::RoomFull);
    }
    member.membership = Membership::Invited;
    member.invited_by = Some(inviter.clone());
    // XEP-0045 §9.5: an invitation into a members-only room makes the invited a member, one into an open room does not.
    if convo.conversation.settings.join_rule != JoinRule::Open {
        member.standing = member.standing.max(Standing::Member);
    }
    let content = membership(&member, MembershipAction::Invited, reason);
    let convo = tx.put_member(&convo, member);
    append(tx, &convo, Draft::new(&inviter, content, *origin));
    Ok(convo)
}

/// Gives a standing for good. An outcast leaves the room; in a members-only room so does one who loses the standing.
///
/// # Errors
/// When the principal's own standing does not allow it.
pub fn set_standing(
    tx: &mut Tx<'_>,
    by: &Principal,
    room: ConversationId,
    who: &Address,
    standing: Standing,
    reason: Option<String>,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    let known = convo.member(who).cloned();
    let before = known.as_ref().map_or(Standing::None, |m| m.standing);
    if before == standing {
        return Ok(convo);
    }
    permission::may_set_standing(&convo, by, who, standing)?;
    if known.is_none() && convo.members.len() >= tx.limits().members {
        return Err(Refusal::TooMany);
    }
    let author = by
        .address()
        .cloned()
        .or_else(|| convo.conversation.room().cloned())
        .ok_or(Refusal::NotFound)?;
    let mut member = known.map_or_else(|| Member::new(who.clone()), |m| (*m).clone());
    member.standing = standing;
    member.role_override = None;
    member.level = None;
    let closed = convo.conversation.settings.join_rule != JoinRule::Open;
    if standing == Standing::Outcast {
        return Ok(remove(
            tx,
            &convo,
            &member,
            MembershipAction::Banned,
            OccupantKind::Banned,
            reason,
            &author,
            origin,
        ));
    }
    if member.is_joined() && closed && standing == Standing::None {
        return Ok(remove(
            tx,
            &convo,
            &member,
            MembershipAction::Kicked,
            OccupantKind::Removed,
            reason,
            &author,
            origin,
        ));
    }
    let action = if before == Standing::Outcast {
        MembershipAction::Unbanned
    } else {
        MembershipAction::Standing
    };
    let content = membership(&member, action, reason.clone());
    let joined = member.is_joined();
    let earlier = convo.clone();
    let convo = tx.put_member(&convo, member);
    append(tx, &convo, Draft::new(&author, content, *origin));
    if joined {
        announce(
            tx,
            Change {
                convo: convo.clone(),
                who: who.clone(),
                kind: OccupantKind::Standing,
                old_nick: None,
                reason,
                by: Some(author),
                origin: origin.session,
                evict: false,
                before: Some(earlier),
            },
        );
    }
    Ok(convo)
}

/// Gives an occupant a role for now; [`Role::None`] kicks.
///
/// # Errors
/// When the principal's role does not allow it, or the person is not in the room.
pub fn set_role(
    tx: &mut Tx<'_>,
    by: &Principal,
    room: ConversationId,
    who: &Address,
    role: Role,
    reason: Option<String>,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    permission::may_set_role(&convo, by, who, role)?;
    let author = by
        .address()
        .cloned()
        .or_else(|| convo.conversation.room().cloned())
        .ok_or(Refusal::NotFound)?;
    let member = convo
        .member(who)
        .filter(|m| m.is_joined())
        .cloned()
        .ok_or(Refusal::NotFound)?;
    if role == Role::None {
        return Ok(remove(
            tx,
            &convo,
            &member,
            MembershipAction::Kicked,
            OccupantKind::Kicked,
            reason,
            &author,
            origin,
        ));
    }
    if convo.role(who) == role {
        return Ok(convo);
    }
    let mut changed = (*member).clone();
    changed.role_override = (convo.default_role(member.standing) != role).then_some(role);
    let earlier = convo.clone();
    let convo = tx.put_member(&convo, changed);
    progress(tx, origin);
    announce(
        tx,
        Change {
            convo: convo.clone(),
            who: who.clone(),
            kind: OccupantKind::Standing,
            old_nick: None,
            reason,
            by: Some(author),
            origin: origin.session,
            evict: false,
            before: Some(earlier),
        },
    );
    Ok(convo)
}

/// Sets the topic.
///
/// # Errors
/// When the principal may not, or it is too long.
pub fn set_topic(
    tx: &mut Tx<'_>,
    by: &Principal,
    room: ConversationId,
    topic: &str,
    native: Option<crate::event::Native>,
    origin: &Origin,
) -> Outcome<crate::sent::Sent> {
    let convo = tx.convo(room)?;
    permission::may_set_topic(&convo, by)?;
    if topic.len() > 4096 {
        return Err(Refusal::TooLarge);
    }
    let author = by
        .address()
        .cloned()
        .or_else(|| convo.conversation.room().cloned())
        .ok_or(Refusal::NotFound)?;
    let now = tx.now;
    let convo = tx.change_convo(&convo, |c| {
        c.settings.topic = (!topic.is_empty()).then(|| topic.to_owned());
        c.settings.topic_by = Some((author.clone(), now));
    });
    let draft = Draft {
        native,
        ..Draft::new(
            &author,
            Content::Room(RoomChange::Topic(topic.to_owned())),
            *origin,
        )
    };
    Ok(append(tx, &convo, draft))
}

/// Changes settings. `change` gets a copy of what is set now; the topic is not set this way.
///
/// # Errors
/// When the principal is no owner (an admin may change masks), or the change loosens an encryption binding that its
/// protocol cannot loosen.
pub fn configure(
    tx: &mut Tx<'_>,
    by: &Principal,
    room: ConversationId,
    change: impl FnOnce(&mut Settings) -> Outcome<()>,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    let before = convo.conversation.settings.clone();
    let mut after = before.clone();
    change(&mut after)?;
    if after == before {
        permission::may_configure(&convo, by, false)?;
        return Ok(convo);
    }
    let mut only_masks = after.clone();
    only_masks.masks = before.masks.clone();
    permission::may_configure(&convo, by, only_masks != before)?;
    check_settings(&after)?;
    let author = by
        .address()
        .cloned()
        .or_else(|| convo.conversation.room().cloned())
        .ok_or(Refusal::NotFound)?;
    let tail = tx.tail(room)?;
    let earlier = convo.clone();
    let opens = before.visibility == Visibility::Joined && after.visibility != Visibility::Joined;
    let closes = after.join_rule != JoinRule::Open && before.join_rule == JoinRule::Open;
    let mut convo = tx.change_convo(&convo, |c| {
        c.settings = after.clone();
        if opens {
            c.open_from = Pos(tail.last_pos.map_or(i64::MIN, |p| p.0 + 1));
        }
    });
    let content = if before.name != after.name {
        RoomChange::Name(after.name.clone().unwrap_or_default())
    } else if before.avatar != after.avatar {
        RoomChange::Avatar(after.avatar.clone())
    } else {
        RoomChange::Settings(differences(&before, &after))
    };
    append(
        tx,
        &convo,
        Draft::new(&author, Content::Room(content), *origin),
    );
    if closes {
        // Whoever is inside without a standing must leave when a room becomes members-only (XEP-0045 §9.2).
        let strangers: Vec<_> = convo
            .joined()
            .filter(|m| m.standing < Standing::Member)
            .cloned()
            .collect();
        for member in strangers {
            convo = remove(
                tx,
                &convo,
                &member,
                MembershipAction::Kicked,
                OccupantKind::Removed,
                None,
                &author,
                origin,
            );
        }
    }
    let (id, seen) = (convo.id(), convo.clone());
    let roles_change = before.moderated != after.moderated;
    tx.after(move |live| {
        let Some(room) = live.room(id) else { return };
        if !roles_change {
            return;
        }
        let people: Vec<_> = room
            .occupants
            .values()
            .map(|o| (o.address.clone(), o.sessions.clone()))
            .collect();
        for (who, sessions) in people {
            let change = OccupantChange {
                convo: seen.clone(),
                who,
                kind: OccupantKind::Standing,
                old_nick: None,
                reason: None,
                by: None,
                origin: None,
                sessions,
                before: Some(earlier.clone()),
            };
            live.tell_room(id, &Arc::new(StateChange::Occupant(change)));
        }
    });
    Ok(convo)
}

fn check_settings(settings: &Settings) -> Outcome<()> {
    let long = |text: &Option<String>, most| text.as_ref().is_some_and(|t| t.len() > most);
    let extra: usize = settings.extra.iter().map(|(k, v)| k.len() + v.len()).sum();
    if long(&settings.name, 256)
        || long(&settings.description, 4096)
        || long(&settings.password, 256)
        || extra > 16 * 1024
    {
        return Err(Refusal::TooLarge);
    }
    if settings.masks.len() > 256 || settings.masks.iter().any(|m| m.mask.len() > 256) {
        return Err(Refusal::TooMany);
    }
    Ok(())
}

fn differences(a: &Settings, b: &Settings) -> Vec<String> {
    let mut words = Vec::new();
    let mut note = |changed: bool, word: &str| {
        if changed {
            words.push(word.to_owned());
        }
    };
    note(a.join_rule != b.join_rule, "who may come in");
    note(a.visibility != b.visibility, "who may read the history");
    note(a.moderated != b.moderated, "moderation");
    note(a.password != b.password, "password");
    note(
        a.addresses_open != b.addresses_open,
        "whether addresses are shown",
    );
    note(a.binding != b.binding, "encryption");
    note(a.retention_days != b.retention_days, "retention");
    note(a.listed != b.listed, "listing");
    note(a.masks != b.masks, "bans");
    note(a.description != b.description, "description");
    if words.is_empty() {
        words.push("settings".into());
    }
    words
}

/// Destroys a room: everyone leaves, its address is free, its history stays with those who were in it.
///
/// # Errors
/// When the principal is no owner.
pub fn destroy(
    tx: &mut Tx<'_>,
    by: &Principal,
    room: ConversationId,
    reason: Option<String>,
    alternate: Option<Address>,
    origin: &Origin,
) -> Outcome<()> {
    let convo = tx.convo(room)?;
    permission::may_configure(&convo, by, true)?;
    let author = by
        .address()
        .cloned()
        .or_else(|| convo.conversation.room().cloned())
        .ok_or(Refusal::NotFound)?;
    let content = Content::Room(RoomChange::Destroyed {
        reason: reason.clone(),
        alternate: alternate.clone(),
    });
    append(tx, &convo, Draft::new(&author, content, *origin));
    let convo = tx.change_convo(&convo, |c| c.destroyed = true);
    let session = origin.session;
    tx.after(move |live| {
        let room = convo.id();
        let people: Vec<_> = live
            .room(room)
            .map(|r| {
                r.occupants
                    .values()
                    .map(|o| (o.address.clone(), o.sessions.clone()))
                    .collect()
            })
            .unwrap_or_default();
        for (who, sessions) in people {
            let change = OccupantChange {
                convo: convo.clone(),
                who: who.clone(),
                kind: OccupantKind::Destroyed,
                old_nick: None,
                reason: reason.clone(),
                by: alternate.clone(),
                origin: session,
                sessions: sessions.clone(),
                before: None,
            };
            let change = Arc::new(StateChange::Occupant(change));
            for (session, _) in &sessions {
                session.mailbox.state(&change);
            }
            live.evict(room, &who);
        }
    });
    Ok(())
}
