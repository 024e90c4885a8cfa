//! Invitations: a link that makes somebody a contact, lets them make an account, and brings them into rooms.
//!
//! ```text
//! create → Token (told once; the shelf knows its hash) → look_up (a page, or XEP-0445) → redeem
//! ```
//!
//! Every protocol and the web page speak about the same invitations. Redeeming happens in the batch that makes the
//! account, so an invitation for one person makes one account.

mod link;
mod shelf;

use sammen_core::{Address, Name, Timestamp};
use serde::{Deserialize, Serialize};

pub use link::{Token, landing, uri};
pub use shelf::{check, create, list, look_up, name_is_promised, preapprove, redeem, revoke};

/// Who may make invitations with their app; an operator always may, with `sammen invite`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inviters {
    /// Nobody.
    Nobody,
    /// Administrators.
    #[default]
    Admins,
    /// Every account.
    Members,
}

impl Inviters {
    /// Whether this account may invite people who have no account yet.
    pub fn include(self, account: &sammen_core::Account) -> bool {
        match self {
            Self::Nobody => false,
            Self::Admins => account.admin,
            Self::Members => true,
        }
    }
}

/// What an invitation offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Whose contact they become; `None` for the operator's invitations.
    pub inviter: Option<Address>,
    /// They may make an account.
    pub account: bool,
    /// The only name that the account may have. It is nobody else's while the invitation holds.
    pub name: Option<Name>,
    /// Rooms that they come into. In closed ones the inviter has to be allowed to invite, then and now.
    pub rooms: Vec<Address>,
    /// How many may use it; `None` for any number.
    pub uses: Option<u32>,
    /// Until when.
    pub expires: Option<Timestamp>,
    /// The operator made it, for the inviter: rooms open whether the inviter may invite into them or not.
    #[serde(default)]
    pub by_operator: bool,
    /// What the inviter calls it.
    pub label: Option<String>,
}

/// An invitation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// What it is called in lists, and for [`revoke`]: it opens nothing.
    pub id: String,
    /// What it offers.
    pub offer: Offer,
    /// When it was made.
    pub created: Timestamp,
    /// How many used it.
    pub used: u32,
}

impl Invitation {
    /// How many may still use it; `None` for any number.
    pub fn left(&self) -> Option<u32> {
        self.offer.uses.map(|uses| uses.saturating_sub(self.used))
    }

    /// Whether it can be used at that time.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.left() != Some(0) && self.offer.expires.is_none_or(|until| now <= until)
    }
}
