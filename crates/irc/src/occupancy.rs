//! Rooms as they live: ranks, who is attentive, who writes.

use std::sync::Arc;

use sammen_core::live::{OccupantChange, OccupantKind, Show, Typing};
use sammen_core::{Address, Convo};

use crate::deliver::mode_lines;
use crate::modes;
use crate::session::Session;
use crate::wire::Line;
use crate::wire::caps::Cap;
use crate::wire::tags::names;

/// Standing, presence and occupancy in a room. Joining and leaving are events of the log and shown as such.
pub(crate) async fn occupant(s: &mut Session, change: &OccupantChange) {
    let id = change.convo.id();
    let Some(inside) = s.me().rooms.get(&id) else {
        return;
    };
    let channel = inside.channel.clone();
    let own = change.who == s.me().account;
    match change.kind {
        OccupantKind::Standing => {
            let Some(before) = &change.before else { return };
            let nick = s.server.names.nick(&change.who);
            let changes = modes::rank_changes(before, &change.convo, &change.who, &nick);
            let source = match &change.by {
                Some(by) => s.server.names.mask(by),
                None => s.server.name.clone(),
            };
            mode_lines(s, &source, &channel, &changes, None);
        }
        OccupantKind::Entered | OccupantKind::Updated | OccupantKind::Absent if !own => {
            away(s, change);
        }
        OccupantKind::Destroyed if own => {
            s.me_mut().rooms.remove(&id);
            let text = match (&change.reason, &change.by) {
                (Some(reason), _) => format!("This room is gone: {reason}"),
                (None, Some(place)) => {
                    format!(
                        "This room is gone; people meet in {}",
                        s.server.names.channel(place)
                    )
                }
                (None, None) => "This room is gone".to_owned(),
            };
            let nick = s.me().nick.clone();
            let line = s
                .server_line("KICK")
                .param(channel)
                .param(nick)
                .trailing(text);
            s.emit_line(line);
        }
        _ => {}
    }
    // Who is in a room with someone sees when they are here, contact or not.
    if !own {
        crate::commands::monitor::presence(s, &change.who).await;
    }
}

/// away-notify.
fn away(s: &mut Session, change: &OccupantChange) {
    if !s.has(Cap::AwayNotify) {
        return;
    }
    let away = away_of(change);
    let told = s.me().told_away.get(&change.who).copied();
    // Not told anything yet: they are taken to be here.
    if told.unwrap_or(change.kind == OccupantKind::Entered) == away.is_some() {
        return;
    }
    let known = &mut s.me_mut().told_away;
    if known.len() > 20_000 {
        known.clear();
    }
    known.insert(change.who.clone(), away.is_some());
    let line = Line::new(s.server.names.mask(&change.who)).cmd("AWAY");
    s.emit_line(match away {
        Some(text) => line.trailing(text),
        None => line,
    });
}

/// Why someone is not attentive in a room; `None` where a session of theirs is.
fn away_of(change: &OccupantChange) -> Option<String> {
    let here = change.sessions.iter().any(|(_, p)| p.show > Show::Away);
    if here {
        return None;
    }
    let said = change.sessions.iter().find_map(|(_, p)| p.status.clone());
    Some(said.unwrap_or_else(|| "away".into()))
}

/// Someone writes, pauses or is done.
pub(crate) fn typing(s: &mut Session, convo: &Arc<Convo>, who: &Address, typing: Typing) {
    if !s.has(Cap::MessageTags) {
        return;
    }
    let target = match convo.conversation.room() {
        Some(_) => match s.me().rooms.get(&convo.id()) {
            Some(inside) => inside.channel.clone(),
            None => return,
        },
        None => s.me().nick.clone(),
    };
    let word = match typing {
        Typing::Active => "active",
        Typing::Paused => "paused",
        Typing::Done => "done",
    };
    let line = Line::new(s.server.names.mask(who))
        .tag(names::TYPING, word)
        .cmd("TAGMSG")
        .param(target);
    s.emit_line(line);
}
