//! One node's Matrix side: what all requests share.

use std::sync::Arc;

use ruma::{OwnedServerName, ServerName};
use sammen_core::{Domain, Node};
use sammen_net::accounts::Accounts;

use crate::auth::Auth;
use crate::bell::Bells;
use crate::config::Config;
use crate::fault::{Answer, Fault};
use crate::host::Host;
use crate::media::Media;

/// The Matrix side of a node.
pub struct Matrix {
    /// The node.
    pub node: Node,
    /// Who may sign in.
    pub accounts: Arc<Accounts>,
    /// Settings.
    pub config: Config,
    /// The node's main domain as Matrix writes it.
    pub name: OwnedServerName,
    /// What wakes long polls.
    pub bells: Arc<Bells>,
    /// What signing in remembers.
    pub auth: Auth,
    /// Who keeps people's pictures.
    pub host: Arc<dyn Host>,
    /// What requests about files share.
    pub media: Media,
    /// What syncing keeps in memory.
    pub sync: crate::sync::Sync,
    /// Push rules of accounts that were asked for lately.
    pub rules: crate::push::Rules,
}

impl Matrix {
    /// The Matrix side of `node`; `None` where the node has no domain that Matrix can write.
    pub fn new(
        node: Node,
        accounts: Arc<Accounts>,
        config: Config,
        host: Arc<dyn Host>,
    ) -> Option<Arc<Self>> {
        let name = ServerName::parse(node.domains().first()?.as_str()).ok()?;
        let sync = crate::sync::Sync::new(node.now());
        Some(Arc::new(Self {
            auth: Auth::new(accounts.clone()),
            node,
            accounts,
            config,
            name,
            bells: Arc::default(),
            host,
            media: Media::default(),
            sync,
            rules: crate::push::Rules::default(),
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
        match &self.config.base {
            Some(base) => base.clone(),
            None => format!("https://{}", self.domain()),
        }
    }

    /// Reads from the store on a blocking thread.
    ///
    /// # Errors
    /// What the reading failed with.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Matrix) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || read(&this))
            .await
            .unwrap_or_else(|_| Err(Fault::unknown("try later")))
    }
}
