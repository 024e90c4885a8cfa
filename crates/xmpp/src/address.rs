//! Addresses: which of core's a JID means, and back.
//!
//! `alice@D` ↔ account, `town@rooms.D` ↔ room, `guest-7f@D` ↔ guest, others are on other networks.

use sammen_core::address::{Address, AddressParts, Domain, Name, NetworkName, RoomName};

use crate::wire::Jid;

/// Prefix of the host of rooms.
pub const ROOMS: &str = "rooms.";
/// Prefix of the host of file upload.
pub const UPLOAD: &str = "upload.";

/// What an address leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The node itself: its domain.
    Server,
    /// An account or guest of this node (it may not exist).
    Account(Address),
    /// The host of rooms.
    RoomService,
    /// A room (it may not exist), or an occupant of it where the JID has a resource.
    Room(Address),
    /// The host of file upload.
    Upload,
    /// Somebody on another network.
    Remote(Address),
    /// A name on one of our hosts that nothing can have.
    Nowhere,
}

/// What `jid` leads to on a node that serves `domains`.
pub fn place(domains: &[Domain], jid: &Jid) -> Place {
    let host = jid.domain();
    let ours = |host: &str| domains.iter().find(|d| d.as_str() == host);
    if let Some(domain) = ours(host) {
        let Some(local) = jid.local() else {
            return Place::Server;
        };
        if let Some(id) = local.strip_prefix("guest-") {
            return Address::guest(domain, id).map_or(Place::Nowhere, Place::Account);
        }
        return Name::new(local).map_or(Place::Nowhere, |name| {
            Place::Account(Address::account(domain, &name))
        });
    }
    if let Some(domain) = host.strip_prefix(ROOMS).and_then(ours) {
        return match jid.local().map(RoomName::new) {
            None => Place::RoomService,
            Some(Ok(name)) => Place::Room(Address::room(domain, &name)),
            Some(Err(_)) => Place::Nowhere,
        };
    }
    if host.strip_prefix(UPLOAD).and_then(ours).is_some() {
        return if jid.local().is_none() {
            Place::Upload
        } else {
            Place::Nowhere
        };
    }
    // `carol%m.org@matrix.D`: a person on another network, written for XMPP.
    if let Some((network, domain)) = host.split_once('.')
        && ours(domain).is_some()
        && let (Some(local), Ok(network)) = (jid.local(), NetworkName::new(network))
    {
        return Address::remote(&network, &unmapped(local)).map_or(Place::Nowhere, Place::Remote);
    }
    elsewhere(jid)
}

/// Somebody of another server, or of a component.
pub fn elsewhere(jid: &Jid) -> Place {
    NetworkName::new("xmpp")
        .and_then(|xmpp| Address::remote(&xmpp, jid.bare_str()))
        .map_or(Place::Nowhere, Place::Remote)
}

/// The bare JID of an address, as text; `main` is the node's main domain.
pub fn bare(main: &Domain, address: &Address) -> String {
    match address.parts() {
        AddressParts::Account { .. } => address.as_str().to_owned(),
        AddressParts::Room { name, domain } => format!("{name}@{ROOMS}{domain}"),
        AddressParts::Guest { id, domain } => format!("guest-{id}@{domain}"),
        AddressParts::Remote {
            network: "xmpp",
            id,
        } => id.to_owned(),
        AddressParts::Remote { network, id } => format!("{}@{network}.{main}", mapped(id)),
    }
}

/// The JID of an address; `None` where its text can be none (over-long, or of forbidden characters).
pub fn jid(main: &Domain, address: &Address) -> Option<Jid> {
    Jid::new(&bare(main, address)).ok()
}

/// An identifier of another network as a localpart: `@` becomes `%`; `%` and what RFC 7622 §3.3.1 forbids become
/// `=XX` (hexadecimal), as does `=` itself.
fn mapped(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for c in id.chars() {
        match c {
            '@' => out.push('%'),
            '%' | '=' | '"' | '&' | '\'' | '/' | ':' | '<' | '>' | ' ' => {
                out.push_str(&format!("={:02x}", u32::from(c)));
            }
            c if c.is_uppercase() && c.is_ascii() => {
                out.push_str(&format!("={:02x}", u32::from(c)))
            }
            c => out.push(c),
        }
    }
    out
}

fn unmapped(local: &str) -> String {
    let mut out = String::with_capacity(local.len());
    let mut rest = local;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '%' => out.push('@'),
            '=' => match rest.get(..2).and_then(|h| u8::from_str_radix(h, 16).ok()) {
                Some(byte) => {
                    out.push(char::from(byte));
                    rest = rest.get(2..).unwrap_or_default();
                }
                None => out.push('='),
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jids_lead_to_addresses_and_back() -> Result<(), Box<dyn std::error::Error>> {
        let domain = Domain::new("example.org")?;
        let domains = [domain.clone()];
        for (jid, address) in [
            ("alice@example.org", "alice@example.org"),
            ("town@rooms.example.org", "#town@example.org"),
            ("guest-7f@example.org", "guest:7f@example.org"),
            ("bob@other.net", "xmpp:bob@other.net"),
            ("erin%libera@irc.example.org", "irc:erin@libera"),
            ("=40carol=3am.org@matrix.example.org", "matrix:@carol:m.org"),
        ] {
            let place = place(&domains, &Jid::new(jid)?);
            let (Place::Account(found) | Place::Room(found) | Place::Remote(found)) = place else {
                return Err(format!("{jid}: {place:?}").into());
            };
            assert_eq!(found.as_str(), address);
        }
        for address in ["matrix:@Carol:m.org", "irc:erin@libera", "mail:a%b=c@d.e"] {
            let address = Address::new(address)?;
            let jid = super::jid(&domain, &address).ok_or("no JID")?;
            assert_eq!(super::place(&domains, &jid), Place::Remote(address));
        }
        for (jid, place) in [
            ("example.org", Place::Server),
            ("rooms.example.org", Place::RoomService),
            ("upload.example.org", Place::Upload),
            ("1x@example.org", Place::Nowhere),
        ] {
            assert_eq!(super::place(&domains, &Jid::new(jid)?), place);
        }
        Ok(())
    }
}
