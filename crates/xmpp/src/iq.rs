//! One IQ request on its way to its handler.

use crate::address::Place;
use crate::wire::{Condition, Element, Jid, StanzaError, Str};

/// To what kind of address an IQ goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Where {
    /// The node's domain.
    Server,
    /// The sender's own bare address (also: no `to` at all).
    OwnAccount,
    /// Another account's bare address.
    OtherAccount,
    /// The host of rooms.
    RoomService,
    /// A room's bare address.
    Room,
    /// An occupant: a room's address with a nick.
    Occupant,
    /// The host of file upload.
    Upload,
}

/// A request (type `get` or `set`).
#[derive(Clone, Debug)]
pub struct Iq {
    /// Its id, for the answer.
    pub id: Str,
    /// The sender's full address.
    pub from: Jid,
    /// The address, where one was given.
    pub to: Option<Jid>,
    /// What the address leads to.
    pub place: Place,
    /// The kind of that address.
    pub at: Where,
    /// `set` instead of `get`.
    pub set: bool,
    /// Its one child.
    pub child: Element,
}

impl Iq {
    /// Text of an attribute of the child.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.child.get(name)
    }

    /// `bad-request` with a reason.
    pub fn bad(why: &'static str) -> StanzaError {
        StanzaError::new(Condition::BadRequest).with_text(why)
    }
}
