//! Where clients are: the rooms of one client with what waits while it enters, and what all rooms of the node share.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sammen_core::address::Address;
use sammen_core::document::Owner;
use sammen_core::live::{Announced, OccupantChange, StateChange};
use sammen_core::tx::Expect;
use sammen_core::{Node, Outcome, Seq};

use super::occupant::Forms;
use super::occupant_id::Key;
use crate::client::Client;
use crate::server::Server;

/// Most deliveries that wait while a client enters a room; then it gets them before the history.
const HELD: usize = 2048;

/// What all rooms of a node share.
#[derive(Default)]
pub struct Rooms {
    key: tokio::sync::OnceCell<Key>,
    /// Occupants' presences.
    pub forms: Forms,
}

impl Rooms {
    /// The rooms of a node.
    pub fn of(server: &Server) -> Arc<Self> {
        server.shared::<Self>()
    }

    /// The key of occupant ids; known once somebody did anything in a room.
    pub fn key(&self) -> Option<&Key> {
        self.key.get()
    }

    /// The rooms of a node, ready to be used: the key of occupant ids is read, or made when the node first needs it.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn ready(server: &Server) -> Outcome<Arc<Self>> {
        let rooms = Self::of(server);
        let node = server.node.clone();
        rooms.key.get_or_try_init(|| load_key(node)).await?;
        Ok(rooms)
    }
}

async fn load_key(node: Node) -> Outcome<Key> {
    node.write(|tx| {
        const NAMESPACE: &str = "xmpp";
        const KEY: &str = "occupant-id";
        if let Some(bytes) = tx
            .document(&Owner::Node, NAMESPACE, KEY)?
            .and_then(|d| d.value)
        {
            return Ok(Key::new(&bytes));
        }
        let mut bytes = tx.random().to_be_bytes().to_vec();
        bytes.extend(tx.random().to_be_bytes());
        let key = Key::new(&bytes);
        tx.put_document(
            &Owner::Node,
            NAMESPACE,
            KEY,
            Expect::Absent,
            Some(bytes.into()),
        )?;
        Ok(key)
    })
    .await
}

/// Something that waits until the client has entered.
pub enum Held {
    /// An event of the room.
    Event(Arc<Announced>),
    /// A change of its occupants, or typing.
    State(Arc<StateChange>),
}

/// One room that a client is in, or enters.
pub struct Place {
    /// The nick under which it knows itself.
    pub nick: String,
    /// What waits while it enters.
    entering: Option<Vec<Held>>,
    /// The room's own word of the entering reached the client.
    entered: bool,
    /// Everything up to here was history when it entered: a client that lagged is not shown it again.
    since: Seq,
}

/// The rooms of one client.
#[derive(Default)]
pub struct Places(Mutex<HashMap<Address, Place>>);

/// What to do with something that reaches a client from a room.
#[derive(Debug, PartialEq, Eq)]
pub enum Now {
    /// The client is in: show it.
    Show,
    /// It is kept until the client has entered, or was about that entering.
    Kept,
    /// The client is not there.
    Elsewhere,
    /// Too much waits: show what was kept, then this.
    ShowKept,
}

impl Places {
    /// The places of a client.
    pub fn of(client: &Client) -> Arc<Self> {
        client.own::<Self>()
    }

    /// The client begins to enter; what the room says from here on waits. Returns what to do if it is not let in.
    pub fn begin(&self, room: &Address, nick: &str) -> Undo {
        let mut places = self.0.lock();
        let place = Place {
            nick: nick.to_owned(),
            entering: Some(Vec::new()),
            entered: false,
            since: Seq(0),
        };
        Undo(places.insert(room.clone(), place).map(|p| p.nick))
    }

    /// The client was not let in.
    pub fn undo(&self, room: &Address, undo: Undo) -> Vec<Held> {
        let mut places = self.0.lock();
        let held = places
            .get_mut(room)
            .and_then(|p| p.entering.take())
            .unwrap_or_default();
        match undo.0 {
            Some(nick) => {
                places.insert(
                    room.clone(),
                    Place {
                        nick,
                        entering: None,
                        entered: true,
                        since: Seq(0),
                    },
                );
                held
            }
            None => {
                places.remove(room);
                Vec::new()
            }
        }
    }

    /// The client has entered: `show` writes all it gets first; then what waited is returned, and nothing waits any more.
    pub fn finish(&self, room: &Address, nick: &str, since: Seq, show: impl FnOnce()) -> Vec<Held> {
        let mut places = self.0.lock();
        show();
        let Some(place) = places.get_mut(room) else {
            return Vec::new();
        };
        nick.clone_into(&mut place.nick);
        place.since = since;
        place.entering.take().unwrap_or_default()
    }

    /// The client enters without being shown anything (a resumed session).
    pub fn restore(&self, room: &Address, nick: &str) {
        let place = Place {
            nick: nick.to_owned(),
            entering: None,
            entered: false,
            since: Seq(0),
        };
        self.0.lock().insert(room.clone(), place);
    }

    /// What to do with an event.
    pub fn event(&self, room: &Address, announced: &Arc<Announced>) -> Now {
        let seq = announced.event.seq;
        let old = self.0.lock().get(room).is_some_and(|p| seq <= p.since);
        if old {
            return Now::Elsewhere;
        }
        self.hold(room, || Held::Event(announced.clone()))
    }

    /// What to do with a change of the room's live state.
    pub fn state(&self, client: &Client, room: &Address, state: &Arc<StateChange>) -> Now {
        if let StateChange::Occupant(change) = &**state
            && self.is_own_entering(client, room, change)
        {
            return Now::Kept;
        }
        self.hold(room, || Held::State(state.clone()))
    }

    fn is_own_entering(&self, client: &Client, room: &Address, change: &OccupantChange) -> bool {
        use sammen_core::live::OccupantKind::{Entered, Updated};
        if change.origin != Some(client.session.id) || !matches!(change.kind, Entered | Updated) {
            return false;
        }
        self.0
            .lock()
            .get_mut(room)
            .is_some_and(|p| !std::mem::replace(&mut p.entered, true))
    }

    fn hold(&self, room: &Address, held: impl FnOnce() -> Held) -> Now {
        let mut places = self.0.lock();
        let Some(place) = places.get_mut(room) else {
            return Now::Elsewhere;
        };
        match &mut place.entering {
            None => Now::Show,
            Some(waiting) if waiting.len() >= HELD => Now::ShowKept,
            Some(waiting) => {
                waiting.push(held());
                Now::Kept
            }
        }
    }

    /// What waits, where too much does.
    pub fn take_kept(&self, room: &Address) -> Vec<Held> {
        let mut places = self.0.lock();
        let place = places.get_mut(room);
        place
            .and_then(|p| p.entering.replace(Vec::new()))
            .unwrap_or_default()
    }

    /// The nick under which the client knows itself in a room it is in.
    pub fn nick(&self, room: &Address) -> Option<String> {
        self.0.lock().get(room).map(|p| p.nick.clone())
    }

    /// It has another nick now.
    pub fn renamed(&self, room: &Address, nick: &str) {
        if let Some(place) = self.0.lock().get_mut(room) {
            nick.clone_into(&mut place.nick);
        }
    }

    /// The client left; true if it was there.
    pub fn left(&self, room: &Address) -> Option<String> {
        self.0.lock().remove(room).map(|p| p.nick)
    }

    /// All rooms of the client.
    pub fn all(&self) -> Vec<Address> {
        self.0.lock().keys().cloned().collect()
    }
}

/// What was there before an entering began.
pub struct Undo(Option<String>);
