//! draft/channel-rename: a room gets another address, on every protocol. Clients without it see PART and JOIN.

use sammen_core::document::Owner;
use sammen_core::live::Announced;
use sammen_core::ops::{self, send};
use sammen_core::{Address, Refusal};

use crate::replay;
use crate::session::Session;
use crate::wire::caps::Cap;
use crate::wire::standard::codes;
use crate::wire::{Line, Message, Numeric};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let (old, new) = (m.text(0).unwrap_or("*"), m.text(1).unwrap_or("*"));
    let reason = m.text(2).filter(|r| !r.is_empty());
    let reason = reason.map(|r| super::join::clip(r, 300));
    let Some(convo) = s.visible_room(old) else {
        return s.numeric(Numeric::ERR_NOSUCHCHANNEL, &[old], "No such channel");
    };
    if !convo.has(&s.me().account) && !s.me().oper {
        return s.refuse(&Refusal::NotJoined, old);
    }
    let Some(to) = s.server.names.room(new) else {
        let text = "That is no name for a room here";
        return s.fail("RENAME", codes::CANNOT_RENAME, &[old, new], text);
    };
    let (by, origin, id) = (s.principal(), s.origin(), convo.id());
    let written = s
        .server
        .node
        .write(move |tx| ops::rooms::rename(tx, &by, id, &to, reason, &origin).map(drop));
    match written.await {
        Ok(()) => s.answer_with_events().await,
        Err(refusal @ Refusal::Forbidden(_)) => s.refuse(&refusal, old),
        Err(Refusal::Taken) => {
            let text = "The channel name is already taken";
            s.fail("RENAME", codes::CHANNEL_NAME_IN_USE, &[old, new], text);
        }
        Err(refusal) => {
            let text = refusal.to_string();
            s.fail("RENAME", codes::CANNOT_RENAME, &[old, new], &text);
        }
    }
}

/// A room that this session is in has another address.
pub(crate) async fn told(s: &mut Session, a: &Announced, to: &Address, reason: Option<&str>) {
    let (channel, id) = (s.server.names.channel(to), a.event.conversation);
    let Some(inside) = s.me_mut().rooms.get_mut(&id) else {
        return;
    };
    let old = std::mem::replace(&mut inside.channel, channel.clone());
    inside.shown = a.convo.clone();
    if s.has(Cap::ChannelRename) {
        let line = Line::new(s.server.names.mask(&a.event.author))
            .cmd("RENAME")
            .param(old)
            .param(channel)
            .trailing(reason.unwrap_or(""));
        let tags = crate::deliver::event_tags(s, a);
        return s.emit_line(line.tags(tags));
    }
    let line = Line::new(&s.me().mask).cmd("PART").param(old);
    let line = match reason {
        Some(reason) => line.trailing(reason),
        None => line,
    };
    // What follows is told as if it were an answer; it is one only to the session that did it.
    let capture = (!s.own_event).then(|| s.capture.take()).flatten();
    s.reply(line);
    let (me, node) = (s.account(), s.server.node.clone());
    let mark = node.read(move |node| {
        let found = node
            .store()
            .document(&Owner::from(&me), send::READ, &id.to_string())?;
        Ok(found.and_then(|d| d.value))
    });
    let mark = mark.await.ok().flatten();
    let mark: Option<send::ReadMark> = mark.and_then(|bytes| sammen_core::tx::decode(&bytes));
    replay::appear(s, &a.convo, &channel, mark.map(|m| m.at));
    if capture.is_some() {
        s.capture = capture;
    }
}
