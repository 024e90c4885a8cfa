//! TAGMSG: typing, reactions, and tags that only IRC clients understand.

use sammen_core::event::{Protocol, RelationKind};
use sammen_core::live::Typing;
use sammen_core::ops::send::{self, Outgoing};
use sammen_core::{Content, EventId};

use super::privmsg::{Place, place, raw_tags, submit_outgoing};
use crate::session::Session;
use crate::translate::inward;
use crate::wire::caps::Cap;
use crate::wire::standard::codes;
use crate::wire::tags::names;
use crate::wire::{Message, Numeric};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    if !s.has(Cap::MessageTags) {
        return s.numeric(Numeric::ERR_UNKNOWNCOMMAND, &["TAGMSG"], "Unknown command");
    }
    let tags = raw_tags(m);
    let targets = m.text(0).unwrap_or("");
    let most = s.server.config().targets;
    for target in targets.split(',').filter(|t| !t.is_empty()).take(most) {
        let Some(to) = place(s, target, &tags) else {
            continue;
        };
        one(s, target, to, &tags).await;
    }
}

async fn one(s: &mut Session, target: &str, place: Place, tags: &[u8]) {
    if let Some(word) = inward::tag(tags, &[names::TYPING, "+draft/typing"]) {
        return typing(s, place, &word).await;
    }
    let about = inward::tag(tags, &[names::REPLY, names::DRAFT_REPLY]);
    let add = inward::tag(tags, &[names::REACT]);
    let remove = inward::tag(tags, &[names::UNREACT]);
    if let (Some(about), true) = (about, add.is_some() || remove.is_some()) {
        return react(s, target, place, &about, add, remove).await;
    }
    if let Some((content, native)) = inward::only_tags(tags, place.status) {
        let out = Outgoing {
            native: Some(native),
            audience: place.audience,
            origin: s.origin(),
            ..Outgoing::new(place.to, content, Protocol::Irc)
        };
        submit_outgoing(s, "TAGMSG", target, out).await;
    }
}

async fn typing(s: &mut Session, place: Place, word: &str) {
    let typing = match word {
        "active" => Typing::Active,
        "paused" => Typing::Paused,
        _ => Typing::Done,
    };
    if place.audience.is_some() {
        return;
    }
    let (me, id) = (s.account(), s.id());
    // Nobody waits for an answer: where it may not be shown it is not.
    let _ = s
        .server
        .node
        .write(move |tx| send::typing(tx, &me, &place.to, typing, Some(id), None))
        .await;
}

/// Core holds all of someone's reactions to a message; IRC adds and takes them one by one.
async fn react(
    s: &mut Session,
    target: &str,
    place: Place,
    about: &str,
    add: Option<String>,
    remove: Option<String>,
) {
    let Some(relation) = inward::relation(RelationKind::Reaction, about) else {
        return;
    };
    s.registration.reacts = true;
    // Each is weighed against all that were before it.
    if let Err(seconds) = s.pace(1) {
        let (code, text) = (codes::RATE_LIMITED, "Too many reactions; try later");
        return s.fail("TAGMSG", code, &[target, &seconds.to_string()], text);
    }
    // What was submitted before may be a reaction too.
    s.settle().await;
    let mut keys = match relation.target {
        Some(id) => mine(s, id).await,
        None => Vec::new(),
    };
    if let Some(remove) = &remove {
        keys.retain(|k| k != remove);
    }
    if let Some(add) = add.filter(|a| a.len() <= 256)
        && !keys.contains(&add)
    {
        keys.push(add);
    }
    let out = Outgoing {
        relation: Some(relation),
        audience: place.audience,
        origin: s.origin(),
        ..Outgoing::new(place.to, Content::Reaction { keys }, Protocol::Irc)
    };
    submit_outgoing(s, "TAGMSG", target, out).await;
}

/// The account's reactions to an event, as they are now.
async fn mine(s: &Session, id: EventId) -> Vec<String> {
    let me = s.account();
    let read = s.server.node.read(move |node| {
        let related = node.store().relations(id, 10_000)?;
        let latest = related.iter().rev().find_map(|e| match &e.content {
            Content::Reaction { keys } if e.author == me => Some(keys.clone()),
            _ => None,
        });
        Ok(latest.unwrap_or_default())
    });
    read.await.unwrap_or_default()
}
