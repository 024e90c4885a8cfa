//! Standings for good and roles for now, XEP-0045 §5.

use super::*;

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
    permission::lives_here(&convo)?;
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
    tx.limits().check_reason(reason.as_deref())?;
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
    member.reason = reason.as_deref().map(Box::from);
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
    tx.limits().check_reason(reason.as_deref())?;
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
    changed.level = None;
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

/// Keeps the exact level that a Matrix client gave somebody below an admin's standing, and the role that it means, from now
/// on and whenever they come in again.
///
/// # Errors
/// When the principal may not give that role.
pub fn set_level(
    tx: &mut Tx<'_>,
    by: &Principal,
    room: ConversationId,
    who: &Address,
    (level, role): (i64, Role),
    origin: &Origin,
) -> Outcome<Arc<Convo>> {
    let mut convo = tx.convo(room)?;
    permission::may_set_level(&convo, by, who, role)?;
    if !convo.members.contains_key(who) && convo.members.len() >= tx.limits().members {
        return Err(Refusal::TooMany);
    }
    if convo.has(who) {
        convo = set_role(tx, by, room, who, role, None, origin)?;
    }
    let known = convo.member(who);
    let mut member = known.map_or_else(|| Member::new(who.clone()), |m| (**m).clone());
    if member.level == Some(level) {
        return Ok(convo);
    }
    member.level = Some(level);
    Ok(tx.put_member(&convo, member))
}
