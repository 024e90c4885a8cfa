//! An event that another protocol wrote → children of a `<message/>`.

use bytes::Bytes;
use sammen_core::event::{Content, Event, MarkerKind, Message, MessageKind, RelationKind};

use super::{stanza_id, styling};
use crate::wire::{Element, Payload, ns};

/// What is rendered, and where.
pub struct Scene<'a> {
    /// The event.
    pub event: &'a Event,
    /// What it refers to, as far as that is known.
    pub target: Option<&'a Event>,
    /// The JID of the target's author, for replies (XEP-0461 §3.1).
    pub target_author: Option<String>,
    /// In a room, events are named by their stanza-id (XEP-0444 §4.2, XEP-0461 §3.1).
    pub room: bool,
}

/// The children as shared bytes; empty where XMPP has nothing to say.
pub fn payload(scene: &Scene<'_>) -> Bytes {
    let message = Element::new(ns::CLIENT, "message").children(children(scene));
    Payload::of(&message).bytes().clone()
}

/// The children. Memberships and room changes are the room's own and give none.
pub fn children(scene: &Scene<'_>) -> Vec<Element> {
    let event = scene.event;
    match &event.content {
        Content::Message(message) => {
            let reply = event
                .relation
                .as_ref()
                .is_some_and(|r| r.kind == RelationKind::Reply);
            spoken(scene, message, reply)
        }
        Content::Edit(message) => match scene.target {
            Some(target) => {
                let replace = Element::new(ns::CORRECT, "replace").attr("id", stanza_id(target));
                let mut children = spoken(scene, message, false);
                children.push(replace);
                children
            }
            // What it corrects is not known: said as it is.
            None => spoken(scene, message, false),
        },
        Content::Retraction { reason } => match scene.target {
            Some(target) => retraction(scene, target, reason.as_deref()),
            None => Vec::new(),
        },
        Content::Reaction { keys } => match scene.target {
            Some(target) => {
                let keys = keys
                    .iter()
                    .map(|k| Element::new(ns::REACTIONS, "reaction").text(k.as_str()));
                let reactions = Element::new(ns::REACTIONS, "reactions")
                    .attr("id", name(scene, target))
                    .children(keys);
                vec![reactions, Element::new(ns::HINTS, "store")]
            }
            None => Vec::new(),
        },
        Content::Encrypted { scheme, fallback } => {
            let notice = fallback.clone().unwrap_or_else(|| {
                format!("This message is encrypted with {scheme}: open it in an app that has it.")
            });
            vec![body(&notice)]
        }
        Content::Marker(kind) => match scene.target {
            Some(target) => {
                let (element, ns) = match kind {
                    MarkerKind::Received => ("received", ns::RECEIPTS),
                    MarkerKind::Displayed => ("displayed", ns::MARKERS),
                };
                vec![Element::new(ns, element).attr("id", name(scene, target))]
            }
            None => Vec::new(),
        },
        Content::Other { fallback } => fallback.iter().map(|text| body(text)).collect(),
        Content::Erased { .. } => vec![tombstone(event)],
        Content::Membership(_) | Content::Room(_) => Vec::new(),
    }
}

/// XEP-0424 §5.1: what the archive shows in place of what was erased.
pub fn tombstone(event: &Event) -> Element {
    let stamp = match &event.content {
        Content::Erased { at, .. } => *at,
        _ => event.at,
    };
    Element::new(ns::RETRACT, "retracted")
        .attr("stamp", crate::time::stamp(stamp))
        .attr("id", event.id.to_string())
}

/// By which id people there name an event.
fn name(scene: &Scene<'_>, target: &Event) -> String {
    if scene.room {
        target.id.to_string()
    } else {
        stanza_id(target)
    }
}

fn body(text: &str) -> Element {
    Element::new(ns::CLIENT, "body").text(text)
}

fn spoken(scene: &Scene<'_>, message: &Message, reply: bool) -> Vec<Element> {
    let mut text = match &message.html {
        Some(html) => styling::from_html(html),
        None => message.text.clone(),
    };
    if message.kind == MessageKind::Emote {
        text.insert_str(0, "/me ");
    }
    let mut children = Vec::with_capacity(4);
    for attachment in &message.attachments {
        let url = attachment.url.as_str();
        if text.is_empty() {
            text = url.to_owned();
        } else if !text.contains(url) {
            text.push('\n');
            text.push_str(url);
        }
    }
    // XEP-0066 as deployed: shown as a file only where the body is its address alone.
    if let [only] = message.attachments.as_slice()
        && text == only.url
    {
        let url = Element::new(ns::OOB, "url").text(only.url.as_str());
        children.push(Element::new(ns::OOB, "x").child(url));
    }
    if let (true, Some(target)) = (reply, scene.target) {
        let mut quote = String::new();
        for line in quoted(&target.content).lines().take(6) {
            quote.push_str("> ");
            quote.push_str(line);
            quote.push('\n');
        }
        let end = quote.chars().count();
        text.insert_str(0, &quote);
        children.push(
            Element::new(ns::REPLY, "reply")
                .attr_opt("to", scene.target_author.clone())
                .attr("id", name(scene, target)),
        );
        if end > 0 {
            let range = Element::new(ns::FALLBACK, "body")
                .attr("start", "0")
                .attr("end", end.to_string());
            children.push(
                Element::new(ns::FALLBACK, "fallback")
                    .attr("for", ns::REPLY)
                    .child(range),
            );
        }
    }
    let thread = message
        .thread
        .as_ref()
        .map(|t| Element::new(ns::CLIENT, "thread").text(t.as_str()));
    let subject = message
        .subject
        .as_ref()
        .map(|s| Element::new(ns::CLIENT, "subject").text(s.as_str()));
    children.insert(0, body(&text));
    children.extend(thread);
    children.extend(subject);
    children
}

fn quoted(content: &Content) -> &str {
    match content {
        Content::Message(m) | Content::Edit(m) => &m.text,
        Content::Encrypted { fallback, .. } | Content::Other { fallback } => {
            fallback.as_deref().unwrap_or_default()
        }
        _ => "",
    }
}

fn retraction(scene: &Scene<'_>, target: &Event, reason: Option<&str>) -> Vec<Element> {
    let reason = reason.map(|r| Element::new(ns::RETRACT, "reason").text(r));
    let retract = Element::new(ns::RETRACT, "retract")
        .attr("id", name(scene, target))
        .children(reason);
    vec![
        retract,
        Element::new(ns::FALLBACK, "fallback").attr("for", ns::RETRACT),
        body("This person took back a message; your app can't show that."),
        Element::new(ns::HINTS, "store"),
    ]
}
