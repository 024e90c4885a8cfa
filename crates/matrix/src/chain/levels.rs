//! Power levels: what a room begins with, and what core's standings, roles and settings are in them.

use std::sync::Arc;

use sammen_core::conversation::JoinRule;
use sammen_core::ops::rooms::MODERATOR;
use sammen_core::{Convo, Member, Role, Standing};
use serde_json::{Map, Value, json};

use super::rooms::Rooms;
use super::scribe::Scribe;

/// The levels that a room begins with: 100 owners, 75 admins, 50 moderators. What core leaves to owners needs 100.
/// `privileged` says whether its creators stand above all levels (room version 12), so that they alone can replace it.
pub fn table(users: Map<String, Value>, privileged: bool) -> Value {
    json!({
        "users": users,
        "users_default": 0,
        "events_default": 0,
        "state_default": 50,
        "invite": 0,
        "kick": 50,
        "ban": 75,
        "redact": 50,
        "notifications": { "room": 50 },
        "events": {
            "m.room.name": 100,
            "m.room.avatar": 100,
            "m.room.canonical_alias": 50,
            "m.room.join_rules": 100,
            "m.room.history_visibility": 100,
            "m.room.guest_access": 100,
            "m.room.encryption": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": if privileged { 150 } else { 100 },
            "m.room.power_levels": 75,
        },
    })
}

/// The levels of a room whose chain begins: nobody who was allowed to speak once is refused while that is written.
pub fn first_levels(rooms: &Rooms, convo: &Convo) -> Value {
    let users = Map::from_iter([(rooms.own_user().to_string(), 100.into())]);
    let mut content = table(users, false);
    if let Some(Value::Object(events)) = content.get_mut("events") {
        // Its address is core's, and who may set the topic is said by what is reconciled.
        events.insert("m.room.canonical_alias".into(), 100.into());
        events.insert("m.room.topic".into(), 0.into());
    }
    if let Some(Value::Object(users)) = content.get_mut("users") {
        for member in convo.members.values() {
            let level = level(convo, member, 0);
            if level > 0 {
                users.insert(rooms.user(&member.address).to_string(), level.into());
            }
        }
    }
    content
}

/// The level that somebody should have: what they have now, where that fits what core says of them.
fn level(convo: &Convo, member: &Member, now: i64) -> i64 {
    let moderated = convo.conversation.settings.moderated;
    let role = if member.is_joined() {
        convo.role(&member.address)
    } else {
        convo.default_role(member.standing)
    };
    let (fits, usual) = match (member.standing, role) {
        (Standing::Owner, _) => (100..=i64::MAX, 100),
        (Standing::Admin, _) => (75..=99, 75),
        (_, Role::Moderator) => (MODERATOR..=74, MODERATOR),
        (Standing::Outcast, _) => (i64::MIN..=0, 0),
        // What a Matrix client gave them is theirs when they come.
        _ if !member.is_joined() && member.level == Some(now) => return now,
        (_, Role::Participant) if moderated => (1..=49, 1),
        _ if moderated => (i64::MIN..=0, 0),
        _ => (i64::MIN..=49, 0),
    };
    if fits.contains(&now) { now } else { usual }
}

/// The levels that a room should have, by what it has now.
pub fn levels(scribe: &Scribe<'_>, convo: &Convo, now: &Value) -> Value {
    let rooms = scribe.rooms;
    let settings = &convo.conversation.settings;
    let mut content = now.as_object().cloned().unwrap_or_default();
    let number = |content: &Map<String, Value>, field: &str, otherwise: i64| {
        content
            .get(field)
            .and_then(Value::as_i64)
            .unwrap_or(otherwise)
    };
    let users_default = number(&content, "users_default", 0);
    let mut users = content
        .get("users")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let creators = scribe.creators();
    for member in convo.members.values() {
        let user = rooms.user(&member.address);
        if creators.contains(&user) || user == rooms.own_user() {
            continue;
        }
        let has = users.get(user.as_str()).and_then(Value::as_i64);
        let has = has.unwrap_or(users_default);
        let wanted = level(convo, member, has);
        if wanted != has {
            users.insert(user.to_string(), wanted.into());
        }
    }
    if !users.is_empty() {
        content.insert("users".into(), users.into());
    }
    // Where speaking needs nothing and the other way round. A voice that was given is enough to speak.
    let speak = number(&content, "events_default", 0);
    let voiced = |m: &Arc<Member>| m.is_joined() && convo.role(&m.address) == Role::Participant;
    let mute = settings.moderated && speak >= MODERATOR && convo.members.values().any(voiced);
    if mute || settings.moderated != (speak > users_default) {
        let speak = users_default + i64::from(settings.moderated);
        content.insert("events_default".into(), speak.into());
    }
    let invite = number(&content, "invite", 0);
    let open = settings.join_rule == JoinRule::Open || settings.invites_open;
    if open != (invite <= users_default) {
        let invite = if open { users_default } else { 75 };
        content.insert("invite".into(), invite.into());
    }
    let state_default = number(&content, "state_default", 50);
    let mut events = content
        .get("events")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let speak = number(&content, "events_default", 0);
    let topic = number(&events, "m.room.topic", state_default);
    let anyone = settings.topic_open || !convo.is_ours();
    if anyone != (topic <= speak) {
        let topic = if anyone { speak } else { 50 };
        events.insert("m.room.topic".into(), topic.into());
        content.insert("events".into(), events.into());
    }
    Value::Object(content)
}
