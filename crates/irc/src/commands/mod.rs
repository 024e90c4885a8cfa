//! The commands: one file per verb or small family, registered in one table.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::LazyLock;

use sammen_core::live::Payload;

use crate::session::Session;
use crate::wire::{Message, Numeric};

pub(crate) mod away;
pub(crate) mod batch;
pub(crate) mod chathistory;
pub(crate) mod connect;
pub(crate) mod contact;
pub(crate) mod invite;
pub(crate) mod ison;
pub(crate) mod join;
pub(crate) mod kick;
pub(crate) mod list;
pub(crate) mod markread;
pub(crate) mod metadata;
pub(crate) mod mode;
pub(crate) mod monitor;
pub(crate) mod names;
pub(crate) mod oper;
pub(crate) mod passphrase;
pub(crate) mod privmsg;
pub(crate) mod redact;
pub(crate) mod register;
pub(crate) mod rename;
pub(crate) mod search;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod setname;
pub(crate) mod settings;
pub(crate) mod tagmsg;
pub(crate) mod topic;
pub(crate) mod who;
pub(crate) mod whois;

type Handling<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One command.
pub(crate) struct Command {
    /// In upper case.
    pub verb: &'static str,
    /// Fewer parameters are refused (461).
    pub min_params: usize,
    /// Whether it comes after registration only.
    pub needs_registration: bool,
    /// Whether it is submitted without waiting for what was submitted before.
    pub pipelined: bool,
    pub handle: for<'a> fn(&'a mut Session, &'a Message<'a>) -> Handling<'a>,
}

macro_rules! commands {
    ($($verb:literal $min:literal $when:ident $handle:path;)*) => {
        /// All commands.
        pub(crate) static COMMANDS: &[Command] = &[
            $(Command {
                verb: $verb,
                min_params: $min,
                needs_registration: commands!(@needs $when),
                pipelined: commands!(@pipelined $when),
                handle: |s, m| Box::pin($handle(s, m)),
            },)*
        ];
    };
    (@needs any) => { false };
    (@needs $other:ident) => { true };
    (@pipelined piped) => { true };
    (@pipelined $other:ident) => { false };
}

// Commands are for everyone (`any`), for those who are in (`in`), or for those and submitted in a row (`piped`).
commands! {
    "ADMIN" 0 inside server::admin;
    "AUTHENTICATE" 1 any connect::authenticate;
    "AWAY" 0 any away::handle;
    "BATCH" 1 inside batch::handle;
    "CAP" 1 any connect::cap;
    "CHATHISTORY" 2 inside chathistory::handle;
    "CONTACT" 0 inside contact::handle;
    "HELP" 0 inside server::help;
    "HELPOP" 0 inside server::help;
    "INFO" 0 inside server::info;
    "INVITE" 0 inside invite::handle;
    "ISON" 1 inside ison::ison;
    "ISUPPORT" 0 any server::isupport;
    "JOIN" 1 inside join::join;
    "KICK" 2 inside kick::handle;
    "KILL" 1 inside oper::kill;
    "LINKS" 0 inside server::links;
    "LIST" 0 inside list::handle;
    "LUSERS" 0 inside server::lusers_command;
    "MAP" 0 inside server::map;
    "MARKREAD" 1 inside markread::handle;
    "METADATA" 2 any metadata::handle;
    "MODE" 1 inside mode::handle;
    "MONITOR" 1 inside monitor::handle;
    "MOTD" 0 inside server::motd_command;
    "NAMES" 0 inside names::handle;
    "NICK" 0 any connect::nick;
    "NICKSERV" 1 inside service::command;
    "NOTICE" 0 piped privmsg::notice;
    "NS" 1 inside service::command;
    "OPER" 2 inside oper::oper;
    "PART" 1 inside join::part;
    "PASS" 1 any connect::pass;
    "PING" 0 any connect::ping;
    "PONG" 0 any connect::pong;
    "PRIVMSG" 0 piped privmsg::privmsg;
    "QUIT" 0 any connect::quit;
    "REDACT" 2 piped redact::handle;
    "REGISTER" 3 any register::register;
    "REHASH" 0 inside oper::rehash;
    "RENAME" 2 inside rename::handle;
    "SEARCH" 1 inside search::handle;
    "SETNAME" 1 inside setname::handle;
    "SILENCE" 0 inside contact::silence;
    "STATS" 0 inside server::stats;
    "TAGMSG" 1 piped tagmsg::handle;
    "TIME" 0 inside server::time;
    "TOPIC" 1 inside topic::handle;
    "USER" 4 any connect::user;
    "USERHOST" 1 inside ison::userhost;
    "USERIP" 1 inside ison::userip;
    "VERIFY" 2 any register::verify;
    "VERSION" 0 inside server::version;
    "WALLOPS" 1 inside oper::wallops;
    "WHO" 1 inside who::handle;
    "WHOIS" 1 inside whois::whois;
    "WHOWAS" 1 inside whois::whowas;
}

/// Finds and runs a command; what it replies is the answer to the label, if there is one.
pub(crate) async fn run(s: &mut Session, m: &Message<'_>, label: Option<String>) {
    static BY_VERB: LazyLock<HashMap<&str, &Command>> =
        LazyLock::new(|| COMMANDS.iter().map(|c| (c.verb, c)).collect());
    let command = BY_VERB.get(&*m.verb()).copied();
    if !command.is_some_and(|c| c.pipelined) {
        s.settle().await;
        if s.ended() {
            return;
        }
    }
    s.answering(label);
    match command {
        None if s.me.is_none() => {
            s.numeric(Numeric::ERR_NOTREGISTERED, &[], "You have not registered");
        }
        None => s.numeric(
            Numeric::ERR_UNKNOWNCOMMAND,
            &[m.command()],
            "Unknown command",
        ),
        Some(command) if command.needs_registration && s.me.is_none() => {
            s.numeric(Numeric::ERR_NOTREGISTERED, &[], "You have not registered");
        }
        Some(command) if m.params().len() < command.min_params => {
            let text = "Not enough parameters";
            s.numeric(Numeric::ERR_NEEDMOREPARAMS, &[command.verb], text);
        }
        Some(command) => (command.handle)(s, m).await,
    }
    s.answered();
}

/// Something of this protocol that concerns the account.
pub(crate) fn told(s: &mut Session, payload: &Payload) {
    if let Ok(change) = payload.clone().downcast::<metadata::Change>() {
        metadata::told(s, &change);
    } else if let Ok(change) = payload.clone().downcast::<setname::Change>() {
        setname::told(s, &change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_each_verb_once() {
        assert!(COMMANDS.windows(2).all(|w| w[0].verb < w[1].verb));
        assert!(COMMANDS.iter().all(|c| c.verb == c.verb.to_uppercase()));
    }
}
