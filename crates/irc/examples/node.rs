//! A node in memory with the IRC side alone, on loopback without TLS: `cargo run -p sammen-irc --example node [port] [people]`.
//! Accounts alice, bob and carol (and user0, user1, …), all with the password `open sesame`; carol administers.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example for people"
)]

use std::sync::Arc;
use std::time::Duration;

use sammen_core::memory::MemoryStore;
use sammen_core::{Domain, Name, Node, Options, ops};
use sammen_irc::{Config, Server};
use sammen_net::accounts::Accounts;
use sammen_net::credentials::Iterations;
use sammen_net::{
    CancellationToken, ConnectionLimits, Listener, ListenerConfig, Security, ThrottleConfig,
};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().and_then(|p| p.parse().ok()).unwrap_or(0);
    let more: usize = arguments.next().and_then(|p| p.parse().ok()).unwrap_or(0);
    let domain = Domain::new("localhost").unwrap();
    let node = Node::start(Arc::new(MemoryStore::new()), Options::new(domain.clone())).unwrap();
    let throttle = ThrottleConfig::default();
    let accounts = Accounts::open(node.clone(), Iterations::quick(), throttle)
        .await
        .unwrap();
    let people = ["alice", "bob", "carol"].map(str::to_owned).into_iter();
    for name in people.chain((0..more).map(|n| format!("user{n}"))) {
        let name = Name::new(&name).unwrap();
        accounts
            .create(&domain, &name, "open sesame".into(), false)
            .await
            .unwrap();
    }
    let carol = sammen_core::Address::account(&domain, &Name::new("carol").unwrap());
    node.write(move |tx| ops::accounts::change(tx, &carol, |a| a.admin = true).map(drop))
        .await
        .unwrap();
    let config = Config {
        motd: vec!["Welcome to a node in memory.".into()],
        commands_per_second: 0,
        ..Config::default()
    };
    let server = Server::new(node, config, accounts).unwrap();
    let listener = ListenerConfig {
        name: "irc",
        address: ([127, 0, 0, 1], port).into(),
        security: Security::Plain {
            tls: None,
            beyond_loopback: false,
        },
        handshake_timeout: Duration::from_secs(10),
        drain: Duration::from_secs(2),
    };
    let listener = Listener::bind(listener, ConnectionLimits::new(10_000, 10_000)).unwrap();
    println!("{}", listener.local_addr());
    let handler = move |connection| sammen_irc::serve(server.clone(), connection);
    listener.serve(handler, CancellationToken::new()).await;
}
