//! Retention of files: what people uploaded goes after as many days as their messages do.

use sammen_core::{Node, Outcome, Timestamp};

use super::expire;

const DAY_MS: i64 = 86_400_000;
/// Accounts that are looked at in one reading.
const PAGE: usize = 500;

/// Takes away the files of all accounts that are older than the node's days or the account's own, the shorter of both.
/// Returns how many went.
///
/// # Errors
/// When the store can't be read or written.
pub async fn forget(node: &Node, node_wide: Option<u32>, now: Timestamp) -> Outcome<usize> {
    let mut after = None;
    let mut gone = 0;
    loop {
        let from = after.clone();
        let page = node
            .read(move |node| Ok(node.store().accounts(from.as_ref(), PAGE)?))
            .await?;
        let Some(last) = page.last() else {
            return Ok(gone);
        };
        after = Some(last.address.clone());
        for account in page.into_iter().filter(|a| !a.removed) {
            let own = account.retention_days.into_iter();
            let Some(days) = own.chain(node_wide).min() else {
                continue;
            };
            let before = now.plus_ms(-i64::from(days) * DAY_MS);
            gone += expire(node, &account.address, before).await?;
        }
    }
}
