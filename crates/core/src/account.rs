//! Accounts and their devices.

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::event::Protocol;
use crate::ids::{DeviceId, Seq, Timestamp};

/// An account of this node. Credentials are a document of the `net` crate; core never sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// (domain, name).
    pub address: Address,
    /// The name that people read.
    pub display_name: Option<String>,
    /// May administer the node.
    pub admin: bool,
    /// Can't sign in.
    pub disabled: bool,
    /// A program, not a person.
    pub bot: bool,
    /// Removed: the name stays taken, nothing else is left.
    pub removed: bool,
    /// When it was made.
    pub created: Timestamp,
    /// What the account lets others know.
    pub switches: Switches,
    /// Days that own events stay; `None` as the node says.
    pub retention_days: Option<u32>,
    /// Counts up at "sign out everywhere": devices of older generations are gone.
    pub generation: u32,
    /// What [`SignIn::stamp`](crate::ops::sessions::SignIn::stamp) has to be: new with every change of what the account
    /// signs in with. `None` before the first change.
    #[serde(default)]
    pub stamp: Option<u64>,
    /// Seq up to which direct conversations were delivered to a session while the account was last reachable;
    /// later events wait for the next client that has no archive of its own (XEP-0160).
    pub offline_since: Option<Seq>,
    /// Seq of the last change.
    pub changed: Seq,
}

/// What an account lets others know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// Delivery and read receipts are sent.
    pub receipts: bool,
    /// Typing is shown.
    pub typing: bool,
    /// When last seen.
    pub last_seen: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            receipts: true,
            typing: true,
            last_seen: true,
        }
    }
}

impl Account {
    /// A new account.
    pub fn new(address: Address, created: Timestamp) -> Self {
        Self {
            address,
            display_name: None,
            admin: false,
            disabled: false,
            bot: false,
            removed: false,
            created,
            switches: Switches::default(),
            retention_days: None,
            generation: 0,
            stamp: None,
            offline_since: None,
            changed: Seq(0),
        }
    }
}

/// What lets somebody in besides the account's passphrase: an app password, a client certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Credential {
    /// Which one: never another one's, also where it is called the same.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
}

impl Credential {
    /// Whether both are the same. Devices that signed in before there were ids know the name only, which was nobody
    /// else's at that time.
    pub fn is(&self, other: &Self) -> bool {
        let by_name = self.id == self.name || other.id == other.name;
        self.id == other.id || by_name && self.name == other.name
    }

    /// Whether two sign-ins came in by the same; `None` is the passphrase.
    pub fn same(one: Option<&Self>, other: Option<&Self>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => one.is(other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

/// A [`Credential`] as it is stored, and as it was: the name alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Whole { id: String, name: String },
    Name(String),
}

impl From<Written> for Credential {
    fn from(written: Written) -> Self {
        match written {
            Written::Whole { id, name } => Self { id, name },
            Written::Name(name) => Self {
                id: name.clone(),
                name,
            },
        }
    }
}

/// What an account signs in from. It owns a cursor, the inbound counter and the idempotency keys; a session borrows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its number on this node.
    pub id: DeviceId,
    /// Whose.
    pub account: Address,
    /// The protocol that it signs in with.
    pub protocol: Protocol,
    /// What tells it apart among the account's devices of that protocol: a stream-management id, a SASL2 user-agent
    /// id, an IRC client id, a Matrix device id.
    pub key: String,
    /// What people call it.
    pub label: Option<String>,
    /// What it signed in with; `None` for the passphrase.
    pub credential: Option<Credential>,
    /// Everything up to here reached it.
    pub cursor: Seq,
    /// What it sent that was handled durably (XEP-0198 `h`), modulo 2^32.
    pub inbound: u32,
    /// What its protocol crate has to remember with the cursor.
    pub state: Vec<u8>,
    /// The account's generation at sign-in.
    pub generation: u32,
    /// First sign-in.
    pub created: Timestamp,
    /// Last seen.
    pub seen: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tx::{decode, encode};

    #[test]
    fn what_signs_in_is_known_by_its_id_and_by_its_name_where_it_was_stored_before_there_were_ids()
    {
        let new = |id: &str| Credential {
            id: id.into(),
            name: "phone".into(),
        };
        let (one, other) = (new("01"), new("02"));
        let stored: Credential = decode(&encode(&one).unwrap()).unwrap();
        assert_eq!(stored, one);
        let old: Credential = decode(&encode(&"phone").unwrap()).unwrap();
        assert!(one.is(&one) && !one.is(&other));
        assert!(old.is(&one) && one.is(&old));
        assert!(Credential::same(None, None) && Credential::same(Some(&one), Some(&stored)));
        assert!(!Credential::same(None, Some(&one)) && !Credential::same(Some(&one), None));
    }
}
