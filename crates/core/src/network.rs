//! The `Network` port: other networks, and the durable outbox towards them.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::address::{Address, NetworkName};
use crate::event::{Event, Native};
use crate::ids::{ConversationId, Seq, Timestamp};
use crate::live::StateChange;
use crate::refusal::{Outcome, Refusal};

/// A row of the outbox: something committed that a network has yet to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Its number, and the order within a destination.
    pub seq: Seq,
    /// The network.
    pub network: NetworkName,
    /// What rows must wait for each other for: a domain, a server, a person.
    pub destination: String,
    /// The event, where it is one.
    pub event: Option<Seq>,
    /// Its conversation.
    pub conversation: Option<ConversationId>,
    /// On whose behalf.
    pub from: Address,
    /// For whom.
    pub to: Address,
    /// What the network's crate wants to remember.
    pub payload: Bytes,
    /// How often it was tried.
    pub attempts: u32,
    /// Not before.
    pub next: Timestamp,
    /// When it came.
    pub created: Timestamp,
}

/// What a network said to a row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Taken: the row goes.
    Done,
    /// Not now; try again not before this time.
    Later(Timestamp),
    /// The peer is away; it will come for it (serverless networks).
    WaitForPeer,
    /// Never: the event becomes rejected and its author is told why.
    Refused(String),
    /// The same, where the network also knows how its own protocol says so to the author's clients.
    Bounced {
        /// In words, for everybody else.
        why: String,
        /// In the protocol's words.
        native: Native,
    },
    /// Nobody can tell whether it arrived: it stays pending and is shown as such.
    Unknown,
}

/// What a network knows about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The network.
    pub network: NetworkName,
    /// The address there.
    pub address: Address,
    /// How sure it is: it saw the person, or only a server that would take messages.
    pub confirmed: bool,
}

/// A network that this node can speak with. Patience and ordering are the network's.
pub trait Network: Send + Sync + 'static {
    /// Its name, the same as in its addresses.
    fn name(&self) -> NetworkName;
    /// Whether it can deliver to what a person typed. Asked only when a person acts.
    fn reach<'a>(&'a self, typed: &'a str) -> BoxFuture<'a, Option<Reach>>;
    /// Tries to deliver a row; `event` is the row's event.
    fn deliver<'a>(
        &'a self,
        row: &'a OutboxRow,
        event: Option<&'a Event>,
    ) -> BoxFuture<'a, Delivery>;
    /// How many rows of one destination [`Network::deliver`] may be called with at once. They are begun in order, and
    /// the network keeps that order: where one has to wait, those begun behind it are not delivered either.
    fn window(&self) -> usize {
        1
    }
    /// Something that a person of this network may see now, and that is kept nowhere: presence, answers to contact
    /// requests, typing, what a protocol tells itself. Called in commit order from the writer's thread, so it must
    /// only take note and return.
    fn state(&self, to: &Address, change: &Arc<StateChange>) {
        let _ = (to, change);
    }
    /// Brings an account into a room of this network and keeps it there until it leaves (a committed membership event
    /// of its own, by way of [`Network::deliver`]). Ready when the room has let it in and core's projection shows it.
    fn enter<'a>(
        &'a self,
        who: &'a Address,
        room: &'a Address,
        password: Option<&'a str>,
    ) -> BoxFuture<'a, Outcome<()>> {
        let _ = (who, room, password);
        Box::pin(async { Err(Refusal::Unreachable) })
    }
}

/// A future behind a pointer.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
