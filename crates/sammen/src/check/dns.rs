//! DNS: do the names lead apps and other servers to the listeners (RFC 6120 §3.2, XEP-0368)?

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use sammen_core::network::BoxFuture;
use sammen_net::dial::{Names, Target};

use crate::config::{Config, Listen, Security};

/// What is asked of DNS.
pub trait Lookup: Sync {
    /// The SRV records of a name (`_xmpp-client._tcp.example.org`); none is no error.
    fn srv<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<Target>>>;
    /// The addresses of a host; none is no error.
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

impl Lookup for Names {
    fn srv<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<Target>>> {
        Box::pin(self.records(name))
    }

    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(self.known_addresses(host))
    }
}

/// A way in that DNS may name.
struct Door {
    labels: &'static str,
    /// For whom, in a sentence.
    whom: &'static str,
    security: Security,
    /// Where they go without a record; only those that upgrade do.
    port: Option<u16>,
    key: &'static str,
}

const CLIENTS: [Door; 2] = [
    Door {
        labels: "_xmpp-client._tcp",
        whom: "apps",
        security: Security::Starttls,
        port: Some(5222),
        key: "xmpp.listen",
    },
    Door {
        labels: "_xmpps-client._tcp",
        whom: "apps",
        security: Security::Tls,
        port: None,
        key: "xmpp.listen",
    },
];

const SERVERS: [Door; 2] = [
    Door {
        labels: "_xmpp-server._tcp",
        whom: "other servers",
        security: Security::Starttls,
        port: Some(5269),
        key: "xmpp.s2s.listen",
    },
    Door {
        labels: "_xmpps-server._tcp",
        whom: "other servers",
        security: Security::Tls,
        port: None,
        key: "xmpp.s2s.listen",
    },
];

fn open(listen: &[Listen]) -> bool {
    let beyond = |l: &Listen| !l.address.ip().to_canonical().is_loopback();
    listen.iter().any(beyond)
}

fn speaks_with_servers(config: &Config) -> bool {
    config.xmpp.s2s.enabled && open(&config.xmpp.s2s.listen)
}

/// Whether anybody looks for this node in DNS.
pub fn matters(config: &Config) -> bool {
    config.xmpp.s2s.dns && (open(&config.xmpp.listen) || speaks_with_servers(config))
}

/// What is wrong with the names.
pub async fn findings(config: &Config, dns: &dyn Lookup) -> Vec<String> {
    let mut findings = Findings {
        dns,
        found: Vec::new(),
        hosts: BTreeSet::new(),
    };
    let domain = config.domain.as_str();
    if open(&config.xmpp.listen) {
        findings.of(domain, &CLIENTS, &config.xmpp.listen).await;
    }
    if speaks_with_servers(config) {
        let listen = &config.xmpp.s2s.listen;
        findings.of(domain, &SERVERS, listen).await;
        findings
            .of(&format!("rooms.{domain}"), &SERVERS, listen)
            .await;
    }
    findings.found
}

struct Findings<'a> {
    dns: &'a dyn Lookup,
    found: Vec<String>,
    /// Hosts that were looked at.
    hosts: BTreeSet<String>,
}

impl Findings<'_> {
    async fn of(&mut self, domain: &str, doors: &[Door], listen: &[Listen]) {
        let mut any = false;
        for door in doors {
            let name = format!("{}.{domain}", door.labels);
            let records = match self.dns.srv(&name).await {
                Ok(records) => records,
                Err(error) => {
                    self.unasked(&name, &error);
                    // What is not known is not held against anybody.
                    any = true;
                    continue;
                }
            };
            any |= !records.is_empty();
            for record in records {
                self.record(&name, door, &record, listen).await;
            }
        }
        if any {
            return;
        }
        // RFC 6120 §3.2.2: without records they go to the domain's own address.
        for door in doors {
            let Some(port) = door.port else { continue };
            if !has(listen, door.security, port) {
                let ours = listen.iter().find(|l| l.security == door.security);
                let (labels, ours) = match ours {
                    Some(ours) => (door.labels, ours.address.port()),
                    None => (
                        doors.last().map_or(door.labels, |d| d.labels),
                        listen.first().map_or(port, |l| l.address.port()),
                    ),
                };
                self.found.push(format!(
                    "{} look for {domain} at port {port}, where this node does not listen: add the record \
                     `{labels}.{domain}. SRV 0 5 {ours} HOST.`, or a listener in {}",
                    door.whom, door.key
                ));
            }
            self.host(domain, door.whom).await;
        }
    }

    async fn record(&mut self, name: &str, door: &Door, record: &Target, listen: &[Listen]) {
        if matches!(record.host.as_str(), "" | ".") {
            self.found.push(format!(
                "the record {name} says that there is no such service: remove it, or let it lead here"
            ));
            return;
        }
        if !has(listen, door.security, record.port) {
            let how = match door.security {
                Security::Tls => "tls",
                _ => "starttls",
            };
            self.found.push(format!(
                "the record {name} leads {} to port {}, where this node does not listen with \"{how}\": correct the \
                 record, or {}",
                door.whom, record.port, door.key
            ));
        }
        self.host(&record.host, door.whom).await;
    }

    async fn host(&mut self, host: &str, whom: &str) {
        if !self.hosts.insert(host.to_owned()) {
            return;
        }
        match self.dns.addresses(host).await {
            Err(error) => self.unasked(host, &error),
            Ok(addresses) if addresses.is_empty() => self.found.push(format!(
                "{host} has no address, so {whom} don't get here: add an A or AAAA record for it"
            )),
            Ok(addresses) => {
                for address in addresses.iter().filter(|a| is_private(**a)) {
                    self.found.push(format!(
                        "{host} has the address {address}, which {whom} elsewhere can't reach: name the public one \
                         in its A or AAAA record"
                    ));
                }
            }
        }
    }

    fn unasked(&mut self, name: &str, error: &io::Error) {
        self.found.push(format!(
            "DNS did not answer for {name} ({error}): try again, or name other servers in xmpp.s2s.resolvers"
        ));
    }
}

/// Whether a listener has this port; a listener that upgrades takes direct TLS as well. Behind a router ports may differ,
/// so port 0 is any.
fn has(listen: &[Listen], security: Security, port: u16) -> bool {
    listen.iter().any(|l| {
        let fits = l.security == security
            || (l.security == Security::Starttls && security == Security::Tls);
        fits && matches!(l.address.port(), p if p == port || p == 0)
    })
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// What DNS says: SRV as `port host`, addresses as they are; `!` fails.
    struct Script(HashMap<&'static str, Vec<&'static str>>);

    impl Script {
        fn answers(&self, name: &str) -> io::Result<Vec<&'static str>> {
            let found = self.0.get(name).cloned().unwrap_or_default();
            if found == ["!"] {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(found)
        }
    }

    impl Lookup for Script {
        fn srv<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<Target>>> {
            let target = |text: &str| {
                let (port, host) = text.split_once(' ').unwrap();
                Target {
                    host: host.into(),
                    port: port.parse().unwrap(),
                    direct_tls: false,
                }
            };
            let found = self.answers(name);
            Box::pin(async move { Ok(found?.into_iter().map(target).collect()) })
        }

        fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            let found = self.answers(host);
            Box::pin(async move { Ok(found?.iter().map(|a| a.parse().unwrap()).collect()) })
        }
    }

    async fn found(config: &str, script: &[(&'static str, &[&'static str])]) -> Vec<String> {
        let config = Config::parse(&format!("domain = 'example.org'\n{config}")).unwrap();
        assert!(matters(&config));
        let script = script.iter().map(|(name, says)| (*name, says.to_vec()));
        findings(&config, &Script(script.collect())).await
    }

    #[tokio::test]
    async fn names_with_addresses_and_the_usual_ports_are_enough() {
        let names: &[(_, &[_])] = &[
            ("example.org", &["203.0.113.5", "2001:db8::5"]),
            ("rooms.example.org", &["203.0.113.5"]),
        ];
        assert_eq!(found("", names).await, Vec::<String>::new());
        // With records, the addresses of the domain itself are the web server's.
        let names: &[(_, &[_])] = &[
            ("_xmpp-client._tcp.example.org", &["5222 xmpp.example.org"]),
            ("_xmpps-client._tcp.example.org", &["5223 xmpp.example.org"]),
            ("_xmpp-server._tcp.example.org", &["5269 xmpp.example.org"]),
            (
                "_xmpps-server._tcp.rooms.example.org",
                &["5270 xmpp.example.org"],
            ),
            ("xmpp.example.org", &["203.0.113.5"]),
        ];
        assert_eq!(found("", names).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn each_fault_of_names_is_a_sentence() {
        let good = "203.0.113.5";
        for (config, names, says) in [
            ("", &[][..], "example.org has no address, so apps"),
            (
                "",
                &[("example.org", &[good][..])][..],
                "rooms.example.org has no address, so other servers",
            ),
            (
                "",
                &[("example.org", &["192.168.1.5"][..])],
                "192.168.1.5, which apps elsewhere can't reach",
            ),
            (
                "",
                &[("_xmpp-client._tcp.example.org", &["5999 example.org"][..])],
                "leads apps to port 5999",
            ),
            (
                "",
                &[("_xmpps-server._tcp.example.org", &["443 example.org"][..])],
                "leads other servers to port 443",
            ),
            (
                "",
                &[("_xmpp-client._tcp.example.org", &["5222 x.example.org"][..])],
                "x.example.org has no address",
            ),
            (
                "",
                &[("_xmpp-server._tcp.example.org", &["0 ."][..])],
                "says that there is no such service",
            ),
            (
                "",
                &[("_xmpp-client._tcp.example.org", &["!"][..])],
                "DNS did not answer for _xmpp-client",
            ),
            (
                "",
                &[("example.org", &["!"][..])],
                "DNS did not answer for example.org",
            ),
            (
                "[xmpp]\nlisten = [{ address = '[::]:443', security = 'tls' }]",
                &[("example.org", &[good][..])],
                "`_xmpps-client._tcp.example.org. SRV 0 5 443 HOST.`",
            ),
            (
                "[xmpp]\nlisten = [{ address = '[::]:15222', security = 'starttls' }]",
                &[("example.org", &[good][..])],
                "`_xmpp-client._tcp.example.org. SRV 0 5 15222 HOST.`",
            ),
        ] {
            let found = found(config, names).await;
            assert!(found.iter().any(|f| f.contains(says)), "{says}: {found:?}");
        }
    }

    #[test]
    fn a_node_among_friends_needs_no_names() {
        let config = |text| Config::parse(&format!("domain = 'example.org'\n{text}")).unwrap();
        assert!(!matters(&config("[xmpp.s2s]\ndns = false")));
        let loopback = "{ address = '127.0.0.1:5222', security = 'starttls' }";
        assert!(!matters(&config(&format!(
            "[xmpp]\nlisten = [{loopback}]\ns2s = {{ enabled = false }}"
        ))));
    }
}
