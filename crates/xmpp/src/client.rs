//! One signed-in client: whose it is, what it asked for, and its queue. It outlives its connection (XEP-0198).

use std::any::{Any, TypeId};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use sammen_core::live::{Payload, Session};
use sammen_core::tx::Tx;
use sammen_core::{Address, Device, Node, Origin, Outcome, Principal, Sent, Seq};
use tokio::sync::Notify;

use crate::c2s::inbound::Inbound;
use crate::c2s::out::Out;
use crate::caps::Caps;
use crate::server::Server;
use crate::wire::{Element, Jid, StanzaError, Str};

/// What other sessions of the node may look at, in [`Session::extra`] (see [`shown`]).
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The full JID.
    pub jid: Option<Jid>,
    /// What the client can do and wants (XEP-0115, `+notify`).
    pub caps: Arc<Caps>,
    /// Copies of messages are wanted (XEP-0280).
    pub carbons: bool,
}

/// What an XMPP session shows to others; `None` for sessions of other protocols.
pub fn shown(session: &Session) -> Option<Arc<Shown>> {
    let extra = session.extra.read().clone()?;
    extra.downcast::<Shown>().ok()
}

/// What the client asked for so far.
#[derive(Default)]
pub struct State {
    /// Carbons are on (XEP-0280).
    pub carbons: bool,
    /// It asked for its roster, so it gets pushes (RFC 6121 §2.1.6).
    pub interested: bool,
    /// It asked for its block list, so it gets pushes (XEP-0191 §3.3).
    pub blocklist: bool,
    /// It sent initial presence and did not take it back.
    pub available: bool,
    /// Its priority, while available.
    pub priority: i8,
    /// It read the archive: messages that waited are not sent again.
    pub read_archive: bool,
    /// Whom it sent directed presence (RFC 6121 §4.6); rooms are not among them.
    pub directed: BTreeSet<Str>,
    /// What it can do and wants.
    pub caps: Arc<Caps>,
    /// Requests of the node that it has not answered, by id.
    pub asked: HashMap<Str, crate::caps::Asked>,
    /// Contacts' resources that it knows to be available.
    pub seen: BTreeSet<Str>,
    /// Messages to the bare address up to here are not for it: it was not there, or got them as late ones.
    pub since: Seq,
    /// Everything up to here reached its queue.
    pub cursor: Seq,
}

/// A signed-in client.
pub struct Client {
    /// What all streams share.
    pub server: Arc<Server>,
    /// The node.
    pub node: Node,
    /// Its session.
    pub session: Arc<Session>,
    /// Its device.
    pub device: Arc<Device>,
    /// Whose it is.
    pub account: Address,
    /// Its full address.
    pub jid: Jid,
    /// Its bare address, as text.
    pub bare: Str,
    /// What it asked for.
    pub state: Mutex<State>,
    pub(crate) out: Mutex<Out>,
    pub(crate) inbound: Mutex<Inbound>,
    /// Rings when there is output, or the connection shall end.
    pub(crate) bell: Notify,
    /// Held by the task that drives the client: one connection, or its hibernation.
    pub(crate) driven: Arc<tokio::sync::Mutex<()>>,
    /// Rings when another connection takes the client over.
    pub(crate) taken: Notify,
    /// What it has still to get from the log.
    pub(crate) lag: Mutex<crate::c2s::lag::Lag>,
    /// How it can be resumed, once it asked for that.
    pub(crate) resume: Mutex<Option<crate::c2s::sm::Resume>>,
    /// Its session is over.
    pub(crate) ended: AtomicBool,
    shelf: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Client {
    /// A client for a session that began.
    pub fn new(
        server: Arc<Server>,
        session: Arc<Session>,
        device: Arc<Device>,
        jid: Jid,
        cursor: Seq,
    ) -> Arc<Self> {
        let client = Self {
            node: server.node.clone(),
            account: session.account.clone(),
            bare: Str::new(jid.bare_str()),
            state: Mutex::new(State {
                cursor,
                ..State::default()
            }),
            out: Mutex::new(Out::new(server.config.get().unacked)),
            inbound: Mutex::default(),
            bell: Notify::new(),
            driven: Arc::default(),
            lag: Mutex::default(),
            resume: Mutex::default(),
            ended: AtomicBool::new(false),
            taken: Notify::new(),
            shelf: Mutex::default(),
            server,
            session,
            device,
            jid,
        };
        client.show();
        Arc::new(client)
    }

    /// The principal that it acts as.
    pub fn principal(&self) -> Principal {
        Principal::Of(self.account.clone())
    }

    /// Sends a stanza to the client.
    pub fn send(&self, stanza: &Element) {
        self.out.lock().stanza(stanza);
        self.bell.notify_one();
    }

    /// Sends a stanza that is written by `write`: for the many copies of one message (see
    /// [`crate::wire::write::envelope`], with [`crate::wire::Context::CLIENT`]).
    pub fn send_with(&self, write: impl FnOnce(&mut BytesMut)) {
        self.out.lock().written(write);
        self.bell.notify_one();
    }

    /// Sends a stanza that was written for [`crate::wire::Context::CLIENT`] before and may be shared.
    pub fn send_bytes(&self, stanza: Bytes) {
        self.out.lock().bytes(stanza);
        self.bell.notify_one();
    }

    /// Sends a stanza that a person need not see at once (presence, typing): while the client is inactive (XEP-0352)
    /// it waits for the next important one, and a later one under the same key replaces it.
    pub fn send_quiet(&self, key: &str, write: impl FnOnce(&mut BytesMut)) {
        if self.out.lock().quiet(key, write) {
            self.bell.notify_one();
        }
    }

    /// Sends a result to an IQ of this client's.
    pub fn result(&self, id: &str, from: Option<&Jid>, child: Option<Element>) {
        let result = Element::new(crate::wire::ns::CLIENT, "iq")
            .attr("type", "result")
            .attr("id", id)
            .attr_opt("from", from.map(Jid::to_str))
            .attr("to", self.jid.to_str())
            .children(child);
        self.send(&result);
    }

    /// Sends an error in answer to a stanza of this client's; nothing where none may be sent.
    pub fn refuse(&self, stanza: &Element, error: &StanzaError) {
        if let Some(mut reply) = error.reply_to(stanza) {
            reply.set("to", self.jid.to_str());
            self.send(&reply);
        }
    }

    /// Hands a write to the node without waiting for it. It belongs to the stanza that is being handled: that counts
    /// as handled (XEP-0198 `h`) once the write is durable, and `stanza` is answered with an error if it is refused.
    pub async fn submit(
        &self,
        stanza: &Element,
        write: impl FnOnce(&mut Tx<'_>, Origin) -> Outcome<Sent> + Send + 'static,
    ) {
        let (ticket, count) = self.inbound.lock().submit(stanza);
        let origin = self.origin(count);
        self.node
            .submit(&self.session, ticket, move |tx| write(tx, origin))
            .await;
    }

    /// The origin of a write that is not counted.
    pub fn plain_origin(&self) -> Origin {
        self.origin(None)
    }

    fn origin(&self, inbound: Option<u32>) -> Origin {
        Origin {
            session: Some(self.session.id),
            // Visitors have none.
            device: (self.device.id.0 > 0).then_some(self.device.id),
            inbound,
        }
    }

    /// Publishes what other sessions may look at.
    pub fn show(&self) {
        let state = self.state.lock();
        let shown: Payload = Arc::new(Shown {
            jid: Some(self.jid.clone()),
            caps: state.caps.clone(),
            carbons: state.carbons,
        });
        *self.session.extra.write() = Some(shown);
    }

    /// What a feature keeps for this client, made at first use.
    pub fn own<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
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
