//! One connection as a state machine: lines and deliveries in, lines out. No IO.
//!
//! Order: what a client submits takes effect in its order. Messages are submitted without waiting; every other command
//! first waits until those are done and shows what was announced meanwhile ([`Session::settle`]), so that the answer
//! to a PING stands behind all that went before it.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sammen_core::live;
use sammen_core::{
    Address, ConversationId, Convo, Delivery, EventId, Principal, Seq, SessionId, Timestamp,
    account::Device, principal::Origin,
};
use sammen_net::sasl::Channel;

use crate::commands;
use crate::multiline::Open;
use crate::registration::Registration;
use crate::reply::Capture;
use crate::server::Server;
use crate::wire::caps::{Cap, CapSet};
use crate::wire::standard::codes;
use crate::wire::{Line, Message, Numeric, ParseError, tags};

/// Who is at the other end, as the session needs to know.
#[derive(Clone, Debug)]
pub struct Client {
    /// Where from.
    pub address: IpAddr,
    /// TLS and what it tells.
    pub channel: Channel,
    /// Signing in without TLS is allowed.
    pub plain_allowed: bool,
}

/// A room that this session is in.
pub(crate) struct Inside {
    /// Everything up to here is history to this session.
    pub since: Seq,
    /// The room as this session was told of it last.
    pub shown: Arc<Convo>,
    /// Its name.
    pub channel: String,
}

/// Something submitted whose outcome has not come yet.
pub(crate) struct Pending {
    pub ticket: u64,
    pub label: Option<String>,
    /// What the client wrote to: a channel or nick, as written.
    pub target: String,
    pub verb: &'static str,
}

/// The signed-in half of a session.
pub(crate) struct Me {
    pub session: Arc<live::Session>,
    pub account: Address,
    pub nick: String,
    pub mask: String,
    pub device: Arc<Device>,
    /// Everything up to here was shown to this device.
    pub cursor: Seq,
    pub saved: Seq,
    pub rooms: HashMap<ConversationId, Inside>,
    pub next_ticket: u64,
    pub pending: VecDeque<Pending>,
    /// Which event came of which labelled ticket: written inside the writer, before the event is announced.
    pub labelled: Arc<Mutex<Vec<(EventId, u64)>>>,
    pub away: Option<String>,
    /// Whom clients were told to be away (by AWAY lines).
    pub told_away: HashMap<Address, bool>,
    pub monitor: Vec<crate::commands::monitor::Watched>,
    /// The latest conversation-author pairs whose encrypted events were told.
    pub encrypted: HashMap<ConversationId, Address>,
    pub oper: bool,
}

/// What others of this protocol can know of a session.
pub(crate) struct Extra {
    pub signed_on: Timestamp,
    /// Unix milliseconds of the last message.
    pub active: std::sync::atomic::AtomicI64,
    pub secure: bool,
    /// An IRC operator, just now.
    pub oper: std::sync::atomic::AtomicBool,
}

/// One connection's state.
pub struct Session {
    pub(crate) server: Arc<Server>,
    pub(crate) client: Client,
    pub(crate) caps: CapSet,
    pub(crate) v302: bool,
    pub(crate) registration: Registration,
    pub(crate) me: Option<Me>,
    /// Open client batches, by reference.
    pub(crate) batches: HashMap<String, Open>,
    /// Deliveries that are not shown yet.
    pub(crate) inbox: VecDeque<Delivery>,
    pub(crate) out: Vec<Bytes>,
    pub(crate) out_bytes: usize,
    pub(crate) capture: Option<Capture>,
    ended: bool,
    pub(crate) next_batch: u32,
    /// The settings that the client knows.
    pub(crate) told: Arc<crate::Config>,
    /// What is being shown was caused by this session: part of the answer at hand, if there is one.
    pub(crate) own_event: bool,
}

impl Session {
    /// A connection that has said nothing yet.
    pub fn new(server: Arc<Server>, client: Client) -> Self {
        let registration = Registration::new(server.node.now(), &server.strangers);
        let told = server.config();
        Self {
            server,
            client,
            caps: CapSet::EMPTY,
            v302: false,
            registration,
            me: None,
            batches: HashMap::new(),
            inbox: VecDeque::new(),
            out: Vec::new(),
            out_bytes: 0,
            capture: None,
            ended: false,
            next_batch: 0,
            told,
            own_event: false,
        }
    }

    /// Takes what is to be sent, in order. Each piece is one or more whole lines.
    pub fn take_output(&mut self) -> std::vec::Drain<'_, Bytes> {
        self.out_bytes = 0;
        self.out.drain(..)
    }

    /// For so many milliseconds what is said in rooms may gather.
    pub(crate) fn gather_ms(&self) -> u64 {
        self.told.gather_ms
    }

    /// Bytes that wait in the output.
    pub fn output_bytes(&self) -> usize {
        self.out_bytes
    }

    /// Whether the connection is to be closed once the output is sent.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The queue of the signed-in session.
    pub fn mailbox(&self) -> Option<Arc<sammen_core::Mailbox>> {
        self.me.as_ref().map(|me| me.session.mailbox.clone())
    }

    /// A line that was too long (417).
    pub fn too_long(&mut self) {
        self.numeric(Numeric::ERR_INPUTTOOLONG, &[], "Input line was too long");
    }

    /// A line from the client.
    pub async fn line(&mut self, raw: &[u8]) {
        if self.ended {
            return;
        }
        self.refresh();
        if std::str::from_utf8(raw).is_err() {
            let word = raw.split(|b| *b == b' ').find(|w| !w.starts_with(b"@"));
            let verb = word
                .and_then(|w| std::str::from_utf8(w).ok())
                .unwrap_or("*");
            let verb = verb.to_ascii_uppercase();
            self.fail(
                &verb,
                codes::INVALID_UTF8,
                &[],
                "Message rejected: it is not UTF-8",
            );
            return;
        }
        let message = match Message::parse(raw) {
            Ok(message) => message,
            Err(error) if error.is_too_long() => return self.too_long(),
            Err(ParseError::Empty) => return,
            Err(_) => {
                let text = "Malformed line";
                return self.numeric(Numeric::ERR_UNKNOWNCOMMAND, &["*"], text);
            }
        };
        let label = if self.caps.has(Cap::LabeledResponse) {
            message.tag_text(tags::names::LABEL)
        } else {
            None
        };
        let label = label.filter(|l| !l.is_empty() && l.len() <= 64);
        commands::run(self, &message, label.map(Cow::into_owned)).await;
    }

    /// From here on replies are the answer to a labelled command, up to [`answered`](Self::answered).
    pub(crate) fn answering(&mut self, label: Option<String>) {
        self.finish_capture();
        self.capture = label.map(|label| Capture {
            label,
            lines: Vec::new(),
            deferred: false,
        });
    }

    /// Waits until everything submitted before is done, and shows what was announced up to now.
    pub(crate) async fn settle(&mut self) {
        let Some(mailbox) = self.mailbox() else {
            return;
        };
        // What is shown here belongs to earlier commands.
        let capture = self.capture.take();
        let mut batch = Vec::new();
        loop {
            mailbox.take(&mut batch, usize::MAX);
            self.accept(&mut batch);
            self.work().await;
            let done = self.me.as_ref().is_none_or(|me| me.pending.is_empty());
            // Whoever reads slowly gets the rest when there is room for it.
            if done || self.ended || self.has_work() {
                break;
            }
            mailbox.receive(&mut batch, usize::MAX).await;
            self.accept(&mut batch);
        }
        self.capture = capture;
    }

    /// Shows what was announced up to now; what this session caused is part of the answer at hand.
    pub(crate) async fn answer_with_events(&mut self) {
        let Some(mailbox) = self.mailbox() else {
            return;
        };
        let mut batch = Vec::new();
        mailbox.take(&mut batch, usize::MAX);
        self.accept(&mut batch);
        self.work().await;
    }

    /// Takes deliveries over, to be shown by [`work`](Self::work).
    pub fn accept(&mut self, deliveries: &mut Vec<Delivery>) {
        self.inbox.extend(deliveries.drain(..));
    }

    /// Whether deliveries wait.
    pub fn has_work(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Shows deliveries, as long as the output is not crowded.
    pub async fn work(&mut self) {
        while self.out_bytes <= CROWDED
            && let Some(delivery) = self.inbox.pop_front()
        {
            if !crate::deliver::at_once(self, &delivery) {
                crate::deliver::deliver(self, delivery).await;
            }
        }
    }
}

/// Output at which no more is shown until some of it was taken.
pub const CROWDED: usize = 512 * 1024;

impl Session {
    /// Ends the connection with an ERROR line.
    pub(crate) fn close(&mut self, why: &str) {
        if self.ended {
            return;
        }
        let line = Line::new("")
            .cmd("ERROR")
            .trailing(format!("Closing link: {why}"));
        self.reply(line);
        self.finish_capture();
        self.ended = true;
    }

    /// The signed-in half. The command table calls handlers that need it only when it is there.
    pub(crate) fn me(&self) -> &Me {
        match &self.me {
            Some(me) => me,
            None => unreachable!("the command table asks for registration"),
        }
    }

    pub(crate) fn me_mut(&mut self) -> &mut Me {
        match &mut self.me {
            Some(me) => me,
            None => unreachable!("the command table asks for registration"),
        }
    }

    /// What stands for the client in numerics.
    pub(crate) fn nick(&self) -> &str {
        match &self.me {
            Some(me) => &me.nick,
            None => self.registration.nick.as_deref().unwrap_or("*"),
        }
    }

    pub(crate) fn account(&self) -> Address {
        self.me().account.clone()
    }

    pub(crate) fn principal(&self) -> Principal {
        let account = self.account();
        if self.me().oper {
            Principal::Admin(account)
        } else {
            Principal::Of(account)
        }
    }

    pub(crate) fn id(&self) -> SessionId {
        self.me().session.id
    }

    pub(crate) fn origin(&self) -> Origin {
        let me = self.me();
        Origin {
            session: Some(me.session.id),
            device: Some(me.device.id),
            inbound: None,
        }
    }

    /// Becomes an operator, or steps down.
    pub(crate) fn set_oper(&mut self, oper: bool) {
        let me = self.me_mut();
        me.oper = oper;
        let extra = me.session.extra.read().clone();
        if let Some(extra) = extra.and_then(|e| e.downcast::<Extra>().ok()) {
            extra.oper.store(oper, std::sync::atomic::Ordering::Relaxed);
        }
    }

    pub(crate) fn has(&self, cap: Cap) -> bool {
        self.caps.has(cap)
    }
}
