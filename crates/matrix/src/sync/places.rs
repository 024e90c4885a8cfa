//! Where an account stands in which rooms, kept in memory while its devices sync.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sammen_core::document::Owner;
use sammen_core::{Address, Seq};

use crate::chain::{MEMBER, Place};
use crate::fault::Answer;
use crate::server::Matrix;

/// Most accounts that are kept.
const KEPT: usize = 4_096;
/// Changes read at once; where there are more, all is read anew.
const PAGE: usize = 200;

/// The rooms of accounts that asked lately.
#[derive(Default)]
pub struct Places(Mutex<HashMap<Address, Kept>>);

#[derive(Clone)]
struct Kept {
    /// All that was written up to here is in it.
    at: Seq,
    /// All conversations up to here have a room.
    opened: Seq,
    places: Arc<Vec<Place>>,
}

/// The rooms of an account: those it is in or was in, is invited to or knocks at. Every conversation has its room
/// afterwards, at least as far as core's log was when this was asked.
///
/// # Errors
/// When they can't be read or written.
pub async fn of(matrix: &Arc<Matrix>, account: &Address) -> Answer<Arc<Vec<Place>>> {
    let known = matrix.sync.places.0.lock().get(account).cloned();
    let people = matrix.node.people_changed();
    let at = matrix.node.announced();
    let fresh = match known {
        Some(known) if known.opened >= people => {
            let account = account.clone();
            if !matrix
                .node
                .shelf_changed(&Owner::from(&account), MEMBER, known.at)
            {
                return Ok(known.places);
            }
            matrix.read(move |m| follow(m, &account, known, at)).await?
        }
        _ => None,
    };
    let kept = match fresh {
        Some(fresh) => fresh,
        None => {
            let places = matrix.rooms.of_account(account).await?;
            Kept {
                at,
                opened: people,
                places: Arc::new(places),
            }
        }
    };
    let places = kept.places.clone();
    let mut all = matrix.sync.places.0.lock();
    if all.len() >= KEPT {
        all.clear();
    }
    // Another may have read later.
    if all.get(account).is_none_or(|other| other.at <= kept.at) {
        all.insert(account.clone(), kept);
    }
    Ok(places)
}

/// What was read before, and what changed since; `None` where all has to be read.
fn follow(matrix: &Matrix, account: &Address, mut known: Kept, at: Seq) -> Answer<Option<Kept>> {
    let owner = Owner::from(account);
    let store = matrix.node.store();
    let Some(changed) = store.documents_since(&owner, MEMBER, known.at, PAGE)? else {
        return Ok(None);
    };
    if changed.len() >= PAGE {
        return Ok(None);
    }
    if !changed.is_empty() {
        let places = Arc::make_mut(&mut known.places);
        for document in changed {
            places.retain(|place| place.room.name() != document.key);
            places.extend(matrix.rooms.place(&document)?);
        }
    }
    known.at = known.at.max(at);
    Ok(Some(known))
}
