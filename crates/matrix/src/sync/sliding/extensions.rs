//! Extensions: to-device messages, encryption, account data, receipts, typing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ruma::OwnedRoomId;
use ruma::api::client::sync::sync_events::DeviceLists;
use ruma::api::client::sync::sync_events::v5::request::ExtensionRoomConfig;
use ruma::api::client::sync::sync_events::v5::{self, response};
use ruma::events::room::member::MembershipState;
use sammen_core::Seq;
use sammen_core::token::Token;
use serde_json::json;

use super::super::gather::{Frame, raw};
use super::super::{room, token};
use super::Rooms;
use super::connections::Told;
use crate::account_data::{GLOBAL, PUSH_RULES, ROOM, changed};
use crate::auth::Caller;
use crate::chain::Place;
use crate::fault::Answer;
use crate::push::rules;
use crate::server::Matrix;
use crate::{keys, receipts, to_device};

/// Most to-device messages of an answer.
const TO_DEVICE: usize = 100;

/// Up to where the client has its messages; `None` for a position of before a restoration, which is worth nothing.
fn to_device_since(matrix: &Matrix, request: &v5::Request) -> Option<Seq> {
    let since = request.extensions.to_device.since.as_deref()?;
    token::known(matrix, since).map(|token| token.seq)
}

/// The client shows that it has what was told up to its token.
pub(super) async fn received(
    matrix: &Arc<Matrix>,
    who: &Caller,
    request: &v5::Request,
) -> Answer<()> {
    match to_device_since(matrix, request) {
        Some(since) => to_device::received(matrix, &who.device, since).await,
        None => Ok(()),
    }
}

/// Adds what was asked for. Says whether that is anything. Blocking.
pub(super) fn add(
    frame: &Frame<'_>,
    request: &v5::Request,
    rooms: &Rooms,
    told: &Told,
    by_list: &BTreeMap<&str, Vec<OwnedRoomId>>,
    answer: &mut v5::Response,
) -> Answer<bool> {
    let asked = &request.extensions;
    let (matrix, who) = (frame.matrix, frame.who);
    let out = &mut answer.extensions;
    let mut news = false;
    if asked.to_device.enabled == Some(true) {
        let limit = asked.to_device.limit.and_then(|n| usize::try_from(n).ok());
        let limit = limit.unwrap_or(TO_DEVICE).clamp(1, TO_DEVICE);
        let from = to_device_since(matrix, request).unwrap_or(Seq(0));
        let waiting = to_device::since(matrix, &who.device, from, frame.now.seq, limit)?;
        news |= !waiting.events.is_empty();
        let mut told = response::ToDevice::default();
        let next = Token {
            epoch: frame.now.epoch,
            seq: waiting.upto.max(from.min(frame.now.seq)),
            volatile: 0,
        };
        told.next_batch = next.encode();
        told.events = waiting.events;
        out.to_device = Some(told);
    }
    if asked.e2ee.enabled == Some(true) {
        if let Some(since) = frame.since {
            let found = keys::changed(matrix, who.address(), since, frame.now.seq)?;
            news |= !found.is_empty();
            let mut lists = DeviceLists::new();
            lists.changed = found.changed;
            lists.left = found.left;
            out.e2ee.device_lists = lists;
        }
        let counts = keys::counts(matrix, &who.device)?;
        let since = frame.since.unwrap_or(Seq(0));
        news |= counts.version > since && counts.version <= frame.now.seq;
        out.e2ee.device_one_time_keys_count = counts.one_time.clone();
        out.e2ee.device_unused_fallback_key_types = Some(counts.unused_fallback.clone());
    }
    let subscribed: BTreeSet<&OwnedRoomId> = request.room_subscriptions.keys().collect();
    let scope = |lists: Option<&Vec<String>>, named: Option<&Vec<ExtensionRoomConfig>>| {
        let mut wanted: BTreeSet<OwnedRoomId> = BTreeSet::new();
        for (name, ids) in by_list {
            if lists.is_none_or(|lists| lists.iter().any(|l| l == name || l == "*")) {
                wanted.extend(ids.iter().cloned());
            }
        }
        for id in &subscribed {
            let named = named.is_none_or(|named| {
                named.iter().any(|config| match config {
                    ExtensionRoomConfig::AllSubscribed => true,
                    ExtensionRoomConfig::Room(room) => room == *id,
                    _ => false,
                })
            });
            if named {
                wanted.insert((*id).clone());
            }
        }
        wanted
    };
    if asked.account_data.enabled == Some(true) {
        let data = &asked.account_data;
        let wanted = scope(data.lists.as_ref(), data.rooms.as_ref());
        news |= account_data(frame, rooms, told, &wanted, out)?;
    }
    if asked.receipts.enabled == Some(true) {
        let wanted = scope(asked.receipts.lists.as_ref(), asked.receipts.rooms.as_ref());
        for (id, place) in inside(rooms, &wanted) {
            let seen = told.sent.get(place.room.name()).map(|known| known.seen);
            // What an invitation told of the room were not its receipts.
            let seen = seen.filter(|seen| *seen >= place.seq);
            let read = frame.has_read(place.room.name(), place.room.conversation);
            let own = if read || seen.is_none() {
                receipts::own(matrix, who.address(), &place.room)?
            } else {
                receipts::Own::default()
            };
            let private = Some((who.user_id.as_str(), &own));
            let ignored = |user: &str| frame.ignores(user);
            let upto = frame.now.seq;
            let found = receipts::receipts(matrix, &place.room, seen, upto, private, &ignored)?;
            if let Some(content) = found
                && let Some(event) = raw(&json!({ "type": "m.receipt", "content": content }))
            {
                out.receipts.rooms.insert(id.clone(), event);
                news = true;
            }
        }
    }
    if asked.typing.enabled == Some(true) {
        let wanted = scope(asked.typing.lists.as_ref(), asked.typing.rooms.as_ref());
        for (id, place) in inside(rooms, &wanted) {
            let known = told.sent.get(place.room.name());
            let new = known.is_none_or(|known| known.seen < place.seq);
            if let Some(content) = room::typing(frame, &place.room, new)
                && let Some(event) = raw(&json!({ "type": "m.typing", "content": content }))
            {
                out.typing.rooms.insert(id.clone(), event);
                news = true;
            }
        }
    }
    Ok(news)
}

/// The wanted rooms that the account is in: others tell it of nobody.
fn inside<'r>(
    rooms: &'r Rooms,
    wanted: &BTreeSet<OwnedRoomId>,
) -> impl Iterator<Item = (&'r OwnedRoomId, &'r Place)> {
    let rooms = rooms.iter().map(|(id, (place, _))| (id, place));
    rooms.filter(|(id, place)| wanted.contains(*id) && place.membership == MembershipState::Join)
}

fn account_data(
    frame: &Frame<'_>,
    rooms: &Rooms,
    told: &Told,
    wanted: &BTreeSet<OwnedRoomId>,
    out: &mut response::Extensions,
) -> Answer<bool> {
    let (matrix, account) = (frame.matrix, frame.who.address());
    let node = &matrix.node;
    let mut pieces = changed(node, account, GLOBAL, frame.since, frame.now.seq)?;
    if frame.since.is_none() || pieces.iter().any(|p| p.kind == PUSH_RULES) {
        pieces.retain(|p| p.kind != PUSH_RULES);
        let rules = rules::read_of(matrix, account, &frame.who.user_id)?;
        let content = rules::content(&rules)?;
        let event = json!({ "type": PUSH_RULES, "content": content });
        out.account_data.global.extend(raw(&event));
    }
    for piece in pieces {
        let event = json!({ "type": piece.kind, "content": piece.content });
        out.account_data.global.extend(raw(&event));
    }
    // Rooms that come into sight are told whole.
    let fresh = |name: &str| !told.sent.contains_key(name);
    let any = rooms.values().any(|(place, _)| fresh(place.room.name()));
    let since = frame.since.filter(|_| !any);
    let all = changed(node, account, ROOM, since, frame.now.seq)?;
    let newer = match (frame.since, any) {
        (Some(since), true) => changed(node, account, ROOM, Some(since), frame.now.seq)?,
        _ => Vec::new(),
    };
    let is_new = |room: &str, kind: &str| {
        newer
            .iter()
            .any(|p| p.room.as_deref() == Some(room) && p.kind == kind)
    };
    for piece in all {
        let Some(room) = piece.room.as_deref() else {
            continue;
        };
        let Some((id, (place, _))) = rooms.iter().find(|(id, _)| id.as_str() == room) else {
            continue;
        };
        let told_before = !fresh(place.room.name()) && any && !is_new(room, &piece.kind);
        if wanted.contains(id) && !told_before {
            let event = json!({ "type": piece.kind, "content": piece.content });
            let events = out.account_data.rooms.entry(id.clone()).or_default();
            events.extend(raw(&event));
        }
    }
    Ok(!out.account_data.is_empty())
}
