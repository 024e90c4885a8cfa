//! WHO and WHOX: the people of a room, or those whom the asker may see.

use std::sync::Arc;

use sammen_core::{Address, Convo};

use crate::modes;
use crate::session::Session;
use crate::wire::caps::Cap;
use crate::wire::casemap::Mask;
use crate::wire::{Message, Numeric};

/// Most people in one answer that is not about a room.
const MOST: usize = 500;

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let Some(mask) = m.text(0) else { return };
    let options = m.text(1).unwrap_or("");
    let fields = options.split_once('%').map(|(_, f)| f.to_owned());
    let only_opers = options
        .split('%')
        .next()
        .is_some_and(|flags| flags.contains('o'));
    if mask.starts_with('#') {
        if let Some(convo) = s.visible_room(mask) {
            let inside = convo.has(&s.me().account) || s.me().oper;
            let mut people: Vec<Address> = convo.joined().map(|m| m.address.clone()).collect();
            people.sort_unstable();
            for who in people.iter().filter(|_| inside) {
                if !only_opers || is_admin(s, who) {
                    one(s, who, Some(&convo), fields.as_deref());
                }
            }
        }
    } else {
        for (who, convo) in people(s, mask) {
            if !only_opers || is_admin(s, &who) {
                one(s, &who, convo.as_ref(), fields.as_deref());
            }
        }
    }
    s.numeric(Numeric::RPL_ENDOFWHO, &[mask], "End of /WHO list");
}

fn is_admin(s: &Session, who: &Address) -> bool {
    let account = s.server.node.account(who).ok().flatten();
    account.is_some_and(|a| a.admin)
}

/// Those who match and whom the asker may see, each with a common room.
fn people(s: &Session, mask: &str) -> Vec<(Address, Option<Arc<Convo>>)> {
    let names = &s.server.names;
    let exact = !mask.contains(['*', '?']);
    if exact {
        let who = names.person(mask).filter(|w| s.may_see(w));
        let room = who.as_ref().and_then(|w| s.common_room(w));
        return who.into_iter().map(|w| (w, room.clone())).collect();
    }
    let mask = Mask::new(mask);
    let mut found: Vec<(Address, Option<Arc<Convo>>)> = Vec::new();
    for inside in s.me().rooms.keys() {
        let Ok(Some(convo)) = s.server.node.convo(*inside) else {
            continue;
        };
        for member in convo.joined() {
            let new = !found.iter().any(|(w, _)| *w == member.address);
            let full = names.mask(&member.address);
            let nick = full.split('!').next().unwrap_or_default();
            if new && (mask.matches(nick) || mask.matches(&full)) {
                found.push((member.address.clone(), Some(convo.clone())));
                if found.len() >= MOST {
                    return found;
                }
            }
        }
    }
    found
}

impl Session {
    /// A room that this session and someone are in.
    pub(crate) fn common_room(&self, who: &Address) -> Option<Arc<Convo>> {
        let rooms = self.me().rooms.keys();
        let convos = rooms.filter_map(|id| self.server.node.convo(*id).ok().flatten());
        convos.into_iter().find(|convo| convo.has(who))
    }
}

fn one(s: &mut Session, who: &Address, convo: Option<&Arc<Convo>>, fields: Option<&str>) {
    let server = s.server.clone();
    let names = &server.names;
    let channel = convo
        .and_then(|c| c.conversation.room())
        .map(|r| names.channel(r));
    let channel = channel.unwrap_or_else(|| "*".to_owned());
    let nick = names.nick(who);
    let (user, host) = names.user_host(who);
    let account = server.node.account(who).ok().flatten();
    let here = server.presence(who) == Some(None);
    let mut flags = if here { "H" } else { "G" }.to_owned();
    if account.as_ref().is_some_and(|a| a.admin) {
        flags.push('*');
    }
    if account.as_ref().is_some_and(|a| a.bot) {
        flags.push('B');
    }
    if let Some(convo) = convo {
        let multi = s.has(Cap::MultiPrefix) || fields.is_some();
        flags.push_str(&modes::symbols(convo, who, multi));
    }
    let realname = server.realname(who);
    let Some(fields) = fields else {
        let middle = [channel.as_str(), &user, &host, &server.name, &nick, &flags];
        let text = format!("0 {realname}");
        return s.numeric(Numeric::RPL_WHOREPLY, &middle, &text);
    };
    let (wanted, token) = fields.split_once(',').unwrap_or((fields, ""));
    let account_name = names.account(who).unwrap_or_else(|| "0".to_owned());
    let idle = s.idle_seconds(who).unwrap_or(0).to_string();
    let rank = convo.map_or("0", |c| {
        if modes::ranks(c, who).next().is_some() {
            "1"
        } else {
            "0"
        }
    });
    let mut line = s.numeric_line(Numeric::RPL_WHOSPCRPL, &[]);
    // WHOX answers in this order, whichever order was asked.
    for (letter, value) in [
        ('t', token),
        ('c', channel.as_str()),
        ('u', &user),
        ('i', "255.255.255.255"),
        ('h', &host),
        ('s', &server.name),
        ('n', &nick),
        ('f', &flags),
        ('d', "0"),
        ('l', &idle),
        ('a', &account_name),
        ('o', rank),
    ] {
        if wanted.contains(letter) {
            line = line.param(value);
        }
    }
    if wanted.contains('r') {
        line = line.trailing(realname);
    }
    s.reply(line);
}
