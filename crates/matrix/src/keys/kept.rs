//! What is kept of identities: keys of devices, cross-signing keys, and signatures that only their maker sees.
//!
//! On the account's shelf. Keys are JSON objects as they were uploaded, without `unsigned`.

use std::collections::BTreeMap;

use ruma::CanonicalJsonValue;
use ruma::serde::Base64;
use sammen_core::document::Owner;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, Device, DeviceId, Outcome};
use serde_json::{Map, Value};

use crate::shelf::{decode, encode};

/// `<device>`: the identity keys of a device.
pub(super) const DEVICES: &str = "matrix.keys.device";
/// `master`, `self_signing`, `user_signing`.
pub(super) const CROSS: &str = "matrix.keys.cross";
/// `<user id>/<key>`: signatures that the account made on other people's master keys.
pub(super) const MADE: &str = "matrix.keys.made";

/// A signed object.
pub(super) type Object = Map<String, Value>;

pub(super) fn device_key(device: DeviceId) -> String {
    format!("{:x}", device.0)
}

/// A kept object, in the writer.
pub(super) fn object(
    tx: &mut Tx<'_>,
    account: &Address,
    namespace: &str,
    key: &str,
) -> Outcome<Option<Object>> {
    let found = tx.document(&Owner::from(account), namespace, key)?;
    Ok(found.and_then(|d| d.value).as_deref().and_then(decode))
}

/// Keeps an object.
pub(super) fn put(
    tx: &mut Tx<'_>,
    account: &Address,
    namespace: &str,
    key: &str,
    object: &Object,
) -> Outcome<()> {
    let value = Some(encode(object)?);
    tx.put_document(
        &Owner::from(account),
        namespace,
        key,
        Expect::Anything,
        value,
    )?;
    Ok(())
}

/// The device goes, and its identity with it; whether it had one.
pub(super) fn forget(tx: &mut Tx<'_>, device: &Device) -> Outcome<bool> {
    let (owner, key) = (Owner::from(&device.account), device_key(device.id));
    let known = tx.document(&owner, DEVICES, &key)?;
    if known.is_none_or(|d| d.value.is_none()) {
        return Ok(false);
    }
    tx.erase_document(&owner, DEVICES, &key);
    Ok(true)
}

/// The object without what is not signed.
pub(super) fn bare(object: &Object) -> Object {
    let mut object = object.clone();
    object.remove("signatures");
    object.remove("unsigned");
    object
}

/// The signatures of one person on an object: key id → signature.
pub(super) fn signatures(object: &Object, user: &str) -> BTreeMap<String, String> {
    let theirs = object.get("signatures").and_then(|s| s.get(user));
    let theirs = theirs.and_then(Value::as_object).into_iter().flatten();
    theirs
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Adds signatures of one person to an object.
pub(super) fn sign(object: &mut Object, user: &str, new: BTreeMap<String, String>) {
    if new.is_empty() {
        return;
    }
    let all = object
        .entry("signatures")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(all) = all.as_object_mut() {
        let theirs = all.entry(user).or_insert_with(|| Value::Object(Map::new()));
        if let Some(theirs) = theirs.as_object_mut() {
            theirs.extend(new.into_iter().map(|(k, v)| (k, Value::String(v))));
        }
    }
}

/// Leaves only the signatures that one person made.
pub(super) fn keep_signatures_of(object: &mut Object, user: &str) {
    let theirs = signatures(object, user);
    object.remove("signatures");
    sign(object, user, theirs);
}

/// The only key of a cross-signing key: its id and itself.
pub(super) fn public(object: &Object) -> Option<(&str, &str)> {
    let mut keys = object.get("keys")?.as_object()?.iter();
    let (id, key) = keys.next()?;
    keys.next().is_none().then_some((id, key.as_str()?))
}

/// The place of signatures on somebody's master key.
pub(super) fn made_key(user: &str, master: &Object) -> String {
    let key = public(master).map_or("", |(id, _)| id);
    format!("{user}/{key}")
}

/// Whether a public key of a person signed the object under this key id.
pub(super) fn is_signed(object: &Object, user: &str, key_id: &str, public: &str) -> bool {
    let check = || {
        let key = Base64::parse(public).ok()?;
        let keys = BTreeMap::from([(key_id.to_owned(), key)]);
        let object = Value::Object(object.clone());
        let object = CanonicalJsonValue::try_from(object).ok()?;
        let CanonicalJsonValue::Object(object) = object else {
            return None;
        };
        let people = BTreeMap::from([(user.to_owned(), keys)]);
        ruma::signatures::verify_json(&people, &object).ok()
    };
    check().is_some()
}
