//! A node in memory and people with clients: `alice.says("bob", "hi").await; bob.hears("hi").await;`

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sammen_core::memory::MemoryStore;
use sammen_core::store::Store;
use sammen_core::{Address, Domain, Name, Node, Options};
use sammen_net::accounts::Accounts;
use sammen_net::credentials::Iterations;
use sammen_net::{
    CancellationToken, ConnectionLimits, Listener, ListenerConfig, Security, ThrottleConfig,
};
use sammen_xmpp::s2s::Federation;
use sammen_xmpp::s2s::network::Port;
use sammen_xmpp::wire::{Context, Element, Frame, Limits, StreamParser, ns, write};
use sammen_xmpp::{Config, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How long a person waits before something is missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running node.
pub struct House {
    pub node: Node,
    pub server: Arc<Server>,
    pub store: Arc<MemoryStore>,
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl House {
    /// A node with alice, bob and carol.
    pub async fn new() -> Self {
        Self::with(Arc::new(MemoryStore::new()), Config::default()).await
    }

    /// A node with settings.
    pub async fn configured(config: Config) -> Self {
        Self::with(Arc::new(MemoryStore::new()), config).await
    }

    /// A node on a store, which may have accounts already.
    pub async fn with(store: Arc<MemoryStore>, config: Config) -> Self {
        Self::of("localhost", store, config, None).await
    }

    /// A node of another domain, which may speak with other servers.
    pub async fn of(
        domain: &str,
        store: Arc<MemoryStore>,
        config: Config,
        federation: Option<Arc<Federation>>,
    ) -> Self {
        let domain = Domain::new(domain).unwrap();
        let port: Arc<dyn Store> = store.clone();
        let mut options = Options::new(domain.clone());
        if let Some(federation) = &federation {
            options.networks.push(Arc::new(Port(federation.clone())));
        }
        let node = Node::start(port, options).unwrap();
        let throttle = ThrottleConfig::default();
        let accounts = Accounts::open(node.clone(), Iterations::quick(), throttle)
            .await
            .unwrap();
        for name in ["alice", "bob", "carol"] {
            let name = Name::new(name).unwrap();
            let address = Address::account(&domain, &name);
            if node.account(&address).unwrap().is_none() {
                let password = format!("pass-{name}").into();
                accounts
                    .create(&domain, &name, password, true)
                    .await
                    .unwrap();
            }
        }
        let server = Server::new(node.clone(), config, accounts);
        if let Some(federation) = federation {
            federation.begin(&server);
        }
        let plain = Security::Plain {
            tls: None,
            beyond_loopback: false,
        };
        let listener = ListenerConfig {
            name: "xmpp",
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            security: plain,
            handshake_timeout: PATIENCE,
            drain: PATIENCE,
        };
        let listener = Listener::bind(listener, ConnectionLimits::new(1000, 1000)).unwrap();
        let address = listener.local_addr();
        let shutdown = CancellationToken::new();
        let handler = {
            let server = server.clone();
            move |connection| sammen_xmpp::serve(server.clone(), connection)
        };
        let serving = tokio::spawn(listener.serve(handler, shutdown.clone()));
        Self {
            node,
            server,
            store,
            address,
            shutdown,
            serving,
        }
    }

    /// Goes down in order and returns what stays.
    pub async fn stop(self) -> Arc<MemoryStore> {
        self.node.announce_shutdown();
        self.shutdown.cancel();
        self.serving.await.unwrap();
        self.server.drained().await;
        self.store
    }

    /// Somebody signs in under a resource and is available.
    pub async fn arrives(&self, name: &str, resource: &str) -> Person {
        let mut person = self.signs_in(name, resource).await;
        person.send("<presence/>").await;
        let me = person.jid.clone();
        person
            .expect(|el| el.name() == "presence" && el.get("from") == Some(&me))
            .await;
        person
    }

    /// Somebody signs in and says nothing yet.
    pub async fn signs_in(&self, name: &str, resource: &str) -> Person {
        self.signs_in_with(name, &format!("pass-{name}"), resource)
            .await
    }

    /// The same with a password of one's choice.
    pub async fn signs_in_with(&self, name: &str, password: &str, resource: &str) -> Person {
        let mut person = self.proves_with(name, password).await.expect("let in");
        let bind = format!(
            "<iq type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
            ns::BIND
        );
        person.send(&bind).await;
        let bound = person.next().await;
        assert_eq!(bound.get("type"), Some("result"), "{bound:?}");
        let jid = bound.find("bind", ns::BIND).unwrap();
        person.jid = jid.find_text("jid", ns::BIND).unwrap().into_owned();
        person
    }

    /// Somebody authenticates and has not bound a resource.
    pub async fn proves(&self, name: &str) -> Person {
        let password = format!("pass-{name}");
        self.proves_with(name, &password).await.expect("let in")
    }

    /// Somebody tries a password; the answer where it was refused.
    pub async fn proves_with(&self, name: &str, password: &str) -> Result<Person, Element> {
        let mut person = self.connects().await;
        person.opens().await;
        let plain = STANDARD.encode(format!("\0{name}\0{password}"));
        person
            .send(&format!(
                "<auth xmlns='{}' mechanism='PLAIN'>{plain}</auth>",
                ns::SASL
            ))
            .await;
        let answer = person.next().await;
        if !answer.is("success", ns::SASL) {
            return Err(answer);
        }
        person.parser.reset();
        person.opens().await;
        Ok(person)
    }

    /// Somebody connects.
    pub async fn connects(&self) -> Person {
        Person {
            stream: TcpStream::connect(self.address).await.unwrap(),
            parser: StreamParser::new(Limits::default()),
            domain: self.node.domains()[0].to_string(),
            jid: String::new(),
            kept: Vec::new(),
        }
    }
}

/// Somebody with a client.
pub struct Person {
    pub stream: TcpStream,
    pub parser: StreamParser,
    pub jid: String,
    domain: String,
    kept: Vec<Element>,
}

impl Person {
    /// Writes XML as it is.
    pub async fn send(&mut self, xml: &str) {
        self.stream.write_all(xml.as_bytes()).await.unwrap();
    }

    /// Opens a stream; returns the features.
    pub async fn opens(&mut self) -> Element {
        let domain = self.domain.clone();
        self.send(&format!(
            "<stream:stream to='{domain}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        ))
        .await;
        let features = self.next().await;
        assert!(features.is("features", ns::STREAM), "{features:?}");
        features
    }

    /// The next element; headers are skipped.
    pub async fn next(&mut self) -> Element {
        if !self.kept.is_empty() {
            return self.kept.remove(0);
        }
        self.fresh().await.expect("the stream ended")
    }

    /// The next element from the connection, or `None` at its end.
    pub async fn fresh(&mut self) -> Option<Element> {
        loop {
            match self.parser.next_frame().unwrap() {
                Some(Frame::Stanza(el)) => return Some(el),
                Some(Frame::Open(_)) => {}
                Some(Frame::Close) => return None,
                None => {
                    let mut buffer = [0; 4096];
                    let read = self.stream.read(&mut buffer);
                    let read = tokio::time::timeout(PATIENCE, read).await;
                    match read.expect("nothing came") {
                        Ok(0) | Err(_) => return None,
                        Ok(n) => self.parser.feed(&buffer[..n]),
                    }
                }
            }
        }
    }

    /// Waits for an element that fits; others are kept for later.
    pub async fn expect(&mut self, fits: impl Fn(&Element) -> bool) -> Element {
        if let Some(at) = self.kept.iter().position(&fits) {
            return self.kept.remove(at);
        }
        loop {
            let el = self.fresh().await.expect("the stream ended");
            if fits(&el) {
                return el;
            }
            self.kept.push(el);
        }
    }

    /// Asks and gets the answer, result or error.
    pub async fn asks(&mut self, kind: &str, to: &str, id: &str, child: &str) -> Element {
        let to = if to.is_empty() {
            String::new()
        } else {
            format!(" to='{to}'")
        };
        self.send(&format!("<iq type='{kind}' id='{id}'{to}>{child}</iq>"))
            .await;
        self.expect(|el| el.name() == "iq" && el.get("id") == Some(id))
            .await
    }

    /// Everything that was sent before is dealt with, and what it caused has come: others are kept.
    pub async fn settles(&mut self) {
        let id = format!("settle-{}", self.kept.len());
        let domain = self.domain.clone();
        let answer = self
            .asks("get", &domain, &id, "<ping xmlns='urn:xmpp:ping'/>")
            .await;
        assert_eq!(answer.get("type"), Some("result"));
    }

    /// Nothing that fits has come.
    pub async fn has_nothing(&mut self, fits: impl Fn(&Element) -> bool) {
        self.settles().await;
        assert!(!self.kept.iter().any(fits), "{:?}", self.kept);
    }

    /// Everything that has come and fits, in order; others are kept.
    pub fn takes(&mut self, fits: impl Fn(&Element) -> bool) -> Vec<Element> {
        let (taken, kept) = std::mem::take(&mut self.kept).into_iter().partition(fits);
        self.kept = kept;
        taken
    }

    /// Writes a chat message.
    pub async fn says(&mut self, to: &str, text: &str) {
        let id = format!("m-{}", text.replace(' ', "-"));
        self.send(&format!(
            "<message to='{to}' type='chat' id='{id}'><body>{text}</body></message>"
        ))
        .await;
    }

    /// Waits for a message with this text.
    pub async fn hears(&mut self, text: &str) -> Element {
        self.expect(|el| {
            el.name() == "message" && el.find_text("body", ns::CLIENT).as_deref() == Some(text)
        })
        .await
    }
}

/// An element as text, for comparisons.
pub fn written(el: &Element) -> String {
    let mut out = Vec::new();
    write::element(&mut out, el, Context::CLIENT);
    String::from_utf8(Bytes::from(out).to_vec()).unwrap()
}
