//! Sessions and devices: signing in, signing out, progress.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;

use crate::account::{Credential, Device};
use crate::address::Address;
use crate::event::Protocol;
use crate::ids::{DeviceId, Seq, SessionId};
use crate::live::{Presence, Session, Show, StateChange};
use crate::mailbox::{CloseReason, Delivery, Mailbox};
use crate::node::Node;
use crate::ops::{presence, rooms};
use crate::principal::Origin;
use crate::refusal::{Outcome, Refusal};
use crate::store::Write;
use crate::tx::Tx;

/// Longest label of a session (an XMPP resource, RFC 7622 §3.4) and key of a device.
const LABEL_BYTES: usize = 1023;

/// How a session wants to begin.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Who.
    pub account: Address,
    /// Through which protocol.
    pub protocol: Protocol,
    /// What tells the device apart (see [`Device::key`]); `None` for one that is forgotten when the session ends.
    pub device: Option<String>,
    /// What people call the device.
    pub device_label: Option<String>,
    /// With what; `None` for the passphrase.
    pub credential: Option<Credential>,
    /// The stamp of the credentials that the proof was checked against; where the account's is another one by now, the
    /// proof may be worth nothing any more. `None` where nothing was proven (guests, plays).
    pub stamp: Option<u64>,
    /// What tells the session apart (XMPP resource); a session with the same label is replaced.
    pub label: String,
}

/// A session that began.
#[derive(Clone)]
pub struct SignedIn {
    /// The session.
    pub session: Arc<Session>,
    /// Its device as it was found (or made).
    pub device: Arc<Device>,
    /// Everything up to here is history to the session; later events are delivered.
    pub seq: Seq,
    /// The device had never signed in before.
    pub first: bool,
}

impl Node {
    /// Begins a session. The account's other sessions are told of a new device.
    ///
    /// # Errors
    /// When the account is gone or disabled, or has too many sessions. A full disk keeps nobody out.
    pub async fn sign_in(&self, how: SignIn) -> Outcome<SignedIn> {
        let id = SessionId(self.shared.next_session.fetch_add(1, Ordering::Relaxed));
        let again = how.clone();
        match self.write(move |tx| sign_in(tx, id, how, true)).await {
            // Who comes to read needs no room: a new device is forgotten with its session.
            Err(Refusal::DiskFull) => self.write(move |tx| sign_in(tx, id, again, false)).await,
            other => other,
        }
    }

    /// Ends a session: its presence and occupancies end with it, memberships stay.
    pub async fn sign_out(&self, session: &Session) -> Outcome<()> {
        let (id, account) = (session.id, session.account.clone());
        let again = account.clone();
        match self.write(move |tx| sign_out(tx, id, &account, true)).await {
            // The session is gone whether or not that can be written down. Since when nobody is reachable is noted with
            // the next message to the account.
            Err(Refusal::DiskFull) => self.write(move |tx| sign_out(tx, id, &again, false)).await,
            other => other,
        }
    }
}

impl Node {
    /// Somebody of another network comes: a session without device and account, for as long as they do something here
    /// (rooms of this node, questions). An earlier one under the same label is replaced. Ends by [`Node::sign_out`].
    ///
    /// # Errors
    /// When the node goes down.
    pub async fn visit(
        &self,
        who: Address,
        protocol: Protocol,
        label: &str,
    ) -> Outcome<Arc<Session>> {
        let session = Arc::new(Session {
            id: SessionId(self.shared.next_session.fetch_add(1, Ordering::Relaxed)),
            account: who,
            device: DeviceId(0),
            protocol,
            label: label.into(),
            credential: None,
            mailbox: Arc::new(Mailbox::default()),
            presence: RwLock::new(None),
            extra: RwLock::new(None),
        });
        let added = session.clone();
        self.write(move |tx| {
            tx.after(move |live| add(live, added));
            Ok(())
        })
        .await?;
        Ok(session)
    }
}

/// Puts a session among the living; one with the same label goes.
fn add(live: &mut crate::live::Live, added: Arc<Session>) {
    let same = |s: &&Arc<Session>| s.protocol == added.protocol && s.label == added.label;
    for old in live.sessions_of(&added.account).iter().filter(same) {
        old.mailbox.push(Delivery::Closed(CloseReason::Replaced));
    }
    live.add(added);
}

/// `noted`: the device is written down.
fn sign_in(tx: &mut Tx<'_>, id: SessionId, how: SignIn, noted: bool) -> Outcome<SignedIn> {
    let generation = match tx.account(&how.account)? {
        Some(account) if !account.disabled => {
            let newer = account.stamp.is_some() && how.stamp.is_some();
            if newer && account.stamp != how.stamp {
                return Err(Refusal::Forbidden(
                    "your password was changed meanwhile: sign in again",
                ));
            }
            account.generation
        }
        // Guests have no record; whether there are any is their protocol's setting.
        None if how.account.is_guest() && how.device.is_none() => 0,
        _ => return Err(Refusal::NotFound),
    };
    // What an app tells of itself is shown to the account's other sessions and kept.
    if how.label.len() > LABEL_BYTES || how.device.as_ref().is_some_and(|d| d.len() > LABEL_BYTES) {
        return Err(Refusal::TooLarge);
    }
    let open = tx.shared.live.read().sessions_of(&how.account).len();
    if open >= tx.limits().sessions {
        return Err(Refusal::TooMany);
    }
    let mut first = false;
    let device = match &how.device {
        None => ephemeral(tx, &how.account, &how, generation),
        Some(key) => {
            let devices = tx.devices(&how.account)?;
            let known = devices.iter().find(|d| {
                d.protocol == how.protocol && d.key == *key && d.generation == generation
            });
            match known {
                Some(known) => {
                    // Not written for every sign-in: once an hour is enough to know when it was seen.
                    let mut device = known.clone();
                    let stale = tx.now.0 - known.seen.0 > 3_600_000;
                    if noted && (stale || known.credential != how.credential) {
                        device.seen = tx.now;
                        device.credential = how.credential.clone();
                        tx.write(Write::Device(Arc::new(device.clone())));
                    }
                    device
                }
                None => {
                    first = true;
                    let mut device = ephemeral(tx, &how.account, &how, generation);
                    device.key = key.clone();
                    let oldest = devices.iter().min_by_key(|d| d.seen);
                    if noted
                        && devices.len() >= tx.limits().devices
                        && let Some(oldest) = oldest
                    {
                        tx.remove_device(oldest);
                    }
                    if noted {
                        tx.write(Write::Device(Arc::new(device.clone())));
                    }
                    device
                }
            }
        }
    };
    let session = Arc::new(Session {
        id,
        account: how.account.clone(),
        device: device.id,
        protocol: how.protocol,
        label: how.label.into(),
        credential: how.credential,
        mailbox: Arc::new(Mailbox::default()),
        presence: RwLock::new(None),
        extra: RwLock::new(None),
    });
    let (added, device) = (session.clone(), Arc::new(device));
    let told = device.clone();
    tx.after(move |live| {
        if first {
            live.tell_account(
                &added.account.clone(),
                &Arc::new(StateChange::SignedIn { device: told }),
            );
        }
        add(live, added);
    });
    Ok(SignedIn {
        session,
        device,
        seq: tx.last_seq(),
        first,
    })
}

fn ephemeral(tx: &mut Tx<'_>, account: &Address, how: &SignIn, generation: u32) -> Device {
    Device {
        id: tx.next_device(),
        account: account.clone(),
        protocol: how.protocol,
        key: String::new(),
        label: tx.limits().clip_reason(how.device_label.clone()),
        credential: how.credential.clone(),
        cursor: tx.last_seq(),
        inbound: 0,
        state: Vec::new(),
        generation,
        created: tx.now,
        seen: tx.now,
    }
}

fn sign_out(tx: &mut Tx<'_>, id: SessionId, account: &Address, noted: bool) -> Outcome<()> {
    let last = tx.last_seq();
    if noted {
        presence::note_unreachable(tx, account, id, last)?;
    }
    let audience = presence::audience(tx, account)?;
    let inside = tx.shared.live.read().rooms_of(id);
    let mut convos = Vec::new();
    for room in inside {
        let convo = tx.convo(room)?;
        // In a room that does not persist a membership ends with the last occupancy.
        let temporary = !convo.conversation.settings.persistent && convo.has(account);
        if noted && temporary && !rooms::has_other_session(tx, room, account, id) {
            rooms::leave(tx, account, room, None, &Origin::default())?;
        } else {
            convos.push(convo);
        }
    }
    let account = account.clone();
    tx.after(move |live| {
        for convo in &convos {
            rooms::leave_occupancy(live, convo, id, &account);
        }
        // Whatever it entered between the look above and now.
        for room in live.rooms_of(id) {
            live.exit(room, id);
        }
        let Some(session) = live.remove(id) else {
            return;
        };
        let shown = session.presence.write().take();
        if shown.is_some_and(|p| p.show != Show::Offline) {
            let gone = Arc::new(Presence::default());
            let change = Arc::new(StateChange::Presence {
                account: account.clone(),
                session,
                presence: gone,
            });
            live.tell_account(&account, &change);
            for contact in audience {
                live.tell_account(&contact, &change);
            }
        }
    });
    Ok(())
}

/// The device has had everything up to `cursor`, and `inbound` of its stanzas are handled; `state` is its protocol's.
pub fn save_device(tx: &mut Tx<'_>, device: &Device) {
    tx.write(Write::Device(Arc::new(device.clone())));
}

/// A device that the account signs in from still: it was neither forgotten nor signed out.
///
/// # Errors
/// When the store can't be read.
pub fn device(tx: &mut Tx<'_>, account: &Address, id: DeviceId) -> Outcome<Option<Device>> {
    let generation = tx.account(account)?.map(|a| a.generation);
    let device = tx.device(id)?;
    Ok(device.filter(|d| d.account == *account && Some(d.generation) == generation))
}

/// Moves a device's cursor.
pub fn progress(tx: &mut Tx<'_>, id: DeviceId, cursor: Option<Seq>, inbound: Option<u32>) {
    tx.progress(id, cursor, inbound);
}

/// Forgets a device and ends its sessions.
///
/// # Errors
/// When it is not the account's.
pub fn forget_device(tx: &mut Tx<'_>, account: &Address, id: DeviceId) -> Outcome<()> {
    let device = tx
        .device(id)?
        .filter(|d| d.account == *account)
        .ok_or(Refusal::NotFound)?;
    tx.remove_device(&device);
    let account = account.clone();
    tx.after(move |live| {
        for session in live.sessions_of(&account).iter().filter(|s| s.device == id) {
            session
                .mailbox
                .push(Delivery::Closed(CloseReason::SignedOut));
        }
    });
    Ok(())
}

/// Ends the other sessions of a device: it began a new one and can't use them any more.
pub fn replace_others(tx: &mut Tx<'_>, session: &Arc<Session>) {
    let new = session.clone();
    tx.after(move |live| {
        let others = live.sessions_of(&new.account).iter();
        for old in others.filter(|s| s.device == new.device && s.id != new.id) {
            old.mailbox.push(Delivery::Closed(CloseReason::Replaced));
        }
    });
}

/// Ends one session; its device may come again.
pub fn end(tx: &mut Tx<'_>, session: SessionId, why: CloseReason) {
    tx.after(move |live| live.close_one(session, why));
}

/// What an account signs in with changed: from now on only proofs against `stamp` are good, and what came in by one of
/// `revoked` (as in [`SignIn::credential`]) ends, but for the device that asked for the change.
///
/// # Errors
/// When the account is gone.
pub fn credentials_changed(
    tx: &mut Tx<'_>,
    account: &Address,
    stamp: u64,
    revoked: Vec<Option<Credential>>,
    kept: Option<DeviceId>,
) -> Outcome<()> {
    let known = tx.account(account)?.ok_or(Refusal::NotFound)?;
    if known.stamp == Some(stamp) && revoked.is_empty() {
        return Ok(());
    }
    let devices = if revoked.is_empty() {
        Vec::new()
    } else {
        tx.devices(account)?
    };
    let mut changed = (*known).clone();
    changed.stamp = Some(stamp);
    tx.put_account(changed);
    let is_revoked = |came_by: &Option<Credential>| {
        let came_by = came_by.as_ref();
        revoked
            .iter()
            .any(|gone| Credential::same(gone.as_ref(), came_by))
    };
    for device in devices {
        if Some(device.id) != kept && is_revoked(&device.credential) {
            tx.remove_device(&device);
        }
    }
    let account = account.clone();
    tx.after(move |live| {
        let gone = |s: &&Arc<Session>| {
            let came_by = s.credential.as_ref();
            let mut all = revoked.iter();
            Some(s.device) != kept && all.any(|gone| Credential::same(gone.as_ref(), came_by))
        };
        for session in live.sessions_of(&account).iter().filter(gone) {
            let why = CloseReason::SignedOut;
            session.mailbox.push(Delivery::Closed(why));
        }
    });
    Ok(())
}

/// Ends all sessions of an account but one, and makes its devices sign in anew.
///
/// # Errors
/// When the account is gone.
pub fn sign_out_everywhere(
    tx: &mut Tx<'_>,
    account: &Address,
    except: Option<SessionId>,
) -> Outcome<()> {
    let kept = except.and_then(|id| tx.shared.live.read().session(id).map(|s| s.device));
    end_devices(tx, account, kept)?;
    let account = account.clone();
    tx.after(move |live| live.close(&account, CloseReason::SignedOut, except));
    Ok(())
}

/// Ends all sessions of an account but those of one device, and makes the other devices sign in anew.
///
/// # Errors
/// When the account is gone.
pub fn sign_out_devices(
    tx: &mut Tx<'_>,
    account: &Address,
    except: Option<DeviceId>,
) -> Outcome<()> {
    end_devices(tx, account, except)?;
    let account = account.clone();
    tx.after(move |live| {
        let others = live.sessions_of(&account).iter();
        for session in others.filter(|s| Some(s.device) != except) {
            session
                .mailbox
                .push(Delivery::Closed(CloseReason::SignedOut));
        }
    });
    Ok(())
}

/// Counts the account's generation up, and takes only `kept` along.
fn end_devices(tx: &mut Tx<'_>, account: &Address, kept: Option<DeviceId>) -> Outcome<()> {
    let known = tx.account(account)?.ok_or(Refusal::NotFound)?;
    let mut changed = (*known).clone();
    changed.generation += 1;
    let generation = changed.generation;
    tx.put_account(changed);
    for mut device in tx.devices(account)? {
        if Some(device.id) == kept {
            device.generation = generation;
            tx.write(Write::Device(Arc::new(device)));
        } else {
            tx.remove_device(&device);
        }
    }
    Ok(())
}
