//! From the first line to the welcome: CAP, NICK, USER, PASS, AUTHENTICATE, and who it is that comes in.

use sammen_core::{Address, Protocol, Timestamp, ops::sessions::SignIn};
use sammen_net::Secret;

use crate::login::Exchange;
use crate::pace::Pace;
use crate::replay;
use crate::session::{Extra, Me, Session};
use crate::wire::Numeric;
use crate::wire::standard::codes;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What a connection said before it is welcome.
pub(crate) struct Registration {
    pub nick: Option<String>,
    pub user: Option<String>,
    pub pass: Option<Secret>,
    /// CAP LS or REQ was said and CAP END not yet.
    pub negotiating: bool,
    /// A login that goes on.
    pub exchange: Option<Exchange>,
    pub signed: Option<Signed>,
    pub away: Option<String>,
    pub since: Timestamp,
    /// When something came last.
    pub heard: Timestamp,
    /// PING was sent and nothing came since.
    pub asked: bool,
    /// When the cursor was written.
    pub saved: Timestamp,
    /// The client reacts itself: it shows reactions.
    pub reacts: bool,
    /// Metadata keys that this session wants to hear of.
    pub subscribed: Vec<String>,
    /// Metadata that was set before it was known who comes in.
    pub metadata: Vec<(String, Option<String>)>,
    /// How much of what others are told this session may do.
    pub pace: Pace,
    /// Counts as a connection that nobody knows (LUSERS).
    pub stranger: Option<Arc<()>>,
}

/// Who proved to be who.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub account: Address,
    /// What the client calls the device.
    pub device: Option<String>,
    /// With what; `None` for the passphrase.
    pub credential: Option<sammen_core::Credential>,
    /// Of the credentials that it was proven against.
    pub stamp: Option<u64>,
}

impl Registration {
    pub fn new(now: Timestamp, strangers: &Arc<()>) -> Self {
        Self {
            nick: None,
            user: None,
            pass: None,
            negotiating: false,
            exchange: None,
            signed: None,
            away: None,
            since: now,
            heard: now,
            asked: false,
            saved: now,
            reacts: false,
            subscribed: Vec::new(),
            metadata: Vec::new(),
            pace: Pace::new(now),
            stranger: Some(strangers.clone()),
        }
    }
}

/// Welcomes the client if everything is there.
pub(crate) async fn advance(s: &mut Session) {
    let r = &s.registration;
    if s.me.is_some() || r.negotiating || r.exchange.is_some() || s.ended() {
        return;
    }
    let (Some(nick), Some(user)) = (r.nick.clone(), r.user.clone()) else {
        return;
    };
    if s.registration.signed.is_none()
        && let Some(pass) = s.registration.pass.take()
    {
        // PASS account:password, or PASS password for the account named as the nick.
        let (name, password) = match pass.expose().split_once(':') {
            Some((name, password)) => (name.to_owned(), Secret::new(password)),
            None => (nick.clone(), pass.clone()),
        };
        if !crate::login::with_password(s, &name, &password).await {
            s.numeric(Numeric::ERR_PASSWDMISMATCH, &[], "Password incorrect");
            s.close("Password incorrect");
            return;
        }
    }
    if s.registration.signed.is_none() && s.server.config().guests {
        return visit(s, &nick, &user).await;
    }
    let Some(signed) = s.registration.signed.clone() else {
        let text = "This server is for people with an account: sign in with SASL, or with PASS account:password";
        s.fail("*", codes::ACCOUNT_REQUIRED, &[], text);
        s.close("Sign in with SASL or with PASS account:password");
        return;
    };
    enter(s, signed, &user).await;
}

/// A visitor without an account, called `guest-` and what of the wanted nick can be a name.
async fn visit(s: &mut Session, nick: &str, user: &str) {
    let wanted = nick.to_ascii_lowercase();
    let wanted = wanted.strip_prefix("guest-").unwrap_or(&wanted);
    let id: String = wanted
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')
        .take(24)
        .collect();
    let server = s.server.clone();
    let free = |id: &str| {
        let address = Address::guest(server.domain(), id).ok()?;
        let taken = server
            .node
            .live(|live| !live.sessions_of(&address).is_empty());
        (!taken).then_some(address)
    };
    let random = format!("{:08x}", server.node.clock().random() as u32);
    let Some(account) = free(&id).or_else(|| free(&random)) else {
        return s.numeric(
            Numeric::ERR_NICKNAMEINUSE,
            &[nick],
            "Nickname is already in use",
        );
    };
    let signed = Signed {
        account,
        device: None,
        credential: None,
        stamp: None,
    };
    enter(s, signed, user).await;
}

/// Begins the session and sends everything that a client sees first.
async fn enter(s: &mut Session, signed: Signed, user: &str) {
    let node = s.server.node.clone();
    let key = match &signed.device {
        Some(device) => device.clone(),
        None => format!("user:{}", user.chars().take(32).collect::<String>()),
    };
    let how = SignIn {
        account: signed.account.clone(),
        protocol: Protocol::Irc,
        device: signed.account.is_account().then(|| key.clone()),
        device_label: signed.device.clone(),
        credential: signed.credential.clone(),
        stamp: signed.stamp,
        label: format!("{key}/{:08x}", node.clock().random() as u32),
    };
    let signed_in = match node.sign_in(how).await {
        Ok(signed_in) => signed_in,
        Err(refusal) => {
            s.numeric(Numeric::ERR_UNKNOWNERROR, &["USER"], &refusal.to_string());
            s.close(&refusal.to_string());
            return;
        }
    };
    let now = node.now();
    *signed_in.session.extra.write() = Some(Arc::new(Extra {
        signed_on: now,
        active: now.0.into(),
        oper: false.into(),
        secure: s.client.channel.secure,
    }));
    s.registration.stranger = None;
    let names = &s.server.names;
    s.me = Some(Me {
        nick: names.nick(&signed.account),
        mask: names.mask(&signed.account),
        account: signed.account,
        cursor: signed_in.device.cursor,
        saved: signed_in.device.cursor,
        device: signed_in.device,
        session: signed_in.session,
        rooms: HashMap::new(),
        next_ticket: 0,
        pending: VecDeque::new(),
        labelled: Arc::default(),
        away: s.registration.away.clone(),
        told_away: HashMap::new(),
        monitor: Vec::new(),
        encrypted: HashMap::new(),
        oper: false,
    });
    tracing::info!(protocol = "irc", account = %s.me().account, "{} signed in", s.me().account);
    crate::commands::metadata::settle(s).await;
    welcome(s);
    crate::commands::metadata::own(s).await;
    replay::come_back(s, signed_in.seq).await;
}

fn welcome(s: &mut Session) {
    let server = s.server.clone();
    let config = s.told.clone();
    let mask = s.me().mask.clone();
    let nick = s.me().nick.clone();
    // The nick is the account's; a client that asked for another one learns it from 001, and from NICK for those
    // that look there only.
    let wanted = s.registration.nick.clone().unwrap_or_default();
    s.numeric(
        Numeric::RPL_WELCOME,
        &[],
        &format!("Welcome to the {} network, {mask}", config.network),
    );
    let version = crate::VERSION;
    let host = format!("Your host is {}, running version {version}", server.name);
    s.numeric(Numeric::RPL_YOURHOST, &[], &host);
    let since = crate::wire::time::format(server.started.0);
    let created = format!("This server has been running since {since}");
    s.numeric(Numeric::RPL_CREATED, &[], &created);
    let (user, channel, with_args) = (
        crate::modes::USER.letters(false),
        crate::modes::CHANNEL.letters(false),
        crate::modes::CHANNEL.letters(true),
    );
    let name = server.name.clone();
    let middle = [name.as_str(), version, &user, &channel, &with_args];
    s.numeric_bare(Numeric::RPL_MYINFO, &middle);
    for line in server.isupport(&config).lines(&server.name, &nick) {
        s.reply(line);
    }
    crate::commands::server::lusers(s);
    crate::commands::server::motd(s);
    if wanted != nick {
        let line = crate::wire::Line::new(format!(
            "{wanted}!{}",
            mask.split_once('!').map_or("", |m| m.1)
        ))
        .cmd("NICK")
        .param(&nick);
        s.reply(line);
    }
    let modes = crate::commands::mode::own_modes(s);
    let line = crate::wire::Line::new(&nick)
        .cmd("MODE")
        .param(&nick)
        .param(modes);
    s.reply(line);
}
