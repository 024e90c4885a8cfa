//! What a Matrix client sends, in core's words.

use ruma::{EventId, MxcUri, OwnedEventId, UserId};
use sammen_core::event::{Attachment, Content, Message, MessageKind, RelationKind};
use sammen_core::{Outcome, Refusal};
use serde_json::Value;

use super::html::{sanitised, without_quotation};
use crate::fields::Fields as _;
use crate::media;
use crate::names;
use crate::server::Matrix;

/// Most people whom a message names.
const MENTIONS: usize = 64;

/// What an event means.
pub struct Meaning {
    /// In core's words. Reactions have the one key that is new.
    pub content: Content,
    /// What it refers to.
    pub about: Option<(RelationKind, OwnedEventId)>,
    /// The root of its thread.
    pub thread: Option<OwnedEventId>,
}

/// What an event of a type says. Blocking.
///
/// # Errors
/// When it lacks what its type needs, or the store can't be read.
pub fn meaning(matrix: &Matrix, kind: &str, content: &Value) -> Outcome<Meaning> {
    let relates = content.field("m.relates_to");
    let rel_type = relates.word("rel_type").unwrap_or_default();
    let id = |value: &Value| EventId::parse(value.word("event_id")?).ok();
    let related = id(relates);
    let reply = id(relates.field("m.in_reply_to"));
    if kind == "m.reaction" {
        let key = relates.word("key").filter(|key| !key.is_empty());
        let (Some(key), Some(about)) = (key, related) else {
            return Err(Refusal::Invalid("a reaction names an event and a key"));
        };
        let keys = vec![key.to_owned()];
        return Ok(Meaning {
            content: Content::Reaction { keys },
            about: Some((RelationKind::Reaction, about)),
            thread: None,
        });
    }
    let thread = related.clone().filter(|_| rel_type == "m.thread");
    let edit = related.filter(|_| rel_type == "m.replace");
    let falls_back = relates.field("is_falling_back") == &Value::Bool(true);
    let reply = reply.filter(|_| !(thread.is_some() && falls_back));
    let plain = matches!(kind, "m.room.message" | "m.sticker");
    let said = match kind {
        "m.room.encrypted" => {
            let scheme = match content.word("algorithm") {
                Some("m.olm.v1.curve25519-aes-sha2") => "Olm",
                _ => "Megolm",
            };
            Content::Encrypted {
                scheme: scheme.into(),
                fallback: None,
            }
        }
        _ if plain && edit.is_some() => {
            let new = content.get("m.new_content").unwrap_or(content);
            Content::Edit(message(matrix, kind, new, false)?)
        }
        _ if plain => Content::Message(message(matrix, kind, content, reply.is_some())?),
        _ => Content::Other {
            fallback: fallback(kind, content),
        },
    };
    let about = match edit {
        Some(edit) if plain => Some((RelationKind::Edit, edit)),
        _ => reply.map(|reply| (RelationKind::Reply, reply)),
    };
    Ok(Meaning {
        content: said,
        about,
        thread,
    })
}

/// What people without the app read instead.
fn fallback(kind: &str, content: &Value) -> Option<String> {
    if kind.ends_with("poll.start") {
        let poll = ["m.poll", "m.poll.start", "org.matrix.msc3381.poll.start"];
        let poll = poll.iter().find_map(|name| content.get(*name));
        let question = poll.and_then(|poll| words(poll.field("question")));
        let answers = poll.and_then(|poll| poll.field("answers").as_array());
        let answers = answers.into_iter().flatten().filter_map(words);
        let mut text = format!("Poll: {}", question.unwrap_or_default());
        for (n, answer) in answers.take(20).enumerate() {
            text.push_str(&format!("\n{}. {answer}", n + 1));
        }
        return Some(text);
    }
    content
        .word("body")
        .filter(|body| !body.is_empty())
        .map(str::to_owned)
}

/// Text of an extensible event.
fn words(value: &Value) -> Option<String> {
    let plain = value
        .word("body")
        .or_else(|| value.word("org.matrix.msc1767.text"));
    let stable = value.get("m.text").and_then(|text| match text {
        Value::String(text) => Some(text.as_str()),
        other => other.get(0)?.word("body"),
    });
    plain.or(stable).map(str::to_owned)
}

fn message(matrix: &Matrix, kind: &str, content: &Value, answers: bool) -> Outcome<Message> {
    let body = content
        .word("body")
        .ok_or(Refusal::Invalid("a message has a body"))?;
    let msgtype = content.word("msgtype").unwrap_or("m.text");
    let mut message = Message {
        kind: match msgtype {
            "m.emote" => MessageKind::Emote,
            "m.notice" => MessageKind::Notice,
            _ => MessageKind::Text,
        },
        ..Message::default()
    };
    let people = content.field("m.mentions").field("user_ids").as_array();
    for user in people.into_iter().flatten().filter_map(Value::as_str) {
        let user = <&UserId>::try_from(user).ok();
        let person = user.and_then(|user| names::address(user, matrix.node.domains()));
        if let Some(person) = person
            && message.mentions.len() < MENTIONS
            && !message.mentions.contains(&person)
        {
            message.mentions.push(person);
        }
    }
    let file =
        matches!(msgtype, "m.image" | "m.file" | "m.audio" | "m.video") || kind == "m.sticker";
    if let Some(url) = content.word("url").filter(|_| file) {
        let name = content.word("filename");
        let info = content.field("info");
        let found = media::url_of(matrix, <&MxcUri>::from(url))?;
        let known = found.as_ref().map(|(_, file)| file);
        message.attachments.push(Attachment {
            url: found
                .as_ref()
                .map_or_else(|| url.to_owned(), |(url, _)| url.clone()),
            name: name
                .or(Some(body))
                .map(str::to_owned)
                .or_else(|| known.map(|file| file.name.name.clone())),
            media_type: info
                .word("mimetype")
                .map(str::to_owned)
                .or_else(|| known.and_then(|file| file.name.media_type.clone())),
            size: known
                .map(|file| file.size)
                .or_else(|| info.field("size").as_u64()),
        });
        // Without a name of its own the text is the name.
        if kind == "m.sticker" {
            message.text = body.to_owned();
        } else if name.is_some_and(|name| name != body) {
            message.text = body.to_owned();
            message.html = html(content);
        }
        return Ok(message);
    }
    let body = if answers {
        without_quotation(body)
    } else {
        body
    };
    message.text = body.to_owned();
    if msgtype == "m.location"
        && let Some(place) = content.word("geo_uri")
        && !body.contains(place)
    {
        message.text = format!("{body}\n{place}");
    }
    message.html = html(content);
    Ok(message)
}

fn html(content: &Value) -> Option<String> {
    let formatted = content.word("format") == Some("org.matrix.custom.html");
    let html = content.word("formatted_body").filter(|_| formatted)?;
    sanitised(html)
}
