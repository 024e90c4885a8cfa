//! Strangers' servers, and a node that is not fooled by them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// A server that answers every request as `answer` says of its head, and how often it was asked.
pub(crate) async fn server(
    answer: impl Fn(&str) -> Vec<u8> + Send + 'static,
) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream
                .write_all(&answer(&String::from_utf8(head).unwrap()))
                .await;
        }
    });
    (port, asked)
}

fn ok(body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn found(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn fetcher(allow: &[&str], ports: &[u16], table: Vec<(&'static str, IpAddr)>) -> Fetcher {
    let ways = Ways {
        names: None,
        trust: Trust::new(&[], false).unwrap(),
        allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
        ports: ports.to_vec(),
        agent: "Sammen/test".into(),
    };
    let mut ready = ready(ways).unwrap();
    ready.names = Resolver::Table(table);
    Fetcher {
        ready: Arc::new(ArcSwap::from_pointee(ready)),
        gate: Arc::new(Gate::new(4, 4)),
    }
}

fn get(url: &str) -> Request {
    Request::get(Url::parse(url).unwrap(), 1000, SOON)
}

#[tokio::test]
async fn a_page_is_fetched_whole() {
    let (port, _) = server(|head| {
        assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
        let head = head.to_lowercase();
        assert!(head.contains("user-agent: sammen/test\r\n") && !head.contains("cookie"));
        assert!(head.contains(&format!("host: far.test:{}\r\n", head_port(&head))));
        ok("hello")
    })
    .await;
    let there = vec![("far.test", "127.0.0.1".parse().unwrap())];
    let fetcher = fetcher(&["127.0.0.1/32"], &[port], there);
    let url = format!("http://far.test:{port}/a?b=c#d");
    let answer = fetcher.fetch("alice", get(&url)).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (200, &b"hello"[..])
    );
    assert_eq!(
        (answer.media_type().as_str(), answer.cut),
        ("text/html", false)
    );
}

fn head_port(head: &str) -> &str {
    let rest = head.split("host: far.test:").nth(1).unwrap();
    rest.split("\r\n").next().unwrap()
}

#[tokio::test]
async fn addresses_that_are_not_everybodys_are_not_reached_in_any_spelling() {
    let (port, asked) = server(|_| ok("secret")).await;
    let inside = |name| (name, "127.0.0.1".parse::<IpAddr>().unwrap());
    let table = vec![
        inside("rebinds.test"),
        ("mapped.test", "::ffff:127.0.0.1".parse().unwrap()),
        ("translated.test", "64:ff9b::7f00:1".parse().unwrap()),
        ("local.test", "fe80::1".parse().unwrap()),
    ];
    let fetcher = fetcher(&[], &[port], table);
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "169.254.169.254",
        "\u{ff11}27.0.0.1",
        "rebinds.test",
        "rebinds.test.",
        "mapped.test",
        "translated.test",
        "local.test",
        "nobody.test",
    ] {
        let error = fetcher
            .fetch(0, get(&format!("http://{host}:{port}/")))
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::Refused(_)), "{host}: {error}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_no_page_of_the_web_is_not_fetched() {
    let fetcher = fetcher(&["127.0.0.0/8"], &[], Vec::new());
    for url in [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "data:text/html,hi",
        "gopher://127.0.0.1:80/",
        "http://user@127.0.0.1/",
        "http://:secret@127.0.0.1/",
        "http://127.0.0.1:22/",
        "http://127.0.0.1:6379/",
        "https://127.0.0.1:5222/",
        &format!("http://127.0.0.1/{}", "x".repeat(URL)),
    ] {
        let error = fetcher.fetch(0, get(url)).await.unwrap_err();
        assert!(matches!(error, FetchError::Url(_)), "{url}: {error}");
        assert!(error.is_final());
    }
}

#[tokio::test]
async fn each_redirect_is_looked_at_anew_and_there_are_three() {
    let (port, asked) = server(|head| {
        let path = head.split(' ').nth(1).unwrap();
        match path {
            "/inside" => found("http://10.0.0.1/"),
            "/named" => found("http://inside.test/"),
            "/file" => found("file:///etc/passwd"),
            "/port" => found("http://127.0.0.1:22/"),
            "/credentials" => found("http://a:b@127.0.0.1/"),
            "/0" => ok("there"),
            path => {
                let left: u32 = path[1..].parse().unwrap();
                found(&format!("{}", left - 1))
            }
        }
    })
    .await;
    let table = vec![("inside.test", "192.168.0.1".parse().unwrap())];
    let fetcher = fetcher(&["127.0.0.1/32"], &[port], table);
    let at = |path: &str| get(&format!("http://127.0.0.1:{port}{path}"));
    for path in ["/inside", "/named"] {
        let error = fetcher.fetch(0, at(path)).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused(_)), "{path}: {error}");
    }
    for path in ["/file", "/port", "/credentials"] {
        let error = fetcher.fetch(0, at(path)).await.unwrap_err();
        assert!(matches!(error, FetchError::Url(_)), "{path}: {error}");
    }
    let answer = fetcher.fetch(0, at("/3")).await.unwrap();
    assert_eq!((answer.url.path(), &answer.body[..]), ("/0", &b"there"[..]));
    let error = fetcher.fetch(0, at("/4")).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirects));
    // What is sent goes nowhere else.
    let before = asked.load(Ordering::SeqCst);
    let url = at("/3").url;
    let post = Request::post(url, Bytes::from_static(b""), 10, SOON);
    assert_eq!(fetcher.fetch(0, post).await.unwrap().status.as_u16(), 302);
    assert_eq!(asked.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn answers_have_bounds() {
    let (port, _) = server(|head| match head.split(' ').nth(1).unwrap() {
        "/long" => ok(&"x".repeat(1001)),
        "/endless" => {
            let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for _ in 0..2000 {
                answer.extend_from_slice(b"4\r\nxxxx\r\n");
            }
            answer
        }
        "/head" => format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(70_000)).into_bytes(),
        "/lines" => format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(200)).into_bytes(),
        "/short" => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi".to_vec(),
        _ => b"220 mail.example ESMTP\r\n".to_vec(),
    })
    .await;
    let fetcher = fetcher(&["127.0.0.1/32"], &[port], Vec::new());
    let at = |path: &str| get(&format!("http://127.0.0.1:{port}{path}"));
    for path in ["/long", "/endless"] {
        let error = fetcher.fetch(0, at(path)).await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge), "{path}: {error}");
        let mut beginning = at(path);
        beginning.cut = true;
        let answer = fetcher.fetch(0, beginning).await.unwrap();
        assert!(answer.cut && answer.body.len() == 1000, "{path}");
    }
    for path in ["/head", "/lines", "/short", "/nonsense"] {
        let error = fetcher.fetch(0, at(path)).await.unwrap_err();
        assert!(matches!(error, FetchError::Broken(_)), "{path}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_and_gives_its_seat_back() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let fetcher = fetcher(&["127.0.0.1/32"], &[port], Vec::new());
    let url = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    for _ in 0..6 {
        let request = Request::get(url.clone(), 10, Duration::from_millis(20));
        let error = fetcher.fetch("alice", request).await.unwrap_err();
        assert!(matches!(error, FetchError::TimedOut), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    // The handshake looks at the clock of the computer.
    let ms = sammen_core::Clock::now(&sammen_core::clock::SystemClock).0;
    let now = std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs());
    let source = crate::tls::Source::Own {
        folder: folder.path().to_owned(),
        names: vec!["far.test".into()],
    };
    let tls = crate::tls::Tls::new(source, now).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tls.acceptor(&["http/1.1"], false).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok((mut stream, _)) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(&ok("under TLS")).await;
            let _ = stream.shutdown().await;
        }
    });
    let there = "127.0.0.1".parse().unwrap();
    let table = vec![("far.test", there), ("other.test", there)];
    let with = |authorities: &[std::path::PathBuf]| {
        let fetcher = fetcher(&["127.0.0.1/32"], &[port], table.clone());
        let mut ready = ready(Ways {
            names: None,
            trust: Trust::new(authorities, false).unwrap(),
            allow: vec!["127.0.0.1/32".parse().unwrap()],
            ports: vec![port],
            agent: "Sammen/test".into(),
        })
        .unwrap();
        ready.names = Resolver::Table(table.clone());
        fetcher.ready.store(Arc::new(ready));
        fetcher
    };
    let url = |host| format!("https://{host}:{port}/");
    let knows = with(&[folder.path().join("ca.pem")]);
    let answer = knows.fetch(0, get(&url("far.test"))).await.unwrap();
    assert_eq!(&answer.body[..], b"under TLS");
    for (fetcher, host) in [(&knows, "other.test"), (&with(&[]), "far.test")] {
        let error = fetcher.fetch(0, get(&url(host))).await.unwrap_err();
        assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
    }
}
