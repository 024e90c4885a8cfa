//! MODE: ranks, lists and settings of a room; the own user modes.

use std::sync::Arc;

use sammen_core::conversation::Mask;
use sammen_core::ops;
use sammen_core::{Address, Convo, Outcome, Principal, Refusal, Role, Standing};

use crate::modes::{self, CHANNEL, USER};
use crate::session::Session;
use crate::wire::casemap::{self, Ban};
use crate::wire::modes::{ModeChange, ModeKind};
use crate::wire::{Message, Numeric};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let target = m.text(0).unwrap_or("");
    if !target.starts_with('#') {
        return user(s, target, m.text(1)).await;
    }
    let Some(convo) = s.visible_room(target) else {
        return s.numeric(Numeric::ERR_NOSUCHCHANNEL, &[target], "No such channel");
    };
    let channel = s
        .server
        .names
        .channel(convo.conversation.room().unwrap_or(&s.me().account));
    let Some(asked) = m.text(1) else {
        return query(s, &convo, &channel);
    };
    let args: Vec<&str> = (2..m.params().len()).filter_map(|at| m.text(at)).collect();
    let parsed = CHANNEL.parse(asked, args);
    for unknown in &parsed.unknown {
        let text = "is an unknown mode character to me";
        s.numeric(Numeric::ERR_UNKNOWNMODE, &[&unknown.to_string()], text);
    }
    for missing in &parsed.missing {
        let text = "You must specify a parameter";
        let middle = [channel.as_str(), &missing.to_string(), "*"];
        s.numeric(Numeric::ERR_INVALIDMODEPARAM, &middle, text);
    }
    let mut settings: Vec<ModeChange> = Vec::new();
    let mut listed = Vec::new();
    for change in parsed.changes {
        match (change.kind, &change.arg) {
            // Each list once, however often it was asked for.
            (ModeKind::List, None) if listed.contains(&change.mode) => {}
            (ModeKind::List, None) => {
                listed.push(change.mode);
                list(s, &convo, &channel, change.mode);
            }
            (ModeKind::Prefix, Some(nick)) => rank(s, &convo, &channel, &change, nick).await,
            (ModeKind::List, Some(mask)) => match one_person(s, mask) {
                Some(who) if change.mode == 'b' => {
                    let rank = convo.standing(&s.me().account);
                    let admin = rank >= Standing::Admin || s.me().oper;
                    if admin || (!change.set && convo.standing(&who) == Standing::Outcast) {
                        ban(s, &convo, &channel, who, change.set).await;
                    }
                    // A moderator keeps people out by the mask alone; taking a ban back takes both back.
                    let masks = &convo.conversation.settings.masks;
                    let full = Ban::parse(mask).map(|ban| ban.to_string());
                    let there = full.is_ok_and(|full| {
                        let same = |m: &Mask| m.list == 'b' && casemap::same(&m.mask, &full);
                        masks.iter().any(same)
                    });
                    if change.set && !admin || !change.set && there {
                        settings.push(change);
                    }
                }
                _ => settings.push(change),
            },
            _ => settings.push(change),
        }
    }
    if !settings.is_empty() {
        configure(s, &convo, &channel, settings).await;
    }
    s.answer_with_events().await;
}

fn query(s: &mut Session, convo: &Arc<Convo>, channel: &str) {
    let me = &s.me().account;
    let inside = convo.has(me);
    if !inside && !convo.conversation.settings.listed && !s.me().oper {
        return s.numeric(Numeric::ERR_NOSUCHCHANNEL, &[channel], "No such channel");
    }
    let changes = modes::of_settings(&convo.conversation.settings, inside);
    let rendered = crate::wire::modes::render(&changes, usize::MAX, 400);
    let (letters, args) = rendered.into_iter().next().unwrap_or_default();
    let mut middle = vec![channel, letters.as_str()];
    middle.extend(args);
    s.numeric_bare(Numeric::RPL_CHANNELMODEIS, &middle);
    let created = (convo.conversation.created.0 / 1000).to_string();
    s.numeric_bare(Numeric::RPL_CREATIONTIME, &[channel, &created]);
}

fn list(s: &mut Session, convo: &Arc<Convo>, channel: &str, mode: char) {
    let (one, end, text) = match mode {
        'b' => (Numeric::RPL_BANLIST, Numeric::RPL_ENDOFBANLIST, "ban"),
        'e' => (
            Numeric::RPL_EXCEPTLIST,
            Numeric::RPL_ENDOFEXCEPTLIST,
            "exception",
        ),
        _ => (
            Numeric::RPL_INVEXLIST,
            Numeric::RPL_ENDOFINVEXLIST,
            "invite exception",
        ),
    };
    let inside = convo.has(&s.me().account) || s.me().oper;
    if inside {
        if mode == 'b' {
            let mut banned: Vec<&Address> = convo
                .members
                .values()
                .filter(|m| m.standing == Standing::Outcast)
                .map(|m| &m.address)
                .collect();
            banned.sort_unstable();
            for who in banned {
                let mask = format!("{}!*@*", s.server.names.nick(who));
                s.numeric_bare(one, &[channel, &mask]);
            }
        }
        for mask in convo
            .conversation
            .settings
            .masks
            .iter()
            .filter(|m| m.list == mode)
        {
            let (by, at) = (
                s.server.names.mask(&mask.by),
                (mask.at.0 / 1000).to_string(),
            );
            s.numeric_bare(one, &[channel, &mask.mask, &by, &at]);
        }
    }
    s.numeric(end, &[channel], &format!("End of channel {text} list"));
}

/// A mask that means one account and nobody else: `bob`, `bob!*@*`, `$a:bob`. It becomes a standing, which holds on
/// every protocol.
fn one_person(s: &Session, mask: &str) -> Option<Address> {
    let nick = match Ban::parse(mask).ok()? {
        Ban::Host { nick, user, host } if user.as_str() == "*" && host.as_str() == "*" => nick,
        Ban::Account {
            account,
            negated: false,
        } => account,
        _ => return None,
    };
    if nick.as_str().contains(['*', '?']) {
        return None;
    }
    s.server.names.person(nick.as_str())
}

async fn ban(s: &mut Session, convo: &Arc<Convo>, channel: &str, who: Address, on: bool) {
    let (by, origin, id) = (s.principal(), s.origin(), convo.id());
    let written = s.server.node.write(move |tx| {
        let standing = tx.convo(id)?.standing(&who);
        let to = match (on, standing) {
            (true, _) => Standing::Outcast,
            (false, Standing::Outcast) => Standing::None,
            (false, _) => return Ok(()),
        };
        ops::rooms::set_standing(tx, &by, id, &who, to, None, &origin).map(drop)
    });
    if let Err(refusal) = written.await {
        refuse(s, &refusal, channel);
    }
}

fn refuse(s: &mut Session, refusal: &Refusal, channel: &str) {
    match refusal {
        Refusal::NotFound => {
            let text = "They aren't on that channel";
            s.numeric(Numeric::ERR_USERNOTINCHANNEL, &["*", channel], text);
        }
        _ => s.refuse(refusal, channel),
    }
}

async fn rank(s: &mut Session, convo: &Arc<Convo>, channel: &str, change: &ModeChange, nick: &str) {
    // Before the nick is looked at: who is in a room is not told to those outside.
    if !convo.has(&s.me().account) && !s.me().oper {
        return s.refuse(&Refusal::NotJoined, channel);
    }
    let Some(who) = s.server.names.person(nick).filter(|w| convo.has(w)) else {
        let text = "They aren't on that channel";
        return s.numeric(Numeric::ERR_USERNOTINCHANNEL, &[nick, channel], text);
    };
    let (by, origin, id) = (s.principal(), s.origin(), convo.id());
    let (mode, on) = (change.mode, change.set);
    let moderated = convo.conversation.settings.moderated;
    if mode == 'v' && on && !moderated && convo.role(&who) >= Role::Participant {
        let text =
            format!("{nick} needs no voice: everyone speaks in {channel} while it is not +m");
        let line = s.server_line("NOTICE").param(s.me().nick.clone());
        return s.reply(line.trailing(text));
    }
    let written = s
        .server
        .node
        .write(move |tx| set_rank(tx, &by, id, &who, mode, on, &origin));
    if let Err(refusal) = written.await {
        refuse(s, &refusal, channel);
    }
}

fn set_rank(
    tx: &mut sammen_core::tx::Tx<'_>,
    by: &Principal,
    room: sammen_core::ConversationId,
    who: &Address,
    mode: char,
    on: bool,
    origin: &sammen_core::principal::Origin,
) -> Outcome<()> {
    let convo = tx.convo(room)?;
    let standing = convo.standing(who);
    let to_standing =
        |tx: &mut _, to| ops::rooms::set_standing(tx, by, room, who, to, None, origin).map(drop);
    let to_role =
        |tx: &mut _, to| ops::rooms::set_role(tx, by, room, who, to, None, origin).map(drop);
    match (mode, on, standing) {
        ('q', true, _) => to_standing(tx, Standing::Owner),
        ('q', false, Standing::Owner) => to_standing(tx, Standing::Admin),
        ('a', true, s) if s < Standing::Admin => to_standing(tx, Standing::Admin),
        ('a', false, Standing::Admin) => to_standing(tx, Standing::Member),
        ('o', true, _) => to_role(tx, Role::Moderator),
        // An admin's rank is the standing: taking the operator's sign away takes that.
        ('o', false, Standing::Admin | Standing::Owner) => to_standing(tx, Standing::Member),
        ('o', false, _) if convo.role(who) == Role::Moderator => to_role(tx, Role::Participant),
        ('v', true, _) if convo.role(who) < Role::Participant => to_role(tx, Role::Participant),
        ('v', false, _) if convo.role(who) == Role::Participant => to_role(tx, Role::Visitor),
        _ => Ok(()),
    }
}

async fn configure(s: &mut Session, convo: &Arc<Convo>, channel: &str, changes: Vec<ModeChange>) {
    let mut wanted = Vec::new();
    for mut change in changes {
        if change.kind == ModeKind::List {
            match Ban::parse(change.arg.as_deref().unwrap_or("")) {
                Ok(ban) => change.arg = Some(ban.to_string()),
                Err(error) => {
                    let middle = [
                        channel,
                        &change.mode.to_string(),
                        change.arg.as_deref().unwrap_or("*"),
                    ];
                    s.numeric(Numeric::ERR_INVALIDMODEPARAM, &middle, &error.to_string());
                    continue;
                }
            }
        }
        let number = change.arg.as_deref().and_then(|a| a.parse::<u32>().ok());
        if change.mode == 'l' && change.set && number.is_none_or(|n| n == 0) {
            let middle = [channel, "l", change.arg.as_deref().unwrap_or("*")];
            s.numeric(
                Numeric::ERR_INVALIDMODEPARAM,
                &middle,
                "The limit is a number",
            );
            continue;
        }
        if change.mode == 'k'
            && change.set
            && change
                .arg
                .as_deref()
                .is_some_and(|k| k.len() > 64 || k.contains([',', ' ']))
        {
            s.numeric(
                Numeric::ERR_INVALIDKEY,
                &[channel],
                "Key is not well-formed",
            );
            continue;
        }
        wanted.push(change);
    }
    let (by, origin, id, me) = (s.principal(), s.origin(), convo.id(), s.account());
    let now = s.server.node.now();
    let written = s.server.node.write(move |tx| {
        let change = |settings: &mut sammen_core::Settings| {
            for change in &wanted {
                apply(settings, change, &me, now);
            }
            Ok(())
        };
        ops::rooms::configure(tx, &by, id, change, &origin)
    });
    match written.await {
        Ok(_) => {}
        Err(Refusal::TooMany) => {
            s.numeric(
                Numeric::ERR_BANLISTFULL,
                &[channel, "b"],
                "Channel list is full",
            );
        }
        Err(refusal) => refuse(s, &refusal, channel),
    }
}

fn apply(
    settings: &mut sammen_core::Settings,
    change: &ModeChange,
    by: &Address,
    at: sammen_core::Timestamp,
) {
    let arg = change.arg.as_deref().unwrap_or("");
    match change.kind {
        ModeKind::Flag => {
            modes::set_flag(settings, change.mode, change.set);
        }
        ModeKind::OnSet => {
            settings.max_members = if change.set {
                arg.parse().unwrap_or(0)
            } else {
                0
            };
        }
        ModeKind::Always => settings.password = change.set.then(|| arg.to_owned()),
        ModeKind::List => {
            let there = |m: &Mask| m.list == change.mode && casemap::same(&m.mask, arg);
            if !change.set {
                settings.masks.retain(|m| !there(m));
            } else if !settings.masks.iter().any(there) {
                settings.masks.push(Mask {
                    list: change.mode,
                    mask: arg.to_owned(),
                    by: by.clone(),
                    at,
                });
            }
        }
        ModeKind::Prefix => {}
    }
}

/// The own user modes, as `+iR`.
pub(crate) fn own_modes(s: &Session) -> String {
    let account = s.server.node.account(&s.me().account).ok().flatten();
    let mut out = "+i".to_owned();
    if account.is_some_and(|a| a.bot) {
        out.push('B');
    }
    if s.me().oper {
        out.push('o');
    }
    if s.client.channel.secure {
        out.push('Z');
    }
    out
}

async fn user(s: &mut Session, target: &str, asked: Option<&str>) {
    if !casemap::same(target, &s.me().nick) {
        let known = s.server.names.person(target).is_some();
        return if known {
            s.numeric(
                Numeric::ERR_USERSDONTMATCH,
                &[],
                "Can't change mode for other users",
            )
        } else {
            s.numeric(Numeric::ERR_NOSUCHNICK, &[target], "No such nick")
        };
    }
    let Some(asked) = asked else {
        let modes = own_modes(s);
        return s.numeric_bare(Numeric::RPL_UMODEIS, &[&modes]);
    };
    let parsed = USER.parse(asked, []);
    if !parsed.unknown.is_empty() {
        s.numeric(Numeric::ERR_UMODEUNKNOWNFLAG, &[], "Unknown MODE flag");
    }
    if let Some(change) = parsed.changes.iter().find(|c| c.mode == 'B') {
        let (me, on) = (s.account(), change.set);
        let written = s
            .server
            .node
            .write(move |tx| ops::accounts::change(tx, &me, |account| account.bot = on).map(drop));
        let nick = s.me().nick.clone();
        match written.await {
            Ok(()) => {
                let line = crate::wire::Line::new(&nick).cmd("MODE").param(&nick);
                s.reply(line.param(if on { "+B" } else { "-B" }));
            }
            Err(refusal) => s.refuse(&refusal, &nick),
        }
    }
    // The others follow from the account and the connection, but for stepping down.
    if parsed.changes.iter().any(|c| c.mode == 'o' && !c.set) && s.me().oper {
        s.set_oper(false);
        let nick = s.me().nick.clone();
        let line = crate::wire::Line::new(&nick)
            .cmd("MODE")
            .param(&nick)
            .param("-o");
        s.reply(line);
    }
}
