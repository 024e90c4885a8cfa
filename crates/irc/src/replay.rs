//! Coming in: the rooms of the account, and for clients without CHATHISTORY what they missed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sammen_core::live::{Announced, Presence, Show};
use sammen_core::ops::{self, rooms::Entered, send};
use sammen_core::tx::Tx;
use sammen_core::{Address, Content, ConversationId, Outcome, Seq, Timestamp};

use crate::session::{Inside, Session};
use crate::translate::out::{self, View};
use crate::wire::caps::Cap;

/// Events read at once.
const PAGE: usize = 500;
/// Bytes of what was missed that a client gets at most; the latest come.
const MOST_BYTES: usize = 1024 * 1024;

/// A room that a session has come into.
pub(crate) struct Entrance {
    pub entered: Entered,
    /// Up to when the account read it.
    pub read: Option<Timestamp>,
}

/// What the session shows of its person.
pub(crate) fn presence(away: Option<&str>) -> Presence {
    Presence {
        show: if away.is_some() {
            Show::Away
        } else {
            Show::Online
        },
        status: away.map(str::to_owned),
        ..Presence::default()
    }
}

/// After the welcome: presence, rooms, what was missed. Everything up to `seq` is history to the session.
pub(crate) async fn come_back(s: &mut Session, seq: Seq) {
    let node = s.server.node.clone();
    let account = s.account();
    let shown = presence(s.me().away.as_deref());
    let id = s.id();
    let mine = account.clone();
    let rooms = node
        .read(move |node| {
            let mut rooms = Vec::new();
            for id in node.store().conversations_of(&mine)? {
                let Some(convo) = node.convo(id)? else {
                    continue;
                };
                if convo.is_room() && !convo.conversation.destroyed && convo.has(&mine) {
                    rooms.push(id);
                }
            }
            Ok(rooms)
        })
        .await
        .unwrap_or_default();
    let who = account.clone();
    let told = node
        .write(move |tx| ops::presence::set(tx, id, &who, shown))
        .await;
    if let Err(refusal) = told {
        return s.close(&refusal.to_string());
    }
    // What is said in a room before the session is in comes to no mailbox.
    let entered = enter(s, rooms.clone()).await.max(seq);
    let after = s.me().device.cursor;
    if !s.has(Cap::Chathistory) && after < entered {
        missed(s, rooms, after, seq, entered).await;
    }
    let me = s.me_mut();
    me.cursor = me.cursor.max(seq);
    questions(s);
}

/// Contact questions that wait for an answer.
fn questions(s: &mut Session) {
    let account = s.account();
    let Ok(contacts) = s.server.node.contacts(&account) else {
        return;
    };
    let asking: Vec<_> = contacts
        .iter()
        .filter(|(_, c)| c.asks.is_some())
        .take(20)
        .collect();
    for (who, _) in asking {
        let nick = s.server.names.nick(who);
        s.notice(&format!(
            "{nick} asks to see when you are here: /quote CONTACT ALLOW {nick}, or CONTACT DENY {nick}"
        ));
    }
}

/// Brings the session into rooms of which its account is a member, and shows them. Returns up to where what was said in
/// them is history to the session.
pub(crate) async fn enter(s: &mut Session, rooms: Vec<ConversationId>) -> Seq {
    let mut upto = Seq(0);
    if rooms.is_empty() {
        return upto;
    }
    let (account, id) = (s.account(), s.id());
    let shown = presence(s.me().away.as_deref());
    let written = s.server.node.write(move |tx| {
        let mut out = Vec::with_capacity(rooms.len());
        for room in rooms {
            // One that was left meanwhile is none.
            if let Ok(entrance) = enter_in(tx, id, &account, room, shown.clone()) {
                out.push(entrance);
            }
        }
        Ok(out)
    });
    match written.await {
        Ok(entrances) => {
            for entrance in entrances {
                upto = upto.max(entrance.entered.seq);
                show(s, &entrance).await;
            }
        }
        Err(refusal) => s.notice(&format!("Your rooms could not be entered: {refusal}")),
    }
    upto
}

/// Enters inside a write.
pub(crate) fn enter_in(
    tx: &mut Tx<'_>,
    session: sammen_core::SessionId,
    account: &Address,
    room: ConversationId,
    shown: Presence,
) -> Outcome<Entrance> {
    let entered = ops::rooms::enter(tx, session, account, room, shown)?;
    let mark = tx.document(&account.into(), send::READ, &room.to_string())?;
    let mark: Option<send::ReadMark> = mark
        .and_then(|d| d.value)
        .and_then(|v| sammen_core::tx::decode(&v));
    Ok(Entrance {
        entered,
        read: mark.map(|m| m.at),
    })
}

/// JOIN, topic, read marker and names of a room that the session has come into.
pub(crate) async fn show(s: &mut Session, entrance: &Entrance) {
    let convo = &entrance.entered.convo;
    let Some(room) = convo.conversation.room() else {
        return;
    };
    if !convo.is_ours() {
        // It was entered by another app of the account perhaps: here it stays while that is gone.
        let (node, who, room) = (s.server.node.clone(), s.account(), room.clone());
        tokio::spawn(async move {
            if let Err(refusal) = node.enter_elsewhere(&who, &room, None).await {
                tracing::debug!(protocol = "irc", %refusal, "a room elsewhere is not held");
            }
        });
    }
    // It is in already: what waits in its mailbox is not history, and it was told of the room as it was.
    if s.me().rooms.contains_key(&convo.id()) {
        return;
    }
    let channel = s.server.names.channel(room);
    let inside = Inside {
        since: entrance.entered.seq,
        shown: convo.clone(),
        channel: channel.clone(),
    };
    s.me_mut().rooms.insert(convo.id(), inside);
    appear(s, convo, &channel, entrance.read);
    crate::commands::metadata::entered(s, convo).await;
}

/// The lines of coming in.
pub(crate) fn appear(
    s: &mut Session,
    convo: &Arc<sammen_core::Convo>,
    channel: &str,
    read: Option<Timestamp>,
) {
    let account = s.account();
    let line = out::join(&s.server, &account, channel, View::of(s.caps));
    s.reply(line);
    if convo.conversation.settings.topic.is_some() {
        crate::commands::topic::send(s, convo);
    }
    if s.has(Cap::ReadMarker) {
        crate::commands::markread::send(s, channel, read);
    }
    if !s.caps.no_implicit_names() {
        crate::commands::names::send(s, convo);
    }
}

/// Messages since the device was here last, for clients that can't ask for them: direct ones up to `seq`, behind which
/// they come through the mailbox, and those of rooms up to `upto`.
async fn missed(s: &mut Session, rooms: Vec<ConversationId>, mut after: Seq, seq: Seq, upto: Seq) {
    let config = s.server.config();
    let (most, looks) = (config.replay, config.replay_looks);
    let node = s.server.node.clone();
    let account = s.account();
    let mut latest: VecDeque<Arc<Announced>> = VecDeque::new();
    let (mut looked, mut left_out, mut skipped) = (0, 0_usize, false);
    loop {
        let page = node
            .changes(&account, rooms.clone(), after, upto, PAGE)
            .await;
        let Ok(page) = page else { return };
        let Some(last) = page.last() else { break };
        after = last.event.seq;
        let whole = page.len() < PAGE;
        looked += page.len();
        for announced in page {
            let speech = matches!(
                announced.event.content,
                Content::Message(_) | Content::Edit(_) | Content::Encrypted { .. }
            );
            let live = !announced.convo.is_room() && announced.event.seq > seq;
            if speech && !live {
                if latest.len() >= most {
                    latest.pop_front();
                    left_out += 1;
                }
                latest.push_back(announced);
            }
        }
        if whole {
            break;
        }
        // Too much to look at all of it: on to the end, where no more than as much again can be.
        let end = Seq(upto.0.saturating_sub(looks as u64));
        if looked >= looks && !skipped && after < end {
            (after, skipped) = (end, true);
            latest.clear();
        }
    }
    let view = View::of(s.caps).past();
    let server = s.server.clone();
    let mut bytes = 0;
    let fits = |a: &&Arc<Announced>| {
        let lines = out::event(&server, &a.event, &a.convo, a.about.as_deref(), view, None);
        bytes += lines.len();
        bytes <= MOST_BYTES
    };
    let fitting = latest.iter().rev().take_while(fits).count();
    let too_many = latest.len() - fitting;
    left_out += too_many;
    latest.drain(..too_many);
    if left_out > 0 || skipped {
        // Never silently.
        let text = match skipped {
            true => "You missed more than is shown here: other apps have all of it.".to_owned(),
            false => format!(
                "{left_out} messages before these are not shown here: other apps have them."
            ),
        };
        s.notice(&text);
    }
    if !s.has(Cap::Batch) {
        for a in latest {
            let lines = out::event(&server, &a.event, &a.convo, a.about.as_deref(), view, None);
            s.emit(lines.into());
        }
        return;
    }
    let mut by_place: BTreeMap<ConversationId, Vec<Arc<Announced>>> = BTreeMap::new();
    for a in latest {
        by_place.entry(a.event.conversation).or_default().push(a);
    }
    for events in by_place.into_values() {
        let Some(first) = events.first() else {
            continue;
        };
        let target = target_of(s, &first.convo);
        let batch = s.batch_ref();
        let open = s
            .server_line("BATCH")
            .param(format!("+{batch}"))
            .param("chathistory")
            .param(target);
        s.emit_line(open);
        for a in &events {
            let about = a.about.as_deref();
            let lines = out::event(&server, &a.event, &a.convo, about, view, Some(&batch));
            s.emit(lines.into());
        }
        let close = s.server_line("BATCH").param(format!("-{batch}"));
        s.emit_line(close);
    }
}

/// How this session calls a conversation: its channel, or the other one's nick.
pub(crate) fn target_of(s: &Session, convo: &sammen_core::Convo) -> String {
    let names = &s.server.names;
    match convo.conversation.room() {
        Some(room) => names.channel(room),
        None => {
            let me = &s.me().account;
            names.nick(convo.conversation.peer_of(me).unwrap_or(me))
        }
    }
}
