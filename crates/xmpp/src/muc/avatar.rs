//! XEP-0486: a room's picture. The room's vCard (XEP-0054) carries it; the room's own presence tells its hash (XEP-0153).

use std::sync::Arc;

use sammen_core::address::Address;
use sammen_core::blob::BlobId;
use sammen_core::convo::Convo;
use sammen_core::document::Owner;
use sammen_core::member::Standing;
use sammen_core::ops::rooms;
use sammen_core::store::Write;
use sammen_core::tx::{Expect, Tx};

use super::admin::room_of;
use super::events::room_jid;
use super::settings::AVATAR_SHA1;
use crate::avatar::Photo;
use crate::client::Client;
use crate::feature::{BoxFuture, IqAnswer};
use crate::iq::Iq;
use crate::wire::{Condition, Element, Limits, Payload, StanzaError, ns, write};

const NAMESPACE: &str = "xmpp-vcard";
/// Bytes of a room's vCard with its picture.
const BYTES: usize = 256 * 1024;

/// The hash of a room's picture.
pub fn hash(convo: &Convo) -> Option<&str> {
    let extra = &convo.conversation.settings.extra;
    extra.get(AVATAR_SHA1).map(String::as_str)
}

/// The room's own presence, for rooms that have a picture (XEP-0486 §3.2), or took it away.
pub fn show_room(client: &Client, convo: &Convo) {
    let photo = match hash(convo) {
        Some(hash) => Element::new(ns::VCARD_UPDATE, "photo").text(hash),
        None if convo.conversation.settings.extra.contains_key(HAD) => {
            Element::new(ns::VCARD_UPDATE, "photo")
        }
        None => return,
    };
    let presence = Element::new(ns::CLIENT, "presence")
        .attr("from", room_jid(&client.server, convo))
        .attr("to", client.jid.to_str())
        .child(Element::new(ns::VCARD_UPDATE, "x").child(photo));
    client.send(&presence);
}

/// In the settings' extras: the room once had a picture.
const HAD: &str = "xmpp/avatar-had";

/// `<vCard/>` at a room.
pub fn iq(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let convo = room_of(&client, &iq)?;
        if iq.set {
            set(&client, &convo, iq.child).await.map(|()| None)
        } else {
            get(&client, &convo).await.map(Some)
        }
    })
}

/// The vCard is for those who may know of the room: people in it, and everyone if it is open or listed.
async fn get(client: &Arc<Client>, convo: &Arc<Convo>) -> Result<Element, StanzaError> {
    if !super::disco::may_look(convo, &client.account) {
        return Err(Condition::Forbidden.into());
    }
    let Some(owner) = convo.conversation.room().map(Owner::from) else {
        return Err(Condition::ItemNotFound.into());
    };
    let read = client
        .node
        .read(move |node| Ok(node.store().document(&owner, NAMESPACE, "")?));
    let document = read.await?;
    let limits = Limits {
        stanza_bytes: BYTES * 2,
        ..Limits::default()
    };
    let found = document
        .and_then(|d| d.value)
        .and_then(|v| Payload::from_stored(v).nodes("", &limits).ok())
        .and_then(|nodes| nodes.into_iter().find_map(|n| n.as_element().cloned()));
    Ok(found.unwrap_or_else(|| Element::new(ns::VCARD_TEMP, "vCard")))
}

/// Owners set it.
async fn set(client: &Arc<Client>, convo: &Convo, vcard: Element) -> Result<(), StanzaError> {
    if convo.standing(&client.account) < Standing::Owner {
        return Err(Condition::Forbidden.into());
    }
    let photo = Photo::of_vcard(&vcard)?;
    let mut bytes = Vec::new();
    write::element(&mut bytes, &vcard, crate::wire::Context::NONE);
    if bytes.len() > BYTES {
        return Err(StanzaError::new(Condition::PolicyViolation).with_text("That is too large."));
    }
    let room = convo
        .conversation
        .room()
        .cloned()
        .ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?;
    let picture = match photo {
        Some(photo) => Some(kept(client, photo).await?),
        None => None,
    };
    let (by, id, origin) = (client.principal(), convo.id(), client.plain_origin());
    client
        .node
        .write(move |tx| {
            let before = tx.convo(id)?.conversation.settings.avatar.clone();
            let after = picture.as_ref().map(|(blob, _)| blob.0.clone());
            let change = |s: &mut sammen_core::Settings| {
                s.avatar = after.clone();
                s.avatar_type = picture.as_ref().map(|(_, p)| p.media_type.clone());
                s.extra.remove(AVATAR_SHA1);
                if let Some((_, photo)) = &picture {
                    s.extra.insert(AVATAR_SHA1.into(), photo.hash.clone());
                    s.extra.insert(HAD.into(), "1".into());
                }
                Ok(())
            };
            rooms::configure(tx, &by, id, change, &origin)?;
            if before != after {
                refer(tx, &room, before, true);
                refer(tx, &room, after, false);
            }
            let owner = Owner::from(&room);
            tx.put_document(&owner, NAMESPACE, "", Expect::Anything, Some(bytes.into()))
                .map(drop)
        })
        .await?;
    Ok(())
}

/// The room refers to a blob, or no longer does.
fn refer(tx: &mut Tx<'_>, room: &Address, blob: Option<String>, remove: bool) {
    if let Some(id) = blob.as_deref().and_then(BlobId::parse) {
        let at = tx.now;
        tx.write(Write::BlobRef {
            id,
            owner: room.clone(),
            slot: String::new(),
            at,
            remove,
        });
    }
}

/// Keeps the picture's bytes where every protocol finds them.
async fn kept(client: &Arc<Client>, photo: Photo) -> Result<(BlobId, Photo), StanzaError> {
    let bytes = bytes_of(&photo).ok_or_else(|| Iq::bad("the photo is not base64"))?;
    let written = client.node.read(move |node| {
        let mut writer = node.store().blob_writer(bytes.len() as u64)?;
        writer.write(&bytes)?;
        Ok(writer.finish()?.0)
    });
    Ok((written.await?, photo))
}

fn bytes_of(photo: &Photo) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(&photo.base64)
        .ok()
}
