//! `POST /keys/device_signing/upload`: the identity that vouches for a person's devices and for people.

use std::sync::Arc;

use axum::http::StatusCode;
use ruma::api::client::keys::upload_signing_keys::v3 as upload;
use ruma::api::error::ErrorKind;
use ruma::encryption::{CrossSigningKey, KeyUsage};
use ruma::serde::Raw;
use sammen_core::document::Owner;
use sammen_core::ops::sessions;
use sammen_core::tx::Tx;
use sammen_core::{Device, Outcome, Refusal};

use super::kept::{self, CROSS, Object};
use super::log::{self, What};
use super::{changes, upload::IDENTITY};
use crate::auth::uia;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::json;
use crate::server::Matrix;

/// Keys as a client uploads them: `master`, then those that the master key signs.
#[derive(Clone)]
struct New {
    master: Option<Object>,
    signed: Vec<(&'static str, Object)>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Kept,
    /// It replaces what is there: whoever asks has to show who they are.
    Unproven,
    NoMaster,
    Unsigned,
}

pub(super) async fn upload(
    matrix: Arc<Matrix>,
    ask: Ask<upload::Request>,
) -> Answer<upload::Response> {
    let (caller, request) = (ask.who, ask.request);
    let user = caller.user_id.to_string();
    let mut new = New {
        master: key(&user, KeyUsage::Master, request.master_key)?,
        signed: Vec::new(),
    };
    for (kind, usage, raw) in [
        (
            "self_signing",
            KeyUsage::SelfSigning,
            request.self_signing_key,
        ),
        (
            "user_signing",
            KeyUsage::UserSigning,
            request.user_signing_key,
        ),
    ] {
        new.signed
            .extend(key(&user, usage, raw)?.map(|key| (kind, key)));
    }
    let write = |proven| {
        let (this, device) = (matrix.clone(), caller.device.clone());
        let (new, user) = (new.clone(), user.clone());
        let keep = move |tx: &mut Tx<'_>| keep(tx, &this, &device, &user, new, proven);
        matrix.node.write(keep)
    };
    let mut verdict = write(false).await?;
    if verdict == Verdict::Unproven {
        let what = "replace the cross-signing keys";
        uia::confirm(&matrix, &caller, ask.peer.as_deref(), what, request.auth).await?;
        verdict = write(true).await?;
    }
    match verdict {
        Verdict::Kept => Ok(upload::Response::new()),
        Verdict::NoMaster => Err(Fault::new(
            StatusCode::BAD_REQUEST,
            ErrorKind::MissingParam,
            "there is no master key to sign these",
        )),
        Verdict::Unsigned => Err(Fault::invalid_signature(
            "the master key has not signed these",
        )),
        Verdict::Unproven => Err(Fault::unknown("try again")),
    }
}

/// One key of a request, if it is one.
fn key(user: &str, usage: KeyUsage, raw: Option<Raw<CrossSigningKey>>) -> Answer<Option<Object>> {
    let Some(raw) = raw else { return Ok(None) };
    let mut object = json::object(raw.json(), IDENTITY)?;
    let key = raw
        .deserialize()
        .map_err(|error| Fault::bad_json(error.to_string()))?;
    if key.user_id != user || !key.usage.contains(&usage) {
        return Err(Fault::invalid(
            "this key is someone else's, or for something else",
        ));
    }
    // "keys: … The object must have exactly one property", whose name is the key itself.
    let named = |(id, key): (&str, &str)| id.strip_prefix("ed25519:") == Some(key);
    if !kept::public(&object).is_some_and(named) {
        return Err(Fault::invalid("a cross-signing key holds one ed25519 key"));
    }
    object.remove("unsigned");
    Ok(Some(object))
}

/// Takes the keys in, in the writer, if they may come in. Nothing has to be proven for the first ones, and for those that
/// are here already (`POST /keys/device_signing/upload`, since v1.11).
fn keep(
    tx: &mut Tx<'_>,
    matrix: &Matrix,
    device: &Device,
    user: &str,
    new: New,
    proven: bool,
) -> Outcome<Verdict> {
    let me = &device.account;
    sessions::device(tx, me, device.id)?.ok_or(Refusal::NotFound)?;
    let known = kept::object(tx, me, CROSS, "master")?;
    let same = |new: &Object, known: Option<&Object>| {
        known.is_some_and(|known| kept::bare(known) == kept::bare(new))
    };
    let another = new
        .master
        .as_ref()
        .is_some_and(|new| !same(new, known.as_ref()));
    let mut changed = Vec::new();
    for (kind, key) in new.signed {
        if another || !same(&key, kept::object(tx, me, CROSS, kind)?.as_ref()) {
            changed.push((kind, key));
        }
    }
    if !another && changed.is_empty() {
        return Ok(Verdict::Kept);
    }
    if known.is_some() && !proven {
        return Ok(Verdict::Unproven);
    }
    let Some(master) = new.master.or_else(|| known.clone()) else {
        return Ok(Verdict::NoMaster);
    };
    let signed = |key: &Object| {
        let by = kept::public(&master);
        by.is_some_and(|(id, public)| kept::is_signed(key, user, id, public))
    };
    if !changed.iter().all(|(_, key)| signed(key)) {
        return Ok(Verdict::Unsigned);
    }
    if another {
        kept::put(tx, me, CROSS, "master", &master)?;
        // What the old one signed is nobody's word any more.
        for kind in ["self_signing", "user_signing"] {
            tx.erase_document(&Owner::from(me), CROSS, kind);
        }
    }
    for (kind, key) in &changed {
        kept::put(tx, me, CROSS, kind, key)?;
    }
    changes::note(tx, matrix, me)?;
    let what = match known {
        None => What::IdentityAdded,
        Some(_) => What::IdentityReplaced,
    };
    log::add(tx, device, what)?;
    Ok(Verdict::Kept)
}
