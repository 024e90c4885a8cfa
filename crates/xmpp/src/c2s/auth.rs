//! RFC 6120 §6: SASL on the stream; who it is says sammen-net's state machine.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sammen_core::Address;
use sammen_net::Attempt;
use sammen_net::accounts::throttle_name;
use sammen_net::credentials::Kind;
use sammen_net::sasl::{Answer, Failure, Login, Sasl, Step, Success, Wanted};

use super::negotiation::{Negotiation, Proven};
use crate::wire::{Element, ns};

/// Failed tries on one stream.
const TRIES: u32 = 5;

/// The exchange that runs, and how many failed.
#[derive(Default)]
pub struct Auth {
    sasl: Option<Sasl>,
    attempt: Option<Attempt>,
    failed: u32,
}

impl Auth {
    /// Takes an element of the SASL namespace. `Err`: too many failures.
    pub async fn element(
        &mut self,
        stream: &mut Negotiation,
        el: &Element,
    ) -> Result<Option<Proven>, ()> {
        let step = match el.name() {
            "auth" => {
                self.give_back(stream);
                let text = el.content();
                let mechanism = el.get("mechanism").unwrap_or_default();
                // RFC 6120 §6.4.2: no text is no initial response, `=` an empty one.
                match initial(&text) {
                    Ok(initial) => {
                        let (sasl, step) = Sasl::start(
                            stream.policy().clone(),
                            stream.ground.channel.clone(),
                            mechanism,
                            initial.as_deref(),
                            &mut rand::rng(),
                        );
                        self.sasl = Some(sasl);
                        step
                    }
                    Err(()) => return self.incorrect(stream),
                }
            }
            "response" => {
                let Ok(message) = initial(&el.content()) else {
                    return self.incorrect(stream);
                };
                match &mut self.sasl {
                    Some(sasl) => sasl.respond(&message.unwrap_or_default()),
                    None => Step::Failure(Failure::OutOfTurn),
                }
            }
            _ => match &mut self.sasl {
                Some(sasl) => sasl.stop(Failure::Aborted),
                None => Step::Failure(Failure::OutOfTurn),
            },
        };
        self.follow(stream, step).await
    }

    async fn follow(
        &mut self,
        stream: &mut Negotiation,
        mut step: Step,
    ) -> Result<Option<Proven>, ()> {
        loop {
            let Some(sasl) = &mut self.sasl else {
                return self.failure(stream, Failure::OutOfTurn);
            };
            step = match step {
                Step::Challenge(message) => {
                    let text = STANDARD.encode(message);
                    stream.send(&Element::new(ns::SASL, "challenge").text(text));
                    return Ok(None);
                }
                Step::Lookup(wanted) => {
                    let accounts = &stream.server.accounts;
                    if let Wanted::Name(name) = &wanted {
                        let name = throttle_name(&stream.domain, name);
                        let from = stream.ground.address;
                        let known = accounts.throttle.knows(&name, from);
                        let now = accounts.now_ms();
                        match accounts.throttle.begin(&name, from, known, now) {
                            Ok(attempt) => self.attempt = Some(attempt),
                            Err(_) => {
                                step = sasl.stop(Failure::Throttled);
                                continue;
                            }
                        }
                    }
                    match accounts.lookup(&stream.domain, &wanted).await {
                        Ok(lookup) => sasl.account(lookup),
                        Err(failure) => sasl.stop(failure),
                    }
                }
                Step::Check(check) => {
                    let checked = stream.server.accounts.checker.check(check).await;
                    sasl.checked(checked)
                }
                Step::Success(success) => return Ok(self.success(stream, &success)),
                Step::Failure(failure) => return self.failure(stream, failure),
            };
        }
    }

    fn success(&mut self, stream: &mut Negotiation, success: &Success) -> Option<Proven> {
        self.sasl = None;
        if let Some(attempt) = self.attempt.take() {
            stream.server.accounts.throttle.succeeded(attempt);
        }
        let account = Address::new(&success.account).ok()?;
        let credential = match &success.login {
            Login::Password(_, Kind::App { name, .. }) => Some(name.clone()),
            Login::Password(_, Kind::Passphrase) => None,
            Login::Certificate(name) => Some(name.clone()),
        };
        let mut answer = Element::new(ns::SASL, "success");
        if let Some(data) = &success.data {
            answer.push_text(STANDARD.encode(data));
        }
        stream.send(&answer);
        tracing::info!(protocol = "xmpp", %account, mechanism = %success.mechanism, "{account} signed in");
        Some(Proven {
            account,
            credential,
        })
    }

    fn failure(
        &mut self,
        stream: &mut Negotiation,
        failure: Failure,
    ) -> Result<Option<Proven>, ()> {
        let name = self.sasl.as_ref().and_then(Sasl::username).unwrap_or("?");
        tracing::info!(protocol = "xmpp", from = %stream.ground.address, ?name, "login refused: {failure}");
        if !failure.is_a_guess() {
            self.give_back(stream);
        }
        self.attempt = None;
        self.sasl = None;
        let condition = match failure.answer() {
            Answer::InvalidMechanism => "invalid-mechanism",
            Answer::MalformedRequest | Answer::TooLong => "malformed-request",
            Answer::NotAuthorized => "not-authorized",
            Answer::InvalidAuthzid => "invalid-authzid",
            Answer::AccountDisabled => "account-disabled",
            Answer::TemporaryFailure => "temporary-auth-failure",
            Answer::Aborted => "aborted",
        };
        self.refused(stream, condition)
    }

    fn incorrect(&mut self, stream: &mut Negotiation) -> Result<Option<Proven>, ()> {
        self.give_back(stream);
        self.sasl = None;
        self.refused(stream, "incorrect-encoding")
    }

    fn refused(
        &mut self,
        stream: &mut Negotiation,
        condition: &'static str,
    ) -> Result<Option<Proven>, ()> {
        let failure = Element::new(ns::SASL, "failure").child(Element::new(ns::SASL, condition));
        stream.send(&failure);
        self.failed += 1;
        if self.failed >= TRIES {
            Err(())
        } else {
            Ok(None)
        }
    }

    fn give_back(&mut self, stream: &Negotiation) {
        if let Some(attempt) = self.attempt.take() {
            stream.server.accounts.throttle.aborted(attempt);
        }
    }
}

fn initial(text: &str) -> Result<Option<Vec<u8>>, ()> {
    match text.trim() {
        "" => Ok(None),
        "=" => Ok(Some(Vec::new())),
        text => STANDARD.decode(text).map(Some).map_err(|_| ()),
    }
}
