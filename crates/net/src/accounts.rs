//! The accounts of a node as sign-in sees them: credentials on core's shelf, throttle and password checks in one place.
//!
//! Every protocol signs people in through the same [`Accounts`]: guesses over one count for all.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sammen_core::document::Owner;
use sammen_core::ops;
use sammen_core::setting::Setting;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, DeviceId, Domain, Name, Node, Outcome, Refusal, Timestamp};

use crate::credentials::{CredentialError, Credentials, Iterations};
use crate::files::UnderWay;
use crate::sasl::{Failure, Found, Lookup, Mechanism, PasswordChecker, Policy, Wanted};
use crate::throttle::{Throttle, ThrottleConfig};
use crate::tokens::TokenKey;
use crate::{Decoy, Links, Secret};
use crate::{invitations, lockdown};

/// The shelf of credentials (owner: the account).
pub const CREDENTIALS: &str = "credentials";
/// The key on it.
const MAIN: &str = "main";
/// The node's own shelf: which account a certificate belongs to (key: fingerprint in hexadecimal).
const CERTIFICATES: &str = "certificate";
/// The node's own shelf: whether accounts ever moved in with the hashes of another server.
const MOVED_IN: &str = "moved-in";
/// The node's own shelf of secrets.
const SECRETS: &str = "secret";

/// Why credentials were not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Core refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The credentials refused.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
}

/// Accounts and their credentials.
pub struct Accounts {
    pub(crate) node: Node,
    /// Of new credentials, and what names without an account show.
    iterations: Setting<(Iterations, Decoy)>,
    decoy_key: bytes::Bytes,
    pub(crate) tokens: TokenKey,
    /// There may be accounts that moved in with one hash only.
    moved_in: AtomicBool,
    /// Checks passwords off the runtime's threads.
    pub checker: PasswordChecker,
    /// Slows guessing down.
    pub throttle: Throttle,
    /// Files on their way in, through whichever protocol.
    pub uploads: UnderWay,
    /// Addresses that nobody can make up.
    pub links: Links,
}

impl Accounts {
    /// The accounts of a node. Reads the node's secret, or makes one at first start.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn open(
        node: Node,
        iterations: Iterations,
        throttle: ThrottleConfig,
    ) -> Outcome<Arc<Self>> {
        let decoy = secret(&node, "decoy").await?;
        let tokens = secret(&node, "token").await?;
        let links = Links::new(secret(&node, "link").await?);
        let moved = node.read(|node| Ok(node.store().document(&Owner::Node, MOVED_IN, MAIN)?));
        let moved_in = moved.await?.is_some();
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let remembered = NonZeroUsize::MIN.saturating_add(4095);
        Ok(Arc::new(Self {
            node,
            iterations: Setting::new((iterations, Decoy::new(&decoy, iterations))),
            decoy_key: decoy,
            tokens: TokenKey::new(&tokens),
            moved_in: AtomicBool::new(moved_in),
            checker: PasswordChecker::new(rand::random(), remembered, cores, 256),
            throttle: Throttle::new(throttle),
            uploads: UnderWay::default(),
            links,
        }))
    }

    /// Unix time in milliseconds, by the node's clock: what the throttle counts with.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.node.now().0).unwrap_or(0)
    }

    /// Iteration counts for new credentials.
    pub fn iterations(&self) -> Iterations {
        self.iterations.get().0
    }

    /// Other iteration counts for passwords that are set from now on.
    pub fn set_iterations(&self, iterations: Iterations) {
        let decoy = Decoy::new(&self.decoy_key, iterations);
        self.iterations.set((iterations, decoy));
    }

    /// What a protocol's listeners accept: everything, TLS required.
    pub fn policy(&self, scope: &str) -> Policy {
        Policy::new(scope, self.iterations.get().1.clone())
    }

    /// The credentials of an account; `None` where it has none.
    ///
    /// # Errors
    /// When the store can't be read or a record is damaged.
    pub async fn credentials(
        &self,
        account: &Address,
    ) -> Result<Option<Credentials>, AccountError> {
        let account = account.clone();
        let found = self.node.read(move |node| read(node, &account)).await?;
        Ok(found.map(|bytes| Credentials::decode(&bytes)).transpose()?)
    }

    /// Makes an account with a passphrase. `by_admin` may give reserved names.
    ///
    /// # Errors
    /// When the name is taken or reserved, or the passphrase is not usable.
    pub async fn create(
        &self,
        domain: &Domain,
        name: &Name,
        passphrase: Secret,
        by_admin: bool,
    ) -> Result<Address, AccountError> {
        let made = self.hashed(passphrase).await?;
        let (domain, name) = (domain.clone(), name.clone());
        let address = Address::account(&domain, &name);
        let wanted = address.clone();
        self.node
            .write(move |tx| {
                if !by_admin {
                    lockdown::check(tx)?;
                    if invitations::name_is_promised(tx, &wanted)? {
                        return Err(Refusal::Taken);
                    }
                }
                let account = ops::accounts::create(tx, &domain, &name, by_admin)?;
                put(tx, &account.address, &made)
            })
            .await?;
        Ok(address)
    }

    /// Makes an account for somebody who was invited, and uses the invitation up. `shown` is when the invitation was
    /// looked up (see [`invitations::redeem`]).
    ///
    /// # Errors
    /// As [`Accounts::create`]; [`Refusal::NotFound`] where the invitation does not hold or offers no account.
    pub async fn create_invited(
        &self,
        domain: &Domain,
        name: &Name,
        passphrase: Secret,
        token: &invitations::Token,
        shown: Timestamp,
    ) -> Result<Address, AccountError> {
        let made = self.hashed(passphrase).await?;
        let (domain, name, token) = (domain.clone(), name.clone(), token.clone());
        let address = Address::account(&domain, &name);
        let wanted = address.clone();
        self.node
            .write(move |tx| {
                lockdown::check(tx)?;
                invitations::check(tx, &token, &wanted, shown)?;
                ops::accounts::create(tx, &domain, &name, false)?;
                put(tx, &wanted, &made)?;
                invitations::redeem(tx, &token, &wanted, shown)
            })
            .await?;
        Ok(address)
    }

    async fn hashed(&self, passphrase: Secret) -> Result<Credentials, AccountError> {
        let (iterations, now) = (self.iterations(), self.now_ms());
        let made = tokio::task::spawn_blocking(move || {
            Credentials::with_passphrase(&passphrase, iterations, now, &mut rand::rng())
        });
        Ok(made.await.map_err(|_| Refusal::TryLater)??)
    }

    /// Makes an account with credentials that another server kept (see [`Credentials::moved_in`]).
    ///
    /// # Errors
    /// When the name is taken.
    pub async fn move_in(
        &self,
        domain: &Domain,
        name: &Name,
        credentials: Credentials,
    ) -> Result<Address, AccountError> {
        let (domain, name) = (domain.clone(), name.clone());
        let made = self.node.write(move |tx| {
            let account = ops::accounts::create(tx, &domain, &name, true)?;
            put(tx, &account.address, &credentials)?;
            let yes = Some(bytes::Bytes::from_static(b"1"));
            tx.put_document(&Owner::Node, MOVED_IN, MAIN, Expect::Anything, yes)?;
            Ok(account.address.clone())
        });
        let made = made.await?;
        self.moved_in.store(true, Ordering::Relaxed);
        Ok(made)
    }

    /// Of these mechanisms those that can succeed for an account: one that moved in may have one hash only. Everybody
    /// else, and nobody, gets all.
    pub async fn narrowed(
        &self,
        domain: &Domain,
        name: &str,
        offers: Vec<Mechanism>,
    ) -> Vec<Mechanism> {
        if !self.moved_in.load(Ordering::Relaxed) {
            return offers;
        }
        let known = match address(domain, name) {
            Some(account) => self.credentials(&account).await.ok().flatten(),
            None => None,
        };
        let Some(known) = known else { return offers };
        let can = |m: &Mechanism| match m {
            Mechanism::Scram { hash, .. } => known.can(*hash),
            Mechanism::External | Mechanism::Plain => true,
        };
        let left: Vec<Mechanism> = offers.iter().copied().filter(can).collect();
        // An account without any password shows what everybody shows.
        let scram = |m: &Mechanism| matches!(m, Mechanism::Scram { .. });
        if left.iter().any(scram) { left } else { offers }
    }

    /// Changes an account's credentials. `change` may do heavy work: it runs on a blocking thread, and again if
    /// somebody else changed them meanwhile. Sessions that came in by what is no longer good end.
    ///
    /// # Errors
    /// What `change` refused with, or [`Refusal::NotFound`].
    pub async fn change<T: Send + 'static>(
        &self,
        account: &Address,
        change: impl Fn(&mut Credentials) -> Result<T, CredentialError> + Send + Sync + 'static,
    ) -> Result<T, AccountError> {
        self.change_from(account, None, change).await
    }

    /// As [`Accounts::change`], asked for from a device of the account, which stays signed in.
    ///
    /// # Errors
    /// As there.
    pub async fn change_from<T: Send + 'static>(
        &self,
        account: &Address,
        device: Option<DeviceId>,
        change: impl Fn(&mut Credentials) -> Result<T, CredentialError> + Send + Sync + 'static,
    ) -> Result<T, AccountError> {
        self.change_with(account, device, true, change).await
    }

    /// As [`Accounts::change`], but what came in by what is no longer good stays: its owner said so.
    ///
    /// # Errors
    /// As there.
    pub async fn change_keeping_sessions<T: Send + 'static>(
        &self,
        account: &Address,
        change: impl Fn(&mut Credentials) -> Result<T, CredentialError> + Send + Sync + 'static,
    ) -> Result<T, AccountError> {
        self.change_with(account, None, false, change).await
    }

    async fn change_with<T: Send + 'static>(
        &self,
        account: &Address,
        device: Option<DeviceId>,
        ends: bool,
        change: impl Fn(&mut Credentials) -> Result<T, CredentialError> + Send + Sync + 'static,
    ) -> Result<T, AccountError> {
        let change = Arc::new(change);
        loop {
            let (of, run, iterations) = (account.clone(), change.clone(), self.iterations());
            let worked = self.node.read(move |node| {
                node.account(&of)?.ok_or(Refusal::NotFound)?;
                let found = node.store().document(&(&of).into(), CREDENTIALS, MAIN)?;
                let found = found.filter(|d| d.value.is_some());
                let expect = found
                    .as_ref()
                    .map_or(Expect::Absent, |d| Expect::Version(d.version));
                let credentials = match found.and_then(|d| d.value) {
                    Some(bytes) => Credentials::decode(&bytes),
                    None => Ok(Credentials::empty(iterations, &mut rand::rng())),
                };
                Ok(credentials.and_then(|mut credentials| {
                    let before = credentials.clone();
                    let done = run(&mut credentials)?;
                    Ok((expect, before, credentials, done))
                }))
            });
            let (expect, before, after, done) = worked.await??;
            let of = account.clone();
            let written = self.node.write(move |tx| {
                let bytes = after.encode();
                tx.put_document(&(&of).into(), CREDENTIALS, MAIN, expect, Some(bytes.into()))?;
                let mut revoked = after.revoked_since(&before);
                revoked.retain(|_| ends);
                ops::sessions::credentials_changed(tx, &of, after.stamp(), revoked, device)?;
                for gone in before.certificates() {
                    if after.certificate(&gone.fingerprint).is_none() {
                        name_certificate(tx, &gone.fingerprint, None)?;
                    }
                }
                for certificate in after.certificates() {
                    name_certificate(tx, &certificate.fingerprint, Some(&of))?;
                }
                Ok(())
            });
            match written.await {
                Ok(()) => return Ok(done),
                Err(Refusal::Conflict) => {}
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Removes an account with all it can sign in with (see [`ops::accounts::remove`]). Its certificates are nobody's then.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it is gone already.
    pub async fn remove(&self, account: &Address) -> Result<(), AccountError> {
        let known = self.credentials(account).await?;
        if known.is_some_and(|c| !c.certificates().is_empty()) {
            let without = |c: &mut Credentials| {
                let prints: Vec<Vec<u8>> = c
                    .certificates()
                    .iter()
                    .map(|c| c.fingerprint.clone())
                    .collect();
                for print in prints.iter().filter_map(|p| p.as_slice().try_into().ok()) {
                    c.remove_certificate(print, &mut rand::rng());
                }
                Ok(())
            };
            self.change(account, without).await?;
        }
        let of = account.clone();
        self.node
            .write(move |tx| ops::accounts::remove(tx, &of))
            .await?;
        Ok(())
    }

    /// Answers [`Step::Lookup`](crate::sasl::Step::Lookup) for logins at `domain`.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn lookup(&self, domain: &Domain, wanted: &Wanted) -> Result<Lookup, Failure> {
        let (domain, wanted) = (domain.clone(), wanted.clone());
        let found = self.node.read(move |node| {
            let address = match &wanted {
                Wanted::Name(name) => address(&domain, name),
                Wanted::Certificate {
                    authzid: Some(wish),
                    ..
                } => address(&domain, wish),
                Wanted::Certificate { fingerprint, .. } => {
                    let key = hexadecimal(fingerprint);
                    let owner = node.store().document(&Owner::Node, CERTIFICATES, &key)?;
                    let text = owner.and_then(|d| d.value).unwrap_or_default();
                    let text = std::str::from_utf8(&text).unwrap_or_default();
                    Address::new(text)
                        .ok()
                        .filter(|a| a.domain() == Some(domain.as_str()))
                }
            };
            let Some(address) = address else {
                return Ok(Ok(nobody(&wanted)));
            };
            let (Some(account), Some(bytes)) = (node.account(&address)?, read(node, &address)?)
            else {
                return Ok(Ok(Lookup::Nobody {
                    canonical: address.name().to_owned(),
                }));
            };
            Ok(Credentials::decode(&bytes).map(|credentials| {
                Lookup::Found(Found {
                    account: address.as_str().into(),
                    identities: vec![address.name().to_owned(), address.as_str().to_owned()],
                    credentials: Arc::new(credentials),
                    disabled: account.disabled,
                })
            }))
        });
        match found.await {
            Ok(Ok(lookup)) => Ok(lookup),
            Ok(Err(damaged)) => {
                tracing::error!(%damaged, "credentials can't be read");
                Err(Failure::Unavailable)
            }
            Err(_) => Err(Failure::Unavailable),
        }
    }
}

/// A secret of the node's, made at first start.
async fn secret(node: &Node, name: &'static str) -> Outcome<bytes::Bytes> {
    let fresh: Vec<u8> = [node.clock().random(), node.clock().random()]
        .iter()
        .flat_map(|n| n.to_be_bytes())
        .collect();
    let write = node.write(move |tx| {
        let known = tx.document(&Owner::Node, SECRETS, name)?;
        if let Some(known) = known.and_then(|d| d.value) {
            return Ok(known);
        }
        let fresh = bytes::Bytes::from(fresh);
        let made = Some(fresh.clone());
        tx.put_document(&Owner::Node, SECRETS, name, Expect::Absent, made)?;
        Ok(fresh)
    });
    write.await
}

/// The name by which the throttle knows whoever a client wants to sign in as.
pub fn throttle_name(domain: &Domain, name: &str) -> String {
    address(domain, name).map_or_else(|| name.to_lowercase(), |a| a.as_str().to_owned())
}

fn nobody(wanted: &Wanted) -> Lookup {
    let name = match wanted {
        Wanted::Name(name) => name.as_str(),
        Wanted::Certificate { authzid, .. } => authzid.as_deref().unwrap_or_default(),
    };
    Lookup::Nobody {
        canonical: name.to_lowercase(),
    }
}

/// `alice` or `alice@domain`.
pub(crate) fn address(domain: &Domain, name: &str) -> Option<Address> {
    let local = match name.rsplit_once('@') {
        Some((local, host)) if host.eq_ignore_ascii_case(domain.as_str()) => local,
        Some(_) => return None,
        None => name,
    };
    Name::new(local)
        .ok()
        .map(|name| Address::account(domain, &name))
}

pub(crate) fn read(node: &Node, account: &Address) -> Outcome<Option<bytes::Bytes>> {
    let found = node.store().document(&account.into(), CREDENTIALS, MAIN)?;
    Ok(found.and_then(|d| d.value))
}

fn put(tx: &mut Tx<'_>, account: &Address, credentials: &Credentials) -> Outcome<()> {
    let bytes = credentials.encode().into();
    tx.put_document(
        &account.into(),
        CREDENTIALS,
        MAIN,
        Expect::Anything,
        Some(bytes),
    )?;
    Ok(())
}

fn name_certificate(tx: &mut Tx<'_>, fingerprint: &[u8], of: Option<&Address>) -> Outcome<()> {
    let key = hexadecimal(fingerprint);
    let value = of.map(|a| bytes::Bytes::copy_from_slice(a.as_str().as_bytes()));
    let known = tx.document(&Owner::Node, CERTIFICATES, &key)?;
    // What is there already needs no write; a certificate that another account has stays that account's.
    if value.is_some() && known.as_ref().is_some_and(|d| d.value.is_some()) {
        return Ok(());
    }
    tx.put_document(&Owner::Node, CERTIFICATES, &key, Expect::Anything, value)?;
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
