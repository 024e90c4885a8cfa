//! Topic, settings, and the end of a room.

use super::*;

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
    // Elsewhere it is a wish until the room says it itself.
    let convo = if convo.is_ours() {
        tx.change_convo(&convo, |c| {
            c.settings.topic = (!topic.is_empty()).then(|| topic.to_owned());
            c.settings.topic_by = Some((author.clone(), now));
        })
    } else {
        convo
    };
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
/// When the principal is no owner (an admin may change masks, a moderator those of bans), or the change loosens an encryption binding that its
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
    let others = |settings: &Settings| {
        let kept = settings.masks.iter().filter(|m| m.list != 'b');
        kept.cloned().collect::<Vec<_>>()
    };
    if only_masks == before && others(&after) == others(&before) {
        permission::may_ban_masks(&convo, by)?;
    } else {
        permission::may_configure(&convo, by, only_masks != before)?;
    }
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
    let mut changes = Vec::new();
    if before.name != after.name {
        changes.push(RoomChange::Name(after.name.clone().unwrap_or_default()));
    }
    if before.avatar != after.avatar {
        changes.push(RoomChange::Avatar(after.avatar.clone()));
    }
    let mut rest = after.clone();
    rest.name = before.name.clone();
    rest.avatar = before.avatar.clone();
    rest.avatar_type = before.avatar_type.clone();
    if rest != before {
        changes.push(RoomChange::Settings(differences(&before, &rest)));
    }
    for change in changes {
        let draft = Draft::new(&author, Content::Room(change), *origin);
        append(tx, &convo, draft);
    }
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

pub(super) fn check_settings(settings: &Settings) -> Outcome<()> {
    let long = |text: &Option<String>, most| text.as_ref().is_some_and(|t| t.len() > most);
    let binding = match &settings.binding {
        crate::conversation::Binding::Bound(scheme) => scheme.len(),
        crate::conversation::Binding::Unbound => 0,
    };
    let extra: usize = settings.extra.iter().map(|(k, v)| k.len() + v.len()).sum();
    if long(&settings.name, 256)
        || long(&settings.description, 4096)
        || long(&settings.password, 256)
        || long(&settings.topic, 4096)
        || long(&settings.avatar, 256)
        || long(&settings.avatar_type, 256)
        || long(&settings.language, 64)
        || binding > 64
        || extra > 16 * 1024
    {
        return Err(Refusal::TooLarge);
    }
    if settings.masks.len() > 256 || settings.masks.iter().any(|m| m.mask.len() > 256) {
        return Err(Refusal::TooMany);
    }
    Ok(())
}

pub(super) fn differences(a: &Settings, b: &Settings) -> Vec<String> {
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
    tx.limits().check_reason(reason.as_deref())?;
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
    let convo = ends(tx, &convo);
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
