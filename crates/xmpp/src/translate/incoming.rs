//! A `<message/>` from a client → what it says in core's words.

use sammen_core::event::{
    Attachment, Content, ForeignId, MarkerKind, Message, MessageKind, Relation, RelationKind,
    Scheme,
};
use sammen_core::live::Typing;

use super::styling;
use crate::wire::{Element, ns};

/// What is to be done with a message.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every message is the large one, and it is moved once"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// It belongs into the log.
    Log(Content, Option<Relation>),
    /// Somebody types, or stopped.
    Typing(Typing),
    /// It is for those who are there now.
    Live,
}

/// XEP-0027, XEP-0373, OTR: encryption that only names itself.
const OPENPGP: &str = "urn:xmpp:openpgp:0";
const OLD_PGP: &str = "jabber:x:encrypted";

/// One line of the table: a child, and what it makes of the message. The first line that fits decides.
type Row = (
    &'static str,
    &'static str,
    fn(&Element, &Element) -> Option<Act>,
);

const TABLE: &[Row] = &[
    ("retract", ns::RETRACT, retraction),
    ("encrypted", ns::OMEMO, omemo),
    ("encrypted", ns::OMEMO2, omemo),
    ("openpgp", OPENPGP, openpgp),
    ("x", OLD_PGP, openpgp),
    ("reactions", ns::REACTIONS, reaction),
    ("replace", ns::CORRECT, edit),
    ("body", ns::CLIENT, body),
    ("x", ns::OOB, body),
    ("file-sharing", ns::SFS, body),
    ("displayed", ns::MARKERS, displayed),
    ("received", ns::RECEIPTS, received),
    ("received", ns::MARKERS, received),
    ("subject", ns::CLIENT, subject),
    ("x", ns::CONFERENCE, invitation),
    ("x", ns::MUC_USER, mediated),
];

/// What a message says. Rooms call it for groupchat messages too.
pub fn read(el: &Element) -> Act {
    let hint = |name| el.has(name, ns::HINTS);
    let content = TABLE
        .iter()
        .find_map(|(name, ns, make)| make(el, el.find(name, ns)?));
    match content {
        // XEP-0334 §4.
        Some(Act::Log(..)) if hint("no-store") || hint("no-permanent-store") => Act::Live,
        Some(act) => act,
        // XEP-0353 §4: the own other devices learn of a call's steps too, also later; that it rings concerns nobody else.
        None if is_call(el) && !hint("no-store") && !hint("no-permanent-store") => {
            Act::Log(Content::Other { fallback: None }, None)
        }
        None if hint("store") => Act::Log(Content::Other { fallback: None }, None),
        None => match el.find_ns(ns::CHATSTATES).map(Element::name) {
            Some("composing") => Act::Typing(Typing::Active),
            Some("paused") => Act::Typing(Typing::Paused),
            Some("active" | "inactive" | "gone") => Act::Typing(Typing::Done),
            _ => Act::Live,
        },
    }
}

fn is_call(el: &Element) -> bool {
    let step = el.find_ns(ns::JINGLE_MESSAGE);
    step.is_some_and(|step| step.name() != "ringing")
}

/// The sender's own ids of a message, the one that a repetition has first.
pub fn aliases(el: &Element) -> Vec<ForeignId> {
    let id = el.get("id").filter(|id| !id.is_empty());
    let origin = el
        .find("origin-id", ns::SID)
        .and_then(|o| o.get("id"))
        .filter(|o| !o.is_empty() && Some(*o) != id);
    let mut aliases = Vec::with_capacity(2);
    aliases.extend(id.map(|id| foreign(Scheme::XmppId, id)));
    // Corrections and reactions name either; one scheme finds both.
    aliases.extend(origin.map(|id| foreign(Scheme::XmppId, id)));
    aliases
}

/// XEP-0359 §5: ids that only we may give are not taken from others; nor are carbons and forged delays.
pub fn clean(el: &mut Element, ours: impl Fn(&str) -> bool) {
    el.remove_children(|c| matches!(c.ns(), ns::MAM | ns::OCCUPANT_ID) || is_forged(c, &ours));
}

/// What nobody but us may say, whoever passes it on.
fn is_forged(child: &Element, ours: impl Fn(&str) -> bool) -> bool {
    match child.ns() {
        ns::SID => child.name() == "stanza-id" && child.get("by").is_none_or(ours),
        ns::DELAY => child.get("from").is_some_and(ours),
        ns::CARBONS => child.name() != "private",
        _ => false,
    }
}

/// Of what another server passes on untouched (its rooms, its archives), what it may not say is taken away. When
/// something was said in a room is the room's word, also where it names who said it (XEP-0045 §7.2.14).
pub fn clean_foreign(el: &mut Element, ours: impl Fn(&str) -> bool) {
    let of_room = el.get("type") == Some("groupchat");
    el.remove_children(|c| !(of_room && c.ns() == ns::DELAY) && is_forged(c, &ours));
}

fn foreign(scheme: Scheme, id: &str) -> ForeignId {
    ForeignId {
        scheme,
        id: id.to_owned(),
    }
}

fn relation(kind: RelationKind, el: &Element) -> Option<Relation> {
    let id = el
        .get("id")
        .filter(|id| !id.is_empty() && id.len() <= 1024)?;
    Some(Relation {
        kind,
        target: None,
        foreign: Some(foreign(Scheme::XmppId, id)),
    })
}

fn retraction(message: &Element, el: &Element) -> Option<Act> {
    let reason = el.find_text("reason", el.ns()).map(Into::into);
    let _ = message;
    let relation = relation(RelationKind::Retraction, el)?;
    Some(Act::Log(Content::Retraction { reason }, Some(relation)))
}

/// XEP-0384: without a payload it only transports keys, which concerns machines alone.
fn omemo(message: &Element, el: &Element) -> Option<Act> {
    if !el.has("payload", el.ns()) {
        let store = message.has("store", ns::HINTS);
        let silent = Act::Log(Content::Other { fallback: None }, None);
        return Some(if store { silent } else { Act::Live });
    }
    Some(encrypted(message, "OMEMO"))
}

fn openpgp(message: &Element, _: &Element) -> Option<Act> {
    Some(encrypted(message, "OpenPGP for XMPP"))
}

fn encrypted(message: &Element, scheme: &str) -> Act {
    let fallback = message.find_text("body", message.ns()).map(Into::into);
    let scheme = scheme.to_owned();
    let replaced = message.find("replace", ns::CORRECT);
    let edited = replaced.and_then(|r| relation(RelationKind::Edit, r));
    Act::Log(
        Content::Encrypted { scheme, fallback },
        edited.or_else(|| reply(message)),
    )
}

fn reaction(_: &Element, el: &Element) -> Option<Act> {
    let keys = el
        .all("reaction", ns::REACTIONS)
        .map(|r| r.content().trim().to_owned())
        .filter(|k| !k.is_empty() && k.len() <= 256);
    let mut unique: Vec<String> = Vec::new();
    for key in keys {
        if !unique.contains(&key) {
            unique.push(key);
        }
    }
    let relation = relation(RelationKind::Reaction, el)?;
    Some(Act::Log(Content::Reaction { keys: unique }, Some(relation)))
}

fn edit(message: &Element, el: &Element) -> Option<Act> {
    if !message.has("body", message.ns()) {
        return None;
    }
    let relation = relation(RelationKind::Edit, el)?;
    Some(Act::Log(Content::Edit(text(message)), Some(relation)))
}

fn body(message: &Element, _: &Element) -> Option<Act> {
    let text = text(message);
    let empty = text.text.is_empty() && text.attachments.is_empty() && text.subject.is_none();
    (!empty).then(|| Act::Log(Content::Message(text), reply(message)))
}

fn subject(message: &Element, _: &Element) -> Option<Act> {
    body(message, message)
}

fn displayed(_: &Element, el: &Element) -> Option<Act> {
    marker(MarkerKind::Displayed, el)
}

fn received(_: &Element, el: &Element) -> Option<Act> {
    marker(MarkerKind::Received, el)
}

fn marker(kind: MarkerKind, el: &Element) -> Option<Act> {
    let relation = relation(RelationKind::Marker, el)?;
    Some(Act::Log(Content::Marker(kind), Some(relation)))
}

/// XEP-0249: other protocols show it as text.
fn invitation(_: &Element, el: &Element) -> Option<Act> {
    let room = el.get("jid")?;
    let fallback = match el.get("reason") {
        Some(reason) => format!("Invitation to {room}: {reason}"),
        None => format!("Invitation to {room}"),
    };
    let fallback = Some(fallback);
    Some(Act::Log(Content::Other { fallback }, None))
}

/// XEP-0045 §7.8.2: by a room of another server.
fn mediated(message: &Element, el: &Element) -> Option<Act> {
    let invite = el.find("invite", ns::MUC_USER)?;
    let room = message.get("from")?.split('/').next()?;
    if message.get("type") == Some("groupchat") {
        return None;
    }
    let fallback = match invite.find_text("reason", ns::MUC_USER) {
        Some(reason) => format!("Invitation to {room}: {reason}"),
        None => format!("Invitation to {room}"),
    };
    let fallback = Some(fallback);
    Some(Act::Log(Content::Other { fallback }, None))
}

fn reply(message: &Element) -> Option<Relation> {
    relation(RelationKind::Reply, message.find("reply", ns::REPLY)?)
}

/// Body and what belongs to it.
fn text(message: &Element) -> Message {
    let find = |name| message.find_text(name, message.ns());
    let body = find("body").unwrap_or_default();
    let mut text = without_fallback(message, &body);
    let attachments = attachments(message);
    // XEP-0066 as deployed: the body repeats the address of the file.
    if attachments.iter().any(|a| a.url == text.trim()) {
        text.clear();
    }
    let mut kind = MessageKind::Text;
    // XEP-0245.
    if let Some(action) = text.strip_prefix("/me ") {
        text = action.to_owned();
        kind = MessageKind::Emote;
    }
    let styled = !message.has("unstyled", ns::STYLING);
    let html = styled.then(|| styling::to_html(&text)).flatten();
    Message {
        html,
        text,
        kind,
        attachments,
        thread: find("thread")
            .map(Into::into)
            .filter(|t: &String| !t.is_empty()),
        subject: find("subject")
            .map(Into::into)
            .filter(|s: &String| !s.is_empty()),
        mentions: Vec::new(),
    }
}

/// XEP-0428: the part of the body that only repeats what the reply refers to is left out.
fn without_fallback(message: &Element, body: &str) -> String {
    let part = message
        .all("fallback", ns::FALLBACK)
        .filter(|f| f.get("for") == Some(ns::REPLY))
        .find_map(|f| f.find("body", ns::FALLBACK));
    let Some(part) = part else {
        return body.to_owned();
    };
    let number = |name| part.get(name).and_then(|n| n.parse::<usize>().ok());
    let Some(end) = number("end") else {
        return body.to_owned();
    };
    let start = number("start").unwrap_or(0);
    // XEP-0428 counts characters, not bytes.
    body.chars()
        .enumerate()
        .filter(|(i, _)| *i < start || *i >= end)
        .map(|(_, c)| c)
        .collect()
}

/// XEP-0447 with its metadata where there is some, else XEP-0066.
fn attachments(message: &Element) -> Vec<Attachment> {
    const FILE: &str = "urn:xmpp:file:metadata:0";
    const URL_DATA: &str = "http://jabber.org/protocol/url-data";
    let web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
    let mut found = Vec::new();
    for sharing in message.all("file-sharing", ns::SFS).take(16) {
        let sources = sharing.find("sources", ns::SFS);
        let url = sources
            .and_then(|s| s.find("url-data", URL_DATA))
            .and_then(|u| u.get("target"));
        let Some(url) = url.filter(|u| web(u)) else {
            continue;
        };
        let file = sharing.find("file", FILE);
        let text = |name| file.and_then(|f| f.find_text(name, FILE)).map(String::from);
        found.push(Attachment {
            url: url.to_owned(),
            name: text("name"),
            media_type: text("media-type"),
            size: text("size").and_then(|s| s.parse().ok()),
        });
    }
    for oob in message.all("x", ns::OOB).take(16) {
        if let Some(url) = oob.find_text("url", ns::OOB)
            && web(&url)
            && found.iter().all(|a| a.url != url)
        {
            found.push(Attachment {
                name: oob.find_text("desc", ns::OOB).map(Into::into),
                url: url.into(),
                media_type: None,
                size: None,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_elsewhere_says_when_our_people_spoke_and_nobody_else_does() {
        let said = |kind| {
            let delay = Element::new(ns::DELAY, "delay").attr("from", "alice@ours.org/x");
            let forged = Element::new(ns::SID, "stanza-id").attr("by", "ours.org");
            let message = Element::new(ns::CLIENT, "message").attr("type", kind);
            let mut message = message.child(delay).child(forged);
            clean_foreign(&mut message, |by| by.contains("ours.org"));
            (
                message.has("delay", ns::DELAY),
                message.has("stanza-id", ns::SID),
            )
        };
        assert_eq!(said("groupchat"), (true, false));
        assert_eq!(said("chat"), (false, false));
    }

    fn message() -> Element {
        Element::new(ns::CLIENT, "message").attr("type", "chat")
    }

    fn body(text: &'static str) -> Element {
        Element::new(ns::CLIENT, "body").text(text)
    }

    fn id_of(act: &Act) -> Option<&str> {
        match act {
            Act::Log(_, relation) => Some(&relation.as_ref()?.foreign.as_ref()?.id),
            _ => None,
        }
    }

    #[test]
    fn a_reply_is_told_from_what_it_quotes() {
        let el = message()
            .child(body("> hi\n> there\nyes *you*"))
            .child(Element::new(ns::REPLY, "reply").attr("id", "m1"))
            .child(
                Element::new(ns::FALLBACK, "fallback")
                    .attr("for", ns::REPLY)
                    .child(
                        Element::new(ns::FALLBACK, "body")
                            .attr("start", "0")
                            .attr("end", "13"),
                    ),
            );
        let act = read(&el);
        assert_eq!(id_of(&act), Some("m1"));
        let Act::Log(Content::Message(message), _) = act else {
            panic!("{act:?}")
        };
        assert_eq!(message.text, "yes *you*");
        assert_eq!(message.html.as_deref(), Some("yes <strong>you</strong>"));
    }

    #[test]
    fn each_kind_of_message_is_understood() {
        let read = |el: Element| super::read(&el);
        let edit = message()
            .child(body("/me waves"))
            .child(Element::new(ns::CORRECT, "replace").attr("id", "m2"));
        let act = read(edit);
        assert_eq!(id_of(&act), Some("m2"));
        assert!(matches!(act, Act::Log(Content::Edit(m), _)
            if m.kind == MessageKind::Emote && m.text == "waves"));
        let omemo = Element::new(ns::OMEMO, "encrypted");
        let keys = message().child(omemo.clone());
        assert_eq!(read(keys), Act::Live);
        let secret = message()
            .child(body("no OMEMO here"))
            .child(omemo.child(Element::new(ns::OMEMO, "payload").text("x")));
        assert!(
            matches!(read(secret), Act::Log(Content::Encrypted { scheme, .. }, None)
            if scheme == "OMEMO")
        );
        let typing = message().child(Element::new(ns::CHATSTATES, "composing"));
        assert_eq!(read(typing), Act::Typing(Typing::Active));
        let seen = message().child(Element::new(ns::MARKERS, "displayed").attr("id", "m3"));
        assert_eq!(id_of(&read(seen)), Some("m3"));
        let fleeting = message()
            .child(body("x"))
            .child(Element::new(ns::HINTS, "no-store"));
        assert_eq!(read(fleeting), Act::Live);
        let url = "https://example.org/a.png";
        let file = message()
            .child(body(url))
            .child(Element::new(ns::OOB, "x").child(Element::new(ns::OOB, "url").text(url)));
        assert!(matches!(read(file), Act::Log(Content::Message(m), _)
            if m.text.is_empty() && m.attachments.len() == 1));
    }

    #[test]
    fn a_calls_steps_are_for_all_devices() {
        let step = |name| Element::new(ns::JINGLE_MESSAGE, name).attr("id", "c1");
        for name in [
            "propose", "proceed", "accept", "reject", "retract", "finish",
        ] {
            let act = read(&message().child(step(name)));
            assert_eq!(
                act,
                Act::Log(Content::Other { fallback: None }, None),
                "{name}"
            );
        }
        assert_eq!(read(&message().child(step("ringing"))), Act::Live);
        let hushed = step("propose");
        let hushed = message()
            .child(hushed)
            .child(Element::new(ns::HINTS, "no-store"));
        assert_eq!(read(&hushed), Act::Live);
    }

    #[test]
    fn forged_ids_go_and_foreign_ones_stay() {
        let mut el = message()
            .child(
                Element::new(ns::SID, "stanza-id")
                    .attr("by", "alice@example.org")
                    .attr("id", "1"),
            )
            .child(
                Element::new(ns::SID, "stanza-id")
                    .attr("by", "other.net")
                    .attr("id", "2"),
            )
            .child(Element::new(ns::SID, "origin-id").attr("id", "3"));
        clean(&mut el, |by| by.ends_with("example.org"));
        assert_eq!(el.elements().count(), 2);
        assert_eq!(aliases(&el.attr("id", "3")).len(), 1);
    }
}
