//! Coming and going: making a room, joining, entering with a session, leaving, nicks, invitations.

use super::*;

/// Makes a room; the one who makes it is its owner and in it.
///
/// # Errors
/// When the address is taken or not ours, or the account owns too many; [`Refusal::Gone`] with the address of now where
/// a room had this one before that the principal may know of.
pub fn create(
    tx: &mut Tx<'_>,
    who: &Principal,
    address: &Address,
    settings: Settings,
    nick: Option<&str>,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let owner = who.address().cloned();
    if !naming::is_ours(tx, address) {
        return Err(Refusal::NotFound);
    }
    if matches!(who, Principal::Of(a) if !a.is_account())
        || (matches!(who, Principal::Of(_)) && !tx.rules.rooms_by_anyone)
    {
        return Err(Refusal::Forbidden("you may not make rooms here"));
    }
    let key = ConversationKey::Room(address.clone());
    settings::check_settings(&settings)?;
    check_address(tx, who, address)?;
    if let Some(owner) = &owner {
        check_rooms_owned(tx, owner)?;
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
    let way = Way {
        password,
        fits,
        allowed: false,
    };
    join_by(tx, who, room, nick, &way, origin)
}

/// By what somebody comes in.
pub struct Way<'a> {
    /// The password that they gave.
    pub password: Option<&'a str>,
    /// Whether a mask of a ban list means them; the protocol knows how.
    pub fits: &'a dyn Fn(&Mask) -> bool,
    /// A rule of the room that core has no word for lets them in as if they were invited.
    pub allowed: bool,
}

/// [`join`] by a way that only some protocols know.
///
/// # Errors
/// As [`join`].
pub fn join_by(
    tx: &mut Tx<'_>,
    who: &Address,
    room: ConversationId,
    nick: Option<&str>,
    way: &Way<'_>,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    permission::may_join_by(&convo, who, way)?;
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
    let mut member = known.map_or_else(|| Member::new(who.clone()), |m| (*m).clone());
    if way.allowed && convo.conversation.settings.join_rule != JoinRule::Open {
        member.standing = member.standing.max(Standing::Member);
    }
    Ok(admit(tx, &convo, member, Some(&wanted), who, origin))
}

/// People who may knock at a room at once.
pub const KNOCKING: usize = 100;

/// Asks to be let in, where the room has people ask. Nothing changes for who knocks already. An invitation answers it, or
/// [`turn_away`].
///
/// # Errors
/// When nobody knocks at this room or this one may not, or too many do.
pub fn knock(
    tx: &mut Tx<'_>,
    who: &Address,
    room: ConversationId,
    reason: Option<String>,
    fits: &dyn Fn(&Mask) -> bool,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    permission::may_knock(&convo, who, fits)?;
    tx.limits().check_reason(reason.as_deref())?;
    let knocks = |m: &Arc<Member>| m.membership == Membership::Knocked;
    let known = convo.member(who).cloned();
    if known.as_ref().is_some_and(knocks) {
        return Ok(convo);
    }
    let knocking = convo.members.values().filter(|m| knocks(m)).count();
    if knocking >= KNOCKING || known.is_none() && convo.members.len() >= tx.limits().members {
        return Err(Refusal::TooMany);
    }
    check_room_count(tx, who)?;
    let mut member = known.map_or_else(|| Member::new(who.clone()), |m| (*m).clone());
    member.membership = Membership::Knocked;
    let content = membership(&member, MembershipAction::Knocked, reason);
    let convo = tx.put_member(&convo, member);
    append(tx, &convo, Draft::new(who, content, *origin));
    Ok(convo)
}

/// Takes an invitation back, or turns away who knocks.
///
/// # Errors
/// When the principal may not, or the person neither is invited nor knocks.
pub fn turn_away(
    tx: &mut Tx<'_>,
    by: &Principal,
    room: ConversationId,
    whom: &Address,
    reason: Option<String>,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    let waits =
        |m: &&Arc<Member>| matches!(m.membership, Membership::Invited | Membership::Knocked);
    let member = convo.member(whom).filter(waits).ok_or(Refusal::NotFound)?;
    permission::may_turn_away(&convo, by, member)?;
    tx.limits().check_reason(reason.as_deref())?;
    let author = by
        .address()
        .ok_or(Refusal::Invalid("the node invites nobody"))?;
    let mut member = (**member).clone();
    // What the invitation gave goes with it; in an open room it gave nothing.
    let gave = convo.conversation.settings.join_rule != JoinRule::Open;
    if gave && member.standing == Standing::Member && member.intervals.is_empty() {
        member.standing = Standing::None;
    }
    Ok(remove(
        tx,
        &convo,
        &member,
        MembershipAction::Left,
        OccupantKind::Left,
        reason,
        author,
        origin,
    ))
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
    mut presence: Presence,
) -> Outcome<Entered> {
    presence.status = tx.limits().clip_reason(presence.status);
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
    let stays = stays && persists(&convo);
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

/// Whether a room stays when its last member left.
fn persists(convo: &Convo) -> bool {
    let settings = &convo.conversation.settings;
    settings.persistent && !settings.locked
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
    let reason = tx.limits().clip_reason(reason);
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
    if !persists(&convo) && convo.joined().next().is_none() {
        return Ok(ends(tx, &convo));
    }
    Ok(convo)
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
    permission::lives_here(&convo)?;
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
    invite_with(tx, by, room, whom, reason, None, origin)
}

/// [`invite`] with what only the inviter's own protocol says about it.
///
/// # Errors
/// As [`invite`].
pub fn invite_with(
    tx: &mut Tx<'_>,
    by: &Principal,
    room: ConversationId,
    whom: &Address,
    reason: Option<String>,
    native: Option<crate::event::Native>,
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let convo = tx.convo(room)?;
    permission::may_invite(&convo, by)?;
    tx.limits().check_reason(reason.as_deref())?;
    if whom.is_account() {
        tx.account(whom)?.ok_or(Refusal::NotFound)?;
    }
    let inviter = by
        .address()
        .cloned()
        .ok_or(Refusal::Invalid("the node invites nobody"))?;
    if whom.is_account() && tx.is_blocked(whom, &inviter)? {
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
    let draft = Draft {
        native,
        ..Draft::new(&inviter, content, *origin)
    };
    append(tx, &convo, draft);
    Ok(convo)
}
