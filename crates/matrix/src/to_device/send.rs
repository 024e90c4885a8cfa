//! `PUT /sendToDevice/{eventType}/{txnId}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ruma::api::client::to_device::send_event_to_device::v3 as send_to;
use ruma::to_device::DeviceIdOrAllDevices;
use sammen_core::ops::sessions;
use sammen_core::tx::Tx;
use sammen_core::{Address, Device, Outcome, Refusal};
use serde_json::json;

use super::{once, queue};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::server::Matrix;
use crate::{json, names};

/// Most bytes of one message's content.
const CONTENT: usize = 64 * 1024;
/// Most bytes of a type and of a transaction's id (appendices, "Opaque identifiers").
const NAME: usize = 255;
/// Most messages that one request makes, and most bytes of them (`*` makes one for each device).
const MESSAGES: usize = 5_000;
const BYTES: usize = 8 << 20;

/// A message on its way.
struct Sent {
    to: Address,
    device: DeviceIdOrAllDevices,
    event: Bytes,
}

/// Answers when the messages are durable; the same transaction again does nothing. Devices that are not there (any more)
/// get nothing, without a word: the sender's list of devices may be a moment old. People of other servers can't be
/// reached, and that is said before anything is sent.
pub(super) async fn send(
    matrix: Arc<Matrix>,
    ask: Ask<send_to::Request>,
) -> Answer<send_to::Response> {
    let (caller, request) = (ask.who, ask.request);
    let kind = request.event_type.to_string();
    if kind.len() > NAME || request.txn_id.as_str().len() > NAME {
        return Err(Fault::invalid(
            "the type or the transaction's id is too long",
        ));
    }
    let mut messages = Vec::new();
    for (user, devices) in request.messages {
        let to = names::address(&user, matrix.node.domains());
        if to.as_ref().is_some_and(|to| to.network() == Some("matrix")) {
            let server = user.server_name();
            return Err(Fault::not_found(format!(
                "nobody on {server} can be reached from here"
            )));
        }
        for (device, content) in devices {
            let event = json!({
                "type": kind,
                "sender": caller.user_id,
                "content": json::object(content.json(), CONTENT)?,
            });
            let Some(to) = to.clone() else { continue };
            let event = crate::shelf::encode(&event)?;
            messages.push(Sent { to, device, event });
        }
    }
    if messages.len() > MESSAGES {
        return Err(Fault::too_large());
    }
    let weight: usize = messages.iter().map(|m| 1 + m.event.len() / 4096).sum();
    matrix.auth.rates.work(caller.address(), weight)?;
    let key = format!("{kind}/{}", request.txn_id);
    let device = caller.device;
    let this = matrix.clone();
    let write = move |tx: &mut Tx<'_>| put(tx, &this, &device, &key, messages);
    matrix.node.write(write).await?;
    Ok(send_to::Response::new())
}

fn put(
    tx: &mut Tx<'_>,
    matrix: &Matrix,
    from: &Device,
    key: &str,
    messages: Vec<Sent>,
) -> Outcome<()> {
    // Signed out meanwhile.
    sessions::device(tx, &from.account, from.id)?.ok_or(Refusal::NotFound)?;
    if once::was_done(tx, from, key)? {
        return Ok(());
    }
    let mut people: BTreeMap<Address, Vec<Device>> = BTreeMap::new();
    let (mut pushes, mut bytes) = (Vec::new(), 0);
    for message in messages {
        if !people.contains_key(&message.to) {
            let devices = devices_for(tx, &from.account, &message.to)?;
            people.insert(message.to.clone(), devices);
        }
        let theirs = people.get(&message.to).into_iter().flatten();
        let meant = theirs.filter(|d| match &message.device {
            DeviceIdOrAllDevices::AllDevices => true,
            DeviceIdOrAllDevices::DeviceId(id) => d.key == id.as_str(),
        });
        for device in meant {
            bytes += message.event.len();
            pushes.push((device.clone(), message.event.clone()));
        }
    }
    if pushes.len() > MESSAGES || bytes > BYTES {
        return Err(Refusal::TooLarge);
    }
    once::done(tx, matrix, from, key)?;
    for (device, event) in pushes {
        queue::push(tx, matrix, &device, event)?;
    }
    Ok(())
}

/// The devices of whom `from` may write to.
fn devices_for(tx: &mut Tx<'_>, from: &Address, to: &Address) -> Outcome<Vec<Device>> {
    if from != to && tx.is_blocked(to, from)? {
        return Ok(Vec::new());
    }
    crate::keys::devices(tx, to)
}
