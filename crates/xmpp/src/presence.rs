//! RFC 6121 §3 and §4: presence of the account's sessions and of its contacts, and subscriptions.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sammen_core::contact::Contact;
use sammen_core::live::{ContactCause, Presence, Session, Show};
use sammen_core::ops;
use sammen_core::{Address, Protocol, Refusal, Seq};
use sammen_net::invitations::{self, Token};
use serde::{Deserialize, Serialize};

use crate::address::Place;
use crate::client::{Client, shown};
use crate::feature::FEATURES;
use crate::live_stanza::LiveStanza;
use crate::wire::{Condition, Context, Element, Jid, Payload, StanzaError, Str, ns, write};
use crate::{caps, message, node_resource, time};

/// Most people that a client sends directed presence to.
const DIRECTED: usize = 1000;

/// Presence as a client wrote it: what [`Presence::native`] holds for XMPP.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Form {
    /// Children.
    pub children: Bytes,
    /// `xml:lang`.
    pub lang: Option<String>,
}

/// A client's presence, to be kept over a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    show: Option<String>,
    status: Option<String>,
    priority: i8,
    form: Form,
}

/// Takes a presence stanza.
pub async fn handle(client: &Arc<Client>, to: Option<Jid>, el: Element) {
    let kind = el.get("type").map(str::to_owned);
    let done = match (kind.as_deref(), to) {
        (None, None) => available(client, el.clone()).await,
        (Some("unavailable"), None) => unavailable(client, &el).await,
        (None | Some("unavailable"), Some(to)) => directed(client, &to, el.clone()).await,
        (Some("subscribe" | "subscribed" | "unsubscribe" | "unsubscribed"), Some(to)) => {
            subscription_change(client, &to.bare(), &el).await
        }
        // The node asks for its clients (RFC 6121 §4.3); errors answer nothing of ours.
        (Some("probe" | "error"), _) => Ok(()),
        _ => Err(Condition::BadRequest.into()),
    };
    if let Err(error) = done {
        client.refuse(&el, &error);
    }
}

fn show_of(el: &Element) -> Result<Show, StanzaError> {
    // RFC 6121 §4.7.2.1.
    Ok(
        match el.find_text("show", el.ns()).as_deref().map(str::trim) {
            None | Some("") => Show::Online,
            Some("away") => Show::Away,
            Some("chat") => Show::Chatty,
            Some("dnd") => Show::Busy,
            Some("xa") => Show::ExtendedAway,
            Some(_) => return Err(Condition::BadRequest.into()),
        },
    )
}

fn priority_of(el: &Element) -> Result<i8, StanzaError> {
    match el.find_text("priority", el.ns()) {
        None => Ok(0),
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| StanzaError::new(Condition::BadRequest)),
    }
}

fn status_of(el: &Element) -> Option<String> {
    let status = el.find_text("status", el.ns())?;
    (!status.is_empty() && status.len() <= 4096).then(|| status.into())
}

fn form_of(el: &Element) -> Form {
    Form {
        children: Payload::of(el).bytes().clone(),
        lang: el.lang().map(str::to_owned),
    }
}

async fn available(client: &Arc<Client>, mut el: Element) -> Result<(), StanzaError> {
    let (show, priority) = (show_of(&el)?, priority_of(&el)?);
    caps::note(client, &el).await;
    for feature in FEATURES {
        if let Some(stamp) = feature.stamp {
            el = stamp(client.clone(), el).await;
        }
    }
    let idle = el.find("idle", ns::IDLE).and_then(|i| i.get("since"));
    let presence = Presence {
        show,
        status: status_of(&el),
        priority,
        idle_since: idle.and_then(time::parse),
        native: Some(Arc::new(form_of(&el))),
    };
    broadcast(client, presence, true).await
}

/// Shows a presence to everybody who may see it; the first one also brings what a client needs at its start.
async fn broadcast(
    client: &Arc<Client>,
    presence: Presence,
    with_late: bool,
) -> Result<(), StanzaError> {
    let priority = presence.priority;
    let (first, was_reachable) = {
        let mut state = client.state.lock();
        let was = (state.available, state.available && state.priority >= 0);
        state.available = true;
        state.priority = priority;
        (!was.0, was.1)
    };
    let reaches = priority >= 0 && !was_reachable;
    let (id, account) = (client.session.id, client.account.clone());
    let written = client.node.write(move |tx| {
        let late = if reaches {
            ops::presence::take_offline(tx, &account)?
        } else {
            None
        };
        let upto = tx.last_seq();
        ops::presence::set(tx, id, &account, presence)?;
        Ok((late, upto))
    });
    let (late, upto) = written.await.map_err(StanzaError::from)?;
    if reaches {
        client.state.lock().since = upto;
    }
    if first {
        probe(client).await;
        pending(client);
    }
    if let (Some(after), true) = (late, with_late)
        && !client.state.lock().read_archive
    {
        // XEP-0160.
        client.lag.lock().late(after, upto);
    }
    if first {
        for feature in FEATURES {
            if let Some(available) = feature.available {
                available(client.clone()).await;
            }
        }
    }
    Ok(())
}

async fn unavailable(client: &Arc<Client>, el: &Element) -> Result<(), StanzaError> {
    {
        let mut state = client.state.lock();
        if !state.available {
            return Ok(());
        }
        state.available = false;
        state.seen.clear();
    }
    tell_directed(client, Some(el)).await;
    for feature in FEATURES {
        if let Some(gone) = feature.gone {
            gone(client.clone()).await;
        }
    }
    let presence = Presence {
        show: Show::Offline,
        status: status_of(el),
        native: Some(Arc::new(form_of(el))),
        ..Presence::default()
    };
    let (id, account) = (client.session.id, client.account.clone());
    client
        .node
        .write(move |tx| ops::presence::set(tx, id, &account, presence))
        .await
        .map_err(StanzaError::from)
}

/// The session ends: who got directed presence learns it; core tells the contacts.
pub async fn leave(client: &Arc<Client>) {
    tell_directed(client, None).await;
}

/// RFC 6121 §4.6.3: unavailable presence goes to all who got directed presence.
async fn tell_directed(client: &Arc<Client>, el: Option<&Element>) {
    let people = std::mem::take(&mut client.state.lock().directed);
    for jid in people {
        let mut gone = Element::new(ns::CLIENT, "presence")
            .attr("from", client.jid.to_str())
            .attr("type", "unavailable");
        for node in el.map(Element::nodes).unwrap_or_default() {
            gone.push_node(node.clone());
        }
        if let Ok(jid) = Jid::new(&jid) {
            let _ = send_directed(client, &jid, &gone).await;
        }
    }
}

async fn directed(client: &Arc<Client>, to: &Jid, el: Element) -> Result<(), StanzaError> {
    match client.server.place(to) {
        Place::Room(_) => match FEATURES.iter().find_map(|f| f.room_presence) {
            Some(room) => room(client.clone(), to.clone(), el).await,
            None => Err(Condition::ServiceUnavailable.into()),
        },
        Place::Remote(peer)
            if client.server.federation.get().is_none()
                || peer.network() != Some(crate::s2s::network::NAME) =>
        {
            Err(Condition::RemoteServerNotFound.into())
        }
        Place::Account(_) | Place::Remote(_) => {
            {
                let mut state = client.state.lock();
                if el.has("x", ns::MUC) {
                    let rooms = client.own::<message::Elsewhere>();
                    rooms.0.lock().insert(bare(to));
                }
                if el.get("type").is_some() {
                    state.directed.remove(to.as_str());
                } else if state.directed.len() < DIRECTED {
                    state.directed.insert(to.to_str());
                } else {
                    return Err(Condition::ResourceConstraint.into());
                }
            }
            crate::elsewhere::note(client, to, &el);
            send_directed(client, to, &el).await
        }
        _ => Ok(()),
    }
}

async fn send_directed(client: &Arc<Client>, to: &Jid, el: &Element) -> Result<(), StanzaError> {
    let (Place::Account(peer) | Place::Remote(peer)) = client.server.place(to) else {
        return Ok(());
    };
    let stanza = LiveStanza::of(el, to.resource());
    let me = client.account.clone();
    let sent = client.node.write(move |tx| {
        message::check(tx, &me, &peer)?;
        tx.tell_account(&peer, stanza.change());
        Ok(())
    });
    match sent.await {
        // RFC 6121 §4.6.2 has no error for it: who is not there gets nothing.
        Ok(()) | Err(Refusal::Unreachable | Refusal::Blocked) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

/// RFC 6121 §3: the client asks, allows, refuses or gives up a subscription.
async fn subscription_change(
    client: &Arc<Client>,
    to: &Jid,
    el: &Element,
) -> Result<(), StanzaError> {
    let of = match client.server.place(to) {
        Place::Account(address) | Place::Remote(address) => address,
        _ => return Ok(()),
    };
    // Asking oneself changes nothing: all own resources see each other.
    if of == client.account {
        return Ok(());
    }
    let (me, kind) = (
        client.account.clone(),
        el.get("type").unwrap_or_default().to_owned(),
    );
    let note = Payload::of(el).bytes().to_vec();
    let token = el.find("preauth", ns::PARS).and_then(|p| p.get("token"));
    let token = token.and_then(Token::read);
    let written = client.node.write(move |tx| match kind.as_str() {
        "subscribe" => {
            if tx.contact(&me, &of)?.blocked {
                return Err(Refusal::Blocked);
            }
            // XEP-0379 §3.4: the node approves for its account, and asks back.
            let invited = match &token {
                Some(token) => invitations::preapprove(tx, token, &of, &me)?,
                None => false,
            };
            ops::contacts::ask(tx, &me, &of, note)?;
            if invited {
                let _ = ops::contacts::ask(tx, &of, &me, Vec::new());
            }
            Ok(())
        }
        "subscribed" => ops::contacts::allow(tx, &me, &of),
        "unsubscribe" => ops::contacts::unsubscribe(tx, &me, &of),
        _ => ops::contacts::deny(tx, &me, &of),
    });
    match written.await {
        Err(Refusal::Blocked) => Err(message::blocked()),
        other => other.map_err(StanzaError::from),
    }
}

/// A contact changed in a way that RFC 6121 §3 tells with a stanza.
pub fn subscription(client: &Client, contact: &Address, value: &Contact, cause: ContactCause) {
    let (available, interested) = {
        let state = client.state.lock();
        (state.available, state.interested)
    };
    let (kind, wanted) = match cause {
        ContactCause::Asks => ("subscribe", available),
        ContactCause::Allowed => ("subscribed", interested),
        ContactCause::Denied => ("unsubscribed", interested),
        ContactCause::Unsubscribed => ("unsubscribe", interested),
        _ => return,
    };
    if wanted {
        let note = value.asks.as_deref().unwrap_or_default();
        tell(
            client,
            contact,
            kind,
            if kind == "subscribe" { note } else { b"" },
        );
    }
}

fn tell(client: &Client, from: &Address, kind: &str, children: &[u8]) {
    let from = client.server.bare(from);
    let attrs = [
        ("from", from.as_str()),
        ("to", client.bare.as_str()),
        ("type", kind),
    ];
    client.send_with(|out| {
        write::envelope(
            out,
            "presence",
            ns::CLIENT,
            &attrs,
            &[children],
            &[],
            Context::CLIENT,
        );
    });
}

/// RFC 6121 §3.1.3: questions that wait for an answer are shown to each client that comes.
fn pending(client: &Arc<Client>) {
    let Ok(contacts) = client.node.contacts(&client.account) else {
        return;
    };
    for (address, contact) in contacts.iter().filter(|(_, c)| !c.blocked) {
        if let Some(note) = &contact.asks {
            tell(client, address, "subscribe", note);
        }
    }
}

/// RFC 6121 §4.3: what the contacts and the own other resources show now.
pub async fn probe(client: &Arc<Client>) {
    let account = client.account.clone();
    let contacts = client.node.read(move |node| node.contacts(&account));
    let Ok(contacts) = contacts.await else { return };
    let seen = contacts
        .iter()
        .filter(|(a, c)| c.sees && !c.blocked && a.is_account())
        .map(|(a, _)| a);
    let found: Vec<_> = client.node.live(|live| {
        seen.chain([&client.account])
            .flat_map(|a| live.sessions_of(a).iter().map(move |s| (a, s)))
            .filter(|(_, s)| s.id != client.session.id)
            .filter_map(|(a, s)| Some((a.clone(), s.clone(), s.presence()?)))
            .filter(|(.., p)| p.show != Show::Offline)
            .collect()
    });
    for (account, session, presence) in found {
        show(client, &account, &session, &presence);
    }
    let Some(federation) = client.server.federation.get() else {
        return;
    };
    // RFC 6121 §4.3.1; and a question that got no answer yet may have got lost (§3.1.2).
    let elsewhere = |a: &Address| a.network() == Some(crate::s2s::network::NAME);
    for (address, contact) in contacts.iter().filter(|(a, c)| elsewhere(a) && !c.blocked) {
        let kind = match (contact.sees, contact.asked) {
            (true, _) => "probe",
            (false, true) => "subscribe",
            _ => continue,
        };
        let from = if contact.sees {
            client.jid.to_str()
        } else {
            client.bare.clone()
        };
        let stanza = Element::new(ns::CLIENT, "presence")
            .attr("from", from)
            .attr("to", address.name())
            .attr("type", kind);
        federation.send(&stanza);
    }
}

/// Shows what a session of a contact (or an own one) says about its person.
pub fn show(
    client: &Arc<Client>,
    account: &Address,
    session: &Arc<Session>,
    presence: &Arc<Presence>,
) {
    if !client.state.lock().available {
        return;
    }
    if session.protocol != Protocol::Xmpp {
        return node_resource::show(client, account);
    }
    let Some(jid) = shown(session).and_then(|s| s.jid.clone()) else {
        return;
    };
    let gone = presence.show == Show::Offline;
    if note_seen(client, &jid, gone) {
        return;
    }
    let form = presence
        .native
        .clone()
        .and_then(|n| n.downcast::<Form>().ok());
    client.send_quiet(jid.as_str(), |out| match &form {
        Some(form) => write_form(out, &jid, client.jid.as_str(), gone, form),
        None => write_plain(out, jid.as_str(), client.jid.as_str(), presence),
    });
}

/// Remembers who is there; true where somebody goes of whom the client never knew.
pub(crate) fn note_seen(client: &Arc<Client>, jid: &Jid, gone: bool) -> bool {
    let mut state = client.state.lock();
    if gone {
        return !state.seen.remove(jid.as_str()) && *jid != client.jid;
    }
    let new = state.seen.insert(jid.to_str());
    drop(state);
    if new && *jid != client.jid {
        for feature in FEATURES {
            if let Some(contact) = feature.contact {
                contact(client, jid);
            }
        }
    }
    false
}

pub(crate) fn write_form(out: &mut BytesMut, from: &Jid, to: &str, gone: bool, form: &Form) {
    let mut attrs = vec![("from", from.as_str()), ("to", to)];
    if gone {
        attrs.push(("type", "unavailable"));
    }
    if let Some(lang) = &form.lang {
        attrs.push(("xml:lang", lang));
    }
    let children: &[u8] = &form.children;
    write::envelope(
        out,
        "presence",
        ns::CLIENT,
        &attrs,
        &[children],
        &[],
        Context::CLIENT,
    );
}

/// Presence that another protocol set, or that no client wrote.
pub(crate) fn write_plain(out: &mut BytesMut, from: &str, to: &str, presence: &Presence) {
    let stanza = Element::new(ns::CLIENT, "presence")
        .attr("from", from)
        .attr("to", to)
        .children(children(presence));
    let stanza = if presence.show == Show::Offline {
        stanza.attr("type", "unavailable")
    } else {
        stanza
    };
    write::element(out, &stanza, Context::CLIENT);
}

/// Core's presence as children of a `<presence/>`.
pub fn children(presence: &Presence) -> Vec<Element> {
    let text = |name: &'static str, text: &str| Element::new(ns::CLIENT, name).text(text);
    let show = show_name(presence.show).map(|s| text("show", s));
    let status = presence.status.as_ref().map(|s| text("status", s));
    let idle = presence
        .idle_since
        .map(|at| Element::new(ns::IDLE, "idle").attr("since", time::stamp(at)));
    [show, status, idle].into_iter().flatten().collect()
}

fn show_name(show: Show) -> Option<&'static str> {
    match show {
        Show::Offline | Show::Online => None,
        Show::ExtendedAway => Some("xa"),
        Show::Away => Some("away"),
        Show::Busy => Some("dnd"),
        Show::Chatty => Some("chat"),
    }
}

/// The presence of a client, to keep it over a restart.
pub fn kept(client: &Client) -> Option<Kept> {
    let presence = client.session.presence()?;
    if presence.show == Show::Offline {
        return None;
    }
    let form = presence.native.clone()?.downcast::<Form>().ok()?;
    Some(Kept {
        show: show_name(presence.show).map(str::to_owned),
        status: presence.status.clone(),
        priority: presence.priority,
        form: (*form).clone(),
    })
}

/// The client resumed after a restart: its presence is what it was.
pub async fn restore(client: &Arc<Client>, kept: Kept) {
    let show = match kept.show.as_deref() {
        Some("xa") => Show::ExtendedAway,
        Some("away") => Show::Away,
        Some("dnd") => Show::Busy,
        Some("chat") => Show::Chatty,
        _ => Show::Online,
    };
    if let Ok(nodes) = Payload::from_stored(kept.form.children.clone())
        .nodes(ns::CLIENT, &client.server.config.get().member)
    {
        let mut el = Element::new(ns::CLIENT, "presence");
        nodes.into_iter().for_each(|node| el.push_node(node));
        caps::note(client, &el).await;
    }
    let presence = Presence {
        show,
        status: kept.status,
        priority: kept.priority,
        idle_since: None,
        native: Some(Arc::new(kept.form)),
    };
    // What waited comes from the log behind the checkpoint, with everything else.
    let _ = broadcast(client, presence, false).await;
    client.state.lock().since = Seq(0);
}

/// The text of a JID's bare form.
pub fn bare(jid: &Jid) -> Str {
    Str::new(jid.bare_str())
}
