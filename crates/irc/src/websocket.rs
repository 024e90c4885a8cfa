//! IRCv3 WebSocket: one line a message, in text or binary frames, without CR and LF.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, State};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use futures_util::SinkExt as _;
use sammen_core::Delivery;
use sammen_net::{Bucket, Peer, Rate};
use tokio::time::{Instant, interval_at, timeout};

use crate::gather::Gathering;
use crate::server::Server;
use crate::session::{Client, Session};

/// The subprotocols; binary frames first, they need no check of UTF-8.
const BINARY: &str = "binary.ircv3.net";
const TEXT: &str = "text.ircv3.net";
/// Most bytes of a message: a line with tags.
const MOST: usize = crate::wire::MAX_TAG_DATA + crate::wire::MAX_BODY + 2;
/// How long a client may take none of what it is sent.
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_secs(5);
/// Deliveries taken at once.
const TAKE: usize = 256;

/// The route that a node's HTTP listener serves, for instance at `/irc`.
pub fn router(server: Arc<Server>, path: &str) -> Router {
    Router::new().route(path, any(upgrade)).with_state(server)
}

async fn upgrade(
    State(server): State<Arc<Server>>,
    Extension(peer): Extension<Arc<Peer>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade
        .protocols([BINARY, TEXT])
        .max_message_size(MOST)
        .max_frame_size(MOST);
    // Without a subprotocol: text, as clients from before the standard expect.
    let binary = upgrade.selected_protocol().is_some_and(|p| p == BINARY);
    upgrade.on_upgrade(move |socket| serve(server, socket, peer, binary))
}

async fn serve(server: Arc<Server>, mut socket: WebSocket, peer: Arc<Peer>, binary: bool) {
    let client = Client {
        address: peer.address.ip(),
        channel: peer.channel(),
        plain_allowed: peer.plain_allowed,
    };
    let config = server.config();
    let rate = Rate {
        per_second: config.commands_per_second,
        burst: config.commands_burst,
    };
    let mut session = Session::new(server, client);
    let mut bucket = Bucket::new(rate, Instant::now());
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    let mut inbox: Vec<Delivery> = Vec::new();
    let mut gathering = Gathering::new(session.gather_ms());
    loop {
        let mailbox = session.mailbox();
        let paid = bucket.paid_at(Instant::now());
        tokio::select! {
            frame = socket.recv(), if paid.is_none() => match frame {
                Some(Ok(Frame::Text(text))) => {
                    bucket.charge(1, Instant::now());
                    one(&mut session, text.as_bytes()).await;
                }
                Some(Ok(Frame::Binary(bytes))) => {
                    bucket.charge(1, Instant::now());
                    one(&mut session, &bytes).await;
                }
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {
                    bucket.charge(1, Instant::now());
                    session.heard();
                }
                Some(Ok(Frame::Close(_)) | Err(_)) | None => break,
            },
            () = tokio::time::sleep_until(paid.unwrap_or_else(Instant::now)), if paid.is_some() => {}
            () = receive(mailbox.as_deref(), &mut inbox, &mut gathering), if !session.has_work() => {
                gathering.begin(&inbox);
                session.accept(&mut inbox);
                session.work().await;
            }
            () = std::future::ready(()), if session.has_work() => session.work().await,
            _ = ticks.tick() => session.tick().await,
            () = peer.shutdown.cancelled(), if !session.ended() => session.close("the server shuts down"),
        }
        if send(&mut socket, &mut session, binary).await.is_none() {
            break;
        }
        if session.ended() {
            let frame = CloseFrame {
                code: close_code::NORMAL,
                reason: "".into(),
            };
            let _ = timeout(PATIENCE, socket.send(Frame::Close(Some(frame)))).await;
            break;
        }
    }
    session.leave().await;
}

async fn receive(
    mailbox: Option<&sammen_core::Mailbox>,
    inbox: &mut Vec<Delivery>,
    gathering: &mut Gathering,
) {
    match mailbox {
        Some(mailbox) => {
            poll_fn(|cx| gathering.poll_receive(cx, mailbox, inbox, TAKE)).await;
        }
        None => std::future::pending().await,
    }
}

async fn one(session: &mut Session, line: &[u8]) {
    session.heard();
    // One message is one line; a line end inside would begin a second one.
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !line.is_empty() {
        session.line(line).await;
    }
}

/// Sends what waits, with one write for several lines; `None` where the client does not take it.
async fn send(socket: &mut WebSocket, session: &mut Session, binary: bool) -> Option<()> {
    let pieces: Vec<Bytes> = session.take_output().collect();
    if pieces.is_empty() {
        return Some(());
    }
    for piece in pieces {
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', &piece) {
            let line = piece.slice(from..end);
            from = end + 1;
            let line = match line.last() {
                Some(b'\r') => line.slice(..line.len() - 1),
                _ => line,
            };
            let frame = if binary {
                Frame::Binary(line)
            } else {
                Frame::Text(String::from_utf8_lossy(&line).into_owned().into())
            };
            timeout(PATIENCE, socket.feed(frame)).await.ok()?.ok()?;
        }
    }
    timeout(PATIENCE, socket.flush()).await.ok()?.ok()
}
