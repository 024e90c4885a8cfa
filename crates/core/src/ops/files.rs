//! Files that messages refer to. A file goes with the last message that refers to it, once its owner took back the one
//! that shows it, on whichever protocol: every protocol's address of a file leads to the same slot.
//!
//! Where an event says the address of a file of this node, a note of that stands on the shelf of the file's owner for as
//! long as the event says it. What only the native form says (a picture inside a text, what an app does with it) keeps
//! the file, but does not take it along.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::document::Owner;
use crate::event::{Content, Event};
use crate::ids::{EventId, Timestamp};
use crate::refusal::Outcome;
use crate::store::{BlobInfo, Write};
use crate::tx::{Expect, Tx, decode};

/// The shelf that holds what a file is called (owner: who uploaded it; key: its slot). Named after the first protocol
/// that had files.
pub const NAMES: &str = "xmpp-upload";
/// The shelf of notes (owner: the file's; key: the slot, `/`, the event's id). With an empty id: the owner took back
/// what showed the file.
const NOTES: &str = "file-notes";
/// Addresses that are told before their file comes (owner: the node; key: the slot; value: [`Awaited`]).
pub const AWAITED: &str = "files-awaited";
/// What keeps a file for good, in place of an event's id.
const HELD: &str = "held";
/// The event shows the file, or only says where it is.
const SHOWS: &[u8] = b"shows";
const MENTIONS: &[u8] = b"mentions";
/// Files of one event that are looked for.
const MOST: usize = 32;
/// Digits of a slot: 128 random bits.
const DIGITS: usize = 32;

/// An address that waits for its file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Awaited {
    /// Who may bring it.
    pub of: Address,
    /// How long it waits.
    pub until: Timestamp,
}

/// Slots in a text: 32 hexadecimal digits behind a slash, with nothing else in that part of the address.
fn slots(text: &[u8], found: &mut Vec<String>) {
    for at in text.iter().enumerate().filter(|(_, b)| **b == b'/') {
        let from = at.0 + 1;
        let Some(slot) = text.get(from..from + DIGITS) else {
            return;
        };
        let ends = text
            .get(from + DIGITS)
            .is_none_or(|b| !b.is_ascii_alphanumeric());
        if !ends || !slot.iter().all(u8::is_ascii_hexdigit) {
            continue;
        }
        let slot = String::from_utf8_lossy(slot).into_owned();
        if found.len() < MOST && !found.contains(&slot) {
            found.push(slot);
        }
    }
}

/// The slots that an event shows, and behind them (from the number on) those that it only mentions.
fn named(event: &Event) -> (Vec<String>, usize) {
    let mut found = Vec::new();
    if let Content::Message(message) | Content::Edit(message) = &event.content {
        for file in &message.attachments {
            slots(file.url.as_bytes(), &mut found);
        }
        slots(message.text.as_bytes(), &mut found);
    }
    let shown = found.len();
    if let Some(native) = &event.native {
        slots(&native.bytes, &mut found);
    }
    (found, shown)
}

fn key(slot: &str, event: EventId) -> String {
    format!("{slot}/{event}")
}

fn file(tx: &Tx<'_>, slot: &str) -> Option<BlobInfo> {
    tx.store.blob_by_slot(slot).unwrap_or_else(|why| {
        tracing::warn!(%why, "a file can't be looked for");
        None
    })
}

/// Whose file is or will be there.
fn owner_of(tx: &mut Tx<'_>, slot: &str) -> Option<Address> {
    if let Some(file) = file(tx, slot) {
        return Some(file.owner);
    }
    let found = tx.document(&Owner::Node, AWAITED, slot).ok()??.value?;
    decode::<Awaited>(&found).map(|awaited| awaited.of)
}

fn put(tx: &mut Tx<'_>, owner: &Address, key: &str, value: &'static [u8]) {
    let value = Some(Bytes::from_static(value));
    if let Err(why) = tx.put_document(&owner.into(), NOTES, key, Expect::Anything, value) {
        tracing::warn!(%why, "a file's note was not written");
    }
}

/// Notes the files of an event that is written. It does not refuse: what can't be looked for is not noted.
pub(crate) fn note(tx: &mut Tx<'_>, event: &Event) {
    let (slots, shown) = named(event);
    for (at, slot) in slots.iter().enumerate() {
        if let Some(owner) = owner_of(tx, slot) {
            let value = if at < shown { SHOWS } else { MENTIONS };
            put(tx, &owner, &key(slot, event.id), value);
        }
    }
}

/// What stands elsewhere than in a message (a room's or a person's picture, a pack of stickers, an app's settings) keeps
/// the files it names, also when it changes: nobody counts what names them there.
pub fn hold(tx: &mut Tx<'_>, text: &[u8]) {
    let mut found = Vec::new();
    slots(text, &mut found);
    for slot in found {
        if let Some(owner) = owner_of(tx, &slot) {
            put(tx, &owner, &format!("{slot}/{HELD}"), MENTIONS);
        }
    }
}

/// Says of an event of this batch whether it shows the file at this address, where core can't know: a picture that
/// stands for a film does, one that people use again and again does not.
pub fn note_as(tx: &mut Tx<'_>, event: EventId, address: &str, shows: bool) {
    let mut found = Vec::new();
    slots(address.as_bytes(), &mut found);
    for slot in found {
        if let Some(owner) = owner_of(tx, &slot) {
            let value = if shows { SHOWS } else { MENTIONS };
            put(tx, &owner, &key(&slot, event), value);
        }
    }
}

/// An event is erased: its notes go, and the files that nothing else refers to. It does not refuse.
pub(crate) fn let_go(tx: &mut Tx<'_>, event: &Event) {
    for slot in named(event).0 {
        match file(tx, &slot) {
            Some(file) => {
                if let Err(why) = let_one_go(tx, event, &slot, &file) {
                    tracing::warn!(%why, "a file stays although its message went");
                }
            }
            None => {
                if let Some(owner) = owner_of(tx, &slot) {
                    tx.erase_document(&Owner::from(&owner), NOTES, &key(&slot, event.id));
                }
            }
        }
    }
}

fn let_one_go(tx: &mut Tx<'_>, event: &Event, slot: &str, file: &BlobInfo) -> Outcome<()> {
    let owner = Owner::from(&file.owner);
    let key = key(slot, event.id);
    let note = tx.document(&owner, NOTES, &key)?.and_then(|d| d.value);
    let Some(note) = note else { return Ok(()) };
    tx.erase_document(&owner, NOTES, &key);
    let taken_back = format!("{slot}/");
    if note == SHOWS && event.author == file.owner {
        put(tx, &file.owner, &taken_back, SHOWS);
    }
    let left = tx.documents_with(&owner, NOTES, &taken_back, 2)?;
    if left.iter().map(|d| &d.key).eq([&taken_back]) {
        remove(tx, slot, file)?;
    }
    Ok(())
}

/// Takes a file away, and everything that is kept of it.
///
/// # Errors
/// When the store can't be read.
pub fn remove(tx: &mut Tx<'_>, slot: &str, file: &BlobInfo) -> Outcome<()> {
    let owner = Owner::from(&file.owner);
    let prefix = format!("{slot}/");
    loop {
        let notes = tx.documents_with(&owner, NOTES, &prefix, 500)?;
        if notes.is_empty() {
            break;
        }
        for note in notes {
            tx.erase_document(&owner, NOTES, &note.key);
        }
    }
    tx.erase_document(&owner, NAMES, slot);
    tx.write(Write::BlobRef {
        id: file.id.clone(),
        owner: file.owner.clone(),
        slot: slot.to_owned(),
        at: tx.now,
        remove: true,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_found_in_every_kind_of_address() {
        let slot = "0123456789abcdef0123456789abcdef";
        let found = |text: &str| {
            let mut found = Vec::new();
            slots(text.as_bytes(), &mut found);
            found
        };
        for address in [
            format!("https://example.org/upload/{slot}/a.png"),
            format!("see /upload/{slot}/a.png!"),
            format!("mxc://example.org/{slot}"),
            format!(r#"{{"url":"mxc:\/\/example.org\/{slot}"}}"#),
        ] {
            assert_eq!(found(&address), [slot], "{address}");
        }
        for nothing in [
            slot.to_owned(),
            format!("/{slot}0"),
            format!("/{}", &slot[1..]),
            format!("/{}g", &slot[1..]),
            "/".repeat(100),
        ] {
            assert!(found(&nothing).is_empty(), "{nothing}");
        }
        let many: String = (0..100).map(|n| format!("/{n:032x}")).collect();
        assert_eq!(found(&many).len(), MOST);
        assert_eq!(found(&format!("/{slot}/{slot}")), [slot], "once");
    }
}
