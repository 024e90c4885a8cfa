//! `POST /keys/query`: the identity keys of people and their devices.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ruma::api::client::keys::get_keys::v3 as query;
use ruma::serde::Raw;
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use sammen_core::document::Owner;
use sammen_core::{Address, Protocol};
use serde::Serialize;
use serde_json::json;

use super::changes;
use super::kept::{self, CROSS, DEVICES, MADE, Object};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::names;
use crate::server::Matrix;
use crate::shelf::decode;

/// Most people of one request.
const MOST: usize = 10_000;

pub(super) async fn query(
    matrix: Arc<Matrix>,
    ask: Ask<query::Request>,
) -> Answer<query::Response> {
    let asked = ask.request.device_keys;
    if asked.len() > MOST {
        return Err(Fault::too_large());
    }
    let caller = ask.who;
    matrix
        .read(move |matrix| {
            let mut answer = query::Response::new();
            for (user, devices) in asked {
                match names::address(&user, matrix.node.domains()) {
                    Some(who) if changes::is_ours(matrix, &who) => {
                        let by = (&*caller.user_id, caller.address());
                        add(matrix, by, (user, who), &devices, &mut answer)?;
                    }
                    Some(who) if who.network() == Some("matrix") => {
                        let server = user.server_name().to_string();
                        answer.failures.insert(server, super::unreachable());
                    }
                    // People of other networks have no devices that Matrix could encrypt to; nobody has none either.
                    _ => drop(answer.device_keys.insert(user, BTreeMap::new())),
                }
            }
            Ok(answer)
        })
        .await
}

/// Adds one person's keys, as `by` may see them.
fn add(
    matrix: &Matrix,
    by: (&UserId, &Address),
    (user, who): (OwnedUserId, Address),
    asked: &[OwnedDeviceId],
    answer: &mut query::Response,
) -> Answer<()> {
    let store = matrix.node.store();
    let own = by.0 == user;
    let mut devices = BTreeMap::new();
    let account = matrix.node.account(&who)?.filter(|a| !a.disabled);
    if let Some(account) = account {
        let owner = Owner::from(&who);
        let kept = store.documents(&owner, DEVICES, "", None, 4_096)?;
        let mut kept: HashMap<_, _> = kept.into_iter().map(|d| (d.key, d.value)).collect();
        for device in store.devices(&who)? {
            let id = OwnedDeviceId::from(device.key.as_str());
            let meant = asked.is_empty() || asked.contains(&id);
            let here =
                device.protocol == Protocol::Matrix && device.generation == account.generation;
            if !meant || !here {
                continue;
            }
            let keys = kept.remove(&kept::device_key(device.id)).flatten();
            let Some(mut keys) = keys.as_deref().and_then(decode::<Object>) else {
                continue;
            };
            kept::keep_signatures_of(&mut keys, user.as_str());
            if let Some(label) = device.label {
                keys.insert("unsigned".into(), json!({ "device_display_name": label }));
            }
            devices.insert(id, raw(&keys)?);
        }
        let cross = |kind| -> Answer<Option<Object>> {
            let found = store.document(&owner, CROSS, kind)?;
            let found = found.and_then(|d| d.value).as_deref().and_then(decode);
            Ok(found.map(|mut key: Object| {
                kept::keep_signatures_of(&mut key, user.as_str());
                key
            }))
        };
        if let Some(mut master) = cross("master")? {
            if !own {
                let made = kept::made_key(user.as_str(), &master);
                let made = store.document(&Owner::from(by.1), MADE, &made)?;
                let made = made.and_then(|d| d.value).as_deref().and_then(decode);
                kept::sign(&mut master, by.0.as_str(), made.unwrap_or_default());
            }
            answer.master_keys.insert(user.clone(), raw(&master)?);
        }
        if let Some(key) = cross("self_signing")? {
            answer.self_signing_keys.insert(user.clone(), raw(&key)?);
        }
        // Whom somebody has verified is their own affair.
        if own && let Some(key) = cross("user_signing")? {
            answer.user_signing_keys.insert(user.clone(), raw(&key)?);
        }
    }
    answer.device_keys.insert(user, devices);
    Ok(())
}

fn raw<T, O: Serialize>(object: &O) -> Answer<Raw<T>> {
    let raw = Raw::new(object).map_err(|_| Fault::unknown("a key is damaged"))?;
    Ok(raw.cast_unchecked())
}
