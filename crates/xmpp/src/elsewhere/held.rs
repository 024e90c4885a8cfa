//! The place in a room elsewhere that the node holds for an account: for its people on other protocols, and while none
//! of its clients is there. It is entered again when it was lost (XEP-0410), also after the node was away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sammen_core::document::Owner;
use sammen_core::event::MembershipAction;
use sammen_core::ops::projection;
use sammen_core::tx::{Expect, decode, encode};
use sammen_core::{Address, ConversationId, Outcome, Refusal};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::room::{Input, Room, Seat};
use super::{Elsewhere, held_jid, history};
use crate::server::Server;
use crate::wire::{Condition, Element, Jid, StanzaError, Str, ns};

/// The shelf that remembers which rooms are held for an account, by bare JID.
const SHELF: &str = "xmpp-elsewhere";
/// How long a room may take to let one in, and to answer a question.
const PATIENCE: Duration = Duration::from_secs(20);
/// After this long without a word from the room the node asks whether it is still in (XEP-0410 §3).
const PING_AFTER: Duration = Duration::from_secs(300);
/// How long the archive rests where much was missed, before it is asked for more.
const MORE_AFTER: Duration = Duration::from_secs(5);
/// The first pause before entering again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(600));
/// Rooms that are held for one account.
const MOST: usize = 200;

/// What is remembered of a held place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    password: Option<String>,
}

/// Brings an account into a room elsewhere and holds its place. Ready when the room has let it in.
///
/// # Errors
/// What the room or the way there refuses with.
pub async fn enter(
    server: &Arc<Server>,
    who: &Address,
    room: &Address,
    password: Option<&str>,
) -> Outcome<()> {
    let all = Elsewhere::of(server);
    if all.way.get().is_none() {
        return Err(Refusal::Unreachable);
    }
    let jid = Jid::new(room.name()).map_err(|_| Refusal::InvalidName)?;
    let full = held_jid(server, who).filter(|_| who.is_account());
    let full = full.ok_or(Refusal::Forbidden("only accounts go to other servers"))?;
    if !jid.is_bare() || jid.local().is_none() {
        return Err(Refusal::InvalidName);
    }
    let place = all.open(server, &jid, room);
    let (told, told_later) = oneshot::channel();
    let first = {
        let holds = |r: &&Arc<Room>| r.seats.lock().contains_key(full.as_str());
        let count = all.rooms.lock().values().filter(holds).count();
        let mut seats = place.seats.lock();
        match seats.get_mut(full.as_str()) {
            Some(seat) if seat.inside => return Ok(()),
            Some(seat) => {
                seat.waiting.push(told);
                false
            }
            None if count >= MOST => return Err(Refusal::TooMany),
            None => {
                let mut seat = Seat::new(who.clone(), who.name(), true);
                seat.waiting.push(told);
                seats.insert(full.to_str(), seat);
                true
            }
        }
    };
    if !first {
        let waited = timeout(PATIENCE * 2, told_later).await;
        return waited
            .map_err(|_| Refusal::Unreachable)?
            .unwrap_or(Err(Refusal::Unreachable));
    }
    let kept = Kept {
        password: password.map(str::to_owned),
    };
    let entered = try_to_enter(server, &place, &full, who, &kept).await;
    let more = match entered {
        Ok(more) => more,
        Err(refusal) => {
            give_up(&all, &place, &full);
            return Err(refusal);
        }
    };
    remember(server, who, room, Some(&kept)).await?;
    tokio::spawn(keep(server.clone(), place, full, who.clone(), kept, more));
    Ok(())
}

fn give_up(all: &Elsewhere, room: &Room, full: &Jid) {
    if let Some(seat) = room.seats.lock().remove(full.as_str()) {
        for waits in seat.waiting {
            let _ = waits.send(Err(Refusal::Unreachable));
        }
    }
    all.close_if_empty(room);
}

async fn remember(
    server: &Server,
    who: &Address,
    room: &Address,
    kept: Option<&Kept>,
) -> Outcome<()> {
    let value = kept.map(encode).transpose()?;
    let (owner, key) = (Owner::from(who), room.name().to_owned());
    server
        .node
        .write(move |tx| {
            tx.put_document(&owner, SHELF, &key, Expect::Anything, value)
                .map(drop)
        })
        .await
}

/// One try: what the room says of itself, entering, what was said before. Whether more of that is missing.
async fn try_to_enter(
    server: &Arc<Server>,
    room: &Arc<Room>,
    full: &Jid,
    who: &Address,
    kept: &Kept,
) -> Outcome<bool> {
    let query = Element::new(ns::DISCO_INFO, "query");
    let info = ask(server, full, &room.jid, "get", query).await?;
    if info.get("type") == Some("error") {
        let error = StanzaError::of_stanza(&info);
        return Err(match error.map(|e| e.condition) {
            // Entering would make it, there, in our person's name: that is not what they asked for.
            Some(Condition::ItemNotFound) => Refusal::NotFound,
            Some(Condition::RemoteServerNotFound | Condition::RemoteServerTimeout) => {
                Refusal::Unreachable
            }
            Some(Condition::Gone) => Refusal::Gone(None),
            _ => Refusal::Forbidden("the room says nothing of itself"),
        });
    }
    let Some(query) = info.find("query", ns::DISCO_INFO) else {
        return Err(Refusal::NotFound);
    };
    let room_there = query
        .all("identity", ns::DISCO_INFO)
        .any(|i| i.get("category") == Some("conference"));
    if !room_there {
        return Err(Refusal::NotFound);
    }
    let has = |var: &str| {
        query
            .all("feature", ns::DISCO_INFO)
            .any(|f| f.get("var") == Some(var))
    };
    let (archived, moderated, closed) =
        (has(ns::MAM), has("muc_moderated"), has("muc_membersonly"));
    let name = query
        .find("identity", ns::DISCO_INFO)
        .and_then(|i| i.get("name"))
        .map(|n| n.chars().take(256).collect::<String>());
    let nick = who.name().to_owned();
    let mut wanted = nick.clone();
    let mut tries = 0;
    loop {
        match come_in(server, room, full, who, &wanted, archived, kept).await {
            // Somebody there goes by that nick.
            Err(Refusal::Taken) if tries < 3 => {
                tries += 1;
                wanted = format!("{nick}{}", "_".repeat(tries));
            }
            Err(other) => return Err(other),
            Ok(()) => break,
        }
    }
    let home = room.address.clone();
    let shown = server
        .node
        .write(move |tx| {
            let id = tx.room(&home)?.id();
            projection::settings(tx, id, |s| {
                s.name = name.filter(|n| !n.is_empty());
                s.moderated = moderated;
                s.join_rule = if closed {
                    sammen_core::conversation::JoinRule::Members
                } else {
                    sammen_core::conversation::JoinRule::Open
                };
            })
        })
        .await;
    room.archived.store(archived, Ordering::Relaxed);
    let more = history::fill(server, room, full).await;
    if archived {
        room.put(Input::Follows).await;
    }
    shown.map(|()| more)
}

async fn come_in(
    server: &Arc<Server>,
    room: &Arc<Room>,
    full: &Jid,
    who: &Address,
    nick: &str,
    archived: bool,
    kept: &Kept,
) -> Outcome<()> {
    let to = room.jid.with_resource(nick);
    let to = to.map_err(|_| Refusal::InvalidName)?;
    let (told, entered) = oneshot::channel();
    {
        let mut seats = room.seats.lock();
        let seat = seats
            .entry(full.to_str())
            .or_insert_with(|| Seat::new(who.clone(), nick, true));
        seat.inside = false;
        seat.roster.clear();
        nick.clone_into(&mut seat.nick);
        seat.waiting.push(told);
    }
    if archived {
        // What is said from here on comes behind what the archive has.
        room.put(Input::Waits).await;
    }
    // Where there is an archive it tells the past better.
    let history = Element::new(ns::MUC, "history");
    let history = match archived {
        true => history.attr("maxchars", "0"),
        false => history.attr("maxstanzas", "50"),
    };
    let password = kept.password.as_deref();
    let x = Element::new(ns::MUC, "x")
        .child(history)
        .children(password.map(|p| Element::new(ns::MUC, "password").text(p)));
    let presence = Element::new(ns::CLIENT, "presence")
        .attr("from", full.to_str())
        .attr("to", to.to_str())
        .child(x);
    Elsewhere::of(server).post(&presence);
    let waited = timeout(PATIENCE, entered).await;
    let outcome = match waited {
        Ok(Ok(outcome)) => outcome,
        _ => Err(Refusal::Unreachable),
    };
    if outcome.is_err() && archived {
        room.put(Input::Follows).await;
    }
    outcome
}

/// Asks a room something in the name of one of our full addresses.
pub(super) async fn ask(
    server: &Arc<Server>,
    full: &Jid,
    whom: &Jid,
    kind: &'static str,
    child: Element,
) -> Outcome<Element> {
    let all = Elsewhere::of(server);
    let id: Str = format!("e-{:016x}", server.node.clock().random() >> 64).into();
    let (told, answer) = oneshot::channel();
    all.asked.lock().insert(id.clone(), (whom.clone(), told));
    let iq = Element::new(ns::CLIENT, "iq")
        .attr("type", kind)
        .attr("id", id.clone())
        .attr("from", full.to_str())
        .attr("to", whom.to_str())
        .child(child);
    all.post(&iq);
    let answer = timeout(PATIENCE, answer).await;
    all.asked.lock().remove(&id);
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        _ => Err(Refusal::Unreachable),
    }
}

/// Whether trying again may help.
const fn passes(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Unreachable | Refusal::TryLater | Refusal::RoomFull | Refusal::DiskFull
    )
}

/// Looks after a held place until it is left or taken away for good.
async fn keep(
    server: Arc<Server>,
    room: Arc<Room>,
    full: Jid,
    who: Address,
    kept: Kept,
    mut more: bool,
) {
    let mut pause = PAUSES.0;
    loop {
        let look = if more { MORE_AFTER } else { PING_AFTER };
        tokio::select! {
            () = sleep(look) => {}
            () = room.lost.notified() => {}
        }
        let seen = {
            let seats = room.seats.lock();
            seats
                .get(full.as_str())
                .map(|s| (s.inside, s.heard, s.nick.clone()))
        };
        // Left, thrown out, or the room is gone: the projection says so already.
        let Some((inside, heard, nick)) = seen else {
            let _ = remember(&server, &who, &room.address, None).await;
            return;
        };
        if inside {
            let quiet = Instant::now().duration_since(heard) >= PING_AFTER;
            if !quiet || still_in(&server, &room, &full, &nick).await {
                // Also what an archive that did not answer still owes.
                more = history::fill(&server, &room, &full).await;
                continue;
            }
        }
        loop {
            match try_to_enter(&server, &room, &full, &who, &kept).await {
                Ok(left) => {
                    (pause, more) = (PAUSES.0, left);
                    break;
                }
                Err(refusal) if passes(&refusal) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                    if !room.seats.lock().contains_key(full.as_str()) {
                        let _ = remember(&server, &who, &room.address, None).await;
                        return;
                    }
                }
                Err(refusal) => {
                    tracing::debug!(protocol = "xmpp", %refusal, "a room elsewhere no longer lets in");
                    return is_out(&server, &room, &full, &who).await;
                }
            }
        }
    }
}

/// XEP-0410: whether the room still knows us.
async fn still_in(server: &Arc<Server>, room: &Room, full: &Jid, nick: &str) -> bool {
    let Ok(own) = room.jid.with_resource(nick) else {
        return false;
    };
    let ping = Element::new(ns::PING, "ping");
    let Ok(answer) = ask(server, full, &own, "get", ping).await else {
        return false;
    };
    // §3.3: in, though nobody answers, or the room doesn't pass it on, or under another nick.
    let fine = |e: StanzaError| {
        matches!(
            e.condition,
            Condition::ServiceUnavailable
                | Condition::FeatureNotImplemented
                | Condition::ItemNotFound
        )
    };
    answer.get("type") == Some("result") || StanzaError::of_stanza(&answer).is_some_and(fine)
}

/// The place is lost for good.
async fn is_out(server: &Arc<Server>, room: &Arc<Room>, full: &Jid, who: &Address) {
    give_up(&Elsewhere::of(server), room, full);
    let _ = remember(server, who, &room.address, None).await;
    if room.has(who) {
        return;
    }
    let (home, who) = (room.address.clone(), who.clone());
    let written = server.node.write(move |tx| {
        let id: ConversationId = tx.room(&home)?.id();
        projection::went(tx, id, &who, MembershipAction::Left, None, None)
    });
    if let Err(refusal) = written.await {
        tracing::debug!(protocol = "xmpp", %refusal, "a membership did not end");
    }
}

/// An account leaves a room elsewhere: its held place is given up.
pub(super) async fn leave(server: &Arc<Server>, who: &Address, room: &Address, why: Option<&str>) {
    let all = Elsewhere::of(server);
    let _ = remember(server, who, room, None).await;
    let (Some(place), Some(full)) = (all.room(room), held_jid(server, who)) else {
        return;
    };
    let nick = place
        .seats
        .lock()
        .get(full.as_str())
        .map(|s| s.nick.clone());
    let Some(nick) = nick else { return };
    if let Ok(to) = place.jid.with_resource(&nick) {
        let gone = Element::new(ns::CLIENT, "presence")
            .attr("type", "unavailable")
            .attr("from", full.to_str())
            .attr("to", to.to_str())
            .children(why.map(|w| Element::new(ns::CLIENT, "status").text(w)));
        all.post(&gone);
    }
    give_up(&all, &place, &full);
    if !place.has(who) {
        place.own.lock().retain(|_, a| a != who);
    }
    place.lost.notify_one();
}

/// After the node was away: places that it held are taken again.
pub(super) async fn come_back(server: Arc<Server>) {
    let found = server.node.read(|node| {
        let mut found = Vec::new();
        let mut after: Option<Address> = None;
        loop {
            let page = node.rooms(after.as_ref(), 500)?;
            let Some(last) = page.last().and_then(|c| c.conversation.room().cloned()) else {
                return Ok(found);
            };
            after = Some(last);
            for convo in page.iter().filter(|c| !c.is_ours()) {
                let Some(room) = convo.conversation.room() else {
                    continue;
                };
                for member in convo.joined().filter(|m| m.address.is_account()) {
                    let owner = Owner::from(&member.address);
                    let kept = node.store().document(&owner, SHELF, room.name())?;
                    let kept = kept.and_then(|d| d.value).and_then(|v| decode::<Kept>(&v));
                    found.extend(kept.map(|k| (room.clone(), member.address.clone(), k)));
                }
            }
        }
    });
    let all = Elsewhere::of(&server);
    for (address, who, kept) in found.await.unwrap_or_default() {
        let (Ok(jid), Some(full)) = (Jid::new(address.name()), held_jid(&server, &who)) else {
            continue;
        };
        let room = all.open(&server, &jid, &address);
        room.seats
            .lock()
            .entry(full.to_str())
            .or_insert_with(|| Seat::new(who.clone(), who.name(), true));
        room.lost.notify_one();
        tokio::spawn(keep(server.clone(), room, full, who, kept, false));
    }
}
