//! The log of a room as messages: live to occupants, and in the same words to archive and history.

use std::sync::Arc;

use bytes::Bytes;
use sammen_core::address::Address;
use sammen_core::convo::Convo;
use sammen_core::event::{
    Content, Event, MembershipAction, MembershipChange, RelationKind, RoomChange,
};
use sammen_core::live::Announced;
use sammen_core::ops::rooms;
use sammen_core::{Membership, Protocol};

use super::moderate::{MODERATE_0, RETRACT_0};
use super::names::{self, status};
use super::occupant;
use super::places::{Now, Places, Rooms};
use super::{avatar, changes, invite};
use crate::client::Client;
use crate::server::Server;
use crate::time;
use crate::translate::outgoing::{self, Scene};
use crate::translate::{self, Envelope};
use crate::wire::{Element, Payload, ns};

/// Keys of forms of an event (see [`Announced::form`]): what all occupants share.
const GROUPCHAT: u32 = 0x4d01;
const PRIVATE: u32 = 0x4d02;

/// An event of a room for a client.
pub fn event(client: &Arc<Client>, announced: &Arc<Announced>) {
    let Some(room) = announced.convo.conversation.room() else {
        return;
    };
    // What concerns the account itself reaches all its clients, in the room or not.
    if let Content::Membership(change) = &announced.event.content
        && change.who == client.account
        && change.action == MembershipAction::Invited
    {
        invite::show(client, announced, change);
        return;
    }
    if let Content::Room(RoomChange::Renamed { from, to, reason }) = &announced.event.content {
        moved(client, announced, from, to, reason.as_deref());
        return;
    }
    let places = Places::of(client);
    match places.event(room, announced) {
        Now::Show => show(client, announced),
        Now::ShowKept => {
            for held in places.take_kept(room) {
                changes::show_held(client, &held);
            }
            show(client, announced);
        }
        Now::Kept => {}
        Now::Elsewhere => {
            if let Content::Membership(change) = &announced.event.content {
                standing_elsewhere(client, &announced.convo, change);
            }
        }
    }
}

/// The room has another address: to the client it ends (§10.9) and names where it goes on. Its bookmark follows.
fn moved(
    client: &Arc<Client>,
    announced: &Announced,
    from: &Address,
    to: &Address,
    reason: Option<&str>,
) {
    let Some(nick) = Places::of(client).left(from) else {
        return;
    };
    let convo = &announced.convo;
    let detail = occupant::Detail {
        leaves: true,
        from_nick: Some(&nick),
        from_room: Some(from),
        codes: &[status::SELF],
        destroyed: Some((Some(client.server.bare(to)), reason)),
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
    let (session, account, id) = (client.session.id, client.account.clone(), convo.id());
    let client = client.clone();
    tokio::spawn(async move {
        let node = client.node.clone();
        let left = node.write(move |tx| rooms::exit(tx, session, &account, id));
        if let Err(refusal) = left.await {
            tracing::debug!(protocol = "xmpp", %refusal, "an occupancy did not end with a room's address");
        }
        crate::bookmarks::follow(client).await;
    });
}

/// Shows an event to a client that is in the room.
pub fn show(client: &Arc<Client>, announced: &Arc<Announced>) {
    let event = &announced.event;
    match &event.content {
        Content::Membership(change) => standing_elsewhere(client, &announced.convo, change),
        Content::Room(RoomChange::Topic(_)) => {}
        Content::Room(change) => {
            configured(client, &announced.convo, change);
            return;
        }
        _ => {}
    }
    if matches!(event.content, Content::Membership(_)) {
        return;
    }
    if event.audience.is_some() {
        private(client, announced);
        return;
    }
    let server = &client.server;
    let tail = announced.form(Protocol::Xmpp, GROUPCHAT, || {
        let about = announced.about.clone().or_else(|| target(server, event));
        live(server, &announced.convo, event, about.as_deref())
    });
    if let Some(tail) = &*tail {
        occupant::send(client, "message", tail);
    }
}

/// What an event refers to, from the store.
pub fn target(server: &Server, event: &Event) -> Option<Arc<Event>> {
    // What XMPP wrote says by itself what it refers to; only whose message a retraction is about must be known.
    let retraction = matches!(event.content, Content::Retraction { .. });
    if translate::native(event).is_some() && !retraction {
        return None;
    }
    let id = event.target()?;
    server.node.store().event_by_id(id).ok().flatten()
}

fn live(server: &Server, convo: &Convo, event: &Event, about: Option<&Event>) -> Option<Bytes> {
    let message = message(server, convo, event, about)?;
    Some(message.tail(&[]))
}

/// A message of a room, without its receiver.
pub struct Spoken {
    from: String,
    id: String,
    kind: String,
    lang: Option<String>,
    children: Bytes,
    extra: Vec<Element>,
}

impl Spoken {
    /// The bytes that all receivers share, with further children.
    pub fn tail(&self, more: &[Element]) -> Bytes {
        let mut attrs = vec![
            ("from", self.from.as_str()),
            ("type", self.kind.as_str()),
            ("id", self.id.as_str()),
        ];
        if let Some(lang) = &self.lang {
            attrs.push(("xml:lang", lang));
        }
        let mut extra = self.extra.clone();
        extra.extend_from_slice(more);
        occupant::tail("message", &attrs, &[&self.children], &extra)
    }

    /// The envelope without children, and the bytes of the children: for archives.
    pub fn parts(self) -> (Element, Bytes, Vec<Element>) {
        let mut shell = Element::new(ns::CLIENT, "message")
            .attr("from", self.from)
            .attr("type", self.kind)
            .attr("id", self.id);
        if let Some(lang) = self.lang {
            shell = shell.with_lang(lang);
        }
        (shell, self.children, self.extra)
    }
}

/// The occupant's address under which an event was written.
pub fn author(server: &Server, convo: &Convo, event: &Event) -> String {
    // What the room itself wrote, under whatever address it had then.
    if convo.conversation.is_named(&event.author) {
        return room_jid(server, convo);
    }
    let nick = event
        .nick
        .as_deref()
        .unwrap_or_else(|| occupant::nick_of(convo, &event.author));
    format!("{}/{nick}", room_jid(server, convo))
}

/// The bare JID of a room.
pub fn room_jid(server: &Server, convo: &Convo) -> String {
    convo
        .conversation
        .room()
        .map(|r| server.bare(r))
        .unwrap_or_default()
}

/// The `<stanza-id/>` that the room gives (XEP-0359).
fn stanza_id(server: &Server, convo: &Convo, event: &Event) -> Element {
    Element::new(ns::SID, "stanza-id")
        .attr("by", room_jid(server, convo))
        .attr("id", event.id.to_string())
}

/// An event as the room tells it; `None` where it is shown in another way, or not at all.
pub fn message(
    server: &Server,
    convo: &Convo,
    event: &Event,
    about: Option<&Event>,
) -> Option<Spoken> {
    let native = translate::native(event);
    let envelope = Envelope::of(event);
    let shared = Rooms::of(server);
    let occupant_id = shared.key().map(|k| k.element(convo.id(), &event.author));
    let mut extra = vec![stanza_id(server, convo, event)];
    let moderated = matches!(event.content, Content::Retraction { .. })
        && about.is_some_and(|a| a.author != event.author);
    if moderated {
        let children = moderation(server, convo, event, occupant_id);
        let message = Element::new(ns::CLIENT, "message").children(children);
        return Some(Spoken {
            from: room_jid(server, convo),
            id: event.id.to_string(),
            kind: "groupchat".into(),
            lang: None,
            children: Payload::of(&message).bytes().clone(),
            extra,
        });
    }
    extra.extend(occupant_id);
    let children = match (native, &event.content) {
        (Some(native), _) => native.bytes.clone(),
        (None, Content::Room(RoomChange::Topic(topic))) => {
            let message = Element::new(ns::CLIENT, "message").child(subject(topic));
            Payload::of(&message).bytes().clone()
        }
        (None, Content::Erased { by: Some(by), .. }) if *by != event.author => {
            let message = Element::new(ns::CLIENT, "message")
                .child(outgoing::tombstone(event).child(moderated_by(server, convo, by)));
            Payload::of(&message).bytes().clone()
        }
        (None, _) => outgoing::payload(&Scene {
            event,
            target: about,
            target_author: about.map(|a| author(server, convo, a)),
            room: true,
        }),
    };
    if children.is_empty() {
        return None;
    }
    let private = event.audience.is_some();
    if private {
        extra.push(Element::new(ns::MUC_USER, "x"));
    }
    Some(Spoken {
        from: author(server, convo, event),
        id: translate::stanza_id(event),
        kind: if private { "chat" } else { "groupchat" }.into(),
        lang: envelope.lang.map(str::to_owned),
        children,
        extra,
    })
}

/// A `<subject/>`.
pub fn subject(topic: &str) -> Element {
    Element::new(ns::CLIENT, "subject").text(topic)
}

/// XEP-0425: a moderator took back what another one wrote; the room itself says so, in the words of both versions.
fn moderation(
    server: &Server,
    convo: &Convo,
    event: &Event,
    occupant_id: Option<Element>,
) -> Vec<Element> {
    let by = author(server, convo, event);
    let id = event.target().map(|t| t.to_string()).unwrap_or_default();
    let why = match &event.content {
        Content::Retraction { reason } => reason.clone(),
        _ => None,
    };
    let reason = |ns| why.clone().map(|r| Element::new(ns, "reason").text(r));
    let moderated = moderated_by(server, convo, &event.author);
    let retract = Element::new(ns::RETRACT, "retract")
        .attr("id", id.clone())
        .child(moderated)
        .children(reason(ns::RETRACT));
    let older = Element::new(MODERATE_0, "moderated")
        .attr("by", by)
        .child(Element::new(RETRACT_0, "retract"))
        .children(reason(MODERATE_0))
        .children(occupant_id);
    let apply = Element::new(ns::FASTEN, "apply-to")
        .attr("id", id)
        .child(older);
    vec![retract, apply, Element::new(ns::HINTS, "store")]
}

/// Who moderated a message.
fn moderated_by(server: &Server, convo: &Convo, who: &Address) -> Element {
    let by = format!(
        "{}/{}",
        room_jid(server, convo),
        occupant::nick_of(convo, who)
    );
    let shared = Rooms::of(server);
    Element::new(ns::MODERATE, "moderated")
        .attr("by", by)
        .children(shared.key().map(|k| k.element(convo.id(), who)))
}

/// §7.5: a private message; the sender's other clients get a carbon copy of it.
fn private(client: &Arc<Client>, announced: &Arc<Announced>) {
    let event = &announced.event;
    let server = &client.server;
    let convo = &announced.convo;
    let own = event.author == client.account;
    let to_oneself = event
        .audience
        .as_ref()
        .is_some_and(|a| a.contains(&client.account));
    if own && !to_oneself {
        if announced.origin != Some(client.session.id) && client.state.lock().carbons {
            sent_elsewhere(client, announced);
        }
        return;
    }
    let tail = announced.form(Protocol::Xmpp, PRIVATE, || {
        let about = announced.about.clone().or_else(|| target(server, event));
        live(server, convo, event, about.as_deref())
    });
    if let Some(tail) = &*tail {
        occupant::send(client, "message", tail);
    }
}

/// XEP-0280 §6: what another client of the account sent privately.
fn sent_elsewhere(client: &Client, announced: &Announced) {
    let (event, convo) = (&announced.event, &announced.convo);
    let Some(spoken) = message(&client.server, convo, event, announced.about.as_deref()) else {
        return;
    };
    let to = event
        .audience
        .iter()
        .flatten()
        .next()
        .map(|a| occupant::nick_of(convo, a));
    let to = format!(
        "{}/{}",
        room_jid(&client.server, convo),
        to.unwrap_or_default()
    );
    let (mut shell, children, extra) = spoken.parts();
    shell.set("from", client.jid.to_str());
    shell.set("to", to);
    let limits = client.server.config.get().member;
    if let Ok(nodes) = Payload::from_stored(children).nodes(ns::CLIENT, &limits) {
        for node in nodes {
            shell.push_node(node);
        }
    }
    let forwarded = Element::new(ns::FORWARD, "forwarded").child(shell.children(extra));
    let copy = Element::new(ns::CLIENT, "message")
        .attr("from", client.bare.clone())
        .attr("to", client.jid.to_str())
        .attr("type", "chat")
        .child(Element::new(ns::CARBONS, "sent").child(forwarded));
    client.send(&copy);
}

/// §9.3 and §10.3: the standing of someone who is not in the room changed. Who is in the room is told with the address
/// where the room shows it; the one concerned gets status 101.
fn standing_elsewhere(client: &Client, convo: &Convo, change: &MembershipChange) {
    let ranked = matches!(
        change.action,
        MembershipAction::Standing | MembershipAction::Banned | MembershipAction::Unbanned
    );
    if !ranked || change.membership == Membership::Joined {
        return;
    }
    // A ban of someone who was in the room is seen as presence.
    let was_in = convo.has(&change.who);
    let own = change.who == client.account;
    let inside = Places::of(client)
        .nick(convo.conversation.room().unwrap_or(&change.who))
        .is_some();
    let concerned = own || inside && occupant::sees_addresses(convo, &client.account);
    if was_in || !concerned {
        return;
    }
    let mut x = Element::new(ns::MUC_USER, "x").child(
        Element::new(ns::MUC_USER, "item")
            .attr("affiliation", names::affiliation(change.standing))
            .attr("role", "none")
            .attr("jid", client.server.bare(&change.who))
            .children(
                change
                    .reason
                    .as_deref()
                    .map(|r| Element::new(ns::MUC_USER, "reason").text(r)),
            ),
    );
    if own {
        x.push(code(status::STANDING_CHANGED));
    }
    let message = Element::new(ns::CLIENT, "message")
        .attr("from", room_jid(&client.server, convo))
        .attr("to", client.jid.to_str())
        .child(x);
    client.send(&message);
}

fn code(code: u16) -> Element {
    Element::new(ns::MUC_USER, "status").attr("code", code.to_string())
}

/// §10.2.1: what changed in the room's configuration, as status codes.
fn configured(client: &Arc<Client>, convo: &Arc<Convo>, change: &RoomChange) {
    let settings = &convo.conversation.settings;
    let mut codes = Vec::new();
    let mut addresses_shown = false;
    match change {
        RoomChange::Name(_) | RoomChange::Avatar(_) => codes.push(status::CONFIGURED),
        RoomChange::Settings(words) => {
            let changed = |what: &str| words.iter().any(|w| w == what);
            if changed("whether addresses are shown") {
                addresses_shown = settings.addresses_open;
                codes.push(if addresses_shown {
                    status::NOW_NON_ANONYMOUS
                } else {
                    status::NOW_SEMI_ANONYMOUS
                });
            }
            if changed("who may read the history") {
                let world = settings.visibility == sammen_core::conversation::Visibility::World;
                codes.push(if world {
                    status::LOGGED
                } else {
                    status::NOT_LOGGED
                });
            }
            codes.push(status::CONFIGURED);
        }
        _ => return,
    }
    let x = Element::new(ns::MUC_USER, "x").children(codes.into_iter().map(code));
    let message = Element::new(ns::CLIENT, "message")
        .attr("from", room_jid(&client.server, convo))
        .attr("to", client.jid.to_str())
        .attr("type", "groupchat")
        .child(x);
    client.send(&message);
    if matches!(change, RoomChange::Avatar(_)) {
        avatar::show_room(client, convo);
    }
    if addresses_shown {
        changes::show_all(client, convo);
    }
}

/// A `<delay/>` by the room (XEP-0203).
pub fn delay(server: &Server, convo: &Convo, event: &Event) -> Element {
    Element::new(ns::DELAY, "delay")
        .attr("from", room_jid(server, convo))
        .attr("stamp", time::stamp(event.at))
}

/// Whether an event belongs into the history that a joiner gets: what people said, corrected and took back.
pub fn is_history(event: &Event) -> bool {
    event.audience.is_none()
        && (event.content.is_speech() || matches!(event.content, Content::Retraction { .. }))
        && event
            .relation
            .as_ref()
            .is_none_or(|r| r.kind != RelationKind::Marker)
}
