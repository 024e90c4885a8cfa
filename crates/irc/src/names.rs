//! People and rooms as IRC names them, and back: nick `alice`, `#town`, `bob%other.net/xmpp`; rooms of other XMPP servers
//! `#town%rooms.other.net`, who is in them `carol%town%rooms.other.net/xmpp`.

use std::fmt::Write as _;

use sammen_core::address::AddressParts;
use sammen_core::{Address, Domain, Name, NetworkName, RoomName};

use crate::wire::casemap;

/// Longest channel name, in bytes.
pub const CHANNEL_BYTES: usize = 65;
/// Longest nick that is announced (ISUPPORT NICKLEN); those of other networks may be longer.
pub const NICK_BYTES: usize = 64;

/// The mapping of one node.
#[derive(Clone, Debug)]
pub struct Names {
    main: Domain,
    domains: Vec<Domain>,
}

impl Names {
    /// For a node with these domains, the main one first.
    pub fn new(domains: &[Domain]) -> Option<Self> {
        Some(Self {
            main: domains.first()?.clone(),
            domains: domains.to_vec(),
        })
    }

    /// The main domain.
    pub fn domain(&self) -> &Domain {
        &self.main
    }

    /// Whether a text is a domain of this node.
    pub fn is_own_domain(&self, text: &str) -> bool {
        self.domains
            .iter()
            .any(|d| d.as_str().eq_ignore_ascii_case(text))
    }

    /// The nick of an address.
    pub fn nick(&self, who: &Address) -> String {
        match who.parts() {
            AddressParts::Account { name, domain } if domain == self.main.as_str() => {
                name.to_owned()
            }
            AddressParts::Account { name, domain } => format!("{name}%{domain}"),
            AddressParts::Guest { id, .. } => format!("guest-{id}"),
            AddressParts::Room { name, .. } => format!("#{name}"),
            AddressParts::Remote {
                network: "xmpp",
                id,
            } if id.contains('/') => {
                // Somebody of whom a room shows the nick alone.
                let (room, nick) = id.split_once('/').unwrap_or((id, ""));
                let (name, host) = room.split_once('@').unwrap_or((room, ""));
                let mut out = String::with_capacity(id.len() + 8);
                escape(nick, &mut out);
                out.push('%');
                escape(name, &mut out);
                out.push('%');
                escape(host, &mut out);
                out.push_str("/xmpp");
                out
            }
            AddressParts::Remote { network, id } => {
                // Matrix writes `@carol:m.org`, all others `dave@mail.org`.
                let plain = id.strip_prefix('@').unwrap_or(id);
                let at = if id.starts_with('@') { ':' } else { '@' };
                let mut out = String::with_capacity(id.len() + network.len() + 2);
                match plain.split_once(at) {
                    Some((local, host)) => {
                        escape(local, &mut out);
                        out.push('%');
                        escape(host, &mut out);
                    }
                    None => escape(plain, &mut out),
                }
                out.push('/');
                out.push_str(network);
                out
            }
        }
    }

    /// The channel of a room.
    pub fn channel(&self, room: &Address) -> String {
        match room.parts() {
            AddressParts::Room { name, domain } if domain == self.main.as_str() => {
                format!("#{name}")
            }
            AddressParts::Room { name, domain } => format!("#{name}%{domain}"),
            // The network of most rooms elsewhere goes without saying.
            _ => {
                let nick = self.nick(room);
                format!("#{}", nick.strip_suffix("/xmpp").unwrap_or(&nick))
            }
        }
    }

    /// `nick!user@host`, as lines come from someone.
    pub fn mask(&self, who: &Address) -> String {
        let nick = self.nick(who);
        let (user, host) = self.user_host(who);
        format!("{nick}!{user}@{host}")
    }

    /// The user and host of someone: what stands before and behind the `@` of their address.
    pub fn user_host(&self, who: &Address) -> (String, String) {
        match who.parts() {
            AddressParts::Account { name, domain } | AddressParts::Room { name, domain } => {
                (name.to_owned(), domain.to_owned())
            }
            AddressParts::Guest { domain, .. } => ("guest".to_owned(), domain.to_owned()),
            AddressParts::Remote {
                network: "xmpp",
                id,
            } if id.contains('/') => {
                let (room, nick) = id.split_once('/').unwrap_or((id, ""));
                let host = room.rsplit('@').next().unwrap_or_default();
                let mut out = (String::new(), String::new());
                escape(nick, &mut out.0);
                escape(host, &mut out.1);
                out
            }
            AddressParts::Remote { network, id } => {
                let plain = id.strip_prefix('@').unwrap_or(id);
                let (user, host) = plain.split_once(['@', ':']).unwrap_or((plain, network));
                let mut out = (String::new(), String::new());
                escape(user, &mut out.0);
                escape(host, &mut out.1);
                out
            }
        }
    }

    /// The account's name for account-tag and extended-join; `None` for people without an account here.
    pub fn account(&self, who: &Address) -> Option<String> {
        who.is_account().then(|| self.nick(who))
    }

    /// Who a nick is.
    pub fn person(&self, nick: &str) -> Option<Address> {
        if nick.is_empty() || nick.starts_with('#') || nick.len() > 1000 {
            return None;
        }
        if let Some((id, network)) = nick.rsplit_once('/') {
            let network = NetworkName::new(&casemap::fold(network)).ok()?;
            let id = match id.split_once('%') {
                Some((local, host)) if network.as_str() == "matrix" => {
                    format!("@{}:{}", unescape(local)?, unescape(host)?)
                }
                Some((nick, room)) if room.contains('%') => {
                    let (name, host) = room.split_once('%')?;
                    let (nick, name) = (unescape(nick)?, unescape(name)?);
                    format!("{name}@{}/{nick}", unescape(host)?)
                }
                Some((local, host)) => format!("{}@{}", unescape(local)?, unescape(host)?),
                None => unescape(id)?,
            };
            return Address::remote(&network, &id).ok();
        }
        if let Some(id) = casemap::fold(nick).strip_prefix("guest-") {
            return Address::guest(&self.main, id).ok();
        }
        match nick.split_once('%').or_else(|| nick.split_once('@')) {
            Some((name, domain)) if self.is_own_domain(domain) => Some(Address::account(
                &Domain::new(domain).ok()?,
                &Name::new(name).ok()?,
            )),
            Some(_) => None,
            None => Some(Address::account(&self.main, &Name::new(nick).ok()?)),
        }
    }

    /// Which room a channel is.
    pub fn room(&self, channel: &str) -> Option<Address> {
        if !casemap::is_channel(channel, 400) {
            return None;
        }
        let name = channel.strip_prefix('#')?;
        match name.rsplit_once('%') {
            Some((name, domain)) if self.is_own_domain(domain) => Some(Address::room(
                &Domain::new(domain).ok()?,
                &RoomName::new(name).ok()?,
            )),
            // `#town%rooms.other.net`, or with its network `#town%rooms.other.net/xmpp`.
            Some((_, host)) if host.contains('.') => match host.contains('/') {
                true => self.person(name),
                false => self.person(&casemap::fold(&format!("{name}/xmpp"))),
            },
            _ => Some(Address::room(&self.main, &RoomName::new(name).ok()?)),
        }
    }

    /// Takes a login name apart: `alice/phone` or `alice@phone` is the device `phone` of `alice`.
    pub fn login<'a>(&self, name: &'a str) -> (&'a str, Option<&'a str>) {
        if let Some((account, device)) = name.split_once('/') {
            return (account, Some(device).filter(|d| !d.is_empty()));
        }
        match name.rsplit_once('@') {
            Some((account, device)) if !self.is_own_domain(device) => {
                (account, Some(device).filter(|d| !d.is_empty()))
            }
            _ => (name, None),
        }
    }
}

/// Characters that a nick cannot hold are written `=XX`.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        if c.is_ascii_control() || " !@,*?#:%/=&".contains(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "={:02x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        out.push_str(before);
        let (hex, tail) = after.split_at_checked(2)?;
        out.push(char::from(u8::from_str_radix(hex, 16).ok()?));
        rest = tail;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let domain = |d| Domain::new(d).unwrap();
        Names::new(&[domain("example.org"), domain("example.net")]).unwrap()
    }

    #[test]
    fn people_of_all_networks_have_nicks_and_back() {
        for (address, nick) in [
            ("alice@example.org", "alice"),
            ("alice@example.net", "alice%example.net"),
            ("xmpp:bob@other.net", "bob%other.net/xmpp"),
            ("matrix:@carol:m.org", "carol%m.org/matrix"),
            ("mail:d!ave e@mail.org", "d=21ave=20e%mail.org/mail"),
            ("irc:erin%x", "erin=25x/irc"),
            ("guest:a1@example.org", "guest-a1"),
        ] {
            let who = Address::new(address).unwrap();
            assert_eq!(names().nick(&who), nick);
            assert_eq!(names().person(nick), Some(who), "{nick}");
        }
        assert_eq!(names().person("alice@elsewhere.org"), None);
        assert_eq!(names().person("no name"), None);
        let bob = Address::new("xmpp:bob@other.net").unwrap();
        assert_eq!(names().mask(&bob), "bob%other.net/xmpp!bob@other.net");
    }

    #[test]
    fn rooms_are_channels() {
        for (address, channel) in [
            ("#town@example.org", "#town"),
            ("#town@example.net", "#town%example.net"),
        ] {
            let room = Address::new(address).unwrap();
            assert_eq!(names().channel(&room), channel);
            assert_eq!(names().room(channel), Some(room));
        }
        assert_eq!(
            names().room("#Town"),
            Address::new("#town@example.org").ok()
        );
        assert_eq!(names().room("town"), None);
    }

    #[test]
    fn rooms_of_other_servers_are_channels_and_their_people_have_nicks() {
        let room = Address::new("xmpp:town@rooms.other.net").unwrap();
        assert_eq!(names().channel(&room), "#town%rooms.other.net");
        for channel in [
            "#town%rooms.other.net",
            "#Town%Rooms.other.net",
            "#town%rooms.other.net/xmpp",
        ] {
            assert_eq!(names().room(channel), Some(room.clone()), "{channel}");
        }
        let carol = Address::new("xmpp:town@rooms.other.net/Carol C.").unwrap();
        let nick = "Carol=20C.%town%rooms.other.net/xmpp";
        assert_eq!(names().nick(&carol), nick);
        assert_eq!(names().person(nick), Some(carol.clone()));
        let at = ("Carol=20C.".to_owned(), "rooms.other.net".to_owned());
        assert_eq!(names().user_host(&carol), at);
    }

    #[test]
    fn devices_stand_behind_the_account() {
        assert_eq!(names().login("alice/phone"), ("alice", Some("phone")));
        assert_eq!(names().login("alice@phone"), ("alice", Some("phone")));
        assert_eq!(
            names().login("alice@example.org"),
            ("alice@example.org", None)
        );
        assert_eq!(names().login("alice/"), ("alice", None));
    }
}
