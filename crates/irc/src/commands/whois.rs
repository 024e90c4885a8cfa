//! WHOIS and WHOWAS.

use sammen_core::{Address, Protocol};

use crate::modes;
use crate::session::{Extra, Session};
use crate::wire::{Message, Numeric};

pub(crate) async fn whois(s: &mut Session, m: &Message<'_>) {
    let asked = m.text(1).or(m.text(0)).unwrap_or("");
    let asked = asked.split(',').next().unwrap_or("");
    let who = s.server.names.person(asked);
    let known = who.filter(|who| {
        who.is_account() && s.server.node.account(who).ok().flatten().is_some() || s.may_see(who)
    });
    match known {
        Some(who) => tell(s, &who),
        None => s.numeric(Numeric::ERR_NOSUCHNICK, &[asked], "No such nick"),
    }
    s.numeric(Numeric::RPL_ENDOFWHOIS, &[asked], "End of /WHOIS list");
}

fn tell(s: &mut Session, who: &Address) {
    let server = s.server.clone();
    let names = &server.names;
    let nick = names.nick(who);
    let (user, host) = names.user_host(who);
    let realname = server.realname(who);
    s.numeric(
        Numeric::RPL_WHOISUSER,
        &[&nick, &user, &host, "*"],
        &realname,
    );
    let account = server.node.account(who).ok().flatten();
    if account.as_ref().is_some_and(|a| a.bot) {
        s.numeric(Numeric::RPL_WHOISBOT, &[&nick], "is a bot");
    }
    let visible = s.may_see(who);
    if visible {
        let channels = common_channels(s, who);
        s.numeric_list(Numeric::RPL_WHOISCHANNELS, &[&nick], &channels, ' ');
    }
    let network = server.config().network.clone();
    s.numeric(Numeric::RPL_WHOISSERVER, &[&nick, &server.name], &network);
    if let Some(account) = names.account(who) {
        s.numeric(
            Numeric::RPL_WHOISACCOUNT,
            &[&nick, &account],
            "is logged in as",
        );
    }
    if account.is_some_and(|a| a.admin) {
        let text = "administers this server";
        s.numeric(Numeric::RPL_WHOISOPERATOR, &[&nick], text);
    }
    if !visible {
        return;
    }
    match server.presence(who) {
        Some(Some(text)) => s.numeric(Numeric::RPL_AWAY, &[&nick], &text),
        None => s.numeric(
            Numeric::RPL_AWAY,
            &[&nick],
            "not connected; messages wait for them",
        ),
        Some(None) => {}
    }
    let own = *who == s.me().account;
    let secure = server.node.live(|live| {
        let sessions = live.sessions_of(who).iter();
        let mut irc = sessions.filter(|s| s.protocol == Protocol::Irc).peekable();
        irc.peek().is_some()
            && irc.all(|s| {
                let extra = s.extra.read();
                extra
                    .as_ref()
                    .and_then(|e| e.downcast_ref::<Extra>())
                    .is_some_and(|e| e.secure)
            })
    });
    if secure {
        let text = "is using a secure connection";
        s.numeric(Numeric::RPL_WHOISSECURE, &[&nick], text);
    }
    if own {
        let count = server.node.live(|live| live.sessions_of(who).len());
        let text = format!("is connected {count} times");
        s.numeric(Numeric::RPL_WHOISSPECIAL, &[&nick], &text);
    }
    if let (Some(idle), Some(since)) = (s.idle_seconds(who), s.signed_on(who)) {
        let (idle, since) = (idle.to_string(), since.to_string());
        let text = "seconds idle, signon time";
        s.numeric(Numeric::RPL_WHOISIDLE, &[&nick, &idle, &since], text);
    }
}

/// The rooms that both are in, with ranks.
fn common_channels(s: &Session, who: &Address) -> Vec<String> {
    let mut out: Vec<String> = s
        .me()
        .rooms
        .iter()
        .filter_map(|(id, inside)| {
            let convo = s.server.node.convo(*id).ok().flatten()?;
            convo
                .has(who)
                .then(|| format!("{}{}", modes::symbols(&convo, who, true), inside.channel))
        })
        .collect();
    out.sort_unstable();
    out
}

impl Session {
    fn extras<T>(&self, who: &Address, each: impl Fn(&Extra) -> T) -> Vec<T> {
        self.server.node.live(|live| {
            let mut out = Vec::new();
            for session in live.sessions_of(who) {
                let extra = session.extra.read();
                if let Some(extra) = extra.as_ref().and_then(|e| e.downcast_ref::<Extra>()) {
                    out.push(each(extra));
                }
            }
            out
        })
    }

    /// Whether this account may know when someone was here and wrote: they say so (`last-seen`), on every protocol.
    fn last_seen(&self, who: &Address) -> bool {
        let account = self.server.node.account(who).ok().flatten();
        *who == self.me().account || account.is_none_or(|a| a.switches.last_seen)
    }

    /// Seconds since someone wrote last on IRC.
    pub(crate) fn idle_seconds(&self, who: &Address) -> Option<i64> {
        if !self.last_seen(who) {
            return None;
        }
        let active = |e: &Extra| e.active.load(std::sync::atomic::Ordering::Relaxed);
        let latest = self.extras(who, active).into_iter().max()?;
        Some((self.server.node.now().0 - latest).max(0) / 1000)
    }

    /// Since when someone is here on IRC, in seconds since 1970.
    pub(crate) fn signed_on(&self, who: &Address) -> Option<i64> {
        self.extras(who, |e| e.signed_on.0 / 1000).into_iter().min()
    }
}

pub(crate) async fn whowas(s: &mut Session, m: &Message<'_>) {
    let asked = m.text(0).unwrap_or("");
    let most = m
        .text(1)
        .and_then(|n| n.parse().ok())
        .filter(|n| *n > 0)
        .unwrap_or(10);
    let server = s.server.clone();
    let who = server.names.person(asked);
    let who = who.filter(|w| s.may_see(w) && s.last_seen(w));
    let gone = who.map(|w| server.whowas(&w, most)).unwrap_or_default();
    if gone.is_empty() {
        let text = "There was no such nickname";
        s.numeric(Numeric::ERR_WASNOSUCHNICK, &[asked], text);
    }
    for one in gone {
        let nick = server.names.nick(&one.who);
        let (user, host) = server.names.user_host(&one.who);
        s.numeric(
            Numeric::RPL_WHOWASUSER,
            &[&nick, &user, &host, "*"],
            &one.realname,
        );
        let when = crate::wire::time::format(one.at.0);
        s.numeric(Numeric::RPL_WHOISSERVER, &[&nick, &server.name], &when);
    }
    s.numeric(Numeric::RPL_ENDOFWHOWAS, &[asked], "End of WHOWAS");
}
