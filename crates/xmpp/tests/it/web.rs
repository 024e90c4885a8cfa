//! Plays on the wire: last items after presence over TCP, and a whole session over WebSocket (RFC 7395).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sammen_net::http::{self, HttpConfig};
use sammen_net::{ConnectionLimits, Listener, ListenerConfig, Security};
use sammen_xmpp::http as routes;
use sammen_xmpp::wire::ns;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::desk::befriend_at;
use crate::people::House;

const DEVICES: &str = "eu.siacs.conversations.axolotl.devicelist";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_is_shown_the_last_items_once() {
    let house = House::new().await;
    befriend_at(&house.node, "alice@localhost", "bob@localhost").await;
    let mut alice = house.arrives("alice", "phone").await;
    let list = "<list xmlns='eu.siacs.conversations.axolotl'><device id='7'/></list>";
    let publish = format!(
        "<pubsub xmlns='{}'><publish node='{DEVICES}'><item id='current'>{list}</item></publish></pubsub>",
        ns::PUBSUB
    );
    let done = alice.asks("set", "", "p1", &publish).await;
    assert_eq!(done.get("type"), Some("result"), "{done:?}");

    let mut bob = house.signs_in("bob", "desk").await;
    bob.send("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:x' ver='AAAAAAAAAAAAAAAAAAAAAAAAAAA='/></presence>").await;
    let asked = bob
        .expect(|el| el.name() == "iq" && el.has("query", ns::DISCO_INFO))
        .await;
    let answer = format!(
        "<iq type='result' id='{}' to='{}'><query xmlns='{}'><identity category='client' type='pc'/><feature var='{DEVICES}+notify'/></query></iq>",
        asked.get("id").unwrap(),
        asked.get("from").unwrap(),
        ns::DISCO_INFO
    );
    bob.send(&answer).await;
    let event = |el: &sammen_xmpp::wire::Element| el.has("event", ns::PUBSUB_EVENT);
    let told = bob.expect(event).await;
    assert_eq!(told.get("from"), Some("alice@localhost"));
    assert_eq!(told.get("type"), Some("headline"));
    bob.has_nothing(event).await;
    // And what is published from now on.
    alice.asks("set", "", "p2", &publish).await;
    bob.expect(event).await;
    bob.has_nothing(event).await;

    // disco tells that the account has nodes, and which.
    let info = alice
        .asks(
            "get",
            "alice@localhost",
            "d1",
            &format!("<query xmlns='{}'/>", ns::DISCO_INFO),
        )
        .await;
    let text = info.to_string();
    for part in [
        "category='pubsub' type='pep'",
        "pubsub#publish-options",
        "urn:xmpp:bookmarks:1#compat",
        "urn:xmpp:pep-vcard-conversion:0",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let items = bob
        .asks(
            "get",
            "alice@localhost",
            "d2",
            &format!("<query xmlns='{}'/>", ns::DISCO_ITEMS),
        )
        .await;
    assert!(items.to_string().contains(DEVICES));
    let meta = bob
        .asks(
            "get",
            "alice@localhost",
            "d3",
            &format!("<query xmlns='{}' node='{DEVICES}'/>", ns::DISCO_INFO),
        )
        .await;
    assert!(meta.to_string().contains("type='leaf'"), "{meta:?}");
}

struct Browser(TcpStream);

impl Browser {
    async fn new(address: std::net::SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "GET /xmpp-websocket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 101"), "{answer}");
        assert!(answer.contains("sec-websocket-protocol: xmpp"), "{answer}");
        Self(stream)
    }

    /// One text message, masked with zeros (RFC 6455 §5.3 lets a mask be anything).
    async fn send(&mut self, text: &str) {
        let mut frame = vec![0x81];
        match u16::try_from(text.len()) {
            Ok(n @ 0..=125) => frame.push(0x80 | n as u8),
            Ok(n) => {
                frame.push(0x80 | 126);
                frame.extend(n.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend((text.len() as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.0.write_all(&frame).await.unwrap();
    }

    /// The next message: its opcode and text.
    async fn next(&mut self) -> (u8, String) {
        let opcode = self.0.read_u8().await.unwrap() & 0x0F;
        let length = match self.0.read_u8().await.unwrap() {
            126 => u64::from(self.0.read_u16().await.unwrap()),
            127 => self.0.read_u64().await.unwrap(),
            n => u64::from(n),
        };
        let mut body = vec![0; length as usize];
        self.0.read_exact(&mut body).await.unwrap();
        // A code and no text: RFC 6455 §5.5.1.
        if let (8, [high, low]) = (opcode, body.as_slice()) {
            return (8, u16::from_be_bytes([*high, *low]).to_string());
        }
        (opcode, String::from_utf8_lossy(&body).into_owned())
    }

    async fn until(&mut self, part: &str) -> String {
        loop {
            let (opcode, text) = self.next().await;
            assert_eq!(opcode, 1, "closed before {part}");
            if text.contains(part) {
                return text;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_and_talks() {
    let house = House::new().await;
    let listener = ListenerConfig {
        name: "http",
        address: "127.0.0.1:0".parse().unwrap(),
        security: Security::Plain {
            tls: None,
            beyond_loopback: false,
        },
        handshake_timeout: std::time::Duration::from_secs(20),
        drain: std::time::Duration::from_secs(1),
    };
    let listener = Listener::bind(listener, ConnectionLimits::new(10, 10)).unwrap();
    let address = listener.local_addr();
    let router = routes::router(house.server.clone(), &format!("http://{address}"));
    tokio::spawn(http::serve(
        listener,
        router,
        HttpConfig::default(),
        house.shutdown.clone(),
    ));

    let open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";
    let mut browser = Browser::new(address).await;
    browser.send(open).await;
    let header = browser.until("<open").await;
    assert!(header.contains("from='localhost'"), "{header}");
    let features = browser.until("mechanisms").await;
    assert!(
        features.starts_with("<stream:features xmlns:stream='http://etherx.jabber.org/streams'"),
        "{features}"
    );
    assert!(!features.contains("starttls"));
    let plain = STANDARD.encode("\0alice\0pass-alice");
    browser
        .send(&format!(
            "<auth xmlns='{}' mechanism='PLAIN'>{plain}</auth>",
            ns::SASL
        ))
        .await;
    browser.until("<success").await;
    browser.send(open).await;
    browser.until("<open").await;
    browser.until("features").await;
    browser.send(&format!("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='{}'><resource>web</resource></bind></iq>", ns::BIND)).await;
    browser.until("alice@localhost/web").await;
    browser.send("<presence xmlns='jabber:client'/>").await;

    let mut bob = house.arrives("bob", "desk").await;
    browser.send("<message xmlns='jabber:client' to='bob@localhost' type='chat' id='1'><body>from the web</body></message>").await;
    bob.hears("from the web").await;
    // Several at once: each is a message of its own.
    for text in ["one", "two", "three"] {
        bob.says("alice@localhost", text).await;
    }
    for text in ["one", "two", "three"] {
        let got = browser.until(&format!("<body>{text}</body>")).await;
        assert!(
            got.starts_with("<message xmlns='jabber:client'") && got.ends_with("</message>"),
            "{got}"
        );
    }
    browser
        .send("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>")
        .await;
    browser
        .until("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>")
        .await;
    assert_eq!(browser.next().await.0, 8, "the WebSocket is closed too");

    // A message that is too long is named, in the stream and as the WebSocket's own code.
    let mut long = Browser::new(address).await;
    long.send(open).await;
    long.until("features").await;
    long.send(&"a".repeat(1 << 20)).await;
    let error = long.until("stream:error").await;
    assert!(error.contains("policy-violation"), "{error}");
    long.until("<close").await;
    assert_eq!(long.next().await, (8, "1009".to_owned()));

    // Two elements in one message are no message.
    let mut rude = Browser::new(address).await;
    rude.send("<open/><open/>").await;
    let error = rude.until("stream:error").await;
    assert!(error.contains("not-well-formed"), "{error}");
}
