//! SASL, server side (RFC 4422): one state machine for PLAIN, SCRAM with and without channel binding, and EXTERNAL.
//!
//! No IO and no clock. The session feeds what the client sends and answers two questions of the machine: *whose
//! credentials?* ([`Step::Lookup`]) and, for PLAIN, *does this password match?* ([`Step::Check`], heavy work for
//! another thread). Own code because the crates `scram`, `sasl` and `rsasl` know one password per account: they ask
//! for a salted password or a single verifier before the proof arrives, where an account of ours has up to 33.
//!
//! ```text
//!  start ──► Challenge ──respond()──► Lookup ──account()──► Challenge ──respond()──► Success │ Failure   (SCRAM)
//!    └─────────────────────────────► Lookup ──account()──► Check ─────checked()────► Success │ Failure   (PLAIN)
//!    └─────────────────────────────► Lookup ──account()────────────────────────────► Success │ Failure   (EXTERNAL)
//! ```
//!
//! How the messages travel (base64, chunks, `=` for an empty one, `*` for giving up) is the protocol's. Where a
//! protocol has no room for data beside success (IRC), [`Success::data`] goes out as one more challenge that the
//! client answers with an empty response.

mod channel;
mod check;
mod failure;
mod mechanism;
mod messages;
mod scram;
mod token;

use std::sync::Arc;

use rand::{CryptoRng, Rng};
use sammen_core::Credential;

pub use channel::Channel;
pub use check::{Checked, PasswordCheck, PasswordChecker};
pub use failure::{Answer, Failure};
pub use mechanism::Mechanism;
pub use token::{TokenMechanism, TokenMessage};

use crate::{
    credentials::{Credentials, Kind, PasswordId, Scopes},
    verifier::Decoy,
};
use messages::{ClientFirst, PlainMessage};
use scram::Exchange;

/// Longest message from a client, before base64: more than any honest one.
pub const MAX_MESSAGE: usize = 4096;
/// Most bytes of server nonce as text.
const NONCE_LETTERS: usize = 24;

/// What a listener accepts.
#[derive(Clone)]
pub struct Policy {
    /// The protocol's name in the scopes of app passwords: `xmpp`, `irc`.
    pub scope: String,
    /// Mechanisms on offer, in order of preference; see [`Mechanism::all`].
    pub mechanisms: Vec<Mechanism>,
    /// Whether passwords may cross a connection without TLS (plain-text listeners that were asked for).
    pub without_tls: bool,
    /// Stands in for accounts that do not exist.
    pub decoy: Decoy,
}

impl Policy {
    /// All mechanisms, TLS required.
    pub fn new(scope: impl Into<String>, decoy: Decoy) -> Self {
        Self {
            scope: scope.into(),
            mechanisms: Mechanism::all(),
            without_tls: false,
            decoy,
        }
    }

    /// What can be used on this connection, strongest first.
    pub fn offers(&self, channel: &Channel) -> Vec<Mechanism> {
        self.mechanisms
            .iter()
            .copied()
            .filter(|m| self.can(*m, channel))
            .collect()
    }

    fn can(&self, mechanism: Mechanism, channel: &Channel) -> bool {
        (channel.secure || self.without_tls)
            && self.mechanisms.contains(&mechanism)
            && match mechanism {
                Mechanism::External => channel.certificate.is_some(),
                Mechanism::Scram { plus: true, .. } => channel.can_bind(),
                Mechanism::Scram { plus: false, .. } | Mechanism::Plain => true,
            }
    }
}

/// An account as the caller found it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The caller's name of the account; comes back in [`Success`].
    pub account: Arc<str>,
    /// The forms of the account's own authorisation identity (`alice`, `alice@example.org`), compared without regard
    /// to ASCII case. Any other is refused: nobody acts as another account.
    pub identities: Vec<String>,
    /// Its credentials.
    pub credentials: Arc<Credentials>,
    /// Whether the administrator disabled it. Said to the client only after it proved a password.
    pub disabled: bool,
}

/// The answer to [`Step::Lookup`].
#[derive(Clone, Debug)]
pub enum Lookup {
    /// There is such an account.
    Found(Found),
    /// There is none. The machine goes on as if there were, so that names cannot be probed.
    Nobody {
        /// The name in the form that accounts are searched by (lower case, own domain cut off): all spellings of one
        /// name have to show the same decoy, as all spellings of an account show the same salt.
        canonical: String,
    },
}

/// Whose credentials the machine needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The account of this name, as the client wrote it. Here the caller also asks the throttle.
    Name(String),
    /// The account that this certificate belongs to. The client may have said which one it wants to be; if it did,
    /// look that up, otherwise search by fingerprint.
    Certificate {
        /// SHA-256 of the certificate.
        fingerprint: [u8; 32],
        /// The wish, if there was one.
        authzid: Option<String>,
    },
}

/// What a login was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// A password; whether it was the passphrase or which app password.
    Password(PasswordId, Kind),
    /// A client certificate.
    Certificate(Credential),
}

impl Login {
    /// What sessions are known by that come in by it; `None` for the passphrase.
    pub fn credential(&self) -> Option<Credential> {
        match self {
            Self::Password(id, kind) => kind.label().map(|name| Credential {
                id: id.to_string(),
                name: name.to_owned(),
            }),
            Self::Certificate(credential) => Some(credential.clone()),
        }
    }

    /// Only the passphrase may change credentials.
    pub fn may_change_credentials(&self) -> bool {
        matches!(self, Self::Password(_, Kind::Passphrase))
    }
}

/// Somebody is signed in.
#[derive(Clone, Debug)]
pub struct Success {
    /// [`Found::account`].
    pub account: Arc<str>,
    /// With what.
    pub login: Login,
    /// Through which mechanism.
    pub mechanism: Mechanism,
    /// [`Credentials::stamp`] at this moment, for [`SignIn::stamp`](sammen_core::ops::sessions::SignIn::stamp).
    pub stamp: u64,
    /// Additional data with success: SCRAM's server signature, by which the client knows the server.
    pub data: Option<Vec<u8>>,
}

/// What the session does next.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// Send this and give the answer to [`Sasl::respond`].
    Challenge(Vec<u8>),
    /// Find the account and call [`Sasl::account`].
    Lookup(Wanted),
    /// Run the check off this thread (see [`PasswordChecker`]) and call [`Sasl::checked`].
    Check(PasswordCheck),
    /// Done.
    Success(Box<Success>),
    /// Refused: log the failure, show [`Failure::answer`].
    Failure(Failure),
}

enum State {
    First,
    LookupPlain(PlainMessage),
    LookupScram(ClientFirst),
    LookupExternal {
        authzid: Option<String>,
    },
    Checking {
        lookup: Lookup,
        authzid: Option<String>,
    },
    Proof(Box<Exchange>),
    Done,
}

/// What XEP-0474 §4.1 hashes: mechanisms and, where they were announced too (XEP-0440), types of channel binding; each
/// in order of their octets.
pub fn announcement(mechanisms: &[Mechanism], bindings: &[&str]) -> String {
    let sorted = |mut names: Vec<&str>| {
        names.sort_unstable();
        names.join("\u{1e}")
    };
    let mut text = sorted(mechanisms.iter().map(|m| m.name()).collect());
    if !bindings.is_empty() {
        text.push('\u{1f}');
        text.push_str(&sorted(bindings.to_vec()));
    }
    text
}

/// One authentication exchange.
pub struct Sasl {
    policy: Arc<Policy>,
    channel: Channel,
    mechanism: Mechanism,
    server_nonce: String,
    username: Option<String>,
    /// What the client was offered, as XEP-0474 hashes it.
    announced: Option<String>,
    state: State,
}

impl Sasl {
    /// The client chose a mechanism, perhaps with its first message. `None` means there was none, `Some(b"")` an
    /// empty one.
    pub fn start(
        policy: Arc<Policy>,
        channel: Channel,
        mechanism: &str,
        initial: Option<&[u8]>,
        rng: &mut impl CryptoRng,
    ) -> (Self, Step) {
        Self::announced(policy, channel, mechanism, initial, None, rng)
    }

    /// The same where the protocol protects its list of mechanisms: `announced` is what the client was offered (see
    /// [`announcement`]), whose hash becomes a part of what SCRAM signs.
    pub fn announced(
        policy: Arc<Policy>,
        channel: Channel,
        mechanism: &str,
        initial: Option<&[u8]>,
        announced: Option<String>,
        rng: &mut impl CryptoRng,
    ) -> (Self, Step) {
        const PRINTABLE: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let letter = |_| {
            char::from(
                PRINTABLE
                    .get(rng.random_range(0..64))
                    .copied()
                    .unwrap_or(b'A'),
            )
        };
        // 24 letters of 6 bits each: 144 bits.
        let server_nonce = (0..NONCE_LETTERS).map(letter).collect();
        let chosen = Mechanism::parse(mechanism).filter(|m| policy.can(*m, &channel));
        let mut sasl = Self {
            policy,
            channel,
            mechanism: chosen.unwrap_or(Mechanism::Plain),
            server_nonce,
            username: None,
            announced,
            state: State::First,
        };
        let step = match (chosen, initial) {
            (None, _) => sasl.fail(Failure::NoSuchMechanism),
            // RFC 4422 §5: mechanisms in which the client speaks first begin with an empty challenge.
            (Some(_), None) => Step::Challenge(Vec::new()),
            (Some(_), Some(message)) => sasl.respond(message),
        };
        (sasl, step)
    }

    /// The name that the client wants to sign in as, once it said so: for throttling and logs.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// A message from the client.
    pub fn respond(&mut self, message: &[u8]) -> Step {
        if message.len() > MAX_MESSAGE {
            return self.fail(Failure::TooLong);
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::First => match self.first(message) {
                Ok(step) => step,
                Err(failure) => self.fail(failure),
            },
            State::Proof(exchange) => match exchange.verify(message, &self.channel) {
                Ok((found, password, signature)) => {
                    self.finish(&found, Some(password), exchange.authzid(), Some(signature))
                }
                Err(failure) => self.fail(failure),
            },
            _ => self.fail(Failure::OutOfTurn),
        }
    }

    fn first(&mut self, message: &[u8]) -> Result<Step, Failure> {
        let wanted = match self.mechanism {
            Mechanism::Plain => {
                let plain = PlainMessage::parse(message)?;
                let name = plain.authcid.clone();
                self.state = State::LookupPlain(plain);
                Wanted::Name(name)
            }
            Mechanism::Scram { plus, .. } => {
                let first = ClientFirst::parse(message)?;
                first.check_binding(plus, &self.channel, &self.policy)?;
                let name = first.username.clone();
                self.state = State::LookupScram(first);
                Wanted::Name(name)
            }
            Mechanism::External => {
                let fingerprint = self.channel.certificate.ok_or(Failure::NoSuchMechanism)?;
                let authzid = messages::authzid(message)?;
                self.username.clone_from(&authzid);
                self.state = State::LookupExternal {
                    authzid: authzid.clone(),
                };
                return Ok(Step::Lookup(Wanted::Certificate {
                    fingerprint,
                    authzid,
                }));
            }
        };
        if let Wanted::Name(name) = &wanted {
            self.username = Some(name.clone());
        }
        Ok(Step::Lookup(wanted))
    }

    /// The answer to [`Step::Lookup`].
    pub fn account(&mut self, lookup: Lookup) -> Step {
        match std::mem::replace(&mut self.state, State::Done) {
            State::LookupPlain(plain) => {
                let check = PasswordCheck::new(&lookup, plain.password, &self.policy.decoy);
                self.state = State::Checking {
                    lookup,
                    authzid: plain.authzid,
                };
                Step::Check(check)
            }
            State::LookupScram(first) => {
                let Mechanism::Scram { hash, .. } = self.mechanism else {
                    return self.fail(Failure::OutOfTurn);
                };
                let (exchange, challenge) = Exchange::new(
                    hash,
                    first,
                    lookup,
                    &self.server_nonce,
                    self.announced.as_deref(),
                    &self.policy.decoy,
                );
                self.state = State::Proof(Box::new(exchange));
                Step::Challenge(challenge)
            }
            State::LookupExternal { authzid } => match lookup {
                Lookup::Found(found) => self.finish(&found, None, authzid.as_deref(), None),
                Lookup::Nobody { .. } => self.fail(Failure::NoSuchAccount),
            },
            _ => self.fail(Failure::OutOfTurn),
        }
    }

    /// The answer to [`Step::Check`].
    pub fn checked(&mut self, checked: Checked) -> Step {
        let state = std::mem::replace(&mut self.state, State::Done);
        let State::Checking { lookup, authzid } = state else {
            return self.fail(Failure::OutOfTurn);
        };
        match (checked, lookup) {
            (Checked::Overloaded, _) => self.fail(Failure::Overloaded),
            (_, Lookup::Nobody { .. }) => self.fail(Failure::NoSuchAccount),
            (Checked::Matches(password), Lookup::Found(found)) => {
                self.finish(&found, Some(password), authzid.as_deref(), None)
            }
            (Checked::No, Lookup::Found(_)) => self.fail(Failure::WrongPassword),
        }
    }

    /// Ends the exchange for a reason that the caller has: throttled, given up by the client, store unreachable.
    pub fn stop(&mut self, failure: Failure) -> Step {
        self.fail(failure)
    }

    /// The identity is proven; may it in? `password` is `None` for a certificate.
    fn finish(
        &mut self,
        found: &Found,
        password: Option<PasswordId>,
        authzid: Option<&str>,
        data: Option<Vec<u8>>,
    ) -> Step {
        let everywhere = Scopes::everywhere();
        let (login, scopes) = match password {
            Some(id) => match found.credentials.password(id).map(|p| &p.kind) {
                Some(kind @ Kind::Passphrase) => (Login::Password(id, kind.clone()), &everywhere),
                Some(kind @ Kind::App { scopes, .. }) => {
                    (Login::Password(id, kind.clone()), scopes)
                }
                None => return self.fail(Failure::WrongPassword),
            },
            None => {
                let fingerprint = self.channel.certificate.as_ref();
                match fingerprint.and_then(|print| found.credentials.certificate(print)) {
                    Some(certificate) => (
                        Login::Certificate(certificate.credential()),
                        &certificate.scopes,
                    ),
                    None => return self.fail(Failure::UnknownCertificate),
                }
            }
        };
        // RFC 4422 §3.4.1; Liberty: no proxy authorisation at all, an account is only ever itself.
        if authzid.is_some_and(|wish| {
            !found
                .identities
                .iter()
                .any(|own| own.eq_ignore_ascii_case(wish))
        }) {
            return self.fail(Failure::OtherIdentity);
        }
        if !scopes.allow(&self.policy.scope) {
            return self.fail(Failure::OutOfScope);
        }
        if found.disabled {
            return self.fail(Failure::Disabled);
        }
        self.state = State::Done;
        Step::Success(Box::new(Success {
            account: Arc::clone(&found.account),
            login,
            mechanism: self.mechanism,
            stamp: found.credentials.stamp(),
            data,
        }))
    }

    fn fail(&mut self, failure: Failure) -> Step {
        self.state = State::Done;
        Step::Failure(failure)
    }
}
