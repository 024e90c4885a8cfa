//! The pseudo-nicks that people and clients expect: NickServ, and `*sammen`, which understands plain words.

use crate::session::Session;
use crate::wire::{Line, Message, casemap};

/// Whether a nick is one of the services.
pub(crate) fn is_service(nick: &str) -> bool {
    ["NickServ", "*sammen", "*status"]
        .iter()
        .any(|name| casemap::same(name, nick))
}

/// `NICKSERV …`, `NS …`.
pub(crate) async fn command(s: &mut Session, m: &Message<'_>) {
    // The last one may hold blanks.
    let text = m.words(0).collect::<Vec<_>>().join(" ");
    words(s, "NickServ", &text).await;
}

/// Plain words to a service; the answer comes as a NOTICE from it.
pub(crate) async fn words(s: &mut Session, service: &str, text: &str) {
    let text = text.trim_matches('\x01');
    let all: Vec<&str> = text.split_whitespace().take(8).collect();
    let word = all.first().copied().unwrap_or("help").to_ascii_lowercase();
    let rest = all.get(1..).unwrap_or_default();
    let answer = match word.as_str() {
        // `plain allow bob` as well as `plain bob allow`.
        "plain" => match rest {
            [how, nick] if matches!(&*how.to_ascii_lowercase(), "allow" | "forbid") => {
                super::contact::run(s, &["plain", nick, how]).await
            }
            [nick, how] => super::contact::run(s, &["plain", nick, how]).await,
            _ => "plain allow nick, or plain forbid nick".to_owned(),
        },
        "settings" | "set" => super::settings::run(s, rest).await,
        "contacts" | "list" => super::contact::run(s, &["list"]).await,
        "ask" | "allow" | "deny" | "remove" => super::contact::run(s, &all).await,
        "passwd" | "password" => super::passphrase::run(s, rest).await,
        "identify" | "login" => format!("You are signed in as {} already", s.me().nick),
        "info" | "status" => {
            let me = s.me();
            format!("You are {} in {} rooms", me.account, me.rooms.len())
        }
        _ => {
            "Words I know: contacts; ask, allow, deny, remove nick; plain allow|forbid nick; settings; \
             settings receipts|typing|last-seen on|off; settings retention days|none; passwd old new new; status"
                .to_owned()
        }
    };
    let nick = s.me().nick.clone();
    let host = s.server.name.clone();
    let line = Line::new(format!("{service}!sammen@{host}"))
        .cmd("NOTICE")
        .param(nick);
    s.said(&line, &answer);
}
