//! TOPIC.

use std::sync::Arc;

use sammen_core::{Convo, ops};

use crate::session::Session;
use crate::translate::out::one_line;
use crate::wire::{Message, Numeric};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let Some(channel) = m.text(0) else { return };
    let Some(text) = m.text(1) else {
        return match s.visible_room(channel) {
            Some(convo) => send(s, &convo),
            None => s.numeric(Numeric::ERR_NOSUCHCHANNEL, &[channel], "No such channel"),
        };
    };
    let Some(convo) = s.visible_room(channel) else {
        return s.numeric(Numeric::ERR_NOSUCHCHANNEL, &[channel], "No such channel");
    };
    let (by, origin) = (s.principal(), s.origin());
    let topic = super::join::clip(text, 390);
    let written = s
        .server
        .node
        .write(move |tx| ops::rooms::set_topic(tx, &by, convo.id(), &topic, None, &origin));
    match written.await {
        Ok(_) => s.answer_with_events().await,
        Err(refusal) => s.refuse(&refusal, channel),
    }
}

/// 332 and 333, or 331.
pub(crate) fn send(s: &mut Session, convo: &Arc<Convo>) {
    let Some(room) = convo.conversation.room() else {
        return;
    };
    let channel = s.server.names.channel(room);
    let settings = &convo.conversation.settings;
    let Some(topic) = &settings.topic else {
        return s.numeric(Numeric::RPL_NOTOPIC, &[&channel], "No topic is set");
    };
    s.numeric(Numeric::RPL_TOPIC, &[&channel], &one_line(topic));
    if let Some((by, at)) = &settings.topic_by {
        let (by, at) = (s.server.names.mask(by), (at.0 / 1000).to_string());
        s.numeric_bare(Numeric::RPL_TOPICWHOTIME, &[&channel, &by, &at]);
    }
}
