//! RFC 6121 §3 and §4 between servers: presence and subscriptions that somebody of another server sends to an account.

use std::sync::Arc;

use sammen_core::live::{Session, Show, Signal};
use sammen_core::{Address, Protocol, ops};

use super::visitor::Shares;
use crate::client::{Client, shown};
use crate::live_stanza::LiveStanza;
use crate::presence::Form;
use crate::server::Server;
use crate::wire::{Context, Element, Jid, Payload, ns, write};
use crate::{caps, node_resource, pep, presence};

/// Takes a presence stanza from a visitor.
pub(super) async fn take(visitor: &Arc<Client>, account: Address, to: &Jid, el: Element) {
    let me = visitor.account.clone();
    let kind = el.get("type").map(str::to_owned);
    let done = match kind.as_deref() {
        None => return available(visitor, account, to, el).await,
        Some("unavailable") => {
            visitor.own::<Shares>().0.lock().remove(&account);
            if visitor.own::<Shares>().0.lock().is_empty() {
                visitor.state.lock().available = false;
            }
            return show(visitor, account, to, &el).await;
        }
        Some("probe") => return probed(visitor, account, to).await,
        Some("error") => return error(visitor, &account, to, &el).await,
        _ => {
            let note = Payload::of(&el).bytes().to_vec();
            if note.len() > 8192 {
                return;
            }
            visitor.node.write(move |tx| match kind.as_deref() {
                Some("subscribe") => ops::contacts::receive_ask(tx, &account, &me, note),
                Some("subscribed") => ops::contacts::receive_allow(tx, &account, &me),
                Some("unsubscribe") => ops::contacts::receive_unsubscribe(tx, &account, &me),
                Some("unsubscribed") => ops::contacts::receive_deny(tx, &account, &me),
                _ => Ok(()),
            })
        }
    };
    if let Err(why) = done.await {
        tracing::debug!(%why, "presence of another server was not taken");
    }
}

async fn available(visitor: &Arc<Client>, account: Address, to: &Jid, el: Element) {
    if visitor.jid.is_full() && to.is_bare() {
        visitor.state.lock().available = true;
        let new = visitor.own::<Shares>().0.lock().insert(account.clone());
        let before = visitor.state.lock().caps.clone();
        caps::note(visitor, &el).await;
        let known = visitor.state.lock().caps.clone();
        // XEP-0163 §4.3.2: who comes is shown the last items. Where its features are only asked for now, it happens once
        // they are known (see `pep::last`).
        if new && known == before && !known.features.is_empty() {
            pep::newly_allowed(visitor, &account).await;
        }
    }
    show(visitor, account, to, &el).await;
}

/// To the account's clients, if they may be shown it: the account sees this person, or wrote to them from that client.
async fn show(visitor: &Arc<Client>, account: Address, to: &Jid, el: &Element) {
    let stanza = LiveStanza::of(el, to.resource());
    let (me, directed) = (visitor.account.clone(), to.is_full());
    let told = visitor.node.write(move |tx| {
        let contact = tx.contact(&account, &me)?;
        let known = contact.sees || contact.listed || contact.accepted;
        if !contact.blocked && (known || directed) {
            tx.tell_account(&account, stanza.change());
        }
        Ok(())
    });
    let _ = told.await;
}

/// What became of presence that a client sent to somebody elsewhere.
async fn error(visitor: &Arc<Client>, account: &Address, to: &Jid, el: &Element) {
    let session = to
        .resource()
        .and_then(|r| visitor.server.session(account, r));
    let Some(session) = session else { return };
    let signal = Signal {
        from: visitor.account.clone(),
        session: Some(visitor.session.id),
        protocol: Protocol::Xmpp,
        payload: LiveStanza::of(el, to.resource()).payload(),
    };
    let told = visitor.node.write(move |tx| {
        tx.signal(session.id, signal, |_| {});
        Ok(())
    });
    let _ = told.await;
}

/// RFC 6121 §4.3.2: who may see the account's presence is told it; who may not learns that.
async fn probed(visitor: &Arc<Client>, account: Address, to: &Jid) {
    let server = &visitor.server;
    let Ok(contacts) = visitor.node.contacts(&account) else {
        return;
    };
    let contact = contacts.get(&visitor.account);
    if contact.is_some_and(|c| c.blocked) {
        return;
    }
    if !contact.is_some_and(|c| c.seen) {
        let answer = Element::new(ns::CLIENT, "presence")
            .attr("from", to.bare().to_str())
            .attr("to", visitor.jid.bare().to_str())
            .attr("type", "unsubscribed");
        return visitor.send(&answer);
    }
    let sessions: Vec<Arc<Session>> = visitor
        .node
        .live(|live| live.sessions_of(&account).to_vec());
    let mut any = false;
    for session in sessions {
        if let Some(stanza) = of_session(server, &account, &session, visitor.jid.as_str()) {
            any = true;
            visitor.send_bytes(stanza);
        }
    }
    if !any {
        let gone = Element::new(ns::CLIENT, "presence")
            .attr("from", to.bare().to_str())
            .attr("to", visitor.jid.to_str())
            .attr("type", "unavailable");
        visitor.send(&gone);
    }
}

/// What a session shows now, for one outside; `None` where it shows nothing.
fn of_session(
    server: &Server,
    account: &Address,
    session: &Session,
    to: &str,
) -> Option<bytes::Bytes> {
    let now = session.presence().filter(|p| p.show != Show::Offline)?;
    stanza(server, account, session, &now, to)
}

/// A session's presence for somebody of another server.
pub(super) fn stanza(
    server: &Server,
    account: &Address,
    session: &Session,
    now: &sammen_core::live::Presence,
    to: &str,
) -> Option<bytes::Bytes> {
    let gone = now.show == Show::Offline;
    let mut out = bytes::BytesMut::new();
    if session.protocol != Protocol::Xmpp {
        let el = node_resource::stanza(server, account, to, now)?;
        write::element(&mut out, &el, Context::CLIENT);
        return Some(out.freeze());
    }
    let jid = shown(session).and_then(|s| s.jid.clone())?;
    let form = now.native.clone().and_then(|n| n.downcast::<Form>().ok());
    match &form {
        Some(form) => presence::write_form(&mut out, &jid, to, gone, form),
        None => presence::write_plain(&mut out, jid.as_str(), to, now),
    }
    Some(out.freeze())
}
