//! XMPP in HTTP requests (XEP-0124, XEP-0206): a whole session, lost answers, the end, and requests that are none.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sammen_net::http::{self, HttpConfig};
use sammen_net::{ConnectionLimits, Listener, ListenerConfig, Security};
use sammen_xmpp::wire::ns;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::people::House;

/// A node whose web front speaks clear text on loopback.
async fn front(house: &House) -> SocketAddr {
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
    let listener = Listener::bind(listener, ConnectionLimits::new(300, 300)).unwrap();
    let address = listener.local_addr();
    let router = sammen_xmpp::http::router(house.server.clone(), &format!("http://{address}"));
    let shutdown = house.shutdown.clone();
    tokio::spawn(http::serve(
        listener,
        router,
        HttpConfig::default(),
        shutdown,
    ));
    address
}

/// One request on a connection of its own; the answer's head and body.
async fn posts(to: SocketAddr, method: &str, body: String) -> (String, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "{method} /http-bind HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn body(attrs: &str, inside: &str) -> String {
    format!(
        "<body xmlns='{}' xmlns:xmpp='{}' {attrs}>{inside}</body>",
        ns::BOSH,
        ns::XBOSH
    )
}

struct Browser {
    to: SocketAddr,
    sid: String,
    rid: u64,
}

impl Browser {
    async fn new(to: SocketAddr, hold: u32, wait: u32) -> (Self, String) {
        let attrs =
            format!("rid='100' to='localhost' hold='{hold}' wait='{wait}' xmpp:version='1.0'");
        let (_, told) = posts(to, "POST", body(&attrs, "")).await;
        let sid = told
            .split("sid='")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        let sid = sid.to_owned();
        (Self { to, sid, rid: 100 }, told)
    }

    fn next(&mut self, attrs: &str, inside: &str) -> impl Future<Output = String> + use<> {
        self.rid += 1;
        let (to, sid) = (self.to, &self.sid);
        let request = body(&format!("rid='{}' sid='{sid}' {attrs}", self.rid), inside);
        async move { posts(to, "POST", request).await.1 }
    }

    /// Asks until an answer holds this.
    async fn until(&mut self, part: &str) -> String {
        loop {
            let told = self.next("", "").await;
            if told.contains(part) {
                return told;
            }
            assert!(!told.contains("terminate"), "{told}");
        }
    }

    async fn signs_in(&mut self, name: &str) {
        let plain = STANDARD.encode(format!("\0{name}\0pass-{name}"));
        let auth = format!(
            "<auth xmlns='{}' mechanism='PLAIN'>{plain}</auth>",
            ns::SASL
        );
        let told = self.next("", &auth).await;
        assert!(told.contains("<success"), "{told}");
        let told = self.next("xmpp:restart='true' to='localhost'", "").await;
        assert!(told.contains("<bind"), "{told}");
        let bind = format!("<bind xmlns='{}'><resource>web</resource></bind>", ns::BIND);
        let told = self
            .next(
                "",
                &format!("<iq xmlns='jabber:client' type='set' id='b'>{bind}</iq>"),
            )
            .await;
        assert!(told.contains(&format!("{name}@localhost/web")), "{told}");
        // RFC 3921 §3: Strophe.js waits for this answer.
        let legacy = "<iq xmlns='jabber:client' type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
        let told = self.next("", legacy).await;
        assert!(told.contains("type='result' id='s'"), "{told}");
        let told = self.next("", "<presence xmlns='jabber:client'/>").await;
        assert!(told.contains("<presence xmlns='jabber:client'"), "{told}");
    }
}

fn message(text: &str) -> String {
    format!(
        "<message xmlns='jabber:client' to='bob@localhost' type='chat' id='{text}'><body>{text}</body></message>"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_talks_and_loses_answers() {
    let house = House::new().await;
    let to = front(&house).await;
    let (mut alice, told) = Browser::new(to, 1, 60).await;
    for part in [
        "wait='60'",
        "hold='1'",
        "requests='2'",
        "inactivity=",
        "<stream:features",
        "PLAIN",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("starttls"), "{told}");
    alice.signs_in("alice").await;

    let mut bob = house.arrives("bob", "desk").await;
    // Two requests at once: the first is answered when the second comes.
    let first = alice.next("", &(message("one") + &message("two")));
    let first = tokio::spawn(first);
    bob.hears("one").await;
    bob.hears("two").await;
    let second = tokio::spawn(alice.next("", &message("three")));
    bob.hears("three").await;
    assert!(first.await.unwrap().contains("ack='"));
    // What bob says goes to the one that is held; a lost answer is sent again.
    bob.says("alice@localhost", "hello web").await;
    let told = second.await.unwrap();
    assert!(
        told.contains("<message xmlns='jabber:client'") && told.contains("hello web"),
        "{told}"
    );
    alice.rid -= 1;
    assert_eq!(alice.next("", &message("three")).await, told);
    bob.has_nothing(|el| el.find_text("body", ns::CLIENT).as_deref() == Some("three"))
        .await;

    let bye = "<presence xmlns='jabber:client' type='unavailable'/>";
    let told = alice.next("type='terminate'", bye).await;
    assert!(told.contains("type='terminate'"), "{told}");
    let told = alice.next("", "").await;
    assert!(told.contains("condition='item-not-found'"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polling_client_is_answered_at_once() {
    let house = House::new().await;
    let to = front(&house).await;
    let (mut alice, _) = Browser::new(to, 0, 0).await;
    // Answers come with a later request.
    let plain = STANDARD.encode("\0alice\0pass-alice");
    let auth = format!(
        "<auth xmlns='{}' mechanism='PLAIN'>{plain}</auth>",
        ns::SASL
    );
    let told = alice.next("", &auth).await;
    if !told.contains("<success") {
        alice.until("<success").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_answered_and_harms_nobody() {
    let house = House::new().await;
    let to = front(&house).await;
    let (head, _) = posts(to, "OPTIONS", String::new()).await;
    assert!(
        head.starts_with("HTTP/1.1 204") && head.contains("access-control-allow-origin: *"),
        "{head}"
    );
    let huge = format!("<a>{}</a>", "x".repeat(3 << 20));
    let deep = "<a>".repeat(100_000);
    for (request, condition) in [
        (String::new(), "bad-request"),
        ("nonsense".to_owned(), "bad-request"),
        ("<body/>".to_owned(), "bad-request"),
        (body("rid='1' sid='nobody'", ""), "item-not-found"),
        (body("rid='1'", "</body><body>"), "bad-request"),
        (body("rid='1' to='localhost'", &deep), "bad-request"),
        (body("rid='1' to='localhost'", &huge), "bad-request"),
        (
            format!("<!DOCTYPE a [<!ENTITY b 'c'>]>{}", body("rid='1'", "&b;")),
            "bad-request",
        ),
        (
            body("rid='1' to='elsewhere.org'", ""),
            "remote-stream-error",
        ),
        (
            body("rid='1' to='localhost'", &message("early")),
            "remote-stream-error",
        ),
    ] {
        let shown: String = request.chars().take(80).collect();
        let (head, told) = posts(to, "POST", request).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{shown}: {head}");
        // The features may come before the end does.
        if condition == "remote-stream-error" && told.contains("sid='") {
            let sid = told
                .split("sid='")
                .nth(1)
                .unwrap()
                .split('\'')
                .next()
                .unwrap();
            let (_, told) = posts(to, "POST", body(&format!("rid='2' sid='{sid}'"), "")).await;
            assert!(told.contains("condition='"), "{shown}: {told}");
            continue;
        }
        assert!(
            told.contains(&format!("condition='{condition}'")),
            "{shown}: {told}"
        );
    }
    // Before somebody signed in, a stranger's limits hold; and a number far ahead ends the session.
    let (mut alice, _) = Browser::new(to, 1, 60).await;
    let told = alice
        .next("", &format!("<a xmlns='x'>{}</a>", "x".repeat(60_000)))
        .await;
    assert!(told.contains("condition='policy-violation'"), "{told}");
    let (mut alice, _) = Browser::new(to, 1, 60).await;
    alice.rid += 50;
    assert!(
        alice
            .next("", "")
            .await
            .contains("condition='item-not-found'")
    );
    // Only so many sessions from one place.
    let mut refused = false;
    for _ in 0..150 {
        let (_, told) = posts(
            to,
            "POST",
            body("rid='1' to='localhost' hold='1' wait='60'", ""),
        )
        .await;
        refused |= told.contains("condition='policy-violation'");
    }
    assert!(refused);
    house.arrives("bob", "desk").await;
}
