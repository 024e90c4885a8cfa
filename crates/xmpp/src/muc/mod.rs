//! XEP-0045 Multi-User Chat and what belongs to it: rooms as XMPP clients see them.
//!
//! ```text
//! presence → enter, leave ─┐                                    ┌→ events  → messages of the room
//! message  → speak, invite ┼→ core (ops::rooms, ops::send) → … ─┤
//! iq       → admin, owner… ┘                                    └→ changes → presence of occupants
//! ```
//!
//! A membership persists, an occupancy does not: who is a member without a session in the room shows as away. A client
//! that leaves on purpose ends the membership, unless the account keeps a bookmark of the room.

mod admin;
mod archive;
mod avatar;
mod changes;
mod disco;
mod enter;
mod events;
pub(crate) mod form;
mod history;
pub(crate) mod invite;
mod leave;
mod mask;
mod moderate;
pub mod names;
mod occupant;
mod occupant_id;
mod owner;
mod places;
mod private_iq;
mod register;
mod resume;
mod settings;
mod speak;
mod voice;

use std::sync::Arc;

use sammen_core::live::Payload;

pub use leave::shutdown;
pub(crate) use occupant::Shows;

use crate::client::Client;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::wire::ns;

/// Rooms.
pub static FEATURE: Feature = Feature {
    name: "rooms",
    iqs: IQS,
    room_presence: Some(enter::presence),
    room_message: Some(speak::message),
    room_iq: Some(private_iq::request),
    room_answer: Some(private_iq::answer),
    room_event: Some(events::event),
    state: Some(changes::state),
    custom: Some(custom),
    state_lost: Some(changes::lost),
    available: Some(|client| {
        Box::pin(async move {
            crate::bookmarks::follow(client.clone()).await;
            invite::pending(client).await;
        })
    }),
    gone: Some(leave::gone),
    keep: Some(resume::keep),
    restore: Some(resume::restore),
    ..Feature::NONE
};

const BOTH: &[Where] = &[Where::RoomService, Where::Room];
const ROOM: &[Where] = &[Where::Room];

type Handle = fn(Arc<Client>, Iq) -> BoxFuture<IqAnswer>;

const fn iq(
    name: &'static str,
    ns: &'static str,
    (get, set): (bool, bool),
    at: &'static [Where],
    handle: Handle,
) -> IqHandler {
    IqHandler {
        name,
        ns,
        get,
        set,
        at,
        handle,
    }
}

const GET: (bool, bool) = (true, false);
const SET: (bool, bool) = (false, true);
const ANY: (bool, bool) = (true, true);

const IQS: &[IqHandler] = &[
    iq("query", ns::DISCO_INFO, GET, BOTH, disco::info),
    iq("query", ns::DISCO_ITEMS, GET, BOTH, disco::items),
    iq(
        "unique",
        ns::MUC_UNIQUE,
        GET,
        &[Where::RoomService],
        disco::unique,
    ),
    iq("query", ns::MUC_ADMIN, ANY, ROOM, admin::iq),
    iq("query", ns::MUC_OWNER, ANY, ROOM, owner::iq),
    iq("query", ns::MUC_REGISTER, ANY, ROOM, register::iq),
    iq("vCard", ns::VCARD_TEMP, ANY, ROOM, avatar::iq),
    iq("query", ns::MAM, ANY, ROOM, archive::query),
    iq("metadata", ns::MAM, GET, ROOM, archive::metadata),
    iq("moderate", ns::MODERATE, SET, ROOM, moderate::current),
    iq("apply-to", ns::FASTEN, SET, ROOM, moderate::older),
    iq("ping", ns::PING, GET, ROOM, |_, _| {
        Box::pin(async { Ok(None) })
    }),
];

/// The rooms that a client is in or enters, as addresses.
pub(crate) fn rooms_of(client: &Client) -> Vec<crate::wire::Jid> {
    let rooms = places::Places::of(client).all();
    rooms
        .iter()
        .filter_map(|room| client.server.jid(room))
        .collect()
}

/// Stanzas of rooms that are no events.
fn custom(client: &Arc<Client>, payload: &Payload) -> bool {
    if let Some(fleeting) = payload.downcast_ref::<speak::Fleeting>() {
        speak::show_fleeting(client, fleeting);
    } else if let Some(stanza) = payload.downcast_ref::<invite::ForEach>() {
        invite::deliver(client, stanza);
    } else if let Some(again) = payload.downcast_ref::<speak::Again>() {
        speak::reflect(client, again);
    } else {
        return false;
    }
    true
}
