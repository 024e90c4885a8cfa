//! METADATA before registration (`before-connect`): what is subscribed to counts at once, what is set once it is known
//! who comes in.

use super::{MAX_KEYS, MAX_SUBS, MAX_VALUE, keep, line_of, subscriptions, valid_key};
use crate::session::Session;
use crate::wire::standard::codes;
use crate::wire::{Message, casemap};

pub(super) fn handle(s: &mut Session, m: &Message<'_>) {
    let target = m.text(0).unwrap_or("").to_owned();
    let sub = m.text(1).unwrap_or("").to_ascii_uppercase();
    let keys: Vec<String> = m.words(2).take(MAX_SUBS + 1).map(str::to_owned).collect();
    // What the keys say comes with the rooms.
    if subscriptions(s, &sub, &keys).is_some() {
        return;
    }
    if target != "*" && !casemap::same(&target, s.nick()) {
        let (code, text) = (codes::INVALID_TARGET, "Nobody else before you are in");
        return s.fail("METADATA", code, &[&target], text);
    }
    let (Some(key), "SET") = (m.text(2), sub.as_str()) else {
        let text = "Only SET and SUB before you are in";
        return s.fail("METADATA", "SUBCOMMAND_INVALID", &[&sub], text);
    };
    let value = m.text(3).filter(|v| !v.is_empty()).map(str::to_owned);
    if !valid_key(key) {
        return s.fail("METADATA", codes::KEY_INVALID, &[key], "Invalid key");
    }
    if value.as_ref().is_some_and(|v| v.len() > MAX_VALUE) {
        let text = "The value is too long";
        return s.fail("METADATA", codes::VALUE_INVALID, &[], text);
    }
    let early = &mut s.registration.metadata;
    early.retain(|(k, _)| k != key);
    if early.len() >= MAX_KEYS {
        let text = "There are too many keys";
        return s.fail("METADATA", codes::LIMIT_REACHED, &[&target], text);
    }
    early.push((key.to_owned(), value.clone()));
    let line = line_of(s, &target, key, value.as_deref());
    s.reply(line);
}

/// Does what was set before; who has come in learns of what was refused.
pub(crate) async fn settle(s: &mut Session) {
    for (key, value) in std::mem::take(&mut s.registration.metadata) {
        let (me, taken_away) = (s.account(), value.is_none());
        match keep::put(s, me, key.clone(), value).await {
            // What was not there is gone as asked.
            Ok(()) => {}
            Err(sammen_core::Refusal::NotFound) if taken_away => {}
            Err(refusal) => {
                let text = refusal.to_string();
                s.fail("METADATA", codes::KEY_NO_PERMISSION, &["*", &key], &text);
            }
        }
    }
}
