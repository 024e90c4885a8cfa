//! Avatars: PEP (XEP-0084) is the truth; the vCard's photo (XEP-0153) is made of it and sets it (XEP-0398).

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use parking_lot::Mutex;
use sammen_core::live::{Presence, Show};
use sammen_core::tx::Tx;
use sammen_core::{Address, Node, Outcome, Protocol, ops};

use crate::client::Client;
use crate::feature::{BoxFuture, Feature};
use crate::iq::Where;
use crate::muc::Shows;
use crate::pep::config::Access;
use crate::pep::publish::{self, Actor, Publication};
use crate::pep::shelf::{self, ITEM_BYTES, Look};
use crate::pep::{errors, read};
use crate::presence;
use crate::wire::{Condition, Element, Limits, Payload, StanzaError, Str, ns};

/// Clients pad or don't.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Hashes that are remembered.
const REMEMBERED: usize = 50_000;
/// Media types of pictures that are converted: SVG can carry scripts.
const TYPES: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp"];

/// Avatars in presence.
pub static FEATURE: Feature = Feature {
    name: "avatars",
    disco: |at| match at {
        Where::OwnAccount | Where::OtherAccount => &[ns::PEP_VCARD_CONVERSION],
        _ => &[],
    },
    stamp: Some(stamp),
    ..Feature::NONE
};

/// SHA-1 of the avatars of accounts, as presence tells them; `None` for accounts known to have none.
#[derive(Default)]
pub struct Hashes(Mutex<HashMap<Address, Option<Str>>>);

impl Hashes {
    fn known(&self, account: &Address) -> Option<Option<Str>> {
        self.0.lock().get(account).cloned()
    }

    /// What a write made of it.
    fn set(&self, account: Address, hash: Option<Str>) {
        let mut known = self.0.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(account, hash);
    }

    /// What a reading found; a write that came meanwhile knows better.
    fn learn(&self, account: &Address, hash: Option<Str>) -> Option<Str> {
        self.0.lock().entry(account.clone()).or_insert(hash).clone()
    }
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// Media type.
    pub media_type: String,
    /// SHA-1 of the bytes, in hexadecimal.
    pub hash: String,
    /// Size of the bytes.
    pub size: usize,
    /// The bytes in base64, without line ends.
    pub base64: String,
}

impl Photo {
    /// Reads `<PHOTO/>` of a vCard (XEP-0054); `None` if there is no picture in it.
    ///
    /// # Errors
    /// When what stands there is no picture that can be shown.
    pub fn of_vcard(vcard: &Element) -> Result<Option<Self>, StanzaError> {
        let Some(photo) = vcard.find("PHOTO", ns::VCARD_TEMP) else {
            return Ok(None);
        };
        let Some(data) = photo
            .find_text("BINVAL", ns::VCARD_TEMP)
            .filter(|t| !t.trim().is_empty())
        else {
            return Ok(None);
        };
        let bad = |why| StanzaError::new(Condition::BadRequest).with_text(why);
        let bytes = decode(&data).ok_or_else(|| bad("the photo is not base64"))?;
        let named = photo.find_text("TYPE", ns::VCARD_TEMP);
        let media_type = sniff(&bytes)
            .or_else(|| {
                TYPES.iter().copied().find(|t| {
                    named
                        .as_deref()
                        .is_some_and(|n| n.trim().eq_ignore_ascii_case(t))
                })
            })
            .ok_or_else(|| bad("the photo is neither PNG, JPEG, GIF nor WebP"))?;
        Ok(Some(Self {
            media_type: media_type.to_owned(),
            hash: sha1(&bytes),
            size: bytes.len(),
            base64: BASE64.encode(&bytes),
        }))
    }

    /// A picture from elsewhere.
    pub fn of_bytes(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            hash: sha1(bytes),
            size: bytes.len(),
            base64: BASE64.encode(bytes),
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        decode(&self.base64)
    }

    /// `<PHOTO/>` of a vCard.
    pub fn to_vcard(&self) -> Element {
        let text = |name: &'static str, text: &str| Element::new(ns::VCARD_TEMP, name).text(text);
        Element::new(ns::VCARD_TEMP, "PHOTO")
            .child(text("TYPE", &self.media_type))
            .child(text("BINVAL", &self.base64))
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    BASE64.decode(packed).ok().filter(|b| !b.is_empty())
}

fn sniff(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

/// SHA-1 in hexadecimal (XEP-0084 §3: what names an avatar; no secret hangs on it).
pub fn sha1(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// The `<info/>` of metadata that is not at a URL (XEP-0398 §3.1).
fn info(metadata: &Element) -> Option<&Element> {
    metadata
        .all("info", ns::AVATAR_METADATA)
        .find(|i| i.get("url").is_none())
}

fn hash_in(metadata: &Element) -> Option<Str> {
    let id = info(metadata)?.get("id")?;
    let good = id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| Str::new(id.to_ascii_lowercase()))
}

fn metadata(look: &mut impl Look, account: &Address) -> Outcome<Option<Element>> {
    let Some(record) = shelf::node(look, account, ns::AVATAR_METADATA)? else {
        return Ok(None);
    };
    let last = shelf::last_item(look, account, ns::AVATAR_METADATA, &record)?;
    Ok(last.and_then(|i| i.element()))
}

/// The account's picture as others may see it in a vCard. Who keeps the node of the bytes to named people keeps it out.
///
/// # Errors
/// When the store can't be read.
pub fn photo(look: &mut impl Look, account: &Address, for_owner: bool) -> Outcome<Option<Photo>> {
    let Some(metadata) = metadata(look, account)? else {
        return Ok(None);
    };
    let Some(hash) = hash_in(&metadata) else {
        return Ok(None);
    };
    let data = shelf::node(look, account, ns::AVATAR_DATA)?;
    if data.is_none_or(|d| d.config.access == Access::Whitelist && !for_owner) {
        return Ok(None);
    }
    let item = shelf::item(look, account, ns::AVATAR_DATA, &hash)?;
    let Some(bytes) = item
        .and_then(|i| i.element())
        .and_then(|el| decode(&el.content()))
    else {
        return Ok(None);
    };
    // XEP-0398 §3.1: the hash is checked.
    if sha1(&bytes) != hash.as_str() {
        return Ok(None);
    }
    let named = info(&metadata)
        .and_then(|i| i.get("type"))
        .unwrap_or("image/png");
    Ok(Some(Photo {
        media_type: sniff(&bytes).unwrap_or(named).to_owned(),
        hash: hash.to_string(),
        size: bytes.len(),
        base64: BASE64.encode(&bytes),
    }))
}

/// The account's vCard was set: the same picture goes into PEP (XEP-0398 §3.2). `None` takes it away.
///
/// # Errors
/// When it is too large or does not fit any more; nothing was changed then.
pub fn set_photo(tx: &mut Tx<'_>, actor: &Actor, photo: Option<&Photo>) -> Result<(), StanzaError> {
    let now = metadata(tx, &actor.account)?.and_then(|m| hash_in(&m));
    if now.as_deref() == photo.map(|p| p.hash.as_str()) {
        return Ok(());
    }
    let publication = |node: &str, id: &str, payload| Publication {
        node: node.to_owned(),
        id: Some(id.to_owned()),
        payload,
        options: None,
    };
    let metadata = Element::new(ns::AVATAR_METADATA, "metadata");
    let Some(photo) = photo else {
        // XEP-0084 §3.4: an empty one switches the avatar off.
        let id = now.unwrap_or_default();
        let id = if id.is_empty() {
            "current"
        } else {
            id.as_str()
        };
        publish::publish(tx, actor, &publication(ns::AVATAR_METADATA, id, metadata))?;
        return Ok(());
    };
    if photo.base64.len() + 64 > ITEM_BYTES {
        return Err(errors::payload_too_big());
    }
    shelf::room_for_nodes(tx, &actor.account, 2)?;
    shelf::room_for_bytes(tx, &actor.account, photo.base64.len() as u64 + 1024)?;
    let data = Element::new(ns::AVATAR_DATA, "data").text(photo.base64.as_str());
    let info = Element::new(ns::AVATAR_METADATA, "info")
        .attr("id", photo.hash.as_str())
        .attr("type", photo.media_type.as_str())
        .attr("bytes", photo.size.to_string());
    publish::put_quietly(tx, actor, &publication(ns::AVATAR_DATA, &photo.hash, data))?;
    let metadata = metadata.child(info);
    metadata_changed(tx, actor, Some(&metadata));
    publish::put_quietly(
        tx,
        actor,
        &publication(ns::AVATAR_METADATA, &photo.hash, metadata),
    )
}

/// The metadata of an account's avatar changed; presence tells its hash from the commit on.
pub(crate) fn metadata_changed(tx: &mut Tx<'_>, actor: &Actor, now: Option<&Element>) {
    let hash = now.and_then(hash_in);
    let (account, hashes) = (actor.account.clone(), actor.avatars.clone());
    show_again(tx, &account, hash.as_deref());
    tx.after(move |_| hashes.set(account, hash));
}

/// XEP-0153 §3.1: contacts and rooms are shown the new hash in presence that is otherwise as it was.
fn show_again(tx: &mut Tx<'_>, account: &Address, hash: Option<&str>) {
    let shown: Vec<_> = tx.live(|live| {
        let sessions = live.sessions_of(account).iter();
        let xmpp = sessions.filter(|s| s.protocol == Protocol::Xmpp);
        let with_presence = xmpp.filter_map(|s| Some((s.id, s.presence()?)));
        let available = with_presence.filter(|(_, p)| p.show != Show::Offline);
        available
            .map(|(id, presence)| {
                let inside = live.rooms_of(id).into_iter().filter_map(|room| {
                    let occupant = live.room(room)?.occupants.get(account)?;
                    let own = occupant.sessions.iter().find(|(s, _)| s.id == id)?;
                    Some((room, own.1.clone()))
                });
                (id, presence, inside.collect::<Vec<_>>())
            })
            .collect()
    });
    for (session, presence, inside) in shown {
        let form = presence.native.clone();
        if let Some(form) = form.and_then(|n| n.downcast::<presence::Form>().ok())
            && let Some(children) = stamped(&form.children, hash)
        {
            let lang = form.lang.clone();
            let changed = Presence {
                native: Some(Arc::new(presence::Form { children, lang })),
                ..(*presence).clone()
            };
            let _ = ops::presence::set(tx, session, account, changed);
        }
        for (room, shows) in inside {
            let form = shows.native.clone();
            if let Some(form) = form.and_then(|n| n.downcast::<Shows>().ok())
                && let Some(children) = stamped(&form.0, hash)
            {
                let changed = Presence {
                    native: Some(Arc::new(Shows(children))),
                    ..(*shows).clone()
                };
                let _ = ops::rooms::enter(tx, session, account, room, changed);
            }
        }
    }
}

/// The children of a presence with another hash; `None` where nothing changes.
fn stamped(children: &Bytes, hash: Option<&str>) -> Option<Bytes> {
    let nodes = Payload::from_stored(children.clone());
    let mut presence = Element::new(ns::CLIENT, "presence");
    for node in nodes.nodes(ns::CLIENT, &Limits::default()).ok()? {
        presence.push_node(node);
    }
    inject(&mut presence, hash);
    let now = Payload::of(&presence).bytes().clone();
    (now != *children).then_some(now)
}

/// The hash that presence of the account tells.
pub async fn hash_of(node: &Node, hashes: &Arc<Hashes>, account: &Address) -> Option<Str> {
    if let Some(known) = hashes.known(account) {
        return known;
    }
    let of = account.clone();
    let found = read(node, move |mut node| {
        Ok(metadata(&mut node, &of)?.and_then(|m| hash_in(&m)))
    })
    .await;
    match found {
        Ok(hash) => hashes.learn(account, hash),
        Err(_) => None,
    }
}

/// The same for those who stand on a blocking thread.
pub fn known_hash(node: &Node, hashes: &Hashes, account: &Address) -> Option<Str> {
    if let Some(known) = hashes.known(account) {
        return known;
    }
    let mut look = node;
    let found = metadata(&mut look, account).ok()?;
    hashes.learn(account, found.and_then(|m| hash_in(&m)))
}

/// Puts the hash into presence that the client sends, to contacts and to rooms (XEP-0398 §4).
pub fn stamp(client: Arc<Client>, mut presence: Element) -> BoxFuture<Element> {
    Box::pin(async move {
        let hashes: Arc<Hashes> = client.server.shared();
        let hash = hash_of(&client.node, &hashes, &client.account).await;
        inject(&mut presence, hash.as_deref());
        presence
    })
}

/// XEP-0398 §4: available presence tells the hash, unless the client says that it shows no picture.
pub fn inject(presence: &mut Element, hash: Option<&str>) {
    if presence.get("type").is_some() {
        return;
    }
    let x = presence.find("x", ns::VCARD_UPDATE);
    let photo = x.and_then(|x| x.find("photo", ns::VCARD_UPDATE));
    let says_none = photo.is_some_and(|p| p.content().trim().is_empty());
    if says_none || photo.is_none() && hash.is_none() {
        return;
    }
    presence.remove_children(|c| c.is("x", ns::VCARD_UPDATE));
    let photo = Element::new(ns::VCARD_UPDATE, "photo").text(hash.unwrap_or_default());
    presence.push(Element::new(ns::VCARD_UPDATE, "x").child(photo));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stamped(x: Option<Element>, hash: Option<&str>) -> Option<String> {
        let mut presence = Element::new(ns::CLIENT, "presence").children(x);
        inject(&mut presence, hash);
        let x = presence.find("x", ns::VCARD_UPDATE)?;
        x.find_text("photo", ns::VCARD_UPDATE)
            .map(|t| t.into_owned())
    }

    #[test]
    fn presence_tells_the_hash_unless_the_client_shows_no_picture() {
        let x = || Element::new(ns::VCARD_UPDATE, "x");
        let photo = |t: &str| x().child(Element::new(ns::VCARD_UPDATE, "photo").text(t));
        assert_eq!(stamped(None, Some("abc")).as_deref(), Some("abc"));
        assert_eq!(stamped(Some(x()), Some("abc")).as_deref(), Some("abc"));
        assert_eq!(
            stamped(Some(photo("old")), Some("abc")).as_deref(),
            Some("abc")
        );
        assert_eq!(stamped(Some(photo("")), Some("abc")).as_deref(), Some(""));
        assert_eq!(stamped(None, None), None);
        assert_eq!(stamped(Some(photo("old")), None).as_deref(), Some(""));
    }

    #[test]
    fn a_photo_survives_the_way_through_a_vcard() {
        let png = [0x89, b'P', b'N', b'G', 1, 2, 3];
        let lines = BASE64
            .encode(png)
            .chars()
            .map(|c| format!("{c}\n"))
            .collect::<String>();
        let vcard = Element::new(ns::VCARD_TEMP, "vCard").child(
            Element::new(ns::VCARD_TEMP, "PHOTO")
                .child(Element::new(ns::VCARD_TEMP, "BINVAL").text(lines)),
        );
        let photo = Photo::of_vcard(&vcard).unwrap().unwrap();
        assert_eq!((photo.media_type.as_str(), photo.size), ("image/png", 7));
        assert_eq!(photo.hash, sha1(&png));
        let again = Element::new(ns::VCARD_TEMP, "vCard").child(photo.to_vcard());
        assert_eq!(Photo::of_vcard(&again).unwrap(), Some(photo));
        let svg = Element::new(ns::VCARD_TEMP, "PHOTO")
            .child(Element::new(ns::VCARD_TEMP, "TYPE").text("image/svg+xml"))
            .child(Element::new(ns::VCARD_TEMP, "BINVAL").text(BASE64.encode("<svg/>")));
        assert!(Photo::of_vcard(&Element::new(ns::VCARD_TEMP, "vCard").child(svg)).is_err());
    }

    #[test]
    fn a_picture_elsewhere_is_not_ours_to_show() {
        let url = Element::new(ns::AVATAR_METADATA, "info")
            .attr("id", "a".repeat(40))
            .attr("url", "http://x");
        let own = Element::new(ns::AVATAR_METADATA, "info").attr("id", "B".repeat(40));
        let metadata = Element::new(ns::AVATAR_METADATA, "metadata")
            .child(url.clone())
            .child(own);
        assert_eq!(hash_in(&metadata).unwrap(), "b".repeat(40));
        assert_eq!(
            hash_in(&Element::new(ns::AVATAR_METADATA, "metadata").child(url)),
            None
        );
    }
}
