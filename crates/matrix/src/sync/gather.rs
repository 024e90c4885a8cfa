//! One answer of `/sync`: everything between two tokens, and nothing else. Blocking.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use ruma::api::client::filter::FilterDefinition;
use ruma::api::client::sync::sync_events::{DeviceLists, v3};
use ruma::events::room::member::MembershipState;
use ruma::serde::Raw;
use ruma::{OwnedRoomId, OwnedUserId};
use sammen_core::contact::Contacts;
use sammen_core::token::Token;
use sammen_core::{ConversationId, Seq};
use serde_json::json;

use super::devices::Syncing;
use super::{narrow, room, token};
use crate::account_data::{GLOBAL, PUSH_RULES, Piece, ROOM, changed, ignored};
use crate::auth::Caller;
use crate::chain::Place;
use crate::fault::Answer;
use crate::push::rules;
use crate::server::Matrix;
use crate::{keys, presence, receipts, to_device};

/// Most to-device messages of an answer.
const TO_DEVICE: usize = 100;

/// What a client asked for.
pub struct Asked {
    /// What it knows.
    pub since: Option<Token>,
    /// All state of all rooms is wanted.
    pub full_state: bool,
    /// State is wanted as it is behind the timeline.
    pub after: bool,
    /// What it wants at all.
    pub filter: Arc<FilterDefinition>,
    /// The device's session.
    pub syncing: Option<Arc<Syncing>>,
}

/// What an answer is made of: who asks, for what, up to where.
pub(super) struct Frame<'a> {
    pub matrix: &'a Matrix,
    pub who: &'a Caller,
    pub asked: &'a Asked,
    /// What the client knows.
    pub since: Option<Seq>,
    /// Up to where it is told.
    pub now: Token,
    /// What it knows of what lives; `None` if that has to be told anew.
    pub known: Option<u64>,
    pub contacts: Arc<Contacts>,
    pub ignored: BTreeSet<OwnedUserId>,
    /// Rooms and conversations in which the account's own receipts moved; `None`: it may be any.
    pub read: Option<(HashSet<String>, HashSet<String>)>,
    pub data: HashMap<String, Vec<Piece>>,
}

impl<'a> Frame<'a> {
    pub fn new(matrix: &'a Matrix, who: &'a Caller, asked: &'a Asked, now: Token) -> Answer<Self> {
        let account = who.address();
        let since = asked.since.map(|token| token.seq);
        let contacts = matrix.node.contacts(account)?;
        let read = match since {
            Some(since) => receipts::own_changed(matrix, account, since, now.seq)?,
            None => None,
        };
        let mut frame = Frame {
            ignored: ignored::blocked(&contacts, &matrix.name),
            known: asked
                .since
                .and_then(|token| matrix.sync.lively.known(token.volatile)),
            matrix,
            who,
            asked,
            since,
            now,
            contacts,
            read: read
                .map(|(rooms, marks)| (rooms.into_iter().collect(), marks.into_iter().collect())),
            data: HashMap::new(),
        };
        for piece in changed(&matrix.node, account, ROOM, since, now.seq)? {
            if let Some(room) = piece.room.clone() {
                frame.data.entry(room).or_default().push(piece);
            }
        }
        Ok(frame)
    }
}

impl Frame<'_> {
    pub fn ignores(&self, user: &str) -> bool {
        self.ignored.iter().any(|ignored| ignored == user)
    }

    /// Whether the account's own receipts may have moved in a room.
    pub fn has_read(&self, name: &str, conversation: ConversationId) -> bool {
        self.read.as_ref().is_none_or(|(rooms, marks)| {
            rooms.contains(name) || marks.contains(&conversation.to_string())
        })
    }
}

/// Everything between what the client knows and `now`, and whether that is anything.
///
/// # Errors
/// When the store can't be read.
pub fn gather(
    matrix: &Matrix,
    who: &Caller,
    asked: &Asked,
    mut now: Token,
    places: &[Place],
) -> Answer<(v3::Response, bool)> {
    let account = who.address();
    let since = asked.since.map(|token| token.seq);
    let from = since.unwrap_or(Seq(0));
    let waiting = to_device::since(matrix, &who.device, from, now.seq, TO_DEVICE)?;
    // Where more waits than is told at once, all the rest is told up to the same place.
    now.seq = waiting.upto;
    let frame = Frame::new(matrix, who, asked, now)?;
    let mut answer = v3::Response::new(now.encode());
    rooms(&frame, places, &mut answer)?;
    global(&frame, &mut answer)?;
    people(&frame, &mut answer);
    answer.to_device.events = waiting.events;
    if let Some(since) = since {
        let found = keys::changed(matrix, account, since, now.seq)?;
        let mut lists = DeviceLists::new();
        lists.changed = found.changed;
        lists.left = found.left;
        answer.device_lists = lists;
    }
    let counts = keys::counts(matrix, &who.device)?;
    let news = since.is_some_and(|since| counts.version > since && counts.version <= now.seq);
    answer.device_one_time_keys_count = counts.one_time.clone();
    answer.device_unused_fallback_key_types = Some(counts.unused_fallback.clone());
    let news = news || !token::is_empty(&answer);
    Ok((answer, news))
}

fn rooms(frame: &Frame<'_>, places: &[Place], answer: &mut v3::Response) -> Answer<()> {
    let wanted = &frame.asked.filter.room;
    for place in places {
        let id: &OwnedRoomId = &place.room.id;
        if !narrow::wants_room(wanted, id) {
            continue;
        }
        let moved = frame.since.is_none_or(|since| place.seq > since);
        let membership = if place.seq > frame.now.seq {
            // It moved meanwhile: the next answer tells.
            room::membership_at(frame, &place.room)?
        } else {
            place.membership.clone()
        };
        match membership {
            MembershipState::Join => {
                if let Some(joined) = room::joined(frame, &place.room)? {
                    answer.rooms.join.insert(id.clone(), joined);
                }
            }
            MembershipState::Invite if moved => {
                if let Some(invited) = room::invited(frame, &place.room)? {
                    answer.rooms.invite.insert(id.clone(), invited);
                }
            }
            MembershipState::Knock if moved => {
                answer
                    .rooms
                    .knock
                    .insert(id.clone(), room::knocked(frame, &place.room)?);
            }
            MembershipState::Leave | MembershipState::Ban
                if moved && frame.since.is_some()
                    || wanted.include_leave && (moved || frame.asked.full_state) =>
            {
                if let Some(left) = room::left(frame, &place.room)? {
                    answer.rooms.leave.insert(id.clone(), left);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Account data of the whole account.
fn global(frame: &Frame<'_>, answer: &mut v3::Response) -> Answer<()> {
    let (matrix, account) = (frame.matrix, frame.who.address());
    let filter = &frame.asked.filter.account_data;
    let mut pieces = changed(&matrix.node, account, GLOBAL, frame.since, frame.now.seq)?;
    let asks_rules = pieces.iter().any(|p| p.kind == PUSH_RULES) || frame.since.is_none();
    if asks_rules {
        pieces.retain(|p| p.kind != PUSH_RULES);
        let rules = rules::read_of(matrix, account, &frame.who.user_id)?;
        pieces.push(Piece {
            room: None,
            kind: PUSH_RULES.into(),
            content: rules::content(&rules)?,
        });
    }
    for piece in pieces {
        if narrow::passes(filter, &piece.kind, None) {
            let event = json!({ "type": piece.kind, "content": piece.content });
            answer.account_data.events.extend(raw(&event));
        }
    }
    Ok(())
}

/// Presence of those that the account sees, and its own.
fn people(frame: &Frame<'_>, answer: &mut v3::Response) {
    let filter = &frame.asked.filter.presence;
    let most = filter.limit.and_then(|n| usize::try_from(n).ok());
    let me = frame.who.address();
    let seen = frame.contacts.iter().filter(|(_, c)| c.sees && !c.blocked);
    let seen = seen.map(|(who, c)| (who, c.version));
    for (who, version) in seen.chain(std::iter::once((me, Seq(0)))) {
        if answer.presence.events.len() >= most.unwrap_or(usize::MAX) {
            break;
        }
        let changed = frame.matrix.sync.lively.shown(who);
        let heard = frame.asked.syncing.as_ref().map_or(0, |s| s.began);
        let known = frame.known.filter(|known| *known >= heard);
        let news = match (frame.since, known) {
            (Some(since), Some(known)) => {
                changed.is_some_and(|(count, _)| count > known) || version > since
            }
            _ => true,
        };
        if !news {
            continue;
        }
        let shown = presence::of(frame.matrix, who);
        // Who is not there need not be named to one who knows of nobody.
        if frame.since.is_none() && shown.state == ruma::presence::PresenceState::Offline {
            continue;
        }
        let Some(user) = crate::names::user_id(who, &frame.matrix.name) else {
            continue;
        };
        if !narrow::passes(filter, "m.presence", Some(user.as_str())) {
            continue;
        }
        let now = frame.matrix.node.now();
        let mut content = json!({
            "presence": shown.state,
            "currently_active": shown.active,
        });
        if let Some(content) = content.as_object_mut() {
            if let Some(last) = shown.last {
                let ago = u64::try_from(presence::ago(now, last).as_millis()).unwrap_or(0);
                content.insert("last_active_ago".into(), ago.into());
            }
            if let Some(status) = shown.status {
                content.insert("status_msg".into(), status.into());
            }
        }
        let event = json!({ "type": "m.presence", "sender": user, "content": content });
        answer.presence.events.extend(raw(&event));
    }
}

/// Anything as an event of ruma's.
pub(super) fn raw<T>(event: &serde_json::Value) -> Option<Raw<T>> {
    Raw::new(event).ok().map(Raw::cast_unchecked)
}
