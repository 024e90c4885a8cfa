//! What lives only while the node runs: sessions, their mailboxes, presence, occupancy.
//!
//! The writer's thread alone changes it, after the commit and in seq order; others read it.

mod change;

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::address::Address;
use crate::convo::Convo;
use crate::event::{Event, Protocol};
use crate::ids::{ConversationId, DeviceId, SessionId, Timestamp};
use crate::mailbox::{CloseReason, Delivery, Mailbox};
use crate::refusal::{Outcome, Refusal};

pub use change::{
    ContactCause, KeyChange, OccupantChange, OccupantKind, Signal, StateChange, Typing,
};

/// Anything that one protocol hands to itself.
pub type Payload = Arc<dyn Any + Send + Sync>;

/// One live connection of a device.
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// Whose.
    pub account: Address,
    /// The device it borrows.
    pub device: DeviceId,
    /// Its protocol.
    pub protocol: Protocol,
    /// What tells it apart among the account's sessions (XMPP resource). Unique per account and protocol.
    pub label: Arc<str>,
    /// Name of the app password or certificate that it came in by; `None` for the passphrase.
    pub credential: Option<crate::account::Credential>,
    /// Its queue.
    pub mailbox: Arc<Mailbox>,
    /// Presence, once it was set.
    pub(crate) presence: RwLock<Option<Arc<Presence>>>,
    /// What the protocol crate keeps with it for its other sessions to see.
    pub extra: RwLock<Option<Payload>>,
}

impl Session {
    /// The presence it set.
    pub fn presence(&self) -> Option<Arc<Presence>> {
        self.presence.read().clone()
    }
}

/// How available a person is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Show {
    /// Not at all.
    #[default]
    Offline,
    /// For long (XMPP `xa`).
    ExtendedAway,
    /// For now.
    Away,
    /// Do not disturb.
    Busy,
    /// Here.
    Online,
    /// Wants to talk.
    Chatty,
}

/// What one session says about its person.
#[derive(Clone, Default)]
pub struct Presence {
    /// How available.
    pub show: Show,
    /// In words.
    pub status: Option<String>,
    /// XMPP priority; sessions with a negative one get no messages to the bare address.
    pub priority: i8,
    /// Idle since (XEP-0319).
    pub idle_since: Option<Timestamp>,
    /// As the protocol wrote it.
    pub native: Option<Payload>,
}

/// A person in a room: one occupant, however many sessions.
#[derive(Clone)]
pub struct Occupant {
    /// Who.
    pub address: Address,
    /// The sessions that are in the room, each with what it showed the room.
    pub sessions: Vec<(Arc<Session>, Arc<Presence>)>,
}

/// The live half of a room.
#[derive(Clone, Default)]
pub struct RoomLive {
    /// Occupants by address; members without occupancy are not here.
    pub occupants: HashMap<Address, Occupant>,
    /// All their sessions, flat.
    pub sessions: Arc<Vec<Arc<Session>>>,
}

/// A committed event on its way to sessions, with the forms that protocols made of it.
pub struct Announced {
    /// The event.
    pub event: Arc<Event>,
    /// The conversation as it was right after the event.
    pub convo: Arc<Convo>,
    /// The session that sent it.
    pub origin: Option<SessionId>,
    /// The verdict of a home on an event that its author's sessions were shown when it was sent.
    pub judged: bool,
    /// Not in the log: for those who are there now (see [`crate::ops::projection`]).
    pub passing: bool,
    /// For retractions, edits and reactions: the event they are about, as it was before.
    pub about: Option<Arc<Event>>,
    forms: parking_lot::Mutex<Vec<(u64, Payload)>>,
}

impl Announced {
    /// Wraps an event.
    pub fn new(
        event: Arc<Event>,
        convo: Arc<Convo>,
        origin: Option<SessionId>,
        about: Option<Arc<Event>>,
    ) -> Self {
        Self {
            event,
            convo,
            origin,
            judged: false,
            passing: false,
            about,
            forms: parking_lot::Mutex::new(Vec::new()),
        }
    }

    /// The form under a key, made once: serialise per form, not per recipient. Keys are the protocol crates' own:
    /// the protocol in the high byte, the form in the rest.
    pub fn form<T: Any + Send + Sync>(
        &self,
        protocol: Protocol,
        form: u32,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let key = ((protocol as u64) << 32) | u64::from(form);
        let mut forms = self.forms.lock();
        if let Some((_, found)) = forms.iter().find(|(k, _)| *k == key)
            && let Ok(found) = found.clone().downcast::<T>()
        {
            return found;
        }
        let made = Arc::new(make());
        forms.push((key, made.clone()));
        made
    }
}

/// Everything live, behind one lock that is held for moments.
#[derive(Default)]
pub struct Live {
    pub(crate) sessions: HashMap<SessionId, Arc<Session>>,
    pub(crate) by_account: HashMap<Address, Vec<Arc<Session>>>,
    pub(crate) rooms: HashMap<ConversationId, RoomLive>,
    /// The rooms in which a session is.
    inside: HashMap<SessionId, Vec<ConversationId>>,
    /// Other networks: what their people may see goes through them.
    networks: Vec<Arc<dyn crate::network::Network>>,
    /// Told of every event.
    followers: Vec<Follower>,
    /// Told of what accounts' own sessions are told of.
    watchers: Vec<Watcher>,
}

/// Told of every event, in seq order, while the writer holds what lives: it must only take note.
pub type Follower = Box<dyn Fn(&Arc<Announced>) + Send + Sync>;

/// Told of every change that all sessions of an account are told of, whether it has any or not; it must only take note, too.
pub type Watcher = Box<dyn Fn(&Address, &StateChange) + Send + Sync>;

impl Live {
    /// Nobody is here yet.
    pub(crate) fn new(networks: Vec<Arc<dyn crate::network::Network>>) -> Self {
        Self {
            networks,
            ..Self::default()
        }
    }

    /// The sessions of an account.
    pub fn sessions_of(&self, account: &Address) -> &[Arc<Session>] {
        self.by_account.get(account).map_or(&[], Vec::as_slice)
    }

    /// A session.
    pub fn session(&self, id: SessionId) -> Option<&Arc<Session>> {
        self.sessions.get(&id)
    }

    /// How many rooms somebody is in.
    pub fn occupied_rooms(&self) -> usize {
        self.rooms.len()
    }

    /// The live half of a room.
    pub fn room(&self, id: ConversationId) -> Option<&RoomLive> {
        self.rooms.get(&id)
    }

    /// All sessions.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.sessions.values()
    }

    /// The rooms in which a session is.
    pub fn rooms_of(&self, session: SessionId) -> Vec<ConversationId> {
        self.inside.get(&session).cloned().unwrap_or_default()
    }

    pub(crate) fn follow(&mut self, follower: Follower) {
        self.followers.push(follower);
    }

    pub(crate) fn watch(&mut self, watcher: Watcher) {
        self.watchers.push(watcher);
    }

    pub(crate) fn add(&mut self, session: Arc<Session>) {
        self.by_account
            .entry(session.account.clone())
            .or_default()
            .push(session.clone());
        self.sessions.insert(session.id, session);
    }

    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Arc<Session>> {
        let session = self.sessions.remove(&id)?;
        if let Some(list) = self.by_account.get_mut(&session.account) {
            list.retain(|s| s.id != id);
            if list.is_empty() {
                self.by_account.remove(&session.account);
            }
        }
        Some(session)
    }

    /// Puts a session into a room, or changes what it shows there. True if it is new there.
    pub(crate) fn enter(
        &mut self,
        room: ConversationId,
        session: &Arc<Session>,
        presence: Arc<Presence>,
    ) -> bool {
        let live = self.rooms.entry(room).or_default();
        let occupant = live
            .occupants
            .entry(session.account.clone())
            .or_insert_with(|| Occupant {
                address: session.account.clone(),
                sessions: Vec::new(),
            });
        if let Some(known) = occupant
            .sessions
            .iter_mut()
            .find(|(s, _)| s.id == session.id)
        {
            known.1 = presence;
            return false;
        }
        occupant.sessions.push((session.clone(), presence));
        Arc::make_mut(&mut live.sessions).push(session.clone());
        self.inside.entry(session.id).or_default().push(room);
        true
    }

    /// Takes a session out of a room; true if it was there.
    pub(crate) fn exit(&mut self, room: ConversationId, session: SessionId) -> bool {
        let Some(live) = self.rooms.get_mut(&room) else {
            return false;
        };
        let before = live.sessions.len();
        Arc::make_mut(&mut live.sessions).retain(|s| s.id != session);
        for occupant in live.occupants.values_mut() {
            occupant.sessions.retain(|(s, _)| s.id != session);
        }
        live.occupants.retain(|_, o| !o.sessions.is_empty());
        let was_there = live.sessions.len() < before;
        if live.sessions.is_empty() {
            self.rooms.remove(&room);
        }
        self.is_outside(room, session);
        was_there
    }

    fn is_outside(&mut self, room: ConversationId, session: SessionId) {
        if let Some(rooms) = self.inside.get_mut(&session) {
            rooms.retain(|r| *r != room);
            if rooms.is_empty() {
                self.inside.remove(&session);
            }
        }
    }

    /// Takes all sessions of an address out of a room and returns them.
    pub(crate) fn evict(
        &mut self,
        room: ConversationId,
        who: &Address,
    ) -> Vec<(Arc<Session>, Arc<Presence>)> {
        let Some(live) = self.rooms.get_mut(&room) else {
            return Vec::new();
        };
        let gone = live
            .occupants
            .remove(who)
            .map(|o| o.sessions)
            .unwrap_or_default();
        Arc::make_mut(&mut live.sessions).retain(|s| s.account != *who);
        if live.sessions.is_empty() {
            self.rooms.remove(&room);
        }
        for (session, _) in &gone {
            self.is_outside(room, session.id);
        }
        gone
    }

    /// Tells everyone who sees the event.
    pub(crate) fn announce(&self, announced: &Arc<Announced>) {
        for follower in &self.followers {
            follower(announced);
        }
        let event = &announced.event;
        let known = |account: &Address| announced.judged && *account == event.author;
        let allowed = |account: &Address| match &event.audience {
            Some(audience) => *account == event.author || audience.contains(account),
            None => true,
        };
        if let Some((a, b)) = announced.convo.conversation.pair() {
            let both = [a, b];
            let people = if a == b { &both[..1] } else { &both[..] };
            // To people of other networks events go through the outbox.
            for account in people.iter().filter(|a| a.network().is_none()) {
                let hidden = event.acceptance != crate::event::Acceptance::Accepted
                    && **account != event.author;
                for session in self.sessions_of(account) {
                    if !hidden && !known(account) && allowed(account) {
                        session.mailbox.event(announced);
                    }
                }
            }
            return;
        }
        let inside = self.rooms.get(&event.conversation);
        if let Some(room) = inside {
            let open =
                event.audience.is_none() && event.acceptance == crate::event::Acceptance::Accepted;
            for session in room.sessions.iter().filter(|s| !known(&s.account)) {
                if open
                    || allowed(&session.account)
                        && (open
                            || session.account == event.author
                            || event.acceptance == crate::event::Acceptance::Accepted)
                {
                    session.mailbox.event(announced);
                }
            }
        }
        // Who is invited, kicked or banned learns it on every session, in the room or not.
        if let crate::event::Content::Membership(change) = &event.content {
            for session in self.sessions_of(&change.who) {
                let there =
                    inside.is_some_and(|room| room.sessions.iter().any(|s| s.id == session.id));
                if !there {
                    session.mailbox.event(announced);
                }
            }
        }
    }

    /// Tells all sessions of an account, or a person of another network.
    pub fn tell_account(&self, account: &Address, change: &Arc<StateChange>) {
        if let Some(name) = account.network() {
            let mut networks = self.networks.iter();
            if let Some(network) = networks.find(|n| n.name().as_str() == name) {
                network.state(account, change);
            }
            return;
        }
        for watcher in &self.watchers {
            watcher(account, change);
        }
        for session in self.sessions_of(account) {
            session.mailbox.state(change);
        }
    }

    /// Tells one session.
    pub fn tell_session(&self, to: SessionId, change: &Arc<StateChange>) {
        if let Some(session) = self.sessions.get(&to) {
            session.mailbox.state(change);
        }
    }

    /// Tells all sessions in a room.
    pub fn tell_room(&self, room: ConversationId, change: &Arc<StateChange>) {
        if let Some(live) = self.rooms.get(&room) {
            for session in live.sessions.iter() {
                session.mailbox.state(change);
            }
        }
    }

    /// Hands a one-shot to a session; overflow and absence are the sender's error.
    pub fn signal(&self, to: SessionId, signal: &Arc<Signal>) -> Outcome<()> {
        let session = self.sessions.get(&to).ok_or(Refusal::Unreachable)?;
        if session.mailbox.signal(signal) {
            Ok(())
        } else {
            Err(Refusal::TooMany)
        }
    }

    /// Ends sessions; each gets the reason as its last delivery.
    pub(crate) fn close(&self, account: &Address, why: CloseReason, except: Option<SessionId>) {
        for session in self
            .sessions_of(account)
            .iter()
            .filter(|s| Some(s.id) != except)
        {
            session.mailbox.push(Delivery::Closed(why));
        }
    }

    /// Ends one session.
    pub(crate) fn close_one(&self, id: SessionId, why: CloseReason) {
        if let Some(session) = self.session(id) {
            session.mailbox.push(Delivery::Closed(why));
        }
    }

    /// Whether messages to the account reach someone now.
    pub fn is_reachable(&self, account: &Address) -> bool {
        self.sessions_of(account).iter().any(|s| {
            s.presence
                .read()
                .as_ref()
                .is_some_and(|p| p.show != Show::Offline && p.priority >= 0)
        })
    }
}
