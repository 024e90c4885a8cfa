//! XEP-0313 Message Archive Management: the account's archive. Rooms build theirs from the same parts.

pub mod page;
pub mod request;

use std::sync::Arc;

use sammen_core::conversation::ConversationKey;
use sammen_core::event::Content;
use sammen_core::history::Scope;
use sammen_core::{Address, Outcome, Refusal};

use crate::address::Place;
use crate::client::Client;
use crate::deliver::Addresses;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::mam::page::Fetched;
use crate::mam::request::Request;
use crate::translate::outgoing::{self, Scene};
use crate::translate::{self, Envelope};
use crate::wire::{Condition, Context, Element, Jid, StanzaError, ns};

/// The feature.
pub static FEATURE: Feature = Feature {
    name: "archive",
    disco: |at| match at {
        Where::OwnAccount | Where::Server => &[
            ns::MAM,
            ns::MAM_EXTENDED,
            request::FULLTEXT,
            ns::RETRACT_TOMBSTONE,
        ],
        _ => &[],
    },
    iqs: &[
        IqHandler {
            name: "query",
            ns: ns::MAM,
            get: true,
            set: true,
            at: &[Where::OwnAccount],
            handle: query,
        },
        IqHandler {
            name: "metadata",
            ns: ns::MAM,
            get: true,
            set: false,
            at: &[Where::OwnAccount],
            handle: metadata,
        },
        IqHandler {
            name: "prefs",
            ns: ns::MAM,
            get: true,
            set: true,
            at: &[Where::OwnAccount],
            handle: |_, iq| Box::pin(async move { prefs(&iq) }),
        },
    ],
    ..Feature::NONE
};

/// XEP-0441 §2.1: everything is archived; what a client wants otherwise it says with each message (XEP-0334). A set is
/// answered with what holds, which by this server's policy is that.
fn prefs(iq: &Iq) -> IqAnswer {
    if iq.set {
        // §2.1.1.
        let known = matches!(iq.child.get("default"), Some("always" | "never" | "roster"));
        let lists = ["always", "never"];
        let jids = lists
            .iter()
            .filter_map(|list| iq.child.find(list, ns::MAM))
            .flat_map(|list| list.all("jid", ns::MAM));
        if !known {
            return Err(Iq::bad("default is always, never or roster"));
        }
        for jid in jids {
            Jid::new(jid.content().trim()).map_err(|_| Condition::JidMalformed)?;
        }
    }
    Ok(Some(
        Element::new(ns::MAM, "prefs")
            .attr("default", "always")
            .child(Element::new(ns::MAM, "always"))
            .child(Element::new(ns::MAM, "never")),
    ))
}

fn query(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        if !iq.set {
            return Ok(Some(request::form()));
        }
        let request = Request::read(&iq.child, client.server.config.get().archive_page)?;
        client.state.lock().read_archive = true;
        settled(&client).await;
        let with = match &request.with {
            Some(jid) => match client.server.place(jid) {
                Place::Account(address) | Place::Remote(address) => Some(Some(address)),
                // Rooms have archives of their own.
                _ => Some(None),
            },
            None => None,
        };
        let me = client.account.clone();
        let wanted = request.clone();
        let fetched = client.node.read(move |node| {
            let scope = match &with {
                None => Some(Scope::Direct),
                Some(None) => None,
                Some(Some(peer)) => conversation(node, &me, peer)?,
            };
            match scope {
                None => Ok(Ok(Fetched::empty())),
                Some(scope) => match node.query(&me, &scope, 0) {
                    Ok(query) => page::fetch(node, &me, query, &wanted),
                    Err(Refusal::NotFound) => Ok(Ok(Fetched::empty())),
                    Err(other) => Err(other),
                },
            }
        });
        let fetched = fetched.await.map_err(StanzaError::from)??;
        for event in fetched.events_for(&request) {
            show(&client, &request, &fetched, event);
        }
        Ok(Some(page::fin(&request, &fetched)))
    })
}

/// What the client sent before it asks is in the answer.
pub async fn settled(client: &Arc<Client>) {
    if client.inbound.lock().waiting() > 0 {
        let _ = client.node.write(|_| Ok(())).await;
    }
}

fn conversation(node: &sammen_core::Node, me: &Address, peer: &Address) -> Outcome<Option<Scope>> {
    let found = node.convo_by_key(&ConversationKey::direct(me, peer))?;
    Ok(found.map(|convo| Scope::Conversation(convo.id())))
}

fn show(client: &Client, request: &Request, fetched: &Fetched, event: &sammen_core::Event) {
    let Some(peer) = fetched.peer(event, &client.account) else {
        return;
    };
    let native = translate::native(event);
    let children = match native {
        Some(native) => native.bytes.clone(),
        None => {
            let target = event.target().and_then(|id| fetched.target(id));
            outgoing::payload(&Scene {
                event,
                target,
                target_author: target.map(|t| client.server.bare(&t.author)),
                room: false,
            })
        }
    };
    // What has nothing to say to XMPP still has its place, so that ids can be paged through; but it is not shown.
    if children.is_empty() && !matches!(event.content, Content::Erased { .. }) {
        return;
    }
    let envelope = Envelope::of(event);
    let addresses = Addresses::of(client, event, peer, &envelope);
    page::result(client, &client.bare, request, event, |out| {
        let inside = Context::inside(ns::FORWARD);
        addresses.write(out, &envelope, event, &[&children], inside);
    });
}

/// XEP-0313 §5.2: where the archive begins and ends.
fn metadata(client: Arc<Client>, _: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move { ends(&client).await })
}

/// The same, for who binds (XEP-0386 §3.2).
pub async fn ends(client: &Client) -> IqAnswer {
    let me = client.account.clone();
    let ends = client.node.read(move |node| {
        let query = node.query(&me, &Scope::Direct, 1)?;
        page::ends(node, query)
    });
    let ends = ends.await.map_err(StanzaError::from)?;
    Ok(Some(page::metadata(ends)))
}

/// An anchor that is not in the archive (XEP-0313 §4.3.3).
pub fn unknown_item() -> StanzaError {
    Condition::ItemNotFound.into()
}
