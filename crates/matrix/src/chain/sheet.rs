//! What is about to be added to a chain: PDUs that passed the room's own rules, hashed and signed, not yet written.

use std::sync::Arc;

use bytes::Bytes;
use ruma::canonical_json::try_from_json_map;
use ruma::events::{StateEventType, TimelineEventType};
use ruma::room_version_rules::RoomVersionRules;
use ruma::signatures::{Ed25519KeyPair, hash_and_sign_event, reference_hash};
use ruma::state_res::{
    Event, auth_types_for_event, check_state_dependent_auth_rules,
    check_state_independent_auth_rules,
};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId,
    RoomId, RoomVersionId, UInt, UserId,
};
use sammen_core::document::Owner;
use sammen_core::{Seq, Timestamp};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::link::{Core, Link, Relates};
use super::names;
use super::state::{State, membership};

/// Most bytes of a PDU (client-server API, "Size limits").
pub const PDU: usize = 65_535;
/// What hashes and a signature add to one, beside the server's name: 44 and 86 characters in base64, and their frame.
const SEAL: usize = 256;

/// What a room is, for good.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Under which name its documents stand.
    pub name: String,
    /// Its id.
    pub id: OwnedRoomId,
    /// Its version.
    pub version: RoomVersionId,
    /// What that means.
    pub rules: RoomVersionRules,
    /// Who signs.
    pub server: OwnedServerName,
}

/// Where a chain ends.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The ordinal of the newest link; 0 where there is none.
    pub ordinal: u64,
    /// The version of its document.
    pub seq: Seq,
    /// Its id.
    pub last: Option<OwnedEventId>,
    /// Its depth.
    pub depth: u64,
    /// Its time.
    pub at: Timestamp,
    /// How far core's log was read.
    pub read: Seq,
    /// While older events are written: the place of the last one of them.
    pub past: Option<i64>,
    /// Events that wait for their home.
    pub waiting: Vec<Seq>,
    /// The state behind it.
    pub state: State,
}

/// An event before it is one.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its type.
    pub kind: TimelineEventType,
    /// For state events.
    pub state_key: Option<String>,
    /// Who sends it.
    pub sender: OwnedUserId,
    /// When.
    pub at: Timestamp,
    /// What it says.
    pub content: Value,
    /// The event of core that it shows. Its content is not kept in the link then, unless it is state.
    pub core: Option<Core>,
    /// What it refers to.
    pub relates: Relates,
    /// The device and its transaction id.
    pub transaction: Option<(u64, String)>,
}

impl Draft {
    /// State with what it says.
    pub fn state(
        kind: impl Into<TimelineEventType>,
        key: &str,
        sender: &UserId,
        at: Timestamp,
        content: Value,
    ) -> Self {
        Self {
            kind: kind.into(),
            state_key: Some(key.to_owned()),
            sender: sender.to_owned(),
            at,
            content,
            core: None,
            relates: Relates::default(),
            transaction: None,
        }
    }
}

/// Why an event can't be added.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The rules of the room forbid it.
    #[error("{0}")]
    Forbidden(String),
    /// It is no canonical JSON, or lacks what its type needs.
    #[error("{0}")]
    Malformed(String),
    /// More than [`PDU`] bytes.
    #[error("the event is too large")]
    TooLarge,
}

/// How two events are related, as it is looked up by the one that is related to.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
pub struct Child {
    /// `m.annotation`, `m.replace`, `m.thread`, `m.reference`, `redaction` …
    #[serde(rename = "k")]
    pub how: String,
    /// The type of the related event.
    #[serde(rename = "t")]
    pub kind: TimelineEventType,
    /// Who sent it.
    #[serde(rename = "s")]
    pub sender: OwnedUserId,
}

/// A write of the shelf.
pub struct Put {
    pub owner: Owner,
    pub namespace: String,
    pub key: String,
    pub value: Bytes,
}

/// New links on their way.
pub struct Sheet {
    /// The room.
    pub frame: Frame,
    /// The chain's end with them.
    pub head: Head,
    /// The new links.
    pub links: Vec<Arc<Link>>,
    /// Targets of new links' relations that are in the chain, with their ordinal.
    pub(super) children: Vec<(u64, u64, Child)>,
    /// How threads of other protocols are called, with the ordinal of their root.
    pub(super) threads: Vec<(String, u64)>,
    key: Arc<Ed25519KeyPair>,
}

/// What the rules look at.
struct Candidate<'a> {
    id: OwnedEventId,
    room: Option<&'a RoomId>,
    draft: &'a Draft,
    content: &'a RawValue,
    prev: &'a [OwnedEventId],
    auth: &'a [OwnedEventId],
}

/// A link as the rules look at it.
pub struct Placed<'a> {
    /// The link.
    pub link: Arc<Link>,
    /// Its room.
    pub room: &'a RoomId,
    /// What it says.
    pub content: Box<RawValue>,
}

impl<'a> Placed<'a> {
    /// A link whose content stands in it.
    pub fn new(link: &Arc<Link>, room: &'a RoomId) -> Option<Self> {
        Some(Self {
            link: link.clone(),
            room,
            content: link.content.clone()?,
        })
    }
}

macro_rules! event {
    ($t:ty, $this:ident, $id:expr, $room:expr, $inner:expr, $content:expr, $prev:expr, $auth:expr) => {
        impl Event for $t {
            type Id = OwnedEventId;
            fn event_id(&self) -> &OwnedEventId {
                let $this = self;
                $id
            }
            fn room_id(&self) -> Option<&RoomId> {
                let $this = self;
                $room
            }
            fn sender(&self) -> &UserId {
                let $this = self;
                &$inner.sender
            }
            fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
                let $this = self;
                MilliSecondsSinceUnixEpoch(UInt::new_saturating($inner.at.0.max(0) as u64))
            }
            fn event_type(&self) -> &TimelineEventType {
                let $this = self;
                &$inner.kind
            }
            fn content(&self) -> &RawValue {
                let $this = self;
                $content
            }
            fn state_key(&self) -> Option<&str> {
                let $this = self;
                $inner.state_key.as_deref()
            }
            fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
                let $this = self;
                Box::new($prev.iter())
            }
            fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
                let $this = self;
                Box::new($auth.iter())
            }
            fn redacts(&self) -> Option<&OwnedEventId> {
                None
            }
            fn rejected(&self) -> bool {
                false
            }
        }
    };
}

event!(
    Candidate<'_>,
    this,
    &this.id,
    this.room,
    this.draft,
    this.content,
    this.prev,
    this.auth
);
event!(
    Placed<'_>,
    this,
    &this.link.id,
    (this.link.kind != TimelineEventType::RoomCreate || this.room.server_name().is_some())
        .then_some(this.room),
    this.link,
    &this.content,
    this.link.prev,
    this.link.auth
);

impl Sheet {
    /// For a room that is there.
    pub fn new(frame: Frame, head: Head, key: Arc<Ed25519KeyPair>) -> Self {
        Self {
            frame,
            head,
            links: Vec::new(),
            children: Vec::new(),
            threads: Vec::new(),
            key,
        }
    }

    /// The first event of a room. In version 12 its hash is the room's id, before that `frame.id` is.
    ///
    /// # Errors
    /// When the rules forbid it.
    pub fn begin(mut frame: Frame, create: Draft, key: Arc<Ed25519KeyPair>) -> Result<Self, Unfit> {
        if frame.rules.authorization.room_create_event_id_as_room_id {
            // Without a server's name, so that it is not written into the event.
            frame.id = placeholder();
        }
        let mut sheet = Self::new(frame, Head::default(), key);
        let link = sheet.add(create)?;
        if sheet
            .frame
            .rules
            .authorization
            .room_create_event_id_as_room_id
        {
            let id = format!("!{}", link.id.as_str().trim_start_matches('$'));
            sheet.frame.id =
                RoomId::parse(id).map_err(|e| Unfit::Malformed(format!("no room id: {e}")))?;
        }
        Ok(sheet)
    }

    fn auth(&self, draft: &Draft, content: &RawValue) -> Result<Vec<OwnedEventId>, Unfit> {
        let wanted = auth_types_for_event(
            &draft.kind,
            &draft.sender,
            draft.state_key.as_deref(),
            content,
            &self.frame.rules.authorization,
        )
        .map_err(Unfit::Malformed)?;
        let found = wanted
            .iter()
            .filter_map(|(kind, key)| self.head.state.get(&kind.to_string(), key))
            .map(|link| link.id.clone());
        Ok(found.collect())
    }

    fn check_with(
        &self,
        draft: &Draft,
        content: &RawValue,
        auth: &[OwnedEventId],
    ) -> Result<(), Unfit> {
        let rules = &self.frame.rules.authorization;
        let room: &RoomId = &self.frame.id;
        let create = draft.kind == TimelineEventType::RoomCreate;
        let candidate = Candidate {
            id: new_event_id(),
            room: (!create || room.server_name().is_some()).then_some(room),
            draft,
            content,
            prev: self.head.last.as_slice(),
            auth,
        };
        if create {
            return check_state_independent_auth_rules(rules, &candidate, |_: &EventId| {
                None::<Placed<'_>>
            })
            .map_err(Unfit::Forbidden);
        }
        let state = |kind: &StateEventType, key: &str| {
            let link = self.head.state.get(&kind.to_string(), key)?;
            Placed::new(link, room)
        };
        check_state_dependent_auth_rules(rules, &candidate, state).map_err(Unfit::Forbidden)
    }

    /// Whether an event could be added. Nothing is hashed or signed: that is done once, when it is.
    ///
    /// # Errors
    /// When not.
    pub fn check(&self, draft: &Draft) -> Result<(), Unfit> {
        let content = raw(&draft.content)?;
        let auth = self.auth(draft, &content)?;
        self.check_with(draft, &content, &auth)?;
        let link = self.link(draft, auth);
        let pdu = link.head(&self.frame.id, draft.content.clone());
        let pdu = try_from_json_map(pdu).map_err(|e| Unfit::Malformed(e.to_string()))?;
        let length = serde_json::to_string(&pdu).map_or(usize::MAX, |text| text.len());
        if length + SEAL + self.frame.server.as_str().len() > PDU {
            return Err(Unfit::TooLarge);
        }
        Ok(())
    }

    /// Adds an event, if the rules allow it.
    ///
    /// # Errors
    /// When not; nothing is added then.
    pub fn add(&mut self, draft: Draft) -> Result<Arc<Link>, Unfit> {
        let content = raw(&draft.content)?;
        let auth = self.auth(&draft, &content)?;
        self.check_with(&draft, &content, &auth)?;
        let keep = draft.core.is_none() || draft.state_key.is_some();
        let mut link = self.link(&draft, auth);
        link.content = keep.then_some(content);
        self.seal(&mut link, draft.content)?;
        let link = Arc::new(link);
        self.head.ordinal = link.ordinal;
        self.head.depth = link.depth;
        self.head.at = link.at;
        self.head.last = Some(link.id.clone());
        if link.is_state() {
            self.head.state.set(link.clone());
        }
        self.links.push(link.clone());
        Ok(link)
    }

    /// The link of a draft, without its content and not sealed.
    fn link(&self, draft: &Draft, auth: Vec<OwnedEventId>) -> Link {
        let replaces = draft
            .state_key
            .as_deref()
            .and_then(|key| self.head.state.get(&draft.kind.to_string(), key))
            .map(|link| link.ordinal);
        Link {
            ordinal: self.head.ordinal + 1,
            seq: Seq(0),
            id: new_event_id(),
            kind: draft.kind.clone(),
            state_key: draft.state_key.clone(),
            sender: draft.sender.clone(),
            at: draft.at.max(Timestamp(0)),
            depth: self.head.depth + 1,
            prev: self.head.last.iter().cloned().collect(),
            auth,
            hash: String::new(),
            signature: (format!("ed25519:{}", self.key.version()), String::new()),
            content: None,
            core: draft.core,
            relates: draft.relates.clone(),
            replaces,
            transaction: draft.transaction.clone(),
            read: self.head.read,
            past: self.head.past,
            waiting: self.head.waiting.clone(),
        }
    }

    /// Remembers that a new link is related to an earlier one.
    pub fn relate(&mut self, target: u64, link: &Link, how: &str) {
        let child = Child {
            how: how.to_owned(),
            kind: link.kind.clone(),
            sender: link.sender.clone(),
        };
        self.children.push((target, link.ordinal, child));
    }

    /// Content hash, signature, id.
    fn seal(&self, link: &mut Link, content: Value) -> Result<(), Unfit> {
        let malformed = |e: &dyn std::fmt::Display| Unfit::Malformed(e.to_string());
        let mut pdu =
            try_from_json_map(link.head(&self.frame.id, content)).map_err(|e| malformed(&e))?;
        let server = self.frame.server.as_str();
        hash_and_sign_event(server, &*self.key, &mut pdu, &self.frame.rules.redaction).map_err(
            |e| match e {
                ruma::signatures::JsonError::PduTooLarge => Unfit::TooLarge,
                e => malformed(&e),
            },
        )?;
        let hash = reference_hash(&pdu, &self.frame.rules).map_err(|e| malformed(&e))?;
        let length = serde_json::to_string(&pdu).map_or(usize::MAX, |text| text.len());
        if length > PDU {
            return Err(Unfit::TooLarge);
        }
        let text = |value: Option<&ruma::CanonicalJsonValue>| {
            value.and_then(|v| v.as_str()).map(str::to_owned)
        };
        let signatures = pdu.get("signatures").and_then(|v| v.as_object());
        let signature = signatures
            .and_then(|all| all.get(server)?.as_object()?.get(&link.signature.0))
            .and_then(|v| text(Some(v)));
        let hashes = pdu.get("hashes").and_then(|v| v.as_object());
        link.hash = hashes
            .and_then(|all| text(all.get("sha256")))
            .unwrap_or_default();
        link.signature.1 = signature.unwrap_or_default();
        link.id = EventId::parse(format!("${hash}")).map_err(|e| malformed(&e))?;
        Ok(())
    }

    /// The documents of the new links; those of the chain itself come first, in order.
    ///
    /// # Errors
    /// Never for what [`add`](Self::add) made.
    pub fn puts(&self) -> Result<Vec<Put>, sammen_core::Refusal> {
        let name = &self.frame.name;
        let node = |namespace: String, key: String, value: Bytes| Put {
            owner: Owner::Node,
            namespace,
            key,
            value,
        };
        let mut puts = Vec::with_capacity(self.links.len() * 3);
        for link in &self.links {
            let value = crate::shelf::encode(&**link)?;
            puts.push(node(names::chain(name), names::place(link.ordinal), value));
        }
        let mut parts: Vec<(sammen_core::EventId, String)> = Vec::new();
        for link in &self.links {
            let ordinal = link.ordinal.to_string();
            puts.push(node(
                names::ids(name),
                link.id.to_string(),
                ordinal.clone().into(),
            ));
            if let (Some((device, id)), None) = (&link.transaction, &link.core) {
                let key = names::transaction(*device, id);
                puts.push(node(names::ids(name), key, ordinal.clone().into()));
            }
            if let Some(core) = &link.core {
                match parts.iter_mut().find(|(id, _)| *id == core.id) {
                    Some((_, all)) => {
                        all.push(',');
                        all.push_str(&ordinal);
                    }
                    None => parts.push((core.id, ordinal.clone())),
                }
            }
            if let Some(key) = &link.state_key {
                let key = names::state_key(&link.kind.to_string(), key);
                puts.push(node(names::state(name), key, ordinal.into()));
            }
        }
        for (thread, root) in &self.threads {
            let key = format!("~{thread}");
            puts.push(node(names::threads(name), key, root.to_string().into()));
        }
        for (id, ordinals) in parts {
            puts.push(node(names::ids(name), format!("~{id}"), ordinals.into()));
        }
        for (target, child, related) in &self.children {
            if related.how == "m.thread" {
                let newest = child.to_string().into();
                puts.push(node(names::threads(name), names::root(*target), newest));
            }
            let value = crate::shelf::encode(related)?;
            let key = names::child(*target, *child);
            puts.push(node(names::children(name), key, value));
        }
        Ok(puts)
    }

    /// Whose membership the new links change, and to what.
    pub fn moved(
        &self,
    ) -> impl Iterator<Item = (&str, ruma::events::room::member::MembershipState, u64)> {
        self.links
            .iter()
            .filter(|link| link.kind == TimelineEventType::RoomMember)
            .filter_map(|link| Some((link.state_key.as_deref()?, membership(link), link.ordinal)))
    }
}

fn raw(content: &Value) -> Result<Box<RawValue>, Unfit> {
    if !content.is_object() {
        return Err(Unfit::Malformed("the content is no object".into()));
    }
    to_raw_value(content).map_err(|e| Unfit::Malformed(e.to_string()))
}

fn new_event_id() -> OwnedEventId {
    EventId::parse("$0").unwrap_or_else(|_| unreachable!("a valid id"))
}

fn placeholder() -> OwnedRoomId {
    RoomId::parse("!0").unwrap_or_else(|_| unreachable!("a valid id"))
}
