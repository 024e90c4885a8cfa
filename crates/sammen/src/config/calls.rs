//! `[calls]`: the STUN and TURN servers that apps use for calls.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use sammen_net::Secret;
use sammen_net::relay::{Kind, Relays, Service, Transport};
use serde::Deserialize;

/// Servers that apps use for calls.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calls {
    /// STUN and TURN servers.
    pub servers: Vec<CallServer>,
    /// The secret that this node shares with the TURN servers.
    pub secret: Option<Secret>,
    /// A file with that secret.
    pub secret_file: Option<PathBuf>,
    /// How many hours credentials hold.
    pub credential_hours: u32,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallServer {
    /// What it does.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What carries it.
    pub transport: Transport,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            secret: None,
            secret_file: None,
            credential_hours: 24,
        }
    }
}

impl Calls {
    /// As the protocols want it.
    ///
    /// # Errors
    /// When the secret's file can't be read.
    pub fn relays(&self) -> anyhow::Result<Relays> {
        let secret = match &self.secret_file {
            Some(path) => Some(secret_in(path)?),
            None => self.secret.clone(),
        };
        let services = self.servers.iter().map(|s| Service {
            kind: s.kind,
            host: s.host.clone(),
            port: s.port,
            transport: s.transport,
        });
        Ok(Relays {
            services: services.collect(),
            secret,
            lifetime: Duration::from_secs(u64::from(self.credential_hours) * 3600),
        })
    }

    pub(super) fn verify(&self) -> anyhow::Result<()> {
        if self.secret.is_some() && self.secret_file.is_some() {
            bail!("calls: secret and secret_file are two ways to say one thing");
        }
        let relay = self.servers.iter().any(|s| s.kind.is_restricted());
        if relay && self.secret.is_none() && self.secret_file.is_none() {
            bail!("calls.servers: a TURN server needs the secret that it shares with this node");
        }
        if !(1..=24 * 365).contains(&self.credential_hours) {
            bail!("calls.credential_hours: from one hour to a year");
        }
        Ok(())
    }
}

/// The first line of a file.
///
/// # Errors
/// When it can't be read or is empty.
pub fn secret_in(path: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the secret in {}", path.display()))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.into()),
        _ => bail!("there is no secret in {}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_relay_needs_its_secret() {
        let with = |more: &str| {
            let server = "{ type = 'turn', host = 'turn.a.b', port = 3478, transport = 'udp' }";
            Config::parse(&format!(
                "domain = 'a.b'\n[calls]\nservers = [{server}]\n{more}"
            ))
        };
        assert!(format!("{:#}", with("").unwrap_err()).contains("secret"));
        let config = with("secret = 'north'").unwrap();
        let relays = config.calls.relays().unwrap();
        assert!(relays.secret.is_some() && relays.services.len() == 1);
        assert!(!format!("{config:?}").contains("north"));
        assert!(with("secret = 'north'\nsecret_file = '/x'").is_err());
        assert!(with("secret = 'north'\ncredential_hours = 0").is_err());
        let file = with("secret_file = '/nowhere/at/all'").unwrap();
        assert!(file.calls.relays().is_err());
    }
}
