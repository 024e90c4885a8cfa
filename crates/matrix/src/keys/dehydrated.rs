//! Dehydrated devices (MSC3814): a device without a client, to which others encrypt while the account has no other; a later
//! client opens it and reads what came.

use std::sync::Arc;

use bytes::Bytes;
use ruma::api::client::dehydrated_device::{
    delete_dehydrated_device::unstable as delete, get_dehydrated_device::unstable as get,
    get_events::unstable as events, put_dehydrated_device::unstable as put,
};
use ruma::serde::Raw;
use sammen_core::document::Owner;
use sammen_core::ops::sessions;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, Device, DeviceId, Outcome, Protocol, Refusal, Seq};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::devices;
use super::upload::{Published, identity_of, publish, refused, uploaded};
use crate::auth::Caller;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::json;
use crate::server::Matrix;
use crate::shelf::{decode, encode};
use crate::to_device;

/// One document: the device, and what opens it.
const NAMESPACE: &str = "matrix.keys.dehydrated";
const KEY: &str = "device";
/// Most bytes of what opens it: an Olm account with a hundred keys is 20 KiB.
const DATA: usize = 128 * 1024;
/// Longest device id, and name.
const NAME: usize = 255;
/// Messages of one answer.
const EVENTS: usize = 100;

#[derive(Serialize, Deserialize)]
struct Kept {
    device: DeviceId,
    data: Value,
}

fn kept(bytes: Option<Bytes>) -> Option<Kept> {
    bytes.as_deref().and_then(decode)
}

/// The account's dehydrated device, in the writer, if it is there still.
fn known(tx: &mut Tx<'_>, account: &Address) -> Outcome<Option<Device>> {
    let found = tx.document(&Owner::from(account), NAMESPACE, KEY)?;
    let Some(kept) = kept(found.and_then(|d| d.value)) else {
        return Ok(None);
    };
    sessions::device(tx, account, kept.device)
}

/// The same outside of it, with what opens it. Blocking.
fn read(matrix: &Matrix, account: &Address) -> Answer<(Device, Value)> {
    let store = matrix.node.store();
    let found = store.document(&Owner::from(account), NAMESPACE, KEY)?;
    let found = kept(found.and_then(|d| d.value));
    let generation = matrix.node.account(account)?.map(|a| a.generation);
    let device = match &found {
        Some(kept) => store.device(kept.device)?,
        None => None,
    };
    let device = device.filter(|d| d.account == *account && Some(d.generation) == generation);
    device
        .zip(found.map(|kept| kept.data))
        .ok_or_else(|| Fault::not_found("there is no dehydrated device"))
}

/// Replaces the one that is there. The id must not be that of a device that somebody uses.
pub(super) async fn put(matrix: Arc<Matrix>, ask: Ask<put::Request>) -> Answer<put::Response> {
    let (caller, request) = (ask.who, ask.request);
    let id = request.device_id;
    let label = request.initial_device_display_name;
    if id.as_str().is_empty() || id.as_str().len() > NAME {
        return Err(Fault::invalid("device_id is not usable"));
    }
    let identity = identity_of(caller.user_id.as_str(), id.as_str(), &request.device_keys)?;
    let published = Published {
        identity: Some(identity),
        one_time: uploaded(request.one_time_keys)?,
        fallback: uploaded(request.fallback_keys)?,
    };
    let data = Value::Object(json::object(request.device_data.json(), DATA)?);
    let (this, key) = (matrix.clone(), id.to_string());
    let write = move |tx: &mut Tx<'_>| {
        let made = new(tx, &caller, key, label)?;
        let old = known(tx, caller.address())?;
        publish(tx, &this, &made, published)?;
        if let Some(old) = old {
            tx.remove_device(&old);
        }
        sessions::save_device(tx, &made);
        let kept = Kept {
            device: made.id,
            data,
        };
        let owner = Owner::from(caller.address());
        tx.put_document(
            &owner,
            NAMESPACE,
            KEY,
            Expect::Anything,
            Some(encode(&kept)?),
        )?;
        Ok(())
    };
    matrix.node.write(write).await.map_err(|why| match why {
        Refusal::Taken => Fault::invalid("there is a device of this id"),
        other => refused(other),
    })?;
    Ok(put::Response::new(id))
}

/// A device that nobody signs in with: it has no tokens.
fn new(tx: &mut Tx<'_>, caller: &Caller, key: String, label: Option<String>) -> Outcome<Device> {
    let account = caller.address();
    sessions::device(tx, account, caller.device.id)?.ok_or(Refusal::NotFound)?;
    let old = known(tx, account)?.map(|d| d.id);
    let others = devices(tx, account)?;
    if others.iter().any(|d| d.key == key && Some(d.id) != old) {
        return Err(Refusal::Taken);
    }
    if old.is_none() && tx.devices(account)?.len() >= tx.limits().devices {
        return Err(Refusal::TooMany);
    }
    let label = tx.limits().clip_reason(label);
    Ok(Device {
        id: tx.next_device(),
        account: account.clone(),
        protocol: Protocol::Matrix,
        key,
        label,
        credential: caller.device.credential.clone(),
        cursor: tx.last_seq(),
        inbound: 0,
        state: Vec::new(),
        generation: caller.account.generation,
        created: tx.now,
        seen: tx.now,
    })
}

pub(super) async fn get(matrix: Arc<Matrix>, ask: Ask<get::Request>) -> Answer<get::Response> {
    matrix
        .read(move |matrix| {
            let (device, data) = read(matrix, ask.who.address())?;
            let raw = Raw::new(&data).map_err(|_| Fault::unknown("the device is damaged"))?;
            Ok(get::Response::new(device.key.into(), raw.cast_unchecked()))
        })
        .await
}

pub(super) async fn delete(
    matrix: Arc<Matrix>,
    ask: Ask<delete::Request>,
) -> Answer<delete::Response> {
    let account = ask.who.address().clone();
    let gone = matrix.node.write(move |tx| {
        let device = known(tx, &account)?.ok_or(Refusal::NotFound)?;
        tx.remove_device(&device);
        tx.erase_document(&Owner::from(&account), NAMESPACE, KEY);
        Ok(device.key)
    });
    Ok(delete::Response::new(gone.await?.into()))
}

/// What came for it, page by page. It stays until the device goes: whoever is interrupted begins again.
pub(super) async fn events(
    matrix: Arc<Matrix>,
    ask: Ask<events::Request>,
) -> Answer<events::Response> {
    matrix
        .read(move |matrix| {
            let (device, _) = read(matrix, ask.who.address())?;
            if device.key != ask.request.device_id.as_str() {
                return Err(Fault::forbidden("that is not the dehydrated device"));
            }
            let since = match ask.request.next_batch {
                None => Seq(0),
                Some(token) => {
                    let token = sammen_core::token::Token::decode(&token, matrix.node.epoch());
                    token
                        .map(|token| token.seq)
                        .ok_or_else(|| Fault::invalid("this token is not valid"))?
                }
            };
            let upto = matrix.node.last_seq();
            let found = to_device::since(matrix, &device, since, upto, EVENTS)?;
            let mut answer = events::Response::new(found.events);
            if !answer.events.is_empty() {
                let token = sammen_core::token::Token {
                    epoch: matrix.node.epoch(),
                    seq: found.upto,
                    volatile: 0,
                };
                answer.next_batch = Some(token.encode());
            }
            Ok(answer)
        })
        .await
}
