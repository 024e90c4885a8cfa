//! Core's addresses as Matrix ids, and back (DESIGN: "One person, everywhere").
//!
//! `alice@example.org` is `@alice:example.org`; a person of another network is `@xmpp/bob=40other.net:example.org`, with
//! what a localpart can't hold written as `=` and two hexadecimal digits (appendices, "Mapping from other character sets").

use ruma::{OwnedUserId, ServerName, UserId};
use sammen_core::address::{AddressParts, Domain, NetworkName};
use sammen_core::{Address, Name};

/// The Matrix id of a person; `None` for rooms and for what is too long for one (255 bytes).
pub fn user_id(address: &Address, server: &ServerName) -> Option<OwnedUserId> {
    match address.parts() {
        AddressParts::Account { name, domain } => {
            let server = if domain == server.as_str() {
                server
            } else {
                <&ServerName>::try_from(domain).ok()?
            };
            UserId::parse(format!("@{name}:{server}")).ok()
        }
        AddressParts::Guest { id, .. } => UserId::parse(format!("@guest/{id}:{server}")).ok(),
        AddressParts::Remote {
            network: "matrix",
            id,
        } => UserId::parse(id).ok(),
        AddressParts::Remote { network, id } => {
            UserId::parse(format!("@{network}/{}:{server}", escape(id))).ok()
        }
        AddressParts::Room { .. } => None,
    }
}

/// Whom a Matrix id means; `None` where it is nobody that core could name.
pub fn address(user: &UserId, domains: &[Domain]) -> Option<Address> {
    let server = user.server_name().as_str();
    let Some(domain) = domains.iter().find(|d| d.as_str() == server) else {
        let network = NetworkName::new("matrix").ok()?;
        return Address::remote(&network, user.as_str()).ok();
    };
    match user.localpart().split_once('/') {
        None => Name::new(user.localpart())
            .ok()
            .filter(|name| name.as_str() == user.localpart())
            .map(|name| Address::account(domain, &name)),
        Some(("guest", id)) => Address::guest(domain, id).ok(),
        Some((network, id)) => {
            let network = NetworkName::new(network).ok()?;
            Address::remote(&network, &unescape(id)?).ok()
        }
    }
}

fn escape(id: &str) -> String {
    let mut out = String::with_capacity(id.len() + 8);
    for b in id.bytes() {
        match b {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' | b'+' => out.push(b.into()),
            b => {
                use std::fmt::Write as _;
                let _ = write!(out, "={b:02x}");
            }
        }
    }
    out
}

fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'=' {
            out.push(b);
            continue;
        }
        let digit = |b: Option<u8>| (b? as char).to_digit(16);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    // One person has one id.
    String::from_utf8(out).ok().filter(|id| escape(id) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_one_id_and_it_leads_back() {
        let server = <&ServerName>::try_from("example.org").unwrap();
        let domains = [Domain::new("example.org").unwrap()];
        for (address_text, id) in [
            ("alice@example.org", "@alice:example.org"),
            ("xmpp:bob@other.net", "@xmpp/bob=40other.net:example.org"),
            ("irc:libera/Erin_^", "@irc/libera/=45rin_=5e:example.org"),
            ("matrix:@carol:m.org", "@carol:m.org"),
            ("guest:7f3a@example.org", "@guest/7f3a:example.org"),
        ] {
            let person = Address::new(address_text).unwrap();
            let found = user_id(&person, server).unwrap();
            assert_eq!(found.as_str(), id);
            assert_eq!(address(&found, &domains), Some(person));
        }
        for nobody in [
            "@Alice:example.org",
            "@xmpp/bob=4Other.net:example.org",
            "@xmpp/=zz:example.org",
            "@9:example.org",
        ] {
            let id = UserId::parse(nobody).unwrap();
            assert_eq!(address(&id, &domains), None, "{nobody}");
        }
    }
}
