//! Ports: is each listener there, or could it be?

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use crate::config::Config;

/// What is wrong with the addresses of the configuration.
pub fn findings(config: &Config, running: Option<&[SocketAddr]>) -> Vec<String> {
    let s2s = config.xmpp.s2s.enabled;
    let sections = [
        ("xmpp.listen", &config.xmpp.listen[..]),
        (
            "xmpp.s2s.listen",
            if s2s { &config.xmpp.s2s.listen } else { &[] },
        ),
        (
            "xmpp.components.listen",
            if s2s {
                &config.xmpp.components.listen
            } else {
                &[]
            },
        ),
        ("irc.listen", &config.irc.listen),
        ("http.listen", &config.http.listen),
    ];
    let listeners = sections.into_iter().flat_map(|(key, listen)| {
        let addresses = listen.iter().map(|l| l.address);
        addresses.map(move |address| (key, address))
    });
    let metrics = config.metrics.listen.iter().map(|a| ("metrics.listen", *a));
    let all: Vec<_> = listeners
        .chain(metrics)
        .filter(|l| l.1.port() != 0)
        .collect();
    let mut findings = Vec::new();
    for (at, (key, address)) in all.iter().enumerate() {
        if let Some((other, _)) = all.iter().take(at).find(|l| l.1 == *address) {
            findings.push(format!(
                "{address} stands in {other} and in {key}: give one of them another port"
            ));
        } else {
            findings.extend(finding(key, *address, running));
        }
    }
    findings
}

fn finding(key: &str, address: SocketAddr, running: Option<&[SocketAddr]>) -> Option<String> {
    if let Some(running) = running {
        let ours = running.contains(&address);
        return (!ours)
            .then(|| format!("the running node does not listen at {address} ({key}): restart it"));
    }
    let error = TcpListener::bind(address).err()?;
    Some(match error.kind() {
        ErrorKind::AddrInUse => {
            format!("another program listens at {address} ({key}): stop it, or choose another port")
        }
        ErrorKind::PermissionDenied => format!(
            "this user may not listen at {address} ({key}): run `check` as the node's user, allow it low ports \
             (AmbientCapabilities=CAP_NET_BIND_SERVICE), or choose a port from 1024 on"
        ),
        ErrorKind::AddrNotAvailable => {
            format!(
                "this computer does not have the address {address} ({key}): name one that it has"
            )
        }
        _ => format!("nothing can listen at {address} ({key}): {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let rest = "[xmpp]\nlisten = []\ns2s = { listen = [] }\n[http]\nlisten = []\n[metrics]\nlisten = []\n";
        Config::parse(&format!("domain = 'example.org'\n{rest}[irc]\n{text}")).unwrap()
    }

    #[test]
    fn a_port_is_free_ours_or_in_the_way() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let config = |address: &str| {
            config(&format!(
                "listen = [{{ address = '{address}', security = 'tls' }}]"
            ))
        };
        let one = config(&address.to_string());
        let found = findings(&one, None);
        assert!(found[0].contains("another program listens"), "{found:?}");
        assert!(found[0].contains("irc.listen"));
        assert_eq!(findings(&one, Some(&[address])), Vec::<String>::new());
        let found = findings(&one, Some(&[]));
        assert!(found[0].contains("restart it"), "{found:?}");
        drop(taken);
        assert_eq!(findings(&one, None), Vec::<String>::new());
        let found = findings(&config("192.0.2.1:6697"), None);
        assert!(found[0].contains("does not have the address"), "{found:?}");
        assert_eq!(findings(&config("127.0.0.1:0"), None), Vec::<String>::new());
    }

    #[test]
    fn two_listeners_want_one_port() {
        let twice = "{ address = '127.0.0.1:1', security = 'tls' }";
        let found = findings(&config(&format!("listen = [{twice}, {twice}]")), Some(&[]));
        assert!(found[1].contains("stands in irc.listen and in irc.listen"));
    }
}
