//! `POST /keys/upload`: a device publishes its identity keys, one-time keys and fallback keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruma::OwnedOneTimeKeyId;
use ruma::api::client::keys::upload_keys::v3 as upload;
use ruma::encryption::{DeviceKeys, OneTimeKey};
use ruma::serde::Raw;
use sammen_core::ops::sessions;
use sammen_core::tx::Tx;
use sammen_core::{Device, Outcome, Refusal};
use serde_json::Value;

use super::kept::{self, Object};
use super::log::{self, What};
use super::one_time::{self, Uploaded};
use super::{changes, kept::DEVICES};
use crate::auth::Caller;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::json;
use crate::server::Matrix;

/// Most bytes of the identity keys of a device, signatures included.
pub(super) const IDENTITY: usize = 16 * 1024;
/// Most bytes of a one-time key.
const ONE_TIME_KEY: usize = 2 * 1024;
/// Most bytes of a key's id.
const NAME: usize = 128;

/// What a device publishes.
#[derive(Default)]
pub(super) struct Published {
    pub identity: Option<Object>,
    pub one_time: Vec<Uploaded>,
    pub fallback: Vec<Uploaded>,
}

pub(super) async fn upload(
    matrix: Arc<Matrix>,
    ask: Ask<upload::Request>,
) -> Answer<upload::Response> {
    let (caller, request) = (ask.who, ask.request);
    let identity = request.device_keys.map(|keys| identity(&caller, &keys));
    let published = Published {
        identity: identity.transpose()?,
        one_time: uploaded(request.one_time_keys)?,
        fallback: uploaded(request.fallback_keys)?,
    };
    let device = caller.device.clone();
    if !published.is_empty() {
        let (this, device) = (matrix.clone(), device.clone());
        let write = move |tx: &mut Tx<'_>| {
            sessions::device(tx, &device.account, device.id)?.ok_or(Refusal::NotFound)?;
            publish(tx, &this, &device, published)
        };
        matrix.node.write(write).await.map_err(refused)?;
    }
    let counts = matrix
        .read(move |matrix| one_time::counts(matrix, &device))
        .await?;
    Ok(upload::Response::new(counts.one_time.clone()))
}

/// Why keys are not taken.
pub(super) fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Conflict => {
            Fault::invalid("a one-time key of this name is here already, and it is another one")
        }
        other => other.into(),
    }
}

impl Published {
    fn is_empty(&self) -> bool {
        self.identity.is_none() && self.one_time.is_empty() && self.fallback.is_empty()
    }
}

/// Takes in what a device publishes, in the writer.
///
/// # Errors
/// As [`one_time::upload`].
pub(super) fn publish(
    tx: &mut Tx<'_>,
    matrix: &Matrix,
    device: &Device,
    published: Published,
) -> Outcome<()> {
    let (account, key) = (&device.account, kept::device_key(device.id));
    let known = kept::object(tx, account, DEVICES, &key)?;
    let new = published.identity.map(|mut identity| {
        // What others of the account's keys signed stays, as long as it is the same identity.
        if let Some(known) = &known
            && kept::bare(known) == kept::bare(&identity)
        {
            let user = identity.get("user_id").and_then(Value::as_str);
            let user = user.unwrap_or_default().to_owned();
            let mut all = kept::signatures(known, &user);
            all.extend(kept::signatures(&identity, &user));
            kept::sign(&mut identity, &user, all);
        }
        identity
    });
    let new = new.filter(|new| known.as_ref() != Some(new));
    let replaced = match (&known, &new) {
        (Some(known), Some(new)) => kept::bare(known) != kept::bare(new),
        _ => false,
    };
    if !published.one_time.is_empty() || !published.fallback.is_empty() {
        one_time::upload(
            tx,
            matrix,
            device,
            published.one_time,
            published.fallback,
            replaced,
        )?;
    } else if replaced {
        one_time::forget(tx, matrix, device)?;
    }
    if let Some(new) = new {
        kept::put(tx, account, DEVICES, &key, &new)?;
        changes::note(tx, matrix, account)?;
        let what = if known.is_none() {
            What::DeviceAdded
        } else if replaced {
            What::DeviceReplaced
        } else {
            return Ok(());
        };
        log::add(tx, device, what)?;
    }
    Ok(())
}

/// Identity keys, if they are those of the device that uploads them.
fn identity(caller: &Caller, raw: &Raw<DeviceKeys>) -> Answer<Object> {
    identity_of(caller.user_id.as_str(), caller.device_id.as_str(), raw)
}

/// Identity keys of this person's device of this id.
///
/// # Errors
/// M_INVALID_PARAM where they are someone else's.
pub(super) fn identity_of(user: &str, device: &str, raw: &Raw<DeviceKeys>) -> Answer<Object> {
    let mut object = json::object(raw.json(), IDENTITY)?;
    let keys = raw
        .deserialize()
        .map_err(|error| Fault::bad_json(error.to_string()))?;
    if keys.user_id != user || keys.device_id != device {
        return Err(Fault::invalid("these keys are of another device"));
    }
    object.remove("unsigned");
    Ok(object)
}

/// One-time or fallback keys as they stand in a request.
///
/// # Errors
/// Where a name or a key is none.
pub(super) fn uploaded(
    keys: BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>,
) -> Answer<Vec<Uploaded>> {
    let mut all = Vec::with_capacity(keys.len());
    if keys.len() > one_time::MOST {
        return Err(Fault::too_large());
    }
    for (id, raw) in keys {
        let (algorithm, name) = id
            .as_str()
            .split_once(':')
            .filter(|(algorithm, name)| is_algorithm(algorithm) && !name.is_empty())
            .filter(|(_, name)| name.len() <= NAME)
            .ok_or_else(|| Fault::invalid("a key's id is not usable"))?;
        let text = raw.json().get();
        let key = if text.starts_with('"') && text.len() <= ONE_TIME_KEY {
            raw.deserialize_as_unchecked::<Value>()
                .map_err(|error| Fault::bad_json(error.to_string()))?
        } else {
            Value::Object(json::object(raw.json(), ONE_TIME_KEY)?)
        };
        all.push(Uploaded {
            algorithm: algorithm.to_owned(),
            name: name.to_owned(),
            key,
        });
    }
    Ok(all)
}

/// Whether it is the name of an algorithm, and can be part of a document's key.
fn is_algorithm(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(plain)
}
