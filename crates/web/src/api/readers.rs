//! Who can read a conversation, per participant.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::address::AddressParts;
use sammen_core::readers::{Readers, between, readers};
use sammen_core::{Address, Convo};

use crate::auth::{Caller, Need};
use crate::extract::{Json, Place};
use crate::person::{View, person, person_in};
use crate::problem::Answer;
use crate::routes::Table;
use crate::server::Web;
use crate::summary::{self, Meant, mark};
use crate::types as t;

/// Participants in one answer.
const MOST: usize = 500;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/conversations/{id}/readers",
            Need::Account,
            "Who can read a conversation, and through what",
        )
        .answer::<t::Readers>(200)
        .by(who_can_read);
}

async fn who_can_read(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
) -> Answer<Json<t::Readers>> {
    let reader = caller.address().clone();
    web.read(move |web| {
        let view = View::of(web, &reader);
        match summary::meant(web, &reader, &id)? {
            Meant::New(peer) => {
                let known = between(&reader, &peer);
                let people = [&reader, &peer];
                let list = people.into_iter().map(|a| one(&known, a, person(view, a)));
                Ok(shown(&known, list.collect()))
            }
            Meant::Known(convo) => {
                let known = readers(&convo);
                let list = participants(&convo);
                let list = list
                    .iter()
                    .take(MOST)
                    .map(|a| one(&known, a, person_in(view, &convo, a, None)));
                Ok(shown(&known, list.collect()))
            }
        }
    })
    .await
    .map(Json)
}

fn participants(convo: &Convo) -> Vec<Address> {
    let mut list: Vec<Address> = match convo.conversation.pair() {
        Some((a, b)) => vec![a.clone(), b.clone()],
        None => convo.joined().map(|m| m.address.clone()).collect(),
    };
    list.sort();
    list.dedup();
    list
}

fn shown(known: &Readers, participants: Vec<t::Reader>) -> t::Readers {
    t::Readers {
        mark: mark(known),
        encrypted: known.encrypted.clone(),
        mixed: known.mixed,
        node: known.node,
        public: known.public,
        sentence: known.sentence(),
        servers: known.servers.iter().cloned().collect(),
        participants,
    }
}

/// One participant: what follows from the address alone, and nothing that would have to be guessed.
fn one(known: &Readers, address: &Address, person: t::Person) -> t::Reader {
    let (network, structure, server, software_free) = match address.parts() {
        AddressParts::Remote { network, id } => {
            let server = id.rsplit(['@', ':']).next().unwrap_or(id).to_owned();
            let structure = match network {
                "xmpp" | "matrix" | "mail" | "sip" | "irc" => t::Structure::Federated,
                "tox" | "briar" | "jami" | "simplex" => t::Structure::Serverless,
                "telegram" | "signal" | "whatsapp" | "discord" => t::Structure::Central,
                _ => t::Structure::Unknown,
            };
            (network.to_owned(), structure, server, t::Known::Unknown)
        }
        _ => {
            let domain = address.domain().unwrap_or_default().to_owned();
            (
                "sammen".into(),
                t::Structure::ThisNode,
                domain,
                t::Known::Yes,
            )
        }
    };
    t::Reader {
        person,
        network,
        structure,
        server,
        software_free,
        // What app somebody uses no address tells.
        client_free: t::Known::Unknown,
        encryption: known.encrypted.clone().unwrap_or_else(|| "none".into()),
    }
}
