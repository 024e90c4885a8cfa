//! The Hashed Token mechanisms (draft-schmaus-kitten-sasl-ht-08), as XEP-0484 uses them: one message each way.
//!
//! The form of draft-ietf-kitten-sasl-ht-02, with key/value pairs between name and hash, is understood too and answered
//! in kind; none of its pairs means anything here. `tls-unique` (`-UNIQ`) is not on offer: rustls does not tell it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use ring::hmac;
use subtle::ConstantTimeEq;

use super::{Channel, Failure, Policy, messages};

/// Bytes of SHA-256.
const HASH: usize = 32;

/// A mechanism that proves a token; the name says what the token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenMechanism {
    /// `HT-SHA-256-EXPR`: `tls-exporter`.
    Exporter,
    /// `HT-SHA-256-ENDP`: `tls-server-end-point`.
    EndPoint,
    /// `HT-SHA-256-NONE`: for clients that can't bind, browsers above all.
    Unbound,
}

impl TokenMechanism {
    /// All, strongest first.
    pub const ALL: [Self; 3] = [Self::Exporter, Self::EndPoint, Self::Unbound];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exporter => "HT-SHA-256-EXPR",
            Self::EndPoint => "HT-SHA-256-ENDP",
            Self::Unbound => "HT-SHA-256-NONE",
        }
    }

    /// The mechanism of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }

    /// What can be used on this connection, strongest first. Tokens never cross a connection in clear, unless the
    /// listener allows passwords there too.
    pub fn offers(policy: &Policy, channel: &Channel) -> Vec<Self> {
        let allowed = channel.secure || policy.without_tls;
        Self::ALL
            .into_iter()
            .filter(|m| allowed && m.binding(channel).is_some())
            .collect()
    }

    /// The channel's data that it signs; `None` where the connection does not have it.
    pub fn binding(self, channel: &Channel) -> Option<&[u8]> {
        match self {
            Self::Exporter => channel.binding("tls-exporter"),
            Self::EndPoint => channel.binding("tls-server-end-point"),
            Self::Unbound => Some(&[]),
        }
    }
}

/// The client's only message: `authcid NUL [pairs NUL] HMAC(token, "Initiator" || binding || pairs)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenMessage {
    /// Who it wants to be.
    pub name: String,
    /// In the newer form: the pairs, perhaps none.
    pairs: Option<Vec<u8>>,
    hash: [u8; HASH],
}

impl TokenMessage {
    /// Reads it.
    ///
    /// # Errors
    /// [`Failure::Malformed`] or [`Failure::TooLong`].
    pub fn parse(message: &[u8]) -> Result<Self, Failure> {
        if message.len() > super::MAX_MESSAGE {
            return Err(Failure::TooLong);
        }
        let malformed = Failure::Malformed("not a name and a hash");
        let end = message.iter().position(|b| *b == 0).ok_or(malformed)?;
        let (name, rest) = message.split_at(end);
        let rest = rest.get(1..).unwrap_or_default();
        let at = rest.len().checked_sub(HASH).ok_or(malformed)?;
        let (before, hash) = rest.split_at(at);
        let pairs = match before {
            [] => None,
            [pairs @ .., 0] => Some(pairs.to_vec()),
            _ => return Err(malformed),
        };
        Ok(Self {
            name: messages::name(messages::text(name)?)?,
            pairs,
            hash: hash.try_into().map_err(|_| malformed)?,
        })
    }

    /// Whether it was made with this token, in constant time.
    pub fn proves(&self, token: &[u8], binding: &[u8]) -> bool {
        self.sign(token, "Initiator", binding, true)
            .as_ref()
            .ct_eq(&self.hash)
            .into()
    }

    /// The node's answer, which proves that it has the token as well.
    pub fn answer(&self, token: &[u8], binding: &[u8]) -> Vec<u8> {
        let hash = self.sign(token, "Responder", binding, false);
        match self.pairs {
            None => hash.as_ref().to_vec(),
            Some(_) => [&[0, 0], hash.as_ref()].concat(),
        }
    }

    fn sign(&self, token: &[u8], role: &str, binding: &[u8], pairs: bool) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, token));
        context.update(role.as_bytes());
        context.update(binding);
        if let Some(signed) = self.pairs.as_ref().filter(|_| pairs) {
            context.update(signed);
        }
        context.sign()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn hmac(token: &[u8], message: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, token);
        hmac::sign(&key, message).as_ref().to_vec()
    }

    #[test]
    fn both_forms_are_proven_and_answered_in_kind() {
        let old = [b"alice\0", hmac(b"t0ken", b"Initiatorcb").as_slice()].concat();
        let old = TokenMessage::parse(&old).unwrap();
        assert_eq!(old.name, "alice");
        assert!(old.proves(b"t0ken", b"cb"));
        assert!(!old.proves(b"t0ken", b""), "bound to the channel");
        assert!(!old.proves(b"other", b"cb"));
        assert_eq!(old.answer(b"t0ken", b"cb"), hmac(b"t0ken", b"Respondercb"));
        for pairs in ["", "a=b,c=d"] {
            let signed = hmac(b"t0ken", format!("Initiator{pairs}").as_bytes());
            let new = [b"alice\0", pairs.as_bytes(), b"\0", signed.as_slice()].concat();
            let new = TokenMessage::parse(&new).unwrap();
            assert!(new.proves(b"t0ken", b""));
            let answer = [&[0, 0], hmac(b"t0ken", b"Responder").as_slice()].concat();
            assert_eq!(new.answer(b"t0ken", b""), answer);
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let hash = "x".repeat(HASH);
        for bad in [
            "".to_owned(),
            "alice".to_owned(),
            "alice\0short".to_owned(),
            format!("\0{hash}"),
            format!("al\u{7}ice\0{hash}"),
            format!("alice\0pairs{hash}"),
            format!("{}\0{hash}", "x".repeat(4096)),
        ] {
            assert!(TokenMessage::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(TokenMessage::parse(&[&[0xff, 0][..], &[1; HASH]].concat()).is_err());
    }

    #[test]
    fn what_the_connection_has_is_on_offer() {
        let policy = Policy::new("xmpp", crate::Decoy::new(b"", Default::default()));
        let mut channel = Channel::default();
        assert!(TokenMechanism::offers(&policy, &channel).is_empty());
        channel.secure = true;
        assert_eq!(
            TokenMechanism::offers(&policy, &channel),
            [TokenMechanism::Unbound]
        );
        channel.exporter = Some([1; 32]);
        channel.server_end_point = Some(vec![2; 32]);
        assert_eq!(
            TokenMechanism::offers(&policy, &channel),
            TokenMechanism::ALL
        );
        for mechanism in TokenMechanism::ALL {
            assert_eq!(TokenMechanism::parse(mechanism.name()), Some(mechanism));
        }
    }
}
