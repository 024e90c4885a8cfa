//! XEP-0045 §7.13 and §8.6: a visitor asks for voice, a moderator gives it.

use std::sync::Arc;

use sammen_core::convo::Convo;
use sammen_core::live::Signal;
use sammen_core::member::Role;
use sammen_core::ops::rooms;
use sammen_core::{Protocol, Refusal};

use super::enter::is_inside;
use super::events::room_jid;
use super::form::{Form, Submitted};
use super::occupant;
use crate::client::Client;
use crate::live_stanza::LiveStanza;
use crate::wire::{Condition, Element, StanzaError, ns};

/// A data form in a message to the room.
pub async fn asked(
    client: &Arc<Client>,
    convo: &Arc<Convo>,
    form: &Element,
) -> Result<(), StanzaError> {
    let Some(form) = Submitted::read(form) else {
        return Err(Condition::BadRequest.into());
    };
    if form.form_type.as_deref() != Some(ns::MUC_REQUEST) {
        return Err(Condition::BadRequest.into());
    }
    if !is_inside(client, convo.id()) {
        return Err(Condition::NotAcceptable.into());
    }
    if let Some(allow) = form.flag("muc#request_allow") {
        return decided(client, convo, &form, allow).await;
    }
    if form.one("muc#role") != Some("participant") {
        return Err(Condition::BadRequest.into());
    }
    // Who has voice need not ask for it.
    if convo.role(&client.account) >= Role::Participant {
        return Ok(());
    }
    forward(client, convo);
    Ok(())
}

/// The request goes to each moderator who is there.
fn forward(client: &Client, convo: &Convo) {
    let nick = occupant::nick_of(convo, &client.account);
    let form = Form::new("form", ns::MUC_REQUEST)
        .headed(
            "Voice request",
            "To let this person speak, select the box and submit the form.",
        )
        .text("muc#role", "Requested role", "participant")
        .field(
            "muc#jid",
            "jid-single",
            Some("Address"),
            [client.jid.as_str()],
        )
        .text("muc#roomnick", "Nick", nick)
        .flag("muc#request_allow", "Let this person speak?", false)
        .done();
    let message = Element::new(ns::CLIENT, "message")
        .attr("from", room_jid(&client.server, convo))
        .attr(
            "id",
            format!("voice-{:x}", client.node.clock().random() >> 64),
        )
        .child(form);
    let signal = Arc::new(Signal {
        from: client.account.clone(),
        session: Some(client.session.id),
        protocol: Protocol::Xmpp,
        payload: LiveStanza::of(&message, None).payload(),
    });
    client.node.live(|live| {
        let Some(room) = live.room(convo.id()) else {
            return;
        };
        for session in room.sessions.iter() {
            let moderates = convo.role(&session.account) == Role::Moderator;
            if moderates && session.protocol == Protocol::Xmpp {
                let _ = live.signal(session.id, &signal);
            }
        }
    });
}

/// A moderator's answer. A refusal is silent.
async fn decided(
    client: &Arc<Client>,
    convo: &Arc<Convo>,
    form: &Submitted,
    allow: bool,
) -> Result<(), StanzaError> {
    if convo.role(&client.account) < Role::Moderator {
        return Err(Condition::Forbidden.into());
    }
    if !allow {
        return Ok(());
    }
    let nick = form.one("muc#roomnick").unwrap_or_default();
    let who = convo
        .by_nick(nick)
        .map(|m| m.address.clone())
        .ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?;
    let (by, id, origin) = (client.principal(), convo.id(), client.plain_origin());
    client
        .node
        .write(move |tx| {
            let convo = tx.convo(id)?;
            if convo.role(&who) >= Role::Participant {
                return Ok(());
            }
            if !convo.has(&who) {
                return Err(Refusal::NotFound);
            }
            rooms::set_role(tx, &by, id, &who, Role::Participant, None, &origin).map(drop)
        })
        .await?;
    Ok(())
}
