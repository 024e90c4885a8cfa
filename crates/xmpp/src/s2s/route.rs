//! A stanza from another server, once its sender's domain is proven: to whom it is for (RFC 6121 §8).

use std::sync::Arc;

use super::tally::Token;
use super::{Federation, is_ours};
use crate::address::Place;
use crate::client::Client;
use crate::live_stanza::LiveStanza;
use crate::server::Server;
use crate::translate::incoming;
use crate::wire::{Condition, Element, Jid, StanzaError, ns};
use crate::{elsewhere, message, muc, presence as rooms_presence, stanza};

use super::presence;

/// Hands a stanza to its sender's visitor, which deals with them in order. The token is dropped once what the stanza
/// caused is durable.
pub(crate) async fn stanza(
    federation: &Arc<Federation>,
    server: &Arc<Server>,
    mut el: Element,
    token: Token,
) {
    let Some(from) = el.get("from").and_then(|from| Jid::new(from).ok()) else {
        return;
    };
    if federation.barriers.take(&from, &el) {
        return;
    }
    if el.name() == "message" {
        let domains = server.node.domains();
        incoming::clean_foreign(&mut el, |by| {
            Jid::new(by).is_ok_and(|by| is_ours(domains, by.domain()))
        });
    }
    // From a component to other servers, from anybody to a component.
    let to = el.get("to").and_then(|to| Jid::new(to).ok());
    let passes = |to: &Jid| {
        federation.is_component(to.domain()) || !is_ours(server.node.domains(), to.domain())
    };
    if let Some(to) = to.as_ref().filter(|to| passes(to)) {
        // What goes to a component is acknowledged to its sender's server when the component has it, or an error went out.
        if el.name() == "message" && federation.is_component(to.domain()) {
            let (done, fate) = tokio::sync::oneshot::channel();
            federation.send_with(&el, Some(done));
            federation.spawn(async move {
                let _ = fate.await;
                drop(token);
            });
        } else {
            federation.send(&el);
        }
        return;
    }
    // A room elsewhere that somebody of ours is in.
    let Some(token) = elsewhere::take(server, &from, &el, token).await else {
        return;
    };
    federation
        .visitors
        .bring(federation, server, &from, el, token)
        .await;
}

/// What a visitor sent.
pub(super) async fn take(visitor: &Arc<Client>, el: Element) {
    let Some(to) = el.get("to").and_then(|to| Jid::new(to).ok()) else {
        return;
    };
    let place = visitor.server.place(&to);
    let error = el.get("type") == Some("error");
    match (el.name(), place) {
        // XEP-0045 §18.1.2, XEP-0410: who can't be reached is no longer in the room.
        ("message" | "presence", Place::Room(_)) if error && ends_occupancy(&el) => {
            leave(visitor, &to, "This person's server can't deliver to them.").await;
        }
        ("message" | "presence", Place::Room(_)) if error => {}
        ("presence", Place::Room(_)) => rooms_presence::handle(visitor, Some(to), el).await,
        ("presence", Place::Account(account)) => presence::take(visitor, account, &to, el).await,
        ("message", Place::Account(account)) if error => {
            super::network::came_back(visitor, account, &to, el).await;
        }
        // From a room elsewhere to somebody who is in it, its archive among them (XEP-0313 §9: clients check who answers).
        ("message", Place::Account(account))
            if to.is_full()
                && (el.get("type") == Some("groupchat")
                    || el.has("x", ns::MUC_USER)
                    || el.has("result", ns::MAM)) =>
        {
            pass(visitor, account, &to, &el).await;
        }
        ("message", _) => message::handle(visitor, Some(to), el).await,
        ("iq", _) => stanza::iq(visitor, Some(to), el).await,
        _ => {}
    }
}

/// To one client that is there, and kept nowhere.
async fn pass(visitor: &Arc<Client>, account: sammen_core::Address, to: &Jid, el: &Element) {
    let stanza = LiveStanza::of(el, to.resource());
    let me = visitor.account.clone();
    let told = visitor.node.write(move |tx| {
        message::check(tx, &me, &account)?;
        tx.tell_account(&account, stanza.change());
        Ok(())
    });
    let _ = told.await;
}

/// XEP-0045 §18.1.2: errors that say that somebody is gone.
fn ends_occupancy(el: &Element) -> bool {
    use Condition as C;
    let error = StanzaError::of_stanza(el).map(|e| e.condition);
    matches!(
        error,
        Some(
            C::Gone
                | C::InternalServerError
                | C::ItemNotFound
                | C::JidMalformed
                | C::RecipientUnavailable
                | C::Redirect
                | C::RemoteServerNotFound
                | C::RemoteServerTimeout
                | C::ServiceUnavailable
        )
    )
}

/// Ends a visitor's place in a room, as if it had said goodbye.
pub(super) async fn leave(visitor: &Arc<Client>, room: &Jid, why: &str) {
    let gone = Element::new(ns::CLIENT, "presence")
        .attr("from", visitor.jid.to_str())
        .attr("to", room.to_str())
        .attr("type", "unavailable")
        .child(Element::new(ns::CLIENT, "status").text(why));
    if let Some(hook) = muc::FEATURE.room_presence {
        let _ = hook(visitor.clone(), room.clone(), gone).await;
    }
}
