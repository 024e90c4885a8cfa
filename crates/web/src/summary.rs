//! A conversation as a list shows it: names, counts, flags, who can read it.

use std::sync::Arc;

use sammen_core::contact::Contact;
use sammen_core::conversation::{Binding, ConversationKey};
use sammen_core::document::Owner;
use sammen_core::member::{Membership, Standing};
use sammen_core::ops::send::{READ, ReadMark};
use sammen_core::permission;
use sammen_core::readers::{self, Readers};
use sammen_core::store::{Anchor, HistoryQuery, Kinds};
use sammen_core::tx::decode;
use sammen_core::{Address, Content, ConversationId, Convo, Event, Principal, Seq};

use crate::auth::Caller;
use crate::person::{View, person};
use crate::problem::{Answer, Problem};
use crate::server::Web;
use crate::translate::{self, entry};
use crate::types as t;

/// The shelf on which an account notes things about conversations (key: the conversation's number).
pub const FLAGS: &str = "conversation-flags";
/// Where counting unread entries stops.
const COUNTED: usize = 200;
/// Events that are looked at for the last line.
const BACK: usize = 30;
/// How the id of a direct conversation begins in which nothing was said yet.
pub const DIRECT: &str = "direct:";

/// What a client means by a conversation's id.
pub enum Meant {
    /// One that is there.
    Known(Arc<Convo>),
    /// A direct one that begins with the first message.
    New(Address),
}

/// Finds the conversation a client means, if the reader may know of it. Blocking.
///
/// # Errors
/// `not-found` for everything else.
pub fn meant(web: &Web, reader: &Address, id: &str) -> Answer<Meant> {
    if let Some(address) = id.strip_prefix(DIRECT) {
        let peer = Address::new(address).map_err(|_| Problem::not_found())?;
        let key = ConversationKey::direct(reader, &peer);
        return Ok(match web.node.convo_by_key(&key)? {
            Some(convo) => Meant::Known(convo),
            None => Meant::New(peer),
        });
    }
    known(web, reader, id).map(Meant::Known)
}

/// Finds a conversation that is there. Blocking.
///
/// # Errors
/// `not-found` where there is none that the reader may know of.
pub fn known(web: &Web, reader: &Address, id: &str) -> Answer<Arc<Convo>> {
    if let Some(address) = id.strip_prefix(DIRECT) {
        let peer = Address::new(address).map_err(|_| Problem::not_found())?;
        let key = ConversationKey::direct(reader, &peer);
        return web.node.convo_by_key(&key)?.ok_or_else(Problem::not_found);
    }
    let number: u64 = id.parse().map_err(|_| Problem::not_found())?;
    let convo = web
        .node
        .convo(ConversationId(number))?
        .ok_or_else(Problem::not_found)?;
    let invited = convo
        .member(reader)
        .is_some_and(|m| m.membership > Membership::Left);
    if convo.has(reader) || invited || !convo.visible_to(reader).is_empty() {
        Ok(convo)
    } else {
        Err(Problem::not_found())
    }
}

/// The same off the runtime's threads.
///
/// # Errors
/// `not-found` where there is none that the caller may know of.
pub async fn find(web: &Arc<Web>, caller: &Caller, id: String) -> Answer<Arc<Convo>> {
    let reader = caller.address().clone();
    web.read(move |web| known(web, &reader, &id)).await
}

/// Up to where somebody read. Blocking.
pub fn read_mark(web: &Web, reader: &Address, id: ConversationId) -> Answer<Option<ReadMark>> {
    let found = web
        .node
        .store()
        .document(&Owner::from(reader), READ, &id.to_string());
    let found = found.map_err(sammen_core::Refusal::from)?;
    Ok(found
        .and_then(|d| d.value)
        .and_then(|v| decode::<ReadMark>(&v)))
}

/// What an account noted about a conversation. Blocking.
pub fn flags(web: &Web, reader: &Address, id: ConversationId) -> Answer<t::Flags> {
    let found = web
        .node
        .store()
        .document(&Owner::from(reader), FLAGS, &id.to_string());
    let found = found.map_err(sammen_core::Refusal::from)?;
    Ok(found
        .and_then(|d| d.value)
        .and_then(|v| decode::<t::Flags>(&v))
        .unwrap_or_default())
}

/// Unread entries, those among them that name the reader, and whether counting stopped.
pub struct Unread {
    /// How many.
    pub count: u32,
    /// How many name the reader.
    pub mentions: u32,
    /// There is more.
    pub more: bool,
}

/// Counts what others said behind the reader's mark. Blocking.
pub fn unread(
    web: &Web,
    reader: &Address,
    convo: &Convo,
    mark: Option<&ReadMark>,
) -> Answer<Unread> {
    let mut query = HistoryQuery {
        reader: Some(reader.clone()),
        kinds: Kinds::Speech,
        ..HistoryQuery::new(vec![(convo.id(), convo.visible_to(reader))], COUNTED)
    };
    match mark {
        // In one conversation the order is by place.
        Some(mark) => {
            query.after = Some(Anchor {
                at: mark.at,
                pos: mark.pos,
                seq: Seq(u64::MAX),
            });
        }
        // Who never read here begins with what came after joining.
        None => query.from = convo.member(reader).map(|m| m.since),
    }
    let page = web
        .node
        .store()
        .history(&query)
        .map_err(sammen_core::Refusal::from)?;
    let lines = page.events.iter().filter(|e| translate::counts(e, reader));
    let mut unread = Unread {
        count: 0,
        mentions: 0,
        more: page.more,
    };
    for line in lines {
        unread.count += 1;
        unread.mentions += u32::from(translate::mentions(line, reader));
    }
    Ok(unread)
}

/// The last line that the reader sees. Blocking.
fn last(web: &Web, reader: &Address, convo: &Convo) -> Answer<Option<Arc<Event>>> {
    let query = HistoryQuery {
        reader: Some(reader.clone()),
        from_end: true,
        ..HistoryQuery::new(vec![(convo.id(), convo.visible_to(reader))], BACK)
    };
    let page = web
        .node
        .store()
        .history(&query)
        .map_err(sammen_core::Refusal::from)?;
    let lines = || {
        page.events
            .iter()
            .rev()
            .filter(|e| translate::shows(&web.node, e))
    };
    let speech =
        lines().find(|e| e.content.is_speech() || matches!(e.content, Content::Erased { .. }));
    Ok(speech.or_else(|| lines().next()).cloned())
}

/// Whether a stranger began it and waits to be accepted.
fn is_request(web: &Web, mine: &Contact, reader: &Address, peer: &Address) -> bool {
    let trusted = mine.accepted || mine.listed || mine.sees || mine.seen || mine.asked;
    let colleague = peer.is_account() && !web.config.get().requests_between_accounts;
    !trusted && !colleague && peer != reader
}

/// Whether a conversation is a stranger's that waits to be accepted. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn waits(web: &Web, reader: &Address, convo: &Convo) -> Answer<bool> {
    let Some(peer) = convo.conversation.peer_of(reader) else {
        return Ok(false);
    };
    let contacts = web.node.contacts(reader)?;
    let mine = contacts.get(peer).cloned().unwrap_or_default();
    Ok(is_request(web, &mine, reader, peer))
}

/// A conversation as a list shows it. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn conversation(web: &Web, reader: &Address, convo: &Convo) -> Answer<t::Conversation> {
    let view = View::of(web, reader);
    let mark = read_mark(web, reader, convo.id())?;
    let unread = unread(web, reader, convo, mark.as_ref())?;
    let last = last(web, reader, convo)?;
    let settings = &convo.conversation.settings;
    let member = convo.member(reader);
    let mut out = t::Conversation {
        id: convo.id().to_string(),
        kind: t::ConversationKind::Room,
        name: String::new(),
        address: String::new(),
        avatar: None,
        peer: None,
        topic: settings.topic.clone(),
        description: settings.description.clone(),
        members: None,
        membership: t::Membership::Joined,
        request: false,
        unread: unread.count,
        mentions: unread.mentions,
        unread_more: unread.more,
        read_up_to: mark.map(|m| m.id.to_string()),
        at: last
            .as_ref()
            .map_or(convo.conversation.created.0, |e| e.at.0),
        last: last.map(|event| entry(view, convo, &event)),
        flags: flags(web, reader, convo.id())?,
        readers: short(&readers::readers(convo)),
        role: None,
        standing: None,
        can: can(convo, reader),
    };
    match convo.conversation.peer_of(reader) {
        Some(peer) => {
            let mine = web
                .node
                .contacts(reader)?
                .get(peer)
                .cloned()
                .unwrap_or_default();
            let shown = person(view, peer);
            out.kind = t::ConversationKind::Direct;
            out.name = mine.name.clone().unwrap_or_else(|| shown.name.clone());
            out.address = peer.to_string();
            out.avatar = shown.avatar.clone();
            out.peer = Some(shown);
            out.request = is_request(web, &mine, reader, peer);
        }
        None => {
            let room = convo.conversation.room();
            let address = room.map(ToString::to_string).unwrap_or_default();
            out.name = settings
                .name
                .clone()
                .or_else(|| room.map(|r| r.name().to_owned()))
                .unwrap_or_default();
            out.address = address;
            out.members = Some(convo.joined().count());
            out.membership =
                translate::membership(member.map_or(Membership::Left, |m| m.membership));
            out.role = Some(translate::role(convo.role(reader)));
            out.standing = Some(translate::standing(convo.standing(reader)));
        }
    }
    Ok(out)
}

/// A direct conversation in which nothing was said yet. Blocking.
pub fn unbegun(web: &Web, reader: &Address, peer: &Address) -> t::Conversation {
    let view = View::of(web, reader);
    let shown = person(view, peer);
    let readers = readers::between(reader, peer);
    t::Conversation {
        id: format!("{DIRECT}{peer}"),
        kind: t::ConversationKind::Direct,
        name: shown.name.clone(),
        address: peer.to_string(),
        avatar: shown.avatar.clone(),
        peer: Some(shown),
        topic: None,
        description: None,
        members: None,
        membership: t::Membership::Joined,
        request: false,
        unread: 0,
        mentions: 0,
        unread_more: false,
        read_up_to: None,
        last: None,
        at: web.node.now().0,
        flags: t::Flags::default(),
        readers: short(&readers),
        role: None,
        standing: None,
        can: t::Can {
            send: true,
            topic: false,
            invite: false,
            configure: false,
            moderate: false,
        },
    }
}

/// The mark that says who can read.
pub fn mark(readers: &Readers) -> t::ReadersMark {
    if readers.public {
        t::ReadersMark::Anyone
    } else if !readers.node {
        t::ReadersMark::Members
    } else if readers.servers.is_empty() {
        t::ReadersMark::Node
    } else {
        t::ReadersMark::Servers
    }
}

fn short(readers: &Readers) -> t::ReadersShort {
    t::ReadersShort {
        mark: mark(readers),
        encrypted: readers.encrypted.clone(),
        sentence: readers.sentence(),
        servers: readers.servers.iter().cloned().collect(),
    }
}

fn can(convo: &Convo, reader: &Address) -> t::Can {
    let who = Principal::Of(reader.clone());
    let settings = &convo.conversation.settings;
    let text = Content::Message(sammen_core::Message::default());
    let bound = matches!(settings.binding, Binding::Bound(_));
    let room = convo.is_room();
    t::Can {
        send: !bound
            && !convo.conversation.destroyed
            && permission::may_send(convo, &who, &text).is_ok()
            && sammen_core::encryption::may_send(convo, &text, sammen_core::Protocol::Web).is_ok(),
        topic: room && permission::may_set_topic(convo, &who).is_ok(),
        invite: room && permission::may_invite(convo, &who).is_ok(),
        configure: room && convo.standing(reader) == Standing::Owner,
        moderate: room && convo.role(reader) == sammen_core::Role::Moderator,
    }
}
