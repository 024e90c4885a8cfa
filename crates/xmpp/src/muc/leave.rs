//! XEP-0045 §7.14: leaving a room, and what becomes of the occupancy when a client goes.

use std::sync::Arc;

use sammen_core::address::Address;
use sammen_core::convo::Convo;
use sammen_core::ops::rooms;
use sammen_core::tx::Tx;
use sammen_core::{ConversationId, Outcome};

use super::enter::{is_inside, room_of};
use super::names::status;
use super::occupant;
use super::places::{Places, Rooms};
use crate::client::Client;
use crate::feature::BoxFuture;
use crate::wire::{Element, Jid, StanzaError, ns};

/// Unavailable presence to a room: the person leaves on purpose.
pub async fn unavailable(client: &Arc<Client>, to: &Jid, el: &Element) -> Result<(), StanzaError> {
    let room = room_of(client, to)?;
    let Some(convo) = client.node.room(&room)? else {
        return Ok(());
    };
    if !is_inside(client, convo.id()) {
        return Ok(());
    }
    let reason = el
        .find_text("status", ns::CLIENT)
        .map(|s| s.chars().take(1024).collect::<String>());
    let (id, account, session) = (convo.id(), client.account.clone(), client.session.id);
    let (origin, room_jid, why) = (
        client.plain_origin(),
        client.server.bare(&room),
        reason.clone(),
    );
    let ended = client
        .node
        .write(move |tx| {
            let stays = is_bookmarked(tx, &account, &room_jid)?;
            rooms::depart(tx, session, &account, id, stays, why, &origin)
        })
        .await?;
    // Where the membership ended the room tells everyone, this client too.
    if !ended {
        say_gone(client, &convo, &[status::SELF], reason.as_deref());
    }
    Ok(())
}

/// XEP-0402: who keeps a bookmark of a room stays its member when the last client leaves.
fn is_bookmarked(tx: &mut Tx<'_>, account: &Address, room_jid: &str) -> Outcome<bool> {
    let namespace = format!("pep:{}", ns::BOOKMARKS);
    let document = tx.document(&account.into(), &namespace, room_jid)?;
    Ok(document.is_some_and(|d| d.value.is_some()))
}

/// Tells a client that it is no longer in a room.
pub fn say_gone(client: &Client, convo: &Convo, codes: &[u16], status: Option<&str>) {
    let Some(room) = convo.conversation.room() else {
        return;
    };
    let Some(nick) = Places::of(client).left(room) else {
        return;
    };
    let detail = occupant::Detail {
        leaves: true,
        from_nick: Some(&nick),
        status,
        codes,
        ..occupant::Detail::default()
    };
    let shared = Rooms::of(&client.server);
    let form = occupant::build(
        &client.server,
        shared.key(),
        convo,
        &client.account,
        &detail,
    );
    occupant::send(client, "presence", &form);
}

/// The client went unavailable or ends: its occupancies end, memberships stay (but in rooms that do not persist).
pub fn gone(client: Arc<Client>) -> BoxFuture<()> {
    Box::pin(async move {
        let places = Places::of(&client);
        let mut inside = Vec::new();
        for room in places.all() {
            places.left(&room);
            if let Ok(Some(convo)) = client.node.room(&room) {
                inside.push(convo.id());
            }
        }
        if inside.is_empty() {
            return;
        }
        let (account, session, origin) = (
            client.account.clone(),
            client.session.id,
            client.plain_origin(),
        );
        let rooms_left = inside.clone();
        let left = client
            .node
            .write(move |tx| {
                for id in inside {
                    if tx.convo(id).is_ok() {
                        rooms::depart(tx, session, &account, id, true, None, &origin)?;
                    }
                }
                Ok(())
            })
            .await;
        if let Err(refusal) = left {
            tracing::warn!(protocol = "xmpp", %refusal, "occupancies did not end");
        }
        for id in rooms_left {
            forget_if_empty(&client, id);
        }
    })
}

/// Nothing is kept built of a room in which nobody is.
pub fn forget_if_empty(client: &Client, room: ConversationId) {
    if client.node.live(|live| live.room(room).is_none()) {
        Rooms::of(&client.server).forms.forget(room);
    }
}

/// Status 332: the node shuts down; clients know that the room did not throw them out.
pub fn shutdown(client: &Client) {
    for room in Places::of(client).all() {
        if let Ok(Some(convo)) = client.node.room(&room) {
            say_gone(client, &convo, &[status::SELF, status::SHUTDOWN], None);
        }
    }
}
