//! Who asks: access tokens, and the devices of core that they stand for.

mod account;
mod admin;
pub mod devices;
mod fallback;
pub(crate) mod login;
mod refresh;
mod register;
pub(crate) mod token;
pub mod uia;
pub(crate) mod vault;

use std::sync::Arc;

use axum::http::{header, request::Parts};
use ruma::{OwnedDeviceId, OwnedUserId};
use sammen_core::principal::Origin;
use sammen_core::{Account, Address, Device, Principal};
use sammen_net::Secret;
use sammen_net::accounts::Accounts;
use sammen_net::login::Logins;

use crate::rates::{Limits, Rates};
use crate::routes::Table;
use crate::server::Matrix;

pub use token::caller;

/// The name of this protocol in the scopes of app passwords.
pub const SCOPE: &str = "matrix";

/// The endpoints.
pub fn routes(table: &mut Table) {
    login::routes(table);
    refresh::routes(table);
    devices::routes(table);
    fallback::routes(table);
    account::routes(table);
    register::routes(table);
    admin::routes(table);
}

/// What signing in remembers.
pub struct Auth {
    logins: Logins,
    sessions: uia::Sessions,
    login_tokens: refresh::LoginTokens,
    /// How often one account or one place may ask.
    pub rates: Rates,
}

impl Auth {
    /// Nothing yet.
    pub fn new(accounts: Arc<Accounts>, limits: Limits) -> Self {
        Self {
            logins: Logins::new(accounts, SCOPE),
            sessions: uia::Sessions::default(),
            login_tokens: refresh::LoginTokens::default(),
            rates: Rates::new(limits),
        }
    }
}

/// Who asks.
#[derive(Clone)]
pub struct Caller {
    /// The account, as it is now.
    pub account: Arc<Account>,
    /// The device of core that asks; its key is the Matrix device id.
    pub device: Arc<Device>,
    /// The account's Matrix id.
    pub user_id: OwnedUserId,
    /// The device's Matrix id.
    pub device_id: OwnedDeviceId,
}

impl Caller {
    /// An account and its device; `None` where Matrix can't write its name.
    fn new(matrix: &Matrix, account: Arc<Account>, device: Arc<Device>) -> Option<Self> {
        Some(Self {
            user_id: crate::names::user_id(&account.address, &matrix.name)?,
            device_id: device.key.as_str().into(),
            account,
            device,
        })
    }

    /// The account's address.
    pub fn address(&self) -> &Address {
        &self.account.address
    }

    /// Administers the node, and came in by the passphrase.
    pub fn is_admin(&self) -> bool {
        self.account.admin && self.device.credential.is_none()
    }

    /// On whose behalf.
    pub fn principal(&self) -> Principal {
        Principal::Of(self.account.address.clone())
    }

    /// From which device.
    pub fn origin(&self) -> Origin {
        Origin {
            session: None,
            device: Some(self.device.id),
            inbound: None,
        }
    }
}

/// The token that a request shows: in the header, or (deprecated) in the query ("Using access tokens").
pub fn presented(head: &Parts) -> Option<Secret> {
    if let Some(value) = head.headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| Secret::new(token.trim()));
    }
    let query = head.uri.query()?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(name, _)| *name == "access_token")
        .map(|(_, token)| Secret::new(token))
}
