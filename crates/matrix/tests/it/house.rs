//! A node in memory, and people with Matrix clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use sammen_core::memory::MemoryStore;
use sammen_core::{Address, Clock, Domain, Name, Node, Options, SystemClock, Timestamp};
use sammen_matrix::{Config, Matrix, http};
use sammen_net::NoPictures;
use sammen_net::accounts::Accounts;
use sammen_net::credentials::Iterations;
use sammen_net::{Rate, ThrottleConfig};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub const PASSWORD: &str = "open sesame";

/// The machine's clock, which a play can turn forward.
#[derive(Default)]
struct Turned(AtomicI64);

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_ms(self.0.load(Ordering::Relaxed))
    }

    fn random(&self) -> u128 {
        SystemClock.random()
    }
}

pub struct House {
    clock: Arc<Turned>,
    pub matrix: Arc<Matrix>,
    pub router: Router,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON, if the status is this.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The JSON, if the status is one of these.
    #[track_caller]
    pub fn is_either(&self, statuses: &[u16]) -> Value {
        assert!(statuses.contains(&self.status.as_u16()), "{}", self.text());
        self.is(self.status.as_u16())
    }

    /// An error with this errcode.
    #[track_caller]
    pub fn refused(&self, status: u16, errcode: &str) -> Value {
        let error = self.is(status);
        assert_eq!(error["errcode"], errcode, "{error}");
        error
    }
}

pub fn address(name: &str) -> Address {
    Address::account(
        &Domain::new("example.org").unwrap(),
        &Name::new(name).unwrap(),
    )
}

impl House {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A node that lets everybody ask as often as they like.
    pub async fn untiring() -> Self {
        Self::with(|config| {
            config.limits.account = Rate::UNLIMITED;
            config.limits.place = Rate::UNLIMITED;
        })
        .await
    }

    /// A node with accounts for alice, bob and carol.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Arc::new(MemoryStore::new()), change).await
    }

    /// The same on a store that may have been another's before: a restart.
    pub async fn on(store: Arc<MemoryStore>, change: impl FnOnce(&mut Config)) -> Self {
        let domain = Domain::new("example.org").unwrap();
        let clock = Arc::new(Turned::default());
        let mut options = Options::new(domain.clone());
        options.clock = clock.clone();
        let node = Node::start(store, options).unwrap();
        let accounts = Accounts::open(node.clone(), Iterations::quick(), ThrottleConfig::default());
        let accounts = accounts.await.unwrap();
        for name in ["alice", "bob", "carol"] {
            let name = Name::new(name).unwrap();
            if node.account(&address(name.as_str())).unwrap().is_none() {
                let made = accounts.create(&domain, &name, PASSWORD.into(), false);
                made.await.unwrap();
            }
        }
        let mut config = Config {
            base: Some("https://example.org".into()),
            version: "1.2.3".into(),
            ..Config::default()
        };
        change(&mut config);
        let matrix = Matrix::new(node, accounts, config, Arc::new(NoPictures)).unwrap();
        Self {
            clock,
            router: http::router(matrix.clone()),
            matrix,
        }
    }

    /// Makes an account, unless it is there.
    pub async fn account(&self, name: &str) {
        if self.matrix.node.account(&address(name)).unwrap().is_none() {
            let (domain, name) = (
                Domain::new("example.org").unwrap(),
                Name::new(name).unwrap(),
            );
            let made = self
                .matrix
                .accounts
                .create(&domain, &name, PASSWORD.into(), false);
            made.await.unwrap();
        }
    }

    /// Some time goes by.
    pub fn later(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// Signs a new device in; its access token.
    pub async fn sign_in(&self, name: &str) -> String {
        let answer = self.log_in(name, PASSWORD, json!({})).await.is(200);
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Asks to sign in, with `more` in the body.
    pub async fn log_in(&self, name: &str, password: &str, more: Value) -> Answer {
        let mut body = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": name },
            "password": password,
        });
        let more = more.as_object().cloned().unwrap_or_default();
        body.as_object_mut().unwrap().extend(more);
        self.ask("", "POST", "/_matrix/client/v3/login", body).await
    }

    /// Asks with a token (or `""`) and a JSON body (or `Value::Null` for none).
    pub async fn ask(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        Self::ask_of(&self.router, token, method, path, body).await
    }

    /// The same from a task of its own.
    pub async fn ask_of(
        router: &Router,
        token: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> Answer {
        let body = match body {
            Value::Null => Vec::new(),
            body => serde_json::to_vec(&body).unwrap(),
        };
        Self::send_to(router, token, method, path, "application/json", body).await
    }

    pub async fn send(
        &self,
        token: &str,
        method: &str,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> Answer {
        Self::send_to(&self.router, token, method, path, kind, body).await
    }

    async fn send_to(
        router: &Router,
        token: &str,
        method: &str,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "example.org");
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request.body(Body::from(body)).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }
}
