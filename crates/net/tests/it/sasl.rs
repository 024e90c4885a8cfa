//! Alice signs in, and others try to.

use std::{num::NonZeroUsize, sync::Arc};

use rand::{Rng, SeedableRng, rngs::StdRng};
use sammen_net::{
    Decoy, Hash, Secret,
    credentials::{Credentials, Iterations, Kind, PasswordId, Scopes},
    sasl::{
        Answer, Channel, Failure, Found, Login, Lookup, MAX_MESSAGE, Mechanism, PasswordChecker,
        Policy, Sasl, Step, Success, Wanted,
    },
};

use crate::client::{Binding, Scram};

struct Node {
    policy: Arc<Policy>,
    channel: Channel,
    alice: Credentials,
    disabled: bool,
    checker: PasswordChecker,
}

const PHRASE: &str = "correct horse ø";
const FINGERPRINT: [u8; 32] = [9; 32];

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

/// A node with Alice, and her app passwords for everything and for IRC only.
fn node() -> (Node, Secret, Secret) {
    let mut rng = rng();
    let mut alice =
        Credentials::with_passphrase(&PHRASE.into(), Iterations::quick(), 1, &mut rng).unwrap();
    let (_, phone) = alice
        .add_app_password("phone", Scopes::everywhere(), 2, &mut rng)
        .unwrap();
    let (_, irc) = alice
        .add_app_password("weechat", Scopes::only(["irc"]), 3, &mut rng)
        .unwrap();
    alice
        .add_certificate("laptop", FINGERPRINT, Scopes::everywhere(), 4, &mut rng)
        .unwrap();
    let channel = Channel {
        secure: true,
        exporter: Some([5; 32]),
        server_end_point: Some(vec![6; 32]),
        certificate: Some(FINGERPRINT),
    };
    let policy = Arc::new(Policy::new(
        "xmpp",
        Decoy::new(b"node secret", Iterations::quick()),
    ));
    let two = NonZeroUsize::new(2).unwrap();
    let checker = PasswordChecker::new([0; 32], two, two, 10);
    (
        Node {
            policy,
            channel,
            alice,
            disabled: false,
            checker,
        },
        phone,
        irc,
    )
}

impl Node {
    fn lookup(&self, name: &str) -> Lookup {
        let canonical = name
            .to_lowercase()
            .trim_end_matches("@example.org")
            .to_owned();
        if canonical != "alice" {
            return Lookup::Nobody { canonical };
        }
        Lookup::Found(Found {
            account: "alice".into(),
            identities: vec!["alice".into(), "alice@example.org".into()],
            credentials: Arc::new(self.alice.clone()),
            disabled: self.disabled,
        })
    }

    /// Runs an exchange; `answer` is the client.
    async fn run(
        &self,
        mechanism: &str,
        initial: Option<&[u8]>,
        mut answer: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<Success, Failure> {
        let (mut sasl, mut step) = Sasl::start(
            Arc::clone(&self.policy),
            self.channel.clone(),
            mechanism,
            initial,
            &mut rng(),
        );
        for _ in 0..10 {
            step = match step {
                Step::Challenge(challenge) => sasl.respond(&answer(&challenge)),
                Step::Lookup(Wanted::Name(name)) => sasl.account(self.lookup(&name)),
                Step::Lookup(Wanted::Certificate {
                    fingerprint,
                    authzid,
                }) => {
                    assert_eq!(Some(fingerprint), self.channel.certificate);
                    sasl.account(self.lookup(authzid.as_deref().unwrap_or("alice")))
                }
                Step::Check(check) => sasl.checked(self.checker.check(check).await),
                Step::Success(success) => return Ok(*success),
                Step::Failure(failure) => {
                    assert_eq!(
                        failed(sasl.respond(b"again")),
                        Failure::OutOfTurn,
                        "over is over"
                    );
                    return Err(failure);
                }
            };
        }
        panic!("an exchange without end")
    }

    async fn scram(
        &self,
        mechanism: &str,
        name: &str,
        password: &str,
        binding: Binding,
        authzid: Option<&str>,
    ) -> Result<Success, Failure> {
        let Some(Mechanism::Scram { hash, .. }) = Mechanism::parse(mechanism) else {
            panic!("{mechanism}")
        };
        let mut client = Scram::new(hash, name, password, binding, authzid);
        let first = client.first();
        let success = self
            .run(mechanism, Some(&first), |challenge| client.last(challenge))
            .await?;
        assert!(
            client.trusts(success.data.as_deref().unwrap()),
            "the server proves that it knows the password"
        );
        Ok(success)
    }

    async fn plain(&self, authzid: &str, name: &str, password: &str) -> Result<Success, Failure> {
        let message = format!("{authzid}\0{name}\0{password}");
        self.run("PLAIN", Some(message.as_bytes()), |_| unreachable!())
            .await
    }
}

fn failed(step: Step) -> Failure {
    match step {
        Step::Failure(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn alice_signs_in_with_every_mechanism_and_each_of_her_passwords() {
    let (node, phone, _) = node();
    for mechanism in node.policy.offers(&node.channel) {
        for (password, kind) in [(PHRASE, "passphrase"), (phone.expose(), "phone")] {
            let success = match mechanism {
                Mechanism::External => continue,
                Mechanism::Plain => node.plain("", "alice", password).await.unwrap(),
                Mechanism::Scram { plus, .. } => {
                    let binding = if plus {
                        Binding::To("tls-exporter", vec![5; 32])
                    } else {
                        Binding::No
                    };
                    node.scram(mechanism.name(), "alice", password, binding, None)
                        .await
                        .unwrap()
                }
            };
            assert_eq!(&*success.account, "alice");
            assert_eq!(success.mechanism, mechanism);
            assert_eq!(success.stamp, node.alice.stamp());
            assert_eq!(success.login.may_change_credentials(), kind == "passphrase");
            match success.login {
                Login::Password(PasswordId::PASSPHRASE, Kind::Passphrase) => {
                    assert_eq!(kind, "passphrase")
                }
                Login::Password(_, Kind::App { name, .. }) => assert_eq!(name, kind),
                other => panic!("{other:?}"),
            }
        }
    }
    let end_point = Binding::To("tls-server-end-point", vec![6; 32]);
    node.scram("SCRAM-SHA-1-PLUS", "alice", PHRASE, end_point, None)
        .await
        .unwrap();
    let external = node
        .run("EXTERNAL", Some(b""), |_| unreachable!())
        .await
        .unwrap();
    assert!(matches!(&external.login, Login::Certificate(shown) if shown.name == "laptop"));
    assert!(!external.login.may_change_credentials());
}

#[tokio::test]
async fn a_client_without_initial_response_is_asked_for_it() {
    let (node, ..) = node();
    let success = node.run("PLAIN", None, |challenge| {
        assert!(challenge.is_empty());
        format!("\0alice\0{PHRASE}").into_bytes()
    });
    assert!(success.await.is_ok());
}

#[tokio::test]
async fn mallory_does_not_get_in() {
    let (mut node, phone, irc) = node();
    let no = Binding::No;
    for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let wrong = node
            .scram(mechanism, "alice", "correct horse", no.clone(), None)
            .await
            .unwrap_err();
        let nobody = node
            .scram(mechanism, "mallory", PHRASE, no.clone(), None)
            .await
            .unwrap_err();
        assert_eq!(
            (wrong, nobody),
            (Failure::WrongPassword, Failure::NoSuchAccount)
        );
        assert_eq!(wrong.answer(), nobody.answer(), "the public answer is one");
        assert!(wrong.is_a_guess() && nobody.is_a_guess());
    }
    assert_eq!(
        node.plain("", "alice", "wrong phrase").await.unwrap_err(),
        Failure::WrongPassword
    );
    assert_eq!(
        node.plain("", "mallory", PHRASE).await.unwrap_err(),
        Failure::NoSuchAccount
    );
    // An app password for IRC does not open XMPP.
    assert_eq!(
        node.plain("", "alice", irc.expose()).await.unwrap_err(),
        Failure::OutOfScope
    );
    let scoped = node
        .scram("SCRAM-SHA-256", "alice", irc.expose(), no.clone(), None)
        .await;
    assert_eq!(scoped.unwrap_err(), Failure::OutOfScope);
    // Nobody acts as another; one's own address is fine in any form.
    assert_eq!(
        node.plain("bob", "alice", PHRASE).await.unwrap_err(),
        Failure::OtherIdentity
    );
    let other = node
        .scram(
            "SCRAM-SHA-1",
            "alice",
            PHRASE,
            no.clone(),
            Some("bob@example.org"),
        )
        .await;
    assert_eq!(other.unwrap_err(), Failure::OtherIdentity);
    assert!(
        node.plain("alice@example.org", "alice", PHRASE)
            .await
            .is_ok()
    );
    assert!(
        node.scram(
            "SCRAM-SHA-1",
            "alice",
            PHRASE,
            no.clone(),
            Some("Alice@Example.org")
        )
        .await
        .is_ok()
    );
    // Who guesses wrongly does not learn that the identity would have been refused, or that the account is disabled.
    node.disabled = true;
    assert_eq!(
        node.plain("bob", "alice", "wrong phrase")
            .await
            .unwrap_err(),
        Failure::WrongPassword
    );
    assert_eq!(
        node.plain("", "alice", PHRASE).await.unwrap_err(),
        Failure::Disabled
    );
    node.disabled = false;
    // A certificate that is not hers.
    node.channel.certificate = Some([1; 32]);
    assert_eq!(
        node.run("EXTERNAL", Some(b"alice"), |_| vec![])
            .await
            .unwrap_err(),
        Failure::UnknownCertificate
    );
    // A revoked app password.
    let id = node.alice.matching_password(&phone).unwrap();
    assert!(node.plain("", "alice", phone.expose()).await.is_ok());
    node.alice.remove_password(id, &mut rng());
    assert_eq!(
        node.plain("", "alice", phone.expose()).await.unwrap_err(),
        Failure::WrongPassword
    );
}

#[tokio::test]
async fn somebody_in_between_is_noticed() {
    let (node, ..) = node();
    let exporter = |byte| Binding::To("tls-exporter", vec![byte; 32]);
    let login =
        |mechanism: &'static str, binding| node.scram(mechanism, "alice", PHRASE, binding, None);
    // Bound to another TLS connection.
    assert_eq!(
        login("SCRAM-SHA-256-PLUS", exporter(4)).await.unwrap_err(),
        Failure::BindingMismatch
    );
    // Somebody took -PLUS off the list.
    let cannot = Binding::ThinksServerCannot;
    assert_eq!(
        login("SCRAM-SHA-256", cannot.clone()).await.unwrap_err(),
        Failure::BindingDowngrade
    );
    // Flags that do not fit the mechanism, and a type that we do not have.
    assert_eq!(
        login("SCRAM-SHA-256", exporter(5)).await.unwrap_err(),
        Failure::BindingDowngrade
    );
    assert_eq!(
        login("SCRAM-SHA-256-PLUS", Binding::No).await.unwrap_err(),
        Failure::BindingDowngrade
    );
    let unique = Binding::To("tls-unique", vec![5; 12]);
    assert_eq!(
        login("SCRAM-SHA-256-PLUS", unique).await.unwrap_err(),
        Failure::BindingType
    );
    // Where nothing can be bound, `y` is the truth and -PLUS is not on offer.
    let (mut bare, ..) = self::node();
    bare.channel = Channel {
        secure: true,
        ..Channel::default()
    };
    assert!(
        bare.scram("SCRAM-SHA-256", "alice", PHRASE, cannot, None)
            .await
            .is_ok()
    );
    let plus = bare
        .scram("SCRAM-SHA-256-PLUS", "alice", PHRASE, exporter(5), None)
        .await;
    assert_eq!(plus.unwrap_err(), Failure::NoSuchMechanism);
}

#[tokio::test]
async fn nothing_is_offered_without_tls_unless_it_was_asked_for() {
    let (mut node, ..) = node();
    node.channel = Channel::default();
    assert!(node.policy.offers(&node.channel).is_empty());
    assert_eq!(
        node.plain("", "alice", PHRASE).await.unwrap_err().answer(),
        Answer::InvalidMechanism
    );
    Arc::make_mut(&mut node.policy).without_tls = true;
    let names: Vec<_> = node
        .policy
        .offers(&node.channel)
        .iter()
        .map(|m| m.name())
        .collect();
    assert_eq!(
        names,
        ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]
    );
    assert!(node.plain("", "alice", PHRASE).await.is_ok());
}

#[tokio::test]
async fn names_cannot_be_probed_by_their_salts() {
    let (node, ..) = node();
    let salt = |name: &str| {
        let first = Scram::new(Hash::Sha256, name, PHRASE, Binding::No, None).first();
        let (mut sasl, step) = Sasl::start(
            Arc::clone(&node.policy),
            node.channel.clone(),
            "SCRAM-SHA-256",
            Some(&first),
            &mut StdRng::seed_from_u64(name.len() as u64),
        );
        let Step::Lookup(Wanted::Name(asked)) = step else {
            panic!("{step:?}")
        };
        assert_eq!(sasl.username(), Some(name));
        match sasl.account(node.lookup(&asked)) {
            Step::Challenge(challenge) => Scram::params(&challenge),
            other => panic!("{other:?}"),
        }
    };
    for name in ["alice", "mallory"] {
        let shown = salt(name);
        assert_eq!(shown, salt(name), "the same at every try");
        assert_eq!(shown, salt(&name.to_uppercase()), "and in every spelling");
        assert_eq!(shown, salt(&format!("{name}@example.org")));
        assert_eq!((shown.0.len(), shown.1), (24, 4096));
    }
    assert_ne!(salt("mallory").0, salt("mallorz").0);
}

#[tokio::test]
async fn any_password_of_letters_goes_through_scram_and_plain() {
    let mut random = rng();
    let (mut node, ..) = node();
    let letters: Vec<char> = "abc,=\"\\ %äßöñ中文ключ\u{a0}".chars().collect();
    for round in 0..12 {
        let length = random.random_range(8..40);
        let password: String = (0..length)
            .map(|_| letters[random.random_range(0..letters.len())])
            .collect();
        let password = format!("x{password}12345678");
        node.alice
            .set_passphrase(
                &password.as_str().into(),
                Iterations::quick(),
                round,
                &mut random,
            )
            .unwrap();
        let hash = Hash::ALL[round as usize % 3];
        let mechanism = Mechanism::Scram { hash, plus: false }.name();
        node.scram(mechanism, "alice", &password, Binding::No, None)
            .await
            .unwrap();
        node.plain("", "alice", &password).await.unwrap();
    }
}

#[tokio::test]
async fn hostile_messages_are_refused_without_a_panic() {
    let (node, ..) = node();
    let mut random = rng();
    let too_long = vec![b'n'; MAX_MESSAGE + 1];
    let long = node
        .run("SCRAM-SHA-1", Some(&too_long), |_| unreachable!())
        .await
        .unwrap_err();
    assert_eq!(long.answer(), Answer::TooLong);
    let unknown = node
        .run("X-UNKNOWN", Some(b"x"), |_| unreachable!())
        .await
        .unwrap_err();
    assert_eq!(unknown, Failure::NoSuchMechanism);
    for round in 0..600 {
        let mut client = Scram::new(Hash::Sha1, "alice", "wrong phrase", Binding::No, None);
        let mut spoil = |mut message: Vec<u8>| {
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..message.len());
                match random.random_range(0..4) {
                    0 => message[at] = random.random(),
                    1 => message.truncate(at.max(1)),
                    2 => message.insert(
                        at,
                        *b",=\0np\xff"[..].get(random.random_range(0..6)).unwrap(),
                    ),
                    _ => message.extend_from_within(at..),
                }
            }
            message
        };
        let first = if round % 2 == 0 {
            spoil(client.first())
        } else {
            client.first()
        };
        let result = node.run("SCRAM-SHA-1", Some(&first), |challenge| {
            if challenge.starts_with(b"r=client+nonce/0123456789") {
                spoil(client.last(challenge))
            } else {
                b"c".to_vec()
            }
        });
        assert!(result.await.is_err());
        let junk: Vec<u8> = (0..random.random_range(0..60))
            .map(|_| random.random())
            .collect();
        assert!(
            node.run(
                "EXTERNAL",
                Some(&[b"x\0", junk.as_slice()].concat()),
                |_| vec![]
            )
            .await
            .is_err()
        );
    }
}

#[tokio::test]
async fn steps_out_of_turn_end_the_exchange() {
    let (node, ..) = node();
    let start = |mechanism, message: &[u8]| {
        Sasl::start(
            Arc::clone(&node.policy),
            node.channel.clone(),
            mechanism,
            Some(message),
            &mut rng(),
        )
        .0
    };
    let mut sasl = start("PLAIN", b"\0alice\0secret12");
    assert_eq!(failed(sasl.respond(b"impatient")), Failure::OutOfTurn);
    let mut sasl = start("SCRAM-SHA-1", b"n,,n=alice,r=x");
    assert_eq!(
        failed(sasl.checked(sammen_net::sasl::Checked::Matches(PasswordId::PASSPHRASE))),
        Failure::OutOfTurn
    );
    let mut sasl = start("SCRAM-SHA-1", b"n,,n=alice,r=x");
    assert_eq!(
        failed(sasl.stop(Failure::Throttled)).answer(),
        Answer::TemporaryFailure
    );
    assert_eq!(
        failed(sasl.account(node.lookup("alice"))),
        Failure::OutOfTurn
    );
}
