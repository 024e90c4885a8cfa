//! Messages of strangers, parsed: PLAIN (RFC 4616 §2), SCRAM (RFC 5802 §7), EXTERNAL (RFC 4422 A.1).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use super::{Channel, Failure, Mechanism, Policy};
use crate::Secret;

/// Longest user name, in bytes: that of an XMPP address' part before the `@`, with domain.
const MAX_NAME: usize = 1023 * 2 + 1;
/// Longest password, in bytes.
const MAX_PASSWORD: usize = crate::password::MAX_BYTES;
/// Longest nonce of a client; they have 16 to 64.
const MAX_NONCE: usize = 512;

type Parsed<T> = Result<T, Failure>;

pub(super) fn text(message: &[u8]) -> Parsed<&str> {
    std::str::from_utf8(message).map_err(|_| Failure::Malformed("not UTF-8"))
}

/// A name that is not empty, not too long and has no control characters.
pub(super) fn name(raw: &str) -> Parsed<String> {
    if raw.is_empty() {
        return Err(Failure::Malformed("empty name"));
    }
    if raw.len() > MAX_NAME {
        return Err(Failure::TooLong);
    }
    if raw.chars().any(char::is_control) {
        return Err(Failure::Malformed("control character in name"));
    }
    Ok(raw.to_owned())
}

/// EXTERNAL's only message: the wished identity, or nothing.
pub(super) fn authzid(message: &[u8]) -> Parsed<Option<String>> {
    match text(message)? {
        "" => Ok(None),
        wish => name(wish).map(Some),
    }
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2).
pub(super) struct PlainMessage {
    pub authzid: Option<String>,
    pub authcid: String,
    pub password: Secret,
}

impl PlainMessage {
    pub fn parse(message: &[u8]) -> Parsed<Self> {
        let message = text(message)?;
        let mut parts = message.split('\0');
        let (Some(wish), Some(who), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Failure::Malformed("not three parts"));
        };
        if password.is_empty() {
            return Err(Failure::Malformed("empty password"));
        }
        if password.len() > MAX_PASSWORD {
            return Err(Failure::TooLong);
        }
        let authzid = if wish.is_empty() {
            None
        } else {
            Some(name(wish)?)
        };
        Ok(Self {
            authzid,
            authcid: name(who)?,
            password: Secret::new(password),
        })
    }
}

/// What the client says about channel binding (RFC 5802 §7, gs2-cbind-flag).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// `n`: the client cannot.
    No,
    /// `y`: the client can, but thinks that we cannot.
    Yes,
    /// `p=NAME`: the client does.
    Bound(String),
}

/// `gs2-header client-first-message-bare`.
#[derive(Debug)]
pub(super) struct ClientFirst {
    /// As sent, with its closing comma: comes back in `c=`.
    pub gs2_header: String,
    pub flag: Flag,
    pub authzid: Option<String>,
    /// As sent: part of what is signed.
    pub bare: String,
    pub username: String,
    pub nonce: String,
}

impl ClientFirst {
    pub fn parse(message: &[u8]) -> Parsed<Self> {
        let message = text(message)?;
        let mut parts = message.splitn(3, ',');
        let (Some(flag), Some(wish), Some(bare)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Failure::Malformed("no gs2 header"));
        };
        let gs2_header = format!("{flag},{wish},");
        let flag = match flag {
            "n" => Flag::No,
            "y" => Flag::Yes,
            other => {
                let kind = other
                    .strip_prefix("p=")
                    .ok_or(Failure::Malformed("channel binding flag"))?;
                if kind.is_empty()
                    || !kind
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
                {
                    return Err(Failure::Malformed("channel binding name"));
                }
                Flag::Bound(kind.to_owned())
            }
        };
        let authzid = match wish {
            "" => None,
            other => Some(saslname(
                other
                    .strip_prefix("a=")
                    .ok_or(Failure::Malformed("authzid"))?,
            )?),
        };
        let mut attributes = bare.split(',');
        // A leading `m=` (mandatory extension) fails here as it must: none is known.
        let username = attribute(attributes.next(), "n=")?;
        let nonce = attribute(attributes.next(), "r=")?;
        if nonce.is_empty() || !nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Failure::Malformed("nonce"));
        }
        if nonce.len() > MAX_NONCE {
            return Err(Failure::TooLong);
        }
        // What follows are optional extensions: ignored, and signed as part of `bare`.
        Ok(Self {
            gs2_header,
            flag,
            authzid,
            bare: bare.to_owned(),
            username: saslname(username)?,
            nonce: nonce.to_owned(),
        })
    }

    /// RFC 5802 §6: does what the client says about channel binding fit what was on offer?
    pub fn check_binding(&self, plus: bool, channel: &Channel, policy: &Policy) -> Parsed<()> {
        match (&self.flag, plus) {
            (Flag::Bound(kind), true) => channel
                .binding(kind)
                .map(|_| ())
                .ok_or(Failure::BindingType),
            (Flag::No, false) => Ok(()),
            (Flag::Yes, false) => {
                let offered = |m: &Mechanism| matches!(m, Mechanism::Scram { plus: true, .. });
                if policy.offers(channel).iter().any(offered) {
                    Err(Failure::BindingDowngrade)
                } else {
                    Ok(())
                }
            }
            (Flag::Bound(_), false) | (Flag::No | Flag::Yes, true) => {
                Err(Failure::BindingDowngrade)
            }
        }
    }
}

/// `channel-binding "," nonce ["," extensions] "," proof`.
pub(super) struct ClientFinal<'a> {
    /// Everything before `,p=`: part of what is signed.
    pub without_proof: &'a str,
    pub channel_binding: Zeroizing<Vec<u8>>,
    pub nonce: &'a str,
    pub proof: Vec<u8>,
}

impl<'a> ClientFinal<'a> {
    pub fn parse(message: &'a [u8]) -> Parsed<Self> {
        let message = text(message)?;
        let (without_proof, proof) = message
            .rsplit_once(",p=")
            .ok_or(Failure::Malformed("no proof"))?;
        let mut attributes = without_proof.split(',');
        let channel_binding = base64(attribute(attributes.next(), "c=")?)?;
        let nonce = attribute(attributes.next(), "r=")?;
        if attributes.any(|a| a.starts_with("m=")) {
            return Err(Failure::Malformed("mandatory extension"));
        }
        Ok(Self {
            without_proof,
            channel_binding: Zeroizing::new(channel_binding),
            nonce,
            proof: base64(proof)?,
        })
    }
}

fn attribute<'a>(found: Option<&'a str>, prefix: &str) -> Parsed<&'a str> {
    found
        .and_then(|a| a.strip_prefix(prefix))
        .ok_or(Failure::Malformed("attribute missing or out of order"))
}

fn base64(encoded: &str) -> Parsed<Vec<u8>> {
    BASE64_STANDARD
        .decode(encoded)
        .map_err(|_| Failure::Malformed("base64"))
}

/// `saslname`: `=2C` is a comma, `=3D` an equals sign, any other `=` an error (RFC 5802 §5.1).
fn saslname(raw: &str) -> Parsed<String> {
    let mut out = String::with_capacity(raw.len());
    let mut pieces = raw.split('=');
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (letter, rest) = piece
            .strip_prefix("2C")
            .map(|rest| (',', rest))
            .or_else(|| piece.strip_prefix("3D").map(|rest| ('=', rest)))
            .ok_or(Failure::Malformed("escape in name"))?;
        out.push(letter);
        out.push_str(rest);
    }
    name(&out)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped() {
        let first = ClientFirst::parse(b"p=tls-exporter,a=bo=2Cb,n=al=3Dice,r=abc,x=later")
            .expect("parses");
        assert_eq!(first.username, "al=ice");
        assert_eq!(first.authzid.as_deref(), Some("bo,b"));
        assert_eq!(first.gs2_header, "p=tls-exporter,a=bo=2Cb,");
        assert_eq!(first.bare, "n=al=3Dice,r=abc,x=later");
        assert_eq!(first.flag, Flag::Bound("tls-exporter".into()));
    }

    #[test]
    fn malformed_messages_are_refused() {
        let long_nonce = format!("n,,n=a,r={}", "x".repeat(MAX_NONCE + 1));
        let long_name = format!("n,,n={},r=x", "x".repeat(MAX_NAME + 1));
        for bad in [
            "",
            "n",
            "n,",
            "n,,",
            "q,,n=a,r=b",
            "p=,,n=a,r=b",
            "p=a b,,n=a,r=b",
            "n,b=x,n=a,r=b",
            "n,a=,n=a,r=b",
            "n,,m=x,n=a,r=b",
            "n,,n=,r=b",
            "n,,n=a",
            "n,,r=b,n=a",
            "n,,n=a,r=",
            "n,,n=a,r=b c",
            "n,,n=a=41,r=b",
            "n,,n=a=,r=b",
            "n,,n=a\0b,r=c",
            "n,,n=a,r=\u{fc}",
            &long_nonce,
            &long_name,
        ] {
            assert!(ClientFirst::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(ClientFirst::parse(b"n,,n=\xff,r=b").is_err());
        for bad in [
            "",
            "c=biws",
            "c=biws,r=x",
            "r=x,c=biws,p=AAAA",
            "c=!,r=x,p=AAAA",
            "c=biws,r=x,p=!",
            "c=biws,r=x,m=1,p=AAAA",
        ] {
            assert!(ClientFinal::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let long_password = format!("\0alice\0{}", "x".repeat(MAX_PASSWORD + 1));
        for bad in [
            "",
            "alice",
            "alice\0secret",
            "\0alice\0",
            "\0\0secret",
            "\0a\0b\0c",
            "\u{7}\0a\0b",
            &long_password,
        ] {
            assert!(PlainMessage::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
