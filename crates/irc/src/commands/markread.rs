//! draft/read-marker: MARKREAD as core's read marks, the same that XMPP's displayed markers move.

use sammen_core::event::{MarkerKind, Protocol, Relation, RelationKind};
use sammen_core::ops::send::{self, Outgoing, ReadMark, Target};
use sammen_core::store::Kinds;
use sammen_core::{Content, ConversationId, Convo, Timestamp};
use std::sync::Arc;

use crate::session::Session;
use crate::wire::standard::codes;
use crate::wire::{Message, time};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let target = m.text(0).unwrap_or("").to_owned();
    let Some(convo) = s.conversation(&target) else {
        if s.server.names.person(&target).is_some() {
            return send(s, &target, None);
        }
        let text = "No such conversation";
        return s.fail("MARKREAD", codes::INVALID_PARAMS, &[&target], text);
    };
    if let Some(written) = m.text(1) {
        let at = written.strip_prefix("timestamp=").and_then(time::parse);
        let Some(at) = at else {
            let text = "A read marker is timestamp=YYYY-MM-DDThh:mm:ss.sssZ";
            return s.fail("MARKREAD", codes::INVALID_PARAMS, &[&target], text);
        };
        move_to(s, &convo, Timestamp(at)).await;
    }
    let read = current(s, convo.id()).await;
    send(s, &target, read);
}

/// Moves the mark to the last event that is not younger. Others see it as a receipt, where the account shares those.
async fn move_to(s: &mut Session, convo: &Arc<Convo>, at: Timestamp) {
    let node = s.server.node.clone();
    let (me, id) = (s.account(), convo.id());
    let read = node.read(move |node| {
        let scope = sammen_core::history::Scope::Conversation(id);
        let mut query = node.query(&me, &scope, 1)?;
        query.until = Some(at);
        query.from_end = true;
        query.kinds = Kinds::Speech;
        Ok(node.store().history(&query)?.events.pop())
    });
    let Ok(Some(event)) = read.await else { return };
    let (who, origin) = (s.principal(), s.origin());
    let me = s.account();
    let written = node.write(move |tx| {
        let convo = tx.convo(id)?;
        let kind = MarkerKind::Displayed;
        // A marker of one's own message tells nobody anything; the mark moves all the same.
        if event.author == me || convo.is_room() {
            return send::mark_read(tx, &convo, &me, Some(event.id), kind, &origin);
        }
        let known: Option<ReadMark> = tx
            .document(&(&me).into(), send::READ, &id.to_string())?
            .and_then(|d| d.value)
            .and_then(|v| sammen_core::tx::decode(&v));
        if known.is_some_and(|m| m.pos >= event.pos) {
            return Ok(());
        }
        let out = Outgoing {
            relation: Some(Relation {
                kind: RelationKind::Marker,
                target: Some(event.id),
                foreign: None,
            }),
            origin,
            ..Outgoing::new(
                Target::Conversation(id),
                Content::Marker(kind),
                Protocol::Irc,
            )
        };
        send::send(tx, &who, out).map(drop)
    });
    // Where no receipt may be sent the mark stays; the answer says where it is.
    let _ = written.await;
}

async fn current(s: &Session, id: ConversationId) -> Option<Timestamp> {
    let me = s.account();
    let read = s.server.node.read(move |node| {
        let found = node
            .store()
            .document(&(&me).into(), send::READ, &id.to_string())?;
        let mark: Option<ReadMark> = found
            .and_then(|d| d.value)
            .and_then(|v| sammen_core::tx::decode(&v));
        Ok(mark.map(|m| m.at))
    });
    read.await.ok().flatten()
}

/// `MARKREAD target timestamp=…`, or `*` where nothing was read.
pub(crate) fn send(s: &mut Session, target: &str, at: Option<Timestamp>) {
    let value = match at {
        Some(at) => format!("timestamp={}", time::format(at.0)),
        None => "*".to_owned(),
    };
    let line = s.server_line("MARKREAD").param(target).param(value);
    s.reply(line);
}

/// Another session of the account has read.
pub(crate) fn told(s: &mut Session, id: ConversationId, at: Timestamp) {
    let Ok(Some(convo)) = s.server.node.convo(id) else {
        return;
    };
    let target = crate::replay::target_of(s, &convo);
    let line = s
        .server_line("MARKREAD")
        .param(target)
        .param(format!("timestamp={}", time::format(at.0)));
    s.emit_line(line);
}

impl Session {
    /// The conversation of a channel that the account is in, or with a person.
    pub(crate) fn conversation(&self, target: &str) -> Option<Arc<Convo>> {
        let me = &self.me().account;
        if target.starts_with('#') {
            return self
                .any_room(target)
                .filter(|c| !c.visible_to(me).is_empty());
        }
        let person = self.server.names.person(target)?;
        let key = sammen_core::ConversationKey::direct(me, &person);
        self.server.node.convo_by_key(&key).ok().flatten()
    }
}
