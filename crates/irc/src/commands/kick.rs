//! KICK.

use sammen_core::{Refusal, Role, ops};

use crate::session::Session;
use crate::wire::{Message, Numeric};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let (Some(channel), Some(nicks)) = (m.text(0), m.text(1)) else {
        return;
    };
    let reason = m
        .text(2)
        .filter(|r| !r.is_empty())
        .map(|r| super::join::clip(r, 300));
    let Some(convo) = s.visible_room(channel) else {
        return s.numeric(Numeric::ERR_NOSUCHCHANNEL, &[channel], "No such channel");
    };
    // Before the nicks are looked at: who is in a room is not told to those outside.
    if !convo.has(&s.me().account) && !s.me().oper {
        return s.refuse(&Refusal::NotJoined, channel);
    }
    for nick in nicks.split(',').filter(|n| !n.is_empty()).take(4) {
        let who = s.server.names.person(nick);
        let Some(who) = who.filter(|w| convo.has(w)) else {
            let text = "They aren't on that channel";
            s.numeric(Numeric::ERR_USERNOTINCHANNEL, &[nick, channel], text);
            continue;
        };
        let (by, origin, id, reason) = (s.principal(), s.origin(), convo.id(), reason.clone());
        let written = s
            .server
            .node
            .write(move |tx| ops::rooms::set_role(tx, &by, id, &who, Role::None, reason, &origin));
        match written.await {
            Ok(_) => s.answer_with_events().await,
            Err(refusal) => s.refuse(&refusal, channel),
        }
    }
}
