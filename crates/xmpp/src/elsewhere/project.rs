//! What a room elsewhere tells one of ours: to core's projection, and to the client it was for.

use std::sync::Arc;

use sammen_core::convo::Convo;
use sammen_core::event::{
    Acceptance, Content, ForeignId, MembershipAction, Native, Relation, RelationKind, Scheme,
};
use sammen_core::live::StateChange;
use sammen_core::member::{Role, Standing};
use sammen_core::ops::home::{self, Incoming};
use sammen_core::ops::projection::{self, Seen};
use sammen_core::tx::Tx;
use sammen_core::{Address, EventId, Outcome, Protocol, Refusal, Settings, Timestamp, ops};
use tokio::time::Instant;

use super::history::{self, Page};
use super::room::Room;
use super::{Elsewhere, Token, address};
use crate::live_stanza::LiveStanza;
use crate::muc::names::{self, status};
use crate::server::Server;
use crate::time;
use crate::translate::incoming::{self, Act};
use crate::translate::{self, Envelope};
use crate::wire::{Condition, Element, Jid, Payload, StanzaError, ns};

/// Longest nick of somebody elsewhere that is shown, in bytes.
const NICK_BYTES: usize = 256;

/// One stanza of a room's for one of our full addresses.
pub(super) async fn stanza(
    server: &Arc<Server>,
    room: &Arc<Room>,
    from: &Jid,
    to: &Jid,
    el: &Element,
    token: Token,
) {
    let held = {
        let mut seats = room.seats.lock();
        let Some(seat) = seats.get_mut(to.as_str()) else {
            return;
        };
        seat.heard = Instant::now();
        seat.held
    };
    let news = match el.name() {
        "presence" => presence(server, room, from, to, el),
        "message" if el.get("type") == Some("error") => returned(el),
        "message" => message(server, room, from, el),
        _ => News::default(),
    };
    let News {
        changes,
        waiting,
        outcome,
        rings,
    } = news;
    let client = (!held).then(|| to.clone());
    let (raw, here) = (el.clone(), room.clone());
    let session = client.and_then(|jid| {
        let account = server.place(&jid.bare());
        let crate::address::Place::Account(account) = account else {
            return None;
        };
        let resource = jid.resource()?;
        Some((server.session(&account, resource)?.id, resource.to_owned()))
    });
    let written = server
        .node
        .write(move |tx| {
            let done = apply(tx, &here, changes);
            if let Some((session, resource)) = session {
                let change = Arc::new(LiveStanza::of(&raw, Some(&resource)).change());
                tx.after(move |live| live.tell_session(session, &change));
            }
            Ok(done)
        })
        .await;
    drop(token);
    let done = written.and_then(|done| done);
    if let Err(refusal) = &done {
        tracing::debug!(protocol = "xmpp", %refusal, "a room elsewhere is not shown as it is");
    }
    for waits in waiting {
        let _ = waits.send(done.clone().and(outcome.clone()));
    }
    if rings {
        room.lost.notify_one();
    }
    Elsewhere::of(server).close_if_empty(room);
}

/// What a stanza means.
struct News {
    changes: Vec<Change>,
    /// Who waited for it.
    waiting: Vec<tokio::sync::oneshot::Sender<Outcome<()>>>,
    /// What they are told where the projection took it.
    outcome: Outcome<()>,
    /// A held place is lost: whoever keeps it looks at it.
    rings: bool,
}

impl Default for News {
    fn default() -> Self {
        Self {
            changes: Vec::new(),
            waiting: Vec::new(),
            outcome: Ok(()),
            rings: false,
        }
    }
}

/// A change of the projection.
enum Change {
    /// One of ours is let in.
    In,
    Present(Vec<Seen>),
    Came(Seen),
    Went {
        who: Address,
        action: MembershipAction,
        by: Option<Address>,
        reason: Option<String>,
    },
    Topic(String, Address, bool),
    Said(Said),
    Typing(Address, sammen_core::live::Typing),
    Returned(String, StanzaError),
}

/// A message of the room.
struct Said {
    author: Address,
    content: Content,
    relation: Option<Relation>,
    native: Native,
    at: Option<Timestamp>,
    stanza_id: Option<String>,
    /// Not told live: from before.
    past: bool,
    /// Goes where its time puts it.
    fills: bool,
}

fn apply(tx: &mut Tx<'_>, room: &Room, changes: Vec<Change>) -> Outcome<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let convo = home::project(tx, &room.address, Settings::default())?;
    let id = convo.id();
    for change in changes {
        match change {
            Change::In => history::came_in(tx, &convo, &room.jid)?,
            Change::Present(all) => projection::present(tx, id, &all)?,
            Change::Came(seen) => projection::came(tx, id, &seen)?,
            Change::Went {
                who,
                action,
                by,
                reason,
            } => projection::went(tx, id, &who, action, by.as_ref(), reason)?,
            Change::Topic(topic, by, told) => projection::topic(tx, id, &topic, &by, told)?,
            Change::Said(said) => match said_in(tx, &convo, said) {
                // It checks before it changes: what can't be kept is left out, and what follows is not.
                Err(why @ (Refusal::TooLarge | Refusal::TooMany | Refusal::Invalid(_))) => {
                    tracing::debug!(protocol = "xmpp", %why, "a message of a room elsewhere is not kept");
                }
                other => other?,
            },
            Change::Typing(who, typing) => {
                let convo = tx.convo(id)?;
                if !convo.has(&who) || who.is_account() {
                    continue;
                }
                let change = Arc::new(StateChange::Typing {
                    convo,
                    who,
                    typing,
                    origin: None,
                    native: None,
                });
                tx.after(move |live| live.tell_room(id, &change));
            }
            Change::Returned(id, error) => came_back(tx, &convo, &id, &error)?,
        }
    }
    Ok(())
}

/// A message: one that is known by the room's id, one of ours that the room took, or a new one.
fn said_in(tx: &mut Tx<'_>, convo: &Arc<Convo>, said: Said) -> Outcome<()> {
    let id = convo.id();
    let known = said.stanza_id.clone().map(|id| ForeignId {
        scheme: Scheme::RemoteStanzaId,
        id,
    });
    if let Some(known) = &known
        && tx.alias(id, known.scheme, None, &known.id)?.is_some()
    {
        return Ok(());
    }
    // Ours went out under the event's own id.
    let own = said.native.id.as_deref().and_then(|t| t.parse().ok());
    if said.author.is_account()
        && let Some(own) = own
        && let Some(event) = tx.event(own)?
        && event.conversation == id
        && event.author == said.author
    {
        return projection::accepted(tx, &event, known);
    }
    let mut relation = said.relation;
    if let Some(relation) = &mut relation {
        resolve(tx, convo, relation, &said.author)?;
    }
    let target = relation.as_ref().and_then(|r| r.target);
    let takes_back = matches!(said.content, Content::Retraction { .. });
    if (takes_back || matches!(said.content, Content::Edit(_))) && target.is_none() {
        // Nothing of ours is meant, or it is another one's.
        return Ok(());
    }
    let mut ids: Vec<ForeignId> = known.into_iter().collect();
    let most = tx.limits().foreign_id_bytes;
    let sender = said.native.id.clone();
    let sender = sender.filter(|id| !id.is_empty() && id.len() <= most);
    ids.extend(sender.map(|id| ForeignId {
        scheme: Scheme::XmppId,
        id,
    }));
    if said.stanza_id.is_none() {
        // Without an archive a message that is told twice is known by who wrote it and its own id.
        if let Some(first) = ids.first()
            && tx
                .alias(id, first.scheme, Some(&said.author), &first.id)?
                .is_some()
        {
            return Ok(());
        }
        ids.insert(
            0,
            ForeignId {
                scheme: Scheme::RemoteStanzaId,
                id: format!("{:032x}", tx.random()),
            },
        );
    }
    let author = said.author.clone();
    let incoming = Incoming {
        author: said.author,
        at: said.at.unwrap_or(tx.now).min(tx.now),
        content: said.content,
        native: Some(said.native),
        relation,
        ids,
        acceptance: Acceptance::Accepted,
        historical: said.past,
    };
    if said.fills {
        home::fill(tx, id, incoming)?;
    } else {
        home::receive(tx, id, incoming, None)?;
    }
    if let (true, Some(target)) = (takes_back, target)
        && let Some(event) = tx.event(target)?
    {
        ops::erase::erase_with_edits(tx, &event, Some(&author))?;
    }
    Ok(())
}

/// Finds what a message refers to, by the room's id or the sender's. Only one's own is corrected and taken back; the
/// room itself takes back anything.
fn resolve(
    tx: &mut Tx<'_>,
    convo: &Convo,
    relation: &mut Relation,
    author: &Address,
) -> Outcome<()> {
    let Some(foreign) = relation.foreign.clone() else {
        return Ok(());
    };
    let own_only = relation.kind == RelationKind::Edit || relation.kind == RelationKind::Retraction;
    let by_room = convo.conversation.room() == Some(author);
    let mut event = None;
    for scheme in [Scheme::RemoteStanzaId, Scheme::XmppId] {
        if event.is_none() {
            event = projection::known(tx, convo.id(), scheme, &foreign.id)?;
        }
    }
    if let (None, Ok(id)) = (&event, foreign.id.parse::<EventId>()) {
        event = tx.event(id)?;
    }
    let fits = |e: &Arc<sammen_core::Event>| {
        e.conversation == convo.id() && (!own_only || by_room || e.author == *author)
    };
    relation.target = event.filter(fits).map(|e| e.id);
    relation.foreign = None;
    Ok(())
}

/// The room did not take one of ours.
fn came_back(tx: &mut Tx<'_>, convo: &Arc<Convo>, id: &str, error: &StanzaError) -> Outcome<()> {
    let Ok(id) = id.parse::<EventId>() else {
        return Ok(());
    };
    let Some(event) = tx.event(id)? else {
        return Ok(());
    };
    let Some(room) = convo.conversation.room().cloned() else {
        return Ok(());
    };
    if event.conversation != convo.id() || event.acceptance != Acceptance::Pending {
        return Ok(());
    }
    let why = error
        .text
        .as_deref()
        .unwrap_or(error.condition.name())
        .to_owned();
    projection::refused(tx, &event, &room, &why)
}

fn returned(el: &Element) -> News {
    let (Some(id), Some(error)) = (el.get("id"), StanzaError::of_stanza(el)) else {
        return News::default();
    };
    News {
        changes: vec![Change::Returned(id.to_owned(), error)],
        ..News::default()
    }
}

/// Who goes by a nick: one of ours, by the room's own word, or somebody of whom only the nick is known.
fn who(room: &Room, nick: &str) -> Option<Address> {
    if let Some(account) = room.own.lock().get(nick) {
        return Some(account.clone());
    }
    if nick.len() > NICK_BYTES {
        return None;
    }
    address(&format!("{}/{nick}", room.jid))
}

fn codes(x: &Element) -> Vec<u16> {
    x.all("status", ns::MUC_USER)
        .filter_map(|s| s.get("code")?.parse().ok())
        .take(32)
        .collect()
}

fn presence(server: &Arc<Server>, room: &Arc<Room>, from: &Jid, to: &Jid, el: &Element) -> News {
    let Some(nick) = from.resource() else {
        // Of the room itself: its picture.
        return News::default();
    };
    let x = el.find("x", ns::MUC_USER);
    match el.get("type") {
        Some("error") => refused(server, room, to, el),
        None => {
            let Some(x) = x else { return News::default() };
            here(room, nick, to, x)
        }
        Some("unavailable") => {
            let Some(x) = x else { return News::default() };
            gone(room, nick, to, el, x)
        }
        Some(_) => News::default(),
    }
}

/// Somebody is in the room.
fn here(room: &Arc<Room>, nick: &str, to: &Jid, x: &Element) -> News {
    let item = x.find("item", ns::MUC_USER);
    let word = |name| item.and_then(|i| i.get(name));
    let standing = word("affiliation").and_then(names::standing);
    let role = word("role").and_then(names::role_named);
    let own = codes(x).contains(&status::SELF);
    let mut news = News::default();
    let mut seats = room.seats.lock();
    let others_inside = seats
        .iter()
        .any(|(full, s)| s.inside && full != to.as_str());
    let Some(seat) = seats.get_mut(to.as_str()) else {
        return news;
    };
    if own {
        nick.clone_into(&mut seat.nick);
        room.own
            .lock()
            .insert(nick.to_owned(), seat.account.clone());
    }
    let Some(who) = who(room, nick) else {
        return news;
    };
    let seen = Seen {
        who,
        nick: nick.to_owned(),
        standing: standing.unwrap_or(Standing::None),
        role: role.unwrap_or(Role::Participant),
    };
    if seat.inside {
        news.changes.push(Change::Came(seen));
        return news;
    }
    seat.roster.push(seen);
    if !own {
        return news;
    }
    // The own presence is the last of those that tell who is there (§7.2.2).
    seat.inside = true;
    news.changes.push(Change::In);
    news.waiting = std::mem::take(&mut seat.waiting);
    let roster = std::mem::take(&mut seat.roster);
    if others_inside {
        news.changes.extend(roster.into_iter().map(Change::Came));
    } else {
        news.changes.push(Change::Present(roster));
    }
    // Shown before as somebody of whom only the nick is known.
    if let Some(stranger) = address(&format!("{}/{nick}", room.jid)) {
        news.changes.push(Change::Went {
            who: stranger,
            action: MembershipAction::Left,
            by: None,
            reason: None,
        });
    }
    news
}

/// Somebody is no longer in the room, or not under this nick.
fn gone(room: &Arc<Room>, nick: &str, to: &Jid, el: &Element, x: &Element) -> News {
    let codes = codes(x);
    let has = |code: u16| codes.contains(&code);
    let item = x.find("item", ns::MUC_USER);
    let text = |t: std::borrow::Cow<'_, str>| t.chars().take(1024).collect::<String>();
    let mut reason = item
        .and_then(|i| i.find_text("reason", ns::MUC_USER))
        .or_else(|| el.find_text("status", ns::CLIENT))
        .map(text);
    let by = item
        .and_then(|i| i.find("actor", ns::MUC_USER))
        .and_then(|a| a.get("nick"))
        .and_then(|nick| who(room, nick));
    let mut news = News::default();
    let own = has(status::SELF);
    if has(status::NICK_CHANGED) {
        let new = item.and_then(|i| i.get("nick"));
        if own {
            if let Some(new) = new {
                let mut owned = room.own.lock();
                if let Some(account) = owned.remove(nick) {
                    owned.insert(new.to_owned(), account);
                }
            }
            return news;
        }
        if room.own.lock().contains_key(nick) {
            // One of ours: they are told themselves.
            return news;
        }
        reason = new.map(|new| format!("is now known as {new}"));
    }
    let action = match () {
        () if has(status::BANNED) => MembershipAction::Banned,
        () if has(status::KICKED) => MembershipAction::Kicked,
        () => MembershipAction::Left,
    };
    if own {
        return out(room, to, x, &codes, action, by, reason);
    }
    if let Some(who) = who(room, nick).filter(|w| !w.is_account()) {
        news.changes.push(Change::Went {
            who,
            action,
            by,
            reason,
        });
    }
    news
}

/// One of ours is out.
fn out(
    room: &Arc<Room>,
    to: &Jid,
    x: &Element,
    codes: &[u16],
    action: MembershipAction,
    by: Option<Address>,
    reason: Option<String>,
) -> News {
    let mut news = News::default();
    // §9.5: the server goes down, or lost us: a place that the node holds is taken again.
    let trouble = codes.iter().any(|c| matches!(c, 332 | 333)) && !x.has("destroy", ns::MUC_USER);
    let mut seats = room.seats.lock();
    let Some(seat) = seats.get_mut(to.as_str()) else {
        return news;
    };
    let account = seat.account.clone();
    if seat.held {
        news.rings = true;
    }
    if seat.held && trouble {
        seat.inside = false;
        return news;
    }
    seats.remove(to.as_str());
    let still = seats.values().any(|s| s.account == account);
    drop(seats);
    if !still {
        room.own.lock().retain(|_, a| *a != account);
        if !trouble {
            news.changes.push(Change::Went {
                who: account,
                action,
                by,
                reason,
            });
        }
    }
    news
}

/// The room did not let one of ours in.
fn refused(server: &Server, room: &Arc<Room>, to: &Jid, el: &Element) -> News {
    let mut news = News::default();
    let error = StanzaError::of_stanza(el).unwrap_or_else(|| Condition::UndefinedCondition.into());
    let mut seats = room.seats.lock();
    let Some(seat) = seats.get_mut(to.as_str()) else {
        return news;
    };
    // A nick that it can't have, while it stays under the one it has.
    if seat.inside && error.condition == Condition::Conflict {
        return news;
    }
    news.waiting = std::mem::take(&mut seat.waiting);
    news.outcome = Err(refusal(server, &error));
    seat.inside = false;
    if seat.held {
        news.rings = true;
    } else {
        seats.remove(to.as_str());
    }
    news
}

/// A room's error in core's words.
fn refusal(server: &Server, error: &StanzaError) -> Refusal {
    use Condition as C;
    match error.condition {
        C::ItemNotFound => Refusal::NotFound,
        C::Forbidden => Refusal::Banned,
        C::RegistrationRequired => Refusal::MembersOnly,
        C::NotAuthorized => Refusal::PasswordRequired,
        C::Conflict => Refusal::Taken,
        C::ServiceUnavailable => Refusal::RoomFull,
        C::NotAllowed => Refusal::Forbidden("the room can't be made"),
        C::Gone => {
            let to = error.new_address.as_deref().unwrap_or_default();
            let jid = to.strip_prefix("xmpp:").unwrap_or(to);
            let jid = jid.split('?').next().and_then(|j| Jid::new(j).ok());
            Refusal::Gone(jid.and_then(|j| match server.place(&j) {
                crate::address::Place::Remote(a) | crate::address::Place::Room(a) => Some(a),
                _ => None,
            }))
        }
        C::RemoteServerNotFound | C::RemoteServerTimeout | C::RecipientUnavailable => {
            Refusal::Unreachable
        }
        _ => Refusal::TryLater,
    }
}

/// A message of the room.
fn message(server: &Arc<Server>, room: &Arc<Room>, from: &Jid, el: &Element) -> News {
    let mut news = News::default();
    if el.get("type") != Some("groupchat") {
        return news;
    }
    let delay = el
        .find("delay", ns::DELAY)
        .and_then(|d| d.get("stamp"))
        .and_then(time::parse);
    if let Some(change) = spoken(server, room, from, el, delay, None) {
        news.changes.push(change);
    }
    news
}

/// What a groupchat message says; `archived` is the id that the room's archive has for it.
fn spoken(
    server: &Arc<Server>,
    room: &Arc<Room>,
    from: &Jid,
    el: &Element,
    at: Option<Timestamp>,
    archived: Option<&str>,
) -> Option<Change> {
    let author = match from.resource() {
        Some(nick) => who(room, nick)?,
        None => room.address.clone(),
    };
    if let Some(subject) = el.find_text("subject", ns::CLIENT)
        && !el.has("body", ns::CLIENT)
        && !el.has("thread", ns::CLIENT)
    {
        let told = at.is_none() && archived.is_none();
        return (archived.is_none()).then(|| Change::Topic(subject.into_owned(), author, told));
    }
    let by_room = |s: &&Element| s.get("by").is_some_and(|by| by == room.jid.as_str());
    let stanza_id = el.all("stanza-id", ns::SID).find(by_room);
    let stanza_id = archived.or(stanza_id.and_then(|s| s.get("id")));
    let mut kept = el.clone();
    // What the room says of it stays; only what we alone may say goes.
    incoming::clean(&mut kept, |by| {
        server.node.domains().iter().any(|d| d.as_str() == by)
    });
    kept.remove_children(|c| matches!(c.ns(), ns::MUC_USER | ns::DELAY));
    // Some archives keep the message as it was before they gave it an id.
    if let Some(id) = archived
        && !kept.all("stanza-id", ns::SID).any(|s| by_room(&s))
    {
        let by = room.jid.as_str();
        let known = Element::new(ns::SID, "stanza-id").attr("by", by);
        kept.push(known.attr("id", id));
    }
    match incoming::read(&kept) {
        Act::Log(content, relation) => {
            let envelope = Envelope {
                kind: "groupchat",
                ..Envelope::default()
            };
            Some(Change::Said(Said {
                author,
                content,
                relation,
                native: Native {
                    protocol: Protocol::Xmpp,
                    bytes: Payload::of(&kept).bytes().clone(),
                    id: el.get("id").map(str::to_owned),
                    kind: Some(envelope.encode()),
                },
                at,
                stanza_id: stanza_id.map(|id| id.chars().take(256).collect()),
                past: at.is_some(),
                fills: false,
            }))
        }
        Act::Typing(typing) if at.is_none() => Some(Change::Typing(author, typing)),
        Act::Typing(_) | Act::Live => None,
    }
}

/// Messages of the room's archive, oldest first.
pub(super) async fn past(server: &Arc<Server>, room: &Arc<Room>, page: Page) {
    let mut changes = Vec::with_capacity(page.messages.len());
    for (n, result) in page.messages.iter().enumerate() {
        let forwarded = result.find("forwarded", ns::FORWARD);
        let message = forwarded.and_then(|f| f.find("message", ns::CLIENT));
        let (Some(forwarded), Some(message)) = (forwarded, message) else {
            continue;
        };
        let at = forwarded
            .find("delay", ns::DELAY)
            .and_then(|d| d.get("stamp"))
            .and_then(time::parse);
        let from = message.get("from").and_then(|f| Jid::new(f).ok());
        let Some(from) = from.filter(|f| f.same_bare(&room.jid)) else {
            continue;
        };
        let change = spoken(server, room, &from, message, at, result.get("id"));
        if let Some(Change::Said(said)) = change {
            let said = Said {
                past: page.past(),
                fills: page.fills(),
                ..said
            };
            changes.push((n, Change::Said(said)));
        }
    }
    let here = room.clone();
    let written = server.node.write(move |tx| {
        let convo = home::project(tx, &here.address, Settings::default())?;
        let (kept, next) = page.note(tx, &here, &convo)?;
        let changes = changes.into_iter().take_while(|(n, _)| *n < kept);
        apply(tx, &here, changes.map(|(_, change)| change).collect())?;
        Ok((page, next))
    });
    match written.await {
        Ok((page, next)) => page.done(next),
        Err(refusal) => {
            tracing::debug!(protocol = "xmpp", %refusal, "history of a room elsewhere is not kept");
        }
    }
}

/// The id by which the room itself knows a message that it brought (XEP-0359).
pub(super) fn room_id(event: &sammen_core::Event, room: &Jid) -> Option<String> {
    let native = translate::native(event)?;
    let nodes = Payload::from_stored(native.bytes.clone());
    let limits = crate::wire::Limits::default();
    nodes.nodes(ns::CLIENT, &limits).ok()?.iter().find_map(|n| {
        let el = n.as_element()?;
        let fits = el.is("stanza-id", ns::SID) && el.get("by") == Some(room.as_str());
        fits.then(|| el.get("id").map(str::to_owned)).flatten()
    })
}
