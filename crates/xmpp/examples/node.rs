//! A node in memory with alice and bob, for real clients: `cargo run -p sammen-xmpp --example node -- FOLDER`.
//!
//! Prints one line of JSON once it listens; passwords are `pass-alice` and `pass-bob`. Ends with standard input.
#![expect(clippy::print_stdout, reason = "a program that says where it listens")]

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sammen_core::memory::MemoryStore;
use sammen_core::{Domain, Name, Node, Options};
use sammen_net::accounts::Accounts;
use sammen_net::credentials::Iterations;
use sammen_net::tls::{Source, Tls};
use sammen_net::{
    CancellationToken, ConnectionLimits, Listener, ListenerConfig, Security, ThrottleConfig,
};
use sammen_xmpp::{Config, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder: PathBuf = std::env::args().nth(1).ok_or("which folder?")?.into();
    let domain = Domain::new("localhost")?;
    let node = Node::start(Arc::new(MemoryStore::new()), Options::new(domain.clone()))?;
    let quick = Iterations::quick();
    let accounts = Accounts::open(node.clone(), quick, ThrottleConfig::default()).await?;
    for name in ["alice", "bob", "carol"] {
        let password = format!("pass-{name}");
        accounts
            .create(&domain, &Name::new(name)?, password.into(), true)
            .await?;
    }
    let source = Source::Own {
        folder: folder.clone(),
        names: vec![
            "localhost".into(),
            "rooms.localhost".into(),
            "127.0.0.1".into(),
        ],
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "a certificate begins to be valid now"
    )]
    let tls = Tls::new(source, SystemTime::now())?;
    let server = Server::new(node.clone(), Config::default(), accounts);
    let limits = ConnectionLimits::new(10_000, 10_000);
    let shutdown = CancellationToken::new();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = |name, security| ListenerConfig {
        name,
        address,
        security,
        handshake_timeout: Duration::from_secs(10),
        drain: Duration::from_secs(5),
    };
    let starttls = Security::StartTls(tls.acceptor(&["xmpp-client"], true)?);
    let plain = Security::Plain {
        tls: None,
        beyond_loopback: false,
    };
    let secure = Listener::bind(config("xmpp", starttls), limits.clone())?;
    let clear = Listener::bind(config("xmpp-plain", plain), limits)?;
    println!(
        "{{\"c2s\":\"{}\",\"plain\":\"{}\",\"ca\":\"{}\"}}",
        secure.local_addr(),
        clear.local_addr(),
        tls.authority().unwrap_or_default().display()
    );
    let mut tasks = Vec::new();
    for listener in [secure, clear] {
        let (server, shutdown) = (server.clone(), shutdown.clone());
        let handler = move |connection| sammen_xmpp::serve(server.clone(), connection);
        tasks.push(tokio::spawn(listener.serve(handler, shutdown)));
    }
    let read = || std::io::stdin().read(&mut [0]);
    let _ = tokio::task::spawn_blocking(read).await?;
    node.announce_shutdown();
    shutdown.cancel();
    for task in tasks {
        task.await?;
    }
    Ok(())
}
