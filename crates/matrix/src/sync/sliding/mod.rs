//! Simplified sliding sync (MSC4186, as `org.matrix.simplified_msc3575`): windows over lists of rooms, and rooms by id.
//!
//! ```text
//! connections.rs  what a client was told by which answer
//! lists.rs        which rooms, in which order
//! shown.rs        one room
//! extensions.rs   to-device, encryption, account data, receipts, typing
//! ```

mod connections;
mod extensions;
mod lists;
mod shown;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use ruma::api::client::sync::sync_events::v5;
use ruma::api::error::ErrorKind;
use ruma::{OwnedRoomId, UInt};
use sammen_core::token::Token;
use tokio::time::Instant;

pub use connections::Connections;
use connections::{Sent, Told};

use super::gather::{Asked, Frame};
use super::{devices, token, v3};
use crate::auth::Caller;
use crate::chain::Place;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// Most lists, rooms by id and entries of required state.
const LISTS: usize = 64;
const SUBSCRIPTIONS: usize = 500;
const STATE: usize = 256;
/// Most events of a timeline.
const TIMELINE: usize = 200;

pub(super) fn routes(table: &mut Table) {
    table.on(sync);
}

/// What is wanted of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    state: Vec<(String, String)>,
    timeline: usize,
}

impl Wanted {
    fn add(&mut self, state: &[(ruma::events::StateEventType, String)], timeline: UInt) {
        for (kind, key) in state.iter().take(STATE) {
            if self.state.len() >= STATE {
                break;
            }
            let entry = (kind.to_string(), key.clone());
            if !self.state.contains(&entry) {
                self.state.push(entry);
            }
        }
        let timeline = usize::try_from(timeline).unwrap_or(TIMELINE);
        self.timeline = self.timeline.max(timeline.min(TIMELINE));
    }
}

fn unknown_pos() -> Fault {
    Fault::new(
        StatusCode::BAD_REQUEST,
        ErrorKind::UnknownPos,
        "this connection is over: begin anew",
    )
}

async fn sync(matrix: Arc<Matrix>, ask: Ask<v5::Request>) -> Answer<v5::Response> {
    let (request, who) = (Arc::new(ask.request), ask.who);
    if request.lists.len() > LISTS || request.room_subscriptions.len() > SUBSCRIPTIONS {
        return Err(Fault::invalid("so many lists and rooms at once"));
    }
    let connection = request.conn_id.clone().unwrap_or_default();
    let key = (who.device.id, connection);
    let told = match &request.pos {
        None => Arc::new(Told::default()),
        Some(pos) => {
            let told = matrix
                .sync
                .connections
                .at(&key, pos)
                .ok_or_else(unknown_pos)?;
            token::known(&matrix, &told.token).ok_or_else(unknown_pos)?;
            told
        }
    };
    let since = token::known(&matrix, &told.token).filter(|_| request.pos.is_some());
    let guard = devices::touch(&matrix, &who, &request.set_presence).await;
    extensions::received(&matrix, &who, &request).await?;
    let asked = Arc::new(Asked {
        since,
        full_state: false,
        after: true,
        filter: Arc::default(),
        syncing: guard.as_ref().map(|guard| guard.syncing().clone()),
    });
    let mut ear = matrix.bells.listen(who.address());
    let wait = request.timeout.unwrap_or(v3::LONGEST).min(v3::LONGEST);
    let until = Instant::now() + wait;
    loop {
        let (now, places) = v3::moment(&matrix, &who).await?;
        let (who2, asked2, told2, request2) =
            (who.clone(), asked.clone(), told.clone(), request.clone());
        let read = move |m: &Matrix| gather(m, &who2, &asked2, &told2, &request2, now, &places);
        let (mut answer, sent, news) = matrix.read(read).await?;
        let over = Instant::now() >= until;
        if request.pos.is_none() || news || over {
            answer.pos = matrix.sync.connections.put(key, &told, now, sent);
            return Ok(answer);
        }
        let _ = tokio::time::timeout_at(until, ear.rung()).await;
        if let Some(guard) = &guard {
            guard.holds()?;
        }
    }
}

type Rooms = BTreeMap<OwnedRoomId, (Place, Wanted)>;

fn gather(
    matrix: &Matrix,
    who: &Caller,
    asked: &Asked,
    told: &Told,
    request: &v5::Request,
    now: Token,
    places: &[Place],
) -> Answer<(v5::Response, Sent, bool)> {
    let frame = Frame::new(matrix, who, asked, now)?;
    let mut answer = v5::Response::new(String::new());
    answer.txn_id.clone_from(&request.txn_id);
    let entries = lists::entries(&frame, places)?;
    let mut rooms: Rooms = BTreeMap::new();
    let mut by_list: BTreeMap<&str, Vec<OwnedRoomId>> = BTreeMap::new();
    for (name, list) in &request.lists {
        let matching = lists::matching(&entries, list.filters.as_ref());
        let mut shown = v5::response::List::default();
        shown.count = UInt::try_from(matching.len()).unwrap_or_default();
        answer.lists.insert(name.clone(), shown);
        for entry in lists::windows(&matching, &list.ranges) {
            let id = entry.place.room.id.clone();
            by_list.entry(name).or_default().push(id.clone());
            let wanted = rooms
                .entry(id)
                .or_insert_with(|| (entry.place.clone(), Wanted::default()));
            wanted.1.add(
                &list.room_details.required_state,
                list.room_details.timeline_limit,
            );
        }
    }
    for (id, asked) in &request.room_subscriptions {
        if let Some(entry) = entries.iter().find(|e| e.place.room.id == *id) {
            let place = || (entry.place.clone(), Wanted::default());
            let wanted = rooms.entry(id.clone()).or_insert_with(place);
            wanted.1.add(&asked.required_state, asked.timeline_limit);
        }
    }
    // What ended is told once, wherever it stands in the lists.
    for place in places.iter().filter(|p| p.seq <= frame.now.seq) {
        let known = told.sent.get(place.room.name());
        if let Some(known) = known.filter(|known| known.seen < place.seq && place.is_over()) {
            let wanted = (place.clone(), known.wanted.clone());
            rooms.entry(place.room.id.clone()).or_insert(wanted);
        }
    }
    let mut sent = told.sent.as_ref().clone();
    for (id, (place, wanted)) in &rooms {
        let before = told.sent.get(place.room.name());
        let entry = entries.iter().find(|e| e.place.room.id == *id);
        if let Some(mut room) = shown::room(&frame, place, wanted, before)? {
            let bump = entry.map_or(place.seq, |e| e.bump);
            room.bump_stamp = UInt::try_from(bump.0).ok();
            room.is_dm = entry.map(|e| e.is_dm);
            answer.rooms.insert(id.clone(), room);
        }
        if entry.is_none() {
            sent.remove(place.room.name());
            continue;
        }
        // What it was told of before it still knows.
        let mut wanted = wanted.clone();
        if let Some(before) = before {
            wanted.timeline = wanted.timeline.max(before.wanted.timeline);
            let more = before.wanted.state.iter();
            let more = more.filter(|s| !wanted.state.contains(s)).cloned();
            let more: Vec<_> = more.collect();
            wanted.state.extend(more.into_iter().take(STATE));
        }
        let known = connections::Known {
            seen: now.seq,
            wanted,
        };
        sent.insert(place.room.name().to_owned(), known);
    }
    let news = extensions::add(&frame, request, &rooms, told, &by_list, &mut answer)?;
    let counts = |r: &v5::Response| -> Vec<_> {
        let lists = r.lists.iter();
        lists
            .map(|(name, list)| (name.clone(), list.count))
            .collect()
    };
    let sizes = counts(&answer);
    let resized = told.sizes != sizes;
    let news = news || !answer.rooms.is_empty() || resized;
    Ok((answer, Sent { rooms: sent, sizes }, news))
}
