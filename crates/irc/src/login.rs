//! Signing in: AUTHENTICATE (SASL) and PASS through the same state machine, throttle and accounts of the node.

use std::sync::Arc;

use sammen_core::Address;
use sammen_net::accounts::throttle_name;
use sammen_net::sasl::{Answer, Failure, Lookup, Policy, Sasl, Step, Success, Wanted};
use sammen_net::{Attempt, Secret};

use crate::registration::Signed;
use crate::server::Server;
use crate::session::{Client, Session};
use crate::wire::Numeric;
use crate::wire::sasl::{SaslCollector, SaslInput, chunks};

/// Base64 bytes of one response: more than any honest one.
const MAX: usize = 8192;

/// A login that goes on.
pub(crate) struct Exchange {
    sasl: Sasl,
    pieces: SaslCollector,
    attempt: Option<Attempt>,
    /// The device that stands behind the account in the login name.
    device: Option<String>,
    /// Proven; the client still has to answer the last challenge (SCRAM's server signature).
    proven: Option<Box<Success>>,
}

impl Server {
    fn policy_for(&self, client: &Client) -> &Arc<Policy> {
        if client.plain_allowed {
            &self.policy_plain
        } else {
            &self.policy
        }
    }
}

impl Session {
    pub(crate) fn policy(&self) -> &Arc<Policy> {
        self.server.policy_for(&self.client)
    }

    /// The mechanisms on offer, separated by commas.
    pub(crate) fn mechanisms(&self) -> String {
        let offers = self.policy().offers(&self.client.channel);
        let names: Vec<&str> = offers.iter().map(|m| m.name()).collect();
        names.join(",")
    }
}

/// The parameter of an AUTHENTICATE line.
pub(crate) async fn authenticate(s: &mut Session, parameter: &str) {
    let Some(mut exchange) = s.registration.exchange.take() else {
        return begin(s, parameter).await;
    };
    match exchange.pieces.push(parameter) {
        SaslInput::More => s.registration.exchange = Some(exchange),
        SaslInput::Done(response) => {
            if let Some(success) = exchange.proven.take() {
                return succeed(s, exchange, *success).await;
            }
            let step = exchange.sasl.respond(&response);
            go_on(s, exchange, step).await;
        }
        SaslInput::Aborted => {
            let step = exchange.sasl.stop(Failure::Aborted);
            go_on(s, exchange, step).await;
        }
        SaslInput::TooLong => {
            let step = exchange.sasl.stop(Failure::TooLong);
            go_on(s, exchange, step).await;
        }
        SaslInput::Malformed => {
            let step = exchange.sasl.stop(Failure::Malformed("not base64"));
            go_on(s, exchange, step).await;
        }
    }
}

async fn begin(s: &mut Session, mechanism: &str) {
    if mechanism == "*" {
        return answer(s, Answer::Aborted);
    }
    let (sasl, step) = Sasl::start(
        s.policy().clone(),
        s.client.channel.clone(),
        mechanism,
        None,
        &mut rand::rng(),
    );
    go_on(s, exchange(sasl), step).await;
}

fn exchange(sasl: Sasl) -> Exchange {
    Exchange {
        sasl,
        pieces: SaslCollector::new(MAX),
        attempt: None,
        device: None,
        proven: None,
    }
}

async fn go_on(s: &mut Session, mut exchange: Exchange, step: Step) {
    match run(&s.server, &s.client, &mut exchange, step).await {
        Outcome::Challenge(data) => {
            challenge(s, &data);
            s.registration.exchange = Some(exchange);
        }
        Outcome::Success(success) => match &success.data {
            // IRC has no data beside success: one more challenge, answered with an empty response.
            Some(data) => {
                let data = data.clone();
                challenge(s, &data);
                exchange.proven = Some(success);
                s.registration.exchange = Some(exchange);
            }
            None => succeed(s, exchange, *success).await,
        },
        Outcome::Failure(failure) => {
            settle_attempt(&s.server, &s.client, &mut exchange, Err(failure));
            answer(s, failure.answer());
            crate::registration::advance(s).await;
        }
    }
}

fn challenge(s: &mut Session, data: &[u8]) {
    for piece in chunks(data) {
        let line = crate::wire::Line::new("").cmd("AUTHENTICATE").param(piece);
        s.reply(line);
    }
}

enum Outcome {
    Challenge(Vec<u8>),
    Success(Box<Success>),
    Failure(Failure),
}

/// Answers the machine's questions until it has something for the client.
async fn run(server: &Server, client: &Client, exchange: &mut Exchange, mut step: Step) -> Outcome {
    let accounts = &server.accounts;
    loop {
        step = match step {
            Step::Challenge(data) => return Outcome::Challenge(data),
            Step::Success(success) => return Outcome::Success(success),
            Step::Failure(failure) => return Outcome::Failure(failure),
            Step::Check(check) => {
                let checked = accounts.checker.check(check).await;
                exchange.sasl.checked(checked)
            }
            Step::Lookup(wanted) => match look_up(server, client, exchange, wanted).await {
                Ok(lookup) => exchange.sasl.account(lookup),
                Err(failure) => exchange.sasl.stop(failure),
            },
        };
    }
}

async fn look_up(
    server: &Server,
    client: &Client,
    exchange: &mut Exchange,
    wanted: Wanted,
) -> Result<Lookup, Failure> {
    let names = &server.names;
    let cut = |name: &str| {
        let (account, device) = names.login(name);
        (account.to_owned(), device.map(str::to_owned))
    };
    let (written, wanted) = match wanted {
        Wanted::Name(name) => {
            let (account, device) = cut(&name);
            exchange.device = device;
            (name, Wanted::Name(account))
        }
        Wanted::Certificate {
            fingerprint,
            authzid,
        } => {
            let (account, device) = authzid.as_deref().map(cut).unzip();
            exchange.device = device.flatten();
            let written = authzid.unwrap_or_default();
            (
                written,
                Wanted::Certificate {
                    fingerprint,
                    authzid: account,
                },
            )
        }
    };
    let guessed = match &wanted {
        Wanted::Name(name) => name.as_str(),
        Wanted::Certificate { authzid, .. } => authzid.as_deref().unwrap_or("*"),
    };
    let name = throttle_name(server.domain(), guessed);
    let now = u64::try_from(server.node.now().0).unwrap_or(0);
    let (throttle, place) = (&server.accounts.throttle, client.address);
    let known = throttle.knows(&name, place);
    let attempt = throttle.begin(&name, place, known, now);
    exchange.attempt = Some(attempt.map_err(|_| Failure::Throttled)?);
    let mut lookup = server.accounts.lookup(server.domain(), &wanted).await?;
    if let Lookup::Found(found) = &mut lookup
        && !written.is_empty()
    {
        // `alice/phone` as the authorisation identity is alice herself.
        found.identities.push(written);
    }
    Ok(lookup)
}

fn settle_attempt(
    server: &Server,
    client: &Client,
    exchange: &mut Exchange,
    result: Result<(), Failure>,
) {
    let Some(attempt) = exchange.attempt.take() else {
        return;
    };
    let throttle = &server.accounts.throttle;
    match result {
        Ok(()) => throttle.succeeded(attempt),
        Err(failure) if failure.is_a_guess() => {
            tracing::info!(protocol = "irc", place = %client.address, "a login failed: {failure}");
        }
        Err(_) => throttle.aborted(attempt),
    }
}

fn signed(exchange: &mut Exchange, success: &Success) -> Option<Signed> {
    Some(Signed {
        account: Address::new(&success.account).ok()?,
        device: exchange.device.take(),
        credential: success.login.credential(),
        stamp: Some(success.stamp),
    })
}

async fn succeed(s: &mut Session, mut exchange: Exchange, success: Success) {
    settle_attempt(&s.server, &s.client, &mut exchange, Ok(()));
    let Some(signed) = signed(&mut exchange, &success) else {
        return answer(s, Answer::TemporaryFailure);
    };
    let mask = s.server.names.mask(&signed.account);
    let name = s.server.names.nick(&signed.account);
    s.registration.signed = Some(signed);
    let text = format!("You are now logged in as {name}");
    s.numeric(Numeric::RPL_LOGGEDIN, &[&mask, &name], &text);
    s.numeric(
        Numeric::RPL_SASLSUCCESS,
        &[],
        "SASL authentication successful",
    );
    crate::registration::advance(s).await;
}

fn answer(s: &mut Session, answer: Answer) {
    let (numeric, text) = match answer {
        Answer::NotAuthorized => (Numeric::ERR_SASLFAIL, "SASL authentication failed"),
        Answer::InvalidMechanism => {
            let mechanisms = s.mechanisms();
            let text = "are available SASL mechanisms";
            s.numeric(Numeric::RPL_SASLMECHS, &[&mechanisms], text);
            (
                Numeric::ERR_SASLFAIL,
                "SASL authentication failed: no such mechanism",
            )
        }
        Answer::MalformedRequest => (
            Numeric::ERR_SASLFAIL,
            "SASL authentication failed: malformed message",
        ),
        Answer::TooLong => (Numeric::ERR_SASLTOOLONG, "SASL message too long"),
        Answer::InvalidAuthzid => (
            Numeric::ERR_SASLFAIL,
            "SASL authentication failed: nobody acts as another account",
        ),
        Answer::AccountDisabled => (
            Numeric::ERR_SASLFAIL,
            "SASL authentication failed: this account is disabled",
        ),
        Answer::TemporaryFailure => (
            Numeric::ERR_SASLFAIL,
            "SASL authentication failed: try again later",
        ),
        Answer::Aborted => (Numeric::ERR_SASLABORTED, "SASL authentication aborted"),
    };
    s.numeric(numeric, &[], text);
}

/// Signs in with a password in clear (PASS); `false` where it is refused.
pub(crate) async fn with_password(s: &mut Session, name: &str, password: &Secret) -> bool {
    s.registration.signed = check(s, name, password).await;
    s.registration.signed.is_some()
}

/// Whose main passphrase this is; app passwords are nobody's here.
pub(crate) async fn passphrase_of(s: &Session, name: &str, password: &Secret) -> Option<Address> {
    let signed = check(s, name, password).await?;
    signed.credential.is_none().then_some(signed.account)
}

async fn check(s: &Session, name: &str, password: &Secret) -> Option<Signed> {
    proves(&s.server, &s.client, name, password).await.ok()
}

/// Whose name and password this is, as slowly as the throttle says.
pub(crate) async fn proves(
    server: &Server,
    client: &Client,
    name: &str,
    password: &Secret,
) -> Result<Signed, Failure> {
    let message = Secret::new(format!("\0{name}\0{}", password.expose()));
    let (sasl, step) = Sasl::start(
        server.policy_for(client).clone(),
        client.channel.clone(),
        "PLAIN",
        Some(message.expose().as_bytes()),
        &mut rand::rng(),
    );
    let mut exchange = exchange(sasl);
    let failure = match run(server, client, &mut exchange, step).await {
        Outcome::Success(success) => {
            settle_attempt(server, client, &mut exchange, Ok(()));
            return signed(&mut exchange, &success).ok_or(Failure::Unavailable);
        }
        Outcome::Failure(failure) => failure,
        Outcome::Challenge(_) => Failure::OutOfTurn,
    };
    settle_attempt(server, client, &mut exchange, Err(failure));
    Err(failure)
}
