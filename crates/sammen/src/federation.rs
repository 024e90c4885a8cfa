//! Federation as an operator sets it: which other servers, how they are found, and what they have to prove.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use sammen_core::Domain;
use sammen_net::dial::{Dialer, Names, Route, Trust};
use sammen_net::tls::Tls;
use sammen_xmpp::s2s::{self, Federation, Ways};
use serde::Deserialize;

use crate::config::{Listen, Security, Xmpp};

/// How long one address may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Other XMPP servers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S2s {
    /// Whether this node speaks with other servers at all.
    pub enabled: bool,
    /// Listeners for them.
    pub listen: Vec<Listen>,
    /// Where not empty, only these domains and what lies below them.
    pub allow: Vec<Domain>,
    /// None of these.
    pub deny: Vec<Domain>,
    /// Streams have to be encrypted.
    pub require_tls: bool,
    /// Servers without a certificate that proves their domain may prove it by dialback.
    pub dialback: bool,
    /// Whether servers without a route are looked up in DNS.
    pub dns: bool,
    /// DNS servers to ask; none: those of the system.
    pub resolvers: Vec<SocketAddr>,
    /// PEM files of authorities that are trusted besides those of the system.
    pub authorities: Vec<PathBuf>,
    /// Whether the system's authorities are trusted.
    pub system_authorities: bool,
    /// Seconds that a message waits for a server that does not answer.
    pub give_up_seconds: u32,
    /// Seconds in which a server has to say that it has what it was sent.
    pub answer_seconds: u32,
    /// Stanzas a second that one stream may bring for long; 0 is without limit.
    pub stanzas_per_second: u32,
    /// Stanzas at once.
    pub stanzas_burst: u32,
}

impl Default for S2s {
    fn default() -> Self {
        let any = |port| SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
        Self {
            enabled: true,
            listen: vec![
                Listen::new(any(5269), Security::Starttls),
                Listen::new(any(5270), Security::Tls),
            ],
            allow: Vec::new(),
            deny: Vec::new(),
            require_tls: true,
            dialback: false,
            dns: true,
            resolvers: Vec::new(),
            authorities: Vec::new(),
            system_authorities: true,
            give_up_seconds: 86_400,
            answer_seconds: 30,
            stanzas_per_second: 2000,
            stanzas_burst: 10_000,
        }
    }
}

/// Where a domain's server is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum To {
    /// `host:port`, with STARTTLS.
    Starttls(String),
    /// The same, with TLS from the first byte.
    Other {
        /// `host:port`.
        to: String,
        /// TLS from the first byte.
        tls: bool,
    },
}

/// A route as it is written: `host:port`.
///
/// # Errors
/// When it is none.
pub fn route(to: &To) -> anyhow::Result<Route> {
    let (text, direct_tls) = match to {
        To::Starttls(text) => (text, false),
        To::Other { to, tls } => (to, *tls),
    };
    let parts = text.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let Some((host, port)) = parts.filter(|(host, _)| !host.is_empty()) else {
        bail!("{text:?} is no host:port");
    };
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    Ok(Route {
        host,
        port,
        direct_tls,
    })
}

fn routes(routes: &BTreeMap<Domain, To>) -> anyhow::Result<HashMap<String, Route>> {
    routes
        .iter()
        .map(|(domain, to)| {
            let route = route(to).with_context(|| format!("xmpp.routes.\"{domain}\""))?;
            Ok((domain.as_str().to_owned(), route))
        })
        .collect()
}

/// Looks at what can be looked at without the network.
///
/// # Errors
/// When something makes no sense.
pub fn verify(xmpp: &Xmpp) -> anyhow::Result<()> {
    routes(&xmpp.routes)?;
    Ok(())
}

/// Federation as configured; `None` where there is none.
///
/// # Errors
/// When an authority can't be read.
pub fn build(xmpp: &Xmpp, tls: &Tls) -> anyhow::Result<Option<Arc<Federation>>> {
    if !xmpp.s2s.enabled {
        return Ok(None);
    }
    let federation = Federation::new(settings(&xmpp.s2s), ways(xmpp, tls)?);
    federation.set_components(xmpp.components.secrets()?);
    Ok(Some(federation))
}

/// Takes in what changed.
///
/// # Errors
/// When an authority can't be read; then nothing changes.
pub fn reload(federation: &Federation, xmpp: &Xmpp, tls: &Tls) -> anyhow::Result<()> {
    let components = xmpp.components.secrets()?;
    federation.reconfigure(settings(&xmpp.s2s), ways(xmpp, tls)?);
    federation.set_components(components);
    Ok(())
}

/// How other servers are found, reached and trusted.
fn ways(xmpp: &Xmpp, tls: &Tls) -> anyhow::Result<Ways> {
    let s2s = &xmpp.s2s;
    Ok(Ways {
        dialer: Dialer::new(routes(&xmpp.routes)?, names(s2s), PATIENCE),
        tls: tls.client(s2s::ALPN)?,
        trust: Trust::new(&s2s.authorities, s2s.system_authorities)?,
    })
}

/// DNS as configured; `None` where there is none.
pub fn names(s2s: &S2s) -> Option<Names> {
    if !s2s.dns {
        return None;
    }
    match Names::new(&s2s.resolvers) {
        Ok(names) => Some(names),
        // A node without DNS still serves its own people.
        Err(error) => {
            tracing::warn!(%error, "there is no DNS: only what is configured is reached");
            None
        }
    }
}

fn settings(s2s: &S2s) -> s2s::Config {
    let list = |domains: &[Domain]| domains.iter().map(|d| d.as_str().to_owned()).collect();
    s2s::Config {
        require_tls: s2s.require_tls,
        dialback: s2s.dialback,
        allow: list(&s2s.allow),
        deny: list(&s2s.deny),
        give_up: Duration::from_secs(u64::from(s2s.give_up_seconds)),
        answer: Duration::from_secs(u64::from(s2s.answer_seconds.max(1))),
        rate: s2s.stanzas_per_second,
        burst: s2s.stanzas_burst,
        ..s2s::Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_hosts_with_ports() {
        let to = |text: &str| route(&To::Starttls(text.into()));
        let found = to("[::1]:5269").unwrap();
        assert_eq!((found.host.as_str(), found.port), ("::1", 5269));
        for wrong in ["other.net", ":5269", "other.net:x"] {
            assert!(to(wrong).is_err(), "{wrong}");
        }
        let xmpp: Xmpp = toml::from_str(
            "[routes]\n'a.b' = 'c.d:5270'\n'e.f' = { to = '127.0.0.1:1', tls = true }\n[s2s]\ndns = false\n",
        )
        .unwrap();
        let routes = routes(&xmpp.routes).unwrap();
        assert!(routes["e.f"].direct_tls && routes["a.b"].host == "c.d" && !xmpp.s2s.dns);
    }
}
