//! What the binary tells this crate about the node.

use std::sync::Arc;

use bytes::Bytes;
use sammen_core::network::BoxFuture;
use sammen_core::{Address, Outcome};
use sammen_net::{NoPictures, Pictures};

use crate::types::{Check, Storage};

/// Settings.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// How the outside reaches the node over HTTP, such as `https://example.org`; no slash at the end.
    pub base: Option<String>,
    /// The node's version.
    pub version: String,
    /// Protocols that are switched on, and how apps reach them.
    pub doors: Vec<Door>,
    /// Anyone may make an account.
    pub registration: bool,
    /// Any account may make rooms.
    pub rooms_by_anyone: bool,
    /// Accounts of this node need a contact request among each other.
    pub requests_between_accounts: bool,
    /// Who may invite people who have no account.
    pub inviters: sammen_net::invitations::Inviters,
    /// What links lead to; none where nothing is fetched.
    pub previews: Option<Arc<sammen_net::preview::Previews>>,
}

/// A protocol that is switched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// `xmpp`, `irc`.
    pub protocol: &'static str,
    /// The host that apps connect to.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS from the first byte.
    pub tls: bool,
}

impl Config {
    /// The names of protocols that are switched on.
    pub fn protocols(&self) -> Vec<String> {
        let mut names: Vec<String> = self.doors.iter().map(|d| d.protocol.to_owned()).collect();
        names.push("web".into());
        names.sort();
        names.dedup();
        names
    }
}

/// What only the binary knows. Calls may block: they are made on blocking threads.
pub trait Host: Pictures {
    /// How the disk is used, without [`Storage::largest`].
    fn storage(&self) -> Storage;
    /// What is well and what is not.
    fn health(&self) -> Vec<Check>;
}

/// A host that knows nothing, for tests and nodes without a disk.
#[derive(Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn storage(&self) -> Storage {
        Storage {
            log_bytes: 0,
            search_bytes: 0,
            file_bytes: 0,
            free_bytes: None,
            largest: Vec::new(),
        }
    }

    fn health(&self) -> Vec<Check> {
        Vec::new()
    }
}

impl Pictures for NoHost {
    fn picture_version(&self, account: &Address) -> Option<String> {
        NoPictures.picture_version(account)
    }

    fn picture(&self, account: &Address) -> Outcome<Option<(String, Bytes)>> {
        NoPictures.picture(account)
    }

    fn set_picture<'a>(
        &'a self,
        account: &'a Address,
        picture: Option<(String, Bytes)>,
    ) -> BoxFuture<'a, Outcome<()>> {
        NoPictures.set_picture(account, picture)
    }
}

impl NoHost {
    /// It, shared.
    pub fn shared() -> Arc<dyn Host> {
        Arc::new(Self)
    }
}
