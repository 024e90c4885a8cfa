//! What a gateway gets (the Push Gateway API, `POST /_matrix/push/v1/notify`). Blocking.

use ruma::api::client::push::PusherKind;
use ruma::events::TimelineEventType;
use ruma::push::{Action, PushFormat, Tweak};
use serde_json::{Map, Value, json};

use super::kept::Kept;
use super::news::{New, Reader};
use crate::fault::Answer;
use crate::server::Matrix;

/// The body of a request; without an event it is the count alone.
///
/// # Errors
/// When the store can't be read.
pub fn body(
    matrix: &Matrix,
    reader: &Reader,
    kept: &Kept,
    new: Option<&New>,
    unread: u32,
) -> Answer<Value> {
    let ids = &kept.pusher.ids;
    let mut device = Map::new();
    device.insert("app_id".into(), ids.app_id.as_str().into());
    device.insert("pushkey".into(), ids.pushkey.as_str().into());
    let seconds = kept.at.0.div_euclid(1000);
    device.insert("pushkey_ts".into(), seconds.into());
    let mut bare = false;
    if let PusherKind::Http(data) = &kept.pusher.kind {
        bare = data.format == Some(PushFormat::EventIdOnly);
        let mut rest = data.data.clone();
        if let Some(format) = &data.format {
            rest.insert("format".into(), format.as_str().into());
        }
        device.insert("data".into(), rest.into());
    }
    let mut notification = Map::new();
    // "Counts whose value is zero should be omitted"; what is left out of a count alone clears it.
    notification.insert(
        "counts".into(),
        match unread {
            0 => json!({}),
            unread => json!({ "unread": unread }),
        },
    );
    if let Some(new) = new {
        notification.insert("event_id".into(), json!(new.link.id));
        notification.insert("room_id".into(), json!(new.room.id));
        notification.insert("prio".into(), priority(new).into());
        if !bare {
            device.insert("tweaks".into(), tweaks(&new.actions).into());
            full(matrix, reader, new, &mut notification)?;
        }
    }
    notification.insert("devices".into(), json!([device]));
    Ok(json!({ "notification": notification }))
}

/// What wakes a phone at once.
fn priority(new: &New) -> &'static str {
    let loud = |action: &Action| match action {
        Action::SetTweak(Tweak::Sound(_)) => true,
        other => other.is_highlight(),
    };
    let encrypted = new.link.kind == TimelineEventType::RoomEncrypted;
    if encrypted || new.actions.iter().any(loud) {
        "high"
    } else {
        "low"
    }
}

fn tweaks(actions: &[Action]) -> Map<String, Value> {
    let tweaks = actions.iter().filter_map(|action| {
        let Action::SetTweak(tweak) = action else {
            return None;
        };
        let written = serde_json::to_value(tweak).ok()?;
        let name = written.get("set_tweak")?.as_str()?.to_owned();
        // A highlight that is set is often not written out.
        let value = written.get("value").cloned().unwrap_or(true.into());
        Some((name, value))
    });
    tweaks.collect()
}

/// All that there is to say of an event; of an encrypted one, or in a room that is, nothing of what is in it.
fn full(
    matrix: &Matrix,
    reader: &Reader,
    new: &New,
    notification: &mut Map<String, Value>,
) -> Answer<()> {
    let (link, state) = (&new.link, new.room.state());
    let mut put = |field: &str, value: Value| notification.insert(field.into(), value);
    put("type", link.kind.to_string().into());
    put("sender", link.sender.as_str().into());
    let member: Option<Value> = state.content("m.room.member", link.sender.as_str());
    let name = member.as_ref().and_then(|m| m.get("displayname")?.as_str());
    if let Some(name) = name {
        put("sender_display_name", name.into());
    }
    if let Some(name) = state.text("m.room.name", "name").filter(|n| !n.is_empty()) {
        put("room_name", name.into());
    }
    if let Some(alias) = state.text("m.room.canonical_alias", "alias") {
        put("room_alias", alias.into());
    }
    if link.kind == TimelineEventType::RoomMember {
        let me = link.state_key.as_deref() == Some(reader.user.as_str());
        put("user_is_target", me.into());
    }
    let encrypted = link.kind == TimelineEventType::RoomEncrypted
        || state.get("m.room.encryption", "").is_some();
    if !encrypted && let Some(content) = matrix.rooms.content(link)? {
        put("content", content);
    }
    Ok(())
}
