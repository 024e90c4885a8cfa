//! Core's events as entries of a timeline: what a line looks like now, with what refers to it worked in.

use std::collections::BTreeMap;
use std::sync::Arc;

use sammen_core::event::{
    Acceptance, Attachment, MembershipAction, Message, MessageKind, RelationKind, RoomChange,
};
use sammen_core::history::may_see;
use sammen_core::{Address, Content, Convo, Event, EventId, Node, Pos};

use crate::person::{View, person_in};
use crate::types as t;

/// Relations of one entry that are looked at.
const RELATIONS: usize = 2_000;
/// People named with a reaction.
const NAMED: usize = 10;
/// Characters of a quote.
const QUOTE: usize = 200;

/// Whether an event can be a line of its own, and is not a change of another one.
pub fn is_line(event: &Event) -> bool {
    !matches!(
        event.content,
        Content::Edit(_)
            | Content::Retraction { .. }
            | Content::Reaction { .. }
            | Content::Marker(_)
    )
}

/// Whether an event is a line of the timeline. A tombstone does not tell what stood there: it is a line where somebody
/// took a line back, and not where an edit went with it or the days of everything were over. Blocking for tombstones.
pub fn shows(node: &Node, event: &Event) -> bool {
    if !matches!(event.content, Content::Erased { .. }) {
        return is_line(event);
    }
    let related = node.store().relations(event.id, RELATIONS);
    related
        .unwrap_or_default()
        .iter()
        .any(|r| matches!(r.content, Content::Retraction { .. }))
}

/// Whether a line counts as unread: somebody said it.
pub fn counts(event: &Event, reader: &Address) -> bool {
    event.content.is_speech() && is_line(event) && !event.historical && event.author != *reader
}

/// Whether a line names the reader.
pub fn mentions(event: &Event, reader: &Address) -> bool {
    match &event.content {
        Content::Message(m) => m.mentions.contains(reader),
        _ => false,
    }
}

/// A place as text that sorts as the place does.
pub fn order(pos: Pos) -> String {
    format!("{:016x}", (pos.0 as u64) ^ (1 << 63))
}

/// A line as it looks now. Blocking.
pub fn entry(view: View<'_>, convo: &Convo, event: &Event) -> t::Entry {
    let related = view
        .node
        .store()
        .relations(event.id, RELATIONS)
        .unwrap_or_default();
    let seen = |e: &&Arc<Event>| may_see(convo, view.reader, e);
    let mut edit: Option<(&Message, i64)> = None;
    let mut replies = 0;
    let mut reactions: BTreeMap<&Address, &[String]> = BTreeMap::new();
    for other in related.iter().filter(seen) {
        match (&other.content, other.relation.as_ref().map(|r| r.kind)) {
            (Content::Edit(message), _) if other.author == event.author => {
                edit = Some((message, other.at.0));
            }
            // All of an author's reactions, replacing earlier ones.
            (Content::Reaction { keys }, _) => {
                reactions.insert(&other.author, keys);
            }
            (_, Some(RelationKind::Reply)) if is_line(other) => replies += 1,
            _ => {}
        }
    }
    let thread = match &event.content {
        Content::Message(m) => m.thread.clone(),
        _ => None,
    };
    let reply_to = event
        .relation
        .as_ref()
        .filter(|r| r.kind == RelationKind::Reply)
        .and_then(|r| r.target)
        .map(|target| quote(view, convo, target));
    let erased = matches!(event.content, Content::Erased { .. });
    let edited_at = edit.filter(|_| !erased).map(|(_, at)| at);
    t::Entry {
        id: event.id.to_string(),
        conversation: event.conversation.to_string(),
        order: order(event.pos),
        at: event.at.0,
        author: person_in(view, convo, &event.author, event.nick.as_deref()),
        own: event.author == *view.reader,
        body: body(view, convo, event, edit.map(|(message, _)| message)),
        pending: event.acceptance == Acceptance::Pending,
        edited_at,
        reactions: if erased {
            Vec::new()
        } else {
            gathered(view, convo, &reactions)
        },
        reply_to,
        thread,
        replies,
        audience: event.audience.as_ref().map(|list| {
            let others = list.iter().filter(|a| **a != event.author);
            others.map(|a| person_in(view, convo, a, None)).collect()
        }),
        via: event.native.as_ref().map(|n| n.protocol.name().to_owned()),
    }
}

fn gathered(
    view: View<'_>,
    convo: &Convo,
    reactions: &BTreeMap<&Address, &[String]>,
) -> Vec<t::Reaction> {
    let mut out: Vec<t::Reaction> = Vec::new();
    for (who, keys) in reactions {
        for key in *keys {
            let own = *who == view.reader;
            match out.iter_mut().find(|r| r.key == *key) {
                Some(known) => {
                    known.count += 1;
                    known.own |= own;
                    if known.by.len() < NAMED {
                        known.by.push(person_in(view, convo, who, None));
                    }
                }
                None => out.push(t::Reaction {
                    key: key.clone(),
                    count: 1,
                    own,
                    by: vec![person_in(view, convo, who, None)],
                }),
            }
        }
    }
    out.sort_by_key(|r| std::cmp::Reverse(r.count));
    out
}

fn body(view: View<'_>, convo: &Convo, event: &Event, edit: Option<&Message>) -> t::Body {
    match &event.content {
        Content::Message(first) => {
            let now = edit.unwrap_or(first);
            // An edit that names no files leaves those of the first version.
            let files = if now.attachments.is_empty() {
                &first.attachments
            } else {
                &now.attachments
            };
            t::Body::Message {
                text: now.text.clone(),
                html: now.html.clone(),
                kind: kind(now.kind),
                files: files.iter().map(|f| file(view, f)).collect(),
                mentions: now
                    .mentions
                    .iter()
                    .map(|a| person_in(view, convo, a, None).address)
                    .collect(),
                subject: now.subject.clone(),
            }
        }
        Content::Encrypted { scheme, fallback } => t::Body::Encrypted {
            scheme: scheme.clone(),
            fallback: fallback.clone(),
        },
        Content::Erased { by, at } => t::Body::Retracted {
            by: by.as_ref().map(|a| person_in(view, convo, a, None)),
            at: at.0,
        },
        Content::Membership(change) => t::Body::Membership {
            who: person_in(view, convo, &change.who, change.nick.as_deref()),
            action: action(change.action),
            standing: (change.action == MembershipAction::Standing)
                .then(|| standing(change.standing)),
            reason: change.reason.clone(),
        },
        Content::Room(change) => room(change),
        Content::Other { fallback } => t::Body::Other {
            fallback: fallback.clone(),
        },
        // Never asked for: these are no lines.
        Content::Edit(_)
        | Content::Retraction { .. }
        | Content::Reaction { .. }
        | Content::Marker(_) => t::Body::Other { fallback: None },
    }
}

fn room(change: &RoomChange) -> t::Body {
    let (change, text) = match change {
        RoomChange::Created => (t::RoomChange::Created, None),
        RoomChange::Topic(text) => (t::RoomChange::Topic, Some(text.clone())),
        RoomChange::Name(text) => (t::RoomChange::Name, Some(text.clone())),
        RoomChange::Avatar(_) => (t::RoomChange::Avatar, None),
        RoomChange::Settings(words) => (t::RoomChange::Settings, Some(words.join(", "))),
        RoomChange::Renamed { to, .. } => (t::RoomChange::Renamed, Some(to.to_string())),
        RoomChange::Destroyed { reason, .. } => (t::RoomChange::Destroyed, reason.clone()),
    };
    t::Body::Room { change, text }
}

fn quote(view: View<'_>, convo: &Convo, target: EventId) -> t::Quote {
    let found = view.node.store().event_by_id(target).ok().flatten();
    let found = found.filter(|e| e.conversation == convo.id() && may_see(convo, view.reader, e));
    let Some(event) = found else {
        return t::Quote {
            id: target.to_string(),
            author: None,
            text: String::new(),
        };
    };
    let text = match &event.content {
        Content::Message(m) if !m.text.is_empty() => m.text.clone(),
        Content::Message(m) => m
            .attachments
            .first()
            .and_then(|f| f.name.clone())
            .unwrap_or_default(),
        Content::Encrypted { scheme, .. } => format!("({scheme})"),
        _ => String::new(),
    };
    t::Quote {
        id: target.to_string(),
        author: Some(person_in(view, convo, &event.author, event.nick.as_deref())),
        text: text.chars().take(QUOTE).collect(),
    }
}

fn file(view: View<'_>, file: &Attachment) -> t::File {
    t::File {
        url: own_path(view.base, &file.url),
        name: file.name.clone(),
        media_type: file.media_type.clone(),
        size: file.size,
    }
}

/// Files of this node are named by their path, so that a page fetches them from where it came itself.
fn own_path(base: Option<&str>, url: &str) -> String {
    let path = base.and_then(|b| url.strip_prefix(b));
    path.filter(|p| p.starts_with(sammen_net::files::PATH))
        .unwrap_or(url)
        .to_owned()
}

fn kind(kind: MessageKind) -> t::MessageKind {
    match kind {
        MessageKind::Text => t::MessageKind::Text,
        MessageKind::Emote => t::MessageKind::Emote,
        MessageKind::Notice => t::MessageKind::Notice,
    }
}

/// A kind of text as core has it.
pub fn core_kind(kind: t::MessageKind) -> MessageKind {
    match kind {
        t::MessageKind::Text => MessageKind::Text,
        t::MessageKind::Emote => MessageKind::Emote,
        t::MessageKind::Notice => MessageKind::Notice,
    }
}

fn action(action: MembershipAction) -> t::MembershipAction {
    match action {
        MembershipAction::Joined => t::MembershipAction::Joined,
        MembershipAction::Left => t::MembershipAction::Left,
        MembershipAction::Invited => t::MembershipAction::Invited,
        MembershipAction::Knocked => t::MembershipAction::Knocked,
        MembershipAction::Kicked => t::MembershipAction::Kicked,
        MembershipAction::Banned => t::MembershipAction::Banned,
        MembershipAction::Unbanned => t::MembershipAction::Unbanned,
        MembershipAction::Standing => t::MembershipAction::Standing,
        MembershipAction::Nick => t::MembershipAction::Nick,
    }
}

/// A standing.
pub fn standing(standing: sammen_core::Standing) -> t::Standing {
    match standing {
        sammen_core::Standing::Outcast => t::Standing::Outcast,
        sammen_core::Standing::None => t::Standing::None,
        sammen_core::Standing::Member => t::Standing::Member,
        sammen_core::Standing::Admin => t::Standing::Admin,
        sammen_core::Standing::Owner => t::Standing::Owner,
    }
}

/// A standing as core has it.
pub fn core_standing(standing: t::Standing) -> sammen_core::Standing {
    match standing {
        t::Standing::Outcast => sammen_core::Standing::Outcast,
        t::Standing::None => sammen_core::Standing::None,
        t::Standing::Member => sammen_core::Standing::Member,
        t::Standing::Admin => sammen_core::Standing::Admin,
        t::Standing::Owner => sammen_core::Standing::Owner,
    }
}

/// A role.
pub fn role(role: sammen_core::Role) -> t::Role {
    match role {
        sammen_core::Role::None => t::Role::None,
        sammen_core::Role::Visitor => t::Role::Visitor,
        sammen_core::Role::Participant => t::Role::Participant,
        sammen_core::Role::Moderator => t::Role::Moderator,
    }
}

/// A role as core has it.
pub fn core_role(role: t::Role) -> sammen_core::Role {
    match role {
        t::Role::None => sammen_core::Role::None,
        t::Role::Visitor => sammen_core::Role::Visitor,
        t::Role::Participant => sammen_core::Role::Participant,
        t::Role::Moderator => sammen_core::Role::Moderator,
    }
}

/// Where someone stands towards a room.
pub fn membership(membership: sammen_core::Membership) -> t::Membership {
    match membership {
        sammen_core::Membership::Left => t::Membership::Left,
        sammen_core::Membership::Knocked => t::Membership::Knocked,
        sammen_core::Membership::Invited => t::Membership::Invited,
        sammen_core::Membership::Joined => t::Membership::Joined,
    }
}

/// How available someone is.
pub fn show(show: sammen_core::live::Show) -> t::Show {
    use sammen_core::live::Show;
    match show {
        Show::Offline => t::Show::Offline,
        Show::ExtendedAway => t::Show::Xa,
        Show::Away => t::Show::Away,
        Show::Busy => t::Show::Busy,
        Show::Online => t::Show::Online,
        Show::Chatty => t::Show::Chatty,
    }
}

/// How available someone is, as core has it.
pub fn core_show(show: t::Show) -> sammen_core::live::Show {
    use sammen_core::live::Show;
    match show {
        t::Show::Offline => Show::Offline,
        t::Show::Xa => Show::ExtendedAway,
        t::Show::Away => Show::Away,
        t::Show::Busy => Show::Busy,
        t::Show::Online => Show::Online,
        t::Show::Chatty => Show::Chatty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_sort_as_text() {
        let places = [i64::MIN, -1, 0, 1, 1 << 32, i64::MAX];
        let texts: Vec<String> = places.iter().map(|p| order(Pos(*p))).collect();
        assert!(texts.windows(2).all(|w| w[0] < w[1]), "{texts:?}");
    }
}
