//! Devices that sync are sessions of core: others see their people present and in the rooms, and what lives reaches them.
//! A session ends a minute after its device asked last.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ruma::presence::PresenceState;
use sammen_core::live::{OccupantKind, Presence, Session, Show, StateChange, Typing};
use sammen_core::ops::sessions::SignIn;
use sammen_core::ops::{presence, rooms};
use sammen_core::{CloseReason, ConversationId, Delivery, DeviceId, Protocol, Seq};
use tokio::sync::{Notify, OnceCell};
use tokio::time::Instant;

use super::lively;
use crate::auth::Caller;
use crate::fault::{Answer, Fault};
use crate::server::Matrix;

/// How long a session stays without a request.
pub const IDLE: Duration = Duration::from_secs(60);
/// How often idle ones are looked for.
const SWEEP: Duration = Duration::from_secs(15);
/// Members of rooms that it is remembered a device was told of.
const TOLD: usize = 4_096;
/// Deliveries taken at once.
const TAKEN: usize = 256;

/// A device's place; its session begins once, however many requests come at the same time.
type Slot = Arc<OnceCell<Option<Arc<Syncing>>>>;

/// The devices that sync.
pub struct Devices {
    syncing: Mutex<HashMap<DeviceId, Slot>>,
    sweeping: std::sync::Once,
}

impl Default for Devices {
    fn default() -> Self {
        Self {
            syncing: Mutex::default(),
            sweeping: std::sync::Once::new(),
        }
    }
}

/// A device that syncs.
pub struct Syncing {
    /// Its session.
    pub session: Arc<Session>,
    /// It heard of all changes of presence behind this count.
    pub began: u64,
    requests: AtomicUsize,
    last: Mutex<Instant>,
    shown: Mutex<Shown>,
    over: Notify,
    ended: Mutex<Option<CloseReason>>,
    told: Mutex<HashMap<(String, String), Told>>,
}

/// A member of a room that the client was told of.
struct Told {
    ordinal: u64,
    /// With the answer up to here: a client that shows this token has it.
    with: Seq,
}

impl Syncing {
    /// Whether a member of a room has to be told to one who knows all up to `since`; then it is told with the answer up
    /// to `now`.
    pub fn tells(&self, room: &str, user: &str, ordinal: u64, since: Seq, now: Seq) -> bool {
        let mut told = self.told.lock();
        if told.len() >= TOLD {
            told.clear();
        }
        let key = (room.to_owned(), user.to_owned());
        if told
            .get(&key)
            .is_some_and(|t| t.ordinal == ordinal && t.with <= since)
        {
            return false;
        }
        told.insert(key, Told { ordinal, with: now });
        true
    }
}

/// What a device shows of its person.
#[derive(Clone, Default, PartialEq, Eq)]
struct Shown {
    show: Show,
    status: Option<String>,
    /// Set by a request of its own: syncing alone doesn't change it.
    explicit: bool,
}

/// A request of a device is under way.
pub struct Guard(Arc<Syncing>);

impl Guard {
    /// The device's session.
    pub fn session(&self) -> &Arc<Session> {
        &self.0.session
    }

    /// The device.
    pub fn syncing(&self) -> &Arc<Syncing> {
        &self.0
    }

    /// Whether the device may still wait.
    ///
    /// # Errors
    /// M_UNKNOWN_TOKEN once it was signed out.
    pub fn holds(&self) -> Answer<()> {
        match *self.0.ended.lock() {
            Some(CloseReason::SignedOut | CloseReason::Killed) => Err(Fault::unknown_token(false)),
            Some(CloseReason::Shutdown | CloseReason::Failed) => Err(Fault::new(
                axum::http::StatusCode::SERVICE_UNAVAILABLE,
                ruma::api::error::ErrorKind::Unknown,
                "the server goes down; come again",
            )),
            Some(CloseReason::Replaced) | None => Ok(()),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        *self.0.last.lock() = Instant::now();
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a state means for others.
pub fn show(state: &PresenceState) -> Show {
    match state {
        PresenceState::Offline => Show::Offline,
        PresenceState::Unavailable => Show::Away,
        _ => Show::Online,
    }
}

/// A device asks: its session is there while it does. `None` where core lets none begin (too many of the account): the
/// device can still read.
pub async fn touch(matrix: &Arc<Matrix>, who: &Caller, state: &PresenceState) -> Option<Guard> {
    let devices = &matrix.sync.devices;
    devices.sweeping.call_once(|| sweep_now_and_then(matrix));
    let cell = {
        let mut syncing = devices.syncing.lock();
        syncing.entry(who.device.id).or_default().clone()
    };
    let begun = match cell.get() {
        Some(begun) => begun.clone(),
        // Who hangs up meanwhile leaves no session that nobody ends: once it is in its place it is swept from there.
        None => {
            let (matrix, who) = (matrix.clone(), who.clone());
            let begin = async move { cell.get_or_init(|| begin(&matrix, &who)).await.clone() };
            tokio::spawn(begin).await.ok().flatten()
        }
    };
    let Some(syncing) = begun else {
        devices.syncing.lock().remove(&who.device.id);
        return None;
    };
    syncing.requests.fetch_add(1, Ordering::AcqRel);
    let guard = Guard(syncing);
    let wanted = {
        let shown = guard.0.shown.lock();
        let show = show(state);
        (!shown.explicit && shown.show != show && show != Show::Offline).then(|| Shown {
            show,
            ..shown.clone()
        })
    };
    if let Some(wanted) = wanted {
        let _ = appear(matrix, &guard.0, wanted).await;
    }
    Some(guard)
}

/// A device says how its person is.
pub async fn set(
    matrix: &Arc<Matrix>,
    guard: &Guard,
    state: &PresenceState,
    status: Option<String>,
) -> sammen_core::Outcome<()> {
    let shown = Shown {
        show: show(state),
        status,
        explicit: true,
    };
    appear(matrix, &guard.0, shown).await
}

async fn begin(matrix: &Arc<Matrix>, who: &Caller) -> Option<Arc<Syncing>> {
    let how = SignIn {
        account: who.address().clone(),
        protocol: Protocol::Matrix,
        device: Some(who.device.key.clone()),
        device_label: who.device.label.clone(),
        credential: who.device.credential.clone(),
        stamp: None,
        label: who.device.key.clone(),
    };
    let signed_in = matrix.node.sign_in(how).await;
    let signed_in = signed_in.inspect_err(|why| {
        tracing::debug!(account = %who.address(), %why, "a device syncs without a session");
    });
    let syncing = Arc::new(Syncing {
        session: signed_in.ok()?.session,
        began: matrix.sync.lively.begin(),
        requests: AtomicUsize::new(0),
        last: Mutex::new(Instant::now()),
        shown: Mutex::default(),
        over: Notify::new(),
        ended: Mutex::default(),
        told: Mutex::default(),
    });
    tokio::spawn(attend(matrix.clone(), syncing.clone()));
    Some(syncing)
}

/// Shows others the presence, in the account's rooms too.
async fn appear(
    matrix: &Arc<Matrix>,
    syncing: &Arc<Syncing>,
    wanted: Shown,
) -> sammen_core::Outcome<()> {
    let account = syncing.session.account.clone();
    let mine = account.clone();
    let inside = matrix.node.read(move |node| {
        let mut inside = Vec::new();
        for id in node.store().conversations_of(&mine)? {
            let convo = node.convo(id)?;
            if convo.is_some_and(|c| c.is_room() && c.has(&mine) && !c.conversation.destroyed) {
                inside.push(id);
            }
        }
        Ok(inside)
    });
    let inside = inside.await?;
    let shown = as_core(&wanted);
    let id = syncing.session.id;
    let write = move |tx: &mut sammen_core::tx::Tx<'_>| {
        presence::set(tx, id, &account, shown.clone())?;
        for room in inside {
            // One that was left meanwhile is none. Who is not there is in no room.
            let _ = match shown.show {
                Show::Offline => rooms::exit(tx, id, &account, room),
                _ => rooms::enter(tx, id, &account, room, shown.clone()).map(drop),
            };
        }
        Ok(())
    };
    matrix.node.write(write).await?;
    *syncing.shown.lock() = wanted;
    Ok(())
}

fn as_core(shown: &Shown) -> Presence {
    Presence {
        show: shown.show,
        status: shown.status.clone(),
        ..Presence::default()
    }
}

/// Reads a session's mailbox until it ends.
async fn attend(matrix: Arc<Matrix>, syncing: Arc<Syncing>) {
    let mut inbox = Vec::new();
    'open: loop {
        let mailbox = &syncing.session.mailbox;
        // What is said in rooms comes by the chain; it need not wake this task.
        let next = std::future::poll_fn(|cx| mailbox.poll_patiently(cx, &mut inbox, TAKEN));
        tokio::select! {
            () = next => {}
            () = syncing.over.notified() => break 'open,
        }
        let mut joined = Vec::new();
        for delivery in inbox.drain(..) {
            match delivery {
                Delivery::State(change) => state(&matrix, &syncing, &change, &mut joined),
                Delivery::StateLost => {
                    matrix.sync.lively.lose();
                    matrix.bells.ring(&syncing.session.account);
                }
                Delivery::Closed(why) => {
                    *syncing.ended.lock() = Some(why);
                    break 'open;
                }
                // A conversation that no Matrix device has seen gets its room.
                Delivery::Event(announced) => {
                    let id = announced.event.conversation;
                    if !matrix.rooms.shows(id) {
                        matrix.bells.ring(&syncing.session.account);
                    }
                }
                _ => {}
            }
        }
        if !joined.is_empty() {
            enter(&matrix, &syncing, joined).await;
        }
    }
    let key = syncing.session.device;
    {
        let mut all = matrix.sync.devices.syncing.lock();
        let this = |cell: &Slot| {
            let known = cell.get().and_then(Option::as_ref);
            known.is_some_and(|known| Arc::ptr_eq(known, &syncing))
        };
        if all.get(&key).is_some_and(this) {
            all.remove(&key);
        }
    }
    let _ = matrix.node.sign_out(&syncing.session).await;
    // Who waits with this device learns that its token is worth nothing any more.
    matrix.bells.ring(&syncing.session.account);
}

async fn enter(matrix: &Matrix, syncing: &Syncing, joined: Vec<ConversationId>) {
    let shown = as_core(&syncing.shown.lock());
    if shown.show == Show::Offline {
        return;
    }
    let (id, account) = (syncing.session.id, syncing.session.account.clone());
    let write = move |tx: &mut sammen_core::tx::Tx<'_>| {
        for room in joined {
            let _ = rooms::enter(tx, id, &account, room, shown.clone());
        }
        Ok(())
    };
    let _ = matrix.node.write(write).await;
}

fn state(
    matrix: &Arc<Matrix>,
    syncing: &Syncing,
    change: &StateChange,
    joined: &mut Vec<ConversationId>,
) {
    let account = &syncing.session.account;
    let now = matrix.node.now();
    match change {
        StateChange::Typing {
            convo, who, typing, ..
        } => {
            let active = *typing == Typing::Active;
            let until = active.then(|| Instant::now() + lively::TYPING);
            let lively = &matrix.sync.lively;
            let room = convo.id();
            if lively.types(room, who, until) {
                matrix.bells.ring_where(|a| convo.has(a));
            }
            if let Some(first) = lively.watch(room) {
                let (bells, convo) = (matrix.bells.clone(), convo.clone());
                let wake = move || bells.ring_where(|a| convo.has(a));
                tokio::spawn(lively::attend(lively.clone(), room, first, wake));
            }
        }
        StateChange::Presence { account: whose, .. } => {
            matrix.sync.lively.shows(whose, now);
            matrix.bells.ring(account);
        }
        StateChange::Occupant(change)
            if change.kind == OccupantKind::Joined && change.who == *account =>
        {
            joined.push(change.convo.id());
        }
        // A role leaves nothing in the log that the room's chain is made of.
        StateChange::Occupant(change) if change.kind == OccupantKind::Standing => {
            matrix.rooms.note(change.convo.id(), None);
        }
        StateChange::Read { .. } | StateChange::Contact { .. } => matrix.bells.ring(account),
        _ => {}
    }
}

fn sweep_now_and_then(matrix: &Arc<Matrix>) {
    let matrix = Arc::downgrade(matrix);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            let Some(matrix) = matrix.upgrade() else {
                return;
            };
            matrix.sync.devices.sweep(Instant::now());
        }
    });
}

impl Devices {
    /// Ends the sessions of devices that have not asked for [`IDLE`] by `now`.
    pub fn sweep(&self, now: Instant) {
        let mut syncing = self.syncing.lock();
        syncing.retain(|_, cell| {
            let Some(Some(known)) = cell.get() else {
                return true;
            };
            let idle = known.requests.load(Ordering::Acquire) == 0
                && now.saturating_duration_since(*known.last.lock()) >= IDLE;
            if idle {
                known.over.notify_one();
            }
            !idle
        });
    }

    /// How many devices sync.
    pub fn len(&self) -> usize {
        self.syncing.lock().len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
