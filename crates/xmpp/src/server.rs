//! One node's XMPP side: what all its streams share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sammen_core::live::Session;
use sammen_core::setting::Setting;
use sammen_core::{Address, Domain, Node, Protocol, Timestamp};
use sammen_net::accounts::Accounts;
use sammen_net::sasl::Policy;

use crate::address::{self, Place};
use crate::client::Client;
use crate::config::Config;
use crate::wire::Jid;

/// The XMPP side of a node.
pub struct Server {
    /// The node.
    pub node: Node,
    /// Settings.
    pub config: Setting<Config>,
    /// Who may sign in, and with what.
    pub accounts: Arc<Accounts>,
    /// What streams accept under TLS, and where clear text is allowed.
    pub(crate) policies: [Arc<Policy>; 2],
    /// Sessions that can be resumed (XEP-0198), by their id: connected or hibernating.
    pub(crate) resumable: Mutex<HashMap<String, Arc<Client>>>,
    /// Rings when a session can no longer be resumed.
    pub(crate) forgotten: tokio::sync::Notify,
    /// Other servers, where this node speaks with any.
    pub federation: std::sync::OnceLock<Arc<crate::s2s::Federation>>,
    /// When it started.
    pub started: Timestamp,
    /// What features keep for the whole node.
    shelf: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Server {
    /// The XMPP side of `node`.
    pub fn new(node: Node, config: Config, accounts: Arc<Accounts>) -> Arc<Self> {
        let secure = accounts.policy("xmpp");
        let mut plain = secure.clone();
        plain.without_tls = true;
        Arc::new(Self {
            forgotten: tokio::sync::Notify::new(),
            federation: std::sync::OnceLock::new(),
            started: node.now(),
            policies: [Arc::new(secure), Arc::new(plain)],
            node,
            config: Setting::new(config),
            accounts,
            resumable: Mutex::default(),
            shelf: Mutex::default(),
        })
    }

    /// The main domain.
    pub fn domain(&self) -> &Domain {
        // A node without a domain does not start.
        static NONE: std::sync::LazyLock<Option<Domain>> =
            std::sync::LazyLock::new(|| Domain::new("localhost").ok());
        self.node
            .domains()
            .first()
            .or(NONE.as_ref())
            .unwrap_or_else(|| unreachable!("localhost is a domain"))
    }

    /// What a JID leads to.
    pub fn place(&self, jid: &Jid) -> Place {
        let federation = self.federation.get();
        if federation.is_some_and(|f| f.is_component(jid.domain())) {
            return address::elsewhere(jid);
        }
        address::place(self.node.domains(), jid)
    }

    /// The bare JID of an address, as text.
    pub fn bare(&self, address: &Address) -> String {
        address::bare(self.domain(), address)
    }

    /// The bare JID of an address.
    pub fn jid(&self, address: &Address) -> Option<Jid> {
        address::jid(self.domain(), address)
    }

    /// The XMPP session of a full JID, if it is there.
    pub fn session(&self, account: &Address, resource: &str) -> Option<Arc<Session>> {
        self.node.live(|live| {
            let sessions = live.sessions_of(account).iter();
            sessions
                .rev()
                .find(|s| s.protocol == Protocol::Xmpp && &*s.label == resource)
                .cloned()
        })
    }

    /// Waits until no session is left that could be resumed: after [`Node::announce_shutdown`] each writes what
    /// another process needs of it.
    pub async fn drained(&self) {
        let gone = async {
            while !self.resumable.lock().is_empty() {
                self.forgotten.notified().await;
            }
        };
        // A session that hangs must not hold up the end of the process.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(4), gone).await;
    }

    /// What a feature keeps for the whole node, made at first use.
    pub fn shared<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        let made = self
            .shelf
            .lock()
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Arc::new(T::default()))
            .clone();
        made.downcast()
            .unwrap_or_else(|_| unreachable!("stored under its own type"))
    }
}
