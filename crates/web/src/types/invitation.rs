//! Invitations: links that make a contact, an account, and bring into rooms.

use super::{answer, ask};

answer! {
    /// An invitation, without its link.
    pub struct Invitation {
        /// What it is called in lists; it opens nothing.
        pub id: String,
        /// An account can be made with it.
        pub account: bool,
        /// Whose contact people become.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub from: Option<String>,
        /// The only name of the account.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub name: Option<String>,
        /// Rooms that people come into.
        pub rooms: Vec<String>,
        /// How many may still use it; absent for any number.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub left: Option<u32>,
        /// Until when; absent for good.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub expires: Option<i64>,
        /// What the inviter calls it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub label: Option<String>,
        /// When it was made.
        pub created: i64,
        /// How many used it.
        pub used: u32,
    }

    /// Invitations.
    pub struct Invitations {
        /// Them.
        pub invitations: Vec<Invitation>,
    }

    /// A new invitation.
    pub struct NewInvitation {
        /// What is kept.
        pub invitation: Invitation,
        /// The link: shown once.
        pub url: String,
        /// The same for XMPP apps.
        pub xmpp: String,
        /// The link as a QR code, in SVG.
        pub qr: String,
    }
}

ask! {
    /// A wish for an invitation.
    pub struct InvitationWish {
        /// An account can be made with it; otherwise it makes a contact only.
        #[serde(default)]
        pub account: bool,
        /// The only name that the account may have.
        #[serde(default)]
        pub name: Option<String>,
        /// Rooms that people come into, by address.
        #[serde(default)]
        pub rooms: Vec<String>,
        /// For how many people; 0 for any number, 1 where nothing is said.
        #[serde(default)]
        pub uses: Option<u32>,
        /// For how many days; 0 for good, 14 where nothing is said.
        #[serde(default)]
        pub days: Option<u32>,
        /// What it is called.
        #[serde(default)]
        pub label: Option<String>,
    }
}
