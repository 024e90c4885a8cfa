//! The data folder: is everything in it in order, and how much room does it take?

use anyhow::Context;
use serde_json::{Value, json};

use super::Admin;

impl Admin {
    pub(super) async fn check(&self) -> anyhow::Result<Value> {
        let faults = self.node.read(|node| Ok(node.store().check()?)).await?;
        let last = self.node.last_seq();
        Ok(json!({
            "ok": faults.is_empty(), "faults": faults, "last_seq": last.0, "listens": self.listens,
        }))
    }

    /// Commits wait meanwhile.
    pub(super) async fn compact(&self) -> anyhow::Result<Value> {
        let database = self.data.join("log.sqlite");
        let size = move || std::fs::metadata(&database).map(|file| file.len());
        let store = self.store.clone();
        let compacted = tokio::task::spawn_blocking(move || -> anyhow::Result<Value> {
            let before = size()?;
            store
                .compact()
                .context("the database was not written anew, and is as it was")?;
            Ok(json!({ "before": before, "bytes": size()? }))
        });
        compacted.await?
    }
}
