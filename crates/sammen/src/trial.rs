//! `sammen try`: a whole node on loopback without any configuration, with two accounts, a room and a card per client.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use sammen_core::document::Owner;
use sammen_core::ops::{accounts, contacts, rooms};
use sammen_core::principal::Origin;
use sammen_core::tx::Expect;
use sammen_core::{
    Address, Domain, Name, Outcome, Principal, Refusal, RoomName, Settings, Standing,
};
use sammen_net::accounts::CREDENTIALS;
use sammen_net::credentials::Credentials;
use sammen_net::password::random_app_password;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::card;
use crate::config::{Config, Listen, Log, Security};
use crate::federation::To;
use crate::protocols;
use crate::run::{self, Assembled, Running};
use crate::serve::{Signals, until_stopped};
use crate::{logging, print};

/// The room that is there from the start.
const ROOM: &str = "town";
/// Where the passwords stand, so that the next start has the same.
pub const FILE: &str = "try.json";
/// The people of a trial.
const PEOPLE: [&str; 2] = ["alice", "bob"];

/// How to try.
#[derive(Debug, Default)]
pub struct Trial {
    /// A folder to keep; otherwise one that goes with the process.
    pub data: Option<PathBuf>,
    /// The first of the ports, in the order c2s, direct TLS, IRC with TLS, IRC in clear, HTTP, metrics.
    pub ports: Option<u16>,
    /// Further accounts, `user1` and so on, with one password: for load.
    pub accounts: usize,
    /// One line of JSON instead of cards.
    pub json: bool,
    /// How much to log.
    pub level: Option<String>,
    /// The domain; `localhost` if not said.
    pub domain: Option<Domain>,
    /// Where other servers are: `domain=host:port`.
    pub routes: Vec<String>,
    /// Authorities of their certificates.
    pub trust: Vec<PathBuf>,
}

/// An account and its password.
#[derive(Clone, Serialize, Deserialize)]
pub struct Person {
    /// Its name.
    pub name: String,
    /// Its password, in clear: a trial's only.
    pub password: String,
}

/// What the next start on the same folder has to know.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    accounts: Vec<Person>,
    /// The one password of all accounts for load.
    crowd: Option<String>,
}

/// A folder that goes with the process.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn open(data: Option<PathBuf>) -> anyhow::Result<Self> {
        let temporary = data.is_none();
        let path = match data {
            Some(path) => path,
            None => std::env::temp_dir().join(format!("sammen-try-{:016x}", rand::random::<u64>())),
        };
        fs::DirBuilder::new()
            .recursive(!temporary)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        // Clients are given this path.
        let path = fs::canonicalize(&path)?;
        Ok(Self { path, temporary })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The configuration of a trial: loopback only, everything easy.
fn configuration(data: &Path, trial: &Trial) -> anyhow::Result<Config> {
    let domain = trial
        .domain
        .clone()
        .map_or_else(|| Domain::new("localhost"), Ok)?;
    let mut config = Config::new(domain);
    config.data = data.to_owned();
    let ports = trial.ports;
    let port = |n: u16| -> anyhow::Result<SocketAddr> {
        let port = match ports {
            None => 0,
            Some(base) => base.checked_add(n).context("there are no such ports")?,
        };
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    };
    // In clear as well, because nobody listens in on loopback; TLS and STARTTLS are there on the same port.
    config.xmpp.listen = vec![
        Listen::new(port(0)?, Security::Plain),
        Listen::new(port(1)?, Security::Tls),
    ];
    config.irc.listen = vec![
        Listen::new(port(2)?, Security::Tls),
        Listen::new(port(3)?, Security::Plain),
    ];
    config.irc.motd = "A trial on this computer. Everyone here is you.".into();
    config.http.listen = vec![Listen::new(port(4)?, Security::Tls)];
    config.metrics.listen = vec![port(5)?];
    // Other servers only where somebody says where they are.
    let s2s = &mut config.xmpp.s2s;
    s2s.listen = vec![Listen::new(port(6)?, Security::Starttls)];
    (s2s.dns, s2s.system_authorities) = (false, false);
    s2s.authorities.clone_from(&trial.trust);
    for route in &trial.routes {
        let (domain, to) = route
            .split_once('=')
            .context("a route is DOMAIN=HOST:PORT")?;
        let to = To::Starttls(to.to_owned());
        config.xmpp.routes.insert(Domain::new(domain)?, to);
    }
    crate::federation::verify(&config.xmpp)?;
    // Load generators come through here too.
    config.xmpp.stanzas_per_second = 0;
    config.irc.commands_per_second = 0;
    config.passwords.sha1_iterations = 4096;
    config.passwords.sha256_iterations = 4096;
    config.passwords.sha512_iterations = 4096;
    config.passwords.free_failures = 1000;
    config.passwords.free_failures_per_address = 100_000;
    config.limits.connections = 100_000;
    config.limits.connections_per_address = 100_000;
    config.limits.sessions_per_account = 1000;
    Ok(config)
}

/// Tries.
///
/// # Errors
/// When the node can't start.
pub async fn run(trial: Trial) -> anyhow::Result<ExitCode> {
    let log = Log {
        level: trial.level.clone().unwrap_or_else(|| "warn".into()),
        ..Log::default()
    };
    let _logs = logging::start(&log)?;
    let mut signals = Signals::listen()?;
    let folder = Folder::open(trial.data.clone())?;
    let config = configuration(&folder.path, &trial)?;
    let running = run::start(&config).await?;
    let kept = settle(&running.assembled, &folder.path, trial.accounts).await?;
    let told = line(&config, &running, &kept, trial.accounts)?;
    if trial.json {
        print::line(&told.to_string())?;
    } else {
        print::text(&card::cards(
            &config,
            &running,
            &kept.accounts,
            !folder.temporary,
        ))?;
    }
    let bell = Notify::new();
    let code = until_stopped(&running, &mut signals, &bell, || {
        running.reload(&config, &config);
    })
    .await;
    running.stop().await;
    drop(folder);
    Ok(code)
}

/// What scripts read.
fn line(config: &Config, running: &Running, kept: &Kept, crowd: usize) -> anyhow::Result<Value> {
    let addresses = &running.addresses;
    let at = |list: &[(Security, SocketAddr)], security: Security| {
        let found = list.iter().find(|(s, _)| *s == security);
        found.map(|(_, address)| address.to_string())
    };
    let mut people = kept.accounts.clone();
    if let Some(password) = &kept.crowd {
        people.extend((1..=crowd).map(|n| Person {
            name: format!("user{n}"),
            password: password.clone(),
        }));
    }
    let authority = running
        .tls
        .authority()
        .context("a trial has a certificate of its own")?;
    Ok(json!({
        "domain": config.domain.as_str(),
        "ca": authority,
        "room": ROOM,
        "accounts": people,
        "listeners": {
            "xmpp": {
                "c2s": at(&addresses.xmpp, Security::Plain),
                "direct_tls": at(&addresses.xmpp, Security::Tls),
                "s2s": at(&addresses.s2s, Security::Starttls),
            },
            "irc": { "tls": at(&addresses.irc, Security::Tls), "plain": at(&addresses.irc, Security::Plain) },
            "http": { "url": protocols::http_url(config, addresses) },
            "metrics": addresses.metrics.first().map(|address| format!("http://{address}")),
        },
    }))
}

/// Makes accounts, room and contacts unless they are there, with the passwords of the folder's file.
async fn settle(node: &Assembled, folder: &Path, crowd: usize) -> anyhow::Result<Kept> {
    let path = folder.join(FILE);
    let mut kept: Kept = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} can't be read", path.display()))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Kept::default(),
        Err(e) => return Err(e).with_context(|| path.display().to_string()),
    };
    let before = (kept.accounts.len(), kept.crowd.is_some());
    for name in PEOPLE {
        if !kept.accounts.iter().any(|p| p.name == name) {
            kept.accounts.push(Person {
                name: name.into(),
                password: easy_password(),
            });
        }
    }
    if crowd > 0 {
        kept.crowd.get_or_insert_with(easy_password);
    }
    if before != (kept.accounts.len(), kept.crowd.is_some()) {
        // First the file, then the accounts: a password that is nowhere is of no use.
        write_private(&path, &serde_json::to_vec_pretty(&kept)?)?;
    }
    let domain = node.node.domains().first().cloned();
    let domain = domain.context("the node has no domain")?;
    let (iterations, now) = (node.accounts.iterations(), node.accounts.now_ms());
    let mut people = Vec::new();
    for person in &kept.accounts {
        let made = Credentials::with_passphrase(
            &person.password.as_str().into(),
            iterations,
            now,
            &mut rand::rng(),
        )?;
        people.push((Name::new(&person.name)?, made));
    }
    if let Some(password) = kept.crowd.as_deref().filter(|_| crowd > 0) {
        // One passphrase, computed once: a thousand accounts in a moment.
        let made =
            Credentials::with_passphrase(&password.into(), iterations, now, &mut rand::rng())?;
        for n in 1..=crowd {
            people.push((Name::new(&format!("user{n}"))?, made.clone()));
        }
    }
    let pair = PEOPLE.map(|name| Name::new(name).map(|n| Address::account(&domain, &n)));
    let [Ok(alice), Ok(bob)] = pair else {
        bail!("alice and bob are names");
    };
    let room = Address::room(&domain, &RoomName::new(ROOM)?);
    node.node
        .write(move |tx| -> Outcome<()> {
            let mut new = false;
            for (name, credentials) in people {
                match accounts::create(tx, &domain, &name, true) {
                    Ok(account) => {
                        let owner = Owner::from(&account.address);
                        let value = Some(credentials.encode().into());
                        tx.put_document(&owner, CREDENTIALS, "main", Expect::Anything, value)?;
                        new |= PEOPLE.contains(&name.as_str());
                    }
                    Err(Refusal::Taken) => {}
                    Err(other) => return Err(other),
                }
            }
            if new {
                for (one, other) in [(&alice, &bob), (&bob, &alice)] {
                    contacts::ask(tx, one, other, Vec::new())?;
                    contacts::allow(tx, other, one)?;
                }
                make_room(tx, &room, &alice)?;
            }
            Ok(())
        })
        .await?;
    Ok(kept)
}

/// Open, listed, persistent, nobody in it; Alice owns it.
fn make_room(tx: &mut sammen_core::tx::Tx<'_>, room: &Address, owner: &Address) -> Outcome<()> {
    let settings = Settings {
        name: Some("Town".into()),
        listed: true,
        persistent: true,
        ..Settings::default()
    };
    let (node, origin) = (&Principal::Node, Origin::default());
    let made = match rooms::create(tx, node, room, settings, None, &origin) {
        Err(Refusal::Taken) => return Ok(()),
        made => made?,
    };
    rooms::set_standing(tx, node, made.id(), owner, Standing::Owner, None, &origin)?;
    Ok(())
}

/// Short enough to be typed: 49 bits are plenty where only this computer can guess.
fn easy_password() -> String {
    let long = random_app_password(&mut rand::rng());
    let groups: Vec<&str> = long.expose().split('-').take(2).collect();
    groups.join("-")
}

fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let unfinished = path.with_extension("new");
        let _ = fs::remove_file(&unfinished);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        // A name is durable once its folder is.
        path.parent()
            .map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
