//! ISON, USERHOST, USERIP: about people whom the asker may see.

use crate::session::Session;
use crate::wire::{Message, Numeric};

pub(crate) async fn ison(s: &mut Session, m: &Message<'_>) {
    let nicks: Vec<String> = m.words(0).take(100).map(str::to_owned).collect();
    let here: Vec<String> = nicks
        .into_iter()
        .filter(|nick| {
            let who = s.server.names.person(nick);
            who.is_some_and(|who| s.may_see(&who) && s.server.presence(&who).is_some())
        })
        .collect();
    s.numeric(Numeric::RPL_ISON, &[], &here.join(" "));
}

pub(crate) async fn userhost(s: &mut Session, m: &Message<'_>) {
    answer(s, m, Numeric::RPL_USERHOST);
}

pub(crate) async fn userip(s: &mut Session, m: &Message<'_>) {
    // 340 RPL_USERIP. Addresses of machines are nobody's business: the host is the domain.
    answer(s, m, Numeric(340));
}

fn answer(s: &mut Session, m: &Message<'_>, numeric: Numeric) {
    let mut out = Vec::new();
    for nick in m.words(0).take(5) {
        let Some(who) = s.server.names.person(nick).filter(|w| s.may_see(w)) else {
            continue;
        };
        let Some(away) = s.server.presence(&who) else {
            continue;
        };
        let names = &s.server.names;
        let (user, host) = names.user_host(&who);
        let sign = if away.is_some() { '-' } else { '+' };
        out.push(format!("{}={sign}{user}@{host}", names.nick(&who)));
    }
    s.numeric(numeric, &[], &out.join(" "));
}
