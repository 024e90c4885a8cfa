//! Guests, crowds and nuisances at the door.

use std::{sync::Arc, time::Duration};

use sammen_net::{
    Connection, ConnectionLimits, Link, LinkConfig, LinkError, ListenError, Listener, Security,
    Stream, Turn,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::world::{self, LONG, Trust};

/// Says hello, and whether under TLS, then sends back what comes.
async fn echo(connection: Connection) {
    let Connection { mut stream, peer } = connection;
    let greeting = if peer.tls.is_some() {
        b"hello, tls\n"
    } else {
        b"hello, all\n"
    };
    let _ = stream.write_all(greeting).await;
    let (mut read, mut write) = tokio::io::split(stream);
    tokio::select! {
        _ = tokio::io::copy(&mut read, &mut write) => {}
        () = peer.shutdown.cancelled() => { let _ = write.write_all(b"bye\n").await; }
    }
}

async fn line(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(b'\n') | Err(_) => return String::from_utf8(line).unwrap(),
            Ok(byte) => line.push(byte),
        }
    }
}

/// Whether the other side has ended the connection (or broken it).
async fn ended(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    matches!(stream.read_to_end(&mut rest).await, Ok(_) | Err(_)) && !rest.starts_with(b"hello")
}

/// Moves the clock until the node has let the client go. Called when everybody waits for time alone.
async fn time_passes(span: Duration) {
    tokio::time::pause();
    tokio::time::advance(span).await;
    tokio::time::resume();
}

#[tokio::test]
async fn one_port_serves_tls_and_clear_text_by_the_first_byte() {
    let folder = tempfile::tempdir().unwrap();
    let tls = world::tls(folder.path());
    let security = Security::Plain {
        tls: Some(world::acceptor(&tls)),
        beyond_loopback: false,
    };
    let node = world::listen(security, (10, 10), echo);
    let mut plain = TcpStream::connect(node.address).await.unwrap();
    plain.write_all(b"NICK alice\n").await.unwrap();
    assert_eq!(line(&mut plain).await, "hello, all");
    assert_eq!(line(&mut plain).await, "NICK alice");
    let connector = Trust::default().connector(folder.path());
    let mut secure = world::connect(node.address, &connector).await.unwrap();
    assert_eq!(line(&mut secure).await, "hello, tls");
    secure.write_all(b"NICK bob\n").await.unwrap();
    assert_eq!(line(&mut secure).await, "NICK bob");
}

#[tokio::test]
async fn a_clear_text_listener_beyond_loopback_needs_a_second_word() {
    let limits = ConnectionLimits::new(1, 1);
    let address = "0.0.0.0:0".parse().unwrap();
    let plain = |beyond_loopback| {
        let security = Security::Plain {
            tls: None,
            beyond_loopback,
        };
        Listener::bind(
            sammen_net::ListenerConfig {
                address,
                ..world::config(security)
            },
            Arc::clone(&limits),
        )
    };
    assert!(matches!(
        plain(false),
        Err(ListenError::PlainBeyondLoopback { .. })
    ));
    let first = world::listen(
        Security::Plain {
            tls: None,
            beyond_loopback: false,
        },
        (1, 1),
        echo,
    );
    let mut taken = world::config(Security::Plain {
        tls: None,
        beyond_loopback: false,
    });
    taken.address = first.address;
    assert!(matches!(
        Listener::bind(taken, limits.clone()),
        Err(ListenError::Bind { .. })
    ));
}

#[tokio::test]
async fn starttls_upgrades_and_bytes_in_clear_behind_the_request_break_it() {
    let folder = tempfile::tempdir().unwrap();
    let tls = world::tls(folder.path());
    let (report, mut reports) = mpsc::unbounded_channel();
    let node = world::listen(
        Security::StartTls(world::acceptor(&tls)),
        (10, 10),
        move |connection| {
            let report = report.clone();
            async move {
                let Connection { stream, mut peer } = connection;
                assert!(peer.can_start_tls() && !peer.plain_allowed && !peer.channel().secure);
                let mut link = Link::new(stream, LinkConfig::default());
                while !link.input.ends_with(b"\n") {
                    assert_eq!(link.turn().await.unwrap(), Turn::Input);
                }
                let request = link.input.iter().position(|b| *b == b'\n').unwrap();
                drop(link.input.split_to(request + 1));
                link.write(b"go ahead\n").unwrap();
                let stream: Stream = match link.into_stream().await {
                    Ok(stream) => stream,
                    Err(e) => return report.send(e).unwrap(),
                };
                let stream = peer.start_tls(stream).await.unwrap();
                assert!(peer.channel().secure && !peer.can_start_tls());
                echo(Connection { stream, peer }).await;
            }
        },
    );
    let connector = Trust::default().connector(folder.path());
    let mut client = TcpStream::connect(node.address).await.unwrap();
    client.write_all(b"STARTTLS\n").await.unwrap();
    assert_eq!(line(&mut client).await, "go ahead");
    let mut client = world::upgrade(client, &connector).await.unwrap();
    assert_eq!(line(&mut client).await, "hello, tls");

    let mut mallory = TcpStream::connect(node.address).await.unwrap();
    mallory
        .write_all(b"STARTTLS\nPRIVMSG #town :in clear\n")
        .await
        .unwrap();
    assert!(matches!(reports.recv().await, Some(LinkError::UnreadInput)));
    assert!(ended(&mut mallory).await);
}

#[tokio::test]
async fn half_handshakes_and_silence_are_let_go_and_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let tls = world::tls(folder.path());
    let security = Security::Plain {
        tls: Some(world::acceptor(&tls)),
        beyond_loopback: false,
    };
    let node = world::listen(security, (10, 10), echo);
    let mut silent = TcpStream::connect(node.address).await.unwrap();
    let mut half = TcpStream::connect(node.address).await.unwrap();
    half.write_all(b"\x16\x03\x01\x02\x00\x01\x00")
        .await
        .unwrap();
    let mut gone = TcpStream::connect(node.address).await.unwrap();
    gone.write_all(b"\x16").await.unwrap();
    gone.shutdown().await.unwrap();
    assert!(ended(&mut gone).await);
    let mut garbage = TcpStream::connect(node.address).await.unwrap();
    garbage.write_all(&[0x16; 2000]).await.unwrap();
    assert!(ended(&mut garbage).await);
    let mut alice = TcpStream::connect(node.address).await.unwrap();
    alice.write_all(b"hi\n").await.unwrap();
    assert_eq!(line(&mut alice).await, "hello, all");
    while node.limits.from(node.address.ip()) != 3 {
        tokio::task::yield_now().await;
    }
    // The slow loris: one byte shortly before the time is over buys no more of it.
    half.write_all(b"\x01").await.unwrap();
    time_passes(LONG * 2).await;
    assert!(ended(&mut silent).await);
    assert!(ended(&mut half).await);
    assert_eq!(line(&mut alice).await, "hi");
    alice.write_all(b"still here\n").await.unwrap();
    assert_eq!(line(&mut alice).await, "still here");
}

#[tokio::test]
async fn a_crowd_from_one_address_is_turned_away_at_the_door() {
    let node = world::listen(
        Security::Plain {
            tls: None,
            beyond_loopback: false,
        },
        (10, 3),
        echo,
    );
    let mut inside = Vec::new();
    for _ in 0..3 {
        let mut guest = TcpStream::connect(node.address).await.unwrap();
        assert_eq!(line(&mut guest).await, "hello, all");
        inside.push(guest);
    }
    for _ in 0..20 {
        let mut more = TcpStream::connect(node.address).await.unwrap();
        assert!(ended(&mut more).await);
    }
    inside[0].write_all(b"still here\n").await.unwrap();
    assert_eq!(line(&mut inside[0]).await, "still here");
    inside.clear();
    while node.limits.from(node.address.ip()) > 0 {
        tokio::task::yield_now().await;
    }
    let mut next = TcpStream::connect(node.address).await.unwrap();
    assert_eq!(line(&mut next).await, "hello, all");
}

#[tokio::test]
async fn a_full_house_lets_the_next_wait_until_somebody_leaves() {
    let node = world::listen(
        Security::Plain {
            tls: None,
            beyond_loopback: false,
        },
        (2, 100),
        echo,
    );
    let mut first = TcpStream::connect(node.address).await.unwrap();
    let mut second = TcpStream::connect(node.address).await.unwrap();
    assert_eq!(line(&mut first).await, "hello, all");
    assert_eq!(line(&mut second).await, "hello, all");
    // The kernel takes the third; nobody serves it yet.
    let mut third = TcpStream::connect(node.address).await.unwrap();
    third.write_all(b"hi\n").await.unwrap();
    second.write_all(b"one\n").await.unwrap();
    assert_eq!(line(&mut second).await, "one");
    assert_eq!(
        third.try_read(&mut [0]).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    drop(first);
    assert_eq!(line(&mut third).await, "hello, all");
}

#[tokio::test]
async fn a_session_that_panics_takes_nobody_along() {
    let node = world::listen(
        Security::Plain {
            tls: None,
            beyond_loopback: false,
        },
        (10, 10),
        |mut connection: Connection| async move {
            assert_ne!(
                connection.stream.read_u8().await.unwrap(),
                b'!',
                "as the play wants it"
            );
            echo(connection).await;
        },
    );
    let mut bad = TcpStream::connect(node.address).await.unwrap();
    bad.write_all(b"!").await.unwrap();
    assert!(ended(&mut bad).await);
    let mut good = TcpStream::connect(node.address).await.unwrap();
    good.write_all(b".").await.unwrap();
    assert_eq!(line(&mut good).await, "hello, all");
    drop((bad, good));
    while node.limits.from(node.address.ip()) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn going_down_says_goodbye_and_waits_no_longer_than_told() {
    let node = world::listen(
        Security::Plain {
            tls: None,
            beyond_loopback: false,
        },
        (10, 10),
        echo,
    );
    let mut alice = TcpStream::connect(node.address).await.unwrap();
    assert_eq!(line(&mut alice).await, "hello, all");
    node.shutdown.cancel();
    assert_eq!(line(&mut alice).await, "bye");
    node.served.await.unwrap();
    assert!(TcpStream::connect(node.address).await.is_err());

    // A session that does not end.
    let stubborn = |connection: Connection| async move {
        std::future::pending::<()>().await;
        drop(connection);
    };
    let node = world::listen(
        Security::Plain {
            tls: None,
            beyond_loopback: false,
        },
        (10, 10),
        stubborn,
    );
    let mut bob = TcpStream::connect(node.address).await.unwrap();
    while node.limits.from(node.address.ip()) == 0 {
        tokio::task::yield_now().await;
    }
    node.shutdown.cancel();
    tokio::time::pause(); // With nothing to do but wait, the clock runs ahead to the end of the drain time.
    node.served.await.unwrap();
    assert!(ended(&mut bob).await);
}

#[tokio::test]
async fn a_burst_of_pieces_arrives_whole_under_tls() {
    let folder = tempfile::tempdir().unwrap();
    let tls = world::tls(folder.path());
    let node = world::listen(
        Security::Tls(world::acceptor(&tls)),
        (10, 10),
        |connection| async move {
            let mut link = Link::new(
                connection.stream,
                LinkConfig {
                    max_output: 4_000_000,
                    ..LinkConfig::default()
                },
            );
            for n in 0..2000u32 {
                link.queue(bytes::Bytes::from(vec![n as u8; 1 + n as usize % 1500]))
                    .unwrap();
            }
            link.close().await.unwrap();
        },
    );
    let connector = Trust::default().connector(folder.path());
    let mut client = world::connect(node.address, &connector).await.unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap(); // Without close_notify this would be an error.
    let expected: Vec<u8> = (0..2000u32)
        .flat_map(|n| vec![n as u8; 1 + n as usize % 1500])
        .collect();
    assert!(got == expected, "{} of {}", got.len(), expected.len());
}
