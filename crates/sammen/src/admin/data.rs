//! The data folder and what surrounds it: is everything in order?

use sammen_core::Clock;
use sammen_core::clock::SystemClock;
use serde_json::{Value, json};

use super::Admin;
use crate::config::Config;
use crate::run;

/// A certificate with less left than this is told of.
const SOON_DAYS: i64 = 14;

impl Admin {
    pub(super) async fn check(&self) -> anyhow::Result<Value> {
        let faults = self.node.read(|node| Ok(node.store().check()?)).await?;
        let last = self.node.last_seq();
        Ok(json!({ "ok": faults.is_empty(), "faults": faults, "last_seq": last.0 }))
    }
}

/// What is wrong with a configuration beyond its words: certificates that can't be read or end soon.
pub fn check_config(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    if config.tls.certificates.is_empty() {
        return faults;
    }
    match run::certificates(config) {
        Err(error) => faults.push(format!("certificates: {error:#}")),
        Ok(tls) => {
            let now = SystemClock.now().0 / 1000;
            if let Some(days) = tls.expires().map(|end| (end - now) / 86_400)
                && days < SOON_DAYS
            {
                faults.push(match days {
                    ..0 => "a certificate has expired".to_owned(),
                    days => format!("a certificate expires in {days} days"),
                });
            }
        }
    }
    faults
}
