//! SASL: a whole exchange of hostile messages. Nobody gets in without the password.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sammen_net::credentials::{Credentials, Iterations};
use sammen_net::sasl::{Channel, Found, Lookup, Policy, Sasl, Step};
use sammen_net::{Decoy, Secret};

/// No fuzzer finds this one.
const PASSPHRASE: &str = "correct horse battery staple, and then some more";

static ALICE: LazyLock<Arc<Credentials>> = LazyLock::new(|| {
    let mut rng = StdRng::seed_from_u64(1);
    let made = Credentials::with_passphrase(&Secret::new(PASSPHRASE), Iterations::quick(), 0, &mut rng);
    Arc::new(made.expect("usable"))
});
static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| Arc::new(Policy::new("xmpp", Decoy::new(b"node", Iterations::quick()))));

fuzz_target!(|data: &[u8]| {
    let mut messages = data.split(|b| *b == b'\n');
    let Some(Ok(mechanism)) = messages.next().map(std::str::from_utf8) else { return };
    let channel = Channel { secure: true, exporter: Some([7; 32]), server_end_point: None, certificate: None };
    let mut rng = StdRng::seed_from_u64(2);
    let (mut sasl, mut step) = Sasl::start(POLICY.clone(), channel, mechanism, messages.next(), &mut rng);
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
});
