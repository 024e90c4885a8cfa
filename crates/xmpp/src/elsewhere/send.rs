//! What our people of other protocols say in rooms elsewhere: events from core's outbox as the room's messages.

use std::sync::Arc;

use sammen_core::event::{Content, MembershipAction, RoomChange};
use sammen_core::network::{Delivery, OutboxRow};
use sammen_core::ops::projection;
use sammen_core::outbox::destination;
use sammen_core::{Event, Refusal};

use super::{Elsewhere, held, held_jid, project};
use crate::server::Server;
use crate::translate::outgoing::{self, Scene};
use crate::wire::{Element, Payload, ns};

/// How long a message waits for its author to be let in, in milliseconds.
const PAUSE_MS: i64 = 3_000;
/// How long it waits in all.
const PATIENCE_MS: i64 = 3_600_000;

/// What becomes of a row of the outbox.
pub enum Out {
    /// It is not for a room.
    NoRoom,
    /// This goes out; the room's own copy of it says that it was taken.
    Send(Element),
    /// Nothing goes out.
    Done(Delivery),
}

/// A row whose event was written in a room elsewhere.
pub fn outgoing(server: &Arc<Server>, row: &OutboxRow, event: &Event) -> Out {
    match server.node.room(&row.to) {
        Ok(Some(convo)) if !convo.is_ours() && convo.id() == event.conversation => {}
        _ => return Out::NoRoom,
    }
    let Some(full) = held_jid(server, &row.from) else {
        return Out::Done(Delivery::Refused("it has no address".into()));
    };
    if let Content::Membership(change) = &event.content {
        if change.action == MembershipAction::Left && change.who == row.from {
            leave(server, row, event, change.reason.clone());
        }
        return Out::Done(Delivery::Done);
    }
    let all = Elsewhere::of(server);
    let room = all.room(&row.to).filter(|room| room.is_inside(&full));
    let Some(room) = room else {
        return Out::Done(not_inside(server, row));
    };
    let children = match &event.content {
        Content::Room(RoomChange::Topic(topic)) => {
            vec![Element::new(ns::CLIENT, "subject").text(topic.as_str())]
        }
        Content::Room(_) | Content::Marker(_) => return Out::Done(Delivery::Done),
        _ => {
            let target = event.target();
            let target = target.and_then(|id| server.node.store().event_by_id(id).ok().flatten());
            let mut children = outgoing::children(&Scene {
                event,
                target: target.as_deref(),
                target_author: target.as_ref().map(|t| t.author.name().to_owned()),
                room: true,
            });
            // There, events of the room go by the room's ids.
            if let Some(target) = &target
                && let Some(named) = project::room_id(target, &room.jid)
            {
                let ours = target.id.to_string();
                for child in &mut children {
                    if child.get("id") == Some(&ours) {
                        child.set("id", named.clone());
                    }
                }
            }
            children
        }
    };
    if children.is_empty() {
        return Out::Done(Delivery::Done);
    }
    let id = event.id.to_string();
    let origin = Element::new(ns::SID, "origin-id").attr("id", id.clone());
    let message = Element::new(ns::CLIENT, "message")
        .attr("from", full.to_str())
        .attr("to", room.jid.to_str())
        .attr("type", "groupchat")
        .attr("id", id)
        .children(children)
        .child(origin);
    // In one stanza what it says is bounded, whatever core let through.
    if Payload::of(&message).bytes().len() > server.config.get().member.stanza_bytes {
        return Out::Done(Delivery::Refused("it is too long".into()));
    }
    Out::Send(message)
}

/// Its author is not in (yet): they are brought in, and the message waits for that.
fn not_inside(server: &Arc<Server>, row: &OutboxRow) -> Delivery {
    let now = server.node.now();
    if now.0.saturating_sub(row.created.0) > PATIENCE_MS {
        return Delivery::Refused("the room could not be entered".into());
    }
    let (server, who, room) = (server.clone(), row.from.clone(), row.to.clone());
    tokio::spawn(async move {
        let entered = held::enter(&server, &who, &room, None).await;
        match entered {
            Ok(()) => {
                let host = room.name().rsplit('@').next().unwrap_or_default();
                server.node.retry_outbox(&destination("xmpp", host));
            }
            Err(Refusal::Unreachable | Refusal::TryLater) => {}
            Err(refusal) => {
                tracing::debug!(protocol = "xmpp", %refusal, "a room elsewhere does not let in who speaks");
            }
        }
    });
    Delivery::Later(now.plus_ms(PAUSE_MS))
}

/// PART and its like.
fn leave(server: &Arc<Server>, row: &OutboxRow, event: &Event, why: Option<String>) {
    let (server, who, room) = (server.clone(), row.from.clone(), row.to.clone());
    let id = event.id;
    tokio::spawn(async move {
        held::leave(&server, &who, &room, why.as_deref()).await;
        let taken = server.node.write(move |tx| match tx.event(id)? {
            Some(event) => projection::accepted(tx, &event, None),
            None => Ok(()),
        });
        let _ = taken.await;
    });
}
