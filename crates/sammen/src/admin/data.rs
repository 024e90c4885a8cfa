//! The data folder: is everything in it in order?

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
}
