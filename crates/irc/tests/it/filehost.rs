//! draft/FILEHOST: files uploaded by POST, and their addresses said in rooms.

use std::net::SocketAddr;

use base64::Engine as _;
use sammen_core::Content;
use sammen_core::limits::Limits;
use sammen_irc::Config;
use sammen_net::credentials::Scopes;
use sammen_net::files::{self, exif};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{MODERN, PASSWORD, World, address, one};

const BASE: &str = "https://files.example.org";
const PATH: &str = "/irc/files";

async fn town() -> (World, SocketAddr) {
    let config = Config {
        filehost: Some(format!("{BASE}{PATH}")),
        files: Some(BASE.into()),
        ..Config::default()
    };
    let limits = Limits {
        blob_bytes: 1000,
        blob_quota: 1500,
        ..Limits::default()
    };
    let world = World::limited(config, limits).await;
    let router = sammen_irc::filehost::router(world.server.clone(), PATH);
    let router = router.merge(files::router(world.node.clone()));
    let (address, _) = world.serves(router);
    (world, address)
}

/// An answer: its head in lower case but for values, and its body.
pub struct Answer {
    head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn code(&self) -> u16 {
        self.head.get(9..12).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
    }
}

pub async fn asks(to: SocketAddr, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!("{head}Host: x\r\nConnection: close\r\n\r\n");
    stream
        .write_all(&[head.as_bytes(), body].concat())
        .await
        .unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    Answer {
        head: String::from_utf8(all[..end].to_vec()).unwrap(),
        body: all[end + 4..].to_vec(),
    }
}

async fn posts(to: SocketAddr, who: &str, more: &str, body: &[u8]) -> Answer {
    let who = base64::engine::general_purpose::STANDARD.encode(who);
    let length = body.len();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nAuthorization: Basic {who}\r\nContent-Length: {length}\r\n{more}"
    );
    asks(to, &head, body).await
}

fn alice() -> String {
    format!("alice:{PASSWORD}")
}

#[tokio::test]
async fn what_alice_posts_is_reached_at_its_location_without_the_place() {
    let (world, http) = town().await;
    let mut person = world.stranger();
    person.signs_in("alice", PASSWORD, MODERN).await;
    let welcome = person.syncs().await;
    let told = one(&welcome, " draft/FILEHOST=");
    assert!(
        told.contains(&format!(" soju.im/FILEHOST={BASE}{PATH} ")),
        "{told}"
    );
    let picture = exif::sample(true);
    let named = "Content-Type: image/jpeg\r\nContent-Disposition: attachment; filename=\"../my tree.jpg\"\r\n";
    let answer = posts(http, &alice(), named, &picture).await;
    assert_eq!(answer.code(), 201, "{}", answer.head);
    assert_eq!(
        answer.header("access-control-expose-headers"),
        Some("Location")
    );
    let location = answer.header("location").unwrap();
    assert!(
        location.starts_with(BASE) && location.ends_with("/my%20tree.jpg"),
        "{location}"
    );
    let path = location.strip_prefix(BASE).unwrap();
    let got = asks(http, &format!("GET {path} HTTP/1.1\r\n"), b"").await;
    assert_eq!(
        (got.code(), got.header("content-type")),
        (200, Some("image/jpeg"))
    );
    assert_eq!(got.body.len(), picture.len());
    assert!(
        !got.body.windows(5).any(|w| w == b"52.52"),
        "its place is gone"
    );

    // Said in a room it is a file to everyone else.
    person.does("JOIN #town").await;
    for text in [location.to_owned(), format!("look: {location} nice")] {
        let echo = person.does(&format!("PRIVMSG #town :{text}")).await;
        assert!(one(&echo, " PRIVMSG #town :").ends_with(&text));
        let id = crate::world::tag(one(&echo, " PRIVMSG #town :"), "msgid").unwrap();
        let event = world
            .node
            .store()
            .event_by_id(id.parse().unwrap())
            .unwrap()
            .unwrap();
        let Content::Message(message) = &event.content else {
            panic!("{event:?}");
        };
        assert_eq!(message.text, text);
        let [file] = message.attachments.as_slice() else {
            panic!("{message:?}");
        };
        assert_eq!(file.url, location);
        assert_eq!(file.name.as_deref(), Some("my tree.jpg"));
        assert_eq!(file.size, Some(picture.len() as u64));
    }
    let slot = files::slot_of(BASE, location).unwrap();
    files::remove(&world.node, &address("alice"), slot)
        .await
        .unwrap();
    let gone = asks(http, &format!("GET {path} HTTP/1.1\r\n"), b"").await;
    assert_eq!(gone.code(), 404);
}

#[tokio::test]
async fn only_who_has_an_account_and_room_uploads() {
    let (world, http) = town().await;
    let bob = address("bob");
    let app = world.server.accounts.change(&bob, |c| {
        let rng = &mut rand::rng();
        c.add_app_password("phone", Scopes::only(["xmpp"]), 1, rng)
    });
    let (_, app) = app.await.unwrap();
    for who in [
        "alice:wrong".to_owned(),
        "nobody:x".into(),
        ":".into(),
        "alice".into(),
        format!("bob:{}", app.expose()),
    ] {
        let answer = posts(http, &who, "", b"x").await;
        assert_eq!(answer.code(), 401, "{who}");
        assert!(
            answer
                .header("www-authenticate")
                .unwrap()
                .starts_with("Basic ")
        );
    }
    let nobody = format!("POST {PATH} HTTP/1.1\r\nContent-Length: 1\r\n");
    assert_eq!(asks(http, &nobody, b"x").await.code(), 401);
    assert_eq!(posts(http, &alice(), "", b"").await.code(), 400);
    assert_eq!(posts(http, &alice(), "", &[0; 1001]).await.code(), 413);
    let coded = base64::engine::general_purpose::STANDARD.encode(alice());
    let unmeasured = format!(
        "POST {PATH} HTTP/1.1\r\nAuthorization: Basic {coded}\r\nTransfer-Encoding: chunked\r\n"
    );
    assert_eq!(
        asks(http, &unmeasured, b"1\r\nx\r\n0\r\n\r\n").await.code(),
        411
    );
    // A device behind the account is the account; the second file is over its quota.
    let device = format!("alice/phone:{PASSWORD}");
    assert_eq!(posts(http, &device, "", &[1; 1000]).await.code(), 201);
    assert_eq!(posts(http, &alice(), "", &[2; 501]).await.code(), 403);
    assert_eq!(posts(http, &alice(), "", &[2; 500]).await.code(), 201);
    let options = asks(http, &format!("OPTIONS {PATH} HTTP/1.1\r\n"), b"").await;
    assert_eq!(
        (options.code(), options.header("allow")),
        (204, Some("OPTIONS, POST"))
    );
    assert_eq!(options.header("accept-post"), Some("*/*"));
    assert_eq!(
        asks(http, &format!("GET {PATH} HTTP/1.1\r\n"), b"")
            .await
            .code(),
        405
    );
}

#[tokio::test]
async fn an_address_that_is_no_file_of_ours_is_text() {
    let (world, _) = town().await;
    let mut person = world.enters("alice", MODERN).await;
    person.does("JOIN #town").await;
    let slot = "0".repeat(32);
    for url in [
        format!("{BASE}/upload/{slot}/x.png"),
        format!("https://elsewhere.example/upload/{slot}/x.png"),
        format!("{BASE}/upload/"),
    ] {
        let echo = person.does(&format!("PRIVMSG #town :{url}")).await;
        let id = crate::world::tag(one(&echo, " PRIVMSG #town :"), "msgid").unwrap();
        let event = world
            .node
            .store()
            .event_by_id(id.parse().unwrap())
            .unwrap()
            .unwrap();
        assert!(matches!(&event.content, Content::Message(m) if m.attachments.is_empty()));
    }
}
