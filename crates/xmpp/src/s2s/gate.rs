//! What did not reach another server comes back to its local sender (RFC 6120 §8.3, §10.4).

use std::sync::Arc;

use sammen_core::Protocol;
use sammen_core::live::Signal;

use super::Federation;
use super::pipe::Failure;
use crate::address::Place;
use crate::live_stanza::LiveStanza;
use crate::wire::{Element, Jid};

/// Whether the sender of a stanza is told when it can't be delivered. Answers, errors and broadcast presence are not
/// worth one.
pub(super) fn comes_back(stanza: &Element) -> bool {
    let kind = stanza.get("type");
    match stanza.name() {
        "iq" => matches!(kind, Some("get" | "set")),
        "message" => !matches!(kind, Some("error" | "headline")),
        // RFC 6121 §3.1.2, and presence to a room elsewhere; who leaves needs no word.
        _ => matches!(kind, None | Some("subscribe")),
    }
}

/// Gives an error to the sender of a stanza that did not leave: one of ours, of a component, or for a component.
pub(super) fn give_back(federation: &Arc<Federation>, shell: &Element, why: &Failure) {
    let Some(mut reply) = why.error().reply_to(shell) else {
        return;
    };
    let Some(server) = federation.server() else {
        return;
    };
    let to = shell.get("from").and_then(|from| Jid::new(from).ok());
    let (to, account) = match to.map(|to| (server.place(&to), to)) {
        Some((Place::Account(account), to)) => (to, account),
        Some((Place::Remote(_), _)) => return federation.send(&reply),
        _ => return,
    };
    reply.set("to", to.to_str());
    let payload = LiveStanza::of(&reply, to.resource()).payload();
    let resource = to.resource().map(str::to_owned);
    let from = account.clone();
    // From wherever this is called (the writer's thread too), the session gets it by way of the writer.
    federation.spawn(async move {
        let Some(session) = resource.and_then(|r| server.session(&account, &r)) else {
            return;
        };
        let signal = Signal {
            from,
            session: None,
            protocol: Protocol::Xmpp,
            payload,
        };
        let told = server.node.write(move |tx| {
            tx.signal(session.id, signal, |_| {});
            Ok(())
        });
        let _ = told.await;
    });
}
