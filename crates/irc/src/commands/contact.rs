//! CONTACT and SILENCE: who may see when one is here, and who may write.

use sammen_core::tx::Tx;
use sammen_core::{Address, Outcome, ops};

use crate::session::Session;
use crate::wire::casemap::Ban;
use crate::wire::{Message, Numeric};

/// `CONTACT LIST | ASK nick | ALLOW nick | DENY nick | REMOVE nick | PLAIN nick ALLOW|FORBID`.
pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let words: Vec<String> = m.words(0).take(3).map(str::to_owned).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let text = run(s, &words).await;
    let line = if s.has(crate::wire::caps::Cap::StandardReplies) {
        s.server_line("NOTE").param("CONTACT").param("DONE")
    } else {
        s.server_line("NOTICE").param(s.me().nick.clone())
    };
    s.said(&line, &text);
}

/// Does what the words say; the answer is for people.
pub(crate) async fn run(s: &mut Session, words: &[&str]) -> String {
    let word = words
        .first()
        .copied()
        .unwrap_or("list")
        .to_ascii_lowercase();
    if word == "list" {
        return list(s);
    }
    let Some(nick) = words.get(1).copied() else {
        return "Say who: CONTACT ALLOW nick".to_owned();
    };
    let Some(who) = s.server.names.person(nick) else {
        return format!("{nick} is nobody's name here");
    };
    let me = s.account();
    let third = words.get(2).map(|w| w.to_ascii_lowercase());
    let plain = third.as_deref() != Some("forbid");
    let origin = s.origin();
    type Write = Box<dyn FnOnce(&mut Tx<'_>) -> Outcome<()> + Send>;
    let (write, done): (Write, String) = match word.as_str() {
        "ask" => (
            Box::new(move |tx| ops::contacts::ask(tx, &me, &who, Vec::new())),
            format!("{nick} is asked"),
        ),
        "allow" => (
            Box::new(move |tx| ops::contacts::allow(tx, &me, &who)),
            format!("{nick} can see when you are here"),
        ),
        "deny" => (
            Box::new(move |tx| ops::contacts::deny(tx, &me, &who)),
            format!("{nick} does not see when you are here"),
        ),
        "remove" => (
            Box::new(move |tx| ops::contacts::remove(tx, &me, &who).map(drop)),
            format!("{nick} is off your list"),
        ),
        "plain" => (
            Box::new(move |tx| ops_plain(tx, &me, &who, plain, origin)),
            if plain {
                format!("Plain text is allowed in your conversation with {nick}")
            } else {
                format!("Plain text is forbidden in your conversation with {nick}")
            },
        ),
        _ => return "LIST, ASK, ALLOW, DENY, REMOVE or PLAIN".to_owned(),
    };
    match s.server.node.write(write).await {
        Ok(()) => done,
        Err(refusal) => format!("Not done: {refusal}"),
    }
}

fn ops_plain(
    tx: &mut Tx<'_>,
    me: &Address,
    who: &Address,
    allow: bool,
    origin: sammen_core::principal::Origin,
) -> Outcome<()> {
    sammen_core::encryption::allow_plain(tx, me, who, allow, origin)
}

fn list(s: &Session) -> String {
    let Ok(contacts) = s.server.node.contacts(&s.me().account) else {
        return "Your contacts can't be read now".to_owned();
    };
    let mut out = Vec::new();
    for (who, contact) in contacts.iter().take(200) {
        let mut notes = Vec::new();
        for (is, word) in [
            (contact.sees && contact.seen, "both see each other"),
            (contact.sees && !contact.seen, "you see them"),
            (contact.seen && !contact.sees, "they see you"),
            (contact.asked, "asked"),
            (contact.asks.is_some(), "asks you"),
            (contact.blocked, "blocked"),
        ] {
            if is {
                notes.push(word);
            }
        }
        let nick = s.server.names.nick(who);
        if notes.is_empty() {
            out.push(nick);
        } else {
            out.push(format!("{nick} ({})", notes.join(", ")));
        }
    }
    if out.is_empty() {
        "You have no contacts yet: CONTACT ASK nick".to_owned()
    } else {
        out.join("; ")
    }
}

/// `SILENCE`, `SILENCE +nick`, `SILENCE -nick`: blocking, on every protocol.
pub(crate) async fn silence(s: &mut Session, m: &Message<'_>) {
    let Some(asked) = m.text(0).filter(|a| !a.is_empty()) else {
        return blocked(s);
    };
    for word in asked.split(',').take(16) {
        let (on, mask) = match word.strip_prefix('-') {
            Some(mask) => (false, mask),
            None => (true, word.strip_prefix('+').unwrap_or(word)),
        };
        let nick = match Ban::parse(mask) {
            Ok(Ban::Host { nick, user, host }) if user.as_str() == "*" && host.as_str() == "*" => {
                nick.as_str().to_owned()
            }
            Ok(Ban::Account { account, .. }) => account.as_str().to_owned(),
            _ => mask.to_owned(),
        };
        let Some(who) = s.server.names.person(&nick) else {
            s.numeric(Numeric::ERR_NOSUCHNICK, &[mask], "No such nick");
            continue;
        };
        let me = s.account();
        let written = s
            .server
            .node
            .write(move |tx| ops::contacts::block(tx, &me, &who, on).map(drop));
        match written.await {
            Ok(()) => {
                let sign = if on { '+' } else { '-' };
                let line = crate::wire::Line::new(&s.me().mask)
                    .cmd("SILENCE")
                    .param(format!("{sign}{nick}!*@*"));
                s.reply(line);
            }
            // 511 ERR_SILELISTFULL.
            Err(refusal) => s.numeric(Numeric(511), &[mask], &refusal.to_string()),
        }
    }
}

fn blocked(s: &mut Session) {
    let me = s.account();
    let contacts = s.server.node.contacts(&me).unwrap_or_default();
    let own = s.me().nick.clone();
    for (who, _) in contacts.iter().filter(|(_, c)| c.blocked) {
        let mask = format!("{}!*@*", s.server.names.nick(who));
        // 271 RPL_SILELIST, 272 RPL_ENDOFSILELIST.
        s.numeric_bare(Numeric(271), &[&own, &mask]);
    }
    s.numeric(Numeric(272), &[&own], "End of Silence List");
}
