//! The `body` of an event's row: what is not a column, as MessagePack with short names.
//!
//! Unknown fields are skipped and missing ones are empty, so older and newer versions read each other's records. A name
//! never gets a second meaning. What is rare (memberships, room changes, tombstones) is kept in core's own serde form.

use std::borrow::Cow;

use bytes::Bytes;
use sammen_core::event::{
    Acceptance, Attachment, Content, Event, ForeignId, MarkerKind, Message, MessageKind, Native,
    Protocol, Relation, RelationKind, Scheme,
};
use sammen_core::store::{StoreError, StoreResult};
use sammen_core::{Address, DeviceId};
use serde::{Deserialize, Serialize};

/// Bits of the `flags` column. The top one is always set so that the number keeps its width of two bytes.
pub mod flags {
    /// Keeps the width.
    pub const WIDTH: i64 = 0x4000;
    /// The lowest three bits are the acceptance.
    pub const ACCEPTANCE: i64 = 0b111;
    /// Imported or backfilled.
    pub const HISTORICAL: i64 = 1 << 3;
    /// What people wrote, or what changes it.
    pub const SPEECH: i64 = 1 << 4;
    /// The body names an audience.
    pub const AUDIENCE: i64 = 1 << 5;
    /// The content is in the table of tombstones.
    pub const ERASED: i64 = 1 << 6;
}

/// The number of an acceptance in the column.
pub fn acceptance_number(acceptance: Acceptance) -> i64 {
    match acceptance {
        Acceptance::Accepted => 0,
        Acceptance::Pending => 1,
        Acceptance::SoftFailed => 2,
        Acceptance::Rejected => 3,
        Acceptance::Outlier => 4,
    }
}

/// The acceptance in a flags column.
pub fn acceptance_of(bits: i64) -> StoreResult<Acceptance> {
    Ok(match bits & flags::ACCEPTANCE {
        0 => Acceptance::Accepted,
        1 => Acceptance::Pending,
        2 => Acceptance::SoftFailed,
        3 => Acceptance::Rejected,
        4 => Acceptance::Outlier,
        n => return Err(StoreError::Damaged(format!("acceptance {n}"))),
    })
}

/// The flags column of a new event.
pub fn flags_of(event: &Event) -> i64 {
    let mut bits = flags::WIDTH | acceptance_number(event.acceptance);
    if event.historical {
        bits |= flags::HISTORICAL;
    }
    if event.content.belongs_to_speech() {
        bits |= flags::SPEECH;
    }
    if event.audience.is_some() {
        bits |= flags::AUDIENCE;
    }
    bits
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Body<'a> {
    /// Kind of content; see `kind` below.
    k: u8,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    t: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    h: Option<Cow<'a, str>>,
    /// Kind of a message.
    #[serde(skip_serializing_if = "is_zero")]
    mk: u8,
    #[serde(skip_serializing_if = "none_in")]
    f: Cow<'a, [Attachment]>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    th: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    s: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "none_in")]
    m: Cow<'a, [Address]>,
    /// Keys of a reaction.
    #[serde(skip_serializing_if = "none_in")]
    ks: Cow<'a, [String]>,
    /// Scheme of an encrypted event.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    es: Option<Cow<'a, str>>,
    /// What is rare, in core's own form.
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<Cow<'a, Content>>,
    /// Nick.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    n: Option<Cow<'a, str>>,
    /// Device.
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<u64>,
    /// Audience.
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<Cow<'a, [Address]>>,
    /// Relation: kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    rk: Option<u8>,
    /// Relation: scheme and id of the foreign id.
    #[serde(skip_serializing_if = "Option::is_none")]
    rs: Option<u8>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    rf: Option<Cow<'a, str>>,
    /// Native: protocol, bytes, id, kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    np: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nb: Option<Bytes>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    ni: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    nk: Option<Cow<'a, str>>,
}

fn is_zero(n: &u8) -> bool {
    *n == 0
}

#[expect(clippy::ptr_arg, reason = "serde hands over the field as it is")]
fn none_in<T: Clone>(list: &Cow<'_, [T]>) -> bool {
    list.is_empty()
}

mod kind {
    pub const MESSAGE: u8 = 0;
    pub const EDIT: u8 = 1;
    pub const RETRACTION: u8 = 2;
    pub const REACTION: u8 = 3;
    pub const ENCRYPTED: u8 = 4;
    pub const MARKER: u8 = 5;
    pub const OTHER: u8 = 6;
    pub const RARE: u8 = 7;
}

fn text(t: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(t))
}

fn opt(t: &Option<String>) -> Option<Cow<'_, str>> {
    t.as_deref().map(Cow::Borrowed)
}

/// Appends the body of an event, saying `content` and without relation and native form if `envelope_only`.
fn encode_as(
    event: &Event,
    content: &Content,
    envelope_only: bool,
    out: &mut Vec<u8>,
) -> StoreResult<()> {
    let mut b = Body {
        n: opt(&event.nick),
        d: event.device.map(|d| d.0),
        a: event.audience.as_deref().map(Cow::Borrowed),
        ..Body::default()
    };
    match content {
        Content::Message(m) | Content::Edit(m) => {
            b.k = if matches!(content, Content::Edit(_)) {
                kind::EDIT
            } else {
                kind::MESSAGE
            };
            b.t = text(&m.text);
            b.h = opt(&m.html);
            b.mk = match m.kind {
                MessageKind::Text => 0,
                MessageKind::Emote => 1,
                MessageKind::Notice => 2,
            };
            b.f = Cow::Borrowed(&m.attachments);
            b.th = opt(&m.thread);
            b.s = opt(&m.subject);
            b.m = Cow::Borrowed(&m.mentions);
        }
        Content::Retraction { reason } => {
            b.k = kind::RETRACTION;
            b.t = opt(reason);
        }
        Content::Reaction { keys } => {
            b.k = kind::REACTION;
            b.ks = Cow::Borrowed(keys);
        }
        Content::Encrypted { scheme, fallback } => {
            b.k = kind::ENCRYPTED;
            b.es = text(scheme);
            b.t = opt(fallback);
        }
        Content::Marker(m) => {
            b.k = kind::MARKER;
            b.mk = match m {
                MarkerKind::Received => 0,
                MarkerKind::Displayed => 1,
            };
        }
        Content::Other { fallback } => {
            b.k = kind::OTHER;
            b.t = opt(fallback);
        }
        rare => {
            b.k = kind::RARE;
            b.x = Some(Cow::Borrowed(rare));
        }
    }
    if !envelope_only {
        if let Some(relation) = &event.relation {
            b.rk = Some(relation_number(relation.kind));
            if let Some(foreign) = &relation.foreign {
                b.rs = Some(foreign.scheme as u8);
                b.rf = text(&foreign.id);
            }
        }
        if let Some(native) = &event.native {
            b.np = Some(protocol_number(native.protocol));
            b.nb = Some(native.bytes.clone());
            b.ni = opt(&native.id);
            b.nk = opt(&native.kind);
        }
    }
    let mut serializer = rmp_serde::Serializer::new(out).with_struct_map();
    b.serialize(&mut serializer).map_err(crate::error::record)
}

/// Appends the body of an event.
pub fn encode(event: &Event, out: &mut Vec<u8>) -> StoreResult<()> {
    encode_as(event, &event.content, false, out)
}

/// Appends the body of an event that was erased.
pub fn encode_tombstone(event: &Event, tombstone: &Content, out: &mut Vec<u8>) -> StoreResult<()> {
    encode_as(event, tombstone, true, out)
}

/// Fills in what the body says; the event has its columns already, and in `relation` the target.
pub fn decode(bytes: &[u8], event: &mut Event) -> StoreResult<()> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    let b = Body::deserialize(&mut deserializer).map_err(crate::error::record)?;
    let target = event.relation.take().and_then(|r| r.target);
    event.nick = b.n.map(Cow::into_owned);
    event.device = b.d.map(DeviceId);
    event.audience = b.a.map(Cow::into_owned);
    if let Some(kind) = b.rk {
        let foreign = match (b.rs, b.rf) {
            (Some(scheme), Some(id)) => Some(ForeignId {
                scheme: scheme_of(scheme)?,
                id: id.into_owned(),
            }),
            _ => None,
        };
        event.relation = Some(Relation {
            kind: relation_of(kind)?,
            target,
            foreign,
        });
    }
    if let (Some(protocol), Some(bytes)) = (b.np, b.nb) {
        event.native = Some(Native {
            protocol: protocol_of(protocol)?,
            bytes,
            id: b.ni.map(Cow::into_owned),
            kind: b.nk.map(Cow::into_owned),
        });
    }
    let words = b.t.map(Cow::into_owned);
    event.content = match b.k {
        kind::MESSAGE | kind::EDIT => {
            let message = Message {
                text: words.unwrap_or_default(),
                html: b.h.map(Cow::into_owned),
                kind: match b.mk {
                    1 => MessageKind::Emote,
                    2 => MessageKind::Notice,
                    _ => MessageKind::Text,
                },
                attachments: b.f.into_owned(),
                thread: b.th.map(Cow::into_owned),
                subject: b.s.map(Cow::into_owned),
                mentions: b.m.into_owned(),
            };
            if b.k == kind::EDIT {
                Content::Edit(message)
            } else {
                Content::Message(message)
            }
        }
        kind::RETRACTION => Content::Retraction { reason: words },
        kind::REACTION => Content::Reaction {
            keys: b.ks.into_owned(),
        },
        kind::ENCRYPTED => Content::Encrypted {
            scheme: b.es.map(Cow::into_owned).unwrap_or_default(),
            fallback: words,
        },
        kind::MARKER => Content::Marker(match b.mk {
            0 => MarkerKind::Received,
            _ => MarkerKind::Displayed,
        }),
        kind::OTHER => Content::Other { fallback: words },
        kind::RARE => {
            b.x.map(Cow::into_owned)
                .ok_or_else(|| StoreError::Damaged("an event without content".into()))?
        }
        n => return Err(StoreError::Damaged(format!("content of kind {n}"))),
    };
    Ok(())
}

fn relation_number(kind: RelationKind) -> u8 {
    match kind {
        RelationKind::Reply => 0,
        RelationKind::Edit => 1,
        RelationKind::Retraction => 2,
        RelationKind::Reaction => 3,
        RelationKind::Marker => 4,
    }
}

fn relation_of(n: u8) -> StoreResult<RelationKind> {
    Ok(match n {
        0 => RelationKind::Reply,
        1 => RelationKind::Edit,
        2 => RelationKind::Retraction,
        3 => RelationKind::Reaction,
        4 => RelationKind::Marker,
        n => return Err(StoreError::Damaged(format!("relation of kind {n}"))),
    })
}

fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Xmpp => 0,
        Protocol::Irc => 1,
        Protocol::Matrix => 2,
        Protocol::Mail => 3,
        Protocol::Sip => 4,
        Protocol::Web => 5,
        Protocol::Node => 6,
    }
}

fn protocol_of(n: u8) -> StoreResult<Protocol> {
    Ok(match n {
        0 => Protocol::Xmpp,
        1 => Protocol::Irc,
        2 => Protocol::Matrix,
        3 => Protocol::Mail,
        4 => Protocol::Sip,
        5 => Protocol::Web,
        6 => Protocol::Node,
        n => return Err(StoreError::Damaged(format!("protocol {n}"))),
    })
}

fn scheme_of(n: u8) -> StoreResult<Scheme> {
    Ok(match n {
        1 => Scheme::XmppId,
        2 => Scheme::OriginId,
        3 => Scheme::MatrixEvent,
        4 => Scheme::Transaction,
        5 => Scheme::MessageId,
        6 => Scheme::IrcMsgid,
        7 => Scheme::RemoteStanzaId,
        255 => Scheme::Test,
        n => return Err(StoreError::Damaged(format!("scheme {n}"))),
    })
}

/// A place as eight bytes that sort as the place does.
pub fn pos_bytes(pos: i64) -> [u8; 8] {
    ((pos as u64) ^ (1 << 63)).to_be_bytes()
}
