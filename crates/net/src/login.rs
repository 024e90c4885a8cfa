//! Name and password in one request, for protocols that speak HTTP: the SASL machine with PLAIN, so that throttling, decoys
//! and app passwords are the same everywhere.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use sammen_core::{Address, Credential, Domain};

use crate::accounts::{Accounts, throttle_name};
use crate::sasl::{Failure, Policy, Sasl, Step, Success, Wanted};
use crate::{Attempt, Peer, Secret};

/// What sign-ins of one protocol accept.
pub struct Logins {
    accounts: Arc<Accounts>,
    scope: &'static str,
    secure: Arc<Policy>,
    plain: Arc<Policy>,
}

/// Whose password it was, and which.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The account.
    pub account: Address,
    /// With what; `None` for the passphrase.
    pub credential: Option<Credential>,
    /// Of the credentials that it was proven against; `None` where nothing was shown but a device's token.
    pub stamp: Option<u64>,
}

/// Why nobody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefused {
    /// Name or password are wrong, or the password is not for this protocol.
    #[error("wrong name or password")]
    Wrong,
    /// The password is right and the account is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// Too many failures: the next attempt is looked at after this time.
    #[error("too many failed logins")]
    Throttled(Duration),
    /// It can't be said now.
    #[error("try later")]
    TryLater,
}

impl Logins {
    /// `scope` is the protocol's name in the scopes of app passwords.
    pub fn new(accounts: Arc<Accounts>, scope: &'static str) -> Self {
        let secure = accounts.policy(scope);
        let mut plain = secure.clone();
        plain.without_tls = true;
        Self {
            accounts,
            scope,
            secure: Arc::new(secure),
            plain: Arc::new(plain),
        }
    }

    /// Checks name and password at `domain`, as slowly as the throttle says. No `peer` is a test without a socket.
    ///
    /// # Errors
    /// Why it did not go.
    pub async fn check(
        &self,
        domain: &Domain,
        peer: Option<&Peer>,
        name: &str,
        password: &Secret,
    ) -> Result<Proven, LoginRefused> {
        let from = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |p| p.address.ip());
        let open = peer.is_none_or(|p| p.plain_allowed);
        let policy = if open { &self.plain } else { &self.secure };
        let channel = peer.map(Peer::channel).unwrap_or_default();
        let message = Secret::new(format!("\0{name}\0{}", password.expose()));
        let (mut sasl, mut step) = Sasl::start(
            policy.clone(),
            channel,
            "PLAIN",
            Some(message.expose().as_bytes()),
            &mut rand::rng(),
        );
        let mut attempt: Option<Attempt> = None;
        loop {
            step = match step {
                Step::Challenge(_) => return Err(LoginRefused::Wrong),
                Step::Lookup(wanted) => {
                    if let Wanted::Name(name) = &wanted {
                        attempt = Some(self.begin(domain, from, name)?);
                    }
                    match self.accounts.lookup(domain, &wanted).await {
                        Ok(lookup) => sasl.account(lookup),
                        Err(failure) => sasl.stop(failure),
                    }
                }
                Step::Check(check) => {
                    let checked = self.accounts.checker.check(check).await;
                    sasl.checked(checked)
                }
                Step::Success(success) => {
                    if let Some(attempt) = attempt {
                        self.accounts.throttle.succeeded(attempt);
                    }
                    return proven(&success);
                }
                Step::Failure(failure) => {
                    tracing::info!(protocol = self.scope, %from, "login refused: {failure}");
                    if let Some(attempt) = attempt.filter(|_| !failure.is_a_guess()) {
                        self.accounts.throttle.aborted(attempt);
                    }
                    return Err(match failure {
                        Failure::Unavailable | Failure::Aborted | Failure::Overloaded => {
                            LoginRefused::TryLater
                        }
                        Failure::Disabled => LoginRefused::Disabled,
                        _ => LoginRefused::Wrong,
                    });
                }
            };
        }
    }

    /// Asks an account that is signed in for its passphrase once more; app passwords don't count.
    ///
    /// # Errors
    /// As [`Logins::check`].
    pub async fn passphrase(
        &self,
        domain: &Domain,
        peer: Option<&Peer>,
        account: &Address,
        passphrase: &Secret,
    ) -> Result<Proven, LoginRefused> {
        let proven = self
            .check(domain, peer, account.as_str(), passphrase)
            .await?;
        if proven.account != *account || proven.credential.is_some() {
            return Err(LoginRefused::Wrong);
        }
        Ok(proven)
    }

    fn begin(&self, domain: &Domain, from: IpAddr, name: &str) -> Result<Attempt, LoginRefused> {
        let name = throttle_name(domain, name);
        let throttle = &self.accounts.throttle;
        let known = throttle.knows(&name, from);
        throttle
            .begin(&name, from, known, self.accounts.now_ms())
            .map_err(|wait| LoginRefused::Throttled(Duration::from_millis(wait.wait_ms)))
    }
}

fn proven(success: &Success) -> Result<Proven, LoginRefused> {
    let account = Address::new(&success.account).map_err(|_| LoginRefused::TryLater)?;
    Ok(Proven {
        account,
        credential: success.login.credential(),
        stamp: Some(success.stamp),
    })
}
