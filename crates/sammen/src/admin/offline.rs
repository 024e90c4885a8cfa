//! Administration where no node runs: on the data folder itself.

use std::path::Path;

use anyhow::{Context, bail};
use sammen_store::SqliteStore;

use crate::config::Config;
use crate::run::{self, Assembled};

/// Opens a folder. Its domain is the configuration's, or what an earlier start left in it.
///
/// # Errors
/// When there is no data folder, or a process has it that does not answer.
pub async fn open(data: &Path, config: Option<&Config>) -> anyhow::Result<Assembled> {
    let mut own = match config {
        Some(config) => config.clone(),
        None => {
            if !data.join("log.sqlite").exists() {
                bail!(
                    "{} is no data folder; name the configuration with --config to make one",
                    data.display()
                );
            }
            let store = SqliteStore::open(data)
                .with_context(|| format!("cannot open the data folder {}", data.display()))?;
            let domain = run::domain_of(&store)?.context(
                "the data folder has no domain yet; name the configuration with --config",
            )?;
            Config::new(domain)
        }
    };
    own.data = data.to_owned();
    run::assemble(&own).await
}
