//! One node's Matrix side: what all requests share.

use std::sync::Arc;

use ruma::{OwnedServerName, ServerName};
use sammen_core::setting::Setting;
use sammen_core::tx::Tx;
use sammen_core::{Address, Domain, Node};
use sammen_net::Pictures;
use sammen_net::accounts::Accounts;

use crate::auth::Auth;
use crate::bell::Bells;
use crate::chain::Rooms;
use crate::config::Config;
use crate::fault::{Answer, Fault};
use crate::keys::Keys;
use crate::media::Media;
use crate::to_device::Queues;

/// The Matrix side of a node.
pub struct Matrix {
    /// The node.
    pub node: Node,
    /// Who may sign in.
    pub accounts: Arc<Accounts>,
    /// Settings.
    pub config: Setting<Config>,
    /// The node's main domain as Matrix writes it.
    pub name: OwnedServerName,
    /// What wakes long polls.
    pub bells: Arc<Bells>,
    /// What signing in remembers.
    pub auth: Auth,
    /// What OAuth 2.0 has under way.
    pub(crate) oauth: crate::oauth::OAuth,
    /// Tokens that tell others who somebody is.
    pub(crate) open_id: crate::discovery::OpenId,
    /// Who keeps people's pictures.
    pub host: Arc<dyn Pictures>,
    /// What requests about files share.
    pub media: Media,
    /// What syncing keeps in memory.
    pub sync: crate::sync::Sync,
    /// Push rules of accounts that were asked for lately.
    pub rules: crate::push::Rules,
    /// What wakes phones.
    pub pushers: crate::push::Pushers,
    /// Unread counts of who asked lately.
    pub unread: crate::push::Unread,
    /// When receipts of rooms changed.
    pub receipts: crate::receipts::Changes,
    /// Who types for how long.
    pub(crate) timers: crate::typing::Timers,
    /// The rooms.
    pub rooms: Arc<Rooms>,
    /// What is remembered of keys.
    pub(crate) keys: Keys,
    /// What is remembered of the queues of devices.
    pub(crate) queues: Queues,
}

impl Matrix {
    /// The Matrix side of `node`, inside a runtime; `None` where the node has no domain that Matrix can write.
    pub fn new(
        node: Node,
        accounts: Arc<Accounts>,
        config: Config,
        host: Arc<dyn Pictures>,
    ) -> Option<Arc<Self>> {
        let name = ServerName::parse(node.domains().first()?.as_str()).ok()?;
        let sync = crate::sync::Sync::new(node.now());
        let receipts = crate::receipts::Changes::new(node.last_seq());
        let bells = Arc::new(Bells::default());
        let rooms = Rooms::new(node.clone(), name.clone(), bells.clone())
            .inspect_err(|why| tracing::error!(%why, "the rooms of Matrix can't be read"))
            .ok()?;
        tokio::spawn(Rooms::run(Arc::downgrade(&rooms)));
        let matrix = Arc::new(Self {
            auth: Auth::new(accounts.clone(), config.limits),
            oauth: crate::oauth::OAuth::default(),
            open_id: crate::discovery::OpenId::default(),
            keys: Keys::new(node.last_seq()),
            queues: Queues::default(),
            pushers: crate::push::Pushers::new(config.fetcher.as_ref()),
            node,
            accounts,
            config: Setting::new(config),
            name,
            bells,
            host,
            media: Media::default(),
            sync,
            rules: crate::push::Rules::default(),
            unread: crate::push::Unread::default(),
            receipts,
            timers: crate::typing::Timers::default(),
            rooms,
        });
        matrix.rooms.belongs_to(&matrix);
        let this = Arc::downgrade(&matrix);
        matrix.node.when_devices_go(Box::new(move |tx, device| {
            if let Some(this) = this.upgrade() {
                crate::keys::device_goes(tx, &this, device);
                crate::push::pushers::device_goes(tx, &this, device);
            }
        }));
        crate::receipts::begin(&matrix);
        crate::push::pushers::begin(&matrix);
        Some(matrix)
    }

    /// Rings an account's bell once the batch is committed.
    pub(crate) fn ring_after(&self, tx: &mut Tx<'_>, account: &Address) {
        let (bells, account) = (self.bells.clone(), account.clone());
        tx.after(move |_| bells.ring(&account));
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
        match &self.config.get().base {
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
