//! XEP-0421 occupant ids: one text per room and person that tells nothing about the person.

use ring::hmac;

use sammen_core::address::Address;
use sammen_core::ids::ConversationId;

use crate::wire::{Element, ns};

/// The node's key for occupant ids: 32 random bytes that stay for good, so that ids do.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// From the bytes that were stored.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The id of a person in a room. Nobody without the key can compute it (§3.1), and a room that is made again under an
    /// old address gives other ids.
    pub fn id(&self, room: ConversationId, who: &Address) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&room.0.to_be_bytes());
        context.update(who.as_str().as_bytes());
        let tag = context.sign();
        let mut text = String::with_capacity(40);
        for byte in tag.as_ref().iter().take(20) {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// The id as the element that stands in presence and messages.
    pub fn element(&self, room: ConversationId, who: &Address) -> Element {
        Element::new(ns::OCCUPANT_ID, "occupant-id").attr("id", self.id(room, who))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_with_the_person_in_one_room_only() -> Result<(), Box<dyn std::error::Error>> {
        let key = Key::new(&[7; 32]);
        let (alice, bob) = (
            Address::new("alice@example.org")?,
            Address::new("bob@example.org")?,
        );
        let (town, club) = (ConversationId(1), ConversationId(2));
        assert_eq!(key.id(town, &alice), key.clone().id(town, &alice));
        assert_eq!(key.id(town, &alice).len(), 40);
        assert_ne!(key.id(town, &alice), key.id(town, &bob));
        assert_ne!(key.id(town, &alice), key.id(club, &alice));
        assert_ne!(key.id(town, &alice), Key::new(&[8; 32]).id(town, &alice));
        Ok(())
    }
}
