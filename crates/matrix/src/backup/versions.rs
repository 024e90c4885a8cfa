//! Versions of an account's backup: one document each, with the count and the etag of its keys.

use std::sync::Arc;

use axum::http::StatusCode;
use ruma::api::client::backup::{
    create_backup_version::v3 as create, delete_backup_version::v3 as delete,
    get_backup_info::v3 as info, get_latest_backup_info::v3 as latest,
    update_backup_version::v3 as update,
};
use ruma::api::error::ErrorKind;
use ruma::serde::Raw;
use sammen_core::document::Owner;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::keys;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::json;
use crate::routes::Table;
use crate::server::Matrix;
use crate::shelf::{decode, encode};

/// `<number in hexadecimal>`, in order.
const NAMESPACE: &str = "matrix.backup";
/// Most backups of an account.
const MOST: usize = 32;
/// Most bytes of what tells how a backup is encrypted.
const AUTH: usize = 16 * 1024;

/// A backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Version {
    algorithm: String,
    auth_data: Value,
    /// Keys in it.
    pub count: u32,
    /// Bytes of them.
    #[serde(default)]
    pub bytes: u64,
    /// Changes with the keys.
    pub etag: u64,
    /// Deleted; its keys may not all be gone yet.
    #[serde(default)]
    gone: bool,
}

pub(super) fn routes(table: &mut Table) {
    table.on(create);
    table.on(latest);
    table.on(info);
    table.on(update);
    table.on(delete);
}

/// The place of a backup by the number that clients know; `None` for what is no number of ours.
fn place(version: &str) -> Option<String> {
    let number: u64 = version.parse().ok()?;
    (number.to_string() == version).then(|| format!("{number:016x}"))
}

fn number(key: &str) -> String {
    u64::from_str_radix(key, 16).unwrap_or_default().to_string()
}

/// A backup by its number, in the writer.
pub(super) fn get(tx: &mut Tx<'_>, account: &Address, version: &str) -> Outcome<Option<Version>> {
    let Some(key) = place(version) else {
        return Ok(None);
    };
    let found = tx.document(&Owner::from(account), NAMESPACE, &key)?;
    Ok(found.and_then(|d| d.value).as_deref().and_then(here))
}

/// The same outside of it. Blocking.
pub(super) fn read(matrix: &Matrix, account: &Address, version: &str) -> Answer<Version> {
    let nothing = || Fault::not_found("there is no such backup");
    let key = place(version).ok_or_else(nothing)?;
    let store = matrix.node.store();
    let found = store.document(&Owner::from(account), NAMESPACE, &key)?;
    let found = found.and_then(|d| d.value).as_deref().and_then(here);
    found.ok_or_else(nothing)
}

fn here(bytes: &[u8]) -> Option<Version> {
    decode(bytes).filter(|version: &Version| !version.gone)
}

/// The number of the backup that takes keys, in the writer.
pub(super) fn current(tx: &mut Tx<'_>, account: &Address) -> Outcome<Option<String>> {
    let all = tx.documents_with(&Owner::from(account), NAMESPACE, "", MOST * 2)?;
    let all = all.iter().rev();
    let mut all = all.filter(|d| d.value.as_deref().and_then(here).is_some());
    Ok(all.next().map(|d| number(&d.key)))
}

/// Keeps a backup's record.
pub(super) fn put(
    tx: &mut Tx<'_>,
    account: &Address,
    version: &str,
    record: &Version,
) -> Outcome<()> {
    let Some(key) = place(version) else {
        return Ok(());
    };
    let (owner, value) = (Owner::from(account), Some(encode(record)?));
    tx.put_document(&owner, NAMESPACE, &key, Expect::Anything, value)?;
    Ok(())
}

/// The algorithm and its data as they stand in a request.
fn described<T>(raw: &Raw<T>) -> Answer<(String, Value, Map<String, Value>)> {
    let mut object = json::object(raw.json(), AUTH)?;
    let algorithm = object.remove("algorithm");
    let auth_data = object.remove("auth_data").filter(Value::is_object);
    match (algorithm, auth_data) {
        (Some(Value::String(algorithm)), Some(data)) if algorithm.len() <= 255 => {
            Ok((algorithm, data, object))
        }
        _ => Err(Fault::bad_json("a backup has an algorithm and auth_data")),
    }
}

async fn create(matrix: Arc<Matrix>, ask: Ask<create::Request>) -> Answer<create::Response> {
    let (algorithm, auth_data, _) = described(&ask.request.algorithm)?;
    let account = ask.who.address().clone();
    sweep(&matrix, &account).await?;
    let made = matrix.node.write(move |tx| {
        let owner = Owner::from(&account);
        if tx.documents_with(&owner, NAMESPACE, "", MOST)?.len() >= MOST {
            return Ok(None);
        }
        let version = tx.next_seq().0.to_string();
        let record = Version {
            algorithm,
            auth_data,
            count: 0,
            bytes: 0,
            etag: 0,
            gone: false,
        };
        put(tx, &account, &version, &record)?;
        Ok(Some(version))
    });
    let made = made.await?;
    let made = made.ok_or_else(|| {
        let text = "there are too many backups: delete one first";
        Fault::new(StatusCode::FORBIDDEN, ErrorKind::Forbidden, text)
    })?;
    Ok(create::Response::new(made))
}

fn told<T>(record: &Version) -> Answer<Raw<T>> {
    let described = json!({ "algorithm": record.algorithm, "auth_data": record.auth_data });
    let raw = Raw::new(&described).map_err(|_| Fault::unknown("a backup is damaged"))?;
    Ok(raw.cast_unchecked())
}

async fn latest(matrix: Arc<Matrix>, ask: Ask<latest::Request>) -> Answer<latest::Response> {
    matrix
        .read(move |matrix| {
            let owner = Owner::from(ask.who.address());
            let all = matrix.node.store();
            let all = all.documents(&owner, NAMESPACE, "", None, MOST * 2)?;
            let mut all = all.iter().rev();
            let found = all.find_map(|d| Some((number(&d.key), here(d.value.as_deref()?)?)));
            let (version, record) = found.ok_or_else(|| Fault::not_found("there is no backup"))?;
            let (count, etag) = (record.count.into(), record.etag.to_string());
            Ok(latest::Response::new(told(&record)?, count, etag, version))
        })
        .await
}

async fn info(matrix: Arc<Matrix>, ask: Ask<info::Request>) -> Answer<info::Response> {
    matrix
        .read(move |matrix| {
            let version = ask.request.version;
            let record = read(matrix, ask.who.address(), &version)?;
            let (count, etag) = (record.count.into(), record.etag.to_string());
            Ok(info::Response::new(told(&record)?, count, etag, version))
        })
        .await
}

async fn update(matrix: Arc<Matrix>, ask: Ask<update::Request>) -> Answer<update::Response> {
    let version = ask.request.version;
    let (algorithm, auth_data, rest) = described(&ask.request.algorithm)?;
    if rest.get("version").is_some_and(|said| *said != *version) {
        return Err(Fault::invalid("the body tells of another version"));
    }
    let account = ask.who.address().clone();
    let written = matrix.node.write(move |tx| {
        let Some(mut record) = get(tx, &account, &version)? else {
            return Ok(None);
        };
        if record.algorithm != algorithm {
            return Ok(Some(false));
        }
        record.auth_data = auth_data;
        put(tx, &account, &version, &record)?;
        Ok(Some(true))
    });
    match written.await? {
        Some(true) => Ok(update::Response::new()),
        Some(false) => Err(Fault::invalid("a backup keeps its algorithm")),
        None => Err(Fault::not_found("there is no such backup")),
    }
}

async fn delete(matrix: Arc<Matrix>, ask: Ask<delete::Request>) -> Answer<delete::Response> {
    let (account, version) = (ask.who.address().clone(), ask.request.version);
    let owner = account.clone();
    let gone = matrix.node.write(move |tx| {
        let Some(mut record) = get(tx, &account, &version)? else {
            return Ok(false);
        };
        record.gone = true;
        record.auth_data = json!({});
        put(tx, &account, &version, &record)?;
        Ok(true)
    });
    if !gone.await? {
        return Err(Fault::not_found("there is no such backup"));
    }
    sweep(&matrix, &owner).await?;
    Ok(delete::Response::new())
}

/// Deletes the keys of deleted backups, step by step: there can be a hundred thousand.
async fn sweep(matrix: &Arc<Matrix>, account: &Address) -> Answer<()> {
    loop {
        let account = account.clone();
        let more = matrix.node.write(move |tx| {
            let owner = Owner::from(&account);
            let all = tx.documents_with(&owner, NAMESPACE, "", MOST * 2)?;
            let is_gone = |bytes: &[u8]| decode::<Version>(bytes).is_none_or(|v| v.gone);
            let mut gone = all
                .iter()
                .filter(|d| d.value.as_deref().is_some_and(is_gone));
            let Some(gone) = gone.next() else {
                return Ok(false);
            };
            if !keys::erase_some(tx, &owner, &number(&gone.key), "")? {
                tx.erase_document(&owner, NAMESPACE, &gone.key);
            }
            Ok(true)
        });
        if !more.await? {
            return Ok(());
        }
    }
}
