//! Deliveries as frames, as one reader sees them. Blocking: it reads the log.

use std::collections::HashSet;
use std::sync::Arc;

use sammen_core::event::{MarkerKind, MembershipAction};
use sammen_core::history::may_see;
use sammen_core::live::{Announced, OccupantKind, Show, StateChange, Typing};
use sammen_core::{Address, Content, ConversationId, Convo, DeviceId, Seq};

use super::{Changed, cursor};
use crate::api::{contacts, devices, members};
use crate::person::{View, person_in};
use crate::problem::Answer;
use crate::server::Web;
use crate::summary;
use crate::translate::{entry, is_line, show};
use crate::types::{self as t, Frame};

/// What a stream knows of its client.
pub struct Reader {
    /// Whose it is.
    pub account: Address,
    /// The device.
    pub device: DeviceId,
    /// Conversations that the client was told of.
    pub known: HashSet<ConversationId>,
    /// Rooms that the session is in.
    pub inside: HashSet<ConversationId>,
    /// Everything up to here was told.
    pub at: Seq,
}

/// Frames, and rooms that the session has to enter for what comes next.
#[derive(Default)]
pub struct Made {
    /// To be sent, in order.
    pub frames: Vec<Frame>,
    /// Rooms that the account came into.
    pub enter: Vec<ConversationId>,
}

impl Made {
    fn push(&mut self, frame: Frame) {
        self.frames.push(frame);
    }
}

/// A conversation as it is now, or that it is gone for the reader.
pub fn conversation(web: &Web, reader: &mut Reader, id: ConversationId, made: &mut Made) {
    let Ok(convo) = summary::known(web, &reader.account, &id.to_string()) else {
        reader.known.remove(&id);
        return made.push(Frame::Left { id: id.to_string() });
    };
    if let Ok(conversation) = summary::conversation(web, &reader.account, &convo) {
        reader.known.insert(id);
        made.push(Frame::Conversation {
            conversation: Box::new(conversation),
        });
    }
}

/// A committed event.
pub fn event(web: &Web, reader: &mut Reader, announced: &Announced, made: &mut Made) -> Answer<()> {
    let event = &announced.event;
    if event.seq <= reader.at {
        return Ok(());
    }
    reader.at = event.seq;
    let id = event.conversation;
    if let Content::Membership(change) = &event.content
        && change.who == reader.account
    {
        own_membership(web, reader, id, change.action, made);
    } else if !reader.known.contains(&id) {
        conversation(web, reader, id, made);
    }
    if !may_see(&announced.convo, &reader.account, event) {
        return Ok(());
    }
    let account = reader.account.clone();
    let view = View::of(web, &account);
    let convo = now(web, &announced.convo);
    if let Content::Marker(kind) = &event.content {
        if let Some(target) = event.target().filter(|_| event.author != account) {
            made.push(Frame::Marker {
                conversation: id.to_string(),
                who: person_in(view, &convo, &event.author, None),
                event: target.to_string(),
                kind: match kind {
                    MarkerKind::Received => t::MarkerKind::Received,
                    MarkerKind::Displayed => t::MarkerKind::Displayed,
                },
            });
        }
        return Ok(());
    }
    let txn = web
        .sent
        .lock()
        .peek(&event.id)
        .filter(|(device, _)| *device == reader.device)
        .map(|(_, txn)| txn.clone());
    let line = if is_line(event) {
        Some(event.clone())
    } else {
        // What changed is told as it looks now.
        match event.target() {
            Some(target) => web.node.visible_event(&account, target)?,
            None => None,
        }
    };
    if let Some(line) = line.filter(|l| is_line(l)) {
        made.push(Frame::Entry {
            cursor: cursor(web, event.seq),
            entry: Box::new(entry(view, &convo, &line)),
            fresh: line.id == event.id && !event.historical,
            txn,
        });
    }
    if matches!(event.content, Content::Room(_)) {
        conversation(web, reader, id, made);
    }
    Ok(())
}

/// The conversation as it is now: who has which nick may have changed since the event.
fn now(web: &Web, then: &Arc<Convo>) -> Arc<Convo> {
    web.node
        .convo(then.id())
        .ok()
        .flatten()
        .unwrap_or_else(|| then.clone())
}

fn own_membership(
    web: &Web,
    reader: &mut Reader,
    id: ConversationId,
    action: MembershipAction,
    made: &mut Made,
) {
    match action {
        MembershipAction::Joined => {
            if !reader.inside.contains(&id) {
                made.enter.push(id);
            }
            conversation(web, reader, id, made);
        }
        MembershipAction::Left | MembershipAction::Kicked | MembershipAction::Banned => {
            reader.inside.remove(&id);
            reader.known.remove(&id);
            made.push(Frame::Left { id: id.to_string() });
        }
        _ => conversation(web, reader, id, made),
    }
}

/// Something that lives changed.
pub fn state(web: &Web, reader: &mut Reader, change: &StateChange, made: &mut Made) {
    let account = reader.account.clone();
    let view = View::of(web, &account);
    match change {
        StateChange::Presence { account, .. } => {
            let best = web.node.live(|live| {
                let sessions = live.sessions_of(account).iter();
                sessions
                    .filter_map(|s| s.presence())
                    .max_by_key(|p| (p.show, p.priority))
            });
            made.push(Frame::Presence {
                address: account.to_string(),
                show: show(best.as_ref().map_or(Show::Offline, |p| p.show)),
                status: best.and_then(|p| p.status.clone()),
            });
        }
        StateChange::Occupant(change) => {
            let id = change.convo.id();
            let gone = matches!(
                change.kind,
                OccupantKind::Left
                    | OccupantKind::Kicked
                    | OccupantKind::Banned
                    | OccupantKind::Removed
                    | OccupantKind::Destroyed
            );
            if change.who == account {
                if gone {
                    reader.inside.remove(&id);
                    if reader.known.remove(&id) {
                        made.push(Frame::Left { id: id.to_string() });
                    }
                } else if matches!(change.kind, OccupantKind::Standing | OccupantKind::Nick) {
                    conversation(web, reader, id, made);
                }
                return;
            }
            let convo = now(web, &change.convo);
            if gone {
                let nick = change.old_nick.as_deref();
                made.push(Frame::MemberGone {
                    conversation: id.to_string(),
                    address: person_in(view, &convo, &change.who, nick).address,
                });
            } else if let Some(member) = members::member(view, &convo, &change.who) {
                made.push(Frame::Member {
                    conversation: id.to_string(),
                    member,
                });
            }
        }
        StateChange::Typing {
            convo, who, typing, ..
        } if *who != account => {
            made.push(Frame::Typing {
                conversation: convo.id().to_string(),
                who: person_in(view, convo, who, None),
                active: *typing == Typing::Active,
            });
        }
        StateChange::Read {
            account: whose,
            conversation,
            event,
            ..
        } if *whose == account => read(web, &account, *conversation, &event.id.to_string(), made),
        StateChange::Contact {
            account: whose,
            contact,
            value,
            ..
        } if *whose == account => made.push(Frame::Contact {
            contact: contacts::shown(view, contact, value),
        }),
        StateChange::SignedIn { device } if device.id != reader.device => {
            made.push(Frame::Device {
                device: devices::shown(web, device, None),
            });
        }
        StateChange::Custom { payload, .. } => {
            if let Some(Changed(id)) = payload.downcast_ref() {
                conversation(web, reader, *id, made);
            }
        }
        _ => {}
    }
}

/// The reader read on: what is unread now.
pub fn read(web: &Web, account: &Address, id: ConversationId, event: &str, made: &mut Made) {
    let Ok(Some(convo)) = web.node.convo(id) else {
        return;
    };
    let mark = summary::read_mark(web, account, id).ok().flatten();
    if let Ok(unread) = summary::unread(web, account, &convo, mark.as_ref()) {
        made.push(Frame::Read {
            conversation: id.to_string(),
            event: event.to_owned(),
            unread: unread.count,
            mentions: unread.mentions,
        });
    }
}
