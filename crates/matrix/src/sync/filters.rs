//! Filters (client-server API, "Filtering"): kept for clients under ids that are the same for the same filter.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use ruma::api::client::filter::{FilterDefinition, create_filter, get_filter};
use sammen_core::blob::BlobId;
use sammen_core::document::{Bulk, Owner};
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, Outcome};

use crate::account_data::own;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;
use crate::shelf;

/// The namespace.
const NAMESPACE: &str = "matrix.filter";
/// Most filters of an account, and most bytes of all of them; the oldest go.
const MOST: u64 = 64;
const BYTES: u64 = 256 * 1024;
/// Longest filter, in bytes.
const LONGEST: usize = 16 * 1024;
/// Most filters kept in memory.
const KEPT: usize = 256;

/// Filters that were used lately, by account and id.
#[derive(Default)]
pub struct Filters(Mutex<HashMap<(Address, String), Arc<FilterDefinition>>>);

pub(super) fn routes(table: &mut Table) {
    table.on(create);
    table.on(get);
}

async fn create(
    matrix: Arc<Matrix>,
    ask: Ask<create_filter::v3::Request>,
) -> Answer<create_filter::v3::Response> {
    own(&ask.who, &ask.request.user_id)?;
    let filter = shelf::encode(&ask.request.filter)?;
    if filter.len() > LONGEST {
        return Err(Fault::too_large());
    }
    // A digest never begins with `{`, which would make it a filter written out.
    let mut id = BlobId::of(&filter).0;
    id.truncate(24);
    let (owner, key) = (Owner::from(ask.who.address()), id.clone());
    let write = move |tx: &mut Tx<'_>| {
        let known = tx.document(&owner, NAMESPACE, &key)?;
        if known.is_some_and(|d| d.value.is_some()) {
            return Ok(());
        }
        make_room(tx, &owner, filter.len() as u64)?;
        tx.put_document(&owner, NAMESPACE, &key, Expect::Anything, Some(filter))
            .map(drop)
    };
    matrix.node.write(write).await?;
    Ok(create_filter::v3::Response::new(id))
}

/// Lets the oldest go until there is room for one more.
fn make_room(tx: &mut Tx<'_>, owner: &Owner, size: u64) -> Outcome<()> {
    let mut held = tx.count_documents(owner, NAMESPACE)?;
    let full = |held: Bulk| held.documents >= MOST || held.bytes + size > BYTES;
    if !full(held) {
        return Ok(());
    }
    let mut all = tx.documents(owner, NAMESPACE, usize::MAX)?;
    all.sort_by_key(|filter| filter.version);
    for oldest in all {
        if full(held) {
            tx.erase_document(owner, NAMESPACE, &oldest.key);
            held = held.without(&oldest);
        }
    }
    Ok(())
}

async fn get(
    matrix: Arc<Matrix>,
    ask: Ask<get_filter::v3::Request>,
) -> Answer<get_filter::v3::Response> {
    own(&ask.who, &ask.request.user_id)?;
    let account = ask.who.address().clone();
    let found = find(&matrix, account, ask.request.filter_id).await?;
    let found = found.ok_or_else(|| Fault::not_found("there is no such filter"))?;
    Ok(get_filter::v3::Response::new((*found).clone()))
}

/// A filter of an account.
///
/// # Errors
/// When the store can't be read.
pub async fn find(
    matrix: &Arc<Matrix>,
    account: Address,
    id: String,
) -> Answer<Option<Arc<FilterDefinition>>> {
    let key = (account, id);
    if let Some(found) = matrix.sync.filters.0.lock().get(&key) {
        return Ok(Some(found.clone()));
    }
    let read = move |matrix: &Matrix| {
        let (account, id) = &key;
        let found = matrix
            .node
            .store()
            .document(&account.into(), NAMESPACE, id)?;
        let found = found.and_then(|d| d.value);
        let Some(found) = found.and_then(|v| shelf::decode::<FilterDefinition>(&v)) else {
            return Ok(None);
        };
        let found = Arc::new(found);
        let mut kept = matrix.sync.filters.0.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, found.clone());
        Ok(Some(found))
    };
    matrix.read(read).await
}
