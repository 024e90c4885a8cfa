//! DNS: SRV records in the order that RFC 2782 asks for, both services of XEP-0368 as one set, and addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use rand::Rng;

use super::{DialError, Service, Target};

/// Answers remembered, for as long as they may be.
const CACHE: u64 = 4096;
/// Nothing is asked for again sooner, or believed longer.
const LONGEST: Duration = Duration::from_secs(3600);
/// Records of one name that are looked at.
const RECORDS: usize = 32;

/// A resolver with a cache.
#[derive(Clone)]
pub struct Names(TokioResolver);

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Srv {
    priority: u16,
    weight: u16,
    target: Target,
}

impl Names {
    /// Asks these servers, or those of the system where there are none.
    ///
    /// # Errors
    /// When the system's configuration can't be read.
    pub fn new(servers: &[SocketAddr]) -> io::Result<Self> {
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(io::Error::other)?
        } else {
            let mut config = ResolverConfig::default();
            for server in servers {
                let at = |mut c: ConnectionConfig| {
                    c.port = server.port();
                    c
                };
                let ways = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
                config.add_name_server(NameServerConfig::new(server.ip(), true, ways));
            }
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.cache_size = CACHE;
        options.positive_max_ttl = Some(LONGEST);
        options.negative_max_ttl = Some(LONGEST / 12);
        options.timeout = Duration::from_secs(3);
        options.attempts = 2;
        builder.build().map(Self).map_err(io::Error::other)
    }

    /// Where a domain's service is (RFC 6120 §3.2, XEP-0368 §3).
    pub(super) async fn targets(
        &self,
        domain: &str,
        service: &Service,
    ) -> Result<Vec<Target>, DialError> {
        let failed = |error: NetError| DialError::Lookup {
            domain: domain.to_owned(),
            why: error.to_string(),
        };
        let starttls = self.srv(service.starttls, domain, false);
        let direct = async {
            match service.direct {
                Some(labels) => self.srv(labels, domain, true).await,
                None => Ok(Vec::new()),
            }
        };
        let (starttls, direct) = tokio::join!(starttls, direct);
        // One of the two that fails does not hide what the other says.
        let records = match (starttls, direct) {
            (Err(error), Err(_)) => return Err(failed(error)),
            (Err(error), Ok(found)) | (Ok(found), Err(error)) if found.is_empty() => {
                return Err(failed(error));
            }
            (a, b) => [a.unwrap_or_default(), b.unwrap_or_default()].concat(),
        };
        if records.is_empty() {
            // RFC 6120 §3.2.2. A domain without any address has no server.
            if let Err(error) = self.0.lookup_ip(format!("{domain}.")).await {
                let none = error.is_nx_domain() || error.is_no_records_found();
                return Err(if none {
                    DialError::NoSuchService(domain.to_owned())
                } else {
                    failed(error)
                });
            }
            return Ok(vec![Target {
                host: domain.to_owned(),
                port: service.port,
                direct_tls: false,
            }]);
        }
        let offered: Vec<Srv> = records
            .into_iter()
            .filter(|r| !matches!(r.target.host.as_str(), "" | "."))
            .collect();
        if offered.is_empty() {
            // RFC 2782: the service is decidedly not available.
            return Err(DialError::NoSuchService(domain.to_owned()));
        }
        let mut rng = rand::rng();
        Ok(ordered(offered, |most| rng.random_range(0..=most)))
    }

    /// The SRV records of a name (`_xmpp-client._tcp.example.org`) as they stand there; none is no error.
    ///
    /// # Errors
    /// When DNS does not say whether there are any.
    pub async fn records(&self, name: &str) -> io::Result<Vec<Target>> {
        let found = self.srv_of(name, false).await.map_err(io::Error::other)?;
        Ok(found.into_iter().map(|srv| srv.target).collect())
    }

    /// A host's addresses; none is no error.
    ///
    /// # Errors
    /// When DNS does not say whether there are any.
    pub async fn known_addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let name = format!("{}.", host.trim_end_matches('.'));
        match self.0.lookup_ip(name).await {
            Ok(found) => Ok(found.iter().take(RECORDS).collect()),
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => Ok(Vec::new()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    async fn srv(
        &self,
        labels: &str,
        domain: &str,
        direct_tls: bool,
    ) -> Result<Vec<Srv>, NetError> {
        self.srv_of(&format!("{labels}.{domain}"), direct_tls).await
    }

    async fn srv_of(&self, name: &str, direct_tls: bool) -> Result<Vec<Srv>, NetError> {
        let found = match self.0.srv_lookup(format!("{name}.")).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let records = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(Srv {
                    priority: srv.priority,
                    weight: srv.weight,
                    target: Target {
                        host: srv.target.to_ascii().trim_end_matches('.').to_owned(),
                        port: srv.port,
                        direct_tls,
                    },
                }),
                _ => None,
            });
        Ok(records.take(RECORDS).collect())
    }

    /// A host's addresses.
    pub(crate) async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let name = format!("{}.", host.trim_end_matches('.'));
        let found = self.0.lookup_ip(name).await.map_err(io::Error::other)?;
        Ok(found.iter().take(RECORDS).collect())
    }
}

/// RFC 2782: by priority; among equals by chance, in proportion to their weights. `chance(n)` is from 0 to n.
fn ordered(mut records: Vec<Srv>, mut chance: impl FnMut(u64) -> u64) -> Vec<Target> {
    // Weight 0 comes first, so that it has a small chance.
    records.sort_by_key(|r| (r.priority, r.weight != 0));
    let mut out = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|r| r.priority) {
        let equals = records.iter().take_while(|r| r.priority == priority);
        let total: u64 = equals.clone().map(|r| u64::from(r.weight)).sum();
        let drawn = chance(total);
        let mut sum = 0;
        let at = equals
            .map(|r| {
                sum += u64::from(r.weight);
                sum
            })
            .position(|sum| sum >= drawn)
            .unwrap_or(0);
        out.push(records.remove(at).target);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, host: &str) -> Srv {
        Srv {
            priority,
            weight,
            target: Target {
                host: host.into(),
                port: 1,
                direct_tls: false,
            },
        }
    }

    #[test]
    fn records_come_by_priority_and_weight() {
        let records = vec![
            srv(20, 0, "last"),
            srv(10, 60, "big"),
            srv(10, 0, "zero"),
            srv(10, 20, "small"),
        ];
        let hosts = |draws: &[u64]| {
            let mut draws = draws.iter().copied();
            ordered(records.clone(), |most| draws.next().unwrap().min(most))
                .into_iter()
                .map(|t| t.host)
                .collect::<Vec<_>>()
        };
        assert_eq!(hosts(&[0, 0, 0, 0]), ["zero", "big", "small", "last"]);
        assert_eq!(hosts(&[61, 1, 0, 0]), ["small", "big", "zero", "last"]);
        assert_eq!(hosts(&[1, 80, 0, 0]), ["big", "small", "zero", "last"]);
    }
}
