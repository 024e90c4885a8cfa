//! Two nodes, each with its own domain and certificate, and people on both.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sammen_core::memory::MemoryStore;
use sammen_core::upkeep::Retention;
use sammen_core::{Clock, SystemClock};
use sammen_net::dial::{Dialer, Route, Trust};
use sammen_net::tls::{Source, Tls};
use sammen_net::{CancellationToken, ConnectionLimits, Listener, ListenerConfig, Security};
use sammen_xmpp::s2s::{self, Federation, Ways};
use sammen_xmpp::wire::{Element, StanzaError, ns};

use crate::people::{House, Person};

/// A domain that is reserved, with its certificate and its port for other servers.
struct Site {
    domain: &'static str,
    folder: tempfile::TempDir,
    tls: Tls,
    listener: Listener,
}

impl Site {
    /// `names`: what its certificate is for.
    fn new(domain: &'static str, names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::Own {
            folder: folder.path().to_owned(),
            names: names.iter().map(|n| (*n).to_owned()).collect(),
        };
        let now = u64::try_from(SystemClock.now().0).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now);
        let tls = Tls::new(source, now).unwrap();
        let config = ListenerConfig {
            name: "s2s",
            address: "127.0.0.1:0".parse().unwrap(),
            security: Security::StartTls(tls.acceptor(&[s2s::ALPN], true).unwrap()),
            handshake_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        };
        Self {
            domain,
            folder,
            tls,
            listener: Listener::bind(config, ConnectionLimits::new(1000, 1000)).unwrap(),
        }
    }

    fn honest(domain: &'static str) -> Self {
        Self::new(domain, &[domain, &format!("rooms.{domain}")])
    }
}

/// How one site sees another.
struct Sight {
    domain: &'static str,
    port: u16,
    authority: std::path::PathBuf,
}

fn sights(sites: &[&Site]) -> Vec<Sight> {
    let see = |site: &&Site| Sight {
        domain: site.domain,
        port: site.listener.local_addr().port(),
        authority: site.folder.path().join("ca.pem"),
    };
    sites.iter().map(see).collect()
}

/// A node on a site.
struct World {
    house: House,
    federation: Arc<Federation>,
    shutdown: CancellationToken,
    _folder: tempfile::TempDir,
}

async fn opens(site: Site, others: &[Sight], config: s2s::Config) -> World {
    let mut routes = HashMap::new();
    for other in others {
        for host in ["", "rooms."] {
            let route = Route {
                host: "127.0.0.1".into(),
                port: other.port,
                direct_tls: false,
            };
            routes.insert(format!("{host}{}", other.domain), route);
        }
    }
    let authorities: Vec<_> = others.iter().map(|o| o.authority.clone()).collect();
    let ways = Ways {
        dialer: Dialer::new(routes, None, Duration::from_secs(10)),
        tls: site.tls.client(s2s::ALPN).unwrap(),
        trust: Trust::new(&authorities, false).unwrap(),
    };
    let federation = Federation::new(config, ways);
    let store = Arc::new(MemoryStore::new());
    let house = House::of(
        site.domain,
        store,
        Default::default(),
        Some(federation.clone()),
    )
    .await;
    let shutdown = CancellationToken::new();
    let server = house.server.clone();
    let handler = move |connection| s2s::serve(server.clone(), connection);
    tokio::spawn(site.listener.serve(handler, shutdown.clone()));
    tokio::spawn(house.node.clone().keep_up(Retention::default()));
    World {
        house,
        federation,
        shutdown,
        _folder: site.folder,
    }
}

impl World {
    fn closes(&self) {
        self.federation.end();
        self.shutdown.cancel();
    }
}

fn quick() -> s2s::Config {
    s2s::Config {
        pause: (Duration::from_millis(50), Duration::from_millis(200)),
        ..s2s::Config::default()
    }
}

/// Two honest nodes: one.test and two.test.
async fn two() -> (World, World) {
    let (one, two) = (Site::honest("one.test"), Site::honest("two.test"));
    let all = sights(&[&one, &two]);
    let first = opens(one, &all[1..], quick()).await;
    let second = opens(two, &all[..1], quick()).await;
    (first, second)
}

fn error_of(el: &Element) -> &'static str {
    StanzaError::of_stanza(el).unwrap().condition.name()
}

/// Alice (one.test) asks, Bob (two.test) accepts and asks back.
async fn become_contacts(alice: &mut Person, bob: &mut Person) {
    for (asker, other, from, to) in [(&mut *alice, &mut *bob, "alice@one.test", "bob@two.test")] {
        asker
            .send(&format!("<presence to='{to}' type='subscribe'/>"))
            .await;
        other
            .expect(|el| el.get("type") == Some("subscribe") && el.get("from") == Some(from))
            .await;
        other
            .send(&format!("<presence to='{from}' type='subscribed'/>"))
            .await;
        asker
            .expect(|el| el.get("type") == Some("subscribed") && el.get("from") == Some(to))
            .await;
    }
    bob.send("<presence to='alice@one.test' type='subscribe'/>")
        .await;
    alice.expect(|el| el.get("type") == Some("subscribe")).await;
    alice
        .send("<presence to='bob@two.test' type='subscribed'/>")
        .await;
    bob.expect(|el| el.get("type") == Some("subscribed")).await;
}

async fn roster(person: &mut Person) {
    person
        .asks("get", "", "roster", "<query xmlns='jabber:iq:roster'/>")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_of_two_servers_become_contacts_and_talk() {
    let (one, two) = two().await;
    let mut alice = one.house.arrives("alice", "desk").await;
    let mut bob = two.house.arrives("bob", "phone").await;
    roster(&mut alice).await;
    roster(&mut bob).await;
    become_contacts(&mut alice, &mut bob).await;
    let there = alice
        .expect(|el| el.name() == "presence" && el.get("from") == Some("bob@two.test/phone"))
        .await;
    assert_eq!(there.get("type"), None);
    bob.expect(|el| el.get("from") == Some("alice@one.test/desk") && el.get("type").is_none())
        .await;
    alice.says("bob@two.test", "hi").await;
    let heard = bob.hears("hi").await;
    assert_eq!(heard.get("from"), Some("alice@one.test/desk"));
    assert_eq!(heard.get("id"), Some("m-hi"));
    let stamp = heard.find("stanza-id", ns::SID).unwrap();
    assert_eq!(
        stamp.get("by"),
        Some("bob@two.test"),
        "the archive is bob's server's"
    );
    bob.says("alice@one.test/desk", "hello").await;
    alice.hears("hello").await;
    alice
        .send("<message to='bob@two.test' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
        .await;
    bob.expect(|el| el.has("composing", ns::CHATSTATES)).await;
    let version = alice.asks(
        "get",
        "bob@two.test/phone",
        "v1",
        "<query xmlns='jabber:iq:version'/>",
    );
    let answers = async {
        let asked = bob.expect(|el| el.has("query", ns::VERSION)).await;
        let (id, from) = (asked.get("id").unwrap(), asked.get("from").unwrap());
        bob.send(&format!(
            "<iq type='result' id='{id}' to='{from}'><query xmlns='jabber:iq:version'><name>Bobs</name></query></iq>"
        ))
        .await;
    };
    let (version, ()) = tokio::join!(version, answers);
    assert_eq!(version.get("type"), Some("result"));
    let ping = alice
        .asks("get", "two.test", "p1", "<ping xmlns='urn:xmpp:ping'/>")
        .await;
    assert_eq!(
        (ping.get("type"), ping.get("from")),
        (Some("result"), Some("two.test"))
    );
    bob.send("<presence type='unavailable'/>").await;
    alice
        .expect(|el| {
            el.get("type") == Some("unavailable") && el.get("from") == Some("bob@two.test/phone")
        })
        .await;
    // Who comes again is shown what is there.
    bob.send("<presence/>").await;
    bob.expect(|el| el.get("from") == Some("alice@one.test/desk"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_server_comes_back() {
    let (one, two) = two().await;
    let mut alice = one.house.arrives("alice", "desk").await;
    alice.says("bob@nowhere.test", "hi").await;
    let back = alice.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(
        (back.get("id"), error_of(&back)),
        (Some("m-hi"), "remote-server-not-found")
    );
    let ping = alice
        .asks("get", "nowhere.test", "p1", "<ping xmlns='urn:xmpp:ping'/>")
        .await;
    assert_eq!(error_of(&ping), "remote-server-not-found");
    // A server that is there, and a person who is not.
    alice.says("nobody@two.test", "psst").await;
    let back = alice.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(
        (back.get("id"), error_of(&back)),
        (Some("m-psst"), "service-unavailable")
    );
    drop(two);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_for_a_server_that_is_down() {
    let (one, two) = (Site::honest("one.test"), Site::honest("two.test"));
    let all = sights(&[&one, &two]);
    let first = opens(one, &all[1..], quick()).await;
    let mut alice = first.house.arrives("alice", "desk").await;
    // Two listens (the socket is bound) and does not speak yet: the first tries come to nothing.
    for n in 0..5 {
        alice.says("bob@two.test", &format!("word {n}")).await;
    }
    alice.settles().await;
    let second = opens(two, &all[..1], quick()).await;
    let mut bob = second.house.arrives("bob", "phone").await;
    for n in 0..5 {
        bob.hears(&format!("word {n}")).await;
    }
    second.closes();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_another_server_is_in_our_room() {
    let (one, two) = two().await;
    let mut alice = one.house.arrives("alice", "desk").await;
    let mut bob = two.house.arrives("bob", "phone").await;
    let enter = |nick: &str| {
        format!(
            "<presence to='town@rooms.one.test/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        )
    };
    alice.send(&enter("alice")).await;
    alice
        .expect(|el| el.get("from") == Some("town@rooms.one.test/alice"))
        .await;
    let open = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>";
    alice.asks("set", "town@rooms.one.test", "own", open).await;
    bob.send(&enter("bob")).await;
    bob.expect(|el| el.name() == "presence" && el.get("from") == Some("town@rooms.one.test/alice"))
        .await;
    bob.expect(|el| el.name() == "presence" && el.get("from") == Some("town@rooms.one.test/bob"))
        .await;
    alice
        .expect(|el| el.get("from") == Some("town@rooms.one.test/bob"))
        .await;
    let say = |text: &str| {
        format!(
            "<message to='town@rooms.one.test' type='groupchat' id='g-{text}'><body>{text}</body></message>"
        )
    };
    bob.send(&say("hello")).await;
    alice.hears("hello").await;
    let own = bob.hears("hello").await;
    assert_eq!(own.get("from"), Some("town@rooms.one.test/bob"));
    assert_eq!(
        own.find("stanza-id", ns::SID).unwrap().get("by"),
        Some("town@rooms.one.test")
    );
    alice.send(&say("welcome")).await;
    bob.hears("welcome").await;
    let mam = "<query xmlns='urn:xmpp:mam:2' queryid='q'/>";
    let done = bob.asks("set", "town@rooms.one.test", "mam", mam).await;
    assert_eq!(done.get("type"), Some("result"));
    assert!(
        bob.takes(|el| el.has("result", ns::MAM)).len() >= 2,
        "the room's archive"
    );
    // His client goes: he is out, and no ghost stays.
    bob.send("<presence type='unavailable'/>").await;
    let gone = alice
        .expect(|el| el.get("from") == Some("town@rooms.one.test/bob") && el.get("type").is_some())
        .await;
    assert_eq!(gone.get("type"), Some("unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_a_wrong_certificate_is_refused_both_ways() {
    let one = Site::honest("one.test");
    let two = Site::new("two.test", &["other.test"]);
    let all = sights(&[&one, &two]);
    let first = opens(one, &all[1..], quick()).await;
    let second = opens(two, &all[..1], quick()).await;
    for (world, name, to) in [(&first, "alice", "two.test"), (&second, "bob", "one.test")] {
        let mut person = world.house.arrives(name, "desk").await;
        let ping = person
            .asks("get", to, "p1", "<ping xmlns='urn:xmpp:ping'/>")
            .await;
        assert_eq!(error_of(&ping), "remote-server-timeout", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dialback_lets_such_a_server_in_where_that_is_set() {
    let one = Site::honest("one.test");
    let two = Site::new("two.test", &["other.test"]);
    let all = sights(&[&one, &two]);
    let lax = || s2s::Config {
        dialback: true,
        ..quick()
    };
    let first = opens(one, &all[1..], lax()).await;
    let second = opens(two, &all[..1], lax()).await;
    for (world, name, to) in [(&first, "alice", "two.test"), (&second, "bob", "one.test")] {
        let mut person = world.house.arrives(name, "desk").await;
        let ping = person
            .asks("get", to, "p1", "<ping xmlns='urn:xmpp:ping'/>")
            .await;
        assert_eq!(ping.get("type"), Some("result"), "{name}: {ping:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_elsewhere_says_what_only_we_may() {
    let (one, two) = two().await;
    let mut alice = one.house.arrives("alice", "desk").await;
    let mut bob = two.house.arrives("bob", "phone").await;
    roster(&mut alice).await;
    roster(&mut bob).await;
    become_contacts(&mut alice, &mut bob).await;
    // As a room there would write to somebody in it: it is passed on as it is, but for that.
    bob.send(
        "<message to='alice@one.test/desk' type='chat' id='f'><body>hi</body><x xmlns='http://jabber.org/protocol/muc#user'/>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='alice@one.test' id='forged'/>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='room@three.test' id='theirs'/>\
         <delay xmlns='urn:xmpp:delay' from='one.test' stamp='2020-01-01T00:00:00Z'/></message>",
    )
    .await;
    let seen = alice.expect(|el| el.get("id") == Some("f")).await;
    let ids: Vec<_> = seen.all("stanza-id", ns::SID).collect();
    assert_eq!(ids.len(), 1, "{seen}");
    assert_eq!(ids[0].get("by"), Some("room@three.test"));
    assert!(!seen.has("delay", ns::DELAY), "{seen}");
}
