//! `sammen check`: is what surrounds the data folder in order? DNS, ports, certificates; each finding is a sentence that
//! says what to do.

mod certificates;
mod dns;
mod ports;

use std::net::SocketAddr;

use sammen_net::dial::Names;

use crate::config::Config;

pub use dns::Lookup;

/// What is wrong around a node. `running` is where the node of this folder listens, where one runs.
pub async fn surroundings(config: &Config, running: Option<&[SocketAddr]>) -> Vec<String> {
    let mut findings = certificates::findings(config, crate::run::now());
    findings.extend(ports::findings(config, running));
    if dns::matters(config) {
        match Names::new(&config.xmpp.s2s.resolvers) {
            Ok(names) => findings.extend(dns::findings(config, &names).await),
            Err(error) => findings.push(format!(
                "DNS can't be asked ({error}): name servers in xmpp.s2s.resolvers, or say xmpp.s2s.dns = false"
            )),
        }
    }
    findings
}

/// What is wrong with the certificates alone: names no port and asks nobody.
pub fn certificates(config: &Config) -> Vec<String> {
    certificates::findings(config, crate::run::now())
}
