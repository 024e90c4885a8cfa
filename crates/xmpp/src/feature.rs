//! The one list of features. A feature is a file: it says what it announces, which IQs it answers and what else it
//! wants to hear of, and knows no other feature.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use sammen_core::live::{Announced, Payload, StateChange};

use crate::client::Client;
use crate::iq::{Iq, Where};
use crate::server::Server;
use crate::wire::{Element, Jid, StanzaError};

/// A future on the heap.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// What an IQ handler returns: the child of the result (`None` for an empty result), or an error.
pub type IqAnswer = Result<Option<Element>, StanzaError>;

/// Who answers which IQ.
pub struct IqHandler {
    /// Name of the child.
    pub name: &'static str,
    /// Namespace of the child.
    pub ns: &'static str,
    /// Answers `get`.
    pub get: bool,
    /// Answers `set`.
    pub set: bool,
    /// At which addresses.
    pub at: &'static [Where],
    /// Answers.
    pub handle: fn(Arc<Client>, Iq) -> BoxFuture<IqAnswer>,
}

/// A stanza to an address that the feature serves (rooms). An error is sent back to the sender.
pub type StanzaHook = fn(Arc<Client>, Jid, Element) -> BoxFuture<Result<(), StanzaError>>;

/// What became of an IQ to an occupant.
pub enum RoomIq {
    /// It is on its way; the answer comes later.
    Relayed,
    /// Answered here.
    Answer(IqAnswer),
}

/// Something that the node can do.
pub struct Feature {
    /// For logs.
    pub name: &'static str,
    /// Namespaces that disco#info tells at an address.
    pub disco: fn(Where) -> &'static [&'static str],
    /// The same for what is there only where the configuration says so.
    pub configured: fn(&Server, Where) -> &'static [&'static str],
    /// Identities (category, type) that disco#info tells at an address.
    pub identities: fn(Where) -> &'static [(&'static str, &'static str)],
    /// IQs.
    pub iqs: &'static [IqHandler],
    /// Presence to a room or occupant (`to` is the second argument). At most one feature has it.
    pub room_presence: Option<StanzaHook>,
    /// Messages to a room or occupant. At most one feature has it. The hook submits with [`Client::submit`].
    pub room_message: Option<StanzaHook>,
    /// An IQ request to a room or occupant for which no handler is registered (relayed between occupants).
    pub room_iq: Option<fn(Arc<Client>, Iq) -> BoxFuture<RoomIq>>,
    /// The result or error with which this client answers a relayed IQ.
    pub room_answer: Option<StanzaHook>,
    /// A committed event of a room for this client: write it to the client. On the hot path.
    pub room_event: Option<fn(&Arc<Client>, &Arc<Announced>)>,
    /// A change of live state that is not presence, contacts or typing between two people; true when it was mine.
    pub state: Option<fn(&Arc<Client>, &Arc<StateChange>) -> bool>,
    /// A payload of [`StateChange::Custom`] of this protocol; true when it was mine.
    pub custom: Option<fn(&Arc<Client>, &Payload) -> bool>,
    /// Live state was lost (the client read too slowly): show it anew.
    pub state_lost: Option<fn(Arc<Client>) -> BoxFuture<()>>,
    /// Presence that the client broadcasts, before it goes out: to add to it.
    pub stamp: Option<fn(Arc<Client>, Element) -> BoxFuture<Element>>,
    /// After initial presence was handled.
    pub available: Option<fn(Arc<Client>) -> BoxFuture<()>>,
    /// After the client's features (XEP-0115, `+notify` among them) became known or changed.
    pub caps: Option<fn(Arc<Client>) -> BoxFuture<()>>,
    /// A contact's resource became available to this client for the first time (second argument: its full address).
    pub contact: Option<fn(&Arc<Client>, &Jid)>,
    /// The client sent unavailable presence or its session ends. Core ends room occupancies at the end of a session
    /// itself; at unavailable presence the room's feature does.
    pub gone: Option<fn(Arc<Client>) -> BoxFuture<()>>,
    /// What to remember of this client over a restart of the node, for resumption; empty for nothing.
    pub keep: Option<fn(&Arc<Client>) -> Vec<u8>>,
    /// The client resumed after a restart: what [`Feature::keep`] returned.
    pub restore: Option<fn(Arc<Client>, Vec<u8>) -> BoxFuture<()>>,
}

impl Feature {
    /// A feature that does nothing; others override fields of it.
    pub const NONE: Feature = Feature {
        name: "",
        disco: |_| &[],
        configured: |_, _| &[],
        identities: |_| &[],
        iqs: &[],
        room_presence: None,
        room_message: None,
        room_iq: None,
        room_answer: None,
        room_event: None,
        state: None,
        custom: None,
        state_lost: None,
        stamp: None,
        available: None,
        caps: None,
        contact: None,
        gone: None,
        keep: None,
        restore: None,
    };
}

/// All features.
pub static FEATURES: &[&Feature] = &[
    &crate::disco::FEATURE,
    &crate::roster::FEATURE,
    &crate::carbons::FEATURE,
    &crate::blocking::FEATURE,
    &crate::small::FEATURE,
    &crate::register::FEATURE,
    &crate::access::FEATURE,
    &crate::commands::FEATURE,
    &crate::mam::FEATURE,
    &crate::pep::FEATURE,
    &crate::avatar::FEATURE,
    &crate::vcard::FEATURE,
    &crate::private::FEATURE,
    &crate::upload::FEATURE,
    &crate::services::FEATURE,
    &crate::muc::FEATURE,
];

/// The handler of an IQ; whether the name is known at that address at all is not told apart.
pub fn handler(iq: &Iq) -> Option<&'static IqHandler> {
    FEATURES.iter().flat_map(|f| f.iqs).find(|h| {
        h.ns == iq.child.ns()
            && h.name == iq.child.name()
            && (if iq.set { h.set } else { h.get })
            && h.at.contains(&iq.at)
    })
}
