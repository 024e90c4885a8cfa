//! MONITOR and extended-monitor: who is here, as far as they let this account see it.

use sammen_core::{Address, SessionId};

use crate::server::Server;
use crate::session::Session;
use crate::wire::caps::Cap;
use crate::wire::{Line, Message, Numeric};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    match m.text(0).unwrap_or("") {
        "+" | "-" if m.text(1).is_none_or(str::is_empty) => {
            let text = "Not enough parameters";
            s.numeric(Numeric::ERR_NEEDMOREPARAMS, &["MONITOR"], text);
        }
        "+" => {
            for who in add(s, m.text(1).unwrap_or("")) {
                super::metadata::came(s, &who).await;
            }
        }
        "-" => {
            for nick in m.text(1).unwrap_or("").split(',') {
                if let Some(who) = s.server.names.person(nick) {
                    let id = s.id();
                    s.me_mut().monitor.retain(|w| w.who != who);
                    unwatch(&s.server, &who, id);
                }
            }
        }
        "C" | "c" => clear(s),
        "L" | "l" => {
            let nicks: Vec<_> = s
                .me()
                .monitor
                .iter()
                .map(|w| s.server.names.nick(&w.who))
                .collect();
            lists(s, Numeric::RPL_MONLIST, &nicks);
            s.numeric(Numeric::RPL_ENDOFMONLIST, &[], "End of MONITOR list");
        }
        "S" | "s" => {
            let all: Vec<_> = s.me().monitor.iter().map(|w| w.who.clone()).collect();
            tell(s, &all);
        }
        other => s.numeric(
            Numeric::ERR_UNKNOWNERROR,
            &["MONITOR", other],
            "Unknown subcommand",
        ),
    }
}

/// Returns those who are new on the list and here.
fn add(s: &mut Session, nicks: &str) -> Vec<Address> {
    let most = s.server.config().monitor;
    let mut new = Vec::new();
    let mut unknown = Vec::new();
    let nicks: Vec<&str> = nicks.split(',').filter(|n| !n.is_empty()).collect();
    for (at, nick) in nicks.iter().copied().enumerate() {
        let Some(who) = s.server.names.person(nick) else {
            unknown.push(nick.to_owned());
            continue;
        };
        if s.me().monitor.iter().any(|w| w.who == who) {
            continue;
        }
        if s.me().monitor.len() >= most {
            let limit = most.to_string();
            let left = nicks.get(at..).unwrap_or_default().join(",");
            let text = "Monitor list is full.";
            s.numeric(Numeric::ERR_MONLISTFULL, &[&limit, &left], text);
            break;
        }
        let id = s.id();
        s.me_mut().monitor.push(Watched {
            who: who.clone(),
            told: None,
        });
        let mut watchers = s.server.watchers.write();
        watchers.entry(who.clone()).or_default().push(id);
        drop(watchers);
        new.push(who);
    }
    tell(s, &new);
    if !unknown.is_empty() {
        lists(s, Numeric::RPL_MONOFFLINE, &unknown);
    }
    new.retain(|who| {
        let watched = s.me().monitor.iter().find(|w| w.who == *who);
        watched.is_some_and(|w| w.told.is_some())
    });
    new
}

/// Someone on a MONITOR list.
pub(crate) struct Watched {
    pub who: Address,
    /// As the client was told: not here, or here and whether away.
    told: Option<bool>,
}

fn unwatch(server: &Server, who: &Address, id: SessionId) {
    let mut watchers = server.watchers.write();
    if let Some(sessions) = watchers.get_mut(who) {
        sessions.retain(|s| *s != id);
        if sessions.is_empty() {
            watchers.remove(who);
        }
    }
}

/// Empties the list; the end of a session does so, too.
pub(crate) fn clear(s: &mut Session) {
    let Some(me) = &mut s.me else { return };
    let id = me.session.id;
    for watched in std::mem::take(&mut me.monitor) {
        unwatch(&s.server, &watched.who, id);
    }
}

/// Whether the client wants to hear more of someone than whether they are here.
pub(crate) fn follows(s: &Session, who: &Address) -> bool {
    s.has(Cap::ExtendedMonitor) && s.me().monitor.iter().any(|w| w.who == *who) && s.may_see(who)
}

fn tell(s: &mut Session, people: &[Address]) {
    let (mut here, mut gone) = (Vec::new(), Vec::new());
    for who in people {
        let now = s.server.presence(who).filter(|_| s.may_see(who));
        if let Some(watched) = s.me_mut().monitor.iter_mut().find(|w| w.who == *who) {
            watched.told = now.as_ref().map(Option::is_some);
        }
        match now {
            Some(_) => here.push(s.server.names.mask(who)),
            None => gone.push(s.server.names.nick(who)),
        }
    }
    lists(s, Numeric::RPL_MONONLINE, &here);
    lists(s, Numeric::RPL_MONOFFLINE, &gone);
}

fn lists(s: &mut Session, numeric: Numeric, words: &[String]) {
    s.numeric_list(numeric, &[], words, ',');
}

/// The presence of someone changed: told to those who monitor them.
pub(crate) async fn presence(s: &mut Session, who: &Address) {
    if changed(s, who) {
        super::metadata::came(s, who).await;
    }
}

/// Whether they have come.
fn changed(s: &mut Session, who: &Address) -> bool {
    let Some(at) = s.me().monitor.iter().position(|w| w.who == *who) else {
        return false;
    };
    let now = s.server.presence(who).filter(|_| s.may_see(who));
    let away = now.as_ref().map(Option::is_some);
    let Some(watched) = s.me_mut().monitor.get_mut(at) else {
        return false;
    };
    let told = std::mem::replace(&mut watched.told, away);
    if told == away {
        return false;
    }
    let mask = s.server.names.mask(who);
    let Some(text) = now else {
        let nick = s.server.names.nick(who);
        let line = s.numeric_line(Numeric::RPL_MONOFFLINE, &[]).trailing(nick);
        s.emit_line(line);
        return false;
    };
    if told.is_none() {
        let line = s.numeric_line(Numeric::RPL_MONONLINE, &[]).trailing(&mask);
        s.emit_line(line);
    }
    // Who shares a room was told there (away-notify).
    let known = s.me().told_away.get(who).copied();
    let known = known.unwrap_or(told.unwrap_or(false));
    if s.has(Cap::ExtendedMonitor) && s.has(Cap::AwayNotify) && known != text.is_some() {
        let line = Line::new(&mask).cmd("AWAY");
        s.emit_line(match text {
            Some(text) => line.trailing(text),
            None => line,
        });
    }
    told.is_none()
}

impl Session {
    /// Whether this account may know when someone is here: contacts who allowed it, people in common rooms, oneself.
    pub(crate) fn may_see(&self, who: &Address) -> bool {
        let me = &self.me().account;
        if who == me || self.me().oper {
            return true;
        }
        let node = &self.server.node;
        let blocked = |a: &Address, b: &Address| {
            a.is_account()
                && node
                    .contacts(a)
                    .is_ok_and(|c| c.get(b).is_some_and(|c| c.blocked))
        };
        if blocked(who, me) || blocked(me, who) {
            return false;
        }
        let allowed = node
            .contacts(me)
            .is_ok_and(|c| c.get(who).is_some_and(|c| c.sees));
        allowed || self.shares_a_room(who)
    }

    /// Whether someone is in one of this session's rooms.
    pub(crate) fn shares_a_room(&self, who: &Address) -> bool {
        let mut rooms = self.me().rooms.values();
        rooms.any(|inside| self.in_room_with(inside, who))
    }

    fn in_room_with(&self, inside: &crate::session::Inside, who: &Address) -> bool {
        let convo = self.server.node.convo(inside.shown.id()).ok().flatten();
        convo.is_some_and(|convo| convo.has(who))
    }
}
