//! XMPP over WebSocket (RFC 7395): each message is one whole element; everything behind it is the session of TCP.
//!
//! A task of its own owns the socket, so that nothing is lost when the session turns to something else in the middle.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::any;
use parking_lot::Mutex;
use sammen_net::sasl::Channel;
use sammen_net::{Bucket, CancellationToken, Peer, Rate};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use crate::c2s::drive::{self, Incoming, Wire, WireEnd};
use crate::c2s::negotiation::{Carrier, Ground};
use crate::server::Server;
use crate::wire::fault::StreamFault;
use crate::wire::{Limits, framing};

/// Path of the WebSocket.
pub const PATH: &str = "/xmpp-websocket";
/// RFC 7395 §3.1.
const PROTOCOL: &str = "xmpp";
/// Messages that were read and not yet looked at.
const WAITING: usize = 4;
/// How long goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long a socket with unread input stays open after the goodbye: closed at once, the kernel would reset the
/// connection and the peer might never read why.
const LINGER: Duration = Duration::from_secs(2);

/// The route.
pub fn router(server: Arc<Server>) -> Router {
    Router::new().route(PATH, any(upgrade)).with_state(server)
}

async fn upgrade(
    State(server): State<Arc<Server>>,
    Extension(peer): Extension<Arc<Peer>>,
    socket: WebSocketUpgrade,
) -> Response<Body> {
    let most = server.config.get().member.stanza_bytes;
    let socket = socket
        .protocols([PROTOCOL])
        .max_message_size(most)
        .max_frame_size(most);
    if socket.selected_protocol().is_none() {
        return (StatusCode::BAD_REQUEST, "the subprotocol is xmpp").into_response();
    }
    socket.on_upgrade(move |socket| serve(server, peer, socket))
}

async fn serve(server: Arc<Server>, peer: Arc<Peer>, socket: WebSocket) {
    let ground = Ground {
        carrier: Carrier::WebSocket,
        address: peer.address.ip(),
        channel: peer.channel(),
        can_start_tls: false,
        plain_allowed: peer.plain_allowed,
    };
    let config = server.config.get();
    let (messages, incoming) = mpsc::channel(WAITING);
    let shared = Arc::new(Shared::default());
    let task = tokio::spawn(carry(
        socket,
        messages,
        shared.clone(),
        config.write_timeout,
    ));
    let rate = Rate {
        per_second: config.rate,
        burst: config.burst,
    };
    let wire = Socket {
        incoming,
        shared,
        limits: config.stranger,
        most: config.output_bytes * 2 + config.member.stanza_bytes * 8,
        room: config.output_bytes,
        bucket: Bucket::new(rate, Instant::now()),
        shutdown: peer.shutdown.clone(),
    };
    drive::serve(server, wire, ground).await;
    let _ = timeout(GOODBYE, task).await;
}

/// Output on its way to the socket.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Rings when there is output.
    output: Notify,
    /// Rings when output went out, or the socket is gone.
    moved: Notify,
}

#[derive(Default)]
struct Queue {
    pieces: VecDeque<Bytes>,
    /// Bytes in `pieces` and in the piece being written.
    bytes: usize,
    closing: bool,
    gone: bool,
}

/// What came in.
enum Came {
    Message(Bytes),
    Life,
    /// Nothing more is read.
    Fault(StreamFault),
}

/// What a WebSocket that can't be read further was guilty of, and the code to close it with (RFC 6455 §7.4.1);
/// `None` where it is simply gone.
fn fault(error: axum::Error) -> Option<(StreamFault, u16)> {
    use tungstenite::Error as E;
    use tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
    match *error.into_inner().downcast::<E>().ok()? {
        E::Capacity(_) => Some((StreamFault::TooMuch("message size"), close_code::SIZE)),
        E::Utf8(_) => Some((StreamFault::InvalidUtf8, close_code::INVALID)),
        E::Protocol(ResetWithoutClosingHandshake) => None,
        E::Protocol(_) => Some((
            StreamFault::BadFormat("WebSocket frame"),
            close_code::PROTOCOL,
        )),
        _ => None,
    }
}

/// Owns the socket: reads messages, writes pieces, until one side ends.
async fn carry(
    mut socket: WebSocket,
    messages: mpsc::Sender<Came>,
    shared: Arc<Shared>,
    patience: Duration,
) {
    let mut broken = None;
    loop {
        let (piece, closing) = {
            let mut queue = shared.queue.lock();
            (queue.pieces.pop_front(), queue.closing)
        };
        if let Some(piece) = piece {
            let size = piece.len();
            let text = drive::websocket(piece);
            let Ok(text) = String::from_utf8(text.into()) else {
                break;
            };
            let sent = timeout(patience, socket.send(Message::Text(text.into()))).await;
            if !matches!(sent, Ok(Ok(()))) {
                break;
            }
            shared.queue.lock().bytes -= size;
            shared.moved.notify_waiters();
            continue;
        }
        if closing {
            let frame = broken.map(|code| CloseFrame {
                code,
                reason: "".into(),
            });
            let _ = timeout(GOODBYE, socket.send(Message::Close(frame))).await;
            break;
        }
        let output = shared.output.notified();
        tokio::pin!(output);
        output.as_mut().enable();
        if !shared.queue.lock().pieces.is_empty() || shared.queue.lock().closing {
            continue;
        }
        // Reading waits while the session has not taken what was read: so the peer is slowed down.
        let read = async {
            let place = messages.reserve().await.ok()?;
            let came = match socket.recv().await? {
                Ok(Message::Text(text)) => Came::Message(Bytes::from(text)),
                Ok(Message::Binary(bytes)) => Came::Message(bytes),
                Ok(Message::Ping(_) | Message::Pong(_)) => Came::Life,
                Ok(Message::Close(_)) => return None,
                Err(error) => {
                    let (fault, code) = fault(error)?;
                    place.send(Came::Fault(fault));
                    return Some(Some(code));
                }
            };
            place.send(came);
            Some(None)
        };
        tokio::select! {
            () = output => {}
            read = read, if broken.is_none() => match read {
                None => break,
                Some(code) => broken = code,
            },
        }
    }
    {
        let mut queue = shared.queue.lock();
        queue.gone = true;
        queue.pieces.clear();
    }
    shared.moved.notify_waiters();
    if broken.is_some() {
        tokio::time::sleep(LINGER).await;
    }
}

struct Socket {
    incoming: mpsc::Receiver<Came>,
    shared: Arc<Shared>,
    limits: Limits,
    /// Bytes of output that may wait at all.
    most: usize,
    /// Bytes of output below which more is taken.
    room: usize,
    bucket: Bucket,
    shutdown: CancellationToken,
}

impl Wire for Socket {
    async fn next(&mut self) -> Result<Incoming, WireEnd> {
        if let Some(at) = self.bucket.paid_at(Instant::now()) {
            sleep_until(at).await;
        }
        let message = match self.incoming.recv().await {
            None => return Err(WireEnd::Gone),
            Some(Came::Life) => return Ok(Incoming::Nothing),
            Some(Came::Message(message)) => message,
            Some(Came::Fault(fault)) => return Err(WireEnd::Fault(fault.into())),
        };
        self.bucket.charge(1, Instant::now());
        match framing::parse_message(&message, &self.limits) {
            Ok(Some(frame)) => Ok(Incoming::Frame(frame)),
            Ok(None) => Ok(Incoming::Nothing),
            Err(fault) => Err(WireEnd::Fault(fault.into())),
        }
    }

    fn queue(&mut self, piece: Bytes) {
        let mut queue = self.shared.queue.lock();
        if queue.gone {
            return;
        }
        queue.bytes += piece.len();
        queue.pieces.push_back(piece);
        if queue.bytes > self.most {
            // It reads nothing and would cost unbounded memory.
            queue.pieces.clear();
            queue.closing = true;
        }
        drop(queue);
        self.shared.output.notify_one();
    }

    fn has_room(&mut self) -> bool {
        let queue = self.shared.queue.lock();
        queue.gone || queue.bytes < self.room
    }

    async fn flush(&mut self) -> Result<(), WireEnd> {
        loop {
            let moved = self.shared.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            {
                let queue = self.shared.queue.lock();
                if queue.gone {
                    return Err(WireEnd::Gone);
                }
                if queue.bytes == 0 {
                    return Ok(());
                }
            }
            moved.await;
        }
    }

    async fn close(&mut self) {
        self.shared.queue.lock().closing = true;
        self.shared.output.notify_one();
        // RFC 7395 §3.6: what is queued goes out first.
        self.incoming.close();
        let _ = timeout(GOODBYE, async {
            loop {
                let moved = self.shared.moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                if self.shared.queue.lock().gone {
                    return;
                }
                moved.await;
            }
        })
        .await;
    }

    fn restart(&mut self) {}

    fn widen(&mut self, limits: Limits) {
        self.limits = limits;
    }

    async fn start_tls(&mut self) -> Option<Channel> {
        // RFC 7395 §3.9: TLS is the WebSocket's own affair.
        None
    }

    fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shared.queue.lock().closing = true;
        self.shared.output.notify_one();
    }
}
