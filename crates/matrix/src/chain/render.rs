//! Events as clients get them: content, and what the server adds about each for who reads it.

use std::sync::Arc;

use ruma::CanonicalJsonObject;
use ruma::canonical_json::{redact_content_in_place, try_from_json_map};
use ruma::events::{
    AnyStateEvent, AnyStrippedStateEvent, AnySyncStateEvent, AnySyncTimelineEvent,
    AnyTimelineEvent, TimelineEventType as Type,
};
use ruma::serde::Raw;
use sammen_core::event::Content;
use sammen_core::{Outcome, Refusal};
use serde_json::{Map, Value, json};

use super::link::Link;
use super::room::Room;
use super::rooms::Rooms;
use super::sheet::Child;
use super::sight::Sight;
use super::state::State;
use crate::translate;

/// Most references to an event that are told with it: the newest.
const REFERENCES: usize = 100;

/// State that tells an invited person what the room is (client-server API, "Stripped state").
pub const STRIPPED: &[&str] = &[
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
];

impl Rooms {
    /// Links as a sync shows them. What the reader may not see is left out. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn render(
        &self,
        room: &Room,
        links: &[Arc<Link>],
        sight: &Sight,
    ) -> Outcome<Vec<Raw<AnySyncTimelineEvent>>> {
        let mut events = Vec::with_capacity(links.len());
        for link in links.iter().filter(|link| sight.sees(link)) {
            events.push(raw(&self.event(room, link, Some(sight))?)?);
        }
        Ok(events)
    }

    /// Links with the room's id. What the reader may not see is left out. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn render_whole(
        &self,
        room: &Room,
        links: &[Arc<Link>],
        sight: &Sight,
    ) -> Outcome<Vec<Raw<AnyTimelineEvent>>> {
        let mut events = Vec::with_capacity(links.len());
        for link in links.iter().filter(|link| sight.sees(link)) {
            events.push(raw(&self.whole(room, link, sight)?)?);
        }
        Ok(events)
    }

    pub(super) fn whole(
        &self,
        room: &Room,
        link: &Link,
        sight: &Sight,
    ) -> Outcome<Map<String, Value>> {
        let mut event = self.event(room, link, Some(sight))?;
        event.insert("room_id".into(), room.id.as_str().into());
        Ok(event)
    }

    /// State as a sync shows it. Who may see it was asked before. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn render_state<'a>(
        &self,
        room: &Room,
        links: impl IntoIterator<Item = &'a Arc<Link>>,
    ) -> Outcome<Vec<Raw<AnySyncStateEvent>>> {
        let links = links.into_iter();
        links
            .map(|link| raw(&self.event(room, link, None)?))
            .collect()
    }

    /// State with the room's id. Who may see it was asked before. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn render_whole_state<'a>(
        &self,
        room: &Room,
        links: impl IntoIterator<Item = &'a Arc<Link>>,
    ) -> Outcome<Vec<Raw<AnyStateEvent>>> {
        let whole = |link: &Arc<Link>| {
            let mut event = self.event(room, link, None)?;
            event.insert("room_id".into(), room.id.as_str().into());
            raw(&event)
        };
        links.into_iter().map(whole).collect()
    }

    /// What an invited or knocking person is told of a room, and `also`: their own membership.
    pub fn stripped(&self, state: &State, also: Option<&Link>) -> Vec<Raw<AnyStrippedStateEvent>> {
        let kinds = STRIPPED.iter().filter_map(|kind| state.get(kind, ""));
        let inviter = also.and_then(|own| state.get("m.room.member", own.sender.as_str()));
        let inviter = inviter.filter(|link| also.is_none_or(|own| own.id != link.id));
        kinds
            .map(|link| &**link)
            .chain(inviter.map(|link| &**link))
            .chain(also)
            .filter_map(|link| {
                let event = json!({
                    "type": link.kind.to_string(),
                    "state_key": link.state_key,
                    "sender": link.sender,
                    "content": link.own::<Value>()?,
                });
                Raw::new(&event).ok().map(Raw::cast_unchecked)
            })
            .collect()
    }

    /// What a link says, if it was not taken back. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn content(&self, link: &Link) -> Outcome<Option<Value>> {
        if let Some(content) = link.own() {
            return Ok(Some(content));
        }
        let Some(core) = &link.core else {
            return Ok(None);
        };
        let event = self.node.event(core.seq)?;
        let made = event.and_then(|event| translate::content(self, &event, core, &link.relates));
        Ok(made.map(|(_, content)| content))
    }

    /// The whole PDU, as other servers would get it; without its content where that was taken back. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn pdu(&self, room: &Room, link: &Link) -> Outcome<Option<CanonicalJsonObject>> {
        let content = self.content(link)?.unwrap_or_else(|| json!({}));
        Ok(link.pdu(&room.id, self.server.as_str(), content))
    }

    /// An event with what is known about it.
    fn event(
        &self,
        room: &Room,
        link: &Link,
        sight: Option<&Sight>,
    ) -> Outcome<Map<String, Value>> {
        let children = room.children(link.ordinal)?;
        let redaction = children.iter().find(|(_, child)| child.how == "redaction");
        let mut event = self.bare(room, link, redaction.is_some())?;
        let mut unsigned = Map::new();
        let age = self.node.now().0.saturating_sub(link.at.0).max(0);
        unsigned.insert("age".into(), age.into());
        if let Some((ordinal, _)) = redaction
            && let Some(because) = room.link(*ordinal)?
            && sight.is_none_or(|sight| sight.sees(&because))
        {
            let mut because_event = self.bare(room, &because, false)?;
            because_event.insert("room_id".into(), room.id.as_str().into());
            unsigned.insert("redacted_because".into(), because_event.into());
        }
        let empty = |content: &Value| content.as_object().is_some_and(Map::is_empty);
        if redaction.is_none()
            && event.get("content").is_some_and(empty)
            && let Some(because) = self.erased(link)?
        {
            unsigned.insert("redacted_because".into(), because);
        }
        if let Some(sight) = sight {
            let membership = sight.membership_at(link.ordinal).to_string();
            unsigned.insert("membership".into(), membership.into());
            if let (Some((device, id)), Some(asks)) = (&link.transaction, sight.device)
                && asks.0 == *device
                && link.sender == sight.user
            {
                unsigned.insert("transaction_id".into(), id.as_str().into());
            }
        }
        if let Some(before) = link.replaces.map_or(Ok(None), |n| room.link(n))? {
            unsigned.insert("replaces_state".into(), before.id.as_str().into());
            if let Some(content) = before.own::<Value>() {
                unsigned.insert("prev_content".into(), content);
                unsigned.insert("prev_sender".into(), before.sender.as_str().into());
            }
        }
        if redaction.is_none()
            && let Some(relations) = self.relations(room, link, &children, sight)?
        {
            unsigned.insert("m.relations".into(), relations);
        }
        event.insert("unsigned".into(), unsigned.into());
        Ok(event)
    }

    /// What stands for a redaction where core erased something without an event that says so: it expired, or its author
    /// has left for good.
    fn erased(&self, link: &Link) -> Outcome<Option<Value>> {
        let Some(core) = link.core.filter(|_| !link.is_state()) else {
            return Ok(None);
        };
        let event = self.node.store().event(core.seq)?;
        let Some(Content::Erased { by, at }) = event.as_deref().map(|event| &event.content) else {
            return Ok(None);
        };
        let by = by
            .as_ref()
            .map_or_else(|| self.own_user(), |by| self.user(by));
        Ok(Some(json!({
            "type": "m.room.redaction",
            "event_id": format!("$erased-{}", core.id),
            "sender": by,
            "origin_server_ts": at.0,
            "redacts": link.id,
            "content": { "redacts": link.id },
        })))
    }

    /// An event without what is known about it.
    pub(crate) fn bare(
        &self,
        room: &Room,
        link: &Link,
        redacted: bool,
    ) -> Outcome<Map<String, Value>> {
        let content = self.content(link)?;
        let mut event = Map::new();
        event.insert("type".into(), link.kind.to_string().into());
        event.insert("event_id".into(), link.id.as_str().into());
        event.insert("sender".into(), link.sender.as_str().into());
        event.insert("origin_server_ts".into(), link.at.0.into());
        if let Some(key) = &link.state_key {
            event.insert("state_key".into(), key.as_str().into());
        }
        if link.kind == Type::RoomRedaction
            && let Some(about) = &link.relates.about
        {
            // Clients of room versions before 11 look for it here.
            event.insert("redacts".into(), about.as_str().into());
        }
        let content = match content {
            Some(content) if redacted => self.redacted(room, link, content),
            Some(content) => content,
            None => json!({}),
        };
        event.insert("content".into(), content);
        Ok(event)
    }

    /// What is left of a content that was taken back.
    pub(crate) fn redacted(&self, room: &Room, link: &Link, content: Value) -> Value {
        let Value::Object(content) = content else {
            return json!({});
        };
        let Ok(mut content) = try_from_json_map(content) else {
            return json!({});
        };
        let rules = &room.frame.rules.redaction;
        redact_content_in_place(&mut content, rules, link.kind.to_string());
        serde_json::to_value(content).unwrap_or_else(|_| json!({}))
    }

    /// Client-server API, "Server-side aggregation of relationships".
    fn relations(
        &self,
        room: &Room,
        link: &Link,
        children: &[(u64, Child)],
        sight: Option<&Sight>,
    ) -> Outcome<Option<Value>> {
        let Some(sight) = sight else { return Ok(None) };
        let mut relations = Map::new();
        let lives = |ordinal: u64| -> Outcome<bool> {
            let below = room.children(ordinal)?;
            Ok(!below.iter().any(|(_, child)| child.how == "redaction"))
        };
        let edits = children.iter().rev().filter(|(_, child)| {
            child.how == "m.replace" && child.sender == link.sender && child.kind == link.kind
        });
        if !link.is_state() {
            for (ordinal, _) in edits {
                if lives(*ordinal)?
                    && let Some(edit) = room.link(*ordinal)?
                    && sight.sees(&edit)
                {
                    let mut event = self.bare(room, &edit, false)?;
                    event.insert("room_id".into(), room.id.as_str().into());
                    relations.insert("m.replace".into(), event.into());
                    break;
                }
            }
        }
        let threaded: Vec<_> = children
            .iter()
            .filter(|(_, c)| c.how == "m.thread")
            .collect();
        if !threaded.is_empty() {
            let mut count = 0_u64;
            let mut latest = None;
            let mut mine = link.sender == sight.user;
            for (ordinal, child) in threaded {
                if sight.allows(*ordinal) && lives(*ordinal)? {
                    count += 1;
                    mine |= child.sender == sight.user;
                    latest = Some(*ordinal);
                }
            }
            if let Some(latest) = latest.map_or(Ok(None), |n| room.link(n))? {
                let mut event = self.event(room, &latest, Some(sight))?;
                event.insert("room_id".into(), room.id.as_str().into());
                let thread = json!({
                    "latest_event": event, "count": count, "current_user_participated": mine,
                });
                relations.insert("m.thread".into(), thread);
            }
        }
        let mut references = Vec::new();
        let refers = children
            .iter()
            .rev()
            .filter(|(_, c)| c.how == "m.reference");
        for (ordinal, _) in refers.take(REFERENCES) {
            if sight.allows(*ordinal)
                && lives(*ordinal)?
                && let Some(link) = room.link(*ordinal)?
            {
                references.push(json!({ "event_id": link.id }));
            }
        }
        references.reverse();
        if !references.is_empty() {
            relations.insert("m.reference".into(), json!({ "chunk": references }));
        }
        Ok((!relations.is_empty()).then(|| relations.into()))
    }
}

pub(super) fn raw<T>(event: &Map<String, Value>) -> Outcome<Raw<T>> {
    Raw::new(event)
        .map(Raw::cast_unchecked)
        .map_err(|_| Refusal::TryLater)
}
