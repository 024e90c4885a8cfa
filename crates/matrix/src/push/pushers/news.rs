//! What is new for an account behind a place, and how many messages are unread in all. Blocking.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ruma::events::room::member::MembershipState;
use ruma::push::Action;
use ruma::{OwnedUserId, UserId};
use sammen_core::token::Token;
use sammen_core::{Address, Seq, Timestamp};

use super::super::evaluate::context;
use super::super::{rules, unread};
use crate::account_data::ignored;
use crate::chain::{Link, Place, Room};
use crate::fault::Answer;
use crate::receipts;
use crate::server::Matrix;

/// Most events that a pusher is told of at once: the newest. The count tells of the others.
const MOST: usize = 50;

/// Whose news.
#[derive(Clone)]
pub struct Reader {
    /// The account.
    pub account: Address,
    /// Its Matrix id.
    pub user: OwnedUserId,
}

/// What is remembered between two readings, so that only rooms are looked at in which something happened.
#[derive(Default)]
pub struct Counted {
    upto: Seq,
    rooms: HashMap<String, u32>,
}

impl Counted {
    /// Up to where it was read.
    pub fn upto(&self) -> Seq {
        self.upto
    }
}

/// An event that somebody is to be told of.
pub struct New {
    /// Its place in the node's order.
    pub seq: Seq,
    /// The room.
    pub room: Arc<Room>,
    /// The event.
    pub link: Arc<Link>,
    /// What the rules ask for.
    pub actions: Vec<Action>,
}

/// What there is.
pub struct News {
    /// Events, oldest first.
    pub events: Vec<New>,
    /// Unread messages.
    pub unread: u32,
}

/// What is new behind `from` and not older than `begun`, up to `now`.
///
/// # Errors
/// When the store can't be read.
pub fn read(
    matrix: &Matrix,
    reader: &Reader,
    places: &[Place],
    (from, begun): (Seq, Timestamp),
    now: Token,
    counted: &mut Counted,
) -> Answer<News> {
    let account = &reader.account;
    let contacts = matrix.node.contacts(account)?;
    let ignored = ignored::blocked(&contacts, &matrix.name);
    let read = receipts::own_changed(matrix, account, counted.upto, now.seq)?;
    let is_read = |room: &Room| {
        let conversation = room.conversation.to_string();
        let here = |(rooms, marks): &(Vec<String>, Vec<String>)| {
            rooms.iter().any(|name| name == room.name()) || marks.contains(&conversation)
        };
        read.as_ref().is_none_or(here)
    };
    let mut rooms = HashMap::new();
    let mut events = Vec::new();
    for place in places {
        let room = &place.room;
        match place.membership {
            MembershipState::Join => {
                let head = room.head().seq;
                let known = counted.rooms.get(room.name());
                let same = head <= counted.upto && place.seq <= counted.upto && !is_read(room);
                let unread = match known {
                    Some(known) if same && head <= from => *known,
                    _ => joined(matrix, reader, room, (from, now.seq), &ignored, &mut events)?,
                };
                rooms.insert(room.name().to_owned(), unread);
            }
            MembershipState::Invite if place.seq > from && place.seq <= now.seq => {
                events.extend(invited(matrix, reader, room, &ignored)?);
            }
            _ => {}
        }
    }
    let unread = rooms.values().sum();
    *counted = Counted {
        upto: now.seq,
        rooms,
    };
    events.retain(|new| new.link.at >= begun);
    events.sort_by_key(|new| new.seq);
    let beyond = events.len().saturating_sub(MOST);
    events.drain(..beyond);
    Ok(News { events, unread })
}

/// Adds what is new in a room; how many messages are unread there.
fn joined(
    matrix: &Matrix,
    reader: &Reader,
    room: &Arc<Room>,
    (from, to): (Seq, Seq),
    ignored: &BTreeSet<OwnedUserId>,
    events: &mut Vec<New>,
) -> Answer<u32> {
    let sight = room.sight(&reader.user)?;
    let own = receipts::own(matrix, &reader.account, room)?;
    let who = unread::Reader {
        account: &reader.account,
        user: &reader.user,
        sight: &sight,
        own: &own,
        ignored: &|user| ignored.iter().any(|ignored| ignored == user),
    };
    let found = unread::found(matrix, room, &who, room.ordinal_at(to)?)?;
    let after = room.ordinal_at(from)?;
    let new = found.iter().filter(|found| found.ordinal > after);
    for found in new.rev().take(MOST) {
        if let Some(link) = room.link(found.ordinal)? {
            events.extend(judged(matrix, reader, room, link)?);
        }
    }
    Ok(u32::try_from(found.len()).unwrap_or(u32::MAX))
}

/// An invitation, if it is worth telling.
fn invited(
    matrix: &Matrix,
    reader: &Reader,
    room: &Arc<Room>,
    ignored: &BTreeSet<OwnedUserId>,
) -> Answer<Option<New>> {
    let state = room.state();
    match state.get("m.room.member", reader.user.as_str()) {
        Some(own) if !ignored.contains(&own.sender) => judged(matrix, reader, room, own.clone()),
        _ => Ok(None),
    }
}

fn judged(
    matrix: &Matrix,
    reader: &Reader,
    room: &Arc<Room>,
    link: Arc<Link>,
) -> Answer<Option<New>> {
    let user: &UserId = &reader.user;
    let rules = rules::read_of(matrix, &reader.account, user)?;
    let context = context(room, &room.state(), user);
    let verdict = unread::judge(matrix, room, &link, &rules, &context)?;
    Ok(verdict.notify.then(|| New {
        seq: link.seq,
        room: room.clone(),
        link,
        actions: verdict.actions,
    }))
}
