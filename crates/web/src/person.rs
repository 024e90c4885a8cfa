//! Whom a client shows: names, pictures and what kind of someone it is, as one reader may see them.

use sammen_core::address::AddressParts;
use sammen_core::{Address, Convo, Node, Role};

use crate::config::Host;
use crate::server::Web;
use crate::types::Person;

/// What one reader sees.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The node.
    pub node: &'a Node,
    /// What knows pictures.
    pub host: &'a dyn Host,
    /// How the outside reaches the node.
    pub base: Option<&'a str>,
    /// Who looks.
    pub reader: &'a Address,
}

impl<'a> View<'a> {
    /// What `reader` sees of a node.
    pub fn of(web: &'a Web, reader: &'a Address) -> Self {
        Self {
            node: &web.node,
            host: &*web.host,
            base: web.base.as_deref(),
            reader,
        }
    }
}

/// Whether a reader may see the real addresses of a room's people (XEP-0045: non-anonymous, or a moderator).
pub fn sees_addresses(convo: &Convo, reader: &Address) -> bool {
    !convo.is_room()
        || convo.conversation.settings.addresses_open
        || convo.role(reader) == Role::Moderator
}

/// The path of someone's picture.
fn avatar(view: View<'_>, address: &Address) -> Option<String> {
    let version = view.host.picture_version(address)?;
    let encoded = sammen_net::files::disposition::encode(address.as_str());
    Some(format!(
        "{}/avatars/{encoded}?v={version}",
        crate::routes::BASE
    ))
}

/// Someone outside a room. Blocking.
pub fn person(view: View<'_>, address: &Address) -> Person {
    let account = if address.is_account() {
        view.node.account(address).ok().flatten()
    } else {
        None
    };
    let name = account
        .as_ref()
        .and_then(|a| a.display_name.clone())
        .unwrap_or_else(|| address.name().to_owned());
    Person {
        address: address.to_string(),
        name,
        avatar: account.as_ref().and_then(|_| avatar(view, address)),
        bot: account.is_some_and(|a| a.bot),
        guest: address.is_guest(),
        network: match address.parts() {
            AddressParts::Remote { network, .. } => Some(network.to_owned()),
            _ => None,
        },
    }
}

/// Someone in a conversation: in a room under their nick, and with the address only where the reader may see it.
/// `nick` is what the event says, if it says one. Blocking.
pub fn person_in(view: View<'_>, convo: &Convo, who: &Address, nick: Option<&str>) -> Person {
    let mut person = person(view, who);
    let Some(room) = convo.conversation.room() else {
        return person;
    };
    if who == room {
        return person;
    }
    let member = convo.member(who);
    let now = member.and_then(|m| m.nick.as_deref());
    if let Some(nick) = nick.or(now).filter(|n| *n != who.name()) {
        person.name = nick.to_owned();
    }
    if who != view.reader && !sees_addresses(convo, view.reader) {
        hide(&mut person, room, who, nick.or(now));
    }
    person
}

/// In a room that hides addresses people are known by their nick alone.
fn hide(person: &mut Person, room: &Address, who: &Address, nick: Option<&str>) {
    let nick = nick.unwrap_or(who.name());
    // Where someone goes by another name nothing that leads to the account is told.
    if nick != who.name() {
        person.avatar = None;
        person.network = None;
    } else if person.name != nick {
        person.name = nick.to_owned();
    }
    person.address = format!("{room}/{nick}");
}

/// Finds whom a client means by an address or by `#room@domain/nick`.
pub fn resolve(convo: &Convo, text: &str) -> Option<Address> {
    if let Some(room) = convo.conversation.room()
        && let Some(nick) = text
            .strip_prefix(room.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
    {
        return convo.by_nick(nick).map(|m| m.address.clone());
    }
    Address::new(text).ok()
}
