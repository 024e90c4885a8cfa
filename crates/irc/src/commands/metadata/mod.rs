//! draft/metadata-2: keys and values about people and rooms, kept as documents.

use sammen_core::Address;

use crate::session::Session;
use crate::wire::caps::Cap;
use crate::wire::standard::codes;
use crate::wire::{Line, Message, Numeric, casemap};

mod early;
mod keep;
mod sync;

pub(crate) use early::settle;
pub(crate) use sync::{came, entered};

/// Keys that one session may subscribe to.
pub(crate) const MAX_SUBS: usize = 50;
/// Keys that one person or room may have.
pub(crate) const MAX_KEYS: usize = 50;
/// Bytes of a value.
pub(crate) const MAX_VALUE: usize = 300;

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
    if s.me.is_none() {
        return early::handle(s, m);
    }
    let target = m.text(0).unwrap_or("").to_owned();
    let sub = m.text(1).unwrap_or("").to_ascii_uppercase();
    // One more than may be subscribed to: the one that is refused has a name.
    let keys: Vec<String> = m.words(2).take(MAX_SUBS + 1).map(str::to_owned).collect();
    if let Some(new) = subscriptions(s, &sub, &keys) {
        return sync::subscribed(s, &new).await;
    }
    let Some(of) = find(s, &target) else {
        let (code, text) = (codes::INVALID_TARGET, "No such target");
        return s.fail("METADATA", code, &[&target], text);
    };
    match sub.as_str() {
        "GET" => {
            let all = keep::read(s, vec![of]).await;
            let value = |k: &String| {
                let found = all.iter().find(|(_, key, _)| key == k);
                found.map(|(_, _, v)| v.clone())
            };
            let values: Vec<_> = keys.iter().map(|k| (k.clone(), value(k))).collect();
            show(s, &target, values);
        }
        "LIST" => {
            let all = keep::read(s, vec![of]).await;
            show(
                s,
                &target,
                all.into_iter().map(|(_, k, v)| (k, Some(v))).collect(),
            );
        }
        "SYNC" => sync::asked(s, &target, of).await,
        "SET" => {
            let Some(key) = m.text(2).map(str::to_owned) else {
                let text = "Not enough parameters";
                return s.fail("METADATA", codes::NEED_MORE_PARAMS, &[], text);
            };
            let value = m.text(3).filter(|v| !v.is_empty()).map(str::to_owned);
            keep::set(s, &target, of, key, value).await;
        }
        "CLEAR" => keep::clear(s, &target, of).await,
        _ => {
            let text = "Unknown subcommand";
            s.fail("METADATA", "SUBCOMMAND_INVALID", &[&sub], text);
        }
    }
}

/// SUB, UNSUB, SUBS: what this session wants to hear of. Returns the keys that are new; `None` for other subcommands.
fn subscriptions(s: &mut Session, sub: &str, keys: &[String]) -> Option<Vec<String>> {
    match sub {
        "SUB" => return Some(subscribe(s, keys)),
        "UNSUB" => {
            let (good, bad): (Vec<_>, _) = keys.iter().cloned().partition(|k| valid_key(k));
            s.registration.subscribed.retain(|k| !good.contains(k));
            words(s, Numeric::RPL_METADATAUNSUBOK, &good);
            for key in bad {
                s.fail("METADATA", codes::KEY_INVALID, &[&key], "Invalid key");
            }
        }
        "SUBS" => {
            let subscribed = s.registration.subscribed.clone();
            words(s, Numeric::RPL_METADATASUBS, &subscribed);
        }
        _ => return None,
    }
    Some(Vec::new())
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

/// Opens a `metadata` batch, for clients that know batches.
fn batch(s: &mut Session, target: &str) -> Option<String> {
    let batch = s.has(Cap::Batch).then(|| s.batch_ref())?;
    let line = s.server_line("BATCH").param(format!("+{batch}"));
    s.reply(line.param("metadata").param(target));
    Some(batch)
}

fn end(s: &mut Session, batch: Option<String>) {
    if let Some(batch) = batch {
        let line = s.server_line("BATCH").param(format!("-{batch}"));
        s.reply(line);
    }
}

fn inside(line: Line, batch: &Option<String>) -> Line {
    match batch {
        Some(batch) => line.tag("batch", batch),
        None => line,
    }
}

fn show(s: &mut Session, target: &str, values: Vec<(String, Option<String>)>) {
    let batch = batch(s, target);
    for (key, value) in values {
        let line = if valid_key(&key) {
            line_of(s, target, &key, value.as_deref())
        } else {
            s.server_line("FAIL")
                .param("METADATA")
                .param(codes::KEY_INVALID)
                .param(&key)
                .trailing("Invalid key")
        };
        s.reply(inside(line, &batch));
    }
    end(s, batch);
}

/// 761 or 766.
fn line_of(s: &Session, target: &str, key: &str, value: Option<&str>) -> Line {
    match value {
        Some(value) => s
            .numeric_line(Numeric::RPL_KEYVALUE, &[target, key, "*"])
            .trailing(value),
        None => s
            .numeric_line(Numeric::RPL_KEYNOTSET, &[target, key])
            .trailing("key not set"),
    }
}

/// The account's own keys, as a client gets them when it comes in.
pub(crate) async fn own(s: &mut Session) {
    if !s.has(Cap::Metadata2) {
        return;
    }
    let (me, nick) = (s.account(), s.me().nick.clone());
    let all = keep::read(s, vec![me]).await;
    let batch = batch(s, &nick);
    for (of, key, value) in all {
        let line = metadata_line(s, &of, &key, Some(&value), &s.server.name);
        s.reply(inside(line, &batch));
    }
    end(s, batch);
}

fn metadata_line(s: &Session, of: &Address, key: &str, value: Option<&str>, source: &str) -> Line {
    let names = &s.server.names;
    let target = if of.is_room() {
        names.channel(of)
    } else {
        names.nick(of)
    };
    let line = Line::new(source).cmd("METADATA").param(target);
    let line = line.param(key).param("*");
    match value {
        Some(value) => line.trailing(value),
        None => line,
    }
}

fn subscribe(s: &mut Session, keys: &[String]) -> Vec<String> {
    let (mut taken, mut new) = (Vec::new(), Vec::new());
    for key in keys {
        if !valid_key(key) {
            s.fail("METADATA", codes::KEY_INVALID, &[key], "Invalid key");
            continue;
        }
        if s.registration.subscribed.len() >= MAX_SUBS {
            let text = "Too many subscriptions";
            s.fail("METADATA", codes::TOO_MANY_SUBS, &[key], text);
            break;
        }
        if !s.registration.subscribed.contains(key) {
            s.registration.subscribed.push(key.clone());
            new.push(key.clone());
        }
        taken.push(key.clone());
    }
    words(s, Numeric::RPL_METADATASUBOK, &taken);
    new
}

/// Whether the session may change or ask for something more; else it is told when.
fn paced(s: &mut Session, target: &str, key: &str) -> bool {
    let Err(seconds) = s.pace(1) else {
        return true;
    };
    let (code, text) = (codes::RATE_LIMITED, "Too many changes; try later");
    let seconds = seconds.to_string();
    s.fail("METADATA", code, &[target, key, &seconds], text);
    false
}

fn words(s: &mut Session, numeric: Numeric, words: &[String]) {
    // Five of the longest keys fit into a line.
    for some in words.chunks(5) {
        let middle: Vec<&str> = some.iter().map(String::as_str).collect();
        s.numeric_bare(numeric, &middle);
    }
}

pub(crate) fn told(s: &mut Session, change: &Change) {
    if !s.has(Cap::Metadata2) || !s.registration.subscribed.contains(&change.key) {
        return;
    }
    let me = &s.me().account;
    let shared = change.of == *me || change.of.is_room() || s.shares_a_room(&change.of);
    if !shared && !super::monitor::follows(s, &change.of) {
        return;
    }
    let source = s.server.names.mask(&change.by);
    let line = metadata_line(s, &change.of, &change.key, change.value.as_deref(), &source);
    s.emit_line(line);
}
