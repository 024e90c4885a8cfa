//! STUN and TURN servers that apps use for calls, and credentials for them that end by themselves
//! (draft-uberti-behave-turn-rest-00, which coturn calls `use-auth-secret`).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use sammen_core::{Address, Timestamp};

use crate::Secret;

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Tells an app its address (RFC 8489).
    Stun,
    /// The same over TLS.
    Stuns,
    /// Relays (RFC 8656); needs credentials.
    Turn,
    /// The same over TLS.
    Turns,
}

impl Kind {
    /// Its name in XEP-0215 and in URIs (RFC 7064, RFC 7065).
    pub fn name(self) -> &'static str {
        match self {
            Self::Stun => "stun",
            Self::Stuns => "stuns",
            Self::Turn => "turn",
            Self::Turns => "turns",
        }
    }

    /// Whether somebody has to sign in there.
    pub fn is_restricted(self) -> bool {
        matches!(self, Self::Turn | Self::Turns)
    }
}

/// What carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Transport {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What it does.
    pub kind: Kind,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What carries it.
    pub transport: Transport,
}

/// The servers, and the secret that this node shares with them.
#[derive(Clone, Debug, Default)]
pub struct Relays {
    /// The servers.
    pub services: Vec<Service>,
    /// The shared secret; without it nobody gets credentials.
    pub secret: Option<Secret>,
    /// How long credentials hold.
    pub lifetime: Duration,
}

/// What one account signs in with at a relay.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `expiry:somebody`. Who that is, only this node knows; it stays the same, for quotas.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// Until when they hold.
    pub expires: Timestamp,
}

impl Relays {
    /// Credentials for an account; `None` without a secret.
    pub fn credentials(&self, account: &Address, now: Timestamp) -> Option<Credentials> {
        let secret = self.secret.as_ref()?.expose().as_bytes();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let who = hmac::sign(&key, account.as_str().as_bytes());
        let who: String = who
            .as_ref()
            .iter()
            .take(8)
            .map(|b| format!("{b:02x}"))
            .collect();
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX / 2);
        let until = (now.0 / 1000).saturating_add(lifetime);
        let username = format!("{until}:{who}");
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
        let password = STANDARD.encode(hmac::sign(&key, username.as_bytes()));
        Some(Credentials {
            username,
            password: Secret::new(password),
            expires: Timestamp(until.saturating_mul(1000)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_that_coturn_computes() {
        let relays = Relays {
            services: Vec::new(),
            secret: Some("north".into()),
            lifetime: Duration::from_secs(86_400),
        };
        let alice = Address::new("alice@example.org").unwrap();
        let made = relays
            .credentials(&alice, Timestamp(1_000_000_000_000))
            .unwrap();
        assert!(
            made.username.starts_with("1000086400:"),
            "{}",
            made.username
        );
        assert!(!made.username.contains("alice"));
        assert_eq!(made.expires, Timestamp(1_000_086_400_000));
        // printf USERNAME | openssl dgst -sha1 -hmac north -binary | base64
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"north");
        let known = STANDARD.encode(hmac::sign(&key, b"1000086400:bob"));
        assert_eq!(known, "oIlS4xjGYrEdX1d8utUzjVkwOEY=");
        assert_eq!(made.password.expose().len(), 28);
        let none = Relays::default();
        assert!(none.credentials(&alice, Timestamp(0)).is_none());
    }
}
