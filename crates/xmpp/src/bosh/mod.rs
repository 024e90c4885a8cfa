//! XMPP over BOSH (XEP-0124, XEP-0206): stanzas in HTTP requests, for apps behind proxies that let nothing else through.
//!
//! ```text
//! POST /http-bind → wire/body → session.rs (order, holding, sending again) ⇄ Wire → the session of TCP (c2s/drive)
//! ```

pub mod session;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body as HttpBody, to_bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::post;
use bytes::Bytes;
use parking_lot::Mutex;
use sammen_net::sasl::Channel;
use sammen_net::{Bucket, CancellationToken, Peer, Rate, place};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::c2s::drive::{self, Incoming, Wire, WireEnd};
use crate::c2s::negotiation::{Carrier, Ground};
use crate::server::Server;
use crate::wire::body::parse_body;
use crate::wire::{Limits, Str};
use session::{Session, refusal, sid};

/// Path of the endpoint.
pub const PATH: &str = "/http-bind";
/// How long a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Sessions at once, in all and from one place.
const MOST: usize = 10_000;
const MOST_OF_ONE: usize = 100;

/// The sessions of a node, by their name.
#[derive(Default)]
struct Sessions(Mutex<HashMap<Str, Arc<Shared>>>);

/// What requests and the session's driver share.
struct Shared {
    session: Mutex<Session>,
    limits: Mutex<Limits>,
    from: IpAddr,
    /// Rings when a request came.
    came: Notify,
}

/// The route.
pub fn router(server: Arc<Server>) -> Router {
    let options = || async { with_headers(StatusCode::NO_CONTENT, Bytes::new()) };
    Router::new()
        .route(PATH, post(handle).options(options))
        .with_state(server)
}

async fn handle(
    State(server): State<Arc<Server>>,
    Extension(peer): Extension<Arc<Peer>>,
    body: HttpBody,
) -> Response<HttpBody> {
    let most = server.config.get().member.stanza_bytes * 2;
    let Ok(Ok(request)) = timeout(ARRIVAL, to_bytes(body, most)).await else {
        return with_headers(StatusCode::OK, refusal("bad-request"));
    };
    let answer = answer(&server, &peer, &request).await;
    with_headers(StatusCode::OK, answer)
}

/// Web apps of any origin come here (XEP-0124 §5); they show who they are by signing in.
fn with_headers(status: StatusCode, body: Bytes) -> Response<HttpBody> {
    let mut response = (status, body).into_response();
    let fixed = [
        (header::CONTENT_TYPE, "text/xml; charset=utf-8"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fixed {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn answer(server: &Arc<Server>, peer: &Arc<Peer>, request: &[u8]) -> Bytes {
    let sessions = server.shared::<Sessions>();
    let config = server.config.get();
    // What the others allow the members' limits do, too; who has no session yet, or has not signed in, has others.
    let Ok(body) = parse_body(request, &config.member) else {
        return refusal("bad-request");
    };
    let fits = |limits: &Limits| *limits == config.member || parse_body(request, limits).is_ok();
    let (answer, told) = oneshot::channel();
    let shared = match &body.sid {
        Some(sid) => {
            let Some(shared) = sessions.0.lock().get(sid).cloned() else {
                return refusal("item-not-found");
            };
            let limits = *shared.limits.lock();
            if !fits(&limits) {
                shared.session.lock().end(Some("policy-violation"), b"");
                shared.came.notify_one();
                return refusal("policy-violation");
            }
            shared
        }
        None if !fits(&config.stranger) => return refusal("policy-violation"),
        None => match begin(server, peer, &sessions, &body) {
            Some(shared) => shared,
            None => return refusal("policy-violation"),
        },
    };
    {
        let mut session = shared.session.lock();
        if let Err(fault) = session.arrives(body, answer, Instant::now()) {
            session.end(Some(fault.name()), b"");
            drop(session);
            shared.came.notify_one();
            return refusal(fault.name());
        }
    }
    shared.came.notify_one();
    // Without an answer another request took its place, or the session is gone.
    told.await.unwrap_or_else(|_| refusal("item-not-found"))
}

/// Begins a session; `None` where there are too many.
fn begin(
    server: &Arc<Server>,
    peer: &Arc<Peer>,
    sessions: &Arc<Sessions>,
    first: &crate::wire::body::Body,
) -> Option<Arc<Shared>> {
    let from = peer.address.ip();
    let name = sid(server.node.clock().random());
    let session = Session::new(&name, server.domain().as_str(), first, Instant::now());
    let shared = Arc::new(Shared {
        session: Mutex::new(session),
        limits: Mutex::new(server.config.get().stranger),
        from,
        came: Notify::new(),
    });
    {
        let mut all = sessions.0.lock();
        let same = all.values().filter(|s| place(s.from) == place(from));
        if all.len() >= MOST || same.count() >= MOST_OF_ONE {
            return None;
        }
        all.insert(name.clone(), shared.clone());
    }
    let ground = Ground {
        carrier: Carrier::Bosh,
        address: from,
        // Requests come over many connections: there is nothing to bind to, and no certificate of one.
        channel: Channel {
            secure: peer.channel().secure,
            ..Channel::default()
        },
        can_start_tls: false,
        plain_allowed: peer.plain_allowed,
    };
    let config = server.config.get();
    let wire = Bosh {
        shared: shared.clone(),
        most: config.output_bytes * 2 + config.member.stanza_bytes * 8,
        room: config.output_bytes,
        bucket: Bucket::new(
            Rate {
                per_second: config.rate,
                burst: config.burst,
            },
            Instant::now(),
        ),
        shutdown: peer.shutdown.clone(),
        sessions: sessions.clone(),
        name,
    };
    tokio::spawn(drive::serve(server.clone(), wire, ground));
    Some(shared)
}

/// The session's side of it.
struct Bosh {
    shared: Arc<Shared>,
    /// Bytes of output that may wait at all.
    most: usize,
    /// Bytes of output below which more is taken.
    room: usize,
    bucket: Bucket,
    shutdown: CancellationToken,
    sessions: Arc<Sessions>,
    name: Str,
}

impl Bosh {
    /// Waits for a request, or until something is due; an error when no request came for too long.
    async fn turn(&self) -> Result<(), WireEnd> {
        let came = self.shared.came.notified();
        let deadline = self.shared.session.lock().deadline();
        tokio::select! {
            () = came => {}
            () = sleep_until(deadline) => {}
        }
        let now = Instant::now();
        let mut session = self.shared.session.lock();
        session.respond(now);
        if session.is_gone(now) {
            return Err(WireEnd::Gone);
        }
        Ok(())
    }
}

impl Wire for Bosh {
    async fn next(&mut self) -> Result<Incoming, WireEnd> {
        if let Some(at) = self.bucket.paid_at(Instant::now()) {
            sleep_until(at).await;
        }
        loop {
            {
                let mut session = self.shared.session.lock();
                if session.has_ended() {
                    return Err(WireEnd::Gone);
                }
                if let Some(frame) = session.frames.pop_front() {
                    self.bucket.charge(1, Instant::now());
                    return Ok(Incoming::Frame(frame));
                }
                session.respond(Instant::now());
            }
            self.turn().await?;
        }
    }

    fn queue(&mut self, piece: Bytes) {
        let mut session = self.shared.session.lock();
        if piece.starts_with(b"<stream:error") {
            // XEP-0206 §8: what the error says, without its wrapper.
            let open = piece.iter().position(|b| *b == b'>').map_or(0, |at| at + 1);
            let close = piece.len().saturating_sub(b"</stream:error>".len());
            let inside = piece.get(open..close).unwrap_or_default();
            session.end(Some("remote-stream-error"), inside);
            return;
        }
        session.queue(drive::websocket(piece));
        if session.out_bytes > self.most {
            // It reads nothing and would cost unbounded memory.
            session.clear();
            session.end(Some("policy-violation"), b"");
        }
    }

    fn has_room(&mut self) -> bool {
        let session = self.shared.session.lock();
        session.has_ended() || session.out_bytes < self.room
    }

    async fn flush(&mut self) -> Result<(), WireEnd> {
        loop {
            {
                let mut session = self.shared.session.lock();
                session.respond(Instant::now());
                if session.has_ended() {
                    return Err(WireEnd::Gone);
                }
                if session.out_bytes == 0 {
                    return Ok(());
                }
            }
            self.turn().await?;
        }
    }

    async fn close(&mut self) {
        self.shared.session.lock().end(None, b"");
    }

    fn restart(&mut self) {}

    fn widen(&mut self, limits: Limits) {
        *self.shared.limits.lock() = limits;
    }

    async fn start_tls(&mut self) -> Option<Channel> {
        // XEP-0206 §5: TLS is HTTP's own affair.
        None
    }

    fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }
}

impl Drop for Bosh {
    fn drop(&mut self) {
        self.shared.session.lock().end(Some("item-not-found"), b"");
        self.sessions.0.lock().remove(&self.name);
    }
}
