//! draft/metadata-2: keys and values about people and rooms, kept as documents.

use std::sync::Arc;

use bytes::Bytes;
use sammen_core::document::Owner;
use sammen_core::live::StateChange;
use sammen_core::permission;
use sammen_core::tx::Expect;
use sammen_core::{Address, Outcome, Protocol, Refusal};

use crate::session::Session;
use crate::wire::caps::Cap;
use crate::wire::standard::codes;
use crate::wire::{Line, Message, Numeric, casemap};

/// Keys that one session may subscribe to.
pub(crate) const MAX_SUBS: usize = 50;
/// Keys that one person or room may have.
pub(crate) const MAX_KEYS: usize = 50;
/// Bytes of a value.
const MAX_VALUE: usize = 300;
/// The shelf (owner: the account or room).
const SHELF: &str = "irc-metadata";

/// Somebody's or some room's key changed.
pub(crate) struct Change {
    pub of: Address,
    pub key: String,
    pub value: Option<String>,
    pub by: Address,
}

fn valid_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 64
        && key
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_./-".contains(&b))
}

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let target = m.text(0).unwrap_or("").to_owned();
    let sub = m.text(1).unwrap_or("").to_ascii_uppercase();
    let keys: Vec<String> = m.words(2).take(MAX_SUBS).map(str::to_owned).collect();
    match sub.as_str() {
        "SUB" => return subscribe(s, &keys),
        "UNSUB" => {
            s.me_mut().subscribed.retain(|k| !keys.contains(k));
            return words(s, Numeric::RPL_METADATAUNSUBOK, &keys);
        }
        "SUBS" => {
            let subscribed = s.me().subscribed.clone();
            return words(s, Numeric::RPL_METADATASUBS, &subscribed);
        }
        _ => {}
    }
    let Some(of) = find(s, &target) else {
        return s.fail(
            "METADATA",
            codes::INVALID_TARGET,
            &[&target],
            "No such target",
        );
    };
    match sub.as_str() {
        "GET" => {
            let all = read(s, &of).await;
            let values = keys.into_iter().map(|k| {
                let value = all
                    .iter()
                    .find(|(key, _)| *key == k)
                    .map(|(_, v)| v.clone());
                (k, value)
            });
            let values: Vec<_> = values.collect();
            show(s, &target, values);
        }
        "LIST" | "SYNC" => {
            let all = read(s, &of).await;
            let subscribed = s.me().subscribed.clone();
            let wanted = all
                .into_iter()
                .filter(|(k, _)| sub == "LIST" || subscribed.contains(k));
            let values = wanted.map(|(k, v)| (k, Some(v))).collect();
            show(s, &target, values);
        }
        "SET" => {
            let Some(key) = m.text(2).map(str::to_owned) else {
                let text = "Not enough parameters";
                return s.fail("METADATA", codes::NEED_MORE_PARAMS, &[], text);
            };
            let value = m.text(3).filter(|v| !v.is_empty()).map(str::to_owned);
            set(s, &target, of, key, value).await;
        }
        "CLEAR" => {
            for (key, _) in read(s, &of).await {
                set(s, &target, of.clone(), key, None).await;
            }
        }
        _ => {
            let text = "Unknown subcommand";
            s.fail("METADATA", "SUBCOMMAND_INVALID", &[&sub], text);
        }
    }
}

fn find(s: &Session, target: &str) -> Option<Address> {
    if target == "*" || casemap::same(target, &s.me().nick) {
        return Some(s.account());
    }
    if target.starts_with('#') {
        let convo = s.visible_room(target)?;
        return convo.conversation.room().cloned();
    }
    s.server.names.person(target).filter(|w| s.may_see(w))
}

async fn read(s: &Session, of: &Address) -> Vec<(String, String)> {
    let owner: Owner = of.into();
    let read = s.server.node.read(move |node| {
        let found = node.store().documents(&owner, SHELF, "", None, MAX_KEYS)?;
        Ok(found
            .into_iter()
            .filter_map(|d| Some((d.key, String::from_utf8(d.value?.to_vec()).ok()?)))
            .collect())
    });
    read.await.unwrap_or_default()
}

fn show(s: &mut Session, target: &str, values: Vec<(String, Option<String>)>) {
    let batch = s.has(Cap::Batch).then(|| s.batch_ref());
    if let Some(batch) = &batch {
        let line = s
            .server_line("BATCH")
            .param(format!("+{batch}"))
            .param("metadata")
            .param(target);
        s.reply(line);
    }
    for (key, value) in values {
        let line = if !valid_key(&key) {
            s.server_line("FAIL")
                .param("METADATA")
                .param(codes::KEY_INVALID)
                .param(&key)
                .trailing("Invalid key")
        } else {
            match value {
                Some(value) => s
                    .numeric_line(Numeric::RPL_KEYVALUE, &[target, &key, "*"])
                    .trailing(value),
                None => s
                    .numeric_line(Numeric::RPL_KEYNOTSET, &[target, &key])
                    .trailing("key not set"),
            }
        };
        let line = match &batch {
            Some(batch) => line.tag("batch", batch),
            None => line,
        };
        s.reply(line);
    }
    if let Some(batch) = batch {
        let line = s.server_line("BATCH").param(format!("-{batch}"));
        s.reply(line);
    }
}

fn subscribe(s: &mut Session, keys: &[String]) {
    let mut new = Vec::new();
    for key in keys {
        if !valid_key(key) {
            s.fail("METADATA", codes::KEY_INVALID, &[key], "Invalid key");
            continue;
        }
        if s.me().subscribed.len() >= MAX_SUBS {
            s.fail(
                "METADATA",
                codes::TOO_MANY_SUBS,
                &[key],
                "Too many subscriptions",
            );
            break;
        }
        if !s.me().subscribed.contains(key) {
            s.me_mut().subscribed.push(key.clone());
        }
        new.push(key.clone());
    }
    words(s, Numeric::RPL_METADATASUBOK, &new);
}

fn words(s: &mut Session, numeric: Numeric, words: &[String]) {
    for some in words.chunks(10) {
        let middle: Vec<&str> = some.iter().map(String::as_str).collect();
        s.numeric_bare(numeric, &middle);
    }
}

async fn set(s: &mut Session, target: &str, of: Address, key: String, value: Option<String>) {
    if !valid_key(&key) {
        return s.fail("METADATA", codes::KEY_INVALID, &[&key], "Invalid key");
    }
    if value.as_ref().is_some_and(|v| v.len() > MAX_VALUE) {
        let text = "The value is too long";
        return s.fail("METADATA", codes::VALUE_INVALID, &[], text);
    }
    let me = s.account();
    let by = s.principal();
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
    let (stored, owner, name) = (value.clone(), of.clone(), key.clone());
    let own = s.id();
    let rooms: Vec<_> = s.me().rooms.keys().copied().collect();
    let written = s.server.node.write(move |tx| -> Outcome<()> {
        let room = if owner.is_room() {
            let convo = tx.room(&owner)?;
            permission::may_configure(&convo, &by, false)?;
            Some(convo.id())
        } else if owner == me {
            None
        } else {
            return Err(Refusal::Forbidden("only the person sets that"));
        };
        let shelf: Owner = (&owner).into();
        let there = tx
            .document(&shelf, SHELF, &name)?
            .is_some_and(|d| d.value.is_some());
        if stored.is_none() && !there {
            return Err(Refusal::NotFound);
        }
        let bytes = stored.map(|v| Bytes::from(v.into_bytes()));
        tx.put_document(&shelf, SHELF, &name, Expect::Anything, bytes)?;
        tx.after(move |live| {
            let ids: Vec<_> = room.map_or(rooms, |r| vec![r]);
            let mut told = vec![own];
            for session in ids
                .iter()
                .filter_map(|id| live.room(*id))
                .flat_map(|r| r.sessions.iter())
                .chain(live.sessions_of(&owner))
            {
                if session.protocol == Protocol::Irc && !told.contains(&session.id) {
                    told.push(session.id);
                    live.tell_session(session.id, &change);
                }
            }
        });
        Ok(())
    });
    match written.await {
        Ok(()) => {
            let line = match &value {
                Some(value) => s
                    .numeric_line(Numeric::RPL_KEYVALUE, &[target, &key, "*"])
                    .trailing(value),
                None => s
                    .numeric_line(Numeric::RPL_KEYNOTSET, &[target, &key])
                    .trailing("key not set"),
            };
            s.reply(line);
        }
        Err(Refusal::NotFound) => s.fail(
            "METADATA",
            codes::KEY_NOT_SET,
            &[target, &key],
            "key not set",
        ),
        Err(refusal) => {
            let text = refusal.to_string();
            s.fail("METADATA", codes::KEY_NO_PERMISSION, &[target, &key], &text);
        }
    }
}

pub(crate) fn told(s: &mut Session, change: &Change) {
    if !s.has(Cap::Metadata2) || !s.me().subscribed.contains(&change.key) {
        return;
    }
    let names = &s.server.names;
    let target = if change.of.is_room() {
        names.channel(&change.of)
    } else {
        names.nick(&change.of)
    };
    let line = Line::new(names.mask(&change.by))
        .cmd("METADATA")
        .param(target)
        .param(&change.key)
        .param("*");
    s.emit_line(match &change.value {
        Some(value) => line.trailing(value),
        None => line,
    });
}
