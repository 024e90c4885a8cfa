//! XEP-0198 over a restart of the node: a resumed client is in its rooms again without entering them.

use std::sync::Arc;

use sammen_core::address::Address;
use sammen_core::ids::Seq;
use sammen_core::live::{Presence, Show};
use sammen_core::ops::rooms;
use sammen_core::tx::{decode, encode};

use super::names::status;
use super::places::{Places, Rooms};
use super::{changes, events, leave, occupant};
use crate::client::Client;
use crate::feature::BoxFuture;

/// Events in one reading.
const PAGE: usize = 500;

/// The rooms of a client, and what it has had of them.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    cursor: Seq,
    rooms: Vec<Address>,
}

/// What to remember of a client.
pub fn keep(client: &Arc<Client>) -> Vec<u8> {
    let rooms = Places::of(client).all();
    if rooms.is_empty() {
        return Vec::new();
    }
    let cursor = client.state.lock().cursor;
    encode(&Kept { cursor, rooms })
        .map(|b| b.to_vec())
        .unwrap_or_default()
}

/// The client resumed: it comes into its rooms and gets what it missed there.
pub fn restore(client: Arc<Client>, kept: Vec<u8>) -> BoxFuture<()> {
    Box::pin(async move {
        let Some(kept) = decode::<Kept>(&kept) else {
            return;
        };
        if Rooms::ready(&client.server).await.is_err() {
            return;
        }
        for room in kept.rooms {
            back(&client, &room, kept.cursor).await;
        }
    })
}

async fn back(client: &Arc<Client>, room: &Address, cursor: Seq) {
    let places = Places::of(client);
    let Ok(Some(convo)) = client.node.room(room) else {
        return;
    };
    let nick = occupant::nick_of(&convo, &client.account).to_owned();
    let undo = places.begin(room, &nick);
    let (id, session, account) = (convo.id(), client.session.id, client.account.clone());
    let presence = Presence {
        show: Show::Online,
        ..Presence::default()
    };
    let entered = client
        .node
        .write(move |tx| rooms::enter(tx, session, &account, id, presence))
        .await;
    let Ok(entered) = entered else {
        // Removed meanwhile: the client learns that it is out.
        places.undo(room, undo);
        places.restore(room, &nick);
        leave::say_gone(client, &convo, &[status::SELF], None);
        return;
    };
    let mut after = cursor;
    while after < entered.seq {
        let page = client
            .node
            .changes(&client.account, vec![id], after, entered.seq, PAGE)
            .await
            .unwrap_or_default();
        let full = page.len() == PAGE;
        for announced in page {
            after = announced.event.seq;
            // Direct conversations come with the session itself.
            if announced.event.conversation == id {
                events::show(client, &announced);
            }
        }
        if !full {
            break;
        }
    }
    let held = places.finish(room, &nick, entered.seq, || {
        changes::show_all(client, &entered.convo)
    });
    for held in held {
        changes::show_held(client, &held);
    }
}
