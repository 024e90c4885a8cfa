//! The SASL exchange behind both profiles (RFC 6120 §6, XEP-0388): whose account it is, the throttle, password checks.

use sammen_core::Address;
use sammen_net::Attempt;
use sammen_net::accounts::throttle_name;
use sammen_net::sasl::{Answer, Failure, Sasl, Step, Success, Wanted};

use super::negotiation::Negotiation;

/// What the client is to be told next.
pub enum Turn {
    /// A challenge.
    Challenge(Vec<u8>),
    /// It is in.
    Success(Box<Success>),
    /// It is not.
    Failure(Failure),
}

/// The exchange that runs on a stream, if any.
#[derive(Default)]
pub struct Exchange {
    sasl: Option<Sasl>,
    attempt: Option<Attempt>,
}

impl Exchange {
    /// The client chose a mechanism. `announced` is what it was offered (XEP-0474).
    pub async fn start(
        &mut self,
        stream: &Negotiation,
        mechanism: &str,
        initial: Option<&[u8]>,
        announced: String,
    ) -> Turn {
        self.give_back(stream);
        let (sasl, step) = Sasl::announced(
            stream.policy().clone(),
            stream.ground.channel.clone(),
            mechanism,
            initial,
            Some(announced),
            &mut rand::rng(),
        );
        self.sasl = Some(sasl);
        self.follow(stream, step).await
    }

    /// The client answered.
    pub async fn respond(&mut self, stream: &Negotiation, message: &[u8]) -> Turn {
        match &mut self.sasl {
            Some(sasl) => {
                let step = sasl.respond(message);
                self.follow(stream, step).await
            }
            None => self.failed(stream, Failure::OutOfTurn),
        }
    }

    /// The client gave up.
    pub fn abort(&mut self, stream: &Negotiation) -> Turn {
        let failure = match &self.sasl {
            Some(_) => Failure::Aborted,
            None => Failure::OutOfTurn,
        };
        self.failed(stream, failure)
    }

    /// Whether an answer of the client's is awaited.
    pub fn runs(&self) -> bool {
        self.sasl.is_some()
    }

    /// Asks the throttle whether this name may be tried now; [`Exchange::passed`] or [`Exchange::failed`] follows.
    pub fn admit(&mut self, stream: &Negotiation, name: &str) -> Result<(), Failure> {
        let accounts = &stream.server.accounts;
        let name = throttle_name(&stream.domain, name);
        let from = stream.ground.address;
        let known = accounts.throttle.knows(&name, from);
        match accounts
            .throttle
            .begin(&name, from, known, accounts.now_ms())
        {
            Ok(attempt) => {
                self.attempt = Some(attempt);
                Ok(())
            }
            Err(_) => Err(Failure::Throttled),
        }
    }

    /// Somebody is in.
    pub fn passed(&mut self, stream: &Negotiation, account: &Address, mechanism: &str) {
        self.sasl = None;
        if let Some(attempt) = self.attempt.take() {
            stream.server.accounts.throttle.succeeded(attempt);
        }
        tracing::info!(protocol = "xmpp", %account, mechanism, "{account} signed in");
    }

    /// Somebody is not: for the log and the throttle.
    pub fn failed(&mut self, stream: &Negotiation, failure: Failure) -> Turn {
        let name = self.sasl.as_ref().and_then(Sasl::username).unwrap_or("?");
        tracing::info!(protocol = "xmpp", from = %stream.ground.address, ?name, "login refused: {failure}");
        if !failure.is_a_guess() {
            self.give_back(stream);
        }
        self.attempt = None;
        self.sasl = None;
        Turn::Failure(failure)
    }

    /// What came was no SASL at all.
    pub fn drop(&mut self, stream: &Negotiation) {
        self.give_back(stream);
        self.sasl = None;
    }

    async fn follow(&mut self, stream: &Negotiation, mut step: Step) -> Turn {
        loop {
            let Some(sasl) = &mut self.sasl else {
                return self.failed(stream, Failure::OutOfTurn);
            };
            step = match step {
                Step::Challenge(message) => return Turn::Challenge(message),
                Step::Lookup(wanted) => {
                    if let Wanted::Name(name) = &wanted
                        && let Err(failure) = self.admit(stream, name)
                    {
                        return self.failed(stream, failure);
                    }
                    let accounts = &stream.server.accounts;
                    match accounts.lookup(&stream.domain, &wanted).await {
                        Ok(lookup) => match &mut self.sasl {
                            Some(sasl) => sasl.account(lookup),
                            None => Step::Failure(Failure::OutOfTurn),
                        },
                        Err(failure) => return self.failed(stream, failure),
                    }
                }
                Step::Check(check) => {
                    let checked = stream.server.accounts.checker.check(check).await;
                    sasl.checked(checked)
                }
                Step::Success(success) => {
                    let Ok(account) = Address::new(&success.account) else {
                        return self.failed(stream, Failure::NoSuchAccount);
                    };
                    self.passed(stream, &account, success.mechanism.name());
                    return Turn::Success(success);
                }
                Step::Failure(failure) => return self.failed(stream, failure),
            };
        }
    }

    fn give_back(&mut self, stream: &Negotiation) {
        if let Some(attempt) = self.attempt.take() {
            stream.server.accounts.throttle.aborted(attempt);
        }
    }
}

/// RFC 6120 §6.5.
pub fn condition(failure: Failure) -> &'static str {
    match failure.answer() {
        Answer::InvalidMechanism => "invalid-mechanism",
        Answer::MalformedRequest | Answer::TooLong => "malformed-request",
        // XEP-0484 §5.2.
        Answer::NotAuthorized if failure == Failure::TokenOver => "credentials-expired",
        Answer::NotAuthorized => "not-authorized",
        Answer::InvalidAuthzid => "invalid-authzid",
        Answer::AccountDisabled => "account-disabled",
        Answer::TemporaryFailure => "temporary-auth-failure",
        Answer::Aborted => "aborted",
    }
}
