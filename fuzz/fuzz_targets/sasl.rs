//! SASL: a whole exchange of hostile messages. Nobody gets in without the password, or a token.
//!
//! What begins with `<` is what a client says on its stream, in both profiles; all else is a mechanism's name and its
//! messages, a line each.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sammen_core::memory::MemoryStore;
use sammen_core::{Domain, Name, Node, Options};
use sammen_net::accounts::Accounts;
use sammen_net::credentials::{Credentials, Iterations};
use sammen_net::sasl::{Channel, Found, Lookup, Policy, Sasl, Step, TokenMechanism, TokenMessage, announcement};
use sammen_net::{Decoy, Secret, ThrottleConfig};
use sammen_xmpp::c2s::negotiation::{self, Carrier, Ground, Negotiation};
use sammen_xmpp::wire::{Limits, StreamParser};
use sammen_xmpp::{Config, Server};

/// No fuzzer finds this one.
const PASSPHRASE: &str = "correct horse battery staple, and then some more";
const OPEN: &[u8] = b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

static ALICE: LazyLock<Arc<Credentials>> = LazyLock::new(|| {
    let mut rng = StdRng::seed_from_u64(1);
    let made = Credentials::with_passphrase(&Secret::new(PASSPHRASE), Iterations::quick(), 0, &mut rng);
    Arc::new(made.expect("usable"))
});
static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| Arc::new(Policy::new("xmpp", Decoy::new(b"node", Iterations::quick()))));
static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));
static SERVER: LazyLock<Arc<Server>> = LazyLock::new(|| {
    RUNTIME.block_on(async {
        let domain = Domain::new("localhost").expect("a domain");
        let node = Node::start(Arc::new(MemoryStore::new()), Options::new(domain.clone())).expect("starts");
        let throttle = ThrottleConfig { free_per_account: u32::MAX, free_per_place: u32::MAX, ..ThrottleConfig::default() };
        let accounts = Accounts::open(node.clone(), Iterations::quick(), throttle).await.expect("opens");
        let alice = Name::new("alice").expect("a name");
        accounts.create(&domain, &alice, Secret::new(PASSPHRASE), true).await.expect("made");
        Server::new(node, Config::default(), accounts)
    })
});

fn channel() -> Channel {
    Channel { secure: true, exporter: Some([7; 32]), server_end_point: None, certificate: None }
}

fuzz_target!(|data: &[u8]| {
    if data.first() == Some(&b'<') {
        let server = SERVER.clone();
        RUNTIME.block_on(stream(server, data));
    } else {
        exchange(data);
    }
});

/// A stream on which nobody has signed in.
async fn stream(server: Arc<Server>, data: &[u8]) {
    let ground = Ground {
        carrier: Carrier::Tcp,
        address: [127, 0, 0, 1].into(),
        channel: channel(),
        can_start_tls: false,
        plain_allowed: false,
    };
    let mut stream = Negotiation::new(server, ground);
    let mut parser = StreamParser::new(Limits { stanza_bytes: 16 * 1024, elements: 256, ..Limits::default() });
    parser.feed(OPEN);
    parser.feed(data);
    while let Ok(Some(frame)) = parser.next_frame() {
        let step = stream.frame(frame).await;
        for piece in stream.take_output() {
            assert!(!piece.windows(9).any(|w| w == b"<success "), "signed in without the password");
        }
        match step {
            negotiation::Step::Go => {}
            negotiation::Step::End => return,
            _ => panic!("signed in without the password"),
        }
    }
}

/// The messages of one mechanism.
fn exchange(data: &[u8]) {
    let mut messages = data.split(|b| *b == b'\n');
    let Some(Ok(mechanism)) = messages.next().map(std::str::from_utf8) else { return };
    if let Some(mechanism) = TokenMechanism::parse(mechanism) {
        let binding = mechanism.binding(&channel()).unwrap_or_default().to_vec();
        if let Ok(message) = TokenMessage::parse(messages.next().unwrap_or_default()) {
            assert!(!message.name.is_empty());
            assert!(!message.proves(PASSPHRASE.as_bytes(), &binding), "proved a token without having it");
            assert!(message.answer(PASSPHRASE.as_bytes(), &binding).len() >= 32);
        }
        return;
    }
    let mut rng = StdRng::seed_from_u64(2);
    let announced = announcement(&POLICY.offers(&channel()), &channel().binding_types());
    let (mut sasl, mut step) =
        Sasl::announced(POLICY.clone(), channel(), mechanism, messages.next(), Some(announced), &mut rng);
    for _ in 0..16 {
        step = match step {
            Step::Challenge(_) => match messages.next() {
                Some(message) => sasl.respond(message),
                None => return,
            },
            Step::Lookup(_) => sasl.account(Lookup::Found(Found {
                account: "alice@example.org".into(),
                identities: vec!["alice".into(), "alice@example.org".into()],
                credentials: ALICE.clone(),
                disabled: false,
            })),
            // The check itself is PBKDF2, which is not ours to fuzz.
            Step::Check(_) | Step::Failure(_) => return,
            Step::Success(_) => panic!("signed in without the password"),
        };
    }
}
