//! SETNAME: the name that people read, on every protocol.

use std::collections::HashSet;
use std::sync::Arc;

use sammen_core::live::StateChange;
use sammen_core::{Address, Outcome, Protocol, SessionId, ops};

use crate::session::Session;
use crate::wire::caps::Cap;
use crate::wire::standard::codes;
use crate::wire::{Line, Message};

/// Somebody has another name.
pub(crate) struct Change {
    pub who: Address,
    pub name: String,
    /// The name, where one was given.
    key: Option<String>,
    by: SessionId,
}

/// The key of draft/metadata-2 that is the same thing.
pub(crate) const DISPLAY_NAME: &str = "display-name";

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let name = m.last_text().unwrap_or("").trim();
    if !is_name(name) {
        let text = "A name has 1 to 128 bytes";
        return s.fail("SETNAME", codes::INVALID_REALNAME, &[], text);
    }
    if s.pace(1).is_err() {
        let (code, text) = (codes::CANNOT_CHANGE_REALNAME, "Too many changes; try later");
        return s.fail("SETNAME", code, &[], text);
    }
    match set(s, Some(name.to_owned())).await {
        Ok(()) => s.answer_with_events().await,
        Err(refusal) => {
            let text = refusal.to_string();
            s.fail("SETNAME", codes::CANNOT_CHANGE_REALNAME, &[], &text);
        }
    }
}

/// Whether people can be called so.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Gives the account another name, or none of its own; whoever shares a room with it or monitors it is told.
pub(crate) async fn set(s: &Session, name: Option<String>) -> Outcome<()> {
    let me = s.account();
    let shown = name.clone().unwrap_or_else(|| s.me().nick.clone());
    let change = Arc::new(StateChange::Custom {
        key: "setname".into(),
        protocol: Protocol::Irc,
        payload: Arc::new(Change {
            who: me.clone(),
            name: shown,
            key: name.clone(),
            by: s.id(),
        }),
    });
    let rooms: Vec<_> = s.me().rooms.keys().copied().collect();
    let watchers = s.server.watchers.read().get(&me).cloned();
    let written = s.server.node.write(move |tx| {
        ops::accounts::change(tx, &me, |a| a.display_name = name)?;
        tx.after(move |live| {
            let mut told = HashSet::new();
            let people = rooms
                .iter()
                .filter_map(|id| live.room(*id))
                .flat_map(|r| r.sessions.iter())
                .chain(live.sessions_of(&me))
                .filter(|session| session.protocol == Protocol::Irc)
                .map(|session| session.id);
            for session in people.chain(watchers.into_iter().flatten()) {
                if told.insert(session) {
                    live.tell_session(session, &change);
                }
            }
        });
        Ok(())
    });
    written.await
}

pub(crate) fn told(s: &mut Session, change: &Change) {
    let shared = change.who == s.me().account || s.shares_a_room(&change.who);
    if !shared && !super::monitor::follows(s, &change.who) {
        return;
    }
    let mask = s.server.names.mask(&change.who);
    if s.has(Cap::Setname) {
        let line = Line::new(&mask).cmd("SETNAME").trailing(&change.name);
        s.emit_line(line);
    }
    // METADATA is not told to the one who changed it: their answer says it.
    if change.by != s.id() {
        let metadata = super::metadata::Change {
            of: change.who.clone(),
            key: DISPLAY_NAME.to_owned(),
            value: change.key.clone(),
            by: change.who.clone(),
        };
        super::metadata::told(s, &metadata);
    }
}
