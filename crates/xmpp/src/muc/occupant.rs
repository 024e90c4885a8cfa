//! An occupant's presence: built once for all who see it, in two forms: with the address and without.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use sammen_core::address::Address;
use sammen_core::conversation::Conversation;
use sammen_core::convo::Convo;
use sammen_core::ids::ConversationId;
use sammen_core::live::{Presence, Session, Show};
use sammen_core::member::{Member, Role};

use super::names;
use super::occupant_id::Key;
use crate::client::{Client, shown};
use crate::server::Server;
use crate::wire::write::{self, Out};
use crate::wire::{Context, Element, Payload, ns};

/// A session in a room, and what it shows there.
pub type Inside = (Arc<Session>, Arc<Presence>);

/// Most bytes that a client's presence may have in a room; of a longer one only show and status are passed on.
const PRESENCE_BYTES: usize = 8 * 1024;
/// Most rooms of which occupants are kept built.
const MOST_ROOMS: usize = 10_000;
/// Most occupants of one room that are kept built.
const MOST_OCCUPANTS: usize = 25_000;

/// What an XMPP client showed a room: the children of its presence, in any stanza namespace.
pub struct Shows(pub Bytes);

/// Reads a client's presence to a room. What the room itself says is stripped.
pub fn read(presence: &Element) -> Presence {
    let mut el = presence.clone();
    el.remove_children(|c| {
        matches!(
            c.ns(),
            ns::MUC | ns::MUC_USER | ns::OCCUPANT_ID | ns::SID | ns::DELAY
        )
    });
    let show = match el.find_text("show", ns::CLIENT).as_deref() {
        Some("away") => Show::Away,
        Some("xa") => Show::ExtendedAway,
        Some("dnd") => Show::Busy,
        Some("chat") => Show::Chatty,
        _ => Show::Online,
    };
    let status = el.find_text("status", ns::CLIENT).map(|s| s.into_owned());
    let payload = Payload::of(&el);
    let small = payload.bytes().len() <= PRESENCE_BYTES;
    Presence {
        show,
        status: status.map(|s| s.chars().take(1024).collect()),
        priority: 0,
        idle_since: None,
        native: small.then(|| Arc::new(Shows(payload.bytes().clone())) as _),
    }
}

/// The session that speaks for an occupant who has several: the most available one.
fn spokesman(sessions: &[Inside]) -> Option<&Inside> {
    sessions.iter().rev().max_by_key(|(_, p)| p.show)
}

/// The children that say how available someone is. A member without a session in the room is away.
pub fn shows(sessions: &[Inside]) -> Bytes {
    let Some((_, presence)) = spokesman(sessions) else {
        return Bytes::from_static(b"<show>away</show>");
    };
    if let Some(native) = &presence.native
        && let Some(shows) = native.downcast_ref::<Shows>()
    {
        return shows.0.clone();
    }
    let show = match presence.show {
        Show::Offline | Show::Away => Some("away"),
        Show::ExtendedAway => Some("xa"),
        Show::Busy => Some("dnd"),
        Show::Chatty => Some("chat"),
        Show::Online => None,
    };
    let el = Element::new(ns::CLIENT, "presence")
        .children(show.map(|s| Element::new(ns::CLIENT, "show").text(s)))
        .children(
            presence
                .status
                .as_deref()
                .filter(|s| !s.is_empty())
                .map(|s| Element::new(ns::CLIENT, "status").text(s)),
        );
    Payload::of(&el).bytes().clone()
}

/// The nick of a member.
pub fn nick(member: &Member) -> &str {
    member.nick.as_deref().unwrap_or(member.address.name())
}

/// The nick of someone in a room; for who is no longer there the name of the account.
pub fn nick_of<'a>(convo: &'a Convo, who: &'a Address) -> &'a str {
    convo.member(who).map_or(who.name(), |m| nick(m))
}

/// Whether the room shows real addresses to this one (§4.2: everyone, or moderators alone).
pub fn sees_addresses(convo: &Convo, who: &Address) -> bool {
    convo.conversation.settings.addresses_open || convo.role(who) == Role::Moderator
}

/// The addresses of an occupant: of each XMPP session, else the bare one.
fn jids(server: &Server, who: &Address, sessions: &[Inside]) -> Vec<String> {
    let full: Vec<String> = sessions
        .iter()
        .filter_map(|(s, _)| Some(shown(s)?.jid.as_ref()?.as_str().to_owned()))
        .take(8)
        .collect();
    if full.is_empty() {
        vec![server.bare(who)]
    } else {
        full
    }
}

/// What a presence says beside how available someone is.
#[derive(Default)]
pub struct Detail<'a> {
    /// It ends the occupancy.
    pub leaves: bool,
    /// From another nick than the member's.
    pub from_nick: Option<&'a str>,
    /// From another address than the room's of now.
    pub from_room: Option<&'a Address>,
    /// The nick that is coming (status 303).
    pub new_nick: Option<&'a str>,
    /// In words, for who leaves.
    pub status: Option<&'a str>,
    /// Why.
    pub reason: Option<&'a str>,
    /// By whom.
    pub actor: Option<&'a Address>,
    /// Status codes.
    pub codes: &'a [u16],
    /// The room is gone: where people go instead, and why.
    pub destroyed: Option<(Option<String>, Option<&'a str>)>,
    /// The sessions as they are.
    pub sessions: &'a [Inside],
    /// Whether the receiver sees the address.
    pub address: bool,
}

/// A presence from an occupant, without its `to`: what follows `<presence`.
pub fn build(
    server: &Server,
    key: Option<&Key>,
    convo: &Convo,
    who: &Address,
    d: &Detail<'_>,
) -> Bytes {
    let member = convo.member(who);
    let affiliation = names::affiliation(convo.standing(who));
    let role = names::role(if d.leaves && d.new_nick.is_none() {
        Role::None
    } else {
        convo.role(who)
    });
    let item = |jid: Option<&str>| {
        Element::new(ns::MUC_USER, "item")
            .attr("affiliation", affiliation)
            .attr("role", role)
            .attr_opt("jid", jid)
            .attr_opt("nick", d.new_nick)
    };
    let jids = if d.address {
        jids(server, who, d.sessions)
    } else {
        Vec::new()
    };
    let mut first = item(jids.first().map(String::as_str));
    if let Some(actor) = d.actor {
        let nick = convo.member(actor).map(|m| nick(m).to_owned());
        let jid = d.address.then(|| server.bare(actor));
        if nick.is_some() || jid.is_some() {
            first.push(
                Element::new(ns::MUC_USER, "actor")
                    .attr_opt("nick", nick)
                    .attr_opt("jid", jid),
            );
        }
    }
    if let Some(reason) = d.reason.filter(|r| !r.is_empty()) {
        first.push(Element::new(ns::MUC_USER, "reason").text(reason));
    }
    let mut x = Element::new(ns::MUC_USER, "x").child(first);
    for jid in jids.iter().skip(1) {
        x.push(item(Some(jid)));
    }
    if let Some((alternate, why)) = &d.destroyed {
        x.push(
            Element::new(ns::MUC_USER, "destroy")
                .attr_opt("jid", alternate.clone())
                .children(why.map(|w| Element::new(ns::MUC_USER, "reason").text(w))),
        );
    }
    for code in d.codes {
        x.push(Element::new(ns::MUC_USER, "status").attr("code", code.to_string()));
    }
    let mut extra = vec![x];
    extra.extend(key.map(|k| k.element(convo.id(), who)));
    let nick = d
        .from_nick
        .or(member.map(|m| nick(m)))
        .unwrap_or(who.name());
    let room = d
        .from_room
        .or(convo.conversation.room())
        .map(|r| server.bare(r))
        .unwrap_or_default();
    let from = format!("{room}/{nick}");
    let mut attrs = vec![("from", from.as_str())];
    let children = if d.leaves {
        attrs.push(("type", "unavailable"));
        let status = d.status.filter(|s| !s.is_empty());
        let el = Element::new(ns::CLIENT, "presence")
            .children(status.map(|s| Element::new(ns::CLIENT, "status").text(s)));
        Payload::of(&el).bytes().clone()
    } else {
        shows(d.sessions)
    };
    tail("presence", &attrs, &[&children], &extra)
}

/// A stanza without its name and `to`: what all its receivers share.
pub fn tail(name: &str, attrs: &[(&str, &str)], parts: &[&[u8]], extra: &[Element]) -> Bytes {
    let mut out = BytesMut::with_capacity(512);
    write::envelope(
        &mut out,
        name,
        ns::CLIENT,
        attrs,
        parts,
        extra,
        Context::CLIENT,
    );
    out.freeze().slice(name.len() + 1..)
}

/// ` to='…'` for a client, escaped once.
#[derive(Default)]
struct To(std::sync::OnceLock<Bytes>);

fn to(client: &Client) -> Bytes {
    let cached = client.own::<To>();
    cached
        .0
        .get_or_init(|| {
            let all = tail("m", &[("to", client.jid.as_str())], &[], &[]);
            all.slice(..all.len().saturating_sub(2))
        })
        .clone()
}

/// Sends a stanza of a name whose rest is shared.
pub fn send(client: &Client, name: &'static str, tail: &Bytes) {
    let to = to(client);
    client.send_with(|out| whole(out, name, &to, tail));
}

/// The same for what can wait while nobody looks; a later one under the same key replaces it.
pub fn send_quiet(client: &Client, key: &str, name: &'static str, tail: &Bytes) {
    let to = to(client);
    client.send_quiet(key, |out| whole(out, name, &to, tail));
}

fn whole(out: &mut BytesMut, name: &str, to: &[u8], tail: &[u8]) {
    out.reserve(name.len() + 1 + to.len() + tail.len());
    out.put(b"<");
    out.put(name.as_bytes());
    out.put(to);
    out.put(tail);
}

/// An occupant's available presence in both forms, and of what it was built.
struct Built {
    member: Arc<Member>,
    conversation: Arc<Conversation>,
    presences: Vec<Arc<Presence>>,
    open: Bytes,
    hidden: Bytes,
}

impl Built {
    fn fits(&self, convo: &Convo, member: &Arc<Member>, sessions: &[Inside]) -> bool {
        Arc::ptr_eq(&self.member, member)
            && Arc::ptr_eq(&self.conversation, &convo.conversation)
            && self.presences.len() == sessions.len()
            && self
                .presences
                .iter()
                .zip(sessions)
                .all(|(a, (_, b))| Arc::ptr_eq(a, b))
    }
}

/// Occupants' presences that were built, by room and person.
#[derive(Default)]
pub struct Forms(Mutex<HashMap<ConversationId, HashMap<Address, Arc<Built>>>>);

impl Forms {
    /// The available presence of a joined member as the receiver may see it.
    pub fn available(
        &self,
        server: &Server,
        key: Option<&Key>,
        convo: &Convo,
        member: &Arc<Member>,
        sessions: &[Inside],
        address: bool,
    ) -> Bytes {
        let built = self.built(server, key, convo, member, sessions);
        if address {
            built.open.clone()
        } else {
            built.hidden.clone()
        }
    }

    fn built(
        &self,
        server: &Server,
        key: Option<&Key>,
        convo: &Convo,
        member: &Arc<Member>,
        sessions: &[Inside],
    ) -> Arc<Built> {
        {
            let mut rooms = self.0.lock();
            if rooms.len() > MOST_ROOMS {
                rooms.clear();
            }
            let room = rooms.entry(convo.id()).or_default();
            if room.len() > MOST_OCCUPANTS {
                room.clear();
            }
            if let Some(built) = room.get(&member.address)
                && built.fits(convo, member, sessions)
            {
                return built.clone();
            }
        }
        let form = |address| {
            let detail = Detail {
                sessions,
                address,
                ..Detail::default()
            };
            build(server, key, convo, &member.address, &detail)
        };
        let built = Arc::new(Built {
            member: member.clone(),
            conversation: convo.conversation.clone(),
            presences: sessions.iter().map(|(_, p)| p.clone()).collect(),
            open: form(true),
            hidden: form(false),
        });
        let mut rooms = self.0.lock();
        let room = rooms.entry(convo.id()).or_default();
        room.insert(member.address.clone(), built.clone());
        built
    }

    /// Forgets a room in which nobody is any more.
    pub fn forget(&self, room: ConversationId) {
        self.0.lock().remove(&room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_room_says_is_stripped_from_a_clients_presence() {
        let presence = Element::new(ns::CLIENT, "presence")
            .child(Element::new(ns::CLIENT, "show").text("dnd"))
            .child(Element::new(ns::CLIENT, "status").text("cooking"))
            .child(Element::new(ns::MUC, "x"))
            .child(Element::new(ns::MUC_USER, "x"))
            .child(Element::new(ns::OCCUPANT_ID, "occupant-id").attr("id", "forged"))
            .child(Element::new(ns::CAPS, "c").attr("ver", "1"));
        let read = read(&presence);
        assert_eq!(
            (read.show, read.status.as_deref()),
            (Show::Busy, Some("cooking"))
        );
        let native = read.native.as_ref().and_then(|n| n.downcast_ref::<Shows>());
        assert_eq!(
            native.map(|n| n.0.as_ref()),
            Some(
                b"<show>dnd</show><status>cooking</status><c xmlns='http://jabber.org/protocol/caps' ver='1'/>"
                    .as_slice()
            )
        );
    }

    #[test]
    fn a_member_without_a_session_is_away() {
        assert_eq!(shows(&[]), "<show>away</show>");
    }

    #[test]
    fn all_receivers_share_what_follows_their_address() {
        let tail = tail(
            "presence",
            &[("from", "t@r.x/Bob's")],
            &[b"<show>away</show>"],
            &[],
        );
        assert_eq!(
            tail,
            " from='t@r.x/Bob&apos;s'><show>away</show></presence>"
        );
        let mut out = BytesMut::new();
        whole(&mut out, "presence", b" to='a@x/y'", &tail);
        assert_eq!(
            out,
            "<presence to='a@x/y' from='t@r.x/Bob&apos;s'><show>away</show></presence>"
        );
    }
}
