//! Tokens: 256 random bits that a device of core stands for. The node keeps their SHA-256.
//!
//! `NUMBER.SECRET`: the device's number finds it, the secret proves it. Cookies and bearer tokens are devices of
//! different kinds, so that neither passes for the other. A token is made at sign-in and never taken from a client,
//! so that no session can be fixed beforehand. "Sign out everywhere" ends devices, and with them tokens.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use sammen_core::ops::sessions;
use sammen_core::{Account, Address, Credential, Device, DeviceId, Protocol, ops};
use sammen_net::Secret;
use subtle::ConstantTimeEq as _;

use super::{Caller, Kind};
use crate::problem::{Answer, Problem};
use crate::server::Web;

/// The cookie's name: the prefix makes browsers insist on Secure, Path=/ and no Domain (RFC 6265bis §4.1.3).
pub const COOKIE: &str = "__Host-sammen";
/// A browser that does not come for so long signs in anew.
const LONGEST_MS: i64 = 60 * 24 * 3_600_000;
/// How fine "last seen" is.
const HOUR_MS: i64 = 3_600_000;

impl Kind {
    /// How the keys of such devices begin.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Kind::Cookie => "cookie:",
            Kind::Token => "token:",
        }
    }
}

/// What a request shows, if it shows something. Where both are there the token counts.
pub fn presented(headers: &HeaderMap) -> Option<(Kind, Secret)> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        // RFC 9110 §11.1: the scheme's case does not matter.
        let token = if scheme.eq_ignore_ascii_case("bearer") {
            token.trim()
        } else {
            ""
        };
        return Some((Kind::Token, Secret::new(token)));
    }
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == COOKIE).then(|| (Kind::Cookie, Secret::new(value)))
        })
}

fn hashed(kind: Kind, secret: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, secret);
    format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(digest))
}

/// Makes a device with a token of its own; the token is returned this once.
pub async fn mint(
    web: &Web,
    account: &Address,
    kind: Kind,
    label: Option<String>,
    credential: Option<Credential>,
    stamp: Option<u64>,
) -> Answer<(Secret, Arc<Device>)> {
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    let key = hashed(kind, &secret);
    let signed_in = web
        .node
        .sign_in(sessions::SignIn {
            account: account.clone(),
            protocol: Protocol::Web,
            device: Some(key),
            device_label: label,
            credential,
            stamp,
            // Nothing is connected yet: the session goes again at once, the device stays.
            label: format!("sign-in-{:016x}", web.node.clock().random() as u64),
        })
        .await
        .map_err(|refusal| match refusal {
            sammen_core::Refusal::NotFound => Problem::wrong_login(),
            other => other.into(),
        })?;
    web.node.sign_out(&signed_in.session).await?;
    let device = signed_in.device;
    let text = Secret::new(format!("{}.{}", device.id, URL_SAFE_NO_PAD.encode(secret)));
    Ok((text, device))
}

/// The account that a device still signs in; `None` where it doesn't any more. Blocking.
fn holder(web: &Web, kind: Kind, device: &Device) -> Answer<Option<Arc<Account>>> {
    let fresh = kind == Kind::Token || web.node.now().0 - device.seen.0 < LONGEST_MS;
    if device.protocol != Protocol::Web || !device.key.starts_with(kind.prefix()) || !fresh {
        return Ok(None);
    }
    let account = web.node.account(&device.account)?;
    Ok(account.filter(|a| !a.disabled && !a.removed && a.generation == device.generation))
}

/// Whether a device is still signed in. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn holds(web: &Web, kind: Kind, device: &Device) -> Answer<bool> {
    Ok(holder(web, kind, device)?.is_some())
}

/// Who a token stands for; `None` where it stands for nobody.
pub async fn caller(web: &Arc<Web>, kind: Kind, token: &Secret) -> Answer<Option<Caller>> {
    let Some((number, secret)) = token.expose().split_once('.') else {
        return Ok(None);
    };
    let (Ok(number), Ok(secret)) = (number.parse(), URL_SAFE_NO_PAD.decode(secret)) else {
        return Ok(None);
    };
    if secret.len() != 32 {
        return Ok(None);
    }
    let key = hashed(kind, &secret);
    let found = web
        .read(move |web| {
            let Some(device) = web
                .node
                .store()
                .device(DeviceId(number))
                .map_err(sammen_core::Refusal::from)?
            else {
                return Ok(None);
            };
            let same: bool = device.key.as_bytes().ct_eq(key.as_bytes()).into();
            if !same {
                return Ok(None);
            }
            Ok(holder(web, kind, &device)?.map(|account| Caller {
                account,
                device: Arc::new(device),
                kind,
            }))
        })
        .await?;
    if let Some(caller) = &found {
        note_seen(web, caller).await;
    }
    Ok(found)
}

/// Writes down that the device was seen, once an hour.
async fn note_seen(web: &Web, caller: &Caller) {
    if web.node.now().0 - caller.device.seen.0 < HOUR_MS {
        return;
    }
    let id = caller.device.id;
    let account = caller.address().clone();
    let node = web.node.clone();
    let written = web.node.write(move |tx| {
        // Read anew: one that was signed out meanwhile must not come back.
        let Some(mut device) = node.store().device(id)? else {
            return Ok(());
        };
        if tx
            .account(&account)?
            .is_none_or(|a| a.generation != device.generation)
        {
            return Ok(());
        }
        device.seen = tx.now;
        ops::sessions::save_device(tx, &device);
        Ok(())
    });
    if let Err(refusal) = written.await {
        tracing::debug!(%refusal, "when a device was seen could not be written");
    }
}

/// The header that gives a browser its cookie.
pub fn set_cookie(token: &Secret) -> HeaderValue {
    let age = LONGEST_MS / 1000;
    let text = format!(
        "{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={age}",
        token.expose()
    );
    HeaderValue::from_str(&text).unwrap_or_else(|_| unreachable!("digits, dots and base64url"))
}

/// The header that takes it away.
pub fn clear_cookie() -> HeaderValue {
    HeaderValue::from_static("__Host-sammen=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}
