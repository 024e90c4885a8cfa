//! XEP-0313 in rooms: the archive of a room, for those who may read it.

use std::sync::Arc;

use bytes::BytesMut;
use sammen_core::address::Address;
use sammen_core::convo::Convo;
use sammen_core::history::Scope;
use sammen_core::store::{HistoryQuery, Kinds};
use sammen_core::{Event, Node, Outcome, Refusal};

use super::admin::room_of;
use super::events::{self, Spoken};
use super::names;
use super::occupant::{nick, sees_addresses};
use super::places::Rooms;
use crate::address::Place;
use crate::client::Client;
use crate::error_map::stanza_error;
use crate::feature::{BoxFuture, IqAnswer};
use crate::iq::Iq;
use crate::mam::page::{self, Fetched};
use crate::mam::request::{self, Request};
use crate::mam::settled;
use crate::server::Server;
use crate::wire::{Condition, Context, Element, StanzaError, ns, write};

/// `<query/>`: the form, or a page.
pub fn query(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let convo = room_or_former(&client, &iq)?;
        if !iq.set {
            return Ok(Some(request::form()));
        }
        Rooms::ready(&client.server).await?;
        let request = Request::read(&iq.child, client.server.config.get().archive_page)?;
        settled(&client).await;
        let with = match &request.with {
            None => None,
            Some(jid) => match whose(&client, &convo, jid) {
                Some(author) => author,
                None => return Ok(Some(page::fin(&request, &Fetched::empty()))),
            },
        };
        let (me, wanted) = (client.account.clone(), request.clone());
        let (server, room) = (client.server.clone(), convo.clone());
        let read = client.node.read(move |node| {
            let mut query = speech(node, &me, &room)?;
            query.author = with;
            let fetched = match page::fetch(node, &me, query, &wanted)? {
                Ok(fetched) => fetched,
                Err(error) => return Ok(Err(error)),
            };
            let spoken: Vec<Option<Spoken>> = fetched
                .events_for(&wanted)
                .into_iter()
                .map(|event| {
                    let about = events::target(&server, event);
                    events::message(&server, &room, event, about.as_deref())
                })
                .collect();
            Ok(Ok((fetched, spoken)))
        });
        let (fetched, spoken) = read.await.map_err(|r| refused(&r))??;
        let archive = events::room_jid(&client.server, &convo);
        for (event, spoken) in fetched.events_for(&request).into_iter().zip(spoken) {
            if let Some(spoken) = spoken {
                show(&client, &convo, &archive, &request, event, spoken);
            }
        }
        Ok(Some(page::fin(&request, &fetched)))
    })
}

/// The room of an archive: also by an address that it had before, for clients that still page through it.
fn room_or_former(client: &Client, iq: &Iq) -> Result<Arc<Convo>, StanzaError> {
    let found = room_of(client, iq);
    if let (Err(_), Place::Room(room)) = (&found, &iq.place)
        && let Some(convo) = client.node.renamed(room, &client.principal())?
    {
        return Ok(convo);
    }
    found
}

/// The author that `with` means: an occupant, or with the room itself everyone (`Some(None)`).
fn whose(client: &Client, convo: &Convo, jid: &crate::wire::Jid) -> Option<Option<Address>> {
    match client.server.place(jid) {
        Place::Room(room) if convo.conversation.is_named(&room) => match jid.resource() {
            None => Some(None),
            Some(nick) => convo.by_nick(nick).map(|m| Some(m.address.clone())),
        },
        Place::Account(who) | Place::Remote(who) if sees_addresses(convo, &client.account) => {
            Some(Some(who))
        }
        _ => None,
    }
}

/// What people said, as far as the reader may see it.
fn speech(node: &Node, reader: &Address, convo: &Convo) -> Outcome<HistoryQuery> {
    let mut query = node.query(reader, &Scope::Conversation(convo.id()), 0)?;
    query.kinds = Kinds::Speech;
    Ok(query)
}

/// §6 of XEP-0313: who may not read it gets `forbidden`.
fn refused(refusal: &Refusal) -> StanzaError {
    match refusal {
        Refusal::NotJoined => StanzaError::new(Condition::Forbidden)
            .with_text("Only members of this room read its archive."),
        other => stanza_error(other),
    }
}

fn show(
    client: &Client,
    convo: &Convo,
    archive: &str,
    request: &Request,
    event: &Event,
    spoken: Spoken,
) {
    let (shell, children, mut extra) = spoken.parts();
    if let Some(x) = real_author(&client.server, convo, &client.account, event) {
        extra.retain(|e| e.ns() != ns::MUC_USER);
        extra.push(x);
    }
    page::result(client, archive, request, event, |out: &mut BytesMut| {
        write::stanza(
            out,
            &shell,
            &[&children],
            &extra,
            Context::inside(ns::FORWARD),
        );
    });
}

/// XEP-0313 §6.1.1: who sees addresses learns from the archive too who wrote; the nick may be another's today.
fn real_author(server: &Server, convo: &Convo, reader: &Address, event: &Event) -> Option<Element> {
    if !sees_addresses(convo, reader) {
        return None;
    }
    let member = convo.member(&event.author);
    let item = Element::new(ns::MUC_USER, "item")
        .attr(
            "affiliation",
            names::affiliation(convo.standing(&event.author)),
        )
        .attr("role", names::role(convo.role(&event.author)))
        .attr("jid", server.bare(&event.author))
        .attr_opt("nick", member.map(|m| nick(m)));
    Some(Element::new(ns::MUC_USER, "x").child(item))
}

/// `<metadata/>`.
pub fn metadata(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let convo = room_of(&client, &iq)?;
        let me = client.account.clone();
        let ends = client.node.read(move |node| {
            let query = speech(node, &me, &convo)?;
            page::ends(node, query)
        });
        let ends = ends.await.map_err(|r| refused(&r))?;
        Ok(Some(page::metadata(ends)))
    })
}
