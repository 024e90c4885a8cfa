//! Tokens of invitations, and the links that carry them (XEP-0147, XEP-0379, XEP-0445).

use rand::{CryptoRng, Rng};
use sammen_core::Domain;

use super::Invitation;
use crate::Secret;

/// No letter that is read wrongly from paper.
const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// log2(31) × 24 = 118 bits (XEP-0379 §5.1 asks for 80).
const LETTERS: usize = 24;

/// What opens an invitation: told to the inviter once, kept nowhere.
#[derive(Clone, Debug)]
pub struct Token(Secret);

impl Token {
    /// A fresh one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let letter = |rng: &mut _| {
            let at = Rng::random_range(rng, 0..ALPHABET.len());
            char::from(ALPHABET.get(at).copied().unwrap_or(b'a'))
        };
        Self(Secret::new(
            (0..LETTERS).map(|_| letter(rng)).collect::<String>(),
        ))
    }

    /// What somebody showed; `None` where it can be none.
    pub fn read(text: &str) -> Option<Self> {
        let fits = text.len() == LETTERS && text.bytes().all(|b| ALPHABET.contains(&b));
        fits.then(|| Self(Secret::new(text)))
    }

    /// The text, for a link.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What the shelf knows it by: SHA-256, in hexadecimal.
    pub(super) fn key(&self) -> String {
        let hash = ring::digest::digest(&ring::digest::SHA256, self.expose().as_bytes());
        hash.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// The link for XMPP apps: `xmpp:alice@example.org?roster;preauth=…;ibr=y` (XEP-0401 §5.1),
/// `xmpp:example.org?register;preauth=…` or with a name (XEP-0445 §2).
pub fn uri(invitation: &Invitation, domain: &Domain, token: &Token) -> String {
    let (offer, token) = (&invitation.offer, token.expose());
    if let Some(name) = &offer.name {
        return format!("xmpp:{name}@{domain}?register;preauth={token}");
    }
    match &offer.inviter {
        Some(inviter) => {
            let ibr = if offer.account { ";ibr=y" } else { "" };
            format!("xmpp:{inviter}?roster;preauth={token}{ibr}")
        }
        None => format!("xmpp:{domain}?register;preauth={token}"),
    }
}

/// The link for a browser, on a front that is reached at `base` (`https://example.org`).
pub fn landing(base: &str, token: &Token) -> String {
    format!("{}/i/{}", base.trim_end_matches('/'), token.expose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invitations::Offer;
    use rand::{SeedableRng, rngs::StdRng};
    use sammen_core::{Address, Name, Timestamp};

    #[test]
    fn tokens_are_read_back_and_nothing_else_is() {
        let token = Token::random(&mut StdRng::seed_from_u64(1));
        let again = Token::read(token.expose()).unwrap();
        assert_eq!(again.key(), token.key());
        assert!(31f64.log2() * LETTERS as f64 >= 80.0);
        for wrong in ["", "short", "ABCDEFGHJKMNPQRSTUVWXYZ2", &"a".repeat(25)] {
            assert!(Token::read(wrong).is_none(), "{wrong}");
        }
        assert!(!format!("{token:?}").contains(token.expose()));
    }

    #[test]
    fn links_are_those_of_the_standards() {
        let domain = Domain::new("example.org").unwrap();
        let token = Token::read(&"a".repeat(24)).unwrap();
        let link = |offer: Offer| {
            let invitation = Invitation {
                id: String::new(),
                offer,
                created: Timestamp(0),
                used: 0,
            };
            uri(&invitation, &domain, &token)
        };
        let t = token.expose();
        let alice = Some(Address::new("alice@example.org").unwrap());
        let contact = Offer {
            inviter: alice.clone(),
            ..Offer::default()
        };
        assert_eq!(
            link(contact.clone()),
            format!("xmpp:alice@example.org?roster;preauth={t}")
        );
        let both = Offer {
            account: true,
            ..contact.clone()
        };
        assert_eq!(
            link(both),
            format!("xmpp:alice@example.org?roster;preauth={t};ibr=y")
        );
        let named = Offer {
            account: true,
            name: Some(Name::new("juliet").unwrap()),
            ..contact
        };
        assert_eq!(
            link(named),
            format!("xmpp:juliet@example.org?register;preauth={t}")
        );
        let operator = Offer {
            account: true,
            ..Offer::default()
        };
        assert_eq!(
            link(operator),
            format!("xmpp:example.org?register;preauth={t}")
        );
        assert_eq!(
            landing("https://example.org/", &token),
            format!("https://example.org/i/{t}")
        );
    }
}
