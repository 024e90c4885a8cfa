//! Name and password: net's SASL machine with PLAIN, so that throttling, decoys and app passwords are the same
//! everywhere.

use std::net::IpAddr;
use std::sync::Arc;

use sammen_core::Address;
use sammen_net::accounts::{Accounts, throttle_name};
use sammen_net::sasl::{Failure, Policy, Sasl, Step, Success, Wanted};
use sammen_net::{Attempt, Peer, Secret};

use crate::problem::{Answer, Problem};
use crate::server::Web;

/// The name of this protocol in the scopes of app passwords.
const SCOPE: &str = "web";

/// What sign-ins accept.
pub struct Logins {
    secure: Arc<Policy>,
    plain: Arc<Policy>,
}

impl Logins {
    /// With the accounts' own decoy.
    pub fn new(accounts: &Accounts) -> Self {
        let secure = accounts.policy(SCOPE);
        let mut plain = secure.clone();
        plain.without_tls = true;
        Self {
            secure: Arc::new(secure),
            plain: Arc::new(plain),
        }
    }
}

/// Whose password it was, and which.
pub struct Proven {
    /// The account.
    pub account: Address,
    /// The name of the app password; `None` for the passphrase.
    pub credential: Option<String>,
    /// Of the credentials that it was proven against.
    pub stamp: u64,
}

/// Checks name and password, as slowly as the throttle says.
pub async fn sign_in(
    web: &Web,
    peer: Option<&Arc<Peer>>,
    name: &str,
    password: &Secret,
) -> Answer<Proven> {
    let from = super::from(peer);
    let open = peer.is_none_or(|p| p.plain_allowed);
    let policy = if open {
        web.logins.plain.clone()
    } else {
        web.logins.secure.clone()
    };
    let channel = peer.map(|p| p.channel()).unwrap_or_default();
    let message = Secret::new(format!("\0{name}\0{}", password.expose()));
    let (mut sasl, mut step) = Sasl::start(
        policy,
        channel,
        "PLAIN",
        Some(message.expose().as_bytes()),
        &mut rand::rng(),
    );
    let mut attempt: Option<Attempt> = None;
    loop {
        step = match step {
            Step::Challenge(_) => return Err(Problem::wrong_login()),
            Step::Lookup(wanted) => {
                if let Wanted::Name(name) = &wanted {
                    attempt = Some(begin(web, from, name)?);
                }
                match web.accounts.lookup(web.domain(), &wanted).await {
                    Ok(lookup) => sasl.account(lookup),
                    Err(failure) => sasl.stop(failure),
                }
            }
            Step::Check(check) => {
                let checked = web.accounts.checker.check(check).await;
                sasl.checked(checked)
            }
            Step::Success(success) => {
                if let Some(attempt) = attempt {
                    web.accounts.throttle.succeeded(attempt);
                }
                return proven(&success);
            }
            Step::Failure(failure) => {
                tracing::info!(protocol = "web", %from, "login refused: {failure}");
                if let Some(attempt) = attempt.filter(|_| !failure.is_a_guess()) {
                    web.accounts.throttle.aborted(attempt);
                }
                return Err(match failure {
                    Failure::Unavailable | Failure::Aborted => Problem::try_later(),
                    _ => Problem::wrong_login(),
                });
            }
        };
    }
}

fn begin(web: &Web, from: IpAddr, name: &str) -> Answer<Attempt> {
    let name = throttle_name(web.domain(), name);
    let throttle = &web.accounts.throttle;
    let known = throttle.knows(&name, from);
    throttle
        .begin(&name, from, known, web.accounts.now_ms())
        .map_err(|wait| Problem::throttled(wait.wait_ms.div_ceil(1000)))
}

fn proven(success: &Success) -> Answer<Proven> {
    let account = Address::new(&success.account).map_err(|_| Problem::try_later())?;
    Ok(Proven {
        account,
        credential: success.login.label().map(str::to_owned),
        stamp: success.stamp,
    })
}

/// Asks an account that is signed in for its passphrase once more; app passwords don't count.
pub async fn passphrase(
    web: &Web,
    peer: Option<&Arc<Peer>>,
    account: &Address,
    passphrase: &Secret,
) -> Answer<()> {
    let proven = sign_in(web, peer, account.as_str(), passphrase).await?;
    if proven.account != *account || proven.credential.is_some() {
        return Err(Problem::wrong_login());
    }
    Ok(())
}
