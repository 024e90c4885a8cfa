//! SETNAME: the name that people read, on every protocol.

use std::sync::Arc;

use sammen_core::live::StateChange;
use sammen_core::{Address, Protocol, ops};

use crate::session::Session;
use crate::wire::caps::Cap;
use crate::wire::standard::codes;
use crate::wire::{Line, Message};

/// Somebody has another name.
pub(crate) struct Change {
    pub who: Address,
    pub name: String,
}

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let name = m.last_text().unwrap_or("").trim();
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        let text = "A name has 1 to 128 bytes";
        return s.fail("SETNAME", codes::INVALID_REALNAME, &[], text);
    }
    let (me, name) = (s.account(), name.to_owned());
    let change = Arc::new(StateChange::Custom {
        key: "setname".into(),
        protocol: Protocol::Irc,
        payload: Arc::new(Change {
            who: me.clone(),
            name: name.clone(),
        }),
    });
    let rooms: Vec<_> = s.me().rooms.keys().copied().collect();
    let written = s.server.node.write(move |tx| {
        ops::accounts::change(tx, &me, |a| a.display_name = Some(name))?;
        tx.after(move |live| {
            let mut told = Vec::new();
            let people = rooms
                .iter()
                .filter_map(|id| live.room(*id))
                .flat_map(|r| r.sessions.iter().cloned())
                .chain(live.sessions_of(&me).iter().cloned());
            for session in people {
                if session.protocol == Protocol::Irc && !told.contains(&session.account) {
                    live.tell_account(&session.account, &change);
                    told.push(session.account.clone());
                }
            }
        });
        Ok(())
    });
    match written.await {
        Ok(()) => s.answer_with_events().await,
        Err(refusal) => {
            s.fail(
                "SETNAME",
                codes::CANNOT_CHANGE_REALNAME,
                &[],
                &refusal.to_string(),
            );
        }
    }
}

pub(crate) fn told(s: &mut Session, change: &Change) {
    if s.has(Cap::Setname) {
        let line = Line::new(s.server.names.mask(&change.who))
            .cmd("SETNAME")
            .trailing(&change.name);
        s.emit_line(line);
    }
}
