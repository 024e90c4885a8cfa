//! The configuration: one TOML file. `docs/sammen.toml` is the same, with an explanation of each key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sammen_core::Domain;
use sammen_net::invitations::Inviters;
use serde::Deserialize;

use crate::federation::{self, S2s, To};
use crate::suggest;

mod calls;
mod components;
pub mod fetch;
mod matrix;

pub use calls::{CallServer, Calls};
pub use components::Components;
pub use fetch::Fetch;
pub use matrix::Matrix;

/// Where `serve` and the administration commands look when they are not told.
pub const DEFAULT_PATH: &str = "/etc/sammen/sammen.toml";

/// Everything an operator can set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The domain: `alice@DOMAIN`, `room@rooms.DOMAIN`.
    pub domain: Domain,
    /// The data folder.
    #[serde(default = "Config::default_data")]
    pub data: PathBuf,
    /// Logs.
    #[serde(default)]
    pub log: Log,
    /// Certificates.
    #[serde(default)]
    pub tls: TlsFiles,
    /// XMPP.
    #[serde(default)]
    pub xmpp: Xmpp,
    /// IRC.
    #[serde(default)]
    pub irc: Irc,
    /// Matrix.
    #[serde(default)]
    pub matrix: Matrix,
    /// Files, WebSockets, host-meta.
    #[serde(default)]
    pub http: Http,
    /// `/metrics` and `/health`.
    #[serde(default)]
    pub metrics: Metrics,
    /// How passwords are kept and guesses slowed down.
    #[serde(default)]
    pub passwords: Passwords,
    /// Who gets an account, and what accounts may do.
    #[serde(default)]
    pub accounts: Accounts,
    /// What apps use for calls.
    #[serde(default)]
    pub calls: Calls,
    /// What the node fetches on other people's word.
    #[serde(default)]
    pub fetch: Fetch,
    /// How long messages stay.
    #[serde(default)]
    pub retention: Retention,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
}

/// Logs: to the standard error stream, without what people write and without passwords.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`; parts can differ: `info,sammen_xmpp=debug`.
    pub level: String,
    /// For people or for programs.
    pub format: LogFormat,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line of text.
    Text,
    /// A JSON object.
    Json,
}

/// Where certificates come from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFiles {
    /// Files that someone else renews. None: the node makes its own at first start.
    pub certificates: Vec<CertificateFile>,
    /// Further names for the node's own certificate.
    pub names: Vec<String>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFile {
    /// PEM, the node's own certificate first.
    pub chain: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// How a listener is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// TLS from the first byte.
    Tls,
    /// XMPP only: clear text until STARTTLS; direct TLS is understood as well.
    Starttls,
    /// Clear text.
    Plain,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// How it is protected.
    pub security: Security,
    /// Clear text on an address that others can reach.
    #[serde(default)]
    pub plain_beyond_loopback: bool,
}

impl Listen {
    /// A listener.
    pub fn new(address: SocketAddr, security: Security) -> Self {
        Self {
            address,
            security,
            plain_beyond_loopback: false,
        }
    }
}

/// XMPP.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Xmpp {
    /// Listeners.
    pub listen: Vec<Listen>,
    /// How long a session outlives its connection, in seconds.
    pub resume_seconds: u32,
    /// Stanzas a second that a client may send for long; 0 is without limit. More waits and is not lost.
    pub stanzas_per_second: u32,
    /// Stanzas at once.
    pub stanzas_burst: u32,
    /// Whom people reach about abuse (XEP-0157), as URIs.
    pub abuse_addresses: Vec<String>,
    /// Whom people reach about the node.
    pub admin_addresses: Vec<String>,
    /// Other servers.
    pub s2s: S2s,
    /// Where domains are, instead of what DNS says.
    pub routes: std::collections::BTreeMap<Domain, To>,
    /// Programs that serve domains of their own (XEP-0114).
    pub components: Components,
}

/// IRC.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Irc {
    /// Listeners.
    pub listen: Vec<Listen>,
    /// The network's name, as clients show it.
    pub network: String,
    /// What everyone reads who comes in.
    pub motd: String,
    /// The address of the network's picture, for apps that show one.
    pub icon: Option<String>,
    /// Where apps upload files: none for this node itself, empty for nowhere, or another service's address.
    pub filehost: Option<String>,
    /// For so many days clients that came in clear remember to use TLS (IRCv3 sts); 0 tells them nothing.
    pub sts_days: u32,
    /// Milliseconds for which what is said in a busy room is gathered, four times as long in a flood; 0 for not at all.
    pub gather_ms: u64,
    /// Commands a second that a client may send for long; 0 is without limit. More waits and is not lost.
    pub commands_per_second: u32,
    /// Commands at once.
    pub commands_burst: u32,
}

/// HTTP.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Listeners.
    pub listen: Vec<Listen>,
    /// How the outside reaches it, where that differs from the domain and the first listener's port.
    pub url: Option<String>,
}

/// Measures.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Where; clear text without a password, so keep it among friends.
    pub listen: Vec<SocketAddr>,
    /// On an address that others can reach.
    pub beyond_loopback: bool,
}

/// Passwords.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Passwords {
    /// PBKDF2 iterations for SCRAM-SHA-1.
    pub sha1_iterations: u32,
    /// For SCRAM-SHA-256 and PLAIN.
    pub sha256_iterations: u32,
    /// For SCRAM-SHA-512.
    pub sha512_iterations: u32,
    /// Failed logins of one account that cost nothing.
    pub free_failures: u32,
    /// Failed logins from one address that cost nothing.
    pub free_failures_per_address: u32,
}

/// Accounts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Accounts {
    /// Whether anyone may make an account with their app.
    pub registration: bool,
    /// Who may invite people who have no account yet, with their app.
    pub invitations: Inviters,
    /// How many days invitations hold that are made in an app.
    pub invitation_days: u32,
    /// Whether people without an account may come in on IRC.
    pub guests: bool,
    /// Whether any account may make rooms; administrators always may.
    pub rooms_by_anyone: bool,
    /// Whether accounts of this node need a contact request among each other.
    pub requests_between_accounts: bool,
}

/// How long messages stay.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days; none keeps them. Rooms and accounts may say less.
    pub days: Option<u32>,
    /// Days that backups stay in their folder; see `sammen backup --keep`.
    pub backup_days: Option<u32>,
}

/// Limits.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once, over all listeners.
    pub connections: usize,
    /// Connections at once from one IPv4 address or IPv6 /64.
    pub connections_per_address: usize,
    /// Sessions of one account at once.
    pub sessions_per_account: usize,
    /// Rooms that one account may be in.
    pub rooms_per_account: usize,
    /// Members of a room.
    pub members_per_room: usize,
    /// Text of a message, in KiB.
    pub text_kib: usize,
    /// One uploaded file, in MiB.
    pub upload_mib: u64,
    /// All files of one account, in MiB.
    pub upload_quota_mib: u64,
    /// Seconds for a TLS handshake.
    pub handshake_seconds: u32,
}

fn any(port: u16, security: Security) -> Listen {
    let address = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
    Listen::new(address, security)
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Text,
        }
    }
}

impl Default for Xmpp {
    fn default() -> Self {
        Self {
            listen: vec![any(5222, Security::Starttls), any(5223, Security::Tls)],
            resume_seconds: 300,
            stanzas_per_second: 1000,
            stanzas_burst: 5000,
            abuse_addresses: Vec::new(),
            admin_addresses: Vec::new(),
            s2s: S2s::default(),
            components: Components::default(),
            routes: Default::default(),
        }
    }
}

impl Default for Irc {
    fn default() -> Self {
        Self {
            listen: vec![any(6697, Security::Tls)],
            network: "Sammen".into(),
            motd: String::new(),
            icon: None,
            filehost: None,
            gather_ms: 20,
            sts_days: 0,
            commands_per_second: 20,
            commands_burst: 200,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: vec![any(5443, Security::Tls)],
            url: None,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 9464))],
            beyond_loopback: false,
        }
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            sha1_iterations: 10_000,
            sha256_iterations: 10_000,
            sha512_iterations: 10_000,
            free_failures: 5,
            free_failures_per_address: 20,
        }
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            registration: false,
            invitations: Inviters::default(),
            invitation_days: 7,
            guests: false,
            rooms_by_anyone: true,
            requests_between_accounts: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let core = sammen_core::limits::Limits::default();
        Self {
            connections: 10_000,
            connections_per_address: 100,
            sessions_per_account: core.sessions,
            rooms_per_account: core.rooms_joined,
            members_per_room: core.members,
            text_kib: core.text_bytes >> 10,
            upload_mib: core.blob_bytes >> 20,
            upload_quota_mib: core.blob_quota >> 20,
            handshake_seconds: 20,
        }
    }
}

impl Config {
    fn default_data() -> PathBuf {
        "/var/lib/sammen".into()
    }

    /// A configuration for a domain with everything as it is unless somebody says otherwise.
    pub fn new(domain: Domain) -> Self {
        Self {
            domain,
            data: Self::default_data(),
            log: Log::default(),
            tls: TlsFiles::default(),
            xmpp: Xmpp::default(),
            irc: Irc::default(),
            matrix: Matrix::default(),
            http: Http::default(),
            metrics: Metrics::default(),
            passwords: Passwords::default(),
            accounts: Accounts::default(),
            calls: Calls::default(),
            fetch: Fetch::default(),
            retention: Retention::default(),
            limits: Limits::default(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or something in it is wrong: with line, and what was probably meant.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// When something in it is wrong.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text).map_err(|e| suggest::explain(&e, text))?;
        config.verify()?;
        Ok(config)
    }

    fn verify(&self) -> anyhow::Result<()> {
        let passwords = &self.passwords;
        for (key, count) in [
            ("sha1_iterations", passwords.sha1_iterations),
            ("sha256_iterations", passwords.sha256_iterations),
            ("sha512_iterations", passwords.sha512_iterations),
        ] {
            // RFC 5802 §5.1, RFC 7677 §4: at least 4096. More than a client puts up with is of no use.
            if !(4096..=10_000_000).contains(&count) {
                bail!("passwords.{key} is {count}: it must be from 4096 to 10000000");
            }
        }
        for (section, listen) in [("irc", &self.irc.listen), ("http", &self.http.listen)] {
            if listen.iter().any(|l| l.security == Security::Starttls) {
                bail!("{section}.listen: only XMPP knows \"starttls\"; use \"tls\" or \"plain\"");
            }
        }
        if self.irc.gather_ms > 20 {
            bail!(
                "irc.gather_ms is {}: 20 at most, or people notice",
                self.irc.gather_ms
            );
        }
        let filehost = self.irc.filehost.as_ref().filter(|f| !f.is_empty());
        for (key, url) in [("icon", self.irc.icon.as_ref()), ("filehost", filehost)] {
            let fits = |url: &str| {
                let plain = url.bytes().all(|b| b.is_ascii_graphic());
                url.starts_with("https://") && url.len() <= 200 && plain
            };
            if let Some(url) = url.filter(|url| !fits(url)) {
                bail!("irc.{key}: {url:?} is not an https address of at most 200 bytes");
            }
        }
        let everyone = [
            ("xmpp", &self.xmpp.listen),
            ("xmpp.s2s", &self.xmpp.s2s.listen),
            ("xmpp.components", &self.xmpp.components.listen),
            ("irc", &self.irc.listen),
            ("http", &self.http.listen),
        ];
        federation::verify(&self.xmpp)?;
        self.xmpp
            .components
            .verify(&self.domain, self.xmpp.s2s.enabled)?;
        for (section, listen) in everyone {
            for one in listen {
                if one.security == Security::Plain
                    && !one.plain_beyond_loopback
                    && !one.address.ip().to_canonical().is_loopback()
                {
                    bail!(
                        "{section}.listen: {} would carry passwords in clear text; use \"tls\", or say plain_beyond_loopback = true as well",
                        one.address
                    );
                }
            }
        }
        let is_open = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
        if let Some(address) = self.metrics.listen.iter().find(is_open)
            && !self.metrics.beyond_loopback
        {
            bail!(
                "metrics.listen: {address} can be read by others; say metrics.beyond_loopback = true as well"
            );
        }
        self.calls.verify()?;
        crate::logging::filter(&self.log.level)?;
        Ok(())
    }

    /// Keys that differ and that a running node can't take in.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let keys = [
            (self.domain == new.domain, "domain"),
            (self.data == new.data, "data"),
            (self.log.format == new.log.format, "log.format"),
            (self.xmpp.listen == new.xmpp.listen, "xmpp.listen"),
            (
                self.xmpp.s2s.enabled == new.xmpp.s2s.enabled,
                "xmpp.s2s.enabled",
            ),
            (
                self.xmpp.s2s.listen == new.xmpp.s2s.listen,
                "xmpp.s2s.listen",
            ),
            (
                self.xmpp.components.listen == new.xmpp.components.listen,
                "xmpp.components.listen",
            ),
            (self.irc.listen == new.irc.listen, "irc.listen"),
            (self.matrix == new.matrix, "matrix"),
            (self.http == new.http, "http"),
            (self.metrics == new.metrics, "metrics"),
            (
                self.limits.handshake_seconds == new.limits.handshake_seconds,
                "limits.handshake_seconds",
            ),
        ];
        let changed = keys.into_iter().filter(|(same, _)| !same);
        changed.map(|(_, key)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        format!("{:#}", Config::parse(text).unwrap_err())
    }

    #[test]
    fn a_domain_is_enough() {
        let config = Config::parse("domain = 'example.org'").unwrap();
        assert_eq!(config, Config::new(Domain::new("example.org").unwrap()));
        assert!(wrong("").contains("domain"));
    }

    #[test]
    fn an_unknown_key_is_an_error_with_line_and_suggestion() {
        let text = "domain = 'example.org'\n\n[limits]\nconections = 5\n";
        let error = wrong(text);
        assert!(error.contains("line 4"), "{error}");
        assert!(error.contains("did you mean `connections`?"), "{error}");
        let error = wrong("domain = 'a.b'\n[xmmp]\n");
        assert!(error.contains("did you mean `xmpp`?"), "{error}");
        // Nothing is near: what there is.
        let error = wrong("domain = 'a.b'\nzebra = 1\n");
        assert!(error.contains("expected one of"), "{error}");
    }

    #[test]
    fn clear_text_beyond_loopback_needs_a_second_word() {
        let listen = |more: &str| {
            format!(
                "domain = 'a.b'\n[irc]\nlisten = [{{ address = '0.0.0.0:6667', security = 'plain'{more} }}]"
            )
        };
        assert!(wrong(&listen("")).contains("clear text"));
        Config::parse(&listen(", plain_beyond_loopback = true")).unwrap();
        let loopback =
            "domain = 'a.b'\n[irc]\nlisten = [{ address = '127.0.0.1:6667', security = 'plain' }]";
        Config::parse(loopback).unwrap();
        let metrics = "domain = 'a.b'\n[metrics]\nlisten = ['0.0.0.0:9464']";
        assert!(wrong(metrics).contains("beyond_loopback"));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (text, says) in [
            ("domain = 'a b'", "not allowed"),
            ("domain = 'a.b'\n[passwords]\nsha1_iterations = 10", "4096"),
            ("domain = 'a.b'\n[log]\nlevel = 'loud'", "level"),
            (
                "domain = 'a.b'\n[irc]\nlisten = [{ address = '[::1]:6697', security = 'starttls' }]",
                "starttls",
            ),
            (
                "domain = 'a.b'\n[irc]\nlisten = [{ address = 'here', security = 'tls' }]",
                "line 3",
            ),
        ] {
            assert!(wrong(text).contains(says), "{text}: {}", wrong(text));
        }
    }
}
