//! The account's devices: `/devices`, `/delete_devices`. Those of other protocols are not Matrix's to show.

use std::sync::Arc;

use ruma::api::client::device::{
    self, delete_device, delete_devices, get_device, get_devices, update_device,
};
use ruma::{DeviceId, MilliSecondsSinceUnixEpoch, OwnedDeviceId, UInt};
use sammen_core::ops::sessions;
use sammen_core::tx::Tx;
use sammen_core::{Address, Device, Outcome, Protocol, Refusal};

use super::uia;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// Devices that one request may delete.
const MOST: usize = 1000;

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(list);
    table.on(one);
    table.on(rename);
    table.on(delete);
    table.on(delete_many);
}

/// The account's Matrix devices.
///
/// # Errors
/// When the store can't be read.
pub fn of(matrix: &Matrix, account: &Address) -> Outcome<Vec<Device>> {
    let generation = matrix.node.account(account)?.map(|a| a.generation);
    let mut devices = matrix.node.store().devices(account)?;
    devices.retain(|d| d.protocol == Protocol::Matrix && Some(d.generation) == generation);
    Ok(devices)
}

/// As [`of`], in a write.
fn of_tx(tx: &mut Tx<'_>, account: &Address) -> Outcome<Vec<Device>> {
    let generation = tx.account(account)?.map(|a| a.generation);
    let mut devices = tx.devices(account)?;
    devices.retain(|d| d.protocol == Protocol::Matrix && Some(d.generation) == generation);
    Ok(devices)
}

/// Forgets devices of an account by their Matrix ids; those that it has not are gone already. `None` is all of them.
///
/// # Errors
/// When the store can't be read.
pub fn forget(tx: &mut Tx<'_>, account: &Address, ids: Option<&[OwnedDeviceId]>) -> Outcome<()> {
    for device in of_tx(tx, account)? {
        if ids.is_none_or(|ids| ids.iter().any(|id| id.as_str() == device.key)) {
            sessions::forget_device(tx, account, device.id)?;
        }
    }
    Ok(())
}

fn shown(device: &Device) -> device::Device {
    let mut shown = device::Device::new(device.key.as_str().into());
    shown.display_name = device.label.clone();
    let seen = u64::try_from(device.seen.0).unwrap_or(0);
    shown.last_seen_ts = UInt::new(seen).map(MilliSecondsSinceUnixEpoch);
    shown
}

async fn list(
    matrix: Arc<Matrix>,
    ask: Ask<get_devices::v3::Request>,
) -> Answer<get_devices::v3::Response> {
    let account = ask.who.address().clone();
    let devices = matrix.read(move |matrix| Ok(of(matrix, &account)?));
    let devices = devices.await?.iter().map(shown).collect();
    Ok(get_devices::v3::Response::new(devices))
}

fn find(devices: Vec<Device>, id: &DeviceId) -> Option<Device> {
    devices.into_iter().find(|d| d.key == id.as_str())
}

async fn one(
    matrix: Arc<Matrix>,
    ask: Ask<get_device::v3::Request>,
) -> Answer<get_device::v3::Response> {
    let (account, id) = (ask.who.address().clone(), ask.request.device_id);
    let found = matrix.read(move |matrix| Ok(find(of(matrix, &account)?, &id)));
    let found = found.await?;
    let found = found.ok_or_else(|| Fault::not_found("there is no such device"))?;
    Ok(get_device::v3::Response::new(shown(&found)))
}

async fn rename(
    matrix: Arc<Matrix>,
    ask: Ask<update_device::v3::Request>,
) -> Answer<update_device::v3::Response> {
    let (account, request) = (ask.who.address().clone(), ask.request);
    let this = matrix.clone();
    let renamed = matrix.node.write(move |tx| {
        let found = find(of_tx(tx, &account)?, &request.device_id);
        let mut device = found.ok_or(Refusal::NotFound)?;
        if let Some(name) = request.display_name {
            device.label = tx.limits().clip_reason(Some(name));
            sessions::save_device(tx, &device);
            crate::keys::device_renamed(tx, &this, &device)?;
            this.ring_after(tx, &account);
        }
        Ok(())
    });
    renamed.await?;
    Ok(update_device::v3::Response::new())
}

async fn delete(
    matrix: Arc<Matrix>,
    ask: Ask<delete_device::v3::Request>,
) -> Answer<delete_device::v3::Response> {
    let ids = vec![ask.request.device_id];
    let auth = ask.request.auth;
    sign_out(&matrix, &ask.who, ask.peer.as_deref(), ids, auth).await?;
    Ok(delete_device::v3::Response::new())
}

async fn delete_many(
    matrix: Arc<Matrix>,
    ask: Ask<delete_devices::v3::Request>,
) -> Answer<delete_devices::v3::Response> {
    let (ids, auth) = (ask.request.devices, ask.request.auth);
    sign_out(&matrix, &ask.who, ask.peer.as_deref(), ids, auth).await?;
    Ok(delete_devices::v3::Response::new())
}

async fn sign_out(
    matrix: &Arc<Matrix>,
    who: &super::Caller,
    peer: Option<&sammen_net::Peer>,
    ids: Vec<OwnedDeviceId>,
    auth: Option<ruma::api::client::uiaa::AuthData>,
) -> Answer<()> {
    if ids.len() > MOST {
        return Err(Fault::too_large());
    }
    let named: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let what = format!("delete devices {}", named.join(" "));
    uia::confirm(matrix, who, peer, &what, auth).await?;
    let account = who.address().clone();
    let bells = matrix.bells.clone();
    let forgotten = matrix.node.write(move |tx| {
        forget(tx, &account, Some(&ids))?;
        tx.after(move |_| bells.ring(&account));
        Ok(())
    });
    Ok(forgotten.await?)
}
