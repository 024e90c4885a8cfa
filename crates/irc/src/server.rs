//! One node's IRC side: what all its connections share.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use parking_lot::{Mutex, RwLock};
use sammen_core::live::Show;
use sammen_core::{Address, Domain, Node, SessionId, Timestamp};
use sammen_net::accounts::Accounts;
use sammen_net::sasl::Policy;

use crate::commands::metadata;
use crate::config::Config;
use crate::modes;
use crate::names::Names;
use crate::wire::caps::{Cap, CapSet, CapValues};
use crate::wire::isupport::Isupport;

/// Leavings that WHOWAS remembers.
const WHOWAS: usize = 1000;

/// The IRC side of a node.
pub struct Server {
    /// The node.
    pub node: Node,
    /// Settings; an operator's REHASH and SIGHUP replace them.
    config: RwLock<Arc<Config>>,
    /// How people and rooms are called.
    pub names: Names,
    /// Who may sign in, and with what.
    pub accounts: Arc<Accounts>,
    /// What is accepted with TLS, and without where a listener allows it.
    pub(crate) policy: Arc<Policy>,
    pub(crate) policy_plain: Arc<Policy>,
    /// The server's name in lines.
    pub name: String,
    /// Since when it runs.
    pub(crate) started: Timestamp,
    /// Which sessions monitor whom.
    pub(crate) watchers: RwLock<HashMap<Address, Vec<SessionId>>>,
    whowas: Mutex<VecDeque<Gone>>,
    /// Connections that have not signed in: one for each clone but the first.
    pub(crate) strangers: Arc<()>,
    /// Most people at once, since the start.
    pub(crate) most: AtomicUsize,
    /// Reads the configuration anew (REHASH), if the binary gave a way to.
    pub(crate) rehash: RwLock<Option<Rehash>>,
}

/// A way to read the configuration anew; what it returns is in force from then on.
pub type Rehash = Box<dyn Fn() -> Option<Config> + Send + Sync>;

/// Someone whose last session ended.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    pub who: Address,
    pub realname: String,
    pub at: Timestamp,
}

impl Server {
    /// The IRC side of `node`; `None` for a node without a domain.
    pub fn new(node: Node, config: Config, accounts: Arc<Accounts>) -> Option<Arc<Self>> {
        let names = Names::new(node.domains())?;
        let mut policy = accounts.policy("irc");
        let with_tls = Arc::new(policy.clone());
        policy.without_tls = true;
        let name = match config.name.as_str() {
            "" => names.domain().to_string(),
            name => name.to_owned(),
        };
        // Clients take a source without a dot for a nick.
        let name = if name.contains('.') {
            name
        } else {
            format!("irc.{name}")
        };
        Some(Arc::new(Self {
            started: node.now(),
            node,
            config: RwLock::new(Arc::new(config)),
            names,
            accounts,
            policy: with_tls,
            policy_plain: Arc::new(policy),
            name,
            watchers: RwLock::default(),
            whowas: Mutex::default(),
            strangers: Arc::new(()),
            most: AtomicUsize::new(0),
            rehash: RwLock::new(None),
        }))
    }

    /// The main domain.
    pub fn domain(&self) -> &Domain {
        self.names.domain()
    }

    /// The settings now.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().clone()
    }

    /// Takes in other settings. Sessions tell their clients at the next look at their timers, within seconds.
    pub fn reconfigure(&self, config: Config) {
        *self.config.write() = Arc::new(config);
    }

    /// Sets how REHASH reads the configuration.
    pub fn on_rehash(&self, read: Rehash) {
        *self.rehash.write() = Some(read);
    }

    /// What CAP LS offers on a connection, with values.
    pub(crate) fn caps(
        &self,
        config: &Config,
        mechanisms: &str,
        secure: bool,
    ) -> (CapSet, CapValues) {
        let mut caps: CapSet = Cap::ALL.iter().copied().collect();
        let mut values = CapValues::new();
        if mechanisms.is_empty() {
            caps.remove(Cap::Sasl);
        } else {
            values.set(Cap::Sasl, mechanisms);
        }
        if !config.registration {
            caps.remove(Cap::AccountRegistration);
        } else {
            values.set(Cap::AccountRegistration, "before-connect");
        }
        match config.sts_port {
            Some(port) => values.sts((!secure).then_some(port), config.sts_duration),
            None => {
                caps.remove(Cap::Sts);
                &mut values
            }
        };
        values.multiline(config.multiline_bytes, config.multiline_lines);
        values.set(
            Cap::Metadata2,
            format!(
                "before-connect,max-subs={},max-keys={},max-value-bytes={}",
                metadata::MAX_SUBS,
                metadata::MAX_KEYS,
                metadata::MAX_VALUE
            ),
        );
        (caps, values)
    }

    /// What 005 tells.
    pub(crate) fn isupport(&self, config: &Config) -> Isupport {
        let table = &modes::CHANNEL;
        let mut out = Isupport::new();
        out.set("NETWORK", &config.network)
            .set("CASEMAPPING", "ascii")
            .set("CHANTYPES", "#")
            .set("PREFIX", table.prefix())
            .set("STATUSMSG", "~&@")
            .set("CHANMODES", table.chanmodes())
            .set("CHANNELLEN", crate::names::CHANNEL_BYTES)
            .set("NICKLEN", crate::names::NICK_BYTES)
            .set("USERLEN", 64)
            .set("HOSTLEN", 253)
            .set("TOPICLEN", 390)
            .set("KICKLEN", 300)
            .set("AWAYLEN", 300)
            .set("NAMELEN", 128)
            .set("KEYLEN", 64)
            .set("MODES", modes::PER_LINE)
            .set("MAXLIST", "beI:256")
            .set("EXCEPTS", "e")
            .set("INVEX", "I")
            .set("EXTBAN", crate::wire::casemap::Ban::EXTBAN)
            .set("ACCOUNTEXTBAN", crate::wire::casemap::Ban::ACCOUNTEXTBAN)
            .set("ELIST", "CMNTU")
            .flag("SAFELIST")
            .flag("WHOX")
            .flag("UTF8ONLY")
            .set("BOT", "B")
            .set("MONITOR", config.monitor)
            .set("SILENCE", 256)
            .set("CHATHISTORY", config.history)
            .set("MSGREFTYPES", "msgid,timestamp")
            .set(
                "TARGMAX",
                format!(
                    "PRIVMSG:{0},NOTICE:{0},TAGMSG:{0},JOIN:,PART:,KICK:4,NAMES:1,WHOIS:1,MONITOR:,USERHOST:5,ISON:",
                    config.targets
                ),
            )
            .set("CHANLIMIT", format!("#:{}", self.node.limits().rooms_joined));
        if let Some(filehost) = &config.filehost {
            out.set("soju.im/FILEHOST", filehost);
            out.set("draft/FILEHOST", filehost);
        }
        if let Some(icon) = &config.icon {
            out.set("draft/ICON", icon);
        }
        out
    }

    /// Remembers who left for WHOWAS.
    pub(crate) fn note_gone(&self, who: Address, realname: String) {
        let mut list = self.whowas.lock();
        if list.len() >= WHOWAS {
            list.pop_back();
        }
        let at = self.node.now();
        list.push_front(Gone { who, realname, at });
    }

    /// The latest leavings of an address.
    pub(crate) fn whowas(&self, who: &Address, most: usize) -> Vec<Gone> {
        let list = self.whowas.lock();
        list.iter()
            .filter(|g| g.who == *who)
            .take(most)
            .cloned()
            .collect()
    }

    /// The name that people read, for the real name field.
    pub(crate) fn realname(&self, who: &Address) -> String {
        let account = self.node.account(who).ok().flatten();
        account
            .and_then(|a| a.display_name.clone())
            .unwrap_or_else(|| self.names.nick(who))
    }

    /// Whether an account is here now: `None` for not at all, `Some(None)` for here, `Some(Some(text))` for away.
    pub(crate) fn presence(&self, who: &Address) -> Option<Option<String>> {
        self.node.live(|live| {
            let mut away = None;
            for session in live.sessions_of(who) {
                match session.presence() {
                    Some(p) if p.show > Show::Away => return Some(None),
                    Some(p) if p.show > Show::Offline => {
                        away = Some(p.status.clone().unwrap_or_else(|| "away".into()));
                    }
                    _ => {}
                }
            }
            away.map(Some)
        })
    }
}
