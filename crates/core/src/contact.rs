//! Contacts: who an account knows, whom it lets see its presence, whom it blocks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::address::{Address, AddressParts, NetworkName};
use crate::ids::Seq;

/// The shelf on which contacts stand (owner: the account; key: the contact's address).
pub const NAMESPACE: &str = "contact";

/// What one account holds about one address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contact {
    /// In the list that people see (the XMPP roster).
    pub listed: bool,
    /// The name that the account gave.
    pub name: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// I see their presence (RFC 6121 `to`).
    pub sees: bool,
    /// They see mine (RFC 6121 `from`).
    pub seen: bool,
    /// I asked to see theirs.
    pub asked: bool,
    /// They asked to see mine: what their client wrote, to show again until it is answered.
    pub asks: Option<Vec<u8>>,
    /// I allowed it beforehand (RFC 6121 §3.4).
    pub approved: bool,
    /// Nothing of theirs reaches me, and they learn nothing of mine.
    pub blocked: bool,
    /// I took up the conversation: wrote, or accepted the request.
    pub accepted: bool,
    /// Version of this entry.
    #[serde(skip)]
    pub version: Seq,
}

impl Contact {
    /// Whether nothing is left to remember.
    pub fn is_empty(&self) -> bool {
        let blank = Contact {
            version: self.version,
            ..Contact::default()
        };
        *self == blank
    }
}

/// Whether an address is blocked: itself, or with everyone of its domain on its network.
pub fn is_blocked(contacts: &Contacts, of: &Address) -> bool {
    let blocked = |address: &Address| contacts.get(address).is_some_and(|c| c.blocked);
    blocked(of) || domain_of(of).is_some_and(|domain| blocked(&domain))
}

/// The address of a whole domain of a network, for someone who is of one.
fn domain_of(of: &Address) -> Option<Address> {
    let AddressParts::Remote { network, id } = of.parts() else {
        return None;
    };
    let (_, domain) = id.rsplit_once('@')?;
    Address::remote(&NetworkName::new(network).ok()?, domain).ok()
}

/// The contacts of an account.
pub type Contacts = BTreeMap<Address, Contact>;
