//! draft/message-redaction: REDACT takes a message back, or removes another's where one moderates.

use sammen_core::event::{Protocol, RelationKind};
use sammen_core::ops::send::{Outgoing, Target};
use sammen_core::{Content, Refusal};

use crate::session::{Pending, Session};
use crate::translate::inward;
use crate::wire::standard::{StandardReply, codes};
use crate::wire::{Line, Message};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let (target, msgid) = (m.text(0).unwrap_or(""), m.text(1).unwrap_or(""));
    let reason = m.text(2).filter(|r| !r.is_empty()).map(str::to_owned);
    let to = if target.starts_with('#') {
        // Who left a room may still know it by its history; others are not told that a hidden one is there.
        let known = s.visible_room(target).or_else(|| s.conversation(target));
        known.map(|c| Target::Conversation(c.id()))
    } else {
        s.server.names.person(target).map(Target::Direct)
    };
    let (Some(to), Some(relation)) = (to, inward::relation(RelationKind::Retraction, msgid)) else {
        let text = "No such conversation";
        return s.fail("REDACT", codes::INVALID_TARGET, &[target], text);
    };
    let out = Outgoing {
        relation: Some(relation),
        origin: s.origin(),
        ..Outgoing::new(to, Content::Retraction { reason }, Protocol::Irc)
    };
    let named = format!("{target} {msgid}");
    super::privmsg::submit_outgoing(s, "REDACT", &named, out).await;
}

/// A refused REDACT has its own words.
pub(crate) fn refusal_line(s: &Session, pending: &Pending, refusal: &Refusal) -> Option<Line> {
    if pending.verb != "REDACT" {
        return None;
    }
    let (target, msgid) = pending.target.split_once(' ')?;
    let code = match refusal {
        Refusal::NotFound => codes::UNKNOWN_MSGID,
        Refusal::NotJoined => codes::INVALID_TARGET,
        _ => codes::REDACT_FORBIDDEN,
    };
    let text = refusal.to_string();
    let reply = StandardReply::fail("REDACT", code, &text)
        .with(target)
        .with(msgid);
    Some(reply.line(&s.server.name))
}
