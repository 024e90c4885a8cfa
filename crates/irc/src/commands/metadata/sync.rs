//! What is subscribed of someone, or of a room and the people in it: when it is asked for, and when it comes into sight.

use std::sync::Arc;

use sammen_core::{Address, Convo};

use super::{batch, end, inside, keep, metadata_line};
use crate::session::Session;
use crate::wire::Numeric;
use crate::wire::caps::Cap;

/// People whose keys are told without being asked for.
const UNASKED: usize = 200;
/// People of a room whose keys one SYNC tells.
const MOST: usize = 5000;
/// People that cost as much as one change.
const CHEAP: usize = 50;
/// Seconds until a room that was not told is asked for.
const LATER: &str = "4";

/// METADATA SYNC.
pub(super) async fn asked(s: &mut Session, target: &str, of: Address) {
    let mut whose = vec![of.clone()];
    if of.is_room()
        && let Some(convo) = s.visible_room(target)
        && convo.has(&s.me().account)
    {
        whose.extend(people(&convo).take(MOST));
    }
    let cost = u32::try_from(1 + whose.len() / CHEAP).unwrap_or(u32::MAX);
    if let Err(seconds) = s.pace(cost) {
        return later(s, target, &seconds.to_string());
    }
    let keys = s.registration.subscribed.clone();
    tell(s, target, whose, &keys, true).await;
}

fn people(convo: &Convo) -> impl Iterator<Item = Address> {
    convo.joined().map(|m| m.address.clone())
}

fn later(s: &mut Session, target: &str, seconds: &str) {
    s.numeric_bare(Numeric::RPL_METADATASYNCLATER, &[target, seconds]);
}

/// Whether the session hears of keys at all.
fn listens(s: &Session) -> bool {
    s.has(Cap::Metadata2) && !s.registration.subscribed.is_empty()
}

/// A room that the session has come into.
pub(crate) async fn entered(s: &mut Session, convo: &Arc<Convo>) {
    if listens(s) {
        let keys = s.registration.subscribed.clone();
        room(s, convo, &keys).await;
    }
}

async fn room(s: &mut Session, convo: &Arc<Convo>, keys: &[String]) {
    let Some(of) = convo.conversation.room() else {
        return;
    };
    let channel = s.server.names.channel(of);
    let mut whose = vec![of.clone()];
    whose.extend(people(convo).take(UNASKED + 1));
    if whose.len() > UNASKED {
        return later(s, &channel, LATER);
    }
    tell(s, &channel, whose, keys, false).await;
}

/// Someone of the MONITOR list is here.
pub(crate) async fn came(s: &mut Session, who: &Address) {
    if listens(s) && super::super::monitor::follows(s, who) {
        let (keys, nick) = (s.registration.subscribed.clone(), s.server.names.nick(who));
        tell(s, &nick, vec![who.clone()], &keys, false).await;
    }
}

/// New subscriptions: what these keys say of oneself and of the rooms that one is in.
pub(super) async fn subscribed(s: &mut Session, keys: &[String]) {
    if keys.is_empty() || !s.has(Cap::Metadata2) {
        return;
    }
    let (me, nick) = (s.account(), s.me().nick.clone());
    tell(s, &nick, vec![me], keys, false).await;
    let mut rooms: Vec<_> = s.me().rooms.keys().copied().collect();
    rooms.sort_unstable();
    let mut left = UNASKED;
    for id in rooms {
        let Ok(Some(convo)) = s.server.node.convo(id) else {
            continue;
        };
        let size = convo.joined().take(left + 1).count();
        match left.checked_sub(size) {
            Some(rest) => {
                left = rest;
                room(s, &convo, keys).await;
            }
            None => {
                if let Some(of) = convo.conversation.room() {
                    let channel = s.server.names.channel(of);
                    later(s, &channel, LATER);
                }
            }
        }
    }
}

/// A batch of METADATA lines; without any it is left out where nobody asked.
async fn tell(s: &mut Session, target: &str, whose: Vec<Address>, keys: &[String], asked: bool) {
    let mut all = keep::read(s, whose).await;
    all.retain(|(_, key, _)| keys.contains(key));
    if all.is_empty() && !asked {
        return;
    }
    let batch = batch(s, target);
    for (of, key, value) in all {
        let line = metadata_line(s, &of, &key, Some(&value), &s.server.name);
        s.reply(inside(line, &batch));
    }
    end(s, batch);
}
