//! OPER, KILL, WALLOPS, REHASH: for administrators of the node, with their own account.

use std::sync::Arc;

use bytes::Bytes;
use sammen_core::live::{Payload, Signal};
use sammen_core::{Protocol, ops};
use sammen_net::Secret;

use crate::session::Session;
use crate::wire::{Line, Message, Numeric};

pub(crate) async fn oper(s: &mut Session, m: &Message<'_>) {
    let (Some(name), Some(password)) = (m.text(0), m.text(1)) else {
        return;
    };
    let account = s.server.node.account(&s.me().account).ok().flatten();
    let own = s.server.names.person(name).as_ref() == Some(&s.me().account);
    if !own || !account.is_some_and(|a| a.admin) {
        let text = "Only administrators, with their own account";
        return s.numeric(Numeric::ERR_NOOPERHOST, &[], text);
    }
    let (name, password) = (name.to_owned(), Secret::new(password));
    if crate::login::passphrase_of(s, &name, &password).await != Some(s.account()) {
        return s.numeric(Numeric::ERR_PASSWDMISMATCH, &[], "Password incorrect");
    }
    s.set_oper(true);
    s.numeric(Numeric::RPL_YOUREOPER, &[], "You are now an IRC operator");
    let nick = s.me().nick.clone();
    let line = Line::new(&nick).cmd("MODE").param(&nick).param("+o");
    s.reply(line);
}

fn is_oper(s: &mut Session) -> bool {
    if !s.me().oper {
        let text = "Permission Denied- You're not an IRC operator";
        s.numeric(Numeric::ERR_NOPRIVILEGES, &[], text);
    }
    s.me().oper
}

/// Ends all sessions of an account, on every protocol, and makes its devices sign in anew.
pub(crate) async fn kill(s: &mut Session, m: &Message<'_>) {
    if !is_oper(s) {
        return;
    }
    let nick = m.text(0).unwrap_or("");
    let Some(who) = s.server.names.person(nick).filter(|w| w.is_account()) else {
        return s.numeric(Numeric::ERR_NOSUCHNICK, &[nick], "No such nick");
    };
    let written = s
        .server
        .node
        .write(move |tx| ops::sessions::sign_out_everywhere(tx, &who, None));
    match written.await {
        Ok(()) => s.notice(&format!("{nick} is signed out everywhere")),
        Err(refusal) => s.refuse(&refusal, nick),
    }
}

/// To all administrators who are here.
pub(crate) async fn wallops(s: &mut Session, m: &Message<'_>) {
    if !is_oper(s) {
        return;
    }
    let line = Line::new(&s.me().mask)
        .cmd("WALLOPS")
        .trailing(m.text(0).unwrap_or(""));
    let payload: Payload = Arc::new(Bytes::from(line.finish()));
    let signal = Arc::new(Signal {
        from: s.account(),
        session: Some(s.id()),
        protocol: Protocol::Irc,
        payload,
    });
    let node = s.server.node.clone();
    let sessions: Vec<_> = node.live(|live| live.all().cloned().collect());
    for session in sessions.iter().filter(|s| s.protocol == Protocol::Irc) {
        if node
            .account(&session.account)
            .ok()
            .flatten()
            .is_some_and(|a| a.admin)
        {
            // Who is too busy to take it misses it.
            let _ = node.live(|live| live.signal(session.id, &signal));
        }
    }
}

pub(crate) async fn rehash(s: &mut Session, _: &Message<'_>) {
    if !is_oper(s) {
        return;
    }
    let server = s.server.clone();
    let read = server.rehash.read().as_ref().and_then(|read| read());
    let Some(config) = read else {
        return s.notice("There is no configuration to read anew");
    };
    server.reconfigure(config);
    s.numeric(Numeric::RPL_REHASHING, &["configuration"], "Rehashing");
    s.refresh();
}
