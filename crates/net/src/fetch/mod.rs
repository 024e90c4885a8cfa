//! What strangers make the node fetch: an HTTP/1.1 client that is not fooled into speaking with this computer, its network,
//! or anything that only the node can reach.
//!
//! ```text
//! Request → url: http or https, a port that is allowed, no credentials
//!         → gate: so many at once, in all and for whoever asks
//!         → names, looked up here → only addresses that are anybody's (`places`) → TCP to that very address → TLS
//!         → one exchange within bounds → a redirect begins again at the top, three times at most
//! ```
//!
//! A connection is made for each request and never kept; nothing is remembered: no cookies, no cache, no sessions.

mod connect;
pub(crate) mod gate;
mod places;

use std::hash::Hash;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use tokio::time::timeout;

pub use ipnet::IpNet;
pub use places::may_reach;
pub use url::Url;

use crate::dial::{Names, Trust};
use arc_swap::ArcSwap;
use connect::Names as Resolver;
use gate::Gate;

/// Redirects that are followed.
const REDIRECTS: usize = 3;
/// Bytes of an address.
const URL: usize = 4096;
/// Ports that are reached without further words.
const PORTS: [u16; 3] = [80, 443, 8448];
/// Bytes of a body, whatever a request asks for.
const MOST: usize = 16 << 20;
/// The longest that a request may take.
const LONGEST: Duration = Duration::from_secs(60);

/// What the operator says about fetching.
#[derive(Debug)]
pub struct Ways {
    /// How names are looked up; without it only addresses are reached.
    pub names: Option<Names>,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Networks that may be reached though they are nobody else's.
    pub allow: Vec<IpNet>,
    /// Ports besides 80, 443 and 8448.
    pub ports: Vec<u16>,
    /// What the node says it is (`User-Agent`).
    pub agent: String,
}

/// The same, made ready.
struct Ready {
    names: Resolver,
    tls: Option<Arc<rustls::ClientConfig>>,
    allow: Vec<IpNet>,
    ports: Vec<u16>,
    agent: HeaderValue,
}

/// Fetches. Clones share everything; [`Fetcher::lane`] shares all but the seats.
#[derive(Clone)]
pub struct Fetcher {
    ready: Arc<ArcSwap<Ready>>,
    gate: Arc<Gate>,
}

/// Something to fetch.
#[derive(Clone, Debug)]
pub struct Request {
    /// GET or POST (others as they are).
    pub method: Method,
    /// Where.
    pub url: Url,
    /// Besides `Host`, `User-Agent` and `Content-Length`.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Bytes,
    /// Bytes of the answer's body, at most 16 MiB.
    pub most: usize,
    /// Where the answer is longer: whether its beginning will do. Otherwise that is [`FetchError::TooLarge`].
    pub cut: bool,
    /// In all, with waiting and redirects; at most a minute.
    pub patience: Duration,
}

impl Request {
    /// GET, which follows redirects.
    pub fn get(url: Url, most: usize, patience: Duration) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            most,
            cut: false,
            patience,
        }
    }

    /// POST, which does not.
    pub fn post(url: Url, body: Bytes, most: usize, patience: Duration) -> Self {
        Self {
            method: Method::POST,
            body,
            ..Self::get(url, most, patience)
        }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// What came back, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, or its beginning.
    pub body: Bytes,
    /// Whether there was more ([`Request::cut`]).
    pub cut: bool,
    /// Where it came from in the end.
    pub url: Url,
}

impl Answer {
    /// The media type without parameters, in lower case; empty where none is said.
    pub fn media_type(&self) -> String {
        let value = self.headers.get(header::CONTENT_TYPE);
        let text = value.and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = text.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    }
}

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not http or https, with credentials, too long, or a port that is not allowed.
    #[error("this address is not fetched: {0}")]
    Url(&'static str),
    /// All its addresses lead to this computer, its network, or one that is not everybody's.
    #[error("{0} leads to an address that is not everybody's")]
    Refused(String),
    /// The name can't be looked up or leads nowhere.
    #[error("{host} can't be looked up: {why}")]
    Name {
        /// The name.
        host: String,
        /// What DNS said.
        why: String,
    },
    /// Nobody answers, or TLS fails.
    #[error("{host} can't be reached: {source}")]
    Unreachable {
        /// The host.
        host: String,
        /// The last try's error.
        source: io::Error,
    },
    /// What came is no HTTP, or breaks its bounds.
    #[error("the answer can't be read: {0}")]
    Broken(String),
    /// More redirects than are followed.
    #[error("it redirects too often")]
    Redirects,
    /// The body is longer than was asked for.
    #[error("the answer is too large")]
    TooLarge,
    /// It took too long.
    #[error("it took too long")]
    TimedOut,
    /// Whoever asks has enough requests running.
    #[error("too many requests at once")]
    Busy,
}

impl FetchError {
    /// Whether the same request will fail again, however often.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Url(_) | Self::Refused(_))
    }
}

impl Fetcher {
    /// A fetcher; `at_once` and `each` as in [`Self::lane`].
    ///
    /// # Errors
    /// When TLS can't be had.
    pub fn new(ways: Ways, at_once: usize, each: usize) -> Result<Self, crate::tls::TlsError> {
        let ready = ready(ways)?;
        Ok(Self {
            ready: Arc::new(ArcSwap::from_pointee(ready)),
            gate: Arc::new(Gate::new(at_once, each)),
        })
    }

    /// Another kind of requests, which these don't hold up: so many `at_once`, and of `each` who asks.
    #[must_use]
    pub fn lane(&self, at_once: usize, each: usize) -> Self {
        Self {
            ready: Arc::clone(&self.ready),
            gate: Arc::new(Gate::new(at_once, each)),
        }
    }

    /// Other ways from now on, in every lane.
    ///
    /// # Errors
    /// When TLS can't be had; then nothing changes.
    pub fn reconfigure(&self, ways: Ways) -> Result<(), crate::tls::TlsError> {
        self.ready.store(Arc::new(ready(ways)?));
        Ok(())
    }

    /// Whether an address can be fetched at all, as far as it shows by itself.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, url: &Url) -> Result<(), FetchError> {
        check(url, &self.ready.load().ports)
    }

    /// Fetches for `who` (an account, a server, a device: whoever should not take all seats).
    ///
    /// # Errors
    /// When nothing came that can be read. Any status is an answer.
    pub async fn fetch(&self, who: impl Hash, request: Request) -> Result<Answer, FetchError> {
        let patience = request.patience.min(LONGEST);
        let all = async {
            let _seat = self.gate.enter(who).await?;
            self.follow(request).await
        };
        timeout(patience, all)
            .await
            .unwrap_or(Err(FetchError::TimedOut))
    }

    async fn follow(&self, mut request: Request) -> Result<Answer, FetchError> {
        request.most = request.most.min(MOST);
        let ready = self.ready.load_full();
        for _ in 0..=REDIRECTS {
            check(&request.url, &ready.ports)?;
            request.url.set_fragment(None);
            let answer = connect::exchange(&ready, &request).await?;
            let Some(next) = redirect(&request, &answer) else {
                return Ok(answer);
            };
            // RFC 9110 §15.4: what was meant for one place is not told to another.
            if next.origin() != request.url.origin() {
                request.headers.remove(header::AUTHORIZATION);
            }
            request.url = next;
        }
        Err(FetchError::Redirects)
    }
}

/// Where an answer sends us, if we follow (RFC 9110 §15.4): only what is asked for, never what is sent.
fn redirect(request: &Request, answer: &Answer) -> Option<Url> {
    let sends = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    if !sends || request.method != Method::GET {
        return None;
    }
    let to = answer.headers.get(header::LOCATION)?.to_str().ok()?;
    request.url.join(to).ok()
}

fn check(url: &Url, ports: &[u16]) -> Result<(), FetchError> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(FetchError::Url("it is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::Url("there are credentials in it"));
    }
    if url.as_str().len() > URL {
        return Err(FetchError::Url("it is too long"));
    }
    let port = url.port_or_known_default().unwrap_or_default();
    if !PORTS.contains(&port) && !ports.contains(&port) {
        return Err(FetchError::Url("its port is not allowed"));
    }
    Ok(())
}

fn ready(ways: Ways) -> Result<Ready, crate::tls::TlsError> {
    Ok(Ready {
        names: ways
            .names
            .map_or(Resolver::None, |names| Resolver::Dns(Box::new(names))),
        tls: connect::tls(&ways.trust)?,
        allow: ways.allow,
        ports: ways.ports,
        agent: HeaderValue::try_from(ways.agent)
            .unwrap_or_else(|_| HeaderValue::from_static("Sammen")),
    })
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetcher")
    }
}

#[cfg(test)]
pub(crate) mod tests;
