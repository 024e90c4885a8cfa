//! The HTTP front: an axum `Router` behind our listener, with limits on headers and time.
//!
//! Bodies are the routes' own business (size, type, how long they may take). A route finds who is there as
//! `Extension<Arc<Peer>>`; a WebSocket route watches [`Peer::shutdown`] and says goodbye.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio_util::sync::CancellationToken;

use crate::{
    connection::{Connection, Peer},
    listener::Listener,
    stall::Stalling,
};

/// The ALPN name to give to [`crate::tls::Tls::acceptor`].
pub const ALPN: &str = "http/1.1";

/// Limits of HTTP connections.
#[derive(Clone, Copy, Debug)]
pub struct HttpConfig {
    /// Most bytes of request line and headers; at least 8192.
    pub max_head: usize,
    /// Most headers.
    pub max_headers: usize,
    /// From the last answer (or the connection) until the next request's headers are complete.
    pub head_timeout: Duration,
    /// How long a client may read nothing of what we send.
    pub write_timeout: Duration,
}

impl Default for HttpConfig {
    /// 16 KiB, 64 headers, 20 s, 30 s.
    fn default() -> Self {
        Self {
            max_head: 16 * 1024,
            max_headers: 64,
            head_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// Serves a router on a listener until `shutdown`; then answers what was asked, waits for WebSockets to end (within
/// the listener's drain time) and returns.
pub async fn serve(
    listener: Listener,
    router: Router,
    config: HttpConfig,
    shutdown: CancellationToken,
) {
    let service = TowerToHyperService::new(router);
    let handler = move |connection| connection_of(connection, service.clone(), config);
    listener.serve(handler, shutdown).await;
}

async fn connection_of(
    connection: Connection,
    service: TowerToHyperService<Router>,
    config: HttpConfig,
) {
    let Connection { stream, peer } = connection;
    let peer = Arc::new(peer);
    let shutdown = peer.shutdown.clone();
    // Cancelled when the stream is dropped, which a WebSocket may do long after hyper is done with it.
    let gone = CancellationToken::new();
    let stream = Stalling::new(
        stream,
        Arc::clone(&peer),
        config.write_timeout,
        gone.clone().drop_guard(),
    );
    let service = WithPeer { service, peer };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.head_timeout)
        .max_buf_size(config.max_head.max(8192))
        .max_headers(config.max_headers)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    {
        let mut served = pin!(served);
        let result = tokio::select! {
            result = served.as_mut() => result,
            () = shutdown.cancelled() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(e) = result {
            tracing::debug!("an HTTP connection ended: {e}");
        }
    }
    gone.cancelled().await;
}

/// Tells each request who is there.
struct WithPeer {
    service: TowerToHyperService<Router>,
    peer: Arc<Peer>,
}

impl Service<Request<Incoming>> for WithPeer {
    type Response = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Arc::clone(&self.peer));
        self.service.call(request)
    }
}
