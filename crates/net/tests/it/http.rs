//! The HTTP front over TLS, spoken to byte by byte.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    routing::{any, get, post},
};
use sammen_net::{
    CancellationToken, ConnectionLimits, Listener, Peer, Security,
    http::{self, HttpConfig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::world::{self, LONG, Trust};

struct Front {
    node: world::Node,
    connector: tokio_rustls::TlsConnector,
    _folder: tempfile::TempDir,
}

async fn chat(mut socket: WebSocket, peer: Arc<Peer>) {
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => { let _ = socket.send(Message::Text(text)).await; }
                _ => return,
            },
            () = peer.shutdown.cancelled() => {
                let _ = socket.send(Message::Text("bye".into())).await;
                return;
            }
        }
    }
}

fn front() -> Front {
    let folder = tempfile::tempdir().unwrap();
    let tls = world::tls(folder.path());
    let router = Router::new()
        .route(
            "/health",
            get(|Extension(peer): Extension<Arc<Peer>>| async move {
                format!("fine, {} {}", peer.address.ip(), peer.tls.is_some())
            }),
        )
        .route(
            "/put",
            post(|body: Bytes| async move { body.len().to_string() })
                .layer(DefaultBodyLimit::max(100)),
        )
        .route(
            "/chat",
            any(
                |Extension(peer): Extension<Arc<Peer>>, upgrade: WebSocketUpgrade| async move {
                    upgrade.on_upgrade(move |socket| chat(socket, peer))
                },
            ),
        );
    let limits = ConnectionLimits::new(10, 10);
    let security = Security::Tls(tls.acceptor(&[http::ALPN], false).unwrap());
    let listener = Listener::bind(world::config(security), Arc::clone(&limits)).unwrap();
    let (address, shutdown) = (listener.local_addr(), CancellationToken::new());
    let config = HttpConfig {
        head_timeout: LONG,
        ..HttpConfig::default()
    };
    let served = tokio::spawn(http::serve(listener, router, config, shutdown.clone()));
    let connector = Trust {
        alpn: Some("http/1.1"),
        ..Trust::default()
    }
    .connector(folder.path());
    Front {
        node: world::Node {
            address,
            limits,
            shutdown,
            served,
        },
        connector,
        _folder: folder,
    }
}

impl Front {
    async fn visitor(&self) -> TlsStream<TcpStream> {
        world::connect(self.node.address, &self.connector)
            .await
            .unwrap()
    }

    /// Sends bytes and reads until the connection ends.
    async fn ask(&self, request: &[u8]) -> String {
        let mut visitor = self.visitor().await;
        visitor.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let _ = visitor.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[tokio::test]
async fn routes_answer_and_know_who_asks() {
    let front = front();
    let answer = front
        .ask(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("fine, 127.0.0.1 true"),
        "{answer}"
    );
    let answer = front
        .ask(b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let long = [
        b"POST /put HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 101\r\n\r\n"
            .as_slice(),
        &[b'x'; 101],
    ];
    let answer = front.ask(&long.concat()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn heads_without_end_and_slow_ones_are_refused() {
    let front = front();
    let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    let answer = front
        .ask(format!("GET /health HTTP/1.1\r\n{many}\r\n").as_bytes())
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let large = "y".repeat(20_000);
    let answer = front
        .ask(format!("GET /health HTTP/1.1\r\nX: {large}\r\n\r\n").as_bytes())
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer = front.ask(b"\x00\x01\x02 garbage\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    // One that stops in the middle of its headers, and one that asks nothing more: both hold their place for a while.
    let mut slow = front.visitor().await;
    slow.write_all(b"GET /health HTTP/1.1\r\nX-Slow:")
        .await
        .unwrap();
    let mut idle = front.visitor().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = vec![0; 1000];
    assert!(idle.read(&mut answer).await.unwrap() > 0);
    let (mut slow_rest, mut idle_rest) = (Vec::new(), Vec::new());
    // From here on everybody waits for time alone, and the clock runs ahead.
    tokio::time::pause();
    let _ = slow.read_to_end(&mut slow_rest).await;
    let _ = idle.read_to_end(&mut idle_rest).await;
    tokio::time::resume();
    while front.node.limits.from(front.node.address.ip()) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_websocket_keeps_its_seat_and_hears_the_goodbye() {
    let front = front();
    let mut alice = front.visitor().await;
    let request = b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    alice.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(alice.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    // The answer of RFC 6455 §1.3.
    assert!(
        head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "{head}"
    );
    // A masked text frame "hi" (mask 0), echoed without mask.
    alice.write_all(b"\x81\x82\0\0\0\0hi").await.unwrap();
    let mut frame = [0; 4];
    alice.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"\x81\x02hi");
    assert_eq!(front.node.limits.from(front.node.address.ip()), 1);
    front.node.shutdown.cancel();
    let mut frame = [0; 5];
    alice.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"\x81\x03bye");
    front.node.served.await.unwrap();
    assert_eq!(front.node.limits.from(front.node.address.ip()), 0);
}
