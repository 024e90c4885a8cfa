//! `[fetch]`: what the node fetches on other people's word: pages that links lead to, and services that wake phones.

use std::path::PathBuf;

use sammen_net::dial::Trust;
use sammen_net::fetch::{Fetcher, IpNet, Ways};
use serde::Deserialize;

use super::Config;
use crate::federation;

/// Requests at once, and of one who asks, where nothing else is said.
const AT_ONCE: usize = 32;
const EACH: usize = 4;

/// What is fetched, and from where.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    /// Whether previews of links are fetched.
    pub previews: bool,
    /// Networks that may be reached though they are not everybody's.
    pub allow: Vec<IpNet>,
    /// Ports besides 80, 443 and 8448.
    pub ports: Vec<u16>,
    /// PEM files of authorities that are trusted besides those of the system.
    pub authorities: Vec<PathBuf>,
}

impl Default for Fetch {
    fn default() -> Self {
        Self {
            previews: true,
            allow: Vec::new(),
            ports: Vec::new(),
            authorities: Vec::new(),
        }
    }
}

fn ways(config: &Config) -> anyhow::Result<Ways> {
    let fetch = &config.fetch;
    Ok(Ways {
        names: federation::names(&config.xmpp.s2s),
        trust: Trust::new(&fetch.authorities, true)?,
        allow: fetch.allow.clone(),
        ports: fetch.ports.clone(),
        agent: format!("Sammen/{}", env!("CARGO_PKG_VERSION")),
    })
}

/// What fetches, as configured.
///
/// # Errors
/// When an authority can't be read.
pub fn build(config: &Config) -> anyhow::Result<Fetcher> {
    Ok(Fetcher::new(ways(config)?, AT_ONCE, EACH)?)
}

/// Takes in what changed.
///
/// # Errors
/// When an authority can't be read; then nothing changes.
pub fn reload(fetcher: &Fetcher, config: &Config) -> anyhow::Result<()> {
    Ok(fetcher.reconfigure(ways(config)?)?)
}
