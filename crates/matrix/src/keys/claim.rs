//! `POST /keys/claim`: one-time keys, each for one asker.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruma::api::client::keys::claim_keys::v3 as claim;
use ruma::serde::Raw;
use ruma::{OwnedDeviceId, OwnedOneTimeKeyId, OwnedUserId};
use sammen_core::tx::Tx;
use sammen_core::{Address, Outcome};

use super::{changes, devices, one_time};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::names;
use crate::server::Matrix;

/// Most keys of one request.
const MOST: usize = 2_000;

/// Whose key, of which device, of which kind.
type Wish = (OwnedUserId, Address, OwnedDeviceId, String);

pub(super) async fn claim(
    matrix: Arc<Matrix>,
    ask: Ask<claim::Request>,
) -> Answer<claim::Response> {
    let mut wishes: Vec<Wish> = Vec::new();
    let mut failures = BTreeMap::new();
    for (user, keys) in ask.request.one_time_keys {
        match names::address(&user, matrix.node.domains()) {
            Some(who) if changes::is_ours(&matrix, &who) => {
                let keys = keys.into_iter();
                wishes.extend(keys.map(|(d, a)| (user.clone(), who.clone(), d, a.to_string())));
            }
            Some(who) if who.network() == Some("matrix") => {
                failures.insert(user.server_name().to_string(), super::unreachable());
            }
            _ => {}
        }
    }
    if wishes.len() > MOST {
        return Err(Fault::too_large());
    }
    let mut answer = claim::Response::new(BTreeMap::new());
    answer.failures = failures;
    if wishes.is_empty() {
        return Ok(answer);
    }
    matrix.auth.rates.work(ask.who.address(), wishes.len())?;
    let (this, asker) = (matrix.clone(), ask.who.address().clone());
    let taken = matrix.node.write(move |tx| take(tx, &this, &asker, wishes));
    let found = taken.await?;
    for (user, device, id, key) in found {
        let theirs = answer.one_time_keys.entry(user).or_default();
        theirs.entry(device).or_default().insert(id, key);
    }
    Ok(answer)
}

type Found = (
    OwnedUserId,
    OwnedDeviceId,
    OwnedOneTimeKeyId,
    Raw<ruma::encryption::OneTimeKey>,
);

fn take(
    tx: &mut Tx<'_>,
    matrix: &Matrix,
    asker: &Address,
    wishes: Vec<Wish>,
) -> Outcome<Vec<Found>> {
    let mut people = BTreeMap::new();
    let mut found = Vec::new();
    for (user, who, id, algorithm) in wishes {
        if !people.contains_key(&who) {
            // Who is blocked uses up nobody's keys; nothing tells them so.
            let blocked = who != *asker && tx.is_blocked(&who, asker)?;
            let theirs = if blocked {
                Vec::new()
            } else {
                devices(tx, &who)?
            };
            people.insert(who.clone(), theirs);
        }
        let theirs = people.get(&who);
        let device = theirs.and_then(|all| all.iter().find(|d| d.key == id.as_str()));
        let Some(device) = device else { continue };
        if let Some((name, key)) = one_time::claim(tx, matrix, device, &algorithm)?
            && let Ok(key_id) = OwnedOneTimeKeyId::try_from(format!("{algorithm}:{name}"))
            && let Ok(key) = Raw::new(&key)
        {
            found.push((user, id, key_id, key.cast_unchecked()));
        }
    }
    Ok(found)
}
