//! About the server: LUSERS, MOTD, VERSION, TIME, INFO, ADMIN, STATS, LINKS, MAP, HELP.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::session::{Extra, Session};
use crate::wire::caps::Cap;
use crate::wire::{Message, Numeric};

pub(crate) async fn lusers_command(s: &mut Session, _: &Message<'_>) {
    lusers(s);
}

/// People are counted, not their clients: who is on XMPP only is a user as well.
pub(crate) fn lusers(s: &mut Session) {
    let (people, opers, rooms) = s.server.node.live(|live| {
        let mut people: Vec<_> = live.all().map(|s| &s.account).collect();
        people.sort_unstable();
        people.dedup();
        let oper = |s: &Arc<sammen_core::live::Session>| {
            let extra = s.extra.read().clone();
            extra
                .and_then(|e| e.downcast::<Extra>().ok())
                .is_some_and(|e| e.oper.load(Ordering::Relaxed))
        };
        let opers = live.all().filter(|s| oper(s)).count();
        (people.len(), opers, live.occupied_rooms())
    });
    let most = s
        .server
        .most
        .fetch_max(people, Ordering::Relaxed)
        .max(people);
    let strangers = Arc::strong_count(&s.server.strangers).saturating_sub(1);
    let text = format!("There are {people} users and 0 invisible on 1 servers");
    s.numeric(Numeric::RPL_LUSERCLIENT, &[], &text);
    // RFC 2812 §5.1: these three only where the number is not zero.
    for (numeric, count, text) in [
        (Numeric::RPL_LUSEROP, opers, "operator(s) online"),
        (
            Numeric::RPL_LUSERUNKNOWN,
            strangers,
            "unknown connection(s)",
        ),
        (Numeric::RPL_LUSERCHANNELS, rooms, "channels formed"),
    ] {
        if count > 0 {
            s.numeric(numeric, &[&count.to_string()], text);
        }
    }
    let text = format!("I have {people} clients and 0 servers");
    s.numeric(Numeric::RPL_LUSERME, &[], &text);
    let (count, most) = (people.to_string(), most.to_string());
    for (numeric, which) in [
        (Numeric::RPL_LOCALUSERS, "local"),
        (Numeric::RPL_GLOBALUSERS, "global"),
    ] {
        let text = format!("Current {which} users {count}, max {most}");
        s.numeric(numeric, &[&count, &most], &text);
    }
}

pub(crate) async fn motd_command(s: &mut Session, _: &Message<'_>) {
    motd(s);
}

pub(crate) fn motd(s: &mut Session) {
    let config = s.server.config();
    // What an administrator said with an app (XEP-0133) stands below the configuration's words.
    let said = sammen_core::ops::announce::motd(&s.server.node);
    let said = said.ok().flatten();
    if config.motd.is_empty() && said.is_none() {
        return s.numeric(Numeric::ERR_NOMOTD, &[], "MOTD File is missing");
    }
    let text = format!("- {} Message of the day - ", s.server.name);
    s.numeric(Numeric::RPL_MOTDSTART, &[], &text);
    let said = said.iter();
    let said = said.flat_map(|a| a.subject.iter().map(String::as_str).chain(a.text.lines()));
    let configured = config.motd.iter().flat_map(|l| l.lines());
    for line in configured.chain(said) {
        s.numeric(Numeric::RPL_MOTD, &[], &format!("- {line}"));
    }
    s.numeric(Numeric::RPL_ENDOFMOTD, &[], "End of /MOTD command");
}

pub(crate) async fn version(s: &mut Session, _: &Message<'_>) {
    let server = s.server.clone();
    let text = "one account, one log, every protocol";
    s.numeric(Numeric::RPL_VERSION, &[crate::VERSION, &server.name], text);
    let nick = s.nick().to_owned();
    for line in server.isupport(&s.told).lines(&server.name, &nick) {
        s.reply(line);
    }
}

/// draft/extended-isupport: 005 on demand, before registration too.
pub(crate) async fn isupport(s: &mut Session, _: &Message<'_>) {
    let (server, nick) = (s.server.clone(), s.nick().to_owned());
    let batch = s.has(Cap::Batch).then(|| s.batch_ref());
    if let Some(batch) = &batch {
        let line = s.server_line("BATCH").param(format!("+{batch}"));
        s.reply(line.param("draft/isupport"));
    }
    for line in server.isupport(&s.told).lines(&server.name, &nick) {
        s.reply(match &batch {
            Some(batch) => line.tag("batch", batch),
            None => line,
        });
    }
    if let Some(batch) = batch {
        let line = s.server_line("BATCH").param(format!("-{batch}"));
        s.reply(line);
    }
}

pub(crate) async fn time(s: &mut Session, _: &Message<'_>) {
    let name = s.server.name.clone();
    let now = s.server.node.now();
    let (seconds, text) = ((now.0 / 1000).to_string(), crate::wire::time::format(now.0));
    s.numeric(Numeric::RPL_TIME, &[&name, &seconds, "0"], &text);
}

pub(crate) async fn info(s: &mut Session, _: &Message<'_>) {
    let since = crate::wire::time::format(s.server.started.0);
    for line in [
        format!("{}: a messaging node", crate::VERSION),
        "Your account here is the same in XMPP apps: one address, one history.".to_owned(),
        format!("Running since {since}"),
    ] {
        s.numeric(Numeric::RPL_INFO, &[], &line);
    }
    s.numeric(Numeric::RPL_ENDOFINFO, &[], "End of INFO list");
}

pub(crate) async fn admin(s: &mut Session, _: &Message<'_>) {
    let config = s.server.config();
    let name = s.server.name.clone();
    if config.admin.is_empty() {
        let text = "No administrative info available";
        return s.numeric(Numeric::ERR_NOADMININFO, &[&name], text);
    }
    s.numeric(Numeric::RPL_ADMINME, &[&name], "Administrative info");
    let numerics = [
        Numeric::RPL_ADMINLOC1,
        Numeric::RPL_ADMINLOC2,
        Numeric::RPL_ADMINEMAIL,
    ];
    for (numeric, text) in numerics.into_iter().zip(&config.admin) {
        s.numeric(numeric, &[], text);
    }
}

pub(crate) async fn links(s: &mut Session, _: &Message<'_>) {
    let (name, network) = (s.server.name.clone(), s.server.config().network.clone());
    s.numeric(Numeric::RPL_LINKS, &[&name, &name], &format!("0 {network}"));
    s.numeric(Numeric::RPL_ENDOFLINKS, &["*"], "End of LINKS list");
}

pub(crate) async fn map(s: &mut Session, _: &Message<'_>) {
    let name = s.server.name.clone();
    // 015 RPL_MAP, 017 RPL_MAPEND.
    s.numeric(Numeric(15), &[], &name);
    s.numeric(Numeric(17), &[], "End of MAP");
}

pub(crate) async fn stats(s: &mut Session, m: &Message<'_>) {
    let letter = m.text(0).and_then(|q| q.chars().next()).unwrap_or('*');
    if letter == 'u' {
        let up = (s.server.node.now().0 - s.server.started.0).max(0) / 1000;
        let (days, rest) = (up / 86_400, up % 86_400);
        let (hours, minutes, seconds) = (rest / 3600, rest / 60 % 60, rest % 60);
        let text = format!("Server Up {days} days {hours}:{minutes:02}:{seconds:02}");
        s.numeric(Numeric::RPL_STATSUPTIME, &[], &text);
    }
    s.numeric(
        Numeric::RPL_ENDOFSTATS,
        &[&letter.to_string()],
        "End of /STATS report",
    );
}

/// What people ask for, by subject.
const HELP: &[(&str, &[&str])] = &[
    (
        "INDEX",
        &[
            "JOIN #room, PART #room, TOPIC, INVITE, KICK, MODE, NAMES, LIST: rooms.",
            "PRIVMSG, NOTICE, TAGMSG, REDACT: messages. AWAY, MONITOR, WHOIS: people.",
            "CONTACT, SILENCE: who may see you and write to you (HELP CONTACT).",
            "CHATHISTORY, MARKREAD: history. SETNAME, METADATA: about you.",
            "You stay in your rooms while you are disconnected; PART leaves them.",
        ],
    ),
    (
        "CONTACT",
        &[
            "CONTACT LIST: your contacts. CONTACT ASK nick: ask to see when they are here.",
            "CONTACT ALLOW nick, CONTACT DENY nick: answer their question, or take the answer back.",
            "CONTACT REMOVE nick: off your list. SILENCE +nick, SILENCE -nick: block and unblock.",
            "CONTACT PLAIN nick ALLOW|FORBID: plain text in a conversation that has turned encrypted.",
        ],
    ),
    (
        "MODE",
        &[
            "+q owner, +a admin, +o moderator, +v voice (where the room is moderated).",
            "+i members and invited people only, +m moderated, +s not listed, +t topic by moderators,",
            "+k password, +l most people, +b ban, +e exception, +I invitation; masks also as $a:account.",
            "+n and +R are always set: nobody writes from outside or without an account.",
        ],
    ),
];

pub(crate) async fn help(s: &mut Session, m: &Message<'_>) {
    let asked = m.text(0).filter(|t| !t.is_empty()).unwrap_or("INDEX");
    let subject = asked.to_ascii_uppercase();
    let found = HELP.iter().find(|(name, _)| *name == subject);
    let Some((_, lines)) = found else {
        let text = "No help on that; try HELP without a subject";
        return s.numeric(Numeric::ERR_HELPNOTFOUND, &[asked], text);
    };
    s.numeric(Numeric::RPL_HELPSTART, &[&subject], "Help");
    for line in *lines {
        s.numeric(Numeric::RPL_HELPTXT, &[&subject], line);
    }
    s.numeric(Numeric::RPL_ENDOFHELP, &[&subject], "End of help");
}
