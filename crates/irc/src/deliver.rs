//! What comes from the node, as this session shows it.

use std::sync::Arc;

use sammen_core::event::{MembershipAction, RelationKind, RoomChange};
use sammen_core::live::{Announced, ContactCause, Signal, StateChange};
use sammen_core::{Address, CloseReason, Content, Delivery, Refusal, Role, Sent, Seq};

use crate::modes;
use crate::occupancy;
use crate::reply::{label_tag, tagged};
use crate::session::{CROWDED, Pending, Session};
use crate::translate::out::{self, View};
use crate::translate::reaction::{self, Reactions};
use crate::wire::caps::Cap;
use crate::wire::tags::names;
use crate::wire::{Line, TagBuf};

/// Events read at once when the queue overflowed.
const PAGE: usize = 256;
/// The key of the form that holds a reaction's difference.
const REACTION: u32 = u32::MAX;

/// Shows one delivery.
pub(crate) async fn deliver(s: &mut Session, delivery: Delivery) {
    if s.ended() || s.me.is_none() {
        return;
    }
    match delivery {
        Delivery::Event(announced) => {
            s.own_event = announced.origin == Some(s.id());
            event(s, &announced).await;
            s.own_event = false;
        }
        Delivery::Lagged { after, upto } => catch_up(s, after, upto).await,
        Delivery::State(change) => state(s, &change).await,
        Delivery::StateLost => state_lost(s),
        Delivery::Signal(signal) => one_shot(s, &signal),
        Delivery::Done { ticket, result } => done(s, ticket, result),
        Delivery::Closed(why) => s.close(match why {
            CloseReason::Replaced => "another connection took this one's place",
            CloseReason::SignedOut => "signed out",
            CloseReason::Killed => "killed by an operator",
            CloseReason::Shutdown => "the server shuts down",
            CloseReason::Failed => "the server failed",
        }),
    }
}

/// Shows what most deliveries are, a message in a room that the session is in, without the weight of a future. False
/// where the delivery is something else.
pub(crate) fn at_once(s: &mut Session, delivery: &Delivery) -> bool {
    let (Delivery::Event(a), false) = (delivery, s.ended()) else {
        return false;
    };
    let view = View::of(s.caps);
    let Some(me) = &mut s.me else { return false };
    if !matches!(a.event.content, Content::Message(_))
        || !me.encrypted.is_empty()
        || a.origin == Some(me.session.id)
    {
        return false;
    }
    match me.rooms.get(&a.event.conversation) {
        Some(inside) if inside.since < a.event.seq => {}
        _ => return false,
    }
    me.cursor = me.cursor.max(a.event.seq);
    let bytes = out::announced(&s.server, a, view);
    if !bytes.is_empty() {
        s.emit(bytes);
    }
    true
}

/// What the queue dropped, from the log: as much as there is room for, the rest later.
async fn catch_up(s: &mut Session, after: Seq, upto: Seq) {
    if after >= upto {
        return;
    }
    let node = s.server.node.clone();
    let account = s.account();
    let rooms = s.me().rooms.keys().copied().collect();
    let Ok(page) = node.changes(&account, rooms, after, upto, PAGE).await else {
        return s.close("messages could not be read");
    };
    let whole = page.len() < PAGE;
    let mut reached = after;
    let mut left = page.len();
    for announced in page {
        if s.output_bytes() > CROWDED || s.ended() {
            break;
        }
        reached = announced.event.seq;
        left -= 1;
        event(s, &announced).await;
    }
    if left > 0 || !whole {
        s.inbox.push_front(Delivery::Lagged {
            after: reached,
            upto,
        });
    }
}

/// A committed event.
pub(crate) async fn event(s: &mut Session, a: &Arc<Announced>) {
    let event = &a.event;
    let me = s.me_mut();
    me.cursor = me.cursor.max(event.seq);
    if a.convo.is_room() {
        match me.rooms.get(&event.conversation) {
            Some(inside) if event.seq <= inside.since && !a.passing => return,
            Some(_) => {}
            None => return outside(s, a).await,
        }
    }
    let own = a.origin == Some(me.session.id);
    match &event.content {
        Content::Message(_) | Content::Edit(_) | Content::Other { .. } => {
            me.encrypted.remove(&event.conversation);
            speech(s, a, own);
        }
        Content::Retraction { .. } => speech(s, a, own),
        Content::Encrypted { .. } => {
            let last = me
                .encrypted
                .insert(event.conversation, event.author.clone());
            if last.as_ref() != Some(&event.author) {
                speech(s, a, own);
            }
        }
        Content::Reaction { .. } => reaction(s, a, own).await,
        Content::Membership(change) => membership(s, a, change),
        Content::Room(RoomChange::Renamed { to, reason, .. }) => {
            crate::commands::rename::told(s, a, to, reason.as_deref()).await;
        }
        Content::Room(change) => room_change(s, a, change),
        Content::Marker(_) | Content::Erased { .. } => {}
    }
}

/// What people wrote; the session's own only as an echo.
fn speech(s: &mut Session, a: &Arc<Announced>, own: bool) {
    if own && !echoes(s, a) {
        return;
    }
    let bytes = out::announced(&s.server, a, View::of(s.caps));
    if bytes.is_empty() {
        return;
    }
    let label = if own { take_label(s, a) } else { None };
    match label {
        Some(label) => s.emit(tagged(&bytes, &label_tag(&label))),
        None => s.emit(bytes),
    }
}

/// Whether the session sees what it sent itself.
fn echoes(s: &Session, a: &Announced) -> bool {
    match a.event.content {
        // REDACT is always told to everyone, its sender too (draft/message-redaction).
        Content::Retraction { .. } => true,
        // A note to oneself reaches the one it was written to.
        _ if a.convo.conversation.pair().is_some_and(|(x, y)| x == y) => true,
        _ => s.has(Cap::EchoMessage),
    }
}

fn take_label(s: &mut Session, a: &Announced) -> Option<String> {
    let me = s.me_mut();
    let ticket = {
        let mut labelled = me.labelled.lock();
        let at = labelled.iter().position(|(id, _)| *id == a.event.id)?;
        labelled.remove(at).1
    };
    let pending = me.pending.iter_mut().find(|p| p.ticket == ticket)?;
    pending.label.take()
}

async fn reaction(s: &mut Session, a: &Arc<Announced>, own: bool) {
    if own && !s.has(Cap::EchoMessage) {
        return;
    }
    let change = reactions(s, a).await;
    let view = View::of(s.caps);
    let (event, about) = (&a.event, a.about.as_deref());
    let render = |view| reaction::render(&s.server, event, &a.convo, about, &change, view, None);
    let mut bytes = render(view);
    if view.tags() && !own && !shows_reactions(s) {
        bytes.extend(render(view.without_tags()));
    }
    let label = if own { take_label(s, a) } else { None };
    let bytes = bytes::Bytes::from(bytes);
    match label {
        Some(label) if !bytes.is_empty() => s.emit(tagged(&bytes, &label_tag(&label))),
        _ if !bytes.is_empty() => s.emit(bytes),
        _ => {}
    }
}

/// Whether the client shows a reaction that comes as tags. Many ask for message-tags and ignore all tags but those they
/// know (WeeChat 3.8): they get a notice beside it. There is no capability for reactions; those who know them have asked
/// for one of the newer drafts, or have reacted.
fn shows_reactions(s: &Session) -> bool {
    let newer = [
        Cap::Chathistory,
        Cap::Multiline,
        Cap::ReadMarker,
        Cap::MessageRedaction,
        Cap::Metadata2,
    ];
    s.registration.reacts || newer.into_iter().any(|cap| s.has(cap))
}

/// What of someone's reactions changed: read once for all sessions.
async fn reactions(s: &Session, a: &Arc<Announced>) -> Reactions {
    type Cell = tokio::sync::OnceCell<Reactions>;
    let cell = a.form(sammen_core::Protocol::Irc, REACTION, Cell::new);
    let (node, event) = (s.server.node.clone(), a.event.clone());
    let read = async move {
        node.read(move |node| {
            let Content::Reaction { keys } = &event.content else {
                return Ok(Reactions::default());
            };
            let before = match event.target() {
                Some(target) => node.store().relations(target, 10_000)?,
                None => Vec::new(),
            };
            let before = before.iter().rev().find(|e| {
                e.seq < event.seq
                    && e.author == event.author
                    && e.relation
                        .as_ref()
                        .is_some_and(|r| r.kind == RelationKind::Reaction)
            });
            let before = match before.map(|e| &e.content) {
                Some(Content::Reaction { keys }) => keys.as_slice(),
                _ => &[],
            };
            Ok(Reactions::between(before, keys))
        })
        .await
        .unwrap_or_default()
    };
    cell.get_or_init(|| read).await.clone()
}

fn membership(s: &mut Session, a: &Arc<Announced>, change: &sammen_core::event::MembershipChange) {
    let own = change.who == s.me().account;
    match change.action {
        MembershipAction::Joined if own => return,
        MembershipAction::Joined => {
            s.me_mut().told_away.insert(change.who.clone(), false);
        }
        MembershipAction::Invited => {
            // invite-notify: to those who could have invited.
            let account = s.account();
            if s.has(Cap::InviteNotify)
                && a.event.author != account
                && a.convo.role(&account) == Role::Moderator
            {
                invite(s, a, &change.who);
            }
            return;
        }
        _ => {}
    }
    let bytes = out::announced(&s.server, a, View::of(s.caps));
    if !bytes.is_empty() {
        s.emit(bytes);
    }
    let gone = matches!(
        change.action,
        MembershipAction::Left | MembershipAction::Kicked | MembershipAction::Banned
    );
    if gone && own {
        s.me_mut().rooms.remove(&a.event.conversation);
    }
}

fn invite(s: &mut Session, a: &Announced, who: &Address) {
    let Some(room) = a.convo.conversation.room() else {
        return;
    };
    let names = &s.server.names;
    let line = Line::new(names.mask(&a.event.author))
        .cmd("INVITE")
        .param(names.nick(who))
        .param(names.channel(room));
    let tags = event_tags(s, a);
    s.emit_line(line.tags(tags));
}

pub(crate) fn event_tags(s: &Session, a: &Announced) -> TagBuf {
    let mut tags = TagBuf::new();
    if s.has(Cap::ServerTime) {
        tags.push(names::TIME, crate::wire::time::format(a.event.at.0));
    }
    if s.has(Cap::MessageTags) {
        tags.push(names::MSGID, a.event.id.encode());
    }
    if s.has(Cap::AccountTag)
        && let Some(account) = s.server.names.account(&a.event.author)
    {
        tags.push(names::ACCOUNT, account);
    }
    tags
}

/// Something in a room that this session is not in: invitations, and joining by another session of the account.
async fn outside(s: &mut Session, a: &Arc<Announced>) {
    let Content::Membership(change) = &a.event.content else {
        return;
    };
    if change.who != s.me().account {
        return;
    }
    match change.action {
        MembershipAction::Invited => invite(s, a, &change.who),
        MembershipAction::Joined => {
            crate::replay::enter(s, vec![a.event.conversation]).await;
        }
        _ => {}
    }
}

fn room_change(s: &mut Session, a: &Arc<Announced>, change: &RoomChange) {
    match change {
        RoomChange::Settings(_) => {
            let account = s.account();
            let lists = a.convo.role(&account) == Role::Moderator;
            let Some(inside) = s.me_mut().rooms.get_mut(&a.event.conversation) else {
                return;
            };
            let before = std::mem::replace(&mut inside.shown, a.convo.clone());
            let channel = inside.channel.clone();
            let changes = modes::changes(
                &before.conversation.settings,
                &a.convo.conversation.settings,
                lists,
            );
            let source = s.server.names.mask(&a.event.author);
            mode_lines(s, &source, &channel, &changes, Some(a));
        }
        RoomChange::Destroyed { .. } => {}
        _ => {
            let bytes = out::announced(&s.server, a, View::of(s.caps));
            if !bytes.is_empty() {
                s.emit(bytes);
            }
            if let (RoomChange::Name(name), Some(room)) = (change, a.convo.conversation.room())
                && a.origin != Some(s.id())
            {
                let change = crate::commands::metadata::Change {
                    of: room.clone(),
                    key: crate::commands::setname::DISPLAY_NAME.to_owned(),
                    value: Some(out::one_line(name)).filter(|n| !n.is_empty()),
                    by: a.event.author.clone(),
                };
                crate::commands::metadata::told(s, &change);
            }
        }
    }
}

pub(crate) fn mode_lines(
    s: &mut Session,
    source: &str,
    channel: &str,
    changes: &[crate::wire::modes::ModeChange],
    a: Option<&Announced>,
) {
    for (modes, args) in crate::wire::modes::render(changes, modes::PER_LINE, 350) {
        let line = Line::new(source).cmd("MODE").param(channel).param(modes);
        let line = args.iter().fold(line, |line, arg| line.param(arg));
        let line = match a {
            Some(a) => {
                let tags = event_tags(s, a);
                line.tags(tags)
            }
            None => line,
        };
        s.emit_line(line);
    }
}

async fn state(s: &mut Session, change: &Arc<StateChange>) {
    match &**change {
        StateChange::Occupant(change) => {
            s.own_event = change.origin == Some(s.id());
            occupancy::occupant(s, change).await;
            s.own_event = false;
        }
        StateChange::Presence { account, .. } => {
            crate::commands::monitor::presence(s, account).await;
        }
        StateChange::Typing {
            convo,
            who,
            typing,
            origin,
            ..
        } => {
            if *origin != Some(s.id()) && *who != s.me().account {
                occupancy::typing(s, convo, who, *typing);
            }
        }
        StateChange::Read {
            conversation,
            event,
            origin,
            ..
        } => {
            if *origin != Some(s.id()) && s.has(Cap::ReadMarker) {
                crate::commands::markread::told(s, *conversation, event.at);
            }
        }
        StateChange::Contact {
            account,
            contact,
            cause: ContactCause::Asks,
            ..
        } if *account == s.me().account => {
            let nick = s.server.names.nick(contact);
            s.notice(&format!(
                "{nick} asks to see when you are here: /quote CONTACT ALLOW {nick}, or CONTACT DENY {nick}"
            ));
        }
        StateChange::Contact { contact, .. } => {
            crate::commands::monitor::presence(s, contact).await;
        }
        StateChange::SignedIn { device } => {
            let what = device
                .label
                .clone()
                .unwrap_or_else(|| "a new device".into());
            let protocol = device.protocol.name();
            s.notice(&format!(
                "Your account signed in from {what} ({protocol}). If that was not you, change your password."
            ));
        }
        StateChange::Keys { device, change } => s.notice(&change.words(device)),
        StateChange::Announced(word) => {
            let lines: Vec<&str> = word.subject.iter().map(String::as_str).collect();
            for line in lines.into_iter().chain(word.text.lines()) {
                s.notice(line);
            }
        }
        StateChange::Custom {
            protocol: sammen_core::Protocol::Irc,
            payload,
            ..
        } => crate::commands::told(s, payload),
        StateChange::Custom { .. } => {}
    }
}

/// Too many changes of presence and places at once: the lists are told anew.
fn state_lost(s: &mut Session) {
    s.me_mut().told_away.clear();
    let rooms: Vec<_> = s.me().rooms.keys().copied().collect();
    for id in rooms {
        if let Ok(Some(convo)) = s.server.node.convo(id) {
            crate::commands::names::send(s, &convo);
        }
    }
}

/// Lines that another session handed over: CTCP, WALLOPS.
fn one_shot(s: &mut Session, signal: &Signal) {
    if let Ok(lines) = signal.payload.clone().downcast::<bytes::Bytes>() {
        s.emit((*lines).clone());
    }
}

/// The outcome of something submitted.
fn done(s: &mut Session, ticket: u64, result: Result<Sent, Refusal>) {
    let me = s.me_mut();
    let Some(at) = me.pending.iter().position(|p| p.ticket == ticket) else {
        return;
    };
    let Some(pending) = me.pending.remove(at) else {
        return;
    };
    if let Ok(sent) = &result {
        // What is left over was not echoed.
        me.labelled.lock().retain(|(id, _)| *id != sent.id);
    }
    match result {
        Ok(_) => {
            if let Some(label) = pending.label {
                let line = s.server_line("ACK").finish();
                s.emit(tagged(&line.into(), &label_tag(&label)));
            }
        }
        Err(refusal) => refused(s, &pending, &refusal),
    }
}

fn refused(s: &mut Session, pending: &Pending, refusal: &Refusal) {
    // NOTICE is never answered (RFC 2812 §3.3.2), except with a label.
    if pending.verb == "NOTICE" && pending.label.is_none() && !s.has(Cap::StandardReplies) {
        return;
    }
    let target = pending.target.as_str();
    let line = crate::commands::redact::refusal_line(s, pending, refusal).unwrap_or_else(|| {
        let numeric = crate::refusal::for_message(refusal, target.starts_with(['#', '@']));
        s.numeric_line(numeric, &[target])
            .trailing(refusal.to_string())
    });
    let line = line.finish().into();
    match &pending.label {
        Some(label) => s.emit(tagged(&line, &label_tag(label))),
        None => s.emit(line),
    }
}
