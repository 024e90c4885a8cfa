//! Upkeep behind the log: the outbox (see [`crate::outbox`]), retention, finishing removals, tombstones of documents
//! (see `crate::tombstones`), search, scrubbing.

use std::time::Duration;

use crate::ids::{ConversationId, Seq, Timestamp};
use crate::node::Node;
use crate::ops::erase;
use crate::refusal::Outcome;

const DAY_MS: i64 = 86_400_000;
const HALF_HOUR_MS: i64 = 1_800_000;
const STEP: usize = 256;

/// How long things stay where neither room nor account says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Days; `None` keeps them.
    pub days: Option<u32>,
}

impl Node {
    /// Erases what is older than its conversation's retention; returns how many events went.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn apply_retention(&self, node_wide: Retention) -> Outcome<usize> {
        let mut after = ConversationId(0);
        let mut erased = 0;
        loop {
            let page = self
                .read(move |node| Ok(node.store().conversations(after, 500)?))
                .await?;
            let Some(last) = page.last() else {
                return Ok(erased);
            };
            after = last.id;
            for conversation in page {
                let own = match conversation.pair() {
                    // The shorter of both people's wishes holds for their conversation.
                    Some((a, b)) => {
                        let days = |address| {
                            self.account(address)
                                .ok()
                                .flatten()
                                .and_then(|account| account.retention_days)
                        };
                        days(a)
                            .into_iter()
                            .chain(days(b))
                            .chain(conversation.settings.retention_days)
                            .min()
                    }
                    None => conversation.settings.retention_days,
                };
                let Some(days) = own.into_iter().chain(node_wide.days).min() else {
                    continue;
                };
                let before = self.now().plus_ms(-i64::from(days) * DAY_MS);
                loop {
                    let id = conversation.id;
                    let n = self
                        .write(move |tx| erase::erase_older(tx, id, before, STEP))
                        .await?;
                    erased += n;
                    if n < STEP {
                        break;
                    }
                }
            }
        }
    }

    /// Finishes the removal of accounts whose messages were many. Safe to run any time.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn finish_removals(&self) -> Outcome<()> {
        let mut after = None;
        loop {
            let from = after.clone();
            let page = self
                .read(move |node| Ok(node.store().accounts(from.as_ref(), 500)?))
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.address.clone());
            for account in page.into_iter().filter(|a| a.removed) {
                let mut seq = Some(Seq(0));
                while let Some(from) = seq {
                    let address = account.address.clone();
                    seq = self
                        .write(move |tx| erase::erase_author(tx, &address, from, STEP))
                        .await?;
                }
            }
        }
    }

    /// Runs all upkeep until the node is dropped: the outbox when something comes in or falls due, the rest every half hour.
    pub async fn keep_up(self, retention: Retention) {
        let rest = self.clone();
        tokio::join!(self.keep_delivering(), rest.keep_tidy(retention));
    }

    async fn keep_tidy(self, retention: Retention) {
        let mut last = None;
        loop {
            let now = self.now();
            if last.is_none_or(|last: Timestamp| now.0 - last.0 >= HALF_HOUR_MS) {
                last = Some(now);
                let all = async {
                    self.apply_retention(retention).await?;
                    self.finish_removals().await?;
                    self.forget_tombstones().await?;
                    self.read(|node| Ok(node.store().scrub()?)).await
                };
                if let Err(error) = all.await {
                    tracing::warn!(%error, "upkeep was cut short");
                }
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    /// Feeds search from the log until it is up to date.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn feed_search(&self) -> Outcome<usize> {
        let mut total = 0;
        loop {
            let n = self.read(|node| Ok(node.store().index(1_000)?)).await?;
            total += n;
            if n == 0 {
                return Ok(total);
            }
        }
    }
}
