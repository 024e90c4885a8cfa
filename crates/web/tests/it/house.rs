//! A node in memory, and people with browsers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use sammen_core::memory::MemoryStore;
use sammen_core::{Address, Domain, Name, Node, Options, ops};
use sammen_net::ThrottleConfig;
use sammen_net::accounts::Accounts;
use sammen_net::credentials::Iterations;
use sammen_web::{Config, Door, NoHost, Web, http};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub const PASSWORD: &str = "open sesame";

pub struct House {
    pub web: Arc<Web>,
    pub router: Router,
}

/// A browser (or a script), signed in or not.
#[derive(Clone, Default)]
pub struct Browser {
    pub cookie: Option<String>,
    pub token: Option<String>,
    /// Leaves the header out that shows where a request comes from.
    pub careless: bool,
    pub origin: Option<String>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON, if the status is this.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// A problem of this code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        let problem = self.is(status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json"
        );
    }
}

impl House {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A node on which nobody has an account.
    pub async fn empty() -> Self {
        Self::of(&[], |_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let house = Self::of(&["alice", "bob", "carol"], change).await;
        let carol = address("carol");
        let crowned = house
            .web
            .node
            .write(move |tx| ops::accounts::change(tx, &carol, |a| a.admin = true).map(drop));
        crowned.await.unwrap();
        house
    }

    async fn of(people: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        let domain = Domain::new("example.org").unwrap();
        let store = Arc::new(MemoryStore::new());
        let node = Node::start(store, Options::new(domain.clone())).unwrap();
        let accounts = Accounts::open(node.clone(), Iterations::quick(), ThrottleConfig::default());
        let accounts = accounts.await.unwrap();
        for name in people {
            let name = Name::new(name).unwrap();
            let made = accounts.create(&domain, &name, PASSWORD.into(), false);
            made.await.unwrap();
        }
        let door = |protocol, port| Door {
            protocol,
            host: "example.org".into(),
            port,
            tls: true,
        };
        let mut config = Config {
            base: Some("https://example.org".into()),
            version: "1.2.3".into(),
            doors: vec![door("xmpp", 5223), door("irc", 6697)],
            registration: true,
            rooms_by_anyone: true,
            ..Config::default()
        };
        change(&mut config);
        let web = Web::new(node, accounts, config, NoHost::shared()).unwrap();
        Self {
            router: http::router(web.clone()),
            web,
        }
    }

    pub async fn ask(
        &self,
        browser: &Browser,
        method: &str,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Answer {
        let method: Method = method.parse().unwrap();
        let path = if path.starts_with("/i/") || path == "/" || path.starts_with("/assets") {
            path.to_owned()
        } else {
            format!("/api/v1{path}")
        };
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::HOST, "example.org");
        if !method.is_safe() && !browser.careless {
            request = request.header("sammen-client", "web");
        }
        if let Some(cookie) = &browser.cookie {
            request = request.header(header::COOKIE, format!("a=b; __Host-sammen={cookie}"));
        }
        if let Some(token) = &browser.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(origin) = &browser.origin {
            request = request.header(header::ORIGIN, origin);
        }
        let request = match body {
            Some((media_type, bytes)) => request
                .header(header::CONTENT_TYPE, media_type)
                .header(header::CONTENT_LENGTH, bytes.len())
                .body(Body::from(bytes)),
            None => request.body(Body::empty()),
        };
        let answer = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    pub async fn get(&self, browser: &Browser, path: &str) -> Answer {
        self.ask(browser, "GET", path, None).await
    }

    pub async fn send(&self, browser: &Browser, method: &str, path: &str, body: Value) -> Answer {
        let bytes = serde_json::to_vec(&body).unwrap();
        self.ask(browser, method, path, Some(("application/json", bytes)))
            .await
    }

    pub async fn post(&self, browser: &Browser, path: &str, body: Value) -> Answer {
        self.send(browser, "POST", path, body).await
    }

    /// Somebody's browser, signed in with the passphrase.
    pub async fn enters(&self, name: &str) -> Browser {
        self.enters_with(name, PASSWORD).await
    }

    pub async fn enters_with(&self, name: &str, password: &str) -> Browser {
        let body = json!({ "name": name, "password": password });
        let answer = self.post(&Browser::default(), "/session", body).await;
        answer.is(200);
        Browser {
            cookie: Some(cookie(&answer).unwrap()),
            ..Browser::default()
        }
    }

    /// Says something; returns the entry.
    pub async fn says(&self, browser: &Browser, to: &str, text: &str) -> Value {
        let txn = format!("t{}", self.web.node.clock().random() as u64);
        let body = json!({ "txn": txn, "text": text });
        let path = format!("/conversations/{to}/entries");
        self.post(browser, &path, body).await.is(201)
    }
}

/// The cookie that an answer sets.
pub fn cookie(answer: &Answer) -> Option<String> {
    let text = answer.headers.get(header::SET_COOKIE)?.to_str().unwrap();
    for part in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("Domain"), "{text}");
    let value = text.strip_prefix("__Host-sammen=")?.split(';').next()?;
    (!value.is_empty()).then(|| value.to_owned())
}

pub fn address(name: &str) -> Address {
    Address::new(&format!("{name}@example.org")).unwrap()
}
