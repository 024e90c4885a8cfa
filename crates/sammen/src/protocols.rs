//! The protocols of a node: made from the configuration, and handed to listeners.

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use sammen_net::Connection;
use sammen_net::fetch::Fetcher;
use sammen_net::preview::Previews;

use crate::config::{self, Config, Security};
use crate::run::{Addresses, Assembled};

/// Where IRC is spoken over a WebSocket.
const IRC_PATH: &str = "/irc";
/// Where IRC apps upload files.
const IRC_FILES: &str = "/irc/files";

/// Serves a connection until it ends.
pub type Handler = Box<dyn Fn(Connection) -> Serving + Send + Sync>;
/// A connection that is being served.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The protocols.
pub struct Protocols {
    xmpp: Arc<sammen_xmpp::Server>,
    irc: Arc<sammen_irc::Server>,
    web: Arc<sammen_web::Web>,
    /// `None` where the domain is none that Matrix can write.
    matrix: Option<Arc<sammen_matrix::Matrix>>,
    host: Arc<crate::web_host::NodeHost>,
    /// What strangers make the node fetch; each use of it has a lane of its own.
    fetcher: Fetcher,
    previews: Arc<Previews>,
    url: Option<String>,
}

impl Protocols {
    /// Makes them on a node.
    ///
    /// # Errors
    /// When the node has no domain.
    pub fn new(config: &Config, node: &Assembled, addresses: &Addresses) -> anyhow::Result<Self> {
        let (handle, accounts) = (node.node.clone(), node.accounts.clone());
        let settings = xmpp(config)?;
        let xmpp = sammen_xmpp::Server::new(handle.clone(), settings, accounts.clone());
        if let Some(federation) = &node.federation {
            federation.begin(&xmpp);
        }
        let irc = sammen_irc::Server::new(handle.clone(), irc(config, addresses), accounts.clone())
            .ok_or_else(|| anyhow::anyhow!("the node has no domain"))?;
        let url = http_url(config, addresses);
        let host = Arc::new(crate::web_host::NodeHost::new(config, xmpp.clone()));
        let fetcher = config::fetch::build(config)?;
        let matrix = matrix(config, addresses, &fetcher)?;
        let matrix =
            sammen_matrix::Matrix::new(handle.clone(), accounts.clone(), matrix, host.clone());
        let previews = Arc::new(Previews::new(&fetcher));
        let settings = web(config, addresses, &previews);
        let web = sammen_web::Web::new(handle, accounts, settings, host.clone())
            .ok_or_else(|| anyhow::anyhow!("the node has no domain"))?;
        sammen_web::push::start(&web, &fetcher);
        Ok(Self {
            xmpp,
            irc,
            web,
            matrix,
            host,
            fetcher,
            previews,
            url,
        })
    }

    /// Serves an XMPP connection.
    pub fn xmpp_handler(&self) -> Handler {
        let server = self.xmpp.clone();
        Box::new(move |connection| Box::pin(sammen_xmpp::serve(server.clone(), connection)))
    }

    /// Serves a connection of another XMPP server.
    pub fn s2s_handler(&self) -> Handler {
        let server = self.xmpp.clone();
        Box::new(move |connection| Box::pin(sammen_xmpp::s2s::serve(server.clone(), connection)))
    }

    /// Serves a connection of a component.
    pub fn component_handler(&self) -> Handler {
        let server = self.xmpp.clone();
        Box::new(move |connection| {
            Box::pin(sammen_xmpp::s2s::component::serve(
                server.clone(),
                connection,
            ))
        })
    }

    /// Serves an IRC connection.
    pub fn irc_handler(&self) -> Handler {
        let server = self.irc.clone();
        Box::new(move |connection| Box::pin(sammen_irc::serve(server.clone(), connection)))
    }

    /// A link that makes the first administrator, while nobody has an account and there is a page to open it.
    pub async fn first_link(&self) -> Option<String> {
        self.url.as_ref()?;
        sammen_web::first::link(&self.web).await.unwrap_or_default()
    }

    /// Files, WebSockets, host-meta, the API and the page.
    pub fn http_router(&self) -> Router {
        let irc = sammen_irc::websocket::router(self.irc.clone(), IRC_PATH);
        let irc = irc.merge(sammen_irc::filehost::router(self.irc.clone(), IRC_FILES));
        let irc = irc.merge(sammen_irc::whole::router(self.irc.clone()));
        let irc = irc.merge(sammen_web::http::router(self.web.clone()));
        let irc = match &self.matrix {
            Some(matrix) => irc.merge(sammen_matrix::http::router(matrix.clone())),
            None => irc,
        };
        match &self.url {
            Some(url) => sammen_xmpp::http::router(self.xmpp.clone(), url).merge(irc),
            None => irc,
        }
    }

    /// How REHASH, said by an operator on IRC, reads the configuration.
    pub fn on_rehash(
        &self,
        read: impl Fn() -> Option<Config> + Send + Sync + 'static,
        addresses: Addresses,
    ) {
        self.irc
            .on_rehash(Box::new(move || read().map(|new| irc(&new, &addresses))));
    }

    /// Takes in what can change while it runs.
    ///
    /// # Errors
    /// When a secret can't be read; then nothing changes.
    pub fn reload(&self, config: &Config, addresses: &Addresses) -> anyhow::Result<()> {
        self.xmpp.config.set(xmpp(config)?);
        config::fetch::reload(&self.fetcher, config)?;
        self.irc.reconfigure(irc(config, addresses));
        self.web.config.set(web(config, addresses, &self.previews));
        self.host.reload(config);
        if let Some(matrix) = &self.matrix {
            matrix
                .config
                .set(self::matrix(config, addresses, &self.fetcher)?);
        }
        Ok(())
    }
}

fn xmpp(config: &Config) -> anyhow::Result<sammen_xmpp::Config> {
    let fields = [
        ("abuse-addresses", &config.xmpp.abuse_addresses),
        ("admin-addresses", &config.xmpp.admin_addresses),
    ];
    Ok(sammen_xmpp::Config {
        registration: config.accounts.registration,
        inviters: config.accounts.invitations,
        invitation_days: config.accounts.invitation_days,
        relays: config.calls.relays()?,
        rate: config.xmpp.stanzas_per_second,
        burst: config.xmpp.stanzas_burst,
        hibernation: std::time::Duration::from_secs(u64::from(config.xmpp.resume_seconds)),
        contacts: fields
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(field, list)| (field.to_owned(), list.clone()))
            .collect(),
        ..Default::default()
    })
}

fn irc(config: &Config, addresses: &Addresses) -> sammen_irc::Config {
    let tls = addresses.irc.iter().find(|(s, _)| *s == Security::Tls);
    let files = http_url(config, addresses);
    sammen_irc::Config {
        network: config.irc.network.clone(),
        motd: config.irc.motd.lines().map(str::to_owned).collect(),
        icon: config.irc.icon.clone(),
        filehost: match config.irc.filehost.as_deref() {
            Some("") => None,
            Some(elsewhere) => Some(elsewhere.to_owned()),
            None => files.as_ref().map(|url| format!("{url}{IRC_FILES}")),
        },
        files,
        gather_ms: config.irc.gather_ms,
        commands_per_second: config.irc.commands_per_second,
        commands_burst: config.irc.commands_burst,
        guests: config.accounts.guests,
        registration: config.accounts.registration,
        // IRCv3 sts: the port with TLS, and for how long it is remembered.
        sts_port: tls
            .filter(|_| config.irc.sts_days > 0)
            .map(|(_, address)| address.port()),
        sts_duration: u64::from(config.irc.sts_days) * 86_400,
        ..Default::default()
    }
}

fn matrix(
    config: &Config,
    addresses: &Addresses,
    fetcher: &Fetcher,
) -> anyhow::Result<sammen_matrix::Config> {
    Ok(sammen_matrix::Config {
        base: http_url(config, addresses),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        registration: config.accounts.registration,
        admin_addresses: config.xmpp.admin_addresses.clone(),
        abuse_addresses: config.xmpp.abuse_addresses.clone(),
        limits: config.matrix.limits(),
        relays: config.calls.relays()?,
        fetcher: Some(fetcher.clone()),
    })
}

/// The same before anything listens.
pub fn configured_url(config: &Config) -> Option<String> {
    let listen = config.http.listen.iter();
    let addresses = Addresses {
        http: listen.map(|l| (l.security, l.address)).collect(),
        ..Addresses::default()
    };
    http_url(config, &addresses)
}

fn web(config: &Config, addresses: &Addresses, previews: &Arc<Previews>) -> sammen_web::Config {
    let mut doors = Vec::new();
    let families = [("xmpp", &addresses.xmpp), ("irc", &addresses.irc)];
    for (protocol, list) in families {
        // A door with TLS is the one to tell people of.
        let best = list.iter().min_by_key(|(security, _)| match security {
            Security::Tls => 0,
            Security::Starttls => 1,
            Security::Plain => 2,
        });
        doors.extend(best.map(|(security, address)| sammen_web::Door {
            protocol,
            host: config.domain.to_string(),
            port: address.port(),
            tls: *security != Security::Plain,
        }));
    }
    sammen_web::Config {
        base: http_url(config, addresses),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        doors,
        registration: config.accounts.registration,
        rooms_by_anyone: config.accounts.rooms_by_anyone,
        requests_between_accounts: config.accounts.requests_between_accounts,
        inviters: config.accounts.invitations,
        previews: config.fetch.previews.then(|| previews.clone()),
    }
}

/// How the outside reaches the HTTP listener: what the configuration says, or the domain and the first listener's port.
pub fn http_url(config: &Config, addresses: &Addresses) -> Option<String> {
    if let Some(url) = &config.http.url {
        return Some(url.trim_end_matches('/').to_owned());
    }
    let (security, address) = addresses.http.first()?;
    let scheme = if *security == Security::Plain {
        "http"
    } else {
        "https"
    };
    if address.ip().is_loopback() {
        return Some(format!("{scheme}://{address}"));
    }
    Some(format!("{scheme}://{}:{}", config.domain, address.port()))
}
