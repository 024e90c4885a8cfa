//! XEP-0045 §7.10 and §7.12: registering a nick with a room (XEP-0077), and asking for the own one.

use std::sync::Arc;

use sammen_core::convo::Convo;
use sammen_core::member::Standing;
use sammen_core::ops::rooms;
use sammen_core::{Principal, Refusal};

use super::admin::room_of;
use super::form::{Form, Submitted};
use crate::client::Client;
use crate::error_map::stanza_error;
use crate::feature::{BoxFuture, IqAnswer};
use crate::iq::Iq;
use crate::wire::{Condition, Element, StanzaError, ns};

const FORM_TYPE: &str = "http://jabber.org/protocol/muc#register";
const NICK: &str = "muc#register_roomnick";

/// `jabber:iq:register` at a room.
pub fn iq(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let convo = room_of(&client, &iq)?;
        if iq.set {
            set(&client, &convo, &iq.child).await.map(|()| None)
        } else {
            get(&client, &convo).map(Some)
        }
    })
}

/// The nick that is registered for the account.
pub fn reserved<'a>(client: &Client, convo: &'a Convo) -> Option<&'a str> {
    convo
        .member(&client.account)
        .filter(|m| m.standing >= Standing::Member)
        .and_then(|m| m.nick.as_deref())
}

fn refused(refusal: &Refusal) -> StanzaError {
    match refusal {
        Refusal::Banned | Refusal::MembersOnly | Refusal::Forbidden(_) => {
            StanzaError::new(Condition::NotAllowed).with_text(refusal.to_string())
        }
        Refusal::InvalidName => StanzaError::new(Condition::NotAcceptable)
            .with_text("That nick is too long or has characters that no nick has."),
        other => stanza_error(other),
    }
}

fn get(client: &Client, convo: &Convo) -> Result<Element, StanzaError> {
    rooms::may_register(convo, &client.account).map_err(|r| refused(&r))?;
    let known = reserved(client, convo);
    let form = Form::new("form", FORM_TYPE)
        .headed("Nick", "The nick that is yours in this room.")
        .text(NICK, "Nick", known.unwrap_or_default())
        .done();
    let text = |name: &'static str, text: &str| Element::new(ns::MUC_REGISTER, name).text(text);
    let mut query = Element::new(ns::MUC_REGISTER, "query");
    if let Some(nick) = known {
        query.push(Element::new(ns::MUC_REGISTER, "registered"));
        query.push(text("username", nick));
    }
    query.push(text(
        "instructions",
        "Choose the nick that is yours in this room.",
    ));
    Ok(query.child(form))
}

async fn set(client: &Arc<Client>, convo: &Convo, query: &Element) -> Result<(), StanzaError> {
    let (who, id, origin) = (client.account.clone(), convo.id(), client.plain_origin());
    if query.has("remove", ns::MUC_REGISTER) {
        // Who ranks higher stays what they are: admins do not lose their rank by giving up a nick.
        if convo.standing(&who) != Standing::Member {
            return Err(Condition::RegistrationRequired.into());
        }
        let node = Principal::Node;
        return client
            .node
            .write(move |tx| {
                rooms::set_standing(tx, &node, id, &who, Standing::None, None, &origin).map(drop)
            })
            .await
            .map_err(|r| refused(&r));
    }
    let form = query
        .find("x", ns::DATA_FORMS)
        .and_then(Submitted::read)
        .ok_or_else(|| Iq::bad("the form is missing"))?;
    let nick = form.one(NICK).map(str::trim).unwrap_or_default().to_owned();
    if form.form_type.as_deref() != Some(FORM_TYPE) || nick.is_empty() {
        return Err(Iq::bad("the form has no nick"));
    }
    client
        .node
        .write(move |tx| rooms::register(tx, &who, id, &nick, &origin).map(drop))
        .await
        .map_err(|r| refused(&r))
}
