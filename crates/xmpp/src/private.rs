//! Private XML storage (XEP-0049): one element per namespace and name, for the account alone.

use std::sync::Arc;

use sammen_core::document::Owner;
use sammen_core::tx::Expect;
use sammen_core::{Address, Outcome};

use crate::bookmarks;
use crate::client::Client;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::pep::publish::Actor;
use crate::pep::shelf::{self, Look};
use crate::pep::{errors, read, write};
use crate::wire::{Condition, Element, Limits, Payload, StanzaError, ns};

/// The shelf.
pub const NAMESPACE: &str = "xmpp-private";
/// Bytes of one element.
pub const ELEMENT_BYTES: usize = 128 * 1024;
/// Elements of one account.
const MOST: usize = 128;

/// Private storage.
pub static FEATURE: Feature = Feature {
    name: "private storage",
    disco: |at| match at {
        Where::Server | Where::OwnAccount => &[ns::PRIVATE],
        _ => &[],
    },
    iqs: &[IqHandler {
        name: "query",
        ns: ns::PRIVATE,
        get: true,
        set: true,
        at: &[Where::OwnAccount],
        handle,
    }],
    ..Feature::NONE
};

/// The key under which an element is kept.
pub fn key(namespace: &str, name: &str) -> String {
    format!("{namespace} {name}")
}

/// The element as it was kept.
///
/// # Errors
/// When the store can't be read.
pub fn stored(
    look: &mut impl Look,
    account: &Address,
    namespace: &str,
    name: &str,
) -> Outcome<Option<Element>> {
    let found = look.document(&account.into(), NAMESPACE, &key(namespace, name))?;
    let limits = Limits {
        stanza_bytes: ELEMENT_BYTES * 2,
        ..Limits::default()
    };
    Ok(found.and_then(|d| d.value).and_then(|bytes| {
        let nodes = Payload::from_stored(bytes).nodes("", &limits).ok()?;
        nodes.into_iter().find_map(|n| n.as_element().cloned())
    }))
}

fn handle(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        if iq.set {
            set(&client, iq).await.map(|()| None)
        } else {
            get(&client, iq).await.map(Some)
        }
    })
}

async fn get(client: &Client, iq: Iq) -> Result<Element, StanzaError> {
    let mut elements = iq.child.elements();
    let (Some(wanted), None) = (elements.next().cloned(), elements.next()) else {
        // XEP-0049 §3: one element at a time.
        return Err(StanzaError::new(Condition::NotAcceptable));
    };
    let (account, main) = (client.account.clone(), client.server.domain().clone());
    let found = read(&client.node, move |mut node| {
        if wanted.is("storage", ns::BOOKMARKS_OLD) {
            return Ok(bookmarks::old_list(&mut node, &main, &account)?);
        }
        let found = stored(&mut node, &account, wanted.ns(), wanted.name())?;
        Ok(found.unwrap_or_else(|| wanted.shell()))
    });
    Ok(iq.child.shell().child(found.await?))
}

async fn set(client: &Client, iq: Iq) -> Result<(), StanzaError> {
    let elements: Vec<Element> = iq.child.elements().cloned().collect();
    let known = |el: &Element| !el.ns().is_empty() && el.ns() != ns::CLIENT;
    if elements.is_empty() || !elements.iter().all(known) {
        return Err(StanzaError::new(Condition::BadRequest));
    }
    let actor = Actor::of(client, &client.account);
    write(&client.node, move |tx| {
        let owner = Owner::from(&actor.account);
        let mut puts = Vec::new();
        let mut more = 0;
        for el in elements
            .iter()
            .filter(|e| !e.is("storage", ns::BOOKMARKS_OLD))
        {
            let key = key(el.ns(), el.name());
            let bytes = shelf::payload_bytes(el);
            if bytes.len() > ELEMENT_BYTES || key.len() > shelf::NAME_BYTES {
                return Err(StanzaError::new(Condition::PolicyViolation)
                    .with_text("that is too large to be kept"));
            }
            more += usize::from(Look::document(tx, &owner, NAMESPACE, &key)?.is_none());
            puts.push((key, bytes));
        }
        if more > 0 && tx.documents(&owner, NAMESPACE, MOST)?.len() + more > MOST {
            return Err(errors::too_many(
                "this account keeps as many elements as it may",
            ));
        }
        // Last of what can be refused, so that all of it happens or nothing.
        if let Some(storage) = elements.iter().find(|e| e.is("storage", ns::BOOKMARKS_OLD)) {
            bookmarks::set_old(tx, &actor, storage)?;
        }
        for (key, bytes) in puts {
            tx.put_document(&owner, NAMESPACE, &key, Expect::Anything, Some(bytes))?;
        }
        Ok(())
    })
    .await
}
