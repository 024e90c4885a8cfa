//! NAMES: who is a member of a room, with ranks.

use std::sync::Arc;

use sammen_core::{Convo, Membership};

use crate::modes;
use crate::session::Session;
use crate::wire::caps::Cap;
use crate::wire::{Line, Message, Numeric};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let Some(list) = m.text(0).filter(|l| !l.is_empty()) else {
        return s.numeric(Numeric::RPL_ENDOFNAMES, &["*"], "End of /NAMES list");
    };
    // TARGMAX NAMES:1.
    let channel = list.split(',').next().unwrap_or(list);
    let convo = s.visible_room(channel);
    match convo {
        Some(convo) => send(s, &convo),
        None => s.numeric(Numeric::ERR_NOSUCHCHANNEL, &[channel], "No such channel"),
    }
}

/// 353 and 366.
pub(crate) fn send(s: &mut Session, convo: &Arc<Convo>) {
    let Some(room) = convo.conversation.room() else {
        return;
    };
    let names = s.server.names.clone();
    let channel = names.channel(room);
    let (multi, hosts) = (s.has(Cap::MultiPrefix), s.has(Cap::UserhostInNames));
    let symbol = if convo.conversation.settings.listed {
        "="
    } else {
        "@"
    };
    let mut people: Vec<String> = convo
        .members
        .values()
        .filter(|m| m.membership == Membership::Joined)
        .map(|m| {
            let mut name = modes::symbols(convo, &m.address, multi);
            if hosts {
                name.push_str(&names.mask(&m.address));
            } else {
                name.push_str(&names.nick(&m.address));
            }
            name
        })
        .collect();
    people.sort_unstable();
    let begin =
        |s: &Session| -> Line { s.numeric_line(Numeric::RPL_NAMREPLY, &[symbol, &channel]) };
    let room = begin(s).room().saturating_sub(2);
    let mut list = String::new();
    for person in people {
        if !list.is_empty() && list.len() + 1 + person.len() > room {
            let line = begin(s).trailing(&list);
            s.reply(line);
            list.clear();
        }
        if !list.is_empty() {
            list.push(' ');
        }
        list.push_str(&person);
    }
    if !list.is_empty() {
        let line = begin(s).trailing(&list);
        s.reply(line);
    }
    s.numeric(Numeric::RPL_ENDOFNAMES, &[&channel], "End of /NAMES list");
}

impl Session {
    /// A room that the account may know of by this name: it is in it, or the room is listed.
    pub(crate) fn visible_room(&self, channel: &str) -> Option<Arc<Convo>> {
        let convo = self.any_room(channel)?;
        let open = convo.conversation.settings.listed || self.me().oper;
        (open || convo.has(&self.me().account)).then_some(convo)
    }

    /// A room by its name, whether the account may see into it or not: for commands whose refusal core decides. A name
    /// that it had before leads on, for those who may know of it.
    pub(crate) fn any_room(&self, channel: &str) -> Option<Arc<Convo>> {
        let room = self.server.names.room(channel)?;
        let node = &self.server.node;
        let renamed = || node.renamed(&room, &self.principal()).ok().flatten();
        node.room(&room).ok().flatten().or_else(renamed)
    }
}
