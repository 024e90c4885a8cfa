//! An upload that is one request: inside the quota, measured exactly, durable before its address is told.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::StatusCode;
use parking_lot::Mutex;
use sammen_core::{Address, Node, Refusal};

use super::{Fault, Name, keep, path, receive, receive_up_to};

/// Uploads of one account that may be under way.
const AT_ONCE: u32 = 8;

/// What is on its way in, of whom: it counts against the quota before it is there.
#[derive(Debug, Default)]
pub struct UnderWay(Mutex<HashMap<Address, (u32, u64)>>);

impl UnderWay {
    /// Sets bytes aside for as long as the answer lives.
    fn reserve(&self, account: &Address, size: u64, room: u64) -> Result<Reserved<'_>, NotTaken> {
        let mut all = self.0.lock();
        let (count, bytes) = all.get(account).copied().unwrap_or_default();
        if count >= AT_ONCE {
            return Err(NotTaken::TooMany);
        }
        if bytes.saturating_add(size) > room {
            return Err(NotTaken::Quota);
        }
        all.insert(account.clone(), (count + 1, bytes + size));
        Ok(Reserved {
            of: self,
            account: account.clone(),
            size,
        })
    }
}

struct Reserved<'a> {
    of: &'a UnderWay,
    account: Address,
    size: u64,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut all = self.of.0.lock();
        if let Some((count, bytes)) = all.get_mut(&self.account) {
            *count = count.saturating_sub(1);
            *bytes = bytes.saturating_sub(self.size);
            if *count == 0 {
                all.remove(&self.account);
            }
        }
    }
}

/// Why a file was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Larger than any file may be.
    #[error("the file is too large")]
    TooLarge,
    /// The account's files take all the room that they may.
    #[error("your files take as much room as they may")]
    Quota,
    /// Too many at once.
    #[error("too many files at once")]
    TooMany,
    /// It did not come in whole.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The node does not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl NotTaken {
    /// The status that says so.
    pub fn status(&self) -> StatusCode {
        match self {
            NotTaken::Empty => StatusCode::BAD_REQUEST,
            NotTaken::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            NotTaken::Quota | NotTaken::Refused(Refusal::TooMany | Refusal::NotFound) => {
                StatusCode::FORBIDDEN
            }
            NotTaken::TooMany => StatusCode::TOO_MANY_REQUESTS,
            NotTaken::Fault(fault) => fault.status(),
            NotTaken::Refused(Refusal::DiskFull) => StatusCode::INSUFFICIENT_STORAGE,
            NotTaken::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Takes a body of exactly `size` bytes as the account's file; returns its path below the node's HTTPS address.
///
/// # Errors
/// When it is too large, over the quota, or not whole.
pub async fn take_in(
    node: &Node,
    under_way: &UnderWay,
    account: Address,
    name: Name,
    size: u64,
    body: Body,
) -> Result<String, NotTaken> {
    let slot = format!("{:032x}", node.clock().random());
    let path = path(&slot, &name.name);
    take_in_as(node, under_way, account, slot, name, Some(size), body).await?;
    Ok(path)
}

/// The same for a slot that is known before; where the size was not said, as much as there is room for. Returns how
/// many bytes came.
///
/// # Errors
/// When it is too large, over the quota, or not whole.
pub async fn take_in_as(
    node: &Node,
    under_way: &UnderWay,
    account: Address,
    slot: String,
    name: Name,
    size: Option<u64>,
    body: Body,
) -> Result<u64, NotTaken> {
    let limits = node.limits();
    if size == Some(0) {
        return Err(NotTaken::Empty);
    }
    if size.is_some_and(|size| size > limits.blob_bytes) {
        return Err(NotTaken::TooLarge);
    }
    let (of, quota) = (account.clone(), limits.blob_quota);
    let used = node
        .read(move |node| Ok(node.store().blob_usage(&of)?))
        .await?;
    let room = quota.saturating_sub(used);
    let most = size.unwrap_or(limits.blob_bytes.min(room));
    if most == 0 {
        return Err(NotTaken::Quota);
    }
    // Until it is kept: what is kept counts in the store.
    let _reserved = under_way.reserve(&account, most, room)?;
    let (blob, size) = match size {
        Some(size) => (receive(node.store_arc(), body, size).await?, size),
        None => match receive_up_to(node.store_arc(), body, most).await? {
            (_, 0) => return Err(NotTaken::Empty),
            came => came,
        },
    };
    keep(node, account, slot, name, size, blob).await?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_counts_and_is_given_back() {
        let all = UnderWay::default();
        let alice = Address::new("alice@example.org").unwrap();
        let first = all.reserve(&alice, 60, 100).unwrap();
        assert_eq!(all.reserve(&alice, 60, 100).err(), Some(NotTaken::Quota));
        drop(first);
        let many: Vec<_> = (0..AT_ONCE)
            .map(|_| all.reserve(&alice, 1, 100).unwrap())
            .collect();
        assert_eq!(all.reserve(&alice, 1, 100).err(), Some(NotTaken::TooMany));
        drop(many);
        assert!(all.0.lock().is_empty());
    }
}
