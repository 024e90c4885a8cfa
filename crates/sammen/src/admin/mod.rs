//! Administration: one request in, one answer out. The same for the socket of a running node and for a folder without one.

mod accounts;
pub mod backup;
pub mod certificates;
mod data;
pub mod invitations;
mod offline;
mod rooms;
pub mod socket;
pub mod switches;

use std::path::Path;
use std::sync::Arc;

use sammen_core::{Domain, Node};
use sammen_net::accounts::Accounts;
use sammen_store::SqliteStore;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use offline::open;
pub use rooms::KEYS as ROOM_SETTINGS;

/// What administration works on.
#[derive(Clone)]
pub struct Admin {
    /// The node.
    pub node: Node,
    /// Its accounts.
    pub accounts: Arc<Accounts>,
    /// Its store.
    pub store: Arc<SqliteStore>,
    /// Its data folder.
    pub data: std::path::PathBuf,
    /// How the outside reaches its web server; `None` where it has none.
    pub front: Option<String>,
    /// Where the node listens; `None` where none runs.
    pub listens: Option<Vec<std::net::SocketAddr>>,
}

/// What an operator asks for.
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Makes an account; without a password one is made up and told once.
    AccountAdd {
        /// Its name.
        name: String,
        /// Its passphrase.
        password: Option<String>,
        /// May administer the node from its apps.
        admin: bool,
    },
    /// Makes many accounts with given passwords.
    AccountImport {
        /// Names and passwords.
        accounts: Vec<(String, String)>,
    },
    /// All accounts.
    AccountList,
    /// Sets a passphrase; without one it is made up and told once. Sessions have to sign in anew.
    AccountPassword {
        /// Whose.
        name: String,
        /// The new one.
        password: Option<String>,
    },
    /// Makes an app password, told once.
    AppPasswordAdd {
        /// Whose.
        name: String,
        /// What it is called: "phone".
        label: String,
        /// Protocols; none means all.
        only: Vec<String>,
    },
    /// The app passwords of an account, without the passwords.
    AppPasswordList {
        /// Whose.
        name: String,
    },
    /// Takes an app password away, and ends the sessions that came in by it.
    AppPasswordRemove {
        /// Whose.
        name: String,
        /// Which.
        id: String,
    },
    /// Lets a client certificate sign in.
    CertificateAdd {
        /// Whose.
        name: String,
        /// What it is called: "laptop".
        label: String,
        /// SHA-256 of it, in hexadecimal.
        fingerprint: String,
        /// Protocols; none means all.
        only: Vec<String>,
    },
    /// The client certificates of an account.
    CertificateList {
        /// Whose.
        name: String,
    },
    /// Takes a client certificate's right away, and ends the sessions that came in by it.
    CertificateRemove {
        /// Whose.
        name: String,
        /// Which.
        fingerprint: String,
    },
    /// Lets an account in or not.
    AccountEnable {
        /// Which.
        name: String,
        /// Whether it may sign in.
        enabled: bool,
    },
    /// Ends all sessions of an account.
    AccountSignOut {
        /// Whose.
        name: String,
    },
    /// What an account lets others know; sets what is given.
    AccountSettings {
        /// Whose.
        name: String,
        /// What changes.
        wishes: switches::Wishes,
    },
    /// Removes an account and what it wrote.
    AccountRemove {
        /// Which.
        name: String,
    },
    /// Makes an invitation; its link is told once.
    Invite {
        /// What it is to be.
        wish: invitations::Wish,
    },
    /// The invitations that hold.
    InvitationList,
    /// Takes an invitation back.
    InvitationRevoke {
        /// Which.
        id: String,
    },
    /// All rooms.
    RoomList,
    /// Makes a room.
    RoomCreate {
        /// Its name.
        name: String,
        /// The account that owns it.
        owner: Option<String>,
        /// Settings, as `key=value`.
        settings: Vec<(String, String)>,
    },
    /// A room's settings and members; sets what is given.
    RoomSettings {
        /// Which.
        name: String,
        /// Settings, as `key=value`.
        settings: Vec<(String, String)>,
    },
    /// Gives someone a standing in a room.
    RoomStanding {
        /// Which.
        name: String,
        /// Whom.
        account: String,
        /// `owner`, `admin`, `member`, `none` or `outcast`.
        standing: String,
    },
    /// Gives a room another address.
    RoomRename {
        /// Which.
        name: String,
        /// Its new name.
        to: String,
        /// Why.
        reason: Option<String>,
    },
    /// Destroys a room.
    RoomDestroy {
        /// Which.
        name: String,
        /// Why.
        reason: Option<String>,
    },
    /// Checks the data folder.
    Check,
    /// Gives the room of what was erased back.
    Compact,
    /// Sends an encrypted backup; see [`backup`].
    Backup {
        /// What it is encrypted with.
        passphrase: String,
    },
}

impl Admin {
    fn domain(&self) -> anyhow::Result<&Domain> {
        let first = self.node.domains().first();
        first.ok_or_else(|| anyhow::anyhow!("the node has no domain"))
    }

    /// Does it.
    ///
    /// # Errors
    /// What an operator has to know.
    pub async fn run(&self, request: Request) -> anyhow::Result<Value> {
        match request {
            Request::AccountAdd {
                name,
                password,
                admin,
            } => self.account_add(&name, password, admin).await,
            Request::AccountImport { accounts } => self.account_import(accounts).await,
            Request::AccountList => self.account_list().await,
            Request::AccountPassword { name, password } => {
                self.account_password(&name, password).await
            }
            Request::AppPasswordAdd { name, label, only } => {
                self.app_password_add(&name, label, only).await
            }
            Request::AppPasswordList { name } => self.app_password_list(&name).await,
            Request::AppPasswordRemove { name, id } => self.app_password_remove(&name, &id).await,
            Request::CertificateAdd {
                name,
                label,
                fingerprint,
                only,
            } => self.certificate_add(&name, label, &fingerprint, only).await,
            Request::CertificateList { name } => self.certificate_list(&name).await,
            Request::CertificateRemove { name, fingerprint } => {
                self.certificate_remove(&name, &fingerprint).await
            }
            Request::AccountEnable { name, enabled } => self.account_enable(&name, enabled).await,
            Request::AccountSignOut { name } => self.account_sign_out(&name).await,
            Request::AccountSettings { name, wishes } => self.account_settings(&name, wishes).await,
            Request::AccountRemove { name } => self.account_remove(&name).await,
            Request::Invite { wish } => self.invite(wish).await,
            Request::InvitationList => self.invitation_list().await,
            Request::InvitationRevoke { id } => self.invitation_revoke(id).await,
            Request::RoomList => self.room_list().await,
            Request::RoomCreate {
                name,
                owner,
                settings,
            } => self.room_create(&name, owner.as_deref(), settings).await,
            Request::RoomSettings { name, settings } => self.room_settings(&name, settings).await,
            Request::RoomStanding {
                name,
                account,
                standing,
            } => self.room_standing(&name, &account, &standing).await,
            Request::RoomRename { name, to, reason } => self.room_rename(&name, &to, reason).await,
            Request::RoomDestroy { name, reason } => self.room_destroy(&name, reason).await,
            Request::Check => self.check().await,
            Request::Compact => self.compact().await,
            Request::Backup { .. } => anyhow::bail!("a backup comes in frames"),
        }
    }
}

/// Asks the node that runs on this folder, or works on the folder itself where none does.
///
/// # Errors
/// What an operator has to know.
pub async fn ask(
    data: &Path,
    config: Option<&crate::config::Config>,
    request: Request,
) -> anyhow::Result<Value> {
    if let Some(stream) = socket::connect(data).await? {
        return socket::ask(stream, &request).await;
    }
    let assembled = offline::open(data, config).await?;
    let answer = assembled.admin().run(request).await;
    assembled.close().await;
    answer
}
