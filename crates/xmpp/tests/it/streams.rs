//! Streams: how they begin, and how they end.

use sammen_xmpp::wire::{Element, ns};

use crate::people::House;

fn mechanisms(features: &Element) -> Vec<String> {
    let found = features.find("mechanisms", ns::SASL).unwrap();
    found.elements().map(|m| m.content().into_owned()).collect()
}

#[tokio::test]
async fn passwords_are_checked_and_names_not_told_apart() {
    let house = House::new().await;
    let mut stranger = house.connects().await;
    let features = stranger.opens().await;
    assert!(mechanisms(&features).contains(&"SCRAM-SHA-1".to_owned()));
    for _ in 0..2 {
        // alice with a wrong password; nobody with any.
        for who in ["AGFsaWNlAHdyb25n", "AG5vYm9keQB3cm9uZw=="] {
            stranger
                .send(&format!(
                    "<auth xmlns='{}' mechanism='PLAIN'>{who}</auth>",
                    ns::SASL
                ))
                .await;
            let failure = stranger.next().await;
            assert!(failure.has("not-authorized", ns::SASL), "{failure:?}");
        }
    }
    stranger
        .send(&format!("<auth xmlns='{}' mechanism='X'/>", ns::SASL))
        .await;
    assert!(stranger.next().await.has("invalid-mechanism", ns::SASL));
    // Five failures are enough.
    assert!(stranger.next().await.is("error", ns::STREAM));
    assert!(stranger.fresh().await.is_none());
}

#[tokio::test]
async fn what_is_no_stream_gets_its_error() {
    let house = House::new().await;
    const OPEN: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    for (bytes, condition) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "not-well-formed"),
        (
            OPEN.replace("localhost", "elsewhere.example"),
            "host-unknown",
        ),
        (OPEN.replace("'1.0'", "'0.9'"), "unsupported-version"),
        (
            OPEN.replace("jabber:client", "jabber:server"),
            "invalid-namespace",
        ),
        (
            format!("{OPEN}<message><body>hi</body></message>"),
            "not-authorized",
        ),
        (format!("{OPEN}<!DOCTYPE x>"), "restricted-xml"),
        (
            format!("{OPEN}<a>{}</a>", "x".repeat(20_000)),
            "policy-violation",
        ),
        (format!("{OPEN}{}", "<a>".repeat(100)), "policy-violation"),
    ] {
        let mut stranger = house.connects().await;
        stranger.send(&bytes).await;
        loop {
            let el = stranger.next().await;
            if el.is("error", ns::STREAM) {
                assert!(el.has(condition, ns::STREAM_ERRORS), "{condition}: {el:?}");
                break;
            }
        }
        assert!(stranger.fresh().await.is_none());
    }
    // The others are served on.
    house.arrives("alice", "desk").await.settles().await;
}

#[tokio::test]
async fn the_newer_session_takes_the_name() {
    let house = House::new().await;
    let mut old = house.arrives("alice", "desk").await;
    let mut new = house.arrives("alice", "desk").await;
    let error = old.expect(|el| el.is("error", ns::STREAM)).await;
    assert!(error.has("conflict", ns::STREAM_ERRORS));
    new.settles().await;
}

#[tokio::test]
async fn everybody_is_told_when_the_node_goes_down() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut stranger = house.connects().await;
    stranger.opens().await;
    let ((), _) = tokio::join!(
        async {
            for person in [&mut alice, &mut stranger] {
                let error = person.expect(|el| el.is("error", ns::STREAM)).await;
                assert!(error.has("system-shutdown", ns::STREAM_ERRORS));
            }
        },
        house.stop()
    );
}

#[tokio::test]
async fn a_session_that_nobody_resumes_ends() {
    let config = sammen_xmpp::Config {
        hibernation: std::time::Duration::from_millis(1),
        ..sammen_xmpp::Config::default()
    };
    let house = House::configured(config).await;
    let mut bob = house.arrives("bob", "home").await;
    bob.send("<presence to='alice@localhost' type='subscribed'/>")
        .await;
    bob.settles().await;
    let mut alice = house.signs_in("alice", "desk").await;
    alice
        .send("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>")
        .await;
    alice.send("<presence to='bob@localhost'/>").await;
    bob.expect(|el| el.get("from") == Some("alice@localhost/desk"))
        .await;
    drop(alice);
    let gone = |el: &Element| {
        el.get("from") == Some("alice@localhost/desk") && el.get("type") == Some("unavailable")
    };
    bob.expect(gone).await;
}
