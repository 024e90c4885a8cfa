//! The caller's own account: sign-in, profile, devices, passwords.

use super::{Person, answer, ask, both};

answer! {
    /// Who is signed in, and where.
    pub struct Me {
        /// The account.
        pub account: Person,
        /// May administer the node.
        pub admin: bool,
        /// Signed in with the passphrase: may change credentials and administer.
        pub full: bool,
        /// The device's id.
        pub device: String,
        /// The node.
        pub node: NodeInfo,
        /// What the account lets others know.
        pub switches: Switches,
        /// Room for files.
        pub quota: Quota,
        /// Limits of what is sent.
        pub limits: SendLimits,
    }

    /// The node.
    pub struct NodeInfo {
        /// Its domain.
        pub domain: String,
        /// Its version.
        pub version: String,
        /// Protocols that are switched on.
        pub protocols: Vec<String>,
        /// Anyone may make an account.
        pub registration: bool,
        /// Nobody new comes in just now.
        pub lockdown: bool,
        /// Any account may make rooms.
        pub rooms_by_anyone: bool,
        /// Members may invite.
        pub members_invite: bool,
        /// The node fetches what links lead to.
        pub previews: bool,
    }

    /// Room for files.
    pub struct Quota {
        /// Bytes that the account's files take.
        pub used: u64,
        /// Bytes that they may take.
        pub most: u64,
    }

    /// Limits of what is sent.
    pub struct SendLimits {
        /// Bytes of one file.
        pub file_bytes: u64,
        /// Bytes of a text.
        pub text_bytes: u64,
    }

    /// Something that is signed in.
    pub struct Device {
        /// Its id.
        pub id: String,
        /// What people call it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub label: Option<String>,
        /// The protocol it signs in with.
        pub protocol: String,
        /// The app password it signed in with; absent for the passphrase.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub credential: Option<String>,
        /// First sign-in.
        pub created: i64,
        /// Last seen, to the hour.
        pub seen: i64,
        /// The one that asks.
        pub current: bool,
        /// Has a connection now.
        pub online: bool,
        /// What it is.
        pub kind: DeviceKind,
    }

    /// The devices of the account.
    pub struct Devices {
        /// Them.
        pub devices: Vec<Device>,
    }

    /// An app password, without the password.
    pub struct AppPassword {
        /// Its id.
        pub id: String,
        /// What it is called.
        pub name: String,
        /// Protocols; none means all.
        pub scopes: Vec<String>,
        /// When it was made.
        pub created: i64,
    }

    /// The app passwords of the account.
    pub struct AppPasswords {
        /// Them.
        pub passwords: Vec<AppPassword>,
    }

    /// A new app password.
    pub struct NewAppPassword {
        /// What is kept.
        pub password: AppPassword,
        /// The password: shown once.
        pub secret: String,
    }

    /// Tokens for scripts.
    pub struct Tokens {
        /// Them.
        pub tokens: Vec<Device>,
    }

    /// A new token.
    pub struct NewToken {
        /// What is kept.
        pub token: Device,
        /// The token: shown once.
        pub secret: String,
    }

    /// A recovery code: sets another passphrase, once.
    pub struct RecoveryCode {
        /// It: shown once.
        pub code: String,
    }

    /// Whether this browser is told of messages while the page is closed.
    pub struct PushState {
        /// The node's key, for subscribing; absent where the node can't push just now.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub key: Option<String>,
        /// It is.
        pub on: bool,
        /// The messages say who writes what.
        pub text: bool,
    }

    /// What "I lost my phone" ended.
    pub struct LostPhone {
        /// Devices that were signed in.
        pub devices: u32,
        /// App passwords.
        pub app_passwords: u32,
        /// Client certificates.
        pub certificates: u32,
        /// What cannot be brought back or still has to be done, in plain sentences.
        pub remains: Vec<String>,
    }
}

both! {
    /// What a device is.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum DeviceKind {
        /// A browser.
        Session,
        /// A token for scripts.
        Token,
        /// An app of another protocol.
        App,
    }

    /// What the account lets others know, and how long its conversations stay.
    #[derive(Copy, Eq)]
    pub struct Switches {
        /// Delivery and read receipts are sent.
        pub receipts: bool,
        /// Typing is shown.
        pub typing: bool,
        /// When last seen.
        pub last_seen: bool,
        /// Days that direct conversations stay; absent as the node says.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub retention_days: Option<u32>,
    }
}

ask! {
    /// Name and password.
    pub struct SignIn {
        /// `alice` or `alice@example.org`.
        pub name: String,
        /// The passphrase or an app password.
        pub password: String,
        /// What to call this device.
        #[serde(default)]
        pub device: Option<String>,
    }

    /// A new account.
    pub struct Register {
        /// The name.
        pub name: String,
        /// The passphrase.
        pub password: String,
        /// An invitation's token, where the node asks for one.
        #[serde(default)]
        pub invitation: Option<String>,
    }

    /// Signs out everywhere else.
    pub struct SignOutEverywhere {
        /// The passphrase.
        pub passphrase: String,
        /// This session stays; also where nothing is said.
        #[serde(default = "yes")]
        pub keep_this: bool,
    }

    /// What shall change about the profile.
    pub struct ProfileChange {
        /// The name that people read; empty takes it away.
        #[serde(default)]
        pub name: Option<String>,
    }

    /// What shall change; absent stays.
    pub struct SwitchesChange {
        /// Delivery and read receipts.
        #[serde(default)]
        pub receipts: Option<bool>,
        /// Typing.
        #[serde(default)]
        pub typing: Option<bool>,
        /// When last seen.
        #[serde(default)]
        pub last_seen: Option<bool>,
        /// Days that direct conversations stay; 0 as the node says.
        #[serde(default)]
        pub retention_days: Option<u32>,
    }

    /// A new passphrase.
    pub struct PassphraseChange {
        /// The one that holds now.
        pub old: String,
        /// The new one.
        pub new: String,
        /// Signs all other devices out.
        #[serde(default)]
        pub sign_out_others: bool,
    }

    /// Another passphrase for one that was forgotten.
    pub struct Recover {
        /// `alice` or `alice@example.org`.
        pub name: String,
        /// The recovery code.
        pub code: String,
        /// The new passphrase.
        pub password: String,
    }

    /// A browser's subscription at its push service.
    pub struct PushWish {
        /// Where the service takes messages.
        pub endpoint: String,
        /// The browser's public key, base64url.
        pub p256dh: String,
        /// The browser's secret, base64url.
        pub auth: String,
        /// Messages shall say who writes what.
        #[serde(default)]
        pub text: bool,
    }

    /// A wish for another recovery code.
    pub struct RecoveryWish {
        /// The passphrase.
        pub passphrase: String,
    }

    /// A wish for an app password.
    pub struct AppPasswordWish {
        /// What to call it.
        pub name: String,
        /// Protocols: `xmpp`, `irc`, `web`; none means all.
        #[serde(default)]
        pub scopes: Vec<String>,
    }

    /// A wish for a token.
    pub struct TokenWish {
        /// What to call it.
        pub name: String,
    }

    /// The phone is gone.
    pub struct LostPhoneWish {
        /// The passphrase.
        pub passphrase: String,
        /// A new passphrase, where the old one was on the phone.
        #[serde(default)]
        pub new_passphrase: Option<String>,
    }

    /// The account shall go.
    pub struct RemoveAccount {
        /// The passphrase.
        pub passphrase: String,
    }
}

fn yes() -> bool {
    true
}
