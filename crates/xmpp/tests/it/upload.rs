//! Plays of file upload over HTTP, spoken byte by byte: exact sizes, durable answers, safe headers, and host-meta.

use std::net::SocketAddr;
use std::sync::Arc;

use sammen_core::Timestamp;
use sammen_core::limits::Limits;
use sammen_core::ops;
use sammen_net::files::{self, exif};
use sammen_net::http::{self, HttpConfig};
use sammen_net::{CancellationToken, ConnectionLimits, Listener, ListenerConfig, Security};
use sammen_xmpp::wire::{Condition, Element, ErrorType, StanzaError, ns};
use sammen_xmpp::{Server, http as routes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::desk::{Person, account, node_with};

const HOST: &str = "upload.example.org";

struct Front {
    server: Arc<Server>,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn front() -> Front {
    let server = node_with(|options| {
        options.limits = Limits {
            blob_bytes: 2_000_000,
            blob_quota: 3_000_000,
            ..Limits::default()
        };
    })
    .await;
    let config = ListenerConfig {
        name: "http",
        address: "127.0.0.1:0".parse().unwrap(),
        security: Security::Plain {
            tls: None,
            beyond_loopback: false,
        },
        handshake_timeout: std::time::Duration::from_secs(20),
        drain: std::time::Duration::from_secs(1),
    };
    let listener = Listener::bind(config, ConnectionLimits::new(100, 100)).unwrap();
    let address = listener.local_addr();
    let stop = CancellationToken::new();
    let router = routes::router(server.clone(), &format!("http://{address}"));
    tokio::spawn(http::serve(
        listener,
        router,
        HttpConfig::default(),
        stop.clone(),
    ));
    Front {
        server,
        address,
        stop,
    }
}

struct Answer {
    code: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let line = self
            .head
            .lines()
            .find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(':').map(|(_, v)| v.trim())
    }
}

impl Front {
    async fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // A refusal may come before everything was written.
        let _ = stream.write_all(body).await;
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        let end = all
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("an answer");
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        Answer {
            code: head.split(' ').nth(1).unwrap().parse().unwrap(),
            body: all[end + 4..].to_vec(),
            head,
        }
    }

    async fn put(&self, path: &str, body: &[u8]) -> Answer {
        self.ask(
            "PUT",
            path,
            &format!("Content-Length: {}\r\n", body.len()),
            body,
        )
        .await
    }

    async fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask("GET", path, headers, b"").await
    }

    /// Asks for a slot: the paths of `put` and `get`.
    async fn slot(
        &self,
        who: &Person,
        name: &str,
        size: usize,
        kind: &str,
    ) -> Result<(String, String), StanzaError> {
        let request = Element::new(ns::HTTP_UPLOAD, "request")
            .attr("filename", name)
            .attr("size", size.to_string())
            .attr("content-type", kind);
        let slot = who.get(HOST, &request.to_string()).await?;
        let base = format!("http://{}", self.address);
        let path = |name| {
            let url = slot
                .find(name, ns::HTTP_UPLOAD)
                .unwrap()
                .get("url")
                .unwrap();
            url.strip_prefix(&base).unwrap().to_owned()
        };
        Ok((path("put"), path("get")))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_up_once_and_comes_down_as_it_was() {
    let front = front().await;
    let alice = Person::new(&front.server, "alice", "phone", &[]).await;
    let body: Vec<u8> = (0..700_000u32).map(|i| (i % 251) as u8).collect();
    let (put, get) = front
        .slot(&alice, "Grüße.png", body.len(), "image/png")
        .await
        .unwrap();
    assert_eq!(front.get(&get, "").await.code, 404, "nothing is there yet");
    let done = front.put(&put, &body).await;
    assert_eq!(done.code, 201, "{}", done.head);
    // Once only.
    assert_eq!(front.put(&put, &body).await.code, 403);
    let got = front.get(&get, "").await;
    assert_eq!(got.code, 200);
    assert!(got.body == body);
    for (name, value) in [
        ("content-type", "image/png"),
        ("content-length", "700000"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("access-control-allow-origin", "*"),
        ("accept-ranges", "bytes"),
        ("cache-control", "private, max-age=31536000, immutable"),
    ] {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    assert!(
        got.header("content-disposition")
            .unwrap()
            .starts_with("inline;")
    );
    // HEAD, parts, and what did not change.
    let head = front.ask("HEAD", &get, "", b"").await;
    assert_eq!(
        (head.code, head.header("content-length"), head.body.len()),
        (200, Some("700000"), 0)
    );
    let part = front.get(&get, "Range: bytes=262143-262146\r\n").await;
    assert_eq!(
        (part.code, part.header("content-range")),
        (206, Some("bytes 262143-262146/700000"))
    );
    assert_eq!(part.body, &body[262_143..=262_146]);
    let outside = front.get(&get, "Range: bytes=700000-\r\n").await;
    assert_eq!(
        (outside.code, outside.header("content-range")),
        (416, Some("bytes */700000"))
    );
    let tag = got.header("etag").unwrap().to_owned();
    assert_eq!(
        front
            .get(&get, &format!("If-None-Match: {tag}\r\n"))
            .await
            .code,
        304
    );
    assert_eq!(
        front
            .get(&get, "Range: bytes=0-1\r\nIf-Range: \"other\"\r\n")
            .await
            .code,
        200
    );
    let asked = front
        .ask("OPTIONS", &put, "Origin: https://x\r\n", b"")
        .await;
    assert_eq!(
        (asked.code, asked.header("access-control-allow-origin")),
        (204, Some("*"))
    );
    assert!(
        asked
            .header("access-control-allow-methods")
            .unwrap()
            .contains("PUT")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_promised_is_not_taken() {
    let front = front().await;
    let alice = Person::new(&front.server, "alice", "phone", &[]).await;
    let (put, get) = front.slot(&alice, "a.txt", 10, "text/plain").await.unwrap();
    let with = |length: &str| format!("Content-Length: {length}\r\n");
    assert_eq!(front.put(&put, b"123456789").await.code, 400);
    assert_eq!(front.put(&put, b"12345678901").await.code, 413);
    assert_eq!(
        front
            .ask(
                "PUT",
                &put,
                "Transfer-Encoding: chunked\r\n",
                b"a\r\n1234567890\r\n0\r\n\r\n"
            )
            .await
            .code,
        411
    );
    let without_key = put.split('?').next().unwrap();
    assert_eq!(front.put(without_key, b"1234567890").await.code, 403);
    assert_eq!(
        front
            .put(
                &format!("{without_key}?k={}", "0".repeat(32)),
                b"1234567890"
            )
            .await
            .code,
        403
    );
    // A connection that breaks in the middle: the slot still waits.
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    let head = format!("PUT {put} HTTP/1.1\r\nHost: x\r\n{}\r\n12345", with("10"));
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream);
    assert_eq!(front.get(&get, "").await.code, 404);
    let mut tries = 0;
    let done = loop {
        let done = front.put(&put, b"1234567890").await;
        tries += 1;
        // The broken one may not have been noticed yet.
        if done.code != 403 || tries > 1000 {
            break done;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(done.code, 201);
    assert_eq!(front.get(&get, "").await.body, b"1234567890");

    // Nothing is listed, and no other path leads anywhere.
    let slot = get.split('/').nth(2).unwrap();
    for path in [
        "/upload/",
        "/upload",
        &format!("/upload/{slot}"),
        &format!("/upload/{slot}/"),
        &format!("/upload/{slot}/other.txt"),
        &format!("/upload/{}/a.txt", "0".repeat(32)),
        "/upload/..%2F..%2Fetc/passwd",
        "/upload/%00/%00",
    ] {
        assert_eq!(front.get(path, "").await.code, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_scripts_are_only_downloads() {
    let front = front().await;
    let alice = Person::new(&front.server, "alice", "phone", &[]).await;
    let page = b"<script>alert(1)</script>";
    for (name, kind) in [
        ("a.html", "text/html"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "not a type"),
        ("a.pdf", "application/pdf"),
    ] {
        let (put, get) = front.slot(&alice, name, page.len(), kind).await.unwrap();
        assert_eq!(front.put(&put, page).await.code, 201);
        let got = front.get(&get, "").await;
        assert!(
            got.header("content-disposition")
                .unwrap()
                .starts_with("attachment;"),
            "{name}"
        );
        assert!(
            got.header("content-security-policy")
                .unwrap()
                .contains("sandbox")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_more_than_their_room() {
    let front = front().await;
    let alice = Person::new(&front.server, "alice", "phone", &[]).await;
    let app = |e: &StanzaError| e.app.clone().unwrap();
    let large = front.slot(&alice, "a", 2_000_001, "").await.unwrap_err();
    assert_eq!(
        (large.condition, large.kind),
        (Condition::NotAcceptable, ErrorType::Modify)
    );
    assert_eq!(
        app(&large)
            .find_text("max-file-size", ns::HTTP_UPLOAD)
            .unwrap(),
        "2000000"
    );
    for bad in ["0", "-1", "x", "99999999999999999999999"] {
        let request = format!(
            "<request xmlns='{}' filename='a' size='{bad}'/>",
            ns::HTTP_UPLOAD
        );
        assert_eq!(
            alice.get(HOST, &request).await.unwrap_err().condition,
            Condition::BadRequest,
            "{bad}"
        );
    }
    // What is promised counts as taken.
    let (put, get) = front.slot(&alice, "a", 2_000_000, "").await.unwrap();
    let full = front.slot(&alice, "b", 1_500_000, "").await.unwrap_err();
    assert_eq!(
        (full.condition, full.kind),
        (Condition::ResourceConstraint, ErrorType::Wait)
    );
    assert_eq!(app(&full).name(), "retry");
    assert!(app(&full).get("stamp").unwrap().ends_with('Z'));
    assert_eq!(front.put(&put, &vec![7; 2_000_000]).await.code, 201);
    assert!(front.slot(&alice, "b", 1_500_000, "").await.is_err());
    // Others have room of their own.
    let bob = Person::new(&front.server, "bob", "desk", &[]).await;
    front.slot(&bob, "b", 1_500_000, "").await.unwrap();
    // What retention takes is gone, and its room is free again.
    let later = Timestamp(front.server.node.now().0 + 1);
    assert_eq!(
        files::expire(&front.server.node, &account("alice"), Timestamp(1))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        files::expire(&front.server.node, &account("alice"), later)
            .await
            .unwrap(),
        1
    );
    assert_eq!(front.get(&get, "").await.code, 404);
    front.slot(&alice, "b", 1_500_000, "").await.unwrap();
    // So many slots and no more.
    let mut open = 0;
    while front.slot(&bob, "c", 1, "").await.is_ok() {
        open += 1;
    }
    assert!(open < 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_does_not_tell_where_it_was_taken() {
    let front = front().await;
    let alice = Person::new(&front.server, "alice", "phone", &[]).await;
    let picture = exif::sample(true);
    let (put, get) = front
        .slot(&alice, "photo.jpg", picture.len(), "image/jpeg")
        .await
        .unwrap();
    assert_eq!(front.put(&put, &picture).await.code, 201);
    let got = front.get(&get, "").await.body;
    assert_eq!(got.len(), picture.len());
    assert!(!got.windows(5).any(|w| w == b"52.52" || w == b"52,31"));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_find_upload_and_the_websocket() {
    let front = front().await;
    let alice = Person::new(&front.server, "alice", "phone", &[]).await;
    let info = alice
        .get(
            HOST,
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        )
        .await
        .unwrap()
        .to_string();
    assert!(
        info.contains("urn:xmpp:http:upload:0") && info.contains("<value>2000000</value>"),
        "{info}"
    );
    let url = format!("ws://{}/xmpp-websocket", front.address);
    for (path, kind) in [
        ("/.well-known/host-meta", "application/xrd+xml"),
        ("/.well-known/host-meta.json", "application/json"),
    ] {
        let got = front.get(path, "").await;
        assert_eq!(
            (got.code, got.header("access-control-allow-origin")),
            (200, Some("*"))
        );
        assert!(got.header("content-type").unwrap().starts_with(kind));
        assert!(String::from_utf8(got.body).unwrap().contains(&url));
    }
    // Something that does not speak XMPP gets no WebSocket.
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    let head = format!(
        "GET /xmpp-websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n{upgrade}Sec-WebSocket-Protocol: chat\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 400");
}

#[tokio::test]
async fn files_go_with_the_days_of_the_node_and_of_their_owner() {
    let front = front().await;
    let mut addresses = Vec::new();
    for name in ["alice", "bob"] {
        let person = Person::new(&front.server, name, "desk", &[]).await;
        let (put, get) = front.slot(&person, "a", 3, "").await.unwrap();
        assert_eq!(front.put(&put, b"abc").await.code, 201);
        addresses.push(get);
    }
    let node = &front.server.node;
    let day = |n: i64| node.now().plus_ms(n * 86_400_000);
    assert_eq!(files::forget(node, None, day(1000)).await.unwrap(), 0);
    node.write(|tx| ops::accounts::change(tx, &account("alice"), |a| a.retention_days = Some(7)))
        .await
        .unwrap();
    assert_eq!(files::forget(node, Some(30), day(6)).await.unwrap(), 0);
    assert_eq!(files::forget(node, Some(30), day(8)).await.unwrap(), 1);
    assert_eq!(front.get(&addresses[0], "").await.code, 404);
    assert_eq!(front.get(&addresses[1], "").await.code, 200);
    assert_eq!(files::forget(node, Some(30), day(31)).await.unwrap(), 1);
    assert_eq!(front.get(&addresses[1], "").await.code, 404);
}
