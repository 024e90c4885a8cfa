//! One node's web side: what all requests share.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use sammen_core::setting::Setting;
use sammen_core::{Address, DeviceId, Domain, EventId, Node};
use sammen_net::accounts::Accounts;
use sammen_net::login::Logins;

use crate::api::recovery;
use crate::auth::SCOPE;
use crate::config::{Config, Host};
use crate::problem::{Answer, Problem};
use crate::rates::Rates;

/// Entries whose transaction id is remembered, for the sender's own stream.
const REMEMBERED: usize = 4096;

/// The web side of a node.
pub struct Web {
    /// The node.
    pub node: Node,
    /// Who may sign in.
    pub accounts: Arc<Accounts>,
    /// Settings.
    pub config: Setting<Config>,
    /// How the outside reaches the node over HTTP: what the configuration said at the start.
    pub base: Option<String>,
    /// What only the binary knows.
    pub host: Arc<dyn Host>,
    pub(crate) rates: Rates,
    pub(crate) logins: Logins,
    /// With recovery codes.
    pub(crate) recoveries: Logins,
    /// Pushes to browsers, once it began.
    pub(crate) push: std::sync::OnceLock<Arc<crate::push::Push>>,
    pub(crate) tickets: crate::pages::Tickets,
    /// The client's own ids of what was sent just now.
    pub(crate) sent: Mutex<LruCache<EventId, (DeviceId, String)>>,
}

impl Web {
    /// The web side of `node`; `None` where the node has no domain.
    pub fn new(
        node: Node,
        accounts: Arc<Accounts>,
        config: Config,
        host: Arc<dyn Host>,
    ) -> Option<Arc<Self>> {
        node.domains().first()?;
        let most = NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN);
        Some(Arc::new(Self {
            logins: Logins::new(accounts.clone(), SCOPE),
            recoveries: Logins::new(accounts.clone(), recovery::SCOPE),
            node,
            accounts,
            base: config.base.clone(),
            config: Setting::new(config),
            host,
            rates: Rates::default(),
            push: Default::default(),
            tickets: crate::pages::Tickets::default(),
            sent: Mutex::new(LruCache::new(most)),
        }))
    }

    /// The main domain.
    pub fn domain(&self) -> &Domain {
        self.node
            .domains()
            .first()
            .unwrap_or_else(|| unreachable!("checked when made"))
    }

    /// How the outside reaches the node, as far as is known.
    pub(crate) fn base(&self) -> String {
        match &self.base {
            Some(base) => base.clone(),
            None => format!("https://{}", self.domain()),
        }
    }

    /// Reads from the store on a blocking thread.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Web) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || read(&this))
            .await
            .unwrap_or_else(|_| Err(Problem::try_later()))
    }

    /// An address that somebody typed: core's own form, or the bare name of an account of this node.
    pub(crate) fn address(&self, field: &'static str, typed: &str) -> Answer<Address> {
        let typed = typed.trim();
        let wrong = || Problem::invalid(field, "that is no address");
        if typed.contains(['@', ':']) {
            return Address::new(typed).map_err(|_| wrong());
        }
        let name = sammen_core::Name::new(typed).map_err(|_| wrong())?;
        Ok(Address::account(self.domain(), &name))
    }
}
