//! Unread counts (client-server API, "Receiving notifications"): derived from what was said behind the receipts, and kept
//! in memory while somebody asks; nothing is stored per person and message.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use ruma::serde::Raw;
use ruma::{OwnedEventId, UserId};
use sammen_core::Address;
use serde_json::json;

use super::evaluate::{Verdict, context, evaluate};
use super::rules;
use crate::chain::{Direction, Link, Room, Sight};
use crate::fault::Answer;
use crate::receipts::Own;
use crate::server::Matrix;

/// Most notifications of a room that are counted.
const COUNTED: usize = 200;
/// How far back a room is looked through that was not counted before; less where nothing was ever read.
const BACK: u64 = 100;
const BACK_UNREAD: u64 = 20;
/// Most rooms of people that are kept.
const KEPT: usize = 20_000;

/// What was counted lately.
#[derive(Default)]
pub struct Unread(Mutex<HashMap<(Address, String), Counted>>);

#[derive(Clone, Default)]
struct Counted {
    /// Looked through up to here.
    upto: u64,
    found: Vec<Found>,
}

/// Something worth a notification.
#[derive(Clone)]
pub struct Found {
    /// Where in the room.
    pub ordinal: u64,
    thread: Option<OwnedEventId>,
    highlight: bool,
}

/// How many notifications, and how many of them stand out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub notify: u32,
    /// Those that stand out.
    pub highlight: u32,
}

impl Count {
    fn add(&mut self, found: &Found) {
        self.notify += 1;
        self.highlight += u32::from(found.highlight);
    }
}

/// The counts of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// What is in no thread.
    pub main: Count,
    /// What is in threads, by root.
    pub threads: BTreeMap<OwnedEventId, Count>,
}

impl Counts {
    /// How many these are.
    fn of(found: &[Found]) -> Self {
        let mut counts = Self::default();
        for found in found {
            match &found.thread {
                None => counts.main.add(found),
                Some(root) => counts.threads.entry(root.clone()).or_default().add(found),
            }
        }
        counts
    }

    /// Both together.
    pub fn all(&self) -> Count {
        let mut all = self.main;
        for count in self.threads.values() {
            all.notify += count.notify;
            all.highlight += count.highlight;
        }
        all
    }
}

/// Who counts.
pub struct Reader<'a> {
    /// The account.
    pub account: &'a Address,
    /// Its Matrix id.
    pub user: &'a UserId,
    /// What it sees of the room.
    pub sight: &'a Sight,
    /// How far it has read.
    pub own: &'a Own,
    /// Whether somebody is ignored.
    pub ignored: &'a dyn Fn(&str) -> bool,
}

/// How much is unread in a room up to `upto`. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn count(matrix: &Matrix, room: &Room, reader: &Reader<'_>, upto: u64) -> Answer<Counts> {
    Ok(Counts::of(&found(matrix, room, reader, upto)?))
}

/// What is unread in a room up to `upto`, and worth a notification, oldest first. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn found(matrix: &Matrix, room: &Room, reader: &Reader<'_>, upto: u64) -> Answer<Vec<Found>> {
    let key = (reader.account.clone(), room.name().to_owned());
    let known = matrix.unread.0.lock().get(&key).cloned();
    let fresh = known.is_none();
    let mut counted = known.unwrap_or_default();
    let all = reader.own.all();
    if fresh {
        let back = if all > 0 { BACK } else { BACK_UNREAD };
        counted.upto = all.max(upto.saturating_sub(back));
    }
    if counted.upto < upto {
        look(matrix, room, reader, &mut counted, upto)?;
    }
    counted.found.retain(|found| {
        let thread = found.thread.as_ref().map_or("main", |t| t.as_str());
        found.ordinal > reader.own.thread(thread)
    });
    let here = counted.found.iter().filter(|found| found.ordinal <= upto);
    let here = here.cloned().collect();
    let mut kept = matrix.unread.0.lock();
    if kept.len() >= KEPT {
        kept.clear();
    }
    if kept
        .get(&key)
        .is_none_or(|other| other.upto <= counted.upto)
    {
        kept.insert(key, counted);
    }
    Ok(here)
}

/// Looks through what came.
fn look(
    matrix: &Matrix,
    room: &Room,
    reader: &Reader<'_>,
    counted: &mut Counted,
    upto: u64,
) -> Answer<()> {
    let limit = usize::try_from(BACK).unwrap_or(usize::MAX);
    let mut links = room.links(counted.upto + 1..=upto, Direction::Back, limit)?;
    links.reverse();
    counted.upto = upto;
    let mut context_of = None;
    let rules = rules::read_of(matrix, reader.account, reader.user)?;
    for link in links {
        if link.sender == *reader.user {
            // Who writes has read what is above; who comes in has seen the invitation.
            if link.is_state() {
                counted.found.clear();
            } else {
                let thread = &link.relates.thread;
                counted.found.retain(|found| found.thread != *thread);
            }
            continue;
        }
        if !reader.sight.sees(&link) || (reader.ignored)(link.sender.as_str()) {
            continue;
        }
        let context =
            context_of.get_or_insert_with(|| context(room, &room.head().state, reader.user));
        let verdict = judge(matrix, room, &link, &rules, context)?;
        if verdict.notify {
            counted.found.push(Found {
                ordinal: link.ordinal,
                thread: link.relates.thread.clone(),
                highlight: verdict.highlight,
            });
        }
    }
    let beyond = counted.found.len().saturating_sub(COUNTED);
    counted.found.drain(..beyond);
    Ok(())
}

/// What an account's rules say of a link. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn judge(
    matrix: &Matrix,
    room: &Room,
    link: &Link,
    rules: &Arc<ruma::push::Ruleset>,
    context: &ruma::push::PushConditionRoomCtx,
) -> Answer<Verdict> {
    let content = matrix.rooms.content(link)?;
    let mut event = json!({
        "type": link.kind.to_string(),
        "sender": link.sender,
        "room_id": room.id,
        "content": content.unwrap_or_else(|| json!({})),
    });
    if let (Some(key), Some(event)) = (&link.state_key, event.as_object_mut()) {
        event.insert("state_key".into(), key.as_str().into());
    }
    match Raw::new(&event) {
        Ok(event) => Ok(evaluate(rules, &event, context)),
        Err(_) => Ok(Verdict::default()),
    }
}
