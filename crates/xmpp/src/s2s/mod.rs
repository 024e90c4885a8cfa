//! Federation: streams to and from other servers, and what travels on them.
//!
//! ```text
//! core's outbox ─ network.rs (deliver) ─┐                                  ┌─ incoming.rs ─ flow.rs ◄─ listener
//! core's state  ─ network.rs (state)  ──┼► Federation::send ─ peer (queue) │
//! a client's IQ ─ stanza.rs           ──┘        │                         └► route.rs ► visitor.rs ► message.rs,
//!                                        outgoing.rs ─ opening.rs ─ flow.rs ─► socket                 presence.rs, muc/, pep/ …
//! ```
//!
//! **How the rest of the crate uses it.** [`crate::Server::federation`] gives the [`Federation`] where there is one.
//! * *A stanza to another server*: build it with `from` and `to` and call [`Federation::send`]. It goes out in order on
//!   the stream of (domain of `from`, domain of `to`), which is opened where there is none. It waits for that in a bounded
//!   queue and is kept nowhere: when the server can't be reached, requests, messages and directed presence come back to
//!   the local sender as a stanza error. Bytes that were written for [`crate::wire::Context::CLIENT`] are right for a
//!   stream between servers too, because both have their stanzas in the default namespace ([`Federation::send_bytes`]).
//! * *A message that must not be lost* is an event of a conversation with a remote address: core puts it into its outbox,
//!   [`network`] delivers it when the peer can be reached, and it counts as delivered when the peer has acknowledged it
//!   (XEP-0198, or a ping behind it, [`barrier`]).
//! * *What a remote person may see* (presence, contact requests, typing, [`crate::live_stanza::LiveStanza`], PEP
//!   notifications) is told to `Address::remote("xmpp", …)` with `tx.tell_account`, as to an account.
//! * *A stanza from another server* reaches [`route`]: the sender's full JID becomes a visitor ([`visitor`]): a
//!   [`crate::Client`] whose account is the remote address, so that every IQ handler, room and node works for it as for
//!   a client of ours. What the node sends to such a client goes out by `send_bytes`.
//! * *Rooms elsewhere*: presence and messages of a local client to a room on another server are passed on as they are;
//!   what the room sends to one of our full JIDs is [`crate::elsewhere`]'s: for that client, and for people on other
//!   protocols.

mod barrier;
pub mod component;
pub mod config;
pub mod dialback;
mod flow;
pub mod fuzz;
mod gate;
pub mod incoming;
pub mod network;
mod opening;
pub mod outgoing;
mod peer;
pub mod pipe;
mod presence;
pub mod route;
mod tally;
pub mod visitor;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use sammen_core::outbox;
use sammen_core::setting::Setting;
use sammen_net::CancellationToken;
use sammen_net::Secret;
use sammen_net::dial::{ClientTls, Dialer, Service, Trust};

pub use config::Config;
pub use flow::serve;

use crate::server::Server;
use crate::wire::{Context, Element, Jid, Str, write};
use barrier::Barriers;
use component::Components;
use dialback::Secret as DialbackSecret;
use peer::Peer;
use pipe::{Failure, Item};
pub(crate) use tally::Token;
use tokio::sync::oneshot;
use visitor::Visitors;

/// RFC 6120 §3.2.1 and XEP-0368.
pub const SERVICE: Service = Service {
    starttls: "_xmpp-server._tcp",
    direct: Some("_xmpps-server._tcp"),
    port: 5269,
};
/// XEP-0368 §3: the name in ALPN.
pub const ALPN: &str = "xmpp-server";

/// What federation needs of the outside.
pub struct Ways {
    /// Finds and reaches other servers.
    pub dialer: Dialer,
    /// TLS towards them.
    pub tls: ClientTls,
    /// Which certificates prove something.
    pub trust: Trust,
}

/// Federation of one node.
pub struct Federation {
    pub(crate) config: Setting<Config>,
    pub(crate) ways: Setting<Ways>,
    pub(crate) secret: DialbackSecret,
    bound: OnceLock<Bound>,
    peers: Mutex<HashMap<(Str, Str), Arc<Peer>>>,
    pub(crate) visitors: Visitors,
    pub(crate) barriers: Barriers,
    pub(crate) components: Components,
    pub(crate) down: CancellationToken,
}

/// What is known once the node runs.
struct Bound {
    server: Weak<Server>,
    runtime: tokio::runtime::Handle,
}

impl Federation {
    /// Federation with these settings. It is one of the node's networks, so it is made before the node; it begins to
    /// work with [`Federation::begin`].
    pub fn new(config: Config, ways: Ways) -> Arc<Self> {
        let random: [u8; 32] = rand::random();
        Arc::new(Self {
            config: Setting::new(config),
            ways: Setting::new(ways),
            secret: DialbackSecret::new(&random),
            bound: OnceLock::new(),
            peers: Mutex::default(),
            visitors: Visitors::default(),
            barriers: Barriers::default(),
            components: Components::default(),
            down: CancellationToken::new(),
        })
    }

    /// Other settings, and other ways to find and trust servers, from now on. Streams that exist go on as they are.
    pub fn reconfigure(&self, config: Config, ways: Ways) {
        self.config.set(config);
        self.ways.set(ways);
    }

    /// The components that may connect (XEP-0114), by their domain, with their secrets.
    pub fn set_components(&self, known: HashMap<String, Secret>) {
        self.components.set(known);
    }

    /// Whether a domain is served by a component.
    pub(crate) fn is_component(&self, domain: &str) -> bool {
        self.components.knows(domain)
    }

    /// The node runs. Call it on the runtime that its streams shall live on.
    pub fn begin(self: &Arc<Self>, server: &Arc<Server>) {
        let bound = Bound {
            server: Arc::downgrade(server),
            runtime: tokio::runtime::Handle::current(),
        };
        let _ = self.bound.set(bound);
        let _ = server.federation.set(self.clone());
        let weak = Arc::downgrade(self);
        crate::elsewhere::begin(server, move |stanza| {
            if let Some(federation) = weak.upgrade() {
                federation.send(stanza);
            }
        });
        let node = server.node.clone();
        tokio::spawn(async move {
            if let Err(why) = visitor::end_ghosts(&node).await {
                tracing::warn!(%why, "people of other servers could not be taken out of rooms");
            }
        });
    }

    /// The node goes down: streams are closed.
    pub fn end(&self) {
        self.down.cancel();
    }

    pub(crate) fn server(&self) -> Option<Arc<Server>> {
        self.bound.get()?.server.upgrade()
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(bound) = self.bound.get() {
            bound.runtime.spawn(task);
        }
    }

    /// The time as certificates have it.
    pub(crate) fn now(&self) -> SystemTime {
        let ms = self.server().map_or(0, |s| s.node.now().0);
        SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }

    /// Whether the certificate of a connection proves a domain.
    pub(crate) fn proves(
        &self,
        chain: &[sammen_net::dial::Certificate],
        domain: &str,
    ) -> Result<(), String> {
        let name = ascii(domain);
        self.ways
            .get()
            .trust
            .verify(chain, &name, self.now())
            .map_err(|e| e.to_string())
    }

    /// Sends a stanza with `from` and `to` to another server. It is kept nowhere; see the module's words.
    pub fn send(self: &Arc<Self>, stanza: &Element) {
        self.send_with(stanza, None);
    }

    /// The same for somebody who waits for the peer to have it.
    pub(crate) fn send_with(
        self: &Arc<Self>,
        stanza: &Element,
        done: Option<oneshot::Sender<Result<(), Failure>>>,
    ) {
        let mut out = BytesMut::new();
        write::element(&mut out, stanza, Context::CLIENT);
        let address = |name| stanza.get(name).and_then(|a| Jid::new(a).ok());
        let (Some(from), Some(to)) = (address("from"), address("to")) else {
            return;
        };
        let shell = gate::comes_back(stanza).then(|| Box::new(stanza.shell()));
        let bytes = out.freeze();
        self.enqueue(from.domain(), to.domain(), Item { bytes, done, shell });
    }

    /// Sends a stanza that was written before. `shell` is its envelope (with `from`, `to`, `type`, `id`) where its local
    /// sender shall get an error if it can't be delivered.
    pub fn send_bytes(
        self: &Arc<Self>,
        local: &str,
        remote: &str,
        bytes: Bytes,
        shell: Option<Box<Element>>,
    ) {
        let item = Item {
            bytes,
            done: None,
            shell,
        };
        self.enqueue(local, remote, item);
    }

    pub(crate) fn enqueue(self: &Arc<Self>, local: &str, remote: &str, item: Item) {
        if self.is_component(remote) {
            let most = self.config.get().waiting_bytes;
            if let Err((item, why)) = self.components.send(remote, item, most) {
                self.fail(item, &why);
            }
            return;
        }
        if !self.config.get().speaks_with(remote) {
            return self.fail(item, &Failure::Forbidden);
        }
        match self.peer(local, remote) {
            Some(peer) => peer.send(self, item),
            None => self.fail(item, &Failure::Busy),
        }
    }

    /// The queue towards a domain.
    pub(crate) fn peer(&self, local: &str, remote: &str) -> Option<Arc<Peer>> {
        let mut peers = self.peers.lock();
        let key = (Str::new(local), Str::new(remote));
        if let Some(peer) = peers.get(&key) {
            return Some(peer.clone());
        }
        if peers.len() >= self.config.get().peers {
            let now = tokio::time::Instant::now();
            peers.retain(|_, peer| !peer.is_idle(now));
            if peers.len() >= self.config.get().peers {
                return None;
            }
        }
        let peer = Arc::new(Peer::new(key.0.clone(), key.1.clone()));
        peers.insert(key, peer.clone());
        Some(peer)
    }

    /// Something did not reach its server.
    pub(crate) fn fail(self: &Arc<Self>, item: Item, why: &Failure) {
        if let Some(done) = item.done {
            let _ = done.send(Err(why.clone()));
        }
        if let Some(shell) = item.shell {
            gate::give_back(self, &shell, why);
        }
    }

    /// A server shows that it lives: what waits for it is tried at once.
    pub(crate) fn lives(&self, local: &str, remote: &str) {
        if let Some(peer) = self.peers.lock().get(&(Str::new(local), Str::new(remote))) {
            peer.revive();
        }
        if let Some(server) = self.server() {
            server
                .node
                .retry_outbox(&outbox::destination(network::NAME, remote));
        }
    }
}

impl std::fmt::Debug for Federation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Federation")
    }
}

/// A domain as DNS and certificates have it (RFC 5890).
pub(crate) fn ascii(domain: &str) -> String {
    idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned())
}

/// Whether a host is one of ours: a domain of the node, or one label below it.
pub fn is_ours(domains: &[sammen_core::Domain], host: &str) -> bool {
    let known = |host: &str| domains.iter().any(|d| d.as_str() == host);
    known(host) || host.split_once('.').is_some_and(|(_, rest)| known(rest))
}
