//! XEP-0425: a moderator takes back what another one wrote; in the words of the current version and of 0.2.

use std::sync::Arc;

use sammen_core::event::{Content, Relation, RelationKind};
use sammen_core::member::Role;
use sammen_core::ops::send;
use sammen_core::{ConversationId, EventId, Protocol, Refusal};

use super::admin::room_of;
use super::speak::reason;
use crate::client::Client;
use crate::feature::{BoxFuture, IqAnswer};
use crate::iq::Iq;
use crate::wire::{Condition, Element, StanzaError, ns};

/// Version 0.2's namespace.
pub const MODERATE_0: &str = "urn:xmpp:message-moderate:0";
/// Retraction of that time.
pub const RETRACT_0: &str = "urn:xmpp:message-retract:0";

/// `<moderate id='…'/>`.
pub fn current(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let id = iq.get("id").map(str::to_owned);
        let retract = iq.child.has("retract", ns::RETRACT);
        let why = reason(&iq.child);
        moderate(client, &iq, id, retract, why).await
    })
}

/// `<apply-to id='…'><moderate/></apply-to>`.
pub fn older(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let Some(inner) = iq.child.find("moderate", MODERATE_0) else {
            return Err(Condition::ServiceUnavailable.into());
        };
        let id = iq.get("id").map(str::to_owned);
        let retract = inner.has("retract", RETRACT_0);
        let why = reason(inner);
        moderate(client, &iq, id, retract, why).await
    })
}

async fn moderate(
    client: Arc<Client>,
    iq: &Iq,
    id: Option<String>,
    retract: bool,
    why: Option<String>,
) -> IqAnswer {
    let convo = room_of(&client, iq)?;
    if !retract {
        // The only thing to be done with a message so far.
        return Err(Condition::FeatureNotImplemented.into());
    }
    if convo.role(&client.account) < Role::Moderator {
        return Err(StanzaError::new(Condition::Forbidden)
            .with_text("Only moderators take back what others wrote."));
    }
    let target: EventId = id
        .ok_or_else(|| Iq::bad("the message is not named"))?
        .parse()
        .map_err(|_| StanzaError::new(Condition::ItemNotFound))?;
    let (who, room, origin) = (client.principal(), convo.id(), client.plain_origin());
    client
        .node
        .write(move |tx| {
            let event = tx.event(target)?.filter(|e| is_message(e, room));
            event.ok_or(Refusal::NotFound)?;
            let to = send::Target::Conversation(room);
            let content = Content::Retraction { reason: why };
            let mut out = send::Outgoing::new(to, content, Protocol::Xmpp);
            out.relation = Some(Relation {
                kind: RelationKind::Retraction,
                target: Some(target),
                foreign: None,
            });
            out.origin = origin;
            send::send(tx, &who, out).map(drop)
        })
        .await?;
    Ok(None::<Element>)
}

fn is_message(event: &sammen_core::Event, room: ConversationId) -> bool {
    event.conversation == room && event.content.belongs_to_speech()
}
