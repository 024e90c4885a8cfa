//! A running node: assembled from its configuration, served, reloaded, and taken down in order. `try` and `serve` share it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use sammen_core::clock::SystemClock;
use sammen_core::document::Owner;
use sammen_core::network::Network;
use sammen_core::tx::Expect;
use sammen_core::upkeep::Retention;
use sammen_core::{Clock, Domain, Node, Options};
use sammen_net::accounts::Accounts;
use sammen_net::http::HttpConfig;
use sammen_net::tls::{CertificateFiles, Source, Tls};
use sammen_net::{CancellationToken, ConnectionLimits};
use sammen_store::SqliteStore;
use sammen_xmpp::s2s::Federation;
use tokio::task::{JoinHandle, JoinSet};

use crate::admin::Admin;
use crate::config::{self, Config};
use crate::listen::{self, Bound, Family};
use crate::metered::Metered;
use crate::metrics::Metrics;
use crate::protocols::{self, Protocols};
use crate::{admin, federation, limits, metrics};

/// The node's shelf on which the domain stands that the data folder belongs to.
const NODE: &str = "node";
const DOMAIN: &str = "domain";
/// Search is fed so soon after a commit; while nothing happens the pauses grow to the second one.
const FEED: Duration = Duration::from_millis(200);
const FEED_AT_REST: Duration = Duration::from_secs(2);
/// Between two looks for files whose days are over.
const HOUR: Duration = Duration::from_secs(3600);
/// In all for going down: listeners drain, then the writer ends.
const DOWN: Duration = Duration::from_secs(5);

/// The node without its listeners: what the administration commands need when no node runs.
pub struct Assembled {
    /// The store, for what only it can do (backup).
    pub store: Arc<SqliteStore>,
    /// The node.
    pub node: Node,
    /// Its accounts.
    pub accounts: Arc<Accounts>,
    /// What the store does is counted here.
    pub metrics: Arc<Metrics>,
    /// The data folder.
    pub data: PathBuf,
    /// How the outside reaches the HTTP listener.
    pub front: Option<String>,
    /// Other servers, where the node listens and speaks with any.
    pub federation: Option<Arc<Federation>>,
}

/// A node that listens.
pub struct Running {
    /// Node, store, accounts.
    pub assembled: Assembled,
    /// Certificates.
    pub tls: Arc<Tls>,
    /// Where it listens.
    pub addresses: Addresses,
    protocols: Protocols,
    listeners: JoinSet<()>,
    limits: Arc<ConnectionLimits>,
    shutdown: CancellationToken,
    chores: Chores,
}

/// Where a node listens: addresses with the ports that were chosen.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// XMPP.
    pub xmpp: Vec<(config::Security, SocketAddr)>,
    /// XMPP, for other servers.
    pub s2s: Vec<(config::Security, SocketAddr)>,
    /// IRC.
    pub irc: Vec<(config::Security, SocketAddr)>,
    /// HTTP.
    pub http: Vec<(config::Security, SocketAddr)>,
    /// Metrics.
    pub metrics: Vec<SocketAddr>,
}

impl Addresses {
    /// All of them.
    pub fn all(&self) -> Vec<SocketAddr> {
        let families = [&self.xmpp, &self.s2s, &self.irc, &self.http];
        let listeners = families.into_iter().flatten().map(|(_, address)| *address);
        listeners.chain(self.metrics.iter().copied()).collect()
    }
}

struct Chores {
    upkeep: Mutex<JoinHandle<()>>,
    feeding: JoinHandle<()>,
    forgetting: Mutex<JoinHandle<()>>,
}

/// The time as the standard library has it.
pub fn now() -> SystemTime {
    let ms = u64::try_from(SystemClock.now().0).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

/// The domain that a store belongs to; `None` for a new one.
///
/// # Errors
/// When the store can't be read.
pub fn domain_of(store: &dyn sammen_core::store::Store) -> anyhow::Result<Option<Domain>> {
    let known = store.document(&Owner::Node, NODE, DOMAIN)?;
    let Some(value) = known.and_then(|d| d.value) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&value).context("the data folder's domain can't be read")?;
    Ok(Some(Domain::new(text)?))
}

/// Opens the data folder and starts the node on it. The first start gives the folder its domain.
///
/// # Errors
/// When the folder is in use, damaged, or another domain's.
pub async fn assemble(config: &Config) -> anyhow::Result<Assembled> {
    assemble_with(config, None).await
}

/// The same, with federation.
async fn assemble_with(
    config: &Config,
    federation: Option<Arc<Federation>>,
) -> anyhow::Result<Assembled> {
    let store = Arc::new(
        SqliteStore::open(&config.data)
            .with_context(|| format!("cannot open the data folder {}", config.data.display()))?,
    );
    let known = domain_of(&*store)?;
    if let Some(known) = known.as_ref().filter(|known| **known != config.domain) {
        bail!(
            "the data folder {} belongs to {known}, not to {}",
            config.data.display(),
            config.domain
        );
    }
    let metrics = Arc::new(Metrics::default());
    let metered = Metered::new(store.clone(), metrics.store.clone());
    let options = Options {
        limits: limits::core(&config.limits),
        requests_between_accounts: config.accounts.requests_between_accounts,
        rooms_by_anyone: config.accounts.rooms_by_anyone,
        networks: federation.iter().map(port).collect(),
        ..Options::new(config.domain.clone())
    };
    let node = Node::start(Arc::new(metered), options)?;
    if known.is_none() {
        let name = bytes::Bytes::copy_from_slice(config.domain.as_str().as_bytes());
        node.write(move |tx| {
            tx.put_document(&Owner::Node, NODE, DOMAIN, Expect::Anything, Some(name))
        })
        .await?;
    }
    let accounts = Accounts::open(
        node.clone(),
        limits::iterations(&config.passwords),
        limits::throttle(&config.passwords),
    )
    .await?;
    Ok(Assembled {
        store,
        node,
        accounts,
        metrics,
        data: config.data.clone(),
        front: protocols::configured_url(config),
        federation,
    })
}

impl Assembled {
    /// What administration works on.
    pub fn admin(&self) -> Admin {
        Admin {
            node: self.node.clone(),
            accounts: self.accounts.clone(),
            store: self.store.clone(),
            data: self.data.clone(),
            front: self.front.clone(),
            listens: None,
        }
    }

    /// Waits for the writer and closes the store.
    pub async fn close(self) {
        let Self { node, accounts, .. } = self;
        drop(accounts);
        let _ = tokio::task::spawn_blocking(move || node.stop()).await;
    }
}

/// Federation as core's network.
fn port(federation: &Arc<Federation>) -> Arc<dyn Network> {
    Arc::new(sammen_xmpp::s2s::network::Port(federation.clone()))
}

/// Names in the node's own certificate.
fn own_names(config: &Config) -> Vec<String> {
    let domain = config.domain.as_str();
    let mut names = vec![domain.to_owned()];
    names.extend(["rooms", "upload", "irc"].map(|host| format!("{host}.{domain}")));
    let listeners = [
        &config.xmpp.listen,
        &config.xmpp.s2s.listen,
        &config.xmpp.components.listen,
        &config.irc.listen,
        &config.http.listen,
    ];
    for listen in listeners.into_iter().flatten() {
        let ip = listen.address.ip();
        let name = ip.to_string();
        if !ip.is_unspecified() && !names.contains(&name) {
            names.push(name);
        }
    }
    names.extend(config.tls.names.iter().cloned());
    names
}

fn source(config: &Config) -> Source {
    if config.tls.certificates.is_empty() {
        return Source::Own {
            folder: config.data.join("tls"),
            names: own_names(config),
        };
    }
    let files = config.tls.certificates.iter().map(|file| CertificateFiles {
        chain: file.chain.clone(),
        key: file.key.clone(),
    });
    Source::Files(files.collect())
}

/// The certificates that a configuration names, or the node's own.
///
/// # Errors
/// When a file is missing or no certificate.
pub fn certificates(config: &Config) -> anyhow::Result<Tls> {
    Ok(Tls::new(source(config), now())?)
}

/// Assembles the node and listens. Clients that connect are served when this returns.
///
/// # Errors
/// When the data folder, a certificate or an address can't be used.
pub async fn start(config: &Config) -> anyhow::Result<Running> {
    let tls = Arc::new(certificates(config)?);
    let federation = federation::build(&config.xmpp, &tls)?;
    let mut assembled = assemble_with(config, federation).await?;
    let limits = ConnectionLimits::new(
        config.limits.connections,
        config.limits.connections_per_address,
    );
    let family = |name, alpn, client_certificates, sniff| Family {
        name,
        alpn,
        client_certificates,
        sniff,
        handshake: Duration::from_secs(u64::from(config.limits.handshake_seconds)),
    };
    // RFC 7301 and the registry: xmpp-client (XEP-0368), irc.
    let xmpp = family("xmpp", &["xmpp-client"], true, true);
    let s2s = family("s2s", &[sammen_xmpp::s2s::ALPN], true, true);
    let irc = family("irc", &["irc"], true, false);
    let http = family("http", &[sammen_net::http::ALPN], false, false);
    let xmpp = listen::bind(&xmpp, &config.xmpp.listen, &tls, &limits)?;
    let s2s = match &assembled.federation {
        Some(_) => listen::bind(&s2s, &config.xmpp.s2s.listen, &tls, &limits)?,
        None => Vec::new(),
    };
    let components = family("component", &[], false, true);
    let components = match &assembled.federation {
        Some(_) => listen::bind(&components, &config.xmpp.components.listen, &tls, &limits)?,
        None => Vec::new(),
    };
    let irc = listen::bind(&irc, &config.irc.listen, &tls, &limits)?;
    let http = listen::bind(&http, &config.http.listen, &tls, &limits)?;
    let told = |bound: &[Bound]| bound.iter().map(|b| (b.security, b.address())).collect();
    let mut addresses = Addresses {
        xmpp: told(&xmpp),
        s2s: told(&s2s),
        irc: told(&irc),
        http: told(&http),
        metrics: Vec::new(),
    };
    assembled.front = protocols::http_url(config, &addresses);
    let protocols = Protocols::new(config, &assembled, &addresses)?;
    let shutdown = CancellationToken::new();
    let mut listeners = JoinSet::new();
    for bound in xmpp {
        let serve = listen::counted(assembled.metrics.xmpp.clone(), protocols.xmpp_handler());
        listeners.spawn(bound.listener.serve(serve, shutdown.clone()));
    }
    for bound in s2s {
        let serve = listen::counted(assembled.metrics.s2s.clone(), protocols.s2s_handler());
        listeners.spawn(bound.listener.serve(serve, shutdown.clone()));
    }
    for bound in components {
        let serve = listen::counted(assembled.metrics.s2s.clone(), protocols.component_handler());
        listeners.spawn(bound.listener.serve(serve, shutdown.clone()));
    }
    for bound in irc {
        let serve = listen::counted(assembled.metrics.irc.clone(), protocols.irc_handler());
        listeners.spawn(bound.listener.serve(serve, shutdown.clone()));
    }
    for bound in http {
        listeners.spawn(sammen_net::http::serve(
            bound.listener,
            protocols.http_router(),
            HttpConfig::default(),
            shutdown.clone(),
        ));
    }
    for address in config.metrics.listen.iter().copied() {
        let family = family("metrics", &[], false, false);
        let security = sammen_net::Security::Plain {
            tls: None,
            beyond_loopback: config.metrics.beyond_loopback,
        };
        // Not among the connections of clients: a crowd must not blind the operator.
        let listener =
            listen::bind_one(&family, address, security, &ConnectionLimits::new(64, 64))?;
        addresses.metrics.push(listener.local_addr());
        let router = metrics::router(
            assembled.metrics.clone(),
            assembled.node.clone(),
            assembled.accounts.clone(),
        );
        let http = HttpConfig::default();
        listeners.spawn(sammen_net::http::serve(
            listener,
            router,
            http,
            shutdown.clone(),
        ));
    }
    let socket = admin::socket::listen(&config.data)?;
    let admin = Admin {
        listens: Some(addresses.all()),
        ..assembled.admin()
    };
    listeners.spawn(admin::socket::serve(socket, admin, shutdown.clone()));
    let chores = Chores {
        upkeep: Mutex::new(keep_up(&assembled.node, config)),
        feeding: tokio::spawn(feed_search(assembled.node.clone())),
        forgetting: Mutex::new(forget_files(&assembled.node, config)),
    };
    Ok(Running {
        assembled,
        tls,
        addresses,
        protocols,
        listeners,
        limits,
        shutdown,
        chores,
    })
}

fn keep_up(node: &Node, config: &Config) -> JoinHandle<()> {
    let retention = Retention {
        days: config.retention.days,
    };
    tokio::spawn(node.clone().keep_up(retention))
}

/// Takes away what people uploaded once its days are over, by the hour.
fn forget_files(node: &Node, config: &Config) -> JoinHandle<()> {
    let (node, days) = (node.clone(), config.retention.days);
    tokio::spawn(async move {
        loop {
            match sammen_net::files::forget(&node, days, node.now()).await {
                Ok(0) => {}
                Ok(gone) => tracing::info!(gone, "files went whose days are over"),
                Err(error) => tracing::warn!(%error, "old files could not be taken away"),
            }
            tokio::time::sleep(HOUR).await;
        }
    })
}

/// Feeds search whenever something was committed: at once after a rest, and otherwise in steps that leave the log alone.
async fn feed_search(node: Node) {
    let mut fed = None;
    let mut pause = FEED;
    loop {
        let last = node.last_seq();
        if fed == Some(last) {
            pause = (pause + FEED).min(FEED_AT_REST);
        } else {
            pause = FEED;
            match node.feed_search().await {
                Ok(_) => fed = Some(last),
                Err(error) => tracing::warn!(%error, "search could not be fed"),
            }
        }
        tokio::time::sleep(pause).await;
    }
}

impl Running {
    /// Takes in what can change while it runs: certificates, and all of the configuration but what it was built with.
    /// That is named in the log, and so is what could not be taken in.
    pub fn reload(&self, old: &Config, new: &Config) {
        match self.tls.reload(source(new), now()) {
            Ok(()) => tracing::info!("certificates were read again"),
            Err(error) => {
                tracing::error!(%error, "certificates could not be read; the old ones stay")
            }
        }
        let Assembled {
            node,
            accounts,
            federation,
            ..
        } = &self.assembled;
        if old.retention != new.retention {
            let mut upkeep = self.chores.upkeep.lock();
            upkeep.abort();
            *upkeep = keep_up(node, new);
            let mut forgetting = self.chores.forgetting.lock();
            forgetting.abort();
            *forgetting = forget_files(node, new);
        }
        node.set_rules(limits::rules(new));
        accounts
            .throttle
            .reconfigure(limits::throttle(&new.passwords));
        accounts.set_iterations(limits::iterations(&new.passwords));
        self.limits
            .change(new.limits.connections, new.limits.connections_per_address);
        if let Err(error) = self.protocols.reload(new, &self.addresses) {
            tracing::error!("what protocols were told stays as it was: {error:#}");
        }
        if let Some(federation) = federation
            && (old.xmpp.s2s != new.xmpp.s2s
                || old.xmpp.routes != new.xmpp.routes
                || old.xmpp.components != new.xmpp.components)
            && let Err(error) = federation::reload(federation, &new.xmpp, &self.tls)
        {
            tracing::error!("xmpp.s2s stays as it was: {error:#}");
        }
        for key in old.needs_restart(new) {
            tracing::warn!("{key} changed: restart the node for it to take effect");
        }
        tracing::info!("the configuration was read again");
    }

    /// A link that makes the first administrator, while nobody has an account.
    pub async fn first_link(&self) -> Option<String> {
        self.protocols.first_link().await
    }

    /// Tells protocols in which an operator can ask for it (IRC REHASH) how to read the configuration again.
    pub fn on_rehash(&self, read: impl Fn() -> Option<Config> + Send + Sync + 'static) {
        self.protocols.on_rehash(read, self.addresses.clone());
    }

    /// Resolves when the store failed.
    pub async fn failed(&self) -> String {
        self.assembled.node.failed().await
    }

    /// Takes the node down: sessions are told, connections drain, the writer ends. At most five seconds.
    pub async fn stop(self) {
        let Self {
            assembled,
            protocols,
            mut listeners,
            shutdown,
            chores,
            ..
        } = self;
        assembled.node.announce_shutdown();
        shutdown.cancel();
        if let Some(federation) = &assembled.federation {
            federation.end();
        }
        chores.upkeep.lock().abort();
        chores.feeding.abort();
        chores.forgetting.lock().abort();
        let down = async {
            while listeners.join_next().await.is_some() {}
            drop(protocols);
            assembled.close().await;
        };
        if tokio::time::timeout(DOWN, down).await.is_err() {
            tracing::warn!("not everything ended in time");
        }
    }
}
