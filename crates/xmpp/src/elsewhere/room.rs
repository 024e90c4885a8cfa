//! One room elsewhere: who of ours is in it, and what it tells them, in its order.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sammen_core::ops::projection::Seen;
use sammen_core::{Address, Outcome};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::history::Page;
use super::{Token, project};
use crate::server::Server;
use crate::wire::{Element, Jid, Str};

/// Stanzas of one room that wait; then the stream that brings them waits.
const INBOX: usize = 256;
/// Stanzas that wait for the history before them.
const HELD_BACK: usize = 2048;

/// One of our full addresses in a room.
pub(super) struct Seat {
    /// Whose.
    pub account: Address,
    /// Its nick there, as far as it is known.
    pub nick: String,
    /// The room has let it in.
    pub inside: bool,
    /// The node holds it, for who has no XMPP client there.
    pub held: bool,
    /// Who is in the room, until it has said all.
    pub roster: Vec<Seen>,
    /// Who waits for being let in.
    pub waiting: Vec<oneshot::Sender<Outcome<()>>>,
    /// When the room said something last.
    pub heard: Instant,
}

impl Seat {
    /// Somebody asks to be let in.
    pub fn new(account: Address, nick: &str, held: bool) -> Self {
        Self {
            account,
            nick: nick.to_owned(),
            inside: false,
            held,
            roster: Vec::new(),
            waiting: Vec::new(),
            heard: Instant::now(),
        }
    }
}

/// What reaches the room's task.
pub(super) enum Input {
    /// From the room, for one of ours.
    Stanza(Jid, Jid, Element, Token),
    /// What is said from here on waits for the history.
    Waits,
    /// What the archive has.
    Page(Page),
    /// What waited follows.
    Follows,
}

/// One room.
pub(super) struct Room {
    /// Its address.
    pub address: Address,
    /// Its bare JID.
    pub jid: Jid,
    /// Our full addresses in it, or on the way.
    pub seats: Mutex<HashMap<Str, Seat>>,
    /// Which nicks are our accounts', by the room's own word to them.
    pub own: Mutex<HashMap<String, Address>>,
    /// Answers to questions for history that are coming in, by query id.
    pub pages: Mutex<HashMap<String, Vec<Element>>>,
    /// It has an archive.
    pub archived: AtomicBool,
    /// Whoever fills the gaps in its history holds this.
    pub filling: tokio::sync::Mutex<()>,
    /// Rings when a held place is lost.
    pub lost: Notify,
    inbox: mpsc::Sender<Input>,
}

impl Room {
    /// A room with a task that takes its stanzas one after the other.
    pub fn open(server: &Arc<Server>, jid: Jid, address: Address) -> Arc<Self> {
        let (inbox, mut received) = mpsc::channel(INBOX);
        let room = Arc::new(Self {
            address,
            jid,
            seats: Mutex::default(),
            own: Mutex::default(),
            pages: Mutex::default(),
            archived: AtomicBool::default(),
            filling: tokio::sync::Mutex::default(),
            lost: Notify::new(),
            inbox,
        });
        let (server, known): (Arc<Server>, Weak<Self>) = (server.clone(), Arc::downgrade(&room));
        tokio::spawn(async move {
            let mut waits: Option<VecDeque<(Jid, Jid, Element, Token)>> = None;
            while let Some(input) = received.recv().await {
                let Some(room) = known.upgrade() else { return };
                match input {
                    Input::Waits => {
                        waits.get_or_insert_default();
                    }
                    Input::Stanza(from, to, el, token) => match &mut waits {
                        Some(waiting) if el.name() == "message" && waiting.len() < HELD_BACK => {
                            waiting.push_back((from, to, el, token));
                        }
                        _ => project::stanza(&server, &room, &from, &to, &el, token).await,
                    },
                    Input::Page(mut page) => {
                        page.ends_at(&room, waits.iter().flatten().map(|(_, _, el, _)| el));
                        project::past(&server, &room, page).await;
                    }
                    Input::Follows => {
                        for (from, to, el, token) in waits.take().into_iter().flatten() {
                            project::stanza(&server, &room, &from, &to, &el, token).await;
                        }
                    }
                }
            }
        });
        room
    }

    /// Brings a stanza of the room's.
    pub async fn bring(&self, from: Jid, to: Jid, el: Element, token: Token) {
        let _ = self.inbox.send(Input::Stanza(from, to, el, token)).await;
    }

    /// Hands something to the room's task.
    pub async fn put(&self, input: Input) {
        let _ = self.inbox.send(input).await;
    }

    /// Whether one of our full addresses is in the room.
    pub fn is_inside(&self, full: &Jid) -> bool {
        self.seats
            .lock()
            .get(full.as_str())
            .is_some_and(|s| s.inside)
    }

    /// Whether an account is in the room with any address.
    pub fn has(&self, account: &Address) -> bool {
        let seats = self.seats.lock();
        seats.values().any(|s| s.inside && s.account == *account)
    }
}
