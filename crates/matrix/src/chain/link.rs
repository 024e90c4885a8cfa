//! A link of a chain: one PDU, without the content of what people wrote, which core keeps (room versions 11 and 12).

use ruma::canonical_json::{CanonicalJsonObject, try_from_json_map};
use ruma::events::TimelineEventType;
use ruma::{OwnedEventId, OwnedUserId, RoomId};
use sammen_core::{EventId, Seq, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// One PDU as it is kept. It never changes, save that a redacted state event loses its content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Link {
    /// Its place in the chain, from 1 on without gaps.
    #[serde(skip)]
    pub ordinal: u64,
    /// The version of its document: what sync tokens are compared with. Grows with the ordinal.
    #[serde(skip)]
    pub seq: Seq,
    /// Its id: the reference hash.
    #[serde(rename = "i")]
    pub id: OwnedEventId,
    /// Its type.
    #[serde(rename = "t")]
    pub kind: TimelineEventType,
    /// For state events.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub state_key: Option<String>,
    /// Who sent it.
    #[serde(rename = "s")]
    pub sender: OwnedUserId,
    /// `origin_server_ts`.
    #[serde(rename = "at")]
    pub at: Timestamp,
    /// `depth`.
    #[serde(rename = "d")]
    pub depth: u64,
    /// `prev_events`.
    #[serde(rename = "p")]
    pub prev: Vec<OwnedEventId>,
    /// `auth_events`.
    #[serde(rename = "a")]
    pub auth: Vec<OwnedEventId>,
    /// `hashes.sha256`.
    #[serde(rename = "h")]
    pub hash: String,
    /// The key and its signature.
    #[serde(rename = "g")]
    pub signature: (String, String),
    /// The content, where core has no word for it; of all state.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Box<RawValue>>,
    /// The event of core that it shows.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub core: Option<Core>,
    /// What it refers to.
    #[serde(rename = "r", default, skip_serializing_if = "Relates::is_none")]
    pub relates: Relates,
    /// For state events: the ordinal of the one before it.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u64>,
    /// The device that sent it, and its transaction id.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<(u64, String)>,
    /// How far the scribe had read core's log when it wrote this.
    #[serde(rename = "u")]
    pub read: Seq,
    /// While older events were written, in order of place: the place of the last one.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub past: Option<i64>,
    /// Events of core that it passed by, since their home had not accepted them yet.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Seq>,
}

/// Which event of core a link shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Core {
    /// Its seq.
    #[serde(rename = "s")]
    pub seq: Seq,
    /// Its id.
    #[serde(rename = "i")]
    pub id: EventId,
    /// Which part of it: of several reactions, the how manieth.
    #[serde(rename = "p", default)]
    pub part: u32,
    /// By which rules the content is made of it; those never change ([`crate::translate`]).
    #[serde(rename = "v", default)]
    pub rules: u8,
}

/// What a link refers to, as it was known when it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relates {
    /// The message that is answered.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<OwnedEventId>,
    /// The root of its thread.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<OwnedEventId>,
    /// What is edited, reacted to, redacted.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub about: Option<OwnedEventId>,
    /// What a Matrix client said of it beside that, where core has no word for it: kind of relation, and to what.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub other: Option<(String, OwnedEventId)>,
}

impl Relates {
    /// Whether it refers to nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Link {
    /// Whether it is state.
    pub fn is_state(&self) -> bool {
        self.state_key.is_some()
    }

    /// The content that stands in the link, as a type of ruma's or any other.
    pub fn own<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.content.as_deref()?.get()).ok()
    }

    /// The whole PDU; `content` is what it says. `None` where that can't be written as canonical JSON.
    pub fn pdu(&self, room: &RoomId, server: &str, content: Value) -> Option<CanonicalJsonObject> {
        let mut pdu = try_from_json_map(self.head(room, content)).ok()?;
        let sealed = json!({
            "hashes": { "sha256": self.hash },
            "signatures": { server: { &self.signature.0: self.signature.1 } },
        });
        if let Value::Object(sealed) = sealed {
            pdu.extend(try_from_json_map(sealed).ok()?);
        }
        Some(pdu)
    }

    /// The PDU without hashes and signatures.
    pub(super) fn head(&self, room: &RoomId, content: Value) -> Map<String, Value> {
        let mut pdu = Map::new();
        pdu.insert("type".into(), self.kind.to_string().into());
        pdu.insert("sender".into(), self.sender.as_str().into());
        pdu.insert("origin_server_ts".into(), self.at.0.into());
        pdu.insert("depth".into(), self.depth.into());
        pdu.insert("prev_events".into(), json!(self.prev));
        pdu.insert("auth_events".into(), json!(self.auth));
        pdu.insert("content".into(), content);
        if let Some(key) = &self.state_key {
            pdu.insert("state_key".into(), key.as_str().into());
        }
        // Room version 12: the id of the first event is the room's, so it can't name it.
        if self.kind != TimelineEventType::RoomCreate || room.server_name().is_some() {
            pdu.insert("room_id".into(), room.as_str().into());
        }
        pdu
    }
}
