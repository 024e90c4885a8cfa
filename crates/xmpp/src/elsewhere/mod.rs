//! Our people in rooms on other servers (XEP-0045 from the other side).
//!
//! ```text
//! a client's presence, messages, IQs ───────────────► the other server, as they are
//! another server ─► take ─► room.rs (in order) ─┬───► the client it was for, as it is
//!                                               └► project.rs ─► core's projection ─► people on IRC
//! core's `Network::enter`, IRC's JOIN ─► held.rs: the node's own occupancy for an account (`alice@D/sammen`),
//!                                        self-pings, history (history.rs), entering again
//! core's outbox ─► send.rs
//! ```
//!
//! Each XMPP client of ours is an occupant of its own, with its full address, and gets every stanza of the room
//! untouched. People on other protocols are there by one occupancy that the node holds for the account. What any of
//! them is told makes one projection: events are known by the room's own stanza-id, so that copies merge. Who somebody
//! is there is what the room can vouch for: its nick; only our own people are known by what the room tells them of
//! themselves.

mod held;
mod history;
mod project;
mod room;
mod send;

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use sammen_core::{Address, NetworkName};
use tokio::sync::oneshot;

pub use held::enter;
pub use send::{Out, outgoing};

use crate::client::Client;
use crate::node_resource;
use crate::server::Server;
use crate::wire::{Element, Jid, Str, ns};
use room::{Room, Seat};

/// The network whose rooms these are.
const NETWORK: &str = "xmpp";
/// Rooms elsewhere that one full address may be in.
const MOST: usize = 500;

/// What must not be dropped before what a stanza caused is durable.
pub type Token = Box<dyn Any + Send>;

/// The rooms elsewhere in which somebody of this node is.
#[derive(Default)]
pub struct Elsewhere {
    rooms: Mutex<HashMap<Address, Arc<Room>>>,
    /// Questions of the node's own to rooms, by id: whom they went to, and who waits.
    asked: Mutex<HashMap<Str, (Jid, oneshot::Sender<Element>)>>,
    /// Takes stanzas to other servers.
    way: OnceLock<Box<dyn Fn(&Element) + Send + Sync>>,
}

impl Elsewhere {
    fn of(server: &Server) -> Arc<Self> {
        server.shared::<Self>()
    }

    fn room(&self, address: &Address) -> Option<Arc<Room>> {
        self.rooms.lock().get(address).cloned()
    }

    /// The room, known from here on.
    fn open(&self, server: &Arc<Server>, jid: &Jid, address: &Address) -> Arc<Room> {
        let mut rooms = self.rooms.lock();
        let room = rooms
            .entry(address.clone())
            .or_insert_with(|| Room::open(server, jid.bare(), address.clone()));
        room.clone()
    }

    /// Nobody of ours is there any more.
    fn close_if_empty(&self, room: &Room) {
        let mut rooms = self.rooms.lock();
        if room.seats.lock().is_empty() {
            rooms.remove(&room.address);
        }
    }

    fn post(&self, stanza: &Element) {
        if let Some(way) = self.way.get() {
            way(stanza);
        }
    }
}

/// The address of a room, or of somebody of whom it shows the nick alone.
fn address(jid: &str) -> Option<Address> {
    let network = NetworkName::new(NETWORK).ok()?;
    Address::remote(&network, jid).ok()
}

/// The full address under which the node holds an account's place.
fn held_jid(server: &Server, account: &Address) -> Option<Jid> {
    server.jid(account)?.with_resource(node_resource::NAME).ok()
}

/// From now on stanzas go to other servers by `way`; accounts come back into the rooms that are held for them.
pub fn begin(server: &Arc<Server>, way: impl Fn(&Element) + Send + Sync + 'static) {
    if Elsewhere::of(server).way.set(Box::new(way)).is_ok() {
        tokio::spawn(held::come_back(server.clone()));
    }
}

/// A client's presence to an address on another server, before it goes out: whether it enters a room there.
pub fn note(client: &Client, to: &Jid, el: &Element) {
    let Some(nick) = to.resource() else { return };
    if el.get("type").is_some() || !el.has("x", ns::MUC) {
        return;
    }
    let Some(address) = address(to.bare_str()) else {
        return;
    };
    let all = Elsewhere::of(&client.server);
    let mine = |room: &&Arc<Room>| room.seats.lock().contains_key(client.jid.as_str());
    if all.rooms.lock().values().filter(mine).count() >= MOST {
        return;
    }
    let room = all.open(&client.server, to, &address);
    let seat = Seat::new(client.account.clone(), nick, false);
    // Entering again under another nick, or after being lost.
    room.seats.lock().insert(client.jid.to_str(), seat);
}

/// A stanza from another server for one of ours. Rooms that somebody of ours is in, or enters, are dealt with here:
/// then nothing is returned. Else the token comes back.
pub async fn take<T: Any + Send>(
    server: &Arc<Server>,
    from: &Jid,
    el: &Element,
    token: T,
) -> Option<T> {
    let to = el.get("to").and_then(|to| Jid::new(to).ok());
    let Some(to) = to.filter(Jid::is_full) else {
        return Some(token);
    };
    let all = Elsewhere::of(server);
    if el.name() == "iq" {
        return if answered(&all, from, &to, el) {
            None
        } else {
            Some(token)
        };
    }
    let Some(room) = address(from.bare_str()).and_then(|a| all.room(&a)) else {
        return Some(token);
    };
    if !room.seats.lock().contains_key(to.as_str()) {
        return Some(token);
    }
    // Pages of the archive are complete when the answer to the question is: they don't queue behind what is said. Those
    // that a client asked for take the way of the answer.
    if to.resource() == Some(node_resource::NAME) {
        if history::result(&room, from, el) {
            return None;
        }
    } else if el.has("result", ns::MAM) {
        return Some(token);
    }
    room.bring(from.clone(), to, el.clone(), Box::new(token))
        .await;
    None
}

/// An answer to a question of the node's own.
fn answered(all: &Elsewhere, from: &Jid, to: &Jid, el: &Element) -> bool {
    let ours = to.resource() == Some(node_resource::NAME);
    if !ours || !matches!(el.get("type"), Some("result" | "error")) {
        return false;
    }
    let mut asked = all.asked.lock();
    let Some(id) = el
        .get("id")
        .filter(|id| asked.get(*id).is_some_and(|(whom, _)| whom == from))
    else {
        return false;
    };
    let id = Str::new(id);
    if let Some((_, waits)) = asked.remove(&id) {
        let _ = waits.send(el.clone());
    }
    true
}
