//! How a chain begins for a conversation that no Matrix client made: the room, who rules it, who is in it.

use std::sync::Arc;

use ruma::events::TimelineEventType as Type;
use ruma::{OwnedUserId, RoomId, RoomVersionId, UserId};
use sammen_core::conversation::Binding;
use sammen_core::document::Owner;
use sammen_core::member::Interval;
use sammen_core::tx::Expect;
use sammen_core::{ConversationId, Convo, EventId, Outcome, Refusal, Timestamp};
use serde_json::{Value, json};

use super::names;
use super::room::{Room, RoomRecord};
use super::rooms::Rooms;
use super::sheet::{Draft, Frame, Head, Sheet, Unfit};
use super::{levels, reconcile};
use crate::shelf;

/// The version of rooms that begin here.
pub const VERSION: RoomVersionId = RoomVersionId::V11;

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        tracing::debug!(%unfit, "an event does not fit into its room");
        match unfit {
            Unfit::TooLarge => Refusal::TooLarge,
            Unfit::Forbidden(_) => Refusal::Forbidden("the room's rules do not allow that"),
            Unfit::Malformed(_) => Refusal::Invalid("the event is malformed"),
        }
    }
}

/// Begins the chain of a conversation.
///
/// # Errors
/// When there is no such conversation, or it can't be written.
pub async fn begin(rooms: &Arc<Rooms>, conversation: ConversationId) -> Outcome<Arc<Room>> {
    let key = rooms.key().await?;
    let node = rooms.node.clone();
    let start = node.last_seq();
    let (convo, first) = node
        .read(move |node| {
            let convo = node.convo(conversation)?.ok_or(Refusal::NotFound)?;
            // Nothing of the chain is younger than what it shows.
            let first = super::scribe::page(node, conversation, Interval::ALL, 1, false)?;
            let first = first.events.first().map(|event| event.at);
            Ok((convo, first))
        })
        .await?;
    let created = convo.conversation.created;
    let at = first.map_or(created, |first| first.min(created));
    let rules = VERSION.rules().ok_or(Refusal::TryLater)?;
    let random = EventId::new(node.now(), node.clock().random());
    let frame = Frame {
        name: conversation.to_string(),
        id: RoomId::parse(format!("!{random}:{}", rooms.server))
            .map_err(|_| Refusal::InvalidName)?,
        version: VERSION,
        rules,
        server: rooms.server.clone(),
    };
    let creator = creator(rooms, &convo);
    let create = json!({ "room_version": VERSION.as_str() });
    let create = Draft::state(Type::RoomCreate, "", &creator, at, create);
    let mut sheet = Sheet::begin(frame, create, key)?;
    let this = rooms.clone();
    let drafts = rooms
        .node
        .read(move |_| Ok(drafts(&this, &convo, &creator, at)))
        .await?;
    for draft in drafts {
        sheet.add(draft)?;
    }
    let record = RoomRecord {
        id: sheet.frame.id.clone(),
        version: VERSION,
        conversation,
        start,
        native: false,
    };
    write_new(rooms, sheet, record, |_| Ok(()))
        .await
        .map(|(room, ())| room)
}

/// Commits the first links of a room and all that leads to it.
///
/// # Errors
/// [`Refusal::Conflict`] when another was faster.
pub async fn write_new<T: Send + 'static>(
    rooms: &Arc<Rooms>,
    sheet: Sheet,
    record: RoomRecord,
    also: impl FnOnce(&mut sammen_core::tx::Tx<'_>) -> Outcome<T> + Send + 'static,
) -> Outcome<(Arc<Room>, T)> {
    let room = Room::new(
        &rooms.node,
        sheet.frame.clone(),
        record.clone(),
        Head::default(),
    );
    let room = Arc::new(room);
    let name = sheet.frame.name.clone();
    let id = sheet.frame.id.to_string();
    let conversation = record.conversation.to_string();
    let kept = shelf::encode(&record)?;
    let (all, new) = (rooms.clone(), room.clone());
    let value = rooms
        .write(&room, sheet, move |tx| {
            let value = also(tx)?;
            let mut put = |namespace: &str, key: &str, value| {
                tx.put_document(&Owner::Node, namespace, key, Expect::Anything, Some(value))
            };
            put(names::CURRENT, &conversation, name.clone().into())?;
            put(names::ROOMS, &name, kept)?;
            put(names::ROOM_IDS, &id, name.clone().into())?;
            // Before anybody is woken for it.
            tx.after(move |_| drop(all.opened(&new)));
            Ok(value)
        })
        .await?;
    Ok((rooms.opened(&room), value))
}

/// Who makes the room: the node's own user, or one of the pair.
fn creator(rooms: &Rooms, convo: &Convo) -> OwnedUserId {
    match convo.conversation.pair() {
        Some((a, b)) if a.is_account() || !b.is_account() => rooms.user(a),
        Some((_, b)) => rooms.user(b),
        None => rooms.own_user(),
    }
}

fn drafts(rooms: &Rooms, convo: &Convo, creator: &UserId, at: Timestamp) -> Vec<Draft> {
    let state = |kind: Type, key: &str, content| Draft::state(kind, key, creator, at, content);
    let mut drafts = Vec::new();
    let closed = |drafts: &mut Vec<Draft>, rule: &str, visibility: &str| {
        drafts.push(state(Type::RoomJoinRules, "", json!({ "join_rule": rule })));
        drafts.push(state(
            Type::RoomHistoryVisibility,
            "",
            json!({ "history_visibility": visibility }),
        ));
        drafts.push(state(
            Type::RoomGuestAccess,
            "",
            json!({ "guest_access": "forbidden" }),
        ));
        // With the first events, so that nobody sees the room without it and speaks in the clear.
        if convo.conversation.settings.binding == Binding::Bound("Megolm".into()) {
            let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
            drafts.push(state(Type::RoomEncryption, "", content));
        }
    };
    let Some((a, b)) = convo.conversation.pair() else {
        let own = json!({ "membership": "join", "displayname": Rooms::OWN_NAME });
        drafts.push(state(Type::RoomMember, creator.as_str(), own));
        drafts.push(state(
            Type::RoomPowerLevels,
            "",
            levels::first_levels(rooms, convo),
        ));
        let rule = reconcile::join_rule(&convo.conversation.settings);
        // What was said while only those inside could read it stays so.
        let visibility = match convo.conversation.open_from.0 {
            i64::MIN => reconcile::visibility(&convo.conversation.settings),
            _ => "joined",
        };
        closed(&mut drafts, rule, visibility);
        let service = json!({ "service_members": [creator] });
        drafts.push(state("io.element.functional_members".into(), "", service));
        return drafts;
    };
    let mine = if rooms.user(a) == creator { a } else { b };
    let other = if mine == a { b } else { a };
    let join = reconcile::member(rooms, convo, mine, "join", None);
    drafts.push(state(Type::RoomMember, creator.as_str(), join));
    let peer = rooms.user(other);
    let mut users = serde_json::Map::new();
    users.insert(creator.to_string(), 100.into());
    users.insert(peer.to_string(), 100.into());
    let levels = json!({ "users": users });
    drafts.push(state(Type::RoomPowerLevels, "", levels));
    closed(&mut drafts, "invite", "shared");
    if peer != creator {
        let mut invite = reconcile::member(rooms, convo, other, "invite", None);
        let mut join = reconcile::member(rooms, convo, other, "join", None);
        for content in [&mut invite, &mut join] {
            if let Value::Object(content) = content {
                content.insert("is_direct".into(), true.into());
            }
        }
        drafts.push(state(Type::RoomMember, peer.as_str(), invite));
        drafts.push(Draft::state(
            Type::RoomMember,
            peer.as_str(),
            &peer,
            at,
            join,
        ));
    }
    drafts
}
