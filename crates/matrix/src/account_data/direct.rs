//! `m.direct` (client-server API, "Direct Messaging") names core's direct conversations, whichever app began them.

use ruma::{OwnedRoomId, OwnedUserId};
use sammen_core::tx::Tx;
use sammen_core::{Address, Outcome};
use serde_json::{Map, Value, json};

use super::{GLOBAL, put};
use crate::server::Matrix;

/// The type.
pub const TYPE: &str = "m.direct";

/// Adds to the list what is missing in it; `None` where nothing is.
fn with(content: &[u8], rooms: &[(OwnedUserId, OwnedRoomId)]) -> Option<Vec<u8>> {
    let mut list: Map<String, Value> = serde_json::from_slice(content).unwrap_or_default();
    let mut changed = false;
    for (peer, room) in rooms {
        let of = list.entry(peer.to_string()).or_insert_with(|| json!([]));
        if !of.is_array() {
            *of = json!([]);
        }
        let Value::Array(of) = of else { continue };
        if !of.iter().any(|known| known.as_str() == Some(room.as_str())) {
            of.push(room.as_str().into());
            changed = true;
        }
    }
    changed.then(|| Value::Object(list).to_string().into_bytes())
}

/// Names these direct conversations, each with the other one of the pair, where they are not named yet.
///
/// # Errors
/// When the store can't be read or written.
pub async fn keep_in_step(
    matrix: &Matrix,
    account: &Address,
    rooms: Vec<(OwnedUserId, OwnedRoomId)>,
) -> Outcome<bool> {
    let account = account.clone();
    let mine = account.clone();
    let listed = rooms.clone();
    let read = move |node: &sammen_core::Node| {
        let found = node.store().document(&(&mine).into(), GLOBAL, TYPE)?;
        let found = found.and_then(|d| d.value).unwrap_or_default();
        Ok(with(&found, &listed).is_some())
    };
    if rooms.is_empty() || !matrix.node.read(read).await? {
        return Ok(false);
    }
    let bells = matrix.bells.clone();
    let write = move |tx: &mut Tx<'_>| {
        let found = tx.document(&(&account).into(), GLOBAL, TYPE)?;
        let found = found.and_then(|d| d.value).unwrap_or_default();
        if let Some(content) = with(&found, &rooms) {
            put(tx, &account, GLOBAL, TYPE, content)?;
            tx.after(move |_| bells.ring(&account));
        }
        Ok(true)
    };
    matrix.node.write(write).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_wrote_stays_and_what_is_missing_is_added_once() {
        let user = |id: &str| OwnedUserId::try_from(id).unwrap();
        let room = |id: &str| OwnedRoomId::try_from(id).unwrap();
        let rooms = [(user("@bob:example.org"), room("!b:example.org"))];
        let before = br#"{"@bob:example.org":["!x:example.org"],"@carol:m.org":["!c:m.org"]}"#;
        let after = with(before, &rooms).unwrap();
        let list: Value = serde_json::from_slice(&after).unwrap();
        assert_eq!(
            list,
            json!({
                "@bob:example.org": ["!x:example.org", "!b:example.org"],
                "@carol:m.org": ["!c:m.org"],
            })
        );
        assert_eq!(with(&after, &rooms), None);
        assert!(with(b"damaged", &rooms).is_some());
    }
}
