//! MONITOR and extended-monitor: who is here, as far as they let this account see it.

use sammen_core::Address;

use crate::session::Session;
use crate::wire::caps::Cap;
use crate::wire::{Line, Message, Numeric};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    match m.text(0).unwrap_or("") {
        "+" => add(s, m.text(1).unwrap_or("")),
        "-" => {
            for nick in m.text(1).unwrap_or("").split(',') {
                if let Some(who) = s.server.names.person(nick) {
                    s.me_mut().monitor.retain(|w| *w != who);
                }
            }
        }
        "C" | "c" => s.me_mut().monitor.clear(),
        "L" | "l" => {
            let nicks: Vec<_> = s
                .me()
                .monitor
                .iter()
                .map(|w| s.server.names.nick(w))
                .collect();
            lists(s, Numeric::RPL_MONLIST, &nicks);
            s.numeric(Numeric::RPL_ENDOFMONLIST, &[], "End of MONITOR list");
        }
        "S" | "s" => {
            let all = s.me().monitor.clone();
            tell(s, &all);
        }
        _ => {}
    }
}

fn add(s: &mut Session, nicks: &str) {
    let most = s.server.config().monitor;
    let mut new = Vec::new();
    let mut unknown = Vec::new();
    for nick in nicks.split(',').filter(|n| !n.is_empty()) {
        let Some(who) = s.server.names.person(nick) else {
            unknown.push(nick.to_owned());
            continue;
        };
        if s.me().monitor.contains(&who) {
            continue;
        }
        if s.me().monitor.len() >= most {
            let limit = most.to_string();
            s.numeric(
                Numeric::ERR_MONLISTFULL,
                &[&limit, nick],
                "Monitor list is full.",
            );
            break;
        }
        s.me_mut().monitor.push(who.clone());
        new.push(who);
    }
    tell(s, &new);
    if !unknown.is_empty() {
        lists(s, Numeric::RPL_MONOFFLINE, &unknown);
    }
}

fn tell(s: &mut Session, people: &[Address]) {
    let (mut here, mut gone) = (Vec::new(), Vec::new());
    for who in people {
        let now = s.server.presence(who).filter(|_| s.may_see(who));
        if let Some(away) = now {
            s.me_mut().told_away.insert(who.clone(), away.is_some());
            here.push(s.server.names.mask(who));
        } else {
            s.me_mut().told_away.remove(who);
            gone.push(s.server.names.nick(who));
        }
    }
    lists(s, Numeric::RPL_MONONLINE, &here);
    lists(s, Numeric::RPL_MONOFFLINE, &gone);
}

/// A list as lines that fit.
fn lists(s: &mut Session, numeric: Numeric, words: &[String]) {
    let room = s.numeric_line(numeric, &[]).room().saturating_sub(2);
    let mut list = String::new();
    for word in words {
        if !list.is_empty() && list.len() + 1 + word.len() > room {
            s.numeric(numeric, &[], &list);
            list.clear();
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(word);
    }
    if !list.is_empty() {
        s.numeric(numeric, &[], &list);
    }
}

/// The presence of someone changed: told to those who monitor them.
pub(crate) fn presence(s: &mut Session, who: &Address) {
    if !s.me().monitor.contains(who) {
        return;
    }
    let now = s.server.presence(who).filter(|_| s.may_see(who));
    let told = s.me_mut().told_away.get(who).copied();
    let nick = s.server.names.nick(who);
    let mask = s.server.names.mask(who);
    match now {
        // They are known to be gone.
        None if told.is_none() => {}
        None => {
            s.me_mut().told_away.remove(who);
            let line = s.numeric_line(Numeric::RPL_MONOFFLINE, &[]).trailing(nick);
            s.emit_line(line);
        }
        Some(away) => {
            s.me_mut().told_away.insert(who.clone(), away.is_some());
            if told.is_none() {
                let line = s.numeric_line(Numeric::RPL_MONONLINE, &[]).trailing(&mask);
                s.emit_line(line);
            }
            if s.has(Cap::ExtendedMonitor)
                && s.has(Cap::AwayNotify)
                && told.unwrap_or(false) != away.is_some()
            {
                let line = Line::new(&mask).cmd("AWAY");
                s.emit_line(match away {
                    Some(text) => line.trailing(text),
                    None => line,
                });
            }
        }
    }
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
        allowed
            || self
                .me()
                .rooms
                .values()
                .any(|inside| self.in_room_with(inside, who))
    }

    fn in_room_with(&self, inside: &crate::session::Inside, who: &Address) -> bool {
        let convo = self.server.node.convo(inside.shown.id()).ok().flatten();
        convo.is_some_and(|convo| convo.has(who))
    }
}
