//! Sign-in tokens (XEP-0484): what an app shows instead of the password, from the second time on.
//!
//! A token belongs to one app (its user-agent id), to the mechanism that it was asked for and to the password or
//! certificate that opened the account; it dies with any of them, with the app's device and with its time. No token is
//! stored: it is computed from a number that is, under a key of the node's. Two are valid at most: the one in use, and a
//! newer one that the app has not used yet (XEP-0484 §7.1).

mod shelf;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use sammen_core::DeviceId;
use serde::{Deserialize, Serialize};

pub use shelf::{KnownAgent, Shown, TokenLogin};

use crate::Secret;
use crate::credentials::{Credentials, Kind, PasswordId};
use crate::sasl::{Failure, Login, TokenMechanism, TokenMessage};
use crate::verifier::base64_bytes;

/// How long a token is good for: a phone that lies in a drawer for a month is asked for the password again.
pub const LIFETIME_MS: u64 = 30 * DAY_MS;
/// A token that is older is replaced when it is used.
pub const RENEW_MS: u64 = DAY_MS;
const DAY_MS: u64 = 86_400_000;
/// Longest user-agent id; they are UUIDs.
const MAX_ID: usize = 128;
/// Longest name of a program or device that is kept.
const MAX_NAME: usize = 128;

/// What an app says of itself (XEP-0388 §2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Random, the app's own, the same at every sign-in; a secret between app and node.
    pub id: String,
    /// The program.
    pub software: Option<String>,
    /// What its owner calls the device.
    pub device: Option<String>,
}

impl Agent {
    /// Takes what a stranger said: `None` where the id is none.
    pub fn new(id: &str, software: Option<&str>, device: Option<&str>) -> Option<Self> {
        let fine = |text: &&str| !text.is_empty() && !text.chars().any(char::is_control);
        let name = |text: Option<&str>| {
            let text = text.map(str::trim).filter(fine)?;
            Some(text.chars().take(MAX_NAME).collect())
        };
        let id = Some(id).filter(fine).filter(|id| id.len() <= MAX_ID)?;
        Some(Self {
            id: id.to_owned(),
            software: name(software),
            device: name(device),
        })
    }

    /// What its device is known by ([`sammen_core::Device::key`]).
    pub fn device_key(&self) -> String {
        format!("agent {}", self.id)
    }

    /// What people call it.
    pub fn label(&self) -> Option<String> {
        match (&self.software, &self.device) {
            (Some(software), Some(device)) => Some(format!("{software}, {device}")),
            (one, other) => one.clone().or_else(|| other.clone()),
        }
    }
}

/// A token as the app gets it, the only time that anybody sees it.
#[derive(Clone, Debug)]
pub struct FreshToken {
    /// The token.
    pub secret: Secret,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// What opened the account when the token was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    /// A password; set anew it is another one.
    Password { id: PasswordId, created_ms: u64 },
    Certificate {
        #[serde(with = "base64_bytes")]
        fingerprint: Vec<u8>,
    },
}

impl Source {
    fn new(login: &Login, credentials: &Credentials) -> Option<Self> {
        match login {
            Login::Password(id, _) => credentials.password(*id).map(|p| Self::Password {
                id: *id,
                created_ms: p.created_ms,
            }),
            Login::Certificate(shown) => {
                let mut known = credentials.certificates().iter();
                let certificate = known.find(|c| c.credential() == *shown)?;
                Some(Self::Certificate {
                    fingerprint: certificate.fingerprint.clone(),
                })
            }
        }
    }

    /// What it stands for today, where it still opens the account to this protocol.
    fn login(&self, credentials: &Credentials, scope: &str) -> Option<Login> {
        match self {
            Self::Password { id, created_ms } => {
                let password = credentials.password(*id);
                let password = password.filter(|p| p.created_ms == *created_ms)?;
                let open = match &password.kind {
                    Kind::Passphrase => true,
                    Kind::App { scopes, .. } => scopes.allow(scope),
                };
                open.then(|| Login::Password(*id, password.kind.clone()))
            }
            Self::Certificate { fingerprint } => credentials
                .certificate(fingerprint)
                .filter(|c| c.scopes.allow(scope))
                .map(|c| Login::Certificate(c.credential())),
        }
    }
}

/// A token as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Token {
    #[serde(with = "base64_bytes")]
    number: Vec<u8>,
    mechanism: String,
    source: Source,
    issued_ms: u64,
    /// The highest `count` that came with it (XEP-0484 §4.4).
    count: u64,
}

/// The key that tokens are computed under.
#[derive(Clone)]
pub(crate) struct TokenKey(hmac::Key);

impl TokenKey {
    /// From a secret that the node keeps.
    pub fn new(node_secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, node_secret))
    }

    /// A short name for something of an account's that must not be guessed back: the same for the same text.
    fn name(&self, account: &str, text: &str) -> String {
        let tag = self.secret(account, text, b"name");
        tag.expose().chars().take(12).collect()
    }

    fn secret(&self, account: &str, agent: &str, number: &[u8]) -> Secret {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [
            b"sammen token",
            account.as_bytes(),
            agent.as_bytes(),
            number,
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Secret::new(BASE64_URL_SAFE_NO_PAD.encode(context.sign()))
    }
}

/// An app of an account: what it said of itself, its device and its tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    agent: Agent,
    device: DeviceId,
    current: Option<Token>,
    /// Given out and not used yet.
    next: Option<Token>,
}

/// What a client shows.
struct Attempt<'a> {
    /// The account.
    account: &'a str,
    /// What it chose.
    mechanism: TokenMechanism,
    /// What it sent.
    message: &'a TokenMessage,
    /// What the channel binds it to.
    binding: &'a [u8],
    /// XEP-0484 §4.4.
    count: Option<u64>,
    /// The token shall end with this login.
    invalidate: bool,
}

/// A token that holds.
struct Held {
    login: Login,
    answer: Vec<u8>,
    /// It is time for another.
    due: bool,
    /// The record changed.
    changed: bool,
}

impl Record {
    fn new(agent: Agent, device: DeviceId) -> Self {
        Self {
            agent,
            device,
            current: None,
            next: None,
        }
    }

    /// Checks what a client shows and changes the record as its use asks for (XEP-0484 §7.1).
    fn check(
        &mut self,
        key: &TokenKey,
        attempt: &Attempt<'_>,
        credentials: &Credentials,
        scope: &str,
        now_ms: u64,
    ) -> Result<Held, Failure> {
        let secret = |token: &Token| key.secret(attempt.account, &self.agent.id, &token.number);
        let shown = |token: &Token| {
            let secret = secret(token);
            let proven = attempt
                .message
                .proves(secret.expose().as_bytes(), attempt.binding);
            (proven && token.mechanism == attempt.mechanism.name()).then_some(secret)
        };
        let (newer, secret) = match self.next.as_ref().and_then(shown) {
            Some(secret) => (true, secret),
            None => {
                let secret = self.current.as_ref().and_then(shown);
                (false, secret.ok_or(Failure::WrongPassword)?)
            }
        };
        let slot = if newer { &self.next } else { &self.current };
        let mut token = slot.clone().ok_or(Failure::WrongPassword)?;
        if now_ms.saturating_sub(token.issued_ms) >= LIFETIME_MS {
            return Err(Failure::TokenOver);
        }
        let login = token.source.login(credentials, scope);
        let login = login.ok_or(Failure::TokenOver)?;
        let mut changed = newer;
        if let Some(count) = attempt.count {
            if count <= token.count {
                return Err(Failure::Replayed);
            }
            token.count = count;
            changed = true;
        }
        let due = !attempt.invalidate && now_ms.saturating_sub(token.issued_ms) >= RENEW_MS;
        if newer {
            self.next = None;
        }
        self.current = Some(token);
        if attempt.invalidate {
            self.current = None;
            self.next = None;
            changed = true;
        }
        Ok(Held {
            login,
            answer: attempt
                .message
                .answer(secret.expose().as_bytes(), attempt.binding),
            due,
            changed,
        })
    }

    /// A new token, which counts from its first use on; one that was given out before and not used is void.
    fn issue(
        &mut self,
        key: &TokenKey,
        account: &str,
        mechanism: TokenMechanism,
        source: Source,
        number: u128,
        now_ms: u64,
    ) -> FreshToken {
        let token = Token {
            number: number.to_be_bytes().to_vec(),
            mechanism: mechanism.name().to_owned(),
            source,
            issued_ms: now_ms,
            count: 0,
        };
        let secret = key.secret(account, &self.agent.id, &token.number);
        self.next = Some(token);
        FreshToken {
            secret,
            expires_ms: now_ms + LIFETIME_MS,
        }
    }

    fn has_token(&self, now_ms: u64) -> bool {
        [&self.current, &self.next]
            .into_iter()
            .flatten()
            .any(|t| now_ms.saturating_sub(t.issued_ms) < LIFETIME_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Iterations;
    use rand::{SeedableRng, rngs::StdRng};

    const AT: u64 = 1_000 * DAY_MS;
    const MECHANISM: TokenMechanism = TokenMechanism::Unbound;

    struct Phone {
        key: TokenKey,
        record: Record,
        credentials: Credentials,
        numbers: u128,
    }

    impl Phone {
        fn new() -> Self {
            let mut rng = StdRng::seed_from_u64(1);
            let quick = Iterations::quick();
            let credentials =
                Credentials::with_passphrase(&"open sesame".into(), quick, 1, &mut rng).unwrap();
            Self {
                key: TokenKey(hmac::Key::new(hmac::HMAC_SHA256, b"node")),
                record: Record::new(
                    Agent::new("d4565fa7", Some("Test"), None).unwrap(),
                    DeviceId(1),
                ),
                credentials,
                numbers: 0,
            }
        }

        fn gets(&mut self, now: u64) -> Secret {
            let login = Login::Password(PasswordId::PASSPHRASE, Kind::Passphrase);
            let source = Source::new(&login, &self.credentials).unwrap();
            self.numbers += 1;
            let fresh = self
                .record
                .issue(&self.key, "alice", MECHANISM, source, self.numbers, now);
            assert_eq!(fresh.expires_ms, now + LIFETIME_MS);
            fresh.secret
        }

        fn shows(&mut self, token: &Secret, now: u64) -> Result<Held, Failure> {
            self.shows_with(token, now, MECHANISM, None, false)
        }

        fn shows_with(
            &mut self,
            token: &Secret,
            now: u64,
            mechanism: TokenMechanism,
            count: Option<u64>,
            invalidate: bool,
        ) -> Result<Held, Failure> {
            let key = hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes());
            let hash = hmac::sign(&key, b"Initiator");
            let message = [b"alice\0", hash.as_ref()].concat();
            let attempt = Attempt {
                account: "alice",
                mechanism,
                message: &TokenMessage::parse(&message).unwrap(),
                binding: b"",
                count,
                invalidate,
            };
            self.record
                .check(&self.key, &attempt, &self.credentials, "xmpp", now)
        }
    }

    #[test]
    fn the_newer_token_ends_the_older_once_it_is_used() {
        let mut phone = Phone::new();
        let first = phone.gets(AT);
        assert!(phone.shows(&first, AT).unwrap().changed);
        let held = phone.shows(&first, AT).unwrap();
        assert!(!held.changed && !held.due);
        assert!(phone.shows(&first, AT + RENEW_MS).unwrap().due);
        let lost = phone.gets(AT + RENEW_MS);
        let second = phone.gets(AT + RENEW_MS);
        assert!(phone.shows(&lost, AT + RENEW_MS).is_err(), "never used");
        assert!(phone.shows(&first, AT + RENEW_MS).is_ok());
        assert!(phone.shows(&second, AT + RENEW_MS).is_ok());
        let over = phone.shows(&first, AT + RENEW_MS).err();
        assert_eq!(over, Some(Failure::WrongPassword));
    }

    #[test]
    fn a_token_ends_with_its_time_its_password_and_its_mechanism() {
        let mut phone = Phone::new();
        let token = phone.gets(AT);
        let other = TokenMechanism::Exporter;
        let bound = phone.shows_with(&token, AT, other, None, false).err();
        assert_eq!(bound, Some(Failure::WrongPassword));
        let late = phone.shows(&token, AT + LIFETIME_MS).err();
        assert_eq!(late, Some(Failure::TokenOver));
        assert!(phone.record.has_token(AT));
        assert!(!phone.record.has_token(AT + LIFETIME_MS));
        let mut rng = StdRng::seed_from_u64(2);
        phone
            .credentials
            .set_passphrase(&"other words".into(), Iterations::quick(), AT, &mut rng)
            .unwrap();
        assert_eq!(phone.shows(&token, AT).err(), Some(Failure::TokenOver));
    }

    #[test]
    fn a_count_is_good_once_and_a_token_that_is_given_back_never_again() {
        let mut phone = Phone::new();
        let token = phone.gets(AT);
        let mut counts = |n| phone.shows_with(&token, AT, MECHANISM, Some(n), false);
        assert!(counts(1).is_ok());
        assert_eq!(counts(1).err(), Some(Failure::Replayed));
        assert!(counts(7).is_ok());
        assert_eq!(counts(2).err(), Some(Failure::Replayed));
        assert!(
            !phone
                .shows_with(&token, AT + RENEW_MS, MECHANISM, None, true)
                .unwrap()
                .due
        );
        assert!(phone.shows(&token, AT).is_err());
    }

    #[test]
    fn what_is_stored_opens_nothing() {
        let mut phone = Phone::new();
        let token = phone.gets(AT);
        let stored = serde_json::to_string(&phone.record).unwrap();
        assert!(!stored.contains(token.expose()));
        let again: Record = serde_json::from_str(&stored).unwrap();
        phone.record = again;
        assert!(phone.shows(&token, AT).is_ok());
        phone.key = TokenKey(hmac::Key::new(hmac::HMAC_SHA256, b"another node"));
        assert!(phone.shows(&token, AT).is_err());
    }

    #[test]
    fn an_agent_is_what_can_be_kept() {
        let long = "x".repeat(MAX_ID + 1);
        for bad in ["", "a\nb", long.as_str()] {
            assert!(Agent::new(bad, None, None).is_none());
        }
        let agent = Agent::new("id", Some(" Gajim "), Some("a\u{7}b")).unwrap();
        assert_eq!(agent.label().as_deref(), Some("Gajim"));
        assert_eq!(agent.device, None);
        let agent = Agent::new("id", Some("Gajim"), Some("laptop")).unwrap();
        assert_eq!(agent.label().as_deref(), Some("Gajim, laptop"));
    }
}
