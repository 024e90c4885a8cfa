//! Core's words in Matrix's, and back (DESIGN: "How things translate").
//!
//! What a link says is made of core's event whenever it is read, and its content hash is kept. So for an event that
//! stands in a chain these functions must go on giving what they gave: what changes gets a number of its own in [`RULES`].

pub mod html;
mod incoming;

pub use incoming::{Meaning, meaning};

use ruma::OwnedEventId;
use ruma::events::TimelineEventType as Type;
use sammen_core::event::{Attachment, Content, Event, Message, MessageKind};
use sammen_core::{Outcome, Protocol};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::chain::{Core, Link, Relates, Rooms};
use crate::fields::Fields as _;
use crate::media;

/// The rules by which new events are translated.
pub const RULES: u8 = 0;
/// Added to the rules: the text is cut, since the whole would be larger than an event may be.
pub const SHORT: u8 = 0x80;
/// Added to the rules: it takes back what it is about.
pub const REDACTION: u8 = 0x40;

/// Bytes of the text of an event that is cut.
const CUT: usize = 30_000;

/// What a Matrix client wrote.
pub fn native(event: &Event) -> Option<Value> {
    let native = event.native.as_ref()?;
    if native.protocol != Protocol::Matrix {
        return None;
    }
    serde_json::from_slice(&native.bytes).ok()
}

/// Longest kind of a relation, in bytes.
const KIND: usize = 64;

/// The kind of relation and the event to which a Matrix client's event says that it has it. Not what the chain itself
/// keeps word of: reactions, answers, taking back.
pub fn relation(event: &Event) -> Option<(String, OwnedEventId)> {
    #[derive(Deserialize)]
    struct Own {
        #[serde(rename = "m.relates_to")]
        relates: Related,
    }
    #[derive(Deserialize)]
    struct Related {
        rel_type: String,
        event_id: OwnedEventId,
    }
    let native = event.native.as_ref()?;
    let own = (native.protocol == Protocol::Matrix)
        .then(|| serde_json::from_slice::<Own>(&native.bytes).ok());
    let Related { rel_type, event_id } = own??.relates;
    let kept = !rel_type.contains('.') || matches!(&*rel_type, "m.annotation" | "m.in_reply_to");
    (!kept && rel_type.len() <= KIND).then_some((rel_type, event_id))
}

/// The device and transaction id by which a Matrix client sent an event.
pub fn transaction(event: &Event) -> Option<(u64, String)> {
    let native = event.native.as_ref()?;
    let id = native.id.clone()?;
    let sent = native.protocol == Protocol::Matrix;
    sent.then_some((event.device?.0, id))
}

/// The key of a reaction; `None` where it was erased.
///
/// # Errors
/// When the store can't be read.
pub fn key(rooms: &Rooms, link: &Link) -> Outcome<Option<String>> {
    let Some(core) = &link.core else {
        let content: Option<Value> = link.own();
        let key = content
            .as_ref()
            .and_then(|c| c.field("m.relates_to").word("key"));
        return Ok(key.map(str::to_owned));
    };
    let event = rooms.node.store().event(core.seq)?;
    Ok(event.and_then(|event| match &event.content {
        Content::Reaction { keys } => keys.get(core.part as usize).cloned(),
        _ => None,
    }))
}

/// The type and content of what an event, or a part of it, is in Matrix; `None` where nothing is left of it.
pub fn content(
    rooms: &Rooms,
    event: &Event,
    core: &Core,
    relates: &Relates,
) -> Option<(Type, Value)> {
    let about = relates.about.as_ref().map(|id| id.as_str());
    if core.rules & REDACTION != 0 {
        let mut content = json!({ "redacts": about? });
        if let Content::Retraction {
            reason: Some(reason),
        } = &event.content
        {
            content.put("reason", reason.as_str());
        }
        return Some((Type::RoomRedaction, content));
    }
    if let Content::Reaction { keys } = &event.content {
        let key = keys.get(core.part as usize)?;
        let own =
            native(event).filter(|own| own.field("m.relates_to").field("key") == key.as_str());
        let made = || {
            json!({ "m.relates_to": {
                "rel_type": "m.annotation", "event_id": about, "key": key,
            } })
        };
        return Some((Type::Reaction, own.unwrap_or_else(made)));
    }
    if let Content::Erased { .. } = event.content {
        return None;
    }
    if let Some(own) = native(event) {
        let kind = event.native.as_ref().and_then(|n| n.kind.as_deref());
        return Some((kind.unwrap_or("m.room.message").into(), own));
    }
    let mut content = match &event.content {
        Content::Message(message) => text(rooms, message, core),
        Content::Edit(message) => {
            let new = text(rooms, message, core);
            let Some(about) = about else {
                return Some((Type::RoomMessage, new));
            };
            let mut content = new.clone();
            let body = content.word("body").unwrap_or_default();
            let body = format!("* {body}");
            content.put("body", body);
            if let Some(html) = content.word("formatted_body") {
                let html = format!("* {html}");
                content.put("formatted_body", html);
            }
            content.put("m.new_content", new);
            content.put(
                "m.relates_to",
                json!({ "rel_type": "m.replace", "event_id": about }),
            );
            return Some((Type::RoomMessage, content));
        }
        Content::Encrypted { scheme, .. } => notice(&sealed(scheme)),
        Content::Other { fallback } => notice(fallback.as_deref()?),
        _ => return None,
    };
    relate(&mut content, relates);
    Some((Type::RoomMessage, content))
}

/// Puts in what is answered, and the thread.
fn relate(content: &mut Value, relates: &Relates) {
    let reply = relates.reply.as_ref().map(|id| id.as_str());
    if let Some(thread) = &relates.thread {
        content.put(
            "m.relates_to",
            json!({
                "rel_type": "m.thread",
                "event_id": thread,
                "is_falling_back": reply.is_none(),
                "m.in_reply_to": { "event_id": reply.unwrap_or(thread.as_str()) },
            }),
        );
    } else if let Some(reply) = reply {
        content.put(
            "m.relates_to",
            json!({ "m.in_reply_to": { "event_id": reply } }),
        );
    }
}

fn notice(text: &str) -> Value {
    json!({ "msgtype": "m.notice", "body": text })
}

/// What stands for something that only another family of apps can open.
fn sealed(scheme: &str) -> String {
    let apps = match scheme {
        "OMEMO" | "OpenPGP for XMPP" | "OTR" => "an XMPP app that has it, such as Conversations",
        "OpenPGP" => "a mail app that has it, such as Delta Chat",
        _ => "the app it was written with, or one of its kind",
    };
    format!("This message is encrypted with {scheme}. It can be read with {apps}.")
}

fn text(rooms: &Rooms, message: &Message, core: &Core) -> Value {
    let kind = match message.kind {
        MessageKind::Text => "m.text",
        MessageKind::Emote => "m.emote",
        MessageKind::Notice => "m.notice",
    };
    let mut body = message.text.clone();
    if let Some(subject) = message.subject.as_deref().filter(|s| !s.is_empty()) {
        body = format!("{subject}\n{body}");
    }
    let file = file(rooms, message);
    for other in &message.attachments {
        let shown = file.as_ref().is_some_and(|(shown, _)| *shown == other);
        if !shown && !body.contains(&other.url) {
            let gap = if body.is_empty() { "" } else { "\n" };
            body = format!("{body}{gap}{}", other.url);
        }
    }
    let mut content = Map::new();
    let mut kind = kind;
    if let Some((shown, mxc)) = file {
        kind = sort(shown.media_type.as_deref());
        let mut info = Map::new();
        if let Some(media_type) = &shown.media_type {
            info.insert("mimetype".into(), media_type.as_str().into());
        }
        if let Some(size) = shown.size {
            info.insert("size".into(), size.into());
        }
        content.insert("info".into(), info.into());
        content.insert("url".into(), mxc.into());
        let name = shown.name.clone().unwrap_or_else(|| {
            let last = shown.url.rsplit('/').next();
            last.unwrap_or_default().to_owned()
        });
        // What stands beside a file is its caption; the bare address says nothing.
        if body.is_empty() || body == shown.url {
            body = name.clone();
        }
        content.insert("filename".into(), name.into());
    }
    content.insert("msgtype".into(), kind.into());
    if core.rules & SHORT != 0 {
        body.truncate(body.floor_char_boundary(CUT));
        body.push('…');
    } else if let Some(html) = &message.html {
        content.insert("format".into(), "org.matrix.custom.html".into());
        content.insert("formatted_body".into(), html.as_str().into());
    }
    content.insert("body".into(), body.into());
    if !message.mentions.is_empty() {
        let mut users: Vec<_> = message.mentions.iter().map(|who| rooms.user(who)).collect();
        users.sort_unstable();
        users.dedup();
        content.insert("m.mentions".into(), json!({ "user_ids": users }));
    }
    Value::Object(content)
}

/// The file that is shown as one: the first that this node keeps.
fn file<'a>(rooms: &Rooms, message: &'a Message) -> Option<(&'a Attachment, String)> {
    let matrix = rooms.matrix()?;
    let mut files = message.attachments.iter();
    files.find_map(|file| Some((file, media::mxc_of(&matrix, &file.url)?.to_string())))
}

/// Of what kind a file is.
fn sort(media_type: Option<&str>) -> &'static str {
    match media_type.and_then(|t| t.split('/').next()) {
        Some("image") => "m.image",
        Some("video") => "m.video",
        Some("audio") => "m.audio",
        _ => "m.file",
    }
}
