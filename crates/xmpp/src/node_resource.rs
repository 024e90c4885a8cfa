//! Somebody who is there through other protocols only, as XMPP contacts see it: one resource of priority 0 for which
//! the node answers.

use std::sync::Arc;

use sammen_core::live::{Presence, Show};
use sammen_core::{Address, Protocol};

use crate::client::Client;
use crate::server::Server;
use crate::wire::{Condition, Element, Jid, StanzaError, Str, ns};
use crate::{disco, presence, small};

/// The resource.
pub const NAME: &str = "sammen";

/// Shows a contact (or the own account) as its sessions of other protocols say it.
pub fn show(client: &Arc<Client>, account: &Address) {
    let presence = best(&client.server, account);
    let Some(jid) = client
        .server
        .jid(account)
        .and_then(|j| j.with_resource(NAME).ok())
    else {
        return;
    };
    let gone = presence.show == Show::Offline;
    if presence::note_seen(client, &jid, gone) {
        return;
    }
    let Some(stanza) = stanza(&client.server, account, client.jid.as_str(), &presence) else {
        return;
    };
    client.send_quiet(jid.as_str(), |out| {
        crate::wire::write::element(out, &stanza, crate::wire::Context::CLIENT);
    });
}

/// What the account's sessions of other protocols say about it, as one.
pub fn best(server: &Server, account: &Address) -> Arc<Presence> {
    let best = server.node.live(|live| {
        live.sessions_of(account)
            .iter()
            .filter(|s| s.protocol != Protocol::Xmpp)
            .filter_map(|s| s.presence())
            .max_by_key(|p| p.show)
    });
    best.unwrap_or_default()
}

/// The presence of that resource.
pub fn stanza(
    server: &Server,
    account: &Address,
    to: &str,
    presence: &Presence,
) -> Option<Element> {
    let jid = server.jid(account)?.with_resource(NAME).ok()?;
    let stanza = Element::new(ns::CLIENT, "presence")
        .attr("from", jid.to_str())
        .attr("to", to)
        .children(presence::children(presence));
    Some(if presence.show == Show::Offline {
        stanza.attr("type", "unavailable")
    } else {
        stanza.child(disco::node_caps())
    })
}

/// Answers an IQ to that resource.
pub async fn iq(client: &Arc<Client>, account: &Address, el: &Element) {
    let gone = StanzaError::new(Condition::ServiceUnavailable);
    let (me, peer) = (client.account.clone(), account.clone());
    let there = client.node.live(|live| {
        live.sessions_of(&peer).iter().any(|s| {
            let shows = |p: &Arc<Presence>| p.show != Show::Offline;
            s.protocol != Protocol::Xmpp && s.presence().is_some_and(|p| shows(&p))
        })
    });
    let sees = me == peer
        || client
            .node
            .contacts(&me)
            .is_ok_and(|c| c.get(&peer).is_some_and(|c| c.sees && !c.blocked));
    let blocked = client
        .node
        .contacts(&peer)
        .is_ok_and(|c| c.get(&me).is_some_and(|c| c.blocked));
    // Who may not see the presence learns nothing here either.
    if !there || !sees || blocked || el.get("type") != Some("get") {
        return client.refuse(el, &gone);
    }
    let Some(child) = el.first() else {
        return client.refuse(el, &Condition::BadRequest.into());
    };
    let answer = match (child.name(), child.ns()) {
        ("query", ns::DISCO_INFO) => Some(disco::node_info(child.get("node"))),
        ("query", ns::DISCO_ITEMS) => Some(Element::new(ns::DISCO_ITEMS, "query")),
        ("query", ns::VERSION) => Some(small::version(&client.server)),
        ("ping", ns::PING) => None,
        _ => return client.refuse(el, &gone),
    };
    let id: Str = el.get_str("id").cloned().unwrap_or_default();
    let to = el.get("to").and_then(|to| Jid::new(to).ok());
    client.result(&id, to.as_ref(), answer);
}
