//! A node in memory, and people who sign in to it over in-memory connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use sammen_core::limits::Limits;
use sammen_core::memory::MemoryStore;
use sammen_core::{Address, Domain, Name, Node, Options, ops};
use sammen_irc::{Client, Config, Server};
use sammen_net::accounts::Accounts;
use sammen_net::credentials::Iterations;
use sammen_net::http::{self, HttpConfig};
use sammen_net::sasl::Channel;
use sammen_net::{
    CancellationToken, ConnectionLimits, Listener, ListenerConfig, Security, ThrottleConfig,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

/// What most modern clients ask for.
pub const MODERN: &str = "message-tags server-time account-tag echo-message batch labeled-response multi-prefix \
    away-notify extended-join extended-monitor invite-notify setname standard-replies draft/multiline draft/chathistory \
    draft/event-playback draft/read-marker draft/message-redaction draft/metadata-2";
pub const PASSWORD: &str = "open sesame";

pub struct World {
    pub server: Arc<Server>,
    pub node: Node,
    pub shutdown: CancellationToken,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    /// Commands are not paced: nothing here depends on time.
    pub async fn with(config: Config) -> Self {
        Self::limited(config, Limits::default()).await
    }

    pub async fn limited(mut config: Config, limits: Limits) -> Self {
        config.commands_per_second = 0;
        let domain = Domain::new("example.org").unwrap();
        let store = Arc::new(MemoryStore::new());
        let mut options = Options::new(domain.clone());
        options.limits = limits;
        let node = Node::start(store, options).unwrap();
        let throttle = ThrottleConfig::default();
        let accounts = Accounts::open(node.clone(), Iterations::quick(), throttle)
            .await
            .unwrap();
        for name in ["alice", "bob", "carol"] {
            let name = Name::new(name).unwrap();
            accounts
                .create(&domain, &name, PASSWORD.into(), false)
                .await
                .unwrap();
        }
        let carol = address("carol");
        node.write(move |tx| ops::accounts::change(tx, &carol, |a| a.admin = true).map(drop))
            .await
            .unwrap();
        Self {
            server: Server::new(node.clone(), config, accounts).unwrap(),
            node,
            shutdown: CancellationToken::new(),
        }
    }

    /// Serves HTTP on loopback until the shutdown.
    pub fn serves(&self, router: axum::Router) -> (SocketAddr, JoinHandle<()>) {
        let config = ListenerConfig {
            name: "http",
            address: ([127, 0, 0, 1], 0).into(),
            security: Security::Plain {
                tls: None,
                beyond_loopback: false,
            },
            handshake_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(2),
        };
        let listener = Listener::bind(config, ConnectionLimits::new(10, 10)).unwrap();
        let address = listener.local_addr();
        let serving = http::serve(
            listener,
            router,
            HttpConfig::default(),
            self.shutdown.clone(),
        );
        (address, tokio::spawn(serving))
    }

    /// A connection that has said nothing yet.
    pub fn stranger(&self) -> Person {
        self.connects(Channel::default())
    }

    /// The same under TLS, with a client certificate.
    pub fn shows(&self, certificate: [u8; 32]) -> Person {
        self.connects(Channel {
            secure: true,
            certificate: Some(certificate),
            ..Channel::default()
        })
    }

    fn connects(&self, channel: Channel) -> Person {
        let (ours, theirs) = duplex(64 * 1024);
        let client = Client {
            address: [127, 0, 0, 1].into(),
            channel,
            plain_allowed: true,
        };
        let serving =
            sammen_irc::serve_stream(self.server.clone(), theirs, client, self.shutdown.clone());
        let task = tokio::spawn(serving);
        Person {
            stream: ours,
            buffer: Vec::new(),
            pings: 0,
            task,
        }
    }

    /// Someone who signs in with these capabilities; everything up to the end of the welcome is read.
    pub async fn enters(&self, login: &str, caps: &str) -> Person {
        let mut person = self.stranger();
        person.signs_in(login, PASSWORD, caps).await;
        person.syncs().await;
        person
    }
}

/// Alice and Bob with modern apps, who share no room yet.
pub async fn two() -> (World, Person, Person) {
    let world = World::new().await;
    let alice = world.enters("alice", MODERN).await;
    let bob = world.enters("bob", MODERN).await;
    (world, alice, bob)
}

/// Both in #town, Alice its owner; everything is read.
pub async fn town() -> (World, Person, Person) {
    let (world, mut alice, mut bob) = two().await;
    alice.does("JOIN #town").await;
    bob.does("JOIN #town").await;
    alice.syncs().await;
    (world, alice, bob)
}

pub fn address(name: &str) -> Address {
    Address::new(&format!("{name}@example.org")).unwrap()
}

pub struct Person {
    stream: DuplexStream,
    buffer: Vec<u8>,
    pings: u32,
    pub task: JoinHandle<()>,
}

impl Person {
    pub async fn sends(&mut self, line: &str) {
        self.sends_bytes(format!("{line}\r\n").as_bytes()).await;
    }

    pub async fn sends_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn signs_in(&mut self, login: &str, password: &str, caps: &str) {
        let nick = login.split('/').next().unwrap();
        let plain =
            base64::engine::general_purpose::STANDARD.encode(format!("\0{login}\0{password}"));
        for line in [
            "CAP LS 302".to_owned(),
            format!("NICK {nick}"),
            format!("USER {nick} 0 * :{nick}"),
            format!("CAP REQ :sasl {caps}"),
            "AUTHENTICATE PLAIN".to_owned(),
            format!("AUTHENTICATE {plain}"),
            "CAP END".to_owned(),
        ] {
            self.sends(&line).await;
        }
    }

    /// The next line; `None` when the connection ended.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                let line = String::from_utf8(line).unwrap();
                return Some(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            let mut more = [0; 4096];
            let read = self.stream.read(&mut more);
            // Only for a test that fails: nothing waits this long.
            let read = tokio::time::timeout(Duration::from_secs(20), read);
            match read.await.expect("a line in time") {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.buffer.extend_from_slice(&more[..n]),
            }
        }
    }

    /// Reads up to the first line that has this in it.
    pub async fn hears(&mut self, part: &str) -> String {
        let mut seen = Vec::new();
        while let Some(line) = self.next().await {
            if line.contains(part) {
                return line;
            }
            seen.push(line);
        }
        panic!("the connection ended without {part:?}: {seen:#?}");
    }

    /// Everything up to the answer to a PING.
    pub async fn syncs(&mut self) -> Vec<String> {
        self.pings += 1;
        let token = format!("sync-{}", self.pings);
        self.sends(&format!("PING {token}")).await;
        let mut seen = Vec::new();
        while let Some(line) = self.next().await {
            if line.contains(" PONG ") && line.ends_with(&token) {
                return seen;
            }
            seen.push(line);
        }
        panic!("the connection ended: {seen:#?}");
    }

    /// Sends a line and returns everything up to when it is done.
    pub async fn does(&mut self, line: &str) -> Vec<String> {
        self.sends(line).await;
        self.syncs().await
    }

    /// All that comes until the connection ends.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(line) = self.next().await {
            seen.push(line);
        }
        seen
    }
}

/// The one line that has this in it.
pub fn one<'a>(lines: &'a [String], part: &str) -> &'a str {
    let found: Vec<_> = lines.iter().filter(|l| l.contains(part)).collect();
    assert_eq!(found.len(), 1, "{part:?} in {lines:#?}");
    found[0]
}

pub fn none(lines: &[String], part: &str) {
    assert!(
        !lines.iter().any(|l| l.contains(part)),
        "{part:?} in {lines:#?}"
    );
}

/// The value of a tag of a line.
pub fn tag<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let tags = line.strip_prefix('@')?.split(' ').next()?;
    tags.split(';').find_map(|t| match t.split_once('=') {
        Some((k, v)) if k == key => Some(v),
        None if t == key => Some(""),
        _ => None,
    })
}

/// A line without its tags.
pub fn bare(line: &str) -> &str {
    match line.strip_prefix('@') {
        Some(rest) => rest.split_once(' ').map_or(line, |(_, r)| r),
        None => line,
    }
}
