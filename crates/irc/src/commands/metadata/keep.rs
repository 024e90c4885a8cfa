//! Where metadata is kept: documents of the account or room; `display-name` is the name that all protocols show.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use sammen_core::document::Owner;
use sammen_core::live::StateChange;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, Outcome, Protocol, Refusal, ops, permission};

use super::{Change, MAX_KEYS, MAX_VALUE, line_of, paced, show, valid_key};
use crate::commands::setname::{self, DISPLAY_NAME};
use crate::session::Session;
use crate::wire::standard::codes;

/// The shelf (owner: the account or room).
const SHELF: &str = "irc-metadata";

/// Keys and values of people and rooms.
pub(super) async fn read(s: &Session, whose: Vec<Address>) -> Vec<(Address, String, String)> {
    let read = s.server.node.read(move |node| {
        let mut out = Vec::new();
        for of in whose {
            let name = if of.is_room() {
                let convo = node.room(&of)?;
                convo.and_then(|c| c.conversation.settings.name.clone())
            } else {
                node.account(&of)?.and_then(|a| a.display_name.clone())
            };
            if let Some(name) = name {
                let name = crate::translate::out::one_line(&name);
                out.push((of.clone(), DISPLAY_NAME.to_owned(), name));
            }
            let owner: Owner = (&of).into();
            let found = node.store().documents(&owner, SHELF, "", None, MAX_KEYS)?;
            let texts = found.into_iter().filter_map(|d| {
                let value = String::from_utf8(d.value?.to_vec()).ok()?;
                Some((of.clone(), d.key, value))
            });
            out.extend(texts.filter(|(_, key, _)| key != DISPLAY_NAME));
        }
        Ok(out)
    });
    read.await.unwrap_or_default()
}

/// SET, with its answer.
pub(super) async fn set(
    s: &mut Session,
    target: &str,
    of: Address,
    key: String,
    value: Option<String>,
) {
    if !valid_key(&key) {
        return s.fail("METADATA", codes::KEY_INVALID, &[&key], "Invalid key");
    }
    if value.as_ref().is_some_and(|v| v.len() > MAX_VALUE) {
        let text = "The value is too long";
        return s.fail("METADATA", codes::VALUE_INVALID, &[], text);
    }
    if !paced(s, target, &key) {
        return;
    }
    match put(s, of, key.clone(), value.clone()).await {
        Ok(()) => {
            let line = line_of(s, target, &key, value.as_deref());
            s.reply(line);
        }
        Err(Refusal::NotFound) => {
            let text = "key not set";
            s.fail("METADATA", codes::KEY_NOT_SET, &[target, &key], text);
        }
        Err(Refusal::TooMany) => {
            let text = "There are too many keys";
            s.fail("METADATA", codes::LIMIT_REACHED, &[target], text);
        }
        Err(refusal) => {
            let text = refusal.to_string();
            s.fail("METADATA", codes::KEY_NO_PERMISSION, &[target, &key], &text);
        }
    }
}

/// CLEAR: every key goes, in one batch.
pub(super) async fn clear(s: &mut Session, target: &str, of: Address) {
    if !paced(s, target, "*") {
        return;
    }
    let mut gone = Vec::new();
    for (_, key, _) in read(s, vec![of.clone()]).await {
        match put(s, of.clone(), key.clone(), None).await {
            Ok(()) => gone.push((key, None)),
            // Another session was faster.
            Err(Refusal::NotFound) => {}
            Err(refusal) => {
                let (code, text) = (codes::KEY_NO_PERMISSION, refusal.to_string());
                return s.fail("METADATA", code, &[target, "*"], &text);
            }
        }
    }
    show(s, target, gone);
}

/// Writes a key, and tells it to whoever hears of it.
pub(super) async fn put(
    s: &Session,
    of: Address,
    key: String,
    value: Option<String>,
) -> Outcome<()> {
    let me = s.account();
    if of == me && key == DISPLAY_NAME {
        if value.as_deref().is_some_and(|v| !setname::is_name(v)) {
            return Err(Refusal::Forbidden("a name has 1 to 128 bytes"));
        }
        return setname::set(s, value).await;
    }
    let change = Arc::new(StateChange::Custom {
        key: String::new(),
        protocol: Protocol::Irc,
        payload: Arc::new(Change {
            of: of.clone(),
            key: key.clone(),
            value: value.clone(),
            by: me.clone(),
        }),
    });
    let (by, own, origin) = (s.principal(), s.id(), s.origin());
    let rooms: Vec<_> = s.me().rooms.keys().copied().collect();
    let watchers = s.server.watchers.read().get(&of).cloned();
    let written = s.server.node.write(move |tx| -> Outcome<()> {
        let room = if of.is_room() {
            let convo = tx.room(&of)?;
            permission::may_configure(&convo, &by, false)?;
            Some(convo.id())
        } else if of == me {
            None
        } else {
            return Err(Refusal::Forbidden("only the person sets that"));
        };
        match room.filter(|_| key == DISPLAY_NAME) {
            Some(room) => {
                let name = value.clone();
                let rename = |settings: &mut sammen_core::Settings| {
                    settings.name = name;
                    Ok(())
                };
                ops::rooms::configure(tx, &by, room, rename, &origin)?;
            }
            None => keep(tx, &(&of).into(), &key, value)?,
        }
        if room.is_some() && key == DISPLAY_NAME {
            // The room's change tells it.
            return Ok(());
        }
        tx.after(move |live| {
            let ids: Vec<_> = room.map_or(rooms, |r| vec![r]);
            let mut told = HashSet::from([own]);
            let people = ids
                .iter()
                .filter_map(|id| live.room(*id))
                .flat_map(|r| r.sessions.iter())
                .chain(live.sessions_of(&of))
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

fn keep(tx: &mut Tx<'_>, shelf: &Owner, key: &str, value: Option<String>) -> Outcome<()> {
    let there = tx.document(shelf, SHELF, key)?;
    let there = there.is_some_and(|d| d.value.is_some());
    if value.is_none() && !there {
        return Err(Refusal::NotFound);
    }
    if value.is_some() && !there && tx.documents(shelf, SHELF, MAX_KEYS)?.len() >= MAX_KEYS {
        return Err(Refusal::TooMany);
    }
    let bytes = value.map(|v| Bytes::from(v.into_bytes()));
    tx.put_document(shelf, SHELF, key, Expect::Anything, bytes)?;
    Ok(())
}
