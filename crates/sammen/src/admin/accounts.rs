//! Accounts and their passwords, for the operator.

use std::str::FromStr;

use anyhow::{Context, bail};
use sammen_core::document::Owner;
use sammen_core::ops;
use sammen_core::tx::Expect;
use sammen_core::{Address, Name, Outcome};
use sammen_net::Secret;
use sammen_net::accounts::CREDENTIALS;
use sammen_net::credentials::{Credentials, Kind, PasswordId, Scopes};
use sammen_net::password::random_app_password;
use serde_json::{Value, json};

use super::Admin;

/// Protocols that an app password can be limited to.
const PROTOCOLS: &[&str] = &["xmpp", "irc", "matrix", "web"];
/// Accounts of one page, and of one write of an import.
const PAGE: usize = 500;

impl Admin {
    fn account(&self, name: &str) -> anyhow::Result<Address> {
        let domain = self.domain()?;
        let local = name
            .strip_suffix(domain.as_str())
            .and_then(|n| n.strip_suffix('@'))
            .unwrap_or(name);
        let name = Name::from_str(local).with_context(|| {
            format!("{name:?} is no account name: a to z, 0 to 9, '.', '_' and '-', beginning with a letter")
        })?;
        Ok(Address::account(domain, &name))
    }

    /// An account that is there.
    pub(super) fn known(&self, name: &str) -> anyhow::Result<Address> {
        let address = self.account(name)?;
        match self.node.account(&address)? {
            Some(_) => Ok(address),
            None => bail!("there is no account {address}"),
        }
    }

    pub(super) async fn account_add(
        &self,
        name: &str,
        password: Option<String>,
        admin: bool,
    ) -> anyhow::Result<Value> {
        let address = self.account(name)?;
        let (secret, told) = given_or_made_up(password);
        let name = Name::from_str(address.name())?;
        self.accounts
            .create(self.domain()?, &name, secret, true)
            .await
            .with_context(|| format!("{address} was not made"))?;
        if admin {
            let of = address.clone();
            self.node
                .write(move |tx| ops::accounts::change(tx, &of, |a| a.admin = true))
                .await?;
        }
        Ok(with_password(&address, told))
    }

    /// All in few writes; each has a salt of its own, as if they were made one by one.
    pub(super) async fn account_import(
        &self,
        list: Vec<(String, String)>,
    ) -> anyhow::Result<Value> {
        let domain = self.domain()?.clone();
        let (iterations, now) = (self.accounts.iterations(), self.accounts.now_ms());
        let mut made = 0;
        for page in list.chunks(PAGE) {
            let mut ready = Vec::with_capacity(page.len());
            for (name, password) in page {
                let address = self.account(name)?;
                ready.push((address, Secret::new(password.clone())));
            }
            let worked = tokio::task::spawn_blocking(move || {
                let each = ready.into_iter().map(|(address, secret)| {
                    let mut rng = rand::rng();
                    let made = Credentials::with_passphrase(&secret, iterations, now, &mut rng);
                    made.with_context(|| format!("{address} was not made"))
                        .map(|c| (address, c))
                });
                each.collect::<anyhow::Result<Vec<_>>>()
            });
            let worked = worked.await??;
            made += worked.len();
            let domain = domain.clone();
            self.node
                .write(move |tx| -> Outcome<()> {
                    for (address, credentials) in worked {
                        let name = Name::new(address.name())
                            .map_err(|_| sammen_core::Refusal::InvalidName)?;
                        ops::accounts::create(tx, &domain, &name, true)?;
                        let value = Some(credentials.encode().into());
                        let owner = Owner::from(&address);
                        tx.put_document(&owner, CREDENTIALS, "main", Expect::Anything, value)?;
                    }
                    Ok(())
                })
                .await
                .with_context(|| format!("{made} accounts were not all made"))?;
        }
        Ok(json!({ "made": made }))
    }

    pub(super) async fn account_list(&self) -> anyhow::Result<Value> {
        let mut list = Vec::new();
        let mut after: Option<Address> = None;
        loop {
            let from = after.clone();
            let page = self
                .node
                .read(move |node| Ok(node.store().accounts(from.as_ref(), PAGE)?))
                .await?;
            let Some(last) = page.last() else { break };
            after = Some(last.address.clone());
            for account in page.into_iter().filter(|a| !a.removed) {
                let sessions = self.node.live(|l| l.sessions_of(&account.address).len());
                list.push(json!({
                    "name": account.address.name(),
                    "address": account.address.as_str(),
                    "admin": account.admin,
                    "disabled": account.disabled,
                    "sessions": sessions,
                }));
            }
        }
        Ok(list.into())
    }

    pub(super) async fn account_password(
        &self,
        name: &str,
        password: Option<String>,
    ) -> anyhow::Result<Value> {
        let address = self.known(name)?;
        let (secret, told) = given_or_made_up(password);
        let (iterations, now) = (self.accounts.iterations(), self.accounts.now_ms());
        self.accounts
            .change(&address, move |c| {
                c.set_passphrase(&secret, iterations, now, &mut rand::rng())
            })
            .await?;
        self.sign_out(&address).await?;
        Ok(with_password(&address, told))
    }

    pub(super) async fn app_password_add(
        &self,
        name: &str,
        label: String,
        only: Vec<String>,
    ) -> anyhow::Result<Value> {
        let address = self.known(name)?;
        are_protocols(&only)?;
        let now = self.accounts.now_ms();
        let called = label.clone();
        let (id, secret) = self
            .accounts
            .change(&address, move |c| {
                let scopes = Scopes::only(only.iter().cloned());
                c.add_app_password(&called, scopes, now, &mut rand::rng())
            })
            .await?;
        Ok(json!({
            "name": address.name(),
            "label": label,
            "id": id.to_string(),
            "password": secret.expose(),
        }))
    }

    pub(super) async fn app_password_list(&self, name: &str) -> anyhow::Result<Value> {
        let address = self.known(name)?;
        let credentials = self.accounts.credentials(&address).await?;
        let passwords = credentials.iter().flat_map(|c| c.passwords());
        let list = passwords.filter_map(|password| match &password.kind {
            Kind::App { name, scopes } => Some(json!({
                "id": password.id.to_string(),
                "label": name,
                "only": scopes.names().collect::<Vec<_>>(),
                "created_ms": password.created_ms,
            })),
            Kind::Passphrase => None,
        });
        Ok(list.collect::<Vec<_>>().into())
    }

    pub(super) async fn app_password_remove(&self, name: &str, id: &str) -> anyhow::Result<Value> {
        let address = self.known(name)?;
        let id = PasswordId::parse(id)
            .filter(|id| *id != PasswordId::PASSPHRASE)
            .context("an app password's id is 16 hexadecimal digits, see --list")?;
        let removed = self
            .accounts
            .change(&address, move |c| {
                Ok(c.remove_password(id, &mut rand::rng()))
            })
            .await?;
        if !removed {
            bail!("{address} has no app password {id}");
        }
        Ok(json!({ "name": address.name(), "removed": id.to_string() }))
    }

    pub(super) async fn account_enable(&self, name: &str, enabled: bool) -> anyhow::Result<Value> {
        let address = self.known(name)?;
        let of = address.clone();
        self.node
            .write(move |tx| ops::accounts::change(tx, &of, |a| a.disabled = !enabled))
            .await?;
        Ok(json!({ "name": address.name(), "disabled": !enabled }))
    }

    pub(super) async fn account_sign_out(&self, name: &str) -> anyhow::Result<Value> {
        let address = self.known(name)?;
        self.sign_out(&address).await?;
        Ok(json!({ "name": address.name(), "signed_out": true }))
    }

    pub(super) async fn sign_out(&self, address: &Address) -> anyhow::Result<()> {
        let of = address.clone();
        let write = move |tx: &mut sammen_core::tx::Tx<'_>| {
            ops::sessions::sign_out_everywhere(tx, &of, None)
        };
        Ok(self.node.write(write).await?)
    }

    pub(super) async fn account_remove(&self, name: &str) -> anyhow::Result<Value> {
        let address = self.known(name)?;
        self.accounts.remove(&address).await?;
        // What it wrote is erased now, not at the next hour.
        self.node.finish_removals().await?;
        Ok(json!({ "name": address.name(), "removed": true }))
    }
}

/// Refuses names of protocols that this node does not speak.
pub(super) fn are_protocols(only: &[String]) -> anyhow::Result<()> {
    match only.iter().find(|p| !PROTOCOLS.contains(&p.as_str())) {
        None => Ok(()),
        Some(unknown) => bail!(
            "{unknown:?} is no protocol of this node: {}",
            PROTOCOLS.join(", ")
        ),
    }
}

/// The password that was given; or a random one, which then has to be told.
fn given_or_made_up(password: Option<String>) -> (Secret, Option<Secret>) {
    match password {
        Some(password) => (password.into(), None),
        None => {
            let secret = random_app_password(&mut rand::rng());
            (secret.clone(), Some(secret))
        }
    }
}

fn with_password(address: &Address, told: Option<Secret>) -> Value {
    let mut value = json!({ "name": address.name(), "address": address.as_str() });
    if let (Some(told), Some(object)) = (told, value.as_object_mut()) {
        object.insert("password".into(), told.expose().into());
    }
    value
}
