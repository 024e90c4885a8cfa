//! vcard-temp (XEP-0054): kept without its photo, which is the account's avatar (XEP-0398).

use std::sync::Arc;

use sammen_core::document::Owner;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, Node, Refusal};

use crate::address::Place;
use crate::avatar::{self, Photo};
use crate::client::Client;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::pep::publish::Actor;
use crate::pep::shelf::{self, Look};
use crate::pep::{read, write};
use crate::wire::{Condition, Element, Limits, Payload, StanzaError, ns};

const NAMESPACE: &str = "xmpp-vcard";
/// Bytes of a vCard without its photo.
const BYTES: usize = 64 * 1024;

/// vCards.
pub static FEATURE: Feature = Feature {
    name: "vcard-temp",
    disco: |at| match at {
        Where::Server | Where::OwnAccount | Where::OtherAccount => &[ns::VCARD_TEMP],
        _ => &[],
    },
    iqs: &[
        IqHandler {
            name: "vCard",
            ns: ns::VCARD_TEMP,
            get: true,
            set: false,
            at: &[Where::OwnAccount, Where::OtherAccount],
            handle: get,
        },
        IqHandler {
            name: "vCard",
            ns: ns::VCARD_TEMP,
            get: false,
            set: true,
            at: &[Where::OwnAccount],
            handle: set,
        },
    ],
    ..Feature::NONE
};

fn get(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let account = match iq.place {
            Place::Account(account) => account,
            _ => client.account.clone(),
        };
        of(&client.node, &account, &client.account).await.map(Some)
    })
}

/// The vCard of an account as somebody may see it: what the account set, its picture, and its name where it set none.
///
/// # Errors
/// `service-unavailable` where there is nothing to show, and for who is blocked.
pub async fn of(node: &Node, account: &Address, reader: &Address) -> Result<Element, StanzaError> {
    let (account, reader) = (account.clone(), reader.clone());
    read(node, move |mut node| {
        let asker = shelf::asker(&mut node, &account, None, &reader)?;
        let mut vcard =
            stored(&mut node, &account)?.unwrap_or_else(|| Element::new(ns::VCARD_TEMP, "vCard"));
        if vcard.first().is_none()
            && let Some(name) = node.account(&account)?.and_then(|a| a.display_name.clone())
        {
            vcard.push(Element::new(ns::VCARD_TEMP, "FN").text(name.as_str()));
            vcard.push(Element::new(ns::VCARD_TEMP, "NICKNAME").text(name));
        }
        if let Some(photo) = avatar::photo(&mut node, &account, asker.owner)? {
            vcard.push(photo.to_vcard());
        }
        // XEP-0054 §3.1: the same as for an account that does not exist.
        if vcard.first().is_none() && !asker.owner {
            return Err(Refusal::Unreachable.into());
        }
        Ok(vcard)
    })
    .await
}

fn stored(look: &mut impl Look, account: &Address) -> Result<Option<Element>, StanzaError> {
    let found = look.document(&account.into(), NAMESPACE, "")?;
    Ok(found.and_then(|d| d.value).and_then(|bytes| {
        let nodes = Payload::from_stored(bytes)
            .nodes("", &Limits::default())
            .ok()?;
        nodes.into_iter().find_map(|n| n.as_element().cloned())
    }))
}

fn set(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let mut vcard = iq.child;
        let photo = Photo::of_vcard(&vcard)?;
        vcard.remove_children(|c| c.is("PHOTO", ns::VCARD_TEMP));
        let actor = Actor::of(&client, &client.account);
        write(&client.node, move |tx| {
            put(tx, &actor, &vcard, photo.as_ref())
        })
        .await?;
        Ok(None)
    })
}

fn put(
    tx: &mut Tx<'_>,
    actor: &Actor,
    vcard: &Element,
    photo: Option<&Photo>,
) -> Result<(), StanzaError> {
    let bytes = shelf::payload_bytes(vcard);
    if bytes.len() > BYTES {
        return Err(
            StanzaError::new(Condition::PolicyViolation).with_text("that vCard is too large")
        );
    }
    // Can refuse; what follows can't.
    avatar::set_photo(tx, actor, photo)?;
    let owner = Owner::from(&actor.account);
    tx.put_document(&owner, NAMESPACE, "", Expect::Anything, Some(bytes))?;
    Ok(())
}
