//! `POST /keys/signatures/upload`: somebody vouches for a device of theirs, for their own identity, or for another's.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruma::api::client::keys::upload_signatures::v3 as upload;
use ruma::{OwnedUserId, UserId};
use sammen_core::tx::Tx;
use sammen_core::{Address, Outcome};
use serde_json::{Value, json};

use super::kept::{self, CROSS, DEVICES, MADE, Object};
use super::{changes, devices, upload::IDENTITY};
use crate::auth::Caller;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::server::Matrix;
use crate::{json, names};

/// Most signed keys of one request.
const MOST: usize = 128;

/// Why one of them was not taken.
enum Why {
    Missing,
    Different,
    Unsigned,
}

impl Why {
    fn told(&self) -> Value {
        let (code, text) = match self {
            Why::Missing => ("M_NOT_FOUND", "there is no such key"),
            Why::Different => ("M_INVALID_PARAM", "the key on the server is another one"),
            Why::Unsigned => ("M_INVALID_SIGNATURE", "no signature on it is good"),
        };
        json!({ "errcode": code, "error": text })
    }
}

/// A signed key: whose, its id, and it.
type Signed = (OwnedUserId, String, Object);

pub(super) async fn upload(
    matrix: Arc<Matrix>,
    ask: Ask<upload::Request>,
) -> Answer<upload::Response> {
    let mut signed: Vec<Signed> = Vec::new();
    for (user, keys) in ask.request.signed_keys {
        for (id, raw) in &keys {
            if signed.len() >= MOST {
                return Err(Fault::too_large());
            }
            signed.push((user.clone(), id.to_owned(), json::object(raw, IDENTITY)?));
        }
    }
    let (this, caller) = (matrix.clone(), ask.who);
    let write = move |tx: &mut Tx<'_>| {
        let mut failures: BTreeMap<OwnedUserId, BTreeMap<String, Value>> = BTreeMap::new();
        for (user, id, object) in signed {
            if let Err(why) = take(tx, &this, &caller, &user, &id, &object)? {
                failures.entry(user).or_default().insert(id, why.told());
            }
        }
        Ok(failures)
    };
    let failures = matrix.node.write(write).await?;
    let mut answer = upload::Response::new();
    for (user, keys) in failures {
        let keys = keys.into_iter().map(|(id, why)| {
            let why = serde_json::from_value(why);
            why.map(|why| (id, why))
                .map_err(|_| Fault::unknown("a failure could not be told"))
        });
        answer.failures.insert(user, keys.collect::<Answer<_>>()?);
    }
    Ok(answer)
}

fn take(
    tx: &mut Tx<'_>,
    matrix: &Matrix,
    caller: &Caller,
    user: &UserId,
    id: &str,
    object: &Object,
) -> Outcome<Result<(), Why>> {
    if *user != caller.user_id {
        return others(tx, matrix, caller, user, id, object);
    }
    let (me, by) = (caller.address(), user.as_str());
    let mine = devices(tx, me)?;
    if let Some(device) = mine.iter().find(|d| d.key == id) {
        let at = kept::device_key(device.id);
        let Some(mut known) = kept::object(tx, me, DEVICES, &at)? else {
            return Ok(Err(Why::Missing));
        };
        if kept::bare(&known) != kept::bare(object) {
            return Ok(Err(Why::Different));
        }
        let signer = kept::object(tx, me, CROSS, "self_signing")?;
        let Some(new) = signature(object, by, signer.as_ref()) else {
            return Ok(Err(Why::Unsigned));
        };
        kept::sign(&mut known, by, new);
        kept::put(tx, me, DEVICES, &at, &known)?;
        changes::note(tx, matrix, me)?;
        return Ok(Ok(()));
    }
    let mut master = match master(tx, me, id, object)? {
        Ok(master) => master,
        Err(why) => return Ok(Err(why)),
    };
    let mut new = BTreeMap::new();
    for device in mine {
        let at = kept::device_key(device.id);
        let keys = kept::object(tx, me, DEVICES, &at)?;
        let key_id = format!("ed25519:{}", device.key);
        let public = keys
            .as_ref()
            .and_then(|k| k.get("keys")?.get(&key_id)?.as_str());
        if let Some(public) = public
            && let Some(signature) = kept::signatures(object, by).remove(&key_id)
            && kept::is_signed(object, by, &key_id, public)
        {
            new.insert(key_id, signature);
        }
    }
    if new.is_empty() {
        return Ok(Err(Why::Unsigned));
    }
    kept::sign(&mut master, by, new);
    kept::put(tx, me, CROSS, "master", &master)?;
    changes::note(tx, matrix, me)?;
    Ok(Ok(()))
}

/// Somebody vouches for somebody else. Only they see it ("Cross-signing": "Distribution of keys").
fn others(
    tx: &mut Tx<'_>,
    matrix: &Matrix,
    caller: &Caller,
    user: &UserId,
    id: &str,
    object: &Object,
) -> Outcome<Result<(), Why>> {
    let who = names::address(user, matrix.node.domains());
    let Some(who) = who.filter(|who| changes::is_ours(matrix, who)) else {
        return Ok(Err(Why::Missing));
    };
    let master = match master(tx, &who, id, object)? {
        Ok(master) => master,
        Err(why) => return Ok(Err(why)),
    };
    let (me, by) = (caller.address(), caller.user_id.as_str());
    let signer = kept::object(tx, me, CROSS, "user_signing")?;
    let Some(new) = signature(object, by, signer.as_ref()) else {
        return Ok(Err(Why::Unsigned));
    };
    let new = new
        .into_iter()
        .map(|(k, v)| (k, Value::String(v)))
        .collect();
    let at = kept::made_key(user.as_str(), &master);
    kept::put(tx, me, MADE, &at, &new)?;
    changes::note_for(tx, matrix, me, &who)?;
    Ok(Ok(()))
}

/// The master key of this id, if it is the one that was signed.
fn master(
    tx: &mut Tx<'_>,
    who: &Address,
    id: &str,
    object: &Object,
) -> Outcome<Result<Object, Why>> {
    let known = kept::object(tx, who, CROSS, "master")?;
    let known = known.filter(|known| kept::public(known).is_some_and(|(_, key)| key == id));
    Ok(match known {
        None => Err(Why::Missing),
        Some(known) if kept::bare(&known) != kept::bare(object) => Err(Why::Different),
        Some(known) => Ok(known),
    })
}

/// The signature that one cross-signing key made on an object, if it is good.
fn signature(
    object: &Object,
    by: &str,
    signer: Option<&Object>,
) -> Option<BTreeMap<String, String>> {
    let (key_id, public) = kept::public(signer?)?;
    let signature = kept::signatures(object, by).remove(key_id)?;
    kept::is_signed(object, by, key_id, public)
        .then(|| BTreeMap::from([(key_id.to_owned(), signature)]))
}
