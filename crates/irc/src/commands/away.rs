//! AWAY: presence, in all rooms of this session; before registration with draft/pre-away.

use sammen_core::ops;

use crate::replay::presence;
use crate::session::Session;
use crate::wire::{Message, Numeric};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let text = m
        .text(0)
        .filter(|t| !t.is_empty())
        .map(|t| super::join::clip(t, 300));
    // draft/pre-away: `*` is a client that nobody sits at.
    let text = text.map(|t| if t == "*" { "not here".to_owned() } else { t });
    if s.me.is_none() {
        s.registration.away.clone_from(&text);
        return answer(s, text.is_some());
    }
    if s.pace(1).is_err() {
        // 263 RPL_TRYAGAIN: it would be told to everyone around.
        return s.numeric(Numeric(263), &["AWAY"], "Too often; try later");
    }
    s.me_mut().away.clone_from(&text);
    let (me, id) = (s.account(), s.id());
    let shown = presence(text.as_deref());
    let rooms: Vec<_> = s.me().rooms.keys().copied().collect();
    let written = s.server.node.write(move |tx| {
        ops::presence::set(tx, id, &me, shown.clone())?;
        for room in rooms {
            // One that was left meanwhile is none.
            let _ = ops::rooms::enter(tx, id, &me, room, shown.clone());
        }
        Ok(())
    });
    match written.await {
        Ok(()) => answer(s, text.is_some()),
        Err(refusal) => s.numeric(Numeric::ERR_UNKNOWNERROR, &["AWAY"], &refusal.to_string()),
    }
}

fn answer(s: &mut Session, away: bool) {
    if away {
        let text = "You have been marked as being away";
        s.numeric(Numeric::RPL_NOWAWAY, &[], text);
    } else {
        let text = "You are no longer marked as being away";
        s.numeric(Numeric::RPL_UNAWAY, &[], text);
    }
}
