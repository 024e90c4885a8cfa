//! XEP-0045 §6: what the service and its rooms tell of themselves, and to whom.

use std::sync::Arc;

use sammen_core::address::Address;
use sammen_core::conversation::{Binding, JoinRule};
use sammen_core::convo::Convo;
use sammen_core::{Node, Outcome};

use super::admin::room_of;
use super::form::Form;
use super::settings::{max_history, who_reads};
use super::{avatar, occupant, register};
use crate::address::ROOMS;
use crate::client::Client;
use crate::feature::{BoxFuture, IqAnswer};
use crate::iq::{Iq, Where};
use crate::mam::request::FULLTEXT;
use crate::wire::{Condition, Element, ns};

/// §7.12.
const OWN_NICK: &str = "x-roomuser-item";
/// §6.6 and §16.5: what of their messages a room lets pass: everything.
const TRAFFIC: &str = "http://jabber.org/protocol/muc#traffic";
/// Most rooms, or occupants, in one answer.
const PAGE: usize = 200;

/// What the service and all rooms can do.
pub const SERVICE: &[&str] = &[
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    ns::MUC,
    ns::RSM,
    ns::MUC_REGISTER,
    ns::MUC_UNIQUE,
    ns::OCCUPANT_ID,
    ns::VCARD_TEMP,
];

/// What every room can do.
const ROOM: &[&str] = &[
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    ns::MUC,
    ns::MUC_STABLE_ID,
    ns::MUC_SELF_PING,
    ns::MUC_REQUEST,
    ns::MUC_REGISTER,
    ns::MAM,
    ns::MAM_EXTENDED,
    FULLTEXT,
    ns::SID,
    ns::OCCUPANT_ID,
    ns::MODERATE,
    super::moderate::MODERATE_0,
    ns::RETRACT,
    ns::RETRACT_TOMBSTONE,
    ns::REACTIONS,
    ns::PING,
    ns::VCARD_TEMP,
];

fn feature(name: &str) -> Element {
    Element::new(ns::DISCO_INFO, "feature").attr("var", name)
}

fn identity(name: &str) -> Element {
    Element::new(ns::DISCO_INFO, "identity")
        .attr("category", "conference")
        .attr("type", "text")
        .attr("name", name)
}

fn query_of(iq: &Iq) -> Element {
    Element::named(iq.child.ns_str().clone(), iq.child.name_str().clone())
        .attr_opt("node", iq.get("node"))
}

/// disco#info at the service or a room.
pub fn info(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let query = query_of(&iq);
        if iq.at == Where::RoomService {
            if iq.get("node").is_some() {
                return Err(Condition::ItemNotFound.into());
            }
            return Ok(Some(
                query
                    .child(identity("Rooms"))
                    .children(SERVICE.iter().map(|f| feature(f)))
                    .child(feature(ns::PING)),
            ));
        }
        let convo = room_of(&client, &iq)?;
        if is_hidden(&convo, &client.account) {
            return Err(Condition::ItemNotFound.into());
        }
        match iq.get("node") {
            None => Ok(Some(room(&client, &convo, query))),
            Some(OWN_NICK) => {
                let nick = register::reserved(&client, &convo);
                Ok(Some(query.children(nick.map(identity))))
            }
            Some(TRAFFIC) => Ok(Some(query)),
            Some(_) => Err(Condition::ItemNotFound.into()),
        }
    })
}

/// XEP-0307: a name that no room has; by chance, so that it can't be guessed either.
pub fn unique(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let name = format!("{:032x}", client.node.clock().random());
        let unique = Element::named(iq.child.ns_str().clone(), iq.child.name_str().clone());
        Ok(Some(unique.text(name)))
    })
}

/// A room that is not configured yet is not there for others (§10.1.1).
fn is_hidden(convo: &Convo, who: &Address) -> bool {
    convo.conversation.settings.locked && !convo.has(who)
}

/// Whether somebody may know more of a room than that it is there: its name, its people, its subject, its picture.
pub fn may_look(convo: &Convo, who: &Address) -> bool {
    let settings = &convo.conversation.settings;
    convo.has(who)
        || settings.listed
        || settings.join_rule == JoinRule::Open && settings.password.is_none()
}

fn room(client: &Client, convo: &Convo, query: Element) -> Element {
    let s = &convo.conversation.settings;
    let name = s
        .name
        .as_deref()
        .filter(|_| may_look(convo, &client.account))
        .or(convo.conversation.room().map(Address::name))
        .unwrap_or_default();
    let pick = |yes: bool, a: &'static str, b: &'static str| if yes { a } else { b };
    let kinds = [
        pick(s.listed, "muc_public", "muc_hidden"),
        pick(s.join_rule == JoinRule::Open, "muc_open", "muc_membersonly"),
        pick(s.moderated, "muc_moderated", "muc_unmoderated"),
        pick(s.addresses_open, "muc_nonanonymous", "muc_semianonymous"),
        pick(
            s.password.is_some(),
            "muc_passwordprotected",
            "muc_unsecured",
        ),
        pick(s.persistent, "muc_persistent", "muc_temporary"),
    ];
    query
        .child(identity(name))
        .children(kinds.into_iter().map(feature))
        .children(ROOM.iter().map(|f| feature(f)))
        .child(room_info(client, convo))
}

/// §15.5.4: the room in fields.
fn room_info(client: &Client, convo: &Convo) -> Element {
    let s = &convo.conversation.settings;
    let looks = may_look(convo, &client.account);
    let note = who_reads(s);
    let description = match &s.description {
        Some(own) if looks => format!("{own}\n{note}"),
        _ => note.to_owned(),
    };
    let flag = |yes: bool| if yes { "1" } else { "0" };
    let mut form = Form::new("result", ns::MUC_ROOM_INFO)
        .text(
            "muc#roomconfig_roomname",
            "Name",
            s.name.as_deref().filter(|_| looks).unwrap_or_default(),
        )
        .text("muc#roominfo_description", "Description", &description)
        .text(
            "muc#roominfo_lang",
            "Language",
            s.language.as_deref().unwrap_or_default(),
        )
        .field(
            "muc#roominfo_changesubject",
            "boolean",
            Some("Everyone may change the subject"),
            [flag(s.topic_open)],
        )
        .field(
            "muc#roomconfig_changesubject",
            "boolean",
            Some("Everyone may change the subject"),
            [flag(s.topic_open)],
        )
        .field(
            "muc#roomconfig_allowinvites",
            "boolean",
            Some("Members may invite"),
            [flag(s.invites_open)],
        )
        .field(
            "muc#roominfo_logs",
            "boolean",
            Some("Everyone may read the history"),
            [flag(
                s.visibility == sammen_core::conversation::Visibility::World,
            )],
        )
        .text(
            "muc#maxhistoryfetch",
            "Messages that people get on joining",
            &max_history(s).to_string(),
        );
    if let Binding::Bound(scheme) = &s.binding {
        form = form.text("{urn:sammen:room}encryption", "Encryption", scheme);
    }
    if looks {
        let people = convo.joined().count().to_string();
        form = form.text("muc#roominfo_occupants", "People", &people).text(
            "muc#roominfo_subject",
            "Subject",
            s.topic.as_deref().unwrap_or_default(),
        );
        if let Some(hash) = avatar::hash(convo) {
            // XEP-0486 §3.1.
            form = form.field(
                "muc#roominfo_avatarhash",
                "text-multi",
                Some("Picture"),
                [hash],
            );
        }
    }
    form.done()
}

/// disco#items at the service or a room.
pub fn items(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let query = query_of(&iq);
        if iq.get("node").is_some() {
            return Err(Condition::ItemNotFound.into());
        }
        if iq.at == Where::RoomService {
            return rooms(&client, &iq, query).await.map(Some);
        }
        let convo = room_of(&client, &iq)?;
        if is_hidden(&convo, &client.account) {
            return Err(Condition::ItemNotFound.into());
        }
        // §6.5: who is in a hidden or closed room is for its people.
        if !may_look(&convo, &client.account) {
            return Ok(Some(query));
        }
        let jid = iq
            .to
            .as_ref()
            .map(|to| to.bare().to_str())
            .unwrap_or_default();
        let mut nicks: Vec<&str> = convo.joined().map(|m| occupant::nick(m)).collect();
        nicks.sort_unstable();
        nicks.truncate(PAGE * 5);
        let items = nicks
            .into_iter()
            .map(|nick| item(&format!("{jid}/{nick}"), None));
        Ok(Some(query.children(items)))
    })
}

fn item(jid: &str, name: Option<&str>) -> Element {
    Element::new(ns::DISCO_ITEMS, "item")
        .attr("jid", jid)
        .attr_opt("name", name)
}

/// §6.3: rooms that are listed, and those that the asker is in; by pages (XEP-0059) where there are many.
async fn rooms(
    client: &Arc<Client>,
    iq: &Iq,
    query: Element,
) -> Result<Element, crate::wire::StanzaError> {
    let set = iq.child.find("set", ns::RSM);
    let text = |name| set.and_then(|s| s.find_text(name, ns::RSM));
    if set.is_some_and(|s| s.has("index", ns::RSM) || s.has("before", ns::RSM)) {
        return Err(Condition::FeatureNotImplemented.into());
    }
    let max = match text("max") {
        None => PAGE,
        Some(max) => max
            .trim()
            .parse::<usize>()
            .map_err(|_| Iq::bad("max is a number"))?
            .min(PAGE),
    };
    let after = match text("after").filter(|a| !a.is_empty()) {
        None => None,
        Some(jid) => match crate::wire::Jid::new(&jid).map(|j| client.server.place(&j)) {
            Ok(crate::address::Place::Room(room)) => Some(room),
            _ => return Err(Condition::ItemNotFound.into()),
        },
    };
    let host = iq.to.as_ref().map_or("", |to| to.domain());
    let domain = host.strip_prefix(ROOMS).unwrap_or_default().to_owned();
    let me = client.account.clone();
    let read = client
        .node
        .read(move |node| visible(node, &me, &domain, after, max));
    let (found, more) = read.await?;
    let items: Vec<Element> = found
        .iter()
        .filter_map(|convo| {
            let room = convo.conversation.room()?;
            let name = convo
                .conversation
                .settings
                .name
                .as_deref()
                .unwrap_or(room.name());
            Some(item(&client.server.bare(room), Some(name)))
        })
        .collect();
    let edge = |name: &'static str, el: Option<&Element>| {
        el.and_then(|e| e.get("jid"))
            .map(|jid| Element::new(ns::RSM, name).text(jid))
    };
    let paged = set.is_some() || more;
    let rsm = paged.then(|| {
        let count = (set.is_none_or(|s| !s.has("after", ns::RSM)) && !more)
            .then(|| Element::new(ns::RSM, "count").text(items.len().to_string()));
        Element::new(ns::RSM, "set")
            .children(edge("first", items.first()))
            .children(edge("last", items.last()))
            .children(count)
    });
    Ok(query.children(items).children(rsm))
}

/// Rooms that somebody may know of, in order, and whether there are more.
fn visible(
    node: &Node,
    who: &Address,
    domain: &str,
    mut after: Option<Address>,
    max: usize,
) -> Outcome<(Vec<Arc<Convo>>, bool)> {
    let mut found = Vec::new();
    loop {
        let page = node.rooms(after.as_ref(), 500)?;
        let Some(last) = page.last().and_then(|c| c.conversation.room().cloned()) else {
            return Ok((found, false));
        };
        after = Some(last);
        for convo in page {
            let here = convo.conversation.room().and_then(Address::domain) == Some(domain);
            if !here
                || is_hidden(&convo, who)
                || !(convo.conversation.settings.listed || convo.has(who))
            {
                continue;
            }
            if found.len() == max {
                return Ok((found, true));
            }
            found.push(convo);
        }
    }
}
