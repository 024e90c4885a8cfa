//! Access and refresh tokens: 256 random bits, of which the device's state keeps the SHA-256.
//!
//! `NUMBER.SECRET`: the device's number finds it, the secret proves it. A device has two pairs of tokens at most: the one
//! in use, and a fresher one that the client has not used yet ("Refreshing access tokens": the old ones hold until then).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ruma::OwnedDeviceId;
use sammen_core::ops::sessions;
use sammen_core::{Device, DeviceId, Protocol, Refusal, Timestamp};
use sammen_net::Secret;
use sammen_net::login::Proven;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::Caller;
use super::vault::{hashed, later, random};
use crate::fault::{Answer, Fault};
use crate::server::Matrix;

/// How long an access token is good for that can be refreshed.
pub const LIFETIME: Duration = Duration::from_secs(3600);
/// How long a refresh token waits for its use.
const REFRESH: Duration = Duration::from_secs(60 * 24 * 3600);
/// How fine "last seen" is.
const HOUR_MS: i64 = 3_600_000;
/// Longest device id of a client's own choice (appendices, "Opaque identifiers").
const DEVICE_ID: usize = 255;

/// What a device's state holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The older first.
    pairs: Vec<Pair>,
    /// The client that the account let in by OAuth 2.0; `None` for a password's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// An access token and what refreshes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pair {
    access: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh: Option<String>,
    /// When its time began.
    begun: Timestamp,
}

/// Tokens as a client gets them, the only time that anybody sees them.
pub(crate) struct Fresh {
    /// For every request.
    pub access: Secret,
    /// For a new pair.
    pub refresh: Option<Secret>,
}

impl Fresh {
    /// After what time the access token is to be refreshed.
    pub fn expires_in(&self) -> Option<Duration> {
        self.refresh.as_ref().map(|_| LIFETIME)
    }
}

impl Kept {
    /// What a device keeps; nothing where it has no tokens.
    pub fn of(device: &Device) -> Self {
        serde_json::from_slice(&device.state).unwrap_or_default()
    }

    fn write(&self, device: &mut Device) {
        device.state = serde_json::to_vec(self).unwrap_or_default();
    }
}

fn same(kept: &str, shown: &str) -> bool {
    kept.as_bytes().ct_eq(shown.as_bytes()).into()
}

/// A secret for a device: what the client gets, and what is kept.
fn secret(matrix: &Matrix, device: DeviceId) -> (Secret, String) {
    let bits = random(matrix.node.clock());
    let text = format!("{device}.{}", URL_SAFE_NO_PAD.encode(bits));
    (Secret::new(text), hashed(&bits))
}

/// The number of a device and the hash that proves it; `None` for what is no token of ours.
fn read(token: &Secret) -> Option<(DeviceId, String)> {
    let (number, secret) = token.expose().split_once('.')?;
    let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
    (secret.len() == 32).then_some(())?;
    Some((DeviceId(number.parse().ok()?), hashed(&secret)))
}

fn pair(matrix: &Matrix, device: DeviceId, refreshes: bool) -> (Fresh, Pair) {
    let (access, access_hash) = secret(matrix, device);
    let refresh = refreshes.then(|| secret(matrix, device));
    let (refresh, refresh_hash) = refresh.unzip();
    let now = matrix.node.now();
    let kept = Pair {
        access: access_hash,
        expires: refreshes.then(|| later(now, LIFETIME)),
        refresh: refresh_hash,
        begun: now,
    };
    (Fresh { access, refresh }, kept)
}

/// Which device a client wants to be.
pub(crate) struct Wish {
    /// Its id; a new one where it has none yet.
    pub device_id: Option<OwnedDeviceId>,
    /// What people call it, where it is new.
    pub label: Option<String>,
    /// It can refresh its tokens.
    pub refreshes: bool,
    /// The client that the account let in by OAuth 2.0.
    pub client: Option<String>,
}

/// Signs a device in, with tokens of its own; those that it had before are void.
pub(crate) async fn mint(
    matrix: &Arc<Matrix>,
    proven: Proven,
    wish: Wish,
) -> Answer<(Fresh, Caller)> {
    let matrix = matrix.clone();
    // Who hangs up meanwhile leaves no session that nobody ends.
    let minting = tokio::spawn(async move { minting(&matrix, proven, wish).await });
    minting
        .await
        .unwrap_or_else(|_| Err(Fault::unknown("try later")))
}

async fn minting(matrix: &Arc<Matrix>, proven: Proven, wish: Wish) -> Answer<(Fresh, Caller)> {
    let node = &matrix.node;
    let key = match wish.device_id {
        Some(id) if id.as_str().is_empty() || id.as_str().len() > DEVICE_ID => {
            return Err(Fault::invalid("device_id is not usable"));
        }
        Some(id) => id.to_string(),
        None => new_device_id(node.clock().random()),
    };
    let signed_in = node
        .sign_in(sessions::SignIn {
            account: proven.account,
            protocol: Protocol::Matrix,
            device: Some(key),
            device_label: wish.label,
            credential: proven.credential,
            stamp: proven.stamp,
            // Nothing is connected yet: the session goes again at once, the device stays.
            label: format!("sign-in-{:032x}", node.clock().random()),
        })
        .await
        .map_err(|refusal| match refusal {
            Refusal::NotFound => Fault::forbidden("wrong name or password"),
            other => other.into(),
        })?;
    let mut device = (*signed_in.device).clone();
    let (fresh, pair) = pair(matrix, device.id, wish.refreshes);
    let kept = Kept {
        pairs: vec![pair],
        client: wish.client,
    };
    kept.write(&mut device);
    let kept = device.clone();
    let written = node
        .write(move |tx| {
            sessions::device(tx, &kept.account, kept.id)?.ok_or(Refusal::NotFound)?;
            sessions::save_device(tx, &kept);
            Ok(())
        })
        .await;
    node.sign_out(&signed_in.session).await?;
    written?;
    let account = node.account(&device.account)?.ok_or(Refusal::NotFound)?;
    let caller = Caller::new(matrix, account, Arc::new(device));
    let caller = caller.ok_or_else(|| Fault::forbidden("this name can't be a Matrix name"))?;
    Ok((fresh, caller))
}

/// Ten capitals, as other servers make them.
fn new_device_id(mut bits: u128) -> String {
    let mut id = String::with_capacity(10);
    for _ in 0..10 {
        id.push(char::from(b'A' + (bits % 26) as u8));
        bits /= 26;
    }
    id
}

/// Who a token stands for.
///
/// # Errors
/// M_UNKNOWN_TOKEN; M_USER_LOCKED where the account is disabled, but for who is `leaving`.
pub async fn caller(matrix: &Arc<Matrix>, token: &Secret, leaving: bool) -> Answer<Caller> {
    let Some((id, hash)) = read(token) else {
        return Err(Fault::unknown_token(false));
    };
    let shown = hash.clone();
    let caller = matrix.read(move |matrix| stands_for(matrix, id, &hash, leaving));
    let caller = caller.await?;
    note_seen(matrix, &caller).await;
    note_used(matrix, &caller, shown).await?;
    Ok(caller)
}

/// The newer pair is in use: from now on the older one is void.
async fn note_used(matrix: &Matrix, caller: &Caller, hash: String) -> Answer<()> {
    let newer = Kept::of(&caller.device).pairs;
    if newer.len() < 2 || !newer.last().is_some_and(|p| same(&p.access, &hash)) {
        return Ok(());
    }
    let (account, id) = (caller.address().clone(), caller.device.id);
    let written = matrix.node.write(move |tx| {
        if let Some(mut device) = sessions::device(tx, &account, id)? {
            let mut kept = Kept::of(&device);
            if let Some(at) = kept.pairs.iter().position(|p| same(&p.access, &hash)) {
                kept.pairs.drain(..at);
                kept.write(&mut device);
                sessions::save_device(tx, &device);
            }
        }
        Ok(())
    });
    Ok(written.await?)
}

/// A new pair for a refresh token, which holds until the new pair is used. `client` has to be the one that was let in.
///
/// # Errors
/// M_UNKNOWN_TOKEN; the client may keep what it has where the token was only left alone for too long.
pub(crate) async fn refresh(
    matrix: &Arc<Matrix>,
    token: &Secret,
    client: Option<&str>,
) -> Answer<(Fresh, Arc<Device>)> {
    let unknown = || Fault::unknown_token(false);
    let (id, hash) = read(token).ok_or_else(unknown)?;
    let (fresh, new) = pair(matrix, id, true);
    let client = client.map(str::to_owned);
    let node = matrix.node.clone();
    let written = matrix.node.write(move |tx| {
        let Some(mut device) = tx.device(id)?.filter(|d| d.protocol == Protocol::Matrix) else {
            return Ok(Err(unknown()));
        };
        let account = tx.account(&device.account)?;
        let account = account.filter(|a| !a.removed && a.generation == device.generation);
        let mut kept = Kept::of(&device);
        let shown = |p: &Pair| p.refresh.as_ref().is_some_and(|r| same(r, &hash));
        let at = kept.pairs.iter().position(shown);
        let (Some(account), Some(at)) = (account, at) else {
            return Ok(Err(unknown()));
        };
        if kept.client != client {
            return Ok(Err(unknown()));
        }
        if account.disabled {
            return Ok(Err(Fault::locked()));
        }
        let begun = kept.pairs.get(at).map_or(Timestamp(0), |p| p.begun);
        if node.now() >= later(begun, REFRESH) {
            return Ok(Err(Fault::unknown_token(true)));
        }
        // What is older was replaced by this one; what is newer was never used.
        kept.pairs = kept.pairs.drain(at..=at).chain([new]).collect();
        kept.write(&mut device);
        device.seen = tx.now;
        sessions::save_device(tx, &device);
        Ok(Ok(Arc::new(device)))
    });
    Ok((fresh, written.await??))
}

fn stands_for(matrix: &Matrix, id: DeviceId, hash: &str, leaving: bool) -> Answer<Caller> {
    let unknown = || Fault::unknown_token(false);
    let device = matrix.node.store().device(id)?.ok_or_else(unknown)?;
    if device.protocol != Protocol::Matrix {
        return Err(unknown());
    }
    let kept = Kept::of(&device);
    let pair = kept.pairs.iter().find(|pair| same(&pair.access, hash));
    let pair = pair.ok_or_else(unknown)?;
    let account = matrix.node.account(&device.account)?;
    let account = account.filter(|a| !a.removed && a.generation == device.generation);
    let account = account.ok_or_else(unknown)?;
    if account.disabled && !leaving {
        return Err(Fault::locked());
    }
    if pair.expires.is_some_and(|until| matrix.node.now() >= until) {
        return Err(Fault::unknown_token(true));
    }
    Caller::new(matrix, account, Arc::new(device)).ok_or_else(unknown)
}

/// The device that one of its tokens belongs to, whether that has ended or not; `client` has to be the one that was let
/// in, where one is named. Blocking.
///
/// # Errors
/// When the store can't be read.
pub(crate) fn device(
    matrix: &Matrix,
    token: &Secret,
    client: Option<&str>,
) -> Answer<Option<Device>> {
    let Some((id, hash)) = read(token) else {
        return Ok(None);
    };
    let device = matrix.node.store().device(id)?;
    let device = device.filter(|d| d.protocol == Protocol::Matrix);
    Ok(device.filter(|device| {
        let kept = Kept::of(device);
        let theirs = client.is_none() || kept.client.as_deref() == client;
        let shown = |p: &Pair| {
            let refresh = p.refresh.as_ref().is_some_and(|r| same(r, &hash));
            refresh || same(&p.access, &hash)
        };
        theirs && kept.pairs.iter().any(shown)
    }))
}

/// Writes down that the device was seen, once an hour.
async fn note_seen(matrix: &Matrix, caller: &Caller) {
    if matrix.node.now().0 - caller.device.seen.0 < HOUR_MS {
        return;
    }
    let (account, id) = (caller.address().clone(), caller.device.id);
    let written = matrix.node.write(move |tx| {
        // Read anew: one that was signed out meanwhile must not come back.
        if let Some(mut device) = sessions::device(tx, &account, id)? {
            device.seen = tx.now;
            sessions::save_device(tx, &device);
        }
        Ok(())
    });
    if let Err(refusal) = written.await {
        tracing::debug!(%refusal, "when a device was seen could not be written");
    }
}
