//! CAP, NICK, USER, PASS, AUTHENTICATE, PING, PONG, QUIT.

use sammen_net::Secret;

use crate::login;
use crate::registration;
use crate::session::Session;
use crate::wire::caps::{self, Cap, CapCommand, CapRequest};
use crate::wire::{Line, Message, Numeric, casemap};

pub(crate) async fn cap(s: &mut Session, m: &Message<'_>) {
    let mechanisms = s.mechanisms();
    let (offered, values) = s.server.caps(&s.told, &mechanisms, s.client.channel.secure);
    let nick = s.nick().to_owned();
    let name = s.server.name.clone();
    match CapCommand::parse(m.text(0).unwrap_or(""), m.text(1)) {
        CapCommand::Ls(version) => {
            if s.me.is_none() {
                s.registration.negotiating = true;
            }
            if version >= 302 {
                s.v302 = true;
                // CAP LS 302 implies cap-notify.
                s.caps.insert(Cap::CapNotify);
            }
            let values = s.v302.then_some(&values);
            for line in caps::render(&name, &nick, "LS", offered, values, s.v302) {
                s.reply(line);
            }
        }
        CapCommand::List => {
            for line in caps::render(&name, &nick, "LIST", s.caps, None, s.v302) {
                s.reply(line);
            }
        }
        CapCommand::Req(list) => {
            if s.me.is_none() {
                s.registration.negotiating = true;
            }
            let asked = CapRequest::parse(list, offered);
            // What CAP LS 302 switched on stays on.
            let asked = asked.filter(|r| !(s.v302 && r.remove.has(Cap::CapNotify)));
            let before = s.caps;
            let answer = match asked {
                Some(request) => {
                    s.caps = request.apply(s.caps);
                    "ACK"
                }
                None => "NAK",
            };
            let line = Line::new(&name)
                .cmd("CAP")
                .param(&nick)
                .param(answer)
                .trailing(list);
            s.reply(line);
            if s.me.is_some() && !before.has(Cap::Metadata2) {
                super::metadata::own(s).await;
            }
        }
        CapCommand::End => {
            s.registration.negotiating = false;
            registration::advance(s).await;
        }
        CapCommand::Unknown(word) => {
            s.numeric(Numeric::ERR_INVALIDCAPCMD, &[word], "Invalid CAP command");
        }
    }
}

pub(crate) async fn nick(s: &mut Session, m: &Message<'_>) {
    let Some(wanted) = m.text(0).filter(|n| !n.is_empty()) else {
        return s.numeric(Numeric::ERR_NONICKNAMEGIVEN, &[], "No nickname given");
    };
    let odd = |c: char| c.is_control() || " ,*?!@#:&".contains(c);
    if wanted.len() > crate::names::NICK_BYTES
        || wanted.chars().any(odd)
        || wanted.starts_with(['$', '+', '~', '%'])
    {
        return s.numeric(
            Numeric::ERR_ERRONEUSNICKNAME,
            &[wanted],
            "Erroneous nickname",
        );
    }
    let Some(me) = &s.me else {
        s.registration.nick = Some(wanted.to_owned());
        return registration::advance(s).await;
    };
    if casemap::same(wanted, &me.nick) {
        return;
    }
    let text = format!("Your nick here is your account's: {}", me.nick);
    s.numeric(Numeric::ERR_NICKLOCKED, &[wanted], &text);
}

pub(crate) async fn user(s: &mut Session, m: &Message<'_>) {
    if s.me.is_some() {
        return s.numeric(
            Numeric::ERR_ALREADYREGISTERED,
            &[],
            "You may not reregister",
        );
    }
    let Some(user) = m.text(0).filter(|u| !u.is_empty()) else {
        let text = "Not enough parameters";
        return s.numeric(Numeric::ERR_NEEDMOREPARAMS, &["USER"], text);
    };
    s.registration.user = Some(user.to_owned());
    registration::advance(s).await;
}

pub(crate) async fn pass(s: &mut Session, m: &Message<'_>) {
    if s.me.is_some() {
        return s.numeric(
            Numeric::ERR_ALREADYREGISTERED,
            &[],
            "You may not reregister",
        );
    }
    s.registration.pass = m.text(0).map(Secret::new);
}

pub(crate) async fn authenticate(s: &mut Session, m: &Message<'_>) {
    if s.me.is_some() || s.registration.signed.is_some() {
        let text = "You have already authenticated using SASL";
        return s.numeric(Numeric::ERR_SASLALREADY, &[], text);
    }
    let parameter = m.text(0).unwrap_or("*").to_owned();
    login::authenticate(s, &parameter).await;
}

pub(crate) async fn ping(s: &mut Session, m: &Message<'_>) {
    let Some(token) = m.text(0) else {
        return s.numeric(
            Numeric::ERR_NEEDMOREPARAMS,
            &["PING"],
            "Not enough parameters",
        );
    };
    let name = s.server.name.clone();
    let line = s.server_line("PONG").param(name).trailing(token);
    s.reply(line);
}

pub(crate) async fn pong(_: &mut Session, _: &Message<'_>) {}

pub(crate) async fn quit(s: &mut Session, m: &Message<'_>) {
    let why = m.text(0).filter(|w| !w.is_empty());
    let why = why.map_or_else(|| "Quit".to_owned(), |w| format!("Quit: {w}"));
    s.close(&why);
}
